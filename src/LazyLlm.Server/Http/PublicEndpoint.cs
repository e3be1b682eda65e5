namespace LazyLlm.Server.Http;

/// <summary>Marks an endpoint (as its metadata) that needs no key.</summary>
internal sealed class PublicEndpoint
{
    private PublicEndpoint()
    {
    }

    public static PublicEndpoint Instance { get; } = new();
}
