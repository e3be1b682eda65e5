// Attention of many rows on compute capability 9.0 by wgmma, in the way of FlashAttention-3: the body of attention_sm90.cu and
// attention_gathered_sm90.cu. How K and V come to shared memory is in attention_copies_sm90.cuh.
//
// Shapes and arguments as in attention.cuh, without device-side counts; compiled per 16-bit storage format (no LAZYLLM_STORAGE_F32) and
// LAZYLLM_HEAD_SIZE, up to 128, which is filled with zeros to a multiple of 64.
//
// A block stays on its multiprocessor and takes tiles of 128 rows of one head in turn, those that see the most keys first. One
// warpgroup copies: the rows' Q, and K and V in tiles of 128 keys through two rings. Two warpgroups take
// 64 rows each: S = Q K^T into registers, P by online softmax in place, O += P V with P from registers. A tile's S and the O of the
// tile before are on the matrix units while nothing waits for them; and the two warpgroups take turns in giving the units
// work, so that one computes exponentials while the products of the other run.
// Bound by the matrix units; the exponentials take half of the products' time.
#pragma once
#include "attention_copies_sm90.cuh"

/// Waits for a tile of K or V. What threads have copied, the matrix units see behind a fence alone.
template <AttendKind Kind> LAZYLLM_DEVICE void wait_for_tile(u64 *full, u32 parity)
{
    mbarrier_wait(full, parity);
    if constexpr (Kind != ATTEND_IN_ORDER)
        fence_async_proxy();
}

#if PANELS == 1
LAZYLLM_DEVICE void add_values(float (&output)[32], const u32 *weights, u64 values, u32 accumulate)
{
    wgmma_m64n64k16_rows(output, weights, values, accumulate);
}
#else
LAZYLLM_DEVICE void add_values(float (&output)[64], const u32 *weights, u64 values, u32 accumulate)
{
    wgmma_m64n128k16_rows(output, weights, values, accumulate);
}
#endif

/// S = Q K^T of a warpgroup's rows and a tile of keys; on its way when this returns.
LAZYLLM_DEVICE void begin_scores(float (&scores)[64], const HeadTile &queries, i32 half, const HeadTile &keys)
{
#pragma unroll
    for (int k = 0; k < WIDTH / 16; k++)
    {
        const u64 rows = swizzled_tile(queries.panels[k / 4] + half * 64 * 64) + 2 * (k % 4);
        wgmma_m64n128k16(scores, rows, swizzled_tile(keys.panels[k / 4]) + 2 * (k % 4), k > 0 ? 1u : 0u);
    }
    wgmma_commit();
}

/// O += P V, or O = P V; on its way when this returns.
LAZYLLM_DEVICE void begin_output(float (&output)[WIDTH / 2], const u32 (&weights)[32], const HeadTile &values, bool is_first)
{
    const u64 tile = swizzled_panels(values.panels[0], (u32)sizeof(values.panels[0]));
#pragma unroll
    for (int k = 0; k < TILE_KEYS / 16; k++)
        add_values(output, weights + 4 * k, tile + 128 * k, is_first && k == 0 ? 0u : 1u);
    wgmma_commit();
}

/// The running softmax of a thread's two rows: its own, and the one eight below.
struct Softmax
{
    float highest[2];
    float sums[2]; // of the thread's columns; the row's are spread over four lanes
    float kept[2]; // what the tile left of the sums and of O before it
};

/// Scores become weights. Every row sees the first key, so that from the first tile on no maximum is minus infinity; but not in every part.
template <AttendKind Kind> LAZYLLM_DEVICE void weigh(float (&scores)[64], Softmax &softmax, float scale)
{
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        float top = softmax.highest[half];
#pragma unroll
        for (int n = 0; n < TILE_KEYS / 8; n++)
            top = fmaxf(top, fmaxf(scores[4 * n + 2 * half], scores[4 * n + 2 * half + 1]));
        top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFFu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFFu, top, 2));
        const float finite = Kind == ATTEND_PAIRED && top == MINUS_INFINITY ? 0.0f : top;
        softmax.kept[half] = exp2_approx((softmax.highest[half] - finite) * scale);
        softmax.highest[half] = top;
        const float base = finite * scale;
        float sum = softmax.sums[half] * softmax.kept[half];
#pragma unroll
        for (int n = 0; n < TILE_KEYS / 8; n++)
        {
#pragma unroll
            for (int i = 4 * n + 2 * half; i < 4 * n + 2 * half + 2; i++)
            {
                scores[i] = exp2_approx(fmaf(scores[i], scale, -base));
                sum += scores[i];
            }
        }
        softmax.sums[half] = sum;
    }
}

LAZYLLM_DEVICE void hide_unseen(float (&scores)[64], i32 first_key, const i32 (&seen)[2])
{
#pragma unroll
    for (int i = 0; i < 64; i++)
    {
        if (first_key + 8 * (i / 4) + 2 * ((i32)threadIdx.x % 4) + i % 2 >= seen[i / 2 % 2])
            scores[i] = MINUS_INFINITY;
    }
}

LAZYLLM_DEVICE void pack_weights(u32 (&weights)[32], const float (&scores)[64])
{
#pragma unroll
    for (int i = 0; i < 32; i++)
        weights[i] = Storage<Stored>::pack(scores[2 * i], scores[2 * i + 1]);
}

/// A thread's two rows of O, divided by their sums; four lanes exchange theirs so that each writes 16 bytes at a time.
LAZYLLM_DEVICE void write_output(const AttentionArgs &args, const float (&output)[WIDTH / 2], const Softmax &softmax, i32 row, i32 head)
{
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        float sum = softmax.sums[half];
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
        const float scale = 1.0f / sum;
        const bool is_row = row + 8 * half < args.count.limit;
        if (is_row && threadIdx.x % 4 == 0)
            keep_normalizer(args, row + 8 * half, args.count.limit, head, softmax.highest[half] * args.scale, sum);
        Stored *target = args.output + ((i64)(row + 8 * half) * args.heads + head) * HEAD_SIZE;
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j += 4)
        {
            u32 words[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                words[i] = Storage<Stored>::pack(output[4 * (j + i) + 2 * half] * scale, output[4 * (j + i) + 2 * half + 1] * scale);
            transpose_quad(words);
            const i32 column = 8 * (j + (i32)threadIdx.x % 4);
            if (is_row && column < HEAD_SIZE)
                *reinterpret_cast<uint4 *>(target + column) = make_uint4(words[0], words[1], words[2], words[3]);
        }
    }
}

/// Merges what the two blocks of a cluster have made of their keys: the first block that of the first 64 rows, the second that of the
/// others. Sums go through the rows' Q, which both blocks are done with; maxima and their sums of powers, alike in the four lanes of a row,
/// beside it.
LAZYLLM_DEVICE bool merge_parts(float (&output)[WIDTH / 2], Softmax &softmax, HeadTile &queries, i32 half, float scale)
{
    __shared__ float4 softmaxes[32];
    const i32 thread = (i32)threadIdx.x % 128;
    const bool is_first_lane = thread % 4 == 0;
    float4 *exchange = reinterpret_cast<float4 *>(&queries) + thread;
    const bool is_own = half == cluster_rank();
    cluster_barrier();
    if (!is_own)
    {
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j++)
            store_cluster_four(exchange + 128 * j, half, output[4 * j], output[4 * j + 1], output[4 * j + 2], output[4 * j + 3]);
        float sums[2];
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            sums[i] = softmax.sums[i] + __shfl_xor_sync(0xFFFFFFFFu, softmax.sums[i], 1);
            sums[i] += __shfl_xor_sync(0xFFFFFFFFu, sums[i], 2);
        }
        if (is_first_lane)
            store_cluster_four(&softmaxes[thread / 4], half, softmax.highest[0], softmax.highest[1], sums[0], sums[1]);
    }
    // From here on a block reads its own memory alone, so that the other may end.
    cluster_barrier();
    if (!is_own)
        return false;
    const float4 other = softmaxes[thread / 4];
    float own_weight[2], other_weight[2];
#pragma unroll
    for (int i = 0; i < 2; i++)
    {
        const float other_highest = i == 0 ? other.x : other.y;
        const float top = fmaxf(softmax.highest[i], other_highest);
        own_weight[i] = exp2_approx((softmax.highest[i] - top) * scale);
        other_weight[i] = exp2_approx((other_highest - top) * scale);
        softmax.sums[i] = softmax.sums[i] * own_weight[i] + (is_first_lane ? (i == 0 ? other.z : other.w) * other_weight[i] : 0.0f);
        softmax.highest[i] = top;
    }
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++)
    {
        const float4 part = exchange[128 * j];
        output[4 * j] = output[4 * j] * own_weight[0] + part.x * other_weight[0];
        output[4 * j + 1] = output[4 * j + 1] * own_weight[0] + part.y * other_weight[0];
        output[4 * j + 2] = output[4 * j + 2] * own_weight[1] + part.z * other_weight[1];
        output[4 * j + 3] = output[4 * j + 3] * own_weight[1] + part.w * other_weight[1];
    }
    return true;
}

/// How many of T a row of the tile sees; a row beyond the last, which has no place, as many as the last.
template <AttendKind Kind> LAZYLLM_DEVICE i32 seen_by_any(const AttentionArgs &args, i32 row, i32 rows)
{
    return seen_by(args, Kind != ATTEND_IN_ORDER && row >= rows ? rows - 1 : row, rows);
}

template <AttendKind Kind> LAZYLLM_DEVICE void attend(const AttentionArgs &args, i32 head_group, Shared &shared, i32 half)
{
    const bool is_signalling = threadIdx.x % 128 == 0;
    RingPlace key_place = {0, 0u}, value_place = {0, 0u};
    Work work;
    // The first warpgroup has the first turn.
    if (half == 1)
        named_barrier_arrive(1, 256);
    for (i32 round = 0; find_work<Kind>(args, head_group, round, work); round++)
    {
        const i32 rows = args.count.limit;
        const i32 row = work.first_row + 64 * half + 16 * ((i32)threadIdx.x / 32 % 4) + (i32)threadIdx.x % 32 / 4;
        const i32 least_seen = seen_by_any<Kind>(args, work.first_row + 64 * half, rows);
        const i32 seen[2] = {seen_by_any<Kind>(args, row, rows), seen_by_any<Kind>(args, row + 8, rows)};
        Softmax softmax = {{MINUS_INFINITY, MINUS_INFINITY}, {0.0f, 0.0f}, {1.0f, 1.0f}};
        float output[WIDTH / 2];
        float scores[64];
        u32 weights[32];

        mbarrier_wait(&shared.queries_full, (u32)(round & 1));
        // Of few keys the second of two blocks may have none.
        if (Kind == ATTEND_PAIRED && work.first_tile == work.end_tile)
        {
#pragma unroll
            for (int i = 0; i < WIDTH / 2; i++)
                output[i] = 0.0f;
        }
        else
        {
            wait_for_tile<Kind>(&shared.keys_full[key_place.stage], key_place.parity);
            wgmma_fence();
            begin_scores(scores, shared.queries, half, shared.keys[key_place.stage]);
            wgmma_wait<0>();
            wgmma_written(scores);
            if (is_signalling)
                mbarrier_arrive(&shared.keys_empty[key_place.stage]);
            next_stage<STAGES>(key_place);
            if ((work.first_tile + 1) * TILE_KEYS > least_seen)
                hide_unseen(scores, work.first_tile * TILE_KEYS, seen);
            weigh<Kind>(scores, softmax, args.scale);
            pack_weights(weights, scores);

            for (i32 tile = work.first_tile + 1; tile < work.end_tile; tile++)
            {
                wait_for_tile<Kind>(&shared.keys_full[key_place.stage], key_place.parity);
                named_barrier_wait(1 + half, 256);
                wgmma_fence();
                begin_scores(scores, shared.queries, half, shared.keys[key_place.stage]);
                wait_for_tile<Kind>(&shared.values_full[value_place.stage], value_place.parity);
                begin_output(output, weights, shared.values[value_place.stage], tile == work.first_tile + 1);
                named_barrier_arrive(2 - half, 256);
                wgmma_wait<1>();
                wgmma_written(scores);
                if (is_signalling)
                    mbarrier_arrive(&shared.keys_empty[key_place.stage]);
                next_stage<STAGES>(key_place);
                if ((tile + 1) * TILE_KEYS > least_seen)
                    hide_unseen(scores, tile * TILE_KEYS, seen);
                weigh<Kind>(scores, softmax, args.scale);
                wgmma_wait<0>();
                wgmma_written(output);
                if (is_signalling)
                    mbarrier_arrive(&shared.values_empty[value_place.stage]);
                next_stage<STAGES>(value_place);
#pragma unroll
                for (int i = 0; i < WIDTH / 2; i++)
                    output[i] *= softmax.kept[i / 2 % 2];
                pack_weights(weights, scores);
            }

            // All products with the rows' Q are done.
            if (is_signalling)
                mbarrier_arrive(&shared.queries_empty);
            wait_for_tile<Kind>(&shared.values_full[value_place.stage], value_place.parity);
            wgmma_fence();
            begin_output(output, weights, shared.values[value_place.stage], work.end_tile == work.first_tile + 1);
            wgmma_wait<0>();
            wgmma_written(output);
            if (is_signalling)
                mbarrier_arrive(&shared.values_empty[value_place.stage]);
            next_stage<STAGES>(value_place);
        }
        if constexpr (Kind == ATTEND_PAIRED)
        {
            if (!merge_parts(output, softmax, shared.queries, half, args.scale))
                continue;
        }
        write_output(args, output, softmax, row, work.head);
    }
    // As many wait as have arrived.
    if (half == 0)
        named_barrier_wait(1, 256);
}

/// The kernels' body.
template <AttendKind Kind> LAZYLLM_DEVICE void attend_sm90(const AttentionSm90Args &args)
{
    constexpr bool is_gathered = Kind != ATTEND_IN_ORDER;
    LAZYLLM_SHARED_BYTES(bytes);
    Shared &shared = *reinterpret_cast<Shared *>(bytes);
    if (threadIdx.x == 0)
    {
        // A tile of K or V is announced by one thread, or by all that gather it.
        const u32 copiers = is_gathered ? 128u : 1u;
        prefetch_tensor_map(&args.queries);
        if (!is_gathered)
        {
            prefetch_tensor_map(&args.keys);
            prefetch_tensor_map(&args.values);
        }
        mbarrier_init(&shared.queries_full, 1);
        mbarrier_init(&shared.queries_empty, 2);
        for (i32 stage = 0; stage < STAGES; stage++)
        {
            mbarrier_init(&shared.keys_full[stage], copiers);
            mbarrier_init(&shared.keys_empty[stage], 2);
            mbarrier_init(&shared.values_full[stage], copiers);
            mbarrier_init(&shared.values_empty[stage], 2);
        }
        fence_mbarrier_init();
    }
    __syncthreads();
    launch_dependents();
    wait_for_dependencies();

    const i32 warpgroup = (i32)threadIdx.x / 128;
    if (warpgroup == 0)
    {
        // Threads that gather have addresses to compute.
        give_registers<is_gathered ? 40 : 24>();
        if constexpr (is_gathered)
            gather_all<Kind>(args, shared);
        else if (threadIdx.x == 0)
            copy_all(args, shared);
        if constexpr (Kind == ATTEND_PAIRED)
        {
            // Those of merge_parts, where all threads of the cluster meet.
            cluster_barrier();
            cluster_barrier();
        }
        return;
    }
    take_registers<is_gathered ? 232 : 240>();
    attend<Kind>(args.attention, args.head_group, shared, warpgroup - 1);
}
