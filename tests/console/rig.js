// The real binary with data of its own, and a real browser in front of it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SHOTS = process.env.TOKENMILL_SCREENSHOTS;
export const PASSWORD = "correct horse battery";

export class Rig {
  /** With the built-in model, or those of `models`, each `NAME=FILE`. */
  static async start({ models = [], listen = "127.0.0.1:0", config } = {}) {
    const binary = process.env.TOKENMILL_BIN;
    if (!binary) throw new Error("TOKENMILL_BIN must name the binary, as `cargo xtask test console` does");
    const rig = new Rig();
    rig.dataDir = mkdtempSync(join(tmpdir(), "tokenmill-"));
    const args = ["serve", "--listen", listen, "--data-dir", rig.dataDir, "--log-level", "warn"];
    for (const model of models) args.push("--model", model);
    if (config) args.push("--config", config);
    if (process.env.TEST_CONSOLE_DIR) args.push("--console-dir", process.env.TEST_CONSOLE_DIR);
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TOKENMILL_")));
    rig.process = spawn(binary, args, { stdio: ["ignore", "pipe", "inherit"], env });
    for await (const line of createInterface({ input: rig.process.stdout })) {
      rig.key ??= /^\s*API key\s+(\S+)$/.exec(line)?.[1];
      rig.welcome ??= /(http\S+\/console\/welcome#\S+)/.exec(line)?.[1];
      if (rig.key && rig.welcome) break;
    }
    rig.base = new URL(rig.welcome).origin;
    rig.browser = await chromium.launch({
      executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
      args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    });
    return rig;
  }

  /** A new browser profile. Whatever goes wrong in its pages is gathered in `faults`, whatever it asks for elsewhere in `strangers`. */
  async visitor(options = {}) {
    const context = await this.browser.newContext({ viewport: { width: 1360, height: 860 }, ...options });
    const page = await context.newPage();
    page.faults = [];
    page.strangers = [];
    page.on("pageerror", (error) => page.faults.push(String(error)));
    page.on("console", (entry) => {
      if (entry.type() === "error" && !/Failed to load resource/.test(entry.text())) page.faults.push(entry.text());
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(this.base) && !request.url().startsWith("data:")) page.strangers.push(request.url());
    });
    page.setDefaultTimeout(15_000);
    return page;
  }

  async signIn(page, person, password = PASSWORD) {
    await page.goto(`${this.base}/console/`);
    await page.getByLabel("Name").fill(person);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.getByRole("heading", { name: "Models" }).waitFor();
  }

  /** Signs in whom the printed link makes the first administrator. */
  async firstVisit(page) {
    await page.goto(this.welcome);
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByLabel("Once more").fill(PASSWORD);
    await page.getByRole("button", { name: "Set password and sign in" }).click();
    await page.getByRole("heading", { name: "Models" }).waitFor();
  }

  /** Calls the API with a key. */
  async api(method, path, body, key = this.key) {
    const response = await fetch(this.base + path, {
      method, headers: { authorization: `Bearer ${key}`, "content-type": "application/json" }, body: body && JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, json: text ? JSON.parse(text) : null };
  }

  /** Faults that axe-core finds and calls serious or critical. */
  async serious(page) {
    // Through the debugger: the page's own policy lets no script in.
    const session = await page.context().newCDPSession(page);
    await session.send("Runtime.evaluate", { expression: AXE });
    await session.detach();
    const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    const bad = found.violations.filter((fault) => ["serious", "critical"].includes(fault.impact));
    return bad.map((fault) => `${fault.id}: ${fault.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`).join(" | ")}`);
  }

  async shot(page, name) {
    if (!SHOTS) return;
    mkdirSync(SHOTS, { recursive: true });
    await page.screenshot({ path: join(SHOTS, `${name}.png`) });
  }

  async stop() {
    await this.browser.close();
    const ended = once(this.process, "exit");
    this.process.kill("SIGTERM");
    await ended;
    rmSync(this.dataDir, { recursive: true });
  }
}
