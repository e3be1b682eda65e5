// Where Q, K and V of a row go, and what turns a pair of numbers of Q or K by a position's angle: the same to the bit wherever
// it is done (rope_cache.cu, gemv_sm90.cu, gemm_rope_sm90.cu). Per LAZYLLM_HEAD_SIZE.
#pragma once
#include "storage.cuh"

struct TurnArgs
{
    Stored *keys;          // K of the layer at slot 0, V follows at + K/V width; slots `slot_stride` numbers apart
    const float *cosines;  // positions x head size / 2, as are sines
    const float *sines;
    const i32 *positions;  // C's
    const i32 *slots;      // C's
    i64 slot_stride;
    i32 heads;
    i32 kv_heads;
};

/// Where a row's head goes: of Q to QKV row `row` of `rows`, `stride` numbers apart; of K and V, which are numbered on behind it, to a slot.
LAZYLLM_DEVICE Stored *target_of(const TurnArgs &args, void *rows, i32 row, i32 stride, i32 slot, i32 head)
{
    if (head < args.heads)
        return static_cast<Stored *>(rows) + (i64)row * stride + head * LAZYLLM_HEAD_SIZE;
    return args.keys + slot * args.slot_stride + (head - args.heads) * LAZYLLM_HEAD_SIZE;
}

LAZYLLM_DEVICE void turn(float &low, float &high, float cosine, float sine)
{
    // Said to the last multiplication: left to the compiler, two kernels might round differently.
    const float turned = fmaf(low, cosine, -(high * sine));
    high = fmaf(high, cosine, low * sine);
    low = turned;
}
