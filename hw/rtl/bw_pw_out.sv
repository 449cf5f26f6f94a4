// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0

// Output side of the pointwise unit (docs/engine.md 2.3): serializer, requantizer, words, output queue, write port.
//
// The sums of a sub-pass are copied to a holding register when done_i is high and leave it in beats of RL =
// min(PAIRS, 16) lanes, one a cycle; the address generator sees to it that the register is free (done_i at least as
// many cycles apart as there are beats) and that the queue has room for every word (freed_o returns the room of
// one). Nothing here ever stalls the array. The address of a word is made beside the requantizer, in the same number
// of cycles. SUM (SUMS: it counts): the requantizer adds the products of both beats of a sub-pass.
//
// From done_i to the first write request: 11 cycles, one more for each further beat of the first word. finished_o:
// one pulse an instruction, 4 cycles after the grant of its last word. At most five instructions are between command
// and last result.
//
// Legal: as bw_pw. OUT_DEPTH a power of two.
`default_nettype none
`include "bw_isa.svh"

module bw_pw_out #(
    parameter int PAIRS = 16,
    parameter int CONST_DEPTH = 64,
    parameter int TABLE_DEPTH = 1024,
    parameter int ADDR_W = 15,
    parameter int OUT_DEPTH = 64,
    parameter int X_BITS = 27,
    parameter int SUMS = 0
) (
    input  wire                     clk_i,
    input  wire                     rst_ni,
    input  wire                     take_i,  // an instruction begins
    output logic                    ready_o,  // another one can
    /* verilator lint_off UNUSEDSIGNAL */  // fields of the input side and of the dispatcher; addresses modulo the depth
    input  wire  [511:0]            cmd_i,
    input  wire  [15:0]             ld_addr_i,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire                     ld_const_we_i,
    input  wire                     ld_table_we_i,
    input  wire  [127:0]            ld_data_i,
    input  wire                     done_i,
    input  wire  [2*PAIRS*27-1:0]   acc_i,
    output logic                    freed_o,
    output logic                    wr_req_o,
    output logic [ADDR_W-1:0]       wr_addr_o,
    output logic [127:0]            wr_data_o,
    input  wire                     wr_gnt_i,
    output logic                    finished_o
);
  localparam int RL = (PAIRS > 16) ? 16 : PAIRS;
  localparam int BEATS4 = 2 * PAIRS / RL;
  localparam int BEATS8 = PAIRS / RL;
  localparam int REQUANT = 8;  // latency of bw_requant
  localparam int TABLE_W = $clog2(TABLE_DEPTH);
  localparam int CONST_W = $clog2(CONST_DEPTH);
  localparam int QUEUE_W = $clog2(OUT_DEPTH);
  localparam int PARTS = 16 / RL;  // beats of a word

  // ---- parameters of instructions: four waiting, one current
  localparam int PAR_W = 11 + 11 + 8 + 1 + 1 + 2 + 1 + 1 + 10 + 10 + CONST_W + TABLE_W + 2 * ADDR_W;
  (* ram_style = "distributed" *) logic [PAR_W-1:0] par[0:3];
  logic [2:0] par_wr_q, par_rd_q;
  logic [2:0] par_used;
  logic have_q, next, pass_end, row_end, all_end;

  logic [10:0] oh_q, ow_q;
  logic [7:0] subs_q;
  logic w8_q, sum_q, half_even_q, wrap_q;
  logic [1:0] shift_q;
  logic [9:0] lo_q, hi_q;
  logic [CONST_W-1:0] const_q;
  logic [TABLE_W-1:0] table_q;
  logic [ADDR_W-1:0] offset_q, pitch_q;

  assign par_used = par_wr_q - par_rd_q;
  assign ready_o = !par_used[2];
  assign next = par_used != 3'd0 && (!have_q || all_end);

  always_ff @(posedge clk_i) begin
    if (take_i) begin
      par[par_wr_q[1:0]] <= {
        cmd_i[`BW_C_OH], cmd_i[`BW_C_OW], cmd_i[`BW_PW_SUBS], cmd_i[`BW_PW_W8],
        SUMS != 0 && cmd_i[`BW_PW_SUM], cmd_i[`BW_C_SHIFT], cmd_i[`BW_C_HALF_EVEN], cmd_i[`BW_C_WRAP],
        cmd_i[`BW_C_LO], cmd_i[`BW_C_HI], CONST_W'(cmd_i[`BW_C_CONST_BASE]),
        TABLE_W'(cmd_i[`BW_C_OUT_TABLE]), ADDR_W'(cmd_i[`BW_C_OUT_OFFSET]), ADDR_W'(cmd_i[`BW_C_OUT_PITCH])};
    end
    if (next) begin
      {oh_q, ow_q, subs_q, w8_q, sum_q, shift_q, half_even_q, wrap_q, lo_q, hi_q, const_q, table_q, offset_q, pitch_q} <=
          par[par_rd_q[1:0]];
    end
    if (!rst_ni) begin
      par_wr_q <= '0;
      par_rd_q <= '0;
      have_q <= 1'b0;
    end else begin
      par_wr_q <= par_wr_q + 3'(take_i);
      par_rd_q <= par_rd_q + 3'(next);
      have_q <= next || (have_q && !all_end);
    end
  end

  // ---- serializer: beats of a sub-pass, and where in the output it stands
  logic [2*PAIRS*27-1:0] hold_q;
  logic active_q, beat_last, result, pixel_end, whole;
  logic [2:0] part_q;  // of the word that this beat belongs to
  logic [1:0] beat_q;
  logic [7:0] sub_q;
  logic [10:0] ox_q, oy_q;  // from 1
  logic [CONST_W-1:0] entry_q;
  logic [TABLE_W-1:0] word_q;
  logic [ADDR_W-1:0] row_q, place_q;  // oy * OUT_PITCH; the same + ox

  assign beat_last = beat_q == (w8_q ? 2'(BEATS8 - 1) : 2'(BEATS4 - 1));
  assign pass_end = active_q && beat_last;
  assign pixel_end = pass_end && sub_q == subs_q;
  assign row_end = pixel_end && ox_q == ow_q;
  assign all_end = row_end && oy_q == oh_q;
  assign result = beat_last || !sum_q;  // of a sum the second beat, of the upper halves of the columns
  assign whole = (part_q == 3'(PARTS - 1) && result) || pixel_end;  // this beat completes a word

  always_ff @(posedge clk_i) begin
    if (done_i) hold_q <= acc_i;
    else hold_q <= {{RL*27{1'b0}}, hold_q[2*PAIRS*27-1:RL*27]};
    if (!rst_ni) begin
      active_q <= 1'b0;
      beat_q <= '0;
      part_q <= '0;
      sub_q <= 8'd1;
      ox_q <= 11'd1;
      oy_q <= 11'd1;
      entry_q <= '0;
      word_q <= '0;
      row_q <= '0;
      place_q <= '0;
    end else begin
      active_q <= done_i || (active_q && !pass_end);
      if (active_q) begin
        beat_q <= beat_last ? 2'd0 : beat_q + 2'd1;
        part_q <= whole ? 3'd0 : part_q + 3'(result);
        entry_q <= pixel_end ? '0 : entry_q + 1'b1;
        word_q <= pixel_end ? '0 : word_q + TABLE_W'(whole);
      end
      if (pass_end) sub_q <= pixel_end ? 8'd1 : sub_q + 8'd1;
      if (pixel_end) begin
        ox_q <= row_end ? 11'd1 : ox_q + 11'd1;
        place_q <= all_end ? '0 : row_end ? row_q + pitch_q : place_q + 1'b1;
      end
      if (row_end) begin
        oy_q <= all_end ? 11'd1 : oy_q + 11'd1;
        row_q <= all_end ? '0 : row_q + pitch_q;
      end
    end
  end

  // ---- requantizer
  logic out_valid, out_end, out_whole;
  logic [RL*8-1:0] out_y;

  wire [RL*27-1:0] unused_key;
  bw_requant #(
      .LANES(RL), .CONST_DEPTH(CONST_DEPTH), .TAG_W(2), .X_BITS(X_BITS)
  ) u_requant (
      .clk_i, .rst_ni,
      .ld_we_i(ld_const_we_i), .ld_addr_i, .ld_data_i,
      .valid_i(active_q), .first_i(!sum_q || beat_q == 2'd0), .last_i(result),
      .x_i(hold_q[RL*27-1:0]),
      .entry_i(const_q + entry_q),
      .shift_i(shift_q), .half_even_i(half_even_q), .wrap_i(wrap_q), .lo_i(lo_q), .hi_i(hi_q),
      .tag_i({all_end, whole}),
      .valid_o(out_valid), .y_o(out_y), .key_o(unused_key), .tag_o({out_end, out_whole})
  );

  // ---- address of the word, as long under way as its beat
  (* ram_style = "block" *) logic [127:0] mem[0:TABLE_DEPTH/8-1];
  logic ld_we_q;
  logic [TABLE_W-4:0] ld_addr_q;
  logic [127:0] ld_data_q, read_q;
  logic [TABLE_W-1:0] index_q;
  logic [2:0] pick_q;
  logic [ADDR_W-1:0] place1_q, place2_q, place3_q, offset1_q;
  logic [(REQUANT-3)*ADDR_W-1:0] addr_q;
  logic [15:0] plane_q;  // 0xFFFF: the word is padding of the last sub-pass and is not written
  logic [REQUANT-4:0] skips_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) ld_we_q <= 1'b0;
    else ld_we_q <= ld_table_we_i;
    ld_addr_q <= ld_addr_i[TABLE_W-4:0];
    ld_data_q <= ld_data_i;
  end

  always_ff @(posedge clk_i) begin
    if (ld_we_q) mem[ld_addr_q] <= ld_data_q;
    read_q <= mem[index_q[TABLE_W-1:3]];
  end

  always_ff @(posedge clk_i) begin
    index_q <= table_q + word_q;
    place1_q <= place_q;
    offset1_q <= offset_q;
    pick_q <= index_q[2:0];
    place2_q <= place1_q + offset1_q;
    plane_q <= read_q[{pick_q, 4'd0}+:16];
    place3_q <= place2_q;
    addr_q <= {addr_q[(REQUANT-4)*ADDR_W-1:0], ADDR_W'(plane_q) + place3_q};
    skips_q <= {skips_q[REQUANT-5:0], &plane_q};
  end

  // ---- words and the output queue; its room was reserved when the sub-pass began
  (* ram_style = "distributed" *) logic [ADDR_W+129:0] queue[0:OUT_DEPTH-1];
  logic [ADDR_W+129:0] head;
  logic [127:0] word;
  logic [QUEUE_W:0] wr_q, rd_q;
  logic push, pop, end_q, dropped_q;
  logic [3:0] finish_q;

  if (RL < 16) begin : g_join
    logic [(PARTS-1)*RL*8-1:0] early_q;  // the parts of the word that came before, zero where none has
    logic [PARTS-1:0] now_q;  // which part the next beat is
    always_ff @(posedge clk_i) begin
      if (!rst_ni) now_q <= PARTS'(1);
      else if (out_valid) now_q <= out_whole ? PARTS'(1) : now_q << 1;
    end
    for (genvar k = 0; k < PARTS; k++) begin : g_part
      if (k < PARTS - 1) begin : g_early
        always_ff @(posedge clk_i) begin
          if (!rst_ni || (out_valid && out_whole)) early_q[RL*8*k+:RL*8] <= '0;
          else if (out_valid && now_q[k]) early_q[RL*8*k+:RL*8] <= out_y;
        end
        assign word[RL*8*k+:RL*8] = now_q[k] ? out_y : early_q[RL*8*k+:RL*8];
      end else begin : g_last
        assign word[RL*8*k+:RL*8] = now_q[k] ? out_y : '0;
      end
    end
  end else begin : g_whole
    assign word = out_y;
  end

  assign head = queue[rd_q[QUEUE_W-1:0]];
  assign push = out_valid && out_whole;
  assign pop = wr_q != rd_q && (!wr_req_o || wr_gnt_i);

  always_ff @(posedge clk_i) begin
    if (push) queue[wr_q[QUEUE_W-1:0]] <= {skips_q[REQUANT-4], out_end, addr_q[(REQUANT-4)*ADDR_W+:ADDR_W], word};
    if (pop) {end_q, wr_addr_o, wr_data_o} <= head[ADDR_W+128:0];
    if (!rst_ni) begin
      wr_q <= '0;
      rd_q <= '0;
      wr_req_o <= 1'b0;
      freed_o <= 1'b0;
      dropped_q <= 1'b0;
      finish_q <= '0;
    end else begin
      wr_q <= wr_q + (QUEUE_W+1)'(push);
      rd_q <= rd_q + (QUEUE_W+1)'(pop);
      wr_req_o <= pop ? !head[ADDR_W+129] : wr_req_o && !wr_gnt_i;
      dropped_q <= pop && head[ADDR_W+129];
      freed_o <= pop;
      finish_q <= {finish_q[2:0], end_q && (dropped_q || (wr_req_o && wr_gnt_i))};
    end
  end
  assign finished_o = finish_q[3];

`ifdef BW_ASSERT
  wire [QUEUE_W:0] queued = wr_q - rd_q;
  a_queue :
  assert property (@(posedge clk_i) disable iff (!rst_ni) push |-> int'(queued) < OUT_DEPTH);
  a_hold :  // the sums of the sub-pass before have left
  assert property (@(posedge clk_i) disable iff (!rst_ni) done_i |-> !active_q || pass_end);
  a_command :  // results belong to an instruction
  assert property (@(posedge clk_i) disable iff (!rst_ni) active_q |-> have_q);
`endif
endmodule

`default_nettype wire
