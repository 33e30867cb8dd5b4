// What is not a product: sums, GELU, norms and causal softmax, with their gradients.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "products.h"

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline Vec& at(float* p) { return *reinterpret_cast<Vec*>(p); }
static inline Vec at(const float* p) { return *reinterpret_cast<const Vec*>(p); }
static inline Vec all(float x) { return x - Vec{}; }

static inline void add(long n, const float* x, float* sum) {
  for (long i = 0; i < n; i += LANES) at(sum + i) += at(x + i);
}

static inline void add_rows(int L, int N, const float* x, float* sum) {
  for (int i = 0; i < L; i++)
    for (int j = 0; j < N; j += LANES) at(sum + j) += at(x + (long)i * N + j);
}

static inline Vec exponential(Vec x) {  // as in Cephes; 2 units in the last place
  Vec low = all(-87.0f), high = all(88.0f);
  x = x < low ? low : x > high ? high : x;
  Vec magic = all(12582912.0f);  // adding it rounds to a whole number
  Vec n = (x * 1.44269504f + magic) - magic;
  Vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
  Vec y = all(1.9875691500e-4f);
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
  return y * reinterpret_cast<Vec&>(power);
}

constexpr float GELU_A = 1.5957691216f, GELU_B = 0.044715f;  // 2 sqrt(2 / pi)

static inline Vec sigmoid_of_gelu(Vec u) {  // gelu(u) = u s in its tanh form
  return 1.0f / (1.0f + exponential(u * (-GELU_A * GELU_B * u * u - GELU_A)));
}

// out = gelu(u) and u = gelu'(u)
static void gelu(long n, float* u, float* out) {
  for (long i = 0; i < n; i += LANES) {
    Vec x = at(u + i), s = sigmoid_of_gelu(x);
    at(out + i) = x * s;
    at(u + i) = s + x * s * (1.0f - s) * (GELU_A + 3 * GELU_A * GELU_B * x * x);
  }
}

static inline float total(Vec x) {
  float sum = 0;
  for (int v = 0; v < LANES; v++) sum += x[v];
  return sum;
}

static inline Ints lanes_from(int first) {  // a mask
  Ints lane;
  for (int v = 0; v < LANES; v++) lane[v] = v;
  return lane >= first;
}

// Rows are summed LANES at a time: what is one number of each is a vector of all.
struct Sums {
  Vec of[LANES];  // a row's numbers, still lane by lane
};

#if defined(__has_builtin) && __has_builtin(__builtin_shufflevector)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Ints{__VA_ARGS__})
#endif

// Lane i of the first or, where i has the bit, of the second; and the same of lane i ^ BIT.
template <int BIT, int... I>
static inline void halve(Vec a, Vec b, Vec& same, Vec& other, std::integer_sequence<int, I...>) {
  same = SHUFFLE(a, b, (I & BIT ? LANES + I : I)...);
  other = SHUFFLE(a, b, (I & BIT ? LANES + (I ^ BIT) : I ^ BIT)...);
}

template <int BIT = 1, class Join>
static inline Vec across(Sums& rows, Join join) {  // lane i: all of row i joined
  if constexpr (BIT == LANES) {
    return rows.of[0];
  } else {
    EACH for (int i = 0; i < LANES; i += 2 * BIT) {
      Vec same, other;
      halve<BIT>(rows.of[i], rows.of[i + BIT], same, other,
                 std::make_integer_sequence<int, LANES>());
      rows.of[i] = join(same, other);
    }
    return across<2 * BIT>(rows, join);
  }
}

static inline Vec totals(Sums& rows) {
  return across(rows, [](Vec a, Vec b) { return a + b; });
}

// Padded columns of x are 0 and stay so.
static void normalise(int L, int E, int e, const float* x, float* out, float* scale) {
  for (int i = 0; i < L; i += LANES, x += LANES * E, out += LANES * E) {
    int rows = L - i < LANES ? L - i : LANES;
    float mean[LANES], own_scale[LANES];
    Sums sums{}, squares{};
    for (int r = 0; r < rows; r++)
      for (int j = 0; j < E; j += LANES) sums.of[r] += at(x + r * E + j);
    at(mean) = totals(sums) / (float)e;
    for (int r = 0; r < rows; r++)
      for (int j = 0; j < E; j += LANES) {
        Vec off = at(x + r * E + j) - mean[r];
        if (j + LANES > e) off = lanes_from(e - j) ? Vec{} : off;
        squares.of[r] += off * off;
        at(out + r * E + j) = off;
      }
    at(own_scale) = totals(squares) / (float)e + 1e-5f;
    for (int r = 0; r < LANES; r++) own_scale[r] = 1.0f / std::sqrt(own_scale[r]);
    for (int r = 0; r < rows; r++) {
      scale[i + r] = own_scale[r];
      for (int j = 0; j < E; j += LANES) at(out + r * E + j) *= own_scale[r];
    }
  }
}

// dx (+)= the gradient of normalise
static void normalise_backward(int L, int E, int e, const float* dout, const float* out,
                               const float* scale, float* dx, bool add) {
  long block = (long)LANES * E;
  for (int i = 0; i < L; i += LANES, dout += block, out += block, dx += block) {
    int rows = L - i < LANES ? L - i : LANES;
    float mean[LANES], slope[LANES];
    Sums sums{}, along{};
    for (int r = 0; r < rows; r++)
      for (int j = 0; j < E; j += LANES) {
        Vec d = at(dout + r * E + j);
        sums.of[r] += d;
        along.of[r] += d * at(out + r * E + j);
      }
    at(mean) = totals(sums) / (float)e, at(slope) = totals(along) / (float)e;
    for (int r = 0; r < rows; r++)
      for (int j = 0; j < E; j += LANES) {
        long k = r * E + j;
        Vec own = (at(dout + k) - mean[r] - at(out + k) * slope[r]) * scale[i + r];
        if (j + LANES > e) own = lanes_from(e - j) ? Vec{} : own;
        at(dx + k) = add ? at(dx + k) + own : own;
      }
  }
}

// A product of rows of a causal matrix reads so far beyond the diagonal; all of it where r0 > 0.
static inline void clear_beyond(int r0, int end, int ld, float* row) {
  static_assert(ROWS <= LANES);
  std::memset(row + end, 0, sizeof(float) * (r0 || end == ld ? ld - end : LANES));
}

// Calls work(row, first lane of the diagonal's vector, rows) for stretches of rows from r0 on whose
// diagonals lie in the same vector.
template <class Work>
static inline void by_diagonal(int r0, int L, Work work) {
  for (int i = r0, own; i < L; i = own + LANES) {
    own = i / LANES * LANES;
    work(i, own, (L < own + LANES ? L : own + LANES) - i);
  }
}

// Each row from r0 on up to its diagonal: s <- softmax(s scale); 0 beyond.
static void causal_softmax(int r0, int L, int ld, float scale, float* s) {
  by_diagonal(r0, L, [&](int i, int own, int rows) {
    float top[LANES], share[LANES], *block = s + (long)(i - r0) * ld;
    Sums most{}, sums{};
    for (int r = 0; r < rows; r++) {
      float* row = block + r * ld;
      Vec last = at(row + own) = lanes_from(i + r + 1 - own) ? all(-INFINITY) : at(row + own);
      for (int j = 0; j < own; j += LANES) last = at(row + j) > last ? at(row + j) : last;
      most.of[r] = last;
    }
    at(top) = across(most, [](Vec a, Vec b) { return a > b ? a : b; });
    for (int r = 0; r < rows; r++) {
      float* row = block + r * ld;
      Vec last = exponential((at(row + own) - top[r]) * scale);
      Vec sum = at(row + own) = lanes_from(i + r + 1 - own) ? Vec{} : last;
      for (int j = 0; j < own; j += LANES)
        sum += at(row + j) = exponential((at(row + j) - top[r]) * scale);
      sums.of[r] = sum;
    }
    at(share) = 1.0f / totals(sums);
    for (int r = 0; r < rows; r++) {
      float* row = block + r * ld;
      for (int j = 0; j <= own; j += LANES) at(row + j) *= share[r];
      clear_beyond(r0, own + LANES, ld, row);
    }
  });
}

// ds <- the gradient of scores; ds holds that of the softmax's output p
static void causal_softmax_backward(int r0, int L, int ld, float scale, const float* p, float* ds) {
  by_diagonal(r0, L, [&](int i, int own, int rows) {
    long from = (long)(i - r0) * ld;
    float mean[LANES];
    Sums along{};
    for (int r = 0; r < rows; r++)
      for (long k = from + r * ld, end = k + own; k <= end; k += LANES)
        along.of[r] += at(p + k) * at(ds + k);
    at(mean) = totals(along);
    for (int r = 0; r < rows; r++) {
      float* row = ds + from + r * ld;
      for (int j = 0; j <= own; j += LANES)
        at(row + j) = at(p + from + r * ld + j) * (at(row + j) - mean[r]) * scale;
      clear_beyond(r0, own + LANES, ld, row);
    }
  });
}
