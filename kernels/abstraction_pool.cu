// What stands for several neighbours? The latents of all learned levels of the pyramid, in one pass over the tokens.
//
// The device form of `abstraction_pool::forward` (definition: `abstraction_pool_slow`), applied level by level as in
// src/model/global/pool.rs for groups by position: a node has `ratio` children, the last of a passage what is left,
// and on the last learned level a passage has one node. A child weighs as many tokens as it stands for, and under
// attention also exp(query·child/8); the parent is the weighted mean, and under attention the residual matrix times
// that mean is added. Under `max` it is the largest of each dimension. Affinities (groups by content) are not here.
//
// Nodes are numbered as pyramid.cuh says.
//
// Input   tokens        bf16 [n_tokens, 64], the latents of the tokens
//         passages      u32 [n_passages + 1], their borders in tokens
//         first_nodes   u32 [n_learned, n_passages], the first node of each passage, counted in its level
//         queries       bf16 [n_learned, 64] and
//         residuals     bf16 [n_learned, 64, 64], a row for each dimension of the parent; read by attention alone
//         levels        by value
// Output  latents       bf16 [n_nodes, 64], of the learned levels; each level is pooled from the one below as rounded
//         node_starts and first_children as in pyramid.cuh
//         log_sizes     f32 [n_nodes], the logarithms of how many tokens the nodes stand for
// A parent without children is zero.
//
// Launch  abstraction_pool_{mean,max,attention}: a block of 128 threads a passage. A quad of lanes pools a node and
//         holds 16 dimensions a lane, laid out as a fragment of the tensor cores for the residual.
// Floor   128 bytes a token, and 140 a node: at ratio 4 about 175 bytes a token over 4.3 TB/s, 41 µs for 1M tokens.

#include "pyramid.cuh"

namespace {

constexpr int WARPS = 4;
// Blocks that a multiprocessor holds at least: how long latents take to come is what counts.
constexpr int BLOCKS = 5;
// Nodes that a warp pools at once: the rows of a fragment, two a quad.
constexpr int TILE_NODES = 16;
// Children whose latents a quad has on their way at once.
constexpr int BATCH = 4;
// Below every logit, and still a number, so that differences of it are.
constexpr float LOWEST = -1e30f;

enum class Pooling { Mean, Max, Attention };

// What a lane holds of a latent.
struct Part {
    uint4 low, high;

    __device__ void values(float (&out)[16]) const {
        const uint32_t pairs[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int pair = 0; pair < 8; pair++) {
            out[2 * pair] = bf16_low(pairs[pair]);
            out[2 * pair + 1] = bf16_high(pairs[pair]);
        }
    }
};

// A latent is read once; what the first level cache holds is better the residual.
__device__ uint4 load_once(const void *from) {
    uint4 loaded;
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(loaded.x), "=r"(loaded.y), "=r"(loaded.z), "=r"(loaded.w)
                 : "l"(from)
                 : "memory");
    return loaded;
}

__device__ Part load_part(const bf16 *latent, int t) {
    return {load_once(latent + 8 * t), load_once(latent + SIZE / 2 + 8 * t)};
}

// A level of one passage, and the one below it.
struct Level {
    const bf16 *children;
    int n_children;
    // Tokens that a child stands for, unless it is the last.
    int child_tokens;
    int n_nodes;
    int ratio;
    // Tokens of the passage.
    int length;
    bool last;

    __device__ float tokens_of(int child) const {
        return static_cast<float>(min(child_tokens, length - child * child_tokens));
    }
};

// The children of a quad: every `step`-th of `first..end`, and at most `most`, which all quads of the warp agree on.
struct Some {
    int first, end, step, most;
};

// What a quad has pooled so far: its part of the values under the weights 2^(logit - largest) · tokens.
struct Pooled {
    float values[16];
    float total, largest;

    __device__ Pooled() : values{}, total(0.0f), largest(LOWEST) {}

    // Makes the weights relative to another logit.
    __device__ void rescale(float next_largest) {
        const float factor = exp2_fast(largest - next_largest);
        total *= factor;
#pragma unroll
        for (float &value : values) {
            value *= factor;
        }
        largest = next_largest;
    }
};

// The logits of a batch, in powers of two. The query is column 0 of a right side, so only the lanes of the first quad
// have a part of it.
__device__ void logits(float (&out)[BATCH], const Part (&parts)[BATCH], const Part &query) {
    const int first_of_quad = threadIdx.x % WARP / 4 * 4;
#pragma unroll
    for (int at = 0; at < BATCH; at += 2) {
        const Part &a = parts[at], &b = parts[at + 1];
        float sums[4] = {};
        multiply_bf16(sums, {a.low.x, b.low.x, a.low.y, b.low.y}, query.low.x, query.low.y);
        multiply_bf16(sums, {a.low.z, b.low.z, a.low.w, b.low.w}, query.low.z, query.low.w);
        multiply_bf16(sums, {a.high.x, b.high.x, a.high.y, b.high.y}, query.high.x, query.high.y);
        multiply_bf16(sums, {a.high.z, b.high.z, a.high.w, b.high.w}, query.high.z, query.high.w);
        out[at] = __shfl_sync(~0u, sums[0], first_of_quad) * (LOG2E / 8.0f);
        out[at + 1] = __shfl_sync(~0u, sums[2], first_of_quad) * (LOG2E / 8.0f);
    }
}

// Pools the children of a quad. Past their end the last one is loaded again, and weighs nothing.
template <Pooling POOLING>
__device__ Pooled pool(const Level &level, const Some &some, const Part &query) {
    const int t = threadIdx.x % 4;
    Pooled pooled;
    for (int done = 0; done < some.most; done += BATCH) {
        Part parts[BATCH];
        float powers[BATCH] = {};
#pragma unroll
        for (int at = 0; at < BATCH; at++) {
            const int child = min(some.first + (done + at) * some.step, some.end - 1);
            const bf16 *latent = level.children + static_cast<size_t>(child) * SIZE;
            parts[at] = some.first < some.end ? load_part(latent, t) : Part{};
        }
        if (POOLING == Pooling::Attention) {
            logits(powers, parts, query);
            float largest = pooled.largest;
#pragma unroll
            for (int at = 0; at < BATCH; at++) {
                const bool valid = some.first + (done + at) * some.step < some.end;
                largest = fmaxf(largest, valid ? powers[at] : LOWEST);
            }
            pooled.rescale(largest);
        }
#pragma unroll
        for (int at = 0; at < BATCH; at++) {
            const int child = some.first + (done + at) * some.step;
            float values[16], weight = child < some.end ? level.tokens_of(child) : 0.0f;
            parts[at].values(values);
            if (POOLING == Pooling::Attention) {
                // A quad without children has a logit above its largest, which must weigh nothing and not infinity.
                weight *= exp2_fast(fminf(powers[at] - pooled.largest, 0.0f));
            }
#pragma unroll
            for (int i = 0; i < 16; i++) {
                if (POOLING == Pooling::Max) {
                    pooled.values[i] = done + at == 0 ? values[i] : fmaxf(pooled.values[i], values[i]);
                } else {
                    pooled.values[i] = fmaf(weight, values[i], pooled.values[i]);
                }
            }
            pooled.total += weight;
        }
    }
    return pooled;
}

// Joins what the quads of a warp have pooled of the same node.
template <Pooling POOLING>
__device__ void join_quads(Pooled &pooled) {
#pragma unroll
    for (int distance = 4; distance < WARP; distance *= 2) {
        if (POOLING == Pooling::Attention) {
            pooled.rescale(fmaxf(pooled.largest, __shfl_xor_sync(~0u, pooled.largest, distance)));
        }
        const float other_total = __shfl_xor_sync(~0u, pooled.total, distance);
#pragma unroll
        for (float &value : pooled.values) {
            const float other = __shfl_xor_sync(~0u, value, distance);
            if (POOLING != Pooling::Max) {
                value += other;
            } else if (other_total > 0.0f) {
                value = pooled.total > 0.0f ? fmaxf(value, other) : other;
            }
        }
        pooled.total += other_total;
    }
}

__device__ uint4 pack_8(const float *values) {
    return make_uint4(pack_bf16(values[0], values[1]), pack_bf16(values[2], values[3]),
                      pack_bf16(values[4], values[5]), pack_bf16(values[6], values[7]));
}

__device__ void store(bf16 *latent, const float (&values)[16]) {
    const int t = threadIdx.x % 4;
    reinterpret_cast<uint4 *>(latent)[t] = pack_8(values);
    reinterpret_cast<uint4 *>(latent)[SIZE / 16 + t] = pack_8(values + 8);
}

// What each thread keeps of the means of its two nodes until their residual, four values by four. They would fit into
// registers, but then fewer warps would be there to hide how long latents take to come.
using Means = float4[2][4][WARPS * WARP];

// Writes the means, and what the residual matrix makes of them, to the nodes `first` and `first` + 8 below `end`.
__device__ void store_with_residual(const Means &means, const bf16 *residual, bf16 *out, int first, int end) {
    const int g = (threadIdx.x % WARP) / 4, t = threadIdx.x % 4;
    uint32_t a[4][4];
#pragma unroll
    for (int step = 0; step < 4; step++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float4 own = means[half][step][threadIdx.x];
            a[step][half] = pack_bf16(own.x, own.y);
            a[step][half + 2] = pack_bf16(own.z, own.w);
        }
    }
#pragma unroll 1
    for (int eight = 0; eight < 2; eight++) {
        float values[2][8];
#pragma unroll
        for (int tile = 0; tile < 4; tile++) {
            const bf16 *row = residual + (SIZE / 2 * eight + column_of(tile, g)) * SIZE;
            const uint4 b_low = __ldg(reinterpret_cast<const uint4 *>(row) + t);
            const uint4 b_high = __ldg(reinterpret_cast<const uint4 *>(row) + SIZE / 16 + t);
            const float4 low = means[0][2 * eight + tile / 2][threadIdx.x];
            const float4 high = means[1][2 * eight + tile / 2][threadIdx.x];
            const bool second = tile % 2;
            float sums[4] = {second ? low.z : low.x, second ? low.w : low.y, second ? high.z : high.x,
                             second ? high.w : high.y};
            multiply_bf16(sums, a[0], b_low.x, b_low.y);
            multiply_bf16(sums, a[1], b_low.z, b_low.w);
            multiply_bf16(sums, a[2], b_high.x, b_high.y);
            multiply_bf16(sums, a[3], b_high.z, b_high.w);
            values[0][2 * tile] = sums[0];
            values[0][2 * tile + 1] = sums[1];
            values[1][2 * tile] = sums[2];
            values[1][2 * tile + 1] = sums[3];
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int node = first + 8 * half;
            if (node < end) {
                reinterpret_cast<uint4 *>(out + static_cast<size_t>(node) * SIZE)[SIZE / 16 * eight + t] =
                    pack_8(values[half]);
            }
        }
    }
}

// Writes the nodes `tile..tile + 16` of a level, whose first row is at `out`.
template <Pooling POOLING>
__device__ void pool_tile(const Level &level, int tile, const bf16 *query, const bf16 *residual, bf16 *out) {
    __shared__ Means means;
    const int g = (threadIdx.x % WARP) / 4, t = threadIdx.x % 4;
    const Part own_query = POOLING == Pooling::Attention && g == 0 ? load_part(query, t) : Part{};
#pragma unroll 1
    for (int half = 0; half < 2; half++) {
        const int node = tile + g + 8 * half;
        if (tile + 8 * half >= level.n_nodes) {
            break;
        }
        Some some = {node * level.ratio, min((node + 1) * level.ratio, level.n_children), 1, level.ratio};
        if (level.last) {
            // The whole warp shares the one node.
            some = {g, level.n_children, 8, (level.n_children + 7) / 8};
        } else if (node >= level.n_nodes) {
            some.end = 0;
        }
        Pooled pooled = pool<POOLING>(level, some, own_query);
        if (level.last) {
            join_quads<POOLING>(pooled);
        }
        const float share = POOLING == Pooling::Max ? 1.0f : pooled.total > 0.0f ? 1.0f / pooled.total : 0.0f;
#pragma unroll
        for (float &value : pooled.values) {
            value *= share;
        }
        if (POOLING == Pooling::Attention) {
#pragma unroll
            for (int four = 0; four < 4; four++) {
                const float *own = pooled.values + 4 * four;
                means[half][four][threadIdx.x] = make_float4(own[0], own[1], own[2], own[3]);
            }
        } else if (node < level.n_nodes) {
            store(out + static_cast<size_t>(node) * SIZE, pooled.values);
        }
    }
    if (POOLING == Pooling::Attention) {
        store_with_residual(means, residual, out, tile + g, level.n_nodes);
    }
}

// Brings what every node reads into the first level cache, before it is waited for.
__device__ void prefetch(const bf16 *values, uint32_t n) {
    for (uint32_t line = threadIdx.x; line < n / SIZE; line += WARPS * WARP) {
        asm volatile("prefetch.global.L1 [%0];" ::"l"(values + line * SIZE));
    }
}

struct Inputs {
    const bf16 *tokens;
    const uint32_t *passages, *first_nodes;
    const bf16 *queries, *residuals;
};

struct Outputs {
    bf16 *latents;
    uint32_t *node_starts, *first_children;
    float *log_sizes;
};

template <Pooling POOLING>
__device__ void pool_passage(const Inputs &in, const Levels &levels, int ratio, const Outputs &out) {
    const uint32_t passage = blockIdx.x, n_passages = gridDim.x, start = in.passages[passage];
    const int length = static_cast<int>(in.passages[passage + 1] - start);
    if (POOLING == Pooling::Attention) {
        prefetch(in.residuals, levels.n_learned * SIZE * SIZE);
    }
    Level level = {in.tokens + static_cast<size_t>(start) * SIZE, length, 1, 0, ratio, length, false};
    uint32_t first_child = start;
    for (uint32_t at = 0; at < levels.n_learned; at++) {
        level.last = at + 1 == levels.n_learned;
        level.n_nodes = level.last ? 1 : (level.n_children + ratio - 1) / ratio;
        const uint32_t first = levels.starts[at] + in.first_nodes[static_cast<size_t>(at) * n_passages + passage];
        bf16 *latents = out.latents + static_cast<size_t>(first) * SIZE;
        for (int tile = threadIdx.x / WARP * TILE_NODES; tile < level.n_nodes; tile += WARPS * TILE_NODES) {
            pool_tile<POOLING>(level, tile, in.queries + at * SIZE, in.residuals + at * SIZE * SIZE, latents);
        }
        const int node_tokens = level.last ? length : level.child_tokens * ratio;
        // The first warp is the last to be done with the latents, so the others begin here.
        for (int node = WARPS * WARP - 1 - threadIdx.x; node < level.n_nodes; node += WARPS * WARP) {
            out.node_starts[first + node] = start + node * node_tokens;
            out.first_children[first + node] = first_child + node * ratio;
            out.log_sizes[first + node] = logf(static_cast<float>(min(node_tokens, length - node * node_tokens)));
        }
        if (level.last && passage + 1 == n_passages && threadIdx.x == 0) {
            out.first_children[first + 1] = at > 0 ? levels.starts[at] : start + length;
        }
        __syncthreads();
        level.children = latents;
        level.n_children = level.n_nodes;
        level.child_tokens = node_tokens;
        first_child = first;
    }
}

}  // namespace

#define ABSTRACTION_POOL(name, pooling)                                                                               \
    extern "C" __global__ void __launch_bounds__(WARPS *WARP, BLOCKS)                                                 \
        name(const bf16 *tokens, const uint32_t *passages, const uint32_t *first_nodes, const bf16 *queries,          \
             const bf16 *residuals, const __grid_constant__ Levels levels, int ratio, bf16 *latents,                  \
             uint32_t *node_starts, uint32_t *first_children, float *log_sizes) {                                     \
        const Inputs inputs = {tokens, passages, first_nodes, queries, residuals};                                    \
        pool_passage<pooling>(inputs, levels, ratio, {latents, node_starts, first_children, log_sizes});              \
    }

ABSTRACTION_POOL(abstraction_pool_mean, Pooling::Mean)
ABSTRACTION_POOL(abstraction_pool_max, Pooling::Max)
ABSTRACTION_POOL(abstraction_pool_attention, Pooling::Attention)
