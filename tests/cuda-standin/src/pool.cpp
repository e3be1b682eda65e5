#include <cstdint>
#include "pool.h"
#include "options.h"
#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <numeric>
#include <pthread.h>
#include <random>
#include <thread>
#include <unistd.h>
#include <vector>

namespace
{
thread_local Block *runningBlock = nullptr;
struct sigaction previousActions[NSIG];

// Sent to a worker whose grid takes too long.
constexpr int Watchdog = SIGXCPU;
constexpr int Handled[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, Watchdog};

// A fault of a fiber ends its block; any other goes to whoever handled the signal before (the .NET runtime).
void onFault(int signal, siginfo_t *info, void *context)
{
    if (Block *block = runningBlock; block && block->running)
    {
        block->faultSignal = signal;
        block->faultAddress = info->si_addr;
        siglongjmp(block->escape, 1);
    }
    if (signal == Watchdog)
        return; // it came between two blocks
    const struct sigaction &previous = previousActions[signal];
    if (previous.sa_flags & SA_SIGINFO)
        previous.sa_sigaction(signal, info, context);
    else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
        previous.sa_handler(signal);
    else
        sigaction(signal, &previous, nullptr); // the instruction runs again and meets the default action
}

struct Job
{
    const Launch *launch;
    Function *function;
    std::vector<uint32_t> order; // of blocks; empty: ascending
    uint32_t blocks;
    std::atomic<uint32_t> next{0};
    std::atomic<bool> failed{false};
    std::mutex errorLock;
    LaunchError error;
};

struct Pool
{
    std::mutex gridLock; // one grid at a time
    std::mutex lock;
    std::condition_variable work, done;
    Job *job = nullptr;
    uint64_t jobNumber = 0;
    int wanted = 0, busy = 0;
    std::vector<std::thread *> threads;
};

// Never destroyed: its threads wait in it until the process ends.
Pool &pool()
{
    static Pool &instance = *new Pool;
    return instance;
}

void runBlocks(Job &job, Block &block, int worker)
{
    LoadedKernel kernel;
    std::string problem;
    if (!job.function->load(worker, kernel, problem))
    {
        std::lock_guard guard(job.errorLock);
        job.error = {CUDA_ERROR_LAUNCH_FAILED, problem};
        job.failed = true;
        return;
    }
    int64_t order = options().threadOrder;
    while (!job.failed)
    {
        uint32_t i = job.next++;
        if (i >= job.blocks)
            return;
        if (!block.run(*job.launch, kernel, job.order.empty() ? i : job.order[i], order))
        {
            std::lock_guard guard(job.errorLock);
            if (!job.failed)
                job.error = block.error;
            job.failed = true;
        }
    }
}

void workerMain(int worker)
{
    size_t size = 64 << 10;
    stack_t alternate = {};
    alternate.ss_sp = malloc(size);
    alternate.ss_size = size;
    sigaltstack(&alternate, nullptr);
    auto block = std::make_unique<Block>();
    runningBlock = block.get();

    Pool &p = pool();
    uint64_t seen = 0;
    std::unique_lock guard(p.lock);
    while (true)
    {
        p.work.wait(guard, [&] { return p.jobNumber != seen; });
        seen = p.jobNumber;
        if (worker >= p.wanted)
            continue;
        Job &job = *p.job;
        guard.unlock();
        runBlocks(job, *block, worker);
        guard.lock();
        if (--p.busy == 0)
            p.done.notify_one();
    }
}

void startWorkers(Pool &p, int count)
{
    // The program's signals are for its own threads.
    sigset_t all, before;
    sigfillset(&all);
    for (int signal : Handled)
        sigdelset(&all, signal);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (p.threads.empty())
    {
        struct sigaction action = {};
        action.sa_sigaction = onFault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        for (int signal : Handled)
            sigaction(signal, &action, &previousActions[signal]);
    }
    while ((int)p.threads.size() < count)
        p.threads.push_back(new std::thread(workerMain, (int)p.threads.size()));
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}
}

int workerCount()
{
    int64_t wanted = options().workers;
    if (wanted <= 0)
        wanted = std::min<int64_t>(4, std::thread::hardware_concurrency());
    return (int)std::clamp<int64_t>(wanted, 1, MaxWorkers);
}

LaunchError runGrid(const Launch &launch, Function &function)
{
    Job job;
    job.launch = &launch;
    job.function = &function;
    job.blocks = launch.grid.x * launch.grid.y * launch.grid.z;
    int64_t order = options().threadOrder;
    if (order != 0)
    {
        job.order.resize(job.blocks);
        std::iota(job.order.rbegin(), job.order.rend(), 0u);
        if (order > 0)
            std::shuffle(job.order.begin(), job.order.end(), std::mt19937_64((uint64_t)order));
    }
    Pool &p = pool();
    std::lock_guard oneGrid(p.gridLock);
    int workers = std::min<int>(workerCount(), (int)std::min<uint32_t>(job.blocks, MaxWorkers));
    std::unique_lock guard(p.lock);
    startWorkers(p, workers);
    p.job = &job;
    p.wanted = p.busy = workers;
    p.jobNumber++;
    p.work.notify_all();
    auto wait = std::chrono::milliseconds(options().timeout);
    while (!p.done.wait_for(guard, wait, [&] { return p.busy == 0; }))
    {
        for (std::thread *thread : p.threads)
            pthread_kill(thread->native_handle(), Watchdog);
        wait = std::chrono::milliseconds(50);
    }
    p.job = nullptr;
    return job.error;
}
