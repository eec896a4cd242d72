// The package's helpers for zod: a model of the answer, and functions that run by themselves.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { MODEL, Server } from "./server.js";

const messages = [{ role: "user", content: "What is the weather in Paris?" }];
const Forecast = z.object({ isSunny: z.boolean(), wind: z.enum(["north", "south"]), degrees: z.number().int() });

let server;
let client;

before(async () => {
  server = await Server.start();
  client = server.client();
});

after(async () => {
  if (server) assert.equal(await server.stop(), 0);
});

const options = (changes) => ({ model: MODEL, messages, max_tokens: 200, seed: 3, ...changes });

test("an answer is parsed into a zod model", async () => {
  const form = zodResponseFormat(Forecast, "forecast");
  const completion = await client.chat.completions.parse(options({ response_format: form, temperature: 0 }));
  const forecast = completion.choices[0].message.parsed;
  assert.deepEqual(Object.keys(forecast).sort(), ["degrees", "isSunny", "wind"]);
  assert.ok(Forecast.safeParse(forecast).success);
});

test("a streamed answer is parsed into the same model", async () => {
  const form = zodResponseFormat(Forecast, "forecast");
  const stream = client.chat.completions.stream(options({ response_format: form, temperature: 0 }));
  const final = await stream.finalChatCompletion();
  assert.ok(Forecast.safeParse(final.choices[0].message.parsed).success);
});

test("a zod function is called and its result is answered to", async () => {
  const calls = [];
  const tool = zodFunction({
    name: "get_weather",
    parameters: z.object({ city: z.enum(["Paris", "Rome"]) }),
    function: ({ city }) => {
      calls.push(city);
      return `18 degrees in ${city}`;
    },
  });
  const named = { type: "function", function: { name: "get_weather" } };
  const runner = client.chat.completions.runTools(options({ tools: [tool], tool_choice: named, parallel_tool_calls: false }));
  await runner.done();
  const results = runner.messages.filter((message) => message.role === "tool");
  assert.equal(calls.length, 1);
  assert.ok(["Paris", "Rome"].includes(calls[0]));
  assert.equal(results[0].content, `18 degrees in ${calls[0]}`);
});
