// Base types of every kernel, and how a kernel is declared. Nothing here or in any kernel includes a header of the
// toolkit or of the C++ library.
#pragma once

typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/// 16-bit storage formats. They hold bits only; ptx.cuh converts them.
struct bf16
{
    u16 bits;
};

struct f16
{
    u16 bits;
};

/// Device functions of the project: internal to their translation unit and always inlined.
#define LAZYLLM_DEVICE static __device__ __forceinline__

// LAZYLLM_KERNEL(name, Args, maxThreads[, minBlocksPerSm]) { ... args.field ... }
// declares the kernel `name`, which takes exactly one parameter: a struct by value, called `args` in the body.
//
// LAZYLLM_SHARED_BYTES(name) inside a kernel names its dynamic shared memory, a `u8` array aligned to 128 bytes (to
// 1,024 on compute capability 9.0, as swizzled bulk copies want it).
#ifdef LAZYLLM_STANDIN
#define LAZYLLM_KERNEL(name, Args, ...)                                                                       \
    static void name##_body(const Args &args);                                                                \
    extern "C" void name(const void *parameters) { name##_body(*static_cast<const Args *>(parameters)); }     \
    STANDIN_EXPORT const StandinKernel name##_standin = {sizeof(Args), STANDIN_FIRST(__VA_ARGS__, 0), name};   \
    static void name##_body([[maybe_unused]] const Args &args)
#define LAZYLLM_SHARED_BYTES(name) u8 *const name = standin_current->shared
#else
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define LAZYLLM_SHARED_ALIGNMENT 1024
#else
#define LAZYLLM_SHARED_ALIGNMENT 128
#endif
#define LAZYLLM_KERNEL(name, Args, ...) \
    extern "C" __global__ void __launch_bounds__(__VA_ARGS__) name(const __grid_constant__ Args args)
#define LAZYLLM_SHARED_BYTES(name) extern __shared__ __align__(LAZYLLM_SHARED_ALIGNMENT) u8 name[]
#endif
