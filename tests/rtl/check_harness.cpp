// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Drives check_top (written by test_assertions.py) with rows of bits, one a cycle, after a reset. Verilator prints the
// assertions that fail.
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "Vcheck_top.h"
#include "verilated.h"

void vl_stop(const char *, int, const char *) {}

extern "C" void drive(const uint32_t *rows, int words, int cycles) {
  VerilatedContext context;
  Vcheck_top top(&context);
  for (int n = -3; n < cycles; n++) {
    top.rst_ni = n >= 0;
    if (n < 0) memset(&top.in_i[0], 0, 4 * words);
    else memcpy(&top.in_i[0], rows + n * words, 4 * words);
    for (int clk = 0; clk < 2; clk++) {
      top.clk_i = clk;
      top.eval();
    }
  }
  top.final();
  fflush(stdout);
}
