using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Sampling;

/// <summary>
/// Watches a text that comes in pieces for stop strings, also across pieces. It holds back only what may still become a
/// stop string. The first stop string to be complete ends the text; of several that end at the same character the longest
/// counts. The answer is the text before it, the same however the text was cut into pieces. Belongs to one answer.
/// </summary>
public sealed class StopMatcher
{
    private readonly StopStringAutomaton _automaton;
    private readonly HashSet<int> _stopTokens;
    private char[] _buffer = new char[64];
    private int _state;
    private int _heldStart;

    /// <summary>Creates a matcher.</summary>
    /// <param name="stopStrings">Strings that end the text, none of them empty.</param>
    /// <param name="stopTokens">Tokens that end the text.</param>
    /// <exception cref="InvalidOptionException">A stop string is empty.</exception>
    public StopMatcher(IReadOnlyList<string> stopStrings, IEnumerable<int>? stopTokens = null)
    {
        ArgumentNullException.ThrowIfNull(stopStrings);
        if (stopStrings.Any(string.IsNullOrEmpty))
        {
            throw new InvalidOptionException(nameof(stopStrings), "found an empty string, expected at least one character.");
        }

        _automaton = new StopStringAutomaton(stopStrings);
        _stopTokens = [.. stopTokens ?? []];
    }

    /// <summary>The stop string that ended the text, or null.</summary>
    public string? Matched { get; private set; }

    /// <summary>Number of characters held back.</summary>
    public int HeldLength => _automaton.Depth(_state);

    /// <summary>The matcher for one answer.</summary>
    /// <param name="options">Stop strings, stop tokens, and whether the model's end tokens count.</param>
    /// <param name="endTokens">The model's end tokens.</param>
    public static StopMatcher For(SamplingOptions options, IEnumerable<int> endTokens)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new StopMatcher(options.StopStrings, options.IgnoreEndTokens ? options.StopTokens : options.StopTokens.Concat(endTokens));
    }

    /// <summary>Whether a token ends the text.</summary>
    public bool IsStopToken(int token) => _stopTokens.Contains(token);

    /// <summary>Takes the next piece of text.</summary>
    /// <returns>What is now certain to be part of the answer; valid until the next call. Nothing once a stop string has matched.</returns>
    public ReadOnlySpan<char> Append(ReadOnlySpan<char> piece)
    {
        if (Matched is not null)
        {
            return [];
        }

        int held = HeldLength;
        int length = held + piece.Length;
        _buffer.AsSpan(_heldStart, held).CopyTo(_buffer);
        if (length > _buffer.Length)
        {
            Array.Resize(ref _buffer, 2 * length);
        }

        piece.CopyTo(_buffer.AsSpan(held));
        for (int i = held; i < length; i++)
        {
            _state = _automaton.Step(_state, _buffer[i]);
            if (_automaton.MatchLength(_state) is > 0 and int match)
            {
                int start = i + 1 - match;
                Matched = new string(_buffer, start, match);
                _state = 0;
                return _buffer.AsSpan(0, start);
            }
        }

        _heldStart = length - HeldLength;
        return _buffer.AsSpan(0, _heldStart);
    }

    /// <summary>Ends the text: what was held back did not become a stop string.</summary>
    /// <returns>The characters held back; valid until the next call.</returns>
    public ReadOnlySpan<char> Flush()
    {
        ReadOnlySpan<char> held = _buffer.AsSpan(_heldStart, HeldLength);
        _state = 0;
        return held;
    }
}
