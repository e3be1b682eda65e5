using System.Text.Json;

namespace LazyLlm.Server.Tests.Endpoints;

public sealed class ModelAndTokenTests
{
    [Fact]
    public async Task The_model_is_listed_under_its_name()
    {
        await using DemoServer server = await DemoServer.StartAsync(new LlamaServerOptions { ModelName = "my-model" });
        JsonElement list = JsonDocument.Parse(await server.Client.GetStringAsync(new Uri("v1/models", UriKind.Relative))).RootElement;
        JsonElement model = list.GetProperty("data")[0];
        Assert.Equal(("my-model", "model", 2_048), (model.GetProperty("id").GetString(), model.GetProperty("object").GetString(), model.GetProperty("n_ctx").GetInt32()));
        Assert.Equal($"{model}", await server.Client.GetStringAsync(new Uri("v1/models/my-model", UriKind.Relative)));
        Assert.Equal(200, (await server.AskAsync("v1/completions", """{"model":"my-model","prompt":"a","max_tokens":1}""")).Status);
        (int status, JsonElement error) = await server.AskAsync("v1/completions", """{"model":"demo","prompt":"a","max_tokens":1}""");
        Assert.Equal((404, "model_not_found"), (status, error.GetProperty("error").GetProperty("code").GetString()));
    }

    [Theory]
    [InlineData("Mira keeps the lamp.")]
    [InlineData("")]
    [InlineData("  two  spaces ")]
    [InlineData("h\\u00e9 \\ud83e\\udd8a <s>")]
    public async Task Text_becomes_tokens_and_text_again(string text)
    {
        await using DemoServer server = await DemoServer.StartAsync();
        (_, JsonElement tokens) = await server.AskAsync("tokenize", $$"""{"content":"{{text}}","add_special":false,"with_pieces":true}""");
        Assert.Equal(tokens.GetProperty("tokens").GetArrayLength(), tokens.GetProperty("count").GetInt32());
        Assert.Equal(tokens.GetProperty("count").GetInt32(), tokens.GetProperty("pieces").GetArrayLength());
        (_, JsonElement back) = await server.AskAsync("detokenize", $$"""{"tokens":{{tokens.GetProperty("tokens")}}}""");
        Assert.Equal(JsonDocument.Parse($"\"{text}\"").RootElement.GetString(), back.GetProperty("content").GetString());

        (_, JsonElement special) = await server.AskAsync("tokenize", $$"""{"prompt":"{{text}}"}""");
        Assert.Equal(1, special.GetProperty("tokens")[0].GetInt32());
        Assert.Equal(tokens.GetProperty("count").GetInt32() + 1, special.GetProperty("count").GetInt32());
    }
}
