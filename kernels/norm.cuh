// What the norms share: rmsnorm.cu, and gemv_sm90.cu, which norms its input. Both add the squares of a row in the same order:
// 512 threads' worth of eight numbers each in turn, a butterfly over each 32 of them, and the sixteen sums in order.
#pragma once
#include "storage.cuh"

#define NORM_LANES 512
#define NORM_WARPS (NORM_LANES / 32)

LAZYLLM_DEVICE void load_floats(const float *source, float (&numbers)[8])
{
#pragma unroll
    for (int j = 0; j < 8; j += 4)
    {
        const float4 piece = *reinterpret_cast<const float4 *>(source + j);
        numbers[j] = piece.x;
        numbers[j + 1] = piece.y;
        numbers[j + 2] = piece.z;
        numbers[j + 3] = piece.w;
    }
}

LAZYLLM_DEVICE void store_floats(float *target, const float (&numbers)[8])
{
#pragma unroll
    for (int j = 0; j < 8; j += 4)
        *reinterpret_cast<float4 *>(target + j) = make_float4(numbers[j], numbers[j + 1], numbers[j + 2], numbers[j + 3]);
}

LAZYLLM_DEVICE void store_normed(Stored *target, const float (&numbers)[8], const float (&gains)[8], float scale)
{
    float normed[8];
#pragma unroll
    for (int j = 0; j < 8; j++)
        normed[j] = numbers[j] * scale * gains[j];
    store_pack(target, narrow_pack(normed));
}

/// Sum of each of `Parts` values over the block, all in one, the same in every thread and on every run. Value p of thread t is
/// that of lane p * Threads + t of NORM_LANES.
template <int Threads> LAZYLLM_DEVICE float sum_of_lanes(const float (&values)[NORM_LANES / Threads])
{
    __shared__ float partial[NORM_WARPS];
#pragma unroll
    for (int p = 0; p < NORM_LANES / Threads; p++)
    {
        float value = values[p];
#pragma unroll
        for (int lanes = 16; lanes > 0; lanes >>= 1)
            value += __shfl_xor_sync(0xFFFFFFFFu, value, lanes);
        if (threadIdx.x % 32 == 0)
            partial[(p * Threads + threadIdx.x) / 32] = value;
    }
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < NORM_WARPS; i++)
        sum += partial[i];
    return sum;
}

LAZYLLM_DEVICE float scale_of(float squares, i32 hidden_size, float epsilon)
{
    // The exact root and quotients are calls, around which registers are saved in memory.
    return rsqrt_approx(fmaf(squares, reciprocal_approx((float)hidden_size), epsilon));
}
