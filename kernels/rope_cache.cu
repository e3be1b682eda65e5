// RopeToCache: turns Q and K of the QKV rows by their positions (half-split layout), Q in place; K, and V as it is, go to
// the stage cache.
//
// qkv        rows x (query width + 2 K/V widths), Stored: Q heads, K heads, V heads
// turn       positions, slots, cache and angles (rope.cuh)
// One block per row, or several where rows are few; an item is four pairs of a head or eight numbers of V. Bound by the
// bytes it moves at prefill, by their latency at decode.
#include "rope.cuh"
#include "step.cuh"
#include "storage.cuh"

#define ROPE_THREADS 256
#define HEAD_SIZE LAZYLLM_HEAD_SIZE

struct RopeCacheArgs
{
    Stored *qkv;
    RowCount count;
    TurnArgs turn;
};

/// Four numbers at an address aligned to them.
LAZYLLM_DEVICE void load_four(const Stored *source, float (&numbers)[4])
{
#if defined(LAZYLLM_STORAGE_F32)
    const float4 four = *reinterpret_cast<const float4 *>(source);
    numbers[0] = four.x;
    numbers[1] = four.y;
    numbers[2] = four.z;
    numbers[3] = four.w;
#else
    const uint2 four = *reinterpret_cast<const uint2 *>(source);
    numbers[0] = Storage<Stored>::low(four.x);
    numbers[1] = Storage<Stored>::high(four.x);
    numbers[2] = Storage<Stored>::low(four.y);
    numbers[3] = Storage<Stored>::high(four.y);
#endif
}

LAZYLLM_DEVICE void store_four(Stored *target, const float (&numbers)[4])
{
#if defined(LAZYLLM_STORAGE_F32)
    *reinterpret_cast<float4 *>(target) = make_float4(numbers[0], numbers[1], numbers[2], numbers[3]);
#else
    *reinterpret_cast<uint2 *>(target) =
        make_uint2(Storage<Stored>::pack(numbers[0], numbers[1]), Storage<Stored>::pack(numbers[2], numbers[3]));
#endif
}

LAZYLLM_KERNEL(lazyllm_rope_cache, RopeCacheArgs, ROPE_THREADS)
{
    const i32 row = (i32)blockIdx.x;
    launch_dependents();
    if (row >= row_count(args.count))
    {
        wait_for_dependencies();
        return;
    }
    const TurnArgs &turning = args.turn;
    const i32 kv_width = turning.kv_heads * HEAD_SIZE;
    Stored *qkv = args.qkv + (i64)row * (turning.heads * HEAD_SIZE + 2 * kv_width);
    Stored *cached = turning.keys + (i64)turning.slots[row] * turning.slot_stride;
    const i64 angles = (i64)turning.positions[row] * (HEAD_SIZE / 2);

    wait_for_dependencies();
    const i32 per_head = HEAD_SIZE / 8;
    const i32 turned = (turning.heads + turning.kv_heads) * per_head;
    for (i32 item = (i32)(blockIdx.y * ROPE_THREADS + threadIdx.x); item < turned + turning.kv_heads * per_head; item += (i32)gridDim.y * ROPE_THREADS)
    {
        if (item >= turned)
        {
            const i32 column = 8 * (item - turned);
            store_pack(cached + kv_width + column, load_pack(qkv + turning.heads * HEAD_SIZE + kv_width + column));
            continue;
        }

        const i32 head = item / per_head;
        const i32 pair = 4 * (item % per_head);
        const Stored *source = qkv + head * HEAD_SIZE + pair;
        Stored *target = head < turning.heads ? qkv + head * HEAD_SIZE + pair : cached + (head - turning.heads) * HEAD_SIZE + pair;
        const float4 cosines = *reinterpret_cast<const float4 *>(turning.cosines + angles + pair);
        const float4 sines = *reinterpret_cast<const float4 *>(turning.sines + angles + pair);
        const float cosine[4] = {cosines.x, cosines.y, cosines.z, cosines.w};
        const float sine[4] = {sines.x, sines.y, sines.z, sines.w};
        float low[4], high[4];
        load_four(source, low);
        load_four(source + HEAD_SIZE / 2, high);
#pragma unroll
        for (int i = 0; i < 4; i++)
            turn(low[i], high[i], cosine[i], sine[i]);
        store_four(target, low);
        store_four(target + HEAD_SIZE / 2, high);
    }
}
