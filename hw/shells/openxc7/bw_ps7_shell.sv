// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// The engine between the ports of a Zynq-7000's processing system: registers on general-purpose port 0, DRAM through
// high-performance port 0. Everything of the open route but the vendor's primitives, so that it can be simulated.
// bw_parameters.svh, which is written for a configuration of hw/config.py, defines BW_PARAMETERS.
`default_nettype none
`include "bw_parameters.svh"
module bw_ps7_shell (
    input  wire         clk_i,
    input  wire         rst_ni,
    output logic        irq_o,

    input  wire  [11:0] gp_awid,
    input  wire  [31:0] gp_awaddr,
    input  wire  [3:0]  gp_awlen,
    input  wire         gp_awvalid,
    output logic        gp_awready,
    input  wire  [31:0] gp_wdata,
    input  wire  [3:0]  gp_wstrb,
    input  wire         gp_wlast,
    input  wire         gp_wvalid,
    output logic        gp_wready,
    output logic [11:0] gp_bid,
    output logic [1:0]  gp_bresp,
    output logic        gp_bvalid,
    input  wire         gp_bready,
    input  wire  [11:0] gp_arid,
    input  wire  [31:0] gp_araddr,
    input  wire  [3:0]  gp_arlen,
    input  wire         gp_arvalid,
    output logic        gp_arready,
    output logic [11:0] gp_rid,
    output logic [31:0] gp_rdata,
    output logic [1:0]  gp_rresp,
    output logic        gp_rlast,
    output logic        gp_rvalid,
    input  wire         gp_rready,

    output logic [31:0] hp_awaddr,
    output logic [3:0]  hp_awlen,
    output logic        hp_awvalid,
    input  wire         hp_awready,
    output logic [63:0] hp_wdata,
    output logic [7:0]  hp_wstrb,
    output logic        hp_wlast,
    output logic        hp_wvalid,
    input  wire         hp_wready,
    input  wire  [1:0]  hp_bresp,
    input  wire         hp_bvalid,
    output logic        hp_bready,
    output logic        hp_arid,
    output logic [31:0] hp_araddr,
    output logic [3:0]  hp_arlen,
    output logic        hp_arvalid,
    input  wire         hp_arready,
    input  wire         hp_rid,
    input  wire  [63:0] hp_rdata,
    input  wire  [1:0]  hp_rresp,
    input  wire         hp_rlast,
    input  wire         hp_rvalid,
    output logic        hp_rready
);
  logic [11:0]  l_awaddr, l_araddr;
  logic         l_awvalid, l_awready, l_wvalid, l_wready, l_bvalid, l_bready, l_arvalid, l_arready, l_rvalid, l_rready;
  logic [31:0]  l_wdata, l_rdata;
  logic [3:0]   l_wstrb;
  logic [1:0]   l_bresp, l_rresp;
  logic [39:0]  e_awaddr, e_araddr;
  logic [7:0]   e_awlen, e_arlen;
  logic [127:0] e_wdata, e_rdata;
  logic [15:0]  e_wstrb;
  logic [1:0]   e_bresp, e_rresp;
  logic         e_awvalid, e_awready, e_wvalid, e_wready, e_bvalid, e_bready;
  logic         e_arid, e_arvalid, e_arready, e_rid, e_rlast, e_rvalid, e_rready;

  bw_gp_axil u_gp (
      .clk_i, .rst_ni,
      .s_awid(gp_awid), .s_awaddr(gp_awaddr), .s_awlen(gp_awlen), .s_awvalid(gp_awvalid), .s_awready(gp_awready),
      .s_wdata(gp_wdata), .s_wstrb(gp_wstrb), .s_wlast(gp_wlast), .s_wvalid(gp_wvalid), .s_wready(gp_wready),
      .s_bid(gp_bid), .s_bresp(gp_bresp), .s_bvalid(gp_bvalid), .s_bready(gp_bready),
      .s_arid(gp_arid), .s_araddr(gp_araddr), .s_arlen(gp_arlen), .s_arvalid(gp_arvalid), .s_arready(gp_arready),
      .s_rid(gp_rid), .s_rdata(gp_rdata), .s_rresp(gp_rresp), .s_rlast(gp_rlast), .s_rvalid(gp_rvalid),
      .s_rready(gp_rready),
      .m_axil_awaddr(l_awaddr), .m_axil_awvalid(l_awvalid), .m_axil_awready(l_awready), .m_axil_wdata(l_wdata),
      .m_axil_wstrb(l_wstrb), .m_axil_wvalid(l_wvalid), .m_axil_wready(l_wready), .m_axil_bresp(l_bresp),
      .m_axil_bvalid(l_bvalid), .m_axil_bready(l_bready), .m_axil_araddr(l_araddr), .m_axil_arvalid(l_arvalid),
      .m_axil_arready(l_arready), .m_axil_rdata(l_rdata), .m_axil_rresp(l_rresp), .m_axil_rvalid(l_rvalid),
      .m_axil_rready(l_rready)
  );

  bw_engine #(`BW_PARAMETERS) u_engine (
      .clk_i, .rst_ni, .irq_o, .trace_o(),
      .s_axil_awaddr(l_awaddr), .s_axil_awprot(3'd0), .s_axil_awvalid(l_awvalid), .s_axil_awready(l_awready),
      .s_axil_wdata(l_wdata), .s_axil_wstrb(l_wstrb), .s_axil_wvalid(l_wvalid), .s_axil_wready(l_wready),
      .s_axil_bresp(l_bresp), .s_axil_bvalid(l_bvalid), .s_axil_bready(l_bready),
      .s_axil_araddr(l_araddr), .s_axil_arprot(3'd0), .s_axil_arvalid(l_arvalid), .s_axil_arready(l_arready),
      .s_axil_rdata(l_rdata), .s_axil_rresp(l_rresp), .s_axil_rvalid(l_rvalid), .s_axil_rready(l_rready),
      .m_axi_awid(), .m_axi_awaddr(e_awaddr), .m_axi_awlen(e_awlen), .m_axi_awsize(), .m_axi_awburst(),
      .m_axi_awlock(), .m_axi_awcache(), .m_axi_awprot(), .m_axi_awqos(), .m_axi_awvalid(e_awvalid),
      .m_axi_awready(e_awready), .m_axi_wdata(e_wdata), .m_axi_wstrb(e_wstrb), .m_axi_wlast(),
      .m_axi_wvalid(e_wvalid), .m_axi_wready(e_wready), .m_axi_bid(1'b0), .m_axi_bresp(e_bresp),
      .m_axi_bvalid(e_bvalid), .m_axi_bready(e_bready),
      .m_axi_arid(e_arid), .m_axi_araddr(e_araddr), .m_axi_arlen(e_arlen), .m_axi_arsize(), .m_axi_arburst(),
      .m_axi_arlock(), .m_axi_arcache(), .m_axi_arprot(), .m_axi_arqos(), .m_axi_arvalid(e_arvalid),
      .m_axi_arready(e_arready), .m_axi_rid(e_rid), .m_axi_rdata(e_rdata), .m_axi_rresp(e_rresp),
      .m_axi_rlast(e_rlast), .m_axi_rvalid(e_rvalid), .m_axi_rready(e_rready)
  );

  bw_axi_narrow u_narrow (
      .clk_i, .rst_ni,
      .s_awaddr(e_awaddr), .s_awlen(e_awlen), .s_awvalid(e_awvalid), .s_awready(e_awready),
      .s_wdata(e_wdata), .s_wstrb(e_wstrb), .s_wvalid(e_wvalid), .s_wready(e_wready),
      .s_bresp(e_bresp), .s_bvalid(e_bvalid), .s_bready(e_bready),
      .s_arid(e_arid), .s_araddr(e_araddr), .s_arlen(e_arlen), .s_arvalid(e_arvalid), .s_arready(e_arready),
      .s_rid(e_rid), .s_rdata(e_rdata), .s_rresp(e_rresp), .s_rlast(e_rlast), .s_rvalid(e_rvalid), .s_rready(e_rready),
      .m_awaddr(hp_awaddr), .m_awlen(hp_awlen), .m_awvalid(hp_awvalid), .m_awready(hp_awready),
      .m_wdata(hp_wdata), .m_wstrb(hp_wstrb), .m_wlast(hp_wlast), .m_wvalid(hp_wvalid), .m_wready(hp_wready),
      .m_bresp(hp_bresp), .m_bvalid(hp_bvalid), .m_bready(hp_bready),
      .m_arid(hp_arid), .m_araddr(hp_araddr), .m_arlen(hp_arlen), .m_arvalid(hp_arvalid), .m_arready(hp_arready),
      .m_rid(hp_rid), .m_rdata(hp_rdata), .m_rresp(hp_rresp), .m_rlast(hp_rlast), .m_rvalid(hp_rvalid),
      .m_rready(hp_rready)
  );
endmodule
`default_nettype wire
