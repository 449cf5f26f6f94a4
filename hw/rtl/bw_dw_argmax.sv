// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Label of the greatest channel of every pixel (ARGMAX, docs/engine.md 2.4): a tree over the 8 lanes of a beat, then
// the two beats of a word and the words of the pixel so far, which a memory keeps. Of equal keys the lower label wins.
//
// Throughput: what bw_dw_out feeds it, a word in 2 cycles. key_i comes 2 cycles before the control of its beat; label_o
// belongs to the beat with half_i that came 3 cycles before. Words of one command come plane by plane; the pixels of
// a plane are counted from the first, modulo DEPTH, the planes modulo 16. What the beats of other commands leave
// behind is never read: the first plane of a command starts anew.
// Legal parameters: DEPTH a power of two.
`default_nettype none

module bw_dw_argmax #(
    parameter int DEPTH = 1024
) (
    input wire clk_i,
    input wire rst_ni,
    input wire [8*27-1:0] key_i,  // signed
    input wire valid_i,
    input wire half_i,
    input wire plane_last_i,  // of the last word of a plane
    input wire cmd_last_i,
    output wire [7:0] label_o
);
  localparam int AW = $clog2(DEPTH);

  // Tree: 4 candidates, 2, 1, with the lane of each. Control arrives with the second row of registers.
  logic [26:0] k4_q[0:3];
  logic [3:0] l4_q;
  logic [26:0] k2_q[0:1], k1_q, key_q;
  logic [1:0] l2_q[0:1];
  logic [2:0] l1_q, lane_q;
  for (genvar g = 0; g < 4; g++) begin : g_four
    wire signed [26:0] a = $signed(key_i[54*g+:27]);
    wire signed [26:0] b = $signed(key_i[54*g+27+:27]);
    wire second = b > a;
    always_ff @(posedge clk_i) begin
      k4_q[g] <= second ? b : a;
      l4_q[g] <= second;
    end
  end
  for (genvar g = 0; g < 2; g++) begin : g_two
    wire second = $signed(k4_q[2*g+1]) > $signed(k4_q[2*g]);
    always_ff @(posedge clk_i) begin
      k2_q[g] <= second ? k4_q[2*g+1] : k4_q[2*g];
      l2_q[g] <= {second, second ? l4_q[2*g+1] : l4_q[2*g]};
    end
  end
  wire upper = $signed(k2_q[1]) > $signed(k2_q[0]);
  always_ff @(posedge clk_i) begin
    k1_q <= upper ? k2_q[1] : k2_q[0];
    l1_q <= {upper, upper ? l2_q[1] : l2_q[0]};
    key_q <= k1_q;
    lane_q <= l1_q;
  end

  // Where the beat belongs. Pixel and plane count with the second beat of a word.
  logic [AW-1:0] pixel_q;
  logic [3:0] plane_q;
  logic first_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      pixel_q <= '0;
      plane_q <= '0;
      first_q <= 1'b1;
    end else if (valid_i && half_i) begin
      pixel_q <= plane_last_i ? '0 : pixel_q + 1'b1;
      if (cmd_last_i) plane_q <= '0;
      else if (plane_last_i) plane_q <= plane_q + 4'd1;
      first_q <= cmd_last_i || (first_q && !plane_last_i);
    end
  end

  // Best so far. A pixel that is still on its way to the memory is taken from result_q (small images).
  logic [34:0] mem[0:DEPTH-1];
  logic [34:0] read_q, best_q, result_q, lower_q;
  logic [2:0] v_q, half_q, first2_q;
  logic [AW-1:0] p1_q, p2_q, p3_q;
  logic [3:0] plane1_q, plane2_q;
  logic hit_q, now_q;
  wire [34:0] best = now_q && p3_q == p2_q ? result_q : best_q;
  wire [34:0] old = half_q[1] ? lower_q : best;
  wire fresh = first2_q[1] && !half_q[1];
  wire [34:0] mine = {key_q, plane2_q, half_q[1], lane_q};
  wire [34:0] winner = fresh || $signed(key_q) > $signed(old[34:8]) ? mine : old;
  always_ff @(posedge clk_i) begin
    read_q <= mem[pixel_q];
    if (now_q) mem[p3_q] <= result_q;
    hit_q <= now_q && p3_q == pixel_q;
    best_q <= hit_q || (now_q && p3_q == p1_q) ? result_q : read_q;
    p1_q <= pixel_q;
    p2_q <= p1_q;
    half_q <= {half_q[1:0], half_i};
    first2_q <= {first2_q[1:0], first_q};
    plane1_q <= plane_q;
    plane2_q <= plane1_q;
    if (v_q[1]) begin
      if (half_q[1]) begin
        result_q <= winner;
        p3_q <= p2_q;
      end else begin
        lower_q <= winner;
      end
    end
    v_q   <= rst_ni ? {v_q[1:0], valid_i} : 3'd0;
    now_q <= rst_ni && v_q[1] && half_q[1];
  end
  assign label_o = result_q[7:0];
  wire unused = &{1'b0, v_q[2], half_q[2], first2_q[2]};

`ifndef SYNTHESIS
  initial if (DEPTH < 2 || (DEPTH & (DEPTH - 1)) != 0) $error("%m: DEPTH must be a power of two, got %0d", DEPTH);
`endif
endmodule

`default_nettype wire
