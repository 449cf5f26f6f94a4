// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Stands for hls4ml's header of this name, which bitwright_common.h includes for hls4ml's sake; FINN needs nothing of it.
