namespace LazyLlm.Evaluation.Methods;

/// <summary>What a method makes of a prompt before the model reads it.</summary>
/// <param name="Tokens">The tokens to read, the start token included.</param>
/// <param name="ExtraPairs">(token, layer) pairs that the making itself computed; they count as the method's cost.</param>
public readonly record struct PreparedPrompt(int[] Tokens, long ExtraPairs = 0);
