// The check of every answer can fail: a server that answers otherwise than described is found out.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import OpenAI from "openai";

import { MODEL, Server } from "./server.js";

const MESSAGE = { role: "assistant", content: "Hi!", refusal: null, reasoning: null };
const CHOICE = { index: 0, message: MESSAGE, logprobs: null, finish_reason: "stop" };
const USAGE = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
const WHOLE = {
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1,
  model: MODEL,
  system_fingerprint: "f",
  choices: [CHOICE],
  usage: USAGE,
};
const DELTA = { index: 0, delta: { content: "Hi!" }, logprobs: null, finish_reason: null };
const CHUNK = { ...WHOLE, object: "chat.completion.chunk", choices: [DELTA], usage: null };

let server;
let liar;
let answer;

before(async () => {
  server = await Server.start();
  liar = createServer((_, response) => response.writeHead(answer.status, { "content-type": answer.type }).end(answer.body));
  liar.listen(0, "127.0.0.1");
  await once(liar, "listening");
});

after(async () => {
  liar.close();
  if (server) assert.equal(await server.stop(), 0);
});

/** What is found when a server answers with just this. */
async function told(body, { status = 200, stream = false } = {}) {
  const text = JSON.stringify(body);
  answer = stream
    ? { status, type: "text/event-stream", body: `data: ${text}\n\ndata: [DONE]\n\n` }
    : { status, type: "application/json", body: text };
  const { contract } = server;
  const baseURL = `http://127.0.0.1:${liar.address().port}/v1`;
  const client = new OpenAI({ baseURL, apiKey: "x", maxRetries: 0, fetch: contract.fetch });
  const made = await client.chat.completions.create({ model: MODEL, messages: [{ role: "user", content: "Hi" }], stream });
  if (stream) for await (const _ of made);
  return contract.faults.splice(0);
}

test("what is as described is no fault", async () => {
  assert.deepEqual(await told(WHOLE), []);
  assert.deepEqual(await told(CHUNK, { stream: true }), []);
  assert.equal(server.contract.nChecked, 4);
});

test("what is otherwise is a fault", async () => {
  for (const [body, how, found] of [
    [{ ...WHOLE, total: 1 }, {}, /additional properties/],
    [{ ...WHOLE, created: "1" }, {}, /created must be integer/],
    [{ ...WHOLE, choices: [{ ...CHOICE, finish_reason: "done" }] }, {}, /finish_reason must be equal/],
    [{ ...CHUNK, choices: [{ ...DELTA, text: "Hi!" }] }, { stream: true }, /additional properties/],
    [WHOLE, { status: 201 }, /is not described/],
  ]) {
    assert.match((await told(body, how)).join("\n"), found);
  }
});
