// The products of bf16 alone, for their test: c[M x N] = a[M x K] b[K x N], in panels of 16 columns.
#include "products.h"

extern "C" {
int64_t allow() { return has_tiles(); }
int64_t are_right() {
  Tiles tiles;
  return multiplies();
}
// As weights are multiplied: a's rows are packed.
void multiply(int64_t M, int64_t N, int64_t K, const float* a, const float* b, float* room,
              float* c) {
  Tiles tiles;
  pack_rows(M, K, a, room);
  Panels right = paired(K, N / WIDE, {b, K * WIDE}, room + M * K);
  product(M, {1, terms(K)}, Rows{room, terms(K), 0}, right, c, M * WIDE, N / WIDE);
}
// As scores are: a is a panel of K rows, and multiplied transposed.
void multiply_transposed(int64_t M, int64_t N, int64_t K, const float* a, const float* b,
                         float* room, float* c) {
  Tiles tiles;
  Columns left{paired(K, a, room)};
  Panels right = paired(K, N / WIDE, {b, K * WIDE}, room + K * WIDE);
  product(M, {1, terms(K)}, left, right, c, M * WIDE, N / WIDE);
}
// As gradients are summed: a[M x K] and b[N x K] lie in panels, c += a b^T.
void add_outer(int64_t M, int64_t N, int64_t K, const float* a, const float* b, float* room,
               float* c) {
  Tiles tiles;
  int n = K / WIDE, at_once = panels_at_once(n);
  float *sums = room, *columns = sums + M * N, *side = columns + N * K;
  for (int i = 0; i < M * N; i++) sums[i] = 0;
  transposed(N, n, b, columns);
  Rows left = side_by_side(M, n, {a, M * WIDE}, side, at_once);
  add_to_tiles(M, N, over_columns(n, at_once), left, columns, sums);
  unpack(M, N, sums, c, N, 1);
}
}
