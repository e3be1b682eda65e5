// Linear for more than a few rows: output = input · weights^T on the tensor cores of compute capability 8.0.
//
// Shapes and epilogues as in linear.cuh; rows, n and k need not be multiples of the tile (what lies outside is read as
// zero and not written). A block computes a tile of TileM rows by TileN outputs; pieces of both matrices, 64 columns
// deep, pass through a ring in shared memory filled by cp.async, and each warp multiplies WarpM by WarpN with
// mma.sync m16n8k16. Rows of a piece are 128 bytes; their 16-byte chunks are swizzled by the row, so that neither the
// copies nor ldmatrix meet bank conflicts. Every sum runs over k in order, 16 at a time, whatever the tile: all tile
// sizes give the same bits.
// Bound by the rate of mma.sync where rows are many (lazyllm_gemm_large), by reading the weights where they are few
// (lazyllm_gemm_small, and lazyllm_gemm_few for up to 16 rows: their rings are long, so that even one block on a multiprocessor keeps
// enough weights on their way). Called by LinearKernels.cs. In float32 storage there is one plain kernel, for checking.
#include "linear.cuh"

#if defined(LAZYLLM_STORAGE_F32)

// A plain product: 64 x 64 outputs per block of 256 threads, 4 x 4 each, 16 columns at a time.
#define PLAIN_TILE 64
#define PLAIN_DEPTH 16
#define PLAIN_THREADS 256

LAZYLLM_DEVICE void write_output(const LinearArgs &args, i32 row, i32 column, float value)
{
    float *target = static_cast<float *>(args.output) + (i64)row * args.output_stride + column;
    *target = args.epilogue == EPILOGUE_ADD_RESIDUAL ? *target + value : value;
}

LAZYLLM_KERNEL(lazyllm_gemm_plain, LinearArgs, PLAIN_THREADS)
{
    // Stored by columns, so that a thread reads its four rows at once; one word of padding keeps the stores apart.
    __shared__ float input[PLAIN_DEPTH][PLAIN_TILE + 4];
    __shared__ float weights[PLAIN_DEPTH][PLAIN_TILE + 4];
    const i32 rows = row_count(args.count);
    const i32 row0 = (i32)blockIdx.y * PLAIN_TILE, column0 = (i32)blockIdx.x * PLAIN_TILE;
    const i32 thread = (i32)threadIdx.x;
    if (row0 >= rows)
        return;

    // Of SwiGLU, a thread needs gate and up of the same output: columns 8 apart. Thread x takes columns x, x + 16, ...
    // of the first and second half of each group of 16.
    const i32 ty = thread / 16, tx = thread % 16;
    const i32 column_of[4] = {tx / 8 * 16 + tx % 8, tx / 8 * 16 + tx % 8 + 8, tx / 8 * 16 + tx % 8 + 32, tx / 8 * 16 + tx % 8 + 40};
    float sums[4][4] = {};
    const i32 load_row = thread / 4, load_column = thread % 4 * 4;
    for (i32 k0 = 0; k0 < args.k; k0 += PLAIN_DEPTH)
    {
        const bool inside = k0 + load_column < args.k;
        float4 a = make_float4(0.0f, 0.0f, 0.0f, 0.0f), b = a;
        if (inside && row0 + load_row < rows)
            a = *reinterpret_cast<const float4 *>(args.input + (i64)(row0 + load_row) * args.k + k0 + load_column);
        if (inside && column0 + load_row < args.n)
            b = *reinterpret_cast<const float4 *>(args.weights + (i64)(column0 + load_row) * args.k + k0 + load_column);
        const float from_a[4] = {a.x, a.y, a.z, a.w}, from_b[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            input[load_column + i][load_row] = from_a[i];
            weights[load_column + i][load_row] = from_b[i];
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < PLAIN_DEPTH; k++)
        {
#pragma unroll
            for (int i = 0; i < 4; i++)
            {
#pragma unroll
                for (int j = 0; j < 4; j++)
                    sums[i][j] = fmaf(input[k][4 * ty + i], weights[k][column_of[j]], sums[i][j]);
            }
        }
        __syncthreads();
    }

#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        const i32 row = row0 + 4 * ty + i;
        if (row >= rows)
            continue;
#pragma unroll
        for (int j = 0; j < 4; j += 2)
        {
            const i32 column = column0 + column_of[j];
            if (args.epilogue == EPILOGUE_SWIGLU)
            {
                if (column < args.n)
                    write_output(args, row, column / 16 * 8 + column % 8, swiglu(sums[i][j], sums[i][j + 1]));
            }
            else
            {
                if (column < args.n)
                    write_output(args, row, column, sums[i][j]);
                if (column + 8 < args.n)
                    write_output(args, row, column + 8, sums[i][j + 1]);
            }
        }
    }
}

#else

#define DEPTH 64            // columns of a piece: 128 bytes
#define CHUNKS (DEPTH / 8)  // 16-byte chunks of a row of a piece
#define ROW_BYTES 128

/// Blocks that run at about the same time share weights and input in L2: tiles go down 16 rows of tiles, then across.
#define TILE_ROWS_TOGETHER 16

template <int TileM, int TileN, int WarpM, int WarpN, int Stages>
struct Tile
{
    static constexpr int Warps = (TileM / WarpM) * (TileN / WarpN);
    static constexpr int Threads = 32 * Warps;
    static constexpr int StageBytes = (TileM + TileN) * ROW_BYTES;

    /// Where chunk `chunk` of row `row` of a piece stands.
    LAZYLLM_DEVICE u32 place(i32 row, i32 chunk)
    {
        return (u32)(row * ROW_BYTES + ((chunk ^ (row & 7)) << 4));
    }

    /// Starts copying a piece of `RowsOfPiece` rows from a matrix of `rows` rows; zeros outside.
    template <int RowsOfPiece>
    LAZYLLM_DEVICE void copy_piece(u8 *shared, const Stored *matrix, i32 row0, i32 rows, i32 k0, i32 k)
    {
        static_assert(RowsOfPiece * CHUNKS % Threads == 0, "every thread copies the same number of chunks");
#pragma unroll
        for (int i = 0; i < RowsOfPiece * CHUNKS / Threads; i++)
        {
            const i32 index = (i32)threadIdx.x + i * Threads;
            const i32 row = index / CHUNKS, chunk = index % CHUNKS;
            const bool inside = row0 + row < rows && k0 + 8 * chunk < k;
            const Stored *source = inside ? matrix + (i64)(row0 + row) * k + k0 + 8 * chunk : matrix;
            cp_async_16_zfill(shared + place(row, chunk), source, inside ? 16u : 0u);
        }
    }

    LAZYLLM_DEVICE void write_outputs(const LinearArgs &args, i32 row, i32 column, const float (&sums)[WarpN / 8][4], int half)
    {
        const i64 start = (i64)row * args.output_stride;
        const i32 pair = 2 * ((i32)threadIdx.x % 4);
        if (args.epilogue == EPILOGUE_SWIGLU)
        {
            Stored *output = static_cast<Stored *>(args.output) + start;
#pragma unroll
            for (int n = 0; n < WarpN / 8; n += 2)
            {
                const i32 at = (column + 8 * n) / 2 + pair;
                if (column + 8 * n < args.n)
                    store_pair(output + at, swiglu(sums[n][half], sums[n + 1][half]), swiglu(sums[n][half + 1], sums[n + 1][half + 1]));
            }
        }
        else
        {
#pragma unroll
            for (int n = 0; n < WarpN / 8; n++)
            {
                const i32 at = column + 8 * n + pair;
                if (at >= args.n)
                    continue;
                if (args.epilogue == EPILOGUE_STORE)
                {
                    store_pair(static_cast<Stored *>(args.output) + start + at, sums[n][half], sums[n][half + 1]);
                }
                else
                {
                    float2 *target = reinterpret_cast<float2 *>(static_cast<float *>(args.output) + start + at);
                    float2 value = make_float2(sums[n][half], sums[n][half + 1]);
                    if (args.epilogue == EPILOGUE_ADD_RESIDUAL)
                    {
                        const float2 before = *target;
                        value = make_float2(before.x + value.x, before.y + value.y);
                    }
                    *target = value;
                }
            }
        }
    }

    LAZYLLM_DEVICE void multiply(const LinearArgs &args, u8 *ring)
    {
        launch_dependents();
        wait_for_dependencies();
        const i32 rows = row_count(args.count);
        const i32 tiles_m = (args.count.limit + TileM - 1) / TileM, tiles_n = (args.n + TileN - 1) / TileN;
        const i32 per_group = TILE_ROWS_TOGETHER * tiles_n;
        const i32 first_m = (i32)blockIdx.x / per_group * TILE_ROWS_TOGETHER;
        const i32 group_m = min(tiles_m - first_m, TILE_ROWS_TOGETHER);
        const i32 inside = (i32)blockIdx.x % per_group;
        const i32 row0 = (first_m + inside % group_m) * TileM, column0 = inside / group_m * TileN;
        if (row0 >= rows)
            return;

        const i32 warp = (i32)threadIdx.x / 32, lane = (i32)threadIdx.x % 32;
        const i32 warp_m = warp / (TileN / WarpN) * WarpM, warp_n = warp % (TileN / WarpN) * WarpN;
        const i32 pieces = (args.k + DEPTH - 1) / DEPTH;

#pragma unroll
        for (int stage = 0; stage < Stages - 1; stage++)
        {
            if (stage < pieces)
            {
                copy_piece<TileM>(ring + stage * StageBytes, args.input, row0, rows, stage * DEPTH, args.k);
                copy_piece<TileN>(ring + stage * StageBytes + TileM * ROW_BYTES, args.weights, column0, args.n, stage * DEPTH, args.k);
            }
            cp_async_commit();
        }

        float sums[WarpM / 16][WarpN / 8][4] = {};
        i32 stage = 0, next_stage = Stages - 1;
        for (i32 piece = 0; piece < pieces; piece++)
        {
            // Piece `piece` has arrived for this thread; after the barrier, for all, and the slot of the piece before
            // is free.
            cp_async_wait<Stages - 2>();
            __syncthreads();
            const i32 next = piece + Stages - 1;
            if (next < pieces)
            {
                u8 *slot = ring + next_stage * StageBytes;
                copy_piece<TileM>(slot, args.input, row0, rows, next * DEPTH, args.k);
                copy_piece<TileN>(slot + TileM * ROW_BYTES, args.weights, column0, args.n, next * DEPTH, args.k);
            }
            cp_async_commit();
            next_stage = next_stage + 1 == Stages ? 0 : next_stage + 1;

            const u8 *input = ring + stage * StageBytes;
            const u8 *weights = input + TileM * ROW_BYTES;
            stage = stage + 1 == Stages ? 0 : stage + 1;
#pragma unroll
            for (int k = 0; k < DEPTH / 16; k++)
            {
                u32 a[WarpM / 16][4];
#pragma unroll
                for (int m = 0; m < WarpM / 16; m++)
                    ldmatrix_x4(a[m], input + place(warp_m + 16 * m + (lane & 15), 2 * k + (lane >> 4)));
                u32 b[WarpN / 8][2];
#pragma unroll
                for (int n = 0; n < WarpN / 8; n += 2)
                {
                    u32 both[4];
                    ldmatrix_x4(both, weights + place(warp_n + 8 * n + (lane & 7) + ((lane >> 4) << 3), 2 * k + ((lane >> 3) & 1)));
                    b[n][0] = both[0];
                    b[n][1] = both[1];
                    b[n + 1][0] = both[2];
                    b[n + 1][1] = both[3];
                }
#pragma unroll
                for (int m = 0; m < WarpM / 16; m++)
                {
#pragma unroll
                    for (int n = 0; n < WarpN / 8; n++)
                        Storage<Stored>::mma(sums[m][n], a[m], b[n][0], b[n][1]);
                }
            }
        }

        // A thread holds rows lane / 4 and lane / 4 + 8 of each 16, two neighbours in each 8 columns.
#pragma unroll
        for (int m = 0; m < WarpM / 16; m++)
        {
#pragma unroll
            for (int half = 0; half < 4; half += 2)
            {
                const i32 row = row0 + warp_m + 16 * m + lane / 4 + 4 * half;
                if (row < rows)
                    write_outputs(args, row, column0 + warp_n, sums[m], half);
            }
        }
    }
};

typedef Tile<128, 128, 64, 64, 3> LargeTile;
typedef Tile<64, 32, 32, 16, 6> SmallTile;
typedef Tile<16, 32, 16, 16, 8> FewTile;

LAZYLLM_KERNEL(lazyllm_gemm_large, LinearArgs, 128)
{
    static_assert(LargeTile::Threads == 128, "as the launch bounds say");
    LAZYLLM_SHARED_BYTES(ring);
    LargeTile::multiply(args, ring);
}

LAZYLLM_KERNEL(lazyllm_gemm_small, LinearArgs, 128)
{
    static_assert(SmallTile::Threads == 128, "as the launch bounds say");
    LAZYLLM_SHARED_BYTES(ring);
    SmallTile::multiply(args, ring);
}

LAZYLLM_KERNEL(lazyllm_gemm_few, LinearArgs, 64)
{
    static_assert(FewTile::Threads == 64, "as the launch bounds say");
    LAZYLLM_SHARED_BYTES(ring);
    FewTile::multiply(args, ring);
}

#endif
