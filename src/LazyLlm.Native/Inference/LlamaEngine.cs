using System.Collections.Concurrent;
using LazyLlm.Native.Backends;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Native.Inference;

/// <summary>
/// A model on a device: owns the weights, and creates sessions. Safe to share between threads. Sessions keep it alive:
/// it may be disposed before them.
/// </summary>
public sealed class LlamaEngine : IDisposable
{
    private readonly IOperations _operations;
    private readonly ConcurrentBag<ForwardPass> _passes = [];
    private readonly string? _tokenizerObstacle;
    private int _users = 1;
    private int _isDisposed;

    /// <summary>An engine around a loaded model.</summary>
    internal LlamaEngine(ModelFolder folder, TextTokenizer? tokenizer, IOperations operations, int contextLength, string? tokenizerObstacle = null, IReadOnlyList<string>? notes = null)
    {
        Folder = folder;
        Tokenizer = tokenizer;
        _tokenizerObstacle = tokenizerObstacle;
        _operations = operations;
        ContextLength = contextLength;
        Notes = notes ?? [];
    }

    /// <summary>What the folder says of the model: shape, tensors, advice for generation, identity. Its files are closed.</summary>
    public ModelFolder Folder { get; }

    /// <summary>The model's shape and constants.</summary>
    public ModelConfig Config => Folder.Config;

    /// <summary>The tokenizer, or null where the folder has none that can be used: such a model takes token ids alone.</summary>
    public TextTokenizer? Tokenizer { get; }

    /// <summary>
    /// Sampling as the model's makers advise it in <c>generation_config.json</c>; greedy where they advise none. Nothing takes it
    /// by itself: generation is greedy unless it is told otherwise.
    /// </summary>
    public SamplingOptions AdvisedSampling => Folder.Generation.ToSampling(ContextLength);

    /// <summary>Longest sequence that a session may have, in tokens.</summary>
    public int ContextLength { get; }

    /// <summary>The device, in words.</summary>
    public string DeviceName => _operations.DeviceName;

    /// <summary>
    /// What makes the engine slower than it might be, in plain words: a GPU that cannot serve, kernels that cannot be kept on disk.
    /// Empty while all is well.
    /// </summary>
    public IReadOnlyList<string> Notes { get; }

    /// <summary>Bytes that the weights take on the device.</summary>
    public long WeightBytes => _operations.WeightBytes;

    /// <summary>
    /// The error that ended the device's service, or null: what a health check looks at. Nothing runs on the engine after
    /// it; every call reports the same cause.
    /// </summary>
    public DeviceLostException? Fault => _operations.Fault;

    /// <summary>Loads a model folder onto a device.</summary>
    /// <param name="path">A folder in the Hugging Face layout.</param>
    /// <param name="options">Device, number format, context; defaults where null.</param>
    /// <param name="progress">Told as weights arrive on the device.</param>
    /// <param name="cancellation">Checked between pieces of weights.</param>
    /// <exception cref="ModelFormatException">A file is missing, damaged or not supported.</exception>
    /// <exception cref="InvalidOptionException">An option is out of range.</exception>
    /// <exception cref="DeviceException">The device cannot serve the model.</exception>
    public static Task<LlamaEngine> LoadAsync(
        string path,
        EngineOptions? options = null,
        IProgress<LoadProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        return Task.Run(() => Load(path, options ?? new EngineOptions(), progress, cancellation), cancellation);
    }

    /// <summary>Brings weights that come from no folder onto a device: random ones, or what a host keeps elsewhere.</summary>
    /// <param name="weights">The weights. They stay the caller's, who may dispose them once this has returned.</param>
    /// <param name="options">Device, number format, context; defaults where null. Without a tokenizer named here, the engine takes token ids alone.</param>
    /// <param name="progress">Told as weights arrive on the device.</param>
    /// <param name="cancellation">Checked between pieces of weights.</param>
    /// <exception cref="InvalidOptionException">An option is out of range.</exception>
    /// <exception cref="DeviceException">The device cannot serve the model.</exception>
    public static Task<LlamaEngine> LoadAsync(
        ModelWeights weights,
        EngineOptions? options = null,
        IProgress<LoadProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(weights);
        return Task.Run(() => Load(ModelFolder.WithoutFiles(weights), options ?? new EngineOptions(), progress, cancellation), cancellation);
    }

    /// <summary>The tokenizer, for work that needs one.</summary>
    /// <exception cref="InvalidOptionException">There is none; the message says why, and what to do.</exception>
    public TextTokenizer RequireTokenizer() => Tokenizer ?? throw new InvalidOptionException(
        "text",
        _tokenizerObstacle is null
            ? $"the model in {Folder.Path} has no tokenizer; put its tokenizer.model there, name one, or pass token ids."
            : $"the model in {Folder.Path} has no tokenizer that can be used, so it takes token ids alone: {_tokenizerObstacle}");

    /// <summary>Creates a session under a schedule; the dense model by default.</summary>
    /// <exception cref="InvalidOptionException">The schedule does not fit the model's depth.</exception>
    public Session CreateSession(PruningSchedule? schedule = null)
    {
        schedule ??= PruningSchedule.None;
        return new Session(this, CreateSequence(schedule), schedule);
    }

    /// <summary>Frees the weights once the last session is disposed. May be called twice.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
        {
            Release();
        }
    }

    /// <summary>Bytes that the device could still give to caches.</summary>
    internal long FreeBytes => _operations.FreeBytes;

    /// <summary>What sizes of caches are rounded up to.</summary>
    internal long CacheGranularity => _operations.CacheGranularity;

    /// <summary>Checks options for this model.</summary>
    /// <exception cref="InvalidOptionException">An option is out of range, or the model cannot serve it.</exception>
    internal void Require(SamplingOptions sampling)
    {
        sampling.Validate(Config.VocabularySize);
        if (sampling.StopStrings.Count > 0 && Tokenizer is null)
        {
            throw new InvalidOptionException(nameof(sampling.StopStrings), $"found {sampling.StopStrings.Count}, but the model in {Folder.Path} has no tokenizer, so that no text comes up. Use StopTokens.");
        }
    }

    /// <summary>Checks that tokens are in the model's vocabulary.</summary>
    /// <exception cref="InvalidOptionException">One is not.</exception>
    internal void Require(ReadOnlySpan<int> tokens)
    {
        int vocabulary = Config.VocabularySize;
        foreach (int token in tokens)
        {
            if ((uint)token >= (uint)vocabulary)
            {
                throw new InvalidOptionException("token id", $"found {token}, expected 0 to {vocabulary - 1}.");
            }
        }
    }

    /// <summary>An empty sequence, which keeps the engine alive until <see cref="Release"/>.</summary>
    internal Sequence CreateSequence(PruningSchedule schedule)
    {
        StagePlan plan = schedule.PlanFor(Config.LayerCount);
        Acquire();
        try
        {
            return new Sequence(_operations.CreateSequence(plan, ContextLength), plan, ContextLength);
        }
        catch
        {
            Release();
            throw;
        }
    }

    /// <summary>A copy of a sequence, which keeps the engine alive like the first; also once the engine is disposed.</summary>
    internal Sequence ForkSequence(Sequence sequence)
    {
        // The first is one of the users, so that there is nothing to check.
        Interlocked.Increment(ref _users);
        try
        {
            return sequence.Fork();
        }
        catch
        {
            Release();
            throw;
        }
    }

    /// <summary>A pass with its workspace, which a session gives back after a step: sessions that wait hold no rows.</summary>
    internal ForwardPass RentPass() => _passes.TryTake(out ForwardPass? pass) ? pass : new ForwardPass(_operations, Config.HiddenSize);

    /// <summary>Gives a pass back.</summary>
    internal void ReturnPass(ForwardPass pass)
    {
        pass.End();
        _passes.Add(pass);
    }

    /// <summary>Begins a use of the device, which keeps the engine alive until <see cref="Release"/>.</summary>
    /// <exception cref="ObjectDisposedException">The engine is disposed.</exception>
    internal void Acquire()
    {
        int users;
        do
        {
            users = Volatile.Read(ref _users);
            ObjectDisposedException.ThrowIf(users == 0 || Volatile.Read(ref _isDisposed) != 0, this);
        }
        while (Interlocked.CompareExchange(ref _users, users + 1, users) != users);
    }

    /// <inheritdoc cref="IOperations.Profile"/>
    internal bool Profile(bool collect) => _operations.Profile(collect);

    /// <summary>Ends one use of the device: a session's, or the engine's own.</summary>
    internal void Release()
    {
        if (Interlocked.Decrement(ref _users) > 0)
        {
            return;
        }

        while (_passes.TryTake(out ForwardPass? pass))
        {
            pass.Dispose();
        }

        _operations.Dispose();
    }

    private static LlamaEngine Load(string path, EngineOptions options, IProgress<LoadProgress>? progress, CancellationToken cancellation)
    {
        // What the engine needs of the folder later (config, tokenizer paths, identity) outlives its files.
        using ModelFolder folder = ModelFolder.Open(path);
        return Load(folder, options, progress, cancellation);
    }

    private static LlamaEngine Load(ModelFolder folder, EngineOptions options, IProgress<LoadProgress>? progress, CancellationToken cancellation)
    {
        int contextLength = options.ContextLength ?? folder.Config.ContextLength;
        if (contextLength < 1 || contextLength > folder.Config.ContextLength)
        {
            throw new InvalidOptionException("context length", $"found {contextLength}, expected 1 to {folder.Config.ContextLength}, which the model was made for.");
        }

        string? obstacle = null;
        TextTokenizer? tokenizer = options.TokenizerPath is null && folder.Tensors.Count == 0 ? null : TokenizerFolder.Load(folder.Path, options.TokenizerPath, out obstacle);
        tokenizer?.RequireFits(folder.Config.VocabularySize);
        var notes = new List<string>();
        IOperations operations = DeviceChoice.Load(folder.Weights, options with { ContextLength = contextLength }, notes, progress, cancellation);
        return new LlamaEngine(folder, tokenizer, operations, contextLength, obstacle, notes);
    }
}
