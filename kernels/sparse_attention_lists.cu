// Attention of groups of queries over arbitrary lists of keys: the device form of `ops::sparse_attention::forward`,
// whose definition is `sparse_attention_slow`.
//
// Inputs
//   queries       bf16 [n_queries, heads, 64], heads ≤ 16
//   latents       bf16 [n_keys, 64]: key and value alike, one for all heads
//   log_sizes     f32 [n_keys]
//   bias          f32 [heads, 16], of buckets of distance
//   offsets       u32 [n_groups + 1]: group g sees ranges[offsets[g]..offsets[g + 1]]
//   ranges        {u32 start, end, bucket} [offsets[n_groups]]: `KeyRange`, 12 bytes each
//   group_queries u32 [n_groups + 1]: group g is the queries group_queries[g]..group_queries[g + 1]
// Outputs
//   out           bf16 or f32 [n_queries, heads, 64]: Σ p·c
//   log_sums      f32 [n_queries, heads]: the logarithm of the sum of exponentials, the null key's 1 included
// A logit is q·c/8 + log_sizes[key] + bias[head, bucket]; beside the list stands a null key: logit 0, value zero. The
// ranges of 32 consecutive ones hold fewer than 2³² keys.
// A list may serve a window, selected leaves or a cover alike: one launch for each, gated elsewhere.
//
// Launch: 128·(w + 1) threads, of which the last 128 gather keys, and FORWARD_SHARED_BYTES of dynamic shared memory.
// `_granules` takes groups of 1 to 16 queries, a warp of a block a head: grid (n_groups, ⌈heads / 4w⌉), w ≤ 3.
// `_singles` takes groups of 1 to 4 queries, a warp for each query: grid n_groups, w = 1. Products are wgmma on sm_90a
// and mma.sync elsewhere.
//
// Floor: 4·64 operations for each query, head and key of its list, over 790 TFLOP/s: 0.33 ms at 32k queries × 12 heads
// × 2,560 keys. A block reads its keys from the level-2 cache: 128 bytes for 64·4·192 operations.

#include "sparse_attention_lists.cuh"

namespace {

// Sums are rescaled when a row's best logit has grown by this many powers of two, so hardly ever; until then weights
// grow to at most 2⁸, which costs no precision.
constexpr float RESCALE_ABOVE = 8;

struct Shared {
    KeyTile tiles[N_KEY_TILES];
    float bias[MAX_HEADS * N_BUCKETS];
    KeyRing ring;
};
constexpr int FORWARD_SHARED_BYTES = 80992;
static_assert(sizeof(Shared) == FORWARD_SHARED_BYTES, "the host reserves as much");

// What a lane accumulates of its two rows.
struct Mixture {
    float sums[32];
    // The null key is there from the start.
    float best[2] = {0, 0};
    float total[2] = {0, 0};

    // Turns the logits of 64 keys into weights.
    __device__ __forceinline__ void weigh(float (&logits)[32], const KeyTile &tile, const LaneRows &rows) {
        const int column = threadIdx.x % 4 * 2;
        float tops[2] = {-INFINITY, -INFINITY};
#pragma unroll
        for (int i = 0; i < 32; i += 2) {
            const int row = i / 2 % 2;
            const float2 addends = *reinterpret_cast<const float2 *>(
                &tile.addends[rows.head[row] * ADDENDS_STRIDE + i / 4 * 8 + column]);
            logits[i] = fmaf(logits[i], LOGIT_SCALE, addends.x);
            logits[i + 1] = fmaf(logits[i + 1], LOGIT_SCALE, addends.y);
            tops[row] = fmaxf(tops[row], fmaxf(logits[i], logits[i + 1]));
        }
        tops[0] = quad_max(tops[0]);
        tops[1] = quad_max(tops[1]);
        const bool above = tops[0] > best[0] + RESCALE_ABOVE || tops[1] > best[1] + RESCALE_ABOVE;
        if (__any_sync(~0u, above)) rescale(tops);
#pragma unroll
        for (int i = 0; i < 32; i++) {
            logits[i] = exp2_fast(logits[i] - best[i / 2 % 2]);
            total[i / 2 % 2] += logits[i];
        }
    }

    __device__ __forceinline__ void rescale(const float (&tops)[2]) {
        float factors[2];
#pragma unroll
        for (int row = 0; row < 2; row++) {
            const float now = fmaxf(best[row], tops[row]);
            factors[row] = exp2_fast(best[row] - now);
            total[row] *= factors[row];
            best[row] = now;
        }
#pragma unroll
        for (int i = 0; i < 32; i++) sums[i] *= factors[i / 2 % 2];
    }

    template <typename Out>
    __device__ __forceinline__ void write(const LaneRows &rows, Out *out, float *log_sums) const {
        const int quad_lane = threadIdx.x % 4;
#pragma unroll
        for (int row = 0; row < 2; row++) {
            const float all = quad_sum(total[row]) + exp2_fast(-best[row]);
            if (!rows.valid[row]) continue;
            if (quad_lane == 0) log_sums[rows.row[row]] = (best[row] + log2f(all)) * LN2;
            Out *to = out + rows.row[row] * DIMENSIONS + quad_lane * 2;
#pragma unroll
            for (int block = 0; block < 8; block++)
                store(to + block * 8, sums[block * 4 + row * 2] / all, sums[block * 4 + row * 2 + 1] / all);
        }
    }

private:
    __device__ __forceinline__ static void store(float *to, float a, float b) {
        *reinterpret_cast<float2 *>(to) = make_float2(a, b);
    }

    __device__ __forceinline__ static void store(__nv_bfloat16 *to, float a, float b) {
        *reinterpret_cast<uint32_t *>(to) = pack_bf16(a, b);
    }
};

template <Layout LAYOUT, typename Out>
__device__ __forceinline__ void attend(Shared &shared, const Lists &lists, const __nv_bfloat16 *queries, int heads,
                                       Out *out, float *log_sums) {
    const LaneRows rows = LaneRows::of<LAYOUT>(lists, blockIdx.x, heads, blockDim.x / WARP - 4);
    uint32_t left[4][4];
    rows.load(left, queries);
    Mixture mixture;
    for (float &sum : mixture.sums) sum = 0;
    for (uint32_t count = 0;; count++) {
        shared.ring.wait(count);
        const KeyTile &tile = shared.tiles[count % N_KEY_TILES];
        if (tile.n_keys == 0) break;
        float logits[32];
        begin_products();
        multiply<0>(logits, left, shared_address(tile.latents), false);
        finish<0>(logits);
        mixture.weigh(logits, tile, rows);
        uint32_t weights[4][4];
        pack_left(weights, logits);
        begin_products();
        multiply<1>(mixture.sums, weights, shared_address(tile.latents), true);
        finish<0>(mixture.sums);
        shared.ring.release(count);
    }
    mixture.write(rows, out, log_sums);
}

template <Layout LAYOUT, typename Out>
__device__ __forceinline__ void forward(const __nv_bfloat16 *queries, Keys keys, const float *bias, Lists lists,
                                        int heads, Out *out, float *log_sums) {
    extern __shared__ __align__(1024) uint8_t memory[];
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    const int n_readers = blockDim.x / WARP - 4;
    load_bias(shared.bias, bias, heads);
    if (threadIdx.x == 0) shared.ring.init(n_readers);
    __syncthreads();
    if (threadIdx.x / WARP < n_readers) {
        attend<LAYOUT>(shared, lists, queries, heads, out, log_sums);
        return;
    }
    KeyGatherer gatherer(shared.tiles, shared.ring, keys, shared.bias, heads);
    gatherer.gather(ListWalker(lists, blockIdx.x));
    gatherer.finish();
}

}  // namespace

#define FORWARD(NAME, LAYOUT, OUT, THREADS)                                                                          \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                            \
        NAME(const __nv_bfloat16 *queries, const __nv_bfloat16 *latents, const float *log_sizes, const float *bias,  \
             const uint32_t *offsets, const KeyRange *ranges, const uint32_t *group_queries, int heads, OUT *out,    \
             float *log_sums) {                                                                                      \
        forward<LAYOUT>(queries, {latents, log_sizes}, bias, {offsets, ranges, group_queries}, heads, out, log_sums); \
    }

FORWARD(sparse_attention_granules_bf16, GRANULES, __nv_bfloat16, 512)
FORWARD(sparse_attention_granules_f32, GRANULES, float, 512)
FORWARD(sparse_attention_singles_bf16, SINGLES, __nv_bfloat16, 256)
FORWARD(sparse_attention_singles_f32, SINGLES, float, 256)
