// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// On-chip memory of BEATS words of 128 bits behind an AXI4 slave for the engine, and a port for the host link. Bursts
// are taken one after the other, reads and writes beside each other: a beat of a write takes a cycle, one of a read
// two. A burst that leaves the memory is answered with SLVERR and writes nothing. The strobes of a beat are all on or
// all off (bw_check_axi), so bit 0 tells. The host comes in between bursts: host_ready_o takes its request; a read
// answers with host_valid_o in the next cycle. Data meet no registers but the memory's: the clock is slow, and
// flip-flops are what small devices have least of. BEATS: a power of two, 512 to 32768, or the sum of two.
`default_nettype none
module bw_ram_axi #(
    parameter int BEATS = 4096
) (
    input  wire          clk_i,
    input  wire          rst_ni,
    input  wire  [39:0]  awaddr,
    input  wire  [7:0]   awlen,
    input  wire          awvalid,
    output logic         awready,
    input  wire  [127:0] wdata,
    input  wire          wstrb,
    input  wire          wlast,
    input  wire          wvalid,
    output logic         wready,
    output logic [1:0]   bresp,
    output logic         bvalid,
    input  wire          bready,
    input  wire          arid,
    input  wire  [39:0]  araddr,
    input  wire  [7:0]   arlen,
    input  wire          arvalid,
    output logic         arready,
    output logic         rid,
    output logic [127:0] rdata,
    output logic [1:0]   rresp,
    output logic         rlast,
    output logic         rvalid,
    input  wire          rready,
    input  wire                      host_read_i,
    input  wire                      host_write_i,
    output logic                     host_ready_o,
    input  wire  [$clog2(BEATS)-1:0] host_addr_i,
    input  wire  [127:0]             host_data_i,
    output logic                     host_valid_o,
    output logic [127:0]             host_data_o
);
  localparam int AW = $clog2(BEATS);
  localparam int TOP = BEATS == 1 << AW ? BEATS : 1 << (AW - 1);  // the largest power of two within
  localparam int REST = BEATS - TOP;

  // A burst lies within 4 KB and BEATS is a multiple of that: its first address tells.
  logic          we, re;
  logic [AW-1:0] waddr, raddr;
  logic [127:0]  data;
  (* ram_style = "block" *) logic [127:0] mem[0:TOP-1];
  logic [127:0]  read_q;
  if (REST == 0) begin : g_one
    always_ff @(posedge clk_i) begin
      if (we) mem[waddr] <= data;
      if (re) read_q <= mem[raddr];
    end
    assign rdata = read_q;
  end else begin : g_two
    localparam int RW = $clog2(REST);
    (* ram_style = "block" *) logic [127:0] rest[0:REST-1];
    logic [127:0] rest_q;
    logic         above_q;
    always_ff @(posedge clk_i) begin
      if (we && !waddr[AW-1]) mem[waddr[AW-2:0]] <= data;
      if (re) read_q <= mem[raddr[AW-2:0]];
    end
    always_ff @(posedge clk_i) begin
      if (we && waddr[AW-1]) rest[waddr[RW-1:0]] <= data;
      if (re) rest_q <= rest[raddr[RW-1:0]];
      if (re) above_q <= raddr[AW-1];
    end
    assign rdata = above_q ? rest_q : read_q;
  end

  // ---- Writes.
  logic          w_busy_q, w_bad_q, host_write;
  logic [AW-1:0] w_at_q;
  assign awready    = !w_busy_q;
  assign wready     = w_busy_q && !bvalid;
  assign host_write = host_write_i && !w_busy_q && !awvalid;
  assign we         = (wvalid && wready && wstrb && !w_bad_q) || host_write;
  assign waddr      = w_busy_q ? w_at_q : host_addr_i;
  assign data       = w_busy_q ? wdata : host_data_i;
  always_ff @(posedge clk_i) begin
    if (awvalid && awready) begin
      w_busy_q <= 1'b1;
      w_bad_q  <= awaddr[39:4] >= 36'(BEATS);
      w_at_q   <= awaddr[AW+3:4];
    end
    if (wvalid && wready) begin
      w_at_q <= w_at_q + 1'b1;
      if (wlast) begin
        bvalid <= 1'b1;
        bresp  <= {w_bad_q, 1'b0};
      end
    end
    if (bvalid && bready) begin
      bvalid   <= 1'b0;
      w_busy_q <= 1'b0;
    end
    if (!rst_ni) begin
      w_busy_q <= 1'b0;
      bvalid   <= 1'b0;
    end
  end

  // ---- Reads: address; data and handshake.
  logic          r_busy_q, r_bad_q, host_read, ask;
  logic [AW-1:0] r_at_q;
  logic [7:0]    r_left_q;
  assign arready   = !r_busy_q;
  assign host_read = host_read_i && arready && !arvalid;
  assign ask       = r_busy_q && !rvalid;
  assign re        = ask || host_read;
  assign raddr     = r_busy_q ? r_at_q : host_addr_i;
  assign rlast     = r_left_q == 8'd0;
  assign rresp     = {r_bad_q, 1'b0};
  assign host_ready_o = host_write || host_read;
  assign host_data_o  = rdata;
  always_ff @(posedge clk_i) begin
    host_valid_o <= rst_ni && host_read;
    if (ask) rvalid <= 1'b1;
    if (arvalid && arready) begin
      r_busy_q <= 1'b1;
      r_bad_q  <= araddr[39:4] >= 36'(BEATS);
      r_at_q   <= araddr[AW+3:4];
      r_left_q <= arlen;
      rid      <= arid;
    end
    if (rvalid && rready) begin
      rvalid   <= 1'b0;
      r_at_q   <= r_at_q + 1'b1;
      r_left_q <= r_left_q - 8'd1;
      r_busy_q <= !rlast;
    end
    if (!rst_ni) begin
      r_busy_q <= 1'b0;
      rvalid   <= 1'b0;
    end
  end

  wire unused = &{1'b0, awaddr[3:0], araddr[3:0], awlen};

`ifndef SYNTHESIS
  initial
    if (BEATS < 512 || BEATS > 32768 || BEATS % 256 != 0 || (REST & (REST - 1)) != 0)
      $error("%m: BEATS must be a power of two, 512 to 32768, or the sum of two, got %0d", BEATS);
`endif
endmodule
`default_nettype wire
