// What the kernels over the pyramid share: how nodes are numbered, and the layout in which quads of lanes hold latents.
//
// Levels are counted from 0, the parents of tokens: first the learned ones, of which the last holds the passages, then
// the index-only ones. Nodes are numbered level behind level: node j of level l is row starts[l] + j of everything
// that is [n_nodes].
//
//   node_starts     u32 [n_nodes], the first token of each node; it ends where the next of its level starts
//   first_children  u32 [n_nodes + 1], the first child as a node (on level 0 as a token); the children of a node end
//                   where those of the next begin, which holds from level to level as well
//
// Lane t of a quad holds dimensions 8t to 8t + 7 and 32 + 8t to 32 + 8t + 7 of a latent. Products sum over depths in
// that order, and give their columns in it, so that nothing moves between lanes.

#pragma once

#include "common.cuh"

using bf16 = __nv_bfloat16;

constexpr int SIZE = 64;
constexpr int MAX_LEVELS = 16;
// Queries of a granule, and leaves that it selects, at most.
constexpr int GRANULE = 16;
constexpr int MAX_SELECTED = 32;

struct Levels {
    uint32_t starts[MAX_LEVELS + 1];
    uint32_t n_levels, n_learned;
};

// Tokens of a granule and of its passage, which it does not see.
struct Granule {
    uint32_t start, end, own_start, own_end;
};

__device__ __forceinline__ float bf16_low(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float bf16_high(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

// Eight values that start at a multiple of 16 bytes.
__device__ __forceinline__ void load_8(float (&values)[8], const bf16 *from) {
    const uint4 loaded = __ldg(reinterpret_cast<const uint4 *>(from));
    const uint32_t pairs[4] = {loaded.x, loaded.y, loaded.z, loaded.w};
#pragma unroll
    for (int pair = 0; pair < 4; pair++) {
        values[2 * pair] = bf16_low(pairs[pair]);
        values[2 * pair + 1] = bf16_high(pairs[pair]);
    }
}

__device__ __forceinline__ void load_8(float (&values)[8], const float *from) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float4 loaded = __ldg(reinterpret_cast<const float4 *>(from) + half);
        values[4 * half] = loaded.x;
        values[4 * half + 1] = loaded.y;
        values[4 * half + 2] = loaded.z;
        values[4 * half + 3] = loaded.w;
    }
}

// The dimension that is column `g` of the `tile`-th eight, of a latent's half.
__device__ __forceinline__ int column_of(int tile, int g) { return 8 * (g / 2) + 2 * tile + g % 2; }

// sums[16×8] += a[16×16] · b[16×8].
__device__ __forceinline__ void multiply_bf16(float (&sums)[4], const uint32_t (&a)[4], uint32_t b_low,
                                              uint32_t b_high) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_low), "r"(b_high));
}
