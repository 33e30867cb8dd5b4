// The blocks of one prompt, forward and backward.
//
// Letters: L tokens, E width, D of one head, F hidden units of the MLP, n panels of 16 tokens. All
// that a prompt has lies in panels: of each feature 16 tokens' numbers side by side, those of a panel
// together. Tokens beyond L, up to a whole panel, are computed as any other and reach no gradient.
// Weights are folded: only the last norm has a gain and a bias of its own.
#pragma once

#include <cstdint>
#include <cstring>

#include "folding.h"
#include "pointwise.h"
#include "products.h"

namespace {

struct Kept {  // by one block of one loop, for its backward pass
  float *x1, *r1, *qkv, *p, *att, *x2, *r2, *slope, *hidden;
};

// Scores of a head: panel j of the queries has a row for each key up to its last query.
inline long scores_before(long j) { return WIDE * WIDE * j * (j + 1) / 2; }

struct Blocks {
  const Shape& s;
  const Weights &w, &packed, &back;
  const Sums& g;
  const int n;
  const long E, F, D;
  Taker memory;
  Kept* all_kept;
  float *z, *dz, *dx, *dqkv, *datt, *ds, *room;

  Blocks(const Shape& s, const Weights& w, const Weights& packed, const Weights& back,
         const Sums& g, float* workspace)
      : s(s), w(w), packed(packed), back(back), g(g), n(panels_of(s)), E(s.E), F(s.F),
        D(s.E / s.n_head), memory{workspace} {
    long tokens = n * WIDE, state = tokens * E, blocks = s.segment * s.n_layer;
    auto take = [&](long n) { return memory.take(n); };
    all_kept = reinterpret_cast<Kept*>(take(blocks * sizeof(Kept) / sizeof(float)));
    for (long i = 0; i < blocks; i++) {
      Kept own = {take(state), take(tokens), take(3 * state), take(s.n_head * scores_before(n)),
                  take(state), take(state), take(tokens), take(tokens * F), take(tokens * F)};
      if (workspace) all_kept[i] = own;
    }
    z = take(state), dz = take(state), dx = take(state);
    dqkv = take(3 * state), datt = take(state), ds = take(scores_before(n));
    long widest = F > 3 * E ? F : 3 * E;
    // a transposed operand; with BF16 also the terms of what is multiplied, of a head up to seven
    room = take(tokens * (E + WIDE + (OF_TERM > 1 ? 2 * widest + 6 * (D + 2) + WIDE : WIDE)));
    take(WIDE * WIDE);  // what is transposed by blocks may end before its last
  }

  const Kept& kept(int layer, int slot) const { return all_kept[slot * s.n_layer + layer]; }

  // Room for the terms of so many rows, where they are made.
  float* terms_room(Taker& free, long rows) const {
    return OF_TERM > 1 ? free.take(n * WIDE * (rows + 2)) : nullptr;
  }

  // out = weights in + bias, of the panels from j0 on; weights[M x K].
  template <Into INTO = SET>
  void multiply(int j0, int M, int K, const float* weights, const float* in, float* out,
                const float* bias = nullptr) {
    Panels right = paired(K, n - j0, {in + j0 * WIDE * K, WIDE * K}, room);
    product<INTO>(M, {1, terms(K)}, Rows{weights, terms(K), 0}, right, out + j0 * WIDE * M,
                  WIDE * M, n - j0, bias);
  }

  // sum += left right^T, of the panels from j0 on; left[M x tokens], right[N x tokens].
  void add_outer(int j0, int M, int N, const float* left, const float* right, float* sum) {
    Taker free{room};
    float* columns = free.take(n * WIDE * (N + WIDE));
    transposed(N, n - j0, right + j0 * WIDE * N, columns);
    int at_once = panels_at_once(n - j0);
    Rows rows =
        side_by_side(M, n - j0, {left + j0 * WIDE * M, WIDE * M}, terms_room(free, M), at_once);
    add_to_tiles(M, N, over_columns(n - j0, at_once), rows, columns, sum);
  }

  void normalise_all(int j0, const float* x, float* out, float* scales) const {
    for (long j = j0, at = j0 * WIDE * E; j < n; j++, at += WIDE * E)
      normalise(E, x + at, out + at, scales + j * WIDE);
  }

  void attend(const Kept& k, int h, int j0) {
    Taker free{room};
    long wide = 3 * E * WIDE, head = h * D * WIDE;
    const float *q = k.qkv + head, *keys = q + E * WIDE;
    Panels queries = paired(D, n, {q, wide}, terms_room(free, D));
    Panels of_keys = paired(D, n, {keys, wide}, terms_room(free, D));
    Rows values = side_by_side(D, n, {keys + E * WIDE, wide}, terms_room(free, D));
    float* of_p = terms_room(free, WIDE);
    for (long j = j0; j < n; j++) {
      float* p = k.p + h * scores_before(n) + scores_before(j);
      for (long c = 0; c <= j; c++)
        product(WIDE, {1, terms(D)}, Columns{of_keys.corner + c * of_keys.apart},
                {queries.corner + j * queries.apart, 0}, p + c * WIDE * WIDE, 0, 1);
      causal_softmax(j, s.score_scale, p);
      product(D, over_columns(j + 1), values, {paired(WIDE * (j + 1), p, of_p), 0},
              k.att + j * WIDE * E + head, 0, 1);
    }
  }

  // From the gradient of what a head has to say, datt, to those of its queries, keys and values.
  void attend_backward(const Kept& k, int h, int j0) {
    Taker free{room};
    long wide = 3 * E * WIDE, head = h * D * WIDE, narrow = E * WIDE;
    const float *q = k.qkv + head, *keys = q + narrow, *values = keys + narrow, *d = datt + head;
    Panels of_values = paired(D, n, {values, wide}, terms_room(free, D));
    Panels of_d = paired(D, n, {d, narrow}, terms_room(free, D));
    Rows rows_q = side_by_side(D, n, {q, wide}, terms_room(free, D));
    Rows rows_keys = side_by_side(D, n, {keys, wide}, terms_room(free, D));
    Rows rows_d = side_by_side(D, n, {d, narrow}, terms_room(free, D));
    float *columns = free.take(n * WIDE * WIDE), *all_p = k.p + h * scores_before(n);
    for (long j = j0; j < n; j++) {
      float* own = ds + scores_before(j);
      for (long c = 0; c <= j; c++)
        product(WIDE, {1, terms(D)}, Columns{of_values.corner + c * of_values.apart},
                {of_d.corner + j * of_d.apart, 0}, own + c * WIDE * WIDE, 0, 1);
      causal_softmax_backward(j, s.score_scale, all_p + scores_before(j), own);
      product(D, over_columns(j + 1), rows_keys, {paired(WIDE * (j + 1), own, columns), 0},
              dqkv + j * wide + head, 0, 1);
    }
    for (long c = 0; c < n; c++) {
      long first = c > j0 ? c : j0;
      float* out = dqkv + c * wide + head;
      auto of_key = [&](const float* scores, Rows rows, float* to) {  // sum over later queries
        float* behind = columns;
        for (long j = first; j < n; j++)
          behind = transposed(scores + scores_before(j) + c * WIDE * WIDE, behind);
        product(D, over_columns(n - first), rows.chunk(first), {columns, 0}, to, 0, 1);
      };
      of_key(ds, rows_q, out + narrow);
      of_key(all_p, rows_d, out + 2 * narrow);
    }
  }

  // z: the block's input on entry, its output on return. Panels before j0 are not computed: nothing
  // reads them after the last loop's last block.
  void forward(int layer, int slot, int j0) {
    const Kept& k = kept(layer, slot);
    auto weights = [&](int product) { return packed.matrix(product, layer); };
    auto bias = [&](int product) { return w.offset(product, layer); };
    normalise_all(0, z, k.x1, k.r1);
    multiply(0, 3 * E, E, weights(QKV), k.x1, k.qkv, bias(QKV));
    for (int h = 0; h < s.n_head; h++) attend(k, h, j0);
    multiply<ADD>(j0, E, E, weights(OUT), k.att, z, bias(OUT));
    normalise_all(j0, z, k.x2, k.r2);
    multiply(j0, F, E, weights(MLP_IN), k.x2, k.slope, bias(MLP_IN));
    gelu((n - j0) * WIDE * F, k.slope + j0 * WIDE * F, k.hidden + j0 * WIDE * F);
    multiply<ADD>(j0, E, F, weights(MLP_OUT), k.hidden, z, bias(MLP_OUT));
  }

  // dz: of the block's output on entry, 0 before j0; of its input on return.
  void backward(int layer, int slot, int j0) {
    const Kept& k = kept(layer, slot);
    auto weights = [&](int product) { return back.matrix(product, layer); };
    auto add_bias = [&](int product, int from, int M, const float* d) {
      add_columns(M, n - from, d + from * WIDE * M, g.offset(product, layer));
    };
    float* dhidden = k.slope;
    add_bias(MLP_OUT, j0, E, dz);
    add_outer(j0, F, E, k.hidden, dz, g.matrix(MLP_OUT, layer));
    multiply<SCALE>(j0, F, E, weights(MLP_OUT), dz, dhidden);
    add_bias(MLP_IN, j0, F, dhidden);
    add_outer(j0, F, E, dhidden, k.x2, g.matrix(MLP_IN, layer));
    multiply(j0, E, F, weights(MLP_IN), dhidden, dx);
    back_through_norm(j0, k.x2, k.r2);

    add_bias(OUT, j0, E, dz);
    add_outer(j0, E, E, dz, k.att, g.matrix(OUT, layer));
    multiply(j0, E, E, weights(OUT), dz, datt);
    for (long j = 0; j < j0; j++) {
      std::memset(dqkv + j * WIDE * 3 * E, 0, sizeof(float) * WIDE * E);
      std::memset(datt + j * WIDE * E, 0, sizeof(float) * WIDE * E);
    }
    for (int h = 0; h < s.n_head; h++) attend_backward(k, h, j0);
    add_bias(QKV, 0, 3 * E, dqkv);
    add_outer(0, 3 * E, E, dqkv, k.x1, g.matrix(QKV, layer));
    multiply(0, E, 3 * E, weights(QKV), dqkv, dx);
    back_through_norm(0, k.x1, k.r1);
  }

  void back_through_norm(int j0, const float* x, const float* scales) {
    for (long j = j0, at = j0 * WIDE * E; j < n; j++, at += WIDE * E)
      normalise_backward<true>(E, dx + at, x + at, scales + j * WIDE, dz + at);
  }
};

}  // namespace
