namespace LazyLlm.Native.Backends.Cpu;

/// <summary>How much room caches take.</summary>
internal static class Growth
{
    /// <summary>The first fill, a prompt's, is exact; what comes after it token by token reserves a quarter ahead.</summary>
    public static int Next(int capacity, int needed) => capacity == 0 ? needed : Math.Max(needed, Math.Max(64, capacity + (capacity / 4)));
}
