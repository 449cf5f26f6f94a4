// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Drives the ports of bw_am or bw_am_one with streams of requests and writes down when each was granted and what came back.
#include <cstdint>
#include <cstring>

#include "verilated.h"

#if __has_include("Vbw_am.h")  // the build has the header of one of them
#include "Vbw_am.h"
using Top = Vbw_am;
#else
#include "Vbw_am_one.h"
using Top = Vbw_am_one;
#endif

namespace {
template <typename Wide>
void put(Wide &wide, int position, int width, uint32_t value) {  // bits of a port wider than 64
  for (int i = 0; i < width; i++) {
    const int bit = position + i;
    wide[bit / 32] = (wide[bit / 32] & ~(1u << (bit % 32))) | ((value >> i & 1) << (bit % 32));
  }
}
void put(uint64_t &port, int position, int width, uint32_t value) {
  const uint64_t mask = ((1ULL << width) - 1) << position;
  port = (port & ~mask) | (uint64_t(value) << position);
}
void put(uint32_t &port, int position, int width, uint32_t value) {
  uint64_t wide = port;
  put(wide, position, width, value);
  port = uint32_t(wide);
}
}  // namespace

// Streams of n requests a port: address, cycles to wait before the request, for writers 16 bytes. Out: cycle of the
// request and of the grant; for readers the cycle of the data and the data; errors[8]: pulses. Gives the cycles, or -1
// on a timeout.
extern "C" int64_t am_run(int width, int64_t n, const uint16_t *rd_address, const uint16_t *rd_gap,
                          const uint16_t *wr_address, const uint16_t *wr_gap, const uint8_t *wr_data, int64_t *rd_asked, int64_t *rd_granted,
                          int64_t *rd_came, uint8_t *rd_data, int64_t *wr_asked, int64_t *wr_granted, int64_t *errors) {
  VerilatedContext context;
  Top top(&context);
  int64_t rd_next[5] = {}, rd_out[5] = {}, wr_next[3] = {}, rd_wait[5], wr_wait[3];
  for (int p = 0; p < 5; p++) rd_wait[p] = rd_gap[p * n];
  for (int p = 0; p < 3; p++) wr_wait[p] = wr_gap[p * n];
  top.rst_ni = 0;
  for (int i = 0; i < 8; i++) {
    top.clk_i = 0, top.eval();
    top.clk_i = 1, top.eval();
  }
  top.rst_ni = 1;
  for (int64_t cycle = 0; cycle < 400 * n + 1000; cycle++) {
    bool busy = false;
    top.rd_req_i = top.wr_req_i = 0;
    for (int p = 0; p < 5; p++) {
      busy |= rd_out[p] < n;
      if (rd_next[p] == n || rd_wait[p]-- > 0) continue;
      const int64_t k = p * n + rd_next[p];
      if (rd_asked[k] < 0) rd_asked[k] = cycle;
      top.rd_req_i |= 1 << p;
      put(top.rd_addr_i, p * width, width, rd_address[k]);
    }
    for (int p = 0; p < 3; p++) {
      busy |= wr_next[p] < n;
      if (wr_next[p] == n || wr_wait[p]-- > 0) continue;
      const int64_t k = p * n + wr_next[p];
      if (wr_asked[k] < 0) wr_asked[k] = cycle;
      top.wr_req_i |= 1 << p;
      put(top.wr_addr_i, p * width, width, wr_address[k]);
      memcpy(&top.wr_data_i[4 * p], wr_data + 16 * k, 16);
    }
    if (!busy) {
      for (int i = 0; i < 4; i++) {  // the last pulses
        top.clk_i = 0, top.eval();
        for (int e = 0; e < 8; e++) errors[e] += top.range_err_o >> e & 1;
        top.clk_i = 1, top.eval();
      }
      top.final();
      return cycle;
    }
    top.clk_i = 0, top.eval();
    for (int e = 0; e < 8; e++) errors[e] += top.range_err_o >> e & 1;
    for (int p = 0; p < 5; p++) {
      if (top.rd_valid_o >> p & 1) {
        if (rd_out[p] == n) return -1;
        const int64_t k = p * n + rd_out[p]++;
        rd_came[k] = cycle;
        memcpy(rd_data + 16 * k, &top.rd_data_o[4 * p], 16);
      }
      if (top.rd_gnt_o >> p & 1) {
        if (!(top.rd_req_i >> p & 1)) return -1;
        rd_granted[p * n + rd_next[p]++] = cycle;
        if (rd_next[p] < n) rd_wait[p] = rd_gap[p * n + rd_next[p]];
      }
    }
    for (int p = 0; p < 3; p++)
      if (top.wr_gnt_o >> p & 1) {
        if (!(top.wr_req_i >> p & 1)) return -1;
        wr_granted[p * n + wr_next[p]++] = cycle;
        if (wr_next[p] < n) wr_wait[p] = wr_gap[p * n + wr_next[p]];
      }
    top.clk_i = 1, top.eval();
  }
  return -1;
}
