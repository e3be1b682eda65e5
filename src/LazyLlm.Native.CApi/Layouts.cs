using System.Runtime.InteropServices;

namespace LazyLlm.Native.CApi;

// The structs of lazyllm.h, field by field in its order; a test holds sizes and offsets against the header.

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct TextLayout
{
    public byte* Data;
    public nuint Length;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct EngineOptionsLayout
{
    public nuint StructSize;
    public TextLayout Device;
    public TextLayout TokenizerPath;
    public int Precision;
    public int ContextLength;
    public int Threads;
    public int Reserved;
    public delegate* unmanaged[Cdecl]<void*, ulong, ulong, int> Progress;
    public void* UserData;
}

[StructLayout(LayoutKind.Sequential)]
internal struct EngineInfoLayout
{
    public nuint StructSize;
    public long WeightBytes;
    public int VocabularySize;
    public int HiddenSize;
    public int LayerCount;
    public int ContextLength;
    public int HasTokenizer;
    public int Reserved;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct StepOptionsLayout
{
    public nuint StructSize;
    public delegate* unmanaged[Cdecl]<void*, ulong, ulong, int> Progress;
    public void* UserData;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct SamplingLayout
{
    public nuint StructSize;
    public TextLayout* StopStrings;
    public nuint StopStringCount;
    public ulong Seed;
    public int HasSeed;
    public float Temperature;
    public int TopK;
    public float TopP;
    public float MinP;
    public float RepetitionPenalty;
    public int RepetitionWindow;
    public int MaxTokens;
    public int IgnoreEndTokens;
    public int Reserved;
}

[StructLayout(LayoutKind.Sequential)]
internal struct TokenLayout
{
    public nuint StructSize;
    public nuint TextLength;
    public int Id;
    public int Finish;
    public float LogProbability;
    public int Reserved;
}

[StructLayout(LayoutKind.Sequential)]
internal struct StatisticsLayout
{
    public nuint StructSize;
    public double TimeToFirstToken;
    public double TimePerOutputToken;
    public long GeneratedTokens;
    public long ContextTokens;
    public long PendingTokens;
    public long ComputedPairs;
    public long DensePairs;
    public long RevivedTokens;
    public long KeyValueBytes;
    public long AuxBytes;
}
