// What the forward and the backward of sparse attention over lists share: how rows are laid over warps, how the keys of
// a list become tiles in shared memory, and products that are wgmma on sm_90a and mma.sync elsewhere.
//
// Four consecutive warps form a warpgroup. It holds 64 rows of a product in registers, each of its warps 16, in the
// accumulator layout that wgmma and mma.sync have in common: `sums[4·b + i]` is row lane/4 (+ 8 for i ≥ 2) and
// column 8·b + 2·(lane%4) + i%2. The code around the products is therefore the same on every architecture.

#pragma once

#include "common.cuh"

constexpr int DIMENSIONS = 64;
constexpr int TILE_KEYS = 64;
constexpr int TILE_BYTES = TILE_KEYS * DIMENSIONS * 2;
constexpr int WARPGROUP = 128;
constexpr int N_BUCKETS = 16;
constexpr int MAX_HEADS = 16;
constexpr int GRANULE = 16;
// Logits are scaled by 1/√64 and taken to powers of two.
constexpr float LOGIT_SCALE = 0.125f * LOG2E;

// Consecutive keys that share a bucket of distance: `KeyRange` of the host, every field 32 bits wide.
struct KeyRange {
    uint32_t start, end, bucket;
};

// `KeyLists` of the host: group g sees ranges[offsets[g]..offsets[g + 1]] and is the queries
// group_queries[g]..group_queries[g + 1].
struct Lists {
    const uint32_t *offsets;
    const KeyRange *ranges;
    const uint32_t *group_queries;
};

// How the 16-row tiles of a group are made of its queries and heads.
enum Layout {
    // One tile a head, its rows the group's 1 to 16 queries.
    GRANULES,
    // One tile a query, its rows the heads; for groups of very few queries.
    SINGLES,
};

#ifndef HAS_HOPPER

__device__ __forceinline__ void barrier_init(uint64_t *barrier, uint32_t arrivals) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals));
}

__device__ __forceinline__ void barrier_arrive(uint64_t *barrier) {
    asm volatile("{\n.reg .b64 state;\nmbarrier.arrive.shared.b64 state, [%0];\n}\n" ::"r"(shared_address(barrier))
                 : "memory");
}

__device__ __forceinline__ void barrier_wait(uint64_t *barrier, uint32_t parity) {
    uint32_t done;
    do {
        asm volatile("{\n.reg .pred p;\n"
                     "mbarrier.test_wait.parity.shared.b64 p, [%1], %2;\n"
                     "selp.u32 %0, 1, 0, p;\n}\n"
                     : "=r"(done)
                     : "r"(shared_address(barrier)), "r"(parity)
                     : "memory");
    } while (!done);
}

__device__ __forceinline__ void load_matrices_transposed(uint32_t (&registers)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(address));
}

__device__ __forceinline__ void mma_16x8x16(float *sums, const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#endif

// Starts sums[64×64] (+)= a[64×64] · b, `a` in registers, `b` a swizzled tile of 64 rows. TRANSPOSED says that b's rows
// are the depths of the product, otherwise they are its columns. `finish` waits for the result.
template <int TRANSPOSED>
__device__ __forceinline__ void multiply(float (&sums)[32], const uint32_t (&a)[4][4], uint32_t b, bool accumulate) {
#ifdef HAS_HOPPER
    const uint64_t descriptor = tile_descriptor(b);
#pragma unroll
    for (int step = 0; step < 4; step++) {
        // Sixteen depths are 32 bytes of every row, or sixteen whole rows.
        const int offset = step * (TRANSPOSED ? 2048 : 32) / 16;
        wgmma_64x64x16<TRANSPOSED>(sums, a[step], descriptor + offset, accumulate || step > 0);
    }
    wgmma_commit();
#else
    if (!accumulate)
        for (float &sum : sums) sum = 0;
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int step = 0; step < 4; step++)
#pragma unroll
        for (int pair = 0; pair < 4; pair++) {
            uint32_t matrices[4];
            if (TRANSPOSED)
                load_matrices_transposed(matrices, b + swizzled(step * 16 + lane % 16, pair * 2 + lane / 16));
            else
                load_matrices(matrices,
                              b + swizzled(pair * 16 + lane % 8 + lane / 16 * 8, step * 2 + lane / 8 % 2));
            mma_16x8x16(&sums[pair * 8], a[step], matrices[0], matrices[1]);
            mma_16x8x16(&sums[pair * 8 + 4], a[step], matrices[2], matrices[3]);
        }
#endif
}

// Comes before the first product that reads or adds to registers that were written since.
__device__ __forceinline__ void begin_products() {
#ifdef HAS_HOPPER
    wgmma_fence();
#endif
}

// Waits until all but the last PENDING products are done, of which one gave `sums`.
template <int PENDING>
__device__ __forceinline__ void finish(float (&sums)[32]) {
#ifdef HAS_HOPPER
    wgmma_wait<PENDING>();
    // Nothing that reads a sum moves above the wait.
    for (float &sum : sums) asm volatile("" : "+f"(sum)::"memory");
#endif
}

// The left operand of a product from an accumulator.
__device__ __forceinline__ void pack_left(uint32_t (&a)[4][4], const float (&sums)[32]) {
#pragma unroll
    for (int i = 0; i < 16; i++) a[i / 4][i % 4] = pack_bf16(sums[2 * i], sums[2 * i + 1]);
}

// The left operand of a product from two rows of 64 values, `low` row lane/4 and `high` the one eight below; null for
// zeros.
__device__ __forceinline__ void load_left(uint32_t (&a)[4][4], const __nv_bfloat16 *low, const __nv_bfloat16 *high) {
    const int column = threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < 16; i++) {
        const __nv_bfloat16 *row = i % 2 ? high : low;
        const int at = i / 4 * 16 + i % 4 / 2 * 8 + column;
        a[i / 4][i % 4] = row ? __ldg(reinterpret_cast<const uint32_t *>(row + at)) : 0;
    }
}

// The two rows of a group that a lane of an accumulator holds.
struct LaneRows {
    bool valid[2];
    int head[2];
    // Row of [n_queries × heads].
    size_t row[2];

    template <Layout LAYOUT>
    __device__ __forceinline__ static LaneRows of(const Lists &lists, int group, int heads, int tiles_of_block) {
        const int tile = blockIdx.y * tiles_of_block + threadIdx.x / WARP, first = lists.group_queries[group];
        const int n_queries = lists.group_queries[group + 1] - first;
        LaneRows rows;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int in_tile = threadIdx.x % WARP / 4 + i * 8;
            const int query = LAYOUT == GRANULES ? in_tile : tile, head = LAYOUT == GRANULES ? tile : in_tile;
            rows.valid[i] = query < n_queries && head < heads;
            rows.head[i] = min(head, heads - 1);
            rows.row[i] = (size_t(first) + query) * heads + head;
        }
        return rows;
    }

    __device__ __forceinline__ void load(uint32_t (&a)[4][4], const __nv_bfloat16 *values) const {
        load_left(a, valid[0] ? values + row[0] * DIMENSIONS : nullptr,
                  valid[1] ? values + row[1] * DIMENSIONS : nullptr);
    }
};

// Copies N_BYTES, or writes zeros.
template <int N_BYTES>
__device__ __forceinline__ void copy_or_zero(uint32_t to, const void *from, bool copy) {
    if (N_BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(copy ? 16 : 0)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(N_BYTES),
                     "r"(copy ? N_BYTES : 0)
                     : "memory");
}

// A ring of buffers that the warps of one warpgroup fill together and others read; both sides count the buffers.
template <int N_STAGES>
struct Ring {
    uint64_t full[N_STAGES], empty[N_STAGES];

    __device__ __forceinline__ void init(int n_reading_warps) {
        for (int stage = 0; stage < N_STAGES; stage++) {
            // Every filling lane's copies, and every filling warp's own writes.
            barrier_init(&full[stage], WARPGROUP + WARPGROUP / WARP);
            barrier_init(&empty[stage], n_reading_warps);
        }
    }

    // Waits until buffer `count` may be filled.
    __device__ __forceinline__ void claim(uint32_t count) {
        if (count >= N_STAGES) barrier_wait(&empty[count % N_STAGES], (count / N_STAGES + 1) & 1);
    }

    // Says that all copies to buffer `count` have been started; it is full once they are done and `complete` was said.
    __device__ __forceinline__ void start(uint32_t count) {
        asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(shared_address(&full[count % N_STAGES]))
                     : "memory");
    }

    // Says that this warp has written all else.
    __device__ __forceinline__ void complete(uint32_t count) {
        __syncwarp();
        if (threadIdx.x % WARP == 0) barrier_arrive(&full[count % N_STAGES]);
    }

    // Waits until buffer `count` may be read. The fence stands here and not with the writes, where it would wait for
    // every copy under way.
    __device__ __forceinline__ void wait(uint32_t count) {
        barrier_wait(&full[count % N_STAGES], (count / N_STAGES) & 1);
#ifdef HAS_HOPPER
        fence_async_proxy();
#endif
    }

    // Says that this warp has read buffer `count`.
    __device__ __forceinline__ void release(uint32_t count) {
        __syncwarp();
        if (threadIdx.x % WARP == 0) barrier_arrive(&empty[count % N_STAGES]);
    }
};

constexpr int N_KEY_TILES = 6;
typedef Ring<N_KEY_TILES> KeyRing;

// The addends of a head lie this far apart, so that lanes that read different heads read different banks.
constexpr int ADDENDS_STRIDE = TILE_KEYS + 8;
constexpr uint8_t MIXED = 255;

// The next keys of a list in shared memory.
struct KeyTile {
    // A swizzled tile; zeros behind the last key.
    __nv_bfloat16 latents[TILE_KEYS * DIMENSIONS];
    // Log size and bias in powers of two, −∞ behind the last key.
    float addends[MAX_HEADS * ADDENDS_STRIDE];
    uint8_t buckets[TILE_KEYS];
    // The bucket that 16 keys have in common, or MIXED.
    uint8_t common_buckets[TILE_KEYS / 16];
    // 0 at the end of the list.
    int n_keys;
    // Tiles start at multiples of 1,024 bytes.
    uint8_t padding[1024 - (MAX_HEADS * ADDENDS_STRIDE * 4 + TILE_KEYS + 8) % 1024];
};

// Walks over a list with a warp: 32 ranges in registers, a lane each, and the next 32 on their way.
class ListWalker {
    const KeyRange *ranges;
    // The first range of `ahead`, and the list's end.
    uint32_t at, end;
    KeyRange current, ahead;
    // Keys up to this lane's range and with it; keys of all lanes, and those that were taken.
    uint32_t sum, total = 0, taken = 0;

    __device__ __forceinline__ KeyRange load() const {
        const uint32_t own = at + threadIdx.x % WARP;
        return own < end ? ranges[own] : KeyRange{0, 0, 0};
    }

    __device__ __forceinline__ void advance() {
        const uint32_t lane = threadIdx.x % WARP;
        current = ahead;
        at += WARP;
        ahead = load();
        sum = current.end - current.start;
        for (int step = 1; step < WARP; step *= 2) {
            const uint32_t before = __shfl_up_sync(~0u, sum, step);
            if (lane >= step) sum += before;
        }
        total = __shfl_sync(~0u, sum, WARP - 1);
        taken = 0;
    }

    // The first lane whose sum is above `position`.
    __device__ __forceinline__ uint32_t owner(uint32_t position) const {
        uint32_t own = 0;
        for (int step = WARP / 2; step > 0; step /= 2)
            if (__shfl_sync(~0u, sum, own + step - 1) <= position) own += step;
        return own;
    }

public:
    __device__ __forceinline__ ListWalker(const Lists &lists, int group)
        : ranges(lists.ranges), at(lists.offsets[group]), end(lists.offsets[group + 1]) {
        ahead = load();
    }

    // Takes the next 64 keys, or what is left: their number, and what stands at this lane's `slot` if it is below.
    __device__ __forceinline__ int next(uint32_t slot, uint32_t &key, uint32_t &bucket) {
        uint32_t filled = 0;
        while (true) {
            const uint32_t n = min(total - taken, TILE_KEYS - filled);
            if (n > 0) {
                const uint32_t position = taken + slot - filled, own = owner(position);
                const uint32_t own_key = __shfl_sync(~0u, current.end - sum, own) + position;
                const uint32_t own_bucket = __shfl_sync(~0u, current.bucket, own);
                if (slot - filled < n) key = own_key, bucket = own_bucket;
                filled += n;
                taken += n;
            }
            if (filled == TILE_KEYS || at >= end) return filled;
            advance();
        }
    }
};

// What there is about keys.
struct Keys {
    // [n_keys, 64].
    const __nv_bfloat16 *latents;
    // [n_keys].
    const float *log_sizes;
};

// Fills key tiles with a warpgroup, each of its warps 16 keys.
class KeyGatherer {
    KeyTile (&tiles)[N_KEY_TILES];
    KeyRing &ring;
    const Keys keys;
    const float *bias;
    const int heads;
    uint32_t count = 0;
    // Of this lane's key in the last tile, whose addends are written when its size has come.
    float size;
    uint32_t bucket;

    __device__ __forceinline__ static uint32_t own_slot() {
        return threadIdx.x % WARPGROUP / WARP * 16 + threadIdx.x % 16;
    }

    // Starts to fill a tile with the walker's next keys; their number.
    __device__ __forceinline__ int start(ListWalker &walker) {
        KeyTile &tile = tiles[count % N_KEY_TILES];
        const uint32_t lane = threadIdx.x % WARP, slot = own_slot(), first = slot - lane % 16;
        uint32_t key = 0, own_bucket = 0;
        const uint32_t n_keys = walker.next(slot, key, own_bucket);
        const float own_size = slot < n_keys ? keys.log_sizes[key] : -INFINITY;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint32_t row = lane / 8 + i * 4, chunk = lane % 8;
            const __nv_bfloat16 *from = keys.latents + size_t(__shfl_sync(~0u, key, row)) * DIMENSIONS + chunk * 8;
            copy_or_zero<16>(shared_address(tile.latents) + swizzled(first + row, chunk), from, first + row < n_keys);
        }
        ring.start(count);
        const uint32_t first_bucket = __shfl_sync(~0u, own_bucket, 0);
        const bool common = __all_sync(~0u, slot >= n_keys || own_bucket == first_bucket);
        tile.buckets[slot] = own_bucket;
        if (lane == 0) tile.common_buckets[first / 16] = common ? own_bucket : MIXED;
        if (slot == 0) tile.n_keys = n_keys;
        if (count > 0) complete(count - 1);
        size = own_size, bucket = own_bucket;
        count++;
        return n_keys;
    }

    // Writes the last tile's addends: half a warp the even heads, the other half the odd ones.
    __device__ __forceinline__ void complete(uint32_t last) {
        float *addends = tiles[last % N_KEY_TILES].addends + own_slot();
#pragma unroll 4
        for (int head = threadIdx.x % WARP / 16; head < heads; head += 2)
            addends[head * ADDENDS_STRIDE] = fmaf(size, LOG2E, bias[head * N_BUCKETS + bucket]);
        ring.complete(last);
    }

public:
    __device__ __forceinline__ KeyGatherer(KeyTile (&tiles)[N_KEY_TILES], KeyRing &ring, const Keys &keys,
                                           const float *bias, int heads)
        : tiles(tiles), ring(ring), keys(keys), bias(bias), heads(heads) {}

    // Fills tiles with a list, and one more without keys.
    __device__ __forceinline__ void gather(ListWalker walker) {
        int n_keys;
        do {
            ring.claim(count);
            n_keys = start(walker);
        } while (n_keys > 0);
    }

    // Completes the last tile.
    __device__ __forceinline__ void finish() {
        if (count > 0) complete(count - 1);
        wait_for_copies();
    }
};

// Writes the biases in powers of two to shared memory, zeros for heads that there are not.
__device__ __forceinline__ void load_bias(float (&to)[MAX_HEADS * N_BUCKETS], const float *bias, int heads) {
    for (int i = threadIdx.x; i < MAX_HEADS * N_BUCKETS; i += blockDim.x)
        to[i] = i < heads * N_BUCKETS ? bias[i] * LOG2E : 0;
}
