// What the two forms of SelectTokens share (select.cu in one block, select_blocks.cu in several): the arguments, the order of
// scores, and the search for the border by digits.
//
// Exact radix selection: the score's bits, made to rank as unsigned numbers, are fixed digit by digit from the top, by a
// histogram of the entries that share the digits so far. Importance is summed in fixed point, so that no order of
// addition shows.
#pragma once
#include "step.cuh"
#include "ptx.cuh"

#define SELECT_THREADS 1024
#define PER_THREAD 8
#define SELECT_TILE (SELECT_THREADS * PER_THREAD)
#define DIGITS 4
#define BINS 256
#define HIGHEST_KEY 0xFFFFFFFFu
#define FIXED_POINT 1099511627776.0f

/// What several blocks share, in device memory; zero before the first kernel.
struct SelectShared
{
    u64 mass[DIGITS][BINS];
    u64 tile_mass[BINS];   // per tile: mass of its entries that are equal to the threshold
    u32 counts[DIGITS][BINS];
    u32 tile_above[BINS];  // per tile: entries above the threshold, and equal to it
    u32 tile_equal[BINS];
    u32 tile_computed[BINS];
};

struct SelectArgs
{
    const float *importance;
    const i32 *positions;
    i32 *next_positions;
    i32 *next_slots;
    i32 *compute_positions;
    i32 *compute_slots;
    i32 *compute_places;
    i32 *slot_of;
    u32 *keys;            // scratch, by place: several blocks only
    SelectShared *shared; // several blocks only
    StepState *state;
    double mass;          // share of the importance to hold, or 0
    i32 count;            // old |T|
    i32 keep_count;
    i32 length;
    i32 first_new;
    i32 slot_count;       // slots of the stage in use before
    i32 pool;
    i32 keep_first;
    i32 keep_recent;
    i32 is_static;
    i32 digit;            // of this histogram
};

/// The border: entries above `key` are kept, and of those equal to it the first `equal_count` that also begin below
/// `equal_mass` of their summed importance.
struct Threshold
{
    u32 key;
    u32 equal_count;
    u64 equal_mass;
};

LAZYLLM_DEVICE u64 fixed_point(float importance)
{
    return (u64)(importance * FIXED_POINT);
}

LAZYLLM_DEVICE u32 key_of(const SelectArgs &args, i32 place)
{
    const i32 position = args.positions[place];
    if (args.is_static)
        return position >= args.first_new || args.slot_of[position] >= 0 ? HIGHEST_KEY : 0u;
    if (position < args.keep_first || position >= args.length - args.keep_recent)
        return HIGHEST_KEY;
    float score = args.importance[place];
    if (args.pool > 1)
    {
        const i32 half = args.pool / 2;
        const i32 first = place > half ? place - half : 0;
        const i32 end = place + half + 1 < args.count ? place + half + 1 : args.count;
        score = 0.0f;
        for (i32 i = first; i < end; i++)
            score += args.importance[i];
        score /= (float)(end - first);
    }
    const u32 bits = __float_as_uint(score);
    const u32 key = bits >> 31 ? ~bits : bits | 0x80000000u;
    return key == HIGHEST_KEY ? key - 1u : key;
}

/// Exclusive sum over the block's threads, in thread order; `total` is the block's.
template <typename T> LAZYLLM_DEVICE T block_exclusive_sum(T value, T *warps, T &total)
{
    const u32 lane = threadIdx.x % 32;
    const u32 warp = threadIdx.x / 32;
    T inclusive = value;
#pragma unroll
    for (u32 step = 1; step < 32; step <<= 1)
    {
        const T below = __shfl_up_sync(0xFFFFFFFFu, inclusive, step);
        inclusive += lane >= step ? below : (T)0;
    }
    __syncthreads();
    if (lane == 31)
        warps[warp] = inclusive;
    __syncthreads();
    T before = 0;
    total = 0;
    for (u32 i = 0; i < SELECT_THREADS / 32; i++)
    {
        before += i < warp ? warps[i] : (T)0;
        total += warps[i];
    }
    return before + inclusive - value;
}

/// Narrows the search by one digit: finds the highest bin at which either limit is reached. All threads get the result.
/// `remaining` and `mass` are what is still to be taken below the digits fixed so far.
LAZYLLM_DEVICE void fix_digit(const u32 *counts, const u64 *masses, bool by_mass, u32 shift, u32 *found, u32 &prefix, u32 &remaining, u64 &mass)
{
    __shared__ u64 suffix_mass[BINS];
    __shared__ u32 suffix_count[BINS];
    __shared__ u64 warp_mass[BINS / 32];
    __shared__ u32 warp_count[BINS / 32];

    // Bin b is handled by thread BINS - 1 - b, so that a running sum in thread order goes from the highest bin down.
    const u32 thread = threadIdx.x;
    const u32 bin = BINS - 1 - thread % BINS;
    const u32 lane = thread % 32;
    u32 count = counts[bin];
    u64 sum = by_mass ? masses[bin] : 0ull;
    const u32 own_count = count;
    const u64 own_sum = sum;
#pragma unroll
    for (u32 step = 1; step < 32; step <<= 1)
    {
        const u32 count_below = __shfl_up_sync(0xFFFFFFFFu, count, step);
        const u64 sum_below = __shfl_up_sync(0xFFFFFFFFu, sum, step);
        count += lane >= step ? count_below : 0u;
        sum += lane >= step ? sum_below : 0ull;
    }
    if (thread < BINS && lane == 31)
    {
        warp_count[thread / 32] = count;
        warp_mass[thread / 32] = sum;
    }
    if (thread == 0)
        *found = 0xFFFFFFFFu;
    __syncthreads();
    if (thread < BINS)
    {
        for (u32 i = 0; i < thread / 32; i++)
        {
            count += warp_count[i];
            sum += warp_mass[i];
        }
        const u32 before_count = count - own_count;
        const u64 before_sum = sum - own_sum;
        suffix_count[bin] = before_count;
        suffix_mass[bin] = before_sum;
        const bool reaches = own_count > 0 && before_count < remaining && count >= remaining;
        const bool holds = by_mass && own_count > 0 && before_sum < mass && sum >= mass;
        // Both limits may be met, in different bins: the higher bin is the smaller set.
        if (reaches || holds)
            atomicMin(found, thread);
    }
    __syncthreads();
    // One of the two limits lies within what is searched, and stays so from digit to digit: some bin reaches it.
    const u32 chosen = BINS - 1 - *found;
    prefix |= chosen << shift;
    remaining -= suffix_count[chosen];
    mass -= by_mass ? suffix_mass[chosen] : 0ull;
    __syncthreads();
}

/// Whether entry number `rank` of those equal to the threshold, with `before` their importance summed up to it, is kept.
LAZYLLM_DEVICE bool keeps_equal(const Threshold &threshold, u32 rank, u64 before)
{
    return threshold.key == HIGHEST_KEY || (rank < threshold.equal_count && before < threshold.equal_mass);
}

/// Offsets of a tile: what the tiles before it hold.
struct TileOffsets
{
    u32 above;
    u32 equal;
    u64 equal_mass;
    u32 computed;
};

/// The thread's entries that are above the threshold and equal to it, counted. Here and below, `importance` is that of the thread's
/// first entry in memory, or null where sums of it do not matter: registers hold the keys alone.
LAZYLLM_DEVICE void count_entries(const u32 (&keys)[PER_THREAD], const float *importance, i32 valid, u32 threshold, u32 &above, u32 &equal, u64 &equal_mass)
{
    above = 0;
    equal = 0;
    equal_mass = 0;
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++)
    {
        if (i >= valid)
            continue;
        above += keys[i] > threshold ? 1u : 0u;
        equal += keys[i] == threshold ? 1u : 0u;
        if (importance != nullptr && keys[i] == threshold)
            equal_mass += fixed_point(importance[i]);
    }
}

/// Bit i of the result: entry i is kept. `kept_before` receives how many entries before the thread's own are kept.
LAZYLLM_DEVICE u32 mark_kept(const u32 (&keys)[PER_THREAD], const float *importance, i32 valid, const Threshold &threshold, const TileOffsets &offsets, u32 *warps, u64 *wide_warps, u32 &kept_before)
{
    u32 above, equal;
    u64 equal_mass, all_mass;
    u32 all;
    count_entries(keys, importance, valid, threshold.key, above, equal, equal_mass);
    const u32 above_before = offsets.above + block_exclusive_sum(above, warps, all);
    u32 rank = offsets.equal + block_exclusive_sum(equal, warps, all);
    u64 before = offsets.equal_mass + block_exclusive_sum(equal_mass, wide_warps, all_mass);

    u32 kept = 0, kept_equal = 0;
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++)
    {
        if (i >= valid || keys[i] < threshold.key)
            continue;
        bool keep = true;
        if (keys[i] == threshold.key)
        {
            keep = keeps_equal(threshold, rank, before);
            rank++;
            before += importance != nullptr ? fixed_point(importance[i]) : 0ull;
            kept_equal += keep ? 1u : 0u;
        }
        kept |= keep ? 1u << i : 0u;
    }
    // Equal entries are kept from the first on without gaps, so that those kept before are a second running sum.
    u32 unused;
    kept_before = above_before + block_exclusive_sum(kept_equal, warps, unused);
    return kept;
}

/// Writes what the thread keeps, from place `place` of T and row `computed` of C on.
LAZYLLM_DEVICE void write_kept(const SelectArgs &args, i32 first, u32 kept, u32 place, u32 computed)
{
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++)
    {
        if ((kept >> i & 1u) == 0)
            continue;
        const i32 position = args.positions[first + i];
        i32 slot = args.slot_of[position];
        if (slot < 0)
        {
            slot = args.slot_count + (i32)computed;
            args.slot_of[position] = slot;
            args.compute_positions[computed] = position;
            args.compute_slots[computed] = slot;
            args.compute_places[computed] = (i32)place;
            computed++;
        }
        args.next_positions[place] = position;
        args.next_slots[place] = slot;
        place++;
    }
}

/// How many of the entries marked in `kept` have no slot yet, and how many of those are older than the step.
LAZYLLM_DEVICE u32 count_computed(const SelectArgs &args, i32 first, u32 kept, u32 &revived)
{
    u32 computed = 0;
    revived = 0;
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++)
    {
        if ((kept >> i & 1u) == 0)
            continue;
        const i32 position = args.positions[first + i];
        const bool missing = args.slot_of[position] < 0;
        computed += missing ? 1u : 0u;
        revived += missing && position < args.first_new ? 1u : 0u;
    }
    return computed;
}
