#include "module.h"
#include "memory.h"
#include "options.h"
#include <algorithm>
#include <cstring>
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

const char ImageMagic[8] = {'S', 'T', 'A', 'N', 'D', 'I', 'N', 0};

uint64_t imageDigest(const void *data, size_t bytes)
{
    uint64_t hash = 0xCBF29CE484222325ull;
    for (auto *p = static_cast<const unsigned char *>(data), *end = p + bytes; p < end; p++)
        hash = (hash ^ *p) * 0x100000001B3ull;
    return hash;
}

Module::~Module()
{
    for (int i = 0; i < MaxWorkers; i++)
    {
        if (libraries[i])
        {
            dlclose(libraries[i]);
            close(files[i]);
        }
    }
}

void *Module::library(int worker, std::string &problem)
{
    std::lock_guard guard(lock);
    if (libraries[worker])
        return libraries[worker];
    int file = memfd_create("cuda-standin-module", MFD_CLOEXEC);
    std::string path = "/proc/self/fd/" + std::to_string(file);
    bool written = file >= 0;
    for (size_t at = 0; written && at < image.size();)
    {
        ssize_t n = write(file, image.data() + at, image.size() - at);
        written = n > 0;
        at += (size_t)std::max<ssize_t>(n, 0);
    }
    void *found = written ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (!found)
        problem = written ? dlerror() : "no memory file";
    else if (auto *module = (const StandinModule *)dlsym(found, "standin_module"); !module || module->version != STANDIN_ABI_VERSION)
    {
        problem = "a module of another version of the stand-in";
        dlclose(found);
        found = nullptr;
    }
    // The file stays open with the library: dlopen takes two libraries of one path for the same.
    if (!found && file >= 0)
        close(file);
    files[worker] = file;
    return libraries[worker] = found;
}

bool Function::load(int worker, LoadedKernel &kernel, std::string &problem)
{
    if (!loaded[worker].entry)
    {
        void *library = module->library(worker, problem);
        if (!library)
            return false;
        auto *descriptor = (const StandinKernel *)dlsym(library, (name + "_standin").c_str());
        loaded[worker] = {(const StandinModule *)dlsym(library, "standin_module"), descriptor->entry};
    }
    kernel = loaded[worker];
    return true;
}

CUAPI CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned, int *, void **)
{
    ENTER(ModuleLoad);
    ImageHeader header;
    memcpy(&header, image, sizeof header);
    if (memcmp(header.magic, ImageMagic, sizeof ImageMagic) != 0 || header.bytes > (1u << 30))
        return CUDA_ERROR_INVALID_IMAGE;
    auto *object = static_cast<const char *>(image) + sizeof header;
    if (header.version != ImageVersion || imageDigest(object, header.bytes) != header.digest)
        return CUDA_ERROR_INVALID_IMAGE;
    if (header.architecture != options().major * 10 + options().minor)
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    auto loaded = std::make_unique<Module>(std::vector<char>(object, object + header.bytes));
    std::string problem;
    if (!loaded->library(0, problem))
    {
        setLastErrorText("module: " + problem);
        return CUDA_ERROR_INVALID_IMAGE;
    }
    *module = loaded.release();
    countObject(1);
    return CUDA_SUCCESS;
}

CUAPI CUresult cuModuleLoadData(CUmodule *module, const void *image) { return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr); }

CUAPI CUresult cuModuleUnload(CUmodule module)
{
    if (!module)
        return CUDA_ERROR_INVALID_HANDLE;
    delete module;
    countObject(-1);
    return stickyError();
}

CUAPI CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
    ENTER(Function);
    std::string problem;
    void *library = module->library(0, problem);
    auto *descriptor = (const StandinKernel *)dlsym(library, (std::string(name) + "_standin").c_str());
    if (!descriptor)
        return CUDA_ERROR_NOT_FOUND;
    auto *shared = (const StandinModule *)dlsym(library, "standin_module");
    std::lock_guard guard(module->lock);
    auto &entry = module->functions[name];
    if (!entry)
    {
        entry = std::make_unique<Function>();
        entry->module = module;
        entry->name = name;
        entry->parameterBytes = descriptor->parameter_bytes;
        entry->maxThreads = descriptor->max_threads ? descriptor->max_threads : 1024;
        entry->staticShared = (uint32_t)(shared->shared_end - shared->shared_begin);
    }
    *function = entry.get();
    return CUDA_SUCCESS;
}

CUAPI CUresult cuFuncGetAttribute(int *value, int attribute, CUfunction function)
{
    CHECK_STICKY();
    switch (attribute)
    {
        case FUNC_MAX_THREADS_PER_BLOCK: *value = (int)function->maxThreads; break;
        case FUNC_SHARED_SIZE_BYTES: *value = (int)function->staticShared; break;
        case FUNC_CONST_SIZE_BYTES: case FUNC_LOCAL_SIZE_BYTES: case FUNC_CACHE_MODE_CA: *value = 0; break;
        case FUNC_NUM_REGS: *value = 32; break;
        case FUNC_PTX_VERSION: case FUNC_BINARY_VERSION: *value = (int)(options().major * 10 + options().minor); break;
        case FUNC_MAX_DYNAMIC_SHARED_SIZE_BYTES: *value = (int)function->maxDynamicShared; break;
        case FUNC_PREFERRED_SHARED_MEMORY_CARVEOUT: *value = -1; break;
        default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

constexpr int64_t SharedOptIn = 163 << 10;

CUAPI CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value)
{
    ENTER(Function);
    if (attribute == FUNC_PREFERRED_SHARED_MEMORY_CARVEOUT)
        return CUDA_SUCCESS;
    if (attribute != FUNC_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 || value + (int64_t)function->staticShared > SharedOptIn)
        return CUDA_ERROR_INVALID_VALUE;
    function->maxDynamicShared = (uint32_t)value;
    return CUDA_SUCCESS;
}

CUAPI CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t *offset, size_t *bytes)
{
    if (index != 0)
        return CUDA_ERROR_INVALID_VALUE;
    *offset = 0;
    if (bytes)
        *bytes = function->parameterBytes;
    return CUDA_SUCCESS;
}

CUAPI CUresult cuFuncGetName(const char **name, CUfunction function)
{
    *name = function->name.c_str();
    return CUDA_SUCCESS;
}

CUAPI CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int threads, size_t dynamicShared)
{
    CHECK_STICKY();
    if (threads <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    int64_t warps = (threads + 31) / 32, perBlock = (int64_t)dynamicShared + function->staticShared + 1024;
    bool fits = threads <= (int)function->maxThreads && (int64_t)dynamicShared <= function->maxDynamicShared;
    *blocks = fits ? (int)std::min<int64_t>({32, 64 / warps, (164 << 10) / perBlock}) : 0;
    return CUDA_SUCCESS;
}
