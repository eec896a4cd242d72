// LoRA adapters in the console, with files that the test makes for the built-in model.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { after, before, test } from "node:test";
import { Rig } from "./rig.js";

const run = promisify(execFile);
const MODEL = "tokenmill/demo";
const HOSTILE = '<img src=x onerror="document.title=1">.json';
let rig, page, shapes;

before(async () => {
  rig = await Rig.start();
  page = await rig.visitor();
  await rig.firstVisit(page);
  shapes = await projections();
});
after(() => rig?.stop());

const button = (name, of = page) => of.getByRole("button", { name, exact: true });

/** Numbers out and in of the queries of each layer, by PEFT's names. */
async function projections() {
  const model = new URL("../../models/tokenmill-demo.gguf", import.meta.url).pathname;
  const { stdout } = await run(process.env.TOKENMILL_BIN, ["inspect", model, "--json"], { maxBuffer: 1 << 26 });
  const found = JSON.parse(stdout).tensors.map(({ name, shape }) => [/^blk\.(\d+)\.attn_q\.weight$/.exec(name)?.[1], shape]);
  return found.filter(([layer]) => layer !== undefined).map(([layer, shape]) => [`model.layers.${layer}.self_attn.q_proj`, shape]);
}

/** The two files of an adapter; `strength` changes what it does, and NaN spoils it. */
function adapter(strength) {
  const header = {}, parts = [];
  let at = 0;
  for (const [module, [nOut, nIn]] of shapes) {
    for (const [name, shape] of [["lora_A", [2, nIn]], ["lora_B", [nOut, 2]]]) {
      const numbers = Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => strength * Math.sin(i * 1.7 + shape[0]));
      parts.push(Buffer.from(numbers.buffer));
      header[`base_model.model.${module}.${name}.weight`] = { dtype: "F32", shape, data_offsets: [at, at += 4 * numbers.length] };
    }
  }
  const head = Buffer.from(JSON.stringify(header)), length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  const config = { peft_type: "LORA", task_type: "CAUSAL_LM", r: 2, lora_alpha: 4, bias: "none", target_modules: ["q_proj"] };
  return [
    { name: "adapter_config.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(config)) },
    { name: "adapter_model.safetensors", mimeType: "application/octet-stream", buffer: Buffer.concat([length, head, ...parts]) },
  ];
}

async function upload(files, { name, alias } = {}) {
  if (name) await page.getByLabel("Name", { exact: true }).fill(name);
  if (alias) await page.getByLabel("Alias", { exact: true }).fill(alias);
  await page.getByLabel("Files").setInputFiles(files);
  await button("Upload", page.getByRole("dialog")).click();
}

test("an adapter is uploaded, and its next version", async () => {
  await page.goto(`${rig.base}/console/artifacts`);
  await page.getByText("No adapter yet").waitFor();
  await rig.shot(page, "artifacts-empty");
  await button("Upload").click();
  await page.getByText("adapter_config.json and adapter_model.safetensors.").waitFor();
  await upload(adapter(0.1), { name: "style", alias: "production" });
  await page.getByRole("heading", { name: "inference/style" }).waitFor();
  const rows = page.getByRole("region", { name: "Versions of inference/style" }).locator("tbody tr");
  assert.match(await rows.first().textContent(), /v0\s*latest\s*production/);
  await button("New version of style").click();
  await upload(adapter(0.2));
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 2);
  assert.match(await rows.nth(0).textContent(), /v1\s*latest/);
  assert.match(await rows.nth(1).textContent(), /v0\s*production/);
  assert.match(await rows.nth(1).textContent(), /q_proj/);
  await rig.shot(page, "artifacts");
});

test("files that are no adapter are refused, with the fault, and their names stay text", async () => {
  await button("New version of style").click();
  const [config, weights] = adapter(0.1);
  await upload([config, { ...weights, name: HOSTILE }]);
  await page.getByRole("alert").getByText("Adapter_model.safetensors is missing").waitFor();
  await upload(adapter(NaN));
  await page.getByRole("alert").getByText("holds NaN").waitFor();
  await page.keyboard.press("Escape");
  const answer = await page.evaluate(async ([name]) => {
    const form = new FormData();
    form.append(name, new Blob(["x"]), name);
    const reply = await fetch("/api/v1/artifacts/default/inference/style", { method: "POST", body: form });
    return { status: reply.status, type: reply.headers.get("content-type") };
  }, [HOSTILE]);
  assert.deepEqual(answer, { status: 400, type: "application/json" });
  assert.notEqual(await page.title(), "1");
});

test("the code of an adapter works as shown", async () => {
  await button("Use style v0").click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("By").selectOption("production");
  assert.equal(await dialog.getByLabel("Model", { exact: true }).inputValue(), "wandb-artifact:///default/inference/style:production");
  await dialog.getByRole("tab", { name: "curl" }).click();
  await rig.shot(page, "artifacts-use");
  const code = await dialog.locator("pre").textContent();
  const { stdout } = await run("sh", ["-c", code], { env: { ...process.env, TOKENMILL_API_KEY: rig.key } });
  const answer = JSON.parse(stdout);
  assert.equal(answer.model, "wandb-artifact:///default/inference/style:v0");
  assert.ok(answer.choices[0].message.content.length > 0);
  await page.keyboard.press("Escape");
  await page.goto(`${rig.base}/console/usage`);
  await page.getByLabel("Group by").selectOption("adapter");
  await page.getByRole("cell", { name: "default/inference/style:v0" }).waitFor();
});

test("names are moved and taken away, from the keyboard", async () => {
  await page.goto(`${rig.base}/console/models`);
  await page.getByRole("heading", { name: "Models" }).waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("l");
  await page.getByRole("heading", { name: "LoRA artifacts" }).waitFor();
  await button("Aliases of style v1").focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement.matches("dialog input"));
  await page.keyboard.type("production");
  await page.keyboard.press("Enter");
  const rows = page.getByRole("region", { name: "Versions of inference/style" }).locator("tbody tr");
  await rows.first().getByText("production").waitFor();
  assert.doesNotMatch(await rows.nth(1).textContent(), /production/);
  await button("Aliases of style v1").focus();
  await page.keyboard.press("Enter");
  await button("Take production away").focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await rows.first().getByText("production").waitFor({ state: "detached" });
});

test("the page and its dialogs are free of serious faults, in both themes and on a phone", async () => {
  for (const [name, options] of [["light", {}], ["dark", { colorScheme: "dark" }], ["phone", { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }]]) {
    const other = await rig.visitor(options);
    await rig.signIn(other, "admin");
    await other.goto(`${rig.base}/console/artifacts`);
    await other.getByRole("heading", { name: "inference/style" }).waitFor();
    assert.deepEqual(await rig.serious(other), [], name);
    const isWide = await other.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    assert.ok(!isWide, `${name}: the page is wider than the screen`);
    await rig.shot(other, `artifacts-${name}`);
    for (const opener of ["Upload", "Use style v1", "Aliases of style v1", "Delete style v1"]) {
      await button(opener, other).click();
      await other.getByRole("dialog").waitFor();
      assert.deepEqual(await rig.serious(other), [], `${name}: ${opener}`);
      await other.keyboard.press("Escape");
      await other.getByRole("dialog").waitFor({ state: "detached" });
    }
    await other.context().close();
  }
});

test("another team's member sees nothing of it", async () => {
  const made = await page.evaluate(async () => {
    const send = (method, path, body) => fetch(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    await send("POST", "/api/v1/teams", { name: "blue" });
    await send("PUT", "/api/v1/teams/blue/members/cal", { role: "admin" });
    const link = await (await send("POST", "/api/v1/teams/blue/members/cal/invitation", {})).json();
    return link.path;
  });
  assert.ok(made, "a link for cal");
  const other = await rig.visitor();
  await other.goto(rig.base + made);
  await other.getByLabel("Password").fill("correct horse battery");
  await other.getByLabel("Once more").fill("correct horse battery");
  await button("Set password and sign in", other).click();
  await other.getByRole("heading", { name: "Models" }).waitFor();
  await other.goto(`${rig.base}/console/artifacts`);
  await other.getByText("No adapter yet").waitFor();
  const tried = await other.evaluate(async () => {
    const base = "/api/v1/artifacts/default";
    const calls = [["GET", ""], ["GET", "/inference/style"], ["POST", "/inference/style"], ["DELETE", "/inference/style"], ["DELETE", "/inference/style/versions/v0"], ["PUT", "/inference/style/aliases/x"], ["DELETE", "/inference/style/aliases/production"]];
    return Promise.all(calls.map(async ([method, path]) => (await fetch(base + path, { method })).status));
  });
  assert.deepEqual(tried, [404, 404, 404, 404, 404, 404, 404]);
  const chat = await other.evaluate(async () => (await fetch("/v1/chat/completions", {
    method: "POST", headers: { "content-type": "application/json", "openai-project": "blue/inference" },
    body: JSON.stringify({ model: "wandb-artifact:///default/inference/style", messages: [{ role: "user", content: "x" }] }),
  })).status);
  assert.equal(chat, 404);
  await other.context().close();
});

test("a version is deleted, and the adapter with the rest", async () => {
  await page.goto(`${rig.base}/console/artifacts`);
  await button("Delete style v1").click();
  await button("Delete", page.getByRole("dialog")).click();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  await button("Delete style").click();
  await button("Delete", page.getByRole("dialog")).click();
  await page.getByText("No adapter yet").waitFor();
  const chat = await rig.api("POST", "/v1/chat/completions", { model: "wandb-artifact:///default/inference/style:v0", messages: [{ role: "user", content: "x" }] });
  assert.equal(chat.status, 404);
});

test("nothing went wrong on the way", () => {
  assert.deepEqual(page.faults, []);
  assert.deepEqual(page.strangers, []);
});
