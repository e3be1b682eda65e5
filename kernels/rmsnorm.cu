// RmsNorm: normed[i] = x / sqrt(mean(x^2) + epsilon) · gains, with x = residual[i].
//
// residual, aux  float32, gains  float32, normed  Stored; rows of `width` numbers, of which `hidden_size` count in the
// mean and the rest are zero. Three uses:
//   - between products: over the residual rows;
//   - where a stage begins (positions given): x = aux[positions[i]], which also becomes residual[i], so that gathering
//     costs no pass of its own;
//   - before the output head (last_only): the last row alone, to row 0 of normed.
// One block per row; the row is read twice, the second time from the cache. Bound by the bytes it moves at prefill, by
// the latency of one reduction at decode.
#include "step.cuh"
#include "storage.cuh"

#define NORM_THREADS 256
#define NORM_WARPS (NORM_THREADS / 32)

struct RmsNormArgs
{
    float *residual;
    const float *gains;
    Stored *normed;
    const float *aux;
    const i32 *positions;
    RowCount count;
    i32 width;
    i32 hidden_size;
    float epsilon;
    i32 last_only;
};

/// Sum over the block, the same in every thread and on every run.
LAZYLLM_DEVICE float block_sum(float value)
{
    __shared__ float partial[NORM_WARPS];
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes >>= 1)
        value += __shfl_xor_sync(0xFFFFFFFFu, value, lanes);
    if (threadIdx.x % 32 == 0)
        partial[threadIdx.x / 32] = value;
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < NORM_WARPS; i++)
        sum += partial[i];
    return sum;
}

LAZYLLM_KERNEL(lazyllm_rmsnorm, RmsNormArgs, NORM_THREADS)
{
    const i32 rows = row_count(args.count);
    const i32 target = (i32)blockIdx.x;
    if (target >= rows)
        return;
    const i32 row = args.last_only ? rows - 1 : target;
    float *x = args.residual + (i64)row * args.width;
    const float *source = args.positions != nullptr ? args.aux + (i64)args.positions[row] * args.width : x;

    float squares = 0.0f;
    for (i32 i = 4 * (i32)threadIdx.x; i < args.width; i += 4 * NORM_THREADS)
    {
        const float4 piece = *reinterpret_cast<const float4 *>(source + i);
        squares = fmaf(piece.x, piece.x, squares);
        squares = fmaf(piece.y, piece.y, squares);
        squares = fmaf(piece.z, piece.z, squares);
        squares = fmaf(piece.w, piece.w, squares);
        if (args.positions != nullptr)
            *reinterpret_cast<float4 *>(x + i) = piece;
    }

    const float scale = 1.0f / sqrtf(block_sum(squares) / (float)args.hidden_size + args.epsilon);
    Stored *normed = args.normed + (i64)target * args.width;
    for (i32 i = 8 * (i32)threadIdx.x; i < args.width; i += 8 * NORM_THREADS)
    {
        float numbers[8];
#pragma unroll
        for (int j = 0; j < 8; j += 4)
        {
            const float4 piece = *reinterpret_cast<const float4 *>(source + i + j);
            const float4 gains = *reinterpret_cast<const float4 *>(args.gains + i + j);
            numbers[j] = piece.x * scale * gains.x;
            numbers[j + 1] = piece.y * scale * gains.y;
            numbers[j + 2] = piece.z * scale * gains.z;
            numbers[j + 3] = piece.w * scale * gains.w;
        }
        store_pack(normed + i, narrow_pack(numbers));
    }
}
