// The official Node package against the real binary: what a user's program does, unchanged but for the URL.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import OpenAI from "openai";

import { MODEL, Server } from "./server.js";

const JOKE = [{ role: "user", content: "Tell me a joke." }];

let server;
let client;

before(async () => {
  server = await Server.start();
  client = server.client();
});

after(async () => {
  if (server) assert.equal(await server.stop(), 0);
});

const chat = (changes = {}, by = client) =>
  by.chat.completions.create({ model: MODEL, messages: JOKE, max_tokens: 48, seed: 7, ...changes });

const content = (completion) => completion.choices[0].message.content;

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

async function errorOf(kind, promise) {
  const error = await promise.then(
    () => assert.fail("it should be refused"),
    (error) => error,
  );
  assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
  return error;
}

test("a plain answer", async () => {
  const completion = await chat();
  assert.equal(completion.object, "chat.completion");
  assert.equal(completion.model, MODEL);
  assert.equal(completion.choices[0].message.role, "assistant");
  assert.ok(content(completion).trim());
  const { prompt_tokens, completion_tokens, total_tokens } = completion.usage;
  assert.ok(prompt_tokens > 0 && completion_tokens > 0 && completion_tokens <= 48);
  assert.equal(total_tokens, prompt_tokens + completion_tokens);
});

test("a streamed answer is the plain one", async () => {
  const plain = await chat();
  const chunks = await collect(await chat({ stream: true, stream_options: { include_usage: true } }));
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
  assert.equal(text, content(plain));
  const finishes = chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean);
  assert.deepEqual(finishes, [plain.choices[0].finish_reason]);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, plain.usage.completion_tokens);
  assert.ok(chunks.length > 4, "it came in pieces");
});

test("the SDK's own stream helper", async () => {
  const stream = client.chat.completions.stream({ model: MODEL, messages: JOKE, max_tokens: 48, seed: 7 });
  const completion = await stream.finalChatCompletion();
  assert.equal(content(completion), content(await chat()));
});

test("several turns", async () => {
  const messages = [
    { role: "system", content: "You are friendly." },
    { role: "user", content: "Hello!" },
  ];
  const first = await chat({ messages });
  const more = [...messages, { role: "assistant", content: content(first) }, ...JOKE];
  const second = await chat({ messages: more });
  assert.ok(content(second).trim());
  assert.ok(second.usage.prompt_tokens > first.usage.prompt_tokens, "earlier turns are part of the prompt");
});

test("several at once are the same as alone", async () => {
  const ask = async (seed) => content(await chat({ seed, temperature: 1 }));
  const seeds = [...Array(8).keys()];
  const alone = [];
  for (const seed of seeds) alone.push(await ask(seed));
  assert.deepEqual(await Promise.all(seeds.map(ask)), alone);
  assert.ok(new Set(alone).size > 1, "seeds make a difference");
});

test("leaving in mid-stream frees the slot", async () => {
  await server.waitForMetric("tokenmill_engine_running", 0);
  const before = await server.metric("tokenmill_engine_generated_tokens_total");
  const stream = await chat({ stream: true, max_tokens: 1500, ignore_eos: true });
  let n_chunks = 0;
  for await (const _ of stream) {
    n_chunks += 1;
    if (n_chunks === 3) {
      assert.equal(await server.metric("tokenmill_engine_running"), 1);
      break; // The SDK closes the connection.
    }
  }
  await server.waitForMetric("tokenmill_engine_running", 0);
  const generated = (await server.metric("tokenmill_engine_generated_tokens_total")) - before;
  assert.ok(generated < 1000, "the engine stopped long before the 1500 tokens that were asked for");
  assert.equal(await server.metric("tokenmill_engine_pages_used"), 0);
  // The question itself is in flight while it is answered.
  await server.waitForMetric("tokenmill_http_requests_in_flight", 1);
});

test("the models are listed", async () => {
  const { data } = await client.models.list();
  assert.deepEqual(data.map((model) => model.id), [MODEL]);
  assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
});

test("a wrong key", async () => {
  const error = await errorOf(OpenAI.AuthenticationError, chat({}, server.client({ apiKey: "tm-not-a-key" })));
  assert.equal(error.status, 401);
  assert.equal(error.error.message, "Authentication failed");
  assert.equal(error.code, "invalid_api_key");
});

test("an unknown project", async () => {
  const elsewhere = server.client({ project: "nobody/inference" });
  assert.equal((await errorOf(OpenAI.AuthenticationError, chat({}, elsewhere))).code, "team_not_accessible");
  const malformed = server.client({ project: "no-slash" });
  assert.equal((await errorOf(OpenAI.BadRequestError, chat({}, malformed))).code, "invalid_project");
});

test("an unknown model", async () => {
  const error = await errorOf(OpenAI.NotFoundError, chat({ model: "nobody/nothing" }));
  assert.equal(error.error.message, "The requested resource was not found");
  assert.deepEqual([error.code, error.param], ["model_not_found", "model"]);
});

test("an unknown field", async () => {
  const error = await errorOf(OpenAI.BadRequestError, chat({ temprature: 1 }));
  assert.deepEqual([error.code, error.param], ["unknown_parameter", "temprature"]);
  assert.match(error.error.message, /temprature/);
});

test("a value out of range", async () => {
  assert.equal((await errorOf(OpenAI.BadRequestError, chat({ temperature: 3 }))).param, "temperature");
});
