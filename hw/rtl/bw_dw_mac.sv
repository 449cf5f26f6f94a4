// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Arithmetic of the depthwise unit: 16 lanes x 3 taps of 9 x 8 bit products, their sum, an accumulator of 27 bits; with
// MAX the maximum over the taps inside, with ADD the two words as they are. A triple each cycle, no stalls, latency 5
// cycles from fire_i to acc_valid_o (with the last triple of a window). acc_o and second_o (the other word of an
// addition) hold for that cycle only.
//
// The weight memory has three taps of 16 bytes a word; beat 4w + k of the load port is tap k of word w.
// Legal parameters: WEIGHT_DEPTH a power of two up to 4096.
`default_nettype none

module bw_dw_mac #(
    parameter int WEIGHT_DEPTH = 512,
    parameter int TAG_W = 8
) (
    input wire clk_i,
    input wire rst_ni,
    input wire ld_weight_we_i,
    input wire [15:0] ld_addr_i,
    input wire [127:0] ld_data_i,
    input wire fire_i,
    input wire [383:0] words_i,
    input wire [2:0] mask_i,
    input wire first_i,
    input wire last_i,
    input wire scale_i,  // the sum of these three counts 128 times
    input wire add_i,
    input wire max_i,
    input wire act_signed_i,
    input wire operand_signed_i,
    input wire [8:0] zero_point_i,
    input wire [$clog2(WEIGHT_DEPTH)-1:0] weight_i,
    input wire [TAG_W-1:0] tag_i,
    output wire acc_valid_o,
    output wire [16*27-1:0] acc_o,
    output wire [16*9-1:0] second_o,
    output wire [TAG_W-1:0] tag_o
);
  localparam int WA = $clog2(WEIGHT_DEPTH);

  logic [4:0] v_q;
  logic [4:0] last_q;
  logic [3:0] first_q, max_q;
  logic [2:0] add_q, scale_q;
  logic [TAG_W-1:0] tag1_q, tag2_q, tag3_q, tag4_q, tag5_q;
  logic [383:0] words_q;
  logic [2:0] mask_q;
  logic act_signed_q, operand_signed_q;
  logic [8:0] zero_point_q;
  logic ld_we_q;
  logic [1:0] ld_tap_q;
  logic [WA-1:0] ld_word_q;
  logic [127:0] ld_data_q;

  always_ff @(posedge clk_i) begin
    v_q <= rst_ni ? {v_q[3:0], fire_i} : 5'd0;
    first_q <= {first_q[2:0], first_i};
    last_q <= {last_q[3:0], last_i};
    add_q <= {add_q[1:0], add_i};
    scale_q <= {scale_q[1:0], scale_i};
    max_q <= {max_q[2:0], max_i};
    tag1_q <= tag_i;
    tag2_q <= tag1_q;
    tag3_q <= tag2_q;
    tag4_q <= tag3_q;
    tag5_q <= tag4_q;
    words_q <= words_i;
    mask_q <= mask_i;
    act_signed_q <= act_signed_i;
    operand_signed_q <= operand_signed_i;
    zero_point_q <= zero_point_i;
    ld_we_q <= ld_weight_we_i;
    ld_tap_q <= ld_addr_i[1:0];
    ld_word_q <= ld_addr_i[2+:WA];
    ld_data_q <= ld_data_i;
  end
  assign acc_valid_o = v_q[4] && last_q[4];
  assign tag_o = tag5_q;
  wire unused = &{1'b0, ld_addr_i};  // addresses are modulo the depth

  // Operands of the multipliers: 9 bits of activation, 8 bits of weight
  wire [16*3*9-1:0] a_flat;
  wire [16*3*17-1:0] p_flat;
  for (genvar k = 0; k < 3; k++) begin : g_tap
    (* ram_style = "block" *) logic [127:0] mem[0:WEIGHT_DEPTH-1];
    logic [127:0] row_q, w_q;
    always_ff @(posedge clk_i) begin
      if (ld_we_q && ld_tap_q == 2'(k)) mem[ld_word_q] <= ld_data_q;
      row_q <= mem[weight_i];
      w_q <= row_q;
    end
    wire operand = k == 1 && add_q[0];
    wire is_signed = operand ? operand_signed_q : act_signed_q;
    wire [8:0] zero_point = operand ? 9'd0 : zero_point_q;
    wire [8:0] outside = max_q[0] ? 9'h100 : 9'h000;
    for (genvar l = 0; l < 16; l++) begin : g_lane
      logic signed [8:0] a_q;
      (* use_dsp = "yes" *) logic signed [16:0] p_q;
      wire [7:0] b = words_q[128*k+8*l+:8];
      wire signed [7:0] w = $signed(w_q[8*l+:8]);
      always_ff @(posedge clk_i) begin
        a_q <= $signed(mask_q[k] ? {is_signed && b[7], b} - zero_point : outside);
        p_q <= a_q * w;
      end
      assign a_flat[9*(3*l+k)+:9] = a_q;
      assign p_flat[17*(3*l+k)+:17] = p_q;
    end
  end

  for (genvar l = 0; l < 16; l++) begin : g_sum
    // m, n: MAX, the greater of the first two taps, and the third; ADD, the two words.
    logic signed [8:0] m_q, n_q, second_q, second2_q;
    logic signed [25:0] sum_q;
    logic signed [26:0] acc_q;
    wire signed [8:0] a0 = $signed(a_flat[27*l+:9]);
    wire signed [8:0] a1 = $signed(a_flat[27*l+9+:9]);
    wire signed [8:0] a2 = $signed(a_flat[27*l+18+:9]);
    wire signed [16:0] p0 = $signed(p_flat[51*l+:17]);
    wire signed [16:0] p1 = $signed(p_flat[51*l+17+:17]);
    wire signed [16:0] p2 = $signed(p_flat[51*l+34+:17]);
    wire signed [18:0] three = 19'(p0) + 19'(p1) + 19'(p2);
    always_ff @(posedge clk_i) begin
      // 3
      m_q <= max_q[1] && a1 > a0 ? a1 : a0;
      n_q <= max_q[1] ? a2 : a1;
      // 4
      if (max_q[2]) sum_q <= n_q > m_q ? 26'(n_q) : 26'(m_q);
      else if (add_q[2]) sum_q <= 26'(m_q);
      else sum_q <= scale_q[2] ? {three, 7'd0} : 26'(three);
      second_q <= n_q;
      // 5
      if (v_q[3]) begin
        if (first_q[3]) acc_q <= 27'(sum_q);
        else if (!max_q[3]) acc_q <= acc_q + 27'(sum_q);
        else if ($signed(sum_q[8:0]) > $signed(acc_q[8:0])) acc_q <= 27'(sum_q);
      end
      second2_q <= second_q;
    end
    assign acc_o[27*l+:27] = acc_q;
    assign second_o[9*l+:9] = second2_q;
  end

`ifndef SYNTHESIS
  initial if (WEIGHT_DEPTH < 2 || WEIGHT_DEPTH > 4096 || (WEIGHT_DEPTH & (WEIGHT_DEPTH - 1)) != 0)
    $error("%m: WEIGHT_DEPTH must be a power of two up to 4096");
`endif
endmodule

`default_nettype wire
