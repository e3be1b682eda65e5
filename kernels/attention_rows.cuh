// Attention of one row, split over K/V: every storage format; also of more rows in float32, where no matrix unit is exact
// enough.
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

/// What a thread holds of KEYS_AT_ONCE keys and their values, as it is stored.
struct KeyBatch
{
    Pack keys[KEYS_AT_ONCE];
    Pack values[KEYS_AT_ONCE];
};

#define EVERY_SLOT 0x7FFFFFFF

/// The slots before it hold K and V of earlier steps, which no kernel of this step writes. 0 where only the host knows the counts.
LAZYLLM_DEVICE i32 settled_slots(const AttentionArgs &args)
{
    return args.count.state != nullptr ? args.count.state->slot_count - args.count.state->rows : 0;
}

/// Reads the keys at places `place`, `place` + KEY_GROUPS, ... whose slots lie from first_slot on, before end_slot.
LAZYLLM_DEVICE void load_keys(const AttentionArgs &args, KeyBatch &batch, i32 place, i32 end, i32 kv_head, i32 lane, i32 first_slot, i32 end_slot)
{
    if (8 * lane >= HEAD_SIZE)
        return;
#pragma unroll
    for (int key = 0; key < KEYS_AT_ONCE; key++)
    {
        const i32 mine = place + key * KEY_GROUPS;
        const i64 slot = mine < end ? slot_of_place(args, mine) : -1;
        if (slot >= first_slot && slot < end_slot)
        {
            const Stored *cached = args.keys + slot * args.slot_stride + kv_head * HEAD_SIZE + 8 * lane;
            batch.keys[key] = load_pack(cached);
            batch.values[key] = load_pack(cached + args.value_offset);
        }
    }
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
    launch_dependents();
    if (row >= rows)
    {
        wait_for_dependencies();
        return;
    }
    const i32 first_head = (i32)blockIdx.y * HEADS_PER_BLOCK;
    const i32 kv_head = first_head / (args.heads / args.kv_heads);
    const i32 lane = (i32)threadIdx.x % LANES;
    const i32 group = (i32)threadIdx.x / LANES;
    const i32 share = (token_count(args) + args.splits - 1) / args.splits;
    const i32 first = (i32)blockIdx.x * share;
    const i32 seen = seen_by(args, row, rows);
    const i32 end = first + share < seen ? first + share : seen;

    // Keys of earlier steps do not wait for the kernel before, which writes those of this one.
    KeyBatch batch = {};
    const i32 settled = settled_slots(args);
    load_keys(args, batch, first + group, end, kv_head, lane, 0, settled);
    wait_for_dependencies();
    load_keys(args, batch, first + group, end, kv_head, lane, settled, EVERY_SLOT);

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
        if (place > first)
            load_keys(args, batch, place + group, end, kv_head, lane, 0, EVERY_SLOT);
        float values[KEYS_AT_ONCE][8], keys[KEYS_AT_ONCE][8];
#pragma unroll
        for (int key = 0; key < KEYS_AT_ONCE; key++)
        {
            widen_pack(batch.keys[key], keys[key]);
            widen_pack(batch.values[key], values[key]);
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
                scores[key] = place + key * KEY_GROUPS + group < end ? score : MINUS_INFINITY;
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
        // In 16 bits the merge keeps the normalizer, also of one split: here that would cost registers, and so blocks that run at once.
        if (sizeof(Stored) > 2 && args.splits == 1)
        {
            if (column == 0)
                keep_normalizer(args, row, rows, first_head + head, highest, sum);
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

#define COMBINE_THREADS 512
#define COMBINE_GROUPS (COMBINE_THREADS / HEAD_SIZE)
#define MOST_SPLITS 64
#define SPLITS_PER_GROUP ((MOST_SPLITS + COMBINE_GROUPS - 1) / COMBINE_GROUPS)

/// Block (head, row): merges up to MOST_SPLITS splits. A split without keys the row sees has sum 0 and maximum minus
/// infinity. Groups of HEAD_SIZE threads take a split each in turn; everything is read at once, since it is bound by latency.
LAZYLLM_DEVICE void combine_rows(const AttentionArgs &args)
{
    __shared__ float highest_of[MOST_SPLITS], sum_of[MOST_SPLITS];
    __shared__ float merged[COMBINE_GROUPS][HEAD_SIZE + 1];

    const i32 row = (i32)blockIdx.y;
    launch_dependents();
    wait_for_dependencies();
    if (row >= row_count(args.count))
        return;
    const i32 thread = (i32)threadIdx.x;
    const i32 group = thread / HEAD_SIZE, column = thread % HEAD_SIZE;
    const i64 target = (i64)row * args.heads + (i64)blockIdx.x;
    const float *partials = args.partials + target * args.splits * PARTIAL_SIZE;
    float values[SPLITS_PER_GROUP];
#pragma unroll
    for (int i = 0; i < SPLITS_PER_GROUP; i++)
    {
        const i32 split = group + i * COMBINE_GROUPS;
        values[i] = group < COMBINE_GROUPS && split < args.splits ? partials[split * PARTIAL_SIZE + 2 + column] : 0.0f;
    }
    if (thread < args.splits)
    {
        highest_of[thread] = partials[thread * PARTIAL_SIZE];
        sum_of[thread] = partials[thread * PARTIAL_SIZE + 1];
    }
    __syncthreads();

    float highest = MINUS_INFINITY;
    for (i32 split = 0; split < args.splits; split++)
        highest = fmaxf(highest, highest_of[split]);
    float sum = 0.0f, value = 0.0f;
#pragma unroll
    for (int i = 0; i < SPLITS_PER_GROUP; i++)
    {
        const i32 split = group + i * COMBINE_GROUPS;
        if (group < COMBINE_GROUPS && split < args.splits)
        {
            const float weight = exp2_approx(highest_of[split] - highest);
            sum = fmaf(weight, sum_of[split], sum);
            value = fmaf(weight, values[i], value);
        }
    }
    if (group < COMBINE_GROUPS)
    {
        merged[group][column] = value;
        if (column == 0)
            merged[group][HEAD_SIZE] = sum;
    }
    __syncthreads();
    if (thread >= HEAD_SIZE)
        return;
    sum = 0.0f;
    value = 0.0f;
#pragma unroll
    for (int g = 0; g < COMBINE_GROUPS; g++)
    {
        sum += merged[g][HEAD_SIZE];
        value += merged[g][column];
    }
    if (column == 0)
        keep_normalizer(args, row, row_count(args.count), (i32)blockIdx.x, highest, sum);
    store_one(args.output + target * HEAD_SIZE + column, value / sum);
}
