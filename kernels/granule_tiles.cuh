// The tiles of keys that sparse_attention.cu multiplies: which keys a granule sees, and the warp that brings them.

#pragma once

#include "pyramid.cuh"

// Keys that are multiplied at once, in two halves that lie apart in memory.
constexpr int TILE = 128;
constexpr int HALF = 64;
constexpr int RANGE = 16;
constexpr int N_BUCKETS = 16;
// Relevances of levels that a token gives, the last for all above.
constexpr int N_RELEVANCES = 6;

enum Branch : int { WINDOW, COVER, SELECTED, N_BRANCHES, END };

struct Inputs {
    const Granule *granules;      // [n_granules]
    const uint32_t *node_starts;  // [n_nodes], as pyramid.cuh says
    const bf16 *nodes;            // [n_nodes, 64]
    const float *node_log_sizes;  // [n_nodes]
    const uint32_t *selected;     // [n_granules, MAX_SELECTED], leaves counted in their level
    const uint32_t *n_selected;   // [n_granules]
    const uint32_t *cover;        // [n_granules, cover_stride] nodes
    const uint32_t *n_cover;      // [n_granules]
    const float *bias;            // [HEADS, N_BUCKETS]
    // Gates [N_BRANCHES, HEADS] and relevances [N_RELEVANCES] of each token, before the sigmoid, control_stride values
    // from token to token.
    const float *controls;
    bf16 *out;                    // [n_tokens, HEADS, 64]
    float *lse;                   // [N_BRANCHES, n_tokens, HEADS] or null
    Levels levels;
    uint32_t leaf_level;
    uint32_t cover_stride, control_stride;
    uint32_t branches;            // those that are on, a bit each
    int n_granules, n_tokens;
    int window;                   // tokens on either side
};

// The keys of half a tile: columns below `first` and from `end` on are not there.
struct Half {
    short first, end;
    // The bucket of each range of 16 columns, a byte each.
    uint32_t buckets;
};

// What the keys of a tile are.
struct alignas(16) Tile {
    Half halves[2];
    int branch;
};

template <int HEADS, int STAGES>
struct Shared {
    alignas(1024) bf16 tiles[STAGES][TILE * SIZE];
    // Of this granule and the next.
    alignas(1024) bf16 queries[2][HEADS * GRANULE * SIZE];
    // The gated sums of the branches that are done, laid out by the lanes that hold them.
    alignas(1024) float mixed[HEADS][32][WARP];
    float bias[HEADS][N_BUCKETS];
    // Of the granule, before the sigmoid.
    float gates[HEADS][N_BRANCHES][GRANULE];
    // Of tiles of nodes: what a column's logit has beside the product, and its bucket.
    float addends[STAGES][TILE];
    uint8_t buckets[STAGES][TILE];
    Tile heads[STAGES];
    uint64_t full[STAGES], empty[STAGES], queries_full[2], queries_empty[2];
};

// A place in a ring.
template <int STAGES>
struct Ring {
    int stage = 0;
    uint32_t parity = 0;

    __device__ __forceinline__ void advance() {
        if (++stage == STAGES) {
            stage = 0;
            parity ^= 1;
        }
    }
};

// 0 for no distance, then one for each power of two.
__device__ __forceinline__ uint32_t log_bucket(uint32_t from, uint32_t to) {
    uint32_t distance = from > to ? from - to : to - from;
    return min(32 - __clz(distance), N_BUCKETS - 1);
}

// The warp that brings tiles.
template <int HEADS, int STAGES>
struct Producer {
    Shared<HEADS, STAGES> &shared;
    const Inputs &inputs;
    const void *latents;
    int lane;
    Ring<STAGES> ring;
    // Halves of the current tile that are under way.
    int filled;

    // A place for 64 keys, of which `first..end` are there.
    __device__ __forceinline__ int open(int first, int end, uint32_t buckets) {
        if (filled == 0) {
            barrier_wait(&shared.empty[ring.stage], ring.parity ^ 1);
        }
        if (lane == 0) {
            shared.heads[ring.stage].halves[filled] = Half{short(first), short(end), buckets};
        }
        return filled++;
    }

    __device__ __forceinline__ void close(Branch branch) {
        if (filled == 1) {
            open(0, 0, 0);
        }
        if (filled == 2 || branch == END) {
            if (branch == END) {
                barrier_wait(&shared.empty[ring.stage], ring.parity ^ 1);
            }
            if (lane == 0) {
                shared.heads[ring.stage].branch = branch;
                barrier_arrive(&shared.full[ring.stage]);
            }
            ring.advance();
            filled = 0;
        }
    }

    // Tokens `first..end` that lie in the 64 from `start` on.
    __device__ __forceinline__ void tokens(Branch branch, int start, int first, int end, uint32_t from) {
        uint32_t range = max(start + RANGE * (lane & 3), first);
        uint32_t buckets = __reduce_or_sync(~0u, log_bucket(from, range) << (8 * (lane & 3)));
        int half = open(max(first - start, 0), min(end - start, HALF), buckets);
        if (lane == 0) {
            barrier_expect(&shared.full[ring.stage], HALF * SIZE * sizeof(bf16));
            load_tile_2d(shared.tiles[ring.stage] + half * HALF * SIZE, latents, &shared.full[ring.stage], 0, start);
        }
        if (half == 1) {
            close(branch);
        }
    }

    __device__ __forceinline__ void window(const Granule &granule) {
        int first = max(int(granule.start) - inputs.window, 0);
        int end = min(int(granule.end) + inputs.window, inputs.n_tokens);
        for (int start = first & -RANGE; start < int(granule.own_start); start += HALF) {
            tokens(WINDOW, start, first, granule.own_start, granule.start);
        }
        for (int start = int(granule.own_end) & -RANGE; start < end; start += HALF) {
            tokens(WINDOW, start, granule.own_end, end, granule.start);
        }
        close(WINDOW);
    }

    // Leaves that the window does not hold whole.
    __device__ __forceinline__ void selected(const Granule &granule, int index) {
        int first = max(int(granule.start) - inputs.window, 0);
        int end = min(int(granule.end) + inputs.window, inputs.n_tokens);
        const uint32_t *level = inputs.levels.starts + inputs.leaf_level;
        int count = inputs.n_selected[index];
        uint32_t leaf = level[0] + (lane < count ? inputs.selected[size_t(index) * MAX_SELECTED + lane] : 0);
        int leaf_start = inputs.node_starts[leaf];
        int leaf_end = leaf + 1 < level[1] ? inputs.node_starts[leaf + 1] : inputs.n_tokens;
        for (int at = 0; at < count; at++) {
            int from = __shfl_sync(~0u, leaf_start, at), to = __shfl_sync(~0u, leaf_end, at);
            if (inputs.window == 0 || from < first || end < to) {
                for (int start = from; start < to; start += HALF) {
                    tokens(SELECTED, start, from, to, granule.start);
                }
            }
        }
        close(SELECTED);
    }

    // The relevance of each level to a granule, as a logarithm, in the lane of its number: twice the sigmoid of the mean
    // of its tokens' scores.
    __device__ __forceinline__ float log_relevances(const Granule &granule) {
        const float *from = inputs.controls + N_BRANCHES * HEADS + min(lane, N_RELEVANCES - 1);
        float sum = 0.0f;
        for (size_t token = granule.start; token < granule.end; token++) {
            sum += from[token * inputs.control_stride];
        }
        return LN2 - logf(1.0f + expf(-sum / float(granule.end - granule.start)));
    }

    __device__ __forceinline__ int relevance_of(uint32_t node) {
        int level = 0;
        while (level + 1 < int(inputs.levels.n_levels) && node >= inputs.levels.starts[level + 1]) {
            level++;
        }
        return min(level, min(int(inputs.levels.n_learned), N_RELEVANCES - 1));
    }

    // Nodes lie anywhere, so each row is copied for itself.
    __device__ __forceinline__ void cover(const Granule &granule, int index) {
        int count = inputs.n_cover[index];
        const uint32_t *list = inputs.cover + size_t(index) * inputs.cover_stride;
        float relevances = log_relevances(granule);
        for (int tile = 0; tile < count; tile += HALF) {
            int end = min(count - tile, HALF);
            int first_row = open(0, end, 0) * HALF;
            char *to = reinterpret_cast<char *>(shared.tiles[ring.stage] + first_row * SIZE);
            for (int row = lane / 8; row < end; row += WARP / 8) {
                const bf16 *node = inputs.nodes + size_t(list[tile + row]) * SIZE;
                copy_16_bytes_async(shared_address(to) + swizzled(row, lane % 8), node + lane % 8 * 8);
            }
            for (int row = lane; row < HALF; row += WARP) {
                uint32_t node = list[tile + min(row, end - 1)];
                float relevance = __shfl_sync(~0u, relevances, relevance_of(node));
                shared.addends[ring.stage][first_row + row] = LOG2E * (inputs.node_log_sizes[node] + relevance);
                shared.buckets[ring.stage][first_row + row] = log_bucket(granule.start, inputs.node_starts[node]);
            }
            wait_for_copies();
            fence_async_proxy();
            __syncwarp();
            if (first_row > 0) {
                close(COVER);
            }
        }
        close(COVER);
    }

    __device__ __forceinline__ void run(const void *queries) {
        Ring<2> places;
        for (int index = blockIdx.x; index < inputs.n_granules; index += gridDim.x) {
            Granule granule = inputs.granules[index];
            barrier_wait(&shared.queries_empty[places.stage], places.parity ^ 1);
            if (lane == 0) {
                uint64_t *full = &shared.queries_full[places.stage];
                barrier_expect(full, HEADS * GRANULE * SIZE * sizeof(bf16));
                for (int head = 0; head < HEADS; head++) {
                    bf16 *to = shared.queries[places.stage] + head * GRANULE * SIZE;
                    load_tile_3d(to, queries, full, 0, head, granule.start);
                }
                barrier_arrive(full);
            }
            places.advance();
            if (inputs.branches >> WINDOW & 1) {
                window(granule);
            }
            if (inputs.branches >> COVER & 1) {
                cover(granule, index);
            }
            if (inputs.branches >> SELECTED & 1) {
                selected(granule, index);
            }
            close(END);
        }
    }
};
