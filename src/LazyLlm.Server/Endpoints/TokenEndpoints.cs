using LazyLlm.Server.Http;
using LazyLlm.Server.Protocol;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace LazyLlm.Server.Endpoints;

/// <summary><c>/tokenize</c> and <c>/detokenize</c>.</summary>
internal static class TokenEndpoints
{
    public static void Map(WebApplication application, ServedModel model)
    {
        application.MapPost("/tokenize", context => TokenizeAsync(context, model));
        application.MapPost("/detokenize", context => DetokenizeAsync(context, model));
    }

    private static async Task TokenizeAsync(HttpContext context, ServedModel model)
    {
        TokenizeRequest request = await RequestBody.ReadAsync(context, model, ProtocolJson.Wire.TokenizeRequest).ConfigureAwait(false);
        string text = (request.Content, request.Prompt) switch
        {
            (string content, null) => content,
            (null, string prompt) => prompt,
            _ => throw ApiException.Invalid("content", "expected the text, here or as 'prompt'."),
        };
        int[] tokens = model.Tokenizer.Encode(text, request.AddSpecial ?? true);
        string[]? pieces = request.WithPieces == true ? [.. tokens.Select(model.Tokenizer.TokenText)] : null;
        await context.Response.WriteJsonAsync(200, new TokenizeResponse(tokens, tokens.Length, model.Engine.ContextLength, pieces), ProtocolJson.Wire.TokenizeResponse).ConfigureAwait(false);
    }

    private static async Task DetokenizeAsync(HttpContext context, ServedModel model)
    {
        DetokenizeRequest request = await RequestBody.ReadAsync(context, model, ProtocolJson.Wire.DetokenizeRequest).ConfigureAwait(false);
        int[] tokens = request.Tokens ?? throw ApiException.Invalid("tokens", "found none, expected an array of token ids.");
        int vocabulary = model.Engine.Config.VocabularySize;
        int wrong = Array.FindIndex(tokens, token => token < 0 || token >= vocabulary);
        if (wrong >= 0)
        {
            throw ApiException.Invalid($"tokens[{wrong}]", $"found {tokens[wrong]}, expected 0 to {vocabulary - 1}.");
        }

        await context.Response.WriteJsonAsync(200, new DetokenizeResponse(model.Tokenizer.Decode(tokens)), ProtocolJson.Wire.DetokenizeResponse).ConfigureAwait(false);
    }
}
