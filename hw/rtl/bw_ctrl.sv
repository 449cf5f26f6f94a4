// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Control: fetches and checks the program, gives instructions to the queues of the four units (0 LD, 1 ST, 2 PW, 3 DW),
// starts the head of a queue when its waits are met, counts what is finished, and ends a run: END, error, soft reset.
//
// Fetch keeps up to 16 instructions in a buffer and asks for more as soon as a burst of them has room, so that the
// latency of DRAM is seen at the start only. An instruction leaves the buffer every 5 cycles; a unit gets a command 3
// cycles after the one before was taken, 2 cycles after its waits are met.
//
// A run ends in DRAIN: nothing new is announced on the bus and what is in flight is completed. FLUSH (16 cycles, longer
// than any read of the activation memory) clears the units; it comes before every run and with every soft reset.
// After an error only the units' control is stale, not the bus; a start meanwhile is kept until DRAIN is over.
// DW: 0 where the build has no depthwise unit; its instructions and loads for it are bad instructions there, and sums
// on the array where it has one. SMALL: 1: 4 instructions in the buffer; in front of a unit one and no queue.
`default_nettype none
`include "bw_isa.svh"
module bw_ctrl #(
    parameter logic [31:0] CONFIG_HASH = 32'd0,
    parameter int          MAX_BURST   = 16,
    parameter int          DW          = 1,
    parameter int          SMALL       = 0
) (
    input  wire              clk_i,
    input  wire              rst_ni,
    // Registers.
    input  wire              start_i,
    input  wire              reset_i,
    input  wire              clear_done_i,
    input  wire  [31:0]      watchdog_i,
    input  wire  [27:0]      base_i,  // of the program: bits 39-12
    input  wire  [31:0]      size_i,
    output logic             busy_o,
    output logic             done_o,
    output logic             error_o,
    output logic [31:0]      error_code_o,
    output logic             count_clear_o,
    // Units and buses.
    output logic             stop_o,
    output logic             flush_o,
    input  wire              bus_idle_i,
    input  wire              progress_i,
    output logic [3:0]       cmd_valid_o,
    input  wire  [3:0]       cmd_ready_i,
    output logic [4*512-1:0] cmd_o,
    output logic [4*16-1:0]  cmd_tag_o,
    input  wire  [3:0]       done_i,
    // Fetch.
    output logic             f_valid_o,
    input  wire              f_ready_i,
    output logic [39:0]      f_addr_o,
    output logic [7:0]       f_len_o,
    input  wire              f_valid_i,
    input  wire  [127:0]     f_data_i,
    input  wire              f_err_i,
    // Errors: pulses with the number of the instruction where the unit knows it.
    input  wire              ld_region_i,
    input  wire  [15:0]      ld_region_tag_i,
    input  wire              ld_resp_i,
    input  wire              ld_range_i,
    input  wire  [15:0]      ld_data_tag_i,
    input  wire              st_region_i,
    input  wire  [15:0]      st_region_tag_i,
    input  wire              st_resp_i,
    input  wire  [15:0]      st_resp_tag_i,
    input  wire              st_range_i,
    input  wire  [15:0]      st_range_tag_i,
    input  wire  [3:0]       am_range_i  // an access of this unit left the activation memory
);
  localparam logic [2:0] IDLE = 3'd0, FLUSH = 3'd1, HEADER = 3'd2, RUN = 3'd3, DRAIN = 3'd4;
  localparam int FETCH = MAX_BURST < 16 ? MAX_BURST : 16;  // beats of a fetch burst
  localparam int ROOM = SMALL != 0 ? 16 : 64;              // beats of the instruction buffer

  logic [2:0] state_q;
  logic [3:0] flush_q;
  logic       start_q, reset_q, ending_q, done_q, error_q;
  logic [3:0] code_q, unit_q;
  logic [15:0] number_q;
  logic       running, failed, fail_q;
  logic [3:0] fail_code_q, fail_unit_q;
  logic [15:0] fail_number_q;
  logic       end_met_q, units_idle;

  assign running       = state_q == HEADER || state_q == RUN;
  assign busy_o        = state_q != IDLE || start_q;
  assign stop_o        = !running;  // also while idle and in a flush: what the burst cutters still hold must not go out
  assign flush_o       = state_q == FLUSH;
  assign done_o        = done_q;
  assign error_o       = error_q;
  assign error_code_o  = {number_q, 4'b0, unit_q, 4'b0, code_q};
  assign count_clear_o = state_q == FLUSH && start_q;

  // ---- Fetch: position in beats; a burst is planned in four short steps.
  logic [33:0] pos_q, total_q;
  logic [6:0]  room_q;
  logic [2:0]  plan_q;  // step of the plan of the next burst; in step 4 it is offered
  logic [33:0] plan_rest_q, plan_end_q;
  logic [5:0]  plan_room, plan_len_q;
  logic        plan_lost_q, f_region_q, f_take;
  logic [6:0]  taken_q;  // beats of the burst announced in the cycle before; the next one is four cycles away
  assign plan_room = 6'(FETCH) - (6'(pos_q[4:0]) & 6'(FETCH - 1));
  assign f_take    = f_valid_o && f_ready_i;
  assign f_valid_o = running && plan_q == 3'd4 && !plan_lost_q && room_q >= 7'(FETCH);
  assign f_addr_o  = {base_i + {2'b0, pos_q[33:8]}, pos_q[7:0], 4'b0};
  assign f_len_o   = {2'b0, plan_len_q - 6'd1};

  // ---- Instruction buffer and the instruction in front of it.
  logic         b_valid, b_pop;
  logic [127:0] b_data;
  logic [511:0] inst_q;
  logic [2:0]   inst_beats_q;
  logic         inst_whole, inst_leave;
  logic [31:0]  left_q;
  logic [15:0]  inst_number_q, fetch_number_q;
  logic [1:0]   fetch_beat_q;
  logic         fetch_header_q;
  logic         header_seen, header_version, header_good, known, bad, to_end;
  logic [3:0]   opcode, target, queue_full, queue_push;
  /* verilator lint_off PINCONNECTEMPTY */
  bw_fifo #(.W(128), .D(ROOM)) u_buffer (
      .clk_i, .rst_ni, .clr_i(flush_o), .push_i(f_valid_i), .data_i(f_data_i), .full_o(),
      .pop_i(b_pop), .data_o(b_data), .valid_o(b_valid)
  );
  /* verilator lint_on PINCONNECTEMPTY */
  assign inst_whole = inst_beats_q == 3'd4;
  assign b_pop      = running && b_valid && !inst_whole;

  always_ff @(posedge clk_i) begin
    f_region_q  <= running && plan_q == 3'd4 && plan_lost_q;
    plan_rest_q <= total_q - pos_q;
    plan_len_q  <= plan_rest_q < {28'b0, plan_room} ? plan_rest_q[5:0] : plan_room;
    plan_end_q  <= pos_q + {28'b0, plan_len_q};
    plan_lost_q <= plan_end_q > {2'b0, size_i};
    if (b_pop) inst_q <= {b_data, inst_q[511:128]};
    if (!rst_ni || flush_o) begin
      pos_q          <= 34'd0;
      total_q        <= 34'd4;
      room_q         <= 7'(ROOM);
      taken_q        <= 7'd0;
      plan_q         <= 3'd0;
      f_region_q     <= 1'b0;
      inst_beats_q   <= 3'd0;
      fetch_beat_q   <= 2'd0;
      fetch_number_q <= 16'd0;
      fetch_header_q <= 1'b1;
    end else begin
      taken_q <= f_take ? {1'b0, plan_len_q} : 7'd0;
      room_q  <= room_q - taken_q + 7'(b_pop);
      if (f_take) pos_q <= pos_q + {28'b0, plan_len_q};
      if (f_take || pos_q == total_q) plan_q <= 3'd0;
      else if (plan_q != 3'd4) plan_q <= plan_q + 3'd1;
      if (b_pop) inst_beats_q <= inst_beats_q + 3'd1;
      else if (inst_leave) inst_beats_q <= 3'd0;
      if (f_valid_i) begin
        fetch_beat_q <= fetch_beat_q + 2'd1;
        if (fetch_beat_q == 2'd3) begin
          fetch_header_q <= 1'b0;
          if (!fetch_header_q) fetch_number_q <= fetch_number_q + 16'd1;
        end
      end
      if (state_q == HEADER && header_good) total_q <= {inst_q[127:96], 2'b00} + 34'd4;
    end
  end

  // ---- Decode.
  assign header_seen    = state_q == HEADER && inst_whole;
  assign header_version = inst_q[31:0] == `BW_PROGRAM_MAGIC && inst_q[63:32] == `BW_ISA_VERSION;
  assign header_good    = header_seen && header_version && inst_q[95:64] == CONFIG_HASH;
  assign opcode         = inst_q[`BW_I_OPCODE];
  assign target         = {DW != 0 && opcode == `BW_OP_DW, opcode == `BW_OP_PW, opcode == `BW_OP_ST,
                           opcode == `BW_OP_LD};
  assign to_end         = opcode == `BW_OP_END;
  assign known          = inst_q[`BW_I_MARKER] == `BW_MARKER && (target != 4'b0 || to_end) &&
                          !(opcode == `BW_OP_LD && inst_q[`BW_MV_DEST] > (DW != 0 ? 3'd6 : 3'd3)) &&
                          !(DW != 0 && opcode == `BW_OP_PW && inst_q[`BW_PW_SUM]);
  // The last instruction must be END: a program without it would wait for ever.
  assign bad        = state_q == RUN && (inst_whole ? !known : left_q == 32'd0);
  assign queue_push = (state_q == RUN && inst_whole && known) ? target & ~queue_full : 4'b0;
  assign inst_leave = header_good || queue_push != 4'b0;

  always_ff @(posedge clk_i) begin
    if (header_good) begin
      left_q        <= inst_q[127:96];
      inst_number_q <= 16'd0;
    end else if (queue_push != 4'b0) begin
      left_q        <= left_q - 32'd1;
      inst_number_q <= inst_number_q + 16'd1;
    end
  end

  // ---- Queues, waits, counters of finished instructions.
  logic [4*16-1:0] count, tag;
  logic [3:0]      waiting;   // something is in the queue or in front of it
  logic [3:0]      working;   // something is started and not finished
  logic [3:0]      started;
  assign started = cmd_valid_o & cmd_ready_i;
  genvar u;
  generate
    for (u = 0; u < 4; u = u + 1) begin : g_unit
      localparam int QW = u < 2 ? 288 : 512;  // LD and ST have no fields above
      logic           q_valid, q_pop, h_valid_q, h_go_q, tags_full, tags_valid;
      logic [QW+15:0] q_data;
      logic [QW-1:0]  h_q;
      logic [15:0]    h_tag_q, count_q;
      if (SMALL != 0) begin : g_direct  // the place in front is the only one
        assign queue_full[u] = h_valid_q;
        assign q_valid       = queue_push[u];
        assign q_data        = {inst_number_q, inst_q[QW-1:0]};
      end else begin : g_queue
        bw_fifo #(.W(QW + 16), .D(8)) u_queue (
            .clk_i, .rst_ni, .clr_i(flush_o), .push_i(queue_push[u]), .data_i({inst_number_q, inst_q[QW-1:0]}),
            .full_o(queue_full[u]), .pop_i(q_pop), .data_o(q_data), .valid_o(q_valid)
        );
      end
      // Numbers of the instructions in work, oldest first: whom to name when the unit cannot say it.
      bw_fifo #(.W(16), .D(8)) u_tags (
          .clk_i, .rst_ni, .clr_i(flush_o), .push_i(started[u]), .data_i(h_tag_q), .full_o(tags_full),
          .pop_i(done_i[u] && tags_valid), .data_o(tag[16*u+:16]), .valid_o(tags_valid)
      );
      assign q_pop = q_valid && !h_valid_q;
      always_ff @(posedge clk_i) begin
        if (q_pop) {h_tag_q, h_q} <= q_data;
        // Counters only grow: once met, a wait stays met.
        h_go_q <= h_valid_q && !started[u] && count[15:0] >= h_q[`BW_I_WAIT_LD] && count[31:16] >= h_q[`BW_I_WAIT_ST] &&
            count[47:32] >= h_q[`BW_I_WAIT_PW] && count[63:48] >= h_q[`BW_I_WAIT_DW];
        if (!rst_ni || flush_o) begin
          h_valid_q <= 1'b0;
          h_go_q    <= 1'b0;
          count_q   <= 16'd0;
        end else begin
          if (q_pop) h_valid_q <= 1'b1;
          else if (started[u]) h_valid_q <= 1'b0;
          if (done_i[u]) count_q <= count_q + 16'd1;
        end
      end
      assign count[16*u+:16]     = count_q;
      assign cmd_valid_o[u]      = state_q == RUN && h_go_q && !tags_full;
      assign cmd_o[512*u+:512]   = 512'(h_q);
      assign cmd_tag_o[16*u+:16] = h_tag_q;
      assign waiting[u]          = q_valid || h_valid_q;
      assign working[u]          = tags_valid;
`ifdef BW_ASSERT
      a_done :  // what finishes was started
      assert property (@(posedge clk_i) disable iff (!rst_ni || flush_o) done_i[u] |-> tags_valid);
      bw_check_stays #(.W(QW+16)) u_check (
          .clk_i, .rst_ni, .drop_i(state_q != RUN), .valid_i(cmd_valid_o[u]), .ready_i(cmd_ready_i[u]),
          .data_i({h_q, h_tag_q})
      );
`endif
    end
  endgenerate
  assign units_idle = waiting == 4'b0 && working == 4'b0;
  always_ff @(posedge clk_i) begin
    end_met_q <= rst_ni && state_q == RUN && inst_whole && known && to_end && units_idle &&
        count[15:0] >= inst_q[`BW_I_WAIT_LD] && count[31:16] >= inst_q[`BW_I_WAIT_ST] &&
        count[47:32] >= inst_q[`BW_I_WAIT_PW] && count[63:48] >= inst_q[`BW_I_WAIT_DW];
  end

  // ---- Watchdog.
  logic [31:0] quiet_q;
  logic        dead_q;
  always_ff @(posedge clk_i) begin
    if (!running || progress_i) quiet_q <= 32'd0;
    else quiet_q <= quiet_q + 32'd1;
    dead_q <= running && watchdog_i != 32'd0 && quiet_q >= watchdog_i;
  end

  // ---- Errors: the first one counts.
  assign failed = fail_q && running && !end_met_q;
  always_ff @(posedge clk_i) begin
    fail_q        <= 1'b1;
    fail_unit_q   <= 4'd0;
    fail_number_q <= inst_number_q;
    if (f_err_i) begin
      fail_code_q   <= 4'd5;
      fail_number_q <= fetch_number_q;
    end else if (header_seen && !header_good) begin
      fail_code_q   <= header_version ? 4'd2 : 4'd1;
      fail_number_q <= 16'd0;
    end else if (bad) begin
      fail_code_q <= 4'd3;
    end else if (f_region_q) begin
      fail_code_q   <= 4'd4;
      fail_number_q <= pos_q < 34'd4 ? 16'd0 : pos_q[17:2] - 16'd1;
    end else if (ld_region_i) begin
      {fail_code_q, fail_unit_q, fail_number_q} <= {4'd4, 4'd1, ld_region_tag_i};
    end else if (ld_resp_i || ld_range_i) begin
      {fail_code_q, fail_unit_q, fail_number_q} <= {ld_resp_i ? 4'd5 : 4'd7, 4'd1, ld_data_tag_i};
    end else if (st_region_i) begin
      {fail_code_q, fail_unit_q, fail_number_q} <= {4'd4, 4'd2, st_region_tag_i};
    end else if (st_resp_i) begin
      {fail_code_q, fail_unit_q, fail_number_q} <= {4'd6, 4'd2, st_resp_tag_i};
    end else if (st_range_i) begin
      {fail_code_q, fail_unit_q, fail_number_q} <= {4'd7, 4'd2, st_range_tag_i};
    end else if (am_range_i[0]) begin
      {fail_code_q, fail_unit_q, fail_number_q} <= {4'd7, 4'd1, tag[15:0]};
    end else if (am_range_i[1]) begin
      {fail_code_q, fail_unit_q, fail_number_q} <= {4'd7, 4'd2, tag[31:16]};
    end else if (am_range_i[2]) begin
      {fail_code_q, fail_unit_q, fail_number_q} <= {4'd7, 4'd3, tag[47:32]};
    end else if (am_range_i[3]) begin
      {fail_code_q, fail_unit_q, fail_number_q} <= {4'd7, 4'd4, tag[63:48]};
    end else if (dead_q) begin
      fail_code_q <= 4'd8;
    end else begin
      fail_q <= 1'b0;
    end
    if (!rst_ni || flush_o) fail_q <= 1'b0;
  end

  // ---- States.
  always_ff @(posedge clk_i) begin
    if (clear_done_i) done_q <= 1'b0;
    case (state_q)
      IDLE:
      if (start_q) state_q <= FLUSH;
      FLUSH:
      if (flush_q == 4'd15) begin
        state_q <= start_q ? HEADER : IDLE;
        start_q <= 1'b0;
      end
      HEADER, RUN: begin
        if (header_good) state_q <= RUN;
        if (end_met_q || failed) state_q <= DRAIN;
        ending_q <= end_met_q;
        if (failed) begin
          error_q  <= 1'b1;
          code_q   <= fail_code_q;
          unit_q   <= fail_unit_q;
          number_q <= fail_number_q;
        end
      end
      DRAIN:
      if (bus_idle_i) begin
        state_q  <= reset_q || start_q ? FLUSH : IDLE;
        reset_q  <= 1'b0;
        ending_q <= 1'b0;
        if (ending_q && !reset_q) done_q <= 1'b1;
      end
      default: state_q <= IDLE;
    endcase
    flush_q <= state_q == FLUSH ? flush_q + 4'd1 : 4'd0;

    // A start counts when nothing runs, and while an error or a reset is drained.
    if (start_i && !(running || (state_q == FLUSH && start_q) || (state_q == DRAIN && ending_q))) begin
      start_q <= 1'b1;
      done_q  <= 1'b0;
      error_q <= 1'b0;
      {code_q, unit_q, number_q} <= '0;
    end
    if (reset_i) begin
      state_q  <= DRAIN;
      reset_q  <= 1'b1;
      ending_q <= 1'b0;
      start_q  <= start_i;
      done_q   <= 1'b0;
      error_q  <= 1'b0;
      {code_q, unit_q, number_q} <= '0;
    end
    if (!rst_ni) begin
      state_q  <= IDLE;
      flush_q  <= 4'd0;
      start_q  <= 1'b0;
      reset_q  <= 1'b0;
      ending_q <= 1'b0;
      done_q   <= 1'b0;
      error_q  <= 1'b0;
      {code_q, unit_q, number_q} <= '0;
    end
  end
endmodule
`default_nettype wire
