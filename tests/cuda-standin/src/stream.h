// Streams, events, and the operations that they order; capture of those operations into graphs.
#pragma once
#include "module.h"
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <set>
#include <thread>

/// One thing that a stream or a graph does.
struct GraphNode
{
    enum Kind
    {
        Kernel, Copy, Set, Host,
    };

    Kind kind;
    Launch launch;              // Kernel; its parameters are those below
    Function *function = nullptr;
    std::vector<char> parameters;
    uint64_t target = 0, source = 0; // Copy, Set
    size_t bytes = 0;
    uint32_t value = 0, width = 1;
    CUhostFn callback = nullptr; // Host
    void *data = nullptr;
};

struct Graph
{
    std::vector<GraphNode> nodes; // in an order that respects every dependency
};

struct GraphExec
{
    std::vector<GraphNode> nodes;
};

struct Capture
{
    std::unique_ptr<Graph> graph = std::make_unique<Graph>();
    Stream *origin;
    int mode; // 0: global, 1: thread local, 2: relaxed
    std::thread::id thread;
    bool invalidated = false;
    std::set<Stream *> streams;
};

struct Stream
{
    /// Now, or on the stream's own thread when `async` is set.
    void post(std::function<void()> work);
    void drain();
    ~Stream();

    std::shared_ptr<Capture> capture;
    size_t lastNode = 0;   // in a capture: number of nodes when this stream added its last one
    bool unjoined = false; // in a capture: a fork with work that the origin has not waited for

private:
    void run();

    std::mutex _lock;
    std::condition_variable _changed;
    std::deque<std::function<void()>> _queue;
    bool _stop = false, _working = false;
    std::unique_ptr<std::thread> _thread;
};

struct Event
{
    bool timing;
    uint64_t recorded = 0, completed = 0;
    std::chrono::steady_clock::time_point time;
    std::shared_ptr<Capture> capture;
    Stream *capturedOn = nullptr;
    size_t capturedAt = 0;
};

/// Runs the node, or adds it to the graph that the stream is being captured into.
CUresult enqueue(Stream *stream, GraphNode node);
void execute(const GraphNode &node);
Stream &streamOf(CUstream handle);
