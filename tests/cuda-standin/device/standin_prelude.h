// Put before every kernel by the stand-in's NVRTC (g++ -include): what NVRTC knows without any header, in plain C++.
// A kernel may use what is here and in standin_math.h; anything else does not compile, so the set stays small.
#pragma once
#include "standin_abi.h"

#define LAZYLLM_STANDIN 1
#define __CUDA_ARCH__ 800
#define __CUDACC_RTC__ 1

// The driver stores the running thread here at every switch between fibers, and its function table at load.
// Each OS thread of the driver loads a copy of the module of its own, so plain statics are private to a block.
static StandinThread *standin_current;
static const StandinRuntime *standin_runtime;

#define STANDIN_EXPORT extern "C" __attribute__((visibility("default")))
#define STANDIN_FIRST(first, ...) first

extern "C" __attribute__((weak, visibility("hidden"))) standin_u8 __start_standin_shared[];
extern "C" __attribute__((weak, visibility("hidden"))) standin_u8 __stop_standin_shared[];
STANDIN_EXPORT const StandinModule standin_module = {
    STANDIN_ABI_VERSION, &standin_runtime, &standin_current, __start_standin_shared, __stop_standin_shared};

#define __host__
#define __device__
#define __global__
#define __constant__ static const
#define __shared__ static __attribute__((section("standin_shared"), used))
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __builtin_assume(condition) ((condition) ? (void)0 : __builtin_unreachable())

typedef StandinIndex uint3;
typedef StandinIndex dim3;
#define threadIdx (standin_current->thread_index)
#define blockIdx (standin_current->block_index)
#define blockDim (standin_current->block_dim)
#define gridDim (standin_current->grid_dim)
static const int warpSize = 32;

#define STANDIN_VECTOR(type, name)                                                                        \
    struct __align__(sizeof(type) * 2) name##2 { type x, y; };                                            \
    struct __align__(sizeof(type) * 4 > 16 ? 16 : sizeof(type) * 4) name##4 { type x, y, z, w; };         \
    inline name##2 make_##name##2(type x, type y) { return {x, y}; }                                      \
    inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
STANDIN_VECTOR(float, float)
STANDIN_VECTOR(int, int)
STANDIN_VECTOR(unsigned int, uint)
STANDIN_VECTOR(unsigned short, ushort)
STANDIN_VECTOR(double, double)
#undef STANDIN_VECTOR

// Barriers.
inline void __syncthreads() { standin_runtime->barrier(standin_current, 0, 0, STANDIN_NO_REDUCTION, 0); }
inline int __syncthreads_count(int p) { return (int)standin_runtime->barrier(standin_current, 0, 0, STANDIN_COUNT, p != 0); }
inline int __syncthreads_and(int p) { return (int)standin_runtime->barrier(standin_current, 0, 0, STANDIN_AND, p != 0); }
inline int __syncthreads_or(int p) { return (int)standin_runtime->barrier(standin_current, 0, 0, STANDIN_OR, p != 0); }

// Fences. Threads of a block share one OS thread; blocks may not.
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

inline void __trap() { standin_runtime->fail(standin_current, 715, "__trap"); }

// Warp collectives: every lane of the mask brings a frame; the last one computes for all.
template <typename Frame> inline void standin_collective(const char *name, unsigned mask, StandinCollective apply, Frame &frame)
{
    standin_runtime->collective(standin_current, name, mask, apply, &frame);
}

inline unsigned __activemask() { return standin_runtime->active_mask(standin_current); }

inline void __syncwarp(unsigned mask = 0xFFFFFFFFu)
{
    int none = 0;
    standin_collective("__syncwarp", mask, [](void *const *, standin_u32) {}, none);
}

template <typename T> struct StandinShuffle
{
    T value, result;
    unsigned source;
};

template <typename T> inline T standin_shuffle(const char *name, unsigned mask, T value, unsigned source)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    StandinShuffle<T> frame = {value, value, source};
    standin_collective(name, mask, [](void *const *lanes, standin_u32)
    {
        for (int i = 0; i < 32; i++)
        {
            if (auto *lane = static_cast<StandinShuffle<T> *>(lanes[i]))
            {
                // Reading a lane that takes no part is undefined: give back bits that show.
                if (auto *from = static_cast<StandinShuffle<T> *>(lanes[lane->source]))
                    lane->result = from->value;
                else
                    __builtin_memset(&lane->result, 0xFF, sizeof(T));
            }
        }
    }, frame);
    return frame.result;
}

template <typename T> inline T __shfl_sync(unsigned mask, T value, int source, int width = 32)
{
    unsigned lane = standin_current->lane;
    return standin_shuffle("__shfl_sync", mask, value, (lane & ~(unsigned)(width - 1)) | ((unsigned)source & (unsigned)(width - 1)));
}

template <typename T> inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    unsigned lane = standin_current->lane, inside = lane & (unsigned)(width - 1);
    return standin_shuffle("__shfl_up_sync", mask, value, inside < delta ? lane : lane - delta);
}

template <typename T> inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    unsigned lane = standin_current->lane, inside = lane & (unsigned)(width - 1);
    return standin_shuffle("__shfl_down_sync", mask, value, inside + delta < (unsigned)width ? lane + delta : lane);
}

template <typename T> inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32)
{
    unsigned lane = standin_current->lane, source = lane ^ (unsigned)lanes;
    return standin_shuffle("__shfl_xor_sync", mask, value, (source & ~(unsigned)(width - 1)) > lane ? lane : source);
}

struct StandinVote
{
    unsigned value, result;
};

enum StandinVoteKind
{
    STANDIN_BALLOT, STANDIN_REDUCE_ADD, STANDIN_REDUCE_MIN, STANDIN_REDUCE_MAX, STANDIN_REDUCE_MIN_SIGNED,
    STANDIN_REDUCE_MAX_SIGNED, STANDIN_REDUCE_AND, STANDIN_REDUCE_OR, STANDIN_REDUCE_XOR,
};

template <int Kind> inline unsigned standin_reduce(const char *name, unsigned mask, unsigned value)
{
    StandinVote frame = {value, 0};
    standin_collective(name, mask, [](void *const *lanes, standin_u32)
    {
        bool first = true;
        unsigned total = 0;
        for (unsigned i = 0; i < 32; i++)
        {
            auto *lane = static_cast<StandinVote *>(lanes[i]);
            if (!lane)
                continue;
            unsigned v = Kind == STANDIN_BALLOT ? (lane->value != 0 ? 1u << i : 0u) : lane->value;
            if (first) total = v;
            else if (Kind == STANDIN_BALLOT || Kind == STANDIN_REDUCE_OR) total |= v;
            else if (Kind == STANDIN_REDUCE_ADD) total += v;
            else if (Kind == STANDIN_REDUCE_MIN) total = v < total ? v : total;
            else if (Kind == STANDIN_REDUCE_MAX) total = v > total ? v : total;
            else if (Kind == STANDIN_REDUCE_MIN_SIGNED) total = (int)v < (int)total ? v : total;
            else if (Kind == STANDIN_REDUCE_MAX_SIGNED) total = (int)v > (int)total ? v : total;
            else if (Kind == STANDIN_REDUCE_AND) total &= v;
            else total ^= v;
            first = false;
        }
        for (int i = 0; i < 32; i++)
        {
            if (auto *lane = static_cast<StandinVote *>(lanes[i]))
                lane->result = total;
        }
    }, frame);
    return frame.result;
}

inline unsigned __ballot_sync(unsigned mask, int p) { return standin_reduce<STANDIN_BALLOT>("__ballot_sync", mask, p != 0); }
inline int __any_sync(unsigned mask, int p) { return standin_reduce<STANDIN_REDUCE_OR>("__any_sync", mask, p != 0) != 0; }
inline int __all_sync(unsigned mask, int p) { return standin_reduce<STANDIN_REDUCE_AND>("__all_sync", mask, p != 0) != 0; }
inline unsigned __reduce_add_sync(unsigned mask, unsigned v) { return standin_reduce<STANDIN_REDUCE_ADD>("__reduce_add_sync", mask, v); }
inline int __reduce_add_sync(unsigned mask, int v) { return (int)standin_reduce<STANDIN_REDUCE_ADD>("__reduce_add_sync", mask, (unsigned)v); }
inline unsigned __reduce_min_sync(unsigned mask, unsigned v) { return standin_reduce<STANDIN_REDUCE_MIN>("__reduce_min_sync", mask, v); }
inline int __reduce_min_sync(unsigned mask, int v) { return (int)standin_reduce<STANDIN_REDUCE_MIN_SIGNED>("__reduce_min_sync", mask, (unsigned)v); }
inline unsigned __reduce_max_sync(unsigned mask, unsigned v) { return standin_reduce<STANDIN_REDUCE_MAX>("__reduce_max_sync", mask, v); }
inline int __reduce_max_sync(unsigned mask, int v) { return (int)standin_reduce<STANDIN_REDUCE_MAX_SIGNED>("__reduce_max_sync", mask, (unsigned)v); }
inline unsigned __reduce_and_sync(unsigned mask, unsigned v) { return standin_reduce<STANDIN_REDUCE_AND>("__reduce_and_sync", mask, v); }
inline unsigned __reduce_or_sync(unsigned mask, unsigned v) { return standin_reduce<STANDIN_REDUCE_OR>("__reduce_or_sync", mask, v); }
inline unsigned __reduce_xor_sync(unsigned mask, unsigned v) { return standin_reduce<STANDIN_REDUCE_XOR>("__reduce_xor_sync", mask, v); }

template <typename T> inline unsigned __match_any_sync(unsigned mask, T value)
{
    StandinShuffle<T> frame = {value, value, 0};
    standin_collective("__match_any_sync", mask, [](void *const *lanes, standin_u32)
    {
        for (unsigned i = 0; i < 32; i++)
        {
            auto *lane = static_cast<StandinShuffle<T> *>(lanes[i]);
            for (unsigned j = 0; lane && j < 32; j++)
            {
                auto *other = static_cast<StandinShuffle<T> *>(lanes[j]);
                lane->source |= other && other->value == lane->value ? 1u << j : 0u;
            }
        }
    }, frame);
    return frame.source;
}

#include "standin_math.h"
