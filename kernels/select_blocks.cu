// SelectTokens over more than SELECT_TILE places: one block per SELECT_TILE places goes through the steps of select.cu as kernels
// of their own: keys, four histograms, two counts, write. What goes in and comes out is as there. Tile b is block b.
// Bound by latency: eight launches. Called by SelectKernels.cs.
#include "select.cuh"

/// The thread's entries of its block's tile; the importance of the first where sums of it matter.
LAZYLLM_DEVICE i32 load_tile(const SelectArgs &args, u32 (&keys)[PER_THREAD], const float *&importance, i32 &first)
{
    first = (i32)blockIdx.x * SELECT_TILE + (i32)threadIdx.x * PER_THREAD;
    const i32 valid = args.count - first;
    importance = args.mass > 0.0 && !args.is_static ? args.importance + first : nullptr;
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++)
        keys[i] = i < valid ? args.keys[first + i] : 0u;
    return valid;
}

/// Goes through the histograms that stand ready; every block finds the same.
LAZYLLM_DEVICE Threshold find_threshold(const SelectArgs &args, i32 digits)
{
    __shared__ u64 warps[SELECT_THREADS / 32];
    __shared__ u32 found;

    if (args.is_static)
        return Threshold{HIGHEST_KEY, 0u, ~0ull};
    const bool by_mass = args.mass > 0.0;
    u32 prefix = 0;
    u32 remaining = (u32)args.keep_count;
    u64 mass = 0;
    if (by_mass && digits > 0)
    {
        u64 total;
        block_exclusive_sum(threadIdx.x < BINS ? args.shared->mass[0][threadIdx.x] : 0ull, warps, total);
        mass = (u64)((double)total * args.mass);
        mass = mass == 0 ? 1ull : mass;
    }
    for (i32 digit = 0; digit < digits; digit++)
        fix_digit(args.shared->counts[digit], args.shared->mass[digit], by_mass, 24u - 8u * (u32)digit, &found, prefix, remaining, mass);
    return Threshold{prefix, remaining, by_mass ? mass : ~0ull};
}

LAZYLLM_KERNEL(lazyllm_select_keys, SelectArgs, SELECT_THREADS)
{
    const i32 place = (i32)(blockIdx.x * SELECT_THREADS + threadIdx.x);
    if (place < args.count)
        args.keys[place] = key_of(args, place);
}

LAZYLLM_KERNEL(lazyllm_select_histogram, SelectArgs, SELECT_THREADS)
{
    __shared__ u32 histogram[BINS];
    __shared__ u64 masses[BINS];

    const bool by_mass = args.mass > 0.0 && !args.is_static;
    const Threshold border = find_threshold(args, args.digit);
    const u32 shift = 24u - 8u * (u32)args.digit;
    const u32 fixed = args.digit == 0 ? 0u : 0xFFFFFFFFu << (shift + 8u);
    if (threadIdx.x < BINS)
    {
        histogram[threadIdx.x] = 0;
        masses[threadIdx.x] = 0;
    }
    __syncthreads();
    u32 keys[PER_THREAD];
    const float *importance;
    i32 first;
    const i32 valid = load_tile(args, keys, importance, first);
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++)
    {
        if (i < valid && (keys[i] & fixed) == border.key)
        {
            atomicAdd(&histogram[keys[i] >> shift & 0xFFu], 1u);
            if (by_mass)
                atomicAdd(&masses[keys[i] >> shift & 0xFFu], fixed_point(importance[i]));
        }
    }
    __syncthreads();
    if (threadIdx.x < BINS && histogram[threadIdx.x] > 0)
    {
        atomicAdd(&args.shared->counts[args.digit][threadIdx.x], histogram[threadIdx.x]);
        if (by_mass)
            atomicAdd(&args.shared->mass[args.digit][threadIdx.x], masses[threadIdx.x]);
    }
}

LAZYLLM_KERNEL(lazyllm_select_count, SelectArgs, SELECT_THREADS)
{
    __shared__ u32 warps[SELECT_THREADS / 32];
    __shared__ u64 wide_warps[SELECT_THREADS / 32];

    const Threshold threshold = find_threshold(args, DIGITS);
    u32 keys[PER_THREAD];
    const float *importance;
    i32 first;
    const i32 valid = load_tile(args, keys, importance, first);
    u32 above, equal, all_above, all_equal;
    u64 equal_mass, all_mass;
    count_entries(keys, importance, valid, threshold.key, above, equal, equal_mass);
    block_exclusive_sum(above, warps, all_above);
    block_exclusive_sum(equal, warps, all_equal);
    block_exclusive_sum(equal_mass, wide_warps, all_mass);
    if (threadIdx.x == 0)
    {
        args.shared->tile_above[blockIdx.x] = all_above;
        args.shared->tile_equal[blockIdx.x] = all_equal;
        args.shared->tile_mass[blockIdx.x] = all_mass;
    }
}

/// Marks what the thread keeps in a tile whose place among the others is known.
LAZYLLM_DEVICE u32 mark_tile(const SelectArgs &args, u32 *warps, u64 *wide_warps, i32 &first, u32 &place)
{
    __shared__ u32 equal_kept;

    const Threshold threshold = find_threshold(args, DIGITS);
    u32 keys[PER_THREAD];
    const float *importance;
    const i32 valid = load_tile(args, keys, importance, first);
    TileOffsets offsets = {0, 0, 0, 0};
    for (u32 tile = 0; tile < blockIdx.x; tile++)
    {
        offsets.above += args.shared->tile_above[tile];
        offsets.equal += args.shared->tile_equal[tile];
        offsets.equal_mass += args.shared->tile_mass[tile];
    }
    const u32 kept = mark_kept(keys, importance, valid, threshold, offsets, warps, wide_warps, place);

    // Equal entries kept in the tiles before: all of them, or as many as the limits let through. By mass the border may
    // lie within a tile, whose entries are then gone through again.
    if (threadIdx.x == 0)
        equal_kept = 0;
    __syncthreads();
    if (threshold.key == HIGHEST_KEY || threshold.equal_mass == ~0ull)
    {
        if (threadIdx.x == 0)
            equal_kept = threshold.key == HIGHEST_KEY || offsets.equal < threshold.equal_count ? offsets.equal : threshold.equal_count;
    }
    else
    {
        u32 rank_base = 0;
        u64 mass_base = 0;
        for (u32 tile = 0; tile < blockIdx.x; tile++)
        {
            u32 other_keys[PER_THREAD], all;
            u64 all_mass;
            const i32 other_first = (i32)tile * SELECT_TILE + (i32)threadIdx.x * PER_THREAD;
            const float *other_importance = args.importance + other_first;
#pragma unroll
            for (int i = 0; i < PER_THREAD; i++)
                other_keys[i] = args.keys[other_first + i];
            u32 above, equal;
            u64 equal_mass;
            count_entries(other_keys, other_importance, PER_THREAD, threshold.key, above, equal, equal_mass);
            u32 rank = rank_base + block_exclusive_sum(equal, warps, all);
            u64 before = mass_base + block_exclusive_sum(equal_mass, wide_warps, all_mass);
            u32 mine = 0;
#pragma unroll
            for (int i = 0; i < PER_THREAD; i++)
            {
                if (other_keys[i] == threshold.key)
                {
                    mine += keeps_equal(threshold, rank, before) ? 1u : 0u;
                    rank++;
                    before += fixed_point(other_importance[i]);
                }
            }
            if (mine > 0)
                atomicAdd(&equal_kept, mine);
            rank_base += all;
            mass_base += all_mass;
        }
    }
    __syncthreads();
    place += equal_kept;
    __syncthreads();
    return kept;
}

LAZYLLM_KERNEL(lazyllm_select_count_computed, SelectArgs, SELECT_THREADS)
{
    __shared__ u32 warps[SELECT_THREADS / 32];
    __shared__ u64 wide_warps[SELECT_THREADS / 32];

    i32 first;
    u32 place, revived, all_computed, all_revived, all_kept;
    const u32 kept = mark_tile(args, warps, wide_warps, first, place);
    const u32 computed = count_computed(args, first, kept, revived);
    block_exclusive_sum(computed, warps, all_computed);
    block_exclusive_sum(revived, warps, all_revived);
    block_exclusive_sum((u32)__popc(kept), warps, all_kept);
    if (threadIdx.x == 0)
    {
        args.shared->tile_computed[blockIdx.x] = all_computed;
        atomicAdd(&args.state->rows, (i32)all_computed);
        atomicAdd(&args.state->token_count, (i32)all_kept);
        atomicAdd(&args.state->revived, (i32)all_revived);
        atomicAdd(&args.state->slot_count, (i32)all_computed + (blockIdx.x == 0 ? args.slot_count : 0));
    }
}

LAZYLLM_KERNEL(lazyllm_select_write, SelectArgs, SELECT_THREADS)
{
    __shared__ u32 warps[SELECT_THREADS / 32];
    __shared__ u64 wide_warps[SELECT_THREADS / 32];

    i32 first;
    u32 place, revived, all;
    const u32 kept = mark_tile(args, warps, wide_warps, first, place);
    const u32 computed = count_computed(args, first, kept, revived);
    u32 computed_before = block_exclusive_sum(computed, warps, all);
    for (u32 tile = 0; tile < blockIdx.x; tile++)
        computed_before += args.shared->tile_computed[tile];
    write_kept(args, first, kept, place, computed_before);
}
