// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Host link over a byte stream: frames that read and write the registers of the engine and the memory (docs/uart.md).
//
//   request   A5  op  address (2 bytes)  count  [data]  crc       op 0 hello, 1 read and 2 write a register,
//   answer    5A  status  [data]  crc                             3 read and 4 write count + 1 beats of memory
//
// The CRC (x^8 + x^2 + x + 1, from 0) is over everything after the first byte. A register is written after the CRC was
// right; beats are written as they come, so a request whose CRC was wrong must be sent again. A request that stops for
// 2^SILENCE cycles is forgotten. status: 0 done, 1 CRC, 2 unknown op or an address outside, 3 error response.
`default_nettype none
module bw_link #(
    parameter int BEATS   = 4096,
    parameter int SILENCE = 21
) (
    input  wire          clk_i,
    input  wire          rst_ni,
    input  wire          rx_valid_i,
    input  wire  [7:0]   rx_data_i,
    output logic         tx_valid_o,
    input  wire          tx_ready_i,
    output logic [7:0]   tx_data_o,
    // Registers: AXI4-Lite master.
    output logic [11:0]  m_axil_awaddr,
    output logic         m_axil_awvalid,
    input  wire          m_axil_awready,
    output logic [31:0]  m_axil_wdata,
    output logic         m_axil_wvalid,
    input  wire          m_axil_wready,
    input  wire  [1:0]   m_axil_bresp,
    input  wire          m_axil_bvalid,
    output logic         m_axil_bready,
    output logic [11:0]  m_axil_araddr,
    output logic         m_axil_arvalid,
    input  wire          m_axil_arready,
    input  wire  [31:0]  m_axil_rdata,
    input  wire  [1:0]   m_axil_rresp,
    input  wire          m_axil_rvalid,
    output logic         m_axil_rready,
    // Memory.
    output logic                     mem_read_o,
    output logic                     mem_write_o,
    input  wire                      mem_ready_i,
    output logic [$clog2(BEATS)-1:0] mem_addr_o,
    output logic [127:0]             mem_data_o,
    input  wire                      mem_valid_i,
    input  wire  [127:0]             mem_data_i
);
  localparam int AW = $clog2(BEATS);
  localparam logic [31:0] NAME = 32'h3155_5742;  // "BWU1"
  localparam logic [7:0] HELLO = 8'd0, READ = 8'd1, WRITE = 8'd2, READ_BEATS = 8'd3, WRITE_BEATS = 8'd4;
  localparam logic [3:0] IDLE = 4'd0, OP = 4'd1, LOW = 4'd2, HIGH = 4'd3, COUNT = 4'd4, DATA = 4'd5, CHECK = 4'd6,
      ACT = 4'd7, WAIT = 4'd8, MARK = 4'd9, STATUS = 4'd10, FETCH = 4'd11, SEND = 4'd12, SUM = 4'd13;

  function automatic logic [7:0] crc_of(input logic [7:0] crc, input logic [7:0] data);
    logic [7:0] c;
    c = crc ^ data;
    for (int i = 0; i < 8; i++) c = {c[6:0], 1'b0} ^ (c[7] ? 8'h07 : 8'h00);
    crc_of = c;
  endfunction

  logic [3:0]   state_q;
  logic [7:0]   op_q, crc_q, status_q, count_q;
  logic [15:0]  addr_q;
  logic [127:0] word_q;  // a beat or a register, first byte lowest
  logic [3:0]   byte_q;  // bytes of it that are still to come or go, less one
  logic         bad_q;   // the address is outside
  logic [SILENCE:0] quiet_q;
  logic         receiving, give, sent;
  logic [16:0]  last_beat;

  wire unused = &{1'b0, m_axil_bresp[0], m_axil_rresp[0]};

  assign receiving = state_q != IDLE && state_q <= CHECK;
  assign last_beat = {1'b0, addr_q} + {9'd0, count_q};
  assign give      = state_q == MARK || state_q == STATUS || state_q == SEND || state_q == SUM;
  assign sent      = tx_valid_o && tx_ready_i;
  assign tx_valid_o = give;
  assign tx_data_o  = state_q == MARK ? 8'h5A : state_q == STATUS ? status_q : state_q == SUM ? crc_q : word_q[7:0];

  assign m_axil_awaddr = addr_q[11:0];
  assign m_axil_araddr = addr_q[11:0];
  assign m_axil_wdata  = word_q[127:96];
  assign m_axil_bready = 1'b1;
  assign m_axil_rready = 1'b1;
  assign mem_addr_o    = addr_q[AW-1:0];
  assign mem_data_o    = word_q;

  always_ff @(posedge clk_i) begin
    quiet_q <= receiving && !rx_valid_i ? quiet_q + 1'b1 : '0;
    if (m_axil_awready) m_axil_awvalid <= 1'b0;
    if (m_axil_wready) m_axil_wvalid <= 1'b0;
    if (m_axil_arready) m_axil_arvalid <= 1'b0;
    if (mem_ready_i) begin
      mem_read_o <= 1'b0;
      if (mem_write_o) addr_q <= addr_q + 16'd1;
      mem_write_o <= 1'b0;
    end

    if (rx_valid_i && receiving) crc_q <= crc_of(crc_q, rx_data_i);
    if (rx_valid_i && state_q == DATA) word_q <= {rx_data_i, word_q[127:8]};
    if (sent && (state_q == STATUS || state_q == SEND)) crc_q <= crc_of(crc_q, tx_data_o);

    case (state_q)
      IDLE: begin
        crc_q  <= 8'd0;
        if (rx_valid_i && rx_data_i == 8'hA5) state_q <= OP;
      end
      OP:
      if (rx_valid_i) begin
        op_q    <= rx_data_i;
        state_q <= LOW;
      end
      LOW:
      if (rx_valid_i) begin
        addr_q[7:0] <= rx_data_i;
        state_q     <= HIGH;
      end
      HIGH:
      if (rx_valid_i) begin
        addr_q[15:8] <= rx_data_i;
        state_q      <= COUNT;
      end
      COUNT:
      if (rx_valid_i) begin
        count_q <= rx_data_i;
        byte_q  <= op_q == WRITE ? 4'd3 : 4'd15;
        state_q <= op_q == WRITE || op_q == WRITE_BEATS ? DATA : CHECK;
      end
      DATA: begin
        if (op_q == WRITE) bad_q <= addr_q[15:12] != 4'd0;
        else if (byte_q == 4'd15) bad_q <= addr_q >= 16'(BEATS);  // of the beat that begins
        if (rx_valid_i) begin
          byte_q <= byte_q - 4'd1;
          if (byte_q == 4'd0) begin
            byte_q <= 4'd15;
            if (op_q == WRITE) begin
              state_q <= CHECK;
            end else begin
              mem_write_o <= !bad_q;
              count_q     <= count_q - 8'd1;
              if (count_q == 8'd0) state_q <= CHECK;
            end
          end
        end
      end
      CHECK:
      if (rx_valid_i) begin
        status_q <= rx_data_i == crc_q ? 8'd0 : 8'd1;
        state_q  <= rx_data_i == crc_q ? ACT : MARK;
        crc_q    <= 8'd0;
      end
      ACT: begin
        state_q <= MARK;
        case (op_q)
          HELLO:   word_q[63:0] <= {32'(BEATS), NAME};
          READ: begin
            m_axil_arvalid <= addr_q[15:12] == 4'd0;
            status_q       <= addr_q[15:12] == 4'd0 ? 8'd0 : 8'd2;
            if (addr_q[15:12] == 4'd0) state_q <= WAIT;
          end
          WRITE: begin
            m_axil_awvalid <= !bad_q;
            m_axil_wvalid  <= !bad_q;
            status_q       <= bad_q ? 8'd2 : 8'd0;
            if (!bad_q) state_q <= WAIT;
          end
          READ_BEATS:  status_q <= last_beat < 17'(BEATS) ? 8'd0 : 8'd2;
          WRITE_BEATS: status_q <= bad_q ? 8'd2 : 8'd0;
          default:     status_q <= 8'd2;
        endcase
      end
      WAIT:
      if (m_axil_rvalid || m_axil_bvalid) begin
        state_q <= MARK;
        if (m_axil_rvalid) word_q[31:0] <= m_axil_rdata;
        status_q <= (m_axil_rvalid ? m_axil_rresp[1] : m_axil_bresp[1]) ? 8'd3 : 8'd0;
      end
      MARK:
      if (sent) state_q <= STATUS;
      STATUS:
      if (sent) begin
        byte_q  <= op_q == READ ? 4'd3 : op_q == HELLO ? 4'd7 : 4'd15;
        state_q <= status_q != 8'd0 ? SUM : op_q == READ_BEATS ? FETCH : op_q == READ || op_q == HELLO ? SEND : SUM;
        mem_read_o <= status_q == 8'd0 && op_q == READ_BEATS;
      end
      FETCH:
      if (mem_valid_i) begin
        word_q  <= mem_data_i;
        state_q <= SEND;
      end
      SEND:
      if (sent) begin
        word_q <= {8'd0, word_q[127:8]};
        byte_q <= byte_q - 4'd1;
        if (byte_q == 4'd0) begin
          byte_q  <= 4'd15;
          addr_q  <= addr_q + 16'd1;
          count_q <= count_q - 8'd1;
          state_q <= op_q == READ_BEATS && count_q != 8'd0 ? FETCH : SUM;
          mem_read_o <= op_q == READ_BEATS && count_q != 8'd0;
        end
      end
      SUM:
      if (sent) state_q <= IDLE;
      default: state_q <= IDLE;
    endcase
    if (quiet_q[SILENCE]) state_q <= IDLE;

    if (!rst_ni) begin
      state_q        <= IDLE;
      quiet_q        <= '0;
      m_axil_awvalid <= 1'b0;
      m_axil_wvalid  <= 1'b0;
      m_axil_arvalid <= 1'b0;
      mem_read_o     <= 1'b0;
      mem_write_o    <= 1'b0;
    end
  end
endmodule
`default_nettype wire
