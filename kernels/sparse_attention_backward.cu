// The gradients of queries and bias of attention over lists of keys: the device form of
// `ops::sparse_attention::backward`; the gradients of latents are sparse_attention_keys_backward.cu. No sum depends on
// the order in which blocks run, so the same input always gives the same bits.
//
// Inputs
//   queries, d_out   bf16 [n_queries, heads, 64], heads ≤ 16
//   latents, log_sizes, bias, offsets, ranges, group_queries: as in sparse_attention_lists.cu
//   out              bf16 or f32 [n_queries, heads, 64], log_sums f32 [n_queries, heads]: what the forward returned
//   d_log_sums       f32 [n_queries, heads] or null
// Outputs
//   row_terms        f32 [n_queries·heads, 2]: a row's log sum in powers of two and its correction, for both files
//   d_queries        f32 [n_queries, heads, 64]
//   d_bias           f32 [heads, 16]
// With p = exp(logit − log_sum), a logit's gradient is s = p·(d_out·c − correction), where the correction is
// d_out·out − d_log_sum. Then d_query = Σ s·c/8 and d_bias = Σ s.
//
// Launches, in this order (dynamic shared memory in brackets):
//   row_terms_*         any grid × 256
//   queries_backward_*  (⌈n_groups / groups_per_block⌉, ⌈heads / 4w⌉) × 128·(w + 1): w ≤ 3 warpgroups of readers and
//                       one that gathers keys [QUERIES_SHARED_BYTES + w·16,384]; d_queries, and the sums of d_bias
//                       of each block, f32 [⌈n_groups / groups_per_block⌉, heads, 16]
//   bias_backward       heads × 1,024: d_bias
// `_granules` takes groups of 1 to 16 queries, a warp of a block for each head, `_singles` groups of 1 to 4 queries, a
// warp for each query (w = 1, one row of blocks).
//
// Floor: three products of 2·64 operations for each query, head and key of its list, over 790 TFLOP/s: 0.49 ms at 32k
// queries × 12 heads × 2,560 keys.

#include "sparse_attention_lists.cuh"

namespace {

// A lane's own sums of the bias's gradient, so that none of them are shared: [row, bucket, lane].
typedef float LaneBias[2][N_BUCKETS][WARP];

struct QueriesShared {
    KeyTile tiles[N_KEY_TILES];
    float bias[MAX_HEADS * N_BUCKETS];
    KeyRing ring;
    uint8_t padding[128 - sizeof(KeyRing) % 128];
    LaneBias d_bias[];
};
constexpr int QUERIES_SHARED_BYTES = 81024;
static_assert(sizeof(QueriesShared) == QUERIES_SHARED_BYTES, "the host reserves as much");
static_assert(sizeof(LaneBias) * 4 == 16384, "and so much for each warpgroup of readers");

struct BiasGradient {
    LaneBias &sums;
    // Not yet added to `sums`.
    float running[2] = {0, 0};
    int bucket = 0;

    __device__ __forceinline__ void clear() {
        for (int i = 0; i < 2 * N_BUCKETS; i++) sums[i / N_BUCKETS][i % N_BUCKETS][threadIdx.x % WARP] = 0;
    }

    __device__ __forceinline__ void flush(int next_bucket) {
        for (int row = 0; row < 2; row++) {
            sums[row][bucket][threadIdx.x % WARP] += running[row];
            running[row] = 0;
        }
        bucket = next_bucket;
    }

    __device__ __forceinline__ void add(const float (&gradients)[32], const KeyTile &tile) {
#pragma unroll
        for (int chunk = 0; chunk < TILE_KEYS / 16; chunk++) {
            const int common = tile.common_buckets[chunk];
            if (common == MIXED) {
#pragma unroll
                for (int i = chunk * 8; i < chunk * 8 + 8; i++) {
                    const int own = tile.buckets[i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2];
                    sums[i / 2 % 2][own][threadIdx.x % WARP] += gradients[i];
                }
            } else {
                if (common != bucket) flush(common);
#pragma unroll
                for (int i = chunk * 8; i < chunk * 8 + 8; i++) running[i / 2 % 2] += gradients[i];
            }
        }
    }

    // Writes the warp's sums to [heads, 16].
    template <Layout LAYOUT>
    __device__ __forceinline__ void write(float *to, int tile, int heads) {
        flush(0);
        const int lane = threadIdx.x % WARP;
        for (int bucket = 0; bucket < N_BUCKETS; bucket++) {
            float low = quad_sum(sums[0][bucket][lane]), high = quad_sum(sums[1][bucket][lane]);
            if (LAYOUT == SINGLES) {
                // A block's warps are queries; its first warp adds the others up.
                if (lane % 4 == 0) sums[0][bucket][lane / 4] = low, sums[1][bucket][lane / 4] = high;
                continue;
            }
            low += high;
            for (int step = 4; step < WARP; step *= 2) low += __shfl_xor_sync(~0u, low, step);
            if (lane == 0 && tile < heads) to[tile * N_BUCKETS + bucket] = low;
        }
    }
};

template <Layout LAYOUT>
__device__ __forceinline__ void read_keys(QueriesShared &shared, const Lists &lists, const __nv_bfloat16 *queries,
                                          const __nv_bfloat16 *d_out, const float2 *row_terms, int heads,
                                          int first_group, int last_group, float *d_queries, float *d_bias) {
    const int n_warps = blockDim.x / WARP - 4, warp = threadIdx.x / WARP, column = threadIdx.x % 4 * 2;
    BiasGradient bias_gradient = {shared.d_bias[warp]};
    bias_gradient.clear();
    uint32_t count = 0;
    for (int group = first_group; group < last_group; group++) {
        LaneRows rows = LaneRows::of<LAYOUT>(lists, group, heads, n_warps);
        const int addends_of_rows[2] = {rows.head[0] * ADDENDS_STRIDE + column, rows.head[1] * ADDENDS_STRIDE + column};
        uint32_t left_queries[4][4], left_d_out[4][4];
        rows.load(left_queries, queries);
        rows.load(left_d_out, d_out);
        float2 terms[2];
        for (int row = 0; row < 2; row++) terms[row] = rows.valid[row] ? row_terms[rows.row[row]] : make_float2(0, 0);
        float sums[32];
        for (float &sum : sums) sum = 0;
        for (;; count++) {
            shared.ring.wait(count);
            const KeyTile &tile = shared.tiles[count % N_KEY_TILES];
            if (tile.n_keys == 0) break;
            float logits[32], products[32];
            begin_products();
            multiply<0>(logits, left_queries, shared_address(tile.latents), false);
            multiply<0>(products, left_d_out, shared_address(tile.latents), false);
            finish<1>(logits);
#pragma unroll
            for (int i = 0; i < 32; i += 2) {
                const int row = i / 2 % 2;
                const float2 addends =
                    *reinterpret_cast<const float2 *>(&tile.addends[addends_of_rows[row] + i / 4 * 8]);
                logits[i] = exp2_fast(fmaf(logits[i], LOGIT_SCALE, addends.x - terms[row].x));
                logits[i + 1] = exp2_fast(fmaf(logits[i + 1], LOGIT_SCALE, addends.y - terms[row].x));
            }
            finish<0>(products);
#pragma unroll
            for (int i = 0; i < 32; i++) logits[i] *= products[i] - terms[i / 2 % 2].y;
            uint32_t gradients[4][4];
            pack_left(gradients, logits);
            begin_products();
            multiply<1>(sums, gradients, shared_address(tile.latents), true);
            bias_gradient.add(logits, tile);
            finish<0>(sums);
            shared.ring.release(count);
        }
        shared.ring.release(count++);
        // Computed anew, so that no registers hold them in between.
        rows = LaneRows::of<LAYOUT>(lists, group, heads, n_warps);
        for (int row = 0; row < 2; row++)
            for (int block = 0; block < 8 && rows.valid[row]; block++)
                *reinterpret_cast<float2 *>(d_queries + rows.row[row] * DIMENSIONS + block * 8 + column) =
                    make_float2(sums[block * 4 + row * 2] * 0.125f, sums[block * 4 + row * 2 + 1] * 0.125f);
    }
    bias_gradient.write<LAYOUT>(d_bias, blockIdx.y * n_warps + warp, heads);
    if (LAYOUT == GRANULES) return;
    named_barrier_wait(1, n_warps * WARP);
    for (int i = threadIdx.x; i < heads * N_BUCKETS; i += n_warps * WARP) {
        const int head = i / N_BUCKETS;
        float sum = 0;
        for (int other = 0; other < n_warps; other++) sum += shared.d_bias[other][head / 8][i % N_BUCKETS][head % 8];
        d_bias[i] = sum;
    }
}

template <Layout LAYOUT>
__device__ __forceinline__ void queries_backward(const __nv_bfloat16 *queries, const __nv_bfloat16 *d_out, Keys keys,
                                                 const float *bias, Lists lists, const float2 *row_terms, int n_groups,
                                                 int groups_per_block, int heads, float *d_queries, float *d_bias) {
    extern __shared__ __align__(1024) uint8_t memory[];
    QueriesShared &shared = *reinterpret_cast<QueriesShared *>(memory);
    const int n_readers = blockDim.x / WARP - 4, warp = threadIdx.x / WARP;
    const int first = blockIdx.x * groups_per_block, last = min(first + groups_per_block, n_groups);
    load_bias(shared.bias, bias, heads);
    if (threadIdx.x == 0) shared.ring.init(n_readers);
    __syncthreads();
    if (warp < n_readers) {
#ifdef HAS_HOPPER
        // 512 threads start with 128 registers each.
        take_registers<160>();
#endif
        read_keys<LAYOUT>(shared, lists, queries, d_out, row_terms, heads, first, last, d_queries,
                          d_bias + size_t(blockIdx.x) * heads * N_BUCKETS);
    } else {
#ifdef HAS_HOPPER
        give_registers<32>();
#endif
        KeyGatherer gatherer(shared.tiles, shared.ring, keys, shared.bias, heads);
        for (int group = first; group < last; group++) gatherer.gather(ListWalker(lists, group));
        gatherer.finish();
    }
}

template <typename Out>
__device__ __forceinline__ void row_terms(const __nv_bfloat16 *d_out, const Out *out, const float *log_sums,
                                          const float *d_log_sums, size_t n_rows, float2 *terms) {
    // Sixteen lanes a row; both halves of a warp go the same way.
    const size_t n_halves = size_t(gridDim.x) * blockDim.x / 16;
    const int lane = threadIdx.x % 16;
    for (size_t half = (size_t(blockIdx.x) * blockDim.x + threadIdx.x) / 16; half / 2 * 2 < n_rows; half += n_halves) {
        const size_t row = min(half, n_rows - 1);
        float sum = 0;
        for (int i = lane * 4; i < lane * 4 + 4; i++)
            sum += float(d_out[row * DIMENSIONS + i]) * float(out[row * DIMENSIONS + i]);
        for (int step = 1; step < 16; step *= 2) sum += __shfl_xor_sync(~0u, sum, step);
        if (lane == 0 && half < n_rows)
            terms[row] = make_float2(log_sums[row] * LOG2E, sum - (d_log_sums ? d_log_sums[row] : 0));
    }
}

}  // namespace

#define ROW_TERMS(NAME, OUT)                                                                                          \
    extern "C" __global__ void NAME(const __nv_bfloat16 *d_out, const OUT *out, const float *log_sums,                \
                                    const float *d_log_sums, size_t n_rows, float2 *terms) {                          \
        row_terms(d_out, out, log_sums, d_log_sums, n_rows, terms);                                                   \
    }

ROW_TERMS(row_terms_bf16, __nv_bfloat16)
ROW_TERMS(row_terms_f32, float)

#define QUERIES_BACKWARD(NAME, LAYOUT)                                                                                \
    extern "C" __global__ void __launch_bounds__(512, 1)                                                              \
        NAME(const __nv_bfloat16 *queries, const __nv_bfloat16 *d_out, const __nv_bfloat16 *latents,                  \
             const float *log_sizes, const float *bias, const uint32_t *offsets, const KeyRange *ranges,              \
             const uint32_t *group_queries, const float2 *row_terms, int n_groups, int groups_per_block, int heads,   \
             float *d_queries, float *d_bias_of_blocks) {                                                             \
        queries_backward<LAYOUT>(queries, d_out, {latents, log_sizes}, bias, {offsets, ranges, group_queries},        \
                                 row_terms, n_groups, groups_per_block, heads, d_queries, d_bias_of_blocks);          \
    }

QUERIES_BACKWARD(queries_backward_granules, GRANULES)
QUERIES_BACKWARD(queries_backward_singles, SINGLES)

// Sums [n_blocks, heads, 16] over the blocks, a head a block of threads.
extern "C" __global__ void __launch_bounds__(1024)
    bias_backward(const float *d_bias_of_blocks, int n_blocks, int heads, float *d_bias) {
    __shared__ float sums[1024 / N_BUCKETS][N_BUCKETS];
    const int bucket = threadIdx.x % N_BUCKETS, own = threadIdx.x / N_BUCKETS;
    float sum = 0;
#pragma unroll 8
    for (int block = own; block < n_blocks; block += 1024 / N_BUCKETS)
        sum += d_bias_of_blocks[(size_t(block) * heads + blockIdx.x) * N_BUCKETS + bucket];
    sums[own][bucket] = sum;
    __syncthreads();
    if (own > 0) return;
    for (int other = 1; other < 1024 / N_BUCKETS; other++) sum += sums[other][bucket];
    d_bias[blockIdx.x * N_BUCKETS + bucket] = sum;
}
