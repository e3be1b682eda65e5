// ArgMax: the token with the highest logit, the lower one among equals; a NaN never wins.
//
// logits  `count` numbers, float32 -> one token id. One block. Bound by reading the logits once (from L2, where the
// product just left them). Logits themselves are gemv.cu over the output head.
#include "types.cuh"

#define SAMPLE_THREADS 1024

struct ArgMaxArgs
{
    const float *logits;
    i32 *token;
    i32 count;
    i32 reserved;
};

/// Whether logit a of token i goes before logit b of token j.
LAZYLLM_DEVICE bool goes_before(float a, i32 i, float b, i32 j)
{
    return a > b || (a == b && i < j);
}

LAZYLLM_KERNEL(lazyllm_argmax, ArgMaxArgs, SAMPLE_THREADS)
{
    __shared__ float best_of_warp[SAMPLE_THREADS / 32];
    __shared__ i32 token_of_warp[SAMPLE_THREADS / 32];
    float best = __uint_as_float(0xFF800000u); // minus infinity
    i32 token = 0x7FFFFFFF;
    for (i32 i = (i32)threadIdx.x; i < args.count; i += SAMPLE_THREADS)
    {
        const float logit = args.logits[i];
        if (goes_before(logit, i, best, token))
        {
            best = logit;
            token = i;
        }
    }

    // First over the lanes of each warp, then over the warps.
    for (int round = 0; round < 2; round++)
    {
#pragma unroll
        for (int lanes = 16; lanes > 0; lanes >>= 1)
        {
            const float other_best = __shfl_xor_sync(0xFFFFFFFFu, best, lanes);
            const i32 other_token = __shfl_xor_sync(0xFFFFFFFFu, token, lanes);
            if (goes_before(other_best, other_token, best, token))
            {
                best = other_best;
                token = other_token;
            }
        }

        if (round == 0)
        {
            if (threadIdx.x % 32 == 0)
            {
                best_of_warp[threadIdx.x / 32] = best;
                token_of_warp[threadIdx.x / 32] = token;
            }
            __syncthreads();
            best = best_of_warp[threadIdx.x % 32];
            token = token_of_warp[threadIdx.x % 32];
        }
    }

    if (threadIdx.x == 0)
        *args.token = token < args.count ? token : 0;
}
