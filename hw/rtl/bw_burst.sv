// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// From the rows of an LD or ST to AXI bursts. Rows that follow each other without a gap in DRAM (DRAM_STRIDE = BEATS)
// are one run, so that short rows do not make short bursts. Every run is checked against the size of its region before
// its first burst; a run that leaves it raises err_o and ends the generator until clr_i. A burst has at most MAX_BURST
// beats and does not cross 4 KB (regions begin on 4 KB, so the low 8 bits of the beat number decide).
//
// One burst in two cycles; 5 cycles from a command to its first burst. Commands with no beats must not be given.
// burst_last_o: last burst of the command. MAX_BURST: a power of two up to 256.
`default_nettype none
module bw_burst #(
    parameter int MAX_BURST = 16
) (
    input  wire         clk_i,
    input  wire         rst_ni,
    input  wire         clr_i,
    input  wire         stop_i,
    input  wire         cmd_valid_i,
    output logic        cmd_ready_o,
    input  wire  [27:0] base_i,    // bits 39-12 of the byte address of the region
    input  wire  [31:0] size_i,    // beats
    input  wire  [31:0] offset_i,  // beats
    input  wire  [15:0] beats_i,
    input  wire  [15:0] rows_i,
    input  wire  [31:0] stride_i,  // beats
    output logic        burst_valid_o,
    input  wire         burst_ready_i,
    output logic [39:0] burst_addr_o,
    output logic [7:0]  burst_len_o,  // beats - 1
    output logic        burst_last_o,
    output logic        err_o
);
  logic        failed_q, prepare_q;
  logic [27:0] base_q;
  logic [31:0] size_q, stride_q, product_q;
  logic [15:0] beats_q, rows_q;
  logic        joined_q;
  // Stage A: the next run.
  logic        a_valid_q, a_lost_q;  // lost: the start has passed 2^32
  logic [31:0] a_start_q;
  logic [15:0] a_left_q;
  // Stage B: a run with its end.
  logic        b_valid_q, b_last_q;
  logic [31:0] b_start_q;
  logic [33:0] b_end_q;
  // Stage C: the run that is cut into bursts; the length is made in one cycle and used in the next.
  logic        c_valid_q, c_last_q, c_cut_q, c_end_q;
  logic [31:0] c_start_q, c_left_q;
  logic [8:0]  c_len_q;
  logic [39:0] c_addr_q;

  logic [31:0] a_length;
  logic        a_last, a_go, b_go, b_bad, c_next;
  logic [32:0] a_next;
  logic [8:0]  c_room, c_limit;

  assign cmd_ready_o = !prepare_q && !a_valid_q && !b_valid_q && !c_valid_q && !failed_q && !stop_i;
  assign a_length    = joined_q ? product_q : {16'b0, beats_q};
  assign a_last      = joined_q || a_left_q == 16'd1;
  assign a_next      = {1'b0, a_start_q} + {1'b0, stride_q};
  assign a_go        = a_valid_q && (!b_valid_q || b_go);
  assign b_bad       = b_end_q > {2'b0, size_q};
  assign b_go        = b_valid_q && (!c_valid_q || (c_next && c_end_q));
  assign c_next      = c_cut_q && burst_ready_i;
  assign c_room      = 9'd256 - {1'b0, c_start_q[7:0]};
  assign c_limit     = c_room < 9'(MAX_BURST) ? c_room : 9'(MAX_BURST);

  always_ff @(posedge clk_i) begin
    err_o <= 1'b0;
    if (cmd_valid_i && cmd_ready_o) begin
      base_q    <= base_i;
      size_q    <= size_i;
      stride_q  <= stride_i;
      beats_q   <= beats_i;
      rows_q    <= rows_i;
      joined_q  <= stride_i == {16'b0, beats_i};
      a_start_q <= offset_i;
      prepare_q <= 1'b1;
    end
    if (prepare_q) begin
      prepare_q <= 1'b0;
      product_q <= beats_q * rows_q;
      a_valid_q <= 1'b1;
      a_lost_q  <= 1'b0;
      a_left_q  <= rows_q;
    end
    if (a_go) begin
      b_start_q <= a_start_q;
      b_end_q   <= {1'b0, a_lost_q, a_start_q} + {2'b0, a_length};
      b_last_q  <= a_last;
      b_valid_q <= 1'b1;
      a_start_q <= a_next[31:0];
      a_lost_q  <= a_lost_q || a_next[32];
      a_left_q  <= a_left_q - 16'd1;
      a_valid_q <= !a_last;
    end else if (b_go) begin
      b_valid_q <= 1'b0;
    end
    if (b_go) begin
      c_start_q <= b_start_q;
      c_left_q  <= a_length;  // every run of a command has the same length
      c_last_q  <= b_last_q;
      c_cut_q   <= 1'b0;
      if (b_bad) begin
        err_o     <= 1'b1;
        failed_q  <= 1'b1;
        c_valid_q <= 1'b0;
      end else begin
        c_valid_q <= !failed_q;
      end
    end else if (c_next) begin
      c_cut_q   <= 1'b0;
      c_valid_q <= !c_end_q;
      c_start_q <= c_start_q + {23'b0, c_len_q};
      c_left_q  <= c_left_q - {23'b0, c_len_q};
    end else if (c_valid_q && !c_cut_q) begin
      c_cut_q  <= 1'b1;
      c_end_q  <= c_left_q <= {23'b0, c_limit};
      c_len_q  <= c_left_q <= {23'b0, c_limit} ? c_left_q[8:0] : c_limit;
      c_addr_q <= {base_q + {4'b0, c_start_q[31:8]}, c_start_q[7:0], 4'b0};
    end
    if (!rst_ni || clr_i) begin
      prepare_q <= 1'b0;
      a_valid_q <= 1'b0;
      b_valid_q <= 1'b0;
      c_valid_q <= 1'b0;
      c_cut_q   <= 1'b0;
      failed_q  <= 1'b0;
      err_o     <= 1'b0;
    end
  end

  assign burst_valid_o = c_cut_q && !stop_i;
  assign burst_addr_o  = c_addr_q;
  assign burst_len_o   = 8'(c_len_q - 9'd1);
  assign burst_last_o  = c_last_q && c_end_q;

`ifndef SYNTHESIS
  initial if (MAX_BURST < 1 || MAX_BURST > 256 || (MAX_BURST & (MAX_BURST - 1)) != 0)
    $error("%m: MAX_BURST must be a power of two up to 256");
`endif
endmodule
`default_nettype wire
