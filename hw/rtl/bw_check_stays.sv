// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Assertion of a handshake: what is offered (valid_i with data_i) stays as it is until it is taken (ready_i). drop_i:
// it may be withdrawn in this cycle and the next. For simulations that define BW_ASSERT; without it the file is empty.
`ifdef BW_ASSERT
`default_nettype none
module bw_check_stays #(
    parameter int W = 1
) (
    input wire         clk_i,
    input wire         rst_ni,
    input wire         drop_i,
    input wire         valid_i,
    input wire         ready_i,
    input wire [W-1:0] data_i
);
  logic         held_q;
  logic [W-1:0] data_q;
  always_ff @(posedge clk_i) begin
    held_q <= rst_ni && !drop_i && valid_i && !ready_i;
    data_q <= data_i;
  end

  a_stays :
  assert property (@(posedge clk_i) disable iff (!rst_ni || drop_i) held_q |-> valid_i && data_i == data_q);
endmodule
`default_nettype wire
`endif
