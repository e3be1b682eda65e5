// The product of many rows on compute capability 9.0: sums = input · weights^T by the copy engine (TMA) and wgmma. What becomes of a
// tile's sums is said by the sources that include this: gemm_sm90.cu and gemm_rope_sm90.cu.
//
// Shapes as in linear.cuh. n need not be a multiple of the tile, nor k of its depth: the copy engine fills with zeros. Rows are cut in
// tiles of about the same number, a multiple of eight; the last may reach behind the last row, to what may be anything.
//
// A block stays on its multiprocessor and takes tiles of up to TileM rows by TileN outputs in turn, neighbours in both
// directions at the same time, so that the level-2 cache serves both matrices. One warpgroup copies: pieces of both
// matrices, 64 columns deep, into a ring of stages, whose barriers count bytes in and readers out. TileM / 64 warpgroups multiply 64
// rows each from shared memory into registers, and write while the ring fills for the next tile. Registers move from the copier
// to the multipliers, unless there is but one of these.
// Bound by the matrix units; the write of a tile is not hidden.
#pragma once
#include "linear.cuh"
#include "pipeline_sm90.cuh"

#define GEMM_THREADS(tile_m) (128 + 2 * (tile_m))
#define TILE_K 64

/// Stages of the ring: what shared memory holds. Smaller tiles than the largest, which takes four of 56 KB, were
/// slower where the ring left nothing for the first-level cache.
#define STAGES(tile_m, tile_n) (((tile_m) == 192 ? 225 : 208) * 1024 / (((tile_m) + (tile_n)) * TILE_K * 2))
#define GROUP_ROWS 2048

/// A stage of the ring. Tiles are swizzled, and so aligned to 1,024 bytes.
template <int TileM, int TileN> struct Stage
{
    Stored input[TileM * TILE_K];
    Stored weights[TileN * TILE_K];
};

template <int TileM, int TileN> struct Ring
{
    Stage<TileM, TileN> stages[STAGES(TileM, TileN)];
    u64 full[STAGES(TileM, TileN)];
    u64 empty[STAGES(TileM, TileN)];
};

/// Tiles go down a group of about GROUP_ROWS rows, then one column on: what runs at the same time is about square.
template <int TileM> LAZYLLM_DEVICE void find_tile(i32 index, i32 tiles_m, i32 tiles_n, i32 &tile_m, i32 &tile_n)
{
    constexpr i32 group_size = GROUP_ROWS / TileM;
    const i32 group = index / (group_size * tiles_n);
    const i32 first = group * group_size;
    const i32 height = tiles_m - first < group_size ? tiles_m - first : group_size;
    const i32 rest = index - group * group_size * tiles_n;
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

/// In halves of 128 columns: with 512 threads to a block the compiler refuses an instruction of more than 128 registers.
LAZYLLM_DEVICE void multiply_halves(float (&sums)[128], u64 input, u64 weights, u32 accumulate)
{
    const u64 half = 128 * TILE_K * 2 >> 4;
    wgmma_m64n128k16(*reinterpret_cast<float (*)[64]>(sums), input, weights, accumulate);
    wgmma_m64n128k16(*reinterpret_cast<float (*)[64]>(sums + 64), input, weights + half, accumulate);
}

template <int TileN, typename Args> LAZYLLM_DEVICE void write_sums(const Args &args, const float (&sums)[TileN / 2], i32 end, i32 first_row, i32 first_column);

/// Args has the tensor maps `input` (rows x k, boxes of tile_rows x 64) and `weights` (n x k, boxes of TileN x 64), the LinearArgs `linear`, and
/// `tile_rows`, those of its TileM rows that a tile has. A warp's 16 rows of sums go to write_sums<TileN>(args, sums, end, first_row,
/// first_column); those from `end` on are another tile's, or nobody's.
template <int TileM, int TileN, typename Args> LAZYLLM_DEVICE void gemm(const Args &args)
{
    LAZYLLM_SHARED_BYTES(shared);
    constexpr i32 stages = STAGES(TileM, TileN);
    Ring<TileM, TileN> &ring = *reinterpret_cast<Ring<TileM, TileN> *>(shared);
    const LinearArgs &linear = args.linear;
    if (threadIdx.x == 0)
    {
        prefetch_tensor_map(&args.input);
        prefetch_tensor_map(&args.weights);
        for (i32 stage = 0; stage < stages; stage++)
        {
            mbarrier_init(&ring.full[stage], 1);
            mbarrier_init(&ring.empty[stage], TileM / 64);
        }
        fence_mbarrier_init();
    }
    __syncthreads();
    launch_dependents();

    const i32 rows = row_count(linear.count);
    const i32 tiles_m = (rows + args.tile_rows - 1) / args.tile_rows;
    const i32 tiles_n = (linear.n + TileN - 1) / TileN;
    const i32 depth = (linear.k + TILE_K - 1) / TILE_K;
    const i32 warpgroup = (i32)threadIdx.x / 128;
    RingPlace place = {0, 0u};
    if (warpgroup == 0)
    {
        // Rows that a tile does not have are not copied: in their place stands what was there, and nobody asks for what becomes of it.
        const u32 step_bytes = (u32)(args.tile_rows + TileN) * (u32)(TILE_K * sizeof(Stored));
        if constexpr (TileM > 64)
            give_registers<24>();
        if (threadIdx.x == 0)
        {
            // Weights wait for no kernel: those of the first steps are on their way while the kernels before end.
            i32 early = (i32)blockIdx.x < tiles_m * tiles_n ? (depth < stages ? depth : stages) : 0;
            for (i32 k = 0; k < early; k++)
            {
                i32 tile_m, tile_n;
                find_tile<TileM>((i32)blockIdx.x, tiles_m, tiles_n, tile_m, tile_n);
                mbarrier_arrive_expecting(&ring.full[k], step_bytes);
                tma_load_2d(ring.stages[k].weights, &args.weights, k * TILE_K, tile_n * TileN, &ring.full[k]);
            }
            wait_for_dependencies();
            for (i32 tile = (i32)blockIdx.x; tile < tiles_m * tiles_n; tile += (i32)gridDim.x)
            {
                i32 tile_m, tile_n;
                find_tile<TileM>(tile, tiles_m, tiles_n, tile_m, tile_n);
                for (i32 k = 0; k < depth; k++)
                {
                    if (early > 0)
                        early--;
                    else
                    {
                        mbarrier_wait(&ring.empty[place.stage], place.parity ^ 1u);
                        mbarrier_arrive_expecting(&ring.full[place.stage], step_bytes);
                        tma_load_2d(ring.stages[place.stage].weights, &args.weights, k * TILE_K, tile_n * TileN, &ring.full[place.stage]);
                    }
                    tma_load_2d(ring.stages[place.stage].input, &args.input, k * TILE_K, tile_m * args.tile_rows, &ring.full[place.stage]);
                    next_stage<stages>(place);
                }
            }
        }
        return;
    }

    if constexpr (TileM > 64)
        take_registers<TileM == 192 ? 160 : 240>();
    wait_for_dependencies();
    const i32 half = warpgroup - 1;
    for (i32 tile = (i32)blockIdx.x; tile < tiles_m * tiles_n; tile += (i32)gridDim.x)
    {
        i32 tile_m, tile_n;
        find_tile<TileM>(tile, tiles_m, tiles_n, tile_m, tile_n);
        const i32 next_tile = (tile_m + 1) * args.tile_rows;
        const i32 first_row = tile_m * args.tile_rows + 64 * half + 16 * ((i32)threadIdx.x / 32 % 4);
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
            {
                if constexpr (TileM == 192)
                    multiply_halves(sums, input + 2 * step, weights + 2 * step, k > 0 || step > 0 ? 1u : 0u);
                else
                    multiply(sums, input + 2 * step, weights + 2 * step, k > 0 || step > 0 ? 1u : 0u);
            }
            wgmma_commit();
            // The products of this stage go on while the stage before, now read to the end, is given back.
            wgmma_wait<1>();
            if (before >= 0 && threadIdx.x % 128 == 0)
                mbarrier_arrive(&ring.empty[before]);
            before = place.stage;
            next_stage<stages>(place);
        }
        wgmma_wait<0>();
        wgmma_written(sums);
        if (threadIdx.x % 128 == 0)
            mbarrier_arrive(&ring.empty[before]);
        write_sums<TileN>(args, sums, next_tile < rows ? next_tile : rows, first_row, tile_n * TileN);
    }
}
