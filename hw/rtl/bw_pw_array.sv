// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0

// The pointwise array (docs/engine.md 2.3): weight memory, 16 lanes x PAIRS systolic columns, accumulators.
//
// One step a cycle, never stalls. A step comes with the nine-bit activations of 16 lanes and the address of its
// weights; first_i starts a sum, last_i ends it. The sums of a sub-pass appear on acc_o together with done_o,
// LATENCY cycles after the step with last_i, and stay for one cycle: PAIRS numbers of the first half (with w8_i: all
// there are), then PAIRS of the second.
//
// Lane l works l cycles behind lane 0: its weight address, activation and W8 flag travel through l registers, so
// that column q is one chain p[l] <= p[l-1] + a[l] * w[l][q] of 16 DSP slices with registered operands, product and
// sum. A byte holds two 4-bit weights, (w1 << 18) + w0 is one operand; after the column the sign of the lower sum is
// given back to the upper one. MUL18: multipliers of 18 x 18 bits take (w1 << 13) + w0 instead, and the lower product,
// 13 bits with its sign, is widened to 18 bits behind the multiplier, which is wiring; LATENCY is one more. W8: the
// lower nibble is taken without sign and the two sums are joined.
//
// Weight memory: 16 x 1 block memories of 8 * PAIRS bits (two of 128 for PAIRS = 32). Load address: word * PAIRS +
// beat, PAIRS bytes a lane, lane 0 first. A load takes effect two cycles later.
//
// Legal: PAIRS 2, 4, 8, 16 or 32; MUL18 0 or 1; WEIGHT_DEPTH a power of two, WEIGHT_DEPTH * PAIRS at most 65536.
`default_nettype none

module bw_pw_array #(
    parameter int PAIRS = 16,
    parameter int WEIGHT_DEPTH = 512,
    parameter int MUL18 = 0
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
  localparam int PARTS = (PAIRS > 16) ? 2 : 1;  // memories of a lane
  localparam int PART_W = PAIRS * 8 / PARTS;
  localparam int LOW_W = (MUL18 != 0) ? 13 : 18;  // of the lower product in an operand
  localparam int OPERAND_W = LOW_W + 5;
  localparam int SUM_W = 36;  // of a column: 18 bits of the lower sum, 18 of the upper
  localparam int DELAY = (MUL18 != 0) ? 1 : 0;  // of a register behind the weight memory
  localparam int COLUMN = LANES + 3 + DELAY;  // cycles from a step to its sum over the lanes
  localparam int LATENCY = COLUMN + 3;

`ifndef SYNTHESIS
  initial begin
    if (PAIRS != 2 && PAIRS != 4 && PAIRS != 8 && PAIRS != 16 && PAIRS != 32)
      $error("%m: PAIRS must be 2, 4, 8, 16 or 32, got %0d", PAIRS);
    if ((WEIGHT_DEPTH & (WEIGHT_DEPTH - 1)) != 0 || WEIGHT_DEPTH * PAIRS > 65536)
      $error("%m: WEIGHT_DEPTH must be a power of two, at most 65536 / PAIRS, got %0d", WEIGHT_DEPTH);
  end
`endif

  // Load port, registered once for its fan-out.
  logic ld_we_q;
  logic [ADDR_W+BEAT_W-1:0] ld_addr_q;
  logic [127:0] ld_data_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) ld_we_q <= 1'b0;
    else ld_we_q <= ld_we_i;
    ld_addr_q <= ld_addr_i[ADDR_W+BEAT_W-1:0];
    ld_data_q <= ld_data_i;
  end

  // Skew: field l of these vectors belongs to lane l, l cycles later than that of lane 0.
  logic [LANES*ADDR_W-1:0] addr_d;
  logic [(LANES-1)*ADDR_W-1:0] addr_q;
  logic [COLUMN:0] w8_q;  // [l+DELAY] goes with the weights read by lane l, [COLUMN] with the sum of the column
  logic [LANES*9-1:0] act_d;  // operand registers of the lanes

  assign addr_d = {addr_q, addr_i};
  always_ff @(posedge clk_i) begin
    addr_q <= addr_d[(LANES-1)*ADDR_W-1:0];
    w8_q <= {w8_q[COLUMN-1:0], w8_i};
  end

  for (genvar l = 0; l < LANES; l++) begin : g_act
    logic [(l+2+DELAY)*9-1:0] shift_q;
    always_ff @(posedge clk_i) shift_q <= {shift_q[(l+1+DELAY)*9-1:0], act_i[9*l+:9]};
    assign act_d[9*l+:9] = shift_q[(l+1+DELAY)*9+:9];
  end

  // Lanes: memory and decode. An operand is {upper nibble less the sign of the lower one, lower nibble with LOW_W bits}.
  logic [LANES*PAIRS*8-1:0] byte_d;
  logic [LANES*PAIRS*OPERAND_W-1:0] weight_q;

  for (genvar l = 0; l < LANES; l++) begin : g_lane
    for (genvar h = 0; h < PARTS; h++) begin : g_part
      (* ram_style = "block" *) logic [PART_W-1:0] mem[0:WEIGHT_DEPTH-1];
      logic [PART_W-1:0] read_q;
      logic here_d;
      logic [PART_W-1:0] write_d;

      if (PAIRS < 16) begin : g_shared  // a beat has 16 / PAIRS lanes
        assign here_d = ld_addr_q[BEAT_W-1:0] == BEAT_W'(l * PAIRS / 16);
        assign write_d = ld_data_q[8*PAIRS*(l%(16/PAIRS))+:8*PAIRS];
      end else begin : g_whole
        assign here_d = ld_addr_q[BEAT_W-1:0] == BEAT_W'(l * PARTS + h);
        assign write_d = ld_data_q;
      end

      always_ff @(posedge clk_i) begin
        if (ld_we_q && here_d) mem[ld_addr_q[BEAT_W+:ADDR_W]] <= write_d;
        read_q <= mem[addr_d[ADDR_W*l+:ADDR_W]];
      end
      // Where LUTs have four inputs the decoder is too deep to follow the memory at once.
      if (DELAY != 0) begin : g_delay
        logic [PART_W-1:0] late_q;
        always_ff @(posedge clk_i) late_q <= read_q;
        assign byte_d[l*PAIRS*8+h*PART_W+:PART_W] = late_q;
      end else begin : g_direct
        assign byte_d[l*PAIRS*8+h*PART_W+:PART_W] = read_q;
      end
    end

    for (genvar q = 0; q < PAIRS; q++) begin : g_decode
      logic [7:0] b;
      logic sign;
      logic [4:0] upper;
      logic [OPERAND_W-1:0] operand_q;
      assign b = byte_d[(l*PAIRS+q)*8+:8];
      assign sign = b[3] && !w8_q[l+DELAY];
      // Upper nibble with its sign, less `sign`, as functions of six bits: one LUT each behind the memory, no carry.
      assign upper = {b[7], b[7:4]} ^ {sign && b[7:4] == 4'd0, sign && b[6:4] == 3'd0, sign && b[5:4] == 2'd0,
                                       sign && !b[4], sign};
      always_ff @(posedge clk_i) operand_q <= {upper, {(LOW_W-4){sign}}, b[3:0]};
      assign weight_q[(l*PAIRS+q)*OPERAND_W+:OPERAND_W] = operand_q;
    end
  end

  // Columns.
  logic [PAIRS*SUM_W-1:0] column_d;

  for (genvar q = 0; q < PAIRS; q++) begin : g_column
    logic signed [LANES*SUM_W-1:0] sum_q;
    for (genvar l = 0; l < LANES; l++) begin : g_stage
      (* use_dsp = "yes" *) logic signed [OPERAND_W+8:0] prod_q;
      logic signed [SUM_W-1:0] prev_d, prod_d;
      if (l == 0) begin : g_first
        assign prev_d = '0;
      end else begin : g_next
        assign prev_d = $signed(sum_q[(l-1)*SUM_W+:SUM_W]);
      end
      if (MUL18 != 0) begin : g_widen
        assign prod_d = $signed({{4{prod_q[26]}}, prod_q[26:13], {5{prod_q[12]}}, prod_q[12:0]});
      end else begin : g_plain
        assign prod_d = SUM_W'(prod_q);
      end
      always_ff @(posedge clk_i) begin
        prod_q <= $signed(act_d[9*l+:9]) * $signed(weight_q[(l*PAIRS+q)*OPERAND_W+:OPERAND_W]);
        sum_q[l*SUM_W+:SUM_W] <= prev_d + prod_d;
      end
    end
    assign column_d[q*SUM_W+:SUM_W] = sum_q[(LANES-1)*SUM_W+:SUM_W];
  end

  // After the columns: give the sign back, join for W8, accumulate.
  logic [LATENCY-1:0] valid_q, last_q;  // bit k: the step of k + 1 cycles ago
  logic [LATENCY-2:0] first_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[LATENCY-2:0], valid_i};
    first_q <= {first_q[LATENCY-3:0], first_i};
    last_q <= {last_q[LATENCY-2:0], last_i};
  end
  assign done_o = valid_q[LATENCY-1] && last_q[LATENCY-1];

  for (genvar q = 0; q < PAIRS; q++) begin : g_acc
    logic signed [17:0] low_q, high_q;
    logic signed [22:0] first_half_q;
    logic signed [17:0] second_half_q;
    logic signed [26:0] acc0_q, acc1_q;
    always_ff @(posedge clk_i) begin
      low_q <= $signed(column_d[q*SUM_W+:18]);
      high_q <= $signed(column_d[q*SUM_W+18+:18]) + $signed({17'd0, column_d[q*SUM_W+17]});
      first_half_q <= 23'(low_q) + (w8_q[COLUMN] ? $signed({high_q[17], high_q, 4'd0}) : 23'sd0);
      second_half_q <= high_q;
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
