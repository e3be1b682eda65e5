/* What a C caller may do wrong, and what follows: faults MODEL. Prints each check that fails, and ends with their number. */
#define _POSIX_C_SOURCE 200809L
#include "lazyllm.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            printf("line %d: %s\n", __LINE__, #condition); \
            failures++; \
        } \
    } while (0)

static int32_t code(lazyllm_result result)
{
    int32_t found = lazyllm_result_code(result);
    if (found != LAZYLLM_OK && lazyllm_result_message(result)[0] == '\0') {
        printf("result %d without a message\n", (int)found);
        failures++;
    }
    lazyllm_result_destroy(result);
    return found;
}

static const char *prompt = "Mira keeps the lamp in the attic. The old fox sleeps near the mill. Question: Where does Mira keep the lamp? Answer:";
static lazyllm_engine engine;
static lazyllm_session shared;

struct callback {
    int calls;
    int cancel_at;
    int32_t reentered[4];
};

static int32_t on_step(void *user_data, uint64_t done, uint64_t total)
{
    struct callback *state = user_data;
    state->calls++;
    (void)done;
    (void)total;
    return state->calls == state->cancel_at;
}

static int32_t on_step_reenter(void *user_data, uint64_t done, uint64_t total)
{
    struct callback *state = user_data;
    lazyllm_session other;
    (void)done;
    (void)total;
    state->calls++;
    state->reentered[0] = code(lazyllm_session_reset(shared));
    state->reentered[1] = code(lazyllm_session_close(shared));
    state->reentered[2] = code(lazyllm_engine_close(engine));
    state->reentered[3] = code(lazyllm_session_open(engine, NULL, 0, &other));
    return 0;
}

static int32_t on_load(void *user_data, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    ++*(int *)user_data;
    return 1;
}

/* Another thread meets the session in the middle of a step. */
static void *close_shared(void *argument)
{
    *(int32_t *)argument = code(lazyllm_session_close(shared));
    return NULL;
}

static int32_t on_step_other_thread(void *user_data, uint64_t done, uint64_t total)
{
    pthread_t thread;
    (void)done;
    (void)total;
    if (pthread_create(&thread, NULL, close_shared, user_data) == 0) {
        pthread_join(thread, NULL);
    }
    return 0;
}

/* Threads that close the same handle at once: one of them does. */
static void *close_engine(void *other)
{
    return code(lazyllm_engine_close(other)) == LAZYLLM_OK ? other : NULL;
}

static void *generate(void *ids)
{
    lazyllm_session session;
    lazyllm_token token = {.struct_size = sizeof token};
    char text[64];
    int i;
    if (code(lazyllm_session_open(engine, "4:0.5", 5, &session)) != LAZYLLM_OK
        || code(lazyllm_session_append_text(session, prompt, strlen(prompt))) != LAZYLLM_OK) {
        return NULL;
    }
    for (i = 0; i < 4; i++) {
        if (code(lazyllm_session_next(session, NULL, &token, text, sizeof text)) != LAZYLLM_OK) {
            return NULL;
        }
        ((int32_t *)ids)[i] = token.id;
    }
    return code(lazyllm_session_close(session)) == LAZYLLM_OK ? ids : NULL;
}

static void handles(void)
{
    lazyllm_session session, copy;
    lazyllm_engine_info info = {.struct_size = sizeof info};
    size_t count;
    lazyllm_result result;

    CHECK(code(lazyllm_engine_close(NULL)) == LAZYLLM_ERROR_INVALID_HANDLE);
    CHECK(code(lazyllm_engine_describe(NULL, &info)) == LAZYLLM_ERROR_INVALID_HANDLE);
    CHECK(code(lazyllm_tokenize(NULL, "a", 1, 0, NULL, 0, &count)) == LAZYLLM_ERROR_INVALID_HANDLE);
    CHECK(code(lazyllm_session_open(NULL, NULL, 0, &session)) == LAZYLLM_ERROR_INVALID_HANDLE);
    CHECK(code(lazyllm_session_close(NULL)) == LAZYLLM_ERROR_INVALID_HANDLE);
    CHECK(code(lazyllm_session_fork(NULL, &copy)) == LAZYLLM_ERROR_INVALID_HANDLE);
    CHECK(code(lazyllm_session_close((lazyllm_session)engine)) == LAZYLLM_ERROR_INVALID_HANDLE);
    CHECK(code(lazyllm_session_reset((lazyllm_session)(uintptr_t)12345)) == LAZYLLM_ERROR_INVALID_HANDLE);
    CHECK(code(lazyllm_session_open(engine, NULL, 0, NULL)) == LAZYLLM_ERROR_INVALID_ARGUMENT);

    CHECK(code(lazyllm_session_open(engine, NULL, 0, &session)) == LAZYLLM_OK);
    CHECK(code(lazyllm_engine_close((lazyllm_engine)session)) == LAZYLLM_ERROR_INVALID_HANDLE);
    CHECK(code(lazyllm_session_close(session)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_close(session)) == LAZYLLM_ERROR_INVALID_HANDLE);
    CHECK(code(lazyllm_session_append_text(session, "a", 1)) == LAZYLLM_ERROR_INVALID_HANDLE);

    result = lazyllm_session_close(session);
    lazyllm_result_destroy(result);
    lazyllm_result_destroy(result);
    CHECK(lazyllm_result_code(result) == LAZYLLM_ERROR_INVALID_HANDLE);
    CHECK(lazyllm_result_code(NULL) == LAZYLLM_OK && lazyllm_result_message(NULL)[0] == '\0');
    CHECK(lazyllm_abi_version() == LAZYLLM_ABI_VERSION && lazyllm_version()[0] != '\0');
}

static void arguments(const char *model)
{
    lazyllm_session session;
    lazyllm_engine none;
    lazyllm_engine_options options = {.struct_size = sizeof options - 1};
    lazyllm_engine_info info = {.struct_size = 3};
    lazyllm_sampling sampling = {.struct_size = sizeof sampling, .temperature = -1};
    lazyllm_token token = {.struct_size = 0};
    lazyllm_statistics statistics = {.struct_size = sizeof statistics + 8};
    lazyllm_text bad = {"\xff\xfe", 2};
    char text[256];
    int32_t tokens[64], far = 1 << 30;
    size_t count = 0, length = 0;
    lazyllm_result result;
    static int32_t many[1 << 16];

    CHECK(code(lazyllm_engine_open(model, strlen(model), &options, &none)) == LAZYLLM_ERROR_STRUCT_SIZE && none == NULL);
    CHECK(code(lazyllm_engine_open("/nowhere", 8, NULL, &none)) == LAZYLLM_ERROR_MODEL_FORMAT);
    CHECK(code(lazyllm_engine_open(NULL, 8, NULL, &none)) == LAZYLLM_ERROR_INVALID_ARGUMENT);
    CHECK(code(lazyllm_engine_open("\xc3", 1, NULL, &none)) == LAZYLLM_ERROR_INVALID_UTF8);
    CHECK(code(lazyllm_engine_open("", 0, NULL, &none)) == LAZYLLM_ERROR_INVALID_ARGUMENT);
    options = (lazyllm_engine_options){.struct_size = sizeof options, .reserved = 1};
    CHECK(code(lazyllm_engine_open(model, strlen(model), &options, &none)) == LAZYLLM_ERROR_INVALID_ARGUMENT);
    /* A NUL in a path does not cut the message. */
    result = lazyllm_engine_open("/nowhere\0/models", 16, NULL, &none);
    CHECK(strstr(lazyllm_result_message(result), "/models") != NULL);
    CHECK(code(result) == LAZYLLM_ERROR_MODEL_FORMAT);
    CHECK(code(lazyllm_engine_describe(engine, &info)) == LAZYLLM_ERROR_STRUCT_SIZE);
    CHECK(code(lazyllm_engine_describe(engine, NULL)) == LAZYLLM_ERROR_INVALID_ARGUMENT);
    CHECK(code(lazyllm_session_open(engine, "9:x", 3, &session)) == LAZYLLM_ERROR_INVALID_ARGUMENT && session == NULL);
    CHECK(code(lazyllm_session_open(engine, "99:0.5", 6, &session)) == LAZYLLM_ERROR_INVALID_ARGUMENT);

    CHECK(code(lazyllm_tokenize(engine, "\xed\xa0\x80", 3, 0, tokens, 64, &count)) == LAZYLLM_ERROR_INVALID_UTF8);
    CHECK(code(lazyllm_tokenize(engine, "the lamp", 8, 0, NULL, 0, &count)) == LAZYLLM_ERROR_BUFFER_TOO_SMALL && count > 1);
    CHECK(code(lazyllm_tokenize(engine, "the lamp", 8, 0, tokens, count, &count)) == LAZYLLM_OK);
    CHECK(code(lazyllm_detokenize(engine, tokens, count, 0, text, 2, &length)) == LAZYLLM_ERROR_BUFFER_TOO_SMALL && length == 8);
    CHECK(code(lazyllm_detokenize(engine, tokens, count, 0, text, 8, &length)) == LAZYLLM_OK && memcmp(text, "the lamp", 8) == 0);
    CHECK(code(lazyllm_detokenize(engine, &far, 1, 0, text, 8, &length)) == LAZYLLM_ERROR_INVALID_ARGUMENT);
    CHECK(code(lazyllm_tokenize(engine, "a", SIZE_MAX, 0, tokens, 64, &count)) == LAZYLLM_ERROR_INVALID_ARGUMENT);

    CHECK(code(lazyllm_session_open(engine, NULL, 0, &session)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_prefill(session, NULL)) == LAZYLLM_ERROR_STATE);
    CHECK(code(lazyllm_session_logits(session, NULL, 0, &count)) == LAZYLLM_ERROR_STATE);
    CHECK(code(lazyllm_session_append_text(session, bad.data, bad.length)) == LAZYLLM_ERROR_INVALID_UTF8);
    CHECK(code(lazyllm_session_append_tokens(session, &far, 1)) == LAZYLLM_ERROR_INVALID_ARGUMENT);
    CHECK(code(lazyllm_session_append_tokens(session, many, 1 << 16)) == LAZYLLM_ERROR_CONTEXT_LENGTH);
    CHECK(code(lazyllm_session_begin(session, &sampling)) == LAZYLLM_ERROR_INVALID_ARGUMENT);
    sampling.temperature = 0;
    sampling.reserved = 1;
    CHECK(code(lazyllm_session_begin(session, &sampling)) == LAZYLLM_ERROR_INVALID_ARGUMENT);
    sampling.reserved = 0;
    sampling.stop_strings = &bad;
    sampling.stop_string_count = 1;
    CHECK(code(lazyllm_session_begin(session, &sampling)) == LAZYLLM_ERROR_INVALID_UTF8);
    CHECK(code(lazyllm_session_next(session, NULL, &token, text, 1)) == LAZYLLM_ERROR_STRUCT_SIZE);
    token.struct_size = sizeof token;
    CHECK(code(lazyllm_session_next(session, NULL, &token, text, 1)) == LAZYLLM_ERROR_STATE);
    CHECK(code(lazyllm_session_statistics(session, &statistics)) == LAZYLLM_ERROR_STRUCT_SIZE);
    CHECK(code(lazyllm_session_close(session)) == LAZYLLM_OK);
}

static void generation(void)
{
    lazyllm_session session, copy;
    lazyllm_engine_info info = {.struct_size = sizeof info};
    lazyllm_token token = {.struct_size = sizeof token}, again = {.struct_size = sizeof again};
    lazyllm_statistics statistics = {.struct_size = sizeof statistics};
    lazyllm_sampling one = {.struct_size = sizeof one, .max_tokens = 1};
    char text[256];
    size_t count;
    int32_t first;
    float *logits, *embeddings;
    int best = 0, i;

    CHECK(code(lazyllm_engine_describe(engine, &info)) == LAZYLLM_OK && info.layer_count == 12 && info.has_tokenizer == 1);
    CHECK(code(lazyllm_session_open(engine, NULL, 0, &session)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_append_text(session, prompt, strlen(prompt))) == LAZYLLM_OK);

    /* A small buffer loses nothing: the same token comes again. */
    CHECK(code(lazyllm_session_next(session, NULL, &token, NULL, 0)) == LAZYLLM_ERROR_BUFFER_TOO_SMALL && token.text_length > 0);
    first = token.id;
    CHECK(code(lazyllm_session_next(session, NULL, &again, text, sizeof text)) == LAZYLLM_OK && again.id == first);
    CHECK(again.text_length == token.text_length && memcmp(text, " attic", 6) == 0);

    /* The logits are those that the token was chosen from. */
    CHECK(code(lazyllm_session_logits(session, NULL, 0, &count)) == LAZYLLM_ERROR_BUFFER_TOO_SMALL && count == (size_t)info.vocabulary_size);
    logits = calloc(count, sizeof *logits);
    CHECK(code(lazyllm_session_logits(session, logits, count, &count)) == LAZYLLM_OK);
    for (i = 1; i < info.vocabulary_size; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    CHECK(best == first);
    free(logits);

    /* A fork goes on as its original does. */
    CHECK(code(lazyllm_session_fork(session, &copy)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_next(session, NULL, &token, text, sizeof text)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_next(copy, NULL, &again, text, sizeof text)) == LAZYLLM_OK && again.id == token.id);
    CHECK(code(lazyllm_session_close(copy)) == LAZYLLM_OK);

    /* Embeddings that are refused leave the generation as it was: its token comes again. */
    CHECK(code(lazyllm_session_open(engine, NULL, 0, &copy)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_append_text(copy, prompt, strlen(prompt))) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_prefill(copy, NULL)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_begin(copy, &one)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_next(copy, NULL, &token, NULL, 0)) == LAZYLLM_ERROR_BUFFER_TOO_SMALL);
    embeddings = calloc((size_t)info.hidden_size, sizeof *embeddings);
    CHECK(code(lazyllm_session_prefill_embeddings(copy, embeddings, 1, NULL)) == LAZYLLM_ERROR_INVALID_ARGUMENT);
    CHECK(code(lazyllm_session_next(copy, NULL, &again, text, sizeof text)) == LAZYLLM_OK && again.id == first && again.finish == LAZYLLM_FINISH_LENGTH);
    /* The time to it counts from the prefill on. */
    CHECK(code(lazyllm_session_statistics(copy, &statistics)) == LAZYLLM_OK && statistics.time_to_first_token > 0);
    CHECK(code(lazyllm_session_reset(copy)) == LAZYLLM_OK);
    embeddings[info.hidden_size - 1] = NAN;
    CHECK(code(lazyllm_session_prefill_embeddings(copy, embeddings, 1, NULL)) == LAZYLLM_ERROR_INVALID_ARGUMENT);
    free(embeddings);
    CHECK(code(lazyllm_session_close(copy)) == LAZYLLM_OK);

    /* A follow-up turn, its end, and what comes after the end. */
    CHECK(code(lazyllm_session_append_text(session, " Question: Where does Mira keep the lamp? Answer:", 49)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_begin(session, &one)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_next(session, NULL, &token, text, sizeof text)) == LAZYLLM_OK);
    CHECK(token.finish == LAZYLLM_FINISH_LENGTH && token.id == first);
    CHECK(code(lazyllm_session_next(session, NULL, &token, text, sizeof text)) == LAZYLLM_ERROR_STATE);
    CHECK(code(lazyllm_session_statistics(session, &statistics)) == LAZYLLM_OK);
    CHECK(statistics.generated_tokens == 1 && statistics.time_to_first_token > 0 && statistics.computed_pairs == statistics.dense_pairs);

    CHECK(code(lazyllm_session_reset(session)) == LAZYLLM_OK);
    embeddings = calloc((size_t)info.hidden_size * 3, sizeof *embeddings);
    for (i = 0; i < info.hidden_size * 3; i++) {
        embeddings[i] = (float)(i % 7) - 3.0f;
    }
    CHECK(code(lazyllm_session_prefill_embeddings(session, embeddings, 0, NULL)) == LAZYLLM_ERROR_INVALID_ARGUMENT);
    CHECK(code(lazyllm_session_prefill_embeddings(session, embeddings, 3, NULL)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_statistics(session, &statistics)) == LAZYLLM_OK && statistics.context_tokens == 3);
    CHECK(code(lazyllm_session_begin(session, NULL)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_next(session, NULL, &token, text, sizeof text)) == LAZYLLM_OK);
    free(embeddings);
    CHECK(code(lazyllm_session_close(session)) == LAZYLLM_OK);
}

static void callbacks(const char *model)
{
    struct callback state = {.cancel_at = 3};
    lazyllm_step_options step = {.struct_size = sizeof step, .progress = on_step, .user_data = &state};
    lazyllm_statistics statistics = {.struct_size = sizeof statistics};
    lazyllm_engine none;
    int32_t met = -1;
    int i, loads = 0;
    lazyllm_engine_options options = {.struct_size = sizeof options, .progress = on_load, .user_data = &loads};

    CHECK(code(lazyllm_engine_open(model, strlen(model), &options, &none)) == LAZYLLM_ERROR_CANCELLED && none == NULL && loads == 1);

    CHECK(code(lazyllm_session_open(engine, "4:0.5", 5, &shared)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_append_text(shared, prompt, strlen(prompt))) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_prefill(shared, &step)) == LAZYLLM_ERROR_CANCELLED && state.calls == 3);
    CHECK(code(lazyllm_session_statistics(shared, &statistics)) == LAZYLLM_OK);
    CHECK(statistics.context_tokens == 0 && statistics.pending_tokens > 0);

    state = (struct callback){0};
    step.progress = on_step_reenter;
    CHECK(code(lazyllm_session_prefill(shared, &step)) == LAZYLLM_OK && state.calls > 0);
    for (i = 0; i < 4; i++) {
        CHECK(state.reentered[i] == LAZYLLM_ERROR_REENTRANT);
    }

    CHECK(code(lazyllm_session_reset(shared)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_append_text(shared, prompt, strlen(prompt))) == LAZYLLM_OK);
    step.progress = on_step_other_thread;
    step.user_data = &met;
    CHECK(code(lazyllm_session_prefill(shared, &step)) == LAZYLLM_OK && met == LAZYLLM_ERROR_BUSY);
    CHECK(code(lazyllm_session_close(shared)) == LAZYLLM_OK);
}

static void threads(const char *model)
{
    enum { COUNT = 8 };
    pthread_t running[COUNT];
    int32_t ids[COUNT][4], alone[4];
    lazyllm_engine other;
    void *done;
    int i, round, closed;
    CHECK(generate(alone) != NULL);
    for (i = 0; i < COUNT; i++) {
        CHECK(pthread_create(&running[i], NULL, generate, ids[i]) == 0);
    }
    for (i = 0; i < COUNT; i++) {
        pthread_join(running[i], &done);
        CHECK(done != NULL && memcmp(ids[i], alone, sizeof alone) == 0);
    }
    for (round = 0; round < 10; round++) {
        CHECK(code(lazyllm_engine_open(model, strlen(model), NULL, &other)) == LAZYLLM_OK);
        for (i = 0; i < COUNT; i++) {
            CHECK(pthread_create(&running[i], NULL, close_engine, other) == 0);
        }
        for (i = closed = 0; i < COUNT; i++) {
            pthread_join(running[i], &done);
            closed += done != NULL;
        }
        CHECK(closed == 1);
    }
}

int main(int argc, char **argv)
{
    lazyllm_session survivor, copy;
    lazyllm_token token = {.struct_size = sizeof token};
    char text[64];
    lazyllm_engine_options options = {.struct_size = sizeof options, .device = {"cpu", 3}, .threads = 2};
    if (argc != 2 || code(lazyllm_engine_open(argv[1], strlen(argv[1]), &options, &engine)) != LAZYLLM_OK) {
        return 2;
    }
    handles();
    arguments(argv[1]);
    generation();
    callbacks(argv[1]);
    threads(argv[1]);

    /* A session outlives its engine; the engine's handle is gone. */
    CHECK(code(lazyllm_session_open(engine, NULL, 0, &survivor)) == LAZYLLM_OK);
    CHECK(code(lazyllm_engine_close(engine)) == LAZYLLM_OK);
    CHECK(code(lazyllm_engine_close(engine)) == LAZYLLM_ERROR_INVALID_HANDLE);
    CHECK(code(lazyllm_session_append_text(survivor, prompt, strlen(prompt))) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_prefill(survivor, NULL)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_fork(survivor, &copy)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_close(survivor)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_next(copy, NULL, &token, text, sizeof text)) == LAZYLLM_OK);
    CHECK(code(lazyllm_session_close(copy)) == LAZYLLM_OK);
    printf("%d failures\n", failures);
    return failures != 0;
}
