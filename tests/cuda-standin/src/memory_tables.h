// The tables behind device memory, shared by memory.cpp (allocations) and virtual_memory.cpp (mapped memory).
#pragma once
#include "memory.h"
#include <map>
#include <mutex>
#include <unordered_map>

constexpr size_t Page = 4096;

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

Memory &memory();

inline size_t roundUp(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

/// Fresh addresses with a guard page on both sides; 0 when there are none left.
uintptr_t takeAddresses(Memory &m, size_t bytes, size_t alignment);

/// Counts bytes against the device's memory; false when they do not fit.
bool charge(Memory &m, size_t bytes);
void discharge(Memory &m, size_t bytes);

/// Leaves the addresses without memory.
void unmapRange(uintptr_t address, size_t bytes);
