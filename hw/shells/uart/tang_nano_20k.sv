// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// The engine on a Sipeed Tang Nano 20K: serial port of the board's BL616, reset by button S1 (high when pressed) or at
// power-up; LED 0 blinks once a second or so while there is a clock, LED 1 is the interrupt, LED 5 the line from the
// host.
`default_nettype none
module tang_nano_20k #(
    parameter int DIVISOR = 27,
    parameter int BEATS   = 2560,
    parameter int SILENCE = 21
) (
    input  wire        clk_27mhz,
    input  wire        uart_rx,  // from the host
    output logic       uart_tx,  // to the host
    input  wire        s1,
    output logic [5:0] led_n
);
  /* verilator lint_off PROCASSINIT */  // the configuration of the FPGA sets it; there is no other reset
  logic [7:0]  por_q = 8'd0;
  /* verilator lint_on PROCASSINIT */
  logic [1:0]  button_q;
  logic        rst_n_q, irq;
  logic [24:0] blink_q;
  always_ff @(posedge clk_27mhz) begin
    button_q <= {button_q[0], s1};
    por_q    <= button_q[1] ? 8'd0 : por_q + 8'(por_q != 8'hFF);
    rst_n_q  <= por_q == 8'hFF;
    blink_q  <= rst_n_q ? blink_q + 25'd1 : 25'd0;
  end
  assign led_n = ~{!uart_rx, 3'd0, irq, blink_q[24]};

  bw_uart_shell #(.DIVISOR(DIVISOR), .BEATS(BEATS), .SILENCE(SILENCE)) u_shell (
      .clk_i(clk_27mhz), .rst_ni(rst_n_q), .rx_i(uart_rx), .tx_o(uart_tx), .irq_o(irq)
  );
endmodule
`default_nettype wire
