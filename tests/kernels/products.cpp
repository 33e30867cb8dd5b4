// The products of bf16 alone, for their test.
#include "products.h"

extern "C" {
// c[M x N] = a[M x K] b[K x N], and into tiles a^T[M x K] b, each with its own layout of a.
void multiply(int64_t M, int64_t N, int64_t K, const float* a, int64_t lda, const float* b,
              float* panels, float* room, float* c) {
  pack(K, N, b, N, panels);
  product(WHOLE, M, N, K, Rows{a, lda}, panels, c, N, room);
}
void multiply_transposed(int64_t M, int64_t N, int64_t K, const float* a, int64_t lda,
                         const float* b, float* panels, float* room, float* c) {
  pack(K, N, b, N, panels);
  product(WHOLE, M, N, K, Columns{a, lda}, panels, c, N, room);
}
void add_transposed(int64_t M, int64_t N, int64_t K, const float* a, int64_t lda, const float* b,
                    float* panels, float* room, float* c) {
  pack(K, N, b, N, panels);
  add_product(M, N, K, a, lda, panels, panels + N * (K + 1), room);
  unpack(M, N, panels + N * (K + 1), c, N, 1);
}
}
