// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// AXI4 read master: instruction fetch (ARID 0) and LD (ARID 1). Data go to the activation memory (write port 2) or to
// the memories of the compute units. Up to OUTSTANDING bursts of LD are in flight, and the addresses of the next LD are
// issued while the data of those before still come: one beat a cycle while OUTSTANDING * MAX_BURST beats cover the
// latency of DRAM.
//
// done_o pulses in order, 4 cycles after the last word of an LD was accepted. stop_i: no new burst; beats that still
// come are dropped. idle_o: no burst is announced or in flight. flush_i (when idle_o) clears the rest.
// Errors are pulses: err_region_o with region_tag_o; err_resp_o and err_range_o with data_tag_o; f_err_o (fetch).
`default_nettype none
`include "bw_isa.svh"
module bw_rd #(
    parameter int MAX_BURST   = 16,
    parameter int ADDR_W      = 15,
    parameter int OUTSTANDING = 8
) (
    input  wire               clk_i,
    input  wire               rst_ni,
    input  wire               flush_i,
    input  wire               stop_i,
    output logic              idle_o,
    // Regions: bits 39-12 of the base, size in beats.
    input  wire  [4*28-1:0]   base_i,
    input  wire  [4*32-1:0]   size_i,
    // Commands.
    input  wire               cmd_valid_i,
    output logic              cmd_ready_o,
    /* verilator lint_off UNUSEDSIGNAL */  // LD has no use for all fields
    input  wire  [511:0]      cmd_i,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire  [15:0]       cmd_tag_i,
    output logic              done_o,
    // Fetch: whoever asks has room for the data.
    input  wire               f_valid_i,
    output logic              f_ready_o,
    input  wire  [39:0]       f_addr_i,
    input  wire  [7:0]        f_len_i,
    output logic              f_valid_o,
    output logic [127:0]      f_data_o,
    output logic              f_err_o,
    // Errors and counters.
    output logic              err_region_o,
    output logic [15:0]       region_tag_o,
    output logic              err_resp_o,
    output logic              err_range_o,
    output logic [15:0]       data_tag_o,
    output logic              beat_o,
    // Activation memory and unit memories.
    output logic              wr_req_o,
    output logic [ADDR_W-1:0] wr_addr_o,
    output logic [127:0]      wr_data_o,
    input  wire               wr_gnt_i,
    output logic [6:1]        ld_we_o,
    output logic [15:0]       ld_addr_o,
    output logic [127:0]      ld_data_o,
    // AXI4.
    output logic              m_axi_arid,
    output logic [39:0]       m_axi_araddr,
    output logic [7:0]        m_axi_arlen,
    output logic              m_axi_arvalid,
    input  wire               m_axi_arready,
    input  wire               m_axi_rid,
    input  wire  [127:0]      m_axi_rdata,
    /* verilator lint_off UNUSEDSIGNAL */  // bit 0 tells OKAY from EXOKAY and SLVERR from DECERR
    input  wire  [1:0]        m_axi_rresp,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire               m_axi_rlast,
    input  wire               m_axi_rvalid,
    output logic              m_axi_rready
);
  localparam int DW = 3 + 16 * 5;  // a descriptor: destination, address, beats, rows, local stride, tag
  localparam int OW = $clog2(OUTSTANDING + 1);

  // Addresses.
  logic        cmd_empty, gen_ready, burst_valid, burst_ready;
  logic [39:0] burst_addr;
  logic [7:0]  burst_len;
  logic        ar_free, f_take, ld_take;
  logic [OW-1:0] ld_flight_q;
  logic [7:0]  f_flight_q;
  logic        desc_full;
  logic        r_take, r_last_ld, r_last_f;
  logic [1:0]  region;

  assign cmd_empty   = cmd_i[`BW_MV_BEATS] == 16'd0 || cmd_i[`BW_MV_ROWS] == 16'd0;
  assign region      = cmd_i[`BW_MV_REGION];
  assign cmd_ready_o = gen_ready && !desc_full;

  /* verilator lint_off PINCONNECTEMPTY */
  bw_burst #(.MAX_BURST(MAX_BURST)) u_burst (
      .clk_i, .rst_ni, .clr_i(flush_i), .stop_i,
      .cmd_valid_i(cmd_valid_i && !desc_full && !cmd_empty), .cmd_ready_o(gen_ready),
      .base_i(base_i[28*region+:28]), .size_i(size_i[32*region+:32]),
      .offset_i(cmd_i[`BW_MV_OFFSET]), .beats_i(cmd_i[`BW_MV_BEATS]), .rows_i(cmd_i[`BW_MV_ROWS]),
      .stride_i(cmd_i[`BW_MV_DRAM_STRIDE]),
      .burst_valid_o(burst_valid), .burst_ready_i(burst_ready), .burst_addr_o(burst_addr), .burst_len_o(burst_len),
      .burst_last_o(), .err_o(err_region_o)
  );
  /* verilator lint_on PINCONNECTEMPTY */
  always_ff @(posedge clk_i) if (cmd_valid_i && cmd_ready_o) region_tag_o <= cmd_tag_i;

  assign ar_free     = !m_axi_arvalid || m_axi_arready;
  assign f_ready_o   = ar_free && !stop_i;
  assign f_take      = f_valid_i && f_ready_o;
  assign burst_ready = ar_free && !f_valid_i && ld_flight_q != OW'(OUTSTANDING);
  assign ld_take     = burst_valid && burst_ready;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) m_axi_arvalid <= 1'b0;
    else if (ar_free) m_axi_arvalid <= f_take || ld_take;
    if (f_take || ld_take) begin
      m_axi_arid   <= !f_take;
      m_axi_araddr <= f_take ? f_addr_i : burst_addr;
      m_axi_arlen  <= f_take ? f_len_i : burst_len;
    end
  end

  // Bursts in flight are not forgotten by a flush: the bus still owes their data.
  assign r_take    = m_axi_rvalid && m_axi_rready;
  assign r_last_ld = r_take && m_axi_rlast && m_axi_rid;
  assign r_last_f  = r_take && m_axi_rlast && !m_axi_rid;
  assign idle_o    = ld_flight_q == '0 && f_flight_q == '0;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      ld_flight_q <= '0;
      f_flight_q  <= '0;
    end else begin
      ld_flight_q <= ld_flight_q + OW'(ld_take) - OW'(r_last_ld);
      f_flight_q  <= f_flight_q + 8'(f_take) - 8'(r_last_f);
    end
  end

  // Data: of the fetch, and of LD through a small buffer, because the activation memory may let the writer wait.
  logic         r_full, r_valid, r_pop;
  logic [128:0] r_head;
  assign m_axi_rready = !r_full || stop_i;
  always_ff @(posedge clk_i) begin
    f_valid_o <= rst_ni && r_take && !m_axi_rid && !stop_i;
    f_err_o   <= rst_ni && r_take && !m_axi_rid && m_axi_rresp[1];
    f_data_o  <= m_axi_rdata;
    beat_o    <= rst_ni && r_take && m_axi_rid;
  end
  bw_fifo #(.W(129), .D(16)) u_data (
      .clk_i, .rst_ni, .clr_i(flush_i),
      .push_i(r_take && m_axi_rid && !stop_i), .data_i({m_axi_rresp[1], m_axi_rdata}), .full_o(r_full),
      .pop_i(r_pop), .data_o(r_head), .valid_o(r_valid)
  );

  // Destinations: the commands whose data are still to come, the one in work, its next word.
  logic          desc_valid, desc_pop;
  logic [DW-1:0] desc;
  logic          l_valid_q;
  logic [2:0]    l_dest_q;
  logic [16:0]   l_addr_q, l_row_q;  // 17 bits: an address that passes 2^16 must not come back as a small one
  logic [15:0]   l_beats_q, l_rows_q, l_stride_q, l_tag_q, l_left_q;
  // Ends are registered bits, computed one word ahead: of the row, of the last row; rows of one beat; nothing at all.
  logic          l_row_end_q, l_last_row_q, l_single_q, l_empty_q;
  logic          l_end, l_none;
  logic [16:0]   l_row_next;
  bw_fifo #(.W(DW), .D(4)) u_desc (
      .clk_i, .rst_ni, .clr_i(flush_i),
      .push_i(cmd_valid_i && cmd_ready_o),
      .data_i({cmd_i[`BW_MV_DEST], cmd_i[`BW_MV_ADDRESS], cmd_i[`BW_MV_BEATS], cmd_i[`BW_MV_ROWS],
               cmd_i[`BW_MV_LOCAL_STRIDE], cmd_tag_i}),
      .full_o(desc_full), .pop_i(desc_pop), .data_o(desc), .valid_o(desc_valid)
  );

  // The word on its way out.
  logic         o_valid_q, o_end_q, o_leaves, o_range;
  logic [2:0]   o_dest_q;
  logic [16:0]  o_addr_q;
  logic [127:0] o_data_q;
  logic [3:0]   done_q;

  assign l_none     = l_valid_q && l_empty_q;
  assign l_end      = l_row_end_q && l_last_row_q;
  assign l_row_next = l_row_q + {1'b0, l_stride_q};
  assign r_pop      = r_valid && l_valid_q && !l_none && (!o_valid_q || o_leaves);
  assign desc_pop   = desc_valid && !l_valid_q;

  generate
    if (ADDR_W < 17) begin : g_range
      assign o_range = o_dest_q == `BW_DEST_AM && o_addr_q[16:ADDR_W] != '0;
    end else begin : g_no_range
      assign o_range = 1'b0;
    end
  endgenerate
  assign o_leaves  = o_dest_q != `BW_DEST_AM || o_range || wr_gnt_i;
  assign wr_req_o  = o_valid_q && o_dest_q == `BW_DEST_AM && !o_range;
  assign wr_addr_o = o_addr_q[ADDR_W-1:0];
  assign wr_data_o = o_data_q;
  assign ld_addr_o = o_addr_q[15:0];
  assign ld_data_o = o_data_q;
  assign done_o    = done_q[3];

  genvar k;
  generate
    for (k = 1; k < 7; k = k + 1) begin : g_we
      assign ld_we_o[k] = o_valid_q && o_dest_q == 3'(k);
    end
  endgenerate

  always_ff @(posedge clk_i) begin
    err_resp_o  <= 1'b0;
    err_range_o <= 1'b0;
    done_q      <= {done_q[2:0], (o_valid_q && o_leaves && o_end_q && !o_range)};
    data_tag_o  <= l_tag_q;

    if (desc_pop) begin
      {l_dest_q, l_addr_q[15:0], l_beats_q, l_rows_q, l_stride_q, l_tag_q} <= desc;
      l_addr_q[16] <= 1'b0;
      l_row_q      <= {1'b0, desc[DW-4-:16]};
      l_left_q     <= desc[DW-20-:16];
      l_single_q   <= desc[DW-20-:16] == 16'd1;
      l_row_end_q  <= desc[DW-20-:16] == 16'd1;
      l_last_row_q <= desc[DW-36-:16] == 16'd1;
      l_empty_q    <= desc[DW-20-:16] == 16'd0 || desc[DW-36-:16] == 16'd0;
      l_valid_q    <= 1'b1;
    end
    if (l_none && !o_valid_q) begin  // after the last word of the one before
      l_valid_q <= 1'b0;
      done_q[0] <= 1'b1;
    end

    if (o_leaves) o_valid_q <= 1'b0;
    if (o_valid_q && o_range) err_range_o <= 1'b1;
    if (r_pop) begin
      o_valid_q  <= !r_head[128];
      err_resp_o <= r_head[128];
      o_end_q    <= l_end;
      o_dest_q   <= l_dest_q;
      o_addr_q   <= l_addr_q;
      o_data_q   <= r_head[127:0];
      l_left_q    <= l_row_end_q ? l_beats_q : l_left_q - 16'd1;
      l_row_end_q <= l_row_end_q ? l_single_q : l_left_q == 16'd2;
      l_addr_q    <= l_row_end_q ? l_row_next : l_addr_q + 17'd1;
      if (l_row_end_q) begin
        l_row_q      <= l_row_next;
        l_rows_q     <= l_rows_q - 16'd1;
        l_last_row_q <= l_rows_q == 16'd2;
      end
      if (l_end) l_valid_q <= 1'b0;
    end

    if (!rst_ni || flush_i) begin
      l_valid_q   <= 1'b0;
      o_valid_q   <= 1'b0;
      done_q      <= 4'b0;
      err_resp_o  <= 1'b0;
      err_range_o <= 1'b0;
    end
  end
endmodule
`default_nettype wire
