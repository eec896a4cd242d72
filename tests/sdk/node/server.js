// A running Tokenmill for the tests: the binary named by TOKENMILL_BIN, on a free port, with data of its own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import OpenAI from "openai";

import { Contract } from "./contract.js";

export const MODEL = "tokenmill/demo";

export class Server {
  /** Starts the binary and waits until it says where it listens and which key it made. */
  static async start() {
    const binary = process.env.TOKENMILL_BIN;
    if (!binary) throw new Error("TOKENMILL_BIN must name the binary, as `cargo xtask test node` does");
    const server = new Server();
    server.dataDir = await mkdtemp(join(tmpdir(), "tokenmill-"));
    const args = ["serve", "--listen", "127.0.0.1:0", "--data-dir", server.dataDir, "--log-level", "warn"];
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TOKENMILL_")));
    server.process = spawn(binary, args, { stdio: ["ignore", "pipe", "inherit"], env });
    for await (const line of createInterface({ input: server.process.stdout })) {
      const [, name, value] = /^\s*(Base URL|API key)\s+(\S+)$/.exec(line) ?? [];
      if (name === "Base URL") server.baseURL = value;
      if (name === "API key") server.key = value;
      if (server.baseURL && server.key) break;
    }
    if (!server.key) throw new Error("the server ended before it was ready");
    server.contract = await Contract.of(server.baseURL);
    return server;
  }

  /** The SDK's client as a user makes it; retries off, so that a refusal is seen and not retried. */
  client(changes = {}) {
    const { baseURL, key: apiKey, contract } = this;
    return new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 60_000, fetch: contract.fetch, ...changes });
  }

  /** The sum of a metric over its labels. */
  async metric(name) {
    const response = await fetch(this.baseURL.replace(/\/v1$/, "/metrics"));
    const lines = (await response.text()).split("\n").filter((line) => new RegExp(`^${name}[ {]`).test(line));
    if (lines.length === 0) throw new Error(`/metrics has no ${name}`);
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  /** Asks until the metric has this value. The server counts just after a last byte or step, not before it. */
  async waitForMetric(name, expected) {
    const deadline = performance.now() + 10_000;
    for (;;) {
      const value = await this.metric(name);
      if (value === expected) return;
      if (performance.now() > deadline) throw new Error(`${name} stays at ${value}`);
    }
  }

  /** Ends the server as a service manager does; gives its exit code. Throws if an answer was not as described. */
  async stop() {
    const ended = once(this.process, "exit");
    this.process.kill("SIGTERM");
    const [code] = await ended;
    await rm(this.dataDir, { recursive: true });
    const { faults, nChecked } = this.contract;
    if (faults.length || !nChecked) throw new Error(`${nChecked} answers were checked; faults:\n${faults.join("\n")}`);
    return code;
  }
}
