"""Asks the demo model about a document through ctypes: generate.py LIBRARY MODEL [SCHEDULE]."""
import ctypes as c
import sys


class Text(c.Structure):
    _fields_ = [("data", c.c_char_p), ("length", c.c_size_t)]


class Sampling(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("stop_strings", c.POINTER(Text)), ("stop_string_count", c.c_size_t),
                ("seed", c.c_uint64), ("has_seed", c.c_int32), ("temperature", c.c_float), ("top_k", c.c_int32),
                ("top_p", c.c_float), ("min_p", c.c_float), ("repetition_penalty", c.c_float),
                ("repetition_window", c.c_int32), ("max_tokens", c.c_int32), ("ignore_end_tokens", c.c_int32),
                ("reserved", c.c_int32)]


class Token(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("text_length", c.c_size_t), ("id", c.c_int32), ("finish", c.c_int32),
                ("log_probability", c.c_float), ("reserved", c.c_int32)]


def main(library, model, schedule="none"):
    lazyllm = c.CDLL(library)
    if lazyllm.lazyllm_abi_version() != 1:
        sys.exit("the library has another ABI version")
    lazyllm.lazyllm_result_message.restype = c.c_char_p
    lazyllm.lazyllm_result_message.argtypes = [c.c_void_p]
    lazyllm.lazyllm_result_destroy.argtypes = [c.c_void_p]

    def call(name, *arguments):
        function = getattr(lazyllm, "lazyllm_" + name)
        function.restype = c.c_void_p
        result = function(*arguments)
        if result:
            message = lazyllm.lazyllm_result_message(result).decode()
            lazyllm.lazyllm_result_destroy(result)
            raise RuntimeError(message)

    def text(value):
        data = value.encode()
        return c.c_char_p(data), c.c_size_t(len(data))

    engine, session = c.c_void_p(), c.c_void_p()
    call("engine_open", *text(model), None, c.byref(engine))
    call("session_open", engine, *text(schedule), c.byref(session))
    call("session_append_text", session, *text(
        "Mira keeps the lamp in the attic. The old fox sleeps near the mill. "
        "Question: Where does Mira keep the lamp? Answer:"))
    sampling = Sampling(struct_size=c.sizeof(Sampling), max_tokens=16, stop_strings=c.pointer(Text(b".", 1)), stop_string_count=1)
    call("session_begin", session, c.byref(sampling))

    token, piece, answer = Token(struct_size=c.sizeof(Token)), c.create_string_buffer(256), b""
    while token.finish == 0:
        call("session_next", session, None, c.byref(token), piece, c.c_size_t(len(piece)))
        answer += piece.raw[:token.text_length]
    print(answer.decode())
    call("session_close", session)
    call("engine_close", engine)


main(*sys.argv[1:])
