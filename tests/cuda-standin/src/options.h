// What tests can ask of the stand-in, and what it counts. Set through the environment variable
// LAZYLLM_STANDIN="name=value,name=value" or through standin_set.
#pragma once
#include "cuda_abi.h"
#include <atomic>
#include <string>

/// Kinds of calls that can be told to fail, and that are counted.
enum class Call
{
    Alloc, Pinned, Free, Copy, Set, Launch, Compile, ModuleLoad, Function, Stream, Event, Graph, Sync, Map, Context, ProfilerStart,
    ProfilerStop,
    Count,
};

struct Options
{
    std::atomic<int64_t> totalMemory{2ll << 30};
    std::atomic<int64_t> poison{1};       // fill fresh memory with 0xFF: NaN in every float format
    std::atomic<int64_t> threadOrder{0};  // 0 in order, -1 reversed, otherwise a seed
    std::atomic<int64_t> workers{0};      // OS threads that run blocks; 0: one per core, 4 at most
    std::atomic<int64_t> async{0};        // 1: streams run on threads of their own
    std::atomic<int64_t> alignment{256};  // of device allocations; 16 finds the shortest overrun
    std::atomic<int64_t> canaries{1};     // check the slack around allocations after each launch
    std::atomic<int64_t> timeout{120000}; // milliseconds that a grid may take
    std::atomic<int64_t> quiet{0};        // 1: do not say on stderr why a launch failed
    std::atomic<int64_t> skipLaunches{0}; // 1: launches are checked no further than their kind, and nothing runs
    std::atomic<int64_t> devices{1};
    std::atomic<int64_t> major{8}, minor{0};
    std::atomic<int64_t> dependentLaunches{0}; // counts launches that may start before their predecessor ends
    std::atomic<int64_t> driverVersion{13000}, nvrtcVersion{13000};
};

extern Options &options();

/// Counts a call and says whether it has been told to fail: CUDA_SUCCESS, or the code to return. A code that
/// poisons a context does so.
CUresult enter(Call kind);

/// The error that poisoned the context, or CUDA_SUCCESS.
CUresult stickyError();
void setSticky(CUresult code, const std::string &why);
void clearSticky();

/// Whether the calling thread has a context that is alive.
CUresult contextProblem();

/// Whether a capture in progress forbids calls that may synchronise; if so it is invalidated.
bool captureForbids();

int64_t callCount(Call kind);
void setLastErrorText(const std::string &text);

/// First statement of every entry point: a call of this kind fails if it was told to, or if the context is poisoned.
#define ENTER(kind)                                            \
    if (CUresult failed = enter(Call::kind); failed != 0)      \
        return failed;
#define CHECK_STICKY()                                         \
    if (CUresult failed = stickyError(); failed != 0)          \
        return failed;
