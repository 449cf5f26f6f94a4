// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Front of the depthwise unit: takes commands and prepares the next plane while the walker is busy with the one before:
// three lookups in the plane table (input, output, operand) and the entry of the constants. A plane takes 7 cycles to
// prepare, so only planes of fewer than 7 steps are slowed down by it. cmd_o stays until the last plane of the command
// is taken.
// Legal parameters: TABLE_DEPTH a power of two, 64 to 8192. Planes are numbered from 0; PLANES = 0 is not allowed.
`default_nettype none
`include "bw_isa.svh"

module bw_dw_plan #(
    parameter int TABLE_DEPTH = 1024
) (
    input wire clk_i,
    input wire rst_ni,
    input wire cmd_valid_i,
    output wire cmd_ready_o,
    input wire [511:0] cmd_i,
    input wire ld_table_we_i,
    input wire [15:0] ld_addr_i,
    input wire [127:0] ld_data_i,
    output wire plane_valid_o,
    input wire plane_take_i,
    output wire plane_first_o,
    output wire plane_last_o,
    output wire [15:0] in_base_o,
    output wire [15:0] out_base_o,
    output wire [15:0] operand_base_o,
    output wire [15:0] entry_o,
    output wire [15:0] out_row_o,
    output wire [511:0] cmd_o
);
  localparam int TA = $clog2(TABLE_DEPTH);

  logic [511:0] cmd_q;
  logic idle_q, first_q, valid_q, last_q;
  logic [2:0] seq_q;
  logic [7:0] plane_q;
  logic [15:0] in_idx_q, out_idx_q, operand_idx_q, entry_q;
  logic [15:0] in_base_q, out_base_q, operand_base_q, out_row_q;

  // The table, eight entries a row as they are loaded.
  (* ram_style = "block" *) logic [127:0] mem[0:TABLE_DEPTH/8-1];
  logic ld_we_q;
  logic [TA-4:0] ld_row_q;
  logic [127:0] ld_data_q, row_q;
  logic [TA-1:0] index_q;
  logic [2:0] column_q;
  logic [15:0] found_q;

  always_ff @(posedge clk_i) begin
    ld_row_q <= ld_addr_i[TA-4:0];
    ld_data_q <= ld_data_i;
    ld_we_q <= ld_table_we_i;
    if (ld_we_q) mem[ld_row_q] <= ld_data_q;
    row_q <= mem[index_q[TA-1:3]];
    column_q <= index_q[2:0];
    found_q <= row_q[{column_q, 4'd0}+:16];
  end

  wire next_plane = plane_take_i && !last_q;
  wire [15:0] pitch = cmd_q[`BW_C_OUT_PITCH];
  wire [4:0] step_y = cmd_q[`BW_DW_OUT_STEP_Y];
  logic [15:0] row_low_q;
  logic [13:0] row_high_q;

  always_ff @(posedge clk_i) begin
    if (cmd_valid_i && cmd_ready_o) begin
      cmd_q <= cmd_i;
      in_idx_q <= cmd_i[`BW_C_IN_TABLE];
      out_idx_q <= cmd_i[`BW_C_OUT_TABLE];
      operand_idx_q <= cmd_i[`BW_DW_OPERAND_TABLE];
      entry_q <= cmd_i[`BW_C_CONST_BASE];
      plane_q <= 8'd1;
      first_q <= 1'b1;
    end else if (next_plane) begin
      in_idx_q <= in_idx_q + 16'd1;
      out_idx_q <= out_idx_q + 16'd1;
      operand_idx_q <= operand_idx_q + 16'd1;
      entry_q <= entry_q + (cmd_q[`BW_DW_MODE] == `BW_DW_ADD ? 16'd4 : 16'd2);
      plane_q <= plane_q + 8'd1;
      first_q <= 1'b0;
    end
    last_q <= plane_q == cmd_q[`BW_C_PLANES];
    // OUT_STEP_Y * OUT_PITCH as sums of few, which no tool makes a multiplier of; it is there before the first plane.
    row_low_q <= (step_y[0] ? pitch : 16'd0) + (step_y[1] ? {pitch[14:0], 1'b0} : 16'd0);
    row_high_q <= (step_y[2] ? pitch[13:0] : 14'd0) + (step_y[3] ? {pitch[12:0], 1'b0} : 14'd0) +
        (step_y[4] ? {pitch[11:0], 2'b0} : 14'd0);
    out_row_q <= row_low_q + {row_high_q, 2'd0};

    // Index in cycle 0-2, row in 1-3, entry in 2-4, sum in 3-5.
    index_q <= seq_q == 0 ? in_idx_q[TA-1:0] : seq_q == 1 ? out_idx_q[TA-1:0] : operand_idx_q[TA-1:0];
    if (seq_q == 3) in_base_q <= found_q + cmd_q[`BW_C_IN_OFFSET];
    if (seq_q == 4) out_base_q <= found_q + cmd_q[`BW_C_OUT_OFFSET];
    if (seq_q == 5) operand_base_q <= found_q + cmd_q[`BW_DW_OPERAND_OFFSET];

    if (!rst_ni) begin
      idle_q <= 1'b1;
      valid_q <= 1'b0;
      seq_q <= '0;
    end else begin
      if (cmd_valid_i && cmd_ready_o) idle_q <= 1'b0;
      else if (plane_take_i && last_q) idle_q <= 1'b1;
      if (idle_q || plane_take_i) seq_q <= '0;
      else if (seq_q != 3'd7) seq_q <= seq_q + 3'd1;
      if (plane_take_i) valid_q <= 1'b0;
      else if (seq_q == 3'd5) valid_q <= 1'b1;
    end
  end

  assign cmd_ready_o = idle_q && rst_ni;
  assign plane_valid_o = valid_q;
  assign plane_first_o = first_q;
  assign plane_last_o = last_q;
  assign in_base_o = in_base_q;
  assign out_base_o = out_base_q;
  assign operand_base_o = operand_base_q;
  assign entry_o = entry_q;
  assign out_row_o = out_row_q;
  assign cmd_o = cmd_q;

  // Upper bits of indices and load addresses wrap around.
  wire unused = &{1'b0, ld_addr_i, in_idx_q, out_idx_q, operand_idx_q};

`ifndef SYNTHESIS
  initial if (TABLE_DEPTH < 64 || TABLE_DEPTH > 8192 || (TABLE_DEPTH & (TABLE_DEPTH - 1)) != 0)
    $error("%m: TABLE_DEPTH must be a power of two, 64 to 8192");
`endif
endmodule

`default_nettype wire
