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
// Exact radix selection: the score's bits, made to rank as unsigned numbers, are fixed digit by digit from the top, by a
// histogram of the entries that share the digits so far. Importance is summed in fixed point, so that no order of
// addition shows. lazyllm_select_block does all of it in one block for up to SELECT_TILE places; beyond, one block per
// SELECT_TILE places goes through the same steps as kernels of their own: keys, four histograms, two counts, write.
// Bound by latency: a few dozen barriers, or eight launches.
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

/// The thread's entries that are above the threshold and equal to it, counted.
LAZYLLM_DEVICE void count_entries(const u32 (&keys)[PER_THREAD], const float (&importance)[PER_THREAD], i32 valid, u32 threshold, u32 &above, u32 &equal, u64 &equal_mass)
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
        equal_mass += keys[i] == threshold ? fixed_point(importance[i]) : 0ull;
    }
}

/// Bit i of the result: entry i is kept. `kept_before` receives how many entries before the thread's own are kept.
LAZYLLM_DEVICE u32 mark_kept(const u32 (&keys)[PER_THREAD], const float (&importance)[PER_THREAD], i32 valid, const Threshold &threshold, const TileOffsets &offsets, u32 *warps, u64 *wide_warps, u32 &kept_before)
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
            before += fixed_point(importance[i]);
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

LAZYLLM_KERNEL(lazyllm_select_block, SelectArgs, SELECT_THREADS)
{
    __shared__ u32 histogram[BINS];
    __shared__ u64 masses[BINS];
    __shared__ u32 warps[SELECT_THREADS / 32];
    __shared__ u64 wide_warps[SELECT_THREADS / 32];
    __shared__ u32 found;

    const i32 first = (i32)threadIdx.x * PER_THREAD;
    const i32 valid = args.count - first;
    const bool by_mass = args.mass > 0.0 && !args.is_static;
    u32 keys[PER_THREAD];
    float importance[PER_THREAD];
    u64 own_mass = 0;
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++)
    {
        const bool inside = i < valid;
        keys[i] = inside ? key_of(args, first + i) : 0u;
        importance[i] = inside && by_mass ? args.importance[first + i] : 0.0f;
        own_mass += fixed_point(importance[i]);
    }

    u32 prefix = 0;
    u32 remaining = (u32)args.keep_count;
    u64 total = 0;
    if (by_mass)
        block_exclusive_sum(own_mass, wide_warps, total);
    u64 mass = by_mass ? (u64)((double)total * args.mass) : 0ull;
    mass = by_mass && mass == 0 ? 1ull : mass;
    if (args.is_static)
        prefix = HIGHEST_KEY;
    for (i32 digit = 0; digit < DIGITS && !args.is_static; digit++)
    {
        const u32 shift = 24u - 8u * (u32)digit;
        const u32 fixed = digit == 0 ? 0u : 0xFFFFFFFFu << (shift + 8u);
        if (threadIdx.x < BINS)
        {
            histogram[threadIdx.x] = 0;
            masses[threadIdx.x] = 0;
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < PER_THREAD; i++)
        {
            if (i < valid && (keys[i] & fixed) == prefix)
            {
                atomicAdd(&histogram[keys[i] >> shift & 0xFFu], 1u);
                if (by_mass)
                    atomicAdd(&masses[keys[i] >> shift & 0xFFu], fixed_point(importance[i]));
            }
        }
        __syncthreads();
        fix_digit(histogram, masses, by_mass, shift, &found, prefix, remaining, mass);
    }

    const Threshold threshold = {prefix, remaining, by_mass ? mass : ~0ull};
    const TileOffsets offsets = {0, 0, 0, 0};
    u32 place;
    const u32 kept = mark_kept(keys, importance, valid, threshold, offsets, warps, wide_warps, place);
    u32 revived, all_computed, all_revived, all_kept;
    const u32 computed = count_computed(args, first, kept, revived);
    const u32 computed_before = block_exclusive_sum(computed, warps, all_computed);
    block_exclusive_sum(revived, warps, all_revived);
    block_exclusive_sum((u32)__popc(kept), warps, all_kept);
    write_kept(args, first, kept, place, computed_before);
    if (threadIdx.x == 0)
        *args.state = StepState{(i32)all_computed, (i32)all_kept, (i32)all_revived, args.slot_count + (i32)all_computed};
}

// ---- Several blocks: tile b is block b ----

/// The thread's entries of its block's tile.
LAZYLLM_DEVICE i32 load_tile(const SelectArgs &args, u32 (&keys)[PER_THREAD], float (&importance)[PER_THREAD], i32 &first)
{
    first = (i32)blockIdx.x * SELECT_TILE + (i32)threadIdx.x * PER_THREAD;
    const i32 valid = args.count - first;
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++)
    {
        keys[i] = i < valid ? args.keys[first + i] : 0u;
        importance[i] = i < valid && args.mass > 0.0 && !args.is_static ? args.importance[first + i] : 0.0f;
    }
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

    const bool by_mass = args.mass > 0.0;
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
    float importance[PER_THREAD];
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
    float importance[PER_THREAD];
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
    float importance[PER_THREAD];
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
            float other_importance[PER_THREAD];
            u64 all_mass;
            const i32 other_first = (i32)tile * SELECT_TILE + (i32)threadIdx.x * PER_THREAD;
#pragma unroll
            for (int i = 0; i < PER_THREAD; i++)
            {
                other_keys[i] = args.keys[other_first + i];
                other_importance[i] = args.importance[other_first + i];
            }
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
