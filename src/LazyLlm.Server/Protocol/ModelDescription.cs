namespace LazyLlm.Server.Protocol;

/// <summary>A model in OpenAI's form, and what else a client may want to know of it.</summary>
internal sealed record ModelDescription(string Id, string Object, long Created, string OwnedBy, int NCtx, string Pruning, string Device);
