// A model's weights as the kernels want them, and their sums of gradients as the model has them.
//
// LayerNorm's output is x g + b, so W (x g + b) + a is (W g) x + (W b + a): gain and bias of a norm go
// into the product behind it. The plain twin is looped/kernels/folding.py.
#pragma once

#include <cstdint>
#include <cstring>

#include "pointwise.h"
#include "products.h"

extern "C" struct Shape {
  int64_t n_layer, n_head, L, E, F, features;  // tokens; widths of the state, the MLP and a token
  int64_t n_loops, tracked;           // of the prompt with the most: in all, and with a gradient
  int64_t loss_window, grad_window;   // last loops that the loss sees; loops between two cuts
  int64_t query_from, query_by;       // tokens that are read out
  int64_t segment;                    // loops whose activations are kept at once
  int64_t batch;                      // prompts that the loss is the mean over
  float score_scale;
};

namespace {

inline long panels_of(const Shape& s) { return (s.L + WIDE - 1) / WIDE; }

struct Taker {  // hands out parts of one stretch of memory, or only counts if there is none
  float* memory;
  long used = 0;
  float* take(long n) {
    float* mine = memory ? memory + used : nullptr;
    used += (n + 15) / 16 * 16;
    return mine;
  }
};

enum { QKV, OUT, MLP_IN, MLP_OUT, OF_BLOCK };  // the products of a block

struct Linear {  // one of them, and the norm before it, if there is one
  int norm, at;  // places among a block's weights in the model's list; norm < 0: there is none
  long out, in;
  Linear(const Shape& s, int product)
      : norm(product == QKV ? 0 : product == MLP_IN ? 6 : -1),
        at(2 + 2 * product + 2 * (product / 2)),
        out(product == QKV ? 3 * s.E : product == MLP_IN ? s.F : s.E),
        in(product == MLP_OUT ? s.F : s.E) {}
};

constexpr int BLOCK_LIST = 12;  // weights of a block in the model's list: norm, qkv, out, norm, MLP

// Weights by layer: matrices (out, in), or transposed ones, and biases; then those behind the blocks,
// and those before them.
struct Weights {
  float *weights[OF_BLOCK], *biases[OF_BLOCK], *gain, *bias, *v, *c, *read_in, *positions;
  long size, of_layer[OF_BLOCK], of_bias[OF_BLOCK];

  Weights(const Shape& s, const float* memory) {
    Taker taker{const_cast<float*>(memory)};
    for (int i = 0; i < OF_BLOCK; i++) {
      Linear p(s, i);
      weights[i] = taker.take(s.n_layer * (of_layer[i] = p.out * p.in));
      biases[i] = taker.take(s.n_layer * (of_bias[i] = p.out));
    }
    gain = taker.take(s.E), bias = taker.take(s.E), v = taker.take(s.E), c = taker.take(1);
    read_in = taker.take(s.E * s.features);
    positions = taker.take(panels_of(s) * s.E * WIDE);
    size = taker.used;
  }
  float* matrix(int product, int layer) const {
    return weights[product] + layer * of_layer[product];
  }
  float* offset(int product, int layer) const { return biases[product] + layer * of_bias[product]; }
};

// Their gradients, summed over prompts: matrices in tiles, that of the MLP's second transposed; of
// all others 16 sums, one for each column of a panel.
struct Sums {
  float *tiles[OF_BLOCK], *biases[OF_BLOCK], *gain, *bias, *v, *c, *read_in, *positions;
  long size, of_layer[OF_BLOCK], of_bias[OF_BLOCK];

  Sums(const Shape& s, const float* memory) {
    Taker taker{const_cast<float*>(memory)};
    for (int i = 0; i < OF_BLOCK; i++) {
      Linear p(s, i);
      long columns = (s.E + WIDE - 1) / WIDE * WIDE, rows = i == MLP_OUT ? p.in : p.out;
      tiles[i] = taker.take(s.n_layer * (of_layer[i] = rows * columns));
      biases[i] = taker.take(s.n_layer * (of_bias[i] = p.out * WIDE));
    }
    auto take = [&](long n) { return taker.take(n * WIDE); };
    gain = take(s.E), bias = take(s.E), v = take(s.E), c = take(1);
    read_in = take(s.E * s.features), positions = take(panels_of(s) * s.E);
    size = taker.used;
  }
  float* matrix(int product, int layer) const { return tiles[product] + layer * of_layer[product]; }
  float* offset(int product, int layer) const { return biases[product] + layer * of_bias[product]; }
};

// Fold the model's weights, given as a list: of each block the attention's norm, qkv, output
// projection, the MLP's norm, and its two products, each weight and bias; the final norm; read-out;
// read-in; positions.
void fold(const Shape& s, const float* const* model, const Weights& w) {
  for (int layer = 0; layer < s.n_layer; layer++, model += BLOCK_LIST)
    for (int i = 0; i < OF_BLOCK; i++) {
      Linear p(s, i);
      float *matrix = w.matrix(i, layer), *offset = w.offset(i, layer);
      const float *from = model[p.at], *gain = p.norm < 0 ? nullptr : model[p.norm];
      std::memcpy(offset, model[p.at + 1], sizeof(float) * p.out);
      if (!gain) std::memcpy(matrix, from, sizeof(float) * p.out * p.in);
      for (long o = 0; gain && o < p.out; o++)
        for (long k = o * p.in, n = 0; n < p.in; k++, n++) {
          matrix[k] = from[k] * gain[n];
          offset[o] += from[k] * model[p.norm + 1][n];
        }
    }
  w.c[0] = model[3][0];
  for (long i = 0; i < s.E; i++) {
    w.gain[i] = model[0][i], w.bias[i] = model[1][i];
    w.v[i] = model[0][i] * model[2][i];
    w.c[0] += model[1][i] * model[2][i];
  }
  std::memcpy(w.read_in, model[4], sizeof(float) * s.E * s.features);
  std::memset(w.positions, 0, sizeof(float) * panels_of(s) * s.E * WIDE);
  for (long t = 0; t < s.L; t++)
    for (long i = 0; i < s.E; i++)
      w.positions[(t / WIDE * s.E + i) * WIDE + t % WIDE] = model[6][t * s.E + i] + model[5][i];
}

// Bring sums of gradients of folded weights to the model's, a list of the same order. `room` holds a
// matrix.
void unfold(const Shape& s, const float* const* model, const Sums& sums, float* const* g,
            float* room) {
  for (int layer = 0; layer < s.n_layer; layer++, model += BLOCK_LIST, g += BLOCK_LIST)
    for (int i = 0; i < OF_BLOCK; i++) {
      Linear p(s, i);
      float *to = g[p.at], *db = g[p.at + 1], *dw = p.norm < 0 ? to : room;
      if (i == MLP_OUT)
        unpack(p.in, p.out, sums.matrix(i, layer), dw, 1, p.in);
      else
        unpack(p.out, p.in, sums.matrix(i, layer), dw, p.in, 1);
      for (long o = 0; o < p.out; o++) db[o] = total(sums.offset(i, layer) + o * WIDE);
      if (p.norm < 0) continue;
      const float *from = model[p.at], *gain = model[p.norm], *offset = model[p.norm + 1];
      float *dgain = g[p.norm], *doffset = g[p.norm + 1];
      for (long n = 0; n < p.in; n++) dgain[n] = doffset[n] = 0;
      for (long o = 0; o < p.out; o++)
        for (long k = o * p.in, n = 0; n < p.in; k++, n++) {
          to[k] = dw[k] * gain[n] + db[o] * offset[n];
          dgain[n] += dw[k] * from[k];
          doffset[n] += db[o] * from[k];
        }
    }
  float dc = g[3][0] = total(sums.c);
  for (long i = 0; i < s.E; i++) {
    float dv = total(sums.v + i * WIDE);
    g[0][i] = total(sums.gain + i * WIDE) + dv * model[2][i];
    g[1][i] = total(sums.bias + i * WIDE) + dc * model[2][i];
    g[2][i] = dv * model[0][i] + dc * model[1][i];
    g[5][i] = 0;
  }
  for (long k = 0; k < s.E * s.features; k++) g[4][k] = total(sums.read_in + k * WIDE);
  for (long t = 0; t < s.L; t++)
    for (long i = 0; i < s.E; i++) {
      float d = sums.positions[(t / WIDE * s.E + i) * WIDE + t % WIDE];
      g[6][t * s.E + i] = d, g[5][i] += d;
    }
}

// Folded weights as left operands of the forward pass, and transposed as those of the backward pass.
void pack_folded(const Shape& s, const Weights& w, const Weights& forward, const Weights& back,
                 float* room) {
  for (int layer = 0; layer < s.n_layer; layer++)
    for (int i = 0; i < OF_BLOCK; i++) {
      Linear p(s, i);
      const float* matrix = w.matrix(i, layer);
      pack_rows(p.out, p.in, matrix, forward.matrix(i, layer));
      for (long o = 0; o < p.out; o++)
        for (long n = 0; n < p.in; n++) room[n * p.out + o] = matrix[o * p.in + n];
      pack_rows(p.in, p.out, room, back.matrix(i, layer));
    }
}

}  // namespace
