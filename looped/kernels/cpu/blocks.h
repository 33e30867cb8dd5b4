// The blocks of one prompt, forward and backward.
//
// Letters: L tokens, E width, A width of all heads, D of one, F hidden units of the MLP. Widths are
// padded to multiples of 16 with zeros; e and d are the true width and that of one head, over which
// products sum. LP is L padded likewise.
// Weights are folded: only the last norm has a gain and a bias of its own.
#pragma once

#include <cstdint>
#include <cstring>

#include "folding.h"
#include "pointwise.h"
#include "products.h"

namespace {

struct Kept {  // by one block of one loop, for its backward pass; qkv head by head
  float *x1, *r1, *qkv, *p, *att, *x2, *r2, *slope, *hidden;
};

struct Blocks {
  const Shape& s;
  const Weights &w, &packed, &back, &g;
  const int L, E, A, F, D, LP;
  Taker memory;
  Kept* all_kept;
  float *z, *dz, *dx, *dqkv, *datt, *ds, *panels, *columns, *room;

  Blocks(const Shape& s, const Weights& w, const Weights& packed, const Weights& back,
         const Weights& g, float* workspace)
      : s(s), w(w), packed(packed), back(back), g(g), L(s.L), E(s.E), A(s.n_head * s.D), F(s.F),
        D(s.D), LP((L + 15) / 16 * 16), memory{workspace} {
    long state = (long)L * E, blocks = s.segment * s.n_layer;
    auto take = [&](long n) { return memory.take(n); };
    all_kept = reinterpret_cast<Kept*>(take(blocks * sizeof(Kept) / sizeof(float)));
    for (long i = 0; i < blocks; i++) {
      Kept own = {take(state), take(L), take(3L * L * A), take(s.n_head * LP * LP), take(L * A),
                  take(state), take(L), take((long)L * F), take((long)L * F)};
      if (workspace) all_kept[i] = own;
    }
    z = take(state), dz = take(state), dx = take(state);
    dqkv = take(3L * L * A), datt = take(L * A), ds = take(LP * LP);
    panels = take((long)LP * (E > A ? E : A)), columns = take(L * ROWS + PART);
    long widest = LP > 3 * A ? LP : 3 * A;
    room = OF_TERM > 1 ? take((long)LP * (F > widest ? F : widest)) : nullptr;
  }

  const Kept& kept(int layer, int slot) const { return all_kept[slot * s.n_layer + layer]; }

  template <Into INTO = SET, class Left>
  void multiply(Reach reach, int M, int N, int K, Left a, const float* panels, float* c, long ldc,
                const float* bias = nullptr) {
    product<INTO>(reach, M, N, K, a, panels, c, ldc, room, bias);
  }

  // z: the block's input on entry, its output on return. Rows before r0 are not computed: nothing
  // reads them after the last loop's last block.
  void forward(int layer, int slot, int r0) {
    const Kept& k = kept(layer, slot);
    int rows = L - r0, wide = 3 * A;
    normalise(L, E, s.e, z, k.x1, k.r1);
    multiply(WHOLE, L, wide, s.e, Rows{k.x1, E}, packed.wqkv + (long)layer * wide * E, k.qkv, D,
            w.bqkv + layer * wide);
    for (int h = 0; h < s.n_head; h++) {
      float *q = k.qkv + (long)h * L * D, *p = k.p + ((long)h * LP + r0) * LP;
      pack_transposed(s.d, L, q + L * A, D, panels);
      multiply(r0 ? WHOLE : FROM_PANEL, rows, LP, s.d, Rows{q + r0 * D, D}, panels, p, LP);
      causal_softmax(r0, L, LP, s.score_scale, p);
      pack(L, D, q + 2 * L * A, D, panels);
      multiply(r0 ? WHOLE : UP_TO_ROW, rows, D, L, Rows{p, LP}, panels, k.att + r0 * A + h * D, A);
    }
    float *own = z + r0 * E, *x2 = k.x2 + r0 * E;
    float *slope = k.slope + (long)r0 * F, *hidden = k.hidden + (long)r0 * F;
    multiply<ADD>(WHOLE, rows, E, A, Rows{k.att + r0 * A, A}, packed.wo + (long)layer * E * A, own,
                 E, w.bo + layer * E);
    normalise(rows, E, s.e, own, x2, k.r2 + r0);
    multiply(WHOLE, rows, F, s.e, Rows{x2, E}, packed.w1 + (long)layer * F * E, slope, F,
            w.b1 + layer * F);
    gelu((long)rows * F, slope, hidden);
    multiply<ADD>(WHOLE, rows, E, s.f, Rows{hidden, F}, packed.w2 + (long)layer * E * F, own, E,
                 w.b2 + layer * E);
  }

  // dz: of the block's output on entry, 0 before r0; of its input on return.
  void backward(int layer, int slot, int r0) {
    const Kept& k = kept(layer, slot);
    int rows = L - r0, wide = 3 * A;
    float *own = dz + r0 * E, *x2 = k.x2 + r0 * E;
    float *dhidden = k.slope + (long)r0 * F, *hidden = k.hidden + (long)r0 * F;
    add_rows(rows, E, own, g.b2 + layer * E);
    pack(rows, E, own, E, panels);
    add_product(F, E, rows, hidden, F, panels, g.w2 + (long)layer * E * F, columns);
    multiply<SCALE>(WHOLE, rows, F, s.e, Rows{own, E}, back.w2 + (long)layer * E * F, dhidden, F);
    add_rows(rows, F, dhidden, g.b1 + layer * F);
    pack(rows, E, x2, E, panels);
    add_product(F, E, rows, dhidden, F, panels, g.w1 + (long)layer * F * E, columns);
    multiply(WHOLE, rows, E, s.f, Rows{dhidden, F}, back.w1 + (long)layer * F * E, dx, E);
    normalise_backward(rows, E, s.e, dx, x2, k.r2 + r0, own, true);

    add_rows(rows, E, own, g.bo + layer * E);
    pack(rows, A, k.att + r0 * A, A, panels);
    add_product(E, A, rows, own, E, panels, g.wo + (long)layer * E * A, columns);
    multiply(WHOLE, rows, A, s.e, Rows{own, E}, back.wo + (long)layer * E * A, datt, A);
    if (r0) std::memset(dqkv, 0, sizeof(float) * r0 * wide);
    for (int h = 0; h < s.n_head; h++) {
      float *q = k.qkv + (long)h * L * D, *p = k.p + ((long)h * LP + r0) * LP, *d = dqkv + h * D;
      pack_transposed(s.d, L, q + 2 * L * A, D, panels);
      multiply(r0 ? WHOLE : FROM_PANEL, rows, LP, s.d, Rows{datt + h * D, A}, panels, ds, LP);
      causal_softmax_backward(r0, L, LP, s.score_scale, p, ds);
      pack(rows, D, datt + h * D, A, panels);
      multiply(r0 ? WHOLE : FROM_ROW, L, D, rows, Columns{p, LP}, panels, d + 2 * A, wide);
      pack(rows, D, q + r0 * D, D, panels);
      multiply(r0 ? WHOLE : FROM_ROW, L, D, rows, Columns{ds, LP}, panels, d + A, wide);
      pack(L, D, q + L * A, D, panels);
      multiply(r0 ? WHOLE : UP_TO_ROW, rows, D, L, Rows{ds, LP}, panels, d + r0 * wide, wide);
    }
    add_rows(L, wide, dqkv, g.bqkv + layer * wide);
    pack(L, E, k.x1, E, panels);
    add_product(wide, E, L, dqkv, wide, panels, g.wqkv + (long)layer * wide * E, columns);
    multiply(WHOLE, L, E, wide, Rows{dqkv, wide}, back.wqkv + (long)layer * wide * E, dx, E);
    normalise_backward(L, E, s.e, dx, k.x1, k.r1, dz, true);
  }
};

}  // namespace
