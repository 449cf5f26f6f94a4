// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Addresses of the three taps of a triple: position, inside or not, nearest upsampling, base + y * pitch + x. A
// pipeline without stalls, one triple a cycle, latency 4 cycles from step_i to push_o. Tap k goes to read port k; with
// add_i tap 1 is the word (oy, ox) of the operand plane. The parameters arrive with every triple, so that planes and
// commands may follow each other at once.
`default_nettype none

module bw_dw_addr #(
    parameter int ADDR_W = 15,
    parameter int TAG_W  = 8
) (
    input wire clk_i,
    input wire rst_ni,
    input wire step_i,
    input wire signed [17:0] y_i,
    input wire signed [17:0] x_i,
    input wire [29:0] dy_i,
    input wire [29:0] dx_i,
    input wire [2:0] mask_i,
    input wire [10:0] oy_i,
    input wire [10:0] ox_i,
    input wire add_i,
    input wire [11:0] h_i,
    input wire [11:0] w_i,
    input wire [3:0] up_i,
    input wire [31:0] pitch_i,
    input wire [31:0] base_i,
    input wire [TAG_W-1:0] tag_i,
    output wire push_o,
    output wire [2:0] tap_push_o,
    output wire [3*ADDR_W-1:0] tap_addr_o,
    output wire [2:0] mask_o,
    output wire [TAG_W-1:0] tag_o
);
  logic [3:0] v_q;
  logic [TAG_W-1:0] tag2_q, tag3_q, tag4_q, tag5_q;
  logic add2_q;
  logic [11:0] h2_q, w2_q;
  logic [3:0] up2_q;
  logic [31:0] pitch2_q, base2_q;

  always_ff @(posedge clk_i) begin
    v_q <= rst_ni ? {v_q[2:0], step_i} : 4'd0;
    tag2_q <= tag_i;
    tag3_q <= tag2_q;
    tag4_q <= tag3_q;
    tag5_q <= tag4_q;
    add2_q <= add_i;
    h2_q <= h_i;
    w2_q <= w_i;
    up2_q <= up_i;
    pitch2_q <= pitch_i;
    base2_q <= base_i;
  end
  assign push_o = v_q[3];
  assign tag_o  = tag5_q;

  for (genvar k = 0; k < 3; k++) begin : g_tap
    localparam bit OPERAND = k == 1;
    logic signed [17:0] y2_q, x2_q;
    logic mask2_q, in3_q, in4_q, in5_q;
    logic [11:0] y3_q, x3_q;
    logic [15:0] pitch3_q, base3_q;
    logic [ADDR_W-1:0] product4_q, rest4_q, addr5_q;
    wire operand = OPERAND && add2_q;
    wire signed [9:0] dy = $signed(dy_i[10*k+:10]);
    wire signed [9:0] dx = $signed(dx_i[10*k+:10]);
    always_ff @(posedge clk_i) begin
      // 2: position
      y2_q <= OPERAND && add_i ? $signed({7'd0, oy_i}) : y_i + 18'(dy);
      x2_q <= OPERAND && add_i ? $signed({7'd0, ox_i}) : x_i + 18'(dx);
      mask2_q <= mask_i[k];
      // 3: inside, upsampling
      in3_q <= mask2_q && (operand || (!y2_q[17] && y2_q < $signed({6'd0, h2_q}) &&
                                       !x2_q[17] && x2_q < $signed({6'd0, w2_q})));
      y3_q <= y2_q[11:0] >> (operand ? 2'd0 : up2_q[3:2]);
      x3_q <= x2_q[11:0] >> (operand ? 2'd0 : up2_q[1:0]);
      pitch3_q <= operand ? pitch2_q[31:16] : pitch2_q[15:0];
      base3_q <= operand ? base2_q[31:16] : base2_q[15:0];
      // 4, 5: product and sum, modulo the address space
      in4_q <= in3_q;
      product4_q <= ADDR_W'({4'd0, y3_q} * pitch3_q);
      rest4_q <= ADDR_W'(base3_q + {4'd0, x3_q});
      in5_q <= in4_q;
      addr5_q <= product4_q + rest4_q;
    end
    assign mask_o[k] = in5_q;
    assign tap_push_o[k] = in5_q && v_q[3];
    assign tap_addr_o[k*ADDR_W+:ADDR_W] = addr5_q;
  end

endmodule

`default_nettype wire
