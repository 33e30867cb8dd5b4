// Products of bf16 with AMX, whose eight registers hold up to 16 rows of 64 bytes each: 16 terms of
// a left operand's rows, 16 terms of a panel, or a tile of sums.
#pragma once

#include "tiles.h"

#if defined(AMX)

#if !defined(SCALAR_TWIN)
#include <sys/syscall.h>
#include <unistd.h>
#endif

constexpr int TILE = 16;  // rows of a register, and terms or sums of a row
constexpr bool HAS_AMX = true;

struct alignas(64) Shapes {  // of a thread's registers, as the processor reads them
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[TILE];
  uint8_t rows[TILE];
};

#if defined(SCALAR_TWIN)  // what the processor does, in plain operations
struct Registers {
  Shapes shapes;
  float numbers[8][TILE][TILE];
};
static thread_local Registers registers;

static void set_shapes(const Shapes& shapes) { registers = {shapes, {}}; }
static void release_tiles() { registers = {}; }
template <int T>
static void clear_tile() {
  std::memset(registers.numbers[T], 0, sizeof registers.numbers[T]);
}
template <int T>
static void load_tile(const float* from, long apart) {
  clear_tile<T>();
  for (int i = 0; i < registers.shapes.rows[T]; i++)
    std::memcpy(registers.numbers[T][i], from + i * apart, registers.shapes.row_bytes[T]);
}
template <int T>
static void store_tile(float* to, long apart) {
  for (int i = 0; i < registers.shapes.rows[T]; i++)
    std::memcpy(to + i * apart, registers.numbers[T][i], registers.shapes.row_bytes[T]);
}
template <int T, int A, int B>
static void multiply_tiles() {
  const Shapes& shapes = registers.shapes;
  for (int i = 0; i < shapes.rows[A]; i++)
    for (int k = 0; k < shapes.row_bytes[A] / 4; k++)
      for (int j = 0; j < shapes.row_bytes[B] / 4; j++)
        registers.numbers[T][i][j] =
            plus_product(registers.numbers[T][i][j], registers.numbers[A][i][k],
                         registers.numbers[B][k][j]);
}
static bool has_tiles() { return true; }
#else  // written out, as intrinsics take no computed register
static inline void set_shapes(const Shapes& shapes) {
  asm volatile("ldtilecfg %0" : : "m"(shapes));
}
static inline void release_tiles() { asm volatile("tilerelease"); }
template <int T>
static inline void clear_tile() {
  asm volatile("tilezero %%tmm%c0" : : "i"(T));
}
template <int T>
static inline void load_tile(const float* from, long apart) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(4 * apart), "i"(T) : "memory");
}
template <int T>
static inline void store_tile(float* to, long apart) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(4 * apart), "i"(T) : "memory");
}
template <int T, int A, int B>
static inline void multiply_tiles() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(T), "i"(A), "i"(B));
}
// Linux keeps the tiles of a process that has asked for them.
static bool has_tiles() {
  constexpr long ARCH_REQ_XCOMP_PERM = 0x1023, OF_TILES = 18;
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, OF_TILES) == 0;
}
#endif

// What a thread's registers are shaped for. They are its own, and others in the process use them too:
// so whoever multiplies has one of these meanwhile.
class Tiles {
 public:
  Tiles() { rows = tail = -1; }
  ~Tiles() { release_tiles(); }
  Tiles(const Tiles&) = delete;

  // Registers 0 to 3 for m rows of sums; of the left operand and of a panel 4 and 6 for 16 terms,
  // 5 and 7 for the terms beyond a multiple of 16. Clears them all if their shapes change.
  static void shape(int m, int terms_beyond) {
    if (m == rows && terms_beyond == tail) return;
    rows = m, tail = terms_beyond;
    Shapes shapes{1, 0, {}, {}, {}};
    auto set = [&](int t, int n, int terms) { shapes.rows[t] = n, shapes.row_bytes[t] = 4 * terms; };
    for (int t = 0; t < 4; t++) set(t, m, TILE);
    set(4, m, TILE), set(6, TILE, TILE);
    if (tail > 0) set(5, m, tail), set(7, tail, TILE);
    set_shapes(shapes);
  }

 private:
  static inline thread_local int rows, tail;
};

// m rows of A times N panels at once, N at most 4.
template <int N, Into INTO>
static void some_panels(int m, Sum over, const Rows& a, Panels b, float* c, long c_apart,
                        const float* bias) {
  constexpr int LEFT = 4, RIGHT = 6;
  int whole = over.terms / TILE * TILE;
  unrolled<N>([&](auto j) ALWAYS {
    if constexpr (INTO == ADD)
      load_tile<j>(c + j * c_apart, WIDE);
    else
      clear_tile<j>();
  });
  for (int chunk = 0; chunk < over.chunks; chunk++) {
    const float *left = a.corner + chunk * a.jump, *own = b.corner + (long)chunk * over.terms * WIDE;
    auto multiply = [&](auto beyond, int k) ALWAYS {
      load_tile<LEFT + beyond>(left + k, a.ld);
      unrolled<N>([&](auto j) ALWAYS {
        load_tile<RIGHT + beyond>(own + k * WIDE + j * b.apart, WIDE);
        multiply_tiles<j, LEFT + beyond, RIGHT + beyond>();
      });
    };
    for (int k = 0; k < whole; k += TILE) multiply(std::integral_constant<int, 0>{}, k);
    if (whole < over.terms) multiply(std::integral_constant<int, 1>{}, whole);
  }
  unrolled<N>([&](auto j) ALWAYS {
    float *to = c + j * c_apart, sums[TILE * WIDE];
    if (INTO != SCALE && !bias) return store_tile<j>(to, WIDE);
    store_tile<j>(sums, WIDE);
    for (int i = 0; i < m * WIDE; i += PART) {
      Part x = part(sums + i) + (bias ? bias[i / WIDE] : 0);
      part(to + i) = INTO == SCALE ? part(to + i) * x : x;
    }
  });
}

// C = A B + bias, m rows of A at most 16, for each of n panels.
template <Into INTO>
static void row_of_tiles(int m, Sum over, const Rows& a, Panels b, float* c, long c_apart, int n,
                         const float* bias) {
  Tiles::shape(m, over.terms % TILE);
  for (int j = 0; j < n; j += 4) {
    Panels right{b.corner + j * b.apart, b.apart};
    float* to = c + j * c_apart;
    if (n - j >= 4) some_panels<4, INTO>(m, over, a, right, to, c_apart, bias);
    else if (n - j == 3) some_panels<3, INTO>(m, over, a, right, to, c_apart, bias);
    else if (n - j == 2) some_panels<2, INTO>(m, over, a, right, to, c_apart, bias);
    else some_panels<1, INTO>(m, over, a, right, to, c_apart, bias);
  }
}

#else

constexpr int TILE = ROWS;
constexpr bool HAS_AMX = false;
struct Tiles {
  Tiles() {}
};
static bool has_tiles() { return true; }

#endif
