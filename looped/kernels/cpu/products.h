// Products of small matrices, as fast as the processor multiplies.
//
// The right operand lies in panels of 16 columns: term by term, 16 numbers side by side. So does the
// result, row by row, and it is the right operand of the next product as it lies.
#pragma once

#include "terms.h"

// Two ways in which a left operand lies. Its elements (i, k) are read k by k.
struct Rows {  // a row's terms side by side; what is summed may go on `jump` further
  const float* corner;
  long ld, jump;
  Rows from(int i) const { return {corner + i * ld, ld, jump}; }
  Rows chunk(int c) const { return {corner + c * jump, ld, jump}; }
  float get(int i) const { return corner[i * ld]; }
  void advance() { corner++; }
};
struct Columns {  // a panel that is multiplied transposed
  const float* corner;
  Columns from(int i) const { return {corner + i}; }
  Columns chunk(int) const { return *this; }
  float get(int i) const { return corner[i]; }
  void advance() { corner += WIDE; }
};

struct Sum {  // over so many chunks of so many terms
  int chunks, terms;
};

struct Panels {
  const float* corner;
  long apart;
};

struct Ahead {  // what later tiles will touch: fetched while this one is computed
  const float *left, *result;
  long step;
};

enum Into { SET, ADD, SCALE };  // C = x, C += x or C *= x, where x = A B + bias

// One tile, C[M x 16], M rows at once in registers; A[M x K], and B[K x 16] is a panel.
// Not inlined, where compilers spill sums; two terms a turn, as a small loop is decoded once.
template <int M, Into INTO, class Left>
static __attribute__((noinline)) void tile(Sum over, const Left& a, const float* b, float* c,
                                           const float* bias, const Ahead& ahead) {
  Register sum[M][PARTS];
  auto each = [](auto work) ALWAYS {
    unrolled<M>([&](auto i) ALWAYS { unrolled<PARTS>([&](auto v) ALWAYS { work(i, v); }); });
  };
  each([&](auto i, auto v) ALWAYS {
    sum[i][v] = bias ? bias[i] - Part{} : Part{};
    if (INTO == ADD) sum[i][v] += part(c + i * WIDE + v * PART);
  });
  unrolled<M>([&](auto i) ALWAYS { __builtin_prefetch(ahead.result + i * WIDE, 1); });
  const float* left_ahead = ahead.left;
  for (int chunk = 0; chunk < over.chunks; chunk++) {
    Left left = a.chunk(chunk);
    auto multiply = [&]() ALWAYS {
      Register own[PARTS];
      unrolled<PARTS>([&](auto v) ALWAYS { own[v] = part(b + v * PART), hold(own[v]); });
      unrolled<M>([&](auto i) ALWAYS {
        Factor factor = left.get(i) - Factor{};
        hold(factor);
        unrolled<PARTS>([&](auto v) ALWAYS { add_product(sum[i][v], factor, own[v]); });
      });
      left.advance(), b += WIDE;
    };
    int k = 0;
    for (; k + 2 <= over.terms; k += 2, left_ahead += ahead.step) {
      __builtin_prefetch(left_ahead);
      multiply();
      multiply();
    }
    if (k < over.terms) multiply();
  }
  each([&](auto i, auto v) ALWAYS {
    if (INTO == SCALE) sum[i][v] *= part(c + i * WIDE + v * PART);
    part(c + i * WIDE + v * PART) = sum[i][v];
  });
}

template <int M, Into INTO, class Left>
static inline void some_rows(int m, Sum over, const Left& a, const float* b, float* c,
                             const float* bias, const Ahead& ahead) {
  if (m == M) return tile<M, INTO>(over, a, b, c, bias, ahead);
  if constexpr (M > 1) some_rows<M - 1, INTO>(m, over, a, b, c, bias, ahead);
}

// Calls work(first row, rows) for the tiles of M rows, which are as even as can be: a low tile has
// too few sums to wait for none of them.
template <class Work>
static inline void by_tiles(int M, Work work) {
  int n = (M + ROWS - 1) / ROWS;
  for (int t = 0, i = 0, m; t < n; t++, i += m) {
    m = M / n + (t < M % n);
    work(i, m);
  }
}

// C = A B + bias for each of n panels; A[M x K].
template <Into INTO = SET, class Left>
static void product(int M, Sum over, Left a, Panels b, float* c, long c_apart, int n,
                    const float* bias = nullptr) {
  by_tiles(M, [&](int i, int m) {
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
  by_tiles(M, [&](int i, int m) {
    const float* own = b;
    for (int j = 0; j < N; j += WIDE, own += panel, tiles += m * WIDE)
      some_rows<ROWS, ADD>(m, over, a.from(i), own, tiles, nullptr,
                           {a.from(i + m).chunk(j * over.chunks / N).corner,
                            tiles + 2 * ROWS * WIDE, WIDE});
  });
}

// C[i row + j col] = the element (i, j) of a sum in tiles.
static void unpack(int M, int N, const float* tiles, float* c, long row, long col) {
  by_tiles(M, [&](int i, int m) {
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

// M rows of n panels as a left operand, summed over the columns of all.
static Rows side_by_side(int M, int n, Panels from, float* room) {
  if (OF_TERM == 1) return {from.corner, WIDE, from.apart};
  float* to = room;
  for (int j = 0; j < n; j++)
    for (int i = 0; i < M; i++)
      for (int v = 0; v < WIDE; v += PART, to += PART / 2)
        terms_of_row(part(from.corner + j * from.apart + i * WIDE + v), to);
  return {room, WIDE / 2, M * WIDE / 2L};
}
static inline Sum over_columns(int n) { return {n, WIDE / OF_TERM}; }

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
