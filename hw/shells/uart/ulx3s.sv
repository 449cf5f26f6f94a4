// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// The engine on a Radiona ULX3S: serial port of the FT231X, reset by button FIRE1 or at power-up; LED 0 blinks once a
// second or so while there is a clock, LED 1 is the interrupt, LED 7 the line from the host.
`default_nettype none
module ulx3s #(
    parameter int DIVISOR = 25,
    parameter int BEATS   = 4096,
    parameter int SILENCE = 21
) (
    input  wire        clk_25mhz,
    input  wire        ftdi_txd,  // from the host
    output logic       ftdi_rxd,  // to the host
    input  wire        btn_fire1,
    output logic       wifi_gpio0,  // high: the ESP32 leaves the board alone
    output logic [7:0] led
);
  /* verilator lint_off PROCASSINIT */  // the configuration of the FPGA sets it; there is no other reset
  logic [7:0]  por_q = 8'd0;
  /* verilator lint_on PROCASSINIT */
  logic [1:0]  button_q;
  logic        rst_n_q, irq;
  logic [24:0] blink_q;
  always_ff @(posedge clk_25mhz) begin
    button_q <= {button_q[0], btn_fire1};
    por_q    <= button_q[1] ? 8'd0 : por_q + 8'(por_q != 8'hFF);
    rst_n_q  <= por_q == 8'hFF;
    blink_q  <= rst_n_q ? blink_q + 25'd1 : 25'd0;
  end
  assign wifi_gpio0 = 1'b1;
  assign led = {!ftdi_txd, 5'd0, irq, blink_q[24]};

  bw_uart_shell #(.DIVISOR(DIVISOR), .BEATS(BEATS), .SILENCE(SILENCE)) u_shell (
      .clk_i(clk_25mhz), .rst_ni(rst_n_q), .rx_i(ftdi_txd), .tx_o(ftdi_rxd), .irq_o(irq)
  );
endmodule
`default_nettype wire
