// Attention of many rows on the matrix units, in the way of FlashAttention-2: 16-bit storage.
//
// Block (64 rows, one head): four warps of 16 rows each. K and V pass through shared memory in tiles of 64 keys, two of
// each, copied asynchronously one tile ahead; a row of a tile is a slot's K or V of the head, so that following a slot list
// costs no more than an index. S = Q K^T stays in registers, becomes P by online softmax, and goes into O += P V. Tiles
// that no row of the block sees are not read; only tiles on the diagonal are masked.
// Rows of shared memory are 16 bytes longer than the head, which spreads ldmatrix over the banks. Head sizes that are
// no multiple of 16 are filled with zeros there. Bound by the matrix units and, about evenly, by shared memory.
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

LAZYLLM_DEVICE void attend_tiles(const AttentionArgs &args)
{
    LAZYLLM_SHARED_BYTES(shared);
    Stored *const query_tile = reinterpret_cast<Stored *>(shared);
    Stored *const key_tiles = query_tile + TILE_SIZE;
    Stored *const value_tiles = key_tiles + 2 * TILE_SIZE;

    const i32 rows = row_count(args.count);
    // The last rows see the most keys: they start first.
    const i32 first_row = ((i32)gridDim.x - 1 - (i32)blockIdx.x) * TILE_ROWS;
    if (first_row >= rows)
        return;
    const i32 head = (i32)blockIdx.y;
    const i32 kv_head = head / (args.heads / args.kv_heads);
    const i32 lane = (i32)threadIdx.x % 32;
    const i32 warp = (i32)threadIdx.x / 32;
    const i32 block_rows = rows - first_row < TILE_ROWS ? rows - first_row : TILE_ROWS;
    const i32 most_seen = seen_by(args, first_row + block_rows - 1, rows);
    const i32 least_seen = seen_by(args, first_row, rows);
    const i32 tiles = (most_seen + TILE_KEYS - 1) / TILE_KEYS;
    const Stored *cached = args.keys + kv_head * HEAD_SIZE;

    // A thread holds two rows of the accumulators: its own, and the one eight below.
    i32 seen[2];
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        const i32 row = first_row + 16 * warp + lane / 4 + 8 * half;
        seen[half] = seen_by(args, row < rows ? row : rows - 1, rows);
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

    copy_tile(query_tile, block_rows, [&](i32 row) { return args.queries + (i64)(first_row + row) * args.row_stride + head * HEAD_SIZE; });
    copy_keys(0);
    copy_values(0);

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

    for (i32 tile = 0; tile < tiles; tile++)
    {
        cp_async_wait<1>();
        __syncthreads();
        if (tile == 0)
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

        // Every row sees the first key, so that from the first tile on no maximum is minus infinity.
#pragma unroll
        for (int half = 0; half < 2; half++)
        {
            float top = highest[half];
#pragma unroll
            for (int n = 0; n < TILE_KEYS / 8; n++)
                top = fmaxf(top, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
            top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFFu, top, 1));
            top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFFu, top, 2));
            const float kept = exp2_approx((highest[half] - top) * args.scale);
            const float base = top * args.scale;
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

        cp_async_wait<1>();
        __syncthreads();
        copy_values(tile + 1);

        const Stored *values = value_tiles + (tile & 1) * TILE_SIZE;
#pragma unroll
        for (int k = 0; k < TILE_KEYS / 16; k++)
        {
            const u32 weights[4] = {
                Storage<Stored>::pack(scores[2 * k][0], scores[2 * k][1]), Storage<Stored>::pack(scores[2 * k][2], scores[2 * k][3]),
                Storage<Stored>::pack(scores[2 * k + 1][0], scores[2 * k + 1][1]), Storage<Stored>::pack(scores[2 * k + 1][2], scores[2 * k + 1][3])};
#pragma unroll
            for (int n = 0; n < TILE_WIDTH / 8; n += 2)
            {
                u32 fragment[4];
                ldmatrix_x4_trans(fragment, values + (16 * k + lane % 16) * TILE_STRIDE + 8 * n + 8 * (lane / 16));
                Storage<Stored>::mma(output[n], weights, fragment[0], fragment[1]);
                Storage<Stored>::mma(output[n + 1], weights, fragment[2], fragment[3]);
            }
        }
    }

#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        float sum = sums[half];
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
        const float scale = 1.0f / sum;
        const i32 row = first_row + 16 * warp + lane / 4 + 8 * half;
        if (row >= rows)
            continue;
        Stored *target = args.output + ((i64)row * args.heads + head) * HEAD_SIZE + 2 * (lane % 4);
#pragma unroll
        for (int n = 0; n < HEAD_SIZE / 8; n++)
            store_pair(target + 8 * n, output[n][2 * half] * scale, output[n][2 * half + 1] * scale);
    }
}
