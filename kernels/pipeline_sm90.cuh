// What the kernels of compute capability 9.0 share: where a thread is in a ring of stages that one warpgroup fills and others
// read, and how four lanes that hold neighbours of a row come to write 16 bytes each.
#pragma once
#include "ptx_sm90.cuh"

/// Where in the ring a thread is; the parity changes with every round.
struct RingPlace
{
    i32 stage;
    u32 parity;
};

template <int Stages> LAZYLLM_DEVICE void next_stage(RingPlace &place)
{
    if (++place.stage == Stages)
    {
        place.stage = 0;
        place.parity ^= 1u;
    }
}

/// Gives lane t of each four the t-th word of all four lanes, in the lanes' order: a 4 x 4 transposition.
LAZYLLM_DEVICE void transpose_quad(u32 (&words)[4])
{
    const bool odd = (threadIdx.x & 1) != 0, upper = (threadIdx.x & 2) != 0;
#pragma unroll
    for (int i = 0; i < 4; i += 2)
    {
        const u32 got = __shfl_xor_sync(0xFFFFFFFFu, odd ? words[i] : words[i + 1], 1);
        words[i] = odd ? got : words[i];
        words[i + 1] = odd ? words[i + 1] : got;
    }
#pragma unroll
    for (int i = 0; i < 2; i++)
    {
        const u32 got = __shfl_xor_sync(0xFFFFFFFFu, upper ? words[i] : words[i + 2], 2);
        words[i] = upper ? got : words[i];
        words[i + 2] = upper ? words[i + 2] : got;
    }
}
