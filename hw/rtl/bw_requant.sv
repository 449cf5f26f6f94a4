// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0

// Requantizer (docs/engine.md 2.2): LANES channels a cycle, t = (x * multiplier + addend) >> shift, ties to even if
// asked for, then clamp to LO..HI or, with WRAP, the low 8 bits.
//
// Throughput: one beat a cycle, never stalls. Latency: LATENCY = 8 cycles, from the cycle of valid_i && last_i to
// valid_o. A beat with first_i starts a sum with the addend of its entry; one without adds x * multiplier to the
// running sum (its addend is ignored); last_i makes the result of the sum. Beats of one sum need not be neighbours
// in time, but no other sum may come between them. first_i and last_i together are the usual case. All parameters
// belong to the beat they come with (those of the result are those of the beat with last_i), so beats of different
// instructions may follow each other at once.
//
// Constants: lane l of entry e is beat e * LANES + l of the load port: multiplier in bytes 0-3, addend in bytes
// 4-10. They lie in distributed RAM, 88 bits a lane. A constant loaded in cycle c is seen by beats from cycle c + 1
// on.
//
// Legal: LANES 8 or 16 (any power of two), CONST_DEPTH a power of two, X_BITS 18 to 27: only the low X_BITS of a
// lane of x_i are used, as a signed number. A multiplier of 25 x 18 bits (7 series) does one half of the product
// with X_BITS = 25.
`default_nettype none

module bw_requant #(
    parameter int LANES = 16,
    parameter int CONST_DEPTH = 64,
    parameter int TAG_W = 1,
    parameter int X_BITS = 27
) (
    input  wire                             clk_i,
    input  wire                             rst_ni,
    input  wire                             ld_we_i,
    /* verilator lint_off UNUSEDSIGNAL */  // addresses are modulo the depth; bytes 11-15 of a beat are always 0
    input  wire  [15:0]                     ld_addr_i,
    input  wire  [127:0]                    ld_data_i,
    input  wire                             valid_i,
    input  wire                             first_i,
    input  wire                             last_i,
    input  wire  [LANES*27-1:0]             x_i,  // bits X_BITS and up of a lane repeat its sign
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire  [$clog2(CONST_DEPTH)-1:0]  entry_i,
    input  wire  [1:0]                      shift_i,
    input  wire                             half_even_i,
    input  wire                             wrap_i,
    input  wire  [9:0]                      lo_i,  // signed
    input  wire  [9:0]                      hi_i,  // signed
    input  wire  [TAG_W-1:0]                tag_i,
    output logic                            valid_o,
    output logic [LANES*8-1:0]              y_o,
    output wire  [LANES*27-1:0]             key_o,  // low bits of t before the clamp, 2 cycles before y_o
    output logic [TAG_W-1:0]                tag_o
);
  localparam int LATENCY = 8;
  localparam int LANE_W = $clog2(LANES);
  localparam int ENTRY_W = $clog2(CONST_DEPTH);
  localparam int PROD_W = X_BITS + 32;
  localparam int SUM_W = 60;

`ifndef SYNTHESIS
  initial begin
    if ((LANES & (LANES - 1)) != 0) $error("%m: LANES must be a power of two, got %0d", LANES);
    if ((CONST_DEPTH & (CONST_DEPTH - 1)) != 0) $error("%m: CONST_DEPTH must be a power of two, got %0d", CONST_DEPTH);
    if (X_BITS < 18 || X_BITS > 27) $error("%m: X_BITS must be 18 to 27, got %0d", X_BITS);
  end
`endif

  // Control beside the lanes: stage k holds what arrived k + 1 cycles ago.
  logic [LATENCY-2:0] valid_q, last_q, wrap_q;
  logic [3:0] first_q;
  logic [4:0] half_q;
  logic [5*2-1:0] shift_q;
  logic [7*10-1:0] lo_q, hi_q;
  logic [7*TAG_W-1:0] tag_q;
  logic [ENTRY_W-1:0] entry_q;
  logic [1:0] shift;
  logic signed [9:0] lo, hi;

  assign shift = shift_q[9:8];
  assign lo = $signed(lo_q[69:60]);
  assign hi = $signed(hi_q[69:60]);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= '0;
      valid_o <= 1'b0;
    end else begin
      valid_q <= {valid_q[LATENCY-3:0], valid_i};
      valid_o <= valid_q[LATENCY-2] && last_q[LATENCY-2];
    end
    first_q <= {first_q[2:0], first_i};
    last_q <= {last_q[LATENCY-3:0], last_i};
    half_q <= {half_q[3:0], half_even_i};
    wrap_q <= {wrap_q[LATENCY-3:0], wrap_i};
    entry_q <= entry_i;
    shift_q <= {shift_q[7:0], shift_i};
    lo_q <= {lo_q[59:0], lo_i};
    hi_q <= {hi_q[59:0], hi_i};
    tag_q <= {tag_q[6*TAG_W-1:0], tag_i};
    tag_o <= tag_q[6*TAG_W+:TAG_W];
  end

  for (genvar l = 0; l < LANES; l++) begin : g_lane
    (* ram_style = "distributed" *) logic [87:0] mem[0:CONST_DEPTH-1];

    logic signed [X_BITS-1:0] x0_q, x1_q;
    logic [87:0] const_q;
    logic signed [17:0] m_low;
    logic signed [14:0] m_high;
    logic signed [X_BITS+17:0] p_low_q;
    logic signed [X_BITS+14:0] p_high_q;
    logic signed [PROD_W-1:0] prod_q;
    logic signed [55:0] add2_q, add3_q;
    logic signed [SUM_W-1:0] sum_q;
    logic signed [43:0] t_d, t_q;
    logic zero_d, even_q;
    logic [9:0] sat_q;
    logic [7:0] low_q;
    logic [7:0] clamp_d;

    always_ff @(posedge clk_i) begin
      if (ld_we_i && ld_addr_i[LANE_W-1:0] == LANE_W'(l)) mem[ld_addr_i[LANE_W+:ENTRY_W]] <= ld_data_i[87:0];
    end

    // The multiplier in two halves: 17 bits without sign, 15 with.
    assign m_low = $signed({1'b0, const_q[16:0]});
    assign m_high = $signed(const_q[31:17]);

    assign t_d = (shift == 2'd0) ? sum_q[SUM_W-1:16] :
                 (shift == 2'd1) ? {{8{sum_q[SUM_W-1]}}, sum_q[SUM_W-1:24]} :
                 (shift == 2'd2) ? {{16{sum_q[SUM_W-1]}}, sum_q[SUM_W-1:32]} :
                                        {{24{sum_q[SUM_W-1]}}, sum_q[SUM_W-1:40]};
    assign zero_d = sum_q[15:0] == '0 && (sum_q[23:16] == '0 || shift < 2'd1) &&
                    (sum_q[31:24] == '0 || shift < 2'd2) && (sum_q[39:32] == '0 || shift < 2'd3);
    assign key_o[27*l+:27] = {t_q[26:1], t_q[0] && !even_q};
    assign clamp_d = ($signed(sat_q) > hi) ? hi[7:0] : ($signed(sat_q) < lo) ? lo[7:0] : sat_q[7:0];

    always_ff @(posedge clk_i) begin
      x0_q <= $signed(x_i[27*l+:X_BITS]);
      // 1: operands
      x1_q <= x0_q;
      const_q <= mem[entry_q];
      // 2: products
      p_low_q <= x1_q * m_low;
      p_high_q <= x1_q * m_high;
      add2_q <= $signed(const_q[87:32]);
      // 3: their sum
      prod_q <= PROD_W'(p_low_q) + $signed({p_high_q, 17'd0});
      add3_q <= add2_q;
      // 4: addend or running sum
      if (valid_q[3]) sum_q <= (first_q[3] ? SUM_W'(add3_q) : sum_q) + SUM_W'(prod_q);
      // 5: shift
      t_q <= t_d;
      even_q <= half_q[4] && zero_d;
      // 6: to the even neighbour; LO and HI have 10 bits, so clamping to 10 bits first changes nothing
      sat_q <= (t_q[43:9] == 35'd0 || &t_q[43:9]) ? {t_q[9:1], t_q[0] && !even_q} : {t_q[43], {9{!t_q[43]}}};
      low_q <= {t_q[7:1], t_q[0] && !even_q};
      // 7: clamp
      y_o[8*l+:8] <= wrap_q[6] ? low_q : clamp_d;
    end
  end
endmodule

`default_nettype wire
