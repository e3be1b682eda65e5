// ScoreLast: importance of each position of T = mean over the query heads, and over the last `queries` rows of C, of the
// attention probability that the row pays to it; zero behind the row.
//
// lazyllm_score_keys  block (split, heads of one K/V head, query): q · k of every key, reading K once for all heads that
//                     share it; scores[query][head][place], and per split the maximum and the sum of powers
// lazyllm_score_mean  block: 32 places; its warps take the (query, head) pairs in turn, merge the pair's splits over their
//                     lanes, and add 2^(score - maximum) / sum; the warps' sums are added in order
// Scores are float32 in units of log2; all sums are in fixed order. Called by CudaOperations.ScoreLast after the stage's last
// layer(s). Bound by the bytes of K, which the attention before it has left in the L2 cache as far as it holds them; for few
// positions by latencies, so that what can be read at once is: a block's slots, then many keys per thread, as they are stored.
// Compiled per storage format, LAZYLLM_HEAD_SIZE and LAZYLLM_HEADS_PER_BLOCK.
#include "attention_rows.cuh"

/// Keys that a lane group has on their way; in float32, and beside the sums of many heads, half as many.
#define SCORED_KEYS (HEADS_PER_BLOCK > 2 || sizeof(Stored) > 2 ? 4 : 8)
#define SCORES (HEADS_PER_BLOCK * SCORED_KEYS)

/// Slots that a block keeps in shared memory: a multiple of the keys that its groups take at once, for any head size.
#define SLOTS_AT_ONCE 1024

#define MEAN_THREADS 256
#define MEAN_WARPS (MEAN_THREADS / 32)
#define MEAN_PLACES 32
#define PAIRS_AT_ONCE 4
#define MOST_SCORE_SPLITS 128
#define SPLITS_PER_LANE (MOST_SCORE_SPLITS / 32)

struct ScoreArgs
{
    AttentionArgs attention; // queries, keys, slots, places, sizes; `splits` splits, MOST_SCORE_SPLITS at most
    float *scores;           // queries x heads x score_stride
    float *partials;         // queries x heads x splits x (maximum, sum)
    float *importance;       // by place in T
    i32 score_stride;
    i32 queries;
    i32 accumulate;          // whether importance becomes the maximum of old and new
    i32 reserved;
};

/// The row of C that query `index` of the scored ones is: they are the last of C.
LAZYLLM_DEVICE i32 scored_row(const ScoreArgs &args, i32 index, i32 rows)
{
    return rows - args.queries + index;
}

/// How many of `values` numbers a lane is left with by sum_over_lanes.
constexpr int values_left(int values, int lanes)
{
    return lanes > 1 && values % 2 == 0 ? values_left(values / 2, lanes / 2) : values;
}

enum
{
    SCORES_LEFT = values_left(SCORES, LANES),
    SCORE_COPIES = LANES * SCORES_LEFT / SCORES, // lanes that are left with the same scores
};

/// Sums `Values` numbers over a group's lanes. At each step a lane gives half of its numbers away and keeps the other half, as
/// long as they can be halved: of 8 numbers and 16 lanes 8 are exchanged, not 32. Lane l is left with the sums from
/// l / SCORE_COPIES * SCORES_LEFT on.
template <int Values, int Step> LAZYLLM_DEVICE void sum_over_lanes(float (&numbers)[SCORES], i32 lane)
{
    if constexpr (Step > 0 && Values % 2 == 0)
    {
        const bool is_upper = (lane & Step) != 0;
#pragma unroll
        for (int i = 0; i < Values / 2; i++)
        {
            const float low = numbers[i], high = numbers[i + Values / 2];
            numbers[i] = (is_upper ? high : low) + __shfl_xor_sync(0xFFFFFFFFu, is_upper ? low : high, Step);
        }
        sum_over_lanes<Values / 2, Step / 2>(numbers, lane);
    }
    else if constexpr (Step > 0)
    {
#pragma unroll
        for (int i = 0; i < Values; i++)
            numbers[i] += __shfl_xor_sync(0xFFFFFFFFu, numbers[i], Step);
        sum_over_lanes<Values, Step / 2>(numbers, lane);
    }
}

LAZYLLM_DEVICE void load_slots(const AttentionArgs &args, i32 (&slots)[SLOTS_AT_ONCE], i32 place, i32 end)
{
    for (i32 i = (i32)threadIdx.x; i < SLOTS_AT_ONCE && place + i < end; i += ATTEND_THREADS)
        slots[i] = (i32)slot_of_place(args, place + i);
}

/// Reads the first `count` keys of a group's SCORED_KEYS whose slots lie from first_slot on, before end_slot. `column` is the
/// lane's part of slot 0.
LAZYLLM_DEVICE void load_scored(
    const AttentionArgs &args, Pack (&keys)[SCORED_KEYS], const i32 *slots, i32 count, const Stored *column, i32 first_slot, i32 end_slot)
{
#pragma unroll
    for (int key = 0; key < SCORED_KEYS; key++)
    {
        const i32 slot = key < count ? slots[key] : -1;
        if (slot >= first_slot && slot < end_slot)
            keys[key] = load_pack(column + slot * args.slot_stride);
    }
}

LAZYLLM_KERNEL(lazyllm_score_keys, ScoreArgs, ATTEND_THREADS)
{
    __shared__ i32 slots[SLOTS_AT_ONCE];
    __shared__ float tops[KEY_GROUPS][SCORES], sums[KEY_GROUPS][SCORES];

    launch_dependents();
    const AttentionArgs &attention = args.attention;
    const i32 rows = row_count(attention.count);
    const i32 tokens = token_count(attention);
    const i32 row = scored_row(args, (i32)blockIdx.z, rows);
    const i32 first_head = (i32)blockIdx.y * HEADS_PER_BLOCK;
    const i32 kv_head = first_head / (attention.heads / attention.kv_heads);
    const i32 lane = (i32)threadIdx.x % LANES;
    const i32 group = (i32)threadIdx.x / LANES;
    // Whole batches of a group, so that its scores are written together.
    const i32 share = ((tokens + attention.splits - 1) / attention.splits + SCORED_KEYS - 1) / SCORED_KEYS * SCORED_KEYS;
    const i32 first = (i32)blockIdx.x * share;
    const i32 limit = first + share < tokens ? first + share : tokens;
    const i32 seen = seen_by(attention, row, rows);
    const i32 end = limit < seen ? limit : seen;

    // Slots, and keys of earlier steps, do not wait for the kernel before.
    load_slots(attention, slots, first, limit);
    __syncthreads();
    const Stored *column = attention.keys + kv_head * HEAD_SIZE + 8 * lane;
    const i32 settled = settled_slots(attention);
    const i32 *group_slots = slots + group * SCORED_KEYS;
    // Lanes beyond the head's last number have no keys: theirs stay zero.
    const i32 lane_end = 8 * lane < HEAD_SIZE ? end - group * SCORED_KEYS : 0;
    Pack keys[SCORED_KEYS] = {};
    load_scored(attention, keys, group_slots, lane_end - first, column, 0, settled);
    wait_for_dependencies();
    load_scored(attention, keys, group_slots, lane_end - first, column, settled, EVERY_SLOT);

    float queries[HEADS_PER_BLOCK][8];
    const Stored *query = attention.queries + (i64)row * attention.row_stride + first_head * HEAD_SIZE;
#pragma unroll
    for (int head = 0; head < HEADS_PER_BLOCK; head++)
        load_eight(query + head * HEAD_SIZE, lane, true, queries[head]);
    float top[SCORES_LEFT], sum[SCORES_LEFT];
#pragma unroll
    for (int i = 0; i < SCORES_LEFT; i++)
    {
        top[i] = MINUS_INFINITY;
        sum[i] = 0.0f;
    }

    // Every thread of a warp goes round as often as the others: the scores are summed over lanes.
    for (i32 place = first; place < end; place += KEY_GROUPS * SCORED_KEYS)
    {
        if (place > first)
        {
            if ((place - first) % SLOTS_AT_ONCE == 0)
            {
                __syncthreads();
                load_slots(attention, slots, place, limit);
                __syncthreads();
            }
            load_scored(attention, keys, group_slots + (place - first) % SLOTS_AT_ONCE, lane_end - place, column, 0, EVERY_SLOT);
        }

        float scores[SCORES];
#pragma unroll
        for (int key = 0; key < SCORED_KEYS; key++)
        {
            float numbers[8];
            widen_pack(keys[key], numbers);
#pragma unroll
            for (int head = 0; head < HEADS_PER_BLOCK; head++)
            {
                float product = 0.0f;
#pragma unroll
                for (int i = 0; i < 8; i++)
                    product = fmaf(queries[head][i], numbers[i], product);
                scores[head * SCORED_KEYS + key] = product;
            }
        }
        sum_over_lanes<SCORES, LANES / 2>(scores, lane);

#pragma unroll
        for (int i = 0; i < SCORES_LEFT; i++)
        {
            const i32 at = lane / SCORE_COPIES * SCORES_LEFT + i;
            const i32 head = first_head + at / SCORED_KEYS;
            const i32 mine = place + group * SCORED_KEYS + at % SCORED_KEYS;
            const float score = mine < end ? scores[i] * attention.scale : MINUS_INFINITY;
            if (mine < end && lane % SCORE_COPIES == 0)
                args.scores[((i64)blockIdx.z * attention.heads + head) * args.score_stride + mine] = score;
            const float higher = fmaxf(top[i], score);
            // Before the first key all is minus infinity, and a difference of infinities would be no number.
            const float base = higher == MINUS_INFINITY ? 0.0f : higher;
            sum[i] = fmaf(sum[i], exp2_approx(top[i] - base), exp2_approx(score - base));
            top[i] = higher;
        }
    }

    if (lane % SCORE_COPIES == 0)
    {
#pragma unroll
        for (int i = 0; i < SCORES_LEFT; i++)
        {
            tops[group][lane / SCORE_COPIES * SCORES_LEFT + i] = top[i];
            sums[group][lane / SCORE_COPIES * SCORES_LEFT + i] = sum[i];
        }
    }
    __syncthreads();

    const i32 warp_lane = (i32)threadIdx.x % 32;
    for (i32 head = (i32)threadIdx.x / 32; head < HEADS_PER_BLOCK; head += ATTEND_THREADS / 32)
    {
        float highest = MINUS_INFINITY;
        for (i32 i = warp_lane; i < KEY_GROUPS * SCORED_KEYS; i += 32)
            highest = fmaxf(highest, tops[i / SCORED_KEYS][head * SCORED_KEYS + i % SCORED_KEYS]);
        highest = warp_max(highest);
        const float base = highest == MINUS_INFINITY ? 0.0f : highest;
        float total = 0.0f;
        for (i32 i = warp_lane; i < KEY_GROUPS * SCORED_KEYS; i += 32)
        {
            const i32 at = head * SCORED_KEYS + i % SCORED_KEYS;
            total = fmaf(sums[i / SCORED_KEYS][at], exp2_approx(tops[i / SCORED_KEYS][at] - base), total);
        }
        total = warp_sum(total);
        if (warp_lane == 0)
        {
            const i64 target = ((i64)blockIdx.z * attention.heads + first_head + head) * attention.splits + (i64)blockIdx.x;
            reinterpret_cast<float2 *>(args.partials)[target] = make_float2(highest, total);
        }
    }
}

LAZYLLM_KERNEL(lazyllm_score_mean, ScoreArgs, MEAN_THREADS)
{
    __shared__ float means[MEAN_WARPS][MEAN_PLACES];

    launch_dependents();
    const AttentionArgs &attention = args.attention;
    const i32 rows = row_count(attention.count);
    const i32 tokens = token_count(attention);
    const i32 lane = (i32)threadIdx.x % 32;
    const i32 warp = (i32)threadIdx.x / 32;
    const i32 place = (i32)blockIdx.x * MEAN_PLACES + lane;
    const i32 pairs = args.queries * attention.heads;
    const i32 splits = attention.splits;
    const float2 *partials = reinterpret_cast<const float2 *>(args.partials);
    wait_for_dependencies();

    float mean = 0.0f;
    for (i32 first = warp; first < pairs; first += MEAN_WARPS * PAIRS_AT_ONCE)
    {
        // All is read before any of it is used, also the scores that the row does not see.
        float scores[PAIRS_AT_ONCE];
        i32 seen[PAIRS_AT_ONCE];
        float2 parts[PAIRS_AT_ONCE][SPLITS_PER_LANE];
#pragma unroll
        for (int i = 0; i < PAIRS_AT_ONCE; i++)
        {
            const i32 pair = first + i * MEAN_WARPS;
            seen[i] = pair < pairs ? seen_by(attention, scored_row(args, pair / attention.heads, rows), rows) : 0;
            scores[i] = pair < pairs && place < tokens ? args.scores[(i64)pair * args.score_stride + place] : 0.0f;
#pragma unroll
            for (int s = 0; s < SPLITS_PER_LANE; s++)
            {
                const i32 split = s * 32 + lane;
                parts[i][s] = make_float2(MINUS_INFINITY, 0.0f);
                if (pair < pairs && split < splits)
                    parts[i][s] = partials[(i64)pair * splits + split];
            }
        }
#pragma unroll
        for (int i = 0; i < PAIRS_AT_ONCE; i++)
        {
            const i32 pair = first + i * MEAN_WARPS;
            if (pair >= pairs)
                break;
            float highest = MINUS_INFINITY;
#pragma unroll
            for (int s = 0; s < SPLITS_PER_LANE; s++)
                highest = fmaxf(highest, parts[i][s].x);
            highest = warp_max(highest);
            float total = 0.0f;
#pragma unroll
            for (int s = 0; s < SPLITS_PER_LANE; s++)
                total = fmaf(parts[i][s].y, exp2_approx(parts[i][s].x - highest), total);
            total = warp_sum(total);
            const float weight = exp2_approx(scores[i] - highest) / (total * (float)pairs);
            mean += place < seen[i] ? weight : 0.0f;
        }
    }
    means[warp][lane] = mean;
    __syncthreads();
    if (warp > 0 || place >= tokens)
        return;
    mean = 0.0f;
#pragma unroll
    for (int w = 0; w < MEAN_WARPS; w++)
        mean += means[w][lane];
    args.importance[place] = args.accumulate ? fmaxf(args.importance[place], mean) : mean;
}
