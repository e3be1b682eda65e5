// What a block of attention_sm90.cuh works on, and how its rows and keys come to shared memory: by the copy engine (TMA) where slot order
// is position order, otherwise gathered slot by slot by a warpgroup.
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

/// A tile of rows of one head, and a block's part of its keys.
struct Work
{
    i32 first_row;
    i32 head;
    i32 first_tile, end_tile; // of keys: those that the last row sees any of, or a part of them
};

/// How a kernel comes to its keys, and who takes them.
enum AttendKind
{
    ATTEND_IN_ORDER, // slot order is position order
    ATTEND_GATHERED,
    ATTEND_PAIRED    // gathered; a cluster of two blocks shares the keys of one tile of rows, and takes no other
};

/// Tiles of keys that a tile of rows sees any of: its last row sees the most.
LAZYLLM_DEVICE i32 seen_tiles(const AttentionArgs &args, i32 first_row)
{
    const i32 rows = args.count.limit;
    const i32 last_row = first_row + TILE_ROWS < rows ? first_row + TILE_ROWS - 1 : rows - 1;
    return (seen_by(args, last_row, rows) + TILE_KEYS - 1) / TILE_KEYS;
}

/// The block's part of the keys of the cluster's tile.
LAZYLLM_DEVICE void find_part(const AttentionArgs &args, Work &work)
{
    work.head = (i32)blockIdx.x / 2 % args.heads;
    work.first_row = (i32)blockIdx.x / 2 / args.heads * TILE_ROWS;
    const i32 all = seen_tiles(args, work.first_row);
    work.first_tile = cluster_rank() == 0 ? 0 : (all + 1) / 2;
    work.end_tile = cluster_rank() == 0 ? (all + 1) / 2 : all;
}

/// A group of heads after the other, whose K and V stay in the level-2 cache together; in a group by rising and falling length in
/// turn, falling in the last. A block takes one of each round, from the left and from the right in turn. Both so that all
/// blocks get about as much.
template <AttendKind Kind> LAZYLLM_DEVICE bool find_work(const AttentionArgs &args, i32 head_group, i32 round, Work &work)
{
    if constexpr (Kind == ATTEND_PAIRED)
    {
        find_part(args, work);
        return round == 0;
    }
    const i32 blocks = (i32)gridDim.x;
    const i32 index = round * blocks + (round % 2 == 0 ? (i32)blockIdx.x : blocks - 1 - (i32)blockIdx.x);
    const i32 tiles = (args.count.limit + TILE_ROWS - 1) / TILE_ROWS;
    if (index >= tiles * args.heads)
        return false;
    const i32 group = index / (tiles * head_group);
    const i32 first_head = group * head_group;
    const i32 heads = args.heads - first_head < head_group ? args.heads - first_head : head_group;
    const i32 rest = index - first_head * tiles;
    const bool is_falling = ((args.heads - 1) / head_group - group) % 2 == 0;
    work.first_row = (is_falling ? tiles - 1 - rest / heads : rest / heads) * TILE_ROWS;
    work.head = first_head + rest % heads;
    work.first_tile = 0;
    work.end_tile = seen_tiles(args, work.first_row);
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
template <AttendKind Kind> LAZYLLM_DEVICE void gather_all(const AttentionSm90Args &args, Shared &shared)
{
    __shared__ i32 slots[2][TILE_KEYS];
    const AttentionArgs &attention = args.attention;
    const i32 thread = (i32)threadIdx.x;
    const i32 group = attention.heads / attention.kv_heads;
    const i32 tokens = token_count(attention);
    RingPlace place = {0, 0u};
    Work work;
    i32 parity = 0;
    for (i32 round = 0; find_work<Kind>(attention, args.head_group, round, work); round++)
    {
        const Stored *column = attention.keys + work.head / group * HEAD_SIZE;
        if (thread == 0)
        {
            mbarrier_wait(&shared.queries_empty, (u32)(round & 1) ^ 1u);
            copy_head_tile(shared.queries, &args.queries, work.head, work.first_row, &shared.queries_full);
        }
        i32 next = work.first_tile * TILE_KEYS + thread;
        i32 slot = next < tokens ? attention.slots[next] : -1;
        for (i32 tile = work.first_tile; tile < work.end_tile; tile++)
        {
            slots[parity][thread] = slot;
            // One barrier is enough: the next tile's slots go to the other half.
            named_barrier_wait(3, 128);
            next += TILE_KEYS;
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
    for (i32 round = 0; find_work<ATTEND_IN_ORDER>(attention, args.head_group, round, work); round++)
    {
        const i32 kv_head = work.head / group;
        mbarrier_wait(&shared.queries_empty, (u32)(round & 1) ^ 1u);
        copy_head_tile(shared.queries, &args.queries, work.head, work.first_row, &shared.queries_full);
        for (i32 tile = 0; tile <= work.end_tile; tile++)
        {
            if (tile < work.end_tile)
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
