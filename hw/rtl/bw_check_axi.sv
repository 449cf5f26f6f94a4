// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Assertions on an AXI4 port, from what is seen on its wires: what a master must keep (m_*), and what the slave must
// (s_*), so that a wrong model of DRAM is not taken for an error of the engine. bw_engine has one on its port in
// simulations that define BW_ASSERT; without it the file is empty. Rules by Arm IHI 0022E, section in brackets.
// Beyond AXI4 the engine keeps: INCR bursts of whole words, at most MAX_BURST beats; data of a write not before its
// address is offered; strobes of a beat all on or all off; at most OUTSTANDING writes and OUTSTANDING reads with ID 1.
`ifdef BW_ASSERT
`default_nettype none
module bw_check_axi #(
    parameter int MAX_BURST   = 16,
    parameter int OUTSTANDING = 8
) (
    input wire         clk_i,
    input wire         rst_ni,
    input wire [39:0]  awaddr,
    input wire [7:0]   awlen,
    input wire [2:0]   awsize,
    input wire [1:0]   awburst,
    input wire         awvalid,
    input wire         awready,
    input wire [127:0] wdata,
    input wire [15:0]  wstrb,
    input wire         wlast,
    input wire         wvalid,
    input wire         wready,
    input wire [1:0]   bresp,
    input wire         bvalid,
    input wire         bready,
    input wire         arid,
    input wire [39:0]  araddr,
    input wire [7:0]   arlen,
    input wire [2:0]   arsize,
    input wire [1:0]   arburst,
    input wire         arvalid,
    input wire         arready,
    input wire         rid,
    input wire [127:0] rdata,
    input wire [1:0]   rresp,
    input wire         rlast,
    input wire         rvalid,
    input wire         rready
);
  localparam int DEPTH = 64;  // announced bursts that are remembered, of each kind

  // Bursts are counted from the cycle in which they are offered: new_* is its first.
  logic aw_held_q, ar_held_q;
  logic aw_new, ar_new, aw, w, b, ar, r;
  assign aw     = awvalid && awready;
  assign w      = wvalid && wready;
  assign b      = bvalid && bready;
  assign ar     = arvalid && arready;
  assign r      = rvalid && rready;
  assign aw_new = awvalid && !aw_held_q;
  assign ar_new = arvalid && !ar_held_q;

  // Writes: lengths of the bursts whose data are still to come, beats of the current one; responses that are owed.
  logic [7:0] w_len[DEPTH];
  logic [5:0] w_put_q, w_get_q;
  logic [6:0] w_left_q;  // bursts in w_len
  logic [7:0] w_beat_q;
  logic [6:0] addressed_q, complete_q, open_q;  // AW and data taken, not answered; offered, not answered
  // Reads, by ID: lengths of the bursts, beats of the oldest; taken by the slave.
  logic [7:0] r_len[2*DEPTH];
  logic [5:0] r_put_q[2], r_get_q[2];
  logic [6:0] r_left_q[2], r_owed_q[2];
  logic [7:0] r_beat_q[2];

  always_ff @(posedge clk_i) begin
    aw_held_q <= rst_ni && awvalid && !awready;
    ar_held_q <= rst_ni && arvalid && !arready;
    if (aw_new) begin
      w_len[w_put_q] <= awlen;
      w_put_q        <= w_put_q + 6'd1;
    end
    if (w) begin
      w_beat_q <= wlast ? 8'd0 : w_beat_q + 8'd1;
      if (wlast) w_get_q <= w_get_q + 6'd1;
    end
    w_left_q    <= w_left_q + 7'(aw_new) - 7'(w && wlast);
    addressed_q <= addressed_q + 7'(aw) - 7'(b);
    complete_q  <= complete_q + 7'(w && wlast) - 7'(b);
    open_q      <= open_q + 7'(aw_new) - 7'(b);
    for (int i = 0; i < 2; i++) begin
      if (ar_new && int'(arid) == i) begin
        r_len[i*DEPTH+int'(r_put_q[i])] <= arlen;
        r_put_q[i] <= r_put_q[i] + 6'd1;
      end
      if (r && int'(rid) == i) begin
        r_beat_q[i] <= rlast ? 8'd0 : r_beat_q[i] + 8'd1;
        if (rlast) r_get_q[i] <= r_get_q[i] + 6'd1;
      end
      r_left_q[i] <= r_left_q[i] + 7'(ar_new && int'(arid) == i) - 7'(r && rlast && int'(rid) == i);
      r_owed_q[i] <= r_owed_q[i] + 7'(ar && int'(arid) == i) - 7'(r && rlast && int'(rid) == i);
    end
    if (!rst_ni) begin
      w_put_q     <= '0;
      w_get_q     <= '0;
      w_left_q    <= '0;
      w_beat_q    <= '0;
      addressed_q <= '0;
      complete_q  <= '0;
      open_q      <= '0;
      for (int i = 0; i < 2; i++) begin
        r_put_q[i]  <= '0;
        r_get_q[i]  <= '0;
        r_left_q[i] <= '0;
        r_owed_q[i] <= '0;
        r_beat_q[i] <= '0;
      end
    end
  end

  function automatic logic crosses(input logic [7:0] beat, input logic [7:0] length);
    crosses = {1'b0, beat} + {1'b0, length} > 9'd255;
  endfunction

  default clocking @(posedge clk_i);
  endclocking
  default disable iff (!rst_ni);

  // ---- Master.
  // [A3.2.1] VALID and everything with it stay until READY.
  bw_check_stays #(.W(53)) m_aw (
      .clk_i, .rst_ni, .drop_i(1'b0), .valid_i(awvalid), .ready_i(awready), .data_i({awaddr, awlen, awsize, awburst})
  );
  bw_check_stays #(.W(54)) m_ar (
      .clk_i, .rst_ni, .drop_i(1'b0), .valid_i(arvalid), .ready_i(arready),
      .data_i({arid, araddr, arlen, arsize, arburst})
  );
  bw_check_stays #(.W(145)) m_w (
      .clk_i, .rst_ni, .drop_i(1'b0), .valid_i(wvalid), .ready_i(wready), .data_i({wdata, wstrb, wlast})
  );
  m_aw_burst :
  assert property (awvalid |-> awburst == 2'b01 && awsize == 3'd4 && awaddr[3:0] == 4'd0 && int'(awlen) < MAX_BURST);
  m_ar_burst :
  assert property (arvalid |-> arburst == 2'b01 && arsize == 3'd4 && araddr[3:0] == 4'd0 && int'(arlen) < MAX_BURST);
  m_aw_boundary :  // [A3.4.1] a burst does not cross 4 KB
  assert property (awvalid |-> !crosses(awaddr[11:4], awlen));
  m_ar_boundary :
  assert property (arvalid |-> !crosses(araddr[11:4], arlen));
  m_w_announced :
  assert property (wvalid |-> w_left_q != 7'd0);
  m_w_last :  // [A3.4.1] as many beats as were announced
  assert property (wvalid && w_left_q != 7'd0 |-> wlast == (w_beat_q == w_len[w_get_q]));
  m_w_strobes :
  assert property (wvalid |-> wstrb == 16'h0000 || wstrb == 16'hFFFF);
  m_w_outstanding :
  assert property (aw_new |-> int'(open_q) < OUTSTANDING);
  m_r_outstanding :
  assert property (ar_new && arid |-> int'(r_left_q[1]) < OUTSTANDING);
  m_f_outstanding :
  assert property (ar_new && !arid |-> int'(r_left_q[0]) < DEPTH);

  // ---- Slave.
  bw_check_stays #(.W(2)) s_b (
      .clk_i, .rst_ni, .drop_i(1'b0), .valid_i(bvalid), .ready_i(bready), .data_i(bresp)
  );
  bw_check_stays #(.W(132)) s_r (
      .clk_i, .rst_ni, .drop_i(1'b0), .valid_i(rvalid), .ready_i(rready), .data_i({rid, rdata, rresp, rlast})
  );
  s_b_owed :  // [A3.3.1] a response after address and last data
  assert property (bvalid |-> addressed_q != 7'd0 && complete_q != 7'd0);
  s_r_owed :  // [A3.3.1] data after the address
  assert property (rvalid |-> r_owed_q[rid] != 7'd0);
  s_r_last :
  assert property (rvalid && r_owed_q[rid] != 7'd0 |->
                   rlast == (r_beat_q[rid] == r_len[int'(rid)*DEPTH+int'(r_get_q[rid])]));
  s_no_exclusive :  // [A7.2.1] EXOKAY answers exclusive accesses only
  assert property (!(bvalid && bresp == 2'b01) && !(rvalid && rresp == 2'b01));
endmodule
`default_nettype wire
`endif
