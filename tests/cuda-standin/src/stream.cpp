#include "stream.h"
#include "memory.h"
#include "options.h"
#include "pool.h"
#include <algorithm>
#include <cstring>

namespace
{
// Guards captures and events.
struct Order
{
    std::mutex lock;
    std::condition_variable eventDone;
    std::set<Capture *> captures;
    Stream legacy; // the null stream
    std::set<Stream *> streams{&legacy};
};

Order &order()
{
    static Order &instance = *new Order;
    return instance;
}

void waitFor(Event *event, uint64_t version)
{
    std::unique_lock guard(order().lock);
    order().eventDone.wait(guard, [&] { return event->completed >= version; });
}
}

Stream &streamOf(CUstream handle) { return handle ? *handle : order().legacy; }

bool captureForbids()
{
    std::lock_guard guard(order().lock);
    bool forbids = false;
    for (Capture *capture : order().captures)
    {
        if (capture->mode == 0 || (capture->mode == 1 && capture->thread == std::this_thread::get_id()))
            forbids = capture->invalidated = true;
    }
    return forbids;
}

void Stream::post(std::function<void()> work)
{
    if (!options().async && !_thread)
    {
        work();
        return;
    }
    std::lock_guard guard(_lock);
    if (!_thread)
        _thread = std::make_unique<std::thread>([this] { run(); });
    _queue.push_back(std::move(work));
    _changed.notify_all();
}

void Stream::run()
{
    std::unique_lock guard(_lock);
    while (true)
    {
        _changed.wait(guard, [this] { return _stop || !_queue.empty(); });
        if (_queue.empty())
            return;
        auto work = std::move(_queue.front());
        _queue.pop_front();
        _working = true;
        guard.unlock();
        work();
        guard.lock();
        _working = false;
        _changed.notify_all();
    }
}

void Stream::drain()
{
    std::unique_lock guard(_lock);
    _changed.wait(guard, [this] { return _queue.empty() && !_working; });
}

Stream::~Stream()
{
    if (!_thread)
        return;
    {
        std::lock_guard guard(_lock);
        _stop = true;
        _changed.notify_all();
    }
    _thread->join();
}

void execute(const GraphNode &node)
{
    if (stickyError() != 0)
        return;
    switch (node.kind)
    {
        case GraphNode::Kernel:
        {
            Launch launch = node.launch;
            launch.parameters = node.parameters.data();
            LaunchError error = runGrid(launch, *node.function);
            if (error.code == 0 && options().canaries)
            {
                if (std::string bad = checkCanaries(); !bad.empty())
                    error = {CUDA_ERROR_ILLEGAL_ADDRESS, "after kernel " + launch.kernel + ": " + bad};
            }
            if (error.code != 0)
                setSticky(error.code, error.text);
            break;
        }
        case GraphNode::Copy:
            memmove((void *)node.target, (const void *)node.source, node.bytes);
            break;
        case GraphNode::Set:
            if (!isDeviceMemory(node.target, node.bytes * node.width))
                setSticky(CUDA_ERROR_ILLEGAL_ADDRESS, "memset of " + describeAddress(node.target));
            else if (node.width == 1)
                memset((void *)node.target, (int)node.value, node.bytes);
            else
                std::fill_n((uint32_t *)node.target, node.bytes, node.value);
            break;
        case GraphNode::Host:
            node.callback(node.data);
            break;
    }
}

CUresult enqueue(Stream *stream, GraphNode node)
{
    if (stream->capture)
    {
        std::lock_guard guard(order().lock);
        Capture &capture = *stream->capture;
        if (capture.invalidated)
            return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        capture.graph->nodes.push_back(std::move(node));
        stream->lastNode = capture.graph->nodes.size();
        stream->unjoined = stream != capture.origin;
        return CUDA_SUCCESS;
    }
    stream->post([node = std::move(node)] { execute(node); });
    return CUDA_SUCCESS;
}

CUAPI CUresult cuStreamCreate(CUstream *stream, unsigned)
{
    ENTER(Stream);
    *stream = new Stream;
    std::lock_guard guard(order().lock);
    order().streams.insert(*stream);
    countObject(1);
    return CUDA_SUCCESS;
}

CUAPI CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }

CUAPI CUresult cuStreamDestroy_v2(CUstream stream)
{
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    {
        std::lock_guard guard(order().lock);
        order().streams.erase(stream);
    }
    delete stream;
    countObject(-1);
    return stickyError();
}

CUAPI CUresult cuStreamSynchronize(CUstream handle)
{
    ENTER(Sync);
    Stream &stream = streamOf(handle);
    if (stream.capture)
    {
        stream.capture->invalidated = true;
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    stream.drain();
    return stickyError();
}

CUAPI CUresult cuCtxSynchronize()
{
    ENTER(Sync);
    if (captureForbids())
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    std::unique_lock guard(order().lock);
    std::set<Stream *> all = order().streams;
    guard.unlock();
    for (Stream *stream : all)
        stream->drain();
    return stickyError();
}

CUAPI CUresult cuStreamQuery(CUstream handle) { return cuStreamSynchronize(handle); }

CUAPI CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned)
{
    ENTER(Event);
    Stream &stream = streamOf(handle);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    std::unique_lock guard(order().lock);
    if (event->capture)
    {
        if (stream.capture && stream.capture != event->capture)
            return CUDA_ERROR_INVALID_VALUE;
        stream.capture = event->capture; // a fork joins the capture
        event->capture->streams.insert(&stream);
        if (event->capturedOn != &stream && event->capturedOn->lastNode <= event->capturedAt)
            event->capturedOn->unjoined = false;
        return CUDA_SUCCESS;
    }
    uint64_t version = event->recorded;
    guard.unlock();
    stream.post([event, version] { waitFor(event, version); });
    return CUDA_SUCCESS;
}

CUAPI CUresult cuLaunchHostFunc(CUstream stream, CUhostFn callback, void *data)
{
    ENTER(Launch);
    GraphNode node{GraphNode::Host};
    node.callback = callback;
    node.data = data;
    return enqueue(&streamOf(stream), std::move(node));
}

CUAPI CUresult cuEventCreate(CUevent *event, unsigned flags)
{
    ENTER(Event);
    *event = new Event{(flags & 2) == 0};
    countObject(1);
    return CUDA_SUCCESS;
}

CUAPI CUresult cuEventDestroy_v2(CUevent event)
{
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    waitFor(event, event->recorded);
    delete event;
    countObject(-1);
    return stickyError();
}

CUAPI CUresult cuEventRecord(CUevent event, CUstream handle)
{
    ENTER(Event);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    Stream &stream = streamOf(handle);
    std::unique_lock guard(order().lock);
    event->capture = stream.capture;
    if (stream.capture)
    {
        event->capturedOn = &stream;
        event->capturedAt = stream.capture->graph->nodes.size();
        return CUDA_SUCCESS;
    }
    uint64_t version = ++event->recorded;
    guard.unlock();
    stream.post([event, version]
    {
        std::lock_guard done(order().lock);
        event->completed = version;
        event->time = std::chrono::steady_clock::now();
        order().eventDone.notify_all();
    });
    return CUDA_SUCCESS;
}

CUAPI CUresult cuEventSynchronize(CUevent event)
{
    ENTER(Sync);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    waitFor(event, event->recorded);
    return stickyError();
}

CUAPI CUresult cuEventQuery(CUevent event)
{
    ENTER(Sync);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    std::lock_guard guard(order().lock);
    return event->completed >= event->recorded ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUAPI CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end)
{
    CHECK_STICKY();
    std::lock_guard guard(order().lock);
    if (!start || !end || !start->timing || !end->timing || start->recorded == 0 || end->recorded == 0)
        return CUDA_ERROR_INVALID_HANDLE;
    if (start->completed < start->recorded || end->completed < end->recorded)
        return CUDA_ERROR_NOT_READY;
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return CUDA_SUCCESS;
}

CUAPI CUresult cuEventElapsedTime_v2(float *milliseconds, CUevent start, CUevent end) { return cuEventElapsedTime(milliseconds, start, end); }

CUAPI CUresult cuStreamBeginCapture_v2(CUstream stream, int mode)
{
    ENTER(Graph);
    if (!stream || mode < 0 || mode > 2)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED; // the null stream cannot be captured
    std::lock_guard guard(order().lock);
    if (stream->capture)
        return CUDA_ERROR_INVALID_VALUE;
    stream->capture = std::make_shared<Capture>();
    stream->capture->origin = stream;
    stream->capture->mode = mode;
    stream->capture->thread = std::this_thread::get_id();
    stream->capture->streams.insert(stream);
    stream->lastNode = 0;
    stream->unjoined = false;
    order().captures.insert(stream->capture.get());
    return CUDA_SUCCESS;
}

CUAPI CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    CUresult injected = enter(Call::Graph); // the capture ends all the same
    std::lock_guard guard(order().lock);
    *graph = nullptr;
    if (!stream || !stream->capture || stream->capture->origin != stream)
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    std::shared_ptr<Capture> capture = stream->capture;
    bool unjoined = false;
    for (Stream *each : capture->streams)
    {
        unjoined |= each->unjoined;
        each->unjoined = false;
        each->capture.reset();
    }
    order().captures.erase(capture.get());
    if (injected != 0)
        return injected;
    if (capture->invalidated)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (unjoined)
        return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    *graph = capture->graph.release();
    countObject(1);
    return CUDA_SUCCESS;
}

CUAPI CUresult cuStreamIsCapturing(CUstream stream, int *status)
{
    CHECK_STICKY();
    std::lock_guard guard(order().lock);
    *status = !stream || !stream->capture ? 0 : stream->capture->invalidated ? 2 : 1;
    return CUDA_SUCCESS;
}
