namespace LazyLlm.Evaluation.Metrics;

/// <summary>
/// The similarity of two texts as Python's <c>difflib.SequenceMatcher(None, a, b).ratio()</c> gives it: Ratcliff and
/// Obershelp's matching blocks over code points, with the rule that a second text of 200 code points or more does not
/// start a match at those it holds too often.
/// </summary>
internal sealed class SequenceRatio
{
    private const int PopularityLength = 200;

    private readonly int[] _a;
    private readonly int[] _b;
    private readonly Dictionary<int, List<int>> _placesInB = [];

    private SequenceRatio(int[] a, int[] b)
    {
        _a = a;
        _b = b;
        for (int place = 0; place < b.Length; place++)
        {
            if (!_placesInB.TryGetValue(b[place], out List<int>? places))
            {
                _placesInB[b[place]] = places = [];
            }

            places.Add(place);
        }

        if (b.Length >= PopularityLength)
        {
            int most = (b.Length / 100) + 1;
            foreach (int popular in _placesInB.Where(entry => entry.Value.Count > most).Select(entry => entry.Key).ToArray())
            {
                _placesInB.Remove(popular);
            }
        }
    }

    /// <summary>Twice the matched code points over all code points; 1 for two empty texts.</summary>
    public static double Of(string a, string b)
    {
        int[] left = [.. a.EnumerateRunes().Select(rune => rune.Value)];
        int[] right = [.. b.EnumerateRunes().Select(rune => rune.Value)];
        int total = left.Length + right.Length;
        return total == 0 ? 1.0 : 2.0 * new SequenceRatio(left, right).MatchedLength() / total;
    }

    private int MatchedLength()
    {
        int matched = 0;
        var open = new Stack<(Range A, Range B)>();
        open.Push((0.._a.Length, 0.._b.Length));
        while (open.TryPop(out (Range A, Range B) area))
        {
            (int startA, int startB, int length) = LongestMatch(area.A.Start.Value, area.A.End.Value, area.B.Start.Value, area.B.End.Value);
            if (length > 0)
            {
                matched += length;
                open.Push((area.A.Start.Value..startA, area.B.Start.Value..startB));
                open.Push(((startA + length)..area.A.End.Value, (startB + length)..area.B.End.Value));
            }
        }

        return matched;
    }

    /// <summary>The longest block common to both areas; of several, the one that starts first in a, then in b.</summary>
    private (int StartA, int StartB, int Length) LongestMatch(int lowA, int highA, int lowB, int highB)
    {
        (int bestA, int bestB, int length) = (lowA, lowB, 0);
        var lengths = new Dictionary<int, int>();
        for (int i = lowA; i < highA; i++)
        {
            var extended = new Dictionary<int, int>();
            foreach (int j in _placesInB.GetValueOrDefault(_a[i]) ?? [])
            {
                if (j >= lowB && j < highB)
                {
                    int reached = extended[j] = lengths.GetValueOrDefault(j - 1) + 1;
                    if (reached > length)
                    {
                        (bestA, bestB, length) = (i - reached + 1, j - reached + 1, reached);
                    }
                }
            }

            lengths = extended;
        }

        // Popular code points start no match, but lengthen one.
        while (bestA > lowA && bestB > lowB && _a[bestA - 1] == _b[bestB - 1])
        {
            (bestA, bestB, length) = (bestA - 1, bestB - 1, length + 1);
        }

        while (bestA + length < highA && bestB + length < highB && _a[bestA + length] == _b[bestB + length])
        {
            length++;
        }

        return (bestA, bestB, length);
    }
}
