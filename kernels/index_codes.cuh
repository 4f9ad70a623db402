// The indexer's codes and the products over them: one byte a value, and a scale a row by which its largest magnitude is
// the largest code.
//
// FP8 (e4m3) where there is a conversion, sm_89 and later, and int8 as on a CPU before that. The kernels that write
// codes and those that read them are of one build, so they agree.

#pragma once

#include <cuda_fp16.h>

#include "common.cuh"

constexpr int KEY = 32;

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
#define HAS_FP8 1
#endif

#ifdef HAS_FP8

constexpr float LARGEST_CODE = 448.0f;

__device__ __forceinline__ uint32_t encode(const float *values) {
    uint16_t low, high;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(low) : "f"(values[1]), "f"(values[0]));
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(high) : "f"(values[3]), "f"(values[2]));
    return low | static_cast<uint32_t>(high) << 16;
}

#else

constexpr float LARGEST_CODE = 127.0f;

__device__ __forceinline__ uint32_t encode(const float *values) {
    uint32_t codes = 0;
#pragma unroll
    for (int at = 0; at < 4; at++) {
        codes |= (static_cast<uint32_t>(__float2int_rn(roundf(values[at]))) & 0xff) << (8 * at);
    }
    return codes;
}

#endif

// Values that are too small for a scale that has an inverse become zero.
__device__ __forceinline__ float inverse_scale(float largest, float largest_code) {
    return largest > 1e-35f ? __fdividef(largest_code, largest) : 0.0f;
}

// The largest magnitude of a row of 32 of which each lane of a quad has 8.
__device__ __forceinline__ float largest_of_quad(const float (&values)[8]) {
    float largest = 0.0f;
#pragma unroll
    for (const float value : values) {
        largest = fmaxf(largest, fabsf(value));
    }
    return quad_max(largest);
}

// The codes of such a row. Gives the scale.
__device__ __forceinline__ float quantise_quad(const float (&values)[8], uint2 &codes) {
    const float largest = largest_of_quad(values), inverse = inverse_scale(largest, LARGEST_CODE);
    float scaled[8];
#pragma unroll
    for (int at = 0; at < 8; at++) {
        scaled[at] = values[at] * inverse;
    }
    codes = make_uint2(encode(scaled), encode(scaled + 4));
    return largest / LARGEST_CODE;
}

__device__ __forceinline__ uint32_t pack_f16(float low, float high) {
    uint32_t packed;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

// Without what is negative.
__device__ __forceinline__ uint32_t pack_positive_f16(float low, float high) {
    uint32_t packed;
    asm("cvt.rn.relu.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

// sums[16×8] += a[16×16] · b[16×8].
__device__ __forceinline__ void multiply_f16(float (&sums)[4], const uint32_t (&a)[4], uint32_t b_low,
                                             uint32_t b_high) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_low), "r"(b_high));
}

#ifdef HAS_FP8

// A lane's part of eight rows of queries, in f16: sm_90's mma.sync would unpack codes of eight bits at every use, which
// the keys are once.
struct QueryCodes {
    uint32_t halves[4];
};

// The values of a row of which each lane of a quad has 8, the largest being 1. Gives the scale.
__device__ __forceinline__ float encode_queries(const float (&values)[8], QueryCodes &codes) {
    const float largest = largest_of_quad(values), inverse = inverse_scale(largest, 1.0f);
#pragma unroll
    for (int pair = 0; pair < 4; pair++) {
        codes.halves[pair] = pack_f16(values[2 * pair] * inverse, values[2 * pair + 1] * inverse);
    }
    return largest;
}

// A lane's part of 16 keys: of row g and of row g + 8.
struct KeyCodes {
    uint32_t halves[2][4];

    __device__ __forceinline__ KeyCodes(const uint2 (&codes)[2]) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            unpack(halves[half], codes[half].x);
            unpack(halves[half] + 2, codes[half].y);
        }
    }

    __device__ static void unpack(uint32_t *to, uint32_t codes) {
        asm("{\n"
            ".reg .b16 low, high;\n"
            "mov.b32 {low, high}, %2;\n"
            "cvt.rn.f16x2.e4m3x2 %0, low;\n"
            "cvt.rn.f16x2.e4m3x2 %1, high;\n"
            "}\n"
            : "=r"(to[0]), "=r"(to[1])
            : "r"(codes));
    }
};

// Products of 16 keys and 8 rows of queries, below 2^15.
__device__ __forceinline__ void multiply(float (&products)[4], const KeyCodes &keys, const QueryCodes &queries) {
#pragma unroll
    for (float &product : products) {
        product = 0.0f;
    }
#pragma unroll
    for (int step = 0; step < 4; step += 2) {
        multiply_f16(products,
                     {keys.halves[0][step], keys.halves[1][step], keys.halves[0][step + 1], keys.halves[1][step + 1]},
                     queries.halves[step], queries.halves[step + 1]);
    }
}

#else

using QueryCodes = uint2;

__device__ __forceinline__ float encode_queries(const float (&values)[8], QueryCodes &codes) {
    return quantise_quad(values, codes);
}

struct KeyCodes {
    const uint2 (&codes)[2];
};

// Products of 16 keys and 8 rows of queries over 16, below 2^15.
__device__ __forceinline__ void multiply(float (&products)[4], const KeyCodes &keys, const QueryCodes &queries) {
    // A float of this size counts in units, so that an integer added to its bits is added to its value.
    constexpr float UNITS = 12582912.0f, SHARE = 1.0f / 16.0f;
    int sums[4];
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%10, %10, %10, %10};"
        : "=r"(sums[0]), "=r"(sums[1]), "=r"(sums[2]), "=r"(sums[3])
        : "r"(keys.codes[0].x), "r"(keys.codes[1].x), "r"(keys.codes[0].y), "r"(keys.codes[1].y), "r"(queries.x),
          "r"(queries.y), "r"(__float_as_int(UNITS)));
#pragma unroll
    for (int at = 0; at < 4; at++) {
        products[at] = fmaf(__int_as_float(sums[at]), SHARE, -UNITS * SHARE);
    }
}

#endif
