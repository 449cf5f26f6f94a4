// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// First-in first-out buffer in distributed memory. The oldest entry is at data_o while valid_o is high; push and pop
// in the same cycle are allowed, a push when full_o is high is not. One entry a cycle, latency 1.
// D: entries, a power of two, 2 or more.
`default_nettype none
module bw_fifo #(
    parameter int W = 8,
    parameter int D = 8
) (
    input  wire          clk_i,
    input  wire          rst_ni,
    input  wire          clr_i,
    input  wire          push_i,
    input  wire  [W-1:0] data_i,
    output logic         full_o,
    input  wire          pop_i,
    output logic [W-1:0] data_o,
    output logic         valid_o
);
  localparam int AW = $clog2(D);

  (* ram_style = "distributed" *) logic [W-1:0] mem [0:D-1];
  logic [AW:0] head_q, tail_q;  // one bit more than an index, so that full and empty differ

  assign valid_o = head_q != tail_q;
  assign full_o  = (head_q ^ tail_q) == {1'b1, {AW{1'b0}}};
  assign data_o  = mem[head_q[AW-1:0]];

  always_ff @(posedge clk_i) begin
    if (push_i) mem[tail_q[AW-1:0]] <= data_i;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clr_i) begin
      head_q <= '0;
      tail_q <= '0;
    end else begin
      if (push_i) tail_q <= tail_q + 1'b1;
      if (pop_i) head_q <= head_q + 1'b1;
    end
  end

`ifdef BW_ASSERT
  a_full :
  assert property (@(posedge clk_i) disable iff (!rst_ni || clr_i) push_i |-> !full_o);
  a_empty :
  assert property (@(posedge clk_i) disable iff (!rst_ni || clr_i) pop_i |-> valid_o);
`endif

`ifndef SYNTHESIS
  initial if (D < 2 || (D & (D - 1)) != 0) $error("%m: D must be a power of two, 2 or more");
`endif
endmodule
`default_nettype wire
