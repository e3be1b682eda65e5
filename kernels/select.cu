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
// Selection (select.cuh) in one block, for up to SELECT_TILE places; select_blocks.cu takes more. Bound by latency: a few dozen
// barriers.
#include "select.cuh"

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
    const float *importance = by_mass ? args.importance + first : nullptr;
    u32 keys[PER_THREAD];
    u64 own_mass = 0;
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++)
    {
        const bool inside = i < valid;
        keys[i] = inside ? key_of(args, first + i) : 0u;
        own_mass += inside && by_mass ? fixed_point(importance[i]) : 0ull;
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
