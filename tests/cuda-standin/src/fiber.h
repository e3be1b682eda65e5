// A thread of a running block: its own stack, and what the barriers and collectives need to know of it.
#pragma once
#include "../device/standin_abi.h"
#include <vector>

struct Block;

struct AsyncCopy
{
    void *shared;
    const void *global;
    uint32_t bytes, sourceBytes;
};

struct Fiber : StandinThread
{
    enum State : uint8_t
    {
        Ready, AtBarrier, InCollective, Exited,
    };

    Block *block;
    void *stackPointer; // while it does not run
    State state;
    uint32_t warp;

    // AtBarrier: which one, and its result. InCollective: what this lane brought.
    uint32_t barrier, barrierThreads, result;
    const char *collectiveName;
    StandinCollective apply;
    uint32_t mask;
    void *frame;

    // cp.async: copies land at the wait, not before, so that a missing wait shows.
    std::vector<AsyncCopy> copies;   // in order of issue
    std::vector<uint32_t> groups;    // ends of the committed groups, as indices into copies
};

/// Saves the running context into *from and goes on with `to`.
extern "C" void standinSwitch(void **from, void *to);

/// A stack pointer that starts entry(argument) when it is switched to; entry must not return.
void *prepareStack(void *top, void (*entry)(void *), void *argument);
