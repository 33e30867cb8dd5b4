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
  float *xf, *rf, *starts, *reads, *numbers, *inject, *dinject;

  Prompt(const Shape& s, const Weights& w, const Weights& packed, const Weights& back,
         const Sums& g, float* workspace)
      : Blocks(s, w, packed, back, g, workspace) {
    long state = panel() * n;
    xf = memory.take(s.segment * state), rf = memory.take(s.segment * n * WIDE);
    starts = memory.take(s.tracked * state), reads = memory.take(s.tracked * s.L);
    numbers = memory.take(n * s.features * WIDE);
    inject = memory.take(state), dinject = memory.take(state);
  }

  long panel() const { return E * WIDE; }
  long state_bytes() const { return sizeof(float) * n * panel(); }

  // What every loop is given, of tokens (L, feature).
  void embed(const float* tokens) {
    std::memset(numbers, 0, sizeof(float) * n * s.features * WIDE);
    for (long t = 0; t < s.L; t++)
      for (long k = 0; k < s.features; k++)
        numbers[(t / WIDE * s.features + k) * WIDE + t % WIDE] = *tokens++;
    for (long j = 0; j < n; j++)
      for (long i = 0; i < E; i++) {
        Row sum = row(w.positions + j * panel() + i * WIDE);
        for (long k = 0; k < s.features; k++)
          EACH_PIECE sum.of[v] += at(number(j, k) + v * LANES) * w.read_in[i * s.features + k];
        EACH_PIECE at(inject + j * panel() + i * WIDE + v * LANES) = sum.of[v];
      }
  }

  float* number(long j, long k) const { return numbers + (j * s.features + k) * WIDE; }

  // Gradients of the embedding: that of a position is a token's own, its bias's the sum of them.
  void embed_backward() {
    add(n * panel(), dinject, g.positions);
    for (long i = 0; i < E; i++)
      for (long k = 0; k < s.features; k++) {
        float* to = g.read_in + (i * s.features + k) * WIDE;
        for (long j = 0; j < n; j++) EACH_PIECE
          at(to + v * LANES) +=
              at(dinject + j * panel() + i * WIDE + v * LANES) * at(number(j, k) + v * LANES);
      }
  }

  // One loop from u, the sum of state and prompt; its last block leaves out the panels before cut.
  void loop(const float* u, int slot, int cut = 0) {
    std::memcpy(z, u, state_bytes());
    int top = s.n_layer - 1;
    for (int layer = 0; layer < top; layer++) forward(layer, slot, 0);
    forward(top, slot, cut);
    normalise_all(0, z, xf + slot * n * panel(), rf + (long)slot * n * WIDE);
  }

  // The sum of x over a panel's features, each times its weight.
  static Row along(int E, const float* x, const float* weights) {
    Row sum{};
    for (int i = 0; i < E; i++) EACH_PIECE sum.of[v] += at(x + i * WIDE + v * LANES) * weights[i];
    return sum;
  }

  void read(int slot, float* reads) const {
    float own[WIDE];
    for (long i = s.query_from, j = -1; i < s.L; i += s.query_by) {
      if (i / WIDE != j) {
        j = i / WIDE;
        Row sum = along(E, xf + (slot * n + j) * panel(), w.v);
        EACH_PIECE at(own + v * LANES) = sum.of[v] + w.c[0];
      }
      *reads++ = own[i % WIDE];
    }
  }

  void state(int slot, float* out) const {
    const float* x = xf + slot * n * panel();
    for (long j = 0; j < n; j++)
      for (long i = 0; i < E; i++, x += WIDE, out += WIDE)
        EACH_PIECE at(out + v * LANES) = at(x + v * LANES) * w.gain[i] + w.bias[i];
  }

  // Back through one loop: dz holds the gradient of the next loop's start, 0 after the last.
  void loop_backward(int slot, const float* dread, int cut) {
    const float *x = xf + slot * n * panel(), *scales = rf + (long)slot * n * WIDE;
    for (long j = 0; j < n; j++) {
      float own[WIDE] = {};
      for (long t = j * WIDE; t < (j + 1) * WIDE && t < s.L; t++)
        if (t >= s.query_from && (t - s.query_from) % s.query_by == 0) own[t % WIDE] = *dread++;
      Row of_read = row(own);
      EACH_PIECE at(g.c + v * LANES) += of_read.of[v];
      for (long i = 0; i < E; i++) EACH_PIECE {
        long k = i * WIDE + v * LANES, of_panel = j * panel() + k;
        Vec d = at(dz + of_panel), numbers = at(x + of_panel);
        at(g.gain + k) += d * numbers;
        at(g.bias + k) += d;
        at(g.v + k) += of_read.of[v] * numbers;
        at(dx + of_panel) = d * w.gain[i] + of_read.of[v] * w.v[i];
      }
      normalise_backward<false>(E, dx + j * panel(), x + j * panel(), scales + j * WIDE,
                                dz + j * panel());
    }
    for (int layer = s.n_layer - 1; layer >= 0; layer--) {
      backward(layer, slot, cut);
      cut = 0;
    }
    add(n * panel(), dz, dinject);
  }

  // One prompt through its n_loops loops and back; its error is summed over those that the loss
  // sees, as is that of the last query after the last loop.
  void step(int n_loops, const float* tokens, const float* targets, float* error_sum,
            float* last) {
    int n_queries = queries_of(s), from = s.query_from / WIDE;
    int tracked = n_loops < s.tracked ? n_loops : s.tracked;
    int seen = n_loops < s.loss_window ? n_loops : s.loss_window;
    float scale = 1 / ((double)s.batch * n_queries * seen);
    embed(tokens);
    std::memcpy(starts, inject, state_bytes());
    auto go_on = [&](int slot, float* to) { state(slot, to), add(n * panel(), inject, to); };
    for (int t = tracked; t < n_loops; t++) loop(starts, 0), go_on(0, starts);
    *error_sum = 0;
    for (int t = 0; t < tracked; t++) {
      int slot = t % s.segment;
      float* own = reads + t * n_queries;
      loop(starts + t * n * panel(), slot, t + 1 == tracked ? from : 0);
      read(slot, own);
      for (int q = 0; q < n_queries; q++) {
        float error = t < tracked - seen ? 0 : own[q] - targets[q];
        *error_sum += error * error;
        *last = error * error;
        own[q] = 2 * error * scale;
      }
      if (t + 1 < tracked) go_on(slot, starts + (t + 1) * n * panel());
    }
    std::memset(dz, 0, state_bytes());
    std::memset(dinject, 0, state_bytes());
    for (int start = (tracked - 1) / s.segment * s.segment; start >= 0; start -= s.segment) {
      int loops = tracked - start < s.segment ? tracked - start : s.segment;
      if (start + loops < tracked)  // the last segment's activations are there still
        for (int t = 0; t < loops; t++) loop(starts + (start + t) * n * panel(), t);
      for (int t = loops - 1; t >= 0; t--) {
        int after = tracked - start - t - 1;  // loops
        if (after % s.grad_window == 0) std::memset(dz, 0, state_bytes());
        loop_backward(t, reads + (start + t) * n_queries, after == 0 ? from : 0);
      }
    }
    embed_backward();
  }

  // Predictions after each loop, and how far each but the first moved the state of the L tokens.
  void follow(const float* tokens, float* reads, float* changes) {
    float *u = dx, *before = dz, *after = datt;  // what only the backward pass needs is free
    embed(tokens);
    std::memcpy(u, inject, state_bytes());
    for (int t = 0; t < s.n_loops; t++, reads += queries_of(s)) {
      loop(u, 0);
      read(0, reads);
      state(0, after);
      float moved = 0, length = 0;
      for (long j = 0; j < n; j++) {
        Row step{}, all_of_it{};
        float own[2][WIDE];
        for (long k = j * panel(); k < (j + 1) * panel(); k += WIDE) EACH_PIECE {
          long i = k + v * LANES;
          Vec was = at(before + i), by = at(after + i) - was;
          step.of[v] += by * by, all_of_it.of[v] += was * was;
          at(u + i) = at(after + i) + at(inject + i);
        }
        EACH_PIECE at(own[0] + v * LANES) = step.of[v], at(own[1] + v * LANES) = all_of_it.of[v];
        for (long t = 0; t < WIDE && j * WIDE + t < s.L; t++)
          moved += own[0][t], length += own[1][t];
      }
      if (t > 0) *changes++ = std::sqrt(moved / length);
      std::swap(before, after);
    }
  }
};

}  // namespace

extern "C" {

// Ask the system for the processor's tiles: 0, or what is wrong: 1, it refuses; 2, products are wrong.
int64_t begin() {
  if (!has_tiles()) return 1;
  Tiles tiles;
  return multiplies() ? 0 : 2;
}

// Count the floats of memory that a thread needs.
int64_t workspace(const Shape* s) {
  Weights none(*s, nullptr);
  Sums no_sums(*s, nullptr);
  return Prompt(*s, none, none, none, no_sums, nullptr).memory.used;
}

// Count the floats of a set of weights.
int64_t weights_size(const Shape* s) { return Weights(*s, nullptr).size; }

// Count the floats of a thread's sums of gradients.
int64_t sums_size(const Shape* s) { return Sums(*s, nullptr).size; }

// Fold a model's weights and pack them: sets[0] is to hold them folded, sets[1] and sets[2] packed
// for the forward and the backward pass; sets[3] is room.
void prepare_weights(const Shape* s, const float* const* model, float* sets) {
  Weights folded(*s, sets);
  Weights forward(*s, sets + folded.size), back(*s, sets + 2 * folded.size);
  fold(*s, model, folded);
  pack_folded(*s, folded, forward, back, sets + 3 * folded.size);
}

// Sum the gradients of all threads, sums[thread], and bring them to the model's weights, g.
void finish_gradients(const Shape* s, const float* const* model, float* sums, int64_t threads,
                      float* const* g, float* memory) {
  Sums first(*s, sums);
  for (long thread = 1; thread < threads; thread++)
    add(first.size, sums + thread * first.size, sums);
  unfold(*s, model, first, g, memory);
}

// Errors and gradients of prompts [from, to), each with its own loops: errors[i] is squared and
// summed over the queries and the loops that the loss sees, last[i] that of the last query after the
// last loop; the thread's sums are added to.
void train(const Shape* s, const float* sets, float* sums, const int64_t* loops,
           const float* tokens, const float* targets, int64_t from, int64_t to, float* errors,
           float* last, float* memory) {
  long size = s->L * s->features, queries = queries_of(*s);
  Weights w(*s, sets), forward(*s, sets + w.size), back(*s, sets + 2 * w.size);
  Sums g(*s, sums);
  Tiles tiles;
  Prompt prompt(*s, w, forward, back, g, memory);
  for (long i = from; i < to; i++)
    prompt.step(loops[i], tokens + i * size, targets + i * queries, errors + i, last + i);
}

// Predictions of prompts [from, to), reads[i, t, query], and how far the state moved in each loop
// but the first, relative to where it was: changes[i, t - 1].
void predict(const Shape* s, const float* sets, const float* tokens, int64_t from, int64_t to,
             float* reads, float* changes, float* memory) {
  long size = s->L * s->features, queries = queries_of(*s);
  Weights w(*s, sets), forward(*s, sets + w.size);
  Sums none(*s, nullptr);
  Tiles tiles;
  Prompt prompt(*s, w, forward, forward, none, memory);
  for (long i = from; i < to; i++)
    prompt.follow(tokens + i * size, reads + i * s->n_loops * queries,
                  changes + i * (s->n_loops - 1));
}
}
