namespace LazyLlm.Native.Errors;

/// <summary>
/// An error that poisons the device's context: an illegal address, a failed or timed-out launch, a memory error, an
/// assertion, an illegal instruction. Nothing more can run on this device in this process; every later call reports
/// the same cause. Dispose the engine and start the process again.
/// </summary>
public sealed class DeviceLostException : CudaException
{
    /// <summary>Creates the error.</summary>
    /// <param name="api">The function that reported it first.</param>
    /// <param name="code">Its numeric result.</param>
    /// <param name="name">The result's symbolic name.</param>
    /// <param name="text">The result in the driver's words.</param>
    /// <param name="operation">What the engine was doing when it was reported.</param>
    /// <param name="advice">Where the cause may lie.</param>
    /// <param name="innerException">The first report, when this one repeats it.</param>
    public DeviceLostException(string api, int code, string name, string text, string operation, string advice, Exception? innerException = null)
        : base(api, code, name, text, operation, advice, innerException)
    {
        Text = text;
        Advice = advice;
    }

    internal string Text { get; }

    internal string Advice { get; }

    /// <summary>The same cause for a later caller, with the first report inside.</summary>
    internal DeviceLostException Repeat() => new(Api, Code, Name, Text, Operation, Advice, this);
}
