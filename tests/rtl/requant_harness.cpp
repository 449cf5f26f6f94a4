// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0

// Loads constants, drives one beat a cycle (or a gap) into bw_requant, notes each result and its cycle.
#include <cstdint>
#include <cstring>
#include <memory>

#include "Vbw_requant.h"

namespace {
constexpr int kFlags = 10;  // valid, first, last, entry, shift, half_even, wrap, lo, hi, tag

void tick(Vbw_requant& d) {
  d.clk_i = 1;
  d.eval();
  d.clk_i = 0;
  d.eval();
}
}  // namespace

// loads: 16 bytes for each of `beats` load addresses. flags: cycles x 10. x: cycles x lanes. y: cycles x lanes
// bytes. out: cycles x 2 (cycle, tag). Returns the number of results.
extern "C" int requant_run(int lanes, int beats, const uint8_t* loads, int cycles, const int32_t* flags,
                           const int32_t* x, uint8_t* y, int32_t* out) {
  auto d = std::make_unique<Vbw_requant>();
  d->rst_ni = 0;
  d->valid_i = 0;
  d->ld_we_i = 0;
  d->clk_i = 0;
  d->eval();
  for (int k = 0; k < 4; k++) tick(*d);
  d->rst_ni = 1;
  for (int b = 0; b < beats; b++) {
    d->ld_we_i = 1;
    d->ld_addr_i = b;
    std::memcpy(&d->ld_data_i[0], loads + 16 * b, 16);
    tick(*d);
  }
  d->ld_we_i = 0;
  const int bytes = (lanes * 27 + 7) / 8;
  int results = 0;
  for (int c = 0; c < cycles + 20; c++) {
    const int32_t* f = flags + static_cast<long>(c) * kFlags;
    d->valid_i = c < cycles && f[0];
    if (c < cycles) {
      d->first_i = f[1];
      d->last_i = f[2];
      d->entry_i = f[3];
      d->shift_i = f[4];
      d->half_even_i = f[5];
      d->wrap_i = f[6];
      d->lo_i = f[7] & 0x3FF;
      d->hi_i = f[8] & 0x3FF;
      d->tag_i = f[9];
      uint8_t packed[72] = {};
      for (int l = 0; l < lanes; l++)
        for (int b = 0; b < 27; b++)
          if (x[static_cast<long>(c) * lanes + l] >> b & 1) packed[(l * 27 + b) / 8] |= 1 << (l * 27 + b) % 8;
      std::memcpy(&d->x_i[0], packed, bytes);
    }
    d->eval();
    if (d->valid_o) {
      std::memcpy(y + static_cast<long>(results) * lanes, reinterpret_cast<const uint8_t*>(&d->y_o), lanes);
      out[2 * results] = c;
      out[2 * results + 1] = d->tag_o;
      results++;
    }
    tick(*d);
  }
  return results;
}
