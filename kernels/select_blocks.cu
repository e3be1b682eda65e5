// SelectTokens over more places than one block takes (select.cu; what goes in and comes out is as there), in three kernels.
// Block b has tile b: `tile` places, at most MOST_TILES tiles.
//
// lazyllm_select_histogram   counts of the tile's entries by bin
// lazyllm_select_candidates  every block finds the bin with the border, from the counts of all tiles. Entries above it are kept:
//                            counts of these, and a list of the bin's entries over all tiles, the candidates
// lazyllm_select_write       every block finds the border among the candidates, counts what the tiles before it keep, and writes
//                            its own; block 0 writes the StepState
//
// What all need, each block finds by itself, from what the kernel before left: no block waits for another, and nothing has to be
// zero before. Static pruning needs no search, and so not the first kernel. By mass: lazyllm_select_mass in select.cu.
// Called by SelectKernels.cs; each starts before the end of the one before it. Bound by latency: three launches, in each a chain
// of two or three loads and a few barriers.
#include "select_entries.cuh"

#define TILE_ENTRIES 8
#define TILE_GROUP (TILE_ENTRIES * SELECT_THREADS)
#define TILE_LISTED 4096
#define PAIRS (BINS / 2)                     // of bins, in one word of a tile's counts
#define TILES_AT_ONCE (SELECT_THREADS / PAIRS)

LAZYLLM_KERNEL(lazyllm_select_histogram, SelectArgs, SELECT_THREADS)
{
    __shared__ __align__(16) u32 counts[BINS];

    launch_dependents();
    clear(counts, BINS);
    __syncthreads();
    wait_for_dependencies();
    const i32 first = (i32)blockIdx.x * args.tile;
    const i32 end = lower_of(first + args.tile, args.count);
    for (i32 start = first; start < end; start += TILE_GROUP)
    {
        Entries<TILE_ENTRIES> entries;
        load_keys(args, start, lower_of(start + TILE_GROUP, end), entries);
        count_entries<false>(args, Histograms{counts, nullptr, nullptr}, entries);
    }
    __syncthreads();
    if (threadIdx.x < PAIRS)
        reinterpret_cast<u32 *>(args.shared->counts[blockIdx.x])[threadIdx.x] = counts[2 * threadIdx.x] | counts[2 * threadIdx.x + 1] << 16;
}

/// Adds up the tiles' counts by bin: of all tiles, and of those before the block's own.
LAZYLLM_DEVICE void add_tiles(const SelectArgs &args, u32 *counts, u32 *counts_before)
{
    const u32 pair = threadIdx.x % PAIRS;
    const u32 first = threadIdx.x / PAIRS;
    u32 words[MOST_TILES / TILES_AT_ONCE];
#pragma unroll
    for (u32 i = 0; i < MOST_TILES / TILES_AT_ONCE; i++)
    {
        const u32 tile = first + i * TILES_AT_ONCE;
        words[i] = tile < gridDim.x ? reinterpret_cast<const u32 *>(args.shared->counts[tile])[pair] : 0u;
    }
    u32 even = 0, odd = 0, even_before = 0, odd_before = 0;
#pragma unroll
    for (u32 i = 0; i < MOST_TILES / TILES_AT_ONCE; i++)
    {
        const bool is_before = first + i * TILES_AT_ONCE < blockIdx.x;
        even += words[i] & 0xFFFFu;
        odd += words[i] >> 16;
        even_before += is_before ? words[i] & 0xFFFFu : 0u;
        odd_before += is_before ? words[i] >> 16 : 0u;
    }
    atomicAdd(&counts[2 * pair], even);
    atomicAdd(&counts[2 * pair + 1], odd);
    atomicAdd(&counts_before[2 * pair], even_before);
    atomicAdd(&counts_before[2 * pair + 1], odd_before);
}

/// Adds the threads' counts to totals in shared memory.
LAZYLLM_DEVICE void add_to_totals(const Written &own, u32 *totals)
{
    const u32 kept = __reduce_add_sync(FULL_WARP, own.kept);
    const u32 computed = __reduce_add_sync(FULL_WARP, own.computed);
    const u32 revived = __reduce_add_sync(FULL_WARP, own.revived);
    if (threadIdx.x % 32 == 0)
    {
        atomicAdd(&totals[0], kept);
        atomicAdd(&totals[1], computed);
        atomicAdd(&totals[2], revived);
    }
}

LAZYLLM_KERNEL(lazyllm_select_candidates, SelectArgs, SELECT_THREADS)
{
    __shared__ __align__(16) u32 counts[BINS];
    __shared__ __align__(16) u32 counts_before[BINS];
    __shared__ u32 totals[4];
    __shared__ u32 listed;

    launch_dependents();
    clear(counts, BINS);
    clear(counts_before, BINS);
    if (threadIdx.x < 4)
        totals[threadIdx.x] = 0;
    if (threadIdx.x == 0)
        listed = 0;
    __syncthreads();
    wait_for_dependencies();
    const i32 first = (i32)blockIdx.x * args.tile;
    const i32 end = lower_of(first + args.tile, args.count);
    Entries<TILE_ENTRIES> entries;
    load_keys(args, first, lower_of(first + TILE_GROUP, end), entries);
    load_slots(args, entries);

    // Keys from `first_kept` on are kept, those from first_key to it are candidates.
    SelectSearch search = {BINS, HIGHEST_KEY, 0, 0};
    u32 first_kept = HIGHEST_KEY;
    u32 candidates_before = 0;
    if (!args.is_static)
    {
        add_tiles(args, counts, counts_before);
        __syncthreads();
        Limits limits = {(u32)args.keep_count, 0ull};
        search.bin = find_bin<false>(Histograms{counts, nullptr, nullptr}, 0, limits, search.candidates);
        search.first_key = bin_start(search.bin);
        search.remaining = limits.count;
        if (search.candidates <= search.remaining)
            search.candidates = 0;
        first_kept = bin_start(search.candidates > 0 ? search.bin + 1 : search.bin);
        candidates_before = counts_before[search.bin];
    }

    Written own = {0, 0, 0};
    for (i32 start = first; start < end; start += TILE_GROUP)
    {
        if (start > first)
        {
            load_keys(args, start, lower_of(start + TILE_GROUP, end), entries);
            load_slots(args, entries);
        }
#pragma unroll
        for (int i = 0; i < TILE_ENTRIES; i++)
        {
            if (i >= entries.used)
                continue;
            const i32 place = entries.place + 32 * i;
            if (place >= entries.end || entries.keys[i] < search.first_key)
                continue;
            const bool missing = entries.slots[i] < 0;
            const bool revived = missing && entries.positions[i] < args.first_new;
            if (entries.keys[i] >= first_kept)
            {
                own.kept++;
                own.computed += missing ? 1u : 0u;
                own.revived += revived ? 1u : 0u;
            }
            else
            {
                const u32 index = candidates_before + atomicAdd(&listed, 1u);
                args.keys[index] = (u32)place | (missing ? CANDIDATE_MISSING : 0u) | (revived ? CANDIDATE_REVIVED : 0u);
            }
        }
    }
    add_to_totals(own, totals);
    __syncthreads();
    if (threadIdx.x == 0)
    {
        args.shared->tile_kept[blockIdx.x] = totals[0];
        args.shared->tile_computed[blockIdx.x] = totals[1];
        args.shared->tile_revived[blockIdx.x] = totals[2];
        if (blockIdx.x == 0)
            args.shared->search = search;
    }
}

/// Brings the ranks of the candidates, at most TILE_LISTED, to shared memory.
LAZYLLM_DEVICE void load_ranks(const SelectArgs &args, u32 candidates, u64 *ranks)
{
    constexpr u32 at_once = 4;
    for (u32 first = threadIdx.x; first < candidates; first += at_once * SELECT_THREADS)
    {
        u64 loaded[at_once];
#pragma unroll
        for (u32 i = 0; i < at_once; i++)
        {
            const u32 index = first + i * SELECT_THREADS;
            loaded[i] = rank_at(args, index < candidates ? (i32)(args.keys[index] & CANDIDATE_PLACE) : 0);
        }
#pragma unroll
        for (u32 i = 0; i < at_once; i++)
        {
            if (first + i * SELECT_THREADS < candidates)
                ranks[first + i * SELECT_THREADS] = loaded[i];
        }
    }
}

LAZYLLM_KERNEL(lazyllm_select_write, SelectArgs, SELECT_THREADS, 1)
{
    __shared__ __align__(16) u32 counts[ROUNDS * BINS];
    __shared__ u64 ranks[TILE_LISTED];
    __shared__ u32 sums[2 * SELECT_WARPS];
    __shared__ u32 totals[4];

    clear(counts, ROUNDS * BINS);
    if (threadIdx.x < 4)
        totals[threadIdx.x] = 0;
    __syncthreads();
    wait_for_dependencies();
    const SelectSearch search = args.shared->search;
    const i32 first = (i32)blockIdx.x * args.tile;
    const i32 end = lower_of(first + args.tile, args.count);
    Entries<TILE_ENTRIES> entries;
    load_keys(args, first, lower_of(first + TILE_GROUP, end), entries);
    load_slots(args, entries);

    // Block 0 has no tiles before it, and counts all of them instead, for the state.
    const bool counts_all = blockIdx.x == 0;
    const u32 tiles = counts_all ? gridDim.x : blockIdx.x;
    Written before = {0, 0, 0};
    if (threadIdx.x < tiles)
        before = Written{args.shared->tile_kept[threadIdx.x], args.shared->tile_computed[threadIdx.x], args.shared->tile_revived[threadIdx.x]};

    Border border = {search.first_key, LAST_PLACE};
    if (search.candidates > 0)
    {
        u64 *const list = search.candidates <= TILE_LISTED ? ranks : nullptr;
        if (list != nullptr)
        {
            load_ranks(args, search.candidates, list);
            __syncthreads();
        }
        border = find_border<false>(args, Histograms{counts, nullptr, nullptr}, list, search.candidates, search.bin, Limits{search.remaining, 0ull});
        for (u32 i = threadIdx.x; i < search.candidates; i += SELECT_THREADS)
        {
            const u32 candidate = args.keys[i];
            const i32 place = (i32)(candidate & CANDIDATE_PLACE);
            const u64 rank = list != nullptr ? list[i] : rank_at(args, place);
            if ((counts_all || place < first) && keeps(border, (u32)(rank >> PLACE_BITS), place))
            {
                before.kept++;
                before.computed += candidate >> 31;
                before.revived += candidate >> 30 & 1u;
            }
        }
    }
    add_to_totals(before, totals);
    __syncthreads();
    Written written = {totals[0], totals[1], totals[2]};
    if (counts_all)
    {
        if (threadIdx.x == 0)
            write_state(args, written);
        written = Written{0, 0, 0};
    }

    for (i32 start = first; start < end; start += TILE_GROUP)
    {
        if (start > first)
        {
            load_keys(args, start, lower_of(start + TILE_GROUP, end), entries);
            load_slots(args, entries);
            // Everyone has read the sums of the group before.
            __syncthreads();
        }
        write_kept(args, entries, border, sums, written);
    }
}
