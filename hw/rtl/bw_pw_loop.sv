// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0

// One loop of a nest of counters: count_i turns, last_o is high in the last of them. last_o is a register, so that a
// nest of six costs a chain of ANDs and no comparison. load_i starts the first turn; a step in the last turn starts
// over. count_i is at least 1 and stays while the loop runs. Latency: last_o belongs to the turn that began at the
// last clock edge.
`default_nettype none

module bw_pw_loop #(
    parameter int W = 8
) (
    input  wire          clk_i,
    input  wire          load_i,
    input  wire  [W-1:0] count_i,
    input  wire          step_i,
    output logic         last_o
);
  logic [W-1:0] left_q;  // turns after this one

  always_ff @(posedge clk_i) begin
    if (load_i || (step_i && last_o)) begin
      left_q <= count_i - 1'b1;
      last_o <= count_i == W'(1);
    end else if (step_i) begin
      left_q <= left_q - 1'b1;
      last_o <= left_q == W'(1);
    end
  end
endmodule

`default_nettype wire
