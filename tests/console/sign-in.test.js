// Signing in with an identity provider, through the button.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Provider } from "./provider.js";
import { Rig } from "./rig.js";

let provider, rig, page, folder;

/** A port that nobody listens on: the provider must know the console's address beforehand. */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

before(async () => {
  provider = await Provider.start();
  folder = mkdtempSync(join(tmpdir(), "tokenmill-config-"));
  const config = join(folder, "config.toml");
  const address = `127.0.0.1:${await freePort()}`;
  writeFileSync(config, `[gateway]\npublic_url = "http://${address}"\n[[oidc]]\nid = "corp"\nissuer = "${provider.issuer}"\nclient_id = "mill"\nlabel = "Corp"\n`);
  rig = await Rig.start({ config, listen: address });
  page = await rig.visitor();
  await rig.firstVisit(page);
});
after(async () => {
  await rig?.stop();
  await provider?.stop();
  if (folder) rmSync(folder, { recursive: true });
});

const corp = (of) => of.getByRole("button", { name: "Sign in with Corp" });

test("somebody with a verified address signs in, and comes back to the page they were on", async () => {
  await page.goto(`${rig.base}/console/team`);
  await page.getByRole("button", { name: "Add member" }).click();
  await page.getByLabel("Name", { exact: true }).fill("ann");
  await page.getByRole("dialog").getByRole("button", { name: "Add" }).click();
  await page.getByRole("button", { name: "Mail address of ann" }).click();
  await page.getByLabel("Mail address", { exact: true }).fill("Ann@corp.example");
  await page.getByRole("button", { name: "Set address" }).click();
  await page.getByText("ann@corp.example").waitFor();

  const ann = await rig.visitor();
  await ann.goto(`${rig.base}/console/usage?by=model`);
  await corp(ann).waitFor();
  assert.deepEqual(await rig.serious(ann), []);
  await rig.shot(ann, "sign-in-provider");
  // From the keyboard alone: the button comes before the fields, which have the focus.
  await ann.getByLabel("Name").focus();
  await ann.keyboard.press("Shift+Tab");
  assert.equal(await corp(ann).evaluate((button) => button === document.activeElement), true);
  await ann.keyboard.press("Enter");
  await ann.getByRole("link", { name: "Continue as Ann" }).click();
  await ann.getByRole("heading", { name: "Usage" }).waitFor();
  assert.equal(new URL(ann.url()).pathname + new URL(ann.url()).search, "/console/usage?by=model");
  const cookies = await ann.context().cookies(rig.base);
  assert.deepEqual(cookies.map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite })), [{ name: "tokenmill", httpOnly: true, sameSite: "Strict" }]);
  await ann.goto(`${rig.base}/console/account`);
  await ann.getByRole("heading", { name: "Sign-in with a provider" }).waitFor();
  await ann.getByRole("cell", { name: "Corp", exact: true }).waitFor();
  assert.deepEqual(await rig.serious(ann), []);
  await rig.shot(ann, "account-provider");
  await ann.getByRole("button", { name: "Sign out" }).click();
  await corp(ann).waitFor();
  assert.deepEqual(ann.faults, []);
  await page.reload();
  await page.getByText("linked", { exact: true }).waitFor();
  await ann.context().close();
});

test("whoever is not let in is told why, and the address keeps no code", async () => {
  const other = await rig.visitor();
  await other.goto(`${rig.base}/console/`);
  await corp(other).click();
  await other.getByRole("link", { name: "Cancel" }).click();
  await other.getByText("The sign-in was cancelled there").waitFor();
  provider.claims = { sub: "subject-2", email: "eve@corp.example", email_verified: true };
  await other.getByRole("link", { name: "Sign in another way, or again" }).click();
  await corp(other).click();
  await other.getByRole("link", { name: "Continue as Ann" }).click();
  await other.getByText("Nobody here has the mail address eve@corp.example").waitFor();
  assert.equal(other.url(), `${rig.base}/console/callback/corp`);
  assert.deepEqual(await rig.serious(other), []);
  await rig.shot(other, "sign-in-refused");
  // A link that somebody else has made lets nobody in.
  await other.goto(`${rig.base}/console/callback/corp?code=theirs&state=theirs`);
  await other.getByText("This sign-in was not begun in this browser").waitFor();
  await other.context().close();
});

test("where the provider has gone the page says so, and the password is still there", async () => {
  const other = await rig.visitor();
  await other.goto(`${rig.base}/console/`);
  await corp(other).click();
  await other.getByRole("link", { name: "Continue as Ann" }).waitFor();
  await provider.stop();
  await other.getByRole("link", { name: "Continue as Ann" }).click();
  await other.getByText("Corp cannot be reached just now; try again later, or sign in with your password").waitFor();
  await rig.signIn(other, "admin");
  await other.context().close();
});
