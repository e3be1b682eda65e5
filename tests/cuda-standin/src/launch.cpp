// Launches, copies and graphs.
#include "memory.h"
#include "options.h"
#include "stream.h"

namespace
{
CUresult copy(CUstream handle, uint64_t target, uint64_t source, size_t bytes, bool toDevice, bool fromDevice)
{
    ENTER(Copy);
    if (bytes == 0)
        return CUDA_SUCCESS;
    if ((toDevice && !isDeviceMemory(target, bytes)) || (fromDevice && !isDeviceMemory(source, bytes)))
    {
        setLastErrorText("copy of " + std::to_string(bytes) + " bytes: " + describeAddress(toDevice ? target : source));
        return CUDA_ERROR_INVALID_VALUE;
    }
    Stream &stream = streamOf(handle);
    GraphNode node{GraphNode::Copy};
    node.target = target;
    node.source = source;
    node.bytes = bytes;
    // Pageable memory: read before the call returns, written before the call returns.
    bool pageableSource = !fromDevice && !isPinned((void *)source, bytes) && !stream.capture;
    bool pageableTarget = !toDevice && !isPinned((void *)target, bytes) && !stream.capture;
    if (pageableSource || pageableTarget)
        stream.drain();
    CUresult result = enqueue(&stream, std::move(node));
    if (pageableSource || pageableTarget)
        stream.drain();
    return result;
}

CUresult fill(CUstream stream, CUdeviceptr target, uint32_t value, size_t count, uint32_t width)
{
    ENTER(Set);
    if (count == 0)
        return CUDA_SUCCESS;
    if (!isDeviceMemory(target, count * width) || target % width != 0)
        return CUDA_ERROR_INVALID_VALUE;
    GraphNode node{GraphNode::Set};
    node.target = target;
    node.value = value;
    node.bytes = count;
    node.width = width;
    return enqueue(&streamOf(stream), std::move(node));
}

CUresult check(const GraphNode &node)
{
    const StandinIndex &g = node.launch.grid, &b = node.launch.block;
    const Function &f = *node.function;
    if (g.x == 0 || g.y == 0 || g.z == 0 || b.x == 0 || b.y == 0 || b.z == 0 || g.x > 0x7FFFFFFF || g.y > 65535 ||
        g.z > 65535 || b.x > 1024 || b.y > 1024 || b.z > 64 || (uint64_t)b.x * b.y * b.z > 1024 ||
        (uint64_t)g.x * g.y * g.z > 0x7FFFFFFF || node.launch.sharedBytes > f.maxDynamicShared)
        return CUDA_ERROR_INVALID_VALUE;
    return b.x * b.y * b.z > f.maxThreads ? CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES : CUDA_SUCCESS;
}

GraphNode kernelNode(Function *function, StandinIndex grid, StandinIndex block, unsigned shared, void **parameters)
{
    GraphNode node{GraphNode::Kernel};
    node.launch = {function->name, grid, block, shared, nullptr};
    node.function = function;
    auto *bytes = static_cast<const char *>(parameters[0]);
    node.parameters.assign(bytes, bytes + function->parameterBytes);
    return node;
}

const char *const UpdateKinds[] = {"kernel", "copy", "set", "host"};
}

CUAPI CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra)
{
    if (options().skipLaunches)
        return CUDA_SUCCESS;
    ENTER(Launch);
    if (!config || !function || !parameters || !parameters[0] || extra)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < config->attributeCount; i++)
    {
        // Clusters and programmatic launch begin with compute capability 9.0.
        const int id = config->attributes[i].id;
        if ((id == 4 || id == 6 || id == 7) && options().major < 9)
            return CUDA_ERROR_NOT_SUPPORTED;
        // Kernels run one after another here, so a programmatic launch differs in nothing.
        if (id == 6)
            options().dependentLaunches++;
    }
    GraphNode node = kernelNode(function, {config->gridX, config->gridY, config->gridZ},
                                {config->blockX, config->blockY, config->blockZ}, config->sharedBytes, parameters);
    if (CUresult bad = check(node); bad != 0)
        return bad;
    return enqueue(&streamOf(config->stream), std::move(node));
}

CUAPI CUresult cuLaunchKernel(CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY,
                              unsigned blockZ, unsigned shared, CUstream stream, void **parameters, void **extra)
{
    CUlaunchConfig config = {gridX, gridY, gridZ, blockX, blockY, blockZ, shared, stream, nullptr, 0};
    return cuLaunchKernelEx(&config, function, parameters, extra);
}

CUAPI CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, size_t bytes, CUstream stream)
{
    return copy(stream, target, (uint64_t)source, bytes, true, false);
}

CUAPI CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, size_t bytes, CUstream stream)
{
    return copy(stream, (uint64_t)target, source, bytes, false, true);
}

CUAPI CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream)
{
    return copy(stream, target, source, bytes, true, true);
}

CUAPI CUresult cuMemcpyHtoD_v2(CUdeviceptr target, const void *source, size_t bytes)
{
    CUresult result = cuMemcpyHtoDAsync_v2(target, source, bytes, nullptr);
    streamOf(nullptr).drain();
    return result;
}

CUAPI CUresult cuMemcpyDtoH_v2(void *target, CUdeviceptr source, size_t bytes)
{
    CUresult result = cuMemcpyDtoHAsync_v2(target, source, bytes, nullptr);
    streamOf(nullptr).drain();
    return result;
}

CUAPI CUresult cuMemsetD8Async(CUdeviceptr target, unsigned char value, size_t count, CUstream stream)
{
    return fill(stream, target, value, count, 1);
}

CUAPI CUresult cuMemsetD32Async(CUdeviceptr target, unsigned value, size_t count, CUstream stream)
{
    return fill(stream, target, value, count, 4);
}

CUAPI CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long)
{
    ENTER(Graph);
    if (!graph)
        return CUDA_ERROR_INVALID_HANDLE;
    *executable = new GraphExec{graph->nodes};
    countObject(1);
    return CUDA_SUCCESS;
}

CUAPI CUresult cuGraphUpload(CUgraphExec, CUstream)
{
    ENTER(Graph);
    return CUDA_SUCCESS;
}

CUAPI CUresult cuGraphLaunch(CUgraphExec executable, CUstream handle)
{
    ENTER(Launch);
    if (!executable)
        return CUDA_ERROR_INVALID_HANDLE;
    Stream &stream = streamOf(handle);
    for (const GraphNode &node : executable->nodes)
    {
        if (CUresult bad = enqueue(&stream, node); bad != 0)
            return bad;
    }
    return CUDA_SUCCESS;
}

CUAPI CUresult cuGraphExecUpdate_v2(CUgraphExec executable, CUgraph graph, CUgraphExecUpdateResultInfo *info)
{
    ENTER(Graph);
    *info = {};
    bool sameShape = executable->nodes.size() == graph->nodes.size();
    for (size_t i = 0; sameShape && i < graph->nodes.size(); i++)
    {
        if (executable->nodes[i].kind == graph->nodes[i].kind)
            continue;
        setLastErrorText(std::string("graph update: node ") + std::to_string(i) + " was a " +
                         UpdateKinds[executable->nodes[i].kind] + " and is a " + UpdateKinds[graph->nodes[i].kind]);
        info->result = 3; // CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED
        info->errorFromNode = &graph->nodes[i];
        return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    }
    if (!sameShape)
    {
        info->result = 2; // CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED
        return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    }
    executable->nodes = graph->nodes;
    return CUDA_SUCCESS;
}

CUAPI CUresult cuGraphExecDestroy(CUgraphExec executable)
{
    if (!executable)
        return CUDA_ERROR_INVALID_HANDLE;
    delete executable;
    countObject(-1);
    return stickyError();
}

CUAPI CUresult cuGraphDestroy(CUgraph graph)
{
    if (!graph)
        return CUDA_ERROR_INVALID_HANDLE;
    delete graph;
    countObject(-1);
    return stickyError();
}

CUAPI CUresult cuTensorMapEncodeTiled() { return CUDA_ERROR_NOT_SUPPORTED; }
