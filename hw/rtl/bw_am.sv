// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Activation memory: 4 blocks of 4 banks of AM_DEPTH words of 128 bits, each bank one simple dual-port memory.
// A word address is {block, index, bank}. Five readers and three writers; each bank serves one reader and one writer a
// cycle, the others keep their request. The order is that of the ports (reader 0 first), but a port that was refused
// 15 times in a row comes before every port that was not, so none waits for ever.
//
// Read: data exactly 5 cycles after the grant: bank input register, memory, memory output register, two levels of
// output multiplexer. Write: a read granted 2 or more cycles after the grant of a write sees it (the contract says 3).
// An index of AM_DEPTH or more is granted; nothing is written, the read gives any word, range_err_o[port] pulses one
// cycle later (bits 0-4 readers, 5-7 writers).
// AM_DEPTH: 512 k up to 4096. ADDR_W: $clog2(AM_DEPTH) + 4. ULTRA: banks are UltraRAM (4096 words deep), not block RAM.
// BLOCKS: 4, or 1: the same addresses in 4 banks of 4 AM_DEPTH words, where ports meet more often, behind crossbars of
// a quarter of the size; AM_DEPTH must be a power of two then.
// A bank whose depth is no power of two is made of equal memories of the largest power of two that divides it: no block
// RAM is left half empty, and which of them answers is decided behind their output registers.
`default_nettype none
module bw_am #(
    parameter int AM_DEPTH = 2048,
    parameter int ADDR_W   = $clog2(AM_DEPTH) + 4,
    parameter int ULTRA    = 0,
    parameter int BLOCKS   = 4
) (
    input  wire                   clk_i,
    input  wire                   rst_ni,
    input  wire  [4:0]            rd_req_i,
    input  wire  [5*ADDR_W-1:0]   rd_addr_i,
    output logic [4:0]            rd_gnt_o,
    output logic [4:0]            rd_valid_o,
    output logic [5*128-1:0]      rd_data_o,
    input  wire  [2:0]            wr_req_i,
    input  wire  [3*ADDR_W-1:0]   wr_addr_i,
    input  wire  [3*128-1:0]      wr_data_i,
    output logic [2:0]            wr_gnt_o,
    output logic [7:0]            range_err_o
);
  localparam int BANKS  = 4 * BLOCKS;
  localparam int WORDS  = AM_DEPTH * 4 / BLOCKS;  // of a bank
  localparam int IW     = ADDR_W - $clog2(BANKS);
  localparam logic [IW:0] DEPTH = WORDS[IW:0];
  localparam int CHUNK  = WORDS & -WORDS;  // words of one memory of a bank
  localparam int CHUNKS = WORDS / CHUNK;
  localparam int CW     = $clog2(CHUNK);
  /* verilator lint_off UNUSEDPARAM */  // of an attribute that Verilator does not read
  localparam RAM_STYLE  = ULTRA != 0 ? "ultra" : "block";
  /* verilator lint_on UNUSEDPARAM */

  // Ports: bank number and index, grants.
  logic [5*4-1:0]  rd_bank;
  logic [5*IW-1:0] rd_index;
  logic [4:0]      rd_in, rd_urgent_q;
  logic [3*4-1:0]  wr_bank;
  logic [3*IW-1:0] wr_index;
  logic [2:0]      wr_in, wr_urgent_q;
  logic [7:0]      range_q;

  genvar p, q, b, k;
  generate
    for (p = 0; p < 5; p = p + 1) begin : g_rd
      logic [4:0] beaten;
      logic [3:0] age_q;
      assign rd_bank[4*p+:4]    = {BLOCKS == 4 ? rd_addr_i[p*ADDR_W+ADDR_W-2+:2] : 2'd0, rd_addr_i[p*ADDR_W+:2]};
      assign rd_index[IW*p+:IW] = rd_addr_i[p*ADDR_W+2+:IW];
      assign rd_in[p]           = {1'b0, rd_index[IW*p+:IW]} < DEPTH;
      for (q = 0; q < 5; q = q + 1) begin : g_other
        if (p == q) begin : g_self
          assign beaten[q] = 1'b0;
        end else begin : g_rival
          assign beaten[q] = rd_req_i[q] && rd_bank[4*q+:4] == rd_bank[4*p+:4] &&
              (rd_urgent_q[q] == rd_urgent_q[p] ? q < p : rd_urgent_q[q]);
        end
      end
      assign rd_gnt_o[p] = rd_req_i[p] && beaten == 5'b0;
      always_ff @(posedge clk_i) begin
        if (!rst_ni || !rd_req_i[p] || rd_gnt_o[p]) begin
          age_q <= 4'd0;
          rd_urgent_q[p] <= 1'b0;
        end else begin
          if (age_q != 4'd15) age_q <= age_q + 4'd1;
          rd_urgent_q[p] <= age_q >= 4'd14;
        end
        range_q[p] <= rst_ni && rd_gnt_o[p] && !rd_in[p];
      end
    end

    for (p = 0; p < 3; p = p + 1) begin : g_wr
      logic [2:0] beaten;
      logic [3:0] age_q;
      assign wr_bank[4*p+:4]    = {BLOCKS == 4 ? wr_addr_i[p*ADDR_W+ADDR_W-2+:2] : 2'd0, wr_addr_i[p*ADDR_W+:2]};
      assign wr_index[IW*p+:IW] = wr_addr_i[p*ADDR_W+2+:IW];
      assign wr_in[p]           = {1'b0, wr_index[IW*p+:IW]} < DEPTH;
      for (q = 0; q < 3; q = q + 1) begin : g_other
        if (p == q) begin : g_self
          assign beaten[q] = 1'b0;
        end else begin : g_rival
          assign beaten[q] = wr_req_i[q] && wr_bank[4*q+:4] == wr_bank[4*p+:4] &&
              (wr_urgent_q[q] == wr_urgent_q[p] ? q < p : wr_urgent_q[q]);
        end
      end
      assign wr_gnt_o[p] = wr_req_i[p] && beaten == 3'b0;
      always_ff @(posedge clk_i) begin
        if (!rst_ni || !wr_req_i[p] || wr_gnt_o[p]) begin
          age_q <= 4'd0;
          wr_urgent_q[p] <= 1'b0;
        end else begin
          if (age_q != 4'd15) age_q <= age_q + 4'd1;
          wr_urgent_q[p] <= age_q >= 4'd14;
        end
        range_q[5+p] <= rst_ni && wr_gnt_o[p] && !wr_in[p];
      end
    end
  endgenerate
  assign range_err_o = range_q;

  // Writers' first register: the way to the banks is long.
  logic [2:0]       w1_valid_q;
  logic [3*4-1:0]   w1_bank_q;
  logic [3*IW-1:0]  w1_index_q;
  logic [3*128-1:0] w1_data_q;
  always_ff @(posedge clk_i) begin
    w1_valid_q <= rst_ni ? (wr_gnt_o & wr_in) : 3'b0;
    w1_bank_q  <= wr_bank;
    w1_index_q <= wr_index;
    w1_data_q  <= wr_data_i;
  end

  // Banks. Cycle 0: grant; 1: input register; 2: memory; 3: memory output register.
  logic [BANKS*128-1:0] bank_data;
  generate
    for (b = 0; b < BANKS; b = b + 1) begin : g_bank
      logic [4:0]    r_sel;
      logic [2:0]    w_sel;
      logic [IW-1:0] r_index, r_index_q, w_index, w_index_q;
      logic [127:0]  w_data, w_data_q, out_d, out_q;
      logic [CHUNKS*128-1:0] ram_q;
      logic          r_en_q, r_en2_q, w_en_q;
      logic [4:0]    r_ask;

      for (p = 0; p < 5; p = p + 1) begin : g_rsel
        assign r_ask[p] = rd_req_i[p] && rd_bank[4*p+:4] == 4'(b);
        assign r_sel[p] = rd_gnt_o[p] && rd_bank[4*p+:4] == 4'(b);
      end
      for (p = 0; p < 3; p = p + 1) begin : g_wsel
        assign w_sel[p] = w1_valid_q[p] && w1_bank_q[4*p+:4] == 4'(b);
      end
      assign r_index = ({IW{r_sel[0]}} & rd_index[0*IW+:IW]) | ({IW{r_sel[1]}} & rd_index[1*IW+:IW]) |
          ({IW{r_sel[2]}} & rd_index[2*IW+:IW]) | ({IW{r_sel[3]}} & rd_index[3*IW+:IW]) |
          ({IW{r_sel[4]}} & rd_index[4*IW+:IW]);
      assign w_index = w_sel[0] ? w1_index_q[0+:IW] : w_sel[1] ? w1_index_q[IW+:IW] : w1_index_q[2*IW+:IW];
      assign w_data  = w_sel[0] ? w1_data_q[0+:128] : w_sel[1] ? w1_data_q[128+:128] : w1_data_q[256+:128];

      always_ff @(posedge clk_i) begin
        if (!rst_ni) begin
          r_en_q <= 1'b0;
          w_en_q <= 1'b0;
        end else begin
          r_en_q <= r_ask != 5'b0;  // one of those that ask is granted
          w_en_q <= w_sel != 3'b0;
        end
        r_en2_q   <= r_en_q;
        r_index_q <= r_index;
        if (w_sel != 3'b0) begin
          w_index_q <= w_index;
          w_data_q  <= w_data;
        end
      end
      for (k = 0; k < CHUNKS; k = k + 1) begin : g_chunk
`ifdef VERILATOR
        (* ram_style = RAM_STYLE *) logic [127:0] mem [0:CHUNK-1] /*verilator public_flat_rw*/;
`else
        (* ram_style = RAM_STYLE *) logic [127:0] mem [0:CHUNK-1];
`endif
        logic         here;
        logic [127:0] read_q;
        always_ff @(posedge clk_i) begin
          if (w_en_q && here) mem[w_index_q[CW-1:0]] <= w_data_q;
          if (r_en_q) read_q <= mem[r_index_q[CW-1:0]];
        end
        assign ram_q[128*k+:128] = read_q;
        if (CHUNKS == 1) begin : g_whole
          assign here = 1'b1;
        end else begin : g_part
          assign here = w_index_q[IW-1:CW] == (IW-CW)'(k);
        end
      end
      if (CHUNKS == 1) begin : g_whole
        assign out_d = ram_q;
      end else begin : g_parts
        logic [IW-CW-1:0] chunk_q;
        always_ff @(posedge clk_i) chunk_q <= r_index_q[IW-1:CW];
        assign out_d = ram_q[128*chunk_q+:128];
      end
      always_ff @(posedge clk_i) begin
        if (r_en2_q) out_q <= out_d;
      end
      assign bank_data[128*b+:128] = out_q;
    end
  endgenerate

  // Output multiplexers. Cycle 4: bank within each block; 5: block.
  generate
    for (p = 0; p < 5; p = p + 1) begin : g_out
      logic [3:0]       valid_q;  // cycles 1 to 4
      logic [3:0]       bank1_q, bank2_q, bank3_q;
      logic [BLOCKS*128-1:0] level_q;
      logic             valid5_q;
      logic [127:0]     data_d, data_q;
      always_ff @(posedge clk_i) begin
        if (!rst_ni) begin
          valid_q  <= 4'b0;
          valid5_q <= 1'b0;
        end else begin
          valid_q  <= {valid_q[2:0], rd_gnt_o[p]};
          valid5_q <= valid_q[3];
        end
        bank1_q  <= rd_bank[4*p+:4];
        bank2_q  <= bank1_q;
        bank3_q  <= bank2_q;
        if (valid_q[3]) data_q <= data_d;
      end
      if (BLOCKS == 4) begin : g_pick
        logic [1:0] block4_q;
        always_ff @(posedge clk_i) block4_q <= bank3_q[3:2];
        assign data_d = level_q[128*block4_q+:128];
      end else begin : g_only
        assign data_d = level_q;
        wire unused = &{1'b0, bank3_q[3:2]};
      end
      for (k = 0; k < BLOCKS; k = k + 1) begin : g_block
        always_ff @(posedge clk_i) begin
          if (valid_q[2]) level_q[128*k+:128] <= bank_data[512*k+128*bank3_q[1:0]+:128];
        end
      end
      assign rd_valid_o[p]         = valid5_q;
      assign rd_data_o[128*p+:128] = data_q;
    end
  endgenerate

`ifdef BW_ASSERT
  for (b = 0; b < BANKS; b = b + 1) begin : g_check
    logic [4:0] readers;
    logic [2:0] writers;
    for (p = 0; p < 5; p = p + 1) begin : g_rd
      assign readers[p] = rd_gnt_o[p] && rd_bank[4*p+:4] == 4'(b);
    end
    for (p = 0; p < 3; p = p + 1) begin : g_wr
      assign writers[p] = wr_gnt_o[p] && wr_bank[4*p+:4] == 4'(b);
    end
    a_one_reader :
    assert property (@(posedge clk_i) disable iff (!rst_ni) $onehot0(readers));
    a_one_writer :
    assert property (@(posedge clk_i) disable iff (!rst_ni) $onehot0(writers));
  end
`endif

`ifndef SYNTHESIS
  initial begin
    if (AM_DEPTH % 512 != 0 || AM_DEPTH < 512 || AM_DEPTH > 4096) $error("%m: AM_DEPTH must be 512 k up to 4096");
    if (ULTRA != 0 && AM_DEPTH != 4096) $error("%m: AM_DEPTH must be 4096 with ULTRA");
    if (BLOCKS != 4 && (BLOCKS != 1 || (AM_DEPTH & (AM_DEPTH - 1)) != 0 || ULTRA != 0))
      $error("%m: BLOCKS must be 4, or 1 with block RAM and a power of two as AM_DEPTH");
    if (ADDR_W != $clog2(AM_DEPTH) + 4) $error("%m: ADDR_W must be $clog2(AM_DEPTH) + 4");
  end
`endif
endmodule
`default_nettype wire
