// A small identity provider: discovery, keys, a page on which one signs in, and a token endpoint that checks PKCE.

import { createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

const encode = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

export class Provider {
  static async start() {
    const provider = new Provider();
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    Object.assign(provider, { privateKey, grants: new Map(), claims: { sub: "subject-1", email: "ann@corp.example", email_verified: true } });
    provider.key = { ...publicKey.export({ format: "jwk" }), kid: "key", use: "sig", alg: "ES256" };
    provider.server = createServer((request, response) => provider.answer(request, response));
    provider.server.listen(0, "127.0.0.1");
    await once(provider.server, "listening");
    provider.issuer = `http://127.0.0.1:${provider.server.address().port}`;
    return provider;
  }

  async answer(request, response) {
    const url = new URL(request.url, this.issuer);
    const json = (body, status = 200) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    if (url.pathname === "/.well-known/openid-configuration") {
      return json({ issuer: this.issuer, authorization_endpoint: `${this.issuer}/authorize`, token_endpoint: `${this.issuer}/token`, jwks_uri: `${this.issuer}/keys` });
    }
    if (url.pathname === "/keys") return json({ keys: [this.key] });
    if (url.pathname === "/authorize") return this.page(url, response);
    if (url.pathname === "/token") return json(...this.redeem(new URLSearchParams(Buffer.concat(await request.toArray()).toString())));
    return json({}, 404);
  }

  /** Two links: one signs in, the other declines. */
  page(url, response) {
    const asked = Object.fromEntries(url.searchParams);
    const code = randomUUID();
    this.grants.set(code, asked);
    const link = (fields, text) => {
      const back = new URL(asked.redirect_uri);
      back.search = new URLSearchParams({ ...fields, state: asked.state });
      return `<p><a href="${back.href.replaceAll("&", "&amp;")}">${text}</a></p>`;
    };
    response.writeHead(200, { "content-type": "text/html" });
    response.end(`<!doctype html><title>Corp</title><h1>Corp</h1>${link({ code, iss: this.issuer }, "Continue as Ann")}${link({ error: "access_denied" }, "Cancel")}`);
  }

  redeem(form) {
    const grant = this.grants.get(form.get("code"));
    this.grants.delete(form.get("code"));
    const challenge = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
    if (!grant || challenge !== grant.code_challenge || form.get("redirect_uri") !== grant.redirect_uri) return [{ error: "invalid_grant" }, 400];
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: this.issuer, aud: grant.client_id, nonce: grant.nonce, iat: now, exp: now + 300, ...this.claims };
    const text = `${encode({ alg: "ES256", kid: this.key.kid })}.${encode(claims)}`;
    const signature = sign("sha256", Buffer.from(text), { key: this.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url");
    return [{ token_type: "Bearer", access_token: "unused", id_token: `${text}.${signature}` }];
  }

  async stop() {
    if (!this.server.listening) return;
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }
}
