// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// The top of a board with a serial port, seen from the other end of the line: bytes go in as bits and come out as bits.
// The length of a bit is given in 1/256 of a cycle, so that the two clocks need not agree.
#include <cstdint>
#include <deque>

#include "verilated.h"

// The build has the header of one board only.
#if __has_include("Vulx3s.h")
#include "Vulx3s.h"
using Top = Vulx3s;
#define CLOCK clk_25mhz
#define TO_BOARD ftdi_txd
#define FROM_BOARD ftdi_rxd
#define BUTTON btn_fire1
#define LEDS led
constexpr int DARK = 0;  // level of a lamp that is off, for all of them
#else
#include "Vtang_nano_20k.h"
using Top = Vtang_nano_20k;
#define CLOCK clk_27mhz
#define TO_BOARD uart_rx
#define FROM_BOARD uart_tx
#define BUTTON s1
#define LEDS led_n
constexpr int DARK = 0x3F;
#endif

namespace {

struct Line {
  VerilatedContext context;
  Top top;
  uint64_t period, cycle = 0;
  std::deque<uint8_t> received;
  int broken = 0;  // bytes without a stop bit
  // Receiver: time of the next sample, number of the bit.
  uint64_t sample = 0;
  int bit = -1;
  uint8_t byte = 0;

  explicit Line(uint64_t p) : top(&context), period(p) {
    top.TO_BOARD = 1;
    top.BUTTON = 0;
    for (int i = 0; i < 400; i++) tick();
  }
  ~Line() {
    Verilated::threadContextp(&context);  // that of a line which is gone may be there
    top.final();
  }

  void tick() {
    top.CLOCK = 0;
    top.eval();
    top.CLOCK = 1;
    top.eval();
    cycle++;
    if (bit < 0) {
      if (!top.FROM_BOARD && cycle > 300) bit = 0, sample = cycle * 256 + period / 2;
    } else if (cycle * 256 >= sample) {
      sample += period;
      if (bit == 9) {
        if (top.FROM_BOARD) received.push_back(byte);
        else broken++;
        bit = -1;
      } else {
        if (bit > 0) byte = byte >> 1 | top.FROM_BOARD << 7;
        bit++;
      }
    }
  }

  void send(uint8_t value) {
    const unsigned bits = 0x600u | value << 1;  // stop bit and one of silence
    uint64_t end = cycle * 256;
    for (int i = 0; i < 11; i++) {
      top.TO_BOARD = bits >> i & 1;
      end += period;
      while (cycle * 256 < end) tick();
    }
  }
};

}  // namespace

extern "C" {

void *line_new(uint64_t period) { return new Line(period); }
void line_free(void *handle) { delete static_cast<Line *>(handle); }

void line_write(void *handle, const uint8_t *data, int count) {
  for (int i = 0; i < count; i++) static_cast<Line *>(handle)->send(data[i]);
}

// Up to `count` bytes, and at most `cycles` cycles; gives how many came.
int line_read(void *handle, uint8_t *data, int count, uint64_t cycles) {
  auto &line = *static_cast<Line *>(handle);
  const uint64_t end = line.cycle + cycles;
  int n = 0;
  while (n < count) {
    if (!line.received.empty()) {
      data[n++] = line.received.front();
      line.received.pop_front();
    } else if (line.cycle < end) {
      line.tick();
    } else {
      break;
    }
  }
  return n;
}

void line_drain(void *handle) { static_cast<Line *>(handle)->received.clear(); }

void line_step(void *handle, uint64_t cycles) {
  for (auto &line = *static_cast<Line *>(handle); cycles--;) line.tick();
}

void line_button(void *handle, int pressed) { static_cast<Line *>(handle)->top.BUTTON = pressed; }
uint64_t line_cycles(void *handle) { return static_cast<Line *>(handle)->cycle; }
int line_leds(void *handle) { return static_cast<Line *>(handle)->top.LEDS ^ DARK; }
int line_broken(void *handle) { return static_cast<Line *>(handle)->broken; }

}  // extern "C"
