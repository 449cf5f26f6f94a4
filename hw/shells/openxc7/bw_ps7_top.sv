// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Top of the open route on a Zynq-7000: the processing system, its clock 0 and the shell. No pin of the logic is used.
`default_nettype none
module bw_ps7_top;
  wire  [3:0]  fclk, fclk_resetn;
  wire         clk;
  logic [3:0]  rst_q = 4'd0;  // reset ends in step with the clock
  logic        irq;

  wire  [11:0] awid, arid, bid, rid;
  wire  [31:0] awaddr, araddr, wdata, rdata;
  wire  [3:0]  awlen, arlen, wstrb;
  wire  [1:0]  bresp, rresp;
  wire         awvalid, awready, wlast, wvalid, wready, bvalid, bready, arvalid, arready, rlast, rvalid, rready;

  wire  [31:0] hp_awaddr, hp_araddr;
  wire  [3:0]  hp_awlen, hp_arlen;
  wire  [63:0] hp_wdata, hp_rdata;
  wire  [7:0]  hp_wstrb;
  wire  [5:0]  hp_rid;
  wire  [1:0]  hp_bresp, hp_rresp;
  wire         hp_awvalid, hp_awready, hp_wlast, hp_wvalid, hp_wready, hp_bvalid, hp_bready;
  wire         hp_arid, hp_arvalid, hp_arready, hp_rlast, hp_rvalid, hp_rready;

  BUFG u_clock (.I(fclk[0]), .O(clk));

  always_ff @(posedge clk or negedge fclk_resetn[0]) begin
    if (!fclk_resetn[0]) rst_q <= 4'd0;
    else rst_q <= {rst_q[2:0], 1'b1};
  end

  bw_ps7_shell u_shell (
      .clk_i(clk), .rst_ni(rst_q[3]), .irq_o(irq),
      .gp_awid(awid), .gp_awaddr(awaddr), .gp_awlen(awlen), .gp_awvalid(awvalid), .gp_awready(awready),
      .gp_wdata(wdata), .gp_wstrb(wstrb), .gp_wlast(wlast), .gp_wvalid(wvalid), .gp_wready(wready),
      .gp_bid(bid), .gp_bresp(bresp), .gp_bvalid(bvalid), .gp_bready(bready),
      .gp_arid(arid), .gp_araddr(araddr), .gp_arlen(arlen), .gp_arvalid(arvalid), .gp_arready(arready),
      .gp_rid(rid), .gp_rdata(rdata), .gp_rresp(rresp), .gp_rlast(rlast), .gp_rvalid(rvalid), .gp_rready(rready),
      .hp_awaddr, .hp_awlen, .hp_awvalid, .hp_awready, .hp_wdata, .hp_wstrb, .hp_wlast, .hp_wvalid, .hp_wready,
      .hp_bresp, .hp_bvalid, .hp_bready, .hp_arid, .hp_araddr, .hp_arlen, .hp_arvalid, .hp_arready,
      .hp_rid(hp_rid[0]), .hp_rdata, .hp_rresp, .hp_rlast, .hp_rvalid, .hp_rready
  );

  PS7 u_ps7 (
      .FCLKCLK(fclk), .FCLKRESETN(fclk_resetn), .FCLKCLKTRIGN(4'd0), .IRQF2P({19'd0, irq}),

      .MAXIGP0ACLK(clk), .MAXIGP0AWID(awid), .MAXIGP0AWADDR(awaddr), .MAXIGP0AWLEN(awlen), .MAXIGP0AWVALID(awvalid),
      .MAXIGP0AWREADY(awready), .MAXIGP0WDATA(wdata), .MAXIGP0WSTRB(wstrb), .MAXIGP0WLAST(wlast),
      .MAXIGP0WVALID(wvalid), .MAXIGP0WREADY(wready), .MAXIGP0BID(bid), .MAXIGP0BRESP(bresp), .MAXIGP0BVALID(bvalid),
      .MAXIGP0BREADY(bready), .MAXIGP0ARID(arid), .MAXIGP0ARADDR(araddr), .MAXIGP0ARLEN(arlen),
      .MAXIGP0ARVALID(arvalid), .MAXIGP0ARREADY(arready), .MAXIGP0RID(rid), .MAXIGP0RDATA(rdata), .MAXIGP0RRESP(rresp),
      .MAXIGP0RLAST(rlast), .MAXIGP0RVALID(rvalid), .MAXIGP0RREADY(rready),

      // INCR bursts of 8 bytes a beat, normal memory that may be buffered.
      .SAXIHP0ACLK(clk), .SAXIHP0AWID(6'd0), .SAXIHP0AWADDR(hp_awaddr), .SAXIHP0AWLEN(hp_awlen),
      .SAXIHP0AWSIZE(2'b11), .SAXIHP0AWBURST(2'b01), .SAXIHP0AWLOCK(2'b00), .SAXIHP0AWCACHE(4'b0011),
      .SAXIHP0AWPROT(3'b000), .SAXIHP0AWQOS(4'd0), .SAXIHP0AWVALID(hp_awvalid), .SAXIHP0AWREADY(hp_awready),
      .SAXIHP0WID(6'd0), .SAXIHP0WDATA(hp_wdata), .SAXIHP0WSTRB(hp_wstrb), .SAXIHP0WLAST(hp_wlast),
      .SAXIHP0WVALID(hp_wvalid), .SAXIHP0WREADY(hp_wready), .SAXIHP0BRESP(hp_bresp), .SAXIHP0BVALID(hp_bvalid),
      .SAXIHP0BREADY(hp_bready), .SAXIHP0ARID({5'd0, hp_arid}), .SAXIHP0ARADDR(hp_araddr), .SAXIHP0ARLEN(hp_arlen),
      .SAXIHP0ARSIZE(2'b11), .SAXIHP0ARBURST(2'b01), .SAXIHP0ARLOCK(2'b00), .SAXIHP0ARCACHE(4'b0011),
      .SAXIHP0ARPROT(3'b000), .SAXIHP0ARQOS(4'd0), .SAXIHP0ARVALID(hp_arvalid), .SAXIHP0ARREADY(hp_arready),
      .SAXIHP0RID(hp_rid), .SAXIHP0RDATA(hp_rdata), .SAXIHP0RRESP(hp_rresp), .SAXIHP0RLAST(hp_rlast),
      .SAXIHP0RVALID(hp_rvalid), .SAXIHP0RREADY(hp_rready), .SAXIHP0RDISSUECAP1EN(1'b0), .SAXIHP0WRISSUECAP1EN(1'b0)
  );
endmodule
`default_nettype wire
