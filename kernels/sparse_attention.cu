// What do the queries of a granule read from the rest of their document? The three branches of the global block in one
// pass: window, compressed (cover) and selected, each with a softmax of its own, fused by the gates.
//
// The device form of `GlobalBlock::granule` in src/model/global/block.rs, for lists by granule on sm_90a; lists of any
// other kind, and older devices, take sparse_attention_lists.cu. All heads share one latent a key, which is key and
// value alike. A branch's logit is q·c/8 + bias[head][bucket of distance] (+ the log of how many tokens a node stands
// for, and of the relevance of its level); beside the keys stands a null key of logit 0 and value zero.
//
// Input   queries     bf16 [n_tokens, HEADS, 64], by tensor map, box {64, 1, 16}
//         latents     bf16 [n_tokens, 64], by tensor map, box {64, 16}, both in the 128-byte swizzle
//         the lists and weights of `Inputs`
// Output  out         bf16 [n_tokens, HEADS, 64], the gated sum of the branches
//         lse         f32 [3, n_tokens, HEADS], log-sum-exp of each branch, the null key's 1 included; may be null
//
// Launch  `attend_granules_HEADS`, a block a multiprocessor, HEADS + 4 warps each. A block takes every gridDim-th
//         granule: the first HEADS warps are one head each, four of them multiply together (64 rows × 128 keys), and
//         one more brings tiles of 8 × 16 keys, running ahead of the others by up to STAGES tiles, and another looks
//         up which nodes these will be.
// Floor   4·64·HEADS operations a query and key over 790 TFLOP/s: 0.33 ms for 32k tokens × 12 heads × 2,560 keys. As
//         many exponentials as 1/256 of the operations pass the 16 lanes a cycle of their own unit in 0.27 ms.

#include "granule_tiles.cuh"

#ifdef HAS_HOPPER

constexpr float SCALE = 0.125f * LOG2E;
// Sums of exponentials stay below this, or their maximum is raised.
constexpr float LARGEST_SUM = 0x1p60f;

// The running softmax of the two rows (queries) that a lane holds a part of.
struct Softmax {
    // What exponentials are taken relative to. The null key has logit 0, and numbers have room above: it stays there
    // until a sum grows too large, which is cheaper to see than the largest logit of every tile.
    float best[2] = {0.0f, 0.0f};
    float total[2] = {0.0f, 0.0f};

    // Turns the products of a tile into exponentials. False where a sum grows too large: the products are lost then, and
    // the sums are as before.
    __device__ __forceinline__ bool add(float (&values)[64], const float (&bias)[8]) {
        float before[2] = {total[0], total[1]};
#pragma unroll
        for (int at = 0; at < 64; at++) {
            int row = at / 2 % 2;
            float logit = fmaf(values[at], SCALE, bias[at / 8] - best[row]);
            values[at] = exp2_fast(logit);
            total[row] += values[at];
        }
        if (__all_sync(~0u, total[0] < LARGEST_SUM && total[1] < LARGEST_SUM)) {
            return true;
        }
        total[0] = before[0];
        total[1] = before[1];
        return false;
    }

    // Raises what exponentials are relative to, so that sums and a tile's products fit; `factors` are what older sums are
    // worth then.
    __device__ __forceinline__ void raise(const float (&values)[64], const float (&bias)[8], float (&factors)[2]) {
#pragma unroll
        for (int row = 0; row < 2; row++) {
            float top = best[row] + log2f(fmaxf(total[row], 1.0f));
#pragma unroll
            for (int at = 2 * row; at < 64; at += 4) {
                top = fmaxf(top, fmaf(fmaxf(values[at], values[at + 1]), SCALE, bias[at / 8]));
            }
            top = quad_max(top);
            factors[row] = exp2_fast(best[row] - top);
            best[row] = top;
            total[row] *= factors[row];
        }
    }

    // The sum over all keys, the null key among them.
    __device__ __forceinline__ float sum(int row) const { return quad_sum(total[row]) + exp2_fast(-best[row]); }
};

// One warp: a head of the granule's 16 queries.
template <int HEADS, int STAGES>
struct Consumer {
    Shared<HEADS, STAGES> &shared;
    const Inputs &inputs;
    int head, lane;
    Ring<STAGES> ring;
    Granule granule;
    // The branches that had keys, a bit each.
    uint32_t seen;

    __device__ __forceinline__ uint32_t token(int row) const { return granule.start + lane / 4 + 8 * row; }

    // Starts to bring the gates, which the first branch that is done waits for.
    __device__ __forceinline__ void load_gates() {
        for (int at = lane; at < N_BRANCHES * GRANULE; at += WARP) {
            size_t own = min(granule.start + at % GRANULE, granule.end - 1);
            const float *from = inputs.controls + own * inputs.control_stride + at / GRANULE * HEADS + head;
            copy_4_bytes_async(&shared.gates[head][0][at], from);
        }
    }

    __device__ __forceinline__ void multiply_keys(float (&products)[64], uint64_t queries) {
        uint64_t keys = tile_descriptor(shared_address(shared.tiles[ring.stage]));
#pragma unroll
        for (int step = 0; step < 4; step++) {
            wgmma_64x128x16(products, queries + step * (32 >> 4), keys + step * (32 >> 4), step > 0);
        }
        wgmma_commit();
    }

    // The same products by this warp alone, which keeps no step with the other three.
    __device__ __forceinline__ void multiply_again(float (&products)[64], const bf16 *queries) {
#pragma unroll
        for (int at = 0; at < 64; at++) {
            products[at] = 0.0f;
        }
        uint32_t rows = shared_address(queries + head % 4 * GRANULE * SIZE);
        uint32_t keys = shared_address(shared.tiles[ring.stage]);
#pragma unroll
        for (int step = 0; step < 4; step++) {
            uint32_t a[4], b[4];
            load_matrices(a, rows + swizzled(lane % 16, 2 * step + lane / 16));
#pragma unroll
            for (int range = 0; range < N_RANGES; range++) {
                uint32_t row = RANGE * range + lane % 8 + lane / 16 * 8;
                load_matrices(b, keys + swizzled(row, 2 * step + lane / 8 % 2));
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float(&own)[4] = reinterpret_cast<float(&)[4]>(products[8 * range + 4 * half]);
                    multiply_bf16(own, a, b[2 * half], b[2 * half + 1]);
                }
            }
        }
    }

    __device__ __forceinline__ void add_values(float (&sums)[32], const uint32_t (&weights)[8][4], int more) {
        uint64_t values = tile_descriptor(shared_address(shared.tiles[ring.stage]));
#pragma unroll
        for (int step = 0; step < 8; step++) {
            wgmma_64x64x16<1>(sums, weights[step], values + step * (2048 >> 4), more || step > 0);
        }
        wgmma_commit();
    }

    // Puts what the products lack into them, and gives what whole ranges lack.
    __device__ __forceinline__ void add_bias(float (&products)[64], int branch, float (&bias)[8]) {
        const Tile &tile = shared.heads[ring.stage];
        const float *own = shared.bias[head];
        int column = lane % 4 * 2;
        uint2 codes = *reinterpret_cast<const uint2 *>(tile.codes);
#pragma unroll
        for (int range = 0; range < N_RANGES; range++) {
            bias[range] = own[(range < 4 ? codes.x : codes.y) >> (8 * (range % 4)) & (N_CODES - 1)];
        }
        if (branch == COVER) {
#pragma unroll
            for (int at = 0; at < 64; at += 4) {
                int key = at * 2 + column;
                float2 addends = *reinterpret_cast<const float2 *>(&shared.addends[ring.stage][key]);
                uint32_t buckets = *reinterpret_cast<const uint16_t *>(&shared.buckets[ring.stage][key]);
                float low = (addends.x + own[buckets & 15]) * (1.0f / SCALE);
                float high = (addends.y + own[buckets >> 8]) * (1.0f / SCALE);
#pragma unroll
                for (int row = 0; row < 4; row += 2) {
                    products[at + row] += low;
                    products[at + row + 1] += high;
                }
            }
        }
#pragma unroll
        for (int range = 0; range < N_RANGES; range++) {
            if ((range < 4 ? codes.x : codes.y) & uint32_t(PARTLY) << (8 * (range % 4))) {
                uint32_t first = tile.first[range], count = tile.count[range];
#pragma unroll
                for (int at = 0; at < 8; at++) {
                    uint32_t key = at / 4 * 8 + column + at % 2;
                    products[8 * range + at] = key - first < count ? products[8 * range + at] : -INFINITY;
                }
            }
        }
    }

    __device__ __forceinline__ void release(uint64_t *empty) {
        __syncwarp();
        if (lane == 0) {
            barrier_arrive(empty);
        }
    }

    // Adds a branch's result, times its gate, to those before.
    __device__ __forceinline__ void finish(int branch, const float (&sums)[32], const Softmax &softmax) {
        float share[2];
        wait_for_copies();
        __syncwarp();
#pragma unroll
        for (int row = 0; row < 2; row++) {
            float sum = softmax.sum(row);
            float gate = shared.gates[head][branch][lane / 4 + 8 * row];
            share[row] = 1.0f / (sum * (1.0f + exp2_fast(-LOG2E * gate)));
            if (inputs.lse && token(row) < granule.end && lane % 4 == 0) {
                size_t place = (size_t(branch) * inputs.n_tokens + token(row)) * HEADS + head;
                inputs.lse[place] = LN2 * (softmax.best[row] + log2f(sum));
            }
        }
#pragma unroll
        for (int at = 0; at < 32; at++) {
            float before = seen ? shared.mixed[head][at][lane] : 0.0f;
            shared.mixed[head][at][lane] = fmaf(sums[at], share[at / 2 % 2], before);
        }
        seen |= 1u << branch;
    }

    // Writes the granule's rows, through shared memory so that whole rows leave together.
    __device__ __forceinline__ void write() {
        char *staging = reinterpret_cast<char *>(shared.mixed[head]);
        uint32_t packed[16];
#pragma unroll
        for (int at = 0; at < 16; at++) {
            const auto &mixed = shared.mixed[head];
            packed[at] = seen ? pack_bf16(mixed[2 * at][lane], mixed[2 * at + 1][lane]) : 0;
        }
        __syncwarp();
#pragma unroll
        for (int at = 0; at < 16; at++) {
            uint32_t place = swizzled(lane / 4 + at % 2 * 8, at / 2) + lane % 4 * 4;
            *reinterpret_cast<uint32_t *>(staging + place) = packed[at];
        }
        __syncwarp();
#pragma unroll
        for (int row = lane / 8; row < GRANULE; row += WARP / 8) {
            size_t token = granule.start + row;
            if (token < granule.end) {
                bf16 *to = inputs.out + (token * HEADS + head) * SIZE + lane % 8 * 8;
                *reinterpret_cast<uint4 *>(to) = *reinterpret_cast<uint4 *>(staging + swizzled(row, lane % 8));
            }
        }
        __syncwarp();
        for (int at = lane; inputs.lse && at < N_BRANCHES * GRANULE; at += WARP) {
            size_t token = granule.start + at % GRANULE, branch = at / GRANULE;
            if (token < granule.end && !(seen >> branch & 1)) {
                inputs.lse[(branch * inputs.n_tokens + token) * HEADS + head] = 0.0f;
            }
        }
    }

    // A tile's keys are multiplied while the values of the tile before still are.
    __device__ __forceinline__ void attend(const bf16 *queries) {
        float products[64], sums[32], bias[8];
        uint32_t weights[8][4];
        Softmax softmax;
        int branch = END;
        uint64_t *before = nullptr;
        seen = 0;
        while (true) {
            barrier_wait(&shared.full[ring.stage], ring.parity);
            int own_branch = shared.heads[ring.stage].branch;
            if (own_branch == COVER) {
                // Its rows came as ordinary copies.
                fence_async_proxy();
            }
            if (own_branch != END) {
                wgmma_fence();
                multiply_keys(products, tile_descriptor(shared_address(queries)));
            }
            wgmma_wait<0>();
            if (before) {
                release(before);
            }
            bool same = own_branch == branch;
            if (!same && branch != END) {
                finish(branch, sums, softmax);
            }
            if (own_branch == END) {
                break;
            }
            if (!same) {
                softmax = Softmax();
                branch = own_branch;
            }
            add_bias(products, own_branch, bias);
            if (!softmax.add(products, bias)) {
                float factors[2];
                multiply_again(products, queries);
                add_bias(products, own_branch, bias);
                softmax.raise(products, bias, factors);
#pragma unroll
                for (int at = 0; at < 32; at++) {
                    sums[at] = same ? sums[at] * factors[at / 2 % 2] : 0.0f;
                }
                softmax.add(products, bias);
            }
#pragma unroll
            for (int at = 0; at < 32; at++) {
                weights[at / 4][at % 4] = pack_bf16(products[2 * at], products[2 * at + 1]);
            }
            wgmma_fence();
            add_values(sums, weights, same);
            before = &shared.empty[ring.stage];
            ring.advance();
        }
        release(&shared.empty[ring.stage]);
        ring.advance();
    }

    __device__ __forceinline__ void run() {
        Ring<2> places;
        for (int index = blockIdx.x; index < inputs.n_granules; index += gridDim.x) {
            granule = inputs.granules[index];
            load_gates();
            barrier_wait(&shared.queries_full[places.stage], places.parity);
            attend(shared.queries[places.stage] + head / 4 * 4 * GRANULE * SIZE);
            release(&shared.queries_empty[places.stage]);
            places.advance();
            write();
        }
    }
};

template <int HEADS, int STAGES, int REGISTERS>
__device__ __forceinline__ void attend_granules(const void *queries, const void *latents, const Inputs &inputs) {
    extern __shared__ __align__(1024) char memory[];
    auto &shared = *reinterpret_cast<Shared<HEADS, STAGES> *>(memory);
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (threadIdx.x == 0) {
        for (int stage = 0; stage < STAGES; stage++) {
            barrier_init(&shared.full[stage], 1);
            barrier_init(&shared.empty[stage], HEADS);
        }
        for (int place = 0; place < 2; place++) {
            barrier_init(&shared.queries_full[place], 1);
            barrier_init(&shared.queries_empty[place], HEADS);
        }
        for (int chunk = 0; chunk < LOOKED_UP; chunk++) {
            barrier_init(&shared.nodes_full[chunk], 1);
            barrier_init(&shared.nodes_empty[chunk], 1);
        }
    }
    for (uint32_t at = threadIdx.x; at < HEADS * N_CODES; at += blockDim.x) {
        uint32_t code = at % N_CODES;
        shared.bias[0][at] = code < N_BUCKETS     ? LOG2E * inputs.bias[at / N_CODES * N_BUCKETS + code]
                             : code == NOT_THERE ? -INFINITY
                                                 : 0.0f;
    }
    // Keys that are not there weigh zero, and zero times what is no number is none.
    for (int at = threadIdx.x; at < STAGES * TILE * SIZE / 8; at += blockDim.x) {
        reinterpret_cast<uint4 *>(shared.tiles)[at] = uint4{};
    }
    for (int at = threadIdx.x; at < STAGES * TILE; at += blockDim.x) {
        shared.addends[0][at] = 0.0f;
        shared.buckets[0][at] = 0;
    }
    fence_async_proxy();
    __syncthreads();
    if (warp >= HEADS) {
        give_registers<32>();
        if (warp == HEADS) {
            Producer<HEADS, STAGES>{shared, inputs, latents, lane}.run(queries);
        } else if (warp == HEADS + 1) {
            Clerk<HEADS, STAGES>{shared, inputs, lane}.run();
        }
    } else {
        take_registers<REGISTERS>();
        Consumer<HEADS, STAGES>{shared, inputs, warp, lane}.run();
    }
}

struct alignas(64) TensorMap {
    char opaque[128];
};

#define ATTEND_GRANULES(HEADS, STAGES, REGISTERS)                                                                     \
    extern "C" __global__ void __launch_bounds__((HEADS + 4) * WARP, 1) attend_granules_##HEADS(                       \
        const __grid_constant__ TensorMap queries, const __grid_constant__ TensorMap latents,                          \
        const __grid_constant__ Inputs inputs) {                                                                       \
        attend_granules<HEADS, STAGES, REGISTERS>(&queries, &latents, inputs);                                         \
    }

ATTEND_GRANULES(8, 6, 216)
static_assert(sizeof(Shared<8, 6>) == 173056, "the launch knows the size");
ATTEND_GRANULES(12, 5, 160)
static_assert(sizeof(Shared<12, 5>) == 190464, "the launch knows the size");

#endif
