using System.Runtime.CompilerServices;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>Arithmetic over one row of floats, of any length.</summary>
internal static unsafe class RowArithmetic<TLanes, TVector>
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    /// <summary>Sum of products.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Dot(float* left, float* right, int length)
    {
        TVector sum = TLanes.Zero;
        TVector other = TLanes.Zero;
        int i = 0;
        for (; i + (2 * TLanes.Count) <= length; i += 2 * TLanes.Count)
        {
            sum = TLanes.MultiplyAdd(TLanes.Load(left + i), TLanes.Load(right + i), sum);
            other = TLanes.MultiplyAdd(TLanes.Load(left + i + TLanes.Count), TLanes.Load(right + i + TLanes.Count), other);
        }

        for (; i + TLanes.Count <= length; i += TLanes.Count)
        {
            sum = TLanes.MultiplyAdd(TLanes.Load(left + i), TLanes.Load(right + i), sum);
        }

        float result = TLanes.Sum(TLanes.Add(sum, other));
        for (; i < length; i++)
        {
            result += left[i] * right[i];
        }

        return result;
    }

    /// <summary>Largest of <paramref name="length"/> values, at least 1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Largest(float* values, int length)
    {
        float result = values[0];
        int i = 0;
        if (length >= TLanes.Count)
        {
            TVector largest = TLanes.Load(values);
            for (i = TLanes.Count; i + TLanes.Count <= length; i += TLanes.Count)
            {
                largest = TLanes.Max(largest, TLanes.Load(values + i));
            }

            result = TLanes.Largest(largest);
        }

        for (; i < length; i++)
        {
            result = MathF.Max(result, values[i]);
        }

        return result;
    }

    /// <summary>values[i] = e^(values[i] - <paramref name="shift"/>).</summary>
    /// <returns>Their sum.</returns>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float ExpSum(float* values, int length, float shift)
    {
        TVector minus = TLanes.Broadcast(-shift);
        TVector sum = TLanes.Zero;
        int i = 0;
        for (; i + TLanes.Count <= length; i += TLanes.Count)
        {
            TVector power = TLanes.Exp(TLanes.Add(TLanes.Load(values + i), minus));
            TLanes.Store(power, values + i);
            sum = TLanes.Add(sum, power);
        }

        float result = TLanes.Sum(sum);
        if (i < length)
        {
            float* tail = stackalloc float[16];
            TLanes.Store(TLanes.Zero, tail);
            Unsafe.CopyBlock(tail, values + i, (uint)(length - i) * sizeof(float));
            TLanes.Store(TLanes.Exp(TLanes.Add(TLanes.Load(tail), minus)), tail);
            for (int j = 0; i + j < length; j++)
            {
                values[i + j] = tail[j];
                result += tail[j];
            }
        }

        return result;
    }

    /// <summary>output = x · factor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scale(float* x, float factor, float* output, int length)
    {
        TVector factors = TLanes.Broadcast(factor);
        int i = 0;
        for (; i + TLanes.Count <= length; i += TLanes.Count)
        {
            TLanes.Store(TLanes.Multiply(TLanes.Load(x + i), factors), output + i);
        }

        for (; i < length; i++)
        {
            output[i] = x[i] * factor;
        }
    }

    /// <summary>output = x · factor + addend.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyAdd(float* x, float factor, float* addend, float* output, int length)
    {
        TVector factors = TLanes.Broadcast(factor);
        int i = 0;
        for (; i + TLanes.Count <= length; i += TLanes.Count)
        {
            TLanes.Store(TLanes.MultiplyAdd(TLanes.Load(x + i), factors, TLanes.Load(addend + i)), output + i);
        }

        for (; i < length; i++)
        {
            output[i] = (x[i] * factor) + addend[i];
        }
    }

    /// <summary>RMSNorm: output = x / sqrt(mean(x²) + epsilon) · gains.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Norm(float* x, float* gains, double epsilon, float* output, int length)
    {
        float factor = (float)(1 / Math.Sqrt((Dot(x, x, length) / (double)length) + epsilon));
        TVector factors = TLanes.Broadcast(factor);
        int i = 0;
        for (; i + TLanes.Count <= length; i += TLanes.Count)
        {
            TLanes.Store(TLanes.Multiply(TLanes.Multiply(TLanes.Load(x + i), factors), TLanes.Load(gains + i)), output + i);
        }

        for (; i < length; i++)
        {
            output[i] = x[i] * factor * gains[i];
        }
    }

    /// <summary>
    /// Turns one head of 2 x <paramref name="pairs"/> numbers: elements i and i + pairs by the angle of
    /// <paramref name="cosines"/>[i] and <paramref name="sines"/>[i]. Input and output may be the same.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rotate(float* head, float* cosines, float* sines, float* output, int pairs)
    {
        TVector minusOne = TLanes.Broadcast(-1);
        int i = 0;
        for (; i + TLanes.Count <= pairs; i += TLanes.Count)
        {
            TVector low = TLanes.Load(head + i);
            TVector high = TLanes.Load(head + i + pairs);
            TVector cosine = TLanes.Load(cosines + i);
            TVector sine = TLanes.Load(sines + i);
            TLanes.Store(TLanes.MultiplyAdd(low, cosine, TLanes.Multiply(TLanes.Multiply(high, sine), minusOne)), output + i);
            TLanes.Store(TLanes.MultiplyAdd(high, cosine, TLanes.Multiply(low, sine)), output + i + pairs);
        }

        for (; i < pairs; i++)
        {
            float low = head[i];
            float high = head[i + pairs];
            output[i] = (low * cosines[i]) - (high * sines[i]);
            output[i + pairs] = (high * cosines[i]) + (low * sines[i]);
        }
    }
}
