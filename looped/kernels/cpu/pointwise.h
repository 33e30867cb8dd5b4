// What is not a product: sums, GELU, norms and causal softmax, with their gradients.
//
// A panel holds 16 tokens, and of each feature their 16 numbers side by side: what is summed over the
// features of a token lies under one another.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "terms.h"

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

static inline float total(const float* lanes) {
  float sum = 0;
  for (int v = 0; v < WIDE; v++) sum += lanes[v];
  return sum;
}

static inline Ints lanes_from(int first) {  // a mask
  Ints lane;
  for (int v = 0; v < LANES; v++) lane[v] = v;
  return lane >= first;
}

constexpr int PIECES = WIDE / LANES;  // vectors of a row
#define EACH_PIECE EACH for (int v = 0; v < PIECES; v++)

struct Row {
  Vec of[PIECES];
};
static inline Row row(const float* x) {
  Row numbers;
  EACH_PIECE numbers.of[v] = at(x + v * LANES);
  return numbers;
}

// sum += M rows of n panels, column by column: what is a number for each row is summed in the end
static void add_columns(int M, int n, const float* x, float* sum) {
  for (int i = 0; i < M; i++, x += WIDE, sum += WIDE)
    for (int j = 0; j < n; j++)
      EACH_PIECE at(sum + v * LANES) += at(x + (long)j * M * WIDE + v * LANES);
}

// A panel of E rows; its scales are what the columns were divided by.
static void normalise(int E, const float* x, float* out, float* scale) {
  Row mean{}, square{};
  for (int i = 0; i < E; i++) EACH_PIECE mean.of[v] += at(x + i * WIDE + v * LANES);
  EACH_PIECE mean.of[v] /= (float)E;
  for (int i = 0; i < E; i++) EACH_PIECE {
    Vec off = at(x + i * WIDE + v * LANES) - mean.of[v];
    square.of[v] += off * off;
    at(out + i * WIDE + v * LANES) = off;
  }
  EACH_PIECE at(scale + v * LANES) = square.of[v] / (float)E + 1e-5f;
  for (int r = 0; r < WIDE; r++) scale[r] = 1.0f / std::sqrt(scale[r]);
  Row each = row(scale);
  for (int i = 0; i < E; i++) EACH_PIECE at(out + i * WIDE + v * LANES) *= each.of[v];
}

// dx (+)= the gradient of normalise
template <bool ADDS>
static void normalise_backward(int E, const float* dout, const float* out, const float* scale,
                               float* dx) {
  Row mean{}, slope{}, each = row(scale);
  for (int i = 0; i < E; i++) EACH_PIECE {
    Vec d = at(dout + i * WIDE + v * LANES);
    mean.of[v] += d;
    slope.of[v] += d * at(out + i * WIDE + v * LANES);
  }
  EACH_PIECE mean.of[v] /= (float)E, slope.of[v] /= (float)E;
  for (int i = 0; i < E; i++) EACH_PIECE {
    long k = i * WIDE + v * LANES;
    Vec own = (at(dout + k) - mean.of[v] - at(out + k) * slope.of[v]) * each.of[v];
    at(dx + k) = ADDS ? at(dx + k) + own : own;
  }
}

// Scores of panel j's 16 queries, a row for each key up to the panel's last: s <- softmax(s scale),
// 0 where a key comes after its query.
static void causal_softmax(int j, float scale, float* s) {
  float* diagonal = s + (long)j * WIDE * WIDE;
  Row top, sum{};
  EACH_PIECE top.of[v] = all(-INFINITY);
  for (int r = 0; r < WIDE; r++) EACH_PIECE {
    Vec& x = at(diagonal + r * WIDE + v * LANES);
    x = lanes_from(r - v * LANES) ? x : all(-INFINITY);
  }
  for (float* x = s; x < diagonal + WIDE * WIDE; x += WIDE) EACH_PIECE {
    Vec own = at(x + v * LANES);
    top.of[v] = own > top.of[v] ? own : top.of[v];
  }
  for (float* x = s; x < diagonal + WIDE * WIDE; x += WIDE) EACH_PIECE {
    Vec own = exponential((at(x + v * LANES) - top.of[v]) * scale);
    if (x >= diagonal) own = lanes_from((x - diagonal) / WIDE - v * LANES) ? own : Vec{};
    at(x + v * LANES) = own;
    sum.of[v] += own;
  }
  EACH_PIECE sum.of[v] = 1.0f / sum.of[v];
  for (float* x = s; x < diagonal + WIDE * WIDE; x += WIDE)
    EACH_PIECE at(x + v * LANES) *= sum.of[v];
}

// ds <- the gradient of scores; ds holds that of the softmax's output p
static void causal_softmax_backward(int j, float scale, const float* p, float* ds) {
  long n = (j + 1L) * WIDE * WIDE;
  Row mean{};
  for (long k = 0; k < n; k += WIDE)
    EACH_PIECE mean.of[v] += at(p + k + v * LANES) * at(ds + k + v * LANES);
  for (long k = 0; k < n; k += WIDE) EACH_PIECE {
    Vec& own = at(ds + k + v * LANES);
    own = at(p + k + v * LANES) * (own - mean.of[v]) * scale;
  }
}
