// A model's weights as the kernels want them, and their sums of gradients as the model has them.
//
// LayerNorm's output is x g + b, so W (x g + b) + a is (W g) x + (W b + a): gain and bias of a norm go
// into the product behind it. The plain twin is looped/kernels/folding.py.
#pragma once

#include <cstdint>
#include <cstring>

#include "products.h"

extern "C" struct Shape {
  int64_t n_layer, n_head, L, e, E, d, D, f, F;
  int64_t n_loops, tracked;           // of the prompt with the most: in all, and with a gradient
  int64_t loss_window, grad_window;   // last loops that the loss sees; loops between two cuts
  int64_t query_from, query_by;       // tokens that are read out
  int64_t segment;                    // loops whose activations are kept at once
  int64_t batch;                      // prompts that the loss is the mean over
  float score_scale;
};

namespace {

struct Taker {  // hands out parts of one stretch of memory, or only counts if there is none
  float* memory;
  long used = 0;
  float* take(long n) {
    float* mine = memory ? memory + used : nullptr;
    used += (n + 15) / 16 * 16;
    return mine;
  }
};

struct Weights {  // padded with zeros: (layer, out, in), (layer, out), and those behind the blocks
  float *wqkv, *wo, *w1, *w2, *bqkv, *bo, *b1, *b2, *gain, *bias, *v, *c;
  long size;

  Weights(const Shape& s, const float* memory) {
    Taker taker{const_cast<float*>(memory)};
    long n = s.n_layer, E = s.E, A = s.n_head * s.D, F = s.F;
    auto take = [&](long count) { return taker.take(count); };
    wqkv = take(n * 3 * A * E), wo = take(n * E * A), w1 = take(n * F * E), w2 = take(n * E * F);
    bqkv = take(n * 3 * A), bo = take(n * E), b1 = take(n * F), b2 = take(n * E);
    gain = take(E), bias = take(E), v = take(E), c = take(1);
    size = taker.used;
  }
};

// One of a block's products and the norm before it, if there is one: where its weights lie in the
// model, and where their first numbers are to be. Rows and columns come in groups, as heads do, that
// are padded each.
struct Linear {
  int norm, at;  // places in the model's list of weights; norm < 0: there is none
  long out, in, out_group, in_group;  // true sizes
  long padded_out, padded_in, out_padded_group, in_padded_group;
  float *weight, *bias;
  bool transposed = false;  // its gradients are summed so

  long row(long o) const { return o / out_group * out_padded_group + o % out_group; }

  // Calls work(o, i, n, to) for each run of n weights that lie together, from (o, i) on.
  template <class Work>
  void runs(Work work) const {
    for (long o = 0; o < out; o++)
      for (long i = 0, to = 0; i < in; i += in_group, to += in_padded_group)
        work(o, i, in_group, row(o) * padded_in + to);
  }
};

constexpr int OF_BLOCK = 12;  // weights of a block in the model's list

// The products of a block, with places in a set of weights.
struct Linears {
  Linear all[4];
  Linears(const Shape& s, const Weights& w, long layer) {
    long e = s.e, E = s.E, heads = s.n_head, A = heads * s.D, f = s.f, F = s.F;
    int at = layer * OF_BLOCK;
    Linear qkv{at, at + 2, 3 * e, e, s.d, e, 3 * A, E, s.D, E, w.wqkv + layer * 3 * A * E,
               w.bqkv + layer * 3 * A};
    Linear out{-1, at + 4, e, e, e, s.d, E, A, E, s.D, w.wo + layer * E * A, w.bo + layer * E};
    Linear mlp_in{at + 6, at + 8, f, e, f, e, F, E, F, E, w.w1 + layer * F * E, w.b1 + layer * F};
    Linear mlp_out{-1, at + 10, e, f, e, f, E, F, E, F, w.w2 + layer * E * F, w.b2 + layer * E,
                   true};
    all[0] = qkv, all[1] = out, all[2] = mlp_in, all[3] = mlp_out;
  }
};

// Fold the model's weights, given as a list: of each block the attention's norm, qkv, output
// projection, the MLP's norm, and its two products, each weight and bias; the final norm; read-out.
void fold(const Shape& s, const float* const* model, const Weights& w) {
  std::memset(w.wqkv, 0, sizeof(float) * w.size);
  for (long layer = 0; layer < s.n_layer; layer++)
    for (const Linear& p : Linears(s, w, layer).all) {
      const float *from = model[p.at], *gain = p.norm < 0 ? nullptr : model[p.norm];
      for (long o = 0; o < p.out; o++) p.bias[p.row(o)] = model[p.at + 1][o];
      p.runs([&](long o, long i, long n, long to) {
        const float* row = from + o * p.in + i;
        if (!gain) return (void)std::memcpy(p.weight + to, row, sizeof(float) * n);
        float offset = 0;
        for (long k = 0; k < n; k++) {
          p.weight[to + k] = row[k] * gain[k];
          offset += row[k] * model[p.norm + 1][k];
        }
        p.bias[p.row(o)] += offset;
      });
    }
  const float* const* last = model + s.n_layer * OF_BLOCK;
  w.c[0] = last[3][0];
  for (long i = 0; i < s.e; i++) {
    w.gain[i] = last[0][i], w.bias[i] = last[1][i];
    w.v[i] = last[0][i] * last[2][i];
    w.c[0] += last[1][i] * last[2][i];
  }
}

// Bring sums of gradients of folded weights to the model's, a list of the same order. Products
// have added to theirs in tiles; `rows` has room for a matrix.
void unfold(const Shape& s, const float* const* model, const Weights& sums, float* const* g,
            float* rows) {
  for (long layer = 0; layer < s.n_layer; layer++)
    for (const Linear& p : Linears(s, sums, layer).all) {
      long M = p.transposed ? p.padded_in : p.padded_out;
      long N = p.transposed ? p.padded_out : p.padded_in;
      unpack(M, N, p.weight, rows, p.transposed ? 1 : N, p.transposed ? M : 1);
      const float *from = model[p.at], *gain = p.norm < 0 ? nullptr : model[p.norm];
      float *dgain = gain ? g[p.norm] : nullptr, *doffset = gain ? g[p.norm + 1] : nullptr;
      for (long i = 0; gain && i < p.in; i++) dgain[i] = doffset[i] = 0;
      for (long o = 0; o < p.out; o++) g[p.at + 1][o] = p.bias[p.row(o)];
      p.runs([&](long o, long i, long n, long to) {
        float *dw = g[p.at] + o * p.in + i, db = p.bias[p.row(o)];
        const float *row = from + o * p.in + i, *d = rows + to;
        if (!gain) return (void)std::memcpy(dw, d, sizeof(float) * n);
        for (long k = 0; k < n; k++) {
          dw[k] = d[k] * gain[k] + db * model[p.norm + 1][k];
          dgain[k] += d[k] * row[k];
          doffset[k] += db * row[k];
        }
      });
    }
  const float* const* last = model + s.n_layer * OF_BLOCK;
  float* const* of_last = g + s.n_layer * OF_BLOCK;
  of_last[3][0] = sums.c[0];
  for (long i = 0; i < s.e; i++) {
    of_last[0][i] = sums.gain[i] + sums.v[i] * last[2][i];
    of_last[1][i] = sums.bias[i] + sums.c[0] * last[2][i];
    of_last[2][i] = sums.v[i] * last[0][i] + sums.c[0] * last[1][i];
  }
}

// Pack folded weights, for the products of the forward pass and for those of the backward pass.
void pack_folded(const Shape& s, const Weights& w, const Weights& forward, const Weights& back) {
  for (long layer = 0; layer < s.n_layer; layer++) {
    Linears from(s, w, layer), to(s, forward, layer), to_back(s, back, layer);
    for (int i = 0; i < 4; i++) {
      const Linear& p = from.all[i];
      long out = i == 0 ? p.padded_out : p.out;  // sums leave padding out, but not that of heads
      long in = i == 1 ? p.padded_in : p.in;
      pack_transposed(in, p.padded_out, p.weight, p.padded_in, to.all[i].weight);
      pack(out, p.padded_in, p.weight, p.padded_in, to_back.all[i].weight);
    }
  }
}

}  // namespace
