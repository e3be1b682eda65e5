namespace LazyLlm.Server.Protocol;

/// <summary>What a stream has besides its text.</summary>
internal sealed class StreamOptions
{
    public bool? IncludeUsage { get; set; }
}
