import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import type { BrowserContext, Page } from "playwright-core";

import { browser, firstVisitBytes, noBrowser, served } from "./browser.ts";
import { ROOT, noPython } from "./python.ts";

const skip = noBrowser || noPython;
const folder = mkdtempSync(join(tmpdir(), "page-"));
const asked: string[] = [];
const complaints: string[] = [];
let server: Server;
let address: string;
let context: BrowserContext;
let page: Page;

before(async () => {
  if (skip) return;
  const made = spawnSync(`${ROOT}.venv/bin/soundstream`, ["serve", "--static", join(folder, "site")], { cwd: ROOT, encoding: "utf8" });
  assert.equal(made.status, 0, made.stderr);
  ({ server, address } = await served(join(folder, "site")));
  context = await browser(join(folder, "profile"));
  page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(error.message));
  context.on("request", (request) => asked.push(request.url()));
  await page.goto(address);
});

after(async () => {
  if (!skip) {
    await context.close();
    server.close();
  }
  rmSync(folder, { recursive: true, force: true });
});

const text = async (id: string): Promise<string> => (await page.locator(`#${id}`).textContent()) ?? "";

/** Wait until a figure is told. */
async function told(id: string): Promise<string> {
  await page.waitForFunction((name) => !["–", "", "0"].includes(document.getElementById(name)?.textContent ?? ""), id, { timeout: 60_000 });
  return text(id);
}

test("the page codes an example, plays it and saves the file", { skip }, async () => {
  await page.click("#examples button");
  assert.match(await told("used"), /kbit/);
  const saving = page.waitForEvent("download");
  await page.click("#save-nac");
  const data = readFileSync(await (await saving).path());
  assert.equal(data.toString("latin1", 1, 4), "NAC");
  assert.ok((await text("size")).startsWith(`${(data.length / 1000).toFixed(1)} kB of `), await text("size"));
  await page.keyboard.press("Space");
  await page.keyboard.press("b");
  await page.waitForFunction(() => document.getElementById("clock")?.textContent !== "0:00.0");
  assert.equal(await page.getAttribute("#hear-b", "aria-pressed"), "true");
  await page.keyboard.press("Space");
});

test("live sound from a microphone goes through the codec", { skip }, async () => {
  await page.click("#live");
  assert.match(await told("live-rate"), /kbit/);
  assert.match(await text("live-lost"), /^0 of \d+/);
  await page.click("#live");
});

test("after the first visit it codes without a network", { skip }, async () => {
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await context.setOffline(true);
  await page.reload();
  await page.click("#record");
  await page.waitForFunction(() => document.getElementById("record-time")?.textContent !== "0:00", null, { timeout: 20_000 });
  await page.click("#record-stop");
  assert.match(await told("used"), /kbit/);
});

test("nothing went elsewhere, and what is needed at first is less than 30 MB", { skip }, () => {
  const elsewhere = asked.filter((url) => !url.startsWith(address) && !url.startsWith("blob:") && !url.startsWith("data:"));
  assert.deepEqual(elsewhere, []);
  assert.deepEqual(complaints, []);
  const sum = firstVisitBytes(join(folder, "site"));
  assert.ok(sum < 30e6, `${sum} bytes`);
});
