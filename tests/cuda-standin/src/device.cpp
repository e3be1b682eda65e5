// Initialisation, devices, contexts, error names.
#include "memory.h"
#include "options.h"
#include <atomic>
#include <cstdio>

struct Context
{
    int device = 0;
    std::atomic<int> references{0};
};

namespace
{
Context primary;
std::atomic<bool> initialised{false};
thread_local Context *stack[8];
thread_local int depth = 0;

struct ErrorName
{
    CUresult code;
    const char *name, *text;
};

const ErrorName ErrorNames[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {4, "CUDA_ERROR_DEINITIALIZED", "driver shutting down"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {304, "CUDA_ERROR_OPERATING_SYSTEM", "OS call failed or operation not supported on this OS"},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {600, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {710, "CUDA_ERROR_ASSERT", "device-side assert triggered"},
    {715, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"},
    {716, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {903, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "stream capture was not begun on this stream"},
    {904, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"},
    {910, "CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE", "the graph update was not performed because of constraints"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

CUresult nameOf(CUresult code, const char **text, const char *ErrorName::*field)
{
    for (const ErrorName &entry : ErrorNames)
    {
        if (entry.code == code)
        {
            *text = entry.*field;
            return CUDA_SUCCESS;
        }
    }
    *text = nullptr;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult checkDevice(int device)
{
    return !initialised ? CUDA_ERROR_NOT_INITIALIZED
           : device < 0 || device >= options().devices ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS;
}
}

CUresult contextProblem()
{
    if (!initialised)
        return CUDA_ERROR_NOT_INITIALIZED;
    return depth == 0 || !stack[depth - 1] || primary.references == 0 ? CUDA_ERROR_INVALID_CONTEXT : CUDA_SUCCESS;
}

CUAPI CUresult cuInit(unsigned)
{
    if (options().devices == 0)
        return CUDA_ERROR_NO_DEVICE;
    initialised = true;
    return CUDA_SUCCESS;
}

CUAPI CUresult cuDriverGetVersion(int *version)
{
    *version = (int)options().driverVersion;
    return CUDA_SUCCESS;
}

CUAPI CUresult cuDeviceGetCount(int *count)
{
    *count = (int)options().devices;
    return initialised ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

CUAPI CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    *device = ordinal;
    return checkDevice(ordinal);
}

CUAPI CUresult cuDeviceGetName(char *name, int capacity, CUdevice device)
{
    if (CUresult bad = checkDevice(device); bad != 0)
        return bad;
    snprintf(name, (size_t)capacity, "LazyLlm Stand-in %d", device);
    return CUDA_SUCCESS;
}

CUAPI CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    *bytes = (size_t)options().totalMemory;
    return checkDevice(device);
}

CUAPI CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device)
{
    if (CUresult bad = checkDevice(device); bad != 0)
        return bad;
    switch (attribute)
    {
        case MAX_THREADS_PER_BLOCK: case MAX_BLOCK_DIM_X: case MAX_BLOCK_DIM_Y: *value = 1024; break;
        case MAX_BLOCK_DIM_Z: *value = 64; break;
        case MAX_GRID_DIM_X: *value = 0x7FFFFFFF; break;
        case MAX_GRID_DIM_Y: case MAX_GRID_DIM_Z: *value = 65535; break;
        case MAX_SHARED_MEMORY_PER_BLOCK: *value = 48 << 10; break;
        case TOTAL_CONSTANT_MEMORY: *value = 64 << 10; break;
        case WARP_SIZE: *value = 32; break;
        case MAX_REGISTERS_PER_BLOCK: case MAX_REGISTERS_PER_MULTIPROCESSOR: *value = 65536; break;
        case CLOCK_RATE: case MEMORY_CLOCK_RATE: *value = 1000000; break;
        case MULTIPROCESSOR_COUNT: *value = 4; break;
        case CAN_MAP_HOST_MEMORY: case CONCURRENT_KERNELS: case UNIFIED_ADDRESSING: case COOPERATIVE_LAUNCH: *value = 1; break;
        case VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED: *value = 1; break;
        case GLOBAL_MEMORY_BUS_WIDTH: *value = 128; break;
        case L2_CACHE_SIZE: *value = 4 << 20; break;
        case MAX_THREADS_PER_MULTIPROCESSOR: *value = 2048; break;
        case ASYNC_ENGINE_COUNT: *value = 2; break;
        case COMPUTE_CAPABILITY_MAJOR: *value = (int)options().major; break;
        case COMPUTE_CAPABILITY_MINOR: *value = (int)options().minor; break;
        case MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: *value = 164 << 10; break;
        case MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 163 << 10; break;
        case MAX_BLOCKS_PER_MULTIPROCESSOR: *value = 32; break;
        case RESERVED_SHARED_MEMORY_PER_BLOCK: *value = 1 << 10; break;
        case CLUSTER_LAUNCH: *value = options().major >= 9; break;
        default: *value = 0; break;
    }
    return CUDA_SUCCESS;
}

CUAPI CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    if (CUresult bad = checkDevice(device); bad != 0)
        return bad;
    if (CUresult injected = enter(Call::Context); injected != 0)
        return injected;
    primary.references++;
    *context = &primary;
    return CUDA_SUCCESS;
}

// With the last reference the context goes, and all its memory and its error with it.
CUAPI CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    if (CUresult bad = checkDevice(device); bad != 0)
        return bad;
    if (primary.references == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (--primary.references == 0)
    {
        releaseAllMemory();
        clearSticky();
    }
    return CUDA_SUCCESS;
}

CUAPI CUresult cuDevicePrimaryCtxReset_v2(CUdevice device)
{
    releaseAllMemory();
    clearSticky();
    return checkDevice(device);
}

CUAPI CUresult cuCtxSetCurrent(CUcontext context)
{
    if (depth == 0)
        depth = 1;
    stack[depth - 1] = context;
    return initialised ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

CUAPI CUresult cuCtxGetCurrent(CUcontext *context)
{
    *context = depth ? stack[depth - 1] : nullptr;
    return CUDA_SUCCESS;
}

CUAPI CUresult cuCtxPushCurrent_v2(CUcontext context)
{
    if (depth == 8 || !context)
        return CUDA_ERROR_INVALID_CONTEXT;
    stack[depth++] = context;
    return CUDA_SUCCESS;
}

CUAPI CUresult cuCtxPopCurrent_v2(CUcontext *context)
{
    if (depth == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (context)
        *context = stack[depth];
    return CUDA_SUCCESS;
}

CUAPI CUresult cuGetErrorName(CUresult code, const char **text) { return nameOf(code, text, &ErrorName::name); }
CUAPI CUresult cuGetErrorString(CUresult code, const char **text) { return nameOf(code, text, &ErrorName::text); }
CUAPI CUresult cuProfilerStart() { return enter(Call::ProfilerStart); }
CUAPI CUresult cuProfilerStop() { return enter(Call::ProfilerStop); }
