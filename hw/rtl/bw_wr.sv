// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// AXI4 write master of ST: reads the activation memory (read port 4) ahead into a buffer whose places are reserved
// before the read, and writes one beat a cycle when bursts are long enough. Up to OUTSTANDING bursts wait for their
// response; all have the same ID, so the responses come in order. done_o pulses in order, after the last response of
// an ST.
//
// stop_i: no new burst; bursts that were announced are completed with all byte strobes off, because what they were to
// write may never come. idle_o: no burst is announced or in flight. flush_i (when idle_o) clears the rest.
// Errors are pulses: err_region_o with region_tag_o, err_resp_o with resp_tag_o, err_range_o with range_tag_o.
// SMALL: 1: half of the buffer.
`default_nettype none
`include "bw_isa.svh"
module bw_wr #(
    parameter int MAX_BURST   = 16,
    parameter int ADDR_W      = 15,
    parameter int OUTSTANDING = 8,
    parameter int SMALL       = 0
) (
    input  wire               clk_i,
    input  wire               rst_ni,
    input  wire               flush_i,
    input  wire               stop_i,
    output logic              idle_o,
    input  wire  [4*28-1:0]   base_i,
    input  wire  [4*32-1:0]   size_i,
    input  wire               cmd_valid_i,
    output logic              cmd_ready_o,
    /* verilator lint_off UNUSEDSIGNAL */  // ST has no use for all fields
    input  wire  [511:0]      cmd_i,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire  [15:0]       cmd_tag_i,
    output logic              done_o,
    output logic              err_region_o,
    output logic [15:0]       region_tag_o,
    output logic              err_resp_o,
    output logic [15:0]       resp_tag_o,
    output logic              err_range_o,
    output logic [15:0]       range_tag_o,
    output logic              beat_o,
    output logic              resp_o,
    // Activation memory.
    output logic              rd_req_o,
    output logic [ADDR_W-1:0] rd_addr_o,
    input  wire               rd_gnt_i,
    input  wire               rd_valid_i,
    input  wire  [127:0]      rd_data_i,
    // AXI4.
    output logic [39:0]       m_axi_awaddr,
    output logic [7:0]        m_axi_awlen,
    output logic              m_axi_awvalid,
    input  wire               m_axi_awready,
    output logic [127:0]      m_axi_wdata,
    output logic [15:0]       m_axi_wstrb,
    output logic              m_axi_wlast,
    output logic              m_axi_wvalid,
    input  wire               m_axi_wready,
    /* verilator lint_off UNUSEDSIGNAL */  // bit 0 tells SLVERR from DECERR
    input  wire  [1:0]        m_axi_bresp,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire               m_axi_bvalid,
    output logic              m_axi_bready
);
  localparam int ROOM = SMALL != 0 ? 16 : 32;  // words of the buffer: more than the read latency of bw_am
  localparam int CW = $clog2(ROOM + 1);

  // Addresses in DRAM.
  logic        cmd_empty, cmd_take, gen_ready, burst_valid, burst_ready, burst_last;
  logic [39:0] burst_addr;
  logic [7:0]  burst_len;
  logic        aw_free, aw_take;
  logic        len_full, len_valid, len_pop;
  logic [7:0]  len;
  logic        token_push, token_full, token_valid, token_pop, token_none, token_end;
  logic [15:0] token_tag;
  logic        l_valid_q;
  logic [1:0]  region;

  assign cmd_empty   = cmd_i[`BW_MV_BEATS] == 16'd0 || cmd_i[`BW_MV_ROWS] == 16'd0;
  assign region      = cmd_i[`BW_MV_REGION];
  assign cmd_ready_o = gen_ready && !l_valid_q && !token_full;
  assign cmd_take    = cmd_valid_i && cmd_ready_o;

  bw_burst #(.MAX_BURST(MAX_BURST)) u_burst (
      .clk_i, .rst_ni, .clr_i(flush_i), .stop_i,
      .cmd_valid_i(cmd_take && !cmd_empty), .cmd_ready_o(gen_ready),
      .base_i(base_i[28*region+:28]), .size_i(size_i[32*region+:32]),
      .offset_i(cmd_i[`BW_MV_OFFSET]), .beats_i(cmd_i[`BW_MV_BEATS]), .rows_i(cmd_i[`BW_MV_ROWS]),
      .stride_i(cmd_i[`BW_MV_DRAM_STRIDE]),
      .burst_valid_o(burst_valid), .burst_ready_i(burst_ready), .burst_addr_o(burst_addr), .burst_len_o(burst_len),
      .burst_last_o(burst_last), .err_o(err_region_o)
  );
  always_ff @(posedge clk_i) if (cmd_take) region_tag_o <= cmd_tag_i;

  assign aw_free     = !m_axi_awvalid || m_axi_awready;
  assign burst_ready = aw_free && !len_full && !token_full;
  assign aw_take     = burst_valid && burst_ready;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) m_axi_awvalid <= 1'b0;
    else if (aw_free) m_axi_awvalid <= aw_take;
    if (aw_take) begin
      m_axi_awaddr <= burst_addr;
      m_axi_awlen  <= burst_len;
    end
  end

  // Lengths of announced bursts for W; one token for B of each burst and of each command without beats.
  bw_fifo #(.W(8), .D(OUTSTANDING)) u_len (
      .clk_i, .rst_ni, .clr_i(1'b0), .push_i(aw_take), .data_i(burst_len), .full_o(len_full),
      .pop_i(len_pop), .data_o(len), .valid_o(len_valid)
  );
  // A command is taken when the generator is empty: its token never meets that of a burst.
  assign token_push = aw_take || (cmd_take && cmd_empty);
  bw_fifo #(.W(18), .D(OUTSTANDING)) u_token (
      .clk_i, .rst_ni, .clr_i(1'b0),
      .push_i(token_push), .data_i(aw_take ? {1'b0, burst_last, region_tag_o} : {2'b11, cmd_tag_i}),
      .full_o(token_full),
      .pop_i(token_pop), .data_o({token_none, token_end, token_tag}), .valid_o(token_valid)
  );
  assign m_axi_bready = token_valid && !token_none;
  assign token_pop    = token_valid && (token_none || m_axi_bvalid);
  assign idle_o       = !token_valid;  // a burst keeps its token until its response
  always_ff @(posedge clk_i) begin
    resp_o     <= m_axi_bready && m_axi_bvalid;
    resp_tag_o <= token_tag;
    err_resp_o <= rst_ni && m_axi_bready && m_axi_bvalid && m_axi_bresp[1];
    done_o     <= rst_ni && !flush_i && token_pop && token_end && (token_none || !m_axi_bresp[1]);
  end

  // Words of the activation memory.
  logic [16:0]   l_addr_q, l_row_q;  // 17 bits: an address that passes 2^16 must not come back as a small one
  logic [15:0]   l_beats_q, l_rows_q, l_stride_q, l_left_q;
  logic [CW-1:0] credit_q;
  logic          room_q;  // two places were left: one is, whatever happened since
  logic          l_row_end_q, l_last_row_q, l_single_q;  // computed one word ahead; rows of one beat
  logic          l_range, l_go, w_take;
  logic [16:0]   l_row_next;
  generate
    if (ADDR_W < 17) begin : g_range
      assign l_range = l_addr_q[16:ADDR_W] != '0;
    end else begin : g_no_range
      assign l_range = 1'b0;
    end
  endgenerate
  assign l_row_next = l_row_q + {1'b0, l_stride_q};
  assign rd_req_o   = l_valid_q && !l_range && room_q;
  assign rd_addr_o  = l_addr_q[ADDR_W-1:0];
  assign l_go       = rd_req_o && rd_gnt_i;
  always_ff @(posedge clk_i) begin
    err_range_o <= l_valid_q && l_range;
    range_tag_o <= region_tag_o;
    if (cmd_take && !cmd_empty) begin
      l_valid_q    <= 1'b1;
      l_addr_q     <= {1'b0, cmd_i[`BW_MV_ADDRESS]};
      l_row_q      <= {1'b0, cmd_i[`BW_MV_ADDRESS]};
      l_beats_q    <= cmd_i[`BW_MV_BEATS];
      l_rows_q     <= cmd_i[`BW_MV_ROWS];
      l_stride_q   <= cmd_i[`BW_MV_LOCAL_STRIDE];
      l_left_q     <= cmd_i[`BW_MV_BEATS];
      l_single_q   <= cmd_i[`BW_MV_BEATS] == 16'd1;
      l_row_end_q  <= cmd_i[`BW_MV_BEATS] == 16'd1;
      l_last_row_q <= cmd_i[`BW_MV_ROWS] == 16'd1;
    end
    if (l_go) begin
      l_left_q    <= l_row_end_q ? l_beats_q : l_left_q - 16'd1;
      l_row_end_q <= l_row_end_q ? l_single_q : l_left_q == 16'd2;
      l_addr_q    <= l_row_end_q ? l_row_next : l_addr_q + 17'd1;
      if (l_row_end_q) begin
        l_row_q      <= l_row_next;
        l_rows_q     <= l_rows_q - 16'd1;
        l_last_row_q <= l_rows_q == 16'd2;
        l_valid_q    <= !l_last_row_q;
      end
    end
    credit_q <= credit_q - CW'(l_go) + CW'(w_take && !stop_i);
    room_q   <= credit_q > CW'(1) || (rd_req_o && !rd_gnt_i);  // a request stays until it is granted
    if (!rst_ni || flush_i) begin
      l_valid_q   <= 1'b0;
      err_range_o <= 1'b0;
      credit_q    <= CW'(ROOM);
      room_q      <= 1'b0;
    end
  end

  // Write data.
  logic         data_valid;
  logic [127:0] data;
  logic [7:0]   w_count_q;
  /* verilator lint_off PINCONNECTEMPTY */
  bw_fifo #(.W(128), .D(ROOM)) u_data (
      .clk_i, .rst_ni, .clr_i(flush_i), .push_i(rd_valid_i), .data_i(rd_data_i), .full_o(),
      .pop_i(w_take && !stop_i), .data_o(data), .valid_o(data_valid)
  );
  /* verilator lint_on PINCONNECTEMPTY */
  assign w_take  = len_valid && (data_valid || stop_i) && (!m_axi_wvalid || m_axi_wready);
  assign len_pop = w_take && w_count_q == len;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      m_axi_wvalid <= 1'b0;
      w_count_q    <= 8'd0;
    end else begin
      if (w_take) begin
        m_axi_wvalid <= 1'b1;
        w_count_q    <= len_pop ? 8'd0 : w_count_q + 8'd1;
      end else if (m_axi_wready) begin
        m_axi_wvalid <= 1'b0;
      end
    end
    if (w_take) begin
      m_axi_wdata <= data;
      m_axi_wstrb <= stop_i ? 16'h0000 : 16'hFFFF;
      m_axi_wlast <= len_pop;
    end
    beat_o <= rst_ni && m_axi_wvalid && m_axi_wready;
  end
endmodule
`default_nettype wire
