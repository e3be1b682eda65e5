#include "memory.h"
#include "options.h"
#include <cstring>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>
#include <unordered_map>

namespace
{
constexpr size_t Page = 4096;
constexpr size_t CanaryReach = 256; // bytes checked before an allocation; behind it the rest of its last page
constexpr unsigned char Canary = 0xC5;
constexpr size_t Granularity = 2 << 20; // of virtual memory management

struct Allocation
{
    size_t bytes;
    uintptr_t pages;
    size_t pageBytes;
};

struct Mapping
{
    size_t bytes;
    CUmemHandle physical;
    bool accessible;
};

struct Physical
{
    size_t bytes;
    int file;
    int mappings;
    bool released;
};

struct Memory
{
    std::mutex lock;
    uintptr_t arena = 0, next = 0, end = 0;
    std::map<uintptr_t, Allocation> device, pinned;
    std::map<uintptr_t, size_t> reserved;
    std::map<uintptr_t, Mapping> mapped;
    std::unordered_map<CUmemHandle, Physical> physical;
    CUmemHandle nextPhysical = 1;
    MemoryCounters counters{};
};

Memory &memory()
{
    static Memory &instance = *new Memory;
    return instance;
}

size_t roundUp(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

// Addresses are never used twice, so that a stale pointer faults.
uintptr_t takeAddresses(Memory &m, size_t bytes, size_t alignment)
{
    if (m.arena == 0)
    {
        for (size_t size = 1ull << 42; size >= 1ull << 34 && m.arena == 0; size >>= 2)
        {
            void *p = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (p != MAP_FAILED)
            {
                m.arena = m.next = (uintptr_t)p;
                m.end = m.arena + size;
            }
        }
    }
    uintptr_t at = roundUp(m.next + Page, alignment);
    if (m.arena == 0 || bytes > m.end - m.arena || at + bytes + Page > m.end)
        return 0;
    m.next = at + bytes;
    return at;
}

bool charge(Memory &m, size_t bytes)
{
    if (bytes > (size_t)options().totalMemory || (size_t)m.counters.liveBytes > (size_t)options().totalMemory - bytes)
        return false;
    m.counters.liveBytes += (int64_t)bytes;
    m.counters.liveAllocations++;
    m.counters.peakBytes = std::max(m.counters.peakBytes, m.counters.liveBytes);
    return true;
}

void discharge(Memory &m, size_t bytes)
{
    m.counters.liveBytes -= (int64_t)bytes;
    m.counters.liveAllocations--;
}

// 0 where there are no more addresses.
uintptr_t guarded(Memory &m, std::map<uintptr_t, Allocation> &table, size_t bytes, size_t alignment)
{
    size_t padded = roundUp(bytes, alignment), pageBytes = roundUp(padded, Page);
    uintptr_t pages = takeAddresses(m, pageBytes, Page);
    if (pages == 0 || mprotect((void *)pages, pageBytes, PROT_READ | PROT_WRITE) != 0)
        return 0;
    uintptr_t start = pages + pageBytes - padded;
    memset((void *)pages, Canary, start - pages);
    memset((void *)(start + bytes), Canary, padded - bytes);
    if (options().poison)
        memset((void *)start, 0xFF, bytes);
    table[start] = {bytes, pages, pageBytes};
    return start;
}

void unguard(const Allocation &a)
{
    mmap((void *)a.pages, a.pageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

bool damaged(uintptr_t from, uintptr_t to)
{
    bool bad = false;
    for (auto *p = (unsigned char *)from; p < (unsigned char *)to; p++)
    {
        bad |= *p != Canary;
        *p = Canary;
    }
    return bad;
}

std::string checkOne(uintptr_t start, const Allocation &a)
{
    uintptr_t front = std::max(a.pages, start - CanaryReach);
    if (damaged(start + a.bytes, a.pages + a.pageBytes))
        return "something wrote past the end of an allocation of " + std::to_string(a.bytes) + " bytes";
    if (damaged(front, start))
        return "something wrote before the start of an allocation of " + std::to_string(a.bytes) + " bytes";
    return {};
}

const std::pair<const uintptr_t, Allocation> *find(const std::map<uintptr_t, Allocation> &table, uintptr_t address)
{
    auto after = table.upper_bound(address);
    if (after == table.begin())
        return nullptr;
    --after;
    return &*after;
}

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

void unmapRange(uintptr_t address, size_t bytes)
{
    mmap((void *)address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}
}

MemoryCounters memoryCounters()
{
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    return m.counters;
}

void countObject(int delta)
{
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    m.counters.liveObjects += delta;
}

bool isDeviceMemory(CUdeviceptr address, size_t bytes)
{
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    for (auto *table : {&m.device, &m.pinned})
    {
        auto *a = find(*table, address);
        if (a && address <= a->first + a->second.bytes && bytes <= a->first + a->second.bytes - address)
            return true;
    }
    uintptr_t at = address;
    while (true)
    {
        auto it = m.mapped.upper_bound(at);
        if (it == m.mapped.begin())
            return false;
        --it;
        uintptr_t end = it->first + it->second.bytes;
        if (at >= end || !it->second.accessible)
            return false;
        if (bytes <= end - at)
            return true;
        bytes -= end - at;
        at = end;
    }
}

bool isPinned(const void *address, size_t bytes)
{
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    auto *a = find(m.pinned, (uintptr_t)address);
    return a && (uintptr_t)address + bytes <= a->first + a->second.bytes;
}

std::string describeAddress(uintptr_t address)
{
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    char hex[32];
    snprintf(hex, sizeof hex, "0x%llx", (unsigned long long)address);
    std::string text = hex;
    if (address < m.arena || address >= m.end)
        return text + (address < 65536 ? " (a null pointer, or near it)" : " (no device memory)");
    for (auto *table : {&m.device, &m.pinned})
    {
        if (auto *a = find(*table, address); a && address - (a->first + a->second.bytes) < (1 << 20))
            text += ", " + std::to_string(address - a->first - a->second.bytes) + " bytes past the end of an allocation of " +
                    std::to_string(a->second.bytes) + " bytes";
        auto next = table->upper_bound(address);
        if (next != table->end() && next->first - address < (1 << 20))
            text += ", " + std::to_string(next->first - address) + " bytes before an allocation of " +
                    std::to_string(next->second.bytes) + " bytes";
    }
    return text;
}

std::string checkCanaries()
{
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    std::string found;
    for (auto &[start, allocation] : m.device)
    {
        if (std::string bad = checkOne(start, allocation); !bad.empty())
            found = bad;
    }
    return found;
}

int releaseAllMemory()
{
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    int count = (int)(m.device.size() + m.physical.size());
    for (auto &[start, a] : m.device)
    {
        unguard(a);
        discharge(m, a.bytes);
    }
    for (auto &[start, mapping] : m.mapped)
        unmapRange(start, mapping.bytes);
    for (auto &[handle, p] : m.physical)
    {
        close(p.file);
        discharge(m, p.bytes);
    }
    m.device.clear();
    m.mapped.clear();
    m.physical.clear();
    m.counters.leakedAllocations += count;
    return count;
}

CUAPI CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes)
{
    ENTER(Alloc);
    if (!pointer || bytes == 0)
        return CUDA_ERROR_INVALID_VALUE;
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    if (!charge(m, bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    uintptr_t start = guarded(m, m.device, bytes, (size_t)options().alignment);
    if (start == 0)
    {
        discharge(m, bytes);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *pointer = start;
    return CUDA_SUCCESS;
}

CUAPI CUresult cuMemFree_v2(CUdeviceptr pointer)
{
    ENTER(Free);
    if (pointer == 0)
        return CUDA_SUCCESS;
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    auto it = m.device.find(pointer);
    if (it == m.device.end())
        return CUDA_ERROR_INVALID_VALUE;
    std::string bad = checkOne(it->first, it->second);
    unguard(it->second);
    discharge(m, it->second.bytes);
    m.device.erase(it);
    if (!bad.empty())
        setSticky(CUDA_ERROR_ILLEGAL_ADDRESS, bad);
    return bad.empty() ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS;
}

CUAPI CUresult cuMemGetInfo_v2(size_t *freeBytes, size_t *total)
{
    CHECK_STICKY();
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    *total = (size_t)options().totalMemory;
    *freeBytes = *total - std::min(*total, (size_t)m.counters.liveBytes);
    return CUDA_SUCCESS;
}

CUAPI CUresult cuMemHostAlloc(void **pointer, size_t bytes, unsigned)
{
    ENTER(Pinned);
    if (!pointer || bytes == 0)
        return CUDA_ERROR_INVALID_VALUE;
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    uintptr_t start = guarded(m, m.pinned, bytes, 64);
    if (start == 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    m.counters.pinnedBytes += (int64_t)bytes;
    m.counters.pinnedAllocations++;
    *pointer = (void *)start;
    return CUDA_SUCCESS;
}

CUAPI CUresult cuMemAllocHost_v2(void **pointer, size_t bytes) { return cuMemHostAlloc(pointer, bytes, 0); }

CUAPI CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *host, unsigned)
{
    CHECK_STICKY();
    if (!isPinned(host, 1))
        return CUDA_ERROR_INVALID_VALUE;
    *device = (CUdeviceptr)host;
    return CUDA_SUCCESS;
}

// Pinned memory can be given back under a poisoned context too: the pages are the host's.
CUAPI CUresult cuMemFreeHost(void *pointer)
{
    Memory &m = memory();
    std::lock_guard guard(m.lock);
    auto it = m.pinned.find((uintptr_t)pointer);
    if (it == m.pinned.end())
        return CUDA_ERROR_INVALID_VALUE;
    m.counters.pinnedBytes -= (int64_t)it->second.bytes;
    m.counters.pinnedAllocations--;
    unguard(it->second);
    m.pinned.erase(it);
    return stickyError();
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
