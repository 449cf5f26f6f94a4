// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Layers that need a whole frame: any rearrangement of values, joining, transposed convolution, linear resizing, argmax.
// In io_stream they hold the frame in a buffer; prefer models that do not need them on large feature maps.

#ifndef BITWRIGHT_FRAME_H_
#define BITWRIGHT_FRAME_H_

#include "bitwright_common.h"

namespace bitwright {

// y[i] = x[index[i]], or `fill` where the index is -1: reshape, transpose, slice, pad, nearest resizing.
template <class data_T, class res_T, class CONFIG_T, class i_T>
void gather(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_out], const i_T index[]) {
    for (int i = 0; i < CONFIG_T::n_out; i++) {
        #pragma HLS UNROLL
        int from = int(index[i]);
        if (from < 0)
            res[i] = CONFIG_T::fill;
        else
            res[i] = data[from];
    }
}

template <class data_T, class res_T, class CONFIG_T, class i_T>
void gather(hls::stream<data_T> &data, hls::stream<res_T> &res, const i_T index[]) {
    typename data_T::value_type frame[CONFIG_T::n_in];
    read_frame<data_T, typename data_T::value_type, CONFIG_T::n_in>(data, frame);
Gather:
    for (int i = 0; i < CONFIG_T::n_out / int(res_T::size); i++) {
        #pragma HLS PIPELINE
        res_T beat;
        for (int c = 0; c < int(res_T::size); c++) {
            #pragma HLS UNROLL
            int from = int(index[i * int(res_T::size) + c]);
            if (from < 0)
                beat[c] = CONFIG_T::fill;
            else
                beat[c] = frame[from];
        }
        res.write(beat);
    }
}

// Joins along an axis: `outer` times a block of each input.
template <class data1_T, class data2_T, class res_T, class CONFIG_T>
void join(data1_T a[CONFIG_T::n_in1], data2_T b[CONFIG_T::n_in2], res_T res[CONFIG_T::n_out]) {
    const int first = CONFIG_T::n_in1 / CONFIG_T::outer, second = CONFIG_T::n_in2 / CONFIG_T::outer;
    for (int o = 0; o < CONFIG_T::outer; o++) {
        for (int i = 0; i < first; i++) {
            #pragma HLS UNROLL
            res[o * (first + second) + i] = a[o * first + i];
        }
        for (int i = 0; i < second; i++) {
            #pragma HLS UNROLL
            res[o * (first + second) + first + i] = b[o * second + i];
        }
    }
}

template <class data1_T, class data2_T, class res_T, class CONFIG_T>
void join(hls::stream<data1_T> &a, hls::stream<data2_T> &b, hls::stream<res_T> &res) {
    const int first = CONFIG_T::n_in1 / CONFIG_T::outer, second = CONFIG_T::n_in2 / CONFIG_T::outer;
    if (int(res_T::size) == first + second) { // along the channels: one beat of each makes one beat
    JoinChannels:
        for (int o = 0; o < CONFIG_T::outer; o++) {
            #pragma HLS PIPELINE II=1
            data1_T in1 = a.read();
            data2_T in2 = b.read();
            res_T out;
            for (int c = 0; c < int(res_T::size); c++) {
                #pragma HLS UNROLL
                if (c < first)
                    out[c] = in1[c % int(data1_T::size)];
                else
                    out[c] = in2[(c - first) % int(data2_T::size)];
            }
            res.write(out);
        }
        return;
    }
JoinBlocks: // along another axis: beats pass in blocks
    for (int o = 0; o < CONFIG_T::outer; o++) {
        for (int i = 0; i < first / int(data1_T::size); i++) {
            data1_T in = a.read();
            res_T out;
            for (int c = 0; c < int(res_T::size); c++)
                out[c] = in[c % int(data1_T::size)];
            res.write(out);
        }
        for (int i = 0; i < second / int(data2_T::size); i++) {
            data2_T in = b.read();
            res_T out;
            for (int c = 0; c < int(res_T::size); c++)
                out[c] = in[c % int(data2_T::size)];
            res.write(out);
        }
    }
}

// Transposed convolution as a gather: output (r, c) sums the inputs whose window covers it.
// Weights are (kernel height, kernel width, channels, out channels / groups).
template <class data_T, class res_T, class CONFIG_T, class w_T>
void conv_transpose(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_out], const w_T weight[]) {
    const int per_group = CONFIG_T::out_channels / CONFIG_T::groups;
    const int group_channels = CONFIG_T::in_channels / CONFIG_T::groups;
    for (int r = 0; r < CONFIG_T::out_height; r++) {
        for (int c = 0; c < CONFIG_T::out_width; c++) {
            for (int o = 0; o < CONFIG_T::out_channels; o++) {
                #pragma HLS PIPELINE
                typename CONFIG_T::accum_t acc = 0;
                for (int i = 0; i < CONFIG_T::kernel_height; i++) {
                    for (int j = 0; j < CONFIG_T::kernel_width; j++) {
                        int row = r + CONFIG_T::pad_top - i * CONFIG_T::dilation_height;
                        int column = c + CONFIG_T::pad_left - j * CONFIG_T::dilation_width;
                        if (row < 0 || column < 0 || row % CONFIG_T::stride_height || column % CONFIG_T::stride_width)
                            continue;
                        row /= CONFIG_T::stride_height;
                        column /= CONFIG_T::stride_width;
                        if (row >= CONFIG_T::in_height || column >= CONFIG_T::in_width)
                            continue;
                        for (int k = 0; k < group_channels; k++) {
                            int channel = (o / per_group) * group_channels + k;
                            int tap = (i * CONFIG_T::kernel_width + j) * CONFIG_T::in_channels + channel;
                            typename CONFIG_T::shifted_t x =
                                data[(row * CONFIG_T::in_width + column) * CONFIG_T::in_channels + channel];
                            x -= CONFIG_T::zero_point;
                            acc += x * weight[tap * per_group + o % per_group];
                        }
                    }
                }
                res[(r * CONFIG_T::out_width + c) * CONFIG_T::out_channels + o] = acc;
            }
        }
    }
}

template <class data_T, class res_T, class CONFIG_T, class w_T>
void conv_transpose(hls::stream<data_T> &data, hls::stream<res_T> &res, const w_T weight[]) {
    typename data_T::value_type frame[CONFIG_T::n_in];
    typename res_T::value_type out[CONFIG_T::n_out];
    read_frame<data_T, typename data_T::value_type, CONFIG_T::n_in>(data, frame);
    conv_transpose<typename data_T::value_type, typename res_T::value_type, CONFIG_T>(frame, out, weight);
    write_frame<res_T, typename res_T::value_type, CONFIG_T::n_out>(out, res);
}

// acc[r, c] = sum of row_taps[r, i] * column_taps[c, j] * x[i, j]
template <class data_T, class res_T, class CONFIG_T, class r_T, class c_T>
void resize_linear(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_out], const r_T row_taps[],
                   const c_T column_taps[]) {
    for (int r = 0; r < CONFIG_T::out_height; r++) {
        for (int c = 0; c < CONFIG_T::out_width; c++) {
            for (int k = 0; k < CONFIG_T::out_channels; k++) {
                #pragma HLS PIPELINE
                typename CONFIG_T::accum_t acc = 0;
                for (int i = 0; i < CONFIG_T::in_height; i++) {
                    for (int j = 0; j < CONFIG_T::in_width; j++) {
                        typename CONFIG_T::accum_t tap =
                            row_taps[r * CONFIG_T::in_height + i] * column_taps[c * CONFIG_T::in_width + j];
                        acc += tap * data[(i * CONFIG_T::in_width + j) * CONFIG_T::in_channels + k];
                    }
                }
                res[(r * CONFIG_T::out_width + c) * CONFIG_T::out_channels + k] = acc;
            }
        }
    }
}

template <class data_T, class res_T, class CONFIG_T, class r_T, class c_T>
void resize_linear(hls::stream<data_T> &data, hls::stream<res_T> &res, const r_T row_taps[], const c_T column_taps[]) {
    typename data_T::value_type frame[CONFIG_T::n_in];
    typename res_T::value_type out[CONFIG_T::n_out];
    read_frame<data_T, typename data_T::value_type, CONFIG_T::n_in>(data, frame);
    resize_linear<typename data_T::value_type, typename res_T::value_type, CONFIG_T>(frame, out, row_taps, column_taps);
    write_frame<res_T, typename res_T::value_type, CONFIG_T::n_out>(out, res);
}

// Index of the largest of `length` values that lie `inner` apart; of equal ones the first, or the last.
template <class data_T, class res_T, class CONFIG_T>
void arg_max(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_out]) {
    for (int i = 0; i < CONFIG_T::n_out; i++) {
        #pragma HLS PIPELINE
        int start = (i / CONFIG_T::inner) * CONFIG_T::length * CONFIG_T::inner + i % CONFIG_T::inner;
        data_T best = data[start];
        int at = 0;
        for (int k = 1; k < CONFIG_T::length; k++) {
            data_T x = data[start + k * CONFIG_T::inner];
            if (x > best || (CONFIG_T::last && x == best)) {
                best = x;
                at = k;
            }
        }
        res[i] = at;
    }
}

template <class data_T, class res_T, class CONFIG_T> void arg_max(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    typename data_T::value_type frame[CONFIG_T::n_in];
    typename res_T::value_type out[CONFIG_T::n_out];
    read_frame<data_T, typename data_T::value_type, CONFIG_T::n_in>(data, frame);
    arg_max<typename data_T::value_type, typename res_T::value_type, CONFIG_T>(frame, out);
    write_frame<res_T, typename res_T::value_type, CONFIG_T::n_out>(out, res);
}

} // namespace bitwright

#endif
