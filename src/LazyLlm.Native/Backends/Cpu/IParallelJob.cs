namespace LazyLlm.Native.Backends.Cpu;

/// <summary>Work cut into tasks that may run in any order on any thread. Implemented by structs.</summary>
internal interface IParallelJob
{
    /// <summary>Runs task <paramref name="task"/>; <paramref name="scratch"/> is the thread's own memory, free for the task's use.</summary>
    void Run(int task, FloatBuffer scratch);
}
