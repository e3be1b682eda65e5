// kernels/ptx.cuh for the stand-in: the same functions, run on the CPU.
#pragma once

LAZYLLM_DEVICE u32 shared_address(const void *p)
{
    return (u32)(reinterpret_cast<u64>(p) - reinterpret_cast<u64>(standin_current->shared));
}

// ---- Numbers: round to nearest, ties to even; a NaN keeps to one pattern ----

LAZYLLM_DEVICE bf16 to_bf16(float x)
{
    u32 bits = __float_as_uint(x);
    if (x != x)
        return {0x7FFF};
    return {(u16)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16)};
}

LAZYLLM_DEVICE f16 to_f16(float x)
{
    u32 bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u)
        return {0x7FFF};
    if (magnitude >= 0x477FF000u) // 65520 and above
        return {(u16)(sign | 0x7C00u)};
    if (magnitude < 0x38800000u) // subnormal: multiples of 2^-24, rounded by the addition
        return {(u16)(sign | (__float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3F000000u))};
    return {(u16)(sign | ((magnitude + 0xFFFu + (magnitude >> 13 & 1u) - 0x38000000u) >> 13))};
}

LAZYLLM_DEVICE float to_float(f16 x)
{
    u32 sign = (u32)(x.bits & 0x8000) << 16, exponent = x.bits >> 10 & 31, mantissa = x.bits & 1023;
    if (exponent == 0)
        return __uint_as_float(sign | __float_as_uint((float)mantissa * 0x1p-24f));
    return __uint_as_float(sign | (exponent == 31 ? 0x7F800000u : (exponent + 112u) << 23) | mantissa << 13);
}

LAZYLLM_DEVICE u32 pack_bf16(float low, float high) { return (u32)to_bf16(high).bits << 16 | to_bf16(low).bits; }
LAZYLLM_DEVICE u32 pack_f16(float low, float high) { return (u32)to_f16(high).bits << 16 | to_f16(low).bits; }
LAZYLLM_DEVICE u32 to_tf32(float x) { return (__float_as_uint(x) + 0x1000u) & 0xFFFFE000u; }
LAZYLLM_DEVICE float exp2_approx(float x) { return exp2f(x); }
LAZYLLM_DEVICE float log2_approx(float x) { return log2f(x); }
LAZYLLM_DEVICE float reciprocal_approx(float x) { return 1.0f / x; }
LAZYLLM_DEVICE float rsqrt_approx(float x) { return 1.0f / sqrtf(x); }

// ---- Asynchronous copies ----

LAZYLLM_DEVICE void cp_async_16(void *shared, const void *global)
{
    standin_runtime->copy_async(standin_current, shared, global, 16, 16);
}

LAZYLLM_DEVICE void cp_async_16_zfill(void *shared, const void *global, u32 bytes)
{
    standin_runtime->copy_async(standin_current, shared, global, 16, bytes);
}

LAZYLLM_DEVICE void cp_async_4_zfill(void *shared, const void *global, u32 bytes)
{
    standin_runtime->copy_async(standin_current, shared, global, 4, bytes);
}

LAZYLLM_DEVICE void cp_async_commit() { standin_runtime->copy_commit(standin_current); }
template <int Pending> LAZYLLM_DEVICE void cp_async_wait() { standin_runtime->copy_wait(standin_current, Pending); }
LAZYLLM_DEVICE void cp_async_wait_all() { standin_runtime->copy_wait_all(standin_current); }

// ---- Matrices ----

LAZYLLM_DEVICE void standin_ldmatrix(const char *name, u32 *registers, const void *row, u32 matrices, u32 transposed)
{
    if (reinterpret_cast<u64>(row) % 16 != 0)
        standin_runtime->fail(standin_current, 716, "ldmatrix of a row that is not aligned to 16 bytes");
    StandinLoadMatrix frame = {registers, row, matrices, transposed};
    standin_collective(name, 0xFFFFFFFFu, standin_runtime->load_matrix, frame);
}

LAZYLLM_DEVICE void ldmatrix_x1(u32 (&r)[1], const void *row) { standin_ldmatrix("ldmatrix.x1", r, row, 1, 0); }
LAZYLLM_DEVICE void ldmatrix_x2(u32 (&r)[2], const void *row) { standin_ldmatrix("ldmatrix.x2", r, row, 2, 0); }
LAZYLLM_DEVICE void ldmatrix_x4(u32 (&r)[4], const void *row) { standin_ldmatrix("ldmatrix.x4", r, row, 4, 0); }
LAZYLLM_DEVICE void ldmatrix_x1_trans(u32 (&r)[1], const void *row) { standin_ldmatrix("ldmatrix.x1.trans", r, row, 1, 1); }
LAZYLLM_DEVICE void ldmatrix_x2_trans(u32 (&r)[2], const void *row) { standin_ldmatrix("ldmatrix.x2.trans", r, row, 2, 1); }
LAZYLLM_DEVICE void ldmatrix_x4_trans(u32 (&r)[4], const void *row) { standin_ldmatrix("ldmatrix.x4.trans", r, row, 4, 1); }

LAZYLLM_DEVICE void standin_mma(const char *name, StandinCollective apply, float *d, const u32 *a, u32 b0, u32 b1)
{
    u32 b[2] = {b0, b1};
    StandinMma frame = {d, a, b, d};
    standin_collective(name, 0xFFFFFFFFu, apply, frame);
}

LAZYLLM_DEVICE void mma_m16n8k16_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
    standin_mma("mma.m16n8k16.bf16", standin_runtime->mma_bf16, d, a, b0, b1);
}

LAZYLLM_DEVICE void mma_m16n8k16_f16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
    standin_mma("mma.m16n8k16.f16", standin_runtime->mma_f16, d, a, b0, b1);
}

LAZYLLM_DEVICE void mma_m16n8k8_tf32(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
    standin_mma("mma.m16n8k8.tf32", standin_runtime->mma_tf32, d, a, b0, b1);
}

// ---- Global memory ----

LAZYLLM_DEVICE uint4 load_16_streaming(const void *p)
{
    if (reinterpret_cast<u64>(p) % 16 != 0)
        standin_runtime->fail(standin_current, 716, "load of 16 bytes");
    return *static_cast<const uint4 *>(p);
}

LAZYLLM_DEVICE uint4 load_16_readonly(const void *p) { return load_16_streaming(p); }
LAZYLLM_DEVICE void prefetch_l2(const void *) {}
LAZYLLM_DEVICE void red_add(float *p, float x) { atomicAdd(p, x); }
LAZYLLM_DEVICE void red_add(u32 *p, u32 x) { atomicAdd(p, x); }
LAZYLLM_DEVICE u32 atomic_add_acq_rel(u32 *p, u32 x) { return __atomic_fetch_add(p, x, __ATOMIC_ACQ_REL); }
LAZYLLM_DEVICE u32 load_acquire(const u32 *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }

// ---- Barriers and dependent launch ----

LAZYLLM_DEVICE void named_barrier_sync(u32 id, u32 threads)
{
    standin_runtime->barrier(standin_current, id, threads, STANDIN_NO_REDUCTION, 0);
}

LAZYLLM_DEVICE void named_barrier_arrive(u32 id, u32 threads) { standin_runtime->barrier_arrive(standin_current, id, threads); }
LAZYLLM_DEVICE void wait_for_dependencies() {}
LAZYLLM_DEVICE void launch_dependents() {}
