// Every PTX instruction of the project that C++ cannot say, behind a function with a name. Compute capability 8.0 and
// later; what begins with 9.0 (TMA, wgmma, clusters) is in ptx_sm90.cuh.
//
// With LAZYLLM_STANDIN (tests without a GPU) the same functions run on the CPU, exactly as specified: matrix fragments
// in PTX's layouts, asynchronous copies landing at their wait and not before.
#pragma once
#include "types.cuh"

#define FULL_WARP 0xFFFFFFFFu

#ifdef LAZYLLM_STANDIN
#include "standin_ptx.h"
#else

/// The 32-bit address of shared memory that PTX's shared instructions take.
LAZYLLM_DEVICE u32 shared_address(const void *p)
{
    u32 r;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(r) : "l"(p));
    return r;
}

// ---- Numbers ----

LAZYLLM_DEVICE bf16 to_bf16(float x)
{
    bf16 r;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
    return r;
}

LAZYLLM_DEVICE f16 to_f16(float x)
{
    f16 r;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
    return r;
}

LAZYLLM_DEVICE float to_float(f16 x)
{
    float r;
    asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x.bits));
    return r;
}

/// Two floats as a pair of 16-bit numbers, `low` in the lower half (the lower address).
LAZYLLM_DEVICE u32 pack_bf16(float low, float high)
{
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

LAZYLLM_DEVICE u32 pack_f16(float low, float high)
{
    u32 r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

/// The tf32 nearest to x, as the bits that mma_m16n8k8_tf32 takes.
LAZYLLM_DEVICE u32 to_tf32(float x)
{
    u32 r;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
    return r;
}

/// 2^x; relative error about 2^-22, exact for -infinity (0).
LAZYLLM_DEVICE float exp2_approx(float x)
{
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

LAZYLLM_DEVICE float log2_approx(float x)
{
    float r;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

LAZYLLM_DEVICE float reciprocal_approx(float x)
{
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

LAZYLLM_DEVICE float rsqrt_approx(float x)
{
    float r;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

// ---- Asynchronous copies from global to shared memory; both addresses multiples of the size ----

LAZYLLM_DEVICE void cp_async_16(void *shared, const void *global)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global) : "memory");
}

/// Copies the first `bytes` (0 to 16) and fills the rest with zeros. With 0 the source is not read.
LAZYLLM_DEVICE void cp_async_16_zfill(void *shared, const void *global, u32 bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes) : "memory");
}

LAZYLLM_DEVICE void cp_async_4_zfill(void *shared, const void *global, u32 bytes)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes) : "memory");
}

LAZYLLM_DEVICE void cp_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/// Waits until at most `Pending` of this thread's latest groups are still on their way. Other threads see the data
/// after a barrier.
template <int Pending> LAZYLLM_DEVICE void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

LAZYLLM_DEVICE void cp_async_wait_all()
{
    asm volatile("cp.async.wait_all;" ::: "memory");
}

// ---- Matrices ----
// ldmatrix: lanes 8i .. 8i + 7 give the 16-byte aligned addresses of the 8 rows of matrix i (lanes beyond: any valid
// address). Lane l receives elements 2 (l % 4) and 2 (l % 4) + 1 of row l / 4; transposed: of column l / 4.

LAZYLLM_DEVICE void ldmatrix_x1(u32 (&r)[1], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(shared_address(row)) : "memory");
}

LAZYLLM_DEVICE void ldmatrix_x2(u32 (&r)[2], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
}

LAZYLLM_DEVICE void ldmatrix_x4(u32 (&r)[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}

LAZYLLM_DEVICE void ldmatrix_x1_trans(u32 (&r)[1], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(shared_address(row)) : "memory");
}

LAZYLLM_DEVICE void ldmatrix_x2_trans(u32 (&r)[2], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
}

LAZYLLM_DEVICE void ldmatrix_x4_trans(u32 (&r)[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}

// mma: d += a b, a 16 x 16 by rows, b 16 x 8 by columns (b[n][k] pairs), d 16 x 8. With g = lane / 4, t = lane % 4:
// a[0] (row g, columns 2t, 2t + 1), a[1] (row g + 8), a[2] (row g, columns 2t + 8, 2t + 9), a[3] (row g + 8, same);
// b[0] (rows 2t, 2t + 1 of column g), b[1] (rows 2t + 8, 2t + 9); d[0], d[1] (row g, columns 2t, 2t + 1), d[2], d[3] (row g + 8).

LAZYLLM_DEVICE void mma_m16n8k16_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

LAZYLLM_DEVICE void mma_m16n8k16_f16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// a 16 x 8: a[0] (row g, column t), a[1] (row g + 8), a[2] (row g, column t + 4), a[3]; b 8 x 8: b0 (row t, column g), b1 (row t + 4).
LAZYLLM_DEVICE void mma_m16n8k8_tf32(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ---- Global memory ----

/// 16 bytes that no thread writes while the kernel runs, and that are read once: they stay out of L1 and leave L2 first.
/// (The priority goes in a policy: as a qualifier of the load it is for 32-byte loads of compute capability 10.0 alone.)
LAZYLLM_DEVICE uint4 load_16_streaming(const void *p)
{
    u64 policy;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    uint4 r;
    asm volatile("ld.global.nc.L1::no_allocate.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
                 : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w) : "l"(p), "l"(policy));
    return r;
}

/// 16 bytes that no thread writes while the kernel runs.
LAZYLLM_DEVICE uint4 load_16_readonly(const void *p)
{
    uint4 r;
    asm volatile("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w) : "l"(p));
    return r;
}

LAZYLLM_DEVICE void prefetch_l2(const void *p)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
}

/// Adds without reading back.
LAZYLLM_DEVICE void red_add(float *p, float x)
{
    asm volatile("red.global.add.f32 [%0], %1;" ::"l"(p), "f"(x) : "memory");
}

LAZYLLM_DEVICE void red_add(u32 *p, u32 x)
{
    asm volatile("red.global.add.u32 [%0], %1;" ::"l"(p), "r"(x) : "memory");
}

/// Adds and returns the old value; what this thread wrote before is visible to whoever reads the sum, and the reverse.
LAZYLLM_DEVICE u32 atomic_add_acq_rel(u32 *p, u32 x)
{
    u32 r;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;" : "=r"(r) : "l"(p), "r"(x) : "memory");
    return r;
}

LAZYLLM_DEVICE u32 load_acquire(const u32 *p)
{
    u32 r;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(r) : "l"(p) : "memory");
    return r;
}

// ---- Barriers among some of a block's threads ----

/// Waits until `threads` threads (a multiple of 32) have arrived at barrier `id` (1 to 15).
LAZYLLM_DEVICE void named_barrier_sync(u32 id, u32 threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// Arrives without waiting.
LAZYLLM_DEVICE void named_barrier_arrive(u32 id, u32 threads)
{
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// ---- Programmatic dependent launch (nothing below compute capability 9.0) ----

// A kernel of a stage's layers may start while the kernels before it still run. Until it has waited, it may read what stood
// there before the layers began and none of their kernels changes: weights, the step's state, positions and slots, K and V of
// slots that are not the step's. It writes after it has waited. Every kernel that is launched so waits in at least one
// block, so that its own end also means the end of those before it.

/// Waits for the end of the grids this one depends on, and sees what they wrote.
LAZYLLM_DEVICE void wait_for_dependencies()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the grids that depend on this one start.
LAZYLLM_DEVICE void launch_dependents()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

#endif

// ---- From here on: C++ over the functions above, the same everywhere ----

LAZYLLM_DEVICE float to_float(bf16 x)
{
    return __uint_as_float((u32)x.bits << 16);
}

LAZYLLM_DEVICE float to_float(float x)
{
    return x;
}

/// The halves of a pair, as pack_bf16 makes them.
LAZYLLM_DEVICE float low_bf16(u32 pair)
{
    return __uint_as_float(pair << 16);
}

LAZYLLM_DEVICE float high_bf16(u32 pair)
{
    return __uint_as_float(pair & 0xFFFF0000u);
}

LAZYLLM_DEVICE float low_f16(u32 pair)
{
    return to_float(f16{(u16)(pair & 0xFFFFu)});
}

LAZYLLM_DEVICE float high_f16(u32 pair)
{
    return to_float(f16{(u16)(pair >> 16)});
}

/// Conversions by storage format, for kernels written once for several: store(p, x) and the pair forms.
template <typename T> struct Storage;

template <> struct Storage<bf16>
{
    static __device__ __forceinline__ bf16 from(float x) { return to_bf16(x); }
    static __device__ __forceinline__ u32 pack(float low, float high) { return pack_bf16(low, high); }
    static __device__ __forceinline__ float low(u32 pair) { return low_bf16(pair); }
    static __device__ __forceinline__ float high(u32 pair) { return high_bf16(pair); }
    static __device__ __forceinline__ void mma(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) { mma_m16n8k16_bf16(d, a, b0, b1); }
};

template <> struct Storage<f16>
{
    static __device__ __forceinline__ f16 from(float x) { return to_f16(x); }
    static __device__ __forceinline__ u32 pack(float low, float high) { return pack_f16(low, high); }
    static __device__ __forceinline__ float low(u32 pair) { return low_f16(pair); }
    static __device__ __forceinline__ float high(u32 pair) { return high_f16(pair); }
    static __device__ __forceinline__ void mma(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) { mma_m16n8k16_f16(d, a, b0, b1); }
};

template <> struct Storage<float>
{
    static __device__ __forceinline__ float from(float x) { return x; }
};

/// Sum or maximum over the 32 lanes, on every lane, always in the same order.
LAZYLLM_DEVICE float warp_sum(float x)
{
#pragma unroll
    for (int step = 16; step > 0; step >>= 1)
        x += __shfl_xor_sync(0xFFFFFFFFu, x, step);
    return x;
}

LAZYLLM_DEVICE float warp_max(float x)
{
#pragma unroll
    for (int step = 16; step > 0; step >>= 1)
        x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, step));
    return x;
}

/// Sum of this lane's value and those of the lanes below it.
LAZYLLM_DEVICE u32 warp_inclusive_sum(u32 x)
{
    u32 lane = threadIdx.x & 31u;
#pragma unroll
    for (u32 step = 1; step < 32; step <<= 1)
    {
        u32 below = __shfl_up_sync(0xFFFFFFFFu, x, step);
        x += lane >= step ? below : 0u;
    }
    return x;
}
