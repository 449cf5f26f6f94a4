// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Queue in distributed RAM with a registered head. The writer never looks whether there is space: whoever starts the
// work that ends in a push has reserved it. Throughput: a push and a pop each cycle; a push is at the head two cycles
// later at the earliest.
// Legal parameters: DEPTH a power of two, 2 to 64. Holds DEPTH entries (the head is one more).
`default_nettype none

module bw_dw_fifo #(
    parameter int W = 8,
    parameter int DEPTH = 32
) (
    input wire clk_i,
    input wire rst_ni,
    input wire push_i,
    input wire [W-1:0] data_i,
    output wire valid_o,
    output wire [W-1:0] data_o,
    input wire pop_i
);
  localparam int A = $clog2(DEPTH);

  (* ram_style = "distributed" *) logic [W-1:0] mem[0:DEPTH-1];
  logic [A:0] wp_q, rp_q;  // a bit more than an index, so that full and empty differ
  logic valid_q;
  logic [W-1:0] head_q;
  wire take = wp_q != rp_q && (!valid_q || pop_i);

  assign valid_o = valid_q;
  assign data_o = head_q;

  always_ff @(posedge clk_i) begin
    if (push_i) mem[wp_q[A-1:0]] <= data_i;
    if (take) head_q <= mem[rp_q[A-1:0]];
    if (!rst_ni) begin
      wp_q <= '0;
      rp_q <= '0;
      valid_q <= 1'b0;
    end else begin
      if (push_i) wp_q <= wp_q + 1'b1;
      if (take) rp_q <= rp_q + 1'b1;
      if (take) valid_q <= 1'b1;
      else if (pop_i) valid_q <= 1'b0;
    end
  end

`ifndef SYNTHESIS
  initial if (DEPTH < 2 || DEPTH > 64 || (DEPTH & (DEPTH - 1)) != 0)
    $error("%m: DEPTH must be a power of two, 2 to 64");
`endif

`ifdef BW_ASSERT
  wire [A:0] used = wp_q - rp_q;
  a_full :
  assert property (@(posedge clk_i) disable iff (!rst_ni) push_i |-> take || int'(used) < DEPTH);
  a_empty :
  assert property (@(posedge clk_i) disable iff (!rst_ni) pop_i |-> valid_q);
`endif
endmodule

`default_nettype wire
