// All loops of a model, forward and backward, one prompt after another.
//
// A prompt's state is small (64 tokens of 64 numbers: 16 KiB), so whatever a block computes stays
// in the caches of the core that computes it. Threads share nothing but the weights: each has its
// own prompts, its own workspace and its own sum of gradients.

#include <cmath>
#include <utility>

#include "blocks.h"

namespace {

long queries_of(const Shape& s) { return (s.L - s.query_from + s.query_by - 1) / s.query_by; }

struct Prompt : Blocks {
  float *xf, *rf, *starts, *reads;

  Prompt(const Shape& s, const Weights& w, const Weights& packed, const Weights& back,
         const Weights& g, float* workspace)
      : Blocks(s, w, packed, back, g, workspace) {
    long state = (long)L * E;
    xf = memory.take(s.segment * state), rf = memory.take(s.segment * L);
    starts = memory.take(s.tracked * state), reads = memory.take(s.tracked * L);
  }

  // One loop from u, the sum of state and prompt; its last block leaves out the tokens before cut.
  void loop(const float* u, int slot, int cut = 0) {
    std::memcpy(z, u, sizeof(float) * L * E);
    int top = s.n_layer - 1;
    for (int layer = 0; layer < top; layer++) forward(layer, slot, 0);
    forward(top, slot, cut);
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
  void loop_backward(int slot, const float* dread, float* dinject, int cut) {
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
      backward(layer, slot, cut);
      cut = 0;
    }
    add(L * E, dz, dinject);
  }

  // One prompt through its n_loops loops and back; its error is summed over those that the loss
  // sees, as is that of the last query after the last loop.
  void step(int n_loops, const float* inject, const float* targets, float* error_sum, float* last,
            float* dinject) {
    int n_queries = queries_of(s);
    int tracked = n_loops < s.tracked ? n_loops : s.tracked;
    int seen = n_loops < s.loss_window ? n_loops : s.loss_window;
    float scale = 1 / ((double)s.batch * n_queries * seen);
    std::memcpy(starts, inject, sizeof(float) * L * E);
    for (int t = tracked; t < n_loops; t++) {
      loop(starts, 0);
      state(0, starts);
      add(L * E, inject, starts);
    }
    *error_sum = 0;
    for (int t = 0; t < tracked; t++) {
      int slot = t % s.segment;
      float* own = reads + t * n_queries;
      loop(starts + (long)t * L * E, slot, t + 1 == tracked ? s.query_from : 0);
      read(slot, own);
      for (int q = 0; q < n_queries; q++) {
        float error = t < tracked - seen ? 0 : own[q] - targets[q];
        *error_sum += error * error;
        *last = error * error;
        own[q] = 2 * error * scale;
      }
      if (t + 1 < tracked) {
        float* next = starts + (long)(t + 1) * L * E;
        state(slot, next);
        add(L * E, inject, next);
      }
    }
    std::memset(dz, 0, sizeof(float) * L * E);
    std::memset(dinject, 0, sizeof(float) * L * E);
    for (int start = (tracked - 1) / s.segment * s.segment; start >= 0; start -= s.segment) {
      int n = tracked - start < s.segment ? tracked - start : s.segment;
      if (start + n < tracked)  // the last segment's activations are there still
        for (int t = 0; t < n; t++) loop(starts + (long)(start + t) * L * E, t);
      for (int t = n - 1; t >= 0; t--) {
        int after = tracked - start - t - 1;  // loops
        if (after % s.grad_window == 0) std::memset(dz, 0, sizeof(float) * L * E);
        loop_backward(t, reads + (start + t) * n_queries, dinject, after == 0 ? s.query_from : 0);
      }
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
  Weights none(*s, nullptr);
  return Prompt(*s, none, none, none, none, nullptr).memory.used;
}

// Count the floats of a set of weights, padded.
int64_t weights_size(const Shape* s) { return Weights(*s, nullptr).size; }

// Fold a model's weights and pack them: sets[0] is to hold them folded, sets[1] and sets[2] packed
// for the forward and the backward pass.
void prepare_weights(const Shape* s, const float* const* model, float* sets) {
  Weights folded(*s, sets);
  Weights forward(*s, sets + folded.size), back(*s, sets + 2 * folded.size);
  fold(*s, model, folded);
  pack_folded(*s, folded, forward, back);
}

// Sum the gradients of all threads, sums[thread], and bring them to the model's weights, g.
void finish_gradients(const Shape* s, const float* const* model, float* sums, int64_t threads,
                      float* const* g, float* memory) {
  Weights first(*s, sums);
  for (long thread = 1; thread < threads; thread++)
    add(first.size, sums + thread * first.size, sums);
  unfold(*s, model, first, g, memory);
}

// Errors and gradients of prompts [from, to), each with its own loops: errors[i] is squared and
// summed over the queries and the loops that the loss sees, last[i] that of the last query after the
// last loop; the thread's sums, in tiles, are added to.
void train(const Shape* s, const float* sets, float* sums, const int64_t* loops,
           const float* inject, const float* targets, int64_t from, int64_t to, float* errors,
           float* last, float* dinject, float* memory) {
  long size = s->L * s->E, queries = queries_of(*s);
  Weights w(*s, sets), forward(*s, sets + w.size), back(*s, sets + 2 * w.size), g(*s, sums);
  Prompt prompt(*s, w, forward, back, g, memory);
  for (long i = from; i < to; i++)
    prompt.step(loops[i], inject + i * size, targets + i * queries, errors + i, last + i,
                dinject + i * size);
}

// Predictions of prompts [from, to), reads[i, t, query], and how far the state moved in each loop
// but the first, relative to where it was: changes[i, t - 1].
void predict(const Shape* s, const float* sets, const float* inject, int64_t from, int64_t to,
             float* reads, float* changes, float* memory) {
  long size = s->L * s->E, queries = queries_of(*s);
  Weights w(*s, sets), forward(*s, sets + w.size);
  Prompt prompt(*s, w, forward, forward, forward, memory);
  for (long i = from; i < to; i++)
    prompt.follow(inject + i * size, reads + i * s->n_loops * queries,
                  changes + i * (s->n_loops - 1));
}
}
