// Attention of few rows, split over K/V: every storage format; also of many rows in float32, where no matrix unit is
// exact enough.
//
// Block (split, heads of one K/V head, row): its key groups of LANES threads take one key each in turn, so that the
// block reads each K and V row once for all the query heads that share it (GQA). A thread holds eight of the head's
// numbers of every query and sum; a key's score is summed over its group's lanes. Each group keeps its own running
// maximum and sum (online softmax), the block merges the groups, and lazyllm_attend_combine the splits, in fixed order.
// Bound by the K/V bytes.
#pragma once
#include "attention.cuh"

#define ATTEND_THREADS 128
#define HEADS_PER_BLOCK LAZYLLM_HEADS_PER_BLOCK
#define LANES (HEAD_SIZE > 64 ? 16 : HEAD_SIZE > 32 ? 8 : HEAD_SIZE > 16 ? 4 : HEAD_SIZE > 8 ? 2 : 1)
#define KEY_GROUPS (ATTEND_THREADS / LANES)
#define KEYS_AT_ONCE (HEADS_PER_BLOCK > 2 ? 2 : 4)

/// One head's running softmax over some keys, and the weighted sum of their values: eight numbers of it per thread.
struct RunningAttention
{
    float highest;
    float sum;
    float values[8];
};

/// A partial result in scratch memory: maximum, sum, head size numbers.
#define PARTIAL_SIZE (HEAD_SIZE + 2)

LAZYLLM_DEVICE void load_eight(const Stored *row, i32 lane, bool valid, float (&numbers)[8])
{
    if (valid && 8 * lane < HEAD_SIZE)
    {
        widen_pack(load_pack(row + 8 * lane), numbers);
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
        numbers[i] = 0.0f;
}

LAZYLLM_DEVICE float group_sum(float x)
{
#pragma unroll
    for (int step = LANES / 2; step > 0; step >>= 1)
        x += __shfl_xor_sync(0xFFFFFFFFu, x, step);
    return x;
}

/// Takes KEYS_AT_ONCE keys of one head into its running softmax.
LAZYLLM_DEVICE void take_keys(RunningAttention &head, const float (&scores)[KEYS_AT_ONCE], const float (&values)[KEYS_AT_ONCE][8])
{
    float highest = head.highest;
#pragma unroll
    for (int key = 0; key < KEYS_AT_ONCE; key++)
        highest = fmaxf(highest, scores[key]);
    // Before the first valid key all is minus infinity, and a difference of infinities would be no number.
    const float base = highest == MINUS_INFINITY ? 0.0f : highest;
    const float kept = exp2_approx(head.highest - base);
    head.sum *= kept;
#pragma unroll
    for (int i = 0; i < 8; i++)
        head.values[i] *= kept;
#pragma unroll
    for (int key = 0; key < KEYS_AT_ONCE; key++)
    {
        const float weight = exp2_approx(scores[key] - base);
        head.sum += weight;
#pragma unroll
        for (int i = 0; i < 8; i++)
            head.values[i] = fmaf(weight, values[key][i], head.values[i]);
    }
    head.highest = highest;
}

LAZYLLM_DEVICE void attend_rows(const AttentionArgs &args)
{
    __shared__ float merged[KEY_GROUPS][HEADS_PER_BLOCK][LANES * 8 + 2];

    const i32 rows = row_count(args.count);
    const i32 row = (i32)blockIdx.z;
    if (row >= rows)
        return;
    const i32 first_head = (i32)blockIdx.y * HEADS_PER_BLOCK;
    const i32 kv_head = first_head / (args.heads / args.kv_heads);
    const i32 lane = (i32)threadIdx.x % LANES;
    const i32 group = (i32)threadIdx.x / LANES;
    const i32 share = (token_count(args) + args.splits - 1) / args.splits;
    const i32 first = (i32)blockIdx.x * share;
    const i32 seen = seen_by(args, row, rows);
    const i32 end = first + share < seen ? first + share : seen;

    float queries[HEADS_PER_BLOCK][8];
    RunningAttention running[HEADS_PER_BLOCK];
    const Stored *query = args.queries + (i64)row * args.row_stride + first_head * HEAD_SIZE;
#pragma unroll
    for (int head = 0; head < HEADS_PER_BLOCK; head++)
    {
        load_eight(query + head * HEAD_SIZE, lane, true, queries[head]);
        running[head].highest = MINUS_INFINITY;
        running[head].sum = 0.0f;
#pragma unroll
        for (int i = 0; i < 8; i++)
            running[head].values[i] = 0.0f;
    }

    // Every thread of a warp goes round as often as the others: the scores are summed over lanes.
    for (i32 place = first; place < end; place += KEY_GROUPS * KEYS_AT_ONCE)
    {
        float keys[KEYS_AT_ONCE][8], values[KEYS_AT_ONCE][8];
        bool valid[KEYS_AT_ONCE];
#pragma unroll
        for (int key = 0; key < KEYS_AT_ONCE; key++)
        {
            const i32 mine = place + key * KEY_GROUPS + group;
            valid[key] = mine < end;
            const Stored *cached = args.keys + (valid[key] ? slot_of_place(args, mine) : 0) * args.slot_stride + kv_head * HEAD_SIZE;
            load_eight(cached, lane, valid[key], keys[key]);
            load_eight(cached + args.value_offset, lane, valid[key], values[key]);
        }
#pragma unroll
        for (int head = 0; head < HEADS_PER_BLOCK; head++)
        {
            float scores[KEYS_AT_ONCE];
#pragma unroll
            for (int key = 0; key < KEYS_AT_ONCE; key++)
            {
                float product = 0.0f;
#pragma unroll
                for (int i = 0; i < 8; i++)
                    product = fmaf(queries[head][i], keys[key][i], product);
                const float score = group_sum(product) * args.scale;
                scores[key] = valid[key] ? score : MINUS_INFINITY;
            }
            take_keys(running[head], scores, values);
        }
    }

#pragma unroll
    for (int head = 0; head < HEADS_PER_BLOCK; head++)
    {
        float *mine = merged[group][head];
#pragma unroll
        for (int i = 0; i < 8; i++)
            mine[8 * lane + i] = running[head].values[i];
        if (lane == 0)
        {
            mine[LANES * 8] = running[head].highest;
            mine[LANES * 8 + 1] = running[head].sum;
        }
    }
    __syncthreads();

    for (i32 item = (i32)threadIdx.x; item < HEADS_PER_BLOCK * HEAD_SIZE; item += ATTEND_THREADS)
    {
        const i32 head = item / HEAD_SIZE;
        const i32 column = item % HEAD_SIZE;
        float highest = MINUS_INFINITY;
        for (int g = 0; g < KEY_GROUPS; g++)
            highest = fmaxf(highest, merged[g][head][LANES * 8]);
        const float base = highest == MINUS_INFINITY ? 0.0f : highest;
        float sum = 0.0f, value = 0.0f;
        for (int g = 0; g < KEY_GROUPS; g++)
        {
            const float weight = exp2_approx(merged[g][head][LANES * 8] - base);
            sum = fmaf(weight, merged[g][head][LANES * 8 + 1], sum);
            value = fmaf(weight, merged[g][head][column], value);
        }

        const i64 target = (i64)row * args.heads + first_head + head;
        if (args.splits == 1)
        {
            store_one(args.output + target * HEAD_SIZE + column, value / sum);
            continue;
        }
        float *partial = args.partials + (target * args.splits + (i64)blockIdx.x) * PARTIAL_SIZE;
        partial[2 + column] = value;
        if (column == 0)
        {
            partial[0] = highest;
            partial[1] = sum;
        }
    }
}

/// Block (head, row): merges the splits. A split without keys the row sees has sum 0 and maximum minus infinity.
LAZYLLM_DEVICE void combine_rows(const AttentionArgs &args)
{
    const i32 row = (i32)blockIdx.y;
    if (row >= row_count(args.count))
        return;
    const i64 target = (i64)row * args.heads + (i64)blockIdx.x;
    const float *partials = args.partials + target * args.splits * PARTIAL_SIZE;
    float highest = MINUS_INFINITY;
    for (i32 split = 0; split < args.splits; split++)
        highest = fmaxf(highest, partials[split * PARTIAL_SIZE]);
    for (i32 column = (i32)threadIdx.x; column < HEAD_SIZE; column += ATTEND_THREADS)
    {
        float sum = 0.0f, value = 0.0f;
        for (i32 split = 0; split < args.splits; split++)
        {
            const float *partial = partials + split * PARTIAL_SIZE;
            const float weight = exp2_approx(partial[0] - highest);
            sum = fmaf(weight, partial[1], sum);
            value = fmaf(weight, partial[2 + column], value);
        }
        store_one(args.output + target * HEAD_SIZE + column, value / sum);
    }
}
