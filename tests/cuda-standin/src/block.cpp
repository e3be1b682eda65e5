#include <cstdint>
#include "block.h"
#include "memory.h"
#include "options.h"
#include <cstdio>
#include <cstring>
#include <sys/mman.h>

namespace
{
constexpr size_t Page = 4096;
// An odd number of pages, the lowest one a guard: stacks of neighbours do not fall on the same cache lines.
constexpr size_t StackStride = 33 * Page;
constexpr uint32_t SharedAlignment = 128;
constexpr uint8_t Canary = 0xC5;
}

Block::Block() : _fibers(new Fiber[MaxThreads])
{
    size_t bytes = StackStride * MaxThreads;
    void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        abort();
    _stacks = static_cast<uint8_t *>(p);
    for (uint32_t i = 0; i < MaxThreads; i++)
        mprotect(_stacks + i * StackStride, Page, PROT_NONE);
    reserveShared(256 << 10);
}

Block::~Block()
{
    munmap(_stacks, StackStride * MaxThreads);
    munmap(_sharedPages, _sharedCapacity + Page);
}

// Shared memory ends at a page that faults, like every allocation.
void Block::reserveShared(uint32_t bytes)
{
    _sharedCapacity = bytes;
    _sharedPages = static_cast<uint8_t *>(
        mmap(nullptr, bytes + Page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    mprotect(_sharedPages + bytes, Page, PROT_NONE);
}

bool Block::run(const Launch &launch, const LoadedKernel &kernel, uint32_t index, int64_t order)
{
    error = {};
    prepare(launch, kernel, index, order);
    if (sigsetjmp(escape, 1) == 0)
    {
        while (_readyCount > 0)
            resume(takeReady());
        if (_alive > 0)
            error = {CUDA_ERROR_LAUNCH_TIMEOUT, describeDeadlock()};
    }
    else if (faultSignal != 0)
    {
        running = false;
        describeFault();
    }
    running = false;
    if (error.code == 0)
    {
        if (std::string bad = checkShared(); !bad.empty())
            error = {CUDA_ERROR_ILLEGAL_ADDRESS, bad};
    }
    return error.code == 0;
}

void Block::prepare(const Launch &launch, const LoadedKernel &kernel, uint32_t index, int64_t order)
{
    _launch = &launch;
    _kernel = &kernel;
    *kernel.module->runtime = &runtimeTable;
    faultSignal = 0;
    StandinIndex block = {index % launch.grid.x, index / launch.grid.x % launch.grid.y, index / launch.grid.x / launch.grid.y};

    uint32_t padded = (launch.sharedBytes + SharedAlignment - 1) / SharedAlignment * SharedAlignment;
    _shared = _sharedPages + _sharedCapacity - padded;
    memset(_shared + launch.sharedBytes, Canary, padded - launch.sharedBytes);
    memset(_shared - SharedAlignment, Canary, SharedAlignment);
    if (options().poison)
    {
        memset(_shared, 0xFF, launch.sharedBytes);
        memset(kernel.module->shared_begin, 0xFF, (size_t)(kernel.module->shared_end - kernel.module->shared_begin));
    }

    memset(_barriers, 0, sizeof _barriers);
    memset(_warps, 0, sizeof _warps);
    _threads = _alive = launch.block.x * launch.block.y * launch.block.z;
    _readyHead = _readyCount = 0;
    _random = order > 0 ? ((uint64_t)order * 0x9E3779B97F4A7C15ull + index * 0xD1B54A32D192ED03ull) | 1 : 0;
    for (uint32_t i = 0; i < _threads; i++)
    {
        Fiber &f = _fibers[i];
        f.thread_index = {i % launch.block.x, i / launch.block.x % launch.block.y, i / launch.block.x / launch.block.y};
        f.block_dim = launch.block;
        f.grid_dim = launch.grid;
        f.block_index = block;
        f.linear = i;
        f.lane = i & 31;
        f.warp = i >> 5;
        f.shared = _shared;
        f.shared_bytes = launch.sharedBytes;
        f.block = this;
        f.copies.clear();
        f.groups.clear();
        _warps[f.warp].lanes |= 1u << f.lane;
        uint8_t *top = _stacks + (i + 1) * StackStride - (i % 16) * 192;
        f.stackPointer = prepareStack(top, enter, &f);
    }
    for (uint32_t i = 0; i < _threads; i++)
        makeReady(&_fibers[order < 0 ? _threads - 1 - i : i]);
}

void Block::enter(void *argument)
{
    auto *fiber = static_cast<Fiber *>(argument);
    Block *block = fiber->block;
    block->_kernel->entry(block->_launch->parameters);
    block->exit(fiber);
}

void Block::makeReady(Fiber *fiber)
{
    fiber->state = Fiber::Ready;
    _ready[(_readyHead + _readyCount++) % MaxThreads] = fiber;
}

Fiber *Block::takeReady()
{
    if (_readyCount == 0)
        return nullptr;
    if (_random != 0)
    {
        _random ^= _random << 13;
        _random ^= _random >> 7;
        _random ^= _random << 17;
        std::swap(_ready[_readyHead], _ready[(_readyHead + (uint32_t)(_random >> 33) % _readyCount) % MaxThreads]);
    }
    Fiber *fiber = _ready[_readyHead];
    _readyHead = (_readyHead + 1) % MaxThreads;
    _readyCount--;
    return fiber;
}

// From the scheduler into a fiber; back when no fiber is ready.
void Block::resume(Fiber *fiber)
{
    _current = fiber;
    *_kernel->module->current = fiber;
    running = true;
    standinSwitch(&_scheduler, fiber->stackPointer);
    running = false;
}

// From a fiber to the next ready one, or to the scheduler.
void Block::suspend(Fiber *self)
{
    Fiber *next = takeReady();
    if (next == self)
        return;
    if (next)
    {
        _current = next;
        *_kernel->module->current = next;
    }
    standinSwitch(&self->stackPointer, next ? next->stackPointer : _scheduler);
}

void Block::exit(Fiber *self)
{
    self->state = Fiber::Exited;
    _alive--;
    Warp &warp = _warps[self->warp];
    warp.exited |= 1u << self->lane;
    // Whoever waited for this thread waits no longer.
    for (uint32_t lane = 0; warp.waiting != 0 && lane < 32; lane++)
    {
        if (warp.waiting >> lane & 1)
            completeCollective(&_fibers[self->warp * 32 + lane]);
    }
    for (uint32_t id = 0; id < Barriers; id++)
    {
        if (_barriers[id].count > 0)
            completeBarrier(id);
    }
    suspend(self);
    __builtin_unreachable();
}

void Block::fail(Fiber *self, CUresult code, const std::string &what)
{
    running = false;
    error = {code, where(*self) + ": " + what};
    siglongjmp(escape, 1);
}

void Block::note(Fiber *self, uint32_t id, uint32_t threads, uint32_t reduction, uint32_t predicate)
{
    if (id >= Barriers || threads % 32 != 0 || threads > MaxThreads)
        fail(self, CUDA_ERROR_ILLEGAL_INSTRUCTION, "barrier " + std::to_string(id) + " with " + std::to_string(threads) + " threads");
    Barrier &b = _barriers[id];
    if (b.count > 0 && (b.expected != threads || b.reduction != reduction))
        fail(self, CUDA_ERROR_ILLEGAL_INSTRUCTION, "barrier " + std::to_string(id) + " used with " + std::to_string(threads) +
             " threads while others wait at it with " + std::to_string(b.expected));
    if (b.arrived[self->warp] >> self->lane & 1)
        fail(self, CUDA_ERROR_ILLEGAL_INSTRUCTION, "arrived twice at barrier " + std::to_string(id) + " before it opened");
    b.expected = threads;
    b.reduction = reduction;
    b.votes += predicate;
    b.arrived[self->warp] |= 1u << self->lane;
    b.count++;
}

uint32_t Block::barrier(Fiber *self, uint32_t id, uint32_t threads, uint32_t reduction, uint32_t predicate)
{
    note(self, id, threads, reduction, predicate);
    self->state = Fiber::AtBarrier;
    self->barrier = id;
    self->barrierThreads = threads;
    completeBarrier(id);
    suspend(self);
    return self->result;
}

void Block::arrive(Fiber *self, uint32_t id, uint32_t threads)
{
    if (threads == 0)
        fail(self, CUDA_ERROR_ILLEGAL_INSTRUCTION, "bar.arrive without a thread count");
    note(self, id, threads, STANDIN_NO_REDUCTION, 0);
    completeBarrier(id);
}

// A barrier over all threads counts those alive. One over n threads counts warps, so the lanes that have left a warp
// count with the ones that arrive.
bool Block::completeBarrier(uint32_t id)
{
    Barrier &b = _barriers[id];
    uint32_t count = b.count, expected = b.expected == 0 ? _alive : b.expected;
    if (b.expected != 0 && _alive != _threads)
    {
        for (uint32_t w = 0; w * 32 < _threads; w++)
            count += b.arrived[w] ? (uint32_t)__builtin_popcount(_warps[w].exited & ~b.arrived[w]) : 0;
    }
    if (count < expected)
        return false;
    uint32_t result = b.reduction == STANDIN_COUNT ? b.votes
                    : b.reduction == STANDIN_AND   ? b.votes == b.count
                                                   : b.votes > 0;
    for (uint32_t i = 0; i < _threads; i++)
    {
        Fiber &f = _fibers[i];
        if (f.state == Fiber::AtBarrier && f.barrier == id)
        {
            f.result = result;
            makeReady(&f);
        }
    }
    b = {};
    return true;
}

void Block::collective(Fiber *self, const char *name, uint32_t mask, StandinCollective apply, void *frame)
{
    if (!(mask >> self->lane & 1))
        fail(self, CUDA_ERROR_ILLEGAL_INSTRUCTION, std::string(name) + " by a lane that its mask leaves out");
    self->state = Fiber::InCollective;
    self->collectiveName = name;
    self->apply = apply;
    self->mask = mask;
    self->frame = frame;
    _warps[self->warp].waiting |= 1u << self->lane;
    completeCollective(self);
    suspend(self);
}

bool Block::completeCollective(Fiber *self)
{
    Warp &warp = _warps[self->warp];
    uint32_t need = self->mask & warp.lanes & ~warp.exited;
    if ((warp.waiting & need) != need)
        return false;
    void *lanes[32] = {};
    Fiber *fibers = &_fibers[self->warp * 32];
    for (uint32_t rest = need; rest != 0; rest &= rest - 1)
    {
        int lane = __builtin_ctz(rest);
        if (fibers[lane].mask != self->mask || fibers[lane].apply != self->apply)
            return false;
        lanes[lane] = fibers[lane].frame;
    }
    self->apply(lanes, need);
    warp.waiting &= ~need;
    for (uint32_t rest = need; rest != 0; rest &= rest - 1)
        makeReady(&fibers[__builtin_ctz(rest)]);
    return true;
}

// The lanes that stand where this one stands would be converged on a device; here a lane can only speak for itself.
uint32_t Block::activeMask(const Fiber *self) const { return _warps[self->warp].lanes & ~_warps[self->warp].exited; }

std::string Block::checkShared() const
{
    const uint8_t *end = _sharedPages + _sharedCapacity;
    for (const uint8_t *p = _shared + _launch->sharedBytes; p < end; p++)
    {
        if (*p != Canary)
            return where(_fibers[0]) + ": something wrote past the end of dynamic shared memory (" + std::to_string(_launch->sharedBytes) + " bytes)";
    }
    for (const uint8_t *p = _shared - SharedAlignment; p < _shared; p++)
    {
        if (*p != Canary)
            return where(_fibers[0]) + ": something wrote before the start of dynamic shared memory";
    }
    return {};
}

void Block::describeFault()
{
    auto address = (uintptr_t)faultAddress;
    std::string text;
    CUresult code = CUDA_ERROR_ILLEGAL_ADDRESS;
    if (faultSignal == SIGFPE)
    {
        text = "division of an integer by zero";
        code = CUDA_ERROR_ILLEGAL_INSTRUCTION;
    }
    else if (faultSignal == SIGXCPU)
    {
        text = "not finished after " + std::to_string(options().timeout) + " ms: does it wait for another block?";
        code = CUDA_ERROR_LAUNCH_TIMEOUT;
    }
    else if (faultSignal == SIGILL)
    {
        text = "illegal instruction";
        code = CUDA_ERROR_ILLEGAL_INSTRUCTION;
    }
    else if (address - (uintptr_t)_stacks < StackStride * MaxThreads)
        text = "stack overflow: the kernel's local variables take more than " + std::to_string(StackStride - Page) + " bytes";
    else if (address - (uintptr_t)(_sharedPages + _sharedCapacity) < Page)
        text = "access " + std::to_string(address - (uintptr_t)(_shared + _launch->sharedBytes)) +
               " bytes past the end of dynamic shared memory (" + std::to_string(_launch->sharedBytes) + " bytes)";
    else
        text = "access to " + describeAddress(address);
    error = {code, where(*_current) + ": " + text};
}

std::string Block::describeDeadlock() const
{
    std::string text = where(_fibers[0]) + ": deadlock.";
    for (uint32_t id = 0; id < Barriers; id++)
    {
        if (const Barrier &b = _barriers[id]; b.count > 0)
            text += " Barrier " + std::to_string(id) + ": " + std::to_string(b.count) + " of " +
                    std::to_string(b.expected ? b.expected : _alive) + " threads arrived.";
    }
    for (uint32_t i = 0, told = 0; i < _threads && told < 8; i++)
    {
        const Fiber &f = _fibers[i];
        const Fiber *before = i % 32 ? &_fibers[i - 1] : nullptr;
        if (f.state != Fiber::InCollective ||
            (before && before->state == f.state && before->mask == f.mask && before->collectiveName == f.collectiveName))
            continue;
        char hex[16];
        snprintf(hex, sizeof hex, "0x%08x", f.mask);
        text += " Warp " + std::to_string(f.warp) + " from lane " + std::to_string(f.lane) + ": in " + f.collectiveName +
                " with mask " + hex + ".";
        told++;
    }
    return text;
}

std::string Block::where(const Fiber &fiber) const
{
    const StandinIndex &b = fiber.block_index, &t = fiber.thread_index;
    auto triple = [](const StandinIndex &i)
    { return "(" + std::to_string(i.x) + "," + std::to_string(i.y) + "," + std::to_string(i.z) + ")"; };
    return "kernel " + _launch->kernel + ", block " + triple(b) + ", thread " + triple(t);
}
