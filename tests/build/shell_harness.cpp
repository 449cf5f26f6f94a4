// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// The processing system around bw_ps7_shell: a processor on the AXI3 general-purpose port, DRAM on the 64-bit AXI3
// high-performance port. Reads of the two IDs may overtake each other and interleave; every channel may stall. A breach
// of a rule is kept as text.
#include <cstdint>
#include <cstdio>
#include <deque>
#include <string>

#include "Vbw_ps7_shell.h"
#include "verilated.h"

namespace {

struct Burst {
  uint32_t address;
  int left;  // beats
  uint64_t due;
};

struct Shell {
  VerilatedContext context;
  Vbw_ps7_shell top{&context};
  uint8_t *memory;
  uint64_t size, cycle = 0, random = 1, error_lo = 0, error_hi = 0, reads = 0, writes = 0;
  bool stalls = false;
  std::string breach;
  std::deque<Burst> read[2], write;
  std::deque<uint64_t> answers;  // due
  std::deque<int> answer_codes;
  int write_code = 0, beat_of = -1;
  // What was offered and not taken in the last cycle, to see that it stays.
  uint64_t held_ar = 0, held_aw = 0, held_w = 0, held_w_strobe = 0;
  bool hold_ar = false, hold_aw = false, hold_w = false;

  bool chance() {  // one in four while stalls are on
    random = random * 6364136223846793005ull + 1442695040888963407ull;
    return stalls && (random >> 62) == 0;
  }
  void wrong(const char *what) {
    if (breach.empty()) breach = std::string(what) + " in cycle " + std::to_string(cycle);
  }
  bool bad(uint32_t address) const { return address >= error_lo && address < error_hi; }

  void step() {
    bool ar_ready = !chance() && read[0].size() + read[1].size() < 8, aw_ready = !chance() && write.size() < 8;
    bool w_ready = !write.empty() && !chance();
    // A read beat of either ID, in its order.
    if (beat_of < 0) {
      int first = (random >> 33) & 1;
      for (int k = 0; k < 2 && beat_of < 0; k++) {
        int id = first ^ k;
        if (!read[id].empty() && read[id].front().due <= cycle && !chance()) beat_of = id;
      }
    }
    top.hp_rvalid = beat_of >= 0;
    if (beat_of >= 0) {
      Burst &b = read[beat_of].front();
      top.hp_rid = beat_of;
      top.hp_rlast = b.left == 1;
      top.hp_rresp = bad(b.address) ? 2 : 0;
      uint64_t data = 0;
      if (b.address + 8ull <= size) __builtin_memcpy(&data, memory + b.address, 8);
      top.hp_rdata = data;
    }
    top.hp_bvalid = !answers.empty() && answers.front() <= cycle;
    top.hp_bresp = answer_codes.empty() ? 0 : answer_codes.front();
    top.hp_arready = ar_ready;
    top.hp_awready = aw_ready;
    top.hp_wready = w_ready;
    top.clk_i = 0;
    top.eval();

    uint64_t ar = top.hp_araddr | (uint64_t(top.hp_arlen) << 32) | (uint64_t(top.hp_arid) << 40);
    uint64_t aw = top.hp_awaddr | (uint64_t(top.hp_awlen) << 32);
    if (hold_ar && (!top.hp_arvalid || ar != held_ar)) wrong("ARVALID or its payload changed before ARREADY");
    if (hold_aw && (!top.hp_awvalid || aw != held_aw)) wrong("AWVALID or its payload changed before AWREADY");
    if (hold_w && (!top.hp_wvalid || top.hp_wdata != held_w || top.hp_wstrb != held_w_strobe))
      wrong("WVALID or its payload changed before WREADY");
    hold_ar = top.hp_arvalid && !ar_ready, held_ar = ar;
    hold_aw = top.hp_awvalid && !aw_ready, held_aw = aw;
    hold_w = top.hp_wvalid && !w_ready, held_w = top.hp_wdata, held_w_strobe = top.hp_wstrb;

    bool r_taken = top.hp_rvalid && top.hp_rready, b_taken = top.hp_bvalid && top.hp_bready;
    if (top.hp_arvalid && ar_ready) take(read[top.hp_arid], top.hp_araddr, top.hp_arlen, 20), reads++;
    if (top.hp_wvalid && w_ready) {
      Burst &b = write.front();
      if (bad(b.address)) write_code = 2;
      for (int k = 0; k < 8; k++)
        if ((top.hp_wstrb >> k & 1) && b.address + k < size && !bad(b.address)) memory[b.address + k] = top.hp_wdata >> (8 * k);
      b.address += 8;
      if (bool(top.hp_wlast) != (b.left == 1)) wrong("WLAST is not on the last beat");
      if (--b.left == 0) {
        write.pop_front();
        answers.push_back(cycle + 10), answer_codes.push_back(write_code);
        write_code = 0;
      }
    } else if (top.hp_wvalid && write.empty()) {
      wrong("data of a write come before its address");
    }
    if (top.hp_awvalid && aw_ready) take(write, top.hp_awaddr, top.hp_awlen, 0), writes++;
    if (r_taken) {
      Burst &b = read[beat_of].front();
      b.address += 8;
      if (--b.left == 0) read[beat_of].pop_front();
      beat_of = -1;
    }
    if (b_taken) answers.pop_front(), answer_codes.pop_front();
    top.clk_i = 1;
    top.eval();
    cycle++;
  }

  void take(std::deque<Burst> &queue, uint32_t address, int length, int latency) {
    if (address % 16) wrong("an address is not aligned to 16 bytes");
    if ((address & 4095) + 8 * (length + 1) > 4096) wrong("a burst crosses 4 KB");
    queue.push_back({address, length + 1, cycle + latency});
  }
};

}  // namespace

extern "C" {

Shell *shell_new(uint8_t *memory, uint64_t size) {
  auto *s = new Shell;
  s->memory = memory;
  s->size = size;
  s->top.rst_ni = 0;
  for (int k = 0; k < 4; k++) s->step();
  s->top.rst_ni = 1;
  s->step();
  return s;
}
void shell_free(Shell *s) { delete s; }
void shell_set(Shell *s, int stalls, uint64_t seed, uint64_t error_lo, uint64_t error_hi) {
  s->stalls = stalls, s->random = seed * 2 + 1, s->error_lo = error_lo, s->error_hi = error_hi;
}
const char *shell_breach(Shell *s) { return s->breach.c_str(); }
void shell_counts(Shell *s, uint64_t *counts) { counts[0] = s->reads, counts[1] = s->writes, counts[2] = s->cycle; }

// A write of `beats` beats: gives the response, -1 when none comes, -2 when its ID is wrong.
int shell_write(Shell *s, uint32_t address, uint32_t value, int strobe, int beats, int id) {
  auto &t = s->top;
  t.gp_awid = id, t.gp_awaddr = address, t.gp_awlen = beats - 1, t.gp_awvalid = 1;
  t.gp_wdata = value, t.gp_wstrb = strobe, t.gp_wlast = beats == 1, t.gp_wvalid = !s->chance();
  for (int k = 0; k < 1000; k++) {
    t.gp_bready = !s->chance();
    t.clk_i = 0, t.eval();
    bool aw = t.gp_awvalid && t.gp_awready, w = t.gp_wvalid && t.gp_wready, b = t.gp_bvalid && t.gp_bready;
    int response = t.gp_bresp, answered = t.gp_bid;
    s->step();
    if (aw) t.gp_awvalid = 0;
    if (w && --beats == 0) t.gp_wvalid = 0;
    if (beats) t.gp_wvalid = 1, t.gp_wlast = beats == 1;
    if (b) {
      t.gp_bready = 0;
      return t.gp_wvalid || t.gp_awvalid ? -3 : answered == id ? response : -2;
    }
  }
  return -1;
}

// A read of `beats` beats: gives the response of the last, -1 when none comes, -2 when ID or RLAST is wrong.
int shell_read(Shell *s, uint32_t address, uint32_t *value, int beats, int id) {
  auto &t = s->top;
  t.gp_arid = id, t.gp_araddr = address, t.gp_arlen = beats - 1, t.gp_arvalid = 1;
  for (int k = 0; k < 1000; k++) {
    t.gp_rready = !s->chance();
    t.clk_i = 0, t.eval();
    bool ar = t.gp_arvalid && t.gp_arready, r = t.gp_rvalid && t.gp_rready, last = t.gp_rlast;
    int response = t.gp_rresp, answered = t.gp_rid;
    *value = t.gp_rdata;
    s->step();
    if (ar) t.gp_arvalid = 0;
    if (r) {
      beats--;
      if (answered != id || last != (beats == 0)) return -2;
      if (beats == 0) {
        t.gp_rready = 0;
        return response;
      }
    }
  }
  return -1;
}

// Runs until the interrupt or `most` cycles; gives the cycles.
uint64_t shell_run(Shell *s, uint64_t most) {
  uint64_t start = s->cycle;
  while (s->cycle - start < most && !s->top.irq_o && s->breach.empty()) s->step();
  return s->cycle - start;
}
}
