// Products of small matrices, as fast as the processor multiplies.
#pragma once

#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 12;
#elif defined(__AVX__)
constexpr int LANES = 8, ROWS = 6;
#else
constexpr int LANES = 4, ROWS = 4;
#endif
constexpr int WIDE = 16;  // columns of a panel
constexpr int PARTS = WIDE / LANES;

typedef float Vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline Vec& at(float* p) { return *reinterpret_cast<Vec*>(p); }
static inline Vec at(const float* p) { return *reinterpret_cast<const Vec*>(p); }
static inline Vec all(float x) { return x - Vec{}; }

enum Reach { WHOLE, FROM_PANEL, UP_TO_ROW, FROM_ROW };  // parts of a causal product

struct Left {  // a matrix as it lies, or its transpose: element (i, k) is at[i row + k col]
  const float* at;
  long row, col;
};

#define EACH _Pragma("GCC unroll 16")  // else the sums would live in memory

// C[M x 16] = start + A[M x K] B[K x 16], M rows at once in registers. B is a packed panel.
template <int M>
static inline void tile(int K, Left a, const float* b, float* c, long ldc, const float* start,
                        long lds) {
  Vec sum[M][PARTS];
  EACH for (int i = 0; i < M; i++) EACH for (int v = 0; v < PARTS; v++) sum[i][v] =
      at(start + i * lds + v * LANES);
  for (int k = 0; k < K; k++, a.at += a.col, b += WIDE) {
    Vec own[PARTS];
    EACH for (int v = 0; v < PARTS; v++) own[v] = at(b + v * LANES);
    EACH for (int i = 0; i < M; i++) {
      Vec left = all(a.at[i * a.row]);
      EACH for (int v = 0; v < PARTS; v++) sum[i][v] += left * own[v];
    }
  }
  EACH for (int i = 0; i < M; i++) EACH for (int v = 0; v < PARTS; v++)
      at(c + i * ldc + v * LANES) = sum[i][v];
}

template <int M>
static void some_rows(int m, int K, Left a, const float* b, float* c, long ldc, const float* start,
                      long lds) {
  if (m == M) return tile<M>(K, a, b, c, ldc, start, lds);
  if constexpr (M > 1) some_rows<M - 1>(m, K, a, b, c, ldc, start, lds);
}

static const float ZEROS[WIDE] = {};

// C[M x N] (+)= A[M x K] B + bias; B is packed in N / 16 panels, rows of C are ldc apart.
static void product(Reach reach, int M, int N, int K, Left a, const float* panels, float* c,
                    long ldc, const float* bias = nullptr, bool add = false) {
  for (int j = 0; j < N; j += WIDE) {
    const float* b = panels + (long)j * K;
    for (int i = reach == FROM_PANEL ? j : 0; i < M; i += ROWS) {
      int m = M - i < ROWS ? M - i : ROWS;
      int from = reach == FROM_ROW ? i : 0;
      int to = reach == UP_TO_ROW ? i + m : K;
      Left own = {a.at + i * a.row + from * a.col, a.row, a.col};
      float* to_c = c + i * ldc + j;
      some_rows<ROWS>(m, to - from, own, b + (long)from * WIDE, to_c, ldc,
                      add    ? to_c
                      : bias ? bias + j
                             : ZEROS,
                      add ? ldc : 0);
    }
  }
}

// Pack B[K x N] with rows ldb apart into panels.
static void pack(int K, int N, const float* b, long ldb, float* panels) {
  for (int j = 0; j < N; j += WIDE)
    for (int k = 0; k < K; k++)
      for (int v = 0; v < WIDE; v += LANES)
        at(panels + (long)j * K + k * WIDE + v) = at(b + k * ldb + j + v);
}

// Pack the transpose of B[N x K]; rows from N on are zeros up to a whole panel.
static void pack_transposed(int K, int N, const float* b, long ldb, float* panels) {
  for (int j = 0; j < N; j += WIDE)
    for (int n = 0; n < WIDE; n++)
      for (int k = 0; k < K; k++)
        panels[(long)j * K + k * WIDE + n] = j + n < N ? b[(j + n) * ldb + k] : 0.0f;
}
