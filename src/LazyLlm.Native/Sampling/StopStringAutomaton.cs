namespace LazyLlm.Native.Sampling;

/// <summary>
/// Aho-Corasick automaton over UTF-16: one step per character finds every stop string, however many there are. A state is
/// the longest end of the text so far that begins a stop string, so its depth is what must be held back.
/// </summary>
internal sealed class StopStringAutomaton
{
    private readonly Dictionary<(int State, char Character), int> _children = [];
    private readonly List<State> _states = [new State()];

    /// <summary>Builds the automaton.</summary>
    /// <param name="stopStrings">Strings of at least one character each.</param>
    public StopStringAutomaton(IReadOnlyList<string> stopStrings)
    {
        foreach (string text in stopStrings)
        {
            Insert(text);
        }

        int[] byDepth = [.. Enumerable.Range(1, _states.Count - 1).OrderBy(state => _states[state].Depth)];
        foreach (int index in byDepth)
        {
            State state = _states[index];
            // The root's children fall back to the root, never to themselves.
            state.Fallback = state.Parent == 0 ? 0 : Step(_states[state.Parent].Fallback, state.Character);
            if (state.MatchLength == 0)
            {
                state.MatchLength = _states[state.Fallback].MatchLength;
            }

            _states[index] = state;
        }
    }

    /// <summary>The state after one more character; 0 is the start.</summary>
    public int Step(int state, char character)
    {
        int next;
        while (!_children.TryGetValue((state, character), out next))
        {
            if (state == 0)
            {
                return 0;
            }

            state = _states[state].Fallback;
        }

        return next;
    }

    /// <summary>How many of the last characters may still become a stop string.</summary>
    public int Depth(int state) => _states[state].Depth;

    /// <summary>Length of the longest stop string that ends here, or 0.</summary>
    public int MatchLength(int state) => _states[state].MatchLength;

    private void Insert(string text)
    {
        int state = 0;
        foreach (char character in text)
        {
            if (!_children.TryGetValue((state, character), out int child))
            {
                child = _states.Count;
                _states.Add(new State { Parent = state, Character = character, Depth = _states[state].Depth + 1 });
                _children.Add((state, character), child);
            }

            state = child;
        }

        _states[state] = _states[state] with { MatchLength = text.Length };
    }

    private record struct State
    {
        public int Parent;
        public int Fallback;
        public int Depth;
        public int MatchLength;
        public char Character;
    }
}
