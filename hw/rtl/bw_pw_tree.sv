// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0

// The pointwise array (docs/engine.md 2.3) for a device with few flip-flops: the ports and the sums of bw_pw_array, but
// the products of a column are added by a tree, so that nothing travels from lane to lane and few registers are needed.
// Without cascades between multipliers the adders are in logic anyway; multiplier and two adders follow each other
// without a register, which asks for a slow clock (27 MHz on a GW2AR-18).
//
// One step a cycle, never stalls. done_o with the sums LATENCY cycles after the step with last_i, as in bw_pw_array.
// Operands are those of bw_pw_array with MUL18: (w1 << 13) + w0. The lower product of 13 bits is widened to 17, enough
// for the sum of 16 lanes; its sign is given back to the upper sum behind the tree.
//
// Weight memory: one block memory of 128 bits for each beat of a word. Load address: word * PAIRS + beat, PAIRS bytes a
// lane, lane 0 first. A load takes effect two cycles later.
//
// Legal: PAIRS 2, 4, 8 or 16; WEIGHT_DEPTH a power of two, WEIGHT_DEPTH * PAIRS at most 65536.
`default_nettype none

module bw_pw_tree #(
    parameter int PAIRS = 2,
    parameter int WEIGHT_DEPTH = 512
) (
    input  wire                              clk_i,
    input  wire                              rst_ni,
    input  wire                              ld_we_i,
    /* verilator lint_off UNUSEDSIGNAL */  // addresses are modulo the depth
    input  wire  [15:0]                      ld_addr_i,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire  [127:0]                     ld_data_i,
    input  wire                              valid_i,
    input  wire                              first_i,
    input  wire                              last_i,
    input  wire                              w8_i,
    input  wire  [$clog2(WEIGHT_DEPTH)-1:0]  addr_i,
    input  wire  [16*9-1:0]                  act_i,
    output logic                             done_o,
    output logic [2*PAIRS*27-1:0]            acc_o
);
  localparam int LANES = 16;
  localparam int ADDR_W = $clog2(WEIGHT_DEPTH);
  localparam int BEAT_W = $clog2(PAIRS);
  localparam int SUM_W = 35;  // of a column: 17 bits of the lower sum, 18 of the upper
  localparam int LATENCY = 5;  // weights; operands; sums of four lanes; of all; accumulator

`ifndef SYNTHESIS
  initial begin
    if (PAIRS != 2 && PAIRS != 4 && PAIRS != 8 && PAIRS != 16)
      $error("%m: PAIRS must be 2, 4, 8 or 16, got %0d", PAIRS);
    if ((WEIGHT_DEPTH & (WEIGHT_DEPTH - 1)) != 0 || WEIGHT_DEPTH * PAIRS > 65536)
      $error("%m: WEIGHT_DEPTH must be a power of two, at most 65536 / PAIRS, got %0d", WEIGHT_DEPTH);
  end
`endif

  // Weights: the load port is registered as in bw_pw_array.
  logic ld_we_q;
  logic [ADDR_W+BEAT_W-1:0] ld_addr_q;
  logic [127:0] ld_data_q;
  logic [LANES*PAIRS*8-1:0] byte_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) ld_we_q <= 1'b0;
    else ld_we_q <= ld_we_i;
    ld_addr_q <= ld_addr_i[ADDR_W+BEAT_W-1:0];
    ld_data_q <= ld_data_i;
  end

  for (genvar b = 0; b < PAIRS; b++) begin : g_beat
    (* ram_style = "block" *) logic [127:0] mem[0:WEIGHT_DEPTH-1];
    logic [127:0] read_q;
    always_ff @(posedge clk_i) begin
      if (ld_we_q && ld_addr_q[BEAT_W-1:0] == BEAT_W'(b)) mem[ld_addr_q[BEAT_W+:ADDR_W]] <= ld_data_q;
      read_q <= mem[addr_i];
    end
    assign byte_q[128*b+:128] = read_q;
  end

  // Activations and W8 beside the weights.
  logic [16*9-1:0] act1_q, act2_q;
  logic [2:0] w8_q;  // bit k: of the step of k + 1 cycles ago
  logic [LATENCY-1:0] valid_q, last_q;
  logic [LATENCY-2:0] first_q;

  always_ff @(posedge clk_i) begin
    act1_q <= act_i;
    act2_q <= act1_q;
    w8_q <= {w8_q[1:0], w8_i};
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[LATENCY-2:0], valid_i};
    first_q <= {first_q[LATENCY-3:0], first_i};
    last_q <= {last_q[LATENCY-2:0], last_i};
  end
  assign done_o = valid_q[LATENCY-1] && last_q[LATENCY-1];

  for (genvar q = 0; q < PAIRS; q++) begin : g_column
    // Sums of one, two, four and eight lanes. Of that of n lanes the low 31 + log2(n) bits tell all.
    /* verilator lint_off UNUSEDSIGNAL */  // the others repeat the sign
    logic signed [LANES*SUM_W-1:0] leaf;
    logic signed [8*SUM_W-1:0] two;
    logic signed [4*SUM_W-1:0] four_d, four_q;
    /* verilator lint_on UNUSEDSIGNAL */
    logic signed [2*SUM_W-1:0] eight;
    logic signed [SUM_W-1:0] column;
    logic signed [17:0] low, high;
    logic signed [22:0] first_half_q;
    logic signed [17:0] second_half_q;
    logic signed [26:0] acc0_q, acc1_q;

    for (genvar l = 0; l < LANES; l++) begin : g_lane
      logic [7:0] b;
      logic sign;
      logic [4:0] upper_q;
      logic [3:0] lower_q;
      logic sign_q;
      (* use_dsp = "yes" *) logic signed [26:0] prod;
      assign b = byte_q[(l*PAIRS+q)*8+:8];
      assign sign = b[3] && !w8_q[0];
      // Upper nibble with its sign, less `sign` (see bw_pw_array).
      always_ff @(posedge clk_i) begin
        upper_q <= {b[7], b[7:4]} ^ {sign && b[7:4] == 4'd0, sign && b[6:4] == 3'd0, sign && b[5:4] == 2'd0,
                                     sign && !b[4], sign};
        lower_q <= b[3:0];
        sign_q <= sign;
      end
      assign prod = $signed(act2_q[9*l+:9]) * $signed({upper_q, {9{sign_q}}, lower_q});
      assign leaf[SUM_W*l+:SUM_W] = $signed({{4{prod[26]}}, prod[26:13], {4{prod[12]}}, prod[12:0]});
    end

    for (genvar n = 0; n < 8; n++) begin : g_two
      logic signed [31:0] sum;
      assign sum = $signed(leaf[SUM_W*2*n+:32]) + $signed(leaf[SUM_W*(2*n+1)+:32]);
      assign two[SUM_W*n+:SUM_W] = SUM_W'(sum);
    end
    for (genvar n = 0; n < 4; n++) begin : g_four
      logic signed [32:0] sum;
      assign sum = $signed(two[SUM_W*2*n+:33]) + $signed(two[SUM_W*(2*n+1)+:33]);
      assign four_d[SUM_W*n+:SUM_W] = SUM_W'(sum);
    end
    for (genvar n = 0; n < 2; n++) begin : g_eight
      logic signed [33:0] sum;
      assign sum = $signed(four_q[SUM_W*2*n+:34]) + $signed(four_q[SUM_W*(2*n+1)+:34]);
      assign eight[SUM_W*n+:SUM_W] = SUM_W'(sum);
    end
    assign column = $signed(eight[0+:SUM_W]) + $signed(eight[SUM_W+:SUM_W]);

    // Behind the tree: give the sign back, join for W8, accumulate.
    assign low = 18'($signed(column[16:0]));
    assign high = $signed(column[34:17]) + $signed({17'd0, column[16]});
    always_ff @(posedge clk_i) begin
      four_q <= four_d;
      first_half_q <= 23'(low) + (w8_q[2] ? $signed({high[17], high, 4'd0}) : 23'sd0);
      second_half_q <= high;
      if (valid_q[LATENCY-2]) begin
        acc0_q <= (first_q[LATENCY-2] ? 27'sd0 : acc0_q) + 27'(first_half_q);
        acc1_q <= (first_q[LATENCY-2] ? 27'sd0 : acc1_q) + 27'(second_half_q);
      end
    end
    assign acc_o[q*27+:27] = acc0_q;
    assign acc_o[(PAIRS+q)*27+:27] = acc1_q;
  end
endmodule

`default_nettype wire
