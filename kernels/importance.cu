// ScoreLast: importance of each position of T = mean over the query heads, and over the last `queries` rows of C, of the
// attention probability that the row pays to it; zero behind the row.
//
// What a row's scores are divided by, its attention has left (AttentionArgs.normalizers), so that one pass over K says all:
// 2^(q · k - normalizer). A block takes batches of keys in turn with the other blocks. Its groups of LANES threads stand side by side
// on a batch, each for the heads that share a K/V head, so that K is read once for all heads and queries; a lane is left with a key of
// its group, and sums what the heads pay to it; the groups' sums meet in shared memory. Keys come by asynchronous
// copies through a ring of which every thread reads what it copied itself, their slots a batch earlier. Small blocks, and no more
// stages than two, leave room for those of the next kernel: longer rings were slower, as a launch's first keys come late.
// All sums are in fixed order, and a place's importance does not depend on the number of blocks. Called by CudaOperations.ScoreLast
// behind the attention of the stage's last layer(s), which has left K in the L2 cache as far as it holds them. Bound by the
// bytes of K, for few positions by latency.
// Compiled per storage format, LAZYLLM_HEAD_SIZE and LAZYLLM_HEADS_PER_BLOCK.
#include "attention_rows.cuh"

#define SCORE_THREADS 256
#define SCORE_GROUPS (SCORE_THREADS / LANES)
#define SCORE_STAGES 2

/// Keys that a group scores at a time.
#define SCORED_KEYS (sizeof(Stored) > 2 ? 2 : 4)

/// Pieces of 16 bytes that a thread has of a key.
#define PIECES ((int)sizeof(Pack) / 16)

struct ScoreArgs
{
    AttentionArgs attention; // queries, keys, slots, places, sizes, normalizers
    float *importance;       // by place in T
    i32 queries;
    i32 accumulate;          // whether importance becomes the maximum of old and new
};

/// How many of `values` numbers a lane is left with by sum_over_lanes.
constexpr int values_left(int values, int lanes)
{
    return lanes > 1 && values % 2 == 0 ? values_left(values / 2, lanes / 2) : values;
}

enum
{
    KEYS_LEFT = values_left(SCORED_KEYS, LANES),
    KEY_COPIES = LANES * KEYS_LEFT / SCORED_KEYS, // lanes that are left with the same keys
};

/// Sums `Values` numbers over a group's lanes. At each step a lane gives half of its numbers away and keeps the other half, as
/// long as they can be halved: of 4 numbers and 16 lanes 5 are exchanged, not 16. Lane l is left with the sums from
/// l / KEY_COPIES * KEYS_LEFT on.
template <int Values, int Step> LAZYLLM_DEVICE void sum_over_lanes(float (&numbers)[SCORED_KEYS], i32 lane)
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

/// The ring as a thread sees it: its own pieces of a stage's keys.
LAZYLLM_DEVICE uint4 *own_piece(uint4 *ring, i32 stage, i32 key, i32 piece)
{
    return ring + ((stage * (i32)SCORED_KEYS + key) * PIECES + piece) * SCORE_THREADS + (i32)threadIdx.x;
}

/// The slots of a group's keys; -1 from `end` on.
LAZYLLM_DEVICE void load_slots(const AttentionArgs &args, i32 (&slots)[SCORED_KEYS], i32 place, i32 end)
{
#pragma unroll
    for (int key = 0; key < (int)SCORED_KEYS; key++)
        slots[key] = place + key < end ? (i32)slot_of_place(args, place + key) : -1;
}

LAZYLLM_DEVICE void copy_key(uint4 *ring, i32 stage, int key, const Stored *source, u32 bytes)
{
#pragma unroll
    for (int piece = 0; piece < PIECES; piece++)
        cp_async_16_zfill(own_piece(ring, stage, key, piece), reinterpret_cast<const uint4 *>(source) + piece, bytes);
}

/// Adds to `weights` what the heads from first_head on pay to a group's keys, in the order in which sum_over_lanes leaves them to the
/// lanes. `first_key` is the place of the lane's first.
LAZYLLM_DEVICE void add_weights(const ScoreArgs &args, float (&weights)[KEYS_LEFT], const Pack (&keys)[SCORED_KEYS], i32 first_head, i32 first_key, i32 rows, i32 lane)
{
    const AttentionArgs &attention = args.attention;
    for (i32 from_newest = 0; from_newest < args.queries; from_newest++)
    {
        const i32 row = rows - 1 - from_newest;
        const i32 seen = seen_by(attention, row, rows);
        const Stored *queries = attention.queries + (i64)row * attention.row_stride + first_head * HEAD_SIZE;
        const float *normalizers = attention.normalizers + (i64)from_newest * attention.heads + first_head;
        // One head after another: more at once would need more registers than four blocks of a multiprocessor have.
#pragma unroll 1
        for (int head = 0; head < HEADS_PER_BLOCK; head++)
        {
            float query[8], scores[SCORED_KEYS];
            load_eight(queries + head * HEAD_SIZE, lane, true, query);
            const float normalizer = normalizers[head];
#pragma unroll
            for (int key = 0; key < (int)SCORED_KEYS; key++)
            {
                float numbers[8];
                widen_pack(keys[key], numbers);
                scores[key] = 0.0f;
#pragma unroll
                for (int i = 0; i < 8; i++)
                    scores[key] = fmaf(query[i], numbers[i], scores[key]);
            }
            sum_over_lanes<SCORED_KEYS, LANES / 2>(scores, lane);
#pragma unroll
            for (int i = 0; i < KEYS_LEFT; i++)
            {
                const float weight = exp2_approx(fmaf(scores[i], attention.scale, -normalizer));
                weights[i] += first_key + i < seen ? weight : 0.0f;
            }
        }
    }
}

LAZYLLM_KERNEL(lazyllm_score, ScoreArgs, SCORE_THREADS, 4)
{
    LAZYLLM_SHARED_BYTES(shared);
    __shared__ float sums[2][SCORE_GROUPS][SCORED_KEYS];

    launch_dependents();
    uint4 *const ring = reinterpret_cast<uint4 *>(shared);
    const AttentionArgs &attention = args.attention;
    const i32 rows = row_count(attention.count);
    const i32 tokens = token_count(attention);
    const i32 lane = (i32)threadIdx.x % LANES;
    const i32 group = (i32)threadIdx.x / LANES;
    // Sets of heads, HEADS_PER_BLOCK of one K/V head: as many as there are groups are taken side by side, more in further passes. With
    // fewer sets than groups a block has several batches at a time.
    const i32 sets = attention.heads / HEADS_PER_BLOCK;
    const i32 sets_per_kv_head = sets / attention.kv_heads;
    const i32 side_by_side = sets < SCORE_GROUPS ? sets : SCORE_GROUPS;
    const i32 batches = SCORE_GROUPS / side_by_side;
    const i32 batch = group / side_by_side;
    const i32 own_set = group % side_by_side;
    const i32 turn_keys = batches * (i32)SCORED_KEYS;
    const i32 stride = (i32)gridDim.x * turn_keys;
    // Groups without a batch, and lanes beyond the head's last number, have no keys: theirs are zeros.
    const i32 end = batch < batches && 8 * lane < HEAD_SIZE ? tokens : 0;
    const i32 own_key = batch * (i32)SCORED_KEYS;

    // The step that is copied next: keys of a turn, for the sets from `copied_base` on.
    i32 copied = (i32)blockIdx.x * turn_keys + own_key;
    i32 copied_base = 0;
    i32 slots[SCORED_KEYS];
    auto key_of = [&](i32 slot) {
        const i32 set = copied_base + own_set < sets ? copied_base + own_set : sets - 1;
        return attention.keys + (slot > 0 ? slot : 0) * attention.slot_stride + (set / sets_per_kv_head * HEAD_SIZE + (8 * lane < HEAD_SIZE ? 8 * lane : 0));
    };
    auto copy_step = [&](i32 stage, i32 first_slot) {
#pragma unroll
        for (int key = 0; key < (int)SCORED_KEYS; key++)
        {
            if (slots[key] < 0 || slots[key] >= first_slot)
                copy_key(ring, stage, key, key_of(slots[key]), slots[key] < 0 ? 0u : 16u);
        }
        cp_async_commit();
        copied_base += side_by_side;
        if (copied_base >= sets)
        {
            copied_base = 0;
            copied += stride;
        }
        load_slots(attention, slots, copied, end);
    };

    // Keys of earlier steps, and where they lie, do not wait for the kernel before. Where the host alone knows the counts, all does.
    const i32 settled = settled_slots(attention);
    if (settled > 0)
    {
        load_slots(attention, slots, copied, end);
#pragma unroll
        for (int key = 0; key < (int)SCORED_KEYS; key++)
        {
            if (slots[key] >= 0 && slots[key] < settled)
                copy_key(ring, 0, key, key_of(slots[key]), 16u);
        }
    }
    wait_for_dependencies();
    load_slots(attention, slots, copied, end);
    copy_step(0, settled);
#pragma unroll
    for (i32 stage = 1; stage < SCORE_STAGES - 1; stage++)
        copy_step(stage, 0);

    const float share = 1.0f / ((float)attention.heads * (float)args.queries);
    float weights[KEYS_LEFT] = {};
    i32 base = 0, parity = 0, stage = 0, free_stage = SCORE_STAGES - 1;
    for (i32 first = (i32)blockIdx.x * turn_keys; first < tokens;)
    {
        copy_step(free_stage, 0);
        cp_async_wait<SCORE_STAGES - 1>();
        Pack keys[SCORED_KEYS];
#pragma unroll
        for (int key = 0; key < (int)SCORED_KEYS; key++)
        {
#pragma unroll
            for (int piece = 0; piece < PIECES; piece++)
                keys[key].words[piece] = *own_piece(ring, stage, key, piece);
        }
        free_stage = stage;
        stage = stage == SCORE_STAGES - 1 ? 0 : stage + 1;

        // In the last pass some groups have no set of their own: they go along, for the exchange, with keys that nobody sees.
        const i32 set = base + own_set;
        const i32 lane_key = lane / KEY_COPIES * KEYS_LEFT;
        const i32 lane_place = set < sets ? first + own_key + lane_key : EVERY_SLOT - (i32)SCORED_KEYS;
        add_weights(args, weights, keys, (set < sets ? set : 0) * HEADS_PER_BLOCK, lane_place, rows, lane);
        base += side_by_side;
        if (base < sets)
            continue;

        if (lane % KEY_COPIES == 0)
        {
#pragma unroll
            for (int i = 0; i < KEYS_LEFT; i++)
                sums[parity][group][lane_key + i] = weights[i];
        }
        // One barrier is enough: the next turn's sums go to the other half.
        __syncthreads();
        for (i32 key = (i32)threadIdx.x; key < turn_keys && first + key < tokens; key += SCORE_THREADS)
        {
            float sum = 0.0f;
#pragma unroll 8
            for (i32 set = 0; set < side_by_side; set++)
                sum += sums[parity][key / (i32)SCORED_KEYS * side_by_side + set][key % (i32)SCORED_KEYS];
            sum *= share;
            float *importance = args.importance + first + key;
            *importance = args.accumulate ? fmaxf(*importance, sum) : sum;
        }
#pragma unroll
        for (int i = 0; i < KEYS_LEFT; i++)
            weights[i] = 0.0f;
        base = 0;
        parity ^= 1;
        first += stride;
    }
    cp_async_wait_all();
}
