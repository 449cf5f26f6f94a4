// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// The engine: runs the program at region PROGRAM and raises irq_o when it is done or has failed (docs/engine.md).
// AXI4-Lite slave s_axil for the registers; AXI4 master m_axi, 40 address bits, 128 data bits, read IDs 0
// (instructions) and 1 (data), write ID 0, INCR bursts of at most MAX_BURST beats that do not cross 4 KB.
// The parameters come from EngineConfig.parameters() in hw/config.py, where their limits are.
`default_nettype none
module bw_engine #(
    parameter int          PAIRS           = 16,
    parameter int          AM_DEPTH        = 2048,
    parameter int          WEIGHT_DEPTH    = 512,
    parameter int          CONST_DEPTH     = 64,
    parameter int          DW_WEIGHT_DEPTH = 512,
    parameter int          TABLE_DEPTH     = 1024,
    parameter int          MAX_BURST       = 16,
    parameter int          X_BITS          = 27,
    parameter int          AM_ULTRA        = 0,
    parameter int          AM_BLOCKS       = 4,
    parameter int          MUL18           = 0,
    parameter int          DW              = 1,
    parameter int          SMALL           = 0,
    parameter logic [31:0] CONFIG_HASH     = 32'd0
) (
    input  wire          clk_i,
    input  wire          rst_ni,
    output logic         irq_o,
    output logic [7:0]   trace_o,  // for simulators: {finished, started} of an instruction in LD, ST, PW, DW (bit 0)

    input  wire  [11:0]  s_axil_awaddr,
    /* verilator lint_off UNUSEDSIGNAL */  // no register is protected
    input  wire  [2:0]   s_axil_awprot,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire          s_axil_awvalid,
    output logic         s_axil_awready,
    input  wire  [31:0]  s_axil_wdata,
    input  wire  [3:0]   s_axil_wstrb,
    input  wire          s_axil_wvalid,
    output logic         s_axil_wready,
    output logic [1:0]   s_axil_bresp,
    output logic         s_axil_bvalid,
    input  wire          s_axil_bready,
    input  wire  [11:0]  s_axil_araddr,
    /* verilator lint_off UNUSEDSIGNAL */
    input  wire  [2:0]   s_axil_arprot,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire          s_axil_arvalid,
    output logic         s_axil_arready,
    output logic [31:0]  s_axil_rdata,
    output logic [1:0]   s_axil_rresp,
    output logic         s_axil_rvalid,
    input  wire          s_axil_rready,

    output logic         m_axi_awid,
    output logic [39:0]  m_axi_awaddr,
    output logic [7:0]   m_axi_awlen,
    output logic [2:0]   m_axi_awsize,
    output logic [1:0]   m_axi_awburst,
    output logic         m_axi_awlock,
    output logic [3:0]   m_axi_awcache,
    output logic [2:0]   m_axi_awprot,
    output logic [3:0]   m_axi_awqos,
    output logic         m_axi_awvalid,
    input  wire          m_axi_awready,
    output logic [127:0] m_axi_wdata,
    output logic [15:0]  m_axi_wstrb,
    output logic         m_axi_wlast,
    output logic         m_axi_wvalid,
    input  wire          m_axi_wready,
    /* verilator lint_off UNUSEDSIGNAL */  // one ID
    input  wire          m_axi_bid,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire  [1:0]   m_axi_bresp,
    input  wire          m_axi_bvalid,
    output logic         m_axi_bready,
    output logic         m_axi_arid,
    output logic [39:0]  m_axi_araddr,
    output logic [7:0]   m_axi_arlen,
    output logic [2:0]   m_axi_arsize,
    output logic [1:0]   m_axi_arburst,
    output logic         m_axi_arlock,
    output logic [3:0]   m_axi_arcache,
    output logic [2:0]   m_axi_arprot,
    output logic [3:0]   m_axi_arqos,
    output logic         m_axi_arvalid,
    input  wire          m_axi_arready,
    input  wire          m_axi_rid,
    input  wire  [127:0] m_axi_rdata,
    input  wire  [1:0]   m_axi_rresp,
    input  wire          m_axi_rlast,
    input  wire          m_axi_rvalid,
    output logic         m_axi_rready
);
  localparam int ADDR_W = $clog2(AM_DEPTH) + 4;

  // Whole words, in order, normal memory that may be merged and buffered, not cached.
  assign m_axi_awid    = 1'b0;
  assign m_axi_awsize  = 3'd4;
  assign m_axi_awburst = 2'b01;
  assign m_axi_awlock  = 1'b0;
  assign m_axi_awcache = 4'b0011;
  assign m_axi_awprot  = 3'b000;
  assign m_axi_awqos   = 4'd0;
  assign m_axi_arsize  = 3'd4;
  assign m_axi_arburst = 2'b01;
  assign m_axi_arlock  = 1'b0;
  assign m_axi_arcache = 4'b0011;
  assign m_axi_arprot  = 3'b000;
  assign m_axi_arqos   = 4'd0;

  logic            start, soft_reset, clear_done, busy, done, error, count_clear, stop, flush;
  logic [31:0]     watchdog, error_code;
  logic [4*28-1:0] base;
  logic [4*32-1:0] size;
  logic            rd_idle, wr_idle, f_req, f_ack, f_valid, f_err;
  logic [39:0]     f_addr;
  logic [7:0]      f_len;
  logic [127:0]    f_data;
  logic [3:0]      cmd_valid, cmd_ready, unit_done;
  logic [4*512-1:0] cmd;
  /* verilator lint_off UNUSEDSIGNAL */  // PW and DW do not know numbers
  logic [4*16-1:0] cmd_tag;
  /* verilator lint_on UNUSEDSIGNAL */
  logic            ld_region, ld_resp, ld_range, ld_beat, st_region, st_resp, st_range, st_beat, st_answer;
  logic [15:0]     ld_region_tag, ld_data_tag, st_region_tag, st_resp_tag, st_range_tag;
  logic [1:0]      unit_busy, unit_stall;  // PW, DW
  logic [7:0]      am_range;
  logic            progress_q;

  logic [4:0]          rd_req, rd_gnt, rd_valid;
  logic [5*ADDR_W-1:0] rd_addr;
  logic [5*128-1:0]    rd_data;
  logic [2:0]          wr_req, wr_gnt;
  logic [3*ADDR_W-1:0] wr_addr;
  logic [3*128-1:0]    wr_data;
  logic [6:1]          ld_we;
  logic [15:0]         ld_addr;
  logic [127:0]        ld_data;

  bw_regs #(.CONFIG_HASH(CONFIG_HASH)) u_regs (
      .clk_i, .rst_ni,
      .s_axil_awaddr, .s_axil_awvalid, .s_axil_awready, .s_axil_wdata, .s_axil_wstrb, .s_axil_wvalid, .s_axil_wready,
      .s_axil_bresp, .s_axil_bvalid, .s_axil_bready, .s_axil_araddr, .s_axil_arvalid, .s_axil_arready,
      .s_axil_rdata, .s_axil_rresp, .s_axil_rvalid, .s_axil_rready,
      .start_o(start), .reset_o(soft_reset), .clear_done_o(clear_done), .watchdog_o(watchdog),
      .base_o(base), .size_o(size), .busy_i(busy), .done_i(done), .error_i(error), .error_code_i(error_code), .irq_o,
      .count_clear_i(count_clear),
      .count_i({f_valid, unit_stall[1], unit_stall[0], st_beat, ld_beat, unit_busy[1], unit_busy[0], busy})
  );

  assign trace_o = {unit_done, cmd_valid & cmd_ready};

  // What the watchdog takes for progress.
  always_ff @(posedge clk_i) begin
    progress_q <= ld_beat || st_beat || st_answer || f_valid || unit_busy != 2'b0 || unit_done != 4'b0 ||
        (cmd_valid & cmd_ready) != 4'b0;
  end

  bw_ctrl #(.CONFIG_HASH(CONFIG_HASH), .MAX_BURST(MAX_BURST), .DW(DW), .SMALL(SMALL)) u_ctrl (
      .clk_i, .rst_ni,
      .start_i(start), .reset_i(soft_reset), .clear_done_i(clear_done), .watchdog_i(watchdog),
      .base_i(base[27:0]), .size_i(size[31:0]),
      .busy_o(busy), .done_o(done), .error_o(error), .error_code_o(error_code), .count_clear_o(count_clear),
      .stop_o(stop), .flush_o(flush), .bus_idle_i(rd_idle && wr_idle), .progress_i(progress_q),
      .cmd_valid_o(cmd_valid), .cmd_ready_i(cmd_ready), .cmd_o(cmd), .cmd_tag_o(cmd_tag), .done_i(unit_done),
      .f_valid_o(f_req), .f_ready_i(f_ack), .f_addr_o(f_addr), .f_len_o(f_len),
      .f_valid_i(f_valid), .f_data_i(f_data), .f_err_i(f_err),
      .ld_region_i(ld_region), .ld_region_tag_i(ld_region_tag), .ld_resp_i(ld_resp), .ld_range_i(ld_range),
      .ld_data_tag_i(ld_data_tag),
      .st_region_i(st_region), .st_region_tag_i(st_region_tag), .st_resp_i(st_resp), .st_resp_tag_i(st_resp_tag),
      .st_range_i(st_range), .st_range_tag_i(st_range_tag),
      .am_range_i({am_range[6] || am_range[3:1] != 3'b0, am_range[5] || am_range[0], am_range[4], am_range[7]})
  );

  bw_rd #(.MAX_BURST(MAX_BURST), .ADDR_W(ADDR_W)) u_rd (
      .clk_i, .rst_ni, .flush_i(flush), .stop_i(stop), .idle_o(rd_idle), .base_i(base), .size_i(size),
      .cmd_valid_i(cmd_valid[0]), .cmd_ready_o(cmd_ready[0]), .cmd_i(cmd[0+:512]), .cmd_tag_i(cmd_tag[0+:16]),
      .done_o(unit_done[0]),
      .f_valid_i(f_req), .f_ready_o(f_ack), .f_addr_i(f_addr), .f_len_i(f_len),
      .f_valid_o(f_valid), .f_data_o(f_data), .f_err_o(f_err),
      .err_region_o(ld_region), .region_tag_o(ld_region_tag), .err_resp_o(ld_resp), .err_range_o(ld_range),
      .data_tag_o(ld_data_tag), .beat_o(ld_beat),
      .wr_req_o(wr_req[2]), .wr_addr_o(wr_addr[2*ADDR_W+:ADDR_W]), .wr_data_o(wr_data[256+:128]), .wr_gnt_i(wr_gnt[2]),
      .ld_we_o(ld_we), .ld_addr_o(ld_addr), .ld_data_o(ld_data),
      .m_axi_arid, .m_axi_araddr, .m_axi_arlen, .m_axi_arvalid, .m_axi_arready,
      .m_axi_rid, .m_axi_rdata, .m_axi_rresp, .m_axi_rlast, .m_axi_rvalid, .m_axi_rready
  );

  bw_wr #(.MAX_BURST(MAX_BURST), .ADDR_W(ADDR_W), .SMALL(SMALL)) u_wr (
      .clk_i, .rst_ni, .flush_i(flush), .stop_i(stop), .idle_o(wr_idle), .base_i(base), .size_i(size),
      .cmd_valid_i(cmd_valid[1]), .cmd_ready_o(cmd_ready[1]), .cmd_i(cmd[512+:512]), .cmd_tag_i(cmd_tag[16+:16]),
      .done_o(unit_done[1]),
      .err_region_o(st_region), .region_tag_o(st_region_tag), .err_resp_o(st_resp), .resp_tag_o(st_resp_tag),
      .err_range_o(st_range), .range_tag_o(st_range_tag), .beat_o(st_beat), .resp_o(st_answer),
      .rd_req_o(rd_req[4]), .rd_addr_o(rd_addr[4*ADDR_W+:ADDR_W]), .rd_gnt_i(rd_gnt[4]), .rd_valid_i(rd_valid[4]),
      .rd_data_i(rd_data[512+:128]),
      .m_axi_awaddr, .m_axi_awlen, .m_axi_awvalid, .m_axi_awready,
      .m_axi_wdata, .m_axi_wstrb, .m_axi_wlast, .m_axi_wvalid, .m_axi_wready,
      .m_axi_bresp, .m_axi_bvalid, .m_axi_bready
  );

  bw_pw #(.PAIRS(PAIRS), .WEIGHT_DEPTH(WEIGHT_DEPTH), .CONST_DEPTH(CONST_DEPTH), .TABLE_DEPTH(TABLE_DEPTH),
          .ADDR_W(ADDR_W), .X_BITS(X_BITS), .MUL18(MUL18), .SUMS(DW != 0 ? 0 : 1), .SMALL(SMALL)) u_pw (
      .clk_i, .rst_ni, .flush_i(flush),
      .cmd_valid_i(cmd_valid[2]), .cmd_ready_o(cmd_ready[2]), .cmd_i(cmd[1024+:512]), .done_o(unit_done[2]),
      .rd_req_o(rd_req[0]), .rd_addr_o(rd_addr[0+:ADDR_W]), .rd_gnt_i(rd_gnt[0]), .rd_valid_i(rd_valid[0]),
      .rd_data_i(rd_data[0+:128]),
      .wr_req_o(wr_req[0]), .wr_addr_o(wr_addr[0+:ADDR_W]), .wr_data_o(wr_data[0+:128]), .wr_gnt_i(wr_gnt[0]),
      .ld_weight_we_i(ld_we[1]), .ld_const_we_i(ld_we[2]), .ld_table_we_i(ld_we[3]),
      .ld_addr_i(ld_addr), .ld_data_i(ld_data),
      .busy_o(unit_busy[0]), .stall_o(unit_stall[0])
  );

  if (DW != 0) begin : g_dw
    bw_dw #(.DW_WEIGHT_DEPTH(DW_WEIGHT_DEPTH), .CONST_DEPTH(CONST_DEPTH), .TABLE_DEPTH(TABLE_DEPTH),
            .ADDR_W(ADDR_W), .X_BITS(X_BITS)) u_dw (
        .clk_i, .rst_ni, .flush_i(flush),
        .cmd_valid_i(cmd_valid[3]), .cmd_ready_o(cmd_ready[3]), .cmd_i(cmd[1536+:512]), .done_o(unit_done[3]),
        .rd_req_o(rd_req[3:1]), .rd_addr_o(rd_addr[ADDR_W+:3*ADDR_W]), .rd_gnt_i(rd_gnt[3:1]),
        .rd_valid_i(rd_valid[3:1]), .rd_data_i(rd_data[128+:384]),
        .wr_req_o(wr_req[1]), .wr_addr_o(wr_addr[ADDR_W+:ADDR_W]), .wr_data_o(wr_data[128+:128]), .wr_gnt_i(wr_gnt[1]),
        .ld_weight_we_i(ld_we[4]), .ld_const_we_i(ld_we[5]), .ld_table_we_i(ld_we[6]),
        .ld_addr_i(ld_addr), .ld_data_i(ld_data),
        .busy_o(unit_busy[1]), .stall_o(unit_stall[1])
    );
  end else begin : g_no_dw
    assign cmd_ready[3] = 1'b0;
    assign unit_done[3] = 1'b0;
    assign rd_req[3:1] = 3'b0;
    assign rd_addr[ADDR_W+:3*ADDR_W] = '0;
    assign wr_req[1] = 1'b0;
    assign wr_addr[ADDR_W+:ADDR_W] = '0;
    assign wr_data[128+:128] = '0;
    assign {unit_busy[1], unit_stall[1]} = 2'b0;
  end

  if (AM_BLOCKS == 0) begin : g_am_one
    bw_am_one #(.AM_DEPTH(AM_DEPTH), .ADDR_W(ADDR_W)) u_am (
        .clk_i, .rst_ni,
        .rd_req_i(rd_req), .rd_addr_i(rd_addr), .rd_gnt_o(rd_gnt), .rd_valid_o(rd_valid), .rd_data_o(rd_data),
        .wr_req_i(wr_req), .wr_addr_i(wr_addr), .wr_data_i(wr_data), .wr_gnt_o(wr_gnt), .range_err_o(am_range)
    );
  end else begin : g_am
    bw_am #(.AM_DEPTH(AM_DEPTH), .ADDR_W(ADDR_W), .ULTRA(AM_ULTRA), .BLOCKS(AM_BLOCKS)) u_am (
        .clk_i, .rst_ni,
        .rd_req_i(rd_req), .rd_addr_i(rd_addr), .rd_gnt_o(rd_gnt), .rd_valid_o(rd_valid), .rd_data_o(rd_data),
        .wr_req_i(wr_req), .wr_addr_i(wr_addr), .wr_data_i(wr_data), .wr_gnt_o(wr_gnt), .range_err_o(am_range)
    );
  end

`ifdef BW_ASSERT
  bw_check_axi #(.MAX_BURST(MAX_BURST)) u_check_axi (
      .clk_i, .rst_ni,
      .awaddr(m_axi_awaddr), .awlen(m_axi_awlen), .awsize(m_axi_awsize), .awburst(m_axi_awburst),
      .awvalid(m_axi_awvalid), .awready(m_axi_awready),
      .wdata(m_axi_wdata), .wstrb(m_axi_wstrb), .wlast(m_axi_wlast), .wvalid(m_axi_wvalid), .wready(m_axi_wready),
      .bresp(m_axi_bresp), .bvalid(m_axi_bvalid), .bready(m_axi_bready),
      .arid(m_axi_arid), .araddr(m_axi_araddr), .arlen(m_axi_arlen), .arsize(m_axi_arsize), .arburst(m_axi_arburst),
      .arvalid(m_axi_arvalid), .arready(m_axi_arready),
      .rid(m_axi_rid), .rdata(m_axi_rdata), .rresp(m_axi_rresp), .rlast(m_axi_rlast), .rvalid(m_axi_rvalid),
      .rready(m_axi_rready)
  );
  bw_check_axil u_check_axil (
      .clk_i, .rst_ni,
      .awaddr(s_axil_awaddr), .awvalid(s_axil_awvalid), .awready(s_axil_awready),
      .wdata(s_axil_wdata), .wstrb(s_axil_wstrb), .wvalid(s_axil_wvalid), .wready(s_axil_wready),
      .bresp(s_axil_bresp), .bvalid(s_axil_bvalid), .bready(s_axil_bready),
      .araddr(s_axil_araddr), .arvalid(s_axil_arvalid), .arready(s_axil_arready),
      .rdata(s_axil_rdata), .rresp(s_axil_rresp), .rvalid(s_axil_rvalid), .rready(s_axil_rready)
  );
  // Requests to the activation memory stay until they are granted; a flush may drop them.
  for (genvar p = 0; p < 5; p++) begin : g_check_rd
    bw_check_stays #(.W(ADDR_W)) u_rd (
        .clk_i, .rst_ni, .drop_i(flush), .valid_i(rd_req[p]), .ready_i(rd_gnt[p]), .data_i(rd_addr[p*ADDR_W+:ADDR_W])
    );
  end
  for (genvar p = 0; p < 3; p++) begin : g_check_wr
    bw_check_stays #(.W(ADDR_W+128)) u_wr (
        .clk_i, .rst_ni, .drop_i(flush), .valid_i(wr_req[p]), .ready_i(wr_gnt[p]),
        .data_i({wr_addr[p*ADDR_W+:ADDR_W], wr_data[p*128+:128]})
    );
  end
`endif
endmodule
`default_nettype wire
