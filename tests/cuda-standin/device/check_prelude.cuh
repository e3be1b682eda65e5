// For check-device-code.sh alone: what NVRTC knows without any header, told to clang's CUDA front end. Declarations
// where no code is looked at, definitions where the instruction matters.
#pragma once

#define __host__ __attribute__((host))
#define __device__ __attribute__((device))
#define __global__ __attribute__((global))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define CHECK_INLINE static __device__ __forceinline__

// threadIdx and its like: properties that read the special registers.
#define CHECK_INDEX(type, x_register, y_register, z_register)                                            \
    struct type                                                                                          \
    {                                                                                                    \
        __declspec(property(get = get_x)) unsigned x;                                                    \
        __declspec(property(get = get_y)) unsigned y;                                                    \
        __declspec(property(get = get_z)) unsigned z;                                                    \
        __device__ unsigned get_x() const { return (unsigned)x_register(); }                             \
        __device__ unsigned get_y() const { return (unsigned)y_register(); }                             \
        __device__ unsigned get_z() const { return (unsigned)z_register(); }                             \
    }
CHECK_INDEX(CheckThread, __nvvm_read_ptx_sreg_tid_x, __nvvm_read_ptx_sreg_tid_y, __nvvm_read_ptx_sreg_tid_z);
CHECK_INDEX(CheckBlock, __nvvm_read_ptx_sreg_ctaid_x, __nvvm_read_ptx_sreg_ctaid_y, __nvvm_read_ptx_sreg_ctaid_z);
CHECK_INDEX(CheckBlockSize, __nvvm_read_ptx_sreg_ntid_x, __nvvm_read_ptx_sreg_ntid_y, __nvvm_read_ptx_sreg_ntid_z);
CHECK_INDEX(CheckGridSize, __nvvm_read_ptx_sreg_nctaid_x, __nvvm_read_ptx_sreg_nctaid_y, __nvvm_read_ptx_sreg_nctaid_z);
extern const __device__ __attribute__((weak)) CheckThread threadIdx;
extern const __device__ __attribute__((weak)) CheckBlock blockIdx;
extern const __device__ __attribute__((weak)) CheckBlockSize blockDim;
extern const __device__ __attribute__((weak)) CheckGridSize gridDim;
#define warpSize 32

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
#define CHECK_VECTOR(type, name)                                                                                        \
    struct __align__(sizeof(type) * 2) name##2 { type x, y; };                                                          \
    struct __align__(sizeof(type) * 4 > 16 ? 16 : sizeof(type) * 4) name##4 { type x, y, z, w; };                       \
    CHECK_INLINE name##2 make_##name##2(type x, type y) { return {x, y}; }                                              \
    CHECK_INLINE name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
CHECK_VECTOR(float, float)
CHECK_VECTOR(int, int)
CHECK_VECTOR(unsigned int, uint)
CHECK_VECTOR(unsigned short, ushort)
CHECK_VECTOR(double, double)

CHECK_INLINE int __syncthreads_count(int p) { return __nvvm_bar0_popc(p); }
CHECK_INLINE int __syncthreads_and(int p) { return __nvvm_bar0_and(p); }
CHECK_INLINE int __syncthreads_or(int p) { return __nvvm_bar0_or(p); }
CHECK_INLINE void __syncwarp(unsigned mask = 0xFFFFFFFFu) { __nvvm_bar_warp_sync(mask); }
CHECK_INLINE void __threadfence() { __nvvm_membar_gl(); }
CHECK_INLINE void __threadfence_block() { __nvvm_membar_cta(); }
CHECK_INLINE void __threadfence_system() { __nvvm_membar_sys(); }
CHECK_INLINE void __trap() { __builtin_trap(); }
CHECK_INLINE void __nanosleep(unsigned) {}
CHECK_INLINE long long clock64() { return __nvvm_read_ptx_sreg_clock64(); }
extern "C" __device__ unsigned __activemask();

// Shuffles of 4 and 8 bytes by their bits.
template <typename T, typename Move> CHECK_INLINE T check_shuffle(T value, Move move)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    int words[sizeof(T) / 4];
    __builtin_memcpy(words, &value, sizeof(T));
    for (unsigned i = 0; i < sizeof(T) / 4; i++)
        words[i] = move(words[i]);
    __builtin_memcpy(&value, words, sizeof(T));
    return value;
}

#define CHECK_SHUFFLE(name, builtin, argument, clamp)                                                                   \
    template <typename T> CHECK_INLINE T name(unsigned mask, T value, argument n, int width = 32)                       \
    {                                                                                                                   \
        return check_shuffle(value, [=] __device__(int word) { return builtin(mask, word, (int)n, ((32 - width) << 8) | clamp); }); \
    }
CHECK_SHUFFLE(__shfl_sync, __nvvm_shfl_sync_idx_i32, int, 31)
CHECK_SHUFFLE(__shfl_up_sync, __nvvm_shfl_sync_up_i32, unsigned, 0)
CHECK_SHUFFLE(__shfl_down_sync, __nvvm_shfl_sync_down_i32, unsigned, 31)
CHECK_SHUFFLE(__shfl_xor_sync, __nvvm_shfl_sync_bfly_i32, int, 31)

CHECK_INLINE unsigned __ballot_sync(unsigned mask, int p) { return __nvvm_vote_ballot_sync(mask, p); }
CHECK_INLINE int __any_sync(unsigned mask, int p) { return __nvvm_vote_any_sync(mask, p); }
CHECK_INLINE int __all_sync(unsigned mask, int p) { return __nvvm_vote_all_sync(mask, p); }
CHECK_INLINE unsigned __match_any_sync(unsigned mask, unsigned v) { return __nvvm_match_any_sync_i32(mask, v); }
CHECK_INLINE unsigned __reduce_add_sync(unsigned mask, unsigned v) { return __nvvm_redux_sync_add(v, mask); }
CHECK_INLINE int __reduce_add_sync(unsigned mask, int v) { return __nvvm_redux_sync_add(v, mask); }
CHECK_INLINE unsigned __reduce_min_sync(unsigned mask, unsigned v) { return __nvvm_redux_sync_umin(v, mask); }
CHECK_INLINE int __reduce_min_sync(unsigned mask, int v) { return __nvvm_redux_sync_min(v, mask); }
CHECK_INLINE unsigned __reduce_max_sync(unsigned mask, unsigned v) { return __nvvm_redux_sync_umax(v, mask); }
CHECK_INLINE int __reduce_max_sync(unsigned mask, int v) { return __nvvm_redux_sync_max(v, mask); }
CHECK_INLINE unsigned __reduce_and_sync(unsigned mask, unsigned v) { return __nvvm_redux_sync_and(v, mask); }
CHECK_INLINE unsigned __reduce_or_sync(unsigned mask, unsigned v) { return __nvvm_redux_sync_or(v, mask); }
CHECK_INLINE unsigned __reduce_xor_sync(unsigned mask, unsigned v) { return __nvvm_redux_sync_xor(v, mask); }

// Mathematics: the names are enough.
#define CHECK_FLOAT1(name) extern "C" __device__ float name(float);
#define CHECK_FLOAT2(name) extern "C" __device__ float name(float, float);
CHECK_FLOAT1(fabsf) CHECK_FLOAT1(sqrtf) CHECK_FLOAT1(rsqrtf) CHECK_FLOAT1(expf) CHECK_FLOAT1(exp2f) CHECK_FLOAT1(logf)
CHECK_FLOAT1(log2f) CHECK_FLOAT1(sinf) CHECK_FLOAT1(cosf) CHECK_FLOAT1(tanhf) CHECK_FLOAT1(floorf) CHECK_FLOAT1(ceilf)
CHECK_FLOAT1(truncf) CHECK_FLOAT1(rintf) CHECK_FLOAT1(roundf) CHECK_FLOAT1(__expf) CHECK_FLOAT1(__logf) CHECK_FLOAT1(__log2f)
CHECK_FLOAT1(__sinf) CHECK_FLOAT1(__cosf) CHECK_FLOAT1(__frcp_rn) CHECK_FLOAT1(__fsqrt_rn) CHECK_FLOAT1(__frsqrt_rn)
CHECK_FLOAT1(__saturatef)
CHECK_FLOAT2(fmaxf) CHECK_FLOAT2(fminf) CHECK_FLOAT2(powf) CHECK_FLOAT2(copysignf) CHECK_FLOAT2(fmodf) CHECK_FLOAT2(__powf)
CHECK_FLOAT2(__fdividef) CHECK_FLOAT2(fdividef) CHECK_FLOAT2(__fadd_rn) CHECK_FLOAT2(__fsub_rn) CHECK_FLOAT2(__fmul_rn)
CHECK_FLOAT2(__fdiv_rn)
extern "C" __device__ void sincosf(float, float *, float *);
CHECK_INLINE float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
CHECK_INLINE float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
CHECK_INLINE bool isnan(float x) { return __builtin_isnan(x); }
CHECK_INLINE bool isinf(float x) { return __builtin_isinf(x); }
CHECK_INLINE bool isfinite(float x) { return __builtin_isfinite(x); }
CHECK_INLINE int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
CHECK_INLINE unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
CHECK_INLINE float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
CHECK_INLINE float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
extern "C" __device__ int __float2int_rn(float), __float2int_rz(float), __float2int_rd(float), __float2int_ru(float);
extern "C" __device__ unsigned __float2uint_rn(float), __float2uint_rz(float);
CHECK_INLINE float __int2float_rn(int x) { return (float)x; }
CHECK_INLINE float __uint2float_rn(unsigned x) { return (float)x; }

#define CHECK_MIN_MAX(type)                                       \
    CHECK_INLINE type min(type a, type b) { return b < a ? b : a; } \
    CHECK_INLINE type max(type a, type b) { return a < b ? b : a; }
CHECK_MIN_MAX(int) CHECK_MIN_MAX(unsigned int) CHECK_MIN_MAX(long) CHECK_MIN_MAX(unsigned long)
CHECK_MIN_MAX(long long) CHECK_MIN_MAX(unsigned long long) CHECK_MIN_MAX(float)
CHECK_INLINE int abs(int x) { return x < 0 ? -x : x; }
CHECK_INLINE int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
CHECK_INLINE int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
CHECK_INLINE int __ffs(int x) { return __builtin_ffs(x); }
CHECK_INLINE int __ffsll(long long x) { return __builtin_ffsll(x); }
CHECK_INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
CHECK_INLINE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
CHECK_INLINE unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((unsigned long long)a * b) >> 32); }
CHECK_INLINE int __mulhi(int a, int b) { return (int)(((long long)a * b) >> 32); }
extern "C" __device__ unsigned __brev(unsigned), __byte_perm(unsigned, unsigned, unsigned);
extern "C" __device__ unsigned __funnelshift_l(unsigned, unsigned, unsigned), __funnelshift_r(unsigned, unsigned, unsigned);
template <typename T> CHECK_INLINE T __ldg(const T *p) { return *p; }

#define CHECK_ATOMICS(type)                                                                                             \
    CHECK_INLINE type atomicAdd(type *p, type v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }                 \
    CHECK_INLINE type atomicSub(type *p, type v) { return __atomic_fetch_sub(p, v, __ATOMIC_RELAXED); }                 \
    CHECK_INLINE type atomicAnd(type *p, type v) { return __atomic_fetch_and(p, v, __ATOMIC_RELAXED); }                 \
    CHECK_INLINE type atomicOr(type *p, type v) { return __atomic_fetch_or(p, v, __ATOMIC_RELAXED); }                   \
    CHECK_INLINE type atomicXor(type *p, type v) { return __atomic_fetch_xor(p, v, __ATOMIC_RELAXED); }                 \
    CHECK_INLINE type atomicMin(type *p, type v) { return __atomic_fetch_min(p, v, __ATOMIC_RELAXED); }                 \
    CHECK_INLINE type atomicMax(type *p, type v) { return __atomic_fetch_max(p, v, __ATOMIC_RELAXED); }                 \
    CHECK_INLINE type atomicExch(type *p, type v) { return __atomic_exchange_n(p, v, __ATOMIC_RELAXED); }               \
    CHECK_INLINE type atomicCAS(type *p, type expected, type v)                                                         \
    {                                                                                                                   \
        __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);                        \
        return expected;                                                                                                \
    }
CHECK_ATOMICS(int) CHECK_ATOMICS(unsigned int) CHECK_ATOMICS(unsigned long long)
CHECK_INLINE float atomicAdd(float *p, float v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
CHECK_INLINE unsigned atomicInc(unsigned *p, unsigned limit) { return __nvvm_atom_inc_gen_ui(p, limit); }
extern "C" __device__ float atomicExch(float *, float);
