// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Deformable convolution with bounded whole-number offsets on FINN's streams: one word of `in0` carries all channels of
// a position, one word of `in1` all offsets of an output position, one word of `out` all accumulators; the first element
// lies in the lowest bits. Line buffer, borders and offsets are those of bitwright_window.h, which the hls4ml layer uses.
//
// Throughput: one tap of one output position in a cycle, all channels at once (the loops over positions and taps are
// flattened), and one cycle for each pixel that is read. The row that a tap reads is decided at run time, so the buffer
// holds one word for each position and one is read in a cycle.

#ifndef BITWRIGHT_FINN_DEFORM_H_
#define BITWRIGHT_FINN_DEFORM_H_

#include "bitwright_window.h"

namespace bitwright {

template <class value_T, int BITS, int WIDTH> value_T element(const ap_uint<WIDTH> &word, int at) {
    #pragma HLS INLINE
    value_T value;
    value.range(BITS - 1, 0) = word.range((at + 1) * BITS - 1, at * BITS);
    return value;
}

template <class CONFIG_T, class weight_T>
void finn_deform(hls::stream<ap_uint<CONFIG_T::in_channels * CONFIG_T::in_bits>> &in0,
                 hls::stream<ap_uint<CONFIG_T::offset_channels * CONFIG_T::offset_bits>> &in1,
                 hls::stream<ap_uint<CONFIG_T::out_channels * CONFIG_T::out_bits>> &out, const weight_T weight[]) {
    typedef ap_uint<CONFIG_T::in_channels * CONFIG_T::in_bits> pixel_T;
    const int taps = CONFIG_T::kernel_height * CONFIG_T::kernel_width;
    const int shared = CONFIG_T::in_channels / CONFIG_T::offset_groups;
    const int step = CONFIG_T::out_channels / CONFIG_T::groups;
    pixel_T buffer[CONFIG_T::buffer_rows * CONFIG_T::in_width];
    ap_uint<CONFIG_T::offset_channels * CONFIG_T::offset_bits> moved = 0;
    typename CONFIG_T::accum_t acc[CONFIG_T::out_channels];
    #pragma HLS ARRAY_PARTITION variable=acc complete
    int have = 0;
OutRows:
    for (int r = 0; r <= CONFIG_T::out_height; r++) {
        // Behind the last row, what no window reads still has to be taken off the stream.
        int needed = r < CONFIG_T::out_height ? last_row<CONFIG_T>(r) : int(CONFIG_T::in_height);
    InRows:
        while (have <= needed && have < CONFIG_T::in_height) {
        InColumns:
            for (int column = 0; column < CONFIG_T::in_width; column++) {
                #pragma HLS PIPELINE II=1
                buffer[(have % CONFIG_T::buffer_rows) * CONFIG_T::in_width + column] = in0.read();
            }
            have++;
        }
        if (r == CONFIG_T::out_height)
            break;
    Taps:
        for (int k = 0; k < CONFIG_T::out_width * taps; k++) {
            #pragma HLS PIPELINE II=1
            const int c = k / taps, tap = k % taps;
            if (tap == 0)
                moved = in1.read();
            typename CONFIG_T::value_t taken[CONFIG_T::in_channels];
            #pragma HLS ARRAY_PARTITION variable=taken complete
            for (int og = 0; og < CONFIG_T::offset_groups; og++) {
                #pragma HLS UNROLL
                const int at = 2 * (taps * og + tap);
                typedef typename CONFIG_T::offset_t offset_T;
                const int row = r * CONFIG_T::stride_height + (tap / CONFIG_T::kernel_width) * CONFIG_T::dilation_height -
                                CONFIG_T::pad_top + int(element<offset_T, CONFIG_T::offset_bits>(moved, at));
                const int column = c * CONFIG_T::stride_width + (tap % CONFIG_T::kernel_width) * CONFIG_T::dilation_width -
                                   CONFIG_T::pad_left + int(element<offset_T, CONFIG_T::offset_bits>(moved, at + 1));
                const bool in = inside<CONFIG_T>(row, column);
                pixel_T word = 0;
                if (in)
                    word = buffer[(row % CONFIG_T::buffer_rows) * CONFIG_T::in_width + column];
                for (int n = 0; n < shared; n++) {
                    #pragma HLS UNROLL
                    taken[og * shared + n] = element<typename CONFIG_T::value_t, CONFIG_T::in_bits>(word, og * shared + n);
                }
            }
            ap_uint<CONFIG_T::out_channels * CONFIG_T::out_bits> result;
            for (int o = 0; o < CONFIG_T::out_channels; o++) {
                #pragma HLS UNROLL
                typename CONFIG_T::accum_t sum = tap == 0 ? typename CONFIG_T::accum_t(0) : acc[o];
                for (int n = 0; n < CONFIG_T::group_channels; n++) {
                    #pragma HLS UNROLL
                    sum += taken[(o / step) * CONFIG_T::group_channels + n] *
                           weight[(tap * CONFIG_T::group_channels + n) * CONFIG_T::out_channels + o];
                }
                acc[o] = sum;
                result.range((o + 1) * CONFIG_T::out_bits - 1, o * CONFIG_T::out_bits) =
                    sum.range(CONFIG_T::out_bits - 1, 0);
            }
            if (tap == taps - 1)
                out.write(result);
        }
    }
}

} // namespace bitwright

#endif
