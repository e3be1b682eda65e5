// Attention of many rows on compute capability 9.0 by wgmma, in the way of FlashAttention-3. How K and V come to shared memory is said
// by the sources that include this: attention_sm90.cu and attention_gathered_sm90.cu.
//
// Shapes and arguments as in attention.cuh, without device-side counts; compiled per 16-bit storage format (no LAZYLLM_STORAGE_F32) and
// LAZYLLM_HEAD_SIZE, up to 128, which is filled with zeros to a multiple of 64.
//
// A block stays on its multiprocessor and takes tiles of 128 rows of one head in turn, those that see the most keys first. One
// warpgroup copies: the rows' Q, and K and V in tiles of 128 keys through two rings. Two warpgroups take
// 64 rows each: S = Q K^T into registers, P by online softmax in place, O += P V with P from registers. A tile's S and the O of the
// tile before are on the matrix units while nothing waits for them; and the two warpgroups take turns in giving the units
// work, so that one computes exponentials while the products of the other run.
// Bound by the matrix units; the exponentials take half of the products' time.
#pragma once
#include "attention.cuh"
#include "pipeline_sm90.cuh"

#define ATTEND_THREADS 384
#define TILE_ROWS 128
#define TILE_KEYS 128
#define PANELS ((HEAD_SIZE + 63) / 64) // of 64 columns, 128 bytes
#define WIDTH (64 * PANELS)
#ifndef STAGES
#define STAGES 2
#endif

struct AttentionSm90Args
{
    TensorMap queries; // head size x heads x rows, boxes of 64 x 1 x 128
    TensorMap keys;    // head size x K/V heads x |T|, likewise
    TensorMap values;
    AttentionArgs attention;
    i32 head_group; // heads that are worked on at a time
};

/// 128 rows of a head: panels of 64 columns, swizzled, and so aligned to 1,024 bytes.
struct HeadTile
{
    Stored panels[PANELS][TILE_ROWS * 64];
};

struct Shared
{
    HeadTile queries;
    HeadTile keys[STAGES];
    HeadTile values[STAGES];
    u64 queries_full, queries_empty;
    u64 keys_full[STAGES], keys_empty[STAGES];
    u64 values_full[STAGES], values_empty[STAGES];
};

/// A tile of rows of one head.
struct Work
{
    i32 first_row;
    i32 head;
    i32 key_tiles; // those that its last row sees any of
};

/// A group of heads after the other, whose K and V stay in the level-2 cache together; in a group by rising and falling length in
/// turn, falling in the last. A block takes one of each round, from the left and from the right in turn. Both so that all
/// blocks get about as much.
LAZYLLM_DEVICE bool find_work(const AttentionArgs &args, i32 head_group, i32 round, Work &work)
{
    const i32 blocks = (i32)gridDim.x;
    const i32 index = round * blocks + (round % 2 == 0 ? (i32)blockIdx.x : blocks - 1 - (i32)blockIdx.x);
    const i32 rows = args.count.limit;
    const i32 tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    if (index >= tiles * args.heads)
        return false;
    const i32 group = index / (tiles * head_group);
    const i32 first_head = group * head_group;
    const i32 heads = args.heads - first_head < head_group ? args.heads - first_head : head_group;
    const i32 rest = index - first_head * tiles;
    const bool is_falling = ((args.heads - 1) / head_group - group) % 2 == 0;
    work.first_row = (is_falling ? tiles - 1 - rest / heads : rest / heads) * TILE_ROWS;
    work.head = first_head + rest % heads;
    const i32 last_row = work.first_row + TILE_ROWS < rows ? work.first_row + TILE_ROWS - 1 : rows - 1;
    work.key_tiles = (seen_by(args, last_row, rows) + TILE_KEYS - 1) / TILE_KEYS;
    return true;
}

LAZYLLM_DEVICE void copy_head_tile(HeadTile &tile, const TensorMap *map, i32 head, i32 row, u64 *barrier)
{
    mbarrier_arrive_expecting(barrier, (u32)sizeof(HeadTile));
#pragma unroll
    for (i32 panel = 0; panel < PANELS; panel++)
        tma_load_3d(tile.panels[panel], map, 64 * panel, head, row, barrier);
}

/// K or V of a head at 128 places of T, slot by slot; `column` is the head's at slot 0, a slot of -1 becomes zeros, so that no garbage
/// meets a weight of zero. All 128 threads of the warpgroup take part: each copies the same 16 bytes of its rows, which the
/// swizzle puts at the same place in them. The barrier counts the threads, as their copies arrive.
LAZYLLM_DEVICE void gather_head_tile(HeadTile &tile, const i32 *slots, const Stored *column, i64 slot_stride, u64 *full)
{
    constexpr i32 pieces = WIDTH / 8;
    constexpr i32 together = 128 / pieces; // rows that the threads copy at a time
    const i32 piece = (i32)threadIdx.x % pieces;
    const i32 row = (i32)threadIdx.x / pieces;
    const bool is_inside = 8 * piece < HEAD_SIZE;
    Stored *target = tile.panels[piece / 8] + row * 64 + (piece % 8 ^ row % 8) * 8;
    column += is_inside ? 8 * piece : 0;
#pragma unroll
    for (i32 i = 0; i < TILE_KEYS / together; i++)
    {
        const i32 slot = slots[row + i * together];
        cp_async_16_zfill(target + i * together * 64, column + (slot < 0 ? 0 : slot) * slot_stride, is_inside && slot >= 0 ? 16u : 0u);
    }
    mbarrier_arrive_copied(full);
}

/// What the copying warpgroup does where it gathers. A tile's slots stand in shared memory, read from the list while the tile
/// before is copied.
LAZYLLM_DEVICE void gather_all(const AttentionSm90Args &args, Shared &shared)
{
    __shared__ i32 slots[2][TILE_KEYS];
    const AttentionArgs &attention = args.attention;
    const i32 thread = (i32)threadIdx.x;
    const i32 group = attention.heads / attention.kv_heads;
    const i32 tokens = token_count(attention);
    RingPlace place = {0, 0u};
    Work work;
    i32 parity = 0;
    for (i32 round = 0; find_work(attention, args.head_group, round, work); round++)
    {
        const Stored *column = attention.keys + work.head / group * HEAD_SIZE;
        if (thread == 0)
        {
            mbarrier_wait(&shared.queries_empty, (u32)(round & 1) ^ 1u);
            copy_head_tile(shared.queries, &args.queries, work.head, work.first_row, &shared.queries_full);
        }
        i32 slot = thread < tokens ? attention.slots[thread] : -1;
        for (i32 tile = 0; tile < work.key_tiles; tile++)
        {
            slots[parity][thread] = slot;
            // One barrier is enough: the next tile's slots go to the other half.
            named_barrier_wait(3, 128);
            const i32 next = (tile + 1) * TILE_KEYS + thread;
            slot = next < tokens ? attention.slots[next] : -1;
            mbarrier_wait(&shared.keys_empty[place.stage], place.parity ^ 1u);
            gather_head_tile(shared.keys[place.stage], slots[parity], column, attention.slot_stride, &shared.keys_full[place.stage]);
            mbarrier_wait(&shared.values_empty[place.stage], place.parity ^ 1u);
            gather_head_tile(shared.values[place.stage], slots[parity], column + attention.value_offset, attention.slot_stride, &shared.values_full[place.stage]);
            next_stage<STAGES>(place);
            parity ^= 1;
        }
    }
}

/// What the copying thread does where slot order is position order.
LAZYLLM_DEVICE void copy_all(const AttentionSm90Args &args, Shared &shared)
{
    const AttentionArgs &attention = args.attention;
    const i32 group = attention.heads / attention.kv_heads;
    RingPlace key_place = {0, 0u}, value_place = {0, 0u};
    Work work;
    for (i32 round = 0; find_work(attention, args.head_group, round, work); round++)
    {
        const i32 kv_head = work.head / group;
        mbarrier_wait(&shared.queries_empty, (u32)(round & 1) ^ 1u);
        copy_head_tile(shared.queries, &args.queries, work.head, work.first_row, &shared.queries_full);
        for (i32 tile = 0; tile <= work.key_tiles; tile++)
        {
            if (tile < work.key_tiles)
            {
                mbarrier_wait(&shared.keys_empty[key_place.stage], key_place.parity ^ 1u);
                copy_head_tile(shared.keys[key_place.stage], &args.keys, kv_head, tile * TILE_KEYS, &shared.keys_full[key_place.stage]);
                next_stage<STAGES>(key_place);
            }
            if (tile > 0)
            {
                mbarrier_wait(&shared.values_empty[value_place.stage], value_place.parity ^ 1u);
                copy_head_tile(shared.values[value_place.stage], &args.values, kv_head, (tile - 1) * TILE_KEYS, &shared.values_full[value_place.stage]);
                next_stage<STAGES>(value_place);
            }
        }
    }
}

/// Waits for a tile of K or V. What threads have copied, the matrix units see behind a fence alone.
template <bool IsGathered> LAZYLLM_DEVICE void wait_for_tile(u64 *full, u32 parity)
{
    mbarrier_wait(full, parity);
    if constexpr (IsGathered)
        fence_async_proxy();
}

#if PANELS == 1
LAZYLLM_DEVICE void add_values(float (&output)[32], const u32 *weights, u64 values, u32 accumulate)
{
    wgmma_m64n64k16_rows(output, weights, values, accumulate);
}
#else
LAZYLLM_DEVICE void add_values(float (&output)[64], const u32 *weights, u64 values, u32 accumulate)
{
    wgmma_m64n128k16_rows(output, weights, values, accumulate);
}
#endif

/// S = Q K^T of a warpgroup's rows and a tile of keys; on its way when this returns.
LAZYLLM_DEVICE void begin_scores(float (&scores)[64], const HeadTile &queries, i32 half, const HeadTile &keys)
{
#pragma unroll
    for (int k = 0; k < WIDTH / 16; k++)
    {
        const u64 rows = swizzled_tile(queries.panels[k / 4] + half * 64 * 64) + 2 * (k % 4);
        wgmma_m64n128k16(scores, rows, swizzled_tile(keys.panels[k / 4]) + 2 * (k % 4), k > 0 ? 1u : 0u);
    }
    wgmma_commit();
}

/// O += P V, or O = P V; on its way when this returns.
LAZYLLM_DEVICE void begin_output(float (&output)[WIDTH / 2], const u32 (&weights)[32], const HeadTile &values, bool is_first)
{
    const u64 tile = swizzled_panels(values.panels[0], (u32)sizeof(values.panels[0]));
#pragma unroll
    for (int k = 0; k < TILE_KEYS / 16; k++)
        add_values(output, weights + 4 * k, tile + 128 * k, is_first && k == 0 ? 0u : 1u);
    wgmma_commit();
}

/// The running softmax of a thread's two rows: its own, and the one eight below.
struct Softmax
{
    float highest[2];
    float sums[2]; // of the thread's columns; the row's are spread over four lanes
    float kept[2]; // what the tile left of the sums and of O before it
};

/// Scores become weights. Every row sees the first key, so that from the first tile on no maximum is minus infinity.
LAZYLLM_DEVICE void weigh(float (&scores)[64], Softmax &softmax, float scale)
{
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        float top = softmax.highest[half];
#pragma unroll
        for (int n = 0; n < TILE_KEYS / 8; n++)
            top = fmaxf(top, fmaxf(scores[4 * n + 2 * half], scores[4 * n + 2 * half + 1]));
        top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFFu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFFu, top, 2));
        softmax.kept[half] = exp2_approx((softmax.highest[half] - top) * scale);
        softmax.highest[half] = top;
        const float base = top * scale;
        float sum = softmax.sums[half] * softmax.kept[half];
#pragma unroll
        for (int n = 0; n < TILE_KEYS / 8; n++)
        {
#pragma unroll
            for (int i = 4 * n + 2 * half; i < 4 * n + 2 * half + 2; i++)
            {
                scores[i] = exp2_approx(fmaf(scores[i], scale, -base));
                sum += scores[i];
            }
        }
        softmax.sums[half] = sum;
    }
}

LAZYLLM_DEVICE void hide_unseen(float (&scores)[64], i32 first_key, const i32 (&seen)[2])
{
#pragma unroll
    for (int i = 0; i < 64; i++)
    {
        if (first_key + 8 * (i / 4) + 2 * ((i32)threadIdx.x % 4) + i % 2 >= seen[i / 2 % 2])
            scores[i] = MINUS_INFINITY;
    }
}

LAZYLLM_DEVICE void pack_weights(u32 (&weights)[32], const float (&scores)[64])
{
#pragma unroll
    for (int i = 0; i < 32; i++)
        weights[i] = Storage<Stored>::pack(scores[2 * i], scores[2 * i + 1]);
}

/// A thread's two rows of O, divided by their sums; four lanes exchange theirs so that each writes 16 bytes at a time.
LAZYLLM_DEVICE void write_output(const AttentionArgs &args, const float (&output)[WIDTH / 2], const Softmax &softmax, i32 row, i32 head)
{
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        float sum = softmax.sums[half];
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
        const float scale = 1.0f / sum;
        const bool is_row = row + 8 * half < args.count.limit;
        if (is_row && threadIdx.x % 4 == 0)
            keep_normalizer(args, row + 8 * half, args.count.limit, head, softmax.highest[half] * args.scale, sum);
        Stored *target = args.output + ((i64)(row + 8 * half) * args.heads + head) * HEAD_SIZE;
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j += 4)
        {
            u32 words[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                words[i] = Storage<Stored>::pack(output[4 * (j + i) + 2 * half] * scale, output[4 * (j + i) + 2 * half + 1] * scale);
            transpose_quad(words);
            const i32 column = 8 * (j + (i32)threadIdx.x % 4);
            if (is_row && column < HEAD_SIZE)
                *reinterpret_cast<uint4 *>(target + column) = make_uint4(words[0], words[1], words[2], words[3]);
        }
    }
}

/// How many of T a row of the tile sees; a row beyond the last, which has no place, as many as the last.
template <bool IsGathered> LAZYLLM_DEVICE i32 seen_by_any(const AttentionArgs &args, i32 row, i32 rows)
{
    return seen_by(args, IsGathered && row >= rows ? rows - 1 : row, rows);
}

template <bool IsGathered> LAZYLLM_DEVICE void attend(const AttentionArgs &args, i32 head_group, Shared &shared, i32 half)
{
    const bool is_signalling = threadIdx.x % 128 == 0;
    RingPlace key_place = {0, 0u}, value_place = {0, 0u};
    Work work;
    // The first warpgroup has the first turn.
    if (half == 1)
        named_barrier_arrive(1, 256);
    for (i32 round = 0; find_work(args, head_group, round, work); round++)
    {
        const i32 rows = args.count.limit;
        const i32 row = work.first_row + 64 * half + 16 * ((i32)threadIdx.x / 32 % 4) + (i32)threadIdx.x % 32 / 4;
        const i32 least_seen = seen_by_any<IsGathered>(args, work.first_row + 64 * half, rows);
        const i32 seen[2] = {seen_by_any<IsGathered>(args, row, rows), seen_by_any<IsGathered>(args, row + 8, rows)};
        Softmax softmax = {{MINUS_INFINITY, MINUS_INFINITY}, {0.0f, 0.0f}, {1.0f, 1.0f}};
        float output[WIDTH / 2];
        float scores[64];
        u32 weights[32];

        mbarrier_wait(&shared.queries_full, (u32)(round & 1));
        wait_for_tile<IsGathered>(&shared.keys_full[key_place.stage], key_place.parity);
        wgmma_fence();
        begin_scores(scores, shared.queries, half, shared.keys[key_place.stage]);
        wgmma_wait<0>();
        wgmma_written(scores);
        if (is_signalling)
            mbarrier_arrive(&shared.keys_empty[key_place.stage]);
        next_stage<STAGES>(key_place);
        if (TILE_KEYS > least_seen)
            hide_unseen(scores, 0, seen);
        weigh(scores, softmax, args.scale);
        pack_weights(weights, scores);

        for (i32 tile = 1; tile < work.key_tiles; tile++)
        {
            wait_for_tile<IsGathered>(&shared.keys_full[key_place.stage], key_place.parity);
            named_barrier_wait(1 + half, 256);
            wgmma_fence();
            begin_scores(scores, shared.queries, half, shared.keys[key_place.stage]);
            wait_for_tile<IsGathered>(&shared.values_full[value_place.stage], value_place.parity);
            begin_output(output, weights, shared.values[value_place.stage], tile == 1);
            named_barrier_arrive(2 - half, 256);
            wgmma_wait<1>();
            wgmma_written(scores);
            if (is_signalling)
                mbarrier_arrive(&shared.keys_empty[key_place.stage]);
            next_stage<STAGES>(key_place);
            if ((tile + 1) * TILE_KEYS > least_seen)
                hide_unseen(scores, tile * TILE_KEYS, seen);
            weigh(scores, softmax, args.scale);
            wgmma_wait<0>();
            wgmma_written(output);
            if (is_signalling)
                mbarrier_arrive(&shared.values_empty[value_place.stage]);
            next_stage<STAGES>(value_place);
#pragma unroll
            for (int i = 0; i < WIDTH / 2; i++)
                output[i] *= softmax.kept[i / 2 % 2];
            pack_weights(weights, scores);
        }

        // All products with the rows' Q are done.
        if (is_signalling)
            mbarrier_arrive(&shared.queries_empty);
        wait_for_tile<IsGathered>(&shared.values_full[value_place.stage], value_place.parity);
        wgmma_fence();
        begin_output(output, weights, shared.values[value_place.stage], work.key_tiles == 1);
        wgmma_wait<0>();
        wgmma_written(output);
        if (is_signalling)
            mbarrier_arrive(&shared.values_empty[value_place.stage]);
        next_stage<STAGES>(value_place);
        write_output(args, output, softmax, row, work.head);
    }
    // As many wait as have arrived.
    if (half == 0)
        named_barrier_wait(1, 256);
}

/// The kernels' body.
template <bool IsGathered> LAZYLLM_DEVICE void attend_sm90(const AttentionSm90Args &args)
{
    LAZYLLM_SHARED_BYTES(bytes);
    Shared &shared = *reinterpret_cast<Shared *>(bytes);
    if (threadIdx.x == 0)
    {
        // A tile of K or V is announced by one thread, or by all that gather it.
        const u32 copiers = IsGathered ? 128u : 1u;
        prefetch_tensor_map(&args.queries);
        if (!IsGathered)
        {
            prefetch_tensor_map(&args.keys);
            prefetch_tensor_map(&args.values);
        }
        mbarrier_init(&shared.queries_full, 1);
        mbarrier_init(&shared.queries_empty, 2);
        for (i32 stage = 0; stage < STAGES; stage++)
        {
            mbarrier_init(&shared.keys_full[stage], copiers);
            mbarrier_init(&shared.keys_empty[stage], 2);
            mbarrier_init(&shared.values_full[stage], copiers);
            mbarrier_init(&shared.values_empty[stage], 2);
        }
        fence_mbarrier_init();
    }
    __syncthreads();
    launch_dependents();
    wait_for_dependencies();

    const i32 warpgroup = (i32)threadIdx.x / 128;
    if (warpgroup == 0)
    {
        // Threads that gather have addresses to compute.
        give_registers<IsGathered ? 40 : 24>();
        if constexpr (IsGathered)
            gather_all(args, shared);
        else if (threadIdx.x == 0)
            copy_all(args, shared);
        return;
    }
    take_registers<IsGathered ? 232 : 240>();
    attend<IsGathered>(args.attention, args.head_group, shared, warpgroup - 1);
}
