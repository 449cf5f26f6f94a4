// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Depthwise unit of the engine (docs/engine.md 2.4): depthwise and deformable convolutions, pools, additions, copies.
// It walks over windows, three taps a cycle, each tap through its own read port.
//
//   plan -> walk -> addr -> 3 x port -> pairing -> mac -> out (requantizer, write port)
//
// Throughput: one triple a cycle while the three ports are granted (3x3: 3 cycles a word), at most one word in 2 cycles
// (ADD: 4), the beats of the requantizer. DEFORM_SQUARE reads one word more through port 0 (4 cycles a word),
// DEFORM_FREE one more through ports 0 and 1. Grants come independently for each port; the words meet in the pairing
// stage, which takes a triple when all its words have come. Latency: about 45 cycles from a command to its first write.
// Nothing stalls behind the pairing: the walker takes a place for every triple (TRIPLES) and for every output word
// (WORDS), and up to 4 commands are in flight. Addresses are taken modulo 2^ADDR_W. Counts of 0 (PLANES, OH, OW, KH,
// KT) are not allowed.
// Legal parameters: depths powers of two (see the modules), ADDR_W 11 to 16; X_BITS 18 to 27 (see
// bw_requant).
`default_nettype none
`include "bw_isa.svh"

module bw_dw #(
    parameter int DW_WEIGHT_DEPTH = 512,
    parameter int CONST_DEPTH = 64,
    parameter int TABLE_DEPTH = 1024,
    parameter int ADDR_W = 15,
    parameter int X_BITS = 27
) (
    input wire clk_i,
    input wire rst_ni,
    input wire flush_i,
    input wire cmd_valid_i,
    output wire cmd_ready_o,
    input wire [511:0] cmd_i,
    output wire done_o,
    output wire [2:0] rd_req_o,
    output wire [3*ADDR_W-1:0] rd_addr_o,
    input wire [2:0] rd_gnt_i,
    input wire [2:0] rd_valid_i,
    input wire [3*128-1:0] rd_data_i,
    output wire wr_req_o,
    output wire [ADDR_W-1:0] wr_addr_o,
    output wire [127:0] wr_data_o,
    input wire wr_gnt_i,
    input wire ld_weight_we_i,
    input wire ld_const_we_i,
    input wire ld_table_we_i,
    input wire [15:0] ld_addr_i,
    input wire [127:0] ld_data_i,
    output wire busy_o,
    output wire stall_o
);
  localparam int TRIPLES = 32;
  localparam int WORDS = 32;
  localparam int OFS_DEPTH = 8;
  localparam int WW = $clog2(DW_WEIGHT_DEPTH);
  localparam int EW = $clog2(CONST_DEPTH);
  localparam int TAG_W = 8 + WW + ADDR_W + EW;

  // A flush lasts until every read that was granted before it has been answered.
  logic [3:0] flush_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) flush_q <= '0;
    else if (flush_i) flush_q <= '1;
    else if (flush_q != 0) flush_q <= flush_q - 4'd1;
  end
  wire run_n = rst_ni && !flush_i && flush_q == 0;

  // Plan
  wire plane_valid, plane_take, plane_first, plane_last;
  wire [15:0] in_base, out_base, operand_base, entry, out_row;
  wire [511:0] cmd;
  bw_dw_plan #(
      .TABLE_DEPTH(TABLE_DEPTH)
  ) u_plan (
      .clk_i,
      .rst_ni(run_n),
      .cmd_valid_i,
      .cmd_ready_o,
      .cmd_i,
      .ld_table_we_i,
      .ld_addr_i,
      .ld_data_i,
      .plane_valid_o(plane_valid),
      .plane_take_i(plane_take),
      .plane_first_o(plane_first),
      .plane_last_o(plane_last),
      .in_base_o(in_base),
      .out_base_o(out_base),
      .operand_base_o(operand_base),
      .entry_o(entry),
      .out_row_o(out_row),
      .cmd_o(cmd)
  );

  // Reservations, and the parameters of the commands in flight that are needed behind the pairing (a slot for each)
  logic [5:0] triples_q, words_q;
  logic [2:0] commands_q;
  logic [1:0] slot_q;
  logic [11:0] mac_par_q[0:3];
  logic [24:0] out_par_q[0:3];
  wire issue, issue_window, fire, written, active;
  wire take_cmd = plane_take && plane_first;
  always_ff @(posedge clk_i) begin
    if (take_cmd) begin
      mac_par_q[slot_q] <= {
        cmd[`BW_DW_MODE] == `BW_DW_MAX, cmd[`BW_C_ACT_SIGNED], cmd[`BW_DW_OPERAND_SIGNED], cmd[`BW_C_ZERO_POINT]
      };
      out_par_q[slot_q] <= {
        cmd[`BW_DW_ARGMAX], cmd[`BW_C_SHIFT], cmd[`BW_C_HALF_EVEN], cmd[`BW_C_WRAP], cmd[`BW_C_LO], cmd[`BW_C_HI]
      };
    end
    if (!run_n) begin
      triples_q <= '0;
      words_q <= '0;
      commands_q <= '0;
      slot_q <= '0;
    end else begin
      triples_q <= triples_q + 6'(issue) - 6'(fire);
      words_q <= words_q + 6'(issue_window) - 6'(written);
      commands_q <= commands_q + 3'(take_cmd) - 3'(done_o);
      if (take_cmd) slot_q <= slot_q + 2'd1;
    end
  end

  // Walk
  wire step, add;
  wire [17:0] y, x;
  wire [29:0] dy, dx;
  wire [2:0] mask;
  wire [10:0] oy, ox;
  wire [11:0] h, w;
  wire [3:0] up;
  wire [31:0] pitch, base;
  wire [TAG_W-1:0] tag;
  wire [1:0] ofs_push;
  wire [2*ADDR_W-1:0] ofs_addr;
  wire [2:0] ofs_valid;
  wire [383:0] ofs_data;
  bw_dw_walk #(
      .ADDR_W(ADDR_W),
      .WEIGHT_W(WW),
      .ENTRY_W(EW),
      .OFS_DEPTH(OFS_DEPTH)
  ) u_walk (
      .clk_i,
      .rst_ni(run_n),
      .plane_valid_i(plane_valid),
      .plane_take_o(plane_take),
      .plane_first_i(plane_first),
      .plane_last_i(plane_last),
      .in_base_i(in_base),
      .out_base_i(out_base),
      .operand_base_i(operand_base),
      .entry_i(entry),
      .out_row_i(out_row),
      .cmd_i(cmd),
      .slot_i(slot_q),
      .slot_space_i(!commands_q[2]),
      .space_i(!triples_q[5]),
      .window_space_i(!words_q[5]),
      .issue_o(issue),
      .issue_window_o(issue_window),
      .active_o(active),
      .ofs_push_o(ofs_push),
      .ofs_addr_o(ofs_addr),
      .ofs_valid_i(ofs_valid[1:0]),
      .ofs_data_i(ofs_data[143:0]),
      .step_o(step),
      .y_o(y),
      .x_o(x),
      .dy_o(dy),
      .dx_o(dx),
      .mask_o(mask),
      .oy_o(oy),
      .ox_o(ox),
      .add_o(add),
      .h_o(h),
      .w_o(w),
      .up_o(up),
      .pitch_o(pitch),
      .base_o(base),
      .tag_o(tag)
  );

  wire push;
  wire [2:0] tap_push, tap_inside;
  wire [3*ADDR_W-1:0] tap_addr;
  wire [TAG_W-1:0] push_tag;
  bw_dw_addr #(
      .ADDR_W(ADDR_W),
      .TAG_W (TAG_W)
  ) u_addr (
      .clk_i,
      .rst_ni(run_n),
      .step_i(step),
      .y_i(y),
      .x_i(x),
      .dy_i(dy),
      .dx_i(dx),
      .mask_i(mask),
      .oy_i(oy),
      .ox_i(ox),
      .add_i(add),
      .h_i(h),
      .w_i(w),
      .up_i(up),
      .pitch_i(pitch),
      .base_i(base),
      .tag_i(tag),
      .push_o(push),
      .tap_push_o(tap_push),
      .tap_addr_o(tap_addr),
      .mask_o(tap_inside),
      .tag_o(push_tag)
  );

  // Read ports
  wire [2:0] head_valid, head_mask;
  wire [383:0] head_words;
  for (genvar k = 0; k < 3; k++) begin : g_port
    bw_dw_port #(
        .ADDR_W(ADDR_W),
        .DEPTH(TRIPLES),
        .OFS_DEPTH(OFS_DEPTH)
    ) u_port (
        .clk_i,
        .rst_ni(run_n),
        .tap_push_i(tap_push[k]),
        .tap_addr_i(tap_addr[k*ADDR_W+:ADDR_W]),
        .ofs_push_i(k < 2 ? ofs_push[k%2] : 1'b0),
        .ofs_addr_i(ofs_addr[(k%2)*ADDR_W+:ADDR_W]),
        .rd_req_o(rd_req_o[k]),
        .rd_addr_o(rd_addr_o[k*ADDR_W+:ADDR_W]),
        .rd_gnt_i(rd_gnt_i[k]),
        .rd_valid_i(rd_valid_i[k]),
        .rd_data_i(rd_data_i[128*k+:128]),
        .tap_valid_o(head_valid[k]),
        .tap_data_o(head_words[128*k+:128]),
        .tap_pop_i(fire && head_mask[k]),
        .ofs_valid_o(ofs_valid[k]),
        .ofs_data_o(ofs_data[128*k+:128])
    );
  end

  // Only ports 0 and 1 bring offsets.
  wire unused = &{1'b0, ofs_valid[2], ofs_data[383:144]};

  // Pairing: the oldest triple and its words; the last triple of a window waits until the requantizer can take it.
  wire head_v;
  wire [TAG_W-1:0] head_tag;
  bw_dw_fifo #(
      .W(3 + TAG_W),
      .DEPTH(TRIPLES)
  ) u_tags (
      .clk_i,
      .rst_ni(run_n),
      .push_i(push),
      .data_i({tap_inside, push_tag}),
      .valid_o(head_v),
      .data_o({head_mask, head_tag}),
      .pop_i(fire)
  );
  wire head_scale, head_plane_last, head_add, head_cmd_last, head_first, head_last;
  wire [1:0] head_slot;
  wire [WW-1:0] head_weight;
  wire [ADDR_W+EW-1:0] head_out;
  assign {head_scale, head_plane_last, head_add, head_slot, head_cmd_last, head_first, head_last, head_weight,
          head_out} = head_tag;
  logic [1:0] hold_q;
  logic busy_q, stall_q;
  assign fire = head_v && (head_valid & head_mask) == head_mask && !(head_last && hold_q != 0);
  assign busy_o = busy_q;
  assign stall_o = stall_q;
  always_ff @(posedge clk_i) begin
    if (!run_n) begin
      hold_q  <= '0;
      busy_q  <= 1'b0;
      stall_q <= 1'b0;
    end else begin
      if (fire && head_last) hold_q <= head_add ? 2'd3 : 2'd1;
      else if (hold_q != 0) hold_q <= hold_q - 2'd1;
      busy_q  <= fire;
      stall_q <= !fire && (active || triples_q != 0);
    end
  end

  wire acc_valid;
  wire [16*27-1:0] acc;
  wire [16*9-1:0] second;
  wire [ADDR_W+EW+4:0] acc_tag;
  wire [11:0] mac_par = mac_par_q[head_slot];
  bw_dw_mac #(
      .WEIGHT_DEPTH(DW_WEIGHT_DEPTH),
      .TAG_W(ADDR_W + EW + 5)
  ) u_mac (
      .clk_i,
      .rst_ni(run_n),
      .ld_weight_we_i,
      .ld_addr_i,
      .ld_data_i,
      .fire_i(fire),
      .words_i(head_words),
      .mask_i(head_mask),
      .first_i(head_first),
      .last_i(head_last),
      .scale_i(head_scale),
      .add_i(head_add),
      .max_i(mac_par[11]),
      .act_signed_i(mac_par[10]),
      .operand_signed_i(mac_par[9]),
      .zero_point_i(mac_par[8:0]),
      .weight_i(head_weight),
      .tag_i({head_plane_last, head_add, head_slot, head_cmd_last, head_out}),
      .acc_valid_o(acc_valid),
      .acc_o(acc),
      .second_o(second),
      .tag_o(acc_tag)
  );

  wire acc_plane_last, acc_add, acc_cmd_last;
  wire [1:0] acc_slot;
  wire [ADDR_W-1:0] acc_addr;
  wire [EW-1:0] acc_entry;
  assign {acc_plane_last, acc_add, acc_slot, acc_cmd_last, acc_addr, acc_entry} = acc_tag;
  wire [24:0] out_par = out_par_q[acc_slot];
  bw_dw_out #(
      .ADDR_W(ADDR_W),
      .CONST_DEPTH(CONST_DEPTH),
      .OUT_DEPTH(WORDS),
      .X_BITS(X_BITS)
  ) u_out (
      .clk_i,
      .rst_ni(run_n),
      .ld_const_we_i,
      .ld_addr_i,
      .ld_data_i,
      .valid_i(acc_valid),
      .acc_i(acc),
      .second_i(second),
      .add_i(acc_add),
      .argmax_i(out_par[24]),
      .plane_last_i(acc_plane_last),
      .cmd_last_i(acc_cmd_last),
      .addr_i(acc_addr),
      .entry_i(acc_entry),
      .shift_i(out_par[23:22]),
      .half_even_i(out_par[21]),
      .wrap_i(out_par[20]),
      .lo_i(out_par[19:10]),
      .hi_i(out_par[9:0]),
      .wr_req_o,
      .wr_addr_o,
      .wr_data_o,
      .wr_gnt_i,
      .written_o(written),
      .done_o
  );

endmodule

`default_nettype wire
