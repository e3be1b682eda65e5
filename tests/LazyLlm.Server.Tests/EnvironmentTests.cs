namespace LazyLlm.Server.Tests;

/// <summary>Tests that change what belongs to the whole process (environment variables): they run alone.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class EnvironmentTests
{
    /// <summary>The collection's name.</summary>
    public const string Name = "environment";
}
