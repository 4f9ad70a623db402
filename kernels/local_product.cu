// Products of the trunk's states with a weight that fits into shared memory: QKV, and the first of the feed-forward pair.
//
// On Hopper they take the place of cuBLASLt's: at a depth of 384 a general product spends most of its time on fetching
// operands and on its epilogue. Here every CTA keeps its 192 columns of the weight for the whole launch, so that only
// states stream in, and two groups of warps take turns: one multiplies while the other rounds, activates and stores.
//
//   project   states bf16 [n_rows, 384] and weight bf16 [n_columns, 384] as tensor maps, bias f32 [n_columns]
//             -> out bf16 [n_rows, n_columns] = states . weight^T + bias.
//   expand    likewise, with GELU (by tanh) of it.
//
// The device form of Int8Linear in model::Int8Block; its definition is model::Linear. The map of states is
// [384, capacity] with boxes of 64 x 64; that of the weight is [384, 2, 4, 4, n_columns / 32] with strides of 1, 8, 2
// and 32 rows and boxes of [64, 2, 4, 4, 6], both with the 128-byte swizzle: the order of rows is such that a thread's
// accumulators are 8 neighbouring columns, which it stores at once. n_columns is a multiple of 192.
//
// Geometry: a multiple of n_columns / 192 CTAs, no more than multiprocessors; 288 threads: two groups of four warps that
// multiply and one warp that copies; SHARED_BYTES (see below) of shared memory. Floor: 768 n_columns operations a row,
// 1.12 ns for QKV and 1.49 for the feed-forward product at 790 TFLOP/s; the bytes take 0.71 and 0.89 ns at 4.3 TB/s.

#include "common.cuh"

namespace {

using bf16 = __nv_bfloat16;

constexpr int GROUPS = 2;
constexpr int GROUP_THREADS = 128;
constexpr int THREADS = GROUPS * GROUP_THREADS + WARP;

struct alignas(64) TensorMap {
    uint64_t words[16];
};

#ifdef HAS_HOPPER

constexpr int DEPTH = 384;
constexpr int BLOCK_DEPTH = 64;
constexpr int DEPTH_BLOCKS = DEPTH / BLOCK_DEPTH;
constexpr int COLUMNS = 192;
constexpr int ROWS = 64;
constexpr int STAGES = 10;
// The named barrier of the first group's turn; the second's follows.
constexpr int TURN = 1;
constexpr int WEIGHT_BYTES = COLUMNS * BLOCK_DEPTH * 2;
constexpr int STAGE_BYTES = ROWS * BLOCK_DEPTH * 2;

// SHARED_BYTES = 230,656: tiles start at a multiple of 1,024 bytes, wherever dynamic shared memory does.
struct Shared {
    unsigned char weight[DEPTH_BLOCKS][WEIGHT_BYTES];
    unsigned char states[STAGES][STAGE_BYTES];
    uint64_t weight_here;
    uint64_t full[STAGES];
    uint64_t empty[STAGES];
};
static_assert(sizeof(Shared) + 1024 <= 230656, "the contract tells the size");

__device__ __forceinline__ void load_tile_5d(void *to, const void *map, uint64_t *barrier, int column, int row) {
    asm volatile(
        "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %4, %4, %5}], "
        "[%2];" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(barrier)), "r"(column), "r"(0), "r"(row)
        : "memory");
}

#define SUMS_8(i)                                                                                                      \
    "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3]), "+f"(sums[i + 4]), "+f"(sums[i + 5]),      \
        "+f"(sums[i + 6]), "+f"(sums[i + 7])

// sums [64, 192] (+)= a [64, 16] . b [192, 16]^T, both swizzled tiles.
__device__ __forceinline__ void wgmma_64x192x16(float (&sums)[96], uint64_t a, uint64_t b, int accumulate) {
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "setp.ne.b32 p, %98, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, "
        "%23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, "
        "%45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, "
        "%67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, "
        "%89, %90, %91, %92, %93, %94, %95}, "
        "%96, %97, p, 1, 1, 0, 0;\n"
        "}\n"
        : SUMS_8(0), SUMS_8(8), SUMS_8(16), SUMS_8(24), SUMS_8(32), SUMS_8(40), SUMS_8(48), SUMS_8(56), SUMS_8(64),
          SUMS_8(72), SUMS_8(80), SUMS_8(88)
        : "l"(a), "l"(b), "r"(accumulate));
}

// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
__device__ __forceinline__ float gelu(float x) {
    float inner = x * fmaf(0.035677408f * x, x, 0.7978845608f);
    float tanh;
    asm("tanh.approx.f32 %0, %1;" : "=f"(tanh) : "f"(inner));
    float half = 0.5f * x;
    return fmaf(half, tanh, half);
}

// Copies the weight once and then the groups' tiles of states in turn.
__device__ void produce(Shared &shared, const TensorMap &states, const TensorMap &weight, int first_column, int tile,
                        int stride, int n_tiles) {
    barrier_expect(&shared.weight_here, DEPTH_BLOCKS * WEIGHT_BYTES);
    barrier_arrive(&shared.weight_here);
    for (int block = 0; block < DEPTH_BLOCKS; ++block) {
        load_tile_5d(shared.weight[block], &weight, &shared.weight_here, block * BLOCK_DEPTH, first_column / 32);
    }
    int position = 0;
    for (; tile < n_tiles; tile += stride) {
        for (int own = tile; own < min(tile + GROUPS, n_tiles); ++own) {
            for (int block = 0; block < DEPTH_BLOCKS; ++block, ++position) {
                int stage = position % STAGES;
                if (position >= STAGES) {
                    barrier_wait(&shared.empty[stage], (position / STAGES - 1) & 1);
                }
                barrier_expect(&shared.full[stage], STAGE_BYTES);
                barrier_arrive(&shared.full[stage]);
                load_tile_2d(shared.states[stage], &states, &shared.full[stage], block * BLOCK_DEPTH, own * ROWS);
            }
        }
    }
}

// Multiplies one tile of states, whose blocks stand in the ring from `position` on. The groups do so in turn: the tensor
// cores work for one while the other stores, and a block is waited for only when all before it have come, so that the
// parity of its barrier is unambiguous.
__device__ __forceinline__ void multiply(Shared &shared, float (&sums)[96], int group, int position) {
    named_barrier_wait(TURN + group, GROUPS * GROUP_THREADS);
#pragma unroll
    for (int block = 0; block < DEPTH_BLOCKS; ++block) {
        int stage = (position + block) % STAGES;
        barrier_wait(&shared.full[stage], ((position + block) / STAGES) & 1);
        uint64_t a = tile_descriptor(shared_address(shared.states[stage]));
        uint64_t b = tile_descriptor(shared_address(shared.weight[block]));
        wgmma_fence();
#pragma unroll
        for (int step = 0; step < BLOCK_DEPTH / 16; ++step) {
            wgmma_64x192x16(sums, a + 2 * step, b + 2 * step, block + step > 0);
        }
        wgmma_commit();
        if (block > 0) {
            wgmma_wait<1>();
            if (threadIdx.x % WARP == 0) {
                barrier_arrive(&shared.empty[(position + block - 1) % STAGES]);
            }
        }
    }
    named_barrier_arrive(TURN + 1 - group, GROUPS * GROUP_THREADS);
    wgmma_wait<0>();
    if (threadIdx.x % WARP == 0) {
        barrier_arrive(&shared.empty[(position + DEPTH_BLOCKS - 1) % STAGES]);
    }
}

// Rounds and stores a tile; out and bias start at this thread's first column.
template <bool GELU>
__device__ __forceinline__ void finish(const float (&sums)[96], const float *bias, bf16 *out, int n_columns, int row,
                                       int n_rows) {
#pragma unroll
    for (int block = 0; block < COLUMNS / 32; ++block) {
        float own_bias[8];
        reinterpret_cast<float4 *>(own_bias)[0] = *reinterpret_cast<const float4 *>(bias + block * 32);
        reinterpret_cast<float4 *>(own_bias)[1] = *reinterpret_cast<const float4 *>(bias + block * 32 + 4);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            if (row + half * 8 >= n_rows) {
                continue;
            }
            bf16 *to = out + static_cast<size_t>(row + half * 8) * n_columns + block * 32;
            uint32_t pairs[4];
#pragma unroll
            for (int pair = 0; pair < 4; ++pair) {
                const float *sum = &sums[block * 16 + pair * 4 + half * 2];
                float low = sum[0] + own_bias[2 * pair];
                float high = sum[1] + own_bias[2 * pair + 1];
                pairs[pair] = GELU ? pack_bf16(gelu(low), gelu(high)) : pack_bf16(low, high);
            }
            *reinterpret_cast<uint4 *>(to) = {pairs[0], pairs[1], pairs[2], pairs[3]};
        }
    }
}

template <bool GELU>
__device__ void product(const TensorMap &states, const TensorMap &weight, const float *bias, bf16 *out, int n_columns,
                        int n_rows) {
    extern __shared__ unsigned char room[];
    Shared &shared = *reinterpret_cast<Shared *>((reinterpret_cast<uintptr_t>(room) + 1023) / 1024 * 1024);
    int n_column_tiles = n_columns / COLUMNS;
    int first_column = blockIdx.x % n_column_tiles * COLUMNS;
    int first_tile = blockIdx.x / n_column_tiles * GROUPS;
    int stride = gridDim.x / n_column_tiles * GROUPS;
    int n_tiles = (n_rows + ROWS - 1) / ROWS;
    if (threadIdx.x == 0) {
        barrier_init(&shared.weight_here, 1);
        for (int stage = 0; stage < STAGES; ++stage) {
            barrier_init(&shared.full[stage], 1);
            barrier_init(&shared.empty[stage], GROUP_THREADS / WARP);
        }
        fence_async_proxy();
    }
    __syncthreads();
    int group = threadIdx.x / GROUP_THREADS;
    if (group == GROUPS) {
        if (threadIdx.x % WARP == 0) {
            produce(shared, states, weight, first_column, first_tile, stride, n_tiles);
        }
        return;
    }
    int lane = threadIdx.x % WARP;
    int row_of_tile = threadIdx.x % GROUP_THREADS / WARP * 16 + lane / 4;
    int column = first_column + lane % 4 * 8;
    float sums[96] = {};
    barrier_wait(&shared.weight_here, 0);
    if (group == 1) {
        named_barrier_arrive(TURN, GROUPS * GROUP_THREADS);
    }
    int position = group * DEPTH_BLOCKS;
    for (int tile = first_tile + group; tile < n_tiles; tile += stride, position += GROUPS * DEPTH_BLOCKS) {
        multiply(shared, sums, group, position);
        finish<GELU>(sums, bias + column, out + column, n_columns, tile * ROWS + row_of_tile, n_rows);
    }
}

#endif

}  // namespace

#ifdef HAS_HOPPER
#define PRODUCT(GELU) product<GELU>(states, weight, bias, out, n_columns, n_rows)
#else
#define PRODUCT(GELU) __trap()
#endif

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    project(const __grid_constant__ TensorMap states, const __grid_constant__ TensorMap weight, const float *bias,
            bf16 *out, int n_columns, int n_rows) {
    PRODUCT(false);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    expand(const __grid_constant__ TensorMap states, const __grid_constant__ TensorMap weight, const float *bias,
           bf16 *out, int n_columns, int n_rows) {
    PRODUCT(true);
}
