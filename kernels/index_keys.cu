// What is far text found by? The indexer's keys of the pyramid, and the index-only levels above the passages.
//
// The device form of `Context::index` in src/model/global/context.rs. Nodes are numbered as pyramid.cuh says, keys are
// codes as of index_codes.cuh. `lowest` is the lowest level with keys: its first node has the first key.
//
//   index_keys         latents bf16 [n_nodes, 64] of the learned levels, index_key bf16 [32, 64]
//                      -> codes u8 [n_keys, 32] and scales f32 [n_keys] of the learned levels from `lowest` up, and
//                      keys f32 [n_nodes from the passages up, 32] of the passages.
//                      A block of 128 threads for 64 nodes. Floor: 164 bytes a node over 4.3 TB/s.
//   index_only_levels  `base`, the level below those that are made, and `n_made`, how many at once
//                      -> latents (means over tokens), node_starts, first_children and log_sizes of these levels, keys
//                      (means of the children's), codes and scales. The top's first_children has its end.
//                      A block of 256 threads for `span` = ratio^n_made nodes of `base`; 3 levels a launch keep both
//                      the blocks and the launches few. Floor: 260 bytes a node of `base` and 550 one that is made.
//
// Every sum has a fixed order: the same input gives the same bits.

#include "index_codes.cuh"
#include "pyramid.cuh"

namespace {

constexpr int WARPS = 4;
constexpr int LEVEL_WARPS = 8;
constexpr uint32_t ALL_LANES = ~0u;

}  // namespace

extern "C" __global__ void __launch_bounds__(WARPS *WARP)
    index_keys(const bf16 *latents, const bf16 *index_key, const __grid_constant__ Levels levels, uint32_t lowest,
               uint8_t *codes, float *scales, float *keys) {
    const uint32_t first_key = levels.starts[lowest], end = levels.starts[levels.n_learned];
    const uint32_t first_kept = levels.starts[levels.n_learned - 1];
    const uint32_t lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    const uint32_t tile = first_key + (blockIdx.x * WARPS + threadIdx.x / WARP) * 16;
    if (tile >= end) {
        return;
    }
    // Depths stand in the order in which a lane loads them, columns in that in which it stores them.
    uint4 rows[2][2] = {};
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const uint32_t node = tile + g + 8 * half;
        if (node < end) {
            const uint4 *own = reinterpret_cast<const uint4 *>(latents + static_cast<size_t>(node) * SIZE);
            rows[half][0] = __ldg(own + t);
            rows[half][1] = __ldg(own + SIZE / 16 + t);
        }
    }
    float sums[2][8];
#pragma unroll
    for (int column = 0; column < 4; column++) {
                const uint4 *own = reinterpret_cast<const uint4 *>(index_key + column_of(column, g) * SIZE);
        float four[4] = {};
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const uint4 low = rows[0][half], high = rows[1][half], b = __ldg(own + SIZE / 16 * half + t);
            multiply_bf16(four, {low.x, high.x, low.y, high.y}, b.x, b.y);
            multiply_bf16(four, {low.z, high.z, low.w, high.w}, b.z, b.w);
        }
        sums[0][2 * column] = four[0];
        sums[0][2 * column + 1] = four[1];
        sums[1][2 * column] = four[2];
        sums[1][2 * column + 1] = four[3];
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const uint32_t node = tile + g + 8 * half;
        uint2 own;
        const float scale = quantise_quad(sums[half], own);
        if (node >= end) {
            continue;
        }
        const size_t key = node - first_key;
        reinterpret_cast<uint2 *>(codes + key * KEY)[t] = own;
        if (t == 0) {
            scales[key] = scale;
        }
        if (node >= first_kept) {
            float4 *kept = reinterpret_cast<float4 *>(keys + static_cast<size_t>(node - first_kept) * KEY) + 2 * t;
            kept[0] = make_float4(sums[half][0], sums[half][1], sums[half][2], sums[half][3]);
            kept[1] = make_float4(sums[half][4], sums[half][5], sums[half][6], sums[half][7]);
        }
    }
}

namespace {

struct IndexOnly {
    bf16 *latents;
    uint32_t *node_starts, *first_children;
    float *log_sizes;
    uint8_t *codes;
    float *scales, *keys;
    Levels levels;
    uint32_t n_tokens, ratio, lowest, base, n_made;
};

// Where the tokens of a node end that stands for `span` nodes of `base`; the levels between are only being made.
__device__ uint32_t tokens_end(const IndexOnly &in, uint32_t index, uint32_t span) {
    const uint32_t start = in.levels.starts[in.base], next = start + (index + 1) * span;
    return next < in.levels.starts[in.base + 1] ? in.node_starts[next] : in.n_tokens;
}

// Makes one node from its children, which stand for `child_span` nodes of `base` each. A lane has two dimensions of the
// latent and one of the key.
__device__ void make_node(const IndexOnly &in, uint32_t level, uint32_t node, uint32_t child_span) {
    const Levels &levels = in.levels;
    const uint32_t lane = threadIdx.x % WARP, below_start = levels.starts[level - 1], below_end = levels.starts[level];
    const uint32_t first = below_start + (node - below_end) * in.ratio, end = min(first + in.ratio, below_end);
    const uint32_t first_kept = levels.starts[levels.n_learned - 1];
    const uint32_t start = in.node_starts[first];
    const uint32_t n_own = tokens_end(in, end - 1 - below_start, child_span) - start;
    const float per_token = n_own > 0 ? 1.0f / static_cast<float>(n_own) : 0.0f;
    const float per_child = 1.0f / static_cast<float>(end - first);
    float low = 0.0f, high = 0.0f, key = 0.0f;
    for (uint32_t child = first; child < end; child++) {
        const uint32_t child_end = tokens_end(in, child - below_start, child_span);
        const float share = static_cast<float>(child_end - in.node_starts[child]) * per_token;
        const uint32_t pair = reinterpret_cast<const uint32_t *>(in.latents)[static_cast<size_t>(child) * WARP + lane];
        low = fmaf(share, bf16_low(pair), low);
        high = fmaf(share, bf16_high(pair), high);
        key = fmaf(per_child, in.keys[static_cast<size_t>(child - first_kept) * KEY + lane], key);
    }
    reinterpret_cast<uint32_t *>(in.latents)[static_cast<size_t>(node) * WARP + lane] = pack_bf16(low, high);
    in.keys[static_cast<size_t>(node - first_kept) * KEY + lane] = key;
    const float largest = __uint_as_float(__reduce_max_sync(ALL_LANES, __float_as_uint(fabsf(key))));
    const float inverse = inverse_scale(largest, LARGEST_CODE);
    const size_t at = node - levels.starts[in.lowest];
    float scaled[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        scaled[i] = __shfl_sync(ALL_LANES, key, (4 * lane + i) % WARP) * inverse;
    }
    if (lane < KEY / 4) {
        reinterpret_cast<uint32_t *>(in.codes + at * KEY)[lane] = encode(scaled);
    }
    if (lane == 0) {
        in.scales[at] = largest / LARGEST_CODE;
        in.node_starts[node] = start;
        in.first_children[node] = first;
        in.log_sizes[node] = logf(static_cast<float>(n_own));
        if (node + 1 == levels.starts[levels.n_levels]) {
            in.first_children[node + 1] = end;
        }
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(LEVEL_WARPS *WARP)
    index_only_levels(const __grid_constant__ IndexOnly in, uint32_t span) {
    uint32_t child_span = 1;
    for (uint32_t level = in.base + 1; level <= in.base + in.n_made; level++, child_span *= in.ratio) {
        span /= in.ratio;
        const uint32_t start = in.levels.starts[level];
        const uint32_t first = start + blockIdx.x * span, end = min(first + span, in.levels.starts[level + 1]);
        for (uint32_t node = first + threadIdx.x / WARP; node < end; node += LEVEL_WARPS) {
            make_node(in, level, node, child_span);
        }
        __syncthreads();
    }
}
