// The trunk's own kernels: all of a local block that is no matrix product, and the heads behind the last one.
//
// The device form of model::Int8Trunk and model::GranuleHead; their definitions are the slow twins model::F32Trunk and
// Encoder::passage_encoding. The shape is MiniLM's: hidden 384, 12 heads of 32 dimensions, keys of 128. Passages lie
// packed, one behind the other without padding; passage i is the tokens starts[i] to starts[i + 1], at most 256. The
// products between these kernels (QKV, output, the feed-forward pair, the key projection) are those of local_product.cu
// and cuBLASLt, in bf16 with f32 accumulation, bias and GELU in their epilogues; residuals enter as their addend.
//
//   embed           token_ids u32 [n_tokens], starts u32 [n_passages + 1], words bf16 [vocab, 384], positions bf16
//                   [max_positions, 384] with the segment added, weight and bias f32 [384]
//                   -> states bf16 [n_tokens, 384]: LayerNorm of the embeddings, positions from 0 in every passage.
//                   A CTA a passage, half a warp a token. Floor: 1,536 bytes a token.
//   attend          qkv bf16 [n_tokens, 1152], starts -> mixed bf16 [n_tokens, 384]: dense attention inside passages.
//                   A CTA a passage and pair of heads, its keys and values whole in shared memory; a warp 16 queries.
//                   No work on padding but the last 16 queries and keys. Floor for passages of L tokens: 4 * 384 * L
//                   operations and 3,072 bytes a token; at L = 256 on an H200 both are below the 12 * L exponentials,
//                   0.8 ns a token at 16 a clock and multiprocessor, which is the true one.
//   normalise       states bf16 [n_rows, 384] in place, weight and bias f32 [384]: LayerNorm.
//                   Half a warp a row, rows dealt out to a grid of any size. Floor: 1,536 bytes a row.
//   pool_passages   states, starts -> vectors f32 [n_passages, 384]: the mean of each passage's states, unit length.
//                   A CTA a passage. Floor: 768 bytes a token.
//   pool_granules   keys bf16 [n_tokens, 128] (projected states), token_ids, starts, idf f32 [vocab], prefixes u32
//                   [n_passages] (tokens before the body, [CLS] with them), granules u32 [n_passages + 1] (borders)
//                   -> codes u8 [n_granules, 64], scales f16 [n_granules], as ops::GranuleKeys lays them out.
//                   A CTA a passage, a warp a granule. Floor: 256 bytes a token.
//
// Every sum has a fixed order: the same input gives the same bits. An empty passage gives a zero vector and no granule.

#include <cuda_fp16.h>

#include "common.cuh"

namespace {

using bf16 = __nv_bfloat16;

constexpr int HIDDEN = 384;
constexpr int HEAD_SIZE = 32;
constexpr int QKV = 3 * HIDDEN;
constexpr int KEY_DIMENSIONS = 128;
constexpr int GRANULE_TOKENS = 4;

// ---- Rows of 384 values, held by half a warp: lane l has the columns 8 l + 128 j to 8 l + 128 j + 7, j < 3. ----

constexpr int ROW_LANES = 16;
constexpr int ROW_VECTORS = HIDDEN / (8 * ROW_LANES);

struct Row {
    float values[ROW_VECTORS][8];
};

// The first column of vector j of this lane.
__device__ int column(int j) {
    return (threadIdx.x % ROW_LANES + j * ROW_LANES) * 8;
}

__device__ void unpack(uint4 packed, float (&values)[8]) {
    const __nv_bfloat162 *pairs = reinterpret_cast<const __nv_bfloat162 *>(&packed);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        float2 pair = __bfloat1622float2(pairs[i]);
        values[2 * i] = pair.x;
        values[2 * i + 1] = pair.y;
    }
}

__device__ void load(const bf16 *from, Row &row) {
    uint4 vectors[ROW_VECTORS];
#pragma unroll
    for (int j = 0; j < ROW_VECTORS; ++j) {
        vectors[j] = *reinterpret_cast<const uint4 *>(from + column(j));
    }
#pragma unroll
    for (int j = 0; j < ROW_VECTORS; ++j) {
        unpack(vectors[j], row.values[j]);
    }
}

__device__ void load(const float *from, Row &row) {
#pragma unroll
    for (int j = 0; j < ROW_VECTORS; ++j) {
        reinterpret_cast<float4 *>(row.values[j])[0] = *reinterpret_cast<const float4 *>(from + column(j));
        reinterpret_cast<float4 *>(row.values[j])[1] = *reinterpret_cast<const float4 *>(from + column(j) + 4);
    }
}

__device__ void store(const Row &row, bf16 *to) {
#pragma unroll
    for (int j = 0; j < ROW_VECTORS; ++j) {
        const float *values = row.values[j];
        uint4 vector = {pack_bf16(values[0], values[1]), pack_bf16(values[2], values[3]), pack_bf16(values[4], values[5]),
                        pack_bf16(values[6], values[7])};
        *reinterpret_cast<uint4 *>(to + column(j)) = vector;
    }
}

// The sum over LANES neighbouring lanes, in each of them.
template <int LANES>
__device__ float sum_of_lanes(float value) {
#pragma unroll
    for (int distance = LANES / 2; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(~0u, value, distance);
    }
    return value;
}

// LayerNorm of a row; every lane of the warp must be here.
__device__ void layer_norm(Row &row, const Row &weight, const Row &bias, float epsilon) {
    float sum = 0;
#pragma unroll
    for (int j = 0; j < ROW_VECTORS; ++j) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            sum += row.values[j][i];
        }
    }
    float mean = sum_of_lanes<ROW_LANES>(sum) / HIDDEN;
    float squares = 0;
#pragma unroll
    for (int j = 0; j < ROW_VECTORS; ++j) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            row.values[j][i] -= mean;
            squares += row.values[j][i] * row.values[j][i];
        }
    }
    float inverse = rsqrtf(sum_of_lanes<ROW_LANES>(squares) / HIDDEN + epsilon);
#pragma unroll
    for (int j = 0; j < ROW_VECTORS; ++j) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            row.values[j][i] = row.values[j][i] * inverse * weight.values[j][i] + bias.values[j][i];
        }
    }
}

// ---- Attention: tiles of 16 queries against blocks of at most 64 keys. ----

constexpr int ATTEND_WARPS = 8;
// Two heads' keys of one token are a row of shared memory of 128 bytes, in chunks of 16 bytes.
constexpr int ROW_BYTES = 128;
constexpr int BLOCK_TILES = 4;
// Weights are kept in relation to a maximum that is followed only when it has grown by a factor of 2^8.
constexpr float SLACK = 8;

__device__ void copy_async(unsigned to, const void *from, bool exists) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(exists ? 16 : 0) : "memory");
}

__device__ void load_transposed(unsigned (&matrices)[4], unsigned address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
                 : "r"(address));
}

// sums [16, 8] += a [16, 16] . b [16, 8].
__device__ void multiply_add(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// 16 queries of one head and what they have gathered. A thread holds two rows, lane / 4 and 8 below it.
struct Queries {
    unsigned fragments[2][4];
    float mixed[HEAD_SIZE / 8][4];
    // Per row, in units of log2.
    float largest[2];
    // Of this thread's keys alone until the end.
    float total[2];
};

// The keys and values of a passage's pair of heads in shared memory.
struct Shared {
    unsigned keys;
    unsigned values;
    int length;
    // The first chunk of the head at hand.
    int chunk;
};

__device__ void open(Queries &own, const bf16 *queries, int first_row, int length) {
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int step = 0; step < 2; ++step) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            int row = first_row + lane / 4 + (i & 1) * 8;
            int dimension = step * 16 + (i >> 1) * 8 + (lane & 3) * 2;
            const bf16 *from = queries + static_cast<size_t>(row) * QKV + dimension;
            own.fragments[step][i] = row < length ? *reinterpret_cast<const unsigned *>(from) : 0;
        }
    }
#pragma unroll
    for (int tile = 0; tile < HEAD_SIZE / 8; ++tile) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            own.mixed[tile][i] = 0;
        }
    }
    own.largest[0] = own.largest[1] = -INFINITY;
    own.total[0] = own.total[1] = 0;
}

// Turns scores into weights relative to the row's maximum, whose growth shrinks what was gathered before.
template <int N>
__device__ void weigh(Queries &own, float (&scores)[N][4], float scale) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float largest = -INFINITY;
#pragma unroll
        for (int n = 0; n < N; ++n) {
            largest = fmaxf(largest, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
        }
        largest = quad_max(largest) * scale;
        if (largest > own.largest[half] + SLACK) {
            float shrink = exp2_fast(own.largest[half] - largest);
            own.largest[half] = largest;
            own.total[half] *= shrink;
#pragma unroll
            for (int tile = 0; tile < HEAD_SIZE / 8; ++tile) {
                own.mixed[tile][2 * half] *= shrink;
                own.mixed[tile][2 * half + 1] *= shrink;
            }
        }
#pragma unroll
        for (int n = 0; n < N; ++n) {
#pragma unroll
            for (int i = 2 * half; i < 2 * half + 2; ++i) {
                scores[n][i] = exp2_fast(fmaf(scores[n][i], scale, -own.largest[half]));
                own.total[half] += scores[n][i];
            }
        }
    }
}

// Attends to KEY_TILES tiles of 16 keys from first_key on; LAST: some of them may not exist.
template <int KEY_TILES, bool LAST>
__device__ void attend_block(Queries &own, const Shared &shared, int first_key, float scale) {
    int lane = threadIdx.x % 32;
    float scores[2 * KEY_TILES][4] = {};
#pragma unroll
    for (int n = 0; n < 2 * KEY_TILES; ++n) {
        unsigned keys[4];
        load_matrices(keys, shared.keys + swizzled(first_key + n * 8 + lane % 8, shared.chunk + lane / 8));
        multiply_add(scores[n], own.fragments[0], keys[0], keys[1]);
        multiply_add(scores[n], own.fragments[1], keys[2], keys[3]);
        if (LAST) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                int key = first_key + n * 8 + (lane & 3) * 2 + (i & 1);
                scores[n][i] = key < shared.length ? scores[n][i] : -INFINITY;
            }
        }
    }
    weigh(own, scores, scale);
#pragma unroll
    for (int tile = 0; tile < KEY_TILES; ++tile) {
        unsigned weights[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const float *pair = &scores[2 * tile + i / 2][2 * (i & 1)];
            weights[i] = pack_bf16(pair[0], pair[1]);
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            unsigned values[4];
            int key = first_key + tile * 16 + lane % 16;
            load_transposed(values, shared.values + swizzled(key, shared.chunk + 2 * half + lane / 16));
            multiply_add(own.mixed[2 * half], weights, values[0], values[1]);
            multiply_add(own.mixed[2 * half + 1], weights, values[2], values[3]);
        }
    }
}

__device__ void close(const Queries &own, bf16 *mixed, int first_row, int length) {
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float inverse = 1 / quad_sum(own.total[half]);
        int row = first_row + lane / 4 + half * 8;
        if (row < length) {
            bf16 *to = mixed + static_cast<size_t>(row) * HIDDEN + (lane & 3) * 2;
#pragma unroll
            for (int tile = 0; tile < HEAD_SIZE / 8; ++tile) {
                const float *pair = &own.mixed[tile][2 * half];
                *reinterpret_cast<unsigned *>(to + tile * 8) = pack_bf16(pair[0] * inverse, pair[1] * inverse);
            }
        }
    }
}

// Attends from 16 queries of a head to the whole passage.
__device__ void attend_tile(const Shared &shared, const bf16 *queries, bf16 *mixed, int first_row) {
    // The scores' 1 / sqrt(32), in units of log2.
    constexpr float SCALE = 0.17677669529663687f * LOG2E;
    Queries own;
    open(own, queries, first_row, shared.length);
    int key = 0;
    for (; key + 16 * BLOCK_TILES <= shared.length; key += 16 * BLOCK_TILES) {
        attend_block<BLOCK_TILES, false>(own, shared, key, SCALE);
    }
    switch ((shared.length - key + 15) / 16) {
        case 1: attend_block<1, true>(own, shared, key, SCALE); break;
        case 2: attend_block<2, true>(own, shared, key, SCALE); break;
        case 3: attend_block<3, true>(own, shared, key, SCALE); break;
        case 4: attend_block<4, true>(own, shared, key, SCALE); break;
    }
    close(own, mixed, first_row, shared.length);
}

__device__ float sum_of_block(float value, float *room) {
    float sum = sum_of_lanes<32>(value);
    if (threadIdx.x % 32 == 0) {
        room[threadIdx.x / 32] = sum;
    }
    __syncthreads();
    sum = 0;
    for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) {
        sum += room[warp];
    }
    return sum;
}

__device__ float inverse_length(float squares) {
    return squares > 0 ? 1 / sqrtf(squares) : 0;
}

}  // namespace

// Grid: n_passages. Block: a multiple of 32.
extern "C" __global__ void __launch_bounds__(256)
embed(const unsigned *token_ids, const unsigned *starts, const bf16 *words, const bf16 *positions, const float *weight,
      const float *bias, float epsilon, bf16 *states) {
    unsigned first = starts[blockIdx.x];
    unsigned length = starts[blockIdx.x + 1] - first;
    unsigned rows = blockDim.x / ROW_LANES;
    Row weights, biases;
    load(weight, weights);
    load(bias, biases);
    for (unsigned base = 0; base < length; base += rows) {
        unsigned position = base + threadIdx.x / ROW_LANES;
        // Half a warp without a token repeats the last one, for the other half's sake.
        unsigned own = min(position, length - 1);
        Row row, added;
        load(words + static_cast<size_t>(token_ids[first + own]) * HIDDEN, row);
        load(positions + static_cast<size_t>(own) * HIDDEN, added);
#pragma unroll
        for (int j = 0; j < ROW_VECTORS; ++j) {
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                row.values[j][i] += added.values[j][i];
            }
        }
        layer_norm(row, weights, biases, epsilon);
        if (position < length) {
            store(row, states + static_cast<size_t>(first + position) * HIDDEN);
        }
    }
}

// Grid: 6 n_passages. Block: 256. Shared memory: 256 bytes a token of the longest passage, rounded up to 16 tokens.
extern "C" __global__ void __launch_bounds__(32 * ATTEND_WARPS, 3)
attend(const bf16 *qkv, const unsigned *starts, bf16 *mixed) {
    extern __shared__ __align__(128) unsigned char room[];
    constexpr unsigned PAIRS = HIDDEN / (2 * HEAD_SIZE);
    unsigned passage = blockIdx.x / PAIRS;
    unsigned pair = blockIdx.x % PAIRS;
    unsigned first = starts[passage];
    int length = static_cast<int>(starts[passage + 1] - first);
    int n_tiles = (length + 15) / 16;
    unsigned base = static_cast<unsigned>(__cvta_generic_to_shared(room));
    Shared shared = {base, base + n_tiles * 16 * ROW_BYTES, length, 0};
    qkv += static_cast<size_t>(first) * QKV + pair * 2 * HEAD_SIZE;
    mixed += static_cast<size_t>(first) * HIDDEN + pair * 2 * HEAD_SIZE;
    int chunk = threadIdx.x % 8;
    for (int row = threadIdx.x / 8; row < n_tiles * 16; row += 4 * ATTEND_WARPS) {
        bool exists = row < length;
        const bf16 *key = qkv + static_cast<size_t>(exists ? row : 0) * QKV + HIDDEN + chunk * 8;
        copy_async(shared.keys + swizzled(row, chunk), key, exists);
        copy_async(shared.values + swizzled(row, chunk), key + HIDDEN, exists);
    }
    wait_for_copies();
    __syncthreads();
    for (int item = threadIdx.x / 32; item < 2 * n_tiles; item += ATTEND_WARPS) {
        int head = item % 2;
        shared.chunk = head * 4;
        attend_tile(shared, qkv + head * HEAD_SIZE, mixed + head * HEAD_SIZE, item / 2 * 16);
    }
}

// Grid: any. Block: a multiple of 32.
extern "C" __global__ void __launch_bounds__(256)
normalise(bf16 *states, const float *weight, const float *bias, float epsilon, unsigned n_rows) {
    Row weights, biases;
    load(weight, weights);
    load(bias, biases);
    unsigned rows = blockDim.x / ROW_LANES;
    for (unsigned base = blockIdx.x * rows; base < n_rows; base += gridDim.x * rows) {
        unsigned row = base + threadIdx.x / ROW_LANES;
        // Half a warp past the end reads the last row for the other half's sake, and drops it.
        bf16 *own = states + static_cast<size_t>(min(row, n_rows - 1)) * HIDDEN;
        Row values;
        load(own, values);
        layer_norm(values, weights, biases, epsilon);
        if (row < n_rows) {
            store(values, own);
        }
    }
}

// Grid: n_passages. Block: 384: 48 vectors of 8 columns, 8 groups of tokens.
extern "C" __global__ void __launch_bounds__(HIDDEN)
pool_passages(const bf16 *states, const unsigned *starts, float *vectors) {
    constexpr int VECTORS = HIDDEN / 8;
    constexpr int GROUPS = HIDDEN / VECTORS;
    __shared__ float sums[GROUPS][HIDDEN];
    __shared__ float room[HIDDEN / 32];
    int vector = threadIdx.x % VECTORS;
    int group = threadIdx.x / VECTORS;
    float sum[8] = {};
    for (unsigned token = starts[blockIdx.x] + group; token < starts[blockIdx.x + 1]; token += GROUPS) {
        float values[8];
        unpack(*reinterpret_cast<const uint4 *>(states + static_cast<size_t>(token) * HIDDEN + vector * 8), values);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            sum[i] += values[i];
        }
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        sums[group][vector * 8 + i] = sum[i];
    }
    __syncthreads();
    float total = 0;
#pragma unroll
    for (int i = 0; i < GROUPS; ++i) {
        total += sums[i][threadIdx.x];
    }
    float inverse = inverse_length(sum_of_block(total * total, room));
    vectors[static_cast<size_t>(blockIdx.x) * HIDDEN + threadIdx.x] = total * inverse;
}

// Grid: n_passages. Block: a multiple of 32.
extern "C" __global__ void __launch_bounds__(256)
pool_granules(const bf16 *keys, const unsigned *token_ids, const unsigned *starts, const float *idf,
              const unsigned *prefixes, const unsigned *granules, unsigned char *codes, __half *scales) {
    unsigned first = starts[blockIdx.x];
    unsigned prefix = prefixes[blockIdx.x];
    // [CLS] has granules with a prefix only; [SEP] never has.
    unsigned n_prefix = prefix > 1 ? (prefix + GRANULE_TOKENS - 1) / GRANULE_TOKENS : 0;
    unsigned body_end = starts[blockIdx.x + 1] - 1;
    unsigned n_granules = granules[blockIdx.x + 1] - granules[blockIdx.x];
    unsigned lane = threadIdx.x % 32;
    for (unsigned granule = threadIdx.x / 32; granule < n_granules; granule += blockDim.x / 32) {
        bool in_prefix = granule < n_prefix;
        unsigned token = first + (in_prefix ? granule : granule - n_prefix) * GRANULE_TOKENS + (in_prefix ? 0 : prefix);
        unsigned end = min(token + GRANULE_TOKENS, in_prefix ? first + prefix : body_end);
        float sum[4] = {};
        for (; token < end; ++token) {
            const bf16 *key = keys + static_cast<size_t>(token) * KEY_DIMENSIONS + lane * 4;
            uint2 pairs = *reinterpret_cast<const uint2 *>(key);
            float2 low = __bfloat1622float2(reinterpret_cast<__nv_bfloat162 &>(pairs.x));
            float2 high = __bfloat1622float2(reinterpret_cast<__nv_bfloat162 &>(pairs.y));
            float squares = low.x * low.x + low.y * low.y + high.x * high.x + high.y * high.y;
            float weight = idf[token_ids[token]] * inverse_length(sum_of_lanes<32>(squares));
            sum[0] += weight * low.x;
            sum[1] += weight * low.y;
            sum[2] += weight * high.x;
            sum[3] += weight * high.y;
        }
        float squares = sum[0] * sum[0] + sum[1] * sum[1] + sum[2] * sum[2] + sum[3] * sum[3];
        float inverse = inverse_length(sum_of_lanes<32>(squares));
        float largest = 0;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            sum[i] *= inverse;
            largest = fmaxf(largest, fabsf(sum[i]));
        }
#pragma unroll
        for (int distance = 16; distance > 0; distance /= 2) {
            largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, distance));
        }
        __half scale = __float2half_rn(largest / 7);
        float steps = largest > 0 ? 1 / __half2float(scale) : 0;
        unsigned code = 0;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            int nibble = static_cast<int>(fminf(fmaxf(roundf(sum[i] * steps), -7), 7));
            code |= (nibble & 0xf) << (4 * i);
        }
        size_t place = granules[blockIdx.x] + granule;
        reinterpret_cast<unsigned short *>(codes)[place * 32 + lane] = static_cast<unsigned short>(code);
        if (lane == 0) {
            scales[place] = scale;
        }
    }
}
