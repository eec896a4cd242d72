// OpenAI's Responses with the official Node package against the real binary.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import OpenAI from "openai";

import { MODEL, Server } from "./server.js";

const ASK = "What is the weather in Paris?";
const WEATHER = {
  type: "function",
  name: "get_weather",
  parameters: {
    type: "object",
    properties: { city: { enum: ["Paris", "Rome"] } },
    required: ["city"],
    additionalProperties: false,
  },
  strict: true,
};

let server;
let client;

before(async () => {
  server = await Server.start();
  client = server.client();
});

after(async () => {
  if (server) assert.equal(await server.stop(), 0);
});

const ask = (changes = {}) =>
  client.responses.create({ model: MODEL, input: ASK, max_output_tokens: 64, temperature: 0, ...changes });

test("a streamed response is the plain one", async () => {
  const plain = await ask();
  assert.ok(plain.output_text.trim());
  const events = [];
  for await (const event of await ask({ stream: true })) events.push(event);
  const numbers = events.map((event) => event.sequence_number);
  assert.deepEqual(numbers, [...events.keys()]);
  const deltas = events.filter((event) => event.type === "response.output_text.delta");
  assert.equal(deltas.map((event) => event.delta).join(""), plain.output_text);
  assert.equal(events.at(-1).type, `response.${plain.status}`);
  assert.deepEqual(events.at(-1).response.usage.output_tokens, plain.usage.output_tokens);
});

test("the streaming helper puts a response together", async () => {
  const stream = client.responses.stream({ model: MODEL, input: ASK, temperature: 0 });
  let text = "";
  stream.on("response.output_text.delta", (event) => (text += event.delta));
  const response = await stream.finalResponse();
  assert.equal(text, response.output[0].content[0].text);
  assert.equal(response.status, "completed");
});

test("a tool round trip", async () => {
  const options = { tools: [WEATHER], tool_choice: { type: "function", name: "get_weather" }, max_output_tokens: 200 };
  const response = await ask(options);
  const call = response.output.at(-1);
  assert.equal(call.type, "function_call");
  assert.ok(["Paris", "Rome"].includes(JSON.parse(call.arguments).city));
  const result = { type: "function_call_output", call_id: call.call_id, output: "18 degrees" };
  const input = [{ role: "user", content: ASK }, ...response.output, result];
  const answer = await ask({ input, tools: [WEATHER], tool_choice: "none" });
  assert.ok(answer.output.every((item) => item.type !== "function_call"));
});

test("what is not kept is refused by name", async () => {
  const error = await ask({ previous_response_id: "resp_1" }).catch((error) => error);
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.equal(error.param, "previous_response_id");
});
