namespace LazyLlm.Native.Tests.Backends.Cuda;

/// <summary>
/// Which shapes the kernel tests use. With <c>LAZYLLM_TEST_SHAPES=small</c> they are the fewest and smallest that still take
/// every way through the kernels (tails, several blocks, splits, every tile), for the sanitizers, under which
/// kernels run far slower.
/// </summary>
internal static class TestShapes
{
    /// <summary>Whether the small ones are asked for.</summary>
    public static bool AreSmall { get; } = Environment.GetEnvironmentVariable("LAZYLLM_TEST_SHAPES") == "small";

    /// <summary>All shapes, or the small ones.</summary>
    public static T[] Of<T>(T[] all, T[] small) => AreSmall ? small : all;
}
