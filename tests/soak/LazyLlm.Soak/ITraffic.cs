namespace LazyLlm.Soak;

/// <summary>What takes the requests: the library's scheduler, or a server.</summary>
internal interface ITraffic : IAsyncDisposable
{
    /// <summary>The process whose memory counts.</summary>
    int ProcessId { get; }

    /// <summary>Makes one request and checks what comes of it.</summary>
    /// <exception cref="SoakFailure">Something came that must not.</exception>
    Task<Outcome> RequestAsync(SoakCase test, Behaviour behaviour, Random random);

    /// <summary>Bytes that count as in use now, beside the process's own; null where they cannot be asked for.</summary>
    Task<long?> BytesInUseAsync();

    /// <summary>Checks that nothing is left once every caller has gone.</summary>
    Task CheckEmptyAsync();
}
