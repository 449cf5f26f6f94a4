// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
// Written by `python -m bitwright.hw.isa`; a test compares it with isa.py.
`ifndef BW_ISA_SVH
`define BW_ISA_SVH
`define BW_ISA_VERSION 32'd2
`define BW_PROGRAM_MAGIC 32'h31455742
`define BW_MARKER 8'hB1
`define BW_OP_LD 4'd1
`define BW_OP_ST 4'd2
`define BW_OP_PW 4'd3
`define BW_OP_DW 4'd4
`define BW_OP_END 4'd15
`define BW_DEST_AM 3'd0
`define BW_DEST_PW_WEIGHT 3'd1
`define BW_DEST_PW_CONST 3'd2
`define BW_DEST_PW_TABLE 3'd3
`define BW_DEST_DW_WEIGHT 3'd4
`define BW_DEST_DW_CONST 3'd5
`define BW_DEST_DW_TABLE 3'd6
`define BW_DW_CONV 3'd0
`define BW_DW_MAX 3'd1
`define BW_DW_ADD 3'd2
`define BW_DW_DEFORM_SQUARE 3'd3
`define BW_DW_DEFORM_FREE 3'd4
`define BW_I_OPCODE 0 +: 4
`define BW_I_MARKER 24 +: 8
`define BW_I_WAIT_LD 32 +: 16
`define BW_I_WAIT_ST 48 +: 16
`define BW_I_WAIT_PW 64 +: 16
`define BW_I_WAIT_DW 80 +: 16
`define BW_MV_DEST 96 +: 3
`define BW_MV_REGION 104 +: 2
`define BW_MV_OFFSET 128 +: 32
`define BW_MV_ADDRESS 160 +: 16
`define BW_MV_BEATS 192 +: 16
`define BW_MV_ROWS 208 +: 16
`define BW_MV_DRAM_STRIDE 224 +: 32
`define BW_MV_LOCAL_STRIDE 256 +: 16
`define BW_C_PLANES 96 +: 8
`define BW_C_STRIDE_Y 120 +: 4
`define BW_C_STRIDE_X 124 +: 4
`define BW_C_OH 128 +: 11
`define BW_C_OW 139 +: 11
`define BW_C_DILATION_Y 150 +: 5
`define BW_C_DILATION_X 155 +: 5
`define BW_C_H 160 +: 12
`define BW_C_W 172 +: 12
`define BW_C_UP_Y 184 +: 2
`define BW_C_UP_X 186 +: 2
`define BW_C_ACT_SIGNED 188 +: 1
`define BW_C_IY0 192 +: 16
`define BW_C_IX0 208 +: 16
`define BW_C_IN_PITCH 224 +: 16
`define BW_C_OUT_PITCH 240 +: 16
`define BW_C_IN_TABLE 256 +: 16
`define BW_C_OUT_TABLE 272 +: 16
`define BW_C_WEIGHT_BASE 288 +: 16
`define BW_C_CONST_BASE 304 +: 16
`define BW_C_ZERO_POINT 320 +: 9
`define BW_C_SHIFT 336 +: 2
`define BW_C_HALF_EVEN 338 +: 1
`define BW_C_WRAP 339 +: 1
`define BW_C_LO 352 +: 10
`define BW_C_HI 368 +: 10
`define BW_C_IN_OFFSET 384 +: 16
`define BW_C_OUT_OFFSET 400 +: 16
`define BW_PW_SUBS 104 +: 8
`define BW_PW_KH 112 +: 4
`define BW_PW_KW 116 +: 4
`define BW_PW_W8 340 +: 1
`define BW_PW_SUM 341 +: 1
`define BW_PW_SECOND_SIGNED 342 +: 1
`define BW_DW_MODE 104 +: 3
`define BW_DW_KH 416 +: 8
`define BW_DW_KW 424 +: 8
`define BW_DW_KT 432 +: 8
`define BW_DW_WIDE 440 +: 1
`define BW_DW_ARGMAX 441 +: 1
`define BW_DW_OPERAND_TABLE 448 +: 16
`define BW_DW_OPERAND_PITCH 464 +: 16
`define BW_DW_OPERAND_OFFSET 480 +: 16
`define BW_DW_OPERAND_SIGNED 496 +: 1
`define BW_DW_OFFSET_LANE 497 +: 4
`define BW_DW_OUT_STEP_Y 502 +: 5
`define BW_DW_OUT_STEP_X 507 +: 5
`endif
