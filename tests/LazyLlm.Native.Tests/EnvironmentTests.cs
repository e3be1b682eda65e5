using Xunit;

namespace LazyLlm.Native.Tests;

/// <summary>Tests that change environment variables, which belong to the whole process: they run alone.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class EnvironmentTests
{
    /// <summary>The collection's name.</summary>
    public const string Name = "environment";
}
