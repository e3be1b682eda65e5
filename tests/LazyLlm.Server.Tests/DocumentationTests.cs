using System.Diagnostics;
using System.Reflection;
using System.Text.Json;
using System.Text.RegularExpressions;
using LazyLlm.Server.Protocol;

namespace LazyLlm.Server.Tests;

/// <summary>The pages on the server leave nothing out.</summary>
public sealed partial class DocumentationTests
{
    [Fact]
    public void Every_field_of_requests_and_every_figure_of_answers_is_described()
    {
        string page = Page("SERVER.md");
        Type[] types = [typeof(CompletionRequest), typeof(ChatRequest), typeof(TokenizeRequest), typeof(DetokenizeRequest), typeof(Timings)];
        string[] names = [.. types.SelectMany(type => type.GetProperties(BindingFlags.Public | BindingFlags.Instance))
            .Select(property => JsonNamingPolicy.SnakeCaseLower.ConvertName(property.Name))
            .Except(["others"])
            .Distinct()];
        Assert.True(names.Length > 30);
        Assert.All(names, name => Assert.Matches($"`[^`]*\\b{name}\\b[^`]*`", page));
    }

    [Fact]
    public async Task Every_option_of_serve_is_described()
    {
        string page = Page("CLI.md");
        string part = page[page.IndexOf("\n## serve\n", StringComparison.Ordinal)..page.IndexOf("\n## compare\n", StringComparison.Ordinal)];
        using Process help = Process.Start(new ProcessStartInfo("dotnet", [ServeProcess.Tool, "serve", "--help"]) { RedirectStandardOutput = true })!;
        string[] options = [.. Option().Matches(await help.StandardOutput.ReadToEndAsync()).Select(match => match.Value).Except(["--help", "--model", "--quiet"]).Distinct()];
        Assert.True(options.Length > 15);
        Assert.All(options, option => Assert.Contains($"`{option}", part, StringComparison.Ordinal));
    }

    private static string Page(string name) => File.ReadAllText(Path.Combine(RepositoryFiles.Root, "docs", name));

    [GeneratedRegex("(?<= )--[a-z-]+(?= |,|$)", RegexOptions.Multiline)]
    private static partial Regex Option();
}
