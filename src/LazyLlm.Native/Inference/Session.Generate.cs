namespace LazyLlm.Native.Inference;

public sealed partial class Session
{
    private int _generation;
    private RunClock _run;
}
