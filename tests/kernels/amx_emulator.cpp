// AMX's instructions on a processor without them: each raises SIGILL, and is carried out here.
//
// Decoded and done after Intel's Software Developer's Manual, volume 2; what the processor would
// refuse ends the process with a line.
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>

namespace {

struct Palette {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
struct State {
  Palette shapes;
  uint8_t tiles[8][16][64];
};
thread_local State state;
long n_multiplied, n_spoilt;
struct sigaction before;

void demand(bool is_so, const char* rule) {
  if (is_so) return;
  std::fprintf(stderr, "AMX: %s\n", rule);
  std::abort();
}

int rows_of(int t) {
  demand(state.shapes.palette == 1, "the tiles must have shapes");
  demand(t < 8 && state.shapes.rows[t] > 0, "a tile must have rows");
  return state.shapes.rows[t];
}

void configure(const void* from) {
  state = {};
  std::memcpy(&state.shapes, from, 64);
  const Palette& own = state.shapes;
  demand(own.palette == 1 && own.start_row == 0, "the palette must be 1, the first row 0");
  for (uint8_t byte : own.reserved) demand(byte == 0, "reserved bytes must be 0");
  for (int t = 0; t < 16; t++) {
    demand(own.rows[t] <= (t < 8 ? 16 : 0), "a tile has 16 rows at most, and there are 8");
    demand(own.row_bytes[t] <= (t < 8 ? 64 : 0), "a row has 64 bytes at most");
    demand((own.rows[t] == 0) == (own.row_bytes[t] == 0), "rows and their bytes must go together");
  }
}

float upper(uint32_t bits) {
  bits &= 0xffff0000u;
  float number;
  std::memcpy(&number, &bits, 4);
  return number;
}

void multiply(int sums, int a, int b) {
  const Palette& own = state.shapes;
  demand(sums != a && sums != b && a != b, "a product's three tiles must differ");
  demand(rows_of(sums) == rows_of(a), "sums must have a row for each of the left operand");
  demand(own.row_bytes[sums] == own.row_bytes[b], "sums must have the right operand's columns");
  demand(own.row_bytes[a] == 4 * rows_of(b), "both operands must have the same terms");
  for (int i = 0; i < own.rows[a]; i++)
    for (int j = 0; j < own.row_bytes[b] / 4; j++) {
      float sum;
      std::memcpy(&sum, &state.tiles[sums][i][4 * j], 4);
      for (int k = 0; k < own.rows[b]; k++) {
        uint32_t left, right;
        std::memcpy(&left, &state.tiles[a][i][4 * k], 4);
        std::memcpy(&right, &state.tiles[b][k][4 * j], 4);
        sum += upper(left << 16) * upper(right << 16);
        sum += upper(left) * upper(right);
      }
      std::memcpy(&state.tiles[sums][i][4 * j], &sum, 4);
    }
  __atomic_add_fetch(&n_multiplied, 1, __ATOMIC_RELAXED);
  if (n_spoilt > 0 && n_spoilt-- == 1) state.tiles[sums][0][2] ^= 0x80;
}

constexpr int REGISTERS[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                             REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                             REG_R12, REG_R13, REG_R14, REG_R15};

struct Instruction {  // VEX in three bytes, opcode, ModRM, SIB, displacement
  uint8_t* corner;
  int prefix, opcode, mode, reg, rm, third, length;
  long apart;

  Instruction(const uint8_t* at, const greg_t* registers) {
    bool is_ours = at[0] == 0xc4 && (at[1] & 31) == 2 && !(at[2] & 0x84);
    demand(is_ours, "an illegal instruction that is none of AMX's");
    prefix = at[2] & 3, third = ~(at[2] >> 3) & 15, opcode = at[3];
    mode = at[4] >> 6, reg = (at[4] >> 3) & 7, rm = at[4] & 7, length = 5;
    corner = nullptr, apart = 0;
    if (mode == 3) return;
    int extend_base = at[1] & 0x20 ? 0 : 8, extend_index = at[1] & 0x40 ? 0 : 8, base = rm;
    if (rm == 4) {
      int sib = at[length++], index = ((sib >> 3) & 7) + extend_index;
      base = sib & 7;
      if (index != 4) apart = registers[REGISTERS[index]] << (sib >> 6);
    }
    bool has_base = mode != 0 || base != 5;
    long shift = 0;
    if (mode == 1) shift = static_cast<int8_t>(at[length]), length += 1;
    if (mode == 2 || !has_base) {
      int32_t wide;
      std::memcpy(&wide, at + length, 4);
      shift = wide, length += 4;
    }
    if (has_base) shift += registers[REGISTERS[base + extend_base]];
    else if (rm == 5) shift += reinterpret_cast<long>(at) + length;
    corner = reinterpret_cast<uint8_t*>(shift);
  }
};

void carry_out(const Instruction& own) {
  auto is = [&](int opcode, int prefix) { return own.opcode == opcode && own.prefix == prefix; };
  auto each_row = [&](auto work) {
    for (int i = 0, n = rows_of(own.reg); i < n; i++)
      work(state.tiles[own.reg][i], own.corner + i * own.apart, state.shapes.row_bytes[own.reg]);
  };
  bool in_memory = own.mode != 3;
  if (is(0x49, 0) && in_memory) configure(own.corner);
  else if (is(0x49, 0)) state = {};
  else if (is(0x49, 3)) rows_of(own.reg), std::memset(state.tiles[own.reg], 0, 1024);
  else if (is(0x4b, 3) && in_memory) {
    std::memset(state.tiles[own.reg], 0, 1024);
    each_row([](uint8_t* row, uint8_t* memory, int n) { std::memcpy(row, memory, n); });
  } else if (is(0x4b, 2) && in_memory)
    each_row([](uint8_t* row, uint8_t* memory, int n) { std::memcpy(memory, row, n); });
  else if (is(0x5c, 2) && !in_memory) multiply(own.reg, own.rm, own.third);
  else demand(false, "an instruction that is not known here");
}

void on_illegal(int, siginfo_t*, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  Instruction own(reinterpret_cast<const uint8_t*>(registers[REG_RIP]), registers);
  carry_out(own);
  registers[REG_RIP] += own.length;
}

}  // namespace

extern "C" {
void start() {
  struct sigaction action = {};
  action.sa_sigaction = on_illegal;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGILL, &action, &before);
}
void stop() { sigaction(SIGILL, &before, nullptr); }
long multiplied() { return n_multiplied; }
void spoil(long which) { n_spoilt = which; }  // a bit of the first sum of a product to come
}
