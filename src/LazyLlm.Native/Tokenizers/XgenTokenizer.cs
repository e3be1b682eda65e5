using System.Buffers.Text;
using System.Text;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Tokenizers;

/// <summary>
/// The tokenizer of XGen-7B: GPT-2's byte-level BPE from a tiktoken ranks file (<c>gpt2.tiktoken</c>: per line a token in
/// base64 and its rank), plus whitespace runs as further ranks and 18 control tokens for code.
/// </summary>
/// <remarks>
/// Ids after GPT-2's 50,256 ranks and <c>&lt;|endoftext|&gt;</c>: runs of 31 down to 2 spaces, runs of 9 down to 2 tabs,
/// then the control tokens from <c>&lt;fim_prefix&gt;</c> (50295) to <c>&lt;reponame&gt;</c> (50312).
/// The sequence has no begin token.
/// </remarks>
public sealed class XgenTokenizer : TextTokenizer
{
    /// <summary>Ranks of GPT-2, and the id of <c>&lt;|endoftext|&gt;</c>.</summary>
    private const int RankCount = 50256;

    // GPT-2's ranks take under a megabyte.
    private const int LargestFile = 16 << 20;

    private static readonly string[] CodeTokens =
    [
        "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<filename>", "<gh_stars>", "<issue_start>",
        "<issue_comment>", "<issue_closed>", "<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>",
        "<empty_output>", "<commit_before>", "<commit_msg>", "<commit_after>", "<reponame>",
    ];

    private readonly PieceTable _table;
    private readonly int[] _ranks;

    private XgenTokenizer(string path, PieceTable table, byte[][] bytes, string?[] controlNames)
        : base(path, bytes, controlNames, dropsLeadingSpace: false)
    {
        _table = table;
        _ranks = [.. Enumerable.Range(0, bytes.Length)];
    }

    /// <inheritdoc/>
    public override int? BeginToken => null;

    /// <inheritdoc/>
    public override IReadOnlyList<int> EndTokens { get; } = [RankCount];

    /// <summary>Reads GPT-2's ranks file and adds XGen's tokens.</summary>
    /// <exception cref="ModelFormatException">The file is missing, damaged or not GPT-2's.</exception>
    public static XgenTokenizer Load(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        var bytes = new List<byte[]>(ReadRanks(path));
        var controlNames = new List<string?>(Enumerable.Repeat<string?>(null, RankCount));
        AddControl("<|endoftext|>");
        AddRuns(' ', 31);
        AddRuns('\t', 9);
        Array.ForEach(CodeTokens, AddControl);

        var table = new PieceTable(bytes.Count);
        for (int id = 0; id < bytes.Count; id++)
        {
            if (controlNames[id] is null && !table.TryAdd(bytes[id], id))
            {
                table.TryGetId(bytes[id], out int first);
                throw new ModelFormatException(path, $"tokens {first} and {id} have the same bytes; every token must be there once.");
            }
        }

        for (int b = 0; b < 256; b++)
        {
            if (!table.TryGetId([(byte)b], out _))
            {
                throw new ModelFormatException(path, $"found no token for the single byte 0x{b:X2}, expected all 256.");
            }
        }

        return new XgenTokenizer(path, table, [.. bytes], [.. controlNames]);

        void AddControl(string name)
        {
            bytes.Add([]);
            controlNames.Add(name);
        }

        void AddRuns(char character, int longest)
        {
            for (int length = longest; length >= 2; length--)
            {
                bytes.Add(Encoding.ASCII.GetBytes(new string(character, length)));
                controlNames.Add(null);
            }
        }
    }

    /// <inheritdoc/>
    public override void EncodeTo(ReadOnlySpan<char> text, List<int> ids, bool continuation = false)
    {
        ArgumentNullException.ThrowIfNull(ids);
        var merger = new BytePairMerger(_table, _ranks);
        byte[] buffer = new byte[64];
        while (!text.IsEmpty)
        {
            ReadOnlySpan<char> word = text[..Gpt2WordSplitter.NextWord(text)];
            text = text[word.Length..];
            if (buffer.Length < 3 * word.Length)
            {
                buffer = new byte[3 * word.Length];
            }

            ReadOnlySpan<byte> bytes = buffer.AsSpan(0, Encoding.UTF8.GetBytes(word, buffer));
            if (_table.TryGetId(bytes, out int id))
            {
                ids.Add(id);
                continue;
            }

            merger.Merge(bytes, byCharacter: false);
            for (int symbol = 0; symbol >= 0;)
            {
                _table.TryGetId(bytes[merger.Next(ref symbol)], out id);
                ids.Add(id);
            }
        }
    }

    private static byte[][] ReadRanks(string path)
    {
        var ranks = new byte[RankCount][];
        ReadOnlySpan<byte> file = RegularFile.ReadAll(path, LargestFile);
        int count = 0;
        for (int number = 1; !file.IsEmpty; number++)
        {
            int end = file.IndexOf((byte)'\n');
            ReadOnlySpan<byte> line = (end < 0 ? file : file[..end]).TrimEnd((byte)'\r');
            file = end < 0 ? [] : file[(end + 1)..];
            if (line.IsEmpty)
            {
                continue;
            }

            int space = line.IndexOf((byte)' ');
            byte[] token = new byte[line.Length];
            if (space <= 0
                || Base64.DecodeFromUtf8(line[..space], token, out _, out int length) != System.Buffers.OperationStatus.Done
                || length == 0
                || !Utf8Parser.TryParse(line[(space + 1)..], out int rank, out int used)
                || used != line.Length - space - 1)
            {
                throw new ModelFormatException(path, $"line {number} is not a token in base64, a space and its rank. Copy the file again from its source.");
            }

            if ((uint)rank >= RankCount || ranks[rank] is not null)
            {
                throw new ModelFormatException(path, $"line {number} has the rank {rank}, expected each of 0 to {RankCount - 1} once, as in GPT-2's ranks file.");
            }

            ranks[rank] = token[..length];
            count++;
        }

        return count == RankCount
            ? ranks
            : throw new ModelFormatException(path, $"found {count} ranks, expected the {RankCount} of GPT-2's ranks file (gpt2.tiktoken).");
    }
}
