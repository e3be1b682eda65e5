using System.Collections.Concurrent;
using System.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Soak;

// Mixed traffic for as long as one likes: see README.md.
string Option(string name, string otherwise) => Array.IndexOf(args, name) is >= 0 and int i && i + 1 < args.Length ? args[i + 1] : otherwise;
int seconds = int.Parse(Option("--seconds", "600"));
int callers = int.Parse(Option("--callers", "16"));
int seed = int.Parse(Option("--seed", "1"));
string model = Option("--model", "models/demo");
string device = Option("--device", "cpu");
string server = Option("--server", "");

using LlamaEngine engine = await LlamaEngine.LoadAsync(model, new EngineOptions { Device = device });
int longest = Math.Min(int.Parse(Option("--prompt", "600")), engine.ContextLength - 64);
SoakCase[] cases = SoakCase.Draw(engine, int.Parse(Option("--cases", "60")), longest, mostTokens: int.Parse(Option("--tokens", "48")), seed);
Console.WriteLine($"{(server.Length > 0 ? "server" : "scheduler")} on {engine.DeviceName}, {callers} callers, {cases.Length} requests with known answers, {seconds} s");

var outcomes = new ConcurrentDictionary<(Behaviour, Outcome), int>();
var failures = new ConcurrentBag<string>();
try
{
    await using ITraffic traffic = server.Length > 0 ? await ServerTraffic.StartAsync(server, model, device) : new LibraryTraffic(engine);
    var watch = new MemoryWatch(traffic);
    using var watching = new CancellationTokenSource();
    Task samples = watch.RunAsync(watching.Token);
    long start = Stopwatch.GetTimestamp();
    await Task.WhenAll(Enumerable.Range(0, callers).Select(async caller =>
    {
        var random = new Random((seed * 1000) + caller);
        while (Stopwatch.GetElapsedTime(start).TotalSeconds < seconds && failures.Count < 10)
        {
            var behaviour = (Behaviour)random.Next(Enum.GetValues<Behaviour>().Length);
            try
            {
                Outcome outcome = await traffic.RequestAsync(cases[random.Next(cases.Length)], behaviour, random);
                outcomes.AddOrUpdate((behaviour, outcome), 1, (_, count) => count + 1);
                await Task.Delay(outcome == Outcome.TurnedAway ? 150 : random.Next(4) == 0 ? random.Next(100) : 0);
            }
            catch (Exception error)
            {
                failures.Add($"{behaviour}: {error.Message}");
            }
        }
    }));
    await watching.CancelAsync();
    await samples;
    foreach (((Behaviour behaviour, Outcome outcome), int count) in outcomes.OrderBy(o => o.Key))
    {
        Console.WriteLine($"{behaviour,-14} {outcome,-11} {count,8}");
    }

    await traffic.CheckEmptyAsync();
    watch.Report(isLong: seconds >= 120);
}
catch (SoakFailure failure)
{
    failures.Add(failure.Message);
}

int right = outcomes.Where(o => o.Key.Item2 == Outcome.Right).Sum(o => o.Value);
foreach (string failure in failures)
{
    Console.WriteLine($"FAILED: {failure}");
}

Console.WriteLine($"{right} answers right, {failures.Count} failures");
return failures.IsEmpty && right > 0 ? 0 : 1;
