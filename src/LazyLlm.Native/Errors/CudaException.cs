namespace LazyLlm.Native.Errors;

/// <summary>A call of the CUDA driver or of NVRTC failed.</summary>
public class CudaException : DeviceException
{
    /// <summary>Creates the error.</summary>
    /// <param name="api">The function that reported it.</param>
    /// <param name="code">Its numeric result.</param>
    /// <param name="name">The result's symbolic name, e.g. <c>CUDA_ERROR_INVALID_VALUE</c>.</param>
    /// <param name="text">The result in the driver's words.</param>
    /// <param name="operation">What the engine was doing.</param>
    /// <param name="advice">Where the cause may lie or what to do; empty if there is nothing to add.</param>
    /// <param name="innerException">The cause, where another exception reported it.</param>
    public CudaException(string api, int code, string name, string text, string operation, string advice = "", Exception? innerException = null)
        : base($"{api} failed with {name} ({code}, {text}) in {operation}.{(advice.Length == 0 ? string.Empty : " " + advice)}", innerException)
    {
        Api = api;
        Code = code;
        Name = name;
        Operation = operation;
    }

    /// <summary>The function that reported the error.</summary>
    public string Api { get; }

    /// <summary>Its numeric result (<c>CUresult</c> or <c>nvrtcResult</c>).</summary>
    public int Code { get; }

    /// <summary>The result's symbolic name.</summary>
    public string Name { get; }

    /// <summary>What the engine was doing: the operation at hand, with stage and layer where they are known.</summary>
    public string Operation { get; }
}
