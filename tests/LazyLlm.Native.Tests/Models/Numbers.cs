using System.Runtime.InteropServices;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Tests.Models;

/// <summary>The numbers of a tensor's bytes, widened.</summary>
internal static class Numbers
{
    public static float[] Of(TensorType type, byte[] bytes) => type switch
    {
        TensorType.Float32 => MemoryMarshal.Cast<byte, float>(bytes).ToArray(),
        TensorType.Float16 => [.. MemoryMarshal.Cast<byte, Half>(bytes).ToArray().Select(half => (float)half)],
        _ => [.. MemoryMarshal.Cast<byte, ushort>(bytes).ToArray().Select(bits => BitConverter.UInt32BitsToSingle((uint)bits << 16))],
    };
}
