// Attention of several rows on the matrix units, in the way of FlashAttention-2: 16-bit storage.
//
// Block (64 rows, one head): four warps of 16 rows each. Split, for fewer rows: block (64 row-heads, one K/V head, one part of T),
// where all query heads that share a K/V head (GQA) stand in the tile together, row by row, so that a block reads each K and
// V row once for all of them; lazyllm_attend_combine merges the parts. K and V pass through shared memory in tiles of 64 keys, two of
// each, copied asynchronously one tile ahead; a row of a tile is a slot's K or V of the head, so that following a slot list
// costs no more than an index. S = Q K^T stays in registers, becomes P by online softmax, and goes into O += P V. Tiles
// that no row of the block sees are not read; only tiles on the diagonal are masked.
// Rows of shared memory are 16 bytes longer than the head, which spreads ldmatrix over the banks. Head sizes that are
// no multiple of 16 are filled with zeros there. Bound by the matrix units and, about evenly, by shared memory; split, by the K/V
// bytes, and so the weights P are not rounded there: what rounding takes off goes through the matrix units too.
#pragma once
#include "attention.cuh"

#define TILE_THREADS 128
#define TILE_ROWS 64
#define TILE_KEYS 64
#define TILE_WIDTH ((HEAD_SIZE + 15) / 16 * 16)
#define TILE_STRIDE (TILE_WIDTH + 8)
#define TILE_SIZE (TILE_KEYS * TILE_STRIDE)

/// Copies a tile's rows; those from `valid` on become zeros, so that no garbage meets a weight of zero.
template <typename Source> LAZYLLM_DEVICE void copy_tile(Stored *tile, i32 valid, Source source)
{
    const i32 pieces = TILE_WIDTH / 8;
    for (i32 item = (i32)threadIdx.x; item < TILE_KEYS * pieces; item += TILE_THREADS)
    {
        const i32 row = item / pieces;
        const i32 column = 8 * (item % pieces);
        const bool inside = row < valid && column < HEAD_SIZE;
        cp_async_16_zfill(tile + row * TILE_STRIDE + column, source(inside ? row : 0) + (inside ? column : 0), inside ? 16u : 0u);
    }
}

/// What a split leaves of one row and head; of keys that the row does not see, nothing.
LAZYLLM_DEVICE void store_partial(float *partial, float highest, float sum, const float (&output)[TILE_WIDTH / 8][4], int half)
{
    const i32 quad = (i32)threadIdx.x % 4;
    if (quad == 0)
    {
        partial[0] = highest;
        partial[1] = sum;
    }
#pragma unroll
    for (int n = 0; n < HEAD_SIZE / 8; n++)
        *reinterpret_cast<float2 *>(partial + 2 + 8 * n + 2 * quad) = make_float2(output[n][2 * half], output[n][2 * half + 1]);
}

template <bool IsSplit> LAZYLLM_DEVICE void attend_tiles(const AttentionArgs &args)
{
    LAZYLLM_SHARED_BYTES(shared);
    Stored *const query_tile = reinterpret_cast<Stored *>(shared);
    Stored *const key_tiles = query_tile + TILE_SIZE;
    Stored *const value_tiles = key_tiles + 2 * TILE_SIZE;

    if (IsSplit)
    {
        launch_dependents();
        wait_for_dependencies();
    }
    const i32 rows = row_count(args.count);
    // Rows of the tiles: those of one head, or of a split all of a K/V head's.
    const i32 group = args.heads / args.kv_heads;
    const i32 packed = IsSplit ? group : 1;
    const i32 tile_rows = rows * packed;
    // The last rows see the most keys: they start first.
    const i32 first_row = ((i32)gridDim.x - 1 - (i32)blockIdx.x) * TILE_ROWS;
    if (first_row >= tile_rows)
        return;
    const i32 first_head = (i32)blockIdx.y * packed;
    const i32 kv_head = first_head / group;
    const i32 lane = (i32)threadIdx.x % 32;
    const i32 warp = (i32)threadIdx.x / 32;
    const i32 block_rows = tile_rows - first_row < TILE_ROWS ? tile_rows - first_row : TILE_ROWS;
    const i32 most_seen = seen_by(args, (first_row + block_rows - 1) / packed, rows);
    const i32 least_seen = seen_by(args, first_row / packed, rows);
    const i32 all_tiles = (most_seen + TILE_KEYS - 1) / TILE_KEYS;
    const i32 share = IsSplit ? ((token_count(args) + TILE_KEYS - 1) / TILE_KEYS + args.splits - 1) / args.splits : all_tiles;
    const i32 first_tile = IsSplit ? min((i32)blockIdx.z * share, all_tiles) : 0;
    const i32 tiles = min(first_tile + share, all_tiles);
    const Stored *cached = args.keys + kv_head * HEAD_SIZE;

    // Few rows leave warps without any, which only copy.
    const bool is_idle = IsSplit && 16 * warp >= block_rows;

    // A thread holds two rows of the accumulators: its own, and the one eight below.
    i32 seen[2];
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        const i32 row = first_row + 16 * warp + lane / 4 + 8 * half;
        seen[half] = seen_by(args, (row < tile_rows ? row : tile_rows - 1) / packed, rows);
    }

    auto copy_keys = [&](i32 tile) {
        if (tile < tiles)
        {
            const i32 first = tile * TILE_KEYS;
            copy_tile(key_tiles + (tile & 1) * TILE_SIZE, most_seen - first, [&](i32 key) { return cached + slot_of_place(args, first + key) * args.slot_stride; });
        }
        cp_async_commit();
    };
    auto copy_values = [&](i32 tile) {
        if (tile < tiles)
        {
            const i32 first = tile * TILE_KEYS;
            copy_tile(value_tiles + (tile & 1) * TILE_SIZE, most_seen - first, [&](i32 key) { return cached + args.value_offset + slot_of_place(args, first + key) * args.slot_stride; });
        }
        cp_async_commit();
    };

    if (first_tile < tiles)
        copy_tile(query_tile, block_rows, [&](i32 row) { return args.queries + (i64)((first_row + row) / packed) * args.row_stride + (first_head + (first_row + row) % packed) * HEAD_SIZE; });
    copy_keys(first_tile);
    copy_values(first_tile);

    u32 queries[TILE_WIDTH / 16][4];
    float output[TILE_WIDTH / 8][4];
#pragma unroll
    for (int n = 0; n < TILE_WIDTH / 8; n++)
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            output[n][i] = 0.0f;
    }
    float highest[2] = {MINUS_INFINITY, MINUS_INFINITY};
    float sums[2] = {0.0f, 0.0f};

    for (i32 tile = first_tile; tile < tiles; tile++)
    {
        cp_async_wait<1>();
        __syncthreads();
        if (tile == first_tile)
        {
#pragma unroll
            for (int k = 0; k < TILE_WIDTH / 16; k++)
                ldmatrix_x4(queries[k], query_tile + (16 * warp + lane % 16) * TILE_STRIDE + 16 * k + 8 * (lane / 16));
        }
        copy_keys(tile + 1);

        const Stored *keys = key_tiles + (tile & 1) * TILE_SIZE;
        float scores[TILE_KEYS / 8][4];
#pragma unroll
        for (int n = 0; n < TILE_KEYS / 8; n++)
        {
#pragma unroll
            for (int i = 0; i < 4; i++)
                scores[n][i] = 0.0f;
        }
        if (!is_idle)
        {
#pragma unroll
            for (int k = 0; k < TILE_WIDTH / 16; k++)
            {
#pragma unroll
                for (int n = 0; n < TILE_KEYS / 8; n += 2)
                {
                    u32 fragment[4];
                    ldmatrix_x4(fragment, keys + (8 * n + 8 * (lane / 16) + lane % 8) * TILE_STRIDE + 16 * k + 8 * (lane / 8 % 2));
                    Storage<Stored>::mma(scores[n], queries[k], fragment[0], fragment[1]);
                    Storage<Stored>::mma(scores[n + 1], queries[k], fragment[2], fragment[3]);
                }
            }

            const i32 first = tile * TILE_KEYS;
            if (first + TILE_KEYS > least_seen)
            {
#pragma unroll
                for (int n = 0; n < TILE_KEYS / 8; n++)
                {
#pragma unroll
                    for (int i = 0; i < 4; i++)
                    {
                        if (first + 8 * n + 2 * (lane % 4) + i % 2 >= seen[i / 2])
                            scores[n][i] = MINUS_INFINITY;
                    }
                }
            }

            // Every row sees the first key, so that from the first tile on no maximum is minus infinity; but not in every split.
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
                float top = highest[half];
#pragma unroll
                for (int n = 0; n < TILE_KEYS / 8; n++)
                    top = fmaxf(top, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
                top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFFu, top, 1));
                top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFFu, top, 2));
                const float finite = IsSplit && top == MINUS_INFINITY ? 0.0f : top;
                const float kept = exp2_approx((highest[half] - finite) * args.scale);
                const float base = finite * args.scale;
                highest[half] = top;
                float sum = sums[half] * kept;
#pragma unroll
                for (int n = 0; n < TILE_KEYS / 8; n++)
                {
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; i++)
                    {
                        scores[n][i] = exp2_approx(fmaf(scores[n][i], args.scale, -base));
                        sum += scores[n][i];
                    }
                }
                sums[half] = sum;
#pragma unroll
                for (int n = 0; n < TILE_WIDTH / 8; n++)
                {
                    output[n][2 * half] *= kept;
                    output[n][2 * half + 1] *= kept;
                }
            }
        }

        cp_async_wait<1>();
        __syncthreads();
        copy_values(tile + 1);

        const Stored *values = value_tiles + (tile & 1) * TILE_SIZE;
        if (!is_idle)
        {
#pragma unroll
            for (int k = 0; k < TILE_KEYS / 16; k++)
            {
                // Four pairs of weights: of the row and of that eight below, columns 0 and 8 on.
                u32 weights[4], rests[4];
#pragma unroll
                for (int pair = 0; pair < 4; pair++)
                {
                    const float first = scores[2 * k + pair / 2][2 * (pair % 2)], second = scores[2 * k + pair / 2][2 * (pair % 2) + 1];
                    weights[pair] = Storage<Stored>::pack(first, second);
                    if (IsSplit)
                        rests[pair] = Storage<Stored>::pack(first - Storage<Stored>::low(weights[pair]), second - Storage<Stored>::high(weights[pair]));
                }
#pragma unroll
                for (int n = 0; n < TILE_WIDTH / 8; n += 2)
                {
                    u32 fragment[4];
                    ldmatrix_x4_trans(fragment, values + (16 * k + lane % 16) * TILE_STRIDE + 8 * n + 8 * (lane / 16));
                    Storage<Stored>::mma(output[n], weights, fragment[0], fragment[1]);
                    Storage<Stored>::mma(output[n + 1], weights, fragment[2], fragment[3]);
                    if (IsSplit)
                    {
                        Storage<Stored>::mma(output[n], rests, fragment[0], fragment[1]);
                        Storage<Stored>::mma(output[n + 1], rests, fragment[2], fragment[3]);
                    }
                }
            }
        }
    }

#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        float sum = sums[half];
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
        const i32 row = first_row + 16 * warp + lane / 4 + 8 * half;
        if (row >= tile_rows)
            continue;
        const i64 row_head = (i64)(row / packed) * args.heads + first_head + row % packed;
        if (IsSplit)
        {
            store_partial(args.partials + (row_head * args.splits + (i64)blockIdx.z) * PARTIAL_SIZE, highest[half] * args.scale, sum, output, half);
            continue;
        }
        if (lane % 4 == 0)
            keep_normalizer(args, row, rows, first_head, highest[half] * args.scale, sum);
        const float scale = 1.0f / sum;
        Stored *target = args.output + row_head * HEAD_SIZE + 2 * (lane % 4);
#pragma unroll
        for (int n = 0; n < HEAD_SIZE / 8; n++)
            store_pair(target + 8 * n, output[n][2 * half] * scale, output[n][2 * half + 1] * scale);
    }
}
