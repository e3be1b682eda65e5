// SelectTokens: chooses a stage's token set T from the one before, by importance, and with it the compute set C and slots.
// TakeAll: the first stage's T is every position, its C the new ones.
//
// importance  float32 by place in the old T, not negative;  positions  the old T, ascending
// Out, all in one pass over the old T: next_positions, next_slots (the new T, ascending, and its slots), and for C, which
// is those of T without a slot: compute_positions, compute_slots (the next free ones, in order), compute_places (in T);
// slot_of[position] of C; the StepState.
//
// What is kept: the `keep_count` highest scores, ties to the lower position, after a mean over `pool` neighbours; positions
// below keep_first and from keep_recent on count as infinitely high. With `mass` set, no more than are needed to hold that
// sum of importance. With `is_static` set, scores do not matter: what has a slot in the stage, and what is new.
//
// lazyllm_select_block       one block with all entries in registers, 8 per thread
// lazyllm_select_block_wide  the same with 16; select_blocks.cu takes more
// lazyllm_select_mass        by mass: one block that goes through any number of places three times
// Called by SelectKernels.cs behind ScoreLast, and started before its end. Bound by latency: a chain of two loads, about six
// barriers, and the stores.
#include "select_entries.cuh"

#define BLOCK_LISTED 4096
#define MASS_ENTRIES 8
#define MASS_LISTED 2048

struct BlockMemory
{
    u64 ranks[BLOCK_LISTED];
    u32 counts[ROUNDS * BINS];
    u32 sums[2 * SELECT_WARPS];
    u32 listed;
};

template <int N> LAZYLLM_DEVICE void select_in_one_block(const SelectArgs &args, BlockMemory &memory)
{
    clear(memory.counts, ROUNDS * BINS);
    if (threadIdx.x == 0)
        memory.listed = 0;
    __syncthreads();
    wait_for_dependencies();
    Entries<N> entries;
    load_keys(args, 0, args.count, entries);
    load_slots(args, entries);

    Border border = {HIGHEST_KEY, LAST_PLACE};
    if (!args.is_static)
    {
        const Histograms histograms = {memory.counts, nullptr, nullptr};
        count_entries<false>(args, histograms, entries);
        __syncthreads();
        Limits limits = {(u32)args.keep_count, 0ull};
        u32 candidates;
        const u32 bin = find_bin<false>(histograms, 0, limits, candidates);
        u64 *const list = candidates <= BLOCK_LISTED ? memory.ranks : nullptr;
        if (candidates > limits.count)
        {
            list_candidates(args, entries, bin, list, &memory.listed);
            __syncthreads();
        }
        border = find_border<false>(args, histograms, list, candidates, bin, limits);
    }

    Written written = {0, 0, 0};
    write_kept(args, entries, border, memory.sums, written);
    if (threadIdx.x == 0)
        write_state(args, written);
}

LAZYLLM_KERNEL(lazyllm_select_block, SelectArgs, SELECT_THREADS, 1)
{
    __shared__ __align__(16) BlockMemory memory;
    select_in_one_block<8>(args, memory);
}

LAZYLLM_KERNEL(lazyllm_select_block_wide, SelectArgs, SELECT_THREADS, 1)
{
    __shared__ __align__(16) BlockMemory memory;
    select_in_one_block<16>(args, memory);
}

LAZYLLM_KERNEL(lazyllm_select_mass, SelectArgs, SELECT_THREADS)
{
    __shared__ __align__(16) u32 counts[ROUNDS * BINS];
    __shared__ __align__(16) u32 lows[ROUNDS * BINS];
    __shared__ __align__(16) u32 highs[ROUNDS * BINS];
    __shared__ u64 ranks[MASS_LISTED];
    __shared__ u32 sums[2 * SELECT_WARPS];
    __shared__ u32 listed;
    constexpr i32 group = MASS_ENTRIES * SELECT_THREADS;

    clear(counts, ROUNDS * BINS);
    clear(lows, ROUNDS * BINS);
    clear(highs, ROUNDS * BINS);
    if (threadIdx.x == 0)
        listed = 0;
    __syncthreads();
    wait_for_dependencies();
    Entries<MASS_ENTRIES> entries;
    const Histograms histograms = {counts, lows, highs};
    for (i32 first = 0; first < args.count; first += group)
    {
        load_keys(args, first, lower_of(first + group, args.count), entries);
        count_entries<true>(args, histograms, entries);
    }
    __syncthreads();

    const u64 mass = (u64)((double)mass_of_round(histograms, 0) * args.mass);
    Limits limits = {(u32)args.keep_count, mass == 0 ? 1ull : mass};
    u32 candidates;
    const u32 bin = find_bin<true>(histograms, 0, limits, candidates);
    u64 *const list = candidates <= MASS_LISTED ? ranks : nullptr;
    for (i32 first = 0; first < args.count; first += group)
    {
        load_keys(args, first, lower_of(first + group, args.count), entries);
        list_candidates(args, entries, bin, list, &listed);
    }
    __syncthreads();
    const Border border = find_border<true>(args, histograms, list, candidates, bin, limits);

    Written written = {0, 0, 0};
    for (i32 first = 0; first < args.count; first += group)
    {
        load_keys(args, first, lower_of(first + group, args.count), entries);
        load_slots(args, entries);
        // Everyone has read the sums of the group before.
        __syncthreads();
        write_kept(args, entries, border, sums, written);
    }
    if (threadIdx.x == 0)
        write_state(args, written);
}

// ---- The first stage ----

struct TakeAllArgs
{
    i32 *positions;
    i32 *slots;
    i32 *compute_positions;
    i32 *compute_slots;
    i32 *compute_places;
    i32 *slot_of;
    StepState *state;
    i32 first_new;
    i32 length;
};

LAZYLLM_KERNEL(lazyllm_take_all, TakeAllArgs, SELECT_THREADS)
{
    const i32 position = (i32)(blockIdx.x * SELECT_THREADS + threadIdx.x);
    if (position == 0)
        *args.state = StepState{args.length - args.first_new, args.length, 0, args.length};
    if (position >= args.length)
        return;
    args.positions[position] = position;
    args.slots[position] = position;
    if (position >= args.first_new)
    {
        const i32 row = position - args.first_new;
        args.slot_of[position] = position;
        args.compute_positions[row] = position;
        args.compute_slots[row] = position;
        args.compute_places[row] = position;
    }
}
