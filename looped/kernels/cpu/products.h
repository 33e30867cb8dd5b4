// Products of small matrices, as fast as the processor multiplies.
#pragma once

#include <cstring>

#if defined(__AVX__)  // with AVX-512 too: vectors of 16 multiplied more slowly
constexpr int PART = 8, ROWS = 6;
#else
constexpr int PART = 4, ROWS = 4;
#endif
constexpr int WIDE = 16;  // columns of a panel
constexpr int PARTS = WIDE / PART;

typedef float Register __attribute__((vector_size(4 * PART)));
typedef float Part __attribute__((vector_size(4 * PART), aligned(4), may_alias));  // in memory

static inline Part& part(float* p) { return *reinterpret_cast<Part*>(p); }
static inline Part part(const float* p) { return *reinterpret_cast<const Part*>(p); }

// Have a value that is used several times in a register; compilers would load it each time.
static inline void hold(Register& x) {
#if defined(__x86_64__)
  asm volatile("" : "+v"(x));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(x));
#endif
}

// Two ways in which a left operand lies. Its elements (i, k) are read k by k.
struct Rows {
  const float* corner;
  long ld;
  Rows from(int i, int k) const { return {corner + i * ld + k, ld}; }
  float get(int i) const { return corner[i * ld]; }
  void advance() { corner++; }
};
struct Columns {  // of a matrix that is multiplied transposed
  const float* corner;
  long ld;
  Columns from(int i, int k) const { return {corner + k * ld + i, ld}; }
  float get(int i) const { return corner[i]; }
  void advance() { corner += ld; }
};

struct Ahead {  // what later tiles will touch: fetched while this one is computed
  const float *panel, *result;
};

enum Into { SET, ADD, SCALE };  // C = x, C += x or C *= x, where x = A B + bias
enum Reach { WHOLE, FROM_PANEL, UP_TO_ROW, FROM_ROW };  // parts of a causal product

#define EACH _Pragma("GCC unroll 16")  // else the sums would live in memory

// One tile, C[M x 16], M rows at once in registers; A[M x K], and B[K x 16] is a packed panel.
// Not inlined, where compilers spill sums; two terms a turn, as a small loop is decoded once.
template <int M, Into INTO, class Left>
static __attribute__((noinline)) void tile(int K, Left a, const float* b, float* c, long ldc,
                                           const float* bias, Ahead ahead) {
  Register sum[M][PARTS];
  EACH for (int i = 0; i < M; i++) EACH for (int v = 0; v < PARTS; v++) {
    sum[i][v] = bias ? part(bias + v * PART) : Part{};
    if (INTO == ADD) sum[i][v] += part(c + i * ldc + v * PART);
  }
  EACH for (int i = 0; i < M; i++) __builtin_prefetch(ahead.result + i * ldc, 1);
  auto multiply = [&] {
    Register own[PARTS];
    EACH for (int v = 0; v < PARTS; v++) own[v] = part(b + v * PART);
    EACH for (int v = 0; v < PARTS; v++) hold(own[v]);
    EACH for (int i = 0; i < M; i++) {
      Register left = a.get(i) - Part{};
      hold(left);
      EACH for (int v = 0; v < PARTS; v++) sum[i][v] += left * own[v];
    }
    a.advance(), b += WIDE;
  };
  int k = 0;
  for (; k + 2 <= K; k += 2, ahead.panel += 2 * WIDE / 8) {  // an eighth of a panel in all
    __builtin_prefetch(ahead.panel);
    multiply();
    multiply();
  }
  if (k < K) multiply();
  EACH for (int i = 0; i < M; i++) EACH for (int v = 0; v < PARTS; v++) {
    if (INTO == SCALE) sum[i][v] *= part(c + i * ldc + v * PART);
    part(c + i * ldc + v * PART) = sum[i][v];
  }
}

template <int M, Into INTO, class Left>
static inline void some_rows(int m, int K, Left a, const float* b, float* c, long ldc,
                             const float* bias, Ahead ahead) {
  if (m == M) return tile<M, INTO>(K, a, b, c, ldc, bias, ahead);
  if constexpr (M > 1) some_rows<M - 1, INTO>(m, K, a, b, c, ldc, bias, ahead);
}

// C[M x N] from A[M x K] B + bias; B is packed in N / 16 panels. Rows of C are ldc apart; columns
// from ldc on are the next matrix of M rows.
template <Into INTO = SET, class Left>
static void product(Reach reach, int M, int N, int K, Left a, const float* panels, float* c,
                    long ldc, const float* bias = nullptr) {
  for (int j = 0; j < N; j += WIDE) {
    const float *b = panels + (long)j * K, *next = b + (long)K * WIDE;
    for (int i = reach == FROM_PANEL ? j : 0; i < M; i += ROWS, next += K / 8 * WIDE) {
      int m = M - i < ROWS ? M - i : ROWS;
      int from = reach == FROM_ROW ? i : 0;
      int to = reach == UP_TO_ROW ? i + m : K;
      float* to_c = c + (j / ldc * M + i) * ldc + j % ldc;
      some_rows<ROWS, INTO>(m, to - from, a.from(i, from), b + (long)from * WIDE, to_c, ldc,
                            bias ? bias + j : nullptr, {next, to_c + ROWS * ldc});
    }
  }
}

// C[M x N] += A^T B; rows of A[K x M] are lda apart, B is packed, and C lies in tiles as they are
// computed here: whoever sums over many prompts goes through C's memory from end to end. Columns of
// A that many panels are multiplied with are brought together first.
static void add_product(int M, int N, int K, const float* a, long lda, const float* panels,
                        float* tiles, float* columns) {
  bool brings = N > 2 * WIDE;
  for (int i = 0; i < M; i += ROWS) {
    int m = M - i < ROWS ? M - i : ROWS;
    Columns left = brings ? Columns{columns, ROWS} : Columns{a + i, lda};
    for (int k = 0; brings && k < K; k++) {
      const float* row = a + k * lda + i;
      std::memcpy(columns + k * ROWS, row, sizeof(float) * ROWS);
      __builtin_prefetch(row + 2 * ROWS);
    }
    for (int j = 0; j < N; j += WIDE, tiles += m * WIDE) {
      const float* b = panels + (long)j * K;
      some_rows<ROWS, ADD>(m, K, left, b, tiles, WIDE, nullptr,
                           {b + K * WIDE, tiles + 2 * ROWS * WIDE});
    }
  }
}

// C[i row + j col] = the element (i, j) of a sum in tiles.
static void unpack(int M, int N, const float* tiles, float* c, long row, long col) {
  for (int i = 0; i < M; i += ROWS)
    for (int j = 0; j < N; j += WIDE)
      for (int r = i; r < M && r < i + ROWS; r++)
        for (int n = j; n < j + WIDE; n++) c[r * row + n * col] = *tiles++;
}

// Pack B[K x N] with rows ldb apart into panels.
static void pack(int K, int N, const float* b, long ldb, float* panels) {
  for (int j = 0; j < N; j += WIDE)
    for (int k = 0; k < K; k++)
      for (int v = 0; v < WIDE; v += PART)
        part(panels + (long)j * K + k * WIDE + v) = part(b + k * ldb + j + v);
}

// Pack the transpose of B[N x K]; rows from N on are zeros up to a whole panel.
static void pack_transposed(int K, int N, const float* b, long ldb, float* panels) {
  for (int j = 0; j < N; j += WIDE)
    for (int n = 0; n < WIDE; n++)
      for (int k = 0; k < K; k++)
        panels[(long)j * K + k * WIDE + n] = j + n < N ? b[(j + n) * ldb + k] : 0.0f;
}
