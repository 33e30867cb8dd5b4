// One tile of a product: some rows of a left operand times a panel, summed in registers.
#pragma once

#include "terms.h"

// Two ways in which a left operand lies. Its elements (i, k) are read k by k.
struct Rows {  // a row's terms side by side; what is summed may go on `jump` further
  const float* corner;
  long ld, jump;
  Rows from(int i) const { return {corner + i * ld, ld, jump}; }
  Rows chunk(int c) const { return {corner + c * jump, ld, jump}; }
  float get(int i) const { return corner[i * ld]; }
  void advance() { corner++; }
};
struct Columns {  // a panel that is multiplied transposed
  const float* corner;
  Columns from(int i) const { return {corner + i}; }
  Columns chunk(int) const { return *this; }
  float get(int i) const { return corner[i]; }
  void advance() { corner += WIDE; }
};

struct Sum {  // over so many chunks of so many terms
  int chunks, terms;
};

struct Panels {
  const float* corner;
  long apart;
};

struct Ahead {  // what later tiles will touch: fetched while this one is computed
  const float *left, *result;
  long step;
};

enum Into { SET, ADD, SCALE };  // C = x, C += x or C *= x, where x = A B + bias

// One tile, C[M x 16], M rows at once in registers; A[M x K], and B[K x 16] is a panel.
// Not inlined, where compilers spill sums; two terms a turn, as a small loop is decoded once.
template <int M, Into INTO, class Left>
static __attribute__((noinline)) void tile(Sum over, const Left& a, const float* b, float* c,
                                           const float* bias, const Ahead& ahead) {
  Register sum[M][PARTS];
  auto each = [](auto work) ALWAYS {
    unrolled<M>([&](auto i) ALWAYS { unrolled<PARTS>([&](auto v) ALWAYS { work(i, v); }); });
  };
  each([&](auto i, auto v) ALWAYS {
    sum[i][v] = bias ? bias[i] - Part{} : Part{};
    if (INTO == ADD) sum[i][v] += part(c + i * WIDE + v * PART);
  });
  unrolled<M>([&](auto i) ALWAYS { __builtin_prefetch(ahead.result + i * WIDE, 1); });
  const float* left_ahead = ahead.left;
  for (int chunk = 0; chunk < over.chunks; chunk++) {
    Left left = a.chunk(chunk);
    auto multiply = [&]() ALWAYS {
      Register own[PARTS];
      unrolled<PARTS>([&](auto v) ALWAYS { own[v] = part(b + v * PART), hold(own[v]); });
      unrolled<M>([&](auto i) ALWAYS {
        Factor factor = left.get(i) - Factor{};
        hold(factor);
        unrolled<PARTS>([&](auto v) ALWAYS { add_product(sum[i][v], factor, own[v]); });
      });
      left.advance(), b += WIDE;
    };
    int k = 0;
    for (; k + 2 <= over.terms; k += 2, left_ahead += ahead.step) {
      __builtin_prefetch(left_ahead);
      multiply();
      multiply();
    }
    if (k < over.terms) multiply();
  }
  each([&](auto i, auto v) ALWAYS {
    if (INTO == SCALE) sum[i][v] *= part(c + i * WIDE + v * PART);
    part(c + i * WIDE + v * PART) = sum[i][v];
  });
}

template <int M, Into INTO, class Left>
static inline void some_rows(int m, Sum over, const Left& a, const float* b, float* c,
                             const float* bias, const Ahead& ahead) {
  if (m == M) return tile<M, INTO>(over, a, b, c, bias, ahead);
  if constexpr (M > 1) some_rows<M - 1, INTO>(m, over, a, b, c, bias, ahead);
}
