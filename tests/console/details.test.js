// What a second look at the console finds, with two models to compare: filters, saved settings, thinking, code that runs when pasted, caps.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { PASSWORD, Rig } from "./rig.js";

const run = promisify(execFile);
const HERE = dirname(fileURLToPath(import.meta.url));
const FILE = join(HERE, "../../models/tokenmill-demo.gguf");
const DEMO = "tokenmill/demo", TWIN = "tokenmill/twin";
let rig, page;

before(async () => {
  rig = await Rig.start({ models: [`${DEMO}=${FILE}`, `${TWIN}=${FILE}`] });
  page = await rig.visitor();
  await rig.firstVisit(page);
});
after(() => rig?.stop());

const visit = (path) => page.goto(rig.base + path);
const button = (name, of = page) => of.getByRole("button", { name, exact: true });
const answers = () => page.locator(".message.assistant .stats");
const chatWith = (...models) => visit(`/console/playground?models=${models.map(encodeURIComponent).join(",")}`);

/** Sends a message and gives the requests that it made, one for each pane. */
async function say(text, n_panes = 1) {
  const before = await answers().count();
  const requests = [];
  const gather = (request) => { if (request.url().endsWith("/v1/chat/completions")) requests.push(request.postDataJSON()); };
  page.on("request", gather);
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
  await page.waitForFunction((n) => document.querySelectorAll(".message.assistant .stats").length >= n, before + n_panes);
  page.off("request", gather);
  return requests;
}

/** Calls the management API as the page would. */
const manage = (method, path, body) => page.evaluate(async ([method, path, body]) => {
  const reply = await fetch(path, { method, headers: { "content-type": "application/json" }, body: body && JSON.stringify(body) });
  if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${await reply.text()}`);
  return reply.status === 204 ? null : reply.json();
}, [method, path, body]);

test("models are filtered by type and stage", async () => {
  await manage("PUT", "/api/v1/models", { id: TWIN, title: "Twin", kind: "vision", available_from: "2999-01-01" });
  await visit("/console/models");
  await page.locator(".card.model").first().waitFor();
  const ids = () => page.locator(".card.model .model-id").allTextContents();
  assert.deepEqual((await ids()).sort(), [DEMO, TWIN]);
  await page.getByLabel("Type").selectOption("Vision");
  assert.deepEqual(await ids(), [TWIN]);
  await page.getByLabel("Stage").selectOption("Generally available");
  await page.getByText("No model matches").waitFor();
  await button("Clear the filters").click();
  await page.getByLabel("Stage").selectOption("Experimental");
  assert.deepEqual(await ids(), [TWIN]);
  await page.getByLabel("Stage").selectOption("");
  assert.deepEqual((await ids()).sort(), [DEMO, TWIN]);
});

test("two models answer one message side by side", async () => {
  for (const id of [DEMO, TWIN]) await page.getByLabel(`Select ${id}`).check();
  await button("Compare 2 models in the playground").click();
  await page.locator(".pane").nth(1).waitFor();
  const requests = await say("Tell me a joke.", 2);
  assert.deepEqual(requests.map((body) => body.model).sort(), [DEMO, TWIN]);
  for (const id of [DEMO, TWIN]) {
    const pane = page.getByRole("region", { name: `Chat with ${id}` });
    assert.match(await pane.locator(".message.assistant .prose").textContent(), /\w{3}/);
    assert.match(await pane.locator(".stats").textContent(), /tokens/);
  }
});

test("a message is copied as it was written", async () => {
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: rig.base });
  await chatWith(DEMO);
  await say("Tell me a joke.");
  const message = page.locator(".message.user");
  await message.hover();
  await button("Copy the message", message).click();
  await button("Copied", message).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "Tell me a joke.");
});

test("a model is saved with its settings, in versions, and comes back with them", async () => {
  await chatWith(DEMO);
  const save = async (temperature, version) => {
    await page.getByLabel("Temperature", { exact: true }).fill(temperature);
    await button("Save model and settings").click();
    await page.getByRole("dialog").getByLabel("Name").fill("calm");
    await button("Save", page.getByRole("dialog")).click();
    await page.getByText(`Saved calm, version ${version}`).waitFor();
  };
  await save("0.1", 1);
  await save("0.2", 2);
  await chatWith(TWIN);
  await button("History").click();
  const first = page.getByRole("dialog").getByRole("listitem").filter({ hasText: "v1 · admin" });
  await first.getByRole("button", { name: "calm", exact: true }).click();
  await page.waitForFunction(() => document.getElementById("set-temperature").value === "0.1");
  const [body] = await say("Hello.");
  assert.deepEqual([body.model, body.temperature], [DEMO, 0.1]);
  await button("History").click();
  await button("Delete calm v1").click();
  await button("Delete calm v1").waitFor({ state: "detached" });
  await button("Delete calm v2").waitFor();
  await button("Close", page.getByRole("dialog")).click();
});

test("thinking is turned on, folded apart from the answer, and turned off", async () => {
  await chatWith(DEMO);
  await page.getByLabel("Temperature", { exact: true }).fill("0");
  await page.getByLabel("Thinking", { exact: true }).selectOption("on");
  const [thinking] = await say("What is 12 plus 30?");
  assert.deepEqual(thinking.chat_template_kwargs, { enable_thinking: true });
  const fold = page.locator(".message.assistant details.reasoning");
  assert.equal(await fold.getAttribute("open"), null);
  await fold.locator("summary").click();
  assert.match(await fold.textContent(), /\d/);
  assert.doesNotMatch(await page.locator(".message.assistant .prose").textContent(), /<\/?think>/);
  await button("New").click();
  await page.getByLabel("Thinking", { exact: true }).selectOption("off");
  const [plain] = await say("What is 12 plus 30?");
  assert.deepEqual(plain.chat_template_kwargs, { enable_thinking: false });
  assert.equal(await fold.count(), 0);
  await button("New").click();
  await page.getByLabel("Thinking", { exact: true }).selectOption("");
  await page.getByLabel("Effort").selectOption("low");
  assert.equal((await say("Hello."))[0].reasoning_effort, "low");
  await fold.waitFor();
});

test("the Python and JavaScript of a request run as they are shown", async () => {
  await visit("/console/keys");
  await button("New key").click();
  await page.getByLabel("Name").fill("samples");
  await button("Make key").click();
  const env = { ...process.env, TOKENMILL_API_KEY: await page.getByRole("textbox", { name: "Your new key" }).inputValue() };
  const folder = mkdtempSync(join(tmpdir(), "tokenmill-samples-"));
  symlinkSync(join(HERE, "node_modules"), join(folder, "node_modules"));
  try {
    for (const place of ["the model's page", "the playground"]) {
      if (place === "the playground") {
        await chatWith(DEMO);
        await page.getByLabel("Max tokens").fill("20");
        await page.getByLabel("Thinking", { exact: true }).selectOption("off");
        await page.getByLabel("Stop texts").fill("never\nat all");
        await say('He said "hello" and \'goodbye\'.');
        await button("View code").click();
      } else await visit(`/console/models/${DEMO}`);
      const code = async (tab) => { await page.getByRole("tab", { name: tab }).click(); return page.locator(".sample code").textContent(); };
      writeFileSync(join(folder, "sample.py"), await code("Python"));
      writeFileSync(join(folder, "sample.mjs"), await code("JavaScript"));
      for (const [program, file] of [[process.env.TOKENMILL_PYTHON ?? "python3", "sample.py"], [process.execPath, "sample.mjs"]]) {
        const { stdout } = await run(program, [file], { cwd: folder, env });
        assert.match(stdout, /\w{3}/, `${file} of ${place}`);
      }
    }
  } finally { rmSync(folder, { recursive: true }); }
});

test("a cap tells at half, at four fifths and when it is reached", async () => {
  await manage("POST", "/api/v1/teams/default/credit", { kind: "grant", amount_usd: "5", reference: "tests" });
  await manage("POST", "/api/v1/prices", { model: DEMO, input_usd: "1", output_usd: "1" });
  await chatWith(DEMO);
  await page.getByLabel("Max tokens").fill("20");
  await say("Hello.");
  let spent = 0;
  // Usage is shipped to the database in rounds.
  for (let i = 0; i < 100 && !spent; i++) {
    spent = Number((await manage("GET", "/api/v1/teams/default/usage")).data[0]?.cost_usd ?? 0);
    if (!spent) await page.waitForTimeout(100);
  }
  const cap = (limit) => manage("PUT", "/api/v1/caps", { scope: "team", target: "default", period: "month", limit_usd: limit.toFixed(9) });
  const alert = page.locator("p.note[role=status]");
  for (const [part, text, badge] of [[0.6, "default has used 60 % of its cap for this month.", "over 50 %"], [0.85, "default has used 85 % of its cap for this month.", "over 80 %"], [1, "The cap of default is reached", "reached"]]) {
    await cap(spent / part);
    await visit("/console/billing");
    await alert.getByText(text).waitFor();
    await page.locator(".cap .badge").getByText(badge).waitFor();
  }
  await chatWith(DEMO);
  // What this server was lent before the cap came down is given back with its next account.
  const refused = page.locator(".message.assistant").getByRole("alert").getByText("You exceeded your current quota");
  for (let i = 0; i < 20 && !(await refused.count()); i++) {
    await button("New").click();
    await page.getByLabel("Message", { exact: true }).fill("Hello.");
    await page.keyboard.press("Enter");
    await page.locator(".message.assistant").locator(".stats, [role=alert]").waitFor();
  }
  await refused.waitFor();
  await cap(100);
});

test("a schema's names and texts stay text", async () => {
  const evil = '<img src=x onerror="globalThis.owned=1">';
  await chatWith(DEMO);
  await page.getByLabel("Response format").selectOption("json_schema");
  await page.getByLabel("Schema").fill(JSON.stringify({ title: evil, description: evil, type: "object", properties: { [evil]: { const: evil } }, required: [evil], additionalProperties: false }));
  await say("Fill it in.");
  await page.locator(".message.assistant").getByText("onerror").first().waitFor();
  await button("View code").click();
  for (const tab of ["Python", "JavaScript", "curl"]) {
    await page.getByRole("tab", { name: tab }).click();
    await page.locator(".sample code").getByText("onerror").first().waitFor();
  }
  await button("Close", page.getByRole("dialog")).click();
  await page.getByLabel("Schema").fill(JSON.stringify({ [evil]: 1, type: evil }));
  await page.getByLabel("Message", { exact: true }).fill("Fill it in.");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("onerror").first().waitFor();
  assert.deepEqual(await page.evaluate(() => [globalThis.owned, document.querySelectorAll("main img, dialog img").length]), [undefined, 0]);
});

test("the theme is turned, and stays so", async () => {
  const theme = () => page.evaluate(() => [document.documentElement.dataset.theme, getComputedStyle(document.body).color]);
  await visit("/console/models");
  await button("Use the dark theme").click();
  const [name, dark] = await theme();
  assert.equal(name, "dark");
  await page.reload();
  await page.getByRole("heading", { name: "Models" }).waitFor();
  assert.deepEqual(await theme(), ["dark", dark]);
  await button("Use the light theme").click();
  assert.notEqual((await theme())[1], dark);
});

test("signing in and a first visit are free of serious faults in both themes", async () => {
  const { path } = await manage("PUT", "/api/v1/teams/default/members/dora", { role: "member" }).then(() => manage("POST", "/api/v1/teams/default/members/dora/invitation", {}));
  for (const colorScheme of ["light", "dark"]) {
    const other = await rig.visitor({ colorScheme });
    for (const [name, at, heading] of [["sign-in", "/console/", "Sign in"], ["welcome", path, "Welcome, dora"]]) {
      await other.goto(rig.base + at);
      await other.getByRole("heading", { name: heading }).waitFor();
      await rig.shot(other, `${colorScheme}-${name}`);
      assert.deepEqual(await rig.serious(other), [], `${colorScheme} ${name}`);
    }
    assert.deepEqual(other.faults, []);
    await other.context().close();
  }
});

test("a password is changed, and other sessions end", async () => {
  const other = await rig.visitor();
  await rig.signIn(other, "admin");
  await visit("/console/account");
  const change = async (current) => {
    await page.getByLabel("Current password").fill(current);
    await page.getByLabel("New password").fill(`${PASSWORD} staple`);
    await button("Change password").click();
  };
  await change("not my password");
  await page.getByRole("alert").waitFor();
  await change(PASSWORD);
  await page.getByText("The password is changed.").waitFor();
  await other.goto(`${rig.base}/console/keys`);
  await other.getByRole("heading", { name: "Sign in" }).waitFor();
  await other.getByLabel("Name").fill("admin");
  await other.getByLabel("Password").fill(PASSWORD);
  await button("Sign in", other).click();
  await other.getByText("The name or the password is wrong").waitFor();
  await rig.signIn(other, "admin", `${PASSWORD} staple`);
  await other.context().close();
  await visit("/console/account");
  await page.getByText("Signed in as admin").waitFor();
});

test("nothing went wrong on the way", () => {
  assert.deepEqual(page.faults, []);
  assert.deepEqual(page.strangers, []);
});
