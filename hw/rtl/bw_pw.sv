// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0

// The pointwise unit (docs/engine.md 2.3, 5.1): address generator, activations, array, output side.
//
// Throughput: one step (16 lanes x PAIRS columns, two 4-bit weights each) a cycle as long as reads are granted; sub-
// passes with fewer steps than results take beats (2 for PAIRS 2 to 16, 4 for PAIRS 32; with W8 1 and 2) are paced
// by the beats. An instruction of N steps takes N + 48 cycles from its acceptance to done_o, plus the beats of one
// sub-pass; the next one is accepted as soon as the last step of this one has left the counters and follows it after
// two empty cycles.
//
// done_o: one pulse an instruction, in order, 4 cycles after the grant of its last word. flush_i: synchronous reset
// of all state but the memories; reads under way may still return and are ignored. busy_o, stall_o: a step was
// issued, was there and could not be issued, in the cycle before.
//
// Legal: PAIRS 2, 4, 8, 16, 32; WEIGHT_DEPTH, CONST_DEPTH, TABLE_DEPTH powers of two; ADDR_W 10 to 16. X_BITS: bits of
// the accumulators that the requantizer takes (25 lets one 7-series DSP slice do half of its product, 18 a multiplier of
// 18 x 18 bits). SUMS: 1: instructions with SUM are taken (PAIRS at most 16). MUL18: the multipliers of the array have
// 18 x 18 bits (see bw_pw_array). SMALL: 1: columns are added by a tree (bw_pw_tree); PAIRS at most 4.
`default_nettype none

module bw_pw #(
    parameter int PAIRS = 16,
    parameter int WEIGHT_DEPTH = 512,
    parameter int CONST_DEPTH = 64,
    parameter int TABLE_DEPTH = 1024,
    parameter int ADDR_W = 15,
    parameter int X_BITS = 27,
    parameter int MUL18 = 0,
    parameter int SUMS = 0,
    parameter int SMALL = 0
) (
    input  wire               clk_i,
    input  wire               rst_ni,
    input  wire               flush_i,
    input  wire               cmd_valid_i,
    output logic              cmd_ready_o,
    input  wire  [511:0]      cmd_i,
    output logic              done_o,
    output logic              rd_req_o,
    output logic [ADDR_W-1:0] rd_addr_o,
    input  wire               rd_gnt_i,
    input  wire               rd_valid_i,
    input  wire  [127:0]      rd_data_i,
    output logic              wr_req_o,
    output logic [ADDR_W-1:0] wr_addr_o,
    output logic [127:0]      wr_data_o,
    input  wire               wr_gnt_i,
    input  wire               ld_weight_we_i,
    input  wire               ld_const_we_i,
    input  wire               ld_table_we_i,
    input  wire  [15:0]       ld_addr_i,
    input  wire  [127:0]      ld_data_i,
    output logic              busy_o,
    output logic              stall_o
);
  localparam int RD_LAT = 5;  // from the grant of a read to its data
  // A word a cycle takes about 50 cycles from its reservation to its write; with SMALL (PAIRS at most 4) it is
  // at most one every four.
  localparam int OUT_DEPTH = (SMALL != 0) ? 16 : 64;
  localparam int WADDR_W = $clog2(WEIGHT_DEPTH);
  localparam int TAG_W = 14 + WADDR_W;

`ifndef SYNTHESIS
  initial begin
    if ((CONST_DEPTH & (CONST_DEPTH - 1)) != 0) $error("%m: CONST_DEPTH must be a power of two, got %0d", CONST_DEPTH);
    if ((TABLE_DEPTH & (TABLE_DEPTH - 1)) != 0 || TABLE_DEPTH < 16)
      $error("%m: TABLE_DEPTH must be a power of two, at least 16, got %0d", TABLE_DEPTH);
    if (SMALL != 0 && PAIRS > 4) $error("%m: SMALL needs PAIRS of at most 4, got %0d", PAIRS);
    if (SUMS != 0 && PAIRS > 16) $error("%m: SUMS needs PAIRS of at most 16, got %0d", PAIRS);
    if (ADDR_W < 10 || ADDR_W > 16) $error("%m: ADDR_W must be 10 to 16, got %0d", ADDR_W);
  end
`endif

  logic clear_n, take, out_ready, freed;
  assign clear_n = rst_ni && !flush_i;
  assign take = cmd_valid_i && cmd_ready_o;

  // ---- steps
  logic issue, in_map, first, last, w8, act_signed;
  logic [8:0] zero_point;
  logic [WADDR_W-1:0] weight;

  bw_pw_gen #(
      .PAIRS(PAIRS), .WEIGHT_DEPTH(WEIGHT_DEPTH), .TABLE_DEPTH(TABLE_DEPTH), .ADDR_W(ADDR_W), .OUT_DEPTH(OUT_DEPTH),
      .SUMS(SUMS)
  ) u_gen (
      .clk_i, .rst_ni(clear_n), .cmd_valid_i, .out_ready_i(out_ready), .cmd_ready_o, .cmd_i,
      .ld_addr_i, .ld_table_we_i, .ld_data_i, .freed_i(freed), .rd_req_o, .rd_addr_o, .rd_gnt_i,
      .issue_o(issue), .inside_o(in_map), .first_o(first), .last_o(last), .w8_o(w8), .signed_o(act_signed),
      .zero_point_o(zero_point), .weight_o(weight), .busy_o, .stall_o
  );

  // ---- the tags of steps wait for their words
  logic [RD_LAT-1:0] valid_q;
  logic [RD_LAT*TAG_W-1:0] tag_q;
  logic t_inside, t_first, t_last, t_w8, t_signed;
  logic [8:0] t_zero;
  logic [WADDR_W-1:0] t_weight;

  always_ff @(posedge clk_i) begin
    if (!clear_n) valid_q <= '0;
    else valid_q <= {valid_q[RD_LAT-2:0], issue};
    tag_q <= {tag_q[(RD_LAT-1)*TAG_W-1:0], in_map, first, last, w8, act_signed, zero_point, weight};
  end
  assign {t_inside, t_first, t_last, t_w8, t_signed, t_zero, t_weight} = tag_q[(RD_LAT-1)*TAG_W+:TAG_W];

  // ---- activations: nine bits, zero point subtracted, zero outside the map
  logic step_q, first_q, last_q, w8_q;
  logic [WADDR_W-1:0] weight_q;
  logic [16*9-1:0] act_q;

  always_ff @(posedge clk_i) begin
    if (!clear_n) step_q <= 1'b0;
    else step_q <= valid_q[RD_LAT-1];
    first_q <= t_first;
    last_q <= t_last;
    w8_q <= t_w8;
    weight_q <= t_weight;
  end
  for (genvar l = 0; l < 16; l++) begin : g_act
    logic [8:0] a;
    assign a = {t_signed && rd_data_i[8*l+7], rd_data_i[8*l+:8]} - t_zero;
    always_ff @(posedge clk_i) act_q[9*l+:9] <= (t_inside && rd_valid_i) ? a : 9'd0;
  end

  // ---- array and output side
  logic sums;
  logic [2*PAIRS*27-1:0] acc;

  if (SMALL != 0) begin : g_tree
    bw_pw_tree #(
        .PAIRS(PAIRS), .WEIGHT_DEPTH(WEIGHT_DEPTH)
    ) u_array (
        .clk_i, .rst_ni(clear_n), .ld_we_i(ld_weight_we_i), .ld_addr_i, .ld_data_i,
        .valid_i(step_q), .first_i(first_q), .last_i(last_q), .w8_i(w8_q), .addr_i(weight_q), .act_i(act_q),
        .done_o(sums), .acc_o(acc)
    );
  end else begin : g_columns
    bw_pw_array #(
        .PAIRS(PAIRS), .WEIGHT_DEPTH(WEIGHT_DEPTH), .MUL18(MUL18)
    ) u_array (
        .clk_i, .rst_ni(clear_n), .ld_we_i(ld_weight_we_i), .ld_addr_i, .ld_data_i,
        .valid_i(step_q), .first_i(first_q), .last_i(last_q), .w8_i(w8_q), .addr_i(weight_q), .act_i(act_q),
        .done_o(sums), .acc_o(acc)
    );
  end

  bw_pw_out #(
      .PAIRS(PAIRS), .CONST_DEPTH(CONST_DEPTH), .TABLE_DEPTH(TABLE_DEPTH), .ADDR_W(ADDR_W),
      .OUT_DEPTH(OUT_DEPTH), .X_BITS(X_BITS), .SUMS(SUMS)
  ) u_out (
      .clk_i, .rst_ni(clear_n), .take_i(take), .ready_o(out_ready), .cmd_i,
      .ld_addr_i, .ld_const_we_i, .ld_table_we_i, .ld_data_i,
      .done_i(sums), .acc_i(acc), .freed_o(freed), .wr_req_o, .wr_addr_o, .wr_data_o, .wr_gnt_i, .finished_o(done_o)
  );
endmodule

`default_nettype wire
