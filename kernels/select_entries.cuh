// SelectTokens' entries in registers, and what becomes of them: loaded, counted, listed as candidates (select.cuh), and those
// that are kept written, with the slots that C gets.
//
// Every warp has places that follow each other, its lanes take them in turns: loads and stores are whole lines, and what lies
// before an entry is a count of bits. All loads of a group of entries are on their way before the first is waited for.
#pragma once
#include "select.cuh"

LAZYLLM_DEVICE i32 lower_of(i32 a, i32 b)
{
    return a < b ? a : b;
}

/// N entries of a lane, 32 places from one to the next.
template <int N> struct Entries
{
    i32 place; // of the first
    i32 end;   // of the warp's places
    i32 used;  // entries that any lane of the block has
    u32 keys[N];
    i32 positions[N];
    i32 slots[N];
};

/// Shares the places [first, end), at most N * SELECT_THREADS, among the warps; loads positions and keys.
template <int N> LAZYLLM_DEVICE void load_keys(const SelectArgs &args, i32 first, i32 end, Entries<N> &entries)
{
    const i32 share = (end - first + SELECT_THREADS - 1) / SELECT_THREADS * 32;
    const i32 begin = first + (i32)(threadIdx.x / 32) * share;
    const i32 place = begin + (i32)(threadIdx.x % 32);
    entries.place = place;
    entries.used = share / 32;
    entries.end = lower_of(begin + share, end);
    float scores[N];
#pragma unroll
    for (int i = 0; i < N; i++)
        entries.positions[i] = place + 32 * i < entries.end ? args.positions[place + 32 * i] : 0;
    if (args.pool > 1)
    {
#pragma unroll
        for (int i = 0; i < N; i++)
            scores[i] = place + 32 * i < entries.end ? pooled_score(args, place + 32 * i) : 0.0f;
    }
    else
    {
#pragma unroll
        for (int i = 0; i < N; i++)
            scores[i] = place + 32 * i < entries.end ? args.importance[place + 32 * i] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < N; i++)
        entries.keys[i] = key_of(args, entries.positions[i], scores[i]);
}

/// Loads slots; for static pruning they and the positions say what stays, not the scores.
template <int N> LAZYLLM_DEVICE void load_slots(const SelectArgs &args, Entries<N> &entries)
{
#pragma unroll
    for (int i = 0; i < N; i++)
        entries.slots[i] = entries.place + 32 * i < entries.end ? args.slot_of[entries.positions[i]] : 0;
    if (args.is_static)
    {
#pragma unroll
        for (int i = 0; i < N; i++)
            entries.keys[i] = entries.positions[i] >= args.first_new || entries.slots[i] >= 0 ? HIGHEST_KEY : 0u;
    }
}

/// Counts the entries by bin, in the first histogram.
template <bool ByMass, int N> LAZYLLM_DEVICE void count_entries(const SelectArgs &args, const Histograms &histograms, const Entries<N> &entries)
{
#pragma unroll
    for (int i = 0; i < N; i++)
    {
        if (i >= entries.used)
            continue;
        if (entries.place + 32 * i < entries.end)
            count_entry<ByMass>(args, histograms, 0, bin_of(entries.keys[i]), entries.place + 32 * i);
    }
}

/// Appends the entries of a bin to the candidates of one block: their ranks, or, with `ranks` null, their places to args.keys.
template <int N> LAZYLLM_DEVICE void list_candidates(const SelectArgs &args, const Entries<N> &entries, u32 bin, u64 *ranks, u32 *listed)
{
    const u32 start = bin_start(bin), end = bin_start(bin + 1);
#pragma unroll
    for (int i = 0; i < N; i++)
    {
        if (i >= entries.used)
            continue;
        const i32 place = entries.place + 32 * i;
        if (place >= entries.end || entries.keys[i] < start || entries.keys[i] >= end)
            continue;
        const u32 index = atomicAdd(listed, 1u);
        if (ranks != nullptr)
            ranks[index] = rank_of(entries.keys[i], place);
        else
            args.keys[index] = (u32)place;
    }
}

/// How many entries came before: kept, kept without a slot, and of these the older than the step.
struct Written
{
    u32 kept;
    u32 computed;
    u32 revived;
};

/// Writes the kept entries behind those written before. `sums`: 2 x SELECT_WARPS words of shared memory.
template <int N> LAZYLLM_DEVICE void write_kept(const SelectArgs &args, const Entries<N> &entries, const Border &border, u32 *sums, Written &written)
{
    const u32 lane = threadIdx.x % 32;
    const u32 warp = threadIdx.x / 32;
    u32 kept = 0, missing = 0, revived = 0;
#pragma unroll
    for (int i = 0; i < N; i++)
    {
        if (i >= entries.used)
            continue;
        const i32 place = entries.place + 32 * i;
        const bool keep = place < entries.end && keeps(border, entries.keys[i], place);
        const bool miss = keep && entries.slots[i] < 0;
        kept |= keep ? 1u << i : 0u;
        missing |= miss ? 1u << i : 0u;
        revived += miss && entries.positions[i] < args.first_new ? 1u : 0u;
    }
    // Two counts of up to 16 * SELECT_THREADS in one word.
    const u32 own = __reduce_add_sync(FULL_WARP, (u32)__popc(missing) << 16 | (u32)__popc(kept));
    const u32 own_revived = __reduce_add_sync(FULL_WARP, revived);
    if (lane == 0)
    {
        sums[warp] = own;
        sums[SELECT_WARPS + warp] = own_revived;
    }
    __syncthreads();
    const u32 theirs = lane < SELECT_WARPS ? sums[lane] : 0u;
    const u32 before = __reduce_add_sync(FULL_WARP, lane < warp ? theirs : 0u);
    const u32 all = __reduce_add_sync(FULL_WARP, theirs);
    u32 place = written.kept + (before & 0xFFFFu);
    u32 row = written.computed + (before >> 16);
    written.kept += all & 0xFFFFu;
    written.computed += all >> 16;
    written.revived += __reduce_add_sync(FULL_WARP, lane < SELECT_WARPS ? sums[SELECT_WARPS + lane] : 0u);

    const u32 lower_lanes = (1u << lane) - 1u;
#pragma unroll
    for (int i = 0; i < N; i++)
    {
        if (i >= entries.used)
            continue;
        const u32 all_kept = __ballot_sync(FULL_WARP, (i32)(kept >> i & 1u));
        const u32 all_missing = __ballot_sync(FULL_WARP, (i32)(missing >> i & 1u));
        if ((kept >> i & 1u) != 0)
        {
            const u32 own_place = place + (u32)__popc(all_kept & lower_lanes);
            i32 slot = entries.slots[i];
            if ((missing >> i & 1u) != 0)
            {
                const u32 own_row = row + (u32)__popc(all_missing & lower_lanes);
                slot = args.slot_count + (i32)own_row;
                args.slot_of[entries.positions[i]] = slot;
                args.compute_positions[own_row] = entries.positions[i];
                args.compute_slots[own_row] = slot;
                args.compute_places[own_row] = (i32)own_place;
            }
            args.next_positions[own_place] = entries.positions[i];
            args.next_slots[own_place] = slot;
        }
        place += (u32)__popc(all_kept);
        row += (u32)__popc(all_missing);
    }
}

LAZYLLM_DEVICE void write_state(const SelectArgs &args, const Written &written)
{
    *args.state = StepState{(i32)written.computed, (i32)written.kept, (i32)written.revived, args.slot_count + (i32)written.computed};
}
