using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using LazyLlm.Native.Inference;

namespace LazyLlm.Evaluation.Reports;

/// <summary>What someone needs to know to repeat a run: command, model, machine, versions.</summary>
/// <param name="Facts">Names and values, in order.</param>
public sealed record RunFacts(IReadOnlyList<(string Name, string Value)> Facts)
{
    private const string ProcessorFile = "/proc/cpuinfo";

    /// <summary>Collects them.</summary>
    /// <param name="command">The command line.</param>
    /// <param name="engine">The model on its device.</param>
    /// <param name="modelDigest">Digest of the model's files.</param>
    public static RunFacts Collect(string command, LlamaEngine engine, string modelDigest)
    {
        ArgumentNullException.ThrowIfNull(engine);
        return new RunFacts(
        [
            ("Command", command),
            ("Model", string.Create(CultureInfo.InvariantCulture, $"{engine.Folder.Name}: {engine.Config.LayerCount} layers, {engine.Config.HiddenSize} wide, {engine.Folder.ParameterCount:N0} parameters")),
            ("Model SHA-256", modelDigest),
            ("Device", engine.DeviceName),
            ("Machine", string.Create(CultureInfo.InvariantCulture, $"{ProcessorName()}, {Environment.ProcessorCount} logical processors, {RuntimeInformation.OSDescription}")),
            ("Versions", $"LazyLlm.Native {VersionOf(typeof(LlamaEngine))}, {RuntimeInformation.FrameworkDescription}"),
            ("Finished", DateTime.UtcNow.ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture)),
        ]);
    }

    private static string VersionOf(Type type)
        => type.Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "";

    private static string ProcessorName()
    {
        const string Field = "model name";
        string? line = File.Exists(ProcessorFile) ? File.ReadLines(ProcessorFile).FirstOrDefault(text => text.StartsWith(Field, StringComparison.Ordinal)) : null;
        return line is null ? RuntimeInformation.ProcessArchitecture.ToString() : line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
    }
}
