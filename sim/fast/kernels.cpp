// SPDX-FileCopyrightText: 2026 The bitwright authors
// SPDX-License-Identifier: Apache-2.0
//
// Native kernels of the fast simulator: integer products, exact in int32, with the requantization fused behind them.
//
// Activations are int16 in (batch, H, W, C). Products are formed in pairs (pmaddwd) and summed in int32; the caller has
// proven that no sum leaves int32. A requantization is clip(floor(q * a + b)) in float, proven equal to the integer form
// by the caller (staircase.py); this file must be compiled without contraction to fused multiply-add.
// On AVX2 a pmaddwd does 16 products where a float multiply-add does 8, which pays for the requantization.

#include <immintrin.h>
#include <omp.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

// One requantization in float32 for a block of 8 channels.
inline __m256i requantize(__m256i acc, const float *a, const float *b, const float *lo, const float *hi) {
    __m256 v = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(a)), _mm256_loadu_ps(b));
    v = _mm256_floor_ps(v);
    v = _mm256_min_ps(_mm256_max_ps(v, _mm256_loadu_ps(lo)), _mm256_loadu_ps(hi));
    return _mm256_cvtps_epi32(v);
}

// One row of values, 8 channels at a time: at(c) gives those from channel c on, and may read 7 beyond the last. form is
// (4, channels), readable 7 values beyond its end.
template <class At> inline void requantize_row(int16_t *y, int channels, const float *form, At at) {
    for (int c = 0; c < channels; c += 8) {
        const float *f = form + c;
        __m256i q = requantize(at(c), f, f + channels, f + 2 * channels, f + 3 * channels);
        q = _mm256_permute4x64_epi64(_mm256_packs_epi32(q, q), 0x08);
        if (channels - c >= 8) {
            _mm_storeu_si128((__m128i *)(y + c), _mm256_castsi256_si128(q));
        } else { // what follows may belong to another thread
            int16_t all[8];
            _mm_storeu_si128((__m128i *)all, _mm256_castsi256_si128(q));
            std::memcpy(y + c, all, (channels - c) * sizeof(int16_t));
        }
    }
}

constexpr int COLUMNS = 16; // channels per block
constexpr int ROWS = 6;

// acc = start + A (rows x depth) * B, B packed as [depth / 2][COLUMNS][2]; then requantize and store.
template <int R>
inline void block(const int16_t *a, long stride, const int16_t *b, int pairs, const int32_t *start, const float *form,
                  long padded, int16_t *y, long y_stride, int columns) {
    __m256i acc[R][2];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
        acc[r][0] = _mm256_loadu_si256((const __m256i *)start);
        acc[r][1] = _mm256_loadu_si256((const __m256i *)(start + 8));
    }
    for (int k = 0; k < pairs; k++) {
        __m256i b0 = _mm256_loadu_si256((const __m256i *)(b + k * 2 * COLUMNS));
        __m256i b1 = _mm256_loadu_si256((const __m256i *)(b + k * 2 * COLUMNS + COLUMNS));
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            int32_t pair;
            std::memcpy(&pair, a + r * stride + 2 * k, 4);
            __m256i x = _mm256_set1_epi32(pair);
            acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(x, b0));
            acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(x, b1));
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
        __m256i q0 = requantize(acc[r][0], form, form + padded, form + 2 * padded, form + 3 * padded);
        __m256i q1 = requantize(acc[r][1], form + 8, form + padded + 8, form + 2 * padded + 8, form + 3 * padded + 8);
        __m256i q = _mm256_permute4x64_epi64(_mm256_packs_epi32(q0, q1), 0xD8);
        if (columns == COLUMNS) {
            _mm256_storeu_si256((__m256i *)(y + r * y_stride), q);
        } else {
            int16_t all[COLUMNS];
            _mm256_storeu_si256((__m256i *)all, q);
            std::memcpy(y + r * y_stride, all, columns * sizeof(int16_t));
        }
    }
}

void multiply(const int16_t *a, long rows, long stride, const int16_t *b, int pairs, int outputs, const int32_t *start,
              const float *form, int16_t *y, long y_stride) {
    long padded = (outputs + COLUMNS - 1) / COLUMNS * COLUMNS;
    // Column blocks outside: one packed block of B stays in the first-level cache over all rows.
    for (int n = 0; n < outputs; n += COLUMNS) {
        const int16_t *packed = b + (long)(n / COLUMNS) * pairs * 2 * COLUMNS;
        int columns = outputs - n < COLUMNS ? outputs - n : COLUMNS;
        long r = 0;
        for (; r + ROWS <= rows; r += ROWS)
            block<ROWS>(a + r * stride, stride, packed, pairs, start + n, form + n, padded, y + r * y_stride + n,
                        y_stride, columns);
        for (; r < rows; r++)
            block<1>(a + r * stride, stride, packed, pairs, start + n, form + n, padded, y + r * y_stride + n, y_stride,
                     columns);
    }
}

} // namespace

extern "C" {

void bw_threads(int n) { omp_set_num_threads(n); }
int bw_cores() { return omp_get_num_procs(); }

// Matrix product with requantization: x (rows, depth) -> y (rows, outputs). x must be readable one value beyond its end.
void bw_dense(const int16_t *x, int16_t *y, long rows, int depth, int outputs, const int16_t *weight,
              const int32_t *start, const float *form) {
    const long tile = 48;
    // Waking the other threads costs some microseconds: small products stay on this one.
#pragma omp parallel for schedule(dynamic) if (rows > tile && (double)rows * depth * outputs > 4e6)
    for (long first = 0; first < rows; first += tile) {
        long count = rows - first < tile ? rows - first : tile;
        multiply(x + first * depth, count, depth, weight, (depth + 1) / 2, outputs, start, form, y + first * outputs,
                 outputs);
    }
}

// The same with the requantization in float64, for small products whose float32 form does not exist: the fine gates of
// squeeze-and-excitation. weight is (outputs, depth), form (4, outputs).
void bw_dense64(const int16_t *x, int16_t *y, long rows, int depth, int outputs, const int16_t *weight,
                const int32_t *start, const double *form) {
    const double *a = form, *b = form + outputs, *lo = form + 2 * outputs, *hi = form + 3 * outputs;
#pragma omp parallel for schedule(static) if ((double)rows * depth * outputs > 4e6)
    for (long r = 0; r < rows; r++) {
        const int16_t *in = x + r * depth;
        for (int o = 0; o < outputs; o++) {
            const int16_t *w = weight + (long)o * depth;
            int32_t acc = start[o];
            for (int k = 0; k < depth; k++)
                acc += (int32_t)in[k] * w[k];
            double v = std::floor(acc * a[o] + b[o]);
            v = v < lo[o] ? lo[o] : v;
            y[r * outputs + o] = (int16_t)(v > hi[o] ? hi[o] : v);
        }
    }
}

// Convolution (groups 1): shape = {H, W, C, OH, OW, O, kh, kw, sh, sw, dh, dw, top, left}.
void bw_conv(const int16_t *x, int16_t *y, long batch, const int *shape, int zero_point, const int16_t *weight,
             const int32_t *start, const float *form) {
    const int H = shape[0], W = shape[1], C = shape[2], OH = shape[3], OW = shape[4], O = shape[5], kh = shape[6],
              kw = shape[7], sh = shape[8], sw = shape[9], dh = shape[10], dw = shape[11], top = shape[12],
              left = shape[13];
    const int depth = kh * kw * C;
#pragma omp parallel
    {
        std::vector<int16_t> columns((size_t)OW * depth + 1);
#pragma omp for schedule(dynamic)
        for (long row = 0; row < batch * OH; row++) {
            const int16_t *frame = x + (row / OH) * H * W * C;
            const int oh = row % OH;
            for (int ow = 0; ow < OW; ow++) {
                int16_t *out = columns.data() + (size_t)ow * depth;
                for (int i = 0; i < kh; i++) {
                    int r = oh * sh + i * dh - top;
                    for (int j = 0; j < kw; j++, out += C) {
                        int c = ow * sw + j * dw - left;
                        if (r < 0 || r >= H || c < 0 || c >= W)
                            for (int k = 0; k < C; k++)
                                out[k] = zero_point;
                        else
                            std::memcpy(out, frame + ((long)r * W + c) * C, C * sizeof(int16_t));
                    }
                }
            }
            multiply(columns.data(), OW, depth, weight, (depth + 1) / 2, O, start, form, y + row * OW * O, O);
        }
    }
}

// Depthwise convolution. Taps come in pairs; weight is [C / 16][taps / 2][32], rounded up, with the two taps of a pair
// interleaved the way unpacklo / unpackhi interleave them; start and form are in the same order per 16 channels, and
// filled up to a multiple of 16. x must be readable 16 values beyond its end.
void bw_depthwise(const int16_t *x, int16_t *y, long batch, const int *shape, int zero_point, const int16_t *weight,
                  const int32_t *start, const float *form) {
    const int H = shape[0], W = shape[1], C = shape[2], OH = shape[3], OW = shape[4], kh = shape[6], kw = shape[7],
              sh = shape[8], sw = shape[9], dh = shape[10], dw = shape[11], top = shape[12], left = shape[13];
    const int taps = kh * kw, pairs = (taps + 1) / 2, P = (C + COLUMNS - 1) / COLUMNS * COLUMNS;
    std::vector<int16_t> outside(P, (int16_t)zero_point);
#pragma omp parallel
    {
        std::vector<const int16_t *> tap(2 * pairs);
#pragma omp for schedule(dynamic)
        for (long row = 0; row < batch * OH; row++) {
            const int16_t *frame = x + (row / OH) * H * W * C;
            const int oh = row % OH;
            for (int ow = 0; ow < OW; ow++) {
                for (int i = 0; i < kh; i++)
                    for (int j = 0; j < kw; j++) {
                        int r = oh * sh + i * dh - top, c = ow * sw + j * dw - left;
                        bool padding = r < 0 || r >= H || c < 0 || c >= W;
                        tap[i * kw + j] = padding ? outside.data() : frame + ((long)r * W + c) * C;
                    }
                if (taps & 1)
                    tap[taps] = outside.data(); // its weight is 0
                int16_t *out = y + (row * OW + ow) * C;
                const int16_t *w = weight;
                for (int c = 0; c < C; c += 16) {
                    __m256i low = _mm256_loadu_si256((const __m256i *)(start + c));
                    __m256i high = _mm256_loadu_si256((const __m256i *)(start + c + 8));
                    for (int p = 0; p < pairs; p++, w += 32) {
                        __m256i u = _mm256_loadu_si256((const __m256i *)(tap[2 * p] + c));
                        __m256i v = _mm256_loadu_si256((const __m256i *)(tap[2 * p + 1] + c));
                        low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(u, v),
                                                                      _mm256_loadu_si256((const __m256i *)w)));
                        high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(u, v),
                                                                        _mm256_loadu_si256((const __m256i *)(w + 16))));
                    }
                    __m256i q0 = requantize(low, form + c, form + P + c, form + 2 * P + c, form + 3 * P + c);
                    const float *f = form + c + 8;
                    __m256i q1 = requantize(high, f, f + P, f + 2 * P, f + 3 * P);
                    __m256i q = _mm256_packs_epi32(q0, q1);
                    if (C - c >= COLUMNS) {
                        _mm256_storeu_si256((__m256i *)(out + c), q);
                    } else { // what follows may belong to another thread
                        int16_t all[COLUMNS];
                        _mm256_storeu_si256((__m256i *)all, q);
                        std::memcpy(out + c, all, (C - c) * sizeof(int16_t));
                    }
                }
            }
        }
    }
}

// y = clip(floor((x1 * m1 + x2 * m2) * a + b)) in float64.
void bw_add(const int16_t *x1, const int16_t *x2, int16_t *y, long n, double m1, double m2, double a, double b,
            double lo, double hi) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) {
        double v = std::floor((x1[i] * m1 + x2[i] * m2) * a + b);
        v = v < lo ? lo : v;
        y[i] = (int16_t)(v > hi ? hi : v);
    }
}

// y = clip(floor(x * a + b)) for each channel. form is (4, C).
void bw_requantize(const int16_t *x, int16_t *y, long rows, int channels, const float *form) {
#pragma omp parallel for schedule(static) if (rows * channels > 100000)
    for (long r = 0; r < rows; r++)
        requantize_row(y + r * channels, channels, form, [in = x + r * channels](int c) {
            return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(in + c)));
        });
}

// y = clip(floor((x1 - zero1) * (x2 - zero2) * a + b)). x2 has one row of C for every `share` rows of x1: 1, or all
// positions of a frame for a gate. form is (4, C); the caller has proven that the products stay below 2**24.
void bw_multiply(const int16_t *x1, const int16_t *x2, int16_t *y, long rows, int channels, long share, int zero1,
                 int zero2, const float *form) {
    const __m256i z1 = _mm256_set1_epi32(zero1), z2 = _mm256_set1_epi32(zero2);
#pragma omp parallel for schedule(static) if (rows * channels > 100000)
    for (long r = 0; r < rows; r++) {
        const int16_t *in1 = x1 + r * channels, *in2 = x2 + r / share * channels;
        requantize_row(y + r * channels, channels, form, [=](int c) {
            __m256i a = _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(in1 + c)));
            __m256i b = _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(in2 + c)));
            return _mm256_mullo_epi32(_mm256_sub_epi32(a, z1), _mm256_sub_epi32(b, z2));
        });
    }
}

// y[c] = clip(floor(sum over positions of (x - zero_point) * a + b)): global pooling.
// In float64, which costs nothing here and follows the long sums of large maps. form is (4, C).
void bw_pool(const int16_t *x, int16_t *y, long batch, int positions, int channels, int zero_point,
             const double *form) {
#pragma omp parallel for schedule(static)
    for (long n = 0; n < batch; n++) {
        std::vector<int32_t> sum(channels, -zero_point * positions);
        for (int p = 0; p < positions; p++)
            for (int c = 0; c < channels; c++)
                sum[c] += x[(n * positions + p) * channels + c];
        for (int c = 0; c < channels; c++) {
            double v = std::floor(sum[c] * form[c] + form[channels + c]);
            v = v < form[2 * channels + c] ? form[2 * channels + c] : v;
            y[n * channels + c] = (int16_t)(v > form[3 * channels + c] ? form[3 * channels + c] : v);
        }
    }
}
}
