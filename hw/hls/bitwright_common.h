// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// What the integer layers share: exact requantization of one value, and moving whole frames between streams and arrays.
//
// Layout: feature maps are (H, W, C), C fastest. In io_parallel a tensor is one flat array; in io_stream one beat
// (nnet::array) carries all C values of a position. All arithmetic is on ap_int of widths that the compiler proved.

#ifndef BITWRIGHT_COMMON_H_
#define BITWRIGHT_COMMON_H_

#include "ap_int.h"
#include "hls_stream.h"
#include "nnet_common.h"
#include "nnet_types.h"

namespace bitwright {

// floor(v / 2**shift), or to nearest with ties to even: adding half - 1 plus the lowest bit that stays does it.
template <int BITS, bool HALF_EVEN> ap_int<BITS> round_shift(ap_int<BITS> v, int shift) {
    #pragma HLS INLINE
    if (HALF_EVEN && shift > 0) {
        ap_int<BITS> half = ap_int<BITS>(1) << (shift - 1);
        ap_int<BITS> odd = (v >> shift) & ap_int<BITS>(1);
        v = v + half - 1 + odd;
    }
    return v >> shift;
}

// clamp(round_shift(x * multiplier + addend, shift) + offset, lo, hi)
template <class CONFIG_T, class x_T, class m_T, class a_T, class l_T, class h_T>
ap_int<CONFIG_T::product_bits> requantize_value(x_T x, m_T multiplier, a_T addend, l_T lo, h_T hi) {
    #pragma HLS INLINE
    typedef ap_int<CONFIG_T::product_bits> wide_T;
    wide_T v = wide_T(x) * wide_T(multiplier) + wide_T(addend);
    wide_T y = round_shift<CONFIG_T::product_bits, CONFIG_T::half_even>(v, CONFIG_T::shift) + wide_T(CONFIG_T::offset);
    if (y < wide_T(lo))
        return wide_T(lo);
    if (y > wide_T(hi))
        return wide_T(hi);
    return y;
}

// A stream of beats into a flat frame and back.
template <class data_T, class value_T, int N> void read_frame(hls::stream<data_T> &data, value_T frame[N]) {
ReadFrame:
    for (int i = 0; i < N / int(data_T::size); i++) {
        #pragma HLS PIPELINE
        data_T beat = data.read();
        for (int c = 0; c < int(data_T::size); c++) {
            #pragma HLS UNROLL
            frame[i * int(data_T::size) + c] = beat[c];
        }
    }
}

template <class res_T, class value_T, int N> void write_frame(const value_T frame[N], hls::stream<res_T> &res) {
WriteFrame:
    for (int i = 0; i < N / int(res_T::size); i++) {
        #pragma HLS PIPELINE
        res_T beat;
        for (int c = 0; c < int(res_T::size); c++) {
            #pragma HLS UNROLL
            beat[c] = frame[i * int(res_T::size) + c];
        }
        res.write(beat);
    }
}

} // namespace bitwright

#endif
