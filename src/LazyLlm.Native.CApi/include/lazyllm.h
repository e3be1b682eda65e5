/*
 * lazyllm.h: the C interface of LazyLlm.Native, Llama inference with dynamic token pruning (LazyLLM).
 *
 * Results.   Every call that can fail returns a lazyllm_result: NULL for success, else an object with a code and a
 *            message, to be destroyed by the caller. No exception or signal crosses this interface.
 * Handles.   Engines, sessions and results are opaque numbers in pointer's clothing. They are never used twice, so a null,
 *            closed or mistaken handle gives LAZYLLM_ERROR_INVALID_HANDLE.
 * Text.      UTF-8 as pointer and length in bytes, not NUL-terminated, in both directions; invalid UTF-8 is refused.
 * Buffers.   Belong to the caller. One that is too small gives LAZYLLM_ERROR_BUFFER_TOO_SMALL and the size needed; nothing
 *            is lost, so call again with a larger one. A NULL buffer of capacity 0 asks for the size.
 * Structs.   Begin with struct_size = sizeof(the struct); set the rest to zero for the defaults.
 * Threads.   An engine may be used by many threads at once. A session belongs to one caller at a time: a second one gets
 *            LAZYLLM_ERROR_BUSY. Different sessions of one engine may run at the same time.
 * Callbacks. A callback that returns non-zero cancels the call. It may run on another thread than the caller's, but never
 *            after the call has returned. Inside it, every call but those on results and versions gives
 *            LAZYLLM_ERROR_REENTRANT. It has to return: no longjmp out of it, and no C++ exception.
 * Unloading. dlclose does nothing: the library stays until the process ends. Exiting is safe at any time, whatever is open.
 *            A child of fork() without exec cannot use what its parent has used.
 */
#ifndef LAZYLLM_H
#define LAZYLLM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header. Compare with lazyllm_abi_version() after loading. */
#define LAZYLLM_ABI_VERSION 1u

typedef struct lazyllm_engine_opaque *lazyllm_engine;
typedef struct lazyllm_session_opaque *lazyllm_session;
typedef struct lazyllm_result_opaque *lazyllm_result;

enum {
    LAZYLLM_OK = 0,
    LAZYLLM_ERROR_INVALID_ARGUMENT = 1,   /* null pointer, option out of range, token not in the vocabulary */
    LAZYLLM_ERROR_INVALID_HANDLE = 2,     /* null, closed, or of another kind */
    LAZYLLM_ERROR_STRUCT_SIZE = 3,        /* struct_size is none that this library knows */
    LAZYLLM_ERROR_INVALID_UTF8 = 4,
    LAZYLLM_ERROR_BUFFER_TOO_SMALL = 5,
    LAZYLLM_ERROR_CANCELLED = 6,          /* a callback returned non-zero; the session is as before the call */
    LAZYLLM_ERROR_BUSY = 7,               /* another caller is using the session */
    LAZYLLM_ERROR_REENTRANT = 8,          /* called from a callback */
    LAZYLLM_ERROR_CONTEXT_LENGTH = 9,     /* the tokens do not fit; nothing was added */
    LAZYLLM_ERROR_MODEL_FORMAT = 10,      /* a model file is missing, damaged or not supported */
    LAZYLLM_ERROR_DEVICE = 11,
    LAZYLLM_ERROR_OUT_OF_MEMORY = 12,     /* the engine goes on */
    LAZYLLM_ERROR_DEVICE_LOST = 13,       /* the device cannot be used again in this process */
    LAZYLLM_ERROR_STATE = 14,             /* nothing to go on from, or the generation has ended */
    LAZYLLM_ERROR_INVALID_LOGITS = 15,    /* the weights are damaged, or numbers overflowed */
    LAZYLLM_ERROR_INSTALLATION = 16,      /* the files beside the library are missing or of another release */
    LAZYLLM_ERROR_INTERNAL = 99
};

enum { LAZYLLM_PRECISION_AUTO = 0, LAZYLLM_PRECISION_BFLOAT16 = 1, LAZYLLM_PRECISION_FLOAT16 = 2, LAZYLLM_PRECISION_FLOAT32 = 3 };

enum {
    LAZYLLM_FINISH_NONE = 0,    /* the generation goes on */
    LAZYLLM_FINISH_STOP = 1,    /* an end token, or a stop string */
    LAZYLLM_FINISH_LENGTH = 2,  /* max_tokens */
    LAZYLLM_FINISH_CONTEXT = 3  /* the context is full */
};

/* Progress of loading (bytes) or of a step (layers). Non-zero cancels; after the last layer there is nothing to cancel. */
typedef int32_t (*lazyllm_progress)(void *user_data, uint64_t done, uint64_t total);

typedef struct lazyllm_text {
    const char *data;
    size_t length;
} lazyllm_text;

typedef struct lazyllm_engine_options {
    size_t struct_size;
    lazyllm_text device;          /* "auto" (default), "cpu", "cuda", "cuda:N" */
    lazyllm_text tokenizer_path;  /* in place of the model folder's own */
    int32_t precision;            /* LAZYLLM_PRECISION_*, on a GPU */
    int32_t context_length;       /* 0: the model's own */
    int32_t threads;              /* of the CPU backend; 0: all cores */
    int32_t reserved;             /* 0 */
    lazyllm_progress progress;    /* may be NULL */
    void *user_data;
} lazyllm_engine_options;

typedef struct lazyllm_engine_info {
    size_t struct_size;
    int64_t weight_bytes;
    int32_t vocabulary_size;      /* number of logits */
    int32_t hidden_size;          /* numbers per embedding row */
    int32_t layer_count;
    int32_t context_length;
    int32_t has_tokenizer;
    int32_t reserved;
} lazyllm_engine_info;

typedef struct lazyllm_step_options {
    size_t struct_size;
    lazyllm_progress progress;    /* may be NULL */
    void *user_data;
} lazyllm_step_options;

typedef struct lazyllm_sampling {
    size_t struct_size;
    const lazyllm_text *stop_strings;
    size_t stop_string_count;
    uint64_t seed;                /* used if has_seed */
    int32_t has_seed;
    float temperature;            /* 0: greedy */
    int32_t top_k;                /* 0: off */
    float top_p;                  /* 0: off, as 1 is */
    float min_p;                  /* 0: off */
    float repetition_penalty;     /* 0: off, as 1 is */
    int32_t repetition_window;    /* 0: 64 */
    int32_t max_tokens;           /* 0: no limit but the context */
    int32_t ignore_end_tokens;
    int32_t reserved;             /* 0 */
} lazyllm_sampling;

typedef struct lazyllm_token {
    size_t struct_size;
    size_t text_length;           /* bytes of the text that became final with this token; may be 0 */
    int32_t id;
    int32_t finish;               /* LAZYLLM_FINISH_* */
    float log_probability;
    int32_t reserved;
} lazyllm_token;

typedef struct lazyllm_statistics {
    size_t struct_size;
    /* Of the current or last generation, in seconds. */
    double time_to_first_token;   /* from the first step after the last token (or the session's start) to the first token */
    double time_per_output_token; /* mean of those after the first; 0 without */
    int64_t generated_tokens;
    /* Since the session was opened, forked or reset. */
    int64_t context_tokens;       /* positions computed so far */
    int64_t pending_tokens;       /* appended, or generated last; the next step takes them */
    int64_t computed_pairs;       /* (token, layer) pairs computed */
    int64_t dense_pairs;          /* that the dense model computes for the same tokens */
    int64_t revived_tokens;       /* pruned in an earlier step and computed later, summed over the stages */
    int64_t key_value_bytes;
    int64_t aux_bytes;
} lazyllm_statistics;

/* The library's ABI version, and its release as NUL-terminated text that is never freed. */
uint32_t lazyllm_abi_version(void);
const char *lazyllm_version(void);

/* LAZYLLM_OK for NULL. The message is NUL-terminated UTF-8, valid until the result is destroyed, empty for NULL. */
int32_t lazyllm_result_code(lazyllm_result result);
const char *lazyllm_result_message(lazyllm_result result);
void lazyllm_result_destroy(lazyllm_result result);

/* Loads a model folder (Hugging Face layout). options may be NULL. */
lazyllm_result lazyllm_engine_open(const char *path, size_t path_length, const lazyllm_engine_options *options, lazyllm_engine *engine);
/* Sessions outlive their engine: its memory is freed with the last of them. */
lazyllm_result lazyllm_engine_close(lazyllm_engine engine);
lazyllm_result lazyllm_engine_describe(lazyllm_engine engine, lazyllm_engine_info *info);
/*
 * What the model's makers advise for sampling (generation_config.json; greedy if they advise nothing), for lazyllm_session_begin,
 * which takes it only if told so. Stop strings, seed and ignore_end_tokens stay as they are.
 */
lazyllm_result lazyllm_engine_advice(lazyllm_engine engine, lazyllm_sampling *sampling);

/* continuation: non-zero for a text that goes on where earlier text stopped (no begin token, no space before it). */
lazyllm_result lazyllm_tokenize(lazyllm_engine engine, const char *text, size_t text_length, int32_t continuation,
                                int32_t *tokens, size_t capacity, size_t *count);
lazyllm_result lazyllm_detokenize(lazyllm_engine engine, const int32_t *tokens, size_t count, int32_t continuation,
                                  char *text, size_t capacity, size_t *text_length);

/* schedule: "none" (or length 0) for the dense model, else for example "9:0.7,19:0.49,28:0.343". */
lazyllm_result lazyllm_session_open(lazyllm_engine engine, const char *schedule, size_t schedule_length, lazyllm_session *session);
lazyllm_result lazyllm_session_close(lazyllm_session session);
/* A session that goes on from here independently, caches copied; it begins a generation of its own. */
lazyllm_result lazyllm_session_fork(lazyllm_session session, lazyllm_session *copy);
/* Forgets everything; the session is as new. */
lazyllm_result lazyllm_session_reset(lazyllm_session session);

/* The prompt, or a follow-up turn: what the next step takes. Ends the current generation. */
lazyllm_result lazyllm_session_append_text(lazyllm_session session, const char *text, size_t text_length);
lazyllm_result lazyllm_session_append_tokens(lazyllm_session session, const int32_t *tokens, size_t count);

/* Takes what is pending to logits. options may be NULL. Optional: lazyllm_session_next does it where need be. */
lazyllm_result lazyllm_session_prefill(lazyllm_session session, const lazyllm_step_options *options);
/* Embeddings in place of tokens: rows of hidden_size float32 numbers, one per position. Nothing may be pending. */
lazyllm_result lazyllm_session_prefill_embeddings(lazyllm_session session, const float *embeddings, size_t rows,
                                                  const lazyllm_step_options *options);

/* Begins a generation with these options; NULL for greedy, which is the default without this call. */
lazyllm_result lazyllm_session_begin(lazyllm_session session, const lazyllm_sampling *sampling);
/*
 * Chooses the next token. Takes what is pending first. Its text may be empty, or hold that of earlier tokens (whole
 * characters only, and nothing that may become a stop string). If the buffer is too small, token->text_length says what is
 * needed and the next call gives the same token. options may be NULL.
 */
lazyllm_result lazyllm_session_next(lazyllm_session session, const lazyllm_step_options *options, lazyllm_token *token,
                                    char *text, size_t capacity);
/* Logits over the vocabulary for what follows the last token computed. */
lazyllm_result lazyllm_session_logits(lazyllm_session session, float *logits, size_t capacity, size_t *count);
lazyllm_result lazyllm_session_statistics(lazyllm_session session, lazyllm_statistics *statistics);

#ifdef __cplusplus
}
#endif

#endif
