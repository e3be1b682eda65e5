using System.Text;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Sampling;

/// <summary>
/// How the next token is chosen and when generation stops. The default is greedy: the most probable token, always.
/// </summary>
/// <remarks>
/// Filters apply in this order, each to what the one before left: repetition penalty, temperature, top-k, top-p, min-p.
/// Where logits are equal, the lower token id ranks first.
/// </remarks>
public sealed record SamplingOptions
{
    /// <summary>The longest repetition window, in tokens.</summary>
    public const int LargestRepetitionWindow = 1 << 20;

    /// <summary>The most characters that all stop strings together may have.</summary>
    public const int MostStopCharacters = 1 << 20;

    /// <summary>Logits are divided by this: below 1 sharper, above 1 flatter. 0 takes the most probable token.</summary>
    public float Temperature { get; init; }

    /// <summary>Only this many of the most probable tokens are candidates. 0 for all.</summary>
    public int TopK { get; init; }

    /// <summary>Only the fewest most probable tokens that together reach this probability are candidates. 1 for all; 0 leaves one.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>Only tokens with at least this fraction of the most probable one's probability are candidates. 0 for all.</summary>
    public float MinP { get; init; }

    /// <summary>
    /// For each token in the repetition window, a positive logit is divided by this and a negative one multiplied. 1 changes nothing.
    /// </summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>How many of the latest tokens, of the prompt and of the answer, the repetition penalty looks at.</summary>
    public int RepetitionWindow { get; init; } = 64;

    /// <summary>Fixes what is drawn: the same seed, options and logits give the same tokens. Null draws another every time.</summary>
    public ulong? Seed { get; init; }

    /// <summary>The most tokens of an answer. Null for as many as the context has room for.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>Generation stops where one of these comes up in the text, also across tokens; it is not part of the answer.</summary>
    public IReadOnlyList<string> StopStrings { get; init; } = [];

    /// <summary>Generation stops at these tokens, besides the model's own end tokens.</summary>
    public IReadOnlyList<int> StopTokens { get; init; } = [];

    /// <summary>Whether generation goes on past the model's own end tokens.</summary>
    public bool IgnoreEndTokens { get; init; }

    /// <summary>Whether the most probable token is always taken and nothing is drawn.</summary>
    public bool IsGreedy => Temperature == 0;

    /// <summary>Checks every option.</summary>
    /// <param name="vocabularySize">The model's vocabulary, which stop tokens must lie in.</param>
    /// <exception cref="InvalidOptionException">An option is out of range; the error names it.</exception>
    public void Validate(int vocabularySize = int.MaxValue)
    {
        Require(Temperature >= 0 && float.IsFinite(Temperature), nameof(Temperature), Temperature, "a finite number of 0 or more");
        Require(TopK >= 0, nameof(TopK), TopK, "0 (all tokens) or more");
        Require(TopP is >= 0 and <= 1, nameof(TopP), TopP, "a number from 0 to 1");
        Require(MinP is >= 0 and <= 1, nameof(MinP), MinP, "a number from 0 to 1");
        Require(RepetitionPenalty is > 0 and <= 1000, nameof(RepetitionPenalty), RepetitionPenalty, "a number above 0 and at most 1000");
        Require(RepetitionWindow is >= 0 and <= LargestRepetitionWindow, nameof(RepetitionWindow), RepetitionWindow, $"0 to {LargestRepetitionWindow} tokens");
        Require(MaxTokens is null or > 0, nameof(MaxTokens), MaxTokens, "1 or more");
        RequireList(StopStrings, nameof(StopStrings));
        RequireList(StopTokens, nameof(StopTokens));
        long characters = 0;
        for (int i = 0; i < StopStrings.Count; i++)
        {
            string? text = StopStrings[i];
            Require(!string.IsNullOrEmpty(text), $"{nameof(StopStrings)}[{i}]", "an empty string", "at least one character");
            Require(!HasLoneSurrogate(text!), $"{nameof(StopStrings)}[{i}]", "half of a surrogate pair", "valid UTF-16");
            characters += text!.Length;
        }

        Require(characters <= MostStopCharacters, nameof(StopStrings), $"{characters} characters together", $"at most {MostStopCharacters}");
        for (int i = 0; i < StopTokens.Count; i++)
        {
            Require(StopTokens[i] >= 0 && StopTokens[i] < vocabularySize, $"{nameof(StopTokens)}[{i}]", StopTokens[i], $"a token id from 0 to {vocabularySize - 1}");
        }
    }

    private static void Require<T>(bool holds, string option, T found, string expected)
    {
        if (!holds)
        {
            throw new InvalidOptionException(option, $"found {found}, expected {expected}.");
        }
    }

    private static void RequireList<T>(IReadOnlyList<T>? list, string option) => Require(list is not null, option, "null", "a list, which may be empty");

    private static bool HasLoneSurrogate(ReadOnlySpan<char> text)
    {
        while (!text.IsEmpty)
        {
            if (Rune.DecodeFromUtf16(text, out _, out int length) != System.Buffers.OperationStatus.Done)
            {
                return true;
            }

            text = text[length..];
        }

        return false;
    }
}
