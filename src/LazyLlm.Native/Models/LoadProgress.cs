namespace LazyLlm.Native.Models;

/// <summary>How far the loading of a model has come.</summary>
/// <param name="BytesRead">Bytes of weights on the device so far.</param>
/// <param name="BytesTotal">Bytes of all weights.</param>
public readonly record struct LoadProgress(long BytesRead, long BytesTotal);
