// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Walker of the depthwise unit: one triple of taps a cycle in the order of docs/engine.md 2.4, as running sums (no
// multiplications). It takes the next plane in the cycle of the last triple of the one before. For the deformable modes
// a second, smaller walker runs ahead over the pixels of the command and asks for their offset words (up to OFS_DEPTH
// pixels), and the walker waits for them.
//
// Everything that belongs to a triple leaves in the cycle of step_o, the sizes, pitches and bases of its plane as well.
// It steps only while space_i (and, for the first triple of a window, window_space_i). Whether a counter is at its end
// is a registered bit that is computed one step ahead, so that the end of a plane is one gate.
// Legal parameters: OFS_DEPTH a power of two up to 64. OW, OH, KH, KT, PLANES of 0 are not allowed.
`default_nettype none
`include "bw_isa.svh"

module bw_dw_walk #(
    parameter int ADDR_W = 15,
    parameter int WEIGHT_W = 9,
    parameter int ENTRY_W = 6,
    parameter int OFS_DEPTH = 8
) (
    input wire clk_i,
    input wire rst_ni,
    // Next plane
    input wire plane_valid_i,
    output wire plane_take_o,
    input wire plane_first_i,
    input wire plane_last_i,
    input wire [15:0] in_base_i,
    input wire [15:0] out_base_i,
    input wire [15:0] operand_base_i,
    input wire [15:0] entry_i,
    input wire [15:0] out_row_i,
    input wire [511:0] cmd_i,
    input wire [1:0] slot_i,
    input wire slot_space_i,
    // Reservations
    input wire space_i,
    input wire window_space_i,
    output wire issue_o,
    output wire issue_window_o,
    output wire active_o,
    // Offset words
    output wire [1:0] ofs_push_o,
    output wire [2*ADDR_W-1:0] ofs_addr_o,
    input wire [1:0] ofs_valid_i,
    input wire [143:0] ofs_data_i,
    // Triple
    output wire step_o,
    output wire [17:0] y_o,
    output wire [17:0] x_o,
    output wire [29:0] dy_o,
    output wire [29:0] dx_o,
    output wire [2:0] mask_o,
    output wire [10:0] oy_o,
    output wire [10:0] ox_o,
    output wire add_o,
    output wire [11:0] h_o,
    output wire [11:0] w_o,
    output wire [3:0] up_o,
    output wire [31:0] pitch_o,
    output wire [31:0] base_o,
    output wire [7+WEIGHT_W+ADDR_W+ENTRY_W:0] tag_o
);
  // Command and plane being walked
  logic active_q, add_q, square_q, free_q, wide_q, operand_signed_q, two_q, last_plane_q;
  logic [3:0] lane_q, sy_q, sx_q, up_q;
  logic [4:0] dy_q, dx_q, step_x_q;
  logic [10:0] oh_q, ow_q;
  logic [7:0] kh_q, kt_q, kw_q;
  logic oh_is1_q, ow_is1_q, kh_is1_q, kt_is1_q;
  logic [11:0] h_q, w_q;
  logic [15:0] iy0_q, ix0_q, out_row_q;
  logic [31:0] pitch_q, base_q;
  logic [ENTRY_W-1:0] entry_q;
  logic [1:0] slot_q;
  // Position: window (oy, ox), its top left corner (wy, wx), row of taps (i modulo 4, yi), triple (xt, jt); left: how
  // many to go, with this one.
  logic [10:0] oy_q, ox_q;
  logic signed [17:0] wy_q, wx_q, yi_q, xt_q;
  logic [1:0] i_q;
  logic [7:0] i_left_q, t_left_q;
  logic [10:0] x_left_q, y_left_q;
  logic t_last_q, i_last_q, x_last_q, y_last_q, window_first_q;
  logic [9:0] jt_q;
  logic [WEIGHT_W-1:0] weight_q, weight0_q;
  logic [ADDR_W-1:0] out_q, out_start_q;

  wire window_last = t_last_q && i_last_q;
  wire plane_end = window_last && x_last_q && y_last_q;
  wire px_valid;
  wire issue = active_q && space_i && (window_space_i || !window_first_q) && (px_valid || !(square_q || free_q));

  assign issue_o = issue;
  assign issue_window_o = issue && window_first_q;
  assign active_o = active_q;
  // The slot of a command is taken with its first plane.
  assign plane_take_o = plane_valid_i && (!active_q || (issue && plane_end)) && (slot_space_i || !plane_first_i);

  wire [WEIGHT_W-1:0] weight_next = weight_q + WEIGHT_W'(issue);
  wire [WEIGHT_W-1:0] weight_load = plane_first_i ? cmd_i[288+:WEIGHT_W] : weight_next;
  wire signed [17:0] iy0 = {{2{iy0_q[15]}}, iy0_q};
  wire signed [17:0] ix0 = {{2{ix0_q[15]}}, ix0_q};
  wire signed [17:0] wx_next = x_last_q ? ix0 : wx_q + $signed({14'd0, sx_q});
  wire signed [17:0] wy_next = !x_last_q ? wy_q : y_last_q ? iy0 : wy_q + $signed({14'd0, sy_q});
  wire [ADDR_W-1:0] out_row_next = out_start_q + out_row_q[ADDR_W-1:0];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) active_q <= 1'b0;
    else if (plane_take_o) active_q <= 1'b1;
    else if (issue && plane_end) active_q <= 1'b0;

    if (issue) begin
      weight_q <= window_last ? weight0_q : weight_next;
      window_first_q <= window_last;
      t_left_q <= t_last_q ? kt_q : t_left_q - 8'd1;
      t_last_q <= t_last_q ? kt_is1_q : t_left_q == 8'd2;
      jt_q <= t_last_q || wide_q ? 10'd0 : jt_q + 10'd3;
      if (t_last_q) begin
        i_q <= i_last_q ? 2'd0 : i_q + 2'd1;
        i_left_q <= i_last_q ? kh_q : i_left_q - 8'd1;
        i_last_q <= i_last_q ? kh_is1_q : i_left_q == 8'd2;
      end
      if (!t_last_q) xt_q <= wide_q ? xt_q : xt_q + $signed({12'd0, dx_q, 1'b0}) + $signed({13'd0, dx_q});
      else xt_q <= i_last_q ? wx_next : wx_q;
      if (t_last_q) yi_q <= i_last_q ? wy_next : yi_q + $signed({13'd0, dy_q});
      if (window_last) begin
        wx_q <= wx_next;
        wy_q <= wy_next;
        ox_q <= x_last_q ? 11'd0 : ox_q + 11'd1;
        x_left_q <= x_last_q ? ow_q : x_left_q - 11'd1;
        x_last_q <= x_last_q ? ow_is1_q : x_left_q == 11'd2;
        out_q <= x_last_q ? out_row_next : out_q + ADDR_W'(step_x_q);
        if (x_last_q) begin
          oy_q <= oy_q + 11'd1;
          y_left_q <= y_left_q - 11'd1;
          y_last_q <= y_left_q == 11'd2;
          out_start_q <= out_row_next;
        end
      end
      if (plane_end) weight_q <= weight_next;
    end

    if (plane_take_o) begin
      last_plane_q <= plane_last_i;
      add_q <= cmd_i[`BW_DW_MODE] == `BW_DW_ADD;
      square_q <= cmd_i[`BW_DW_MODE] == `BW_DW_DEFORM_SQUARE;
      free_q <= cmd_i[`BW_DW_MODE] == `BW_DW_DEFORM_FREE;
      wide_q <= cmd_i[`BW_DW_WIDE];
      operand_signed_q <= cmd_i[`BW_DW_OPERAND_SIGNED];
      lane_q <= cmd_i[`BW_DW_OFFSET_LANE];
      sy_q <= cmd_i[`BW_C_STRIDE_Y];
      sx_q <= cmd_i[`BW_C_STRIDE_X];
      dy_q <= cmd_i[`BW_C_DILATION_Y];
      dx_q <= cmd_i[`BW_C_DILATION_X];
      up_q <= {cmd_i[`BW_C_UP_Y], cmd_i[`BW_C_UP_X]};
      oh_q <= cmd_i[`BW_C_OH];
      ow_q <= cmd_i[`BW_C_OW];
      kh_q <= cmd_i[`BW_DW_KH];
      kt_q <= cmd_i[`BW_DW_KT];
      oh_is1_q <= cmd_i[`BW_C_OH] == 11'd1;
      ow_is1_q <= cmd_i[`BW_C_OW] == 11'd1;
      kh_is1_q <= cmd_i[`BW_DW_KH] == 8'd1;
      kt_is1_q <= cmd_i[`BW_DW_KT] == 8'd1;
      y_left_q <= cmd_i[`BW_C_OH];
      x_left_q <= cmd_i[`BW_C_OW];
      i_left_q <= cmd_i[`BW_DW_KH];
      t_left_q <= cmd_i[`BW_DW_KT];
      y_last_q <= cmd_i[`BW_C_OH] == 11'd1;
      x_last_q <= cmd_i[`BW_C_OW] == 11'd1;
      i_last_q <= cmd_i[`BW_DW_KH] == 8'd1;
      t_last_q <= cmd_i[`BW_DW_KT] == 8'd1;
      window_first_q <= 1'b1;
      kw_q <= cmd_i[`BW_DW_KW];
      h_q <= cmd_i[`BW_C_H];
      w_q <= cmd_i[`BW_C_W];
      iy0_q <= cmd_i[`BW_C_IY0];
      ix0_q <= cmd_i[`BW_C_IX0];
      pitch_q <= {cmd_i[`BW_DW_OPERAND_PITCH], cmd_i[`BW_C_IN_PITCH]};
      step_x_q <= cmd_i[`BW_DW_OUT_STEP_X];
      out_row_q <= out_row_i;
      base_q <= {operand_base_i, in_base_i};
      entry_q <= entry_i[ENTRY_W-1:0];
      if (plane_first_i) slot_q <= slot_i;
      oy_q <= '0;
      ox_q <= '0;
      i_q <= '0;
      jt_q <= '0;
      wy_q <= {{2{cmd_i[207]}}, cmd_i[`BW_C_IY0]};
      yi_q <= {{2{cmd_i[207]}}, cmd_i[`BW_C_IY0]};
      wx_q <= {{2{cmd_i[223]}}, cmd_i[`BW_C_IX0]};
      xt_q <= {{2{cmd_i[223]}}, cmd_i[`BW_C_IX0]};
      weight_q <= weight_load;
      weight0_q <= weight_load;
      out_q <= out_base_i[ADDR_W-1:0];
      out_start_q <= out_base_i[ADDR_W-1:0];
    end
  end

  // Offsets: walker ahead over all pixels of all planes of the command
  logic ahead_q;
  logic [7:0] ap_q;
  logic [10:0] ay_left_q, ax_left_q;
  logic ax_last_q, ay_last_q;
  logic [ADDR_W-1:0] o0_q, o1_q, orow_q, ofs_base0_q, ofs_base1_q;
  logic [$clog2(OFS_DEPTH):0] ahead_count_q;
  wire px_load;
  wire ahead = ahead_q && !ahead_count_q[$clog2(OFS_DEPTH)];
  wire [ADDR_W-1:0] orow_next = ay_last_q ? '0 : orow_q + pitch_q[16+:ADDR_W];
  wire deform = cmd_i[`BW_DW_MODE] == `BW_DW_DEFORM_SQUARE || cmd_i[`BW_DW_MODE] == `BW_DW_DEFORM_FREE;
  assign ofs_push_o = {ahead && two_q, ahead};
  assign ofs_addr_o = {o1_q, o0_q};

  always_ff @(posedge clk_i) begin
    if (ahead) begin
      o0_q <= ax_last_q ? ofs_base0_q + orow_next : o0_q + 1'b1;
      o1_q <= ax_last_q ? ofs_base1_q + orow_next : o1_q + 1'b1;
      ax_left_q <= ax_last_q ? ow_q : ax_left_q - 11'd1;
      ax_last_q <= ax_last_q ? ow_is1_q : ax_left_q == 11'd2;
      if (ax_last_q) begin
        orow_q <= orow_next;
        ay_left_q <= ay_last_q ? oh_q : ay_left_q - 11'd1;
        ay_last_q <= ay_last_q ? oh_is1_q : ay_left_q == 11'd2;
        if (ay_last_q) ap_q <= ap_q - 8'd1;
      end
    end
    if (plane_take_o && plane_first_i) begin
      ofs_base0_q <= cmd_i[480+:ADDR_W];
      ofs_base1_q <= cmd_i[448+:ADDR_W];
      o0_q <= cmd_i[480+:ADDR_W];
      o1_q <= cmd_i[448+:ADDR_W];
      orow_q <= '0;
      ax_left_q <= cmd_i[`BW_C_OW];
      ay_left_q <= cmd_i[`BW_C_OH];
      ax_last_q <= cmd_i[`BW_C_OW] == 11'd1;
      ay_last_q <= cmd_i[`BW_C_OH] == 11'd1;
      ap_q <= cmd_i[`BW_C_PLANES] - 8'd1;
      two_q <= cmd_i[`BW_DW_MODE] == `BW_DW_DEFORM_FREE;
    end
    if (!rst_ni) begin
      ahead_q <= 1'b0;
      ahead_count_q <= '0;
    end else begin
      if (plane_take_o && plane_first_i) ahead_q <= deform;
      else if (ahead && ax_last_q && ay_last_q && ap_q == 0) ahead_q <= 1'b0;
      if (ahead && !px_load) ahead_count_q <= ahead_count_q + 1'b1;
      if (!ahead && px_load) ahead_count_q <= ahead_count_q - 1'b1;
    end
  end

  // Offsets that came back, and those of the pixel being walked
  wire f0_valid, f1_valid;
  wire [127:0] f0_data;
  wire [15:0] f1_data;
  logic px_valid_q;
  logic [8:0] square_d_q;
  logic [143:0] free_d_q;
  wire [7:0] lane_byte = f0_data[{lane_q, 3'd0}+:8];
  assign px_valid = px_valid_q;
  assign px_load = f0_valid && (f1_valid || !free_q) && (!px_valid_q || (issue && window_last));

  bw_dw_fifo #(
      .W(128),
      .DEPTH(OFS_DEPTH)
  ) u_ofs0 (
      .clk_i,
      .rst_ni,
      .push_i(ofs_valid_i[0]),
      .data_i(ofs_data_i[127:0]),
      .valid_o(f0_valid),
      .data_o(f0_data),
      .pop_i(px_load)
  );
  bw_dw_fifo #(
      .W(16),
      .DEPTH(OFS_DEPTH)
  ) u_ofs1 (
      .clk_i,
      .rst_ni,
      .push_i(ofs_valid_i[1]),
      .data_i(ofs_data_i[143:128]),
      .valid_o(f1_valid),
      .data_o(f1_data),
      .pop_i(px_load && free_q)
  );

  always_ff @(posedge clk_i) begin
    if (px_load) begin
      square_d_q <= {operand_signed_q && lane_byte[7], lane_byte};
      free_d_q <= {f1_data, f0_data};
    end
    if (!rst_ni) px_valid_q <= 1'b0;
    else if (px_load) px_valid_q <= 1'b1;
    else if (issue && window_last) px_valid_q <= 1'b0;
  end

  // Registers of the triple
  logic step_q, s_add_q;
  logic [17:0] s_y_q, s_x_q;
  logic [29:0] s_dy_q, s_dx_q;
  logic [2:0] s_mask_q;
  logic [10:0] s_oy_q, s_ox_q;
  logic [11:0] s_h_q, s_w_q;
  logic [3:0] s_up_q;
  logic [31:0] s_pitch_q, s_base_q;
  logic [7+WEIGHT_W+ADDR_W+ENTRY_W:0] s_tag_q;
  wire [47:0] row_d = i_q == 0 ? free_d_q[47:0] : i_q == 1 ? free_d_q[95:48] : free_d_q[143:96];
  wire [8:0] minus_d = 9'd0 - square_d_q;
  wire [26:0] oy_d, ox_d;
  for (genvar k = 0; k < 3; k++) begin : g_tap
    wire [8:0] sq_y = i_q == 0 ? minus_d : i_q == 1 ? 9'd0 : square_d_q;
    wire [8:0] sq_x = k == 0 ? minus_d : k == 1 ? 9'd0 : square_d_q;
    assign oy_d[9*k+:9] = square_q ? sq_y : free_q ? {row_d[16*k+7], row_d[16*k+:8]} : 9'd0;
    assign ox_d[9*k+:9] = square_q ? sq_x : free_q ? {row_d[16*k+15], row_d[16*k+8+:8]} : 9'd0;
    wire inside_kernel = jt_q + 10'(k) < {2'd0, kw_q};
    always_ff @(posedge clk_i) begin
      s_dy_q[10*k+:10] <= {oy_d[9*k+8], oy_d[9*k+:9]};
      s_dx_q[10*k+:10] <= {ox_d[9*k+8], ox_d[9*k+:9]} + (k == 0 ? 10'd0 : k == 1 ? {5'd0, dx_q} : {4'd0, dx_q, 1'b0});
      // The second tap of an addition is the operand.
      s_mask_q[k] <= add_q ? k != 2 : inside_kernel;
    end
  end
  always_ff @(posedge clk_i) begin
    step_q <= rst_ni && issue;
    s_y_q <= yi_q;
    s_x_q <= xt_q;
    s_oy_q <= oy_q;
    s_ox_q <= ox_q;
    s_add_q <= add_q;
    s_h_q <= h_q;
    s_w_q <= w_q;
    s_up_q <= up_q;
    s_pitch_q <= pitch_q;
    s_base_q <= base_q;
    s_tag_q <= {wide_q && !t_last_q, plane_end, add_q, slot_q, plane_end && last_plane_q, window_first_q, window_last, weight_q, out_q, entry_q};
  end

  // The upper bits of addresses and entries wrap around; the plan keeps the whole command.
  wire unused = &{1'b0, cmd_i, out_base_i, entry_i, out_row_q};

  assign step_o = step_q;
  assign y_o = s_y_q;
  assign x_o = s_x_q;
  assign dy_o = s_dy_q;
  assign dx_o = s_dx_q;
  assign mask_o = s_mask_q;
  assign oy_o = s_oy_q;
  assign ox_o = s_ox_q;
  assign add_o = s_add_q;
  assign h_o = s_h_q;
  assign w_o = s_w_q;
  assign up_o = s_up_q;
  assign pitch_o = s_pitch_q;
  assign base_o = s_base_q;
  assign tag_o = s_tag_q;

endmodule

`default_nettype wire
