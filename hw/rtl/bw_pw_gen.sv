// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0

// Address generator of the pointwise unit (docs/engine.md 2.3): one step a cycle from an instruction, in the order
// oy, ox, sub, i, j, plane, and the read port of the activation memory.
//
// Counters -> table read, coordinates -> y * pitch -> sums -> a queue of 16 steps -> the slot. The slot is a
// register: its step is issued (issue_o, with the tag of the step) when its read is granted, or at once when the
// step lies outside the map and reads nothing. Two rules hold a step back before it reaches the slot, so that
// nothing behind ever has to stall:
//   - the first step of a sub-pass waits until the output queue has room for the words that the sub-pass completes;
//   - the last step of a sub-pass is issued at least as many cycles after the last one of the sub-pass before as
//     that one's results take to leave the array (beats of the serializer).
// The parameters of an instruction travel with its steps: the next instruction starts three cycles after the last
// step of this one has left the counters. First issue: 7 cycles after the instruction was taken.
//
// Legal: PAIRS 2, 4, 8, 16, 32; WEIGHT_DEPTH and TABLE_DEPTH powers of two; ADDR_W at most 16: higher bits of an address
// are dropped. Counts in an instruction (OH, OW, SUBS, KH, KW, PLANES) are at least 1. OUT_DEPTH: words of the
// output queue. SUMS: SUM counts, whose odd planes have a signedness of their own.
`default_nettype none
`include "bw_isa.svh"

module bw_pw_gen #(
    parameter int PAIRS = 16,
    parameter int WEIGHT_DEPTH = 512,
    parameter int TABLE_DEPTH = 1024,
    parameter int ADDR_W = 15,
    parameter int OUT_DEPTH = 64,
    parameter int SUMS = 0
) (
    input  wire                              clk_i,
    input  wire                              rst_ni,
    input  wire                              cmd_valid_i,
    input  wire                              out_ready_i,  // the output side can take another instruction
    output logic                             cmd_ready_o,
    /* verilator lint_off UNUSEDSIGNAL */  // fields of others; addresses modulo the depth
    input  wire  [511:0]                     cmd_i,
    input  wire  [15:0]                      ld_addr_i,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire                              ld_table_we_i,
    input  wire  [127:0]                     ld_data_i,
    input  wire                              freed_i,  // a word left the output queue
    output logic                             rd_req_o,
    output logic [ADDR_W-1:0]                rd_addr_o,
    input  wire                              rd_gnt_i,
    output logic                             issue_o,
    output logic                             inside_o,
    output logic                             first_o,
    output logic                             last_o,
    output logic                             w8_o,
    output logic                             signed_o,
    output logic [8:0]                       zero_point_o,
    output logic [$clog2(WEIGHT_DEPTH)-1:0]  weight_o,
    output logic                             busy_o,
    output logic                             stall_o
);
  localparam int TABLE_W = $clog2(TABLE_DEPTH);
  localparam int WADDR_W = $clog2(WEIGHT_DEPTH);
  localparam int COORD_W = 18;  // IX0 has 16 bits, the rest adds less than 2^16
  localparam int BEATS4 = (PAIRS > 16) ? 4 : 2;  // beats of the serializer a sub-pass, 4-bit weights
  localparam int BEATS8 = (PAIRS > 16) ? 2 : 1;
  localparam int WORDS = (PAIRS > 8) ? PAIRS / 8 : 1;  // words a sub-pass, at most
  localparam int QUEUE_W = 4;

  // ---- the instruction
  logic init_q, run_q;
  logic [7:0] planes_q, subs_q;
  logic [3:0] kh_q, kw_q, stride_y_q, stride_x_q;
  logic [10:0] oh_q, ow_q;
  logic [4:0] dil_y_q, dil_x_q;
  logic [11:0] h_q, w_q;
  logic [1:0] up_y_q, up_x_q;
  logic signed_q, w8_q, sum_q, second_signed_q;
  logic signed [15:0] iy0_q, ix0_q;
  logic [ADDR_W-1:0] pitch_q, offset_q;
  logic [TABLE_W-1:0] table_q;
  logic [WADDR_W-1:0] base_q;
  logic [8:0] zero_q;

  logic step, p_last, j_last, i_last, s_last, x_last, y_last;
  logic end_p, end_j, end_i, end_s, end_x, end_y;
  logic room_q;

  assign cmd_ready_o = !init_q && !run_q && out_ready_i;
  assign step = run_q && room_q;
  assign end_p = step && p_last;
  assign end_j = end_p && j_last;
  assign end_i = end_j && i_last;
  assign end_s = end_i && s_last;
  assign end_x = end_s && x_last;
  assign end_y = end_x && y_last;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      init_q <= 1'b0;
      run_q <= 1'b0;
    end else begin
      init_q <= cmd_valid_i && cmd_ready_o;
      run_q <= init_q || (run_q && !end_y);
    end
    if (cmd_ready_o) begin
      planes_q <= cmd_i[`BW_C_PLANES];
      subs_q <= cmd_i[`BW_PW_SUBS];
      kh_q <= cmd_i[`BW_PW_KH];
      kw_q <= cmd_i[`BW_PW_KW];
      stride_y_q <= cmd_i[`BW_C_STRIDE_Y];
      stride_x_q <= cmd_i[`BW_C_STRIDE_X];
      oh_q <= cmd_i[`BW_C_OH];
      ow_q <= cmd_i[`BW_C_OW];
      dil_y_q <= cmd_i[`BW_C_DILATION_Y];
      dil_x_q <= cmd_i[`BW_C_DILATION_X];
      h_q <= cmd_i[`BW_C_H];
      w_q <= cmd_i[`BW_C_W];
      up_y_q <= cmd_i[`BW_C_UP_Y];
      up_x_q <= cmd_i[`BW_C_UP_X];
      signed_q <= cmd_i[`BW_C_ACT_SIGNED];
      w8_q <= cmd_i[`BW_PW_W8];
      sum_q <= SUMS != 0 && cmd_i[`BW_PW_SUM];
      second_signed_q <= cmd_i[`BW_PW_SECOND_SIGNED];
      iy0_q <= $signed(cmd_i[`BW_C_IY0]);
      ix0_q <= $signed(cmd_i[`BW_C_IX0]);
      pitch_q <= ADDR_W'(cmd_i[`BW_C_IN_PITCH]);
      offset_q <= ADDR_W'(cmd_i[`BW_C_IN_OFFSET]);
      table_q <= TABLE_W'(cmd_i[`BW_C_IN_TABLE]);
      base_q <= WADDR_W'(cmd_i[`BW_C_WEIGHT_BASE]);
      zero_q <= cmd_i[`BW_C_ZERO_POINT];
    end
  end

  // ---- stage 0: counters, coordinates, addresses of table and weights
  bw_pw_loop #(.W(8)) u_p (.clk_i, .load_i(init_q), .count_i(planes_q), .step_i(step), .last_o(p_last));
  bw_pw_loop #(.W(4)) u_j (.clk_i, .load_i(init_q), .count_i(kw_q), .step_i(end_p), .last_o(j_last));
  bw_pw_loop #(.W(4)) u_i (.clk_i, .load_i(init_q), .count_i(kh_q), .step_i(end_j), .last_o(i_last));
  bw_pw_loop #(.W(8)) u_s (.clk_i, .load_i(init_q), .count_i(subs_q), .step_i(end_i), .last_o(s_last));
  bw_pw_loop #(.W(11)) u_x (.clk_i, .load_i(init_q), .count_i(ow_q), .step_i(end_s), .last_o(x_last));
  bw_pw_loop #(.W(11)) u_y (.clk_i, .load_i(init_q), .count_i(oh_q), .step_i(end_x), .last_o(y_last));

  logic signed [COORD_W-1:0] x_q, y_q, xo_q, yo_q, xo_d, yo_d;  // of this step; of its window's corner
  logic [TABLE_W-1:0] entry_q;
  logic [WADDR_W-1:0] weight_q;
  logic first_q;  // step is the first of its sub-pass
  logic odd_q;  // plane of the second operand of a sum
  logic full;  // a sub-pass has results of all halves of columns
  logic [2:0] part_q;  // number of the sub-pass modulo 8

  assign full = !w8_q && !sum_q;
  assign xo_d = (init_q || x_last) ? COORD_W'(ix0_q) : xo_q + $signed({{(COORD_W-4){1'b0}}, stride_x_q});
  assign yo_d = init_q ? COORD_W'(iy0_q) : yo_q + $signed({{(COORD_W-4){1'b0}}, stride_y_q});

  always_ff @(posedge clk_i) begin
    if (init_q || end_s) xo_q <= xo_d;
    if (init_q || end_x) yo_q <= yo_d;
    if (init_q || end_s) x_q <= xo_d;
    else if (end_p) x_q <= j_last ? xo_q : x_q + $signed({{(COORD_W-5){1'b0}}, dil_x_q});
    if (init_q || end_x) y_q <= yo_d;
    else if (end_j) y_q <= i_last ? yo_q : y_q + $signed({{(COORD_W-5){1'b0}}, dil_y_q});
    if (init_q || end_p) entry_q <= table_q;
    else if (step) entry_q <= entry_q + 1'b1;
    if (init_q || end_s) weight_q <= base_q;
    else if (step) weight_q <= weight_q + 1'b1;
    if (init_q || step) first_q <= init_q || end_i;
    if (init_q || step) odd_q <= !init_q && !end_p && !odd_q;
    if (init_q || end_i) part_q <= (init_q || end_s) ? 3'd0 : part_q + 3'd1;
  end

  // ---- stages 1 to 3: table word, multiplier, sums
  localparam int TAG_W = 16 + WADDR_W;  // words, first, last, W8, signed, zero point, weight address
  (* ram_style = "block" *) logic [127:0] mem[0:TABLE_DEPTH/8-1];
  logic ld_we_q;
  logic [TABLE_W-4:0] ld_addr_q;
  logic [127:0] ld_data_q, read_q;
  logic [2:0] pick_q;
  logic [2:0] valid_q;
  logic y_in_q, x_in_q, in2_q, in3_q;
  /* verilator lint_off UNUSEDSIGNAL */  // an address may have less than 12 bits
  logic [11:0] ys_q, xs1_q, xs2_q;
  /* verilator lint_on UNUSEDSIGNAL */
  logic [ADDR_W-1:0] pitch1_q, offset1_q, offset2_q, plane_q, prod_q, inner_q, outer_q;
  logic [TAG_W-1:0] tag0, tag1_q, tag2_q, tag3_q;
  logic [2:0] words;  // completed by the sub-pass

  if (PAIRS == 2) begin : g_words2
    assign words = {2'd0, s_last || (part_q[1:0] == 2'd3 && (part_q[2] || full))};
  end else if (PAIRS == 4) begin : g_words4
    assign words = {2'd0, s_last || (part_q[0] && (part_q[1] || full))};
  end else if (PAIRS == 8) begin : g_words8
    assign words = {2'd0, full || part_q[0] || s_last};
  end else begin : g_words16
    assign words = full ? 3'(WORDS) : 3'(WORDS / 2);
  end
  assign tag0 = {words, first_q, p_last && j_last && i_last, w8_q,
                 sum_q && odd_q ? second_signed_q : signed_q, zero_q, weight_q};

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      ld_we_q <= 1'b0;
      valid_q <= '0;
    end else begin
      ld_we_q <= ld_table_we_i;
      valid_q <= {valid_q[1:0], step};
    end
    ld_addr_q <= ld_addr_i[TABLE_W-4:0];
    ld_data_q <= ld_data_i;
  end

  always_ff @(posedge clk_i) begin
    if (ld_we_q) mem[ld_addr_q] <= ld_data_q;
    read_q <= mem[entry_q[TABLE_W-1:3]];
  end

  always_ff @(posedge clk_i) begin
    pick_q <= entry_q[2:0];
    y_in_q <= !y_q[COORD_W-1] && y_q[COORD_W-2:0] < {{(COORD_W-13){1'b0}}, h_q};
    x_in_q <= !x_q[COORD_W-1] && x_q[COORD_W-2:0] < {{(COORD_W-13){1'b0}}, w_q};
    ys_q <= 12'(y_q[11:0] >> up_y_q);
    xs1_q <= 12'(x_q[11:0] >> up_x_q);
    pitch1_q <= pitch_q;
    offset1_q <= offset_q;
    tag1_q <= tag0;

    plane_q <= ADDR_W'(read_q[{pick_q, 4'd0}+:16]);
    prod_q <= ADDR_W'(ys_q) * pitch1_q;
    xs2_q <= xs1_q;
    offset2_q <= offset1_q;
    in2_q <= y_in_q && x_in_q;
    tag2_q <= tag1_q;

    outer_q <= plane_q + offset2_q;
    inner_q <= prod_q + ADDR_W'(xs2_q);
    in3_q <= in2_q;
    tag3_q <= tag2_q;
  end

  // ---- queue of steps. A step is counted from the counters on until it moves to the slot.
  (* ram_style = "distributed" *) logic [ADDR_W+TAG_W:0] queue[0:(1<<QUEUE_W)-1];
  logic [ADDR_W+TAG_W:0] head;
  logic [QUEUE_W:0] wr_q, rd_q, used_q;
  logic move, any;

  assign any = wr_q != rd_q;
  assign head = queue[rd_q[QUEUE_W-1:0]];

  always_ff @(posedge clk_i) begin
    if (valid_q[2]) queue[wr_q[QUEUE_W-1:0]] <= {outer_q + inner_q, in3_q, tag3_q};
    if (!rst_ni) begin
      wr_q <= '0;
      rd_q <= '0;
      used_q <= '0;
      room_q <= 1'b0;
    end else begin
      wr_q <= wr_q + (QUEUE_W+1)'(valid_q[2]);
      rd_q <= rd_q + (QUEUE_W+1)'(move);
      used_q <= used_q + (QUEUE_W+1)'(step) - (QUEUE_W+1)'(move);
      room_q <= used_q < (QUEUE_W+1)'((1 << QUEUE_W) - 1);  // two steps may pass before it shows
    end
  end

  // ---- the slot
  localparam int SPACE_W = $clog2(OUT_DEPTH + 1);
  logic slot_q, wide_q, enough_q, blocked_q, gate;
  logic [1:0] pace_q;
  logic [SPACE_W-1:0] space_q;
  logic head_first, head_last;
  logic [2:0] head_words;

  assign {head_words, head_first, head_last} = head[WADDR_W+11+:5];
  assign gate = (!head_first || enough_q) && (!head_last || (!(slot_q && wide_q) && pace_q == 2'd0));
  assign issue_o = slot_q && (!inside_o || rd_gnt_i);
  assign move = any && gate && (!slot_q || issue_o);
  assign rd_req_o = slot_q && inside_o;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      slot_q <= 1'b0;
      wide_q <= 1'b0;
      pace_q <= '0;
      space_q <= SPACE_W'(OUT_DEPTH);
      enough_q <= 1'b0;
      blocked_q <= 1'b0;
      busy_o <= 1'b0;
      stall_o <= 1'b0;
    end else begin
      slot_q <= move || (slot_q && !issue_o);
      if (move) wide_q <= head_last && (BEATS8 > 1 || !head[WADDR_W+10]);  // more than one beat
      if (issue_o && wide_q) pace_q <= w8_o ? 2'((BEATS8 > 1) ? BEATS8 - 2 : 0) : 2'(BEATS4 - 2);
      else if (pace_q != 2'd0) pace_q <= pace_q - 2'd1;
      space_q <= space_q + SPACE_W'(freed_i) - ((move && head_first) ? SPACE_W'(head_words) : '0);
      enough_q <= space_q >= SPACE_W'(2 * WORDS);  // one sub-pass may start before it shows
      busy_o <= issue_o;
      blocked_q <= any && !gate && (!slot_q || issue_o);  // only the gate leaves the slot empty
      stall_o <= (slot_q && !issue_o) || blocked_q;
    end
    if (move) begin
      {rd_addr_o, inside_o} <= head[ADDR_W+TAG_W:TAG_W];
      {first_o, last_o, w8_o, signed_o, zero_point_o, weight_o} <= head[TAG_W-4:0];
    end
  end

`ifdef BW_ASSERT
  wire [QUEUE_W:0] steps = wr_q - rd_q;
  a_queue :
  assert property (@(posedge clk_i) disable iff (!rst_ni) valid_q[2] |-> int'(steps) < 1 << QUEUE_W);
  a_space :  // of the output queue: never more is taken than there is, nor given back than was taken
  assert property (@(posedge clk_i) disable iff (!rst_ni) int'(space_q) <= OUT_DEPTH);
`endif
endmodule

`default_nettype wire
