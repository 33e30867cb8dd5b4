// Vectors, and the terms that products sum over.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

// Whether the processor multiplies pairs of bf16; the twin does the same in plain operations.
#if defined(BF16) && defined(__AVX512BF16__) && defined(__AVX512VL__) && !defined(SCALAR_TWIN)
#define NATIVE_BF16
#include <immintrin.h>
#elif defined(BF16) && !defined(SCALAR_TWIN)
#error the compiler does not know AVX512-BF16
#endif

#if defined(__AVX__)  // with AVX-512 too: vectors of 16 multiplied more slowly
constexpr int PART = 8, ROWS = 6;
#elif defined(__aarch64__)  // 32 registers, as with AVX-512
constexpr int PART = 4, ROWS = 6;
#else
constexpr int PART = 4, ROWS = 4;
#endif
constexpr int WIDE = 16;  // tokens of a panel
constexpr int PARTS = WIDE / PART;

typedef float Register __attribute__((vector_size(4 * PART)));
typedef float Part __attribute__((vector_size(4 * PART), aligned(4), may_alias));  // in memory

static inline Part& part(float* p) { return *reinterpret_cast<Part*>(p); }
static inline Part part(const float* p) { return *reinterpret_cast<const Part*>(p); }

// A sum is over terms of four bytes, which lie where floats do. A term is one number; with BF16 it
// is two, rounded to the upper half of their bits, whose products are added one after the other.
#if defined(BF16)
constexpr int OF_TERM = 2;
#else
constexpr int OF_TERM = 1;
#endif
static inline constexpr int terms(int k) { return (k + OF_TERM - 1) / OF_TERM; }

typedef uint32_t Bits __attribute__((vector_size(4 * PART), aligned(4), may_alias));
typedef uint64_t Longs __attribute__((vector_size(4 * PART), aligned(4), may_alias));
typedef uint32_t HalfBits __attribute__((vector_size(2 * PART), aligned(4), may_alias));

static inline Bits rounded(Part x) {  // to the nearest, ties to even, in the upper halves
  Bits bits = reinterpret_cast<Bits&>(x), nan = Bits{} + 0x7fc00000u;
  return x == x ? bits + 0x7fffu + ((bits >> 16) & 1u) : nan;
}

// Terms of the numbers that lie under one another; of those that lie side by side.
static inline Part term(Part first, Part second) {
  Bits both = (rounded(first) >> 16) | (rounded(second) & 0xffff0000u);
  return reinterpret_cast<Part&>(both);
}
static inline void terms_of_row(Part numbers, float* out) {
#if defined(NATIVE_BF16)
  __m128bh halves = _mm256_cvtneps_pbh((__m256)numbers);
  std::memcpy(out, &halves, sizeof halves);
#else
  Bits bits = rounded(numbers);
  Longs both = reinterpret_cast<Longs&>(bits);
  both = ((both >> 16) & 0xffffu) | ((both >> 32) & 0xffff0000u);
  *reinterpret_cast<HalfBits*>(out) = __builtin_convertvector(both, HalfBits);
#endif
}

// A left operand's term as it is multiplied: everywhere in a register, or NEON's way, once.
#if defined(__aarch64__) && !defined(SCALAR_TWIN)
typedef float Factor;
#else
typedef Register Factor;
#endif

#if defined(SCALAR_TWIN)  // the processor's product of pairs in plain operations
static float plus_product(float sum, float left, float own) {
  uint32_t bits[2];
  std::memcpy(bits, &left, sizeof left), std::memcpy(bits + 1, &own, sizeof own);
  uint32_t halves[4] = {bits[0] << 16, bits[1] << 16, bits[0] & 0xffff0000u, bits[1] & 0xffff0000u};
  float numbers[4];
  std::memcpy(numbers, halves, sizeof numbers);
  sum += numbers[0] * numbers[1];
  return sum + numbers[2] * numbers[3];
}
static __attribute__((noinline)) void add_product(Register& sum, Register left, Register own) {
  for (int v = 0; v < PART; v++) sum[v] = plus_product(sum[v], left[v], own[v]);
}
#else  // in place, and in the processor's own words: compilers would move sums about
static inline void add_product(Register& sum, Factor left, Register own) {
#if defined(NATIVE_BF16)
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(left), "v"(own));
#elif defined(__FMA__) && defined(__x86_64__)
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(left), "v"(own));
#elif defined(__aarch64__)
  asm("fmla %0.4s, %2.4s, %1.s[0]" : "+w"(sum) : "w"(left), "w"(own));
#else
  sum += left * own;
#endif
}
#endif

// Have a value that is used several times in a register; compilers would load it each time.
template <class Value>
static inline void hold(Value& x) {
#if defined(__x86_64__)
  asm volatile("" : "+v"(x));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(x));
#endif
}

#define EACH _Pragma("GCC unroll 16")  // else what is unrolled would live in memory

#if defined(__has_builtin) && __has_builtin(__builtin_shufflevector)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Bits{__VA_ARGS__})
#endif

#define ALWAYS __attribute__((always_inline))
// Calls work with each number below N, known when compiling: what it indexes stays in registers.
template <class Work, int... I>
static inline ALWAYS void unrolled_over(Work work, std::integer_sequence<int, I...>) {
  (work(std::integral_constant<int, I>{}), ...);
}
template <int N, class Work>
static inline ALWAYS void unrolled(Work work) {
  unrolled_over(work, std::make_integer_sequence<int, N>());
}
