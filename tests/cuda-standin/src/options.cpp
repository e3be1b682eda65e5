#include "options.h"
#include "memory.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace
{
const char *const CallNames[] = {"alloc", "pinned", "free", "copy", "set", "launch", "compile", "module", "function",
                                 "stream", "event", "graph", "sync", "map", "context", "profiler_start", "profiler_stop"};
static_assert(sizeof CallNames / sizeof *CallNames == (size_t)Call::Count);

struct Fault
{
    int64_t from = 0; // counted calls that fail: [from, to]
    int64_t to = -1;
    CUresult code = 0;
};

// Never destroyed: worker threads may outlive static destructors.
struct State
{
    std::mutex lock;
    Options options;
    std::atomic<int64_t> calls[(size_t)Call::Count];
    std::atomic<bool> anyFault{false};
    Fault faults[(size_t)Call::Count];
    std::atomic<CUresult> sticky{0};
    std::string lastError;
};

State &state()
{
    static State &instance = *new State;
    return instance;
}

CUresult defaultCode(Call kind)
{
    switch (kind)
    {
        case Call::Alloc: case Call::Pinned: case Call::Map: case Call::ModuleLoad: case Call::Graph: case Call::Stream:
        case Call::Event: case Call::Context:
            return CUDA_ERROR_OUT_OF_MEMORY;
        case Call::Compile:
            return 6; // NVRTC_ERROR_COMPILATION
        case Call::Function:
            return CUDA_ERROR_NOT_FOUND;
        default:
            return CUDA_ERROR_LAUNCH_FAILED;
    }
}

// "3", "3:700" or "3+:700": the third call from now, or every one from the third on.
bool setFault(Call kind, const char *value)
{
    char *end;
    int64_t nth = strtoll(value, &end, 10);
    bool onwards = *end == '+';
    if (onwards)
        end++;
    CUresult code = *end == ':' ? (CUresult)strtol(end + 1, &end, 10) : defaultCode(kind);
    if (*end != 0 || nth < 0)
        return false;
    State &s = state();
    int64_t now = s.calls[(size_t)kind];
    s.faults[(size_t)kind] = nth == 0 ? Fault{} : Fault{now + nth, onwards ? INT64_MAX : now + nth, code};
    s.anyFault = true;
    return true;
}

struct { const char *name; std::atomic<int64_t> Options::*value; } const OptionNames[] = {
    {"total_memory", &Options::totalMemory}, {"poison", &Options::poison}, {"thread_order", &Options::threadOrder},
    {"workers", &Options::workers}, {"async", &Options::async}, {"alignment", &Options::alignment},
    {"canaries", &Options::canaries}, {"timeout", &Options::timeout}, {"quiet", &Options::quiet}, {"skip_launches", &Options::skipLaunches}, {"devices", &Options::devices}, {"major", &Options::major},
    {"minor", &Options::minor}, {"driver_version", &Options::driverVersion}, {"nvrtc_version", &Options::nvrtcVersion}};

std::atomic<int64_t> *option(const char *name)
{
    for (auto &entry : OptionNames)
    {
        if (strcmp(entry.name, name) == 0)
            return &(state().options.*entry.value);
    }
    return nullptr;
}

bool isSticky(CUresult code)
{
    return code == CUDA_ERROR_ECC_UNCORRECTABLE || (code >= 700 && code <= 721 && code != CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
}

int kindOf(const char *name)
{
    for (int i = 0; i < (int)Call::Count; i++)
    {
        if (strcmp(CallNames[i], name) == 0)
            return i;
    }
    return -1;
}
}

Options &options() { return state().options; }

CUresult stickyError() { return state().sticky; }
void clearSticky() { state().sticky = 0; }

void setLastErrorText(const std::string &text)
{
    State &s = state();
    if (!s.options.quiet)
        fprintf(stderr, "cuda-standin: %s\n", text.c_str());
    std::lock_guard guard(s.lock);
    s.lastError = text;
}

void setSticky(CUresult code, const std::string &why)
{
    CUresult none = 0;
    if (state().sticky.compare_exchange_strong(none, code))
        setLastErrorText(why);
}

int64_t callCount(Call kind) { return state().calls[(size_t)kind]; }

CUresult enter(Call kind)
{
    State &s = state();
    int64_t nth = ++s.calls[(size_t)kind];
    if (s.anyFault)
    {
        std::lock_guard guard(s.lock);
        const Fault &fault = s.faults[(size_t)kind];
        if (nth >= fault.from && nth <= fault.to)
        {
            if (isSticky(fault.code) && kind != Call::Compile)
                s.sticky = fault.code;
            return fault.code;
        }
    }
    if (kind == Call::Compile)
        return CUDA_SUCCESS;
    if (kind != Call::Context)
    {
        if (CUresult problem = contextProblem(); problem != 0)
            return problem;
    }
    bool waits = kind == Call::Alloc || kind == Call::Pinned || kind == Call::Free || kind == Call::ModuleLoad;
    if (waits && captureForbids())
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return s.sticky;
}

/// 0, or -1 for a name or value it does not know.
CUAPI int standin_set(const char *name, const char *value)
{
    if (strncmp(name, "fail.", 5) == 0)
    {
        int kind = kindOf(name + 5);
        State &s = state();
        std::lock_guard guard(s.lock);
        return kind >= 0 && setFault((Call)kind, value) ? 0 : -1;
    }
    char *end;
    int64_t number = strtoll(value, &end, 10);
    if (end == value || *end != 0)
        return -1;
    if (strcmp(name, "sticky") == 0)
    {
        state().sticky = (CUresult)number;
        return 0;
    }
    if (auto *target = option(name))
    {
        *target = number;
        return 0;
    }
    return -1;
}

/// A counter or an option; INT64_MIN for a name it does not know.
CUAPI int64_t standin_get(const char *name)
{
    if (strncmp(name, "calls.", 6) == 0)
    {
        int kind = kindOf(name + 6);
        return kind < 0 ? INT64_MIN : callCount((Call)kind);
    }
    MemoryCounters counters = memoryCounters();
    struct { const char *name; int64_t value; } const table[] = {
        {"live_bytes", counters.liveBytes}, {"live_allocations", counters.liveAllocations},
        {"peak_bytes", counters.peakBytes}, {"pinned_bytes", counters.pinnedBytes},
        {"pinned_allocations", counters.pinnedAllocations}, {"live_objects", counters.liveObjects},
        {"leaked_allocations", counters.leakedAllocations}, {"sticky", state().sticky}, {"dependent_launches", options().dependentLaunches}};
    for (auto &entry : table)
    {
        if (strcmp(entry.name, name) == 0)
            return entry.value;
    }
    auto *found = option(name);
    return found ? found->load() : INT64_MIN;
}

/// Why the last launch failed. Copies at most `capacity` bytes with the final 0; returns the length it has.
CUAPI int standin_last_error(char *buffer, int capacity)
{
    State &s = state();
    std::lock_guard guard(s.lock);
    if (capacity > 0)
        snprintf(buffer, (size_t)capacity, "%s", s.lastError.c_str());
    return (int)s.lastError.size();
}

/// Options, faults and the last error as at the start. Memory and counters stay.
CUAPI void standin_reset()
{
    State &s = state();
    std::lock_guard guard(s.lock);
    Options fresh;
    for (auto &entry : OptionNames)
        (s.options.*entry.value).store((fresh.*entry.value).load());
    for (Fault &fault : s.faults)
        fault = {};
    s.anyFault = false;
    s.lastError.clear();
    s.sticky = 0;
}

__attribute__((constructor)) static void readEnvironment()
{
    const char *text = getenv("LAZYLLM_STANDIN");
    std::string all = text ? text : "";
    for (size_t at = 0; at < all.size();)
    {
        size_t end = std::min(all.find(',', at), all.size());
        std::string item = all.substr(at, end - at);
        size_t equals = item.find('=');
        if (equals == std::string::npos || standin_set(item.substr(0, equals).c_str(), item.substr(equals + 1).c_str()) != 0)
            fprintf(stderr, "cuda-standin: LAZYLLM_STANDIN: '%s' is not understood\n", item.c_str());
        at = end + 1;
    }
}
