// What a compiled kernel and the stand-in driver know of each other. Read by both: by the driver, and (through
// standin_prelude.h) by every kernel the stand-in's NVRTC compiles. No header of any library is included here.
#pragma once

typedef __UINT8_TYPE__ standin_u8;
typedef __UINT16_TYPE__ standin_u16;
typedef __UINT32_TYPE__ standin_u32;
typedef __UINT64_TYPE__ standin_u64;

#define STANDIN_ABI_VERSION 3u
#define STANDIN_ALL_GROUPS 0xFFFFFFFFu

struct StandinIndex
{
    standin_u32 x, y, z;
};

/// One thread of a running block. The driver derives its fiber from this; the kernel only reads it.
struct StandinThread
{
    StandinIndex thread_index, block_index, block_dim, grid_dim;
    standin_u32 linear, lane;
    standin_u8 *shared; // dynamic shared memory of the block
    standin_u32 shared_bytes;
};

/// Runs once per warp collective, on the lane that arrives last: lanes[i] is the frame lane i brought, or null
/// where lane i takes no part.
typedef void (*StandinCollective)(void *const *lanes, standin_u32 mask);

enum StandinReduction
{
    STANDIN_NO_REDUCTION,
    STANDIN_COUNT,
    STANDIN_AND,
    STANDIN_OR,
};

/// Frame of mma m16n8k16 (16-bit operands) and m16n8k8 (tf32): fragments exactly as PTX lays them out.
struct StandinMma
{
    float *d;
    const standin_u32 *a, *b;
    const float *c;
};

/// Frame of ldmatrix: this lane's row address, and its registers.
struct StandinLoadMatrix
{
    standin_u32 *registers;
    const void *row;
    standin_u32 matrices;
    standin_u32 transposed;
};

struct StandinRuntime
{
    standin_u32 (*barrier)(StandinThread *self, standin_u32 id, standin_u32 threads, standin_u32 reduction, standin_u32 predicate);
    void (*barrier_arrive)(StandinThread *self, standin_u32 id, standin_u32 threads);
    void (*collective)(StandinThread *self, const char *name, standin_u32 mask, StandinCollective apply, void *frame);
    standin_u32 (*active_mask)(StandinThread *self);
    void (*copy_async)(StandinThread *self, void *shared, const void *global, standin_u32 bytes, standin_u32 source_bytes);
    void (*copy_commit)(StandinThread *self);
    void (*copy_wait)(StandinThread *self, standin_u32 pending_groups);
    void (*copy_wait_all)(StandinThread *self);
    void (*fail)(StandinThread *self, standin_u32 code, const char *what);
    StandinCollective mma_bf16, mma_f16, mma_tf32, load_matrix;
};

/// Exported by the module once per kernel, as `<kernel>_standin`.
struct StandinKernel
{
    standin_u32 parameter_bytes, max_threads;
    void (*entry)(const void *parameters);
};

/// Exported by the module as `standin_module`.
struct StandinModule
{
    standin_u32 version;
    const StandinRuntime **runtime;
    StandinThread **current;
    standin_u8 *shared_begin, *shared_end; // the static __shared__ variables
};
