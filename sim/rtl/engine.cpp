// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Run loop of bw_engine: clock, AXI4-Lite host, DRAM behind the AXI4 port with latency, bandwidth, stalls and errors,
// and checks of the AXI rules that the engine must keep. One call runs until the interrupt; Python sees memory and
// registers.
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "Vbw_engine.h"
#include "Vbw_engine___024root.h"
#include "verilated.h"

namespace {

// The first assertion that failed since it was last asked for; without BW_ASSERT nothing writes it.
std::string broken;

struct Random {  // xorshift64*
  uint64_t state = 1;
  uint32_t next() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 0x2545F4914F6CDD1DULL) >> 32;
  }
};

// A channel whose slave hesitates: the chance changes every 64 cycles, so that quiet and blocked stretches both occur.
struct Stall {
  uint32_t chance = 0;
  bool at(Random &random, bool active, uint64_t cycle) {
    if (!active) return false;
    if ((cycle & 63) == 0) {
      static const uint32_t chances[] = {0, 64, 128, 240};
      chance = chances[random.next() & 3];
    }
    return (random.next() & 255) < chance;
  }
};

struct Burst {
  uint64_t address, ready;
  int length, id, beat = 0;
  std::vector<uint8_t> data, strobe;
};

struct Settings {
  uint64_t latency, write_latency, beats_per_256, stall_seed;
  uint64_t read_error_lo, read_error_hi, write_error_lo, write_error_hi, dead;
};

struct Engine {
  VerilatedContext context;
  Vbw_engine top;
  uint8_t *memory;
  uint64_t bytes, origin;
  int max_burst;
  uint64_t cycle = 0;
  std::string problem;

  Settings settings{40, 20, 256, 0, 0, 0, 0, 0, 0};
  Random random;
  Stall stall_ar, stall_r, stall_aw, stall_w, stall_b;
  std::deque<Burst> reads, writes, answers;
  struct Beat {
    uint8_t data[16];
    uint16_t strobe;
    bool last;
  };
  std::deque<Beat> beats;
  int64_t budget = 0;
  bool write_turn = false;
  uint64_t read_beats = 0, write_beats = 0;
  uint64_t run_start = 0;
  std::vector<uint32_t> trace[8];  // cycles of the run in which instructions started (LD, ST, PW, DW) and finished

  // Outputs of the last cycle that were not taken, for the rule that VALID and its payload stay.
  struct {
    bool ar, aw, w;
    uint64_t ar_address, aw_address;
    int ar_length, ar_id, aw_length, w_strobe;
    bool w_last;
    uint32_t w_data[4];
  } held{};

  Engine(uint8_t *m, uint64_t n, uint64_t o, int burst)
      : top(&context), memory(m), bytes(n), origin(o), max_burst(burst) {
    top.rst_ni = 0;
    for (int i = 0; i < 8; i++) tick();
    top.rst_ni = 1;
    for (int i = 0; i < 4; i++) tick();
  }
  ~Engine() {
    Verilated::threadContextp(&context);  // that of an engine which is gone may be there
    top.final();
  }

  void fail(const char *format, ...) {
    if (!problem.empty()) return;
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    problem = "cycle " + std::to_string(cycle) + ": " + text;
  }

  bool outside(uint64_t address) const { return address < origin || address + 16 > origin + bytes; }

  void check_address(const char *channel, uint64_t address, int length, int size, int kind) {
    if (size != 4 || kind != 1) fail("%s: size %d, burst %d; must be 4 (16 bytes), 1 (INCR)", channel, size, kind);
    if (address & 15) fail("%s: address %#llx is not aligned", channel, (unsigned long long)address);
    if ((address & 4095) + 16 * length > 4096)
      fail("%s: %d beats at %#llx cross 4 KB", channel, length, (unsigned long long)address);
    if (length > max_burst) fail("%s: %d beats, MAX_BURST is %d", channel, length, max_burst);
    if (outside(address) || outside(address + 16 * (length - 1)))
      fail("%s: %d beats at %#llx leave the memory", channel, length, (unsigned long long)address);
  }

  void check_stable() {
    if (held.ar && !(top.m_axi_arvalid && top.m_axi_araddr == held.ar_address && top.m_axi_arlen == held.ar_length &&
                     top.m_axi_arid == held.ar_id))
      fail("AR changed before it was taken");
    if (held.aw && !(top.m_axi_awvalid && top.m_axi_awaddr == held.aw_address && top.m_axi_awlen == held.aw_length))
      fail("AW changed before it was taken");
    if (held.w && !(top.m_axi_wvalid && top.m_axi_wstrb == held.w_strobe && top.m_axi_wlast == held.w_last &&
                    memcmp(held.w_data, &top.m_axi_wdata[0], 16) == 0))
      fail("W changed before it was taken");
    held.ar = top.m_axi_arvalid && !top.m_axi_arready;
    held.aw = top.m_axi_awvalid && !top.m_axi_awready;
    held.w = top.m_axi_wvalid && !top.m_axi_wready;
    if (held.ar) held.ar_address = top.m_axi_araddr, held.ar_length = top.m_axi_arlen, held.ar_id = top.m_axi_arid;
    if (held.aw) held.aw_address = top.m_axi_awaddr, held.aw_length = top.m_axi_awlen;
    if (held.w) {
      held.w_strobe = top.m_axi_wstrb;
      held.w_last = top.m_axi_wlast;
      memcpy(held.w_data, &top.m_axi_wdata[0], 16);
    }
  }

  // The next read beat: bursts of one ID stay in order; with stalls on, those of the two IDs mix.
  void load_read(bool stalls) {
    if (reads.empty() || reads.front().ready > cycle || budget < 256) return;
    size_t pick = 0;
    if (stalls && (random.next() & 1))
      for (size_t i = 1; i < reads.size(); i++)
        if (reads[i].id != reads[0].id) {
          if (reads[i].ready <= cycle) pick = i;
          break;
        }
    Burst &burst = reads[pick];
    uint64_t address = burst.address + 16 * burst.beat;
    bool bad = outside(address) || (address >= settings.read_error_lo && address < settings.read_error_hi);
    top.m_axi_rvalid = 1;
    top.m_axi_rid = burst.id;
    top.m_axi_rresp = bad ? 2 : 0;
    if (bad) memset(&top.m_axi_rdata[0], 0xEE, 16);
    else memcpy(&top.m_axi_rdata[0], memory + (address - origin), 16);
    top.m_axi_rlast = ++burst.beat == burst.length;
    budget -= 256;
    read_beats++;
    if (burst.beat == burst.length) reads.erase(reads.begin() + pick);
  }

  // The data of a write reach the memory with its response, not before: who does not wait for it reads old data.
  void load_answer() {
    if (answers.empty() || answers.front().ready > cycle) return;
    Burst &burst = answers.front();
    bool bad = false;
    for (int i = 0; i < burst.length; i++) {
      uint64_t address = burst.address + 16 * i;
      bad |= outside(address) || (address >= settings.write_error_lo && address < settings.write_error_hi);
    }
    if (!bad)
      for (int i = 0; i < 16 * burst.length; i++)
        if (burst.strobe[i]) memory[burst.address - origin + i] = burst.data[i];
    top.m_axi_bvalid = 1;
    top.m_axi_bid = 0;
    top.m_axi_bresp = bad ? 2 : 0;
    answers.pop_front();
  }

  void tick() {
    const bool stalls = settings.stall_seed != 0, alive = !settings.dead;
    if (budget < 1024) budget += settings.beats_per_256;
    top.m_axi_arready = alive && reads.size() < 16 && !stall_ar.at(random, stalls, cycle);
    top.m_axi_awready = alive && writes.size() + answers.size() < 16 && !stall_aw.at(random, stalls, cycle);
    const bool hold_r = !alive || stall_r.at(random, stalls, cycle);
    const bool hold_w = !alive || stall_w.at(random, stalls, cycle);
    write_turn = !write_turn;
    if (!write_turn && !top.m_axi_rvalid && !hold_r) load_read(stalls);
    top.m_axi_wready = !hold_w && beats.size() < 64 && budget >= 256;
    if (write_turn && !top.m_axi_rvalid && !hold_r && (!top.m_axi_wvalid || budget >= 512)) load_read(stalls);
    if (!top.m_axi_bvalid && alive && !stall_b.at(random, stalls, cycle)) load_answer();

    top.clk_i = 0;
    top.eval();
    const bool ar = top.m_axi_arvalid && top.m_axi_arready, aw = top.m_axi_awvalid && top.m_axi_awready;
    const bool w = top.m_axi_wvalid && top.m_axi_wready, r = top.m_axi_rvalid && top.m_axi_rready;
    const bool b = top.m_axi_bvalid && top.m_axi_bready;
    if (top.rst_ni) {
      check_stable();
      if (ar) {
        const int length = top.m_axi_arlen + 1;
        check_address("AR", top.m_axi_araddr, length, top.m_axi_arsize, top.m_axi_arburst);
        reads.push_back({top.m_axi_araddr, cycle + settings.latency, length, top.m_axi_arid, 0, {}, {}});
      }
      if (aw) {
        const int length = top.m_axi_awlen + 1;
        check_address("AW", top.m_axi_awaddr, length, top.m_axi_awsize, top.m_axi_awburst);
        writes.push_back({top.m_axi_awaddr, 0, length, top.m_axi_awid, 0, {}, {}});
      }
      if (w) {
        Beat beat;
        memcpy(beat.data, &top.m_axi_wdata[0], 16);
        beat.strobe = top.m_axi_wstrb;
        beat.last = top.m_axi_wlast;
        beats.push_back(beat);
        budget -= 256;
        write_beats++;
      }
      while (!beats.empty() && !writes.empty()) {
        Burst &burst = writes.front();
        const Beat &beat = beats.front();
        for (int i = 0; i < 16; i++) burst.data.push_back(beat.data[i]), burst.strobe.push_back(beat.strobe >> i & 1);
        if (beat.last != (++burst.beat == burst.length))
          fail("WLAST is wrong in beat %d of %d", burst.beat, burst.length);
        beats.pop_front();
        if (burst.beat == burst.length) {
          burst.ready = cycle + settings.write_latency;
          answers.push_back(std::move(burst));
          writes.pop_front();
        }
      }
    }
    for (int n = 0; top.trace_o >> n; n++)
      if (top.trace_o >> n & 1) trace[n].push_back(static_cast<uint32_t>(cycle - run_start));
    top.clk_i = 1;
    top.eval();
    if (!broken.empty()) {
      fail("%s", broken.c_str());
      broken.clear();
    }
    if (r) top.m_axi_rvalid = 0;
    if (b) top.m_axi_bvalid = 0;
    cycle++;
  }

  int write(uint32_t address, uint32_t data, int strobe, int address_delay, int data_delay, int answer_delay) {
    bool address_done = false, data_done = false;
    for (int n = 0; n < 1000; n++) {
      top.s_axil_awvalid = !address_done && n >= address_delay;
      top.s_axil_wvalid = !data_done && n >= data_delay;
      top.s_axil_awaddr = address;
      top.s_axil_wdata = data;
      top.s_axil_wstrb = strobe;
      top.s_axil_bready = n >= answer_delay;
      top.eval();
      const bool aw = top.s_axil_awvalid && top.s_axil_awready, w = top.s_axil_wvalid && top.s_axil_wready;
      const bool b = top.s_axil_bvalid && top.s_axil_bready;
      const int answer = top.s_axil_bresp;
      if (top.s_axil_bvalid && !(address_done && data_done)) fail("AXI4-Lite: response before address and data");
      tick();
      address_done |= aw;
      data_done |= w;
      if (b) {
        top.s_axil_bready = 0;
        return answer;
      }
    }
    fail("AXI4-Lite: no response to a write");
    return -1;
  }

  int read(uint32_t address, uint32_t *data, int answer_delay) {
    bool address_done = false;
    for (int n = 0; n < 1000; n++) {
      top.s_axil_arvalid = !address_done;
      top.s_axil_araddr = address;
      top.s_axil_rready = n >= answer_delay;
      top.eval();
      const bool ar = top.s_axil_arvalid && top.s_axil_arready, r = top.s_axil_rvalid && top.s_axil_rready;
      const int answer = top.s_axil_rresp;
      *data = top.s_axil_rdata;
      tick();
      address_done |= ar;
      if (r) {
        top.s_axil_rready = 0;
        return answer;
      }
    }
    fail("AXI4-Lite: no response to a read");
    return -1;
  }

  // Word `index` of bank n. A bank is made of one to seven equal memories (bw_am.sv); these are Verilator's names of
  // them, and only those exist that this build has.
  template <typename Root>
  static VlWide<4> *word(Root *root, int n, int index) {
#define PART(N, C)                                                                                        \
  if constexpr (requires { root->bw_engine__DOT__g_am__DOT__u_am__DOT__g_bank__BRA__##N##__KET____DOT__g_chunk__BRA__##C##__KET____DOT__mem; }) { \
    auto &mem = root->bw_engine__DOT__g_am__DOT__u_am__DOT__g_bank__BRA__##N##__KET____DOT__g_chunk__BRA__##C##__KET____DOT__mem;                 \
    if (n == N && index / int(mem.size()) == C) return &mem[index % mem.size()];                          \
  }
#define BANK(N) PART(N, 0) PART(N, 1) PART(N, 2) PART(N, 3) PART(N, 4) PART(N, 5) PART(N, 6)
    if constexpr (requires { root->bw_engine__DOT__g_am_one__DOT__u_am__DOT__mem; })  // of one bank (bw_am_one.sv)
      return &root->bw_engine__DOT__g_am_one__DOT__u_am__DOT__mem[index];
    BANK(0) BANK(1) BANK(2) BANK(3) BANK(4) BANK(5) BANK(6) BANK(7)
    BANK(8) BANK(9) BANK(10) BANK(11) BANK(12) BANK(13) BANK(14) BANK(15)
#undef BANK
#undef PART
    return nullptr;
  }
};

}  // namespace

#ifdef BW_ASSERT
// Verilator has printed the path of the instance.
void vl_stop(const char *file, int line, const char *) {
  if (!broken.empty()) return;
  const char *name = strrchr(file, '/');
  broken = std::string("assertion failed: ") + (name ? name + 1 : file) + ":" + std::to_string(line);
}
#endif

extern "C" {

void *engine_new(uint8_t *memory, uint64_t bytes, uint64_t origin, int max_burst) {
  return new Engine(memory, bytes, origin, max_burst);
}

void engine_free(void *handle) { delete static_cast<Engine *>(handle); }

void engine_set(void *handle, const Settings *settings) {
  auto &e = *static_cast<Engine *>(handle);
  e.settings = *settings;
  e.random.state = settings->stall_seed * 0x9E3779B97F4A7C15ULL | 1;
}

// Runs until the interrupt or for `cycles`; gives the cycles that passed.
uint64_t engine_run(void *handle, uint64_t cycles) {
  auto &e = *static_cast<Engine *>(handle);
  const uint64_t start = e.cycle;
  e.run_start = start;
  for (auto &t : e.trace) t.clear();
  while (e.cycle - start < cycles && !e.top.irq_o && e.problem.empty()) e.tick();
  return e.cycle - start;
}

void engine_step(void *handle, uint64_t cycles) {
  auto &e = *static_cast<Engine *>(handle);
  while (cycles-- && e.problem.empty()) e.tick();
}

int engine_irq(void *handle) { return static_cast<Engine *>(handle)->top.irq_o; }

int engine_write(void *handle, uint32_t address, uint32_t data, int strobe, int address_delay, int data_delay,
                 int answer_delay) {
  return static_cast<Engine *>(handle)->write(address, data, strobe, address_delay, data_delay, answer_delay);
}

int engine_read(void *handle, uint32_t address, uint32_t *data, int answer_delay) {
  return static_cast<Engine *>(handle)->read(address, data, answer_delay);
}

void engine_peek(void *handle, int bank, int index, uint8_t *word) {
  memcpy(word, &Engine::word(static_cast<Engine *>(handle)->top.rootp, bank, index)->at(0), 16);
}

// Cycles of the last run in which the instructions of a unit started (which = unit) or finished (which = unit + 4).
uint64_t engine_trace(void *handle, int which, uint32_t *cycles, uint64_t room) {
  const auto &t = static_cast<Engine *>(handle)->trace[which];
  for (uint64_t i = 0; i < t.size() && i < room; i++) cycles[i] = t[i];
  return t.size();
}

// What the engine did against the rules of AXI, or an empty text.
const char *engine_problem(void *handle) { return static_cast<Engine *>(handle)->problem.c_str(); }

void engine_beats(void *handle, uint64_t *beats) {
  auto &e = *static_cast<Engine *>(handle);
  beats[0] = e.read_beats;
  beats[1] = e.write_beats;
}

}  // extern "C"
