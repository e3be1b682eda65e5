// ScoreLast: importance of each position of T = mean over the query heads, and over the last `queries` rows of C, of the
// attention probability that the row pays to it; zero behind the row.
//
// lazyllm_score_keys  block (split, heads of one K/V head, query): q · k of every key, reading K once for all heads that
//                     share it; scores[query][head][place], and per split the maximum and the sum of powers
// lazyllm_score_mean  one thread per place: sum over queries and heads, in order, of 2^(score - maximum) / sum
// Scores are float32 in units of log2; all sums are in fixed order. Called by CudaOperations.ScoreLast after the stage's last
// layer(s). Bound by the bytes of K, which the attention before it has left in the L2 cache as far as it holds them.
// Compiled per storage format, LAZYLLM_HEAD_SIZE and LAZYLLM_HEADS_PER_BLOCK.
#include "attention_rows.cuh"

#define MEAN_THREADS 256
#define MOST_SCORED_HEADS 512

struct ScoreArgs
{
    AttentionArgs attention; // queries, keys, slots, places, sizes; `splits` splits
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

LAZYLLM_KERNEL(lazyllm_score_keys, ScoreArgs, ATTEND_THREADS)
{
    __shared__ float tops[KEY_GROUPS][HEADS_PER_BLOCK];
    __shared__ float sums[KEY_GROUPS][HEADS_PER_BLOCK];

    launch_dependents();
    wait_for_dependencies();
    const AttentionArgs &attention = args.attention;
    const i32 rows = row_count(attention.count);
    const i32 row = scored_row(args, (i32)blockIdx.z, rows);
    const i32 first_head = (i32)blockIdx.y * HEADS_PER_BLOCK;
    const i32 kv_head = first_head / (attention.heads / attention.kv_heads);
    const i32 lane = (i32)threadIdx.x % LANES;
    const i32 group = (i32)threadIdx.x / LANES;
    const i32 share = (token_count(attention) + attention.splits - 1) / attention.splits;
    const i32 first = (i32)blockIdx.x * share;
    const i32 seen = seen_by(attention, row, rows);
    const i32 end = first + share < seen ? first + share : seen;

    float queries[HEADS_PER_BLOCK][8], top[HEADS_PER_BLOCK], sum[HEADS_PER_BLOCK];
    const Stored *query = attention.queries + (i64)row * attention.row_stride + first_head * HEAD_SIZE;
#pragma unroll
    for (int head = 0; head < HEADS_PER_BLOCK; head++)
    {
        load_eight(query + head * HEAD_SIZE, lane, true, queries[head]);
        top[head] = MINUS_INFINITY;
        sum[head] = 0.0f;
    }

    for (i32 place = first; place < end; place += KEY_GROUPS * KEYS_AT_ONCE)
    {
        float keys[KEYS_AT_ONCE][8];
        bool valid[KEYS_AT_ONCE];
#pragma unroll
        for (int key = 0; key < KEYS_AT_ONCE; key++)
        {
            const i32 mine = place + key * KEY_GROUPS + group;
            valid[key] = mine < end;
            load_eight(attention.keys + (valid[key] ? slot_of_place(attention, mine) : 0) * attention.slot_stride + kv_head * HEAD_SIZE, lane, valid[key], keys[key]);
        }
#pragma unroll
        for (int key = 0; key < KEYS_AT_ONCE; key++)
        {
            const i32 mine = place + key * KEY_GROUPS + group;
#pragma unroll
            for (int head = 0; head < HEADS_PER_BLOCK; head++)
            {
                float product = 0.0f;
#pragma unroll
                for (int i = 0; i < 8; i++)
                    product = fmaf(queries[head][i], keys[key][i], product);
                const float score = group_sum(product) * attention.scale;
                if (!valid[key])
                    continue;
                if (lane == 0)
                    args.scores[((i64)blockIdx.z * attention.heads + first_head + head) * args.score_stride + mine] = score;
                const float higher = fmaxf(top[head], score);
                sum[head] = sum[head] * exp2_approx(top[head] - higher) + exp2_approx(score - higher);
                top[head] = higher;
            }
        }
    }

    if (lane == 0)
    {
#pragma unroll
        for (int head = 0; head < HEADS_PER_BLOCK; head++)
        {
            tops[group][head] = top[head];
            sums[group][head] = sum[head];
        }
    }
    __syncthreads();
    if (threadIdx.x < HEADS_PER_BLOCK)
    {
        const i32 head = (i32)threadIdx.x;
        float highest = MINUS_INFINITY;
        for (int g = 0; g < KEY_GROUPS; g++)
            highest = fmaxf(highest, tops[g][head]);
        const float base = highest == MINUS_INFINITY ? 0.0f : highest;
        float total = 0.0f;
        for (int g = 0; g < KEY_GROUPS; g++)
            total = fmaf(sums[g][head], exp2_approx(tops[g][head] - base), total);
        float *partial = args.partials + 2 * ((((i64)blockIdx.z * attention.heads + first_head + head) * attention.splits) + (i64)blockIdx.x);
        partial[0] = highest;
        partial[1] = total;
    }
}

LAZYLLM_KERNEL(lazyllm_score_mean, ScoreArgs, MEAN_THREADS)
{
    __shared__ float tops[MOST_SCORED_HEADS];
    __shared__ float scales[MOST_SCORED_HEADS];

    launch_dependents();
    wait_for_dependencies();
    const AttentionArgs &attention = args.attention;
    const i32 rows = row_count(attention.count);
    const i32 tokens = token_count(attention);
    const i32 place = (i32)(blockIdx.x * MEAN_THREADS + threadIdx.x);
    float mean = 0.0f;
    for (i32 query = 0; query < args.queries; query++)
    {
        __syncthreads();
        for (i32 head = (i32)threadIdx.x; head < attention.heads; head += MEAN_THREADS)
        {
            const float *partials = args.partials + 2 * ((i64)query * attention.heads + head) * attention.splits;
            float highest = MINUS_INFINITY;
            for (i32 split = 0; split < attention.splits; split++)
                highest = fmaxf(highest, partials[2 * split]);
            float total = 0.0f;
            for (i32 split = 0; split < attention.splits; split++)
                total = fmaf(partials[2 * split + 1], exp2_approx(partials[2 * split] - highest), total);
            tops[head] = highest;
            scales[head] = 1.0f / (total * (float)(attention.heads * args.queries));
        }
        __syncthreads();
        if (place < tokens && place < seen_by(attention, scored_row(args, query, rows), rows))
        {
            const float *scores = args.scores + (i64)query * attention.heads * args.score_stride + place;
            for (i32 head = 0; head < attention.heads; head++)
                mean = fmaf(exp2_approx(scores[(i64)head * args.score_stride] - tops[head]), scales[head], mean);
        }
    }
    if (place < tokens)
        args.importance[place] = args.accumulate ? fmaxf(args.importance[place], mean) : mean;
}
