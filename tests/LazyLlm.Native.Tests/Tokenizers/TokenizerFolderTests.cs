using LazyLlm.Native.Errors;
using LazyLlm.Native.Tokenizers;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Tokenizers;

public sealed class TokenizerFolderTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("lazyllm-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void A_folder_without_a_tokenizer_has_none() => Assert.Null(TokenizerFolder.Load(_folder.FullName));

    [Fact]
    public void The_demo_has_a_SentencePiece_tokenizer() => Assert.IsType<SentencePieceTokenizer>(TokenizerFolder.Load(RepositoryFiles.Demo));

    [Fact]
    public void Tokenizer_model_goes_before_other_files_and_may_be_a_link()
    {
        File.CreateSymbolicLink(PathOf("tokenizer.model"), Path.Combine(RepositoryFiles.Demo, "tokenizer.model"));
        Write("tokenizer.json", "{}");
        Write("gpt2.tiktoken", "");
        Assert.Equal(1536, Assert.IsType<SentencePieceTokenizer>(TokenizerFolder.Load(_folder.FullName)).VocabularySize);
    }

    [Fact]
    public void A_ranks_file_makes_it_XGen()
    {
        File.WriteAllBytes(PathOf("gpt2.tiktoken"), TestTokenizers.MadeUpRanks());
        Write("tokenizer_config.json", """{"tokenizer_class":"XgenTokenizer"}""");
        Assert.IsType<XgenTokenizer>(TokenizerFolder.Load(_folder.FullName));
        Write("other.tiktoken", "");
        Refused("gpt2.tiktoken, other.tiktoken");
    }

    [Fact]
    public void XGen_without_a_ranks_file_says_what_to_do()
    {
        Write("tokenizer_config.json", """{"tokenizer_class":"XgenTokenizer"}""");
        Refused("Put gpt2.tiktoken");
        File.WriteAllBytes(PathOf("ranks.bin"), TestTokenizers.MadeUpRanks());
        Assert.Contains("*.tiktoken", Assert.Throws<ModelFormatException>(() => TokenizerFolder.Load(_folder.FullName, PathOf("ranks.bin"))).Message);
        File.Move(PathOf("ranks.bin"), PathOf("named.tiktoken.off"));
        string elsewhere = Directory.CreateDirectory(PathOf("elsewhere")).FullName;
        File.Move(PathOf("named.tiktoken.off"), Path.Combine(elsewhere, "r50k.tiktoken"));
        Assert.IsType<XgenTokenizer>(TokenizerFolder.Load(_folder.FullName, Path.Combine(elsewhere, "r50k.tiktoken")));
    }

    [Fact]
    public void Tokenizer_json_alone_is_refused_with_what_to_provide()
    {
        Write("tokenizer.json", "{}");
        Refused("expected tokenizer.model");
        Write("tokenizer_config.json", """{"tokenizer_class":"LlamaTokenizer"}""");
        Refused("expected tokenizer.model");
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData("""{"tokenizer_class":1}""")]
    [InlineData("""{"tokenizer_class":"x","tokenizer_class":"y"}""")]
    public void A_bad_tokenizer_config_is_a_typed_error(string json)
    {
        Write("tokenizer_config.json", json);
        Refused("tokenizer_config.json");
    }

    [Fact]
    public void A_missing_folder_and_a_missing_file_are_typed_errors()
    {
        Assert.Throws<ModelFormatException>(() => TokenizerFolder.Load(PathOf("absent")));
        Assert.Throws<ModelFormatException>(() => TokenizerFolder.Load(_folder.FullName, PathOf("absent.model")));
        Directory.CreateDirectory(PathOf("tokenizer.model"));
        Refused("tokenizer.model");
    }

    private string PathOf(string name) => Path.Combine(_folder.FullName, name);

    private void Write(string name, string text) => File.WriteAllText(PathOf(name), text);

    private void Refused(string expected) => Assert.Contains(expected, Assert.Throws<ModelFormatException>(() => TokenizerFolder.Load(_folder.FullName)).Message);
}
