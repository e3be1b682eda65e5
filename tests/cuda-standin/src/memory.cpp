#include "memory_tables.h"
#include "options.h"
#include <algorithm>
#include <cstring>
#include <sys/mman.h>

namespace
{
constexpr size_t CanaryReach = 256; // bytes checked before an allocation; behind it the rest of its last page
constexpr unsigned char Canary = 0xC5;

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
}

Memory &memory()
{
    static Memory &instance = *new Memory;
    return instance;
}

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

void unmapRange(uintptr_t address, size_t bytes)
{
    mmap((void *)address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
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
