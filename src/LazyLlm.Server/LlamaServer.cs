using System.Net;
using System.Net.Sockets;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Scheduling;
using LazyLlm.Server.Endpoints;
using LazyLlm.Server.Http;
using LazyLlm.Server.Metrics;
using LazyLlm.Server.Monitor;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace LazyLlm.Server;

/// <summary>
/// An engine behind HTTP, with the endpoints of OpenAI's API for text and our own for health, tokens and figures. Requests go
/// through a <see cref="Native.Scheduling.Scheduler"/>; one whose client leaves takes no more turns. The engine stays the caller's.
/// </summary>
public sealed class LlamaServer : IAsyncDisposable
{
    /// <summary>How long cancelled requests have to tell their clients so.</summary>
    private static readonly TimeSpan LastWordsTime = TimeSpan.FromSeconds(1);

    private readonly WebApplication _application;
    private readonly ServedModel _model;
    private readonly SemaphoreSlim _stopping = new(1);
    private bool _isStopped;

    private LlamaServer(WebApplication application, ServedModel model, Uri address)
    {
        _application = application;
        _model = model;
        Address = address;
    }

    /// <summary>Where the server listens.</summary>
    public Uri Address { get; }

    /// <summary>The model's name in requests and answers.</summary>
    public string ModelName => _model.Name;

    /// <summary>The scheduler that the requests go through.</summary>
    public Scheduler Scheduler => _model.Scheduler;

    /// <summary>
    /// Completes when the device has failed for good. The server then refuses every request with 503 until it is stopped;
    /// only a new process can serve again.
    /// </summary>
    public Task<DeviceLostException> Fault => _model.Fault;

    /// <summary>Starts a server.</summary>
    /// <param name="engine">The model; its folder must have a tokenizer. Not disposed with the server.</param>
    /// <param name="options">Address and limits; defaults where null.</param>
    /// <param name="cancellation">Ends the start.</param>
    /// <exception cref="InvalidOptionException">The model has no tokenizer, the schedule does not fit it, or a limit is out of range.</exception>
    /// <exception cref="IOException">The address cannot be listened on, for example because the port is in use.</exception>
    public static async Task<LlamaServer> StartAsync(LlamaEngine engine, LlamaServerOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(engine);
        options ??= new LlamaServerOptions();
        options.Validate();
        var model = new ServedModel(engine, options);
        WebApplication? application = null;
        try
        {
            application = Build(model);
            await application.StartAsync(cancellation).ConfigureAwait(false);
            string address = application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
            return new LlamaServer(application, model, new Uri(address));
        }
        catch (Exception error)
        {
            if (application is not null)
            {
                await application.DisposeAsync().ConfigureAwait(false);
            }

            model.Dispose();
            if (error is IOException or SocketException)
            {
                throw CannotListen(options, error);
            }

            throw;
        }
    }

    /// <summary>
    /// Refuses new requests with 503, waits for the running ones, and stops listening. May be called twice.
    /// </summary>
    /// <param name="cancellation">Ends the running ones early: they are cancelled then.</param>
    public async Task StopAsync(CancellationToken cancellation = default)
    {
        _model.Drain();
        await _stopping.WaitAsync(CancellationToken.None).ConfigureAwait(false);
        try
        {
            if (_isStopped)
            {
                return;
            }

            _isStopped = true;
            await using (cancellation.UnsafeRegister(static model => ((ServedModel)model!).EndAll(), _model))
            {
                await _model.Scheduler.StopAsync(cancellation).ConfigureAwait(false);
            }

            // What is left are answers on their way through sockets, among them the news that there will be no more of one.
            // The host's own limit ends those of clients that do not read, or a shorter one where there is no time.
            using var hurry = new CancellationTokenSource();
            await using (cancellation.UnsafeRegister(static hurry => ((CancellationTokenSource)hurry!).CancelAfter(LastWordsTime), hurry))
            {
                await _application.StopAsync(hurry.Token).ConfigureAwait(false);
            }
        }
        finally
        {
            _stopping.Release();
        }
    }

    /// <summary>Cancels what runs, and stops. May be called twice.</summary>
    public async ValueTask DisposeAsync()
    {
        await StopAsync(new CancellationToken(canceled: true)).ConfigureAwait(false);
        await _application.DisposeAsync().ConfigureAwait(false);
        _model.Dispose();
    }

    private static WebApplication Build(ServedModel model)
    {
        LlamaServerOptions options = model.Options;
        // The empty builder: no appsettings.json of the folder at hand, no variable of ASP.NET, no signal handlers.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddRoutingCore();
        builder.Services.AddSingleton(options.Logging ?? NullLoggerFactory.Instance);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(5));
        MetricsEndpoint.AddServices(builder.Services, model);
        MonitorEndpoints.AddServices(builder.Services, model);
        OpenTelemetryExport.AddTo(builder, options.OtlpEndpoint);
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = options.BodyLimit;
            kestrel.Limits.MaxConcurrentConnections = options.ConnectionLimit;
            kestrel.Limits.RequestHeadersTimeout = options.HeaderTimeLimit;
            kestrel.Listen(options.Address, options.Port, listen => listen.Protocols = HttpProtocols.Http1);
        });
        WebApplication application = builder.Build();
        var errors = new ErrorResponses(model);
        var keys = new ApiKeyGate(options.ApiKey);
        application.Use(errors.InvokeAsync);
        application.UseRouting();
        application.Use(keys.InvokeAsync);
        EndpointGroups.Map(application, model, errors);
        return application;
    }

    private static IOException CannotListen(LlamaServerOptions options, Exception error)
    {
        SocketException? cause = error as SocketException;
        for (Exception? inner = error; cause is null && inner is not null; inner = inner.InnerException)
        {
            cause = inner as SocketException;
        }

        string problem = cause?.SocketErrorCode switch
        {
            SocketError.AddressAlreadyInUse => "another program listens there. Choose another port, or 0 for a free one.",
            SocketError.AccessDenied => "the system does not allow it (ports below 1024 are often reserved). Choose another port.",
            SocketError.AddressNotAvailable => "this machine does not have that address.",
            _ => error.Message,
        };
        return new IOException($"cannot listen on {new IPEndPoint(options.Address, options.Port)}: {problem}", error);
    }
}
