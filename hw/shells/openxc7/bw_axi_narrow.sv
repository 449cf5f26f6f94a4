// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// From the engine's AXI4 master of 128 bits to an AXI3 port of 64 bits (high-performance port of a Zynq-7000): a burst
// is cut into pieces of at most 8 beats, which are 16 of the port's; the halves of a beat go low half first, and the
// responses of the pieces are joined. INCR bursts of whole words; read IDs 0 and 1, whose data may interleave; write
// ID 0. One beat of 128 bits in two cycles each way. The engine's upper 8 address bits are dropped: a Zynq-7000 has 32.
`default_nettype none
module bw_axi_narrow (
    input  wire          clk_i,
    input  wire          rst_ni,
    // AXI4, 128 bits, from the engine.
    /* verilator lint_off UNUSEDSIGNAL */
    input  wire  [39:0]  s_awaddr,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire  [7:0]   s_awlen,
    input  wire          s_awvalid,
    output logic         s_awready,
    input  wire  [127:0] s_wdata,
    input  wire  [15:0]  s_wstrb,
    input  wire          s_wvalid,
    output logic         s_wready,
    output logic [1:0]   s_bresp,
    output logic         s_bvalid,
    input  wire          s_bready,
    input  wire          s_arid,
    /* verilator lint_off UNUSEDSIGNAL */
    input  wire  [39:0]  s_araddr,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire  [7:0]   s_arlen,
    input  wire          s_arvalid,
    output logic         s_arready,
    output logic         s_rid,
    output logic [127:0] s_rdata,
    output logic [1:0]   s_rresp,
    output logic         s_rlast,
    output logic         s_rvalid,
    input  wire          s_rready,
    // AXI3, 64 bits, to the port.
    output logic [31:0]  m_awaddr,
    output logic [3:0]   m_awlen,
    output logic         m_awvalid,
    input  wire          m_awready,
    output logic [63:0]  m_wdata,
    output logic [7:0]   m_wstrb,
    output logic         m_wlast,
    output logic         m_wvalid,
    input  wire          m_wready,
    input  wire  [1:0]   m_bresp,
    input  wire          m_bvalid,
    output logic         m_bready,
    output logic         m_arid,
    output logic [31:0]  m_araddr,
    output logic [3:0]   m_arlen,
    output logic         m_arvalid,
    input  wire          m_arready,
    input  wire          m_rid,
    input  wire  [63:0]  m_rdata,
    input  wire  [1:0]   m_rresp,
    input  wire          m_rlast,
    input  wire          m_rvalid,
    output logic         m_rready
);
  localparam int PIECE = 8, PENDING = 32;  // beats of 128 bits in a piece; pieces that are not answered yet

  // ---- Write addresses. The pieces are noted for their data and for their responses.
  logic        aw_busy_q, aw_last, aw_push, wf_full, wf_valid, wf_pop, bf_full, bf_valid, bf_last, bf_pop;
  logic [31:0] aw_addr_q;
  logic [8:0]  aw_left_q;
  logic [3:0]  wf_len;

  assign s_awready = !aw_busy_q;
  assign aw_last   = aw_left_q <= 9'(PIECE);
  assign m_awaddr  = aw_addr_q;
  assign m_awlen   = aw_last ? {aw_left_q[2:0] - 3'd1, 1'b1} : 4'd15;
  assign m_awvalid = aw_busy_q && !wf_full && !bf_full;
  assign aw_push   = m_awvalid && m_awready;

  always_ff @(posedge clk_i) begin
    if (s_awvalid && s_awready) begin
      aw_addr_q <= s_awaddr[31:0];
      aw_left_q <= {1'b0, s_awlen} + 9'd1;
      aw_busy_q <= 1'b1;
    end
    if (aw_push) begin
      aw_addr_q <= aw_addr_q + 32'(16 * PIECE);
      aw_left_q <= aw_left_q - 9'(PIECE);
      if (aw_last) aw_busy_q <= 1'b0;
    end
    if (!rst_ni) aw_busy_q <= 1'b0;
  end

  bw_fifo #(.W(4), .D(PENDING)) u_w_pieces (
      .clk_i, .rst_ni, .clr_i(1'b0), .push_i(aw_push), .data_i(m_awlen), .full_o(wf_full),
      .pop_i(wf_pop), .data_o(wf_len), .valid_o(wf_valid)
  );
  bw_fifo #(.W(1), .D(PENDING)) u_b_pieces (
      .clk_i, .rst_ni, .clr_i(1'b0), .push_i(aw_push), .data_i(aw_last), .full_o(bf_full),
      .pop_i(bf_pop), .data_o(bf_last), .valid_o(bf_valid)
  );

  // ---- Write data: the low half, then the high half.
  logic       w_high_q;
  logic [3:0] w_beat_q;

  assign m_wdata  = w_high_q ? s_wdata[127:64] : s_wdata[63:0];
  assign m_wstrb  = w_high_q ? s_wstrb[15:8] : s_wstrb[7:0];
  assign m_wlast  = w_beat_q == wf_len;
  assign m_wvalid = s_wvalid && wf_valid;
  assign s_wready = m_wready && wf_valid && w_high_q;
  assign wf_pop   = m_wvalid && m_wready && m_wlast;

  always_ff @(posedge clk_i) begin
    if (m_wvalid && m_wready) begin
      w_high_q <= !w_high_q;
      w_beat_q <= m_wlast ? 4'd0 : w_beat_q + 4'd1;
    end
    if (!rst_ni) begin
      w_high_q <= 1'b0;
      w_beat_q <= 4'd0;
    end
  end

  // ---- Write responses: that of the last piece is handed on, with the errors of those before.
  logic [1:0] b_resp_q;

  assign m_bready = bf_valid && (!bf_last || s_bready);
  assign bf_pop   = m_bvalid && m_bready;
  assign s_bvalid = m_bvalid && bf_valid && bf_last;
  assign s_bresp  = m_bresp | b_resp_q;

  always_ff @(posedge clk_i) begin
    if (bf_pop) b_resp_q <= bf_last ? 2'b00 : s_bresp;
    if (!rst_ni) b_resp_q <= 2'b00;
  end

  // ---- Read addresses.
  logic        ar_busy_q, ar_id_q, ar_last, ar_push;
  logic [31:0] ar_addr_q;
  logic [8:0]  ar_left_q;
  logic [1:0]  rf_full, rf_last, rf_pop;
  /* verilator lint_off UNUSEDSIGNAL */
  logic [1:0]  rf_valid;  // data come after their address
  /* verilator lint_on UNUSEDSIGNAL */

  assign s_arready = !ar_busy_q;
  assign ar_last   = ar_left_q <= 9'(PIECE);
  assign m_arid    = ar_id_q;
  assign m_araddr  = ar_addr_q;
  assign m_arlen   = ar_last ? {ar_left_q[2:0] - 3'd1, 1'b1} : 4'd15;
  assign m_arvalid = ar_busy_q && !rf_full[ar_id_q];
  assign ar_push   = m_arvalid && m_arready;

  always_ff @(posedge clk_i) begin
    if (s_arvalid && s_arready) begin
      ar_id_q   <= s_arid;
      ar_addr_q <= s_araddr[31:0];
      ar_left_q <= {1'b0, s_arlen} + 9'd1;
      ar_busy_q <= 1'b1;
    end
    if (ar_push) begin
      ar_addr_q <= ar_addr_q + 32'(16 * PIECE);
      ar_left_q <= ar_left_q - 9'(PIECE);
      if (ar_last) ar_busy_q <= 1'b0;
    end
    if (!rst_ni) ar_busy_q <= 1'b0;
  end

  for (genvar i = 0; i < 2; i++) begin : g_pieces
    bw_fifo #(.W(1), .D(PENDING)) u_r_pieces (
        .clk_i, .rst_ni, .clr_i(1'b0), .push_i(ar_push && ar_id_q == 1'(i)), .data_i(ar_last), .full_o(rf_full[i]),
        .pop_i(rf_pop[i]), .data_o(rf_last[i]), .valid_o(rf_valid[i])
    );
    assign rf_pop[i] = m_rvalid && m_rready && m_rlast && m_rid == 1'(i);
  end

  // ---- Read data: the low half of a beat is kept, for each ID, until the high half comes.
  logic [1:0]  r_high_q;
  logic [63:0] r_low_q [0:1];
  logic [1:0]  r_resp_q [0:1];

  assign m_rready = !r_high_q[m_rid] || s_rready;
  assign s_rvalid = m_rvalid && r_high_q[m_rid];
  assign s_rid    = m_rid;
  assign s_rdata  = {m_rdata, r_low_q[m_rid]};
  assign s_rresp  = m_rresp | r_resp_q[m_rid];
  assign s_rlast  = m_rlast && rf_last[m_rid];

  always_ff @(posedge clk_i) begin
    if (m_rvalid && m_rready) begin
      r_high_q[m_rid] <= !r_high_q[m_rid];
      r_low_q[m_rid]  <= m_rdata;
      r_resp_q[m_rid] <= m_rresp;
    end
    if (!rst_ni) r_high_q <= 2'b00;
  end
endmodule
`default_nettype wire
