// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Layers that work value by value or position by position: requantize, threshold, weighted sum, product, channel
// selection.
// One beat in, one beat out; fully unrolled in io_parallel. Layers that multiply take a beat (io_parallel: a frame) every
// CONFIG_T::reuse cycles and share CONFIG_T::multiplier_limit multipliers, as hls4ml's own layers do; the others take one
// every cycle.
// A table of one entry serves all channels (CONFIG_T::*_n is its length).

#ifndef BITWRIGHT_ELEMENTWISE_H_
#define BITWRIGHT_ELEMENTWISE_H_

#include "bitwright_common.h"

namespace bitwright {

// y = clamp(round_shift(x * multiplier + addend, shift) + offset, lo, hi)
template <class data_T, class res_T, class CONFIG_T, class m_T, class a_T, class l_T, class h_T>
void requantize(data_T data[CONFIG_T::n], res_T res[CONFIG_T::n], const m_T multiplier[], const a_T addend[],
                const l_T lo[], const h_T hi[]) {
    #pragma HLS PIPELINE II=CONFIG_T::reuse
    #pragma HLS ALLOCATION operation instances=mul limit=CONFIG_T::multiplier_limit
    for (int i = 0; i < CONFIG_T::n; i++) {
        #pragma HLS UNROLL
        int c = i % CONFIG_T::channels;
        res[i] = requantize_value<CONFIG_T>(data[i], multiplier[c % CONFIG_T::multiplier_n],
                                            addend[c % CONFIG_T::addend_n], lo[c % CONFIG_T::lo_n],
                                            hi[c % CONFIG_T::hi_n]);
    }
}

template <class data_T, class res_T, class CONFIG_T, class m_T, class a_T, class l_T, class h_T>
void requantize(hls::stream<data_T> &data, hls::stream<res_T> &res, const m_T multiplier[], const a_T addend[],
                const l_T lo[], const h_T hi[]) {
Requantize:
    for (int i = 0; i < CONFIG_T::n / CONFIG_T::channels; i++) {
        #pragma HLS PIPELINE II=CONFIG_T::reuse
        #pragma HLS ALLOCATION operation instances=mul limit=CONFIG_T::multiplier_limit
        data_T in = data.read();
        res_T out;
        for (int c = 0; c < CONFIG_T::channels; c++) {
            #pragma HLS UNROLL
            out[c] = requantize_value<CONFIG_T>(in[c], multiplier[c % CONFIG_T::multiplier_n],
                                                addend[c % CONFIG_T::addend_n], lo[c % CONFIG_T::lo_n],
                                                hi[c % CONFIG_T::hi_n]);
        }
        res.write(out);
    }
}

// y = base + step * (number of k with sign * x >= thresholds[c][k])
template <class CONFIG_T, class x_T, class t_T, class s_T, class b_T>
ap_int<CONFIG_T::product_bits> threshold_value(x_T x, int c, const t_T thresholds[], const s_T sign[],
                                               const b_T base[]) {
    #pragma HLS INLINE
    typedef ap_int<CONFIG_T::product_bits> wide_T;
    wide_T v = sign[c % CONFIG_T::sign_n] < 0 ? wide_T(-wide_T(x)) : wide_T(x);
    wide_T count = 0;
    for (int k = 0; k < CONFIG_T::levels; k++) {
        #pragma HLS UNROLL
        if (v >= wide_T(thresholds[(c % CONFIG_T::rows) * CONFIG_T::levels + k]))
            count++;
    }
    return wide_T(base[c % CONFIG_T::base_n]) + count * wide_T(CONFIG_T::step);
}

template <class data_T, class res_T, class CONFIG_T, class t_T, class s_T, class b_T>
void threshold(data_T data[CONFIG_T::n], res_T res[CONFIG_T::n], const t_T thresholds[], const s_T sign[],
               const b_T base[]) {
    #pragma HLS PIPELINE
    for (int i = 0; i < CONFIG_T::n; i++) {
        #pragma HLS UNROLL
        res[i] = threshold_value<CONFIG_T>(data[i], i % CONFIG_T::channels, thresholds, sign, base);
    }
}

template <class data_T, class res_T, class CONFIG_T, class t_T, class s_T, class b_T>
void threshold(hls::stream<data_T> &data, hls::stream<res_T> &res, const t_T thresholds[], const s_T sign[],
               const b_T base[]) {
Threshold:
    for (int i = 0; i < CONFIG_T::n / CONFIG_T::channels; i++) {
        #pragma HLS PIPELINE II=1
        data_T in = data.read();
        res_T out;
        for (int c = 0; c < CONFIG_T::channels; c++) {
            #pragma HLS UNROLL
            out[c] = threshold_value<CONFIG_T>(in[c], c, thresholds, sign, base);
        }
        res.write(out);
    }
}

// acc = a * multiplier[0] + b * multiplier[1]; the table holds both rows, CONFIG_T::multiplier_n entries each.
template <class data1_T, class data2_T, class res_T, class CONFIG_T, class m_T>
void add(data1_T a[CONFIG_T::n], data2_T b[CONFIG_T::n], res_T res[CONFIG_T::n], const m_T multiplier[]) {
    #pragma HLS PIPELINE II=CONFIG_T::reuse
    #pragma HLS ALLOCATION operation instances=mul limit=CONFIG_T::multiplier_limit
    for (int i = 0; i < CONFIG_T::n; i++) {
        #pragma HLS UNROLL
        int c = (i % CONFIG_T::channels) % CONFIG_T::multiplier_n;
        res[i] = a[i] * multiplier[c] + b[i] * multiplier[CONFIG_T::multiplier_n + c];
    }
}

template <class data1_T, class data2_T, class res_T, class CONFIG_T, class m_T>
void add(hls::stream<data1_T> &a, hls::stream<data2_T> &b, hls::stream<res_T> &res, const m_T multiplier[]) {
Add:
    for (int i = 0; i < CONFIG_T::n / CONFIG_T::channels; i++) {
        #pragma HLS PIPELINE II=CONFIG_T::reuse
        #pragma HLS ALLOCATION operation instances=mul limit=CONFIG_T::multiplier_limit
        data1_T in1 = a.read();
        data2_T in2 = b.read();
        res_T out;
        for (int c = 0; c < CONFIG_T::channels; c++) {
            #pragma HLS UNROLL
            int k = c % CONFIG_T::multiplier_n;
            out[c] = in1[c] * multiplier[k] + in2[c] * multiplier[CONFIG_T::multiplier_n + k];
        }
        res.write(out);
    }
}

// y = (a - zero_point1) * (b - zero_point2). b has as many values as a, or one for each channel: a gate, of which
// io_stream reads one beat and keeps it while the map goes by.
template <class CONFIG_T, class data1_T, class data2_T>
ap_int<CONFIG_T::product_bits> multiply_value(data1_T a, data2_T b) {
    #pragma HLS INLINE
    typename CONFIG_T::shifted1_t x = typename CONFIG_T::shifted1_t(a) - CONFIG_T::zero_point1;
    typename CONFIG_T::shifted2_t y = typename CONFIG_T::shifted2_t(b) - CONFIG_T::zero_point2;
    return x * y;
}

template <class data1_T, class data2_T, class res_T, class CONFIG_T>
void multiply(data1_T a[CONFIG_T::n], data2_T b[CONFIG_T::gate_n], res_T res[CONFIG_T::n]) {
    #pragma HLS PIPELINE II=CONFIG_T::reuse
    #pragma HLS ALLOCATION operation instances=mul limit=CONFIG_T::multiplier_limit
    for (int i = 0; i < CONFIG_T::n; i++) {
        #pragma HLS UNROLL
        res[i] = multiply_value<CONFIG_T>(a[i], b[i % CONFIG_T::gate_n]);
    }
}

template <class data1_T, class data2_T, class res_T, class CONFIG_T>
void multiply(hls::stream<data1_T> &a, hls::stream<data2_T> &b, hls::stream<res_T> &res) {
    data2_T in2;
Multiply:
    for (int i = 0; i < CONFIG_T::n / CONFIG_T::channels; i++) {
        #pragma HLS PIPELINE II=CONFIG_T::reuse
        #pragma HLS ALLOCATION operation instances=mul limit=CONFIG_T::multiplier_limit
        if (i < CONFIG_T::gate_n / CONFIG_T::channels)
            in2 = b.read();
        data1_T in1 = a.read();
        res_T out;
        for (int c = 0; c < CONFIG_T::channels; c++) {
            #pragma HLS UNROLL
            out[c] = multiply_value<CONFIG_T>(in1[c], in2[c]);
        }
        res.write(out);
    }
}

// y[c] = x[order[c]] at every position
template <class data_T, class res_T, class CONFIG_T, class o_T>
void select_channels(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_out], const o_T order[]) {
    #pragma HLS PIPELINE
    for (int i = 0; i < CONFIG_T::n_out; i++) {
        #pragma HLS UNROLL
        int position = i / CONFIG_T::out_channels;
        res[i] = data[position * CONFIG_T::in_channels + int(order[i % CONFIG_T::out_channels])];
    }
}

template <class data_T, class res_T, class CONFIG_T, class o_T>
void select_channels(hls::stream<data_T> &data, hls::stream<res_T> &res, const o_T order[]) {
SelectChannels:
    for (int i = 0; i < CONFIG_T::n_out / CONFIG_T::out_channels; i++) {
        #pragma HLS PIPELINE II=1
        data_T in = data.read();
        res_T out;
        for (int c = 0; c < CONFIG_T::out_channels; c++) {
            #pragma HLS UNROLL
            out[c] = in[int(order[c])];
        }
        res.write(out);
    }
}

} // namespace bitwright

#endif
