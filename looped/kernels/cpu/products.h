// Products of small matrices, as fast as the processor multiplies.
#pragma once

#include <cstdint>
#include <cstring>

// Whether the processor multiplies pairs of bf16; the twin does the same in plain operations.
#if defined(BF16) && defined(__AVX512BF16__) && defined(__AVX512VL__) && !defined(SCALAR_TWIN)
#define NATIVE_BF16
#include <immintrin.h>
#elif defined(BF16) && !defined(SCALAR_TWIN)
#error the compiler does not know AVX512-BF16
#endif

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

// A sum is over terms of four bytes, which lie where floats do. A term is one number; with BF16 it
// is two, rounded to the upper half of their bits, whose products are added one after the other.
#if defined(BF16)
constexpr int OF_TERM = 2;
#else
constexpr int OF_TERM = 1;
#endif
static inline constexpr int terms(int k) { return (k + OF_TERM - 1) / OF_TERM; }

typedef uint32_t Bits __attribute__((vector_size(4 * PART), aligned(4), may_alias));
typedef uint64_t Longs __attribute__((vector_size(4 * PART), aligned(4), may_alias));
typedef uint32_t HalfBits __attribute__((vector_size(2 * PART), aligned(4), may_alias));

static inline Bits rounded(Part x) {  // to the nearest, ties to even, in the upper halves
  Bits bits = reinterpret_cast<Bits&>(x), nan = Bits{} + 0x7fc00000u;
  return x == x ? bits + 0x7fffu + ((bits >> 16) & 1u) : nan;
}

// Terms of the numbers that lie under one another; of those that lie side by side.
static inline Part term(Part first, Part second) {
  Bits both = (rounded(first) >> 16) | (rounded(second) & 0xffff0000u);
  return reinterpret_cast<Part&>(both);
}
static inline void terms_of_row(Part numbers, float* out) {
#if defined(NATIVE_BF16)
  __m128bh halves = _mm256_cvtneps_pbh((__m256)numbers);
  std::memcpy(out, &halves, sizeof halves);
#else
  Bits bits = rounded(numbers);
  Longs both = reinterpret_cast<Longs&>(bits);
  both = ((both >> 16) & 0xffffu) | ((both >> 32) & 0xffff0000u);
  *reinterpret_cast<HalfBits*>(out) = __builtin_convertvector(both, HalfBits);
#endif
}

static inline Register plus_product(Register sum, Register left, Register own) {
#if !defined(BF16)
  return sum + left * own;
#elif defined(NATIVE_BF16)
  return (Register)_mm256_dpbf16_ps((__m256)sum, (__m256bh)left, (__m256bh)own);
#else  // the same in plain operations
  for (int v = 0; v < PART; v++) {
    uint32_t bits[2] = {reinterpret_cast<Bits&>(left)[v], reinterpret_cast<Bits&>(own)[v]};
    uint32_t halves[4] = {bits[0] << 16, bits[1] << 16, bits[0] & 0xffff0000u,
                          bits[1] & 0xffff0000u};
    float numbers[4];
    std::memcpy(numbers, halves, sizeof numbers);
    sum[v] += numbers[0] * numbers[1];
    sum[v] += numbers[2] * numbers[3];
  }
  return sum;
#endif
}

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

// One tile, C[M x 16], M rows at once in registers; A[M x K], and B[K x 16] is a packed panel. Here
// and below K counts terms.
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
      EACH for (int v = 0; v < PARTS; v++) sum[i][v] = plus_product(sum[i][v], left, own[v]);
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

// A left operand in terms: where it lies, or rounded into `room`, up to 16 numbers at a time.
static inline Rows in_terms(int M, int K, Rows a, float* room) {
  if (OF_TERM == 1) return a;
  long ld = (K + 15) / 16 * 8;
  for (int i = 0; i < M; i++)
    for (int k = 0; k < K; k += PART)
      terms_of_row(part(a.corner + i * a.ld + k), room + i * ld + k / 2);
  return {room, ld};
}
static inline Columns in_terms(int M, int K, Columns a, float* room) {
  if (OF_TERM == 1) return a;
  long ld = (M + 15) / 16 * 16;
  for (int k = 0; k < K; k += 2)
    for (int i = 0; i < M; i += PART) {
      const float* first = a.corner + k * a.ld + i;
      part(room + k / 2 * ld + i) = term(part(first), k + 1 < K ? part(first + a.ld) : Part{});
    }
  return {room, ld};
}

// C[M x N] from A[M x K] B + bias; B is packed in N / 16 panels. Rows of C are ldc apart; columns
// from ldc on are the next matrix of M rows.
template <Into INTO = SET, class Left>
static void product(Reach reach, int M, int N, int numbers, Left in_numbers, const float* panels,
                    float* c, long ldc, float* room, const float* bias = nullptr) {
  int K = terms(numbers);
  Left a = in_terms(M, numbers, in_numbers, room);
  for (int j = 0; j < N; j += WIDE) {
    const float *b = panels + (long)j * K, *next = b + (long)K * WIDE;
    for (int i = reach == FROM_PANEL ? j : 0; i < M; i += ROWS, next += K / 8 * WIDE) {
      int m = M - i < ROWS ? M - i : ROWS;
      int from = reach == FROM_ROW ? i / OF_TERM : 0;
      int to = reach == UP_TO_ROW ? terms(i + m) : K;
      float* to_c = c + (j / ldc * M + i) * ldc + j % ldc;
      some_rows<ROWS, INTO>(m, to - from, a.from(i, from), b + (long)from * WIDE, to_c, ldc,
                            bias ? bias + j : nullptr, {next, to_c + ROWS * ldc});
    }
  }
}

// C[M x N] += A^T B; rows of A[K x M] are lda apart, B is packed, and C lies in tiles as they are
// computed here: whoever sums over many prompts goes through C's memory from end to end. Columns of
// A that many panels are multiplied with are brought together first.
static void add_product(int M, int N, int numbers, const float* a, long lda, const float* panels,
                        float* tiles, float* columns) {
  static_assert(ROWS <= 2 * PART);
  int K = terms(numbers);
  bool brings = OF_TERM > 1 || N > 2 * WIDE;
  for (int i = 0; i < M; i += ROWS) {
    int m = M - i < ROWS ? M - i : ROWS;
    Columns left = brings ? Columns{columns, ROWS} : Columns{a + i, lda};
    for (int k = 0; brings && k < K; k++) {
      const float* row = a + k * OF_TERM * lda + i;
      float* to = columns + k * ROWS;
      __builtin_prefetch(row + 2 * ROWS);
      if (OF_TERM == 1) {
        std::memcpy(to, row, sizeof(float) * ROWS);
        continue;
      }
      bool is_whole = k * 2 + 1 < numbers;
      for (int v = 0; v < ROWS; v += PART)
        part(to + v) = term(part(row + v), is_whole ? part(row + lda + v) : Part{});
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

// Pack B[numbers x N] with rows ldb apart into panels of terms.
static void pack(int numbers, int N, const float* b, long ldb, float* panels) {
  for (int j = 0; j < N; j += WIDE)
    for (int k = 0; k < numbers; k += OF_TERM)
      for (int v = 0; v < WIDE; v += PART, panels += PART) {
        const float* from = b + k * ldb + j + v;
        if (OF_TERM == 1)
          part(panels) = part(from);
        else
          part(panels) = term(part(from), k + 1 < numbers ? part(from + ldb) : Part{});
      }
}

// Pack the transpose of B[N x numbers]; rows from N on are zeros up to a whole panel. Behind the
// numbers of a row lie zeros, up to a multiple of 16.
static void pack_transposed(int numbers, int N, const float* b, long ldb, float* panels) {
  int K = terms(numbers);
  float pairs[16];
  for (int j = 0; j < N; j += WIDE)
    for (int n = 0; n < WIDE; n++) {
      const float* from = b + (j + n) * ldb;
      float* to = panels + (long)j * K + n;
      if (j + n >= N || OF_TERM == 1) {
        for (int k = 0; k < K; k++) to[k * WIDE] = j + n < N ? from[k] : 0.0f;
        continue;
      }
      for (int k = 0; k < K; k += 8) {
        for (int v = 0; v < 16; v += PART) terms_of_row(part(from + 2 * k + v), pairs + v / 2);
        for (int v = 0; v < 8 && k + v < K; v++) to[(k + v) * WIDE] = pairs[v];
      }
    }
}
