// What the forms of SelectTokens share (select.cu in one block, select_blocks.cu in several): arguments, the order of entries,
// and the search for the border between what is kept and what is not.
//
// Entries are in order by key (the score's bits, which rank as the scores do) and then by place, the lower first; so no two are
// equal, and the kept ones are those down to a border. The search narrows it down by exact histograms: first over 256
// bins of an eighth of an octave from 2^-31 on, where importance lies, then by 8 bits of the rank at a time among the entries of
// the bin found, its candidates, until all that is left is taken. A round costs one barrier: every histogram has memory of its
// own, zero from the start, and every warp goes through it by itself. Importance is summed in fixed point, so that no order
// of addition shows.
#pragma once
#include "step.cuh"
#include "ptx.cuh"

#define SELECT_THREADS 512
#define SELECT_WARPS (SELECT_THREADS / 32)
#define BINS 256
#define ROUNDS 8
#define MOST_TILES 40

#define HIGHEST_KEY 0x7FFFFFFFu // of what always stays
#define BIN_BITS 20             // of a key, below those that choose a bin
#define FIRST_BIN 0x30000000u   // 2^-31: what is lower is in bin 0, what is 2 or more in the last
#define PLACE_BITS 24
#define LAST_PLACE ((1 << PLACE_BITS) - 1)
#define FIXED_POINT 1099511627776.0f

/// A candidate of several blocks as one word: its place, and what its entry counts as if it is kept.
#define CANDIDATE_PLACE 0x3FFFFFFFu
#define CANDIDATE_MISSING 0x80000000u // has no slot yet
#define CANDIDATE_REVIVED 0x40000000u // and is older than the step

/// Where the search stands after the first histogram. Entries below `first_key` are not kept; without candidates all others are.
struct SelectSearch
{
    u32 bin;
    u32 first_key;  // of the bin
    u32 remaining;  // of the candidates, so many are kept
    u32 candidates; // entries in the bin
};

/// What several blocks share, in device memory. Each selection writes what it reads: nothing need be zero before.
struct SelectShared
{
    u16 counts[MOST_TILES][BINS]; // per tile: entries in each bin
    u32 tile_kept[MOST_TILES];    // and of those in bins above the one found: all, those without a slot, the older of these
    u32 tile_computed[MOST_TILES];
    u32 tile_revived[MOST_TILES];
    SelectSearch search;
    u32 reserved[4];
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
    u32 *keys;            // scratch, a word per place: the candidates, where shared memory does not hold them
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
    i32 tile;             // places per block: several blocks only
};

// ---- The order of entries ----

LAZYLLM_DEVICE u64 fixed_point(float importance)
{
    return (u64)(importance * FIXED_POINT);
}

LAZYLLM_DEVICE float pooled_score(const SelectArgs &args, i32 place)
{
    const i32 half = args.pool / 2;
    const i32 first = place > half ? place - half : 0;
    const i32 end = place + half + 1 < args.count ? place + half + 1 : args.count;
    float score = 0.0f;
    for (i32 i = first; i < end; i++)
        score += args.importance[i];
    return score / (float)(end - first);
}

/// Scores are not negative, so that their bits rank as they do.
LAZYLLM_DEVICE u32 key_of(const SelectArgs &args, i32 position, float score)
{
    const i32 bits = (i32)__float_as_uint(score);
    const bool stays = position < args.keep_first || position >= args.length - args.keep_recent;
    return stays ? HIGHEST_KEY : (u32)(bits > 0 ? bits : 0);
}

LAZYLLM_DEVICE u32 bin_of(u32 key)
{
    const i32 bin = ((i32)key - (i32)FIRST_BIN) >> BIN_BITS;
    return (u32)(bin < 0 ? 0 : bin > BINS - 1 ? BINS - 1 : bin);
}

/// The lowest key of a bin, and for BINS the one above all.
LAZYLLM_DEVICE u32 bin_start(u32 bin)
{
    return bin == 0 ? 0u : bin == BINS ? HIGHEST_KEY + 1u : FIRST_BIN + (bin << BIN_BITS);
}

/// An entry's rank as one number: the higher, the rather it is kept.
LAZYLLM_DEVICE u64 rank_of(u32 key, i32 place)
{
    return (u64)key << PLACE_BITS | (u32)(LAST_PLACE - place);
}

LAZYLLM_DEVICE i32 place_of(u64 rank)
{
    return LAST_PLACE - (i32)((u32)rank & (u32)LAST_PLACE);
}

LAZYLLM_DEVICE u64 rank_at(const SelectArgs &args, i32 place)
{
    const float score = args.pool > 1 ? pooled_score(args, place) : args.importance[place];
    return rank_of(key_of(args, args.positions[place], score), place);
}

/// Kept are the entries of a higher key, and of this one those up to a place.
struct Border
{
    u32 key;
    i32 last_place;
};

LAZYLLM_DEVICE bool keeps(const Border &border, u32 key, i32 place)
{
    return key > border.key || (key == border.key && place <= border.last_place);
}

// ---- The search ----

/// The histograms of all rounds, in shared memory. `lows` and `highs` are the halves of each bin's sum of importance; unused
/// unless it is chosen by mass.
struct Histograms
{
    u32 *counts;
    u32 *lows;
    u32 *highs;
};

/// What is still to be taken from the highest entries down: so many, and by mass no more than hold so much.
struct Limits
{
    u32 count;
    u64 mass;
};

/// Zeroes shared memory, `words` of it (a multiple of 4).
LAZYLLM_DEVICE void clear(u32 *target, u32 words)
{
    for (u32 i = 4 * threadIdx.x; i < words; i += 4 * SELECT_THREADS)
        *reinterpret_cast<uint4 *>(target + i) = make_uint4(0, 0, 0, 0);
}

template <bool ByMass> LAZYLLM_DEVICE void count_entry(const SelectArgs &args, const Histograms &histograms, u32 round, u32 bin, i32 place)
{
    const u32 at = round * BINS + bin;
    atomicAdd(&histograms.counts[at], 1u);
    if (ByMass)
    {
        // There is no addition of 64 bits in shared memory: the one that carries adds one more above.
        const u64 mass = fixed_point(args.importance[place]);
        const u32 low = (u32)mass;
        const u32 before = atomicAdd(&histograms.lows[at], low);
        atomicAdd(&histograms.highs[at], (u32)(mass >> 32) + (before + low < low ? 1u : 0u));
    }
}

LAZYLLM_DEVICE u64 mass_of_bin(const Histograms &histograms, u32 at)
{
    return ((u64)histograms.highs[at] << 32) + histograms.lows[at];
}

LAZYLLM_DEVICE u64 mass_of_round(const Histograms &histograms, u32 round)
{
    u64 mass = 0;
#pragma unroll
    for (u32 bin = threadIdx.x % 32; bin < BINS; bin += 32)
        mass += mass_of_bin(histograms, round * BINS + bin);
#pragma unroll
    for (int step = 16; step > 0; step >>= 1)
        mass += __shfl_xor_sync(FULL_WARP, mass, step);
    return mass;
}

/// The highest bin of a finished histogram at which a limit is reached, the lowest if none is. `limits` becomes what is to be
/// taken within it, `entries` how many are in it. Every warp finds the same.
template <bool ByMass> LAZYLLM_DEVICE u32 find_bin(const Histograms &histograms, u32 round, Limits &limits, u32 &entries)
{
    // Lane 0 has the eight highest bins, and each lane its own from the highest down.
    const u32 lane = threadIdx.x % 32;
    const u32 lowest = round * BINS + BINS - 8 - 8 * lane;
    const uint4 upper = *reinterpret_cast<const uint4 *>(histograms.counts + lowest + 4);
    const uint4 lower = *reinterpret_cast<const uint4 *>(histograms.counts + lowest);
    const u32 counts[8] = {upper.w, upper.z, upper.y, upper.x, lower.w, lower.z, lower.y, lower.x};
    u64 masses[8];
    u32 sum = 0;
    u64 mass = 0;
#pragma unroll
    for (int i = 0; i < 8; i++)
    {
        sum += counts[i];
        masses[i] = ByMass ? mass_of_bin(histograms, lowest + 7 - i) : 0ull;
        mass += masses[i];
    }

    u32 upto = warp_inclusive_sum(sum);
    u64 mass_upto = mass;
    if (ByMass)
    {
#pragma unroll
        for (u32 step = 1; step < 32; step <<= 1)
        {
            const u64 below = __shfl_up_sync(FULL_WARP, mass_upto, step);
            mass_upto += lane >= step ? below : 0ull;
        }
    }
    const bool reaches = upto >= limits.count || (ByMass && mass_upto >= limits.mass);
    const i32 source = __ffs((i32)(__ballot_sync(FULL_WARP, reaches) | 1u << 31)) - 1;

    u32 steps = 0, taken = upto - sum, in_bin = counts[0];
    u64 mass_taken = mass_upto - mass;
    upto = taken;
    mass_upto = mass_taken;
#pragma unroll
    for (int i = 0; i < 7; i++)
    {
        upto += counts[i];
        mass_upto += masses[i];
        if (upto < limits.count && (!ByMass || mass_upto < limits.mass))
        {
            steps = (u32)i + 1;
            taken = upto;
            mass_taken = mass_upto;
            in_bin = counts[i + 1];
        }
    }
    limits.count -= __shfl_sync(FULL_WARP, taken, source);
    if (ByMass)
        limits.mass -= __shfl_sync(FULL_WARP, mass_taken, source);
    entries = __shfl_sync(FULL_WARP, in_bin, source);
    return BINS - 1 - 8 * (u32)source - __shfl_sync(FULL_WARP, steps, source);
}

/// The border, which lies among the `candidates` entries of a bin; every thread finds it. `ranks` are theirs in shared memory, in
/// any order; null, if args.keys has their places instead.
template <bool ByMass>
LAZYLLM_DEVICE Border find_border(const SelectArgs &args, const Histograms &histograms, const u64 *ranks, u32 candidates, u32 bin, Limits limits)
{
    // Bins at either end hold more than those of an eighth of an octave, and nothing about their keys is known.
    i32 open_bits = bin == 0 || bin == BINS - 1 ? 32 + PLACE_BITS : BIN_BITS + PLACE_BITS;
    u64 border = (u64)bin_start(bin) << PLACE_BITS;
    u32 entries = candidates;
    for (u32 round = 1; entries > (ByMass ? 1u : limits.count); round++)
    {
        // The last digit may share bits with the one before; they are the same in all that it counts.
        const u64 known = ~0ull << open_bits;
        open_bits = open_bits > 8 ? open_bits - 8 : 0;
        border &= known;
        for (u32 i = threadIdx.x; i < candidates; i += SELECT_THREADS)
        {
            const u64 rank = ranks != nullptr ? ranks[i] : rank_at(args, (i32)(args.keys[i] & CANDIDATE_PLACE));
            if ((rank & known) == border)
                count_entry<ByMass>(args, histograms, round, (u32)(rank >> open_bits) & 0xFFu, place_of(rank));
        }
        __syncthreads();
        border |= (u64)find_bin<ByMass>(histograms, round, limits, entries) << open_bits;
    }
    const u32 key = (u32)(border >> PLACE_BITS);
    return Border{key, key == HIGHEST_KEY ? LAST_PLACE : place_of(border)};
}
