namespace LazyLlm.Server.Protocol;

/// <summary>What a stream has besides its text.</summary>
internal sealed record StreamOptions(bool? IncludeUsage);
