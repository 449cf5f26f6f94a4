// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Assertions on the AXI4-Lite port of the registers: what the slave must keep (s_*), and what the host must (m_*).
// bw_engine has one on its port in simulations that define BW_ASSERT; without it the file is empty.
`ifdef BW_ASSERT
`default_nettype none
module bw_check_axil (
    input wire        clk_i,
    input wire        rst_ni,
    input wire [11:0] awaddr,
    input wire        awvalid,
    input wire        awready,
    input wire [31:0] wdata,
    input wire [3:0]  wstrb,
    input wire        wvalid,
    input wire        wready,
    input wire [1:0]  bresp,
    input wire        bvalid,
    input wire        bready,
    input wire [11:0] araddr,
    input wire        arvalid,
    input wire        arready,
    input wire [31:0] rdata,
    input wire [1:0]  rresp,
    input wire        rvalid,
    input wire        rready
);
  logic [2:0] addressed_q, given_q, asked_q;  // writes with address, with data, reads that are not answered
  always_ff @(posedge clk_i) begin
    addressed_q <= addressed_q + 3'(awvalid && awready) - 3'(bvalid && bready && addressed_q != 3'd0);
    given_q     <= given_q + 3'(wvalid && wready) - 3'(bvalid && bready && given_q != 3'd0);
    asked_q     <= asked_q + 3'(arvalid && arready) - 3'(rvalid && rready && asked_q != 3'd0);
    if (!rst_ni) begin
      addressed_q <= '0;
      given_q     <= '0;
      asked_q     <= '0;
    end
  end

  default clocking @(posedge clk_i);
  endclocking
  default disable iff (!rst_ni);

  // ---- Slave.
  bw_check_stays #(.W(2)) s_b (
      .clk_i, .rst_ni, .drop_i(1'b0), .valid_i(bvalid), .ready_i(bready), .data_i(bresp)
  );
  bw_check_stays #(.W(34)) s_r (
      .clk_i, .rst_ni, .drop_i(1'b0), .valid_i(rvalid), .ready_i(rready), .data_i({rdata, rresp})
  );
  s_b_owed :  // a response after address and data
  assert property (bvalid |-> addressed_q != 3'd0 && given_q != 3'd0);
  s_r_owed :
  assert property (rvalid |-> asked_q != 3'd0);
  s_responses :  // OKAY or SLVERR
  assert property (!(bvalid && bresp[0]) && !(rvalid && rresp[0]));
  s_outstanding :  // one access waits, one is being answered
  assert property (addressed_q <= 3'd2 && given_q <= 3'd2 && asked_q <= 3'd1);

  // ---- Master.
  bw_check_stays #(.W(12)) m_aw (
      .clk_i, .rst_ni, .drop_i(1'b0), .valid_i(awvalid), .ready_i(awready), .data_i(awaddr)
  );
  bw_check_stays #(.W(36)) m_w (
      .clk_i, .rst_ni, .drop_i(1'b0), .valid_i(wvalid), .ready_i(wready), .data_i({wdata, wstrb})
  );
  bw_check_stays #(.W(12)) m_ar (
      .clk_i, .rst_ni, .drop_i(1'b0), .valid_i(arvalid), .ready_i(arready), .data_i(araddr)
  );
endmodule
`default_nettype wire
`endif
