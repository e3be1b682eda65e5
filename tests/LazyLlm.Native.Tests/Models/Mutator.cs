using System.Text;

namespace LazyLlm.Native.Tests.Models;

/// <summary>Damages inputs the way that finds parsers' mistakes: bytes flipped, cut, doubled and moved between inputs, tokens and telling numbers put in.</summary>
internal sealed class Mutator(int seed, IReadOnlyList<byte[]> corpus)
{
    private const int MaxLength = 1 << 14;

    private static readonly byte[][] Tokens = [.. new[]
    {
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0000", "\\ud800", "\\u0061", "null", "true", "false", "NaN", "-", "-0", "0", "1", "2", "8",
        "1.0", "1e2", "1e400", "-1", "255", "65536", "2147483647", "2147483648", "4294967296", "9223372036854775807", "9223372036854775808",
        "18446744073709551615", "18446744073709551616", "{}", "[]", "[0,0]", "\"\"", "\"a\"", "\"F32\"", "\"F4\"", "\"dtype\":", "\"shape\":",
        "\"data_offsets\":", "\"__metadata__\":", "\"weight_map\":", "\"../x.safetensors\"", "\"x.safetensors\"", "\"rope_type\":", "\"llama3\"",
        "\"head_dim\":", "\"eos_token_id\":", " ", "\n", "\0", "\ufeff", "//", "/*", "é", "🙂",
    }.Select(Encoding.UTF8.GetBytes)];

    private readonly Random _random = new(seed);

    /// <summary>The next input: one of the corpus, damaged one to eight times.</summary>
    public byte[] Next()
    {
        var input = new List<byte>(Pick(corpus));
        for (int count = 1 + _random.Next(8); count > 0; count--)
        {
            Mutate(input);
        }

        return [.. input.Take(MaxLength)];
    }

    private void Mutate(List<byte> input)
    {
        int at = _random.Next(input.Count + 1);
        int length = Math.Min(1 + _random.Next(_random.Next(2) == 0 ? 4 : 64), input.Count - at);
        switch (_random.Next(9))
        {
            case 0 when length > 0:
                input[at] ^= (byte)(1 << _random.Next(8));
                break;
            case 1 when length > 0:
                input[at] = (byte)_random.Next(256);
                break;
            case 2:
                input.RemoveRange(at, length);
                break;
            case 3:
                input.InsertRange(at, input.GetRange(at, length));
                break;
            case 4:
                input.InsertRange(at, Pick(Tokens));
                break;
            case 5:
                // A token in the place of as many bytes.
                byte[] token = Pick(Tokens);
                input.RemoveRange(at, Math.Min(token.Length, input.Count - at));
                input.InsertRange(at, token);
                break;
            case 6:
                byte[] other = Pick(corpus);
                int start = _random.Next(other.Length + 1);
                input.InsertRange(at, other.AsSpan(start, Math.Min(_random.Next(64), other.Length - start)).ToArray());
                break;
            case 7:
                ReplaceNumber(input, at);
                break;
            default:
                input.RemoveRange(at, _random.Next(8) == 0 ? input.Count - at : 0);
                break;
        }
    }

    /// <summary>Puts another number for the first one from <paramref name="at"/> on, so that the structure survives.</summary>
    private void ReplaceNumber(List<byte> input, int at)
    {
        int start = input.FindIndex(at, b => b is >= (byte)'0' and <= (byte)'9');
        if (start < 0)
        {
            return;
        }

        int end = start;
        while (end < input.Count && input[end] is >= (byte)'0' and <= (byte)'9')
        {
            end++;
        }

        input.RemoveRange(start, end - start);
        input.InsertRange(start, Encoding.UTF8.GetBytes(_random.Next(2) == 0 ? _random.Next(64).ToString() : _random.NextInt64().ToString()));
    }

    private T Pick<T>(IReadOnlyList<T> list) => list[_random.Next(list.Count)];
}
