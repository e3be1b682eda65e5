using System.Text;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Models;

public class ShardIndexTests
{
    private static SortedDictionary<string, List<string>> Parse(string json) => ShardIndex.Parse("model.safetensors.index.json", Encoding.UTF8.GetBytes(json));

    private static void AssertRefused(string json, params string[] words)
    {
        var error = Assert.Throws<ModelFormatException>(() => Parse(json));
        Assert.StartsWith("model.safetensors.index.json: ", error.Message, StringComparison.Ordinal);
        Assert.All(words, word => Assert.Contains(word, error.Message, StringComparison.Ordinal));
    }

    [Fact]
    public void Tensors_are_gathered_by_shard_in_order()
    {
        var shards = Parse("""
            {"metadata": {"total_size": "not looked at"},
             "weight_map": {"x": "model-00002-of-00002.safetensors", "y": "model-00001-of-00002.safetensors", "z": "model-00002-of-00002.safetensors"}}
            """);
        Assert.Equal(["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], shards.Keys);
        Assert.Equal(["x", "z"], shards["model-00002-of-00002.safetensors"]);
    }

    [Theory]
    [InlineData("../x.safetensors")]
    [InlineData("..")]
    [InlineData("a..safetensors")]
    [InlineData("/etc/x.safetensors")]
    [InlineData("/x.safetensors")]
    [InlineData("C:\\\\x.safetensors")]
    [InlineData("C:x.safetensors")]
    [InlineData("\\\\\\\\host\\\\x.safetensors")]
    [InlineData("a/b.safetensors")]
    [InlineData("a\\\\b.safetensors")]
    [InlineData("./x.safetensors")]
    [InlineData("")]
    [InlineData(".safetensors")]
    [InlineData("x\\u0000.safetensors")]
    [InlineData("x.safetensors\\u0000")]
    [InlineData("x\\n.safetensors")]
    [InlineData("x.bin")]
    [InlineData("x.SAFETENSORS")]
    [InlineData("pytorch_model.bin.safetensors/")]
    public void A_shard_that_is_no_plain_safetensors_name_is_refused(string name) =>
        AssertRefused($"{{\"weight_map\":{{\"t\":\"{name}\"}}}}", "weight_map", "\"t\"", "expected the plain name");

    [Fact]
    public void A_shard_name_longer_than_a_file_system_takes_is_refused() =>
        AssertRefused($"{{\"weight_map\":{{\"t\":\"{new string('x', 300)}.safetensors\"}}}}", "expected the plain name");

    [Theory]
    [InlineData("{}", "has no weight_map")]
    [InlineData("{\"weight_map\":null}", "has no weight_map")]
    [InlineData("{\"weight_map\":[]}", "weight_map is []")]
    [InlineData("{\"weight_map\":\"x\"}", "weight_map is \"x\"")]
    [InlineData("{\"weight_map\":{\"t\":7}}", "weight_map.t is 7")]
    [InlineData("{\"weight_map\":{\"t\":null}}", "weight_map.t is null")]
    [InlineData("{\"weight_map\":{\"t\":[\"x.safetensors\"]}}", "weight_map.t is [\"x.safetensors\"]")]
    [InlineData("{\"weight_map\":{\"t\":\"\\udc00.safetensors\"}}", "weight_map.t")]
    [InlineData("{\"weight_map\":{\"\\ud800\":\"x.safetensors\"}}", "not valid JSON")]
    [InlineData("[]", "expected a JSON object")]
    [InlineData("", "not valid JSON")]
    public void A_map_that_is_not_names_to_names_is_refused(string json, string words) => AssertRefused(json, words);

    [Theory]
    [InlineData("{\"weight_map\":{\"t\":\"x.safetensors\",\"t\":\"x.safetensors\"}}")]
    [InlineData("{\"weight_map\":{},\"weight_map\":{}}")]
    public void A_key_used_twice_is_refused(string json) => AssertRefused(json, "not valid JSON");

    [Fact]
    public void More_shards_than_one_opens_are_refused() =>
        AssertRefused($"{{\"weight_map\":{{{string.Join(',', Enumerable.Range(0, 600).Select(i => $"\"t{i}\":\"{i}.safetensors\""))}}}}}", "more than 512 files");
}
