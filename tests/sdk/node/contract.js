// Every body that a client here receives, held against two descriptions: the server's own /openapi.json, and OpenAI's shapes,
// closed but for our own fields, which the Rust tests use as well.

import { readFile } from "node:fs/promises";

import { Ajv2020 } from "ajv/dist/2020.js";

const OPENAI = new URL("../../../crates/gateway/tests/http/openai/schemas.json", import.meta.url);

/** By path: OpenAI's shape of a whole answer, and that of a stream's events. */
const SHAPES = {
  "/v1/chat/completions": ["ChatCompletion", "ChatCompletionChunk"],
  "/v1/models": ["ListModelsResponse"],
  "/v1/models/{id}": ["Model"],
};

export class Contract {
  faults = [];
  nChecked = 0;

  /** Reads what a server says of itself. */
  static async of(baseURL) {
    const contract = new Contract();
    contract.document = await (await fetch(baseURL.replace(/\/v1$/, "/openapi.json"))).json();
    contract.paths = Object.keys(contract.document.paths).map((path) => [pattern(path), path]);
    // Formats of times and numbers are the Rust and Python tests' to check.
    contract.ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
    contract.ajv.addSchema(contract.document, "document");
    contract.ajv.addSchema(JSON.parse(await readFile(OPENAI, "utf8")), "openai");
    return contract;
  }

  /** `fetch` for a client, which sees no more than it would. The bytes are read on their way, so that leaving still leaves. */
  fetch = async (url, init) => {
    const response = await fetch(url, init);
    if (!response.body) return response;
    const pieces = [];
    const copying = new TransformStream({
      transform(piece, controller) {
        pieces.push(piece);
        controller.enqueue(piece);
      },
      flush: () => this.check(init.method, new URL(url).pathname, response, Buffer.concat(pieces).toString()),
    });
    return new Response(response.body.pipeThrough(copying), response);
  };

  /** Notes what is wrong with an answer. */
  check(method, urlPath, response, body) {
    const mediaType = response.headers.get("content-type").split(";")[0];
    const place = `${method} ${urlPath} ${response.status} ${mediaType}`;
    const path = this.paths.find(([pattern]) => pattern.test(urlPath))?.[1];
    const content = this.document.paths[path]?.[method.toLowerCase()]?.responses[response.status]?.content ?? {};
    const [name, media] = Object.entries(content).find(([name]) => name.split(";")[0] === mediaType) ?? [];
    if (!media) return void this.faults.push(`${place} is not described`);
    const isStream = mediaType === "text/event-stream";
    const escaped = [path, method.toLowerCase(), "responses", response.status, "content", name].map(pointer);
    const described = `document#/paths/${escaped.join("/")}/${isStream ? "x-event-schema" : "schema"}`;
    const values = isStream ? events(body) : [JSON.parse(body)];
    for (const value of values) {
      const isFault = isStream && value.error;
      if (!isFault) this.holds(described, value, place);
      const shape = isFault || response.status >= 400 ? "ErrorResponse" : SHAPES[path]?.[isStream ? 1 : 0];
      if (shape) this.holds(`openai#/$defs/${shape}`, value, place);
    }
  }

  holds(schema, value, place) {
    this.nChecked += 1;
    const validate = this.ajv.getSchema(schema);
    if (!validate) this.faults.push(`${place}: there is no ${schema}`);
    else if (!validate(value)) {
      this.faults.push(`${place}: ${this.ajv.errorsText(validate.errors)} in ${JSON.stringify(value)}`);
    }
  }
}

/** The values of a stream's events, but for the last, which is no value. */
function events(body) {
  const data = [...body.matchAll(/^data: (.*)$/gm)].map((match) => match[1]);
  return data.filter((text) => text !== "[DONE]").map((text) => JSON.parse(text));
}

function pattern(path) {
  const escaped = path.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
  // The last part of one path may hold slashes.
  return new RegExp(`^${escaped.replace(/\{id\}$/, ".+").replace(/\{\w+\}/g, "[^/]+")}$`);
}

function pointer(part) {
  return encodeURIComponent(String(part).replaceAll("~", "~0").replaceAll("/", "~1"));
}
