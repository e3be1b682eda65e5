using System.Text.Json;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Models;

/// <summary>
/// A <c>model.safetensors.index.json</c>: which file (shard) holds which tensor. Its <c>metadata</c> (a total size)
/// is a hint that nothing here needs.
/// </summary>
internal static class ShardIndex
{
    /// <summary>The index's name in a model folder.</summary>
    public const string FileName = "model.safetensors.index.json";

    /// <summary>Bytes that an index may have; one of a thousand layers has about a million.</summary>
    public const int MaxFileLength = 1 << 24;

    /// <summary>Shards that a model may have; each is an open file.</summary>
    public const int MaxShards = 512;

    private const string Extension = ".safetensors";

    /// <summary>Reads and checks an index.</summary>
    /// <param name="path">The file, for messages.</param>
    /// <param name="json">Its content.</param>
    /// <returns>The names of tensors by the name of the shard, a plain file name, that holds them.</returns>
    /// <exception cref="ModelFormatException">It is damaged, or names a file outside the model folder.</exception>
    public static SortedDictionary<string, List<string>> Parse(string path, ReadOnlyMemory<byte> json)
    {
        using JsonDocument document = JsonFields.Parse(path, json);
        JsonFields map = JsonFields.Of(path, document).Object("weight_map")
            ?? throw new ModelFormatException(path, "has no weight_map; expected an object that names the file of each tensor.");
        var shards = new SortedDictionary<string, List<string>>(StringComparer.Ordinal);
        foreach ((string tensor, string shard) in map.AllTexts())
        {
            if (!shards.TryGetValue(shard, out List<string>? tensors))
            {
                if (!IsPlainName(shard))
                {
                    throw new ModelFormatException(
                        path,
                        $"weight_map says that {Excerpt.Quote(tensor)} is in {Excerpt.Quote(shard)}; expected the plain name of a {Extension} file in the same folder.");
                }

                if (shards.Count == MaxShards)
                {
                    throw new ModelFormatException(path, $"names more than {MaxShards} files.");
                }

                shards[shard] = tensors = [];
            }

            tensors.Add(tensor);
        }

        return shards;
    }

    /// <summary>Whether a name stays in its folder, by the rules of every system at once: an index travels.</summary>
    private static bool IsPlainName(string name) =>
        name.Length > Extension.Length
        && name.Length <= 255
        && name.EndsWith(Extension, StringComparison.Ordinal)
        && !name.Contains("..", StringComparison.Ordinal)
        && name.AsSpan().IndexOfAny("/\\:") < 0
        && !name.Any(char.IsControl);
}
