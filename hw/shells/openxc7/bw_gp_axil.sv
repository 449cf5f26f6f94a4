// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// From the AXI3 general-purpose port of a Zynq-7000 to AXI4-Lite: one access at a time of each kind, one beat of
// 32 bits. The registers lie in the 64 KB at BASE (4 KB, seen 16 times); other addresses answer DECERR, bursts of
// several beats SLVERR.
`default_nettype none
module bw_gp_axil #(
    parameter logic [31:0] BASE = 32'h43C0_0000
) (
    input  wire         clk_i,
    input  wire         rst_ni,
    // AXI3, from the processing system.
    input  wire  [11:0] s_awid,
    /* verilator lint_off UNUSEDSIGNAL */
    input  wire  [31:0] s_awaddr,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire  [3:0]  s_awlen,
    input  wire         s_awvalid,
    output logic        s_awready,
    input  wire  [31:0] s_wdata,
    input  wire  [3:0]  s_wstrb,
    input  wire         s_wlast,
    input  wire         s_wvalid,
    output logic        s_wready,
    output logic [11:0] s_bid,
    output logic [1:0]  s_bresp,
    output logic        s_bvalid,
    input  wire         s_bready,
    input  wire  [11:0] s_arid,
    /* verilator lint_off UNUSEDSIGNAL */
    input  wire  [31:0] s_araddr,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire  [3:0]  s_arlen,
    input  wire         s_arvalid,
    output logic        s_arready,
    output logic [11:0] s_rid,
    output logic [31:0] s_rdata,
    output logic [1:0]  s_rresp,
    output logic        s_rlast,
    output logic        s_rvalid,
    input  wire         s_rready,
    // AXI4-Lite, to the engine.
    output logic [11:0] m_axil_awaddr,
    output logic        m_axil_awvalid,
    input  wire         m_axil_awready,
    output logic [31:0] m_axil_wdata,
    output logic [3:0]  m_axil_wstrb,
    output logic        m_axil_wvalid,
    input  wire         m_axil_wready,
    input  wire  [1:0]  m_axil_bresp,
    input  wire         m_axil_bvalid,
    output logic        m_axil_bready,
    output logic [11:0] m_axil_araddr,
    output logic        m_axil_arvalid,
    input  wire         m_axil_arready,
    input  wire  [31:0] m_axil_rdata,
    input  wire  [1:0]  m_axil_rresp,
    input  wire         m_axil_rvalid,
    output logic        m_axil_rready
);
  localparam logic [1:0] SLVERR = 2'b10, DECERR = 2'b11;

  // ---- Writes: IDLE takes the address, SEND hands address and data on, DROP swallows data, ANSWER responds.
  typedef enum logic [1:0] {W_IDLE, W_SEND, W_DROP, W_ANSWER} write_e;
  write_e      w_q;
  logic        aw_done_q, w_done_q;
  logic [1:0]  b_resp_q;
  logic [11:0] b_id_q, aw_addr_q;
  logic        w_answered_q;

  assign s_awready      = w_q == W_IDLE;
  assign m_axil_awaddr  = aw_addr_q;
  assign m_axil_awvalid = w_q == W_SEND && !aw_done_q;
  assign m_axil_wdata   = s_wdata;
  assign m_axil_wstrb   = s_wstrb;
  assign m_axil_wvalid  = w_q == W_SEND && !w_done_q && s_wvalid;
  assign s_wready       = w_q == W_DROP || (w_q == W_SEND && !w_done_q && m_axil_wready);
  assign m_axil_bready  = w_q == W_ANSWER && !w_answered_q;
  assign s_bvalid       = w_q == W_ANSWER && w_answered_q;
  assign s_bresp        = b_resp_q;
  assign s_bid          = b_id_q;

  always_ff @(posedge clk_i) begin
    case (w_q)
      W_IDLE:
      if (s_awvalid) begin
        b_id_q       <= s_awid;
        aw_addr_q    <= s_awaddr[11:0];
        aw_done_q    <= 1'b0;
        w_done_q     <= 1'b0;
        w_answered_q <= s_awaddr[31:16] != BASE[31:16] || s_awlen != 4'd0;
        b_resp_q     <= s_awaddr[31:16] != BASE[31:16] ? DECERR : SLVERR;
        w_q          <= s_awaddr[31:16] != BASE[31:16] || s_awlen != 4'd0 ? W_DROP : W_SEND;
      end
      W_SEND: begin
        if (m_axil_awvalid && m_axil_awready) aw_done_q <= 1'b1;
        if (m_axil_wvalid && m_axil_wready) w_done_q <= 1'b1;
        if ((aw_done_q || m_axil_awready) && (w_done_q || (m_axil_wvalid && m_axil_wready))) w_q <= W_ANSWER;
      end
      W_DROP: if (s_wvalid && s_wlast) w_q <= W_ANSWER;
      default: begin
        if (m_axil_bvalid && m_axil_bready) begin
          b_resp_q     <= m_axil_bresp;
          w_answered_q <= 1'b1;
        end
        if (s_bvalid && s_bready) w_q <= W_IDLE;
      end
    endcase
    if (!rst_ni) w_q <= W_IDLE;
  end

  // ---- Reads: IDLE takes the address, SEND hands it on, WAIT takes the data, ANSWER gives them or errors.
  typedef enum logic [1:0] {R_IDLE, R_SEND, R_WAIT, R_ANSWER} read_e;
  read_e       r_q;
  logic [3:0]  r_left_q;
  logic [1:0]  r_resp_q;
  logic [11:0] r_id_q, ar_addr_q;
  logic [31:0] r_data_q;

  assign s_arready      = r_q == R_IDLE;
  assign m_axil_araddr  = ar_addr_q;
  assign m_axil_arvalid = r_q == R_SEND;
  assign m_axil_rready  = r_q == R_WAIT;
  assign s_rvalid       = r_q == R_ANSWER;
  assign s_rdata        = r_data_q;
  assign s_rresp        = r_resp_q;
  assign s_rid          = r_id_q;
  assign s_rlast        = r_left_q == 4'd0;

  always_ff @(posedge clk_i) begin
    case (r_q)
      R_IDLE:
      if (s_arvalid) begin
        r_id_q    <= s_arid;
        ar_addr_q <= s_araddr[11:0];
        r_left_q  <= s_arlen;
        r_data_q  <= 32'd0;
        r_resp_q  <= s_araddr[31:16] != BASE[31:16] ? DECERR : SLVERR;
        r_q       <= s_araddr[31:16] != BASE[31:16] || s_arlen != 4'd0 ? R_ANSWER : R_SEND;
      end
      R_SEND: if (m_axil_arready) r_q <= R_WAIT;
      R_WAIT:
      if (m_axil_rvalid) begin
        r_data_q <= m_axil_rdata;
        r_resp_q <= m_axil_rresp;
        r_q      <= R_ANSWER;
      end
      default:
      if (s_rready) begin
        r_left_q <= r_left_q - 4'd1;
        if (s_rlast) r_q <= R_IDLE;
      end
    endcase
    if (!rst_ni) r_q <= R_IDLE;
  end
endmodule
`default_nettype wire
