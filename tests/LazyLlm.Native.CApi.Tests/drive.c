/*
 * Drives every part of the interface that makes text, and prints what came: drive MODEL DEVICE STOP. The test holds each line
 * against the engine's own answer.
 */
#include "lazyllm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *prompt = "Mira keeps the lamp in the attic. The old fox sleeps near the mill. Question: Where does Mira keep the lamp? Answer:";
static const char *question = " Question: Where does the fox sleep? Answer:";

static void check(lazyllm_result result)
{
    if (result != NULL) {
        printf("error %d: %s\n", (int)lazyllm_result_code(result), lazyllm_result_message(result));
        lazyllm_result_destroy(result);
        exit(1);
    }
}

static lazyllm_session open_session(lazyllm_engine engine, const char *schedule)
{
    lazyllm_session session;
    check(lazyllm_session_open(engine, schedule, strlen(schedule), &session));
    return session;
}

/* Ids, text and end of a generation. */
static void answer(const char *name, lazyllm_session session, const lazyllm_step_options *step)
{
    lazyllm_token token = {.struct_size = sizeof token};
    char all[4096];
    size_t length = 0;
    printf("%s:", name);
    do {
        check(lazyllm_session_next(session, step, &token, all + length, sizeof all - length));
        length += token.text_length;
        printf(" %d", (int)token.id);
    } while (token.finish == LAZYLLM_FINISH_NONE);
    printf(" (%d) [%.*s]\n", (int)token.finish, (int)length, all);
}

static void statistics(lazyllm_session session)
{
    lazyllm_statistics read = {.struct_size = sizeof read};
    check(lazyllm_session_statistics(session, &read));
    printf("statistics: %lld tokens, %lld positions, %lld pending, %lld of %lld pairs, %lld revived, timed %d\n", (long long)read.generated_tokens,
           (long long)read.context_tokens, (long long)read.pending_tokens, (long long)read.computed_pairs, (long long)read.dense_pairs,
           (long long)read.revived_tokens, read.time_to_first_token > 0 && read.time_per_output_token > 0 && read.key_value_bytes > 0);
}

struct counter {
    int calls;
    int cancel_at;
    uint64_t total;
};

static int32_t count(void *user_data, uint64_t done, uint64_t total)
{
    struct counter *counter = user_data;
    (void)done;
    counter->total = total;
    return ++counter->calls == counter->cancel_at;
}

int main(int argc, char **argv)
{
    struct counter loading = {0}, counter = {0};
    lazyllm_engine_options options = {.struct_size = sizeof options, .precision = LAZYLLM_PRECISION_FLOAT32, .context_length = 512, .progress = count, .user_data = &loading};
    lazyllm_engine_info info = {.struct_size = sizeof info};
    lazyllm_sampling eight = {.struct_size = sizeof eight, .max_tokens = 8, .ignore_end_tokens = 1};
    lazyllm_sampling drawn = {.struct_size = sizeof drawn, .max_tokens = 12, .ignore_end_tokens = 1, .has_seed = 1, .seed = 7, .temperature = 1.5f, .top_k = 200, .top_p = 0.98f, .repetition_penalty = 1.1f};
    lazyllm_sampling advice = {.struct_size = sizeof advice};
    lazyllm_step_options step = {.struct_size = sizeof step, .progress = count, .user_data = &counter};
    lazyllm_text stop;
    lazyllm_engine engine;
    lazyllm_session session, copy;
    lazyllm_token token = {.struct_size = sizeof token};
    lazyllm_result result;
    char text[256];
    float *logits, *embeddings;
    size_t size;
    int i, best;
    if (argc != 4) {
        return 2;
    }
    options.device = (lazyllm_text){argv[2], strlen(argv[2])};
    check(lazyllm_engine_open(argv[1], strlen(argv[1]), &options, &engine));
    check(lazyllm_engine_describe(engine, &info));
    printf("engine: %d layers, context %d, loading told %d\n", (int)info.layer_count, (int)info.context_length, loading.calls > 0 && loading.total > 0);

    /* Dense, then a turn that follows, by text. */
    session = open_session(engine, "none");
    check(lazyllm_session_append_text(session, prompt, strlen(prompt)));
    check(lazyllm_session_begin(session, &eight));
    answer("dense", session, &step);
    printf("steps told: %d, of %d layers\n", counter.calls > 0, (int)counter.total);
    check(lazyllm_session_append_text(session, question, strlen(question)));
    answer("follow-up", session, NULL);
    statistics(session);
    check(lazyllm_session_close(session));

    /* Pruned; a decode step that is cancelled comes again; a fork answers the follow-up as its original does. */
    session = open_session(engine, "4:0.5,8:0.25");
    check(lazyllm_session_append_text(session, prompt, strlen(prompt)));
    check(lazyllm_session_begin(session, &eight));
    check(lazyllm_session_next(session, NULL, &token, text, sizeof text));
    counter = (struct counter){.cancel_at = 2};
    result = lazyllm_session_next(session, &step, &token, text, sizeof text);
    printf("cancelled: %d after %d calls\n", lazyllm_result_code(result) == LAZYLLM_ERROR_CANCELLED, counter.calls);
    lazyllm_result_destroy(result);
    answer("pruned, the rest", session, NULL);
    check(lazyllm_session_fork(session, &copy));
    check(lazyllm_session_append_text(session, question, strlen(question)));
    check(lazyllm_session_append_text(copy, question, strlen(question)));
    answer("pruned follow-up", session, NULL);
    answer("its fork", copy, NULL);
    statistics(session);
    check(lazyllm_session_close(copy));
    check(lazyllm_session_close(session));

    /* Drawn with a seed, twice; then until a stop string that spans tokens. */
    for (i = 0; i < 2; i++) {
        session = open_session(engine, "4:0.5");
        check(lazyllm_session_append_text(session, prompt, strlen(prompt)));
        check(lazyllm_session_begin(session, &drawn));
        answer("drawn", session, NULL);
        check(lazyllm_session_close(session));
    }
    stop = (lazyllm_text){argv[3], strlen(argv[3])};
    drawn.stop_strings = &stop;
    drawn.stop_string_count = 1;
    session = open_session(engine, "4:0.5");
    check(lazyllm_session_append_text(session, prompt, strlen(prompt)));
    check(lazyllm_session_begin(session, &drawn));
    answer("stopped", session, NULL);
    check(lazyllm_session_close(session));

    /* Embeddings in place of tokens, pruned. */
    embeddings = calloc((size_t)info.hidden_size * 20, sizeof *embeddings);
    for (i = 0; i < info.hidden_size * 20; i++) {
        embeddings[i] = (float)(i * 37 % 101 - 50) / 50;
    }
    session = open_session(engine, "4:0.5");
    check(lazyllm_session_prefill_embeddings(session, embeddings, 20, NULL));
    check(lazyllm_session_begin(session, &eight));
    answer("embeddings", session, NULL);
    size = (size_t)info.vocabulary_size;
    logits = calloc(size, sizeof *logits);
    check(lazyllm_session_logits(session, logits, size, &size));
    for (i = best = 0; i < (int)size; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    printf("logits: %zu, highest %d\n", size, best);
    check(lazyllm_session_close(session));

    check(lazyllm_engine_advice(engine, &advice));
    printf("advice: temperature %g, top_p %g, %d tokens\n", advice.temperature, advice.top_p, (int)advice.max_tokens);
    check(lazyllm_engine_close(engine));
    free(embeddings);
    free(logits);
    return 0;
}
