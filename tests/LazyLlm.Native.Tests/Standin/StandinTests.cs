using Xunit;

namespace LazyLlm.Native.Tests.Standin;

/// <summary>The self-tests share one copy of the stand-in and its options: one at a time.</summary>
[CollectionDefinition(Name)]
public sealed class StandinTests
{
    public const string Name = "stand-in";
}
