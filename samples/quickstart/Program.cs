using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;

const string document = """
    A shy owl and a proud bear met at dusk. Mira keeps the lamp in the attic. In the spring the fog came over the harbor.
    Hugo keeps the lamp in the cellar. People say that the goat dances all night. Mira keeps the violin in the tower.
    The old fox sleeps near the mill. Greta keeps the compass in the vault. Nobody saw the ring when the storm stopped.
    """;

using LlamaEngine engine = await LlamaEngine.LoadAsync("models/demo");
using Session session = engine.CreateSession(PruningSchedule.Parse("4:0.5"));      // or .Paper, .Fast, .None
var answer = new SamplingOptions { MaxTokens = 1 };

string text = document.ReplaceLineEndings(" ");
await foreach (GeneratedToken token in session.GenerateAsync(text + "Question: Where does Mira keep the lamp? Answer:", answer))
{
    Console.Write(token.Text);
}

Console.WriteLine($" ({session.Statistics.ComputedShare:P0} of the dense work)");

// The next turn keeps K/V and the Aux cache; what it needs of the pruned positions comes back.
await foreach (GeneratedToken token in session.GenerateAsync(". Question: Where does Greta keep the compass? Answer:", answer))
{
    Console.Write(token.Text);
}

Console.WriteLine($" ({session.Statistics.Stages.Sum(stage => stage.Revived)} positions revived)");
