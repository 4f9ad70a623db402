// The gradients of latents of attention over lists of keys: the device form of
// `ops::sparse_attention::keys_backward` and its `inverted`. Blocks of 64 keys are taken in turn, each with the groups
// that see it, so that there are no atomic sums and the same input always gives the same bits.
//
// Inputs
//   queries, d_out   bf16 [n_queries, heads, 64], heads ≤ 16
//   latents, log_sizes, bias, offsets, ranges, group_queries: as in sparse_attention_lists.cu
//   row_terms        f32 [n_queries·heads, 2], from sparse_attention_backward.cu
// Output
//   d_latents        f32 [n_keys, 64]: Σ p·d_out + s·q/8
//
// Launches, in this order, with n_blocks = ⌈n_keys / 64⌉ (dynamic shared memory in brackets):
//   count_entries    any grid × 256: adds to counts, u32 [n_blocks] and zeros, the ranges that reach into each block
//   scan_entries     1 × 1,024: where each block's entries and work items begin, u32 [n_blocks + 1] each; makes counts
//                    and next_item, u32, zeros
//   fill_entries     any grid × 256: entries, 8 bytes for each block that each range reaches into; uses counts up
//   sort_entries     n_blocks × 256: entries in the order of the lists; item_blocks, u32: the block of each item
//   keys_backward_*  one block a multiprocessor × 512 [KEYS_SHARED_BYTES]: f32 [n_items, 64, 64], an item being at most
//                    128 entries of a block
//   latents_backward n_blocks × 256: d_latents, each block's items added up in their order
// n_items ≤ n_blocks + n_entries / 128. `_granules` takes groups of 1 to 16 queries, `_singles` groups of few queries,
// whose heads it takes together. Lists may be taken in batches of groups, `offsets` and `group_queries` beginning at
// the batch's first, which bounds the room for entries and items; `accumulate` then says that d_latents holds the sums
// of earlier batches.
//
// Floor: four products of 2·64 operations for each query, head and key of its list, over 790 TFLOP/s: 0.65 ms at 32k
// queries × 12 heads × 2,560 keys. Two of them are computed a second time; to keep every weight would take 4 GB. And
// queries and d_out are read once for each block that a group sees: 48 KiB for 64 keys × 192 rows, 4.0 GB at 32k, from
// the level-2 cache as long as it holds them; over 4.3 TB/s that is 0.94 ms, or 30 ms at 1M queries.

#include "sparse_attention_lists.cuh"

namespace {

constexpr int N_READERS = 3;
constexpr int ITEM_ENTRIES = 128;
constexpr int UNSEEN = 255;
constexpr uint32_t SORTED_IN_SHARED = 4096;

// A range that reaches into a block of keys, and the group in whose list it stands.
struct Entry {
    uint32_t range, group;
};

// Four tiles of 16 rows that see some of a block's keys.
struct RowChunk {
    // Swizzled tiles of 64 rows.
    __nv_bfloat16 queries[64 * DIMENSIONS], d_out[64 * DIMENSIONS];
    // A row's log sum in powers of two and correction.
    float2 terms[64];
    // Log size of each key in powers of two, with GRANULES the bias too; −∞ where it is not seen.
    float addends[4][TILE_KEYS];
    uint8_t buckets[4][TILE_KEYS];
    // No rows: the item is done, and `next_item` follows.
    int is_end, next_item;
    uint8_t padding[1024 - (64 * 8 + 4 * TILE_KEYS * 5 + 8) % 1024];
};

struct KeysShared {
    RowChunk chunks[2 * N_READERS];
    float sums[N_READERS - 1][32][WARPGROUP];
    float bias[MAX_HEADS * N_BUCKETS];
    Ring<2 * N_READERS> ring;
    uint32_t next_item;
};

constexpr int KEYS_SHARED_BYTES = 144488;
static_assert(sizeof(KeysShared) == KEYS_SHARED_BYTES, "the host reserves as much");

// Where each block's entries and items are.
struct Inverted {
    const Entry *entries;
    const uint32_t *entry_offsets, *item_offsets, *item_blocks;
    uint32_t n_blocks;
};

struct Rows {
    const __nv_bfloat16 *queries, *d_out;
    const float2 *terms;
    int heads;
};

// Fills row chunks with a warpgroup, each of its warps one of their four tiles.
template <Layout LAYOUT>
struct RowGatherer {
    KeysShared &shared;
    const Rows rows;
    uint32_t count = 0;
    // Tiles of chunk `count` that are filled.
    int slot = 0;
    // What is known of this lane's keys, the lane'th and the one 32 behind it.
    float sizes[2];
    int buckets[2] = {UNSEEN, UNSEEN};

    __device__ __forceinline__ RowChunk &chunk() { return shared.chunks[count % (2 * N_READERS)]; }

    // Adds 16 rows from `first` on, `stride` apart, of which `n_rows` exist.
    __device__ __forceinline__ void add_tile(size_t first, int stride, int n_rows, int head) {
        if (slot == threadIdx.x % WARPGROUP / WARP) fill_tile(first, stride, n_rows, head);
        if (++slot == 4) push(false, 0);
    }

    __device__ __forceinline__ void fill_tile(size_t first, int stride, int n_rows, int head) {
        const int lane = threadIdx.x % WARP;
        shared.ring.claim(count);
        RowChunk &to = chunk();
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = lane / 8 + i * 4;
            const size_t from = (first + row * stride) * DIMENSIONS + lane % 8 * 8;
            const uint32_t offset = swizzled(slot * 16 + row, lane % 8);
            copy_or_zero<16>(shared_address(to.queries) + offset, rows.queries + from, row < n_rows);
            copy_or_zero<16>(shared_address(to.d_out) + offset, rows.d_out + from, row < n_rows);
        }
        if (lane < 16)
            copy_or_zero<8>(shared_address(&to.terms[slot * 16 + lane]), rows.terms + first + lane * stride,
                            lane < n_rows);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const bool seen = buckets[i] != UNSEEN && n_rows > 0;
            const int bucket = seen ? buckets[i] : 0;
            const float addend = LAYOUT == GRANULES ? sizes[i] + shared.bias[head * N_BUCKETS + bucket] : sizes[i];
            to.addends[slot][lane + i * WARP] = seen ? addend : -INFINITY;
            if (LAYOUT == SINGLES) to.buckets[slot][lane + i * WARP] = bucket;
        }
    }

    // Adds the rows of a group.
    __device__ __forceinline__ void add_group(uint32_t first_query, int n_queries) {
        const size_t first = size_t(first_query) * rows.heads;
        if (LAYOUT == GRANULES)
            for (int head = 0; head < rows.heads; head++) add_tile(first + head, rows.heads, n_queries, head);
        else
            for (int query = 0; query < n_queries; query++) add_tile(first + query * rows.heads, 1, rows.heads, 0);
    }

    __device__ __forceinline__ void push(bool is_end, int next_item) {
        if (threadIdx.x % WARPGROUP == 0) {
            chunk().is_end = is_end;
            chunk().next_item = next_item;
        }
        shared.ring.start(count);
        shared.ring.complete(count++);
        slot = 0;
    }

    // Ends an item: every reader gets an end.
    __device__ __forceinline__ void end(int next_item) {
        while (slot > 0) add_tile(0, 0, 0, 0);
        for (int reader = 0; reader < N_READERS; reader++) {
            shared.ring.claim(count);
            push(true, next_item);
        }
    }

    // Adds the groups of entries first..last, which see keys from `first_key` on. Ranges of a group are taken together
    // as long as they ascend.
    __device__ __forceinline__ void add_entries(const Inverted &inverted, const Lists &lists, uint32_t first,
                                                uint32_t last, uint32_t first_key) {
        const uint32_t lane = threadIdx.x % WARP;
        uint32_t group = 0, query = 0, previous = 0;
        int n_queries = 0;
        for (uint32_t base = first; base < last; base += WARP) {
            Entry entry = {0, 0};
            KeyRange range = {0, 0, 0};
            uint32_t own_query = 0, own_end = 0;
            if (base + lane < last) {
                entry = inverted.entries[base + lane];
                range = lists.ranges[entry.range];
                own_query = lists.group_queries[entry.group];
                own_end = lists.group_queries[entry.group + 1];
            }
            const uint32_t own_from = max(range.start, first_key) - first_key;
            const uint32_t own_to = min(range.end - first_key, TILE_KEYS);
            const int n = min(last - base, WARP);
            for (int i = 0; i < n; i++) {
                const uint32_t next = __shfl_sync(~0u, entry.group, i), from = __shfl_sync(~0u, own_from, i);
                const uint32_t to = __shfl_sync(~0u, own_to, i), bucket = __shfl_sync(~0u, range.bucket, i);
                if (next != group || from < previous) {
                    if (n_queries > 0) add_group(query, n_queries);
                    buckets[0] = buckets[1] = UNSEEN;
                }
                group = next, previous = to;
                query = __shfl_sync(~0u, own_query, i);
                n_queries = __shfl_sync(~0u, own_end, i) - query;
                for (int half = 0; half < 2; half++)
                    if (from <= lane + half * WARP && lane + half * WARP < to) buckets[half] = bucket;
            }
        }
        if (n_queries > 0) add_group(query, n_queries);
        buckets[0] = buckets[1] = UNSEEN;
    }
};

// Adds a chunk's part of the gradients of the keys whose eighths are `keys` to `sums`.
template <Layout LAYOUT>
__device__ __forceinline__ void add_chunk(float (&sums)[32], const uint32_t (&keys)[4][4], const RowChunk &chunk,
                                          const float *bias) {
    const int column = threadIdx.x % 4 * 2, key = threadIdx.x % WARPGROUP / WARP * 16 + threadIdx.x % WARP / 4;
    float weights[32], products[32];
    begin_products();
    multiply<0>(weights, keys, shared_address(chunk.queries), false);
    multiply<0>(products, keys, shared_address(chunk.d_out), false);
    finish<1>(weights);
#pragma unroll
    for (int i = 0; i < 32; i++) {
        const int row = i / 4 * 8 + column + i % 2, own = key + i / 2 % 2 * 8;
        float addend = chunk.addends[i / 8][own];
        if (LAYOUT == SINGLES) addend += bias[row % 16 * N_BUCKETS + chunk.buckets[i / 8][own]];
        weights[i] = exp2_fast(fmaf(weights[i], LOG2E, addend - chunk.terms[row].x));
    }
    finish<0>(products);
    uint32_t left_weights[4][4], left_gradients[4][4];
    pack_left(left_weights, weights);
#pragma unroll
    for (int i = 0; i < 32; i++)
        weights[i] *= fmaf(-0.125f, chunk.terms[i / 4 * 8 + column + i % 2].y, products[i]);
    pack_left(left_gradients, weights);
    begin_products();
    multiply<1>(sums, left_weights, shared_address(chunk.d_out), true);
    multiply<1>(sums, left_gradients, shared_address(chunk.queries), true);
    finish<0>(sums);
}

template <Layout LAYOUT>
__device__ __forceinline__ void read_rows(KeysShared &shared, const __nv_bfloat16 *latents, uint32_t n_keys,
                                          const Inverted &inverted, uint32_t n_items, float *partials) {
    const int reader = threadIdx.x / WARPGROUP, thread = threadIdx.x % WARPGROUP;
    const int key = thread / WARP * 16 + thread % WARP / 4, column = threadIdx.x % 4 * 2;
    uint32_t count = reader;
    for (uint32_t item = blockIdx.x; item < n_items;) {
        const uint32_t low = inverted.item_blocks[item] * TILE_KEYS + key, high = low + 8;
        uint32_t keys[4][4];
        load_left(keys, low < n_keys ? latents + size_t(low) * DIMENSIONS : nullptr,
                  high < n_keys ? latents + size_t(high) * DIMENSIONS : nullptr);
        for (uint32_t i = 0; i < 16; i++) {
            __nv_bfloat162 &pair = reinterpret_cast<__nv_bfloat162 &>(keys[i / 4][i % 4]);
            pair = __hmul2(pair, __floats2bfloat162_rn(0.125f, 0.125f));
        }
        float sums[32];
        for (float &sum : sums) sum = 0;
        for (;; count += N_READERS) {
            shared.ring.wait(count);
            const RowChunk &chunk = shared.chunks[count % (2 * N_READERS)];
            if (chunk.is_end) break;
            add_chunk<LAYOUT>(sums, keys, chunk, shared.bias);
            shared.ring.release(count);
        }
        float *to = partials + size_t(item) * TILE_KEYS * DIMENSIONS + key * DIMENSIONS + column;
        item = shared.chunks[count % (2 * N_READERS)].next_item;
        shared.ring.release(count);
        count += N_READERS;
        if (reader > 0)
            for (int i = 0; i < 32; i++) shared.sums[reader - 1][i][thread] = sums[i];
        named_barrier_wait(1, N_READERS * WARPGROUP);
        if (reader == 0)
            for (int i = 0; i < 32; i += 2) {
                float2 both = make_float2(sums[i], sums[i + 1]);
                for (int other = 0; other < N_READERS - 1; other++) {
                    both.x += shared.sums[other][i][thread];
                    both.y += shared.sums[other][i + 1][thread];
                }
                *reinterpret_cast<float2 *>(to + i / 2 % 2 * 8 * DIMENSIONS + i / 4 * 8) = both;
            }
        named_barrier_wait(1, N_READERS * WARPGROUP);
    }
}

template <Layout LAYOUT>
__device__ __forceinline__ void keys_backward(Rows rows, Keys keys, uint32_t n_keys, const float *bias, Lists lists,
                                              Inverted inverted, uint32_t *next_item, float *partials) {
    extern __shared__ __align__(1024) uint8_t memory[];
    KeysShared &shared = *reinterpret_cast<KeysShared *>(memory);
    const uint32_t n_items = inverted.item_offsets[inverted.n_blocks];
    load_bias(shared.bias, bias, rows.heads);
    if (threadIdx.x == 0) shared.ring.init(WARPGROUP / WARP);
    __syncthreads();
    if (threadIdx.x < N_READERS * WARPGROUP) {
#ifdef HAS_HOPPER
        // 512 threads start with 128 registers each.
        take_registers<144>();
#endif
        read_rows<LAYOUT>(shared, keys.latents, n_keys, inverted, n_items, partials);
    } else {
#ifdef HAS_HOPPER
        give_registers<80>();
#endif
        RowGatherer<LAYOUT> gatherer = {shared, rows};
        for (uint32_t item = blockIdx.x; item < n_items;) {
            if (threadIdx.x % WARPGROUP == 0) shared.next_item = gridDim.x + atomicAdd(next_item, 1);
            const uint32_t block = inverted.item_blocks[item];
            for (int i = 0; i < 2; i++) {
                const uint32_t key = block * TILE_KEYS + threadIdx.x % WARP + i * WARP;
                gatherer.sizes[i] = key < n_keys ? keys.log_sizes[key] * LOG2E : 0;
            }
            const uint32_t first =
                inverted.entry_offsets[block] + (item - inverted.item_offsets[block]) * ITEM_ENTRIES;
            const uint32_t last = min(first + ITEM_ENTRIES, inverted.entry_offsets[block + 1]);
            gatherer.add_entries(inverted, lists, first, last, block * TILE_KEYS);
            named_barrier_wait(2, WARPGROUP);
            item = shared.next_item;
            named_barrier_wait(2, WARPGROUP);
            gatherer.end(item);
        }
        wait_for_copies();
    }
}

// Calls `visit(block, entry)` for each block that each range reaches into, a warp a group.
template <typename Visit>
__device__ __forceinline__ void for_each_entry(const uint32_t *offsets, const KeyRange *ranges, int n_groups,
                                               Visit visit) {
    const int n_warps = gridDim.x * blockDim.x / WARP;
    for (uint32_t group = (blockIdx.x * blockDim.x + threadIdx.x) / WARP; group < n_groups; group += n_warps)
        for (uint32_t at = offsets[group] + threadIdx.x % WARP; at < offsets[group + 1]; at += WARP) {
            const KeyRange range = ranges[at];
            if (range.start == range.end) continue;
            for (uint32_t block = range.start / TILE_KEYS; block <= (range.end - 1) / TILE_KEYS; block++)
                visit(block, Entry{at, group});
        }
}

// Sorts entries by range with the threads of a block: every comparison puts the smaller one first, so that entries past
// the end, larger than all, stay where they are.
__device__ __forceinline__ void sort(Entry *entries, uint32_t n) {
    for (uint32_t size = 2; size < 2 * n; size *= 2)
        for (uint32_t step = size / 2; step > 0; step /= 2) {
            for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
                const uint32_t partner = step == size / 2 ? i ^ (size - 1) : i ^ step;
                if (partner <= i || partner >= n) continue;
                const Entry a = entries[i], b = entries[partner];
                if (a.range > b.range) entries[i] = b, entries[partner] = a;
            }
            __syncthreads();
        }
}

// The sum over the threads before this one of 1,024, and over all of them in `total`.
__device__ __forceinline__ uint2 scan_1024(uint2 value, uint2 *of_warps, uint2 *total) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint2 own = value;
    for (int step = 1; step < WARP; step *= 2) {
        const uint32_t x = __shfl_up_sync(~0u, value.x, step), y = __shfl_up_sync(~0u, value.y, step);
        if (lane >= step) value.x += x, value.y += y;
    }
    if (lane == WARP - 1) of_warps[warp] = value;
    __syncthreads();
    uint2 before = make_uint2(value.x - own.x, value.y - own.y);
    *total = make_uint2(0, 0);
    for (int i = 0; i < 1024 / WARP; i++) {
        if (i == warp) before.x += total->x, before.y += total->y;
        total->x += of_warps[i].x, total->y += of_warps[i].y;
    }
    __syncthreads();
    return before;
}

}  // namespace

#define KEYS_BACKWARD(NAME, LAYOUT)                                                                                   \
    extern "C" __global__ void __launch_bounds__(512, 1)                                                              \
        NAME(const __nv_bfloat16 *queries, const __nv_bfloat16 *d_out, const __nv_bfloat16 *latents,                  \
             const float *log_sizes, const float *bias, const KeyRange *ranges, const uint32_t *group_queries,        \
             const float2 *row_terms, const Entry *entries, const uint32_t *entry_offsets,                            \
             const uint32_t *item_offsets, const uint32_t *item_blocks, uint32_t n_keys, int heads,                   \
             uint32_t *next_item, float *d_latents_of_items) {                                                        \
        const uint32_t n_blocks = (n_keys + TILE_KEYS - 1) / TILE_KEYS;                                               \
        keys_backward<LAYOUT>({queries, d_out, row_terms, heads}, {latents, log_sizes}, n_keys, bias,                 \
                              {nullptr, ranges, group_queries},                                                       \
                              {entries, entry_offsets, item_offsets, item_blocks, n_blocks}, next_item,               \
                              d_latents_of_items);                                                                    \
    }

KEYS_BACKWARD(keys_backward_granules, GRANULES)
KEYS_BACKWARD(keys_backward_singles, SINGLES)

extern "C" __global__ void count_entries(const uint32_t *offsets, const KeyRange *ranges, int n_groups,
                                         uint32_t *counts) {
    for_each_entry(offsets, ranges, n_groups, [&](uint32_t block, Entry) { atomicAdd(&counts[block], 1); });
}

extern "C" __global__ void __launch_bounds__(1024)
    scan_entries(uint32_t *counts, uint32_t n_blocks, uint32_t *entry_offsets, uint32_t *item_offsets,
                 uint32_t *next_item) {
    __shared__ uint2 of_warps[1024 / WARP];
    uint2 done = make_uint2(0, 0);
    for (uint32_t base = 0; base < n_blocks; base += 1024) {
        const uint32_t block = base + threadIdx.x, count = block < n_blocks ? counts[block] : 0;
        uint2 total;
        const uint2 before = scan_1024(make_uint2(count, (count + ITEM_ENTRIES - 1) / ITEM_ENTRIES), of_warps, &total);
        if (block < n_blocks) {
            entry_offsets[block] = done.x + before.x;
            item_offsets[block] = done.y + before.y;
            counts[block] = 0;
        }
        done.x += total.x, done.y += total.y;
    }
    if (threadIdx.x > 0) return;
    entry_offsets[n_blocks] = done.x;
    item_offsets[n_blocks] = done.y;
    *next_item = 0;
}

extern "C" __global__ void fill_entries(const uint32_t *offsets, const KeyRange *ranges, int n_groups,
                                        const uint32_t *entry_offsets, uint32_t *counts, Entry *entries) {
    for_each_entry(offsets, ranges, n_groups, [&](uint32_t block, Entry entry) {
        entries[entry_offsets[block] + atomicAdd(&counts[block], 1)] = entry;
    });
}

extern "C" __global__ void __launch_bounds__(256)
    sort_entries(const uint32_t *entry_offsets, const uint32_t *item_offsets, Entry *entries, uint32_t *item_blocks) {
    __shared__ Entry cached[SORTED_IN_SHARED];
    const uint32_t first = entry_offsets[blockIdx.x], n = entry_offsets[blockIdx.x + 1] - first;
    for (uint32_t item = item_offsets[blockIdx.x] + threadIdx.x; item < item_offsets[blockIdx.x + 1]; item += 256)
        item_blocks[item] = blockIdx.x;
    if (n > SORTED_IN_SHARED) return sort(entries + first, n);
    for (uint32_t i = threadIdx.x; i < n; i += 256) cached[i] = entries[first + i];
    __syncthreads();
    sort(cached, n);
    for (uint32_t i = threadIdx.x; i < n; i += 256) entries[first + i] = cached[i];
}

extern "C" __global__ void __launch_bounds__(256)
    latents_backward(const float4 *d_latents_of_items, const uint32_t *item_offsets, uint32_t n_keys, int accumulate,
                     float4 *d_latents) {
    constexpr int N = TILE_KEYS * DIMENSIONS / 4;
    for (int i = threadIdx.x; i < N; i += 256) {
        const size_t at = size_t(blockIdx.x) * N + i;
        if (at >= size_t(n_keys) * DIMENSIONS / 4) return;
        float4 sum = accumulate ? d_latents[at] : make_float4(0, 0, 0, 0);
        for (uint32_t item = item_offsets[blockIdx.x]; item < item_offsets[blockIdx.x + 1]; item++) {
            const float4 part = d_latents_of_items[size_t(item) * N + i];
            sum.x += part.x, sum.y += part.y, sum.z += part.z, sum.w += part.w;
        }
        d_latents[at] = sum;
    }
}
