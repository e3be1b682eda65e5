namespace LazyLlm.Native.Models;

/// <summary>
/// Cosines and sines of the rotary position embedding, for the half-split layout of the Hugging Face checkpoints: pair i of
/// a head of size d turns elements i and i + d/2 by position · theta^(-2i/d), with the model's scaling applied to the
/// frequency. Computed in double precision.
/// </summary>
internal sealed class RotaryTable
{
    private RotaryTable(int positions, int pairs, float[] cosines, float[] sines)
    {
        Positions = positions;
        Pairs = pairs;
        Cosines = cosines;
        Sines = sines;
    }

    /// <summary>Positions that the table covers.</summary>
    public int Positions { get; }

    /// <summary>Pairs per head: half of the head size.</summary>
    public int Pairs { get; }

    /// <summary>Positions x pairs, by rows.</summary>
    public float[] Cosines { get; }

    /// <summary>Positions x pairs, by rows.</summary>
    public float[] Sines { get; }

    /// <summary>Builds the table of a model for positions 0 .. <paramref name="positions"/>.</summary>
    public static RotaryTable Create(ModelConfig config, int positions)
    {
        int pairs = config.HeadSize / 2;
        double[] frequencies = new double[pairs];
        for (int i = 0; i < pairs; i++)
        {
            frequencies[i] = Scale(Math.Pow(config.RopeTheta, -2.0 * i / config.HeadSize), config.RopeScaling);
        }

        float[] cosines = new float[(long)positions * pairs];
        float[] sines = new float[(long)positions * pairs];
        for (int position = 0; position < positions; position++)
        {
            int row = position * pairs;
            for (int i = 0; i < pairs; i++)
            {
                (double sine, double cosine) = Math.SinCos(position * frequencies[i]);
                cosines[row + i] = (float)cosine;
                sines[row + i] = (float)sine;
            }
        }

        return new RotaryTable(positions, pairs, cosines, sines);
    }

    private static double Scale(double frequency, RopeScaling scaling)
    {
        switch (scaling.Kind)
        {
            case RopeScalingKind.Linear:
                return frequency / scaling.Factor;
            case RopeScalingKind.Llama3:
                // Wavelengths beyond the original context are stretched, short ones kept, those between interpolated.
                double turns = scaling.OriginalContextLength * frequency / (2 * Math.PI);
                if (turns < scaling.LowFrequencyFactor)
                {
                    return frequency / scaling.Factor;
                }

                if (turns > scaling.HighFrequencyFactor)
                {
                    return frequency;
                }

                double kept = (turns - scaling.LowFrequencyFactor) / (scaling.HighFrequencyFactor - scaling.LowFrequencyFactor);
                return ((1 - kept) * frequency / scaling.Factor) + (kept * frequency);
            default:
                return frequency;
        }
    }
}
