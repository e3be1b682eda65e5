namespace LazyLlm.Native.CApi;

/// <summary>The codes of <c>lazyllm.h</c>.</summary>
internal enum ResultCode
{
    Ok = 0,
    InvalidArgument = 1,
    InvalidHandle = 2,
    StructSize = 3,
    InvalidUtf8 = 4,
    BufferTooSmall = 5,
    Cancelled = 6,
    Busy = 7,
    Reentrant = 8,
    ContextLength = 9,
    ModelFormat = 10,
    Device = 11,
    OutOfMemory = 12,
    DeviceLost = 13,
    State = 14,
    InvalidLogits = 15,

    /// <summary>Given by the library that chooses a build (src/dispatch), never by a build.</summary>
    Installation = 16,

    Internal = 99,
}
