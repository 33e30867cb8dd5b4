// Products of small matrices, as fast as the processor multiplies.
//
// The right operand lies in panels of 16 columns: term by term, 16 numbers side by side. So does the
// result, row by row, and it is the right operand of the next product as it lies.
#pragma once

#include "amx.h"

// Calls work(first row, rows) for the tiles of M rows, which are as even as can be: a low tile has
// too few sums to wait for none of them.
template <int HIGHEST, class Work>
static inline void by_tiles(int M, Work work) {
  int n = (M + HIGHEST - 1) / HIGHEST;
  for (int t = 0, i = 0, m; t < n; t++, i += m) {
    m = M / n + (t < M % n);
    work(i, m);
  }
}

// C = A B + bias for each of n panels; A[M x K].
template <Into INTO = SET, class Left>
static void product(int M, Sum over, Left a, Panels b, float* c, long c_apart, int n,
                    const float* bias = nullptr) {
#if defined(AMX)
  if constexpr (std::is_same_v<Left, Rows>)
    return by_tiles<TILE>(M, [&](int i, int m) {
      row_of_tiles<INTO>(m, over, a.from(i), b, c + i * WIDE, c_apart, n, bias ? bias + i : nullptr);
    });
#endif
  by_tiles<ROWS>(M, [&](int i, int m) {
    Left left = a.from(i), next = a.from(i + m);
    for (int j = 0; j < n; j++) {
      float* to = c + j * c_apart + i * WIDE;
      some_rows<ROWS, INTO>(
          m, over, left, b.corner + j * b.apart, to, bias ? bias + i : nullptr,
          {next.corner + (long)j * over.terms * ROWS / n, to + c_apart, 2 * ROWS / n});
    }
  });
}

// C[M x N] += A B, where C lies in tiles as they are computed here: whoever sums over many prompts
// goes through C's memory from end to end.
static void add_to_tiles(int M, int N, Sum over, Rows a, const float* b, float* tiles) {
  long panel = (long)over.chunks * over.terms * WIDE;
  by_tiles<TILE>(M, [&](int i, int m) {
#if defined(AMX)
    row_of_tiles<ADD>(m, over, a.from(i), {b, panel}, tiles, m * WIDE, (N + WIDE - 1) / WIDE, nullptr);
    tiles += (N + WIDE - 1) / WIDE * m * WIDE;
#else
    const float* own = b;
    for (int j = 0; j < N; j += WIDE, own += panel, tiles += m * WIDE)
      some_rows<ROWS, ADD>(m, over, a.from(i), own, tiles, nullptr,
                           {a.from(i + m).chunk(j * over.chunks / N).corner,
                            tiles + 2 * ROWS * WIDE, WIDE});
#endif
  });
}

// C[i row + j col] = the element (i, j) of a sum in tiles.
static void unpack(int M, int N, const float* tiles, float* c, long row, long col) {
  by_tiles<TILE>(M, [&](int i, int m) {
    for (int j = 0; j < N; j += WIDE)
      for (int r = i; r < i + m; r++)
        for (int n = j; n < j + WIDE; n++, tiles++)
          if (n < N) c[r * row + n * col] = *tiles;
  });
}

// The terms of K rows of a panel; with BF16 they are made in `room`.
static const float* paired(int K, const float* from, float* room) {
  if (OF_TERM == 1) return from;
  float* to = room;
  for (int k = 0; k < K; k += 2)
    for (int v = 0; v < WIDE; v += PART, to += PART) {
      const float* first = from + k * WIDE + v;
      part(to) = term(part(first), k + 1 < K ? part(first + WIDE) : Part{});
    }
  return room;
}
static Panels paired(int K, int n, Panels from, float* room) {
  if (OF_TERM == 1) return from;
  long apart = terms(K) * WIDE;
  for (int j = 0; j < n; j++) paired(K, from.corner + j * from.apart, room + j * apart);
  return {room, apart};
}

// How many of n panels a row of AMX's operands spans: two fill it.
static inline int panels_at_once(int n) { return HAS_AMX && n % 2 == 0 ? 2 : 1; }

// M rows of n panels as a left operand, summed over the columns of all, so many panels to a chunk.
static Rows side_by_side(int M, int n, Panels from, float* room, int at_once = 1) {
  if (OF_TERM == 1) return {from.corner, WIDE, from.apart};
  long wide = at_once * WIDE / 2;
  for (int j = 0; j < n; j++)
    for (int i = 0; i < M; i++) {
      float* to = room + (j / at_once * M + i) * wide + j % at_once * WIDE / 2;
      for (int v = 0; v < WIDE; v += PART, to += PART / 2)
        terms_of_row(part(from.corner + j * from.apart + i * WIDE + v), to);
    }
  return {room, wide, M * wide};
}
static inline Sum over_columns(int n, int at_once = 1) {
  return {n / at_once, at_once * WIDE / OF_TERM};
}

// A matrix of rows of K numbers as a left operand.
static void pack_rows(long M, int K, const float* from, float* to) {
  if (OF_TERM == 1) return (void)std::memcpy(to, from, sizeof(float) * M * K);
  for (long i = 0; i < M; i++)
    for (int k = 0, n; k < K; k += n, to += terms(n)) {
      n = K - k < PART ? K - k : PART;
      float numbers[PART] = {}, pairs[PART / 2];
      std::memcpy(numbers, from + i * K + k, sizeof(float) * n);
      terms_of_row(part(numbers), pairs);
      std::memcpy(to, pairs, sizeof(float) * terms(n));
    }
}

template <int BIT, int... I>
static inline void swap_halves(Part& a, Part& b, std::integer_sequence<int, I...>) {
  Part low = SHUFFLE(a, b, (I & BIT ? PART + (I ^ BIT) : I)...);
  b = SHUFFLE(a, b, (I & BIT ? PART + I : I | BIT)...);
  a = low;
}
template <int BIT = 1>
static inline void transpose(Part (&rows)[PART]) {
  if constexpr (BIT < PART) {
    EACH for (int i = 0; i < PART; i++)
      if (!(i & BIT))
        swap_halves<BIT>(rows[i], rows[i | BIT], std::make_integer_sequence<int, PART>());
    transpose<2 * BIT>(rows);
  }
}

// The terms of the transpose of 16 rows of 16; returns what lies behind them.
static float* transposed(const float* from, float* to) {
  float numbers[WIDE * WIDE], *out = OF_TERM == 1 ? to : numbers;
  for (int i = 0; i < WIDE; i += PART)
    for (int j = 0; j < WIDE; j += PART) {
      Part rows[PART];
      EACH for (int r = 0; r < PART; r++) rows[r] = part(from + (i + r) * WIDE + j);
      transpose(rows);
      EACH for (int r = 0; r < PART; r++) part(out + (j + r) * WIDE + i) = rows[r];
    }
  if (OF_TERM > 1) paired(WIDE, numbers, to);
  return to + WIDE * WIDE / OF_TERM;
}

// The transpose of K rows in n panels as a right operand. What lies behind the rows, up to a multiple
// of 16, comes with them.
static void transposed(int K, int n, const float* from, float* to) {
  for (int k = 0; k < K; k += WIDE)
    for (int j = 0; j < n; j++) to = transposed(from + ((long)j * K + k) * WIDE, to);
}

// Whether products of whole numbers, which none rounds, are right in tiles of every kind.
static bool multiplies() {
  constexpr int M = 21, K = 41, N = 5;
  static float a[M * K], b[N * K * WIDE], left[M * (K + 1)], right[N * (K + 1) * WIDE];
  static float c[N * M * WIDE];
  for (int i = 0; i < M * K; i++) a[i] = i % 7 - 3;
  for (int i = 0; i < N * K * WIDE; i++) b[i] = i % 5 - 2;
  pack_rows(M, K, a, left);
  Panels panels = paired(K, N, {b, K * WIDE}, right);
  product(M, {1, terms(K)}, Rows{left, terms(K), 0}, panels, c, M * WIDE, N);
  for (int j = 0; j < N; j++)
    for (int i = 0; i < M; i++)
      for (int v = 0; v < WIDE; v++) {
        int sum = 0;
        for (int k = 0; k < K; k++)
          sum += (int)a[i * K + k] * (int)b[(j * K + k) * WIDE + v];
        if (c[(j * M + i) * WIDE + v] != sum) return false;
      }
  return true;
}
