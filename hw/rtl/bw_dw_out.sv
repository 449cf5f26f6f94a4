// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Output side of the depthwise unit: a finished window becomes beats of 8 lanes for the requantizer (2; 4 with ADD,
// whose two words share a sum), the two results become a word, words wait in a queue for the write port. A window may
// come every 2 (ADD: 4) cycles; the caller keeps that distance and has reserved one of the OUT_DEPTH places of the
// queue (given back by written_o). With ARGMAX the word holds the label of the greatest channel so far instead. done_o follows the grant of the last word of a command by 4 cycles (docs/engine.md
// 5.1).
// Legal parameters: OUT_DEPTH a power of two up to 64.
`default_nettype none
`include "bw_isa.svh"

module bw_dw_out #(
    parameter int ADDR_W = 15,
    parameter int CONST_DEPTH = 64,
    parameter int OUT_DEPTH = 32,
    parameter int X_BITS = 27
) (
    input wire clk_i,
    input wire rst_ni,
    input wire ld_const_we_i,
    input wire [15:0] ld_addr_i,
    input wire [127:0] ld_data_i,
    // Finished window
    input wire valid_i,
    input wire [16*27-1:0] acc_i,
    input wire [16*9-1:0] second_i,
    input wire add_i,
    input wire argmax_i,
    input wire plane_last_i,
    input wire cmd_last_i,
    input wire [ADDR_W-1:0] addr_i,
    input wire [$clog2(CONST_DEPTH)-1:0] entry_i,
    input wire [1:0] shift_i,
    input wire half_even_i,
    input wire wrap_i,
    input wire [9:0] lo_i,
    input wire [9:0] hi_i,
    // Write port
    output wire wr_req_o,
    output wire [ADDR_W-1:0] wr_addr_o,
    output wire [127:0] wr_data_o,
    input wire wr_gnt_i,
    output wire written_o,
    output wire done_o
);
  localparam int EW = $clog2(CONST_DEPTH);

  // Beats. left_q: beats of this word still to come.
  logic valid_q, first_q, last_q, half_q, add_q, argmax_q, plane_last_q, cmd_last_q, half_even_q, wrap_q;
  logic [1:0] left_q, shift_q;
  logic [9:0] lo_q, hi_q;
  logic [EW-1:0] entry_q;
  logic [ADDR_W-1:0] addr_q;
  logic [8*27-1:0] x_q, upper_q;
  logic [16*9-1:0] second_q;
  wire [8*27-1:0] second_x;
  wire second_half = left_q == 2'd1;
  for (genvar l = 0; l < 8; l++) begin : g_second
    wire [8:0] s = second_half ? second_q[9*(l+8)+:9] : second_q[9*l+:9];
    assign second_x[27*l+:27] = {{18{s[8]}}, s};
  end

  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      x_q <= acc_i[8*27-1:0];
      upper_q <= acc_i[16*27-1:8*27];
      second_q <= second_i;
      first_q <= 1'b1;
      last_q <= !add_i;
      half_q <= 1'b0;
      add_q <= add_i;
      argmax_q <= argmax_i;
      plane_last_q <= plane_last_i;
      cmd_last_q <= cmd_last_i;
      entry_q <= entry_i;
      addr_q <= addr_i;
      shift_q <= shift_i;
      half_even_q <= half_even_i;
      wrap_q <= wrap_i;
      lo_q <= lo_i;
      hi_q <= hi_i;
    end else begin
      // ADD: lower first words, lower second, upper first, upper second
      x_q <= add_q && left_q != 2'd2 ? second_x : upper_q;
      first_q <= !add_q || left_q == 2'd2;
      last_q <= !add_q || left_q != 2'd2;
      half_q <= !add_q || left_q != 2'd3;
      entry_q <= entry_q + 1'b1;
    end
    if (!rst_ni) begin
      valid_q <= 1'b0;
      left_q  <= '0;
    end else begin
      valid_q <= valid_i || left_q != 0;
      if (valid_i) left_q <= add_i ? 2'd3 : 2'd1;
      else if (left_q != 0) left_q <= left_q - 2'd1;
    end
  end

  wire y_valid, y_half, y_argmax, y_plane_last, y_cmd_last;
  wire [ADDR_W-1:0] y_addr;
  wire [63:0] y;
  wire [8*27-1:0] key;
  bw_requant #(
      .LANES(8),
      .CONST_DEPTH(CONST_DEPTH),
      .TAG_W(ADDR_W + 4),
      .X_BITS(X_BITS)
  ) u_requant (
      .clk_i,
      .rst_ni,
      .ld_we_i(ld_const_we_i),
      .ld_addr_i,
      .ld_data_i,
      .valid_i(valid_q),
      .first_i(first_q),
      .last_i(last_q),
      .x_i(x_q),
      .entry_i(entry_q),
      .shift_i(shift_q),
      .half_even_i(half_even_q),
      .wrap_i(wrap_q),
      .lo_i(lo_q),
      .hi_i(hi_q),
      .tag_i({half_q, argmax_q, plane_last_q, cmd_last_q, addr_q}),
      .valid_o(y_valid),
      .y_o(y),
      .key_o(key),
      .tag_o({y_half, y_argmax, y_plane_last, y_cmd_last, y_addr})
  );

  wire [7:0] greatest;
  bw_dw_argmax u_argmax (
      .clk_i,
      .rst_ni,
      .key_i(key),
      .valid_i(y_valid),
      .half_i(y_half),
      .plane_last_i(y_plane_last),
      .cmd_last_i(y_cmd_last),
      .label_o(greatest)
  );

  // Every word takes as long as a label does, so that words keep their order.
  logic [2:0] late_valid_q, late_half_q, late_argmax_q, late_cmd_last_q;
  logic [3*ADDR_W-1:0] late_addr_q;
  logic [3*64-1:0] late_y_q;
  always_ff @(posedge clk_i) begin
    late_valid_q <= rst_ni ? {late_valid_q[1:0], y_valid} : 3'd0;
    late_half_q <= {late_half_q[1:0], y_half};
    late_argmax_q <= {late_argmax_q[1:0], y_argmax};
    late_cmd_last_q <= {late_cmd_last_q[1:0], y_cmd_last};
    late_addr_q <= {late_addr_q[2*ADDR_W-1:0], y_addr};
    late_y_q <= {late_y_q[2*64-1:0], y};
  end

  logic [63:0] y_lower_q;
  wire cmd_last;
  bw_dw_fifo #(
      .W(1 + ADDR_W + 128),
      .DEPTH(OUT_DEPTH)
  ) u_queue (
      .clk_i,
      .rst_ni,
      .push_i(late_valid_q[2] && late_half_q[2]),
      .data_i({
        late_cmd_last_q[2],
        late_addr_q[2*ADDR_W+:ADDR_W],
        late_argmax_q[2] ? {120'd0, greatest} : {late_y_q[2*64+:64], y_lower_q}
      }),
      .valid_o(wr_req_o),
      .data_o({cmd_last, wr_addr_o, wr_data_o}),
      .pop_i(wr_req_o && wr_gnt_i)
  );
  assign written_o = wr_req_o && wr_gnt_i;

  logic [3:0] done_q;
  assign done_o = done_q[3];
  always_ff @(posedge clk_i) begin
    if (late_valid_q[2] && !late_half_q[2]) y_lower_q <= late_y_q[2*64+:64];
    done_q <= rst_ni ? {done_q[2:0], written_o && cmd_last} : 4'd0;
  end

endmodule

`default_nettype wire
