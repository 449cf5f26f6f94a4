// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// C++ simulation of an hls4ml project on integers: reads int64 frames from a file, calls the top function once per
// frame, writes int64 results. Nothing passes through floating point. The generated csim.cpp names the arguments.

#ifndef BITWRIGHT_CSIM_MAIN_H_
#define BITWRIGHT_CSIM_MAIN_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "hls_stream.h"

namespace csim {

struct File {
    FILE *handle;
    File(const char *path, const char *mode) : handle(std::fopen(path, mode)) {
        if (!handle) {
            std::fprintf(stderr, "csim: cannot open %s\n", path);
            std::exit(3);
        }
    }
    ~File() { std::fclose(handle); }
};

inline bool read(File &file, std::vector<int64_t> &frame) {
    return std::fread(frame.data(), sizeof(int64_t), frame.size(), file.handle) == frame.size();
}

inline void write(File &file, const std::vector<int64_t> &frame) {
    if (std::fwrite(frame.data(), sizeof(int64_t), frame.size(), file.handle) != frame.size()) {
        std::fprintf(stderr, "csim: cannot write the results\n");
        std::exit(3);
    }
}

// io_parallel
template <class T> void fill(const std::vector<int64_t> &frame, T *x) {
    for (size_t i = 0; i < frame.size(); i++)
        x[i] = T(frame[i]);
}
template <class T> void drain(T *y, std::vector<int64_t> &frame) {
    for (size_t i = 0; i < frame.size(); i++)
        frame[i] = int64_t(y[i].to_int64());
}

// io_stream
template <class T> void fill(const std::vector<int64_t> &frame, hls::stream<T> &x) {
    for (size_t i = 0; i < frame.size(); i += T::size) {
        T beat;
        for (size_t c = 0; c < T::size; c++)
            beat[c] = typename T::value_type(frame[i + c]);
        x.write(beat);
    }
}
template <class T> void drain(hls::stream<T> &y, std::vector<int64_t> &frame) {
    for (size_t i = 0; i < frame.size(); i += T::size) {
        if (y.empty()) {
            std::fprintf(stderr, "csim: the top function gave %zu of %zu values\n", i, frame.size());
            std::exit(4);
        }
        T beat = y.read();
        for (size_t c = 0; c < T::size; c++)
            frame[i + c] = int64_t(beat[c].to_int64());
    }
    if (!y.empty()) {
        std::fprintf(stderr, "csim: the top function gave more than %zu values\n", frame.size());
        std::exit(4);
    }
}

} // namespace csim

#endif
