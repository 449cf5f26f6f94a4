// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Sliding windows over feature maps: grouped, dilated and depthwise convolution, sum and maximum pooling, and
// deformable convolution with bounded whole-number offsets.
//
// One kernel serves both I/O types. It reads a buffer of CONFIG_T::buffer_rows rows, used in a ring: row r lies at
// r % buffer_rows. In io_parallel the buffer is the whole frame. In io_stream rows are read as they are needed and the
// ring holds the (kernel_height - 1) * dilation + 1 rows of a window, plus, for deformable convolution, the rows that
// the bounded offsets can reach above and below: the line buffer of CoDeNet (Huang et al., FPGA 2021).
// Throughput in io_stream: one output position per pipelined iteration of OutColumns.

#ifndef BITWRIGHT_WINDOW_H_
#define BITWRIGHT_WINDOW_H_

#include "bitwright_common.h"

namespace bitwright {

// The value at (row, column, channel) of a ring of rows.
template <class CONFIG_T, class value_T> value_T pixel(const value_T buffer[], int row, int column, int channel) {
    #pragma HLS INLINE
    return buffer[((row % CONFIG_T::buffer_rows) * CONFIG_T::in_width + column) * CONFIG_T::in_channels + channel];
}

template <class CONFIG_T> bool inside(int row, int column) {
    #pragma HLS INLINE
    return row >= 0 && row < CONFIG_T::in_height && column >= 0 && column < CONFIG_T::in_width;
}

// Convolution; weights are (kernel height, kernel width, channels / groups, out channels).
template <class CONFIG_T> struct conv_window {
    template <class value_T, class res_T, class w_T>
    static void at(const value_T buffer[], int out_row, int out_column, res_T out[], const w_T weight[]) {
        #pragma HLS INLINE
        for (int o = 0; o < CONFIG_T::out_channels; o++) {
            #pragma HLS UNROLL
            int group = o / (CONFIG_T::out_channels / CONFIG_T::groups);
            typename CONFIG_T::accum_t acc = 0;
            for (int i = 0; i < CONFIG_T::kernel_height; i++) {
                for (int j = 0; j < CONFIG_T::kernel_width; j++) {
                    int row = out_row * CONFIG_T::stride_height + i * CONFIG_T::dilation_height - CONFIG_T::pad_top;
                    int column = out_column * CONFIG_T::stride_width + j * CONFIG_T::dilation_width - CONFIG_T::pad_left;
                    if (!inside<CONFIG_T>(row, column))
                        continue;
                    for (int c = 0; c < CONFIG_T::group_channels; c++) {
                        #pragma HLS UNROLL
                        int tap = (i * CONFIG_T::kernel_width + j) * CONFIG_T::group_channels + c;
                        typename CONFIG_T::shifted_t x =
                            pixel<CONFIG_T>(buffer, row, column, group * CONFIG_T::group_channels + c);
                        x -= CONFIG_T::zero_point;
                        acc += x * weight[tap * CONFIG_T::out_channels + o];
                    }
                }
            }
            out[o] = acc;
        }
    }
};

// acc = sum of (x - zero_point) over the window
template <class CONFIG_T> struct sum_window {
    template <class value_T, class res_T>
    static void at(const value_T buffer[], int out_row, int out_column, res_T out[]) {
        #pragma HLS INLINE
        for (int c = 0; c < CONFIG_T::out_channels; c++) {
            #pragma HLS UNROLL
            typename CONFIG_T::accum_t acc = 0;
            for (int i = 0; i < CONFIG_T::kernel_height; i++) {
                for (int j = 0; j < CONFIG_T::kernel_width; j++) {
                    int row = out_row * CONFIG_T::stride_height + i * CONFIG_T::dilation_height - CONFIG_T::pad_top;
                    int column = out_column * CONFIG_T::stride_width + j * CONFIG_T::dilation_width - CONFIG_T::pad_left;
                    if (inside<CONFIG_T>(row, column)) {
                        typename CONFIG_T::shifted_t x = pixel<CONFIG_T>(buffer, row, column, c);
                        acc += x - CONFIG_T::zero_point;
                    }
                }
            }
            out[c] = acc;
        }
    }
};

// Largest value of the window; padding never wins.
template <class CONFIG_T> struct max_window {
    template <class value_T, class res_T>
    static void at(const value_T buffer[], int out_row, int out_column, res_T out[]) {
        #pragma HLS INLINE
        for (int c = 0; c < CONFIG_T::out_channels; c++) {
            #pragma HLS UNROLL
            value_T best = 0;
            bool any = false;
            for (int i = 0; i < CONFIG_T::kernel_height; i++) {
                for (int j = 0; j < CONFIG_T::kernel_width; j++) {
                    int row = out_row * CONFIG_T::stride_height + i * CONFIG_T::dilation_height - CONFIG_T::pad_top;
                    int column = out_column * CONFIG_T::stride_width + j * CONFIG_T::dilation_width - CONFIG_T::pad_left;
                    if (inside<CONFIG_T>(row, column)) {
                        value_T x = pixel<CONFIG_T>(buffer, row, column, c);
                        if (!any || x > best)
                            best = x;
                        any = true;
                    }
                }
            }
            out[c] = best;
        }
    }
};

// Convolution whose taps are displaced by offsets[2 * (taps * offset_group + tap) + (0: rows, 1: columns)].
template <class CONFIG_T> struct deform_window {
    template <class value_T, class offset_T, class res_T, class w_T>
    static void at(const value_T buffer[], int out_row, int out_column, const offset_T offsets[], res_T out[],
                   const w_T weight[]) {
        #pragma HLS INLINE
        const int taps = CONFIG_T::kernel_height * CONFIG_T::kernel_width;
        const int shared = CONFIG_T::in_channels / CONFIG_T::offset_groups;
        for (int o = 0; o < CONFIG_T::out_channels; o++) {
            #pragma HLS UNROLL
            int group = o / (CONFIG_T::out_channels / CONFIG_T::groups);
            typename CONFIG_T::accum_t acc = 0;
            for (int i = 0; i < CONFIG_T::kernel_height; i++) {
                for (int j = 0; j < CONFIG_T::kernel_width; j++) {
                    for (int c = 0; c < CONFIG_T::group_channels; c++) {
                        int channel = group * CONFIG_T::group_channels + c;
                        int at_offset = 2 * (taps * (channel / shared) + i * CONFIG_T::kernel_width + j);
                        int row = out_row * CONFIG_T::stride_height + i * CONFIG_T::dilation_height -
                                  CONFIG_T::pad_top + int(offsets[at_offset]);
                        int column = out_column * CONFIG_T::stride_width + j * CONFIG_T::dilation_width -
                                     CONFIG_T::pad_left + int(offsets[at_offset + 1]);
                        if (inside<CONFIG_T>(row, column)) {
                            int tap = (i * CONFIG_T::kernel_width + j) * CONFIG_T::group_channels + c;
                            typename CONFIG_T::shifted_t x = pixel<CONFIG_T>(buffer, row, column, channel);
                            x -= CONFIG_T::zero_point;
                            acc += x * weight[tap * CONFIG_T::out_channels + o];
                        }
                    }
                }
            }
            out[o] = acc;
        }
    }
};

// Reads input rows into the ring until row `needed` is there (or the frame ends).
template <class CONFIG_T, class data_T, class value_T>
void advance(hls::stream<data_T> &data, value_T buffer[], int &have, int needed) {
    #pragma HLS INLINE
InRows:
    while (have <= needed && have < CONFIG_T::in_height) {
    InColumns:
        for (int column = 0; column < CONFIG_T::in_width; column++) {
            #pragma HLS PIPELINE
            data_T beat = data.read();
            for (int c = 0; c < CONFIG_T::in_channels; c++) {
                #pragma HLS UNROLL
                buffer[((have % CONFIG_T::buffer_rows) * CONFIG_T::in_width + column) * CONFIG_T::in_channels + c] =
                    beat[c];
            }
        }
        have++;
    }
}

// The last input row that output row `out_row` can read.
template <class CONFIG_T> int last_row(int out_row) {
    #pragma HLS INLINE
    return out_row * CONFIG_T::stride_height - CONFIG_T::pad_top +
           (CONFIG_T::kernel_height - 1) * CONFIG_T::dilation_height + CONFIG_T::reach_below;
}

// io_parallel: every window of the frame. `weight` is left out for pooling.
template <class data_T, class res_T, class CONFIG_T, class... table_T>
void window(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_out], const table_T *...tables) {
OutRows:
    for (int r = 0; r < CONFIG_T::out_height; r++) {
        for (int c = 0; c < CONFIG_T::out_width; c++) {
            #pragma HLS PIPELINE
            CONFIG_T::kernel::at(data, r, c, &res[(r * CONFIG_T::out_width + c) * CONFIG_T::out_channels], tables...);
        }
    }
}

template <class data_T, class res_T, class CONFIG_T, class... table_T>
void window(hls::stream<data_T> &data, hls::stream<res_T> &res, const table_T *...tables) {
    typename data_T::value_type buffer[CONFIG_T::buffer_rows * CONFIG_T::in_width * CONFIG_T::in_channels];
    int have = 0;
OutRows:
    for (int r = 0; r < CONFIG_T::out_height; r++) {
        advance<CONFIG_T>(data, buffer, have, last_row<CONFIG_T>(r));
    OutColumns:
        for (int c = 0; c < CONFIG_T::out_width; c++) {
            #pragma HLS PIPELINE
            typename res_T::value_type out[CONFIG_T::out_channels];
            CONFIG_T::kernel::at(buffer, r, c, out, tables...);
            res_T beat;
            for (int o = 0; o < CONFIG_T::out_channels; o++) {
                #pragma HLS UNROLL
                beat[o] = out[o];
            }
            res.write(beat);
        }
    }
    // Rows that no window reads (strides, negative padding) still have to be taken off the stream.
    advance<CONFIG_T>(data, buffer, have, CONFIG_T::in_height);
}

// Deformable convolution: a second input brings the offsets, one beat per output position.
template <class data_T, class offset_T, class res_T, class CONFIG_T, class w_T>
void deform(data_T data[CONFIG_T::n_in], offset_T offsets[CONFIG_T::n_offsets], res_T res[CONFIG_T::n_out],
            const w_T weight[]) {
OutRows:
    for (int r = 0; r < CONFIG_T::out_height; r++) {
        for (int c = 0; c < CONFIG_T::out_width; c++) {
            #pragma HLS PIPELINE
            int position = r * CONFIG_T::out_width + c;
            CONFIG_T::kernel::at(data, r, c, &offsets[position * CONFIG_T::offset_channels],
                                 &res[position * CONFIG_T::out_channels], weight);
        }
    }
}

template <class data_T, class offset_T, class res_T, class CONFIG_T, class w_T>
void deform(hls::stream<data_T> &data, hls::stream<offset_T> &offsets, hls::stream<res_T> &res, const w_T weight[]) {
    typename data_T::value_type buffer[CONFIG_T::buffer_rows * CONFIG_T::in_width * CONFIG_T::in_channels];
    int have = 0;
OutRows:
    for (int r = 0; r < CONFIG_T::out_height; r++) {
        advance<CONFIG_T>(data, buffer, have, last_row<CONFIG_T>(r));
    OutColumns:
        for (int c = 0; c < CONFIG_T::out_width; c++) {
            #pragma HLS PIPELINE
            offset_T beat = offsets.read();
            typename offset_T::value_type moved[CONFIG_T::offset_channels];
            for (int k = 0; k < CONFIG_T::offset_channels; k++) {
                #pragma HLS UNROLL
                moved[k] = beat[k];
            }
            typename res_T::value_type out[CONFIG_T::out_channels];
            CONFIG_T::kernel::at(buffer, r, c, moved, out, weight);
            res_T result;
            for (int o = 0; o < CONFIG_T::out_channels; o++) {
                #pragma HLS UNROLL
                result[o] = out[o];
            }
            res.write(result);
        }
    }
    advance<CONFIG_T>(data, buffer, have, CONFIG_T::in_height);
}

} // namespace bitwright

#endif
