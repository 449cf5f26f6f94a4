// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Asynchronous serial port, 8 data bits, no parity, one stop bit. A bit is DIVISOR cycles long.
// rx_valid_o: one cycle for each byte with a good stop bit; others are dropped. tx_ready_o: a byte can be given.
// DIVISOR: 4 to 65535.
`default_nettype none
module bw_uart #(
    parameter int DIVISOR = 25
) (
    input  wire        clk_i,
    input  wire        rst_ni,
    input  wire        rx_i,
    output logic       tx_o,
    output logic       rx_valid_o,
    output logic [7:0] rx_data_o,
    input  wire        tx_valid_i,
    output logic       tx_ready_o,
    input  wire  [7:0] tx_data_i
);
  localparam logic [15:0] WHOLE = 16'(DIVISOR - 1);
  localparam logic [15:0] HALF  = 16'(DIVISOR / 2 - 1);

  // Receiver: two registers against metastability, then the middle of every bit.
  logic [2:0]  line_q;
  logic        rx_busy_q;
  logic [15:0] rx_wait_q;
  logic [3:0]  rx_left_q;  // bits to come, the stop bit included
  logic [7:0]  rx_bits_q;
  logic        rx_end;
  assign rx_end     = rx_busy_q && rx_wait_q == 16'd0 && rx_left_q == 4'd0;
  assign rx_data_o  = rx_bits_q;
  always_ff @(posedge clk_i) begin
    line_q     <= {line_q[1:0], rx_i};
    rx_valid_o <= rst_ni && rx_end && line_q[1];
    if (!rx_busy_q) begin
      rx_busy_q <= line_q[2] && !line_q[1];  // a falling edge, so that a line that stays low sends nothing
      rx_wait_q <= HALF;
      rx_left_q <= 4'd9;
    end else if (rx_wait_q != 16'd0) begin
      rx_wait_q <= rx_wait_q - 16'd1;
    end else begin
      rx_wait_q <= WHOLE;
      rx_left_q <= rx_left_q - 4'd1;
      if (rx_left_q != 4'd0 && rx_left_q != 4'd9) rx_bits_q <= {line_q[1], rx_bits_q[7:1]};
      if (rx_left_q == 4'd0 || (rx_left_q == 4'd9 && line_q[1])) rx_busy_q <= 1'b0;  // the end; no start bit
    end
    if (!rst_ni) begin
      line_q    <= 3'b111;
      rx_busy_q <= 1'b0;
    end
  end

  // Transmitter.
  logic [15:0] tx_wait_q;
  logic [3:0]  tx_left_q;
  logic [8:0]  tx_bits_q;
  assign tx_ready_o = tx_left_q == 4'd0;
  always_ff @(posedge clk_i) begin
    if (tx_ready_o) begin
      if (tx_valid_i) begin
        tx_o      <= 1'b0;
        tx_bits_q <= {1'b1, tx_data_i};
        tx_left_q <= 4'd10;
        tx_wait_q <= WHOLE;
      end
    end else if (tx_wait_q != 16'd0) begin
      tx_wait_q <= tx_wait_q - 16'd1;
    end else begin
      tx_wait_q <= WHOLE;
      tx_left_q <= tx_left_q - 4'd1;
      tx_o      <= tx_bits_q[0];
      tx_bits_q <= {1'b1, tx_bits_q[8:1]};
    end
    if (!rst_ni) begin
      tx_o      <= 1'b1;
      tx_left_q <= 4'd0;
    end
  end

`ifndef SYNTHESIS
  initial if (DIVISOR < 4 || DIVISOR > 65535) $error("%m: DIVISOR must be 4 to 65535, got %0d", DIVISOR);
`endif
endmodule
`default_nettype wire
