// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Run loop of bw_dw: loads its memories, offers commands, plays the activation memory (random grants for each port, or
// sixteen banks with one read grant a cycle each) and logs when each word was written and each command finished.
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "Vbw_dw.h"

double sc_time_stamp() { return 0; }

namespace {
constexpr int kReadLatency = 5, kWriteLatency = 3;

struct Random {
  uint64_t s;
  uint32_t next() {
    s ^= s << 13, s ^= s >> 7, s ^= s << 17;
    return uint32_t(s >> 20);
  }
  bool percent(int p) { return int(next() % 100) < p; }
};

struct Write {
  int64_t cycle;
  uint32_t addr;
  uint8_t data[16];
};
}  // namespace

struct Config {
  int32_t addr_w;
  int32_t grant[3];   // percent, of the read ports (banked = 0)
  int32_t banked;     // 1: banks decide, each taken by a neighbour in `neighbour` percent of the cycles
  int32_t neighbour;
  int32_t write;      // percent, of the write port
  int32_t offer;      // percent: an idle command port gets the next command
  int32_t flush_at;   // so many cycles after the first command the unit is flushed and all starts again; 0: never
  int32_t padding;
  uint64_t seed;
};

// loads: n_loads x 20 bytes: destination (0 weight, 1 const, 2 table), 0, beat address (2 bytes), 16 bytes of data.
// commands: n x 64 bytes; waits: commands that must be finished before.
// Returns cycles from the first acceptance to the last done_o, or < 0:
// -1 too long, -2 a held request changed, -3 done_o without a command, -4 busy_o together with stall_o.
extern "C" int64_t dw_run(const Config* c, const uint8_t* loads, int n_loads, const uint8_t* commands,
                          const int32_t* waits, int n, uint8_t* memory, int64_t limit, int64_t* done_cycle,
                          int64_t* write_cycle, int64_t max_writes, int64_t* stats) {
  Vbw_dw* top = new Vbw_dw;
  Random random{c->seed * 0x9E3779B97F4A7C15ull + 88172645463325252ull};
  struct Answer {
    bool valid = false;
    uint8_t data[16];
  };
  Answer pipe[3][8];
  std::deque<Write> writes;
  int64_t result = -1, start = -1, n_writes = 0, busy = 0, stall = 0;
  int sent = 0, finished = 0, rotate = 0;
  bool offering = false, held[3] = {}, wheld = false, flushed = false;
  uint32_t held_addr[3] = {}, wheld_addr = 0;
  uint64_t rd_addr_mask = (1ull << c->addr_w) - 1;
  int64_t quiet = 0;

  for (int64_t cycle = 0; cycle < limit; ++cycle) {
    while (!writes.empty() && writes.front().cycle + kWriteLatency <= cycle) {
      std::memcpy(memory + 16 * writes.front().addr, writes.front().data, 16);
      writes.pop_front();
    }
    top->clk_i = 0;
    top->rst_ni = cycle >= 3;
    top->ld_weight_we_i = top->ld_const_we_i = top->ld_table_we_i = 0;
    int64_t load = cycle - 4;
    bool running = load >= n_loads + 4;
    if (load >= 0 && load < n_loads) {
      const uint8_t* l = loads + 20 * load;
      top->ld_weight_we_i = l[0] == 0;
      top->ld_const_we_i = l[0] == 1;
      top->ld_table_we_i = l[0] == 2;
      top->ld_addr_i = l[2] | l[3] << 8;
      std::memcpy(&top->ld_data_i, l + 4, 16);
    }
    top->flush_i = 0;
    if (c->flush_at && start >= 0 && !flushed && cycle == start + c->flush_at) {
      top->flush_i = 1;
      flushed = true;
      sent = finished = 0;
      offering = false;
      held[0] = held[1] = held[2] = wheld = false;
    }
    bool may_offer = running && !offering && sent < n && finished >= waits[sent] && !top->flush_i;
    if (may_offer) offering = random.percent(c->offer);
    top->cmd_valid_i = offering;
    if (offering) std::memcpy(&top->cmd_i, commands + 64 * sent, 64);
    else for (int k = 0; k < 16; ++k) top->cmd_i[k] = random.next();
    top->rd_valid_i = 0;
    for (int p = 0; p < 3; ++p) {
      Answer& a = pipe[p][cycle % 8];
      if (a.valid) {
        top->rd_valid_i |= 1 << p;
        std::memcpy(reinterpret_cast<uint8_t*>(&top->rd_data_i) + 16 * p, a.data, 16);
      } else {
        for (int k = 0; k < 4; ++k) top->rd_data_i[4 * p + k] = random.next();
      }
      a.valid = false;
    }
    top->rd_gnt_i = 0;
    top->wr_gnt_i = 0;
    top->eval();

    // Grants
    uint32_t addr[3];
    uint64_t all = 0;
    std::memcpy(&all, &top->rd_addr_o, sizeof(top->rd_addr_o) < 8 ? sizeof(top->rd_addr_o) : 8);
    for (int p = 0; p < 3; ++p) addr[p] = (all >> (p * c->addr_w)) & rd_addr_mask;
    int req = top->rd_req_o, gnt = 0;
    bool bank[16] = {};
    if (c->banked)
      for (bool& b : bank) b = random.percent(c->neighbour);
    for (int q = 0; q < 3; ++q) {
      int p = c->banked ? q : (q + rotate) % 3;  // bw_am: lower ports first
      if (!(req >> p & 1)) continue;
      if (c->banked) {
        bool& b = bank[(addr[p] >> (c->addr_w - 2)) << 2 | (addr[p] & 3)];
        if (!b) gnt |= 1 << p;
        b = true;
      } else if (random.percent(c->grant[p])) {
        gnt |= 1 << p;
      }
    }
    rotate = (rotate + 1) % 3;
    top->rd_gnt_i = gnt;
    top->wr_gnt_i = top->wr_req_o && random.percent(c->write);
    top->eval();
    for (int p = 0; p < 3; ++p) {
      bool r = req >> p & 1, g = gnt >> p & 1;
      if (held[p] && (!r || addr[p] != held_addr[p]) && !top->flush_i && cycle > 3) result = -2;
      held[p] = r && !g && !top->flush_i;
      held_addr[p] = addr[p];
      if (g) {
        Answer& a = pipe[p][(cycle + kReadLatency) % 8];
        a.valid = true;
        std::memcpy(a.data, memory + 16 * addr[p], 16);
      }
    }
    if (wheld && (!top->wr_req_o || top->wr_addr_o != wheld_addr) && !top->flush_i) result = -2;
    wheld = top->wr_req_o && !top->wr_gnt_i && !top->flush_i;
    wheld_addr = top->wr_addr_o;
    if (top->wr_gnt_i) {
      Write w{cycle, uint32_t(top->wr_addr_o), {}};
      std::memcpy(w.data, &top->wr_data_o, 16);
      writes.push_back(w);
      if (n_writes < max_writes) write_cycle[n_writes] = cycle;
      ++n_writes;
    }
    if (top->flush_i) n_writes = 0;
    if (offering && top->cmd_ready_o) {
      if (start < 0) start = cycle;
      ++sent;
      offering = false;
    }
    if (top->done_o && !top->flush_i) {
      if (finished >= sent) result = -3;
      else done_cycle[finished] = cycle;
      ++finished;
    }
    busy += top->busy_o;
    stall += top->stall_o;
    if (top->busy_o && top->stall_o) result = -4;
    if (result < -1) break;
    top->clk_i = 1;
    top->eval();
    if (finished == n && (!c->flush_at || flushed)) {
      if (++quiet == 40) {  // nothing may follow
        result = done_cycle[n - 1] - start;
        break;
      }
    }
  }
  stats[0] = n_writes;
  stats[1] = busy;
  stats[2] = stall;
  for (const Write& w : writes) std::memcpy(memory + 16 * w.addr, w.data, 16);
  delete top;
  return result;
}
