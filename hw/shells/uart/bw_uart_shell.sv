// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// The engine with on-chip memory behind a serial port: what an FPGA board without a processor needs (docs/uart.md).
// The memory begins at address 0 of the engine. DIVISOR: cycles of a bit of the serial port. BEATS: words of 16 bytes
// of the memory, a power of two, 512 to 32768. The parameters of bw_engine are a macro of bw_parameters.vh, which the
// route writes.
`default_nettype none
`include "bw_parameters.vh"
module bw_uart_shell #(
    parameter int DIVISOR = 25,
    parameter int BEATS   = 4096,
    parameter int SILENCE = 21
) (
    input  wire  clk_i,
    input  wire  rst_ni,
    input  wire  rx_i,
    output logic tx_o,
    output logic irq_o
);
  logic         rx_valid, tx_valid, tx_ready;
  logic [7:0]   rx_data, tx_data;
  logic [11:0]  l_awaddr, l_araddr;
  logic         l_awvalid, l_awready, l_wvalid, l_wready, l_bvalid, l_bready, l_arvalid, l_arready, l_rvalid, l_rready;
  logic [31:0]  l_wdata, l_rdata;
  logic [1:0]   l_bresp, l_rresp;
  logic         mem_read, mem_write, mem_ready, mem_valid;
  logic [$clog2(BEATS)-1:0] mem_addr;
  logic [127:0] mem_wdata, mem_rdata;

  logic [39:0]  awaddr, araddr;
  logic [7:0]   awlen, arlen;
  logic         awvalid, awready, wlast, wvalid, wready, bvalid, bready;
  logic         arid, arvalid, arready, rid, rlast, rvalid, rready;
  logic [127:0] wdata, rdata;
  logic [1:0]   bresp, rresp;
  /* verilator lint_off UNUSEDSIGNAL */  // the memory takes strobes that are all on or all off
  logic [15:0]  wstrb;
  /* verilator lint_on UNUSEDSIGNAL */

  bw_uart #(.DIVISOR(DIVISOR)) u_uart (
      .clk_i, .rst_ni, .rx_i, .tx_o, .rx_valid_o(rx_valid), .rx_data_o(rx_data), .tx_valid_i(tx_valid),
      .tx_ready_o(tx_ready), .tx_data_i(tx_data)
  );

  bw_link #(.BEATS(BEATS), .SILENCE(SILENCE)) u_link (
      .clk_i, .rst_ni, .rx_valid_i(rx_valid), .rx_data_i(rx_data), .tx_valid_o(tx_valid), .tx_ready_i(tx_ready),
      .tx_data_o(tx_data),
      .m_axil_awaddr(l_awaddr), .m_axil_awvalid(l_awvalid), .m_axil_awready(l_awready), .m_axil_wdata(l_wdata),
      .m_axil_wvalid(l_wvalid), .m_axil_wready(l_wready), .m_axil_bresp(l_bresp), .m_axil_bvalid(l_bvalid),
      .m_axil_bready(l_bready), .m_axil_araddr(l_araddr), .m_axil_arvalid(l_arvalid), .m_axil_arready(l_arready),
      .m_axil_rdata(l_rdata), .m_axil_rresp(l_rresp), .m_axil_rvalid(l_rvalid), .m_axil_rready(l_rready),
      .mem_read_o(mem_read), .mem_write_o(mem_write), .mem_ready_i(mem_ready), .mem_addr_o(mem_addr),
      .mem_data_o(mem_wdata), .mem_valid_i(mem_valid), .mem_data_i(mem_rdata)
  );

  bw_ram_axi #(.BEATS(BEATS)) u_ram (
      .clk_i, .rst_ni, .awaddr, .awlen, .awvalid, .awready, .wdata, .wstrb(wstrb[0]), .wlast, .wvalid, .wready,
      .bresp, .bvalid, .bready,
      .arid, .araddr, .arlen, .arvalid, .arready, .rid, .rdata, .rresp, .rlast, .rvalid, .rready,
      .host_read_i(mem_read), .host_write_i(mem_write), .host_ready_o(mem_ready), .host_addr_i(mem_addr),
      .host_data_i(mem_wdata), .host_valid_o(mem_valid), .host_data_o(mem_rdata)
  );

  /* verilator lint_off PINCONNECTEMPTY */  // what is the same for all bursts; the trace
  bw_engine #(`BW_PARAMETERS) u_engine (
      .clk_i, .rst_ni, .irq_o, .trace_o(),
      .s_axil_awaddr(l_awaddr), .s_axil_awprot(3'b000), .s_axil_awvalid(l_awvalid), .s_axil_awready(l_awready),
      .s_axil_wdata(l_wdata), .s_axil_wstrb(4'hF), .s_axil_wvalid(l_wvalid), .s_axil_wready(l_wready),
      .s_axil_bresp(l_bresp), .s_axil_bvalid(l_bvalid), .s_axil_bready(l_bready),
      .s_axil_araddr(l_araddr), .s_axil_arprot(3'b000), .s_axil_arvalid(l_arvalid), .s_axil_arready(l_arready),
      .s_axil_rdata(l_rdata), .s_axil_rresp(l_rresp), .s_axil_rvalid(l_rvalid), .s_axil_rready(l_rready),
      .m_axi_awid(), .m_axi_awaddr(awaddr), .m_axi_awlen(awlen), .m_axi_awsize(), .m_axi_awburst(), .m_axi_awlock(),
      .m_axi_awcache(), .m_axi_awprot(), .m_axi_awqos(), .m_axi_awvalid(awvalid), .m_axi_awready(awready),
      .m_axi_wdata(wdata), .m_axi_wstrb(wstrb), .m_axi_wlast(wlast), .m_axi_wvalid(wvalid), .m_axi_wready(wready),
      .m_axi_bid(1'b0), .m_axi_bresp(bresp), .m_axi_bvalid(bvalid), .m_axi_bready(bready),
      .m_axi_arid(arid), .m_axi_araddr(araddr), .m_axi_arlen(arlen), .m_axi_arsize(), .m_axi_arburst(), .m_axi_arlock(),
      .m_axi_arcache(), .m_axi_arprot(), .m_axi_arqos(), .m_axi_arvalid(arvalid), .m_axi_arready(arready),
      .m_axi_rid(rid), .m_axi_rdata(rdata), .m_axi_rresp(rresp), .m_axi_rlast(rlast), .m_axi_rvalid(rvalid),
      .m_axi_rready(rready)
  );
  /* verilator lint_on PINCONNECTEMPTY */
endmodule
`default_nettype wire
