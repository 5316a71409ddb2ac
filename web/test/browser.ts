/** A static folder served on this machine, and headless Chromium that opens it. */

import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

import { type BrowserContext, chromium } from "playwright-core";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
const MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"];
const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/** Why nothing can be tried in a browser here, or false. */
export const noBrowser = existsSync(CHROMIUM) ? false : "no Chromium here; CHROMIUM names one";

/** Serve a folder as any static host does. */
export async function served(folder: string): Promise<{ server: Server; address: string }> {
  const server = createServer((request, response) => {
    const path = join(folder, normalize(decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname)));
    const file = existsSync(path) && statSync(path).isDirectory() ? join(path, "index.html") : path;
    if (!existsSync(file)) return void response.writeHead(404).end();
    response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

/** What a first visit of a page loads: the files that its service worker keeps at once. */
export function firstVisitBytes(site: string): number {
  const [build] = /\{.*\}/.exec(readFileSync(join(site, "sw.js"), "utf8").split("\n")[0]!)!;
  const { files } = JSON.parse(build) as { files: string[] };
  return files.reduce((sum, name) => sum + statSync(join(site, name === "./" ? "index.html" : name)).size, 0);
}

/** A browser with a profile of its own in a folder, and a microphone that beeps once a second. */
export function browser(profile: string): Promise<BrowserContext> {
  const args = [...FLAGS, "--disable-component-update", "--disable-sync", ...MICROPHONE];
  return chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, headless: true, args, permissions: ["microphone"] });
}
