// Linear on compute capability 9.0: output = input · weights^T by the copy engine (TMA) and wgmma, for many rows.
//
// Shapes and epilogues as in linear.cuh; no LAZYLLM_STORAGE_F32. Rows and n need not be multiples of the tile, nor k of its
// depth: the copy engine fills with zeros, and what lies outside is not written.
//
// A block stays on its multiprocessor and takes tiles of 128 rows by TileN outputs in turn, neighbours in both
// directions at the same time, so that the level-2 cache serves both matrices. One warpgroup copies: pieces of both
// matrices, 64 columns deep, into a ring of stages, whose barriers count bytes in and readers out. Two warpgroups multiply 64 rows
// each from shared memory into registers, and write while the ring fills for the next tile. Registers move from the copier
// to the multipliers.
// Bound by the matrix units; the write of a tile is not hidden. Called by LinearKernels.cs, which chooses TileN.
#include "linear.cuh"
#include "pipeline_sm90.cuh"

#define GEMM_THREADS 384
#define TILE_M 128
#define TILE_K 64

/// Stages of the ring: what shared memory holds.
#define STAGES(tile_n) (208 * 1024 / ((TILE_M + (tile_n)) * TILE_K * 2))
#define GROUP_M 16

struct GemmSm90Args
{
    TensorMap input;   // rows x k, boxes of 128 x 64
    TensorMap weights; // n x k, boxes of TileN x 64
    LinearArgs linear;
};

/// A stage of the ring. Tiles are swizzled, and so aligned to 1,024 bytes.
template <int TileN> struct Stage
{
    Stored input[TILE_M * TILE_K];
    Stored weights[TileN * TILE_K];
};

template <int TileN> struct Ring
{
    Stage<TileN> stages[STAGES(TileN)];
    u64 full[STAGES(TileN)];
    u64 empty[STAGES(TileN)];
};

/// Tiles go down GROUP_M rows of tiles, then one column on: what runs at the same time is about square.
LAZYLLM_DEVICE void find_tile(i32 index, i32 tiles_m, i32 tiles_n, i32 &tile_m, i32 &tile_n)
{
    const i32 group = index / (GROUP_M * tiles_n);
    const i32 first = group * GROUP_M;
    const i32 height = tiles_m - first < GROUP_M ? tiles_m - first : GROUP_M;
    const i32 rest = index - group * GROUP_M * tiles_n;
    tile_m = first + rest % height;
    tile_n = rest / height;
}

LAZYLLM_DEVICE void multiply(float (&sums)[128], u64 input, u64 weights, u32 accumulate)
{
    wgmma_m64n256k16(sums, input, weights, accumulate);
}

LAZYLLM_DEVICE void multiply(float (&sums)[96], u64 input, u64 weights, u32 accumulate)
{
    wgmma_m64n192k16(sums, input, weights, accumulate);
}

LAZYLLM_DEVICE void multiply(float (&sums)[32], u64 input, u64 weights, u32 accumulate)
{
    wgmma_m64n64k16(sums, input, weights, accumulate);
}

LAZYLLM_DEVICE void multiply(float (&sums)[64], u64 input, u64 weights, u32 accumulate)
{
    wgmma_m64n128k16(sums, input, weights, accumulate);
}

/// A row's numbers (those of `half`) to 16-bit output: four lanes exchange theirs, so that each writes 16 bytes at a time.
/// `start` is negative for rows beyond the last, which take part in the exchange and write nothing.
template <int TileN, bool IsSwiglu> LAZYLLM_DEVICE void write_stored(const LinearArgs &args, const float (&sums)[TileN / 2], int half, i64 start, i32 first_column)
{
    const i32 lane = (i32)threadIdx.x % 4;
    const int step = IsSwiglu ? 8 : 4; // columns in eights that a lane's 16 bytes come from, times four lanes
    Stored *output = static_cast<Stored *>(args.output) + start;
#pragma unroll
    for (int j = 0; j < TileN / 8; j += step)
    {
        u32 words[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            const int at = 4 * (j + (IsSwiglu ? 2 * i : i)) + 2 * half;
            words[i] = IsSwiglu ? Storage<Stored>::pack(swiglu(sums[at], sums[at + 4]), swiglu(sums[at + 1], sums[at + 5])) : Storage<Stored>::pack(sums[at], sums[at + 1]);
        }
        transpose_quad(words);
        const i32 column = first_column + 8 * j + (IsSwiglu ? 16 : 8) * lane;
        if (start >= 0 && column < args.n)
            *reinterpret_cast<uint4 *>(output + (IsSwiglu ? column / 2 : column)) = make_uint4(words[0], words[1], words[2], words[3]);
    }
}

/// A row's numbers to float32 output, or added to it. Two lanes exchange theirs, so that each has four neighbours. A sum in memory is
/// added to once in a launch, so that its bits do not depend on the order.
template <int TileN, bool IsAdded> LAZYLLM_DEVICE void write_floats(const LinearArgs &args, const float (&sums)[TileN / 2], int half, i64 start, i32 first_column)
{
    float *output = static_cast<float *>(args.output) + start;
    const i32 lane = (i32)threadIdx.x % 4;
    const bool odd = lane % 2 != 0;
#pragma unroll
    for (int j = 0; j < TileN / 8; j += 2)
    {
        const float2 left = make_float2(sums[4 * j + 2 * half], sums[4 * j + 2 * half + 1]);
        const float2 right = make_float2(sums[4 * j + 4 + 2 * half], sums[4 * j + 5 + 2 * half]);
        const float2 got = make_float2(__shfl_xor_sync(0xFFFFFFFFu, odd ? left.x : right.x, 1), __shfl_xor_sync(0xFFFFFFFFu, odd ? left.y : right.y, 1));
        const float2 first = odd ? got : left, second = odd ? right : got;
        const i32 column = first_column + 8 * (j + lane % 2) + 4 * (lane / 2);
        if (start < 0 || column >= args.n)
            continue;
        if (IsAdded)
            add_four(output + column, first.x, first.y, second.x, second.y);
        else
            *reinterpret_cast<float4 *>(output + column) = make_float4(first.x, first.y, second.x, second.y);
    }
}

template <int TileN> LAZYLLM_DEVICE void write_tile(const LinearArgs &args, const float (&sums)[TileN / 2], i32 rows, i32 first_row, i32 first_column)
{
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        const i32 row = first_row + (i32)threadIdx.x % 32 / 4 + 8 * half;
        const i64 start = row < rows ? (i64)row * args.output_stride : -1;
        if (args.epilogue == EPILOGUE_STORE)
            write_stored<TileN, false>(args, sums, half, start, first_column);
        else if (args.epilogue == EPILOGUE_SWIGLU)
            write_stored<TileN, true>(args, sums, half, start, first_column);
        else if (args.epilogue == EPILOGUE_ADD_RESIDUAL)
            write_floats<TileN, true>(args, sums, half, start, first_column);
        else
            write_floats<TileN, false>(args, sums, half, start, first_column);
    }
}

template <int TileN> LAZYLLM_DEVICE void gemm(const GemmSm90Args &args)
{
    LAZYLLM_SHARED_BYTES(shared);
    Ring<TileN> &ring = *reinterpret_cast<Ring<TileN> *>(shared);
    const LinearArgs &linear = args.linear;
    if (threadIdx.x == 0)
    {
        prefetch_tensor_map(&args.input);
        prefetch_tensor_map(&args.weights);
        for (i32 stage = 0; stage < STAGES(TileN); stage++)
        {
            mbarrier_init(&ring.full[stage], 1);
            mbarrier_init(&ring.empty[stage], 2);
        }
        fence_mbarrier_init();
    }
    __syncthreads();
    launch_dependents();
    wait_for_dependencies();

    const i32 rows = row_count(linear.count);
    const i32 tiles_m = (rows + TILE_M - 1) / TILE_M;
    const i32 tiles_n = (linear.n + TileN - 1) / TileN;
    const i32 depth = (linear.k + TILE_K - 1) / TILE_K;
    const i32 warpgroup = (i32)threadIdx.x / 128;
    RingPlace place = {0, 0u};
    if (warpgroup == 0)
    {
        give_registers<24>();
        if (threadIdx.x == 0)
        {
            for (i32 tile = (i32)blockIdx.x; tile < tiles_m * tiles_n; tile += (i32)gridDim.x)
            {
                i32 tile_m, tile_n;
                find_tile(tile, tiles_m, tiles_n, tile_m, tile_n);
                for (i32 k = 0; k < depth; k++)
                {
                    // The first round finds every stage empty: the phase before the first counts as over.
                    mbarrier_wait(&ring.empty[place.stage], place.parity ^ 1u);
                    mbarrier_arrive_expecting(&ring.full[place.stage], (u32)sizeof(Stage<TileN>));
                    tma_load_2d(ring.stages[place.stage].input, &args.input, k * TILE_K, tile_m * TILE_M, &ring.full[place.stage]);
                    tma_load_2d(ring.stages[place.stage].weights, &args.weights, k * TILE_K, tile_n * TileN, &ring.full[place.stage]);
                    next_stage<STAGES(TileN)>(place);
                }
            }
        }
        return;
    }

    take_registers<240>();
    const i32 half = warpgroup - 1;
    for (i32 tile = (i32)blockIdx.x; tile < tiles_m * tiles_n; tile += (i32)gridDim.x)
    {
        i32 tile_m, tile_n;
        find_tile(tile, tiles_m, tiles_n, tile_m, tile_n);
        const i32 first_row = tile_m * TILE_M + 64 * half + 16 * ((i32)threadIdx.x / 32 % 4);
        float sums[TileN / 2];
        i32 before = -1;
        for (i32 k = 0; k < depth; k++)
        {
            mbarrier_wait(&ring.full[place.stage], place.parity);
            const u64 input = swizzled_tile(ring.stages[place.stage].input + half * 64 * TILE_K);
            const u64 weights = swizzled_tile(ring.stages[place.stage].weights);
            wgmma_fence();
#pragma unroll
            for (int step = 0; step < TILE_K / 16; step++)
                multiply(sums, input + 2 * step, weights + 2 * step, k > 0 || step > 0 ? 1u : 0u);
            wgmma_commit();
            // The products of this stage go on while the stage before, now read to the end, is given back.
            wgmma_wait<1>();
            if (before >= 0 && threadIdx.x % 128 == 0)
                mbarrier_arrive(&ring.empty[before]);
            before = place.stage;
            next_stage<STAGES(TileN)>(place);
        }
        wgmma_wait<0>();
        wgmma_written(sums);
        if (threadIdx.x % 128 == 0)
            mbarrier_arrive(&ring.empty[before]);
        write_tile<TileN>(linear, sums, rows, first_row, tile_n * TileN);
    }
}

LAZYLLM_KERNEL(lazyllm_gemm_sm90_256, GemmSm90Args, GEMM_THREADS, 1)
{
    gemm<256>(args);
}

LAZYLLM_KERNEL(lazyllm_gemm_sm90_192, GemmSm90Args, GEMM_THREADS, 1)
{
    gemm<192>(args);
}

LAZYLLM_KERNEL(lazyllm_gemm_sm90_128, GemmSm90Args, GEMM_THREADS, 1)
{
    gemm<128>(args);
}

LAZYLLM_KERNEL(lazyllm_gemm_sm90_64, GemmSm90Args, GEMM_THREADS, 1)
{
    gemm<64>(args);
}
