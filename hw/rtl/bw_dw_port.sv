// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// One read port of the depthwise unit: a queue of tap addresses and a queue of offset addresses (deformable modes; they
// go first, the address generator waits for them), the request register that is held until granted, and a queue of the
// tap words that came back. Offset words leave at once through ofs_valid_o / ofs_data_o. Answers come in the order of
// grants, so which kind an answer is needs only a ring of one bit each. Throughput: one request a cycle.
// Legal parameters: DEPTH and OFS_DEPTH powers of two (the caller never has more taps, offsets outstanding); at most 8
// reads in flight.
`default_nettype none

module bw_dw_port #(
    parameter int ADDR_W = 15,
    parameter int DEPTH = 32,
    parameter int OFS_DEPTH = 8
) (
    input wire clk_i,
    input wire rst_ni,
    input wire tap_push_i,
    input wire [ADDR_W-1:0] tap_addr_i,
    input wire ofs_push_i,
    input wire [ADDR_W-1:0] ofs_addr_i,
    output wire rd_req_o,
    output wire [ADDR_W-1:0] rd_addr_o,
    input wire rd_gnt_i,
    input wire rd_valid_i,
    input wire [127:0] rd_data_i,
    output wire tap_valid_o,
    output wire [127:0] tap_data_o,
    input wire tap_pop_i,
    output wire ofs_valid_o,
    output wire [127:0] ofs_data_o
);
  logic req_q, is_ofs_q;
  logic [ADDR_W-1:0] addr_q;
  logic [7:0] kind_q;
  logic [2:0] kw_q, kr_q;
  wire tap_v, ofs_v;
  wire [ADDR_W-1:0] tap_addr, ofs_addr;
  wire free = !req_q || rd_gnt_i;
  wire granted = req_q && rd_gnt_i;

  bw_dw_fifo #(
      .W(ADDR_W),
      .DEPTH(DEPTH)
  ) u_taps (
      .clk_i,
      .rst_ni,
      .push_i(tap_push_i),
      .data_i(tap_addr_i),
      .valid_o(tap_v),
      .data_o(tap_addr),
      .pop_i(free && !ofs_v && tap_v)
  );
  bw_dw_fifo #(
      .W(ADDR_W),
      .DEPTH(OFS_DEPTH)
  ) u_offsets (
      .clk_i,
      .rst_ni,
      .push_i(ofs_push_i),
      .data_i(ofs_addr_i),
      .valid_o(ofs_v),
      .data_o(ofs_addr),
      .pop_i(free && ofs_v)
  );
  bw_dw_fifo #(
      .W(128),
      .DEPTH(DEPTH)
  ) u_words (
      .clk_i,
      .rst_ni,
      .push_i(rd_valid_i && !kind_q[kr_q]),
      .data_i(rd_data_i),
      .valid_o(tap_valid_o),
      .data_o(tap_data_o),
      .pop_i(tap_pop_i)
  );

  assign rd_req_o = req_q;
  assign rd_addr_o = addr_q;
  assign ofs_valid_o = rd_valid_i && kind_q[kr_q];
  assign ofs_data_o = rd_data_i;

  always_ff @(posedge clk_i) begin
    if (free) begin
      addr_q <= ofs_v ? ofs_addr : tap_addr;
      is_ofs_q <= ofs_v;
    end
    if (granted) kind_q[kw_q] <= is_ofs_q;
    if (!rst_ni) begin
      req_q <= 1'b0;
      kw_q <= '0;
      kr_q <= '0;
    end else begin
      if (free) req_q <= ofs_v || tap_v;
      if (granted) kw_q <= kw_q + 1'b1;
      if (rd_valid_i) kr_q <= kr_q + 1'b1;
    end
  end
endmodule

`default_nettype wire
