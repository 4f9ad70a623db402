// Which far regions deserve attention? The descent from the top of the pyramid: open the best nodes of each level until
// the leaves, and select the best of these.
//
// The device form of `IndexPyramid::descend` in src/ops/lightning_index. Nodes are numbered as pyramid.cuh says, keys
// are those of index_keys.cu.
//
//   I(granule, key) = mean over its queries t of Σ over heads h of weights[t, h] · ReLU(q[t, h] · k)
//
// Input and output are in `Descent`; queries are bf16 or f32. The leaves of the own passage are never selected. The
// cover holds every other leaf once: nodes that were scored and not opened, and all leaves that were scored; its order
// is that of the CPU form, from the top down and ascending within a level. Among equal scores the first nodes win.
//
// Launch  descend_bf16, descend_f32: a warp a granule, 128 threads a block, 80 · `capacity` + 1,024 bytes of dynamic
//         shared memory.
// Floor   2·64·32 operations a key that is scored; 6 levels of 256 keys are 6.3 million a granule, 0.52 ms for 1M
//         tokens over 790 TFLOP/s. ReLU comes with the packing of products in pairs, and the sum over rows is a product
//         too, with the factors of the rows: 1/4 more, 0.65 ms.
//
// Every sum has a fixed order: the same input gives the same bits.

#include "index_codes.cuh"
#include "pyramid.cuh"

namespace {

constexpr int HEADS = 4;
// A head of a query each.
constexpr int ROWS = GRANULE * HEADS;
constexpr int WARPS = 4;
// Blocks that a multiprocessor holds at least: candidates and keys take long to come.
constexpr int BLOCKS = 6;
constexpr uint32_t NONE = ~0u;
constexpr uint32_t ALL_LANES = ~0u;
// Candidates past the last that scores are still made of.
constexpr uint32_t PADDING = 16;

__device__ uint32_t lane_of_warp() { return threadIdx.x % WARP; }

template <typename Value>
struct Descent {
    const Value *queries;            // [n_tokens, HEADS, KEY], query_stride values from token to token
    const float *weights;            // [n_tokens, HEADS], weight_stride values from token to token
    const Granule *granules;         // [n_granules]
    const uint8_t *codes;            // [n_keys, KEY]
    const float *scales;             // [n_keys]
    const uint32_t *node_starts;     // [n_nodes]
    const uint32_t *first_children;  // [n_nodes + 1]
    uint32_t *selected;              // [n_granules, MAX_SELECTED], leaves counted in their level; NONE behind the last
    uint32_t *n_selected;            // [n_granules]
    uint32_t *cover;                 // [n_granules, cover_stride] nodes; NONE behind the last
    uint32_t *n_cover;               // [n_granules], also where cover_stride is less
    Levels levels;
    uint32_t n_granules, n_tokens, query_stride, weight_stride;
    uint32_t lowest, leaf_level;
    uint32_t lookahead;              // 0 or 1: a node above `lowest` is scored by the sum over its children
    uint32_t opened;                 // nodes of a level
    uint32_t leaves;                 // that are selected, at most MAX_SELECTED
    // A multiple of 4 that no level's candidates outnumber: the nodes of the top, and `opened` + 1 times the most
    // children of a node above the leaves. The kernel traps where they do.
    uint32_t capacity;
    uint32_t cover_stride;
};

// The rows of a granule as the tensor cores read them.
struct Rows {
    QueryCodes codes[ROWS / 8];
    // What the rows count, relative to the one that counts most: that changes no order of scores. Sixteen a pair, as
    // the right side of a product of which column 0 has the factors, and column 1 what f16 leaves of them.
    uint2 factors[ROWS / 16];

    template <typename Value>
    __device__ Rows(const Descent<Value> &in, const Granule &granule) {
        const uint32_t lane = lane_of_warp(), g = lane / 4, t = lane % 4;
        float own[ROWS / 8], largest = 0.0f;
#pragma unroll
        for (int tile = 0; tile < ROWS / 8; tile++) {
            const uint32_t row = 8 * tile + g, head = row % HEADS;
            const size_t query = granule.start + row / HEADS;
            float values[8] = {}, weight = 0.0f;
            if (query < granule.end) {
                load_8(values, in.queries + query * in.query_stride + head * KEY + 8 * t);
                weight = __ldg(in.weights + query * in.weight_stride + head);
            }
            own[tile] = encode_queries(values, codes[tile]) * weight;
            largest = fmaxf(largest, fabsf(own[tile]));
        }
        largest = __uint_as_float(__reduce_max_sync(ALL_LANES, __float_as_uint(largest)));
        const float inverse = inverse_scale(largest, 1.0f);
#pragma unroll
        for (int pair = 0; pair < ROWS / 16; pair++) {
            factors[pair] = make_uint2(factor_pair(own[2 * pair] * inverse), factor_pair(own[2 * pair + 1] * inverse));
        }
    }

    // The factors of the rows 2t and 2t + 1 of eight, of which each quad has one.
    __device__ static uint32_t factor_pair(float factor) {
        const uint32_t lane = lane_of_warp(), g = lane / 4, t = lane % 4;
        float low = __shfl_sync(ALL_LANES, factor, 8 * t), high = __shfl_sync(ALL_LANES, factor, 8 * t + 4);
        if (g == 1) {
            low -= __half2float(__float2half_rn(low));
            high -= __half2float(__float2half_rn(high));
        }
        return g < 2 ? pack_f16(low, high) : 0;
    }

    // The scores of two keys, in the first lane of each quad.
    __device__ float2 scores(const uint2 (&keys)[2], const float (&scales)[2]) const {
        const KeyCodes own = {keys};
        float sums[4] = {};
#pragma unroll
        for (int pair = 0; pair < ROWS / 16; pair++) {
            float first[4], second[4];
            multiply(first, own, codes[2 * pair]);
            multiply(second, own, codes[2 * pair + 1]);
            multiply_f16(sums,
                         {pack_positive_f16(first[0], first[1]), pack_positive_f16(first[2], first[3]),
                          pack_positive_f16(second[0], second[1]), pack_positive_f16(second[2], second[3])},
                         factors[pair].x, factors[pair].y);
        }
        return make_float2((sums[0] + sums[1]) * scales[0], (sums[2] + sums[3]) * scales[1]);
    }
};

// An unsigned integer that is ordered as the floats are.
__device__ uint32_t ordered(float value) {
    const uint32_t bits = __float_as_uint(value);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// The nodes of a level that a granule may still choose, ascending, in shared memory of its warp.
struct Candidates {
    // Borders of their children, as many empty ones behind them as keys are loaded past the end, and their ranks.
    uint2 *children;
    uint32_t *nodes, *ranks;
    // What the opened nodes of the level above consist of: what is not of the own passage becomes the candidates.
    uint32_t *next;
    uint32_t n_next, n, capacity;
    // The one that holds the own passage beside others: it is opened in any case. NONE if there is none.
    uint32_t ancestor;
    uint32_t most_children;

    __device__ Candidates(uint32_t *shared, uint32_t capacity)
        : children(reinterpret_cast<uint2 *>(shared)), nodes(shared + 2 * (capacity + PADDING)),
          ranks(nodes + capacity + PADDING), next(ranks + capacity + PADDING), n_next(0), n(0), capacity(capacity),
          ancestor(NONE), most_children(0) {}

    __device__ uint32_t n_scored() const { return n - (ancestor != NONE); }

    __device__ void require(uint32_t count) const {
        if (count > capacity) {
            __trap();
        }
    }

    __device__ void start_with(uint32_t first, uint32_t end) {
        n_next = end - first;
        require(n_next);
        for (uint32_t at = lane_of_warp(); at < n_next; at += WARP) {
            next[at] = first + at;
        }
        __syncwarp();
    }
};

// Where the tokens of a node end.
template <typename Value>
__device__ uint32_t tokens_end(const Descent<Value> &in, uint32_t node, uint32_t level_end) {
    return node + 1 < level_end ? in.node_starts[node + 1] : in.n_tokens;
}

// Takes the candidates of a level from `next`: all but what is empty or of the own passage alone.
template <typename Value>
__device__ void part(Candidates &candidates, const Descent<Value> &in, const Granule &granule, uint32_t level) {
    const uint32_t lane = lane_of_warp(), before = (1u << lane) - 1, level_end = in.levels.starts[level + 1];
    uint32_t n = 0, ancestor = NONE, most_children = 0;
    for (uint32_t first = 0; first < candidates.n_next; first += WARP) {
        bool taken = false, holds_own = false;
        uint32_t node = 0, first_child = 0, end_child = 0;
        if (first + lane < candidates.n_next) {
            node = candidates.next[first + lane];
            const uint32_t start = in.node_starts[node];
            const uint32_t end = tokens_end(in, node, level_end);
            first_child = in.first_children[node];
            end_child = in.first_children[node + 1];
            const bool apart = end <= granule.own_start || granule.own_end <= start;
            const bool inside = granule.own_start <= start && end <= granule.own_end;
            taken = start < end && (apart || !inside);
            holds_own = taken && !apart;
        }
        const uint32_t taken_lanes = __ballot_sync(ALL_LANES, taken);
        const uint32_t holding_lanes = __ballot_sync(ALL_LANES, holds_own);
        if (holding_lanes) {
            ancestor = n + __popc(taken_lanes & ((holding_lanes & -holding_lanes) - 1));
        }
        if (taken) {
            const uint32_t at = n + __popc(taken_lanes & before);
            candidates.nodes[at] = node;
            candidates.children[at] = make_uint2(first_child, end_child);
            candidates.ranks[at] = 1;
            most_children = max(most_children, end_child - first_child);
        }
        n += __popc(taken_lanes);
    }
    if (lane < PADDING) {
        candidates.children[n + lane] = make_uint2(0, 0);
    }
    candidates.n = n;
    candidates.ancestor = ancestor;
    candidates.most_children = __reduce_max_sync(ALL_LANES, most_children);
    __syncwarp();
}

// The part of two keys that a lane multiplies.
struct KeyPair {
    uint2 codes[2];
    float scales[2];
};

// Where a lane of a quad reads its part of keys.
struct Keys {
    const uint2 *codes;
    const float *scales;
    // The node that has the first key.
    uint32_t first;

    template <typename Value>
    __device__ explicit Keys(const Descent<Value> &in)
        : codes(reinterpret_cast<const uint2 *>(in.codes) + lane_of_warp() % 4), scales(in.scales),
          first(in.levels.starts[in.lowest]) {
        // Kept in registers, as one multiplication then makes an address.
        asm volatile("" : "+l"(codes), "+l"(scales));
    }

    // The keys of a node and of the one `distance` behind it.
    __device__ KeyPair load(uint32_t node, uint32_t distance, bool has_first, bool has_second) const {
        const size_t key = node - first;
        const uint2 *own_codes = codes + key * (KEY / 8);
        const float *own_scales = scales + key;
        KeyPair pair = {};
        if (has_first) {
            pair.codes[0] = __ldg(own_codes);
            pair.scales[0] = __ldg(own_scales);
        }
        if (has_second) {
            pair.codes[1] = __ldg(own_codes + distance * (KEY / 8));
            pair.scales[1] = __ldg(own_scales + distance);
        }
        return pair;
    }
};

// Scores all candidates by the sums over their children: four of them at once, and four children of each at a pass.
__device__ void score_by_children(Candidates &candidates, const Keys &keys, const Rows &rows) {
    const uint32_t lane = lane_of_warp(), n = candidates.n;
    float *scores = reinterpret_cast<float *>(candidates.ranks) + lane / 8;
    for (uint32_t pass = 0; pass < candidates.most_children; pass += 4) {
        const uint2 *children = candidates.children + lane / 8;
        const uint32_t offset = pass + lane / 4 % 2;
        const auto load = [&]() {
            const uint32_t first = children->x + offset, end = children->y;
            const KeyPair pair = keys.load(first, 2, first < end, first + 2 < end);
            children += 4;
            return pair;
        };
        KeyPair next = load();
#pragma unroll 2
        for (uint32_t tile = 0; tile < n; tile += 4) {
            const KeyPair own = next;
            next = load();
            const float2 both = rows.scores(own.codes, own.scales);
            float sum = both.x + both.y;
            sum += __shfl_xor_sync(ALL_LANES, sum, 4);
            if (lane % 8 == 0) {
                scores[tile] = pass == 0 ? sum : scores[tile] + sum;
            }
        }
    }
    __syncwarp();
}

// Scores all candidates by their own keys, sixteen at once.
__device__ void score_by_keys(Candidates &candidates, const Keys &keys, const Rows &rows) {
    const uint32_t lane = lane_of_warp();
    float *scores = reinterpret_cast<float *>(candidates.ranks);
    for (uint32_t tile = lane / 4; tile < candidates.n + lane / 4; tile += 16) {
        KeyPair own = {};
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const uint32_t at = tile + 8 * half;
            const KeyPair pair = keys.load(at < candidates.n ? candidates.nodes[at] : 0, 0, at < candidates.n, false);
            own.codes[half] = pair.codes[0];
            own.scales[half] = pair.scales[0];
        }
        const float2 both = rows.scores(own.codes, own.scales);
        if (lane % 4 == 0) {
            scores[tile] = both.x;
            scores[tile + 8] = both.y;
        }
    }
    __syncwarp();
}

// The best are those whose rank is greater than the threshold, and the first `n_equal` of those that equal it.
struct Best {
    uint32_t threshold, n_equal;
};

// Makes ranks of the scores, and finds the best `count` of the candidates, which are more: by bisection of the rank of
// the last of them.
__device__ Best best_of(const Candidates &candidates, uint32_t count) {
    // Most levels fit into registers.
    constexpr uint32_t IN_REGISTERS = 4;
    const uint32_t lane = lane_of_warp();
    uint32_t own[IN_REGISTERS], largest = 0, smallest = NONE;
    const auto make_rank = [&](uint32_t at) -> uint32_t {
        if (at >= candidates.n || at == candidates.ancestor) {
            return 0;
        }
        const uint32_t rank = ordered(__uint_as_float(candidates.ranks[at]));
        candidates.ranks[at] = rank;
        largest = max(largest, rank);
        smallest = min(smallest, rank);
        return rank;
    };
#pragma unroll
    for (uint32_t i = 0; i < IN_REGISTERS; i++) {
        own[i] = make_rank(lane + i * WARP);
    }
#pragma unroll 1
    for (uint32_t at = lane + IN_REGISTERS * WARP; at < candidates.n; at += WARP) {
        make_rank(at);
    }
    largest = __reduce_max_sync(ALL_LANES, largest);
    smallest = __reduce_min_sync(ALL_LANES, smallest);
    const auto count_above = [&](uint32_t threshold) {
        uint32_t above = 0;
#pragma unroll
        for (const uint32_t rank : own) {
            above += rank > threshold;
        }
#pragma unroll 1
        for (uint32_t at = lane + IN_REGISTERS * WARP; at < candidates.n; at += WARP) {
            above += candidates.ranks[at] > threshold;
        }
        return __reduce_add_sync(ALL_LANES, above);
    };
    // The ranks differ only below the first bit in which the largest and the smallest do.
    const uint32_t differing = largest == smallest ? 0 : NONE >> __clz(largest ^ smallest);
    uint32_t threshold = largest & ~differing;
#pragma unroll 1
    for (uint32_t bit = differing - differing / 2; bit > 0; bit /= 2) {
        const uint32_t above = count_above((threshold | bit) - 1);
        threshold |= above >= count ? bit : 0;
        if (above == count) {
            break;
        }
    }
    return {threshold, count - count_above(threshold)};
}

// Where a granule's lists go, and how long they are.
struct Lists {
    uint32_t *selected, *cover;
    uint32_t n_selected, n_cover, cover_stride;

    __device__ void pad() const {
        for (uint32_t at = n_selected + lane_of_warp(); at < MAX_SELECTED; at += WARP) {
            selected[at] = NONE;
        }
        for (uint32_t at = n_cover + lane_of_warp(); at < cover_stride; at += WARP) {
            cover[at] = NONE;
        }
    }
};

// Lists what is closed and what is selected, and opens the rest into `next`. `first_leaf` is NONE above the leaves.
__device__ void settle(Candidates &candidates, const Best &best, uint32_t first_leaf, Lists &lists) {
    const uint32_t lane = lane_of_warp(), before = (1u << lane) - 1;
    const bool leaf = first_leaf != NONE;
    uint32_t n_equal = 0;
    candidates.n_next = 0;
    for (uint32_t first = 0; first < candidates.n; first += WARP) {
        const uint32_t at = first + lane;
        const bool valid = at < candidates.n, ranked = valid && at != candidates.ancestor;
        const uint32_t rank = ranked ? candidates.ranks[at] : 0;
        const bool equal = ranked && rank == best.threshold;
        const uint32_t equal_lanes = __ballot_sync(ALL_LANES, equal);
        const bool among_first = n_equal + __popc(equal_lanes & before) < best.n_equal;
        const bool chosen = rank > best.threshold || (equal && among_first) || (valid && !ranked);
        n_equal += __popc(equal_lanes);
        const bool closed = valid && (leaf || !chosen);
        const uint32_t closed_lanes = __ballot_sync(ALL_LANES, closed);
        const uint32_t cover_at = lists.n_cover + __popc(closed_lanes & before);
        if (closed && cover_at < lists.cover_stride) {
            lists.cover[cover_at] = candidates.nodes[at];
        }
        lists.n_cover += __popc(closed_lanes);
        if (leaf) {
            const uint32_t chosen_lanes = __ballot_sync(ALL_LANES, chosen);
            if (chosen) {
                lists.selected[lists.n_selected + __popc(chosen_lanes & before)] = candidates.nodes[at] - first_leaf;
            }
            lists.n_selected += __popc(chosen_lanes);
            continue;
        }
        const uint2 children = chosen ? candidates.children[at] : make_uint2(0, 0);
        const uint32_t n_own = children.y - children.x;
        uint32_t end = n_own;
#pragma unroll
        for (int distance = 1; distance < WARP; distance *= 2) {
            const uint32_t other = __shfl_up_sync(ALL_LANES, end, distance);
            end += lane >= distance ? other : 0;
        }
        const uint32_t n_opened = candidates.n_next + __shfl_sync(ALL_LANES, end, WARP - 1);
        candidates.require(n_opened);
        for (uint32_t child = 0; child < n_own; child++) {
            candidates.next[candidates.n_next + end - n_own + child] = children.x + child;
        }
        candidates.n_next = n_opened;
    }
    __syncwarp();
}

template <typename Value>
__device__ void descend(const Descent<Value> &in) {
    extern __shared__ uint32_t shared[];
    const uint32_t warp = threadIdx.x / WARP, index = blockIdx.x * WARPS + warp;
    if (index >= in.n_granules) {
        return;
    }
    const Granule granule = in.granules[index];
    const Rows rows(in, granule);
    Candidates candidates(shared + warp * (5 * in.capacity + 4 * PADDING), in.capacity);
    const Keys keys(in);
    Lists lists = {in.selected + static_cast<size_t>(index) * MAX_SELECTED,
                   in.cover + static_cast<size_t>(index) * in.cover_stride, 0, 0, in.cover_stride};
    uint32_t level = in.levels.n_levels - 1;
    candidates.start_with(in.levels.starts[level], in.levels.starts[level + 1]);
    for (;; level--) {
        const bool leaf = level == in.leaf_level;
        const uint32_t count = leaf ? in.leaves : in.opened;
        part(candidates, in, granule, level);
        // Where all are kept it does not matter what they score: every rank is above 0.
        Best best = {count == 0 ? NONE : 0, 0};
        if (count > 0 && count < candidates.n_scored()) {
            if (in.lookahead > 0 && level > in.lowest) {
                score_by_children(candidates, keys, rows);
            } else {
                score_by_keys(candidates, keys, rows);
            }
            best = best_of(candidates, count);
        }
        settle(candidates, best, leaf ? in.levels.starts[level] : NONE, lists);
        if (leaf) {
            break;
        }
    }
    lists.pad();
    if (lane_of_warp() == 0) {
        in.n_selected[index] = lists.n_selected;
        in.n_cover[index] = lists.n_cover;
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(WARPS *WARP, BLOCKS)
    descend_bf16(const __grid_constant__ Descent<bf16> in) {
    descend(in);
}

extern "C" __global__ void __launch_bounds__(WARPS *WARP, BLOCKS)
    descend_f32(const __grid_constant__ Descent<float> in) {
    descend(in);
}
