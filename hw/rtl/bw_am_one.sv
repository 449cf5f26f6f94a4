// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Activation memory of one bank, for builds with few flip-flops and a slow clock: the ports and addresses of bw_am
// (four blocks of four banks of AM_DEPTH words), but one memory of 16 AM_DEPTH words, which serves one reader and one
// writer a cycle; ports take turns, the one that was granted last comes last. Data meet no registers but the memory's:
// a write goes straight in, and a read is as long under way as in bw_am because its address is delayed.
//
// Read: data exactly 5 cycles after the grant, on all ports; rd_valid_o tells whose they are. A read granted after the
// grant of a write sees it. range_err_o is never set: every address is there.
// AM_DEPTH: a power of two, 64 to 4096.
`default_nettype none
module bw_am_one #(
    parameter int AM_DEPTH = 64,
    parameter int ADDR_W   = $clog2(AM_DEPTH) + 4
) (
    input  wire                   clk_i,
    input  wire                   rst_ni,
    input  wire  [4:0]            rd_req_i,
    input  wire  [5*ADDR_W-1:0]   rd_addr_i,
    output logic [4:0]            rd_gnt_o,
    output logic [4:0]            rd_valid_o,
    output logic [5*128-1:0]      rd_data_o,
    input  wire  [2:0]            wr_req_i,
    input  wire  [3*ADDR_W-1:0]   wr_addr_i,
    input  wire  [3*128-1:0]      wr_data_i,
    output logic [2:0]            wr_gnt_o,
    output logic [7:0]            range_err_o
);
  localparam int DELAY = 4;  // cycles of an address

  // Whose turn: the lowest of the ports that ask behind the last one, else the lowest of all.
  logic [4:0] rd_later, rd_pick, rd_upto_q;
  logic [2:0] wr_later, wr_pick, wr_upto_q;
  assign rd_later = rd_req_i & ~rd_upto_q;
  assign rd_pick  = rd_later != 5'b0 ? rd_later : rd_req_i;
  assign rd_gnt_o = rd_pick & (~rd_pick + 5'd1);
  assign wr_later = wr_req_i & ~wr_upto_q;
  assign wr_pick  = wr_later != 3'b0 ? wr_later : wr_req_i;
  assign wr_gnt_o = wr_pick & (~wr_pick + 3'd1);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      rd_upto_q <= 5'b0;
      wr_upto_q <= 3'b0;
    end else begin
      if (rd_gnt_o != 5'b0) rd_upto_q <= rd_gnt_o | (rd_gnt_o - 5'd1);
      if (wr_gnt_o != 3'b0) wr_upto_q <= wr_gnt_o | (wr_gnt_o - 3'd1);
    end
  end
  assign range_err_o = 8'b0;

  // The memory.
  logic [ADDR_W-1:0]       rd_addr, wr_addr;
  logic [DELAY*ADDR_W-1:0] addr_q;
  logic [5*(DELAY+1)-1:0] valid_q;
  logic [127:0]            wr_data, data_q;
`ifdef VERILATOR
  (* ram_style = "block" *) logic [127:0] mem [0:16*AM_DEPTH-1] /*verilator public_flat_rw*/;
`else
  (* ram_style = "block" *) logic [127:0] mem [0:16*AM_DEPTH-1];
`endif
  assign rd_addr = ({ADDR_W{rd_gnt_o[0]}} & rd_addr_i[0*ADDR_W+:ADDR_W]) |
      ({ADDR_W{rd_gnt_o[1]}} & rd_addr_i[1*ADDR_W+:ADDR_W]) | ({ADDR_W{rd_gnt_o[2]}} & rd_addr_i[2*ADDR_W+:ADDR_W]) |
      ({ADDR_W{rd_gnt_o[3]}} & rd_addr_i[3*ADDR_W+:ADDR_W]) | ({ADDR_W{rd_gnt_o[4]}} & rd_addr_i[4*ADDR_W+:ADDR_W]);
  assign wr_addr = wr_gnt_o[0] ? wr_addr_i[0+:ADDR_W] : wr_gnt_o[1] ? wr_addr_i[ADDR_W+:ADDR_W] :
      wr_addr_i[2*ADDR_W+:ADDR_W];
  assign wr_data = wr_gnt_o[0] ? wr_data_i[0+:128] : wr_gnt_o[1] ? wr_data_i[128+:128] : wr_data_i[256+:128];
  always_ff @(posedge clk_i) begin
    if (wr_gnt_o != 3'b0) mem[wr_addr] <= wr_data;
    data_q <= mem[addr_q[(DELAY-1)*ADDR_W+:ADDR_W]];
  end
  always_ff @(posedge clk_i) begin
    addr_q <= {addr_q[(DELAY-1)*ADDR_W-1:0], rd_addr};
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[5*DELAY-1:0], rd_gnt_o};
  end
  assign rd_valid_o = valid_q[5*DELAY+:5];
  assign rd_data_o  = {5{data_q}};

`ifdef BW_ASSERT
  a_one_reader :
  assert property (@(posedge clk_i) disable iff (!rst_ni) $onehot0(rd_gnt_o));
  a_one_writer :
  assert property (@(posedge clk_i) disable iff (!rst_ni) $onehot0(wr_gnt_o));
`endif

`ifndef SYNTHESIS
  initial begin
    if (AM_DEPTH < 64 || AM_DEPTH > 4096 || (AM_DEPTH & (AM_DEPTH - 1)) != 0)
      $error("%m: AM_DEPTH must be a power of two, 64 to 4096, got %0d", AM_DEPTH);
    if (ADDR_W != $clog2(AM_DEPTH) + 4) $error("%m: ADDR_W must be $clog2(AM_DEPTH) + 4");
  end
`endif
endmodule
`default_nettype wire
