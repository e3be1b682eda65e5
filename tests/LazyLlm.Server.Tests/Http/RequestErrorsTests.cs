using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

namespace LazyLlm.Server.Tests.Http;

/// <summary>What is wrong with a request is a status, a field by its name, and a reason; and the server lives.</summary>
public sealed class RequestErrorsTests : IAsyncLifetime
{
    private DemoServer _server = null!;

    public static TheoryData<string, string> Bodies => new()
    {
        { "", "not valid JSON" },
        { "{", "not valid JSON" },
        { "null", "null" },
        { "[]", "not an object" },
        { "\"x\"", "not an object" },
        { """{"prompt":"a"} x""", "not valid JSON" },
        { """{"prompt":"a",}""", "not valid JSON" },
        { """{"prompt":"a"/*c*/}""", "not valid JSON" },
        { """{"prompt":NaN}""", "not valid JSON" },
        { """{"prompt":"a","prompt":"b"}""", "Duplicate property" },
        { $"{{\"prompt\":{new string('[', 100_000)}", "depth of 32" },
        { $"{{\"prompt\":\"a\",\"x\":{string.Concat(Enumerable.Repeat("{\"a\":", 100))}1{new string('}', 101)}", "depth of 32" },
    };

    public static TheoryData<string, string, string> Completions => new()
    {
        { """ "prompt":null """, "prompt", "found none" },
        { """ "prompt":7 """, "prompt", "expected a string" },
        { """ "prompt":[] """, "prompt", "expected a string" },
        { """ "prompt":[[]] """, "prompt", "no tokens" },
        { """ "prompt":["a",1] """, "prompt", "several types" },
        { """ "prompt":[1.5] """, "prompt[0]", "whole number" },
        { """ "prompt":[1,1099511627776] """, "prompt[1]", "whole number" },
        { """ "prompt":[-1] """, "prompt", "0 to 1535" },
        { """ "prompt":[1536] """, "prompt", "0 to 1535" },
        { """ "prompt":[[1],["a"]] """, "prompt[1][0]", "whole number" },
        { """ "prompt":"\ud800" """, "prompt", "surrogate" },
        { """ "prompt":"a","model":7 """, "model", "a string" },
        { """ "prompt":"a","max_tokens":"5" """, "max_tokens", "whole number" },
        { """ "prompt":"a","max_tokens":2.5 """, "max_tokens", "whole number" },
        { """ "prompt":"a","max_tokens":99999999999 """, "max_tokens", "whole number" },
        { """ "prompt":"a","max_tokens":0 """, "max_tokens", "1 to 4096" },
        { """ "prompt":"a","max_tokens":4097 """, "max_tokens", "1 to 4096" },
        { """ "prompt":"a","temperature":"hot" """, "temperature", "a number" },
        { """ "prompt":"a","temperature":-1 """, "temperature", "0 or more" },
        { """ "prompt":"a","temperature":1e999 """, "temperature", "finite" },
        { """ "prompt":"a","top_p":1.5 """, "top_p", "0 to 1" },
        { """ "prompt":"a","top_k":-2 """, "top_k", "0 (all tokens) or more" },
        { """ "prompt":"a","min_p":2 """, "min_p", "0 to 1" },
        { """ "prompt":"a","repetition_penalty":0 """, "repetition_penalty", "above 0" },
        { """ "prompt":"a","seed":1e30 """, "seed", "whole number" },
        { """ "prompt":"a","stop":5 """, "stop", "array of strings" },
        { """ "prompt":"a","stop":["a",""] """, "stop[1]", "empty" },
        { """ "prompt":"a","n":0 """, "n", "1 or more" },
        { """ "prompt":"a","n":65 """, "n", "at most 64" },
        { $" \"prompt\":[{string.Join(',', Enumerable.Repeat("\"a\"", 65))}] ", "prompt", "65 answers" },
        { $" \"prompt\":[{string.Join(',', Enumerable.Repeat("[5]", 33))}],\"n\":2 ", "n", "66 answers" },
        { """ "prompt":"a","stream":"yes" """, "stream", "true or false" },
        { """ "prompt":"a","stream_options":5 """, "stream_options", "an object" },
        { """ "prompt":"a","stream_options":{"include_usage":"x"} """, "stream_options.include_usage", "true or false" },
        { """ "prompt":"a","pruning":"nope" """, "pruning", "layer:keep" },
        { """ "prompt":"a","pruning":"99:0.5" """, "pruning", "layer 99" },
        { """ "prompt":"a","pruning":"4:2" """, "pruning", "at most 1" },
        { """ "prompt":"a","pruning":5 """, "pruning", "a string" },
        { """ "prompt":"a","shared_prefix":-1 """, "shared_prefix", "less than the prompt" },
        { """ "prompt":"a","shared_prefix":2 """, "shared_prefix", "less than the prompt" },
        { """ "prompt":"a","echo":"x" """, "echo", "true or false" },
        { """ "prompt":"a","logprobs":0 """, "logprobs", "not supported" },
        { """ "prompt":"a","best_of":2 """, "best_of", "not supported" },
        { """ "prompt":"a","suffix":"x" """, "suffix", "not supported" },
        { """ "prompt":"a","logit_bias":{"5":1} """, "logit_bias", "not supported" },
        { """ "prompt":"a","presence_penalty":0.5 """, "presence_penalty", "not supported" },
        { """ "prompt":"a","frequency_penalty":1 """, "frequency_penalty", "not supported" },
    };

    public static TheoryData<string, string, string> Chats => new()
    {
        { """ "messages":null """, "messages", "found none" },
        { """ "messages":[] """, "messages", "found none" },
        { """ "messages":{} """, "messages", "an array" },
        { """ "messages":[null] """, "messages[0].role", "found none" },
        { """ "messages":[7] """, "messages[0]", "an object" },
        { """ "messages":[{"content":"x"}] """, "messages[0].role", "found none" },
        { """ "messages":[{"role":7,"content":"x"}] """, "messages[0].role", "a string" },
        { """ "messages":[{"role":"tool","content":"x"}] """, "messages[0].role", "found 'tool'" },
        { """ "messages":[{"role":"user"}] """, "messages[0].content", "a string" },
        { """ "messages":[{"role":"user","content":5}] """, "messages[0].content", "a string" },
        { """ "messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}] """, "messages[0].content[0]", "text alone" },
        { """ "messages":[{"role":"assistant","content":"x"}] """, "messages", "expected User" },
        { """ "messages":[{"role":"system","content":"x"}] """, "messages", "user's message last" },
        { """ "messages":[{"role":"user","content":"x"}],"max_completion_tokens":0 """, "max_completion_tokens", "1 to 4096" },
        { """ "messages":[{"role":"user","content":"x"}],"tools":[{"type":"function"}] """, "tools", "not supported" },
        { """ "messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"} """, "response_format", "not supported" },
        { """ "messages":[{"role":"user","content":"x"}],"logprobs":true """, "logprobs", "not supported" },
    };

    public async ValueTask InitializeAsync() => _server = await DemoServer.StartAsync();

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Theory]
    [MemberData(nameof(Bodies))]
    public async Task A_body_that_is_no_request_is_refused(string body, string reason) => await RefusedAsync("v1/completions", body, null, reason);

    [Theory]
    [MemberData(nameof(Completions))]
    public async Task A_wrong_field_of_a_completion_is_named(string fields, string param, string reason) => await RefusedAsync("v1/completions", $"{{{fields}}}", param, reason);

    [Theory]
    [MemberData(nameof(Chats))]
    public async Task A_wrong_field_of_a_chat_is_named(string fields, string param, string reason) => await RefusedAsync("v1/chat/completions", $"{{{fields}}}", param, reason);

    [Theory]
    [InlineData("tokenize", "{}", "content", "the text")]
    [InlineData("tokenize", """{"content":5}""", "content", "a string")]
    [InlineData("tokenize", """{"content":"a","prompt":"b"}""", "content", "the text")]
    [InlineData("detokenize", "{}", "tokens", "found none")]
    [InlineData("detokenize", """{"tokens":"a"}""", "tokens", "an array")]
    [InlineData("detokenize", """{"tokens":[5,1536]}""", "tokens[1]", "0 to 1535")]
    public async Task A_wrong_field_of_tokens_is_named(string path, string body, string param, string reason) => await RefusedAsync(path, body, param, reason);

    [Theory]
    [InlineData("""{"prompt":"a","max_tokens":1,"best_of":1,"logprobs":null,"suffix":"","logit_bias":{},"presence_penalty":0.0,"frequency_penalty":0,"user":"me","metadata":{"a":"b"}}""")]
    [InlineData("""{"prompt":"a","max_tokens":1,"top_k":-1,"model":null,"stream":null,"stop":null,"n":null,"seed":null}""")]
    public async Task Fields_that_ask_for_nothing_are_taken(string body) => Assert.Equal(200, (await _server.AskAsync("v1/completions", body)).Status);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_prompt_beyond_the_context_is_refused_with_both_counts(bool streams)
    {
        string ids = string.Join(',', Enumerable.Repeat(5, 2_049));
        (int status, JsonElement body) = await _server.AskAsync("v1/completions", $$"""{"prompt":[{{ids}}],"stream":{{(streams ? "true" : "false")}}}""");
        JsonElement error = body.GetProperty("error");
        Assert.Equal((400, "exceed_context_size_error"), (status, error.GetProperty("type").GetString()));
        Assert.Equal((2_049, 2_048), (error.GetProperty("n_prompt_tokens").GetInt32(), error.GetProperty("n_ctx").GetInt32()));
    }

    [Theory]
    [InlineData("text/plain", 415)]
    [InlineData("application/x-www-form-urlencoded", 415)]
    [InlineData("application/json; charset=utf-16", 415)]
    [InlineData("application/json; charset=UTF-8", 200)]
    public async Task Only_json_in_utf8_is_read(string type, int status)
    {
        using var content = new ByteArrayContent(Encoding.UTF8.GetBytes("""{"prompt":"a","max_tokens":1}"""));
        content.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
        using HttpResponseMessage response = await _server.Client.PostAsync(new Uri("v1/completions", UriKind.Relative), content);
        Assert.Equal(status, (int)response.StatusCode);
    }

    [Theory]
    [InlineData("GET", "/v1/completions", 405)]
    [InlineData("DELETE", "/v1/models", 405)]
    [InlineData("GET", "/nope", 404)]
    [InlineData("GET", "/../../etc/passwd", 404)]
    [InlineData("GET", "/monitor/..%2f..%2f..%2fetc%2fpasswd", 404)]
    [InlineData("GET", "/%2e%2e/%2e%2e/etc/passwd", 404)]
    [InlineData("GET", "//etc/passwd", 404)]
    [InlineData("GET", "/monitor/index.html", 404)]
    [InlineData("GET", "/v1/models/..%2f..", 404)]
    public async Task Paths_and_methods_that_are_not_there_are_refused_in_json(string method, string path, int status)
    {
        // A socket of its own: a client would straighten the path.
        using var connection = new System.Net.Sockets.TcpClient();
        await connection.ConnectAsync(_server.Server.Address.Host, _server.Server.Address.Port);
        await connection.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
        string response = await new StreamReader(connection.GetStream()).ReadToEndAsync();
        Assert.StartsWith($"HTTP/1.1 {status} ", response, StringComparison.Ordinal);
        Assert.Equal("invalid_request_error", JsonDocument.Parse(response[response.IndexOf('{', StringComparison.Ordinal)..]).RootElement.GetProperty("error").GetProperty("type").GetString());
    }

    private async Task RefusedAsync(string path, string body, string? param, string reason)
    {
        (int status, JsonElement answer) = await _server.AskAsync(path, body);
        JsonElement error = answer.GetProperty("error");
        Assert.Equal((400, "invalid_request_error", param), (status, error.GetProperty("type").GetString(), error.GetProperty("param").GetString()));
        Assert.Contains(reason, error.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Equal(200, (await _server.AskAsync("v1/completions", """{"prompt":"a","max_tokens":1}""")).Status);
    }
}
