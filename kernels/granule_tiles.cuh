// The tiles of keys that sparse_attention.cu multiplies: which keys a granule sees, and the warps that bring them.

#pragma once

#include "pyramid.cuh"

// Keys that are multiplied at once, in ranges that lie apart in memory.
constexpr int TILE = 128;
constexpr int RANGE = 16;
constexpr int N_RANGES = TILE / RANGE;
// Nodes that are looked up at once, and how often ahead.
constexpr int CHUNK = 64;
constexpr int LOOKED_UP = 4;
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

// What stands in the place of a range's bucket: its keys are not there, or are nodes, which have a bucket each.
constexpr uint8_t NOT_THERE = N_BUCKETS, OF_NODES = N_BUCKETS + 1;
constexpr int N_CODES = 2 * N_BUCKETS;
// Set where only some of a range's keys are there.
constexpr uint8_t PARTLY = 0x80;

// What the keys of a tile are.
struct alignas(16) Tile {
    // The bucket of each range or one of the codes above.
    uint8_t codes[N_RANGES];
    // The keys that are there of a range that is not whole.
    uint8_t first[N_RANGES], count[N_RANGES];
    int branch;
};

// Some nodes of a cover.
struct alignas(16) Nodes {
    float addends[CHUNK];
    uint32_t nodes[CHUNK];
    uint8_t buckets[CHUNK];
    // How many there are, and whether more of the cover follow.
    int count, more;
};

template <int HEADS, int STAGES>
struct Shared {
    alignas(1024) bf16 tiles[STAGES][TILE * SIZE];
    // Of this granule and the next.
    alignas(1024) bf16 queries[2][HEADS * GRANULE * SIZE];
    // The gated sums of the branches that are done, laid out by the lanes that hold them.
    alignas(1024) float mixed[HEADS][32][WARP];
    // By the codes of ranges.
    float bias[HEADS][N_CODES];
    // Of the granule, before the sigmoid.
    float gates[HEADS][N_BRANCHES][GRANULE];
    // Of tiles of nodes: what a column's logit has beside the product, and its bucket.
    alignas(16) float addends[STAGES][TILE];
    alignas(16) uint8_t buckets[STAGES][TILE];
    Nodes nodes[LOOKED_UP];
    Tile heads[STAGES];
    uint64_t full[STAGES], empty[STAGES], queries_full[2], queries_empty[2];
    uint64_t nodes_full[LOOKED_UP], nodes_empty[LOOKED_UP];
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

// The warp that looks up the nodes of covers: each number that it reads says where the next one lies.
template <int HEADS, int STAGES>
struct Clerk {
    Shared<HEADS, STAGES> &shared;
    const Inputs &inputs;
    int lane;
    Ring<LOOKED_UP> ring;

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

    __device__ __forceinline__ void cover(const Granule &granule, int index) {
        int count = inputs.n_cover[index], first = 0;
        const uint32_t *list = inputs.cover + size_t(index) * inputs.cover_stride;
        float relevances = log_relevances(granule);
        do {
            barrier_wait(&shared.nodes_empty[ring.stage], ring.parity ^ 1);
            Nodes &chunk = shared.nodes[ring.stage];
            for (int row = lane; count > 0 && row < CHUNK; row += WARP) {
                uint32_t node = list[min(first + row, count - 1)];
                float relevance = __shfl_sync(~0u, relevances, relevance_of(node));
                chunk.nodes[row] = node;
                chunk.addends[row] = LOG2E * (inputs.node_log_sizes[node] + relevance);
                chunk.buckets[row] = log_bucket(granule.start, inputs.node_starts[node]);
            }
            if (lane == 0) {
                chunk.count = min(count - first, CHUNK);
                chunk.more = count - first > CHUNK;
            }
            __syncwarp();
            if (lane == 0) {
                barrier_arrive(&shared.nodes_full[ring.stage]);
            }
            ring.advance();
            first += CHUNK;
        } while (first < count);
    }

    __device__ __forceinline__ void run() {
        if (inputs.branches >> COVER & 1) {
            for (int index = blockIdx.x; index < inputs.n_granules; index += gridDim.x) {
                cover(inputs.granules[index], index);
            }
        }
    }
};

// The leaves that a granule has selected, a lane each.
struct Leaves {
    int count, start, end;

    __device__ __forceinline__ Leaves(const Inputs &inputs, int index) {
        int lane = threadIdx.x % WARP;
        const uint32_t *level = inputs.levels.starts + inputs.leaf_level;
        count = inputs.n_selected[index];
        uint32_t leaf = level[0] + (lane < count ? inputs.selected[size_t(index) * MAX_SELECTED + lane] : 0);
        start = inputs.node_starts[leaf];
        end = leaf + 1 < level[1] ? inputs.node_starts[leaf + 1] : inputs.n_tokens;
    }
};

// The warp that brings tiles.
template <int HEADS, int STAGES>
struct Producer {
    Shared<HEADS, STAGES> &shared;
    const Inputs &inputs;
    const void *latents;
    int lane;
    Ring<STAGES> ring;
    Ring<LOOKED_UP> nodes;
    // Ranges of the current tile that are under way.
    int filled;

    // How many of `count` ranges the current tile still takes.
    __device__ __forceinline__ int open(int count) {
        if (filled == 0) {
            barrier_wait(&shared.empty[ring.stage], ring.parity ^ 1);
        }
        return min(count, N_RANGES - filled);
    }

    // Says what range `place` of the current tile holds: the keys `first..end` of 16.
    __device__ __forceinline__ void describe(int place, int first, int end, uint8_t code) {
        Tile &tile = shared.heads[ring.stage];
        tile.codes[place] = code | (end - first < RANGE ? PARTLY : 0);
        tile.first[place] = first;
        tile.count[place] = end - first;
    }

    __device__ __forceinline__ void close(Branch branch) {
        if (filled == 0 && branch == END) {
            open(0);
        } else if (filled == 0) {
            return;
        }
        if (lane >= filled && lane < N_RANGES) {
            shared.heads[ring.stage].codes[lane] = NOT_THERE;
        }
        __syncwarp();
        if (lane == 0) {
            shared.heads[ring.stage].branch = branch;
            barrier_arrive(&shared.full[ring.stage]);
        }
        ring.advance();
        filled = 0;
    }

    // The tokens `first..end`, in ranges from `start` on.
    __device__ __forceinline__ void tokens(Branch branch, int start, int first, int end, uint32_t from) {
        for (; start < end; start += WARP * RANGE) {
            int n_ranges = min((end - start + RANGE - 1) / RANGE, WARP), own = start + RANGE * lane;
            int own_first = max(first - own, 0), own_end = min(end - own, RANGE);
            for (int done = 0; done < n_ranges;) {
                int taken = open(n_ranges - done), place = filled + lane - done;
                uint64_t *full = &shared.full[ring.stage];
                if (lane == 0) {
                    barrier_expect(full, taken * RANGE * SIZE * sizeof(bf16));
                }
                if (lane >= done && lane < done + taken) {
                    describe(place, own_first, own_end, log_bucket(from, own + own_first));
                    load_tile_2d(shared.tiles[ring.stage] + place * RANGE * SIZE, latents, full, 0, own);
                }
                filled += taken;
                done += taken;
                if (filled == N_RANGES) {
                    close(branch);
                }
            }
        }
    }

    __device__ __forceinline__ void window(const Granule &granule) {
        int first = max(int(granule.start) - inputs.window, 0);
        int end = min(int(granule.end) + inputs.window, inputs.n_tokens);
        tokens(WINDOW, first & -RANGE, first, granule.own_start, granule.start);
        tokens(WINDOW, int(granule.own_end) & -RANGE, granule.own_end, end, granule.start);
        close(WINDOW);
    }

    // Leaves that the window does not hold whole.
    __device__ __forceinline__ void selected(const Granule &granule, const Leaves &leaves) {
        int first = max(int(granule.start) - inputs.window, 0);
        int end = min(int(granule.end) + inputs.window, inputs.n_tokens);
        for (int at = 0; at < leaves.count; at++) {
            int from = __shfl_sync(~0u, leaves.start, at), to = __shfl_sync(~0u, leaves.end, at);
            if (inputs.window == 0 || from < first || end < to) {
                tokens(SELECTED, from, from, to, granule.start);
            }
        }
        close(SELECTED);
    }

    // Nodes lie anywhere, so each row is copied for itself; the tile is full when its copies have arrived.
    __device__ __forceinline__ void chunk(const Nodes &own) {
        int n_ranges = (own.count + RANGE - 1) / RANGE;
        for (int done = 0; done < n_ranges;) {
            int taken = open(n_ranges - done), first_row = RANGE * filled, skipped = RANGE * done;
            int n_rows = min(own.count - skipped, RANGE * taken);
            char *to = reinterpret_cast<char *>(shared.tiles[ring.stage] + first_row * SIZE);
            for (int row = lane / 8; row < n_rows; row += WARP / 8) {
                const bf16 *node = inputs.nodes + size_t(own.nodes[skipped + row]) * SIZE;
                copy_16_bytes_async(shared_address(to) + swizzled(row, lane % 8), node + lane % 8 * 8);
            }
            barrier_arrive_after_copies(&shared.full[ring.stage]);
            for (int row = lane; row < RANGE * taken; row += WARP) {
                shared.addends[ring.stage][first_row + row] = own.addends[skipped + row];
                shared.buckets[ring.stage][first_row + row] = own.buckets[skipped + row];
            }
            if (lane < taken) {
                describe(filled + lane, 0, min(n_rows - RANGE * lane, RANGE), OF_NODES);
            }
            filled += taken;
            done += taken;
            if (filled == N_RANGES) {
                close(COVER);
            }
        }
    }

    __device__ __forceinline__ void cover() {
        bool more = true;
        while (more) {
            barrier_wait(&shared.nodes_full[nodes.stage], nodes.parity);
            const Nodes &own = shared.nodes[nodes.stage];
            chunk(own);
            more = own.more;
            __syncwarp();
            if (lane == 0) {
                barrier_arrive(&shared.nodes_empty[nodes.stage]);
            }
            nodes.advance();
        }
        close(COVER);
    }

    __device__ __forceinline__ void run(const void *queries) {
        Ring<2> places;
        for (int index = blockIdx.x; index < inputs.n_granules; index += gridDim.x) {
            Granule granule = inputs.granules[index];
            Leaves leaves(inputs, index);
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
                cover();
            }
            if (inputs.branches >> SELECTED & 1) {
                selected(granule, leaves);
            }
            close(END);
        }
    }
};
