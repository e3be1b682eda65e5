// Mathematics, bit tricks and atomics that NVRTC knows without headers, for the host's compiler.
#pragma once

inline float fabsf(float x) { return __builtin_fabsf(x); }
inline float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline float fmaxf(float a, float b) { return __builtin_fmaxf(a, b); }
inline float fminf(float a, float b) { return __builtin_fminf(a, b); }
inline float sqrtf(float x) { return __builtin_sqrtf(x); }
inline float rsqrtf(float x) { return 1.0f / __builtin_sqrtf(x); }
inline float expf(float x) { return __builtin_expf(x); }
inline float exp2f(float x) { return __builtin_exp2f(x); }
inline float logf(float x) { return __builtin_logf(x); }
inline float log2f(float x) { return __builtin_log2f(x); }
inline float powf(float x, float y) { return __builtin_powf(x, y); }
inline float sinf(float x) { return __builtin_sinf(x); }
inline float cosf(float x) { return __builtin_cosf(x); }
inline void sincosf(float x, float *s, float *c) { *s = __builtin_sinf(x); *c = __builtin_cosf(x); }
inline float tanhf(float x) { return __builtin_tanhf(x); }
inline float floorf(float x) { return __builtin_floorf(x); }
inline float ceilf(float x) { return __builtin_ceilf(x); }
inline float truncf(float x) { return __builtin_truncf(x); }
inline float rintf(float x) { return __builtin_rintf(x); }
inline float roundf(float x) { return __builtin_roundf(x); }
inline float copysignf(float x, float y) { return __builtin_copysignf(x, y); }
inline float fmodf(float x, float y) { return __builtin_fmodf(x, y); }
inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline double sqrt(double x) { return __builtin_sqrt(x); }
inline double exp(double x) { return __builtin_exp(x); }
inline double cos(double x) { return __builtin_cos(x); }
inline double sin(double x) { return __builtin_sin(x); }
inline bool isnan(float x) { return __builtin_isnan(x); }
inline bool isinf(float x) { return __builtin_isinf(x); }
inline bool isfinite(float x) { return __builtin_isfinite(x); }

inline float __expf(float x) { return __builtin_expf(x); }
inline float __logf(float x) { return __builtin_logf(x); }
inline float __log2f(float x) { return __builtin_log2f(x); }
inline float __sinf(float x) { return __builtin_sinf(x); }
inline float __cosf(float x) { return __builtin_cosf(x); }
inline float __powf(float x, float y) { return __builtin_powf(x, y); }
inline float __fdividef(float a, float b) { return a / b; }
inline float fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }

// The _rn forms are never contracted into fused multiply-adds.
inline float __fadd_rn(float a, float b) { volatile float r = a + b; return r; }
inline float __fsub_rn(float a, float b) { volatile float r = a - b; return r; }
inline float __fmul_rn(float a, float b) { volatile float r = a * b; return r; }
inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
inline float __frsqrt_rn(float x) { return 1.0f / __builtin_sqrtf(x); }

inline int __float_as_int(float x) { int r; __builtin_memcpy(&r, &x, 4); return r; }
inline unsigned __float_as_uint(float x) { unsigned r; __builtin_memcpy(&r, &x, 4); return r; }
inline float __int_as_float(int x) { float r; __builtin_memcpy(&r, &x, 4); return r; }
inline float __uint_as_float(unsigned x) { float r; __builtin_memcpy(&r, &x, 4); return r; }

// Conversions saturate, and a NaN gives 0, as on the device.
inline int standin_to_int(float x)
{
    return x != x ? 0 : x >= 2147483648.0f ? 0x7FFFFFFF : x <= -2147483648.0f ? (int)0x80000000 : (int)x;
}
inline unsigned standin_to_uint(float x) { return !(x > 0.0f) ? 0u : x >= 4294967296.0f ? 0xFFFFFFFFu : (unsigned)x; }
inline int __float2int_rn(float x) { return standin_to_int(__builtin_rintf(x)); }
inline int __float2int_rz(float x) { return standin_to_int(x); }
inline int __float2int_rd(float x) { return standin_to_int(__builtin_floorf(x)); }
inline int __float2int_ru(float x) { return standin_to_int(__builtin_ceilf(x)); }
inline unsigned __float2uint_rn(float x) { return standin_to_uint(__builtin_rintf(x)); }
inline unsigned __float2uint_rz(float x) { return standin_to_uint(x); }
inline float __int2float_rn(int x) { return (float)x; }
inline float __uint2float_rn(unsigned x) { return (float)x; }

#define STANDIN_MIN_MAX(type)                                   \
    inline type min(type a, type b) { return b < a ? b : a; }   \
    inline type max(type a, type b) { return a < b ? b : a; }
STANDIN_MIN_MAX(int)
STANDIN_MIN_MAX(unsigned int)
STANDIN_MIN_MAX(long)
STANDIN_MIN_MAX(unsigned long)
STANDIN_MIN_MAX(long long)
STANDIN_MIN_MAX(unsigned long long)
#undef STANDIN_MIN_MAX
inline float min(float a, float b) { return __builtin_fminf(a, b); }
inline float max(float a, float b) { return __builtin_fmaxf(a, b); }
inline int abs(int x) { return x < 0 ? -x : x; }

inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((unsigned long long)a * b) >> 32); }
inline int __mulhi(int a, int b) { return (int)(((long long)a * b) >> 32); }
inline unsigned __brev(unsigned x)
{
    unsigned r = 0;
    for (int i = 0; i < 32; i++)
        r |= ((x >> i) & 1u) << (31 - i);
    return r;
}
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector)
{
    unsigned long long bytes = (unsigned long long)b << 32 | a;
    unsigned r = 0;
    for (int i = 0; i < 4; i++)
    {
        unsigned select = selector >> (4 * i) & 15u;
        unsigned byte = (unsigned)(bytes >> (8 * (select & 7u))) & 255u;
        r |= (select & 8u ? (byte & 128u ? 255u : 0u) : byte) << (8 * i);
    }
    return r;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((unsigned long long)high << 32 | low) << (shift & 31u) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((unsigned long long)high << 32 | low) >> (shift & 31u));
}

template <typename T> inline T __ldg(const T *p) { return *p; }
inline void __nanosleep(unsigned) {}
static long long standin_ticks;
inline long long clock64() { return ++standin_ticks; } // only ever grows

// Atomics. Blocks run on several OS threads, so these are real ones.
#define STANDIN_ATOMICS(type)                                                                                         \
    inline type atomicAdd(type *p, type v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }                     \
    inline type atomicSub(type *p, type v) { return __atomic_fetch_sub(p, v, __ATOMIC_RELAXED); }                     \
    inline type atomicAnd(type *p, type v) { return __atomic_fetch_and(p, v, __ATOMIC_RELAXED); }                     \
    inline type atomicOr(type *p, type v) { return __atomic_fetch_or(p, v, __ATOMIC_RELAXED); }                       \
    inline type atomicXor(type *p, type v) { return __atomic_fetch_xor(p, v, __ATOMIC_RELAXED); }                     \
    inline type atomicExch(type *p, type v) { return __atomic_exchange_n(p, v, __ATOMIC_RELAXED); }                   \
    inline type atomicCAS(type *p, type expected, type v)                                                             \
    {                                                                                                                 \
        __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                      \
        return expected;                                                                                              \
    }                                                                                                                 \
    template <typename Choose> inline type standin_update(type *p, type v, Choose choose)                             \
    {                                                                                                                 \
        type old = __atomic_load_n(p, __ATOMIC_RELAXED);                                                              \
        while (!__atomic_compare_exchange_n(p, &old, choose(old, v), true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}    \
        return old;                                                                                                   \
    }                                                                                                                 \
    inline type atomicMax(type *p, type v) { return standin_update(p, v, [](type a, type b) { return a > b ? a : b; }); } \
    inline type atomicMin(type *p, type v) { return standin_update(p, v, [](type a, type b) { return a < b ? a : b; }); }
STANDIN_ATOMICS(int)
STANDIN_ATOMICS(unsigned int)
STANDIN_ATOMICS(unsigned long long)
#undef STANDIN_ATOMICS

inline unsigned atomicInc(unsigned *p, unsigned limit)
{
    return standin_update(p, limit, [](unsigned old, unsigned l) { return old >= l ? 0u : old + 1u; });
}

inline float atomicAdd(float *p, float v)
{
    unsigned *bits = reinterpret_cast<unsigned *>(p), old = __atomic_load_n(bits, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(bits, &old, __float_as_uint(__uint_as_float(old) + v), true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    return __uint_as_float(old);
}

inline float atomicExch(float *p, float v)
{
    return __uint_as_float(__atomic_exchange_n(reinterpret_cast<unsigned *>(p), __float_as_uint(v), __ATOMIC_RELAXED));
}
