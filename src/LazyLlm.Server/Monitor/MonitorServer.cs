namespace LazyLlm.Server.Monitor;

/// <summary>What does not change while a server lives.</summary>
/// <param name="Started">When it started, in milliseconds since 1970; another number is another server.</param>
/// <param name="Model">The model's name.</param>
/// <param name="Device">The device, in words.</param>
/// <param name="Layers">Layers of the model.</param>
/// <param name="ContextLength">Longest sequence, in tokens.</param>
/// <param name="WeightBytes">Bytes that the weights take.</param>
/// <param name="Schedule">The pruning schedule of requests that name none.</param>
/// <param name="QueueLimit">Requests that may wait.</param>
/// <param name="RunningLimit">Requests that may run at a time.</param>
/// <param name="MemoryBudget">Bytes that requests may take.</param>
internal sealed record MonitorServer(
    long Started,
    string Model,
    string Device,
    int Layers,
    int ContextLength,
    long WeightBytes,
    string Schedule,
    int QueueLimit,
    int RunningLimit,
    long MemoryBudget);
