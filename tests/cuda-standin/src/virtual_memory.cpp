// Virtual memory management: addresses reserved, physical memory created, the one mapped to the other.
#include "memory_tables.h"
#include "options.h"
#include <algorithm>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace
{
constexpr size_t Granularity = 2 << 20;

void dropPhysicalIfUnused(Memory &m, CUmemHandle handle)
{
    auto it = m.physical.find(handle);
    if (it != m.physical.end() && it->second.released && it->second.mappings == 0)
    {
        close(it->second.file);
        discharge(m, it->second.bytes);
        m.physical.erase(it);
    }
}
}

CUAPI CUresult cuMemGetAllocationGranularity(size_t *granularity, const CUmemAllocationProp *, int)
{
    *granularity = Granularity;
    return CUDA_SUCCESS;
}

CUAPI CUresult cuMemAddressReserve(CUdeviceptr *pointer, size_t bytes, size_t alignment, CUdeviceptr, unsigned long long)
{
    ENTER(Map);
    if (bytes == 0 || bytes % Granularity != 0)
        return CUDA_ERROR_INVALID_VALUE;
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    uintptr_t at = takeAddresses(m, bytes, std::max(alignment, Granularity));
    if (at == 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    m.reserved[at] = bytes;
    *pointer = at;
    return CUDA_SUCCESS;
}

CUAPI CUresult cuMemAddressFree(CUdeviceptr pointer, size_t bytes)
{
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    auto it = m.reserved.find(pointer);
    auto inside = m.mapped.lower_bound(pointer);
    if (it == m.reserved.end() || it->second != bytes || (inside != m.mapped.end() && inside->first < pointer + bytes))
        return CUDA_ERROR_INVALID_VALUE;
    m.reserved.erase(it);
    return CUDA_SUCCESS;
}

CUAPI CUresult cuMemCreate(CUmemHandle *handle, size_t bytes, const CUmemAllocationProp *prop, unsigned long long)
{
    ENTER(Alloc);
    if (!prop || prop->type != 1 || prop->location.type != 1 || bytes == 0 || bytes % Granularity != 0)
        return CUDA_ERROR_INVALID_VALUE;
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    if (!charge(m, bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    int file = memfd_create("cuda-standin", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, (off_t)bytes) != 0)
    {
        if (file >= 0)
            close(file);
        discharge(m, bytes);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (options().poison)
    {
        void *p = mmap(nullptr, bytes, PROT_WRITE, MAP_SHARED, file, 0);
        if (p != MAP_FAILED)
        {
            memset(p, 0xFF, bytes);
            munmap(p, bytes);
        }
    }
    *handle = m.nextPhysical++;
    m.physical[*handle] = {bytes, file, 0, false};
    return CUDA_SUCCESS;
}

CUAPI CUresult cuMemRelease(CUmemHandle handle)
{
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    auto it = m.physical.find(handle);
    if (it == m.physical.end() || it->second.released)
        return CUDA_ERROR_INVALID_VALUE;
    it->second.released = true;
    dropPhysicalIfUnused(m, handle);
    return CUDA_SUCCESS;
}

CUAPI CUresult cuMemMap(CUdeviceptr pointer, size_t bytes, size_t offset, CUmemHandle handle, unsigned long long)
{
    ENTER(Map);
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    auto physical = m.physical.find(handle);
    auto range = m.reserved.upper_bound(pointer);
    if (physical == m.physical.end() || range == m.reserved.begin() || offset != 0 || bytes != physical->second.bytes)
        return CUDA_ERROR_INVALID_VALUE;
    --range;
    auto next = m.mapped.lower_bound(pointer);
    bool overlaps = (next != m.mapped.end() && next->first < pointer + bytes) ||
                    (next != m.mapped.begin() && std::prev(next)->first + std::prev(next)->second.bytes > pointer);
    if (pointer % Granularity != 0 || pointer + bytes > range->first + range->second || overlaps)
        return CUDA_ERROR_INVALID_VALUE;
    if (mmap((void *)pointer, bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, physical->second.file, 0) == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    physical->second.mappings++;
    m.mapped[pointer] = {bytes, handle, false};
    return CUDA_SUCCESS;
}

CUAPI CUresult cuMemSetAccess(CUdeviceptr pointer, size_t bytes, const CUmemAccessDesc *access, size_t count)
{
    ENTER(Map);
    if (count != 1 || access[0].flags != 3)
        return CUDA_ERROR_INVALID_VALUE;
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    uintptr_t at = pointer;
    for (auto it = m.mapped.find(pointer); at < pointer + bytes; at += it->second.bytes, ++it)
    {
        if (it == m.mapped.end() || it->first != at)
            return CUDA_ERROR_INVALID_VALUE;
        mprotect((void *)at, it->second.bytes, PROT_READ | PROT_WRITE);
        it->second.accessible = true;
    }
    return CUDA_SUCCESS;
}

CUAPI CUresult cuMemUnmap(CUdeviceptr pointer, size_t bytes)
{
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    uintptr_t at = pointer;
    for (auto it = m.mapped.find(pointer); at < pointer + bytes;)
    {
        if (it == m.mapped.end() || it->first != at)
            return CUDA_ERROR_INVALID_VALUE;
        unmapRange(at, it->second.bytes);
        at += it->second.bytes;
        CUmemHandle handle = it->second.physical;
        m.physical[handle].mappings--;
        it = m.mapped.erase(it);
        dropPhysicalIfUnused(m, handle);
    }
    return CUDA_SUCCESS;
}
