// Device and pinned memory: every allocation between guard pages, its end at the end of a page.
#pragma once
#include "cuda_abi.h"
#include <string>

struct MemoryCounters
{
    int64_t liveBytes, liveAllocations, peakBytes, pinnedBytes, pinnedAllocations, liveObjects, leakedAllocations;
};

MemoryCounters memoryCounters();

/// Streams, events, modules, graphs and graph executables alive.
void countObject(int delta);

/// Whether all of [address, address + bytes) is device memory (mapped, or of one allocation) or pinned memory.
bool isDeviceMemory(CUdeviceptr address, size_t bytes);
bool isPinned(const void *address, size_t bytes);

/// In words, where an address lies with respect to the allocations near it.
std::string describeAddress(uintptr_t address);

/// Checks the slack around every allocation; empty, or what was damaged (and mends it).
std::string checkCanaries();

/// What the end of a context does: all device memory goes. Returns how many allocations were still alive.
int releaseAllMemory();
