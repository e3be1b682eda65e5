using System.Buffers.Binary;
using System.Runtime.InteropServices;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>Conversions between the number formats of weights, rounding to nearest, ties to even.</summary>
internal static class TensorConversion
{
    /// <summary>Bytes of one number.</summary>
    public static int SizeOf(TensorType type) => type == TensorType.Float32 ? 4 : 2;

    /// <summary>Converts little-endian numbers; both spans hold the same count.</summary>
    public static void Convert(ReadOnlySpan<byte> source, TensorType from, Span<byte> target, TensorType to)
    {
        if (from == to)
        {
            source.CopyTo(target);
            return;
        }

        int count = source.Length / SizeOf(from);
        for (int i = 0; i < count; i++)
        {
            float number = Read(source, i, from);
            switch (to)
            {
                case TensorType.Float32:
                    BinaryPrimitives.WriteSingleLittleEndian(target[(4 * i)..], number);
                    break;
                case TensorType.Float16:
                    BinaryPrimitives.WriteHalfLittleEndian(target[(2 * i)..], (Half)number);
                    break;
                default:
                    BinaryPrimitives.WriteUInt16LittleEndian(target[(2 * i)..], ToBFloat16(number));
                    break;
            }
        }
    }

    /// <summary>The upper half of a float32, rounded to nearest even; a NaN stays one.</summary>
    public static ushort ToBFloat16(float number)
    {
        uint bits = BitConverter.SingleToUInt32Bits(number);
        return float.IsNaN(number) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>A bfloat16 as float32.</summary>
    public static float FromBFloat16(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    private static float Read(ReadOnlySpan<byte> source, int index, TensorType type) => type switch
    {
        TensorType.Float32 => MemoryMarshal.Cast<byte, float>(source)[index],
        TensorType.Float16 => (float)MemoryMarshal.Cast<byte, Half>(source)[index],
        _ => FromBFloat16(MemoryMarshal.Cast<byte, ushort>(source)[index]),
    };
}
