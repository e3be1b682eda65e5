// Shuffles, votes, reductions and barriers, against expectations in StandinCollectiveTests.
#include "ptx.cuh"

struct CollectiveArgs
{
    u32 *out;
};

// Eight results per thread.
LAZYLLM_KERNEL(selftest_shuffles, CollectiveArgs, 256)
{
    const u32 id = threadIdx.x, full = 0xFFFFFFFFu;
    u32 *out = args.out + 8 * id;
    out[0] = __shfl_sync(full, id, 5);
    out[1] = __shfl_sync(full, id, (int)id + 3, 8);
    out[2] = __shfl_up_sync(full, id, 3);
    out[3] = __shfl_down_sync(full, id, 3, 16);
    out[4] = __shfl_xor_sync(full, id, 9);
    out[5] = (u32)(__shfl_sync(full, (u64)id << 32 | 7u, 31) >> 32);
    out[6] = (u32)__shfl_down_sync(full, (float)id, 1);
    out[7] = warp_inclusive_sum(id & 31u);
}

LAZYLLM_KERNEL(selftest_votes, CollectiveArgs, 64)
{
    const u32 lane = threadIdx.x & 31u;
    u32 *out = args.out + 8 * threadIdx.x;
    const u32 half = lane < 16 ? 0x0000FFFFu : 0xFFFF0000u;
    out[0] = __ballot_sync(half, lane % 3 == 0);
    out[1] = (u32)__any_sync(0xFFFFFFFFu, lane == 31);
    out[2] = (u32)__all_sync(half, lane < 16);
    out[3] = __reduce_add_sync(half, lane);
    out[4] = (u32)__reduce_min_sync(0xFFFFFFFFu, (int)lane - 5);
    out[5] = __reduce_max_sync(0xFFFFFFFFu, lane);
    out[6] = __match_any_sync(0xFFFFFFFFu, lane / 5);
    out[7] = (u32)warp_max((float)(lane ^ 21u)) + (u32)warp_sum(1.0f);
}

// Threads past `stay` return at once; the others meet at barriers all the same.
LAZYLLM_KERNEL(selftest_early_return, CollectiveArgs, 128)
{
    __shared__ u32 total;
    if (threadIdx.x == 0)
        total = 0;
    __syncthreads();
    if (threadIdx.x >= 100)
        return;
    atomicAdd(&total, 1u);
    __syncthreads();
    const u32 counted = (u32)__syncthreads_count(threadIdx.x % 2 == 0);
    const u32 lanes = __reduce_add_sync(0xFFFFFFFFu, 1u); // of the last warp only four lanes are left
    args.out[threadIdx.x] = total * 1000000u + counted * 100u + lanes;
}

// Warps 0 and 1 produce into a ring of two places, warps 2 and 3 consume: barriers 1, 2 say "full", 3, 4 "empty".
LAZYLLM_KERNEL(selftest_named_barriers, CollectiveArgs, 128)
{
    __shared__ u32 ring[2][64];
    const u32 id = threadIdx.x & 63u;
    if (threadIdx.x < 64)
    {
        for (u32 step = 0; step < 6; step++)
        {
            if (step >= 2)
                named_barrier_sync(3 + step % 2, 128);
            ring[step % 2][id] = step * 100 + id;
            named_barrier_arrive(1 + step % 2, 128);
        }
    }
    else
    {
        u32 sum = 0;
        for (u32 step = 0; step < 6; step++)
        {
            named_barrier_sync(1 + step % 2, 128);
            sum += ring[step % 2][63 - id];
            if (step < 4)
                named_barrier_arrive(3 + step % 2, 128);
        }
        args.out[id] = sum;
    }
}

// Every block adds once to each counter, in three ways.
LAZYLLM_KERNEL(selftest_atomics, CollectiveArgs, 64)
{
    atomicAdd(args.out, 1u);
    red_add(reinterpret_cast<float *>(args.out + 1), 1.0f);
    atomicMax(args.out + 2, blockIdx.x * blockDim.x + threadIdx.x);
    __shared__ u32 last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0)
        last = atomic_add_acq_rel(args.out + 3, 1u);
    __syncthreads();
    if (last == gridDim.x - 1 && threadIdx.x == 0)
        args.out[4] = load_acquire(args.out);
}

// Right only if thread i - 1 wrote before thread i reads, which nothing makes sure of.
LAZYLLM_KERNEL(selftest_race, CollectiveArgs, 128)
{
    __shared__ u32 values[128];
    values[threadIdx.x] = threadIdx.x;
    args.out[threadIdx.x] = values[threadIdx.x == 0 ? 0 : threadIdx.x - 1];
}

// Blocks in the order in which they start.
LAZYLLM_KERNEL(selftest_block_order, CollectiveArgs, 32)
{
    if (threadIdx.x == 0)
        args.out[1 + atomicAdd(args.out, 1u)] = blockIdx.x;
}
