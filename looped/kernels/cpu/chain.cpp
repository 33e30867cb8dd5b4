// All loops of a model, forward and backward, one prompt after another.
//
// A prompt's state is small (64 tokens of 64 numbers: 16 KiB), so whatever a block computes stays
// in the caches of the core that computes it. Threads share nothing but the weights: each has its
// own prompts, its own workspace and its own sum of gradients.
//
// Letters: L tokens, E width, A width of all heads, D of one, F hidden units of the MLP. Widths are
// padded to multiples of 16 with zeros; e is the true width, LP is L padded likewise.
// Weights are folded (see folding.py): only the last norm has a gain and a bias of its own.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "pointwise.h"
#include "products.h"

extern "C" struct Shape {
  int64_t n_layer, n_head, L, e, E, D, F;
  int64_t n_loops, untracked;    // loops in all, and those before the gradient's window
  int64_t query_from, query_by;  // tokens that are read out
  int64_t segment;               // loops whose activations are kept at once
  float score_scale, loss_scale;
};

extern "C" struct Weights {  // float32; (layer, out, in) or (layer, out)
  float *wqkv, *wo, *w1, *w2, *bqkv, *bo, *b1, *b2, *gain, *bias, *v, *c;
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

struct Kept {  // by one block of one loop, for its backward pass
  float *x1, *r1, *qkv, *p, *att, *x2, *r2, *slope, *hidden;
};

long queries_of(const Shape& s) { return (s.L - s.query_from + s.query_by - 1) / s.query_by; }

struct Prompt {
  const Shape& s;
  const Weights &w, &packed, &back, &g;
  int L, E, A, F, LP, D;
  Kept* kept;
  float *xf, *rf, *starts, *reads;
  float *z, *dhidden, *dz, *dx, *dqkv, *datt, *ds, *panels;
  long floats;

  Prompt(const Shape& s, const Weights& w, const Weights& packed, const Weights& back,
         const Weights& g, float* memory)
      : s(s), w(w), packed(packed), back(back), g(g) {
    L = s.L, E = s.E, A = s.n_head * s.D, F = s.F, D = s.D, LP = (L + 15) / 16 * 16;
    long state = (long)L * E, hidden = (long)L * F, qkv = 3L * L * A, scores = (long)LP * LP;
    long blocks = s.segment * s.n_layer, tracked = s.n_loops - s.untracked;
    Taker from{memory};
    kept = reinterpret_cast<Kept*>(from.take(blocks * sizeof(Kept) / sizeof(float)));
    for (long i = 0; i < blocks; i++) {
      Kept own = {from.take(state), from.take(L),     from.take(qkv), from.take(s.n_head * scores),
                  from.take(L * A), from.take(state), from.take(L),   from.take(hidden),
                  from.take(hidden)};
      if (memory) kept[i] = own;
    }
    xf = from.take(s.segment * state), rf = from.take(s.segment * L);
    starts = from.take(tracked * state), reads = from.take(tracked * L);
    z = from.take(state), dz = from.take(state), dx = from.take(state), datt = from.take(L * A);
    dhidden = from.take(hidden), dqkv = from.take(qkv), ds = from.take(scores);
    panels = from.take((long)LP * (F > 3 * A ? F : 3 * A));
    floats = from.used;
  }

  // Rows before r0 are not computed: nothing reads them after the last loop's last block.
  void block(int layer, const Kept& k, int r0) {
    int rows = L - r0, wide = 3 * A;
    normalise(L, E, s.e, z, k.x1, k.r1);
    product(WHOLE, L, wide, E, {k.x1, E, 1}, packed.wqkv + (long)layer * wide * E, k.qkv, wide,
            w.bqkv + layer * wide);
    for (int h = 0; h < s.n_head; h++) {
      float *q = k.qkv + h * D, *p = k.p + ((long)h * LP + r0) * LP;
      pack_transposed(D, L, q + A, wide, panels);
      product(r0 ? WHOLE : FROM_PANEL, rows, LP, D, {q + r0 * wide, wide, 1}, panels, p, LP);
      causal_softmax(r0, L, LP, s.score_scale, p);
      pack(L, D, q + 2 * A, wide, panels);
      product(r0 ? WHOLE : UP_TO_ROW, rows, D, L, {p, LP, 1}, panels, k.att + r0 * A + h * D, A);
    }
    float *own = z + r0 * E, *x2 = k.x2 + r0 * E, *hidden = k.hidden + (long)r0 * F;
    // x2 is scratch until the norm fills it
    product(WHOLE, rows, E, A, {k.att + r0 * A, A, 1}, packed.wo + (long)layer * E * A, x2, E,
            w.bo + layer * E);
    add(rows * E, x2, own);
    normalise(rows, E, s.e, own, x2, k.r2 + r0);
    product(WHOLE, rows, F, E, {x2, E, 1}, packed.w1 + (long)layer * F * E, k.slope + (long)r0 * F,
            F, w.b1 + layer * F);
    gelu((long)rows * F, k.slope + (long)r0 * F, hidden);
    product(WHOLE, rows, E, F, {hidden, F, 1}, packed.w2 + (long)layer * E * F, dx, E,
            w.b2 + layer * E);
    add(rows * E, dx, own);
  }

  // dz: of the block's output on entry, 0 before r0; of its input on return.
  void block_backward(int layer, const Kept& k, int r0) {
    int rows = L - r0, wide = 3 * A;
    float *own = dz + r0 * E, *x2 = k.x2 + r0 * E, *hidden = k.hidden + (long)r0 * F;
    add_rows(rows, E, own, g.b2 + layer * E);
    product(WHOLE, rows, F, E, {own, E, 1}, back.w2 + (long)layer * E * F, dhidden, F);
    multiply((long)rows * F, k.slope + (long)r0 * F, dhidden);
    pack(rows, E, own, E, panels);
    product(WHOLE, F, E, rows, {hidden, 1, F}, panels, g.w2 + (long)layer * E * F, E, nullptr,
            true);
    add_rows(rows, F, dhidden, g.b1 + layer * F);
    pack(rows, E, x2, E, panels);
    product(WHOLE, F, E, rows, {dhidden, 1, F}, panels, g.w1 + (long)layer * F * E, E, nullptr,
            true);
    product(WHOLE, rows, E, F, {dhidden, F, 1}, back.w1 + (long)layer * F * E, dx, E);
    normalise_backward(rows, E, s.e, dx, x2, k.r2 + r0, own, true);

    add_rows(rows, E, own, g.bo + layer * E);
    pack(rows, A, k.att + r0 * A, A, panels);
    product(WHOLE, E, A, rows, {own, 1, E}, panels, g.wo + (long)layer * E * A, A, nullptr, true);
    product(WHOLE, rows, A, E, {own, E, 1}, back.wo + (long)layer * E * A, datt, A);
    if (r0) std::memset(dqkv, 0, sizeof(float) * r0 * wide);
    for (int h = 0; h < s.n_head; h++) {
      float *q = k.qkv + h * D, *p = k.p + ((long)h * LP + r0) * LP, *d = dqkv + h * D;
      pack_transposed(D, L, q + 2 * A, wide, panels);
      product(r0 ? WHOLE : FROM_PANEL, rows, LP, D, {datt + h * D, A, 1}, panels, ds, LP);
      pack(rows, D, datt + h * D, A, panels);
      product(r0 ? WHOLE : FROM_ROW, L, D, rows, {p, 1, LP}, panels, d + 2 * A, wide);
      causal_softmax_backward(r0, L, LP, s.score_scale, p, ds);
      pack(rows, D, q + r0 * wide, wide, panels);
      product(r0 ? WHOLE : FROM_ROW, L, D, rows, {ds, 1, LP}, panels, d + A, wide);
      pack(L, D, q + A, wide, panels);
      product(r0 ? WHOLE : UP_TO_ROW, rows, D, L, {ds, LP, 1}, panels, d + r0 * wide, wide);
    }
    add_rows(L, wide, dqkv, g.bqkv + layer * wide);
    pack(L, E, k.x1, E, panels);
    product(WHOLE, wide, E, L, {dqkv, 1, wide}, panels, g.wqkv + (long)layer * wide * E, E, nullptr,
            true);
    product(WHOLE, L, E, wide, {dqkv, wide, 1}, back.wqkv + (long)layer * wide * E, dx, E);
    normalise_backward(L, E, s.e, dx, k.x1, k.r1, dz, true);
  }

  // One loop from u, the sum of state and prompt; z is the normalised state before its gain.
  void loop(const float* u, int slot, bool is_last = false) {
    std::memcpy(z, u, sizeof(float) * L * E);
    int top = s.n_layer - 1;
    for (int layer = 0; layer < top; layer++) block(layer, kept[slot * s.n_layer + layer], 0);
    block(top, kept[slot * s.n_layer + top], is_last ? s.query_from : 0);
    normalise(L, E, s.e, z, xf + (long)slot * L * E, rf + (long)slot * L);
  }

  void read(int slot, float* reads) const {
    for (int i = s.query_from; i < L; i += s.query_by) {
      Vec sum{};
      const float* x = xf + ((long)slot * L + i) * E;
      for (int j = 0; j < E; j += LANES) sum += at(x + j) * at(w.v + j);
      *reads++ = total(sum) + w.c[0];
    }
  }

  void state(int slot, float* out) const {
    const float* x = xf + (long)slot * L * E;
    for (int i = 0; i < L * E; i += E)
      for (int j = 0; j < E; j += LANES)
        at(out + i + j) = at(x + i + j) * at(w.gain + j) + at(w.bias + j);
  }

  // Back through one loop: dz holds the gradient of the next loop's start, 0 after the last.
  void loop_backward(int slot, const float* dread, float* dinject, bool is_last) {
    const float* x = xf + (long)slot * L * E;
    for (int i = 0; i < L * E; i += E)
      for (int j = 0; j < E; j += LANES) {
        Vec d = at(dz + i + j);
        at(g.gain + j) += d * at(x + i + j);
        at(g.bias + j) += d;
        at(dx + i + j) = d * at(w.gain + j);
      }
    for (int i = s.query_from; i < L; i += s.query_by, dread++) {
      for (int j = 0; j < E; j += LANES) {
        at(g.v + j) += *dread * at(x + i * E + j);
        at(dx + i * E + j) += *dread * at(w.v + j);
      }
      g.c[0] += *dread;
    }
    normalise_backward(L, E, s.e, dx, x, rf + (long)slot * L, dz, false);
    for (int layer = s.n_layer - 1; layer >= 0; layer--) {
      block_backward(layer, kept[slot * s.n_layer + layer], is_last ? s.query_from : 0);
      is_last = false;
    }
    add(L * E, dz, dinject);
  }

  void step(const float* inject, const float* targets, float* errors, float* last, float* dinject) {
    int n_queries = queries_of(s);
    int tracked = s.n_loops - s.untracked;
    std::memcpy(starts, inject, sizeof(float) * L * E);
    for (int t = 0; t < s.untracked; t++) {
      loop(starts, 0);
      state(0, starts);
      add(L * E, inject, starts);
    }
    for (int t = 0; t < tracked; t++) {
      int slot = t % s.segment;
      float* own = reads + t * n_queries;
      loop(starts + (long)t * L * E, slot, t + 1 == tracked);
      read(slot, own);
      errors[t] = 0;
      for (int q = 0; q < n_queries; q++) {
        float error = own[q] - targets[q];
        errors[t] += error * error;
        *last = error * error;
        own[q] = 2 * error * s.loss_scale;
      }
      if (t + 1 < tracked) {
        float* next = starts + (long)(t + 1) * L * E;
        state(slot, next);
        add(L * E, inject, next);
      }
    }
    std::memset(dz, 0, sizeof(float) * L * E);
    std::memset(dinject, 0, sizeof(float) * L * E);
    for (int first = (tracked - 1) / s.segment * s.segment; first >= 0; first -= s.segment) {
      int n = tracked - first < s.segment ? tracked - first : s.segment;
      if (first + n < tracked)  // the last segment's activations are there still
        for (int t = 0; t < n; t++) loop(starts + (long)(first + t) * L * E, t);
      for (int t = n - 1; t >= 0; t--)
        loop_backward(t, reads + (first + t) * n_queries, dinject, first + t + 1 == tracked);
    }
  }

  void follow(const float* inject, float* reads, float* changes) {
    float *u = dx, *before = dz, *after = datt;  // what only the backward pass needs is free
    std::memcpy(u, inject, sizeof(float) * L * E);
    for (int t = 0; t < s.n_loops; t++, reads += queries_of(s)) {
      loop(u, 0);
      read(0, reads);
      state(0, after);
      Vec moved{}, length{};
      for (int i = 0; i < L * E; i += LANES) {
        Vec was = at(before + i), step = at(after + i) - was;
        moved += step * step, length += was * was;
        at(u + i) = at(after + i) + at(inject + i);
      }
      if (t > 0) *changes++ = std::sqrt(total(moved) / total(length));
      std::swap(before, after);
    }
  }
};

}  // namespace

extern "C" {

// Count the floats of memory that a thread needs.
int64_t workspace(const Shape* s) {
  Weights none{};
  return Prompt(*s, none, none, none, none, nullptr).floats;
}

// Pack the weights, for the products of the forward pass and for those of the backward pass.
void pack_weights(const Shape* s, const Weights* w, Weights* forward, Weights* back) {
  long E = s->E, A = s->n_head * s->D, F = s->F;
  struct {
    float *from, *to, *back;
    long out, in;
  } parts[] = {{w->wqkv, forward->wqkv, back->wqkv, 3 * A, E},
               {w->wo, forward->wo, back->wo, E, A},
               {w->w1, forward->w1, back->w1, F, E},
               {w->w2, forward->w2, back->w2, E, F}};
  for (auto& part : parts)
    for (long layer = 0; layer < s->n_layer; layer++) {
      long skip = layer * part.out * part.in;
      pack_transposed(part.in, part.out, part.from + skip, part.in, part.to + skip);
      pack(part.out, part.in, part.from + skip, part.in, part.back + skip);
    }
}

// Errors and gradients of prompts [from, to): errors[i, t] is squared and summed over the queries
// after tracked loop t, last[i] that of the last query after the last loop; g is added to.
void train(const Shape* s, const Weights* w, const Weights* forward, const Weights* back,
           const Weights* g, const float* inject, const float* targets, int64_t from, int64_t to,
           float* errors, float* last, float* dinject, float* memory) {
  long size = s->L * s->E, tracked = s->n_loops - s->untracked, queries = queries_of(*s);
  Prompt prompt(*s, *w, *forward, *back, *g, memory);
  for (long i = from; i < to; i++)
    prompt.step(inject + i * size, targets + i * queries, errors + i * tracked, last + i,
                dinject + i * size);
}

// Predictions of prompts [from, to), reads[i, t, query], and how far the state moved in each loop
// but the first, relative to where it was: changes[i, t - 1].
void predict(const Shape* s, const Weights* w, const Weights* forward, const float* inject,
             int64_t from, int64_t to, float* reads, float* changes, float* memory) {
  long size = s->L * s->E, queries = queries_of(*s);
  Prompt prompt(*s, *w, *forward, *forward, *forward, memory);
  for (long i = from; i < to; i++)
    prompt.follow(inject + i * size, reads + i * s->n_loops * queries,
                  changes + i * (s->n_loops - 1));
}
}
