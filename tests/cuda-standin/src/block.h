// Runs one block at a time on the calling OS thread: its threads as fibers, its barriers, its warp collectives.
#pragma once
#include "cuda_abi.h"
#include "fiber.h"
#include <memory>
#include <csetjmp>
#include <csignal>
#include <string>

/// One grid to run.
struct Launch
{
    std::string kernel;
    StandinIndex grid, block;
    uint32_t sharedBytes;
    const void *parameters;
};

/// The kernel as loaded for one OS thread.
struct LoadedKernel
{
    const StandinModule *module;
    void (*entry)(const void *);
};

struct LaunchError
{
    CUresult code = 0;
    std::string text;
};

struct Block
{
    Block();
    ~Block();

    /// Runs the block with this index in the grid to its end. False on an error, which is then in `error`.
    bool run(const Launch &launch, const LoadedKernel &kernel, uint32_t index, int64_t order);

    LaunchError error;

    // Called by fibers, through the runtime table.
    uint32_t barrier(Fiber *self, uint32_t id, uint32_t threads, uint32_t reduction, uint32_t predicate);
    void arrive(Fiber *self, uint32_t id, uint32_t threads);
    void collective(Fiber *self, const char *name, uint32_t mask, StandinCollective apply, void *frame);
    uint32_t activeMask(const Fiber *self) const;
    [[noreturn]] void fail(Fiber *self, CUresult code, const std::string &what);

    /// For the signal handler: whether a fiber of this block runs right now, and where to go on if it faulted.
    volatile bool running = false;
    volatile int faultSignal = 0;
    void *volatile faultAddress = nullptr;
    sigjmp_buf escape;

private:
    static constexpr uint32_t MaxThreads = 1024, Barriers = 16;

    struct Barrier
    {
        uint32_t arrived[MaxThreads / 32]; // per warp: lanes that arrived, waiting or not
        uint32_t count, expected, reduction, votes;
    };

    struct Warp
    {
        uint32_t lanes, exited, waiting; // waiting: in a collective
    };

    static void enter(void *fiber);
    void prepare(const Launch &launch, const LoadedKernel &kernel, uint32_t index, int64_t order);
    void makeReady(Fiber *fiber);
    Fiber *takeReady();
    void resume(Fiber *fiber);
    void suspend(Fiber *self);
    void exit(Fiber *self);
    void note(Fiber *self, uint32_t id, uint32_t threads, uint32_t reduction, uint32_t predicate);
    bool completeBarrier(uint32_t id);
    bool completeCollective(Fiber *self);
    void reserveShared(uint32_t bytes);
    std::string checkShared() const;
    void describeFault();
    std::string describeDeadlock() const;
    std::string where(const Fiber &fiber) const;

    std::unique_ptr<Fiber[]> _fibers;
    uint8_t *_stacks = nullptr;
    uint8_t *_sharedPages = nullptr;
    size_t _sharedCapacity = 0;
    uint8_t *_shared = nullptr;
    const Launch *_launch = nullptr;
    const LoadedKernel *_kernel = nullptr;
    Fiber *_current = nullptr;
    void *_scheduler = nullptr;
    uint32_t _threads = 0, _alive = 0;
    Barrier _barriers[Barriers];
    Warp _warps[MaxThreads / 32];
    Fiber *_ready[MaxThreads]; // a ring
    uint32_t _readyHead = 0, _readyCount = 0;
    uint64_t _random = 0; // 0: first in, first out
};

extern const StandinRuntime runtimeTable;
