// A first visit from the printed link to the bill, and everything else that the console does, once each.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { promisify } from "node:util";
import { after, before, test } from "node:test";
import { PASSWORD, Rig } from "./rig.js";

const run = promisify(execFile);
const MODEL = "tokenmill/demo";
let rig, page;

before(async () => {
  rig = await Rig.start();
  page = await rig.visitor();
});
after(() => rig?.stop());

const visit = (path) => page.goto(rig.base + path);
const button = (name, of = page) => of.getByRole("button", { name, exact: true });
const answers = (of = page) => of.locator(".message.assistant .stats");

async function say(text, n = 1) {
  const before = await answers().count();
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
  await page.waitForFunction((n) => document.querySelectorAll(".message.assistant .stats").length >= n, before + n);
}

test("the printed link makes the first administrator, once", async () => {
  await page.goto(rig.welcome);
  await page.getByRole("heading", { name: "Welcome, admin" }).waitFor();
  await rig.shot(page, "welcome");
  await page.getByLabel("Password").fill("short");
  await page.getByLabel("Once more").fill("other");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByLabel("Once more").fill(PASSWORD);
  await button("Set password and sign in").click();
  await page.getByRole("heading", { name: "Models" }).waitFor();
  const other = await rig.visitor();
  await other.goto(rig.welcome);
  await other.getByRole("heading", { name: "This link does not work" }).waitFor();
  const cookies = await page.context().cookies();
  assert.deepEqual(cookies.map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite })), [{ name: "tokenmill", httpOnly: true, sameSite: "Strict" }]);
  await other.context().close();
});

test("a wrong password is refused, a right one lets in, signing out ends the session", async () => {
  const other = await rig.visitor();
  await other.goto(`${rig.base}/console/`);
  await other.getByLabel("Name").fill("admin");
  await other.getByLabel("Password").fill("wrong password");
  await button("Sign in", other).click();
  await other.getByText("The name or the password is wrong").waitFor();
  await rig.shot(other, "sign-in");
  await rig.signIn(other, "admin");
  const [cookie] = await other.context().cookies();
  await button("Sign out", other).click();
  await other.getByRole("heading", { name: "Sign in" }).waitFor();
  const again = await fetch(`${rig.base}/api/v1/me`, { headers: { cookie: `tokenmill=${cookie.value}`, "sec-fetch-site": "same-origin" } });
  assert.equal(again.status, 401);
  await other.context().close();
});

test("a session is good only for the console's own page", async () => {
  const [cookie] = await page.context().cookies();
  const from = (headers, path = "/api/v1/me", method = "GET") => fetch(rig.base + path, { method, headers: { cookie: `tokenmill=${cookie.value}`, ...headers } });
  assert.equal((await from({ "sec-fetch-site": "same-origin" })).status, 200);
  for (const headers of [{ "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }, { origin: "https://evil.example" }, {}]) {
    const reply = await from(headers);
    assert.equal(reply.status, 403, JSON.stringify(headers));
    assert.equal((await reply.json()).error.code, "cross_site_request");
    assert.equal((await from(headers, "/api/v1/session", "DELETE")).status, 403);
  }
});

test("the page runs nothing but its own files, and is small and quick", async () => {
  const reply = await fetch(`${rig.base}/console/`);
  const policy = reply.headers.get("content-security-policy");
  assert.match(policy, /default-src 'none'; script-src 'self'/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.doesNotMatch(await reply.text(), /<script(?![^>]*src=)|\son\w+=/);
  const other = await rig.visitor();
  await rig.signIn(other, "admin");
  const session = await other.context().newCDPSession(other);
  await session.send("Network.enable");
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  let n_bytes = 0;
  session.on("Network.loadingFinished", ({ encodedDataLength }) => { n_bytes += encodedDataLength; });
  const times = [];
  for (let i = 0; i < 3; i++) {
    n_bytes = 0;
    const start = performance.now();
    await other.goto(`${rig.base}/console/models`);
    await other.locator(".card.model").first().waitFor();
    times.push(performance.now() - start);
  }
  console.log(`first load: ${n_bytes} bytes on the wire, ${times.map((t) => t.toFixed(0)).join(", ")} ms until the models are shown`);
  assert.ok(process.env.TEST_CONSOLE_DIR || n_bytes < 300_000, `${n_bytes} bytes`);
  // The machine may be busy with other tests; the best of three says what the page needs.
  assert.ok(Math.min(...times) < 1000, `${times} ms`);
  assert.deepEqual(other.strangers, []);
  await other.context().close();
});

test("a model is found, looked at, chosen and tried", async () => {
  await visit("/console/models");
  await page.getByLabel("Search models").fill("no such thing");
  await page.getByText("No model matches").waitFor();
  await button("Clear the filters").click();
  await page.getByRole("heading", { level: 2 }).getByRole("link").first().click();
  await page.getByRole("heading", { name: "Use it" }).waitFor();
  await page.getByRole("tab", { name: "curl" }).click();
  await page.getByText("/v1/chat/completions", { exact: false }).first().waitFor();
  await visit("/console/models");
  await page.getByLabel(`Select ${MODEL}`).check();
  await button("Open in the playground").click();
  await page.getByRole("heading", { name: "Playground" }).waitFor();
});

test("an answer streams, with its numbers; messages can be edited, moved, copied, retried and deleted", async () => {
  await say("Tell me a joke.");
  const stats = await answers().first().textContent();
  assert.match(stats, /tokens/);
  assert.match(stats, /free/);
  const user = page.locator(".message.user").first();
  await user.hover();
  await button("Edit", user).click();
  await page.getByLabel("Text of the message").fill("Tell me another joke.");
  await button("Save").click();
  await user.getByText("Tell me another joke.").waitFor();
  await page.locator(".message.assistant").hover();
  await button("Try again", page.locator(".message.assistant")).click();
  await page.waitForFunction(() => document.querySelectorAll(".message.assistant .stats").length === 1);
  await page.locator(".message.assistant").hover();
  await button("Move up", page.locator(".message.assistant")).click();
  await page.locator(".message.assistant:first-child").waitFor();
  await button("Move down", page.locator(".message.assistant")).click();
  await button("System").click();
  await page.locator(".message.system").waitFor();
  await button("Delete", page.locator(".message.system")).click();
  await page.locator(".message.system").waitFor({ state: "detached" });
  assert.equal(await page.locator(".message").count(), 2);
});

test("settings reach the request, show what differs, and go back", async () => {
  if (!(await page.getByRole("complementary", { name: "Settings" }).isVisible())) await page.getByRole("button", { name: /^Settings/ }).click();
  await page.getByLabel("Max tokens").fill("5");
  await page.getByLabel("Temperature", { exact: true }).fill("0");
  await page.getByLabel("Seed").fill("7");
  await page.getByText("3 changed").waitFor();
  const [request] = await Promise.all([page.waitForRequest("**/v1/chat/completions"), say("Count to a hundred.")]);
  const body = request.postDataJSON();
  assert.deepEqual([body.max_completion_tokens, body.temperature, body.seed], [5, 0, 7]);
  assert.equal(request.headers().authorization, undefined);
  assert.match(await answers().last().textContent(), /length/);
  await button("Reset 3").click();
  await page.getByLabel("Answers to each message").fill("3");
  await say("Hello.");
  assert.equal(await page.getByRole("group", { name: "Trials" }).last().getByRole("button").count(), 3);
  await button("Trial 2", page.getByRole("group", { name: "Trials" }).last()).click();
  await page.getByLabel("Answers to each message").fill("1");
});

test("an answer is in the form of a schema", async () => {
  await button("New").click();
  await page.getByLabel("Response format").selectOption("json_schema");
  await page.getByLabel("Schema").fill("{");
  await page.locator(".field-error").waitFor();
  await page.getByLabel("Schema").fill('{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}');
  await say("Give me a number.");
  const text = await page.locator(".message.assistant .prose").last().textContent();
  assert.equal(typeof JSON.parse(text).n, "number");
  await page.getByLabel("Response format").selectOption("text");
});

test("a function is called, and its result given by hand", async () => {
  await button("New").click();
  await button("Start from an example").click();
  await page.getByLabel("Choice").selectOption("get_weather");
  await page.getByLabel("Message", { exact: true }).fill("How is the weather in Paris?");
  await page.keyboard.press("Enter");
  await page.getByLabel("Result of get_weather").waitFor();
  await page.getByLabel("Choice").selectOption("auto");
  await page.getByLabel("Result of get_weather").fill('{"celsius": 21}');
  const [request] = await Promise.all([page.waitForRequest("**/v1/chat/completions"), button("Give result").click()]);
  const roles = request.postDataJSON().messages.map((m) => m.role);
  assert.deepEqual(roles, ["user", "assistant", "tool"]);
  await page.waitForFunction(() => document.querySelectorAll(".message.assistant").length === 2 && !document.querySelector(".dots"));
  await page.getByLabel("Definitions").fill("");
});

test("an answer can be stopped", async () => {
  await button("New").click();
  await page.route("**/v1/chat/completions", () => {}, { times: 1 });
  await page.getByLabel("Message", { exact: true }).fill("Tell me everything.");
  await page.keyboard.press("Enter");
  await button("Stop").waitFor();
  await page.getByLabel("Message", { exact: true }).press("Escape");
  await page.getByText("stopped", { exact: true }).waitFor();
  await page.unroute("**/v1/chat/completions");
});

test("chats side by side get one message", async () => {
  await button("New").click();
  await button("Compare").click();
  assert.equal(await page.locator(".pane").count(), 2);
  await say("Tell me a joke.", 2);
  assert.equal(await page.locator(".message.user").count(), 2);
  await rig.shot(page, "playground-compare");
});

test("a chat is kept, shared by a link, and shown as code", async () => {
  await button("View code").click();
  await page.getByRole("dialog").getByRole("tab", { name: "JavaScript" }).click();
  await page.getByRole("dialog").getByText("client.chat.completions.create", { exact: false }).waitFor();
  await button("Close").click();
  await button("Save prompt").click();
  await page.getByLabel("Name").fill("jokes");
  await button("Save").click();
  await page.getByText("Saved jokes, version 1").waitFor();
  await button("Share").click();
  await button("Make a link").click();
  const link = await page.getByLabel("Link", { exact: true }).inputValue();
  await button("Close").click();
  const other = await rig.visitor();
  await rig.signIn(other, "admin");
  await other.goto(link);
  await other.locator(".message.assistant").nth(1).waitFor();
  await other.context().close();
  await button("History").click();
  await page.getByRole("dialog").getByText("Tell me a joke.").first().waitFor();
  await page.getByRole("dialog").getByText("jokes", { exact: true }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
});

test("a key is made and shown once, and the curl line of the page works with it", async () => {
  await visit("/console/keys");
  await button("New key").click();
  await page.getByLabel("Name").fill("from the console");
  await button("Make key").click();
  const key = await page.getByRole("textbox", { name: "Your new key" }).inputValue();
  assert.match(key, /^tm-/);
  await button("Done").click();
  assert.ok(!(await page.content()).includes(key));
  await visit(`/console/models/${MODEL}`);
  await page.getByRole("tab", { name: "curl" }).click();
  const curl = await page.locator(".sample code").textContent();
  const { stdout } = await run("sh", ["-c", `${curl.trim()} -s`], { env: { ...process.env, TOKENMILL_API_KEY: key } });
  assert.equal(JSON.parse(stdout).object, "chat.completion");
  await visit("/console/keys");
  await button("Edit from the console").click();
  const edit = page.getByRole("dialog");
  await edit.getByLabel("Name").fill("for the nightly run");
  await edit.getByLabel("Expires").selectOption("30");
  await edit.getByLabel("Only these models").fill("some/other-model");
  await edit.getByLabel("Requests a minute").fill("30");
  await edit.getByLabel("Cap each month").fill("2.5");
  await button("Save").click();
  await page.getByText("$2.50 a month · 1 model · 30 requests/min").waitFor();
  const ask = { model: MODEL, messages: [{ role: "user", content: "x" }], max_tokens: 1 };
  assert.equal((await rig.api("POST", "/v1/chat/completions", ask, key)).status, 404);
  await button("Edit for the nightly run").click();
  assert.equal(await edit.getByLabel("Cap each month").inputValue(), "2.50");
  await edit.getByLabel("Name").fill("from the console");
  await edit.getByLabel("Only these models").fill("");
  await edit.getByLabel("Only from these networks").fill("not a network");
  await button("Save").click();
  await edit.getByRole("alert").waitFor();
  await edit.getByLabel("Only from these networks").fill("127.0.0.0/8");
  await edit.getByLabel("Cap each month").fill("");
  await button("Save").click();
  await page.getByText("127.0.0.0/8 · 30 requests/min").waitFor();
  assert.equal((await rig.api("POST", "/v1/chat/completions", ask, key)).status, 200);
  await button("Rotate from the console").click();
  await button("Make a new secret").click();
  await page.getByRole("textbox", { name: "The new secret" }).waitFor();
  await button("Done").click();
  await button("Revoke from the console").click();
  await button("Revoke", page.getByRole("dialog")).click();
  await page.getByText("Revoked").waitFor();
  assert.equal((await rig.api("GET", "/v1/models", undefined, key)).status, 401);
});

test("usage arrives, by model, key and person, and as CSV", async () => {
  await visit("/console/usage");
  const cell = page.getByRole("cell", { name: MODEL });
  // Usage is shipped to the database in rounds.
  for (let i = 0; i < 100 && !(await cell.isVisible().catch(() => false)); i++) { await button("Refresh").click(); await page.waitForTimeout(100); }
  await cell.waitFor();
  await page.getByLabel("Group by").selectOption("person");
  await page.getByRole("cell", { name: "admin" }).waitFor();
  await page.getByLabel("Group by").selectOption("key");
  await page.getByRole("cell", { name: /^Console/ }).waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV" }).click()]);
  assert.equal(download.suggestedFilename(), "usage-default.csv");
});

test("credit, caps and prices are set, and what an answer costs is what the ledger says", async () => {
  await visit("/console/billing");
  await button("Add credit").click();
  await page.getByLabel("Amount in US dollars").fill("5");
  await button("Add").click();
  await page.getByText("$5.00").first().waitFor();
  await button("Set a price").click();
  for (const name of ["Input", "Output"]) await page.getByLabel(name, { exact: true }).fill("0.3");
  await button("Set").click();
  await page.getByRole("cell", { name: "$0.30" }).first().waitFor();
  await button("Set a cap").click();
  await page.getByLabel("At most, in US dollars").fill("0.00003");
  await button("Set").click();
  await page.getByText("default", { exact: true }).first().waitFor();
  await visit(`/console/playground?models=${encodeURIComponent(MODEL)}`);
  await page.getByLabel("Max tokens").fill("20");
  await say("Hello.");
  const shown = /\$([\d.]+)/.exec(await answers().last().textContent())[1];
  await visit("/console/billing");
  let spent = 0;
  for (let i = 0; i < 100 && !spent; i++) { spent = Number((await rig.api("GET", "/api/v1/teams/default/usage")).json.data[0]?.cost_usd ?? 0); if (!spent) await page.waitForTimeout(100); }
  assert.ok(Math.abs(spent - Number(shown)) <= 0.006 * spent, `${shown} shown, ${spent} in the ledger`);
  assert.equal((await rig.api("PUT", "/api/v1/caps", { scope: "team", target: "default", period: "month", limit_usd: "100" }, await adminKey())).status, 204);
});

let madeAdminKey;
async function adminKey() {
  madeAdminKey ??= page.evaluate(() => fetch("/api/v1/keys", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ name: "tests", scopes: ["inference", "models:read", "usage:read", "admin"] }) }).then((r) => r.json()).then((r) => r.key));
  return madeAdminKey;
}

test("members and projects are made; a member's link sets a password", async () => {
  await visit("/console/team");
  await button("Add member").click();
  await page.getByLabel("Name").fill("bea");
  await button("Add").click();
  await button("Password link for bea").click();
  const link = await page.getByRole("textbox", { name: "Link for bea" }).inputValue();
  await button("Done").click();
  await button("New project").click();
  await page.getByLabel("Name").fill("summaries");
  await button("Make project").click();
  await page.getByRole("cell", { name: "default/summaries" }).waitFor();
  await button("Limits of summaries").click();
  await page.getByLabel("Requests a minute").fill("60");
  await button("Set limits").click();
  await page.getByRole("cell", { name: "60" }).waitFor();
  const bea = await rig.visitor();
  await bea.goto(link);
  await bea.getByLabel("Password").fill(PASSWORD);
  await bea.getByLabel("Once more").fill(PASSWORD);
  await button("Set password and sign in", bea).click();
  await bea.getByRole("heading", { name: "Models" }).waitFor();
  assert.equal(await bea.getByRole("link", { name: "Operations" }).count(), 0);
  await bea.goto(`${rig.base}/console/operations`);
  await bea.getByText("Only operators of this server see this page.").waitFor();
  await bea.goto(`${rig.base}/console/team`);
  await bea.getByRole("heading", { name: "Members" }).waitFor();
  assert.equal(await button("Add member", bea).count(), 0);
  await bea.context().close();
});

test("operators see engines and requests, live, the audit log and the proof", async () => {
  await visit("/console/operations");
  await page.getByRole("cell", { name: MODEL }).first().waitFor();
  await page.getByRole("tab", { name: "Audit log" }).click();
  await page.getByText("person.password").first().waitFor();
  await page.getByText("admin in the console").first().waitFor();
  await page.getByRole("tab", { name: "Ledger" }).click();
  await button("Verify the ledger").click();
  await page.getByText("All is right").waitFor();
});

test("the guide is served", async () => {
  await visit("/docs");
  await page.getByRole("link", { name: /http/i }).first().waitFor();
  await visit("/docs/money.md");
  await page.getByRole("heading", { level: 1 }).waitFor();
  await page.getByRole("link", { name: "All of the guide" }).click();
  await page.getByRole("link", { name: "Decisions" }).click();
  await page.getByRole("link", { name: /console is files, not a build/ }).click();
  await page.getByRole("heading", { name: /console is files/ }).waitFor();
  // Every link of the guide to a page of it leads to one.
  const seen = new Set(["/docs"]), broken = [];
  for (const path of seen) {
    await visit(path);
    await page.locator(".prose, pre, .note.bad").first().waitFor();
    if (await page.locator(".note.bad").count()) broken.push(path);
    for (const href of await page.locator(".docs a[href^='/docs/']").evaluateAll((links) => links.map((a) => a.pathname))) if (href !== "/docs/api") seen.add(href);
  }
  assert.deepEqual(broken, []);
  assert.ok(seen.size > 20, [...seen].join(" "));
});

test("hostile answers, names and schemas stay text", async () => {
  const evil = '<img src=x onerror="globalThis.owned=1"><script>globalThis.owned=1</script>';
  const hostile = [evil, `[a](javascript:globalThis.owned=1)`, `![x](https://evil.example/?secret)`, "```html\n" + evil + "\n```", `<svg onload=globalThis.owned=1>`, `<a href="javascript:owned=1">x</a>`, `<iframe srcdoc="<script>parent.owned=1</script>"></iframe>`].join("\n\n");
  await visit(`/console/playground?models=${encodeURIComponent(MODEL)}`);
  await page.route("**/v1/chat/completions", (route) => {
    const chunk = (delta, finish = null) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
    const call = { index: 0, id: evil, type: "function", function: { name: evil, arguments: `{"x": ${JSON.stringify(evil)}}` } };
    route.fulfill({ contentType: "text/event-stream", body: chunk({ role: "assistant" }) + chunk({ reasoning: evil }) + chunk({ content: hostile }) + chunk({ tool_calls: [call] }) + chunk({}, "stop") + "data: [DONE]\n\n" });
  });
  await page.getByLabel("Message", { exact: true }).fill(evil);
  await page.keyboard.press("Enter");
  await page.getByText("globalThis.owned").nth(3).waitFor();
  await page.locator(".message.assistant .stats, .message.assistant .tool-call").first().waitFor();
  await page.unroute("**/v1/chat/completions");
  const found = await page.evaluate(() => ({
    owned: globalThis.owned, bad: document.querySelectorAll(".message img, .message script, .message iframe, .message svg[onload], a[href^='javascript']").length,
  }));
  assert.deepEqual(found, { owned: undefined, bad: 0 });
  const key = await adminKey();
  const made = await rig.api("POST", "/api/v1/keys", { name: evil }, key);
  assert.equal(made.status, 200);
  await rig.api("PUT", "/api/v1/models", { id: MODEL, title: evil, description: evil, replacement: undefined }, key);
  await page.evaluate((name) => fetch("/api/v1/teams/default/saved", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ kind: "prompt", name, body: { messages: [] } }) }), evil);
  for (const path of ["/console/keys", "/console/models", `/console/models/${MODEL}`]) {
    await visit(path);
    await page.getByText("onerror").first().waitFor();
    assert.equal(await page.evaluate(() => globalThis.owned), undefined, path);
  }
  await rig.api("PUT", "/api/v1/models", { id: MODEL, title: "Tokenmill demo", description: "A small model that is built in, to try everything with.", kind: "text", reasoning: "off" }, key);
});

test("a member of one team finds nothing of another, on any route", async () => {
  const key = await adminKey();
  const evil = async (method, path, body) => assert.ok((await rig.api(method, path, body, key)).status < 300, path);
  await evil("POST", "/api/v1/teams", { name: "blue" });
  await evil("PUT", "/api/v1/teams/blue/members/cal", { role: "admin" });
  const { json: { path } } = await rig.api("POST", "/api/v1/teams/blue/members/cal/invitation", {}, key);
  const cal = await rig.visitor();
  await cal.goto(rig.base + path);
  await cal.getByLabel("Password").fill(PASSWORD);
  await cal.getByLabel("Once more").fill(PASSWORD);
  await button("Set password and sign in", cal).click();
  await cal.getByRole("heading", { name: "Models" }).waitFor();
  const { json: saved } = await rig.api("POST", "/api/v1/teams/default/saved", { kind: "chat", name: "secret of default", body: { panes: [] } }, key);
  const { json: { data: keys } } = await rig.api("GET", "/api/v1/keys", undefined, key);
  const theirs = keys.find((entry) => entry.person === "admin").id;
  const routes = [
    ["GET", "/api/v1/teams"], ["POST", "/api/v1/teams", { name: "x" }], ["PUT", "/api/v1/teams/default", { enabled: false }], ["GET", "/api/v1/teams/default/members"],
    ["PUT", "/api/v1/teams/default/members/cal", { role: "admin" }], ["DELETE", "/api/v1/teams/default/members/admin"], ["POST", "/api/v1/teams/default/members/admin/invitation", {}],
    ["POST", "/api/v1/teams/blue/members/admin/invitation", {}], ["GET", "/api/v1/teams/default/models"], ["GET", "/api/v1/teams/default/caps"],
    ["GET", "/api/v1/teams/default/saved?kind=chat"], ["POST", "/api/v1/teams/default/saved", { kind: "chat", name: "x", body: {} }], ["GET", `/api/v1/teams/default/saved/${saved.id}`], ["DELETE", `/api/v1/teams/default/saved/${saved.id}`],
    ["GET", `/api/v1/teams/blue/saved/${saved.id}`], ["DELETE", `/api/v1/teams/blue/saved/${saved.id}`],
    ["GET", "/api/v1/operations"], ["GET", "/api/v1/teams/default/projects"], ["POST", "/api/v1/teams/default/projects", { name: "x" }], ["PUT", "/api/v1/teams/default/projects/inference/limits", {}],
    ["GET", "/api/v1/teams/default/credit"], ["POST", "/api/v1/teams/default/credit", { kind: "grant", amount_usd: "1", reference: "x" }], ["GET", "/api/v1/teams/default/usage"],
    ["DELETE", `/api/v1/keys/${theirs}`], ["POST", `/api/v1/keys/${theirs}/rotate`, {}], ["POST", "/api/v1/keys", { name: "x", person: "admin" }],
    ["GET", "/api/v1/caps"], ["PUT", "/api/v1/caps", { scope: "team", target: "default", period: "month", limit_usd: null }], ["GET", "/api/v1/prices"], ["POST", "/api/v1/prices", { model: MODEL, input_usd: "0", output_usd: "0" }],
    ["GET", "/api/v1/models"], ["PUT", "/api/v1/models", { id: MODEL }], ["GET", "/api/v1/audit"], ["GET", "/api/v1/ledger/verify"],
  ];
  const replies = await cal.evaluate(async (routes) => {
    const replies = [];
    for (const [method, path, body] of routes) {
      const reply = await fetch(path, { method, headers: body ? { "content-type": "application/json" } : {}, body: body && JSON.stringify(body) });
      replies.push([method, path, reply.status, await reply.text()]);
    }
    for (const project of ["default/inference", "default/summaries", "default/no-such"]) {
      const reply = await fetch("/v1/chat/completions", { method: "POST", headers: { "content-type": "application/json", "openai-project": project }, body: JSON.stringify({ model: "tokenmill/demo", messages: [{ role: "user", content: "x" }] }) });
      replies.push(["POST", project, reply.status, await reply.text()]);
    }
    return replies;
  }, routes);
  for (const [method, path, status, text] of replies) {
    assert.ok([401, 403, 404].includes(status), `${method} ${path}: ${status} ${text}`);
    assert.doesNotMatch(text, /secret of default|summaries|bea/, `${method} ${path}`);
  }
  const own = await cal.evaluate(() => fetch("/api/v1/keys").then((r) => r.text()) );
  assert.doesNotMatch(own, /"person":"admin"/);
  // Whoever adds another team's person to their own cannot take them over with a link.
  const taken = await cal.evaluate(async () => {
    await fetch("/api/v1/teams/blue/members/bea", { method: "PUT", headers: { "content-type": "application/json" }, body: '{"role":"member"}' });
    return (await fetch("/api/v1/teams/blue/members/bea/invitation", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" })).status;
  });
  assert.equal(taken, 403);
  await cal.context().close();
  assert.equal((await rig.api("GET", `/api/v1/teams/default/saved/${saved.id}`, undefined, key)).status, 200);
});

test("two panes take a thousand tokens a second without falling behind", async () => {
  const N = 2000, RATE = 1000;
  const words = ["The ", "mill ", "turns ", "**tokens** ", "into ", "`text`, ", "and ", "so on.\n\n"];
  const chunk = (delta, finish_reason = null) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
  let sent_at = 0;
  // The engine's pace is not the page's matter: a server that keeps the rate takes the requests, over a real connection each.
  const server = createServer((request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const begun = performance.now();
    let n = 0;
    const timer = setInterval(() => {
      const due = Math.min(N, Math.floor(((performance.now() - begun) / 1000) * RATE));
      let text = "";
      for (; n < due; n++) text += chunk({ content: words[n % words.length] });
      response.write(text);
      if (n < N) return;
      clearInterval(timer);
      response.end(`${chunk({}, "stop")}data: [DONE]\n\n`);
      sent_at = Date.now();
    }, 4);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  await visit(`/console/playground?models=${encodeURIComponent(MODEL)},${encodeURIComponent(MODEL)}`);
  await page.locator(".pane").nth(1).waitFor();
  await page.route("**/v1/chat/completions", (route) => route.continue({ url: `http://127.0.0.1:${server.address().port}/v1/chat/completions` }));
  await page.evaluate(() => {
    const frames = (globalThis.frames_ms = []);
    let last = performance.now();
    const look = (now) => {
      frames.push(now - last);
      last = now;
      globalThis.shown_at = Date.now();
      if (document.querySelectorAll(".message.assistant .stats, .message.assistant .tools").length < 2) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  await page.getByLabel("Message", { exact: true }).fill("go");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".message.assistant .tools").length === 2);
  await page.unroute("**/v1/chat/completions");
  server.close();
  const { frames, shown_at, texts } = await page.evaluate(() => ({ frames: globalThis.frames_ms, shown_at: globalThis.shown_at, texts: [...document.querySelectorAll(".message.assistant .prose")].map((e) => e.textContent) }));
  frames.sort((a, b) => a - b);
  const [middle, longest] = [frames[frames.length >> 1], frames.at(-1)];
  console.log(`1,000 tokens/s into each of two panes for 2 s: the end is seen ${shown_at - sent_at} ms after it was sent; ${frames.length} frames, half of them within ${middle.toFixed(0)} ms, the longest ${longest.toFixed(0)} ms`);
  const plain = words.join("").replace(/[*`]/g, "").trim();
  for (const text of texts) assert.equal(text.split(plain).length - 1, N / words.length);
  assert.ok(shown_at - sent_at < 300, `seen ${shown_at - sent_at} ms late`);
  assert.ok(middle < 50 && longest < 300, `half of the frames within ${middle} ms, the longest ${longest} ms`);
});

const PAGES = [["models", "/console/models"], ["model", `/console/models/${MODEL}`], ["playground", "/console/playground"], ["keys", "/console/keys"], ["team", "/console/team"], ["usage", "/console/usage"], ["billing", "/console/billing"], ["operations", "/console/operations"], ["account", "/console/account"], ["docs", "/docs"]];

test("axe-core finds no serious fault on any page, in both themes and on a phone", async () => {
  const state = await page.context().storageState();
  for (const [look, options] of Object.entries({
    "light-desktop": { colorScheme: "light" }, "dark-desktop": { colorScheme: "dark" },
    "light-phone": { colorScheme: "light", viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
    "dark-phone": { colorScheme: "dark", viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
  })) {
    const visitor = await rig.visitor({ storageState: state, ...options });
    for (const [name, path] of PAGES) {
      await visitor.goto(rig.base + path);
      await visitor.locator("h1").first().waitFor({ state: "attached" });
      await visitor.locator(".loading").waitFor({ state: "detached" }).catch(() => {});
      if (name === "operations") await visitor.locator(".chart canvas").waitFor();
      if (name === "playground") {
        await visitor.getByLabel("Message", { exact: true }).fill("Tell me a joke.");
        await visitor.keyboard.press("Enter");
        await visitor.locator(".message.assistant .stats").waitFor();
      }
      await rig.shot(visitor, `${look}-${name}`);
      assert.deepEqual(await rig.serious(visitor), [], `${look} ${path}`);
      const width = await visitor.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(width[0] <= width[1], `${look} ${path} is ${width[0]} wide on ${width[1]}`);
    }
    assert.deepEqual(visitor.faults, [], look);
    assert.deepEqual(visitor.strangers, [], look);
    await visitor.context().close();
  }
});

/** `g` and a letter: again where the machine was too busy to take them for one gesture. */
async function goByKeys(key, title) {
  for (let i = 0; i < 20; i++) {
    await page.keyboard.press("g");
    await page.keyboard.press(key);
    if (await page.getByRole("heading", { name: title }).waitFor({ timeout: 2_000 }).then(() => true, () => false)) return;
  }
  assert.fail(`g ${key} does not go to ${title}`);
}

test("everything is reached from the keyboard", async () => {
  await visit("/console/models");
  await page.locator(".card.model").first().waitFor();
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Search models");
  await page.evaluate(() => document.activeElement.blur());
  await goByKeys("u", "Usage");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor({ state: "detached" });
  await goByKeys("m", "Models");
  const reached = new Set();
  await page.locator(".card.model").first().waitFor();
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => { const e = document.activeElement; return e.getAttribute("aria-label") || e.textContent.trim() || e.id || e.type; }));
  }
  for (const name of ["Playground", "API keys", "Sign out", "Search models", `Try it: ${MODEL}`]) assert.ok(reached.has(name), `${name} is not reached: ${[...reached].join(", ")}`);
});

test("a person who has no mouse chats, edits the message, makes a key and signs out", async () => {
  const other = await rig.visitor();
  await other.goto(`${rig.base}/console/`);
  await other.getByLabel("Name").waitFor();
  const keys = other.keyboard;
  // The first field has the focus; Tab and Enter do the rest.
  const tabTo = async (name, most = 60) => {
    for (let i = 0; i < most; i++) {
      const at = await other.evaluate(() => { const e = document.activeElement; return e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent.trim(); });
      if (at === name) return;
      await keys.press("Tab");
    }
    assert.fail(`Tab does not reach ${name}`);
  };
  await tabTo("Name");
  await keys.type("admin");
  await tabTo("Password");
  await keys.type(PASSWORD);
  await keys.press("Enter");
  await other.locator(".card.model").first().waitFor();
  await tabTo(`Try it: ${MODEL}`);
  await keys.press("Enter");
  await other.getByRole("heading", { name: "Playground" }).waitFor();
  await tabTo("Message");
  await keys.type("Tell me a joke.");
  await keys.press("Enter");
  await other.locator(".message.assistant .stats").waitFor();
  await other.evaluate(() => document.getElementById("content").focus());
  await tabTo("Edit");
  await keys.press("Enter");
  await other.getByLabel("Text of the message").waitFor();
  await tabTo("Text of the message");
  await keys.press("Control+A");
  await keys.type("Another one.");
  await tabTo("Save");
  await keys.press("Enter");
  await other.locator(".message.user").getByText("Another one.").waitFor();
  await other.goto(`${rig.base}/console/keys`);
  await other.getByRole("button", { name: "New key" }).waitFor();
  await tabTo("New key");
  await keys.press("Enter");
  await other.getByRole("dialog").waitFor();
  await tabTo("Name");
  await keys.type("by keyboard");
  await keys.press("Enter");
  await other.getByRole("textbox", { name: "Your new key" }).waitFor();
  await keys.press("Escape");
  await other.getByText("by keyboard").waitFor();
  await tabTo("Sign out", 120);
  await keys.press("Enter");
  await other.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.deepEqual(other.faults, []);
  await other.context().close();
});

test("nothing went wrong on the way", () => {
  assert.deepEqual(page.faults, []);
  assert.deepEqual(page.strangers, []);
});
