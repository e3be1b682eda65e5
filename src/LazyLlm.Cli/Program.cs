using LazyLlm.Cli;

using Interrupt interrupt = Interrupt.Listen();
return await LazyLlmTool.RunAsync(args, Terminal.OfProcess(interrupt));
