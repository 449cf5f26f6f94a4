// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0

// Runs bw_pw with an activation memory, random grants and a dispatcher; notes every write, and the cycles of commands.
#include <cstdint>
#include <cstring>
#include <memory>

#include "Vbw_pw.h"

namespace {
constexpr int kReadLatency = 5;

struct Random {
  uint64_t state;
  uint32_t next() {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<uint32_t>(state >> 33);
  }
  bool chance(int of256) { return static_cast<int>(next() & 255) < of256; }
};

void tick(Vbw_pw& d) {
  d.clk_i = 1;
  d.eval();
  d.clk_i = 0;
  d.eval();
}

// kind 0: weights, 1: constants, 2: table
void drive_load(Vbw_pw& d, int kind, int beat, const uint8_t* data) {
  d.ld_weight_we_i = kind == 0;
  d.ld_const_we_i = kind == 1;
  d.ld_table_we_i = kind == 2;
  d.ld_addr_i = beat;
  std::memcpy(&d.ld_data_i[0], data, 16);
}
}  // namespace

struct PwRun {
  const uint8_t* memory;  // 2^16 words of the activation memory
  const uint8_t* loads[3];  // beats of weights, constants, table
  const uint8_t* commands;  // 64 bytes each
  uint8_t* words;  // written words, in order
  int32_t* writes;  // address and cycle of each
  int32_t* times;  // cycle of acceptance and of done_o of each command
  int32_t load_beats[3];
  int32_t count;  // of commands
  int32_t room;  // for writes
  int32_t read_chance, write_chance, command_chance;  // of 256
  int32_t flush_at;  // cycle of a flush after which all commands are given again; -1: none
  int32_t limit;  // cycles
  int32_t seed;
  int32_t written, busy, stall;  // results
};

// 0: all commands done. Else a breach of the protocol: 1 read request changed, 2 write request changed, 3 too many
// writes, 4 done_o without or not four cycles after its last grant, 5 time limit, 6 something happened after the
// end.
extern "C" int pw_run(PwRun* r) {
  auto d = std::make_unique<Vbw_pw>();
  Random random{static_cast<uint64_t>(r->seed) * 2654435761u + 1};
  d->clk_i = 0;
  d->rst_ni = 0;
  d->eval();
  for (int k = 0; k < 4; k++) tick(*d);
  d->rst_ni = 1;
  for (int kind = 0; kind < 3; kind++)
    for (int b = 0; b < r->load_beats[kind]; b++) {
      drive_load(*d, kind, b, r->loads[kind] + 16 * b);
      tick(*d);
    }
  drive_load(*d, 3, 0, r->loads[0]);
  for (int k = 0; k < 4; k++) tick(*d);

  int given = 0, done = 0, hold_off = 0, last_grant = -100, after = 0;
  bool rd_waits = false, wr_waits = false, offered = false;
  uint32_t rd_addr = 0, wr_addr = 0;
  uint8_t wr_data[16];
  int pipe[kReadLatency];
  for (int& p : pipe) p = -1;
  r->written = r->busy = r->stall = 0;

  for (int cycle = 0; cycle < r->limit; cycle++) {
    d->flush_i = cycle == r->flush_at;
    if (cycle == r->flush_at) {
      given = done = r->written = 0;
      hold_off = 3;
      offered = false;
    }
    // dispatcher: an offer stays until it is taken
    offered = given < r->count && hold_off == 0 && (offered || random.chance(r->command_chance));
    if (hold_off) hold_off--;
    d->cmd_valid_i = offered;
    if (offered)
      std::memcpy(&d->cmd_i[0], r->commands + 64 * given, 64);
    else
      for (int k = 0; k < 16; k++) d->cmd_i[k] = random.next() * 2654435761u;
    // memory: data five cycles after the grant, noise else
    d->rd_valid_i = pipe[kReadLatency - 1] >= 0;
    if (d->rd_valid_i)
      std::memcpy(&d->rd_data_i[0], r->memory + 16 * static_cast<long>(pipe[kReadLatency - 1]), 16);
    else
      for (int k = 0; k < 4; k++) d->rd_data_i[k] = random.next() * 2654435761u;
    // loads of what is there already must disturb nothing
    const int kind = random.next() % 4;
    if (kind < 3) {
      const int b = random.next() % r->load_beats[kind];
      drive_load(*d, kind, b, r->loads[kind] + 16 * b);
    } else {
      drive_load(*d, 3, 0, r->loads[0]);
    }
    d->rd_gnt_i = d->wr_gnt_i = 0;
    d->eval();
    d->rd_gnt_i = d->rd_req_o && random.chance(r->read_chance);
    d->wr_gnt_i = d->wr_req_o && random.chance(r->write_chance);
    d->eval();

    if (rd_waits && (!d->rd_req_o || d->rd_addr_o != rd_addr)) return 1;
    if (wr_waits && (!d->wr_req_o || d->wr_addr_o != wr_addr || std::memcmp(wr_data, &d->wr_data_o[0], 16))) return 2;
    const bool flush = d->flush_i;
    rd_waits = d->rd_req_o && !d->rd_gnt_i && !flush;
    wr_waits = d->wr_req_o && !d->wr_gnt_i && !flush;
    rd_addr = d->rd_addr_o;
    wr_addr = d->wr_addr_o;
    std::memcpy(wr_data, &d->wr_data_o[0], 16);
    for (int k = kReadLatency - 1; k > 0; k--) pipe[k] = pipe[k - 1];
    pipe[0] = d->rd_gnt_i ? static_cast<int>(rd_addr) : -1;
    if (!flush) {
      r->busy += d->busy_o;
      r->stall += d->stall_o;
      if (after && (d->rd_req_o || d->wr_req_o || d->done_o)) return 6;
      if (d->wr_gnt_i) {
        if (r->written >= r->room) return 3;
        std::memcpy(r->words + 16 * static_cast<long>(r->written), wr_data, 16);
        r->writes[2 * r->written] = static_cast<int32_t>(wr_addr);
        r->writes[2 * r->written + 1] = cycle;
        r->written++;
        last_grant = cycle;
      }
      if (d->done_o) {
        if (done >= given || cycle < last_grant) return 4;
        r->times[2 * done++ + 1] = cycle;
      }
      if (offered && d->cmd_ready_o) {
        r->times[2 * given++] = cycle;
        offered = false;
      }
    }
    tick(*d);
    if (done == r->count && ++after > 100) return 0;
  }
  return 5;
}
