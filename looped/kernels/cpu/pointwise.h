// What is not a product: sums, GELU, norms and causal softmax, with their gradients.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "products.h"

typedef int32_t Ints __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

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

// Padded columns of x are 0 and stay so.
static void normalise(int L, int E, int e, const float* x, float* out, float* scale) {
  for (int i = 0; i < L; i++, x += E, out += E) {
    Vec sum{}, squares{};
    for (int j = 0; j < E; j += LANES) sum += at(x + j);
    float mean = total(sum) / e;
    for (int j = 0; j < E; j += LANES) at(out + j) = at(x + j) - mean;
    for (int j = e; j < E; j++) out[j] = 0;
    for (int j = 0; j < E; j += LANES) squares += at(out + j) * at(out + j);
    scale[i] = 1.0f / std::sqrt(total(squares) / e + 1e-5f);
    for (int j = 0; j < E; j += LANES) at(out + j) *= scale[i];
  }
}

// dx (+)= the gradient of normalise
static void normalise_backward(int L, int E, int e, const float* dout, const float* out,
                               const float* scale, float* dx, bool add) {
  for (int i = 0; i < L; i++, dout += E, out += E, dx += E) {
    Vec sum{}, along{};
    for (int j = 0; j < E; j += LANES) {
      sum += at(dout + j);
      along += at(dout + j) * at(out + j);
    }
    float mean = total(sum) / e, slope = total(along) / e;
    for (int j = 0; j < E; j += LANES) {
      Vec own = (at(dout + j) - mean - at(out + j) * slope) * scale[i];
      at(dx + j) = add ? at(dx + j) + own : own;
    }
    for (int j = e; j < E; j++) dx[j] = 0;
  }
}

static inline Ints lanes_from(int first) {  // a mask
  Ints lane;
  for (int v = 0; v < LANES; v++) lane[v] = v;
  return lane >= first;
}

// A product of rows of a causal matrix reads so far beyond the diagonal; all of it where r0 > 0.
static inline void clear_beyond(int r0, int end, int ld, float* row) {
  static_assert(ROWS <= LANES);
  std::memset(row + end, 0, sizeof(float) * (r0 || end == ld ? ld - end : LANES));
}

// Each row from r0 on up to its diagonal: s <- softmax(s scale); 0 beyond.
static void causal_softmax(int r0, int L, int ld, float scale, float* s) {
  for (int i = r0; i < L; i++, s += ld) {
    int own = i / LANES * LANES, end = own + LANES;
    Ints beyond = lanes_from(i + 1 - own);
    Vec most = at(s + own) = beyond ? all(-INFINITY) : at(s + own);
    for (int j = 0; j < own; j += LANES) most = at(s + j) > most ? at(s + j) : most;
    float top = most[0];
    for (int v = 1; v < LANES; v++) top = most[v] > top ? most[v] : top;
    Vec last = exponential((at(s + own) - top) * scale);
    Vec sum = at(s + own) = beyond ? Vec{} : last;
    for (int j = 0; j < own; j += LANES)
      sum += at(s + j) = exponential((at(s + j) - top) * scale);
    Vec share = all(1.0f / total(sum));
    for (int j = 0; j < end; j += LANES) at(s + j) *= share;
    clear_beyond(r0, end, ld, s);
  }
}

// ds <- the gradient of scores; ds holds that of the softmax's output p
static void causal_softmax_backward(int r0, int L, int ld, float scale, const float* p, float* ds) {
  for (int i = r0; i < L; i++, p += ld, ds += ld) {
    int end = (i / LANES + 1) * LANES;
    Vec along{};
    for (int j = 0; j < end; j += LANES) along += at(p + j) * at(ds + j);
    float mean = total(along);
    for (int j = 0; j < end; j += LANES) at(ds + j) = at(p + j) * (at(ds + j) - mean) * scale;
    clear_beyond(r0, end, ld, ds);
  }
}
