// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// AXI4-Lite slave with the registers of docs/engine.md, section 4, and the counters of a run. The address and the data
// of a write come in any order; byte strobes hold; one access of each kind at a time, 3 cycles each.
// An address that is no register gets SLVERR, a write to a read-only register is ignored. Bits 1-0 of an address are
// ignored. Regions begin on 4 KB: the low 12 bits of BASE_LO, and of BASE_HI all but 8, read as zero.
`default_nettype none
`include "bw_isa.svh"
module bw_regs #(
    parameter logic [31:0] CONFIG_HASH = 32'd0
) (
    input  wire             clk_i,
    input  wire             rst_ni,
    // AXI4-Lite.
    /* verilator lint_off UNUSEDSIGNAL */
    input  wire  [11:0]     s_axil_awaddr,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire             s_axil_awvalid,
    output logic            s_axil_awready,
    input  wire  [31:0]     s_axil_wdata,
    input  wire  [3:0]      s_axil_wstrb,
    input  wire             s_axil_wvalid,
    output logic            s_axil_wready,
    output logic [1:0]      s_axil_bresp,
    output logic            s_axil_bvalid,
    input  wire             s_axil_bready,
    /* verilator lint_off UNUSEDSIGNAL */
    input  wire  [11:0]     s_axil_araddr,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire             s_axil_arvalid,
    output logic            s_axil_arready,
    output logic [31:0]     s_axil_rdata,
    output logic [1:0]      s_axil_rresp,
    output logic            s_axil_rvalid,
    input  wire             s_axil_rready,
    // Control.
    output logic            start_o,
    output logic            reset_o,
    output logic            clear_done_o,
    output logic [31:0]     watchdog_o,
    output logic [4*28-1:0] base_o,
    output logic [4*32-1:0] size_o,
    input  wire             busy_i,
    input  wire             done_i,
    input  wire             error_i,
    input  wire  [31:0]     error_code_i,
    output logic            irq_o,
    // Counters: cleared by count_clear_i; bit k counts in a cycle in which it is high.
    input  wire             count_clear_i,
    input  wire  [7:0]      count_i  // cycle, PW busy, DW busy, LD beat, ST beat, PW stall, DW stall, fetch beat
);
  // ---- Write.
  logic        aw_valid_q, w_valid_q, b_valid_q, aw_known, write;
  logic [9:0]  aw_q;
  logic [31:0] w_data_q;
  logic [3:0]  w_strb_q;
  logic        irq_enable_q;

  assign s_axil_awready = !aw_valid_q;
  assign s_axil_wready  = !w_valid_q;
  assign s_axil_bvalid  = b_valid_q;
  assign write          = aw_valid_q && w_valid_q && !b_valid_q;

  // Registers lie at 0x00-0x08, 0x10-0x1C, 0x20-0x5C (the fourth word of a region is free), 0x60-0x80.
  function automatic logic is_known(input logic [9:0] word);
    is_known = word < 10'h21 && word != 10'h03 && !(word >= 10'h08 && word < 10'h18 && word[1:0] == 2'b11);
  endfunction
  assign aw_known = is_known(aw_q);

  function automatic logic [31:0] merge(input logic [31:0] was, input logic [31:0] data, input logic [3:0] strobe);
    merge = {strobe[3] ? data[31:24] : was[31:24], strobe[2] ? data[23:16] : was[23:16],
             strobe[1] ? data[15:8] : was[15:8], strobe[0] ? data[7:0] : was[7:0]};
  endfunction

  always_ff @(posedge clk_i) begin
    start_o      <= 1'b0;
    reset_o      <= 1'b0;
    clear_done_o <= 1'b0;
    if (s_axil_awvalid && s_axil_awready) begin
      aw_q       <= s_axil_awaddr[11:2];
      aw_valid_q <= 1'b1;
    end
    if (s_axil_wvalid && s_axil_wready) begin
      w_data_q  <= s_axil_wdata;
      w_strb_q  <= s_axil_wstrb;
      w_valid_q <= 1'b1;
    end
    if (write) begin
      aw_valid_q   <= 1'b0;
      w_valid_q    <= 1'b0;
      b_valid_q    <= 1'b1;
      s_axil_bresp <= aw_known ? 2'b00 : 2'b10;
      if (aw_q == 10'h04 && w_strb_q[0]) begin
        start_o      <= w_data_q[0];
        reset_o      <= w_data_q[1];
        irq_enable_q <= w_data_q[2];
      end
      if (aw_q == 10'h05 && w_strb_q[0]) clear_done_o <= w_data_q[1];
      if (aw_q == 10'h07) watchdog_o <= merge(watchdog_o, w_data_q, w_strb_q);
    end else if (s_axil_bready) begin
      b_valid_q <= 1'b0;
    end
    if (!rst_ni) begin
      aw_valid_q   <= 1'b0;
      w_valid_q    <= 1'b0;
      b_valid_q    <= 1'b0;
      start_o      <= 1'b0;
      reset_o      <= 1'b0;
      clear_done_o <= 1'b0;
      irq_enable_q <= 1'b0;
      watchdog_o   <= 32'd0;
    end
  end

  // ---- Regions.
  logic [4*32-1:0] base_lo, base_hi;  // as they are read
  genvar r;
  generate
    for (r = 0; r < 4; r = r + 1) begin : g_region
      logic [27:0] base_q;
      logic [31:0] size_q;
      /* verilator lint_off UNUSEDSIGNAL */  // the low 12 bits stay zero
      logic [31:0] new_lo;
      /* verilator lint_on UNUSEDSIGNAL */
      logic        here;
      assign here              = write && aw_q[9:2] == 8'(2 + r);
      assign new_lo            = merge(base_lo[32*r+:32], w_data_q, w_strb_q);
      assign base_lo[32*r+:32] = {base_q[19:0], 12'b0};
      assign base_hi[32*r+:32] = {24'b0, base_q[27:20]};
      assign base_o[28*r+:28]  = base_q;
      assign size_o[32*r+:32]  = size_q;
      always_ff @(posedge clk_i) begin
        if (!rst_ni) begin
          base_q <= 28'd0;
          size_q <= 32'd0;
        end else begin
          if (here && aw_q[1:0] == 2'd0) base_q[19:0] <= new_lo[31:12];
          if (here && aw_q[1:0] == 2'd1 && w_strb_q[0]) base_q[27:20] <= w_data_q[7:0];
          if (here && aw_q[1:0] == 2'd2) size_q <= merge(size_q, w_data_q, w_strb_q);
        end
      end
    end
  endgenerate

  // ---- Counters. The high half of CYCLES steps one cycle after the low half has wrapped.
  logic [8*32-1:0] counter;
  logic [31:0]     cycles_hi_q;
  logic            carry_q;
  generate
    for (r = 0; r < 8; r = r + 1) begin : g_counter
      logic [31:0] count_q;
      always_ff @(posedge clk_i) begin
        if (!rst_ni || count_clear_i) count_q <= 32'd0;
        else if (count_i[r]) count_q <= count_q + 32'd1;
      end
      assign counter[32*r+:32] = count_q;
    end
  endgenerate
  always_ff @(posedge clk_i) begin
    carry_q <= count_i[0] && counter[31:0] == 32'hFFFF_FFFF;
    if (!rst_ni || count_clear_i) cycles_hi_q <= 32'd0;
    else if (carry_q) cycles_hi_q <= cycles_hi_q + 32'd1;
  end

  // ---- Read.
  logic        ar_valid_q, r_valid_q;
  logic [9:0]  ar_q;
  logic [31:0] value;
  logic [1:0]  ar_region;   // words 0x08-0x17
  logic [2:0]  ar_counter;  // words 0x1A-0x20
  assign ar_region  = ar_q[3:2] - 2'd2;
  assign ar_counter = ar_q[2:0] - 3'd1;
  assign s_axil_arready = !ar_valid_q && !r_valid_q;
  assign s_axil_rvalid  = r_valid_q;
  always_comb begin
    value = 32'd0;
    case (ar_q)
      10'h00: value = 32'h4E45_5742;
      10'h01: value = `BW_ISA_VERSION;
      10'h02: value = CONFIG_HASH;
      10'h04: value = {29'b0, irq_enable_q, 2'b0};
      10'h05: value = {29'b0, error_i, done_i, busy_i};
      10'h06: value = error_code_i;
      10'h07: value = watchdog_o;
      10'h18: value = counter[0+:32];
      10'h19: value = cycles_hi_q;
      10'h1A, 10'h1B, 10'h1C, 10'h1D, 10'h1E, 10'h1F, 10'h20: value = counter[32*ar_counter+:32];
      default: begin
        if (ar_q[1:0] == 2'd0) value = base_lo[32*ar_region+:32];
        if (ar_q[1:0] == 2'd1) value = base_hi[32*ar_region+:32];
        if (ar_q[1:0] == 2'd2) value = size_o[32*ar_region+:32];
      end
    endcase
  end
  always_ff @(posedge clk_i) begin
    if (s_axil_arvalid && s_axil_arready) begin
      ar_q       <= s_axil_araddr[11:2];
      ar_valid_q <= 1'b1;
    end
    if (ar_valid_q) begin
      ar_valid_q   <= 1'b0;
      r_valid_q    <= 1'b1;
      s_axil_rdata <= is_known(ar_q) ? value : 32'd0;
      s_axil_rresp <= is_known(ar_q) ? 2'b00 : 2'b10;
    end else if (s_axil_rready) begin
      r_valid_q <= 1'b0;
    end
    if (!rst_ni) begin
      ar_valid_q <= 1'b0;
      r_valid_q  <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) irq_o <= rst_ni && irq_enable_q && (done_i || error_i);
endmodule
`default_nettype wire
