using System.CommandLine;
using LazyLlm.Cli.Output;
using LazyLlm.Native.Backends.Cuda.Compilation;

namespace LazyLlm.Cli.Commands;

/// <summary><c>lazyllm cache</c>: the compiled kernels that are kept on disk. Needs no GPU.</summary>
internal static class CacheCommand
{
    public static Command Create(Terminal terminal)
    {
        var folder = new Option<string?>("--folder") { Description = $"The cache's folder; that of {KernelCache.FolderVariable}, or the usual one, by default.", HelpName = "DIR", Recursive = true };
        var json = new Option<bool>("--json") { Description = "Write JSON.", Recursive = true };
        var list = new Command("list", "List the compiled kernels.");
        list.SetAction(arguments => List(KernelCache.At(arguments.GetValue(folder)), terminal, arguments.GetValue(json)));
        var clear = new Command("clear", "Delete the compiled kernels; the next run compiles them again.");
        clear.SetAction(arguments => Clear(KernelCache.At(arguments.GetValue(folder)), terminal, arguments.GetValue(json)));
        return new Command("cache", "List or clear the compiled kernels that are kept on disk.") { folder, json, list, clear };
    }

    private static int List(KernelCache cache, Terminal terminal, bool isJson)
    {
        IReadOnlyList<KernelCacheEntry> entries = cache.List();
        if (isJson)
        {
            JsonText.Write(terminal.Out, json =>
            {
                json.WriteString("folder", cache.Folder);
                json.WriteStartArray("entries");
                foreach (KernelCacheEntry entry in entries)
                {
                    json.WriteStartObject();
                    json.WriteString("name", entry.Name);
                    json.WriteString("target", entry.Target);
                    json.WriteNumber("bytes", entry.Bytes);
                    json.WriteString("written", entry.Written);
                    json.WriteString("path", entry.Path);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            });
            return ExitCode.Success;
        }

        terminal.Out.WriteLine($"{cache.Folder ?? "no folder, for want of a home folder"}: {Units.Count(entries.Count)} kernels, {Units.Bytes(entries.Sum(entry => entry.Bytes))}");
        foreach (KernelCacheEntry entry in entries)
        {
            terminal.Out.WriteLine($"{entry.Target ?? "damaged",-14} {Units.Bytes(entry.Bytes),10}  {entry.Name ?? Path.GetFileName(entry.Path)}");
        }

        return ExitCode.Success;
    }

    private static int Clear(KernelCache cache, Terminal terminal, bool isJson)
    {
        (int count, long bytes) = cache.Clear();
        if (isJson)
        {
            JsonText.Write(terminal.Out, json =>
            {
                json.WriteString("folder", cache.Folder);
                json.WriteNumber("deleted_files", count);
                json.WriteNumber("deleted_bytes", bytes);
            });
        }
        else
        {
            terminal.Out.WriteLine($"{cache.Folder ?? "no folder, for want of a home folder"}: {Units.Count(count)} files deleted, {Units.Bytes(bytes)}");
        }

        return ExitCode.Success;
    }
}
