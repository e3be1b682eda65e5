// OpenAI's own client against a real server that the caller has started:
//   OPENAI_TEST_URL, OPENAI_TEST_KEY   its address (with /v1) and its key
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import OpenAI from "openai";

const baseURL = process.env.OPENAI_TEST_URL;
const apiKey = process.env.OPENAI_TEST_KEY;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 60_000 });
const model = "demo";
const prompt = "Mira keeps the lamp in the attic. The old fox sleeps near the mill. Question: Where does Mira keep the lamp? Answer:";
const messages = [{ role: "system", content: "Answer in one word." }, { role: "user", content: "Where does Mira keep the lamp?" }];

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const fails = (promise, type, expected) => assert.rejects(promise, error => {
  assert.ok(error instanceof type, `${error?.constructor?.name}: ${error?.message}`);
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(error[name], value, `${name} of ${error.message}`);
  return true;
});

async function running() {
  const metrics = await (await fetch(new URL("/metrics", baseURL), { headers: { Authorization: `Bearer ${apiKey}` } })).text();
  return Number(/^lazyllm_requests_running (\d+)$/m.exec(metrics)?.[1] ?? 0);
}

describe("OpenAI's client", () => {
  it("lists the model and finds it by name", async () => {
    const list = await client.models.list();
    assert.deepEqual(list.data.map(m => [m.id, m.object]), [[model, "model"]]);
    assert.equal((await client.models.retrieve(model)).id, model);
    await fails(client.models.retrieve("other"), OpenAI.NotFoundError, { status: 404, code: "model_not_found", param: "model" });
  });

  it("completes a text, whole and streamed alike, with usage and our own figures", async () => {
    const request = { model, prompt, max_tokens: 8, temperature: 0, pruning: "4:0.5" };
    const whole = await client.completions.create(request);
    assert.match(whole.choices[0].text, /^ attic/);
    assert.equal(whole.choices[0].finish_reason, "length");
    assert.equal(whole.usage.completion_tokens, 8);
    assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + 8);
    assert.ok(whole.timings.ttft_ms > 0 && whole.timings.dense_share < 1, JSON.stringify(whole.timings));

    const chunks = await collect(await client.completions.create({ ...request, stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks.flatMap(c => c.choices).map(c => c.text).join(""), whole.choices[0].text);
    assert.equal(chunks.flatMap(c => c.choices).at(-1).finish_reason, "length");
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.deepEqual(chunks.at(-1).usage, whole.usage);
  });

  it("draws several choices, the same ones for the same seed, and stops where it is told to", async () => {
    const request = { model, prompt, max_tokens: 6, temperature: 1, seed: 11, n: 3 };
    const texts = (await client.completions.create(request)).choices.map(c => c.text);
    assert.equal(texts.length, 3);
    assert.ok(new Set(texts).size > 1, `${texts}`);
    assert.deepEqual((await client.completions.create(request)).choices.map(c => c.text), texts);
    const stopped = await client.completions.create({ model, prompt, max_tokens: 20, stop: ["."] });
    assert.deepEqual([stopped.choices[0].text, stopped.choices[0].finish_reason], [" attic", "stop"]);
  });

  it("chats, whole and streamed alike", async () => {
    const request = { model, messages, max_completion_tokens: 12, temperature: 0.7, seed: 5 };
    const whole = await client.chat.completions.create(request);
    const answer = whole.choices[0].message;
    assert.deepEqual([whole.object, answer.role, answer.refusal], ["chat.completion", "assistant", null]);
    assert.ok(answer.content.length > 0);

    const chunks = await collect(await client.chat.completions.create({ ...request, stream: true }));
    assert.equal(chunks[0].choices[0].delta.role, "assistant");
    assert.equal(chunks.map(c => c.choices[0]?.delta.content ?? "").join(""), answer.content);
    assert.ok(chunks.every(c => c.object === "chat.completion.chunk" && c.id === chunks[0].id));

    // The client's helper puts a stream together by itself, and is strict about its form.
    const final = await client.chat.completions.stream({ ...request, stream_options: { include_usage: true } }).finalChatCompletion();
    assert.equal(final.choices[0].message.content, answer.content);
    assert.equal(final.usage.completion_tokens, whole.usage.completion_tokens);
    assert.ok(final.usage.prompt_tokens_details.cached_tokens > 0, "the system message was computed again");
  });

  it("ends a stream that its reader leaves, and one that it aborts, before the first token and after", async () => {
    const long = { model, prompt, max_tokens: 1500, ignore_eos: true, stream: true };
    for await (const chunk of await client.completions.create(long)) {
      assert.ok(chunk.choices[0].text);
      break;
    }

    const leave = new AbortController();
    const stream = await client.completions.create(long, { signal: leave.signal });
    for await (const _ of stream) leave.abort();
    assert.ok(stream.controller.signal.aborted);

    const early = new AbortController();
    const whole = client.completions.create({ ...long, stream: false }, { signal: early.signal });
    setTimeout(() => early.abort(), 100);
    await fails(whole, OpenAI.APIUserAbortError, {});

    const deadline = Date.now() + 30_000;
    while (await running() > 0) assert.ok(Date.now() < deadline, "a request runs on");
    assert.equal((await client.completions.create({ model, prompt, max_tokens: 1 })).choices[0].text, " attic");
  });

  it("tells errors apart by their classes", async () => {
    await fails(new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list(), OpenAI.AuthenticationError, { status: 401, code: "invalid_api_key" });
    await fails(client.chat.completions.create({ model: "gpt-4o", messages }), OpenAI.NotFoundError, { status: 404, code: "model_not_found" });
    await fails(client.chat.completions.create({ model, messages: [] }), OpenAI.BadRequestError, { status: 400, param: "messages" });
    await fails(client.chat.completions.create({ model, messages, temperature: -1 }), OpenAI.BadRequestError, { status: 400, param: "temperature" });
    await fails(client.chat.completions.create({ model, messages, tools: [{ type: "function", function: { name: "f" } }] }), OpenAI.BadRequestError, { param: "tools", code: "unsupported_parameter" });
    await fails(client.completions.create({ model, prompt: Array(3000).fill(5), stream: true }), OpenAI.BadRequestError, { status: 400, type: "exceed_context_size_error", code: "context_length_exceeded" });
    await fails(client.embeddings.create({ model, input: "x" }), OpenAI.NotFoundError, { status: 404 });
  });

  it("counts both sizes where the context is exceeded", async () => {
    await assert.rejects(client.completions.create({ model, prompt: Array(3000).fill(5) }), ({ error }) => error.n_prompt_tokens === 3000 && error.n_ctx === 2048);
  });
});
