/**
 * Speed in headless Chromium with one thread: npm run bench -- SITE, a folder that `soundstream serve --static` wrote.
 *
 * CPU time is that of all processes of the browser, compiling included: on a machine that does other work at the same
 * time it says more than the clock. Each part is run until the compiler of the browser is done with it.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";

import type { Page } from "playwright-core";

import { ROOT } from "../test/python.ts";
import { browser, firstVisitBytes, served } from "../test/browser.ts";

const BITRATES = [3000, 6000, 12000];
const PASSES = 6;
const LIVE_S = 10;
const CLOCK_HZ = 100;

/** CPU seconds that a browser with this profile took so far. */
function cpu_s(profile: string): number {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.reduce((sum, pid) => sum + ticks(pid, profile) / CLOCK_HZ, 0);
}

function ticks(pid: string, profile: string): number {
  try {
    if (!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(profile)) return 0;
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ");
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return 0; // it has ended
  }
}

interface Coded {
  file: ArrayBuffer;
  encode_s: number;
  decode_s: number;
  duration_s: number;
}

/** Make a worker in the page, and its clip: an example at 24 kHz. */
async function prepare(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const data = await (await fetch("examples/speech.flac")).arrayBuffer();
    const buffer = await new OfflineAudioContext(1, 1, 24000).decodeAudioData(data);
    const worker = new Worker("codec-worker.js", { type: "module" });
    let id = 0;
    const ask = (work: string, values: object): Promise<unknown> =>
      new Promise((resolve, reject) => {
        worker.onmessage = ({ data: answer }: MessageEvent<{ progress?: number; error?: { message: string }; result: unknown }>) => {
          if (answer.progress !== undefined) return;
          if (answer.error) reject(new Error(answer.error.message));
          else resolve(answer.result);
        };
        worker.postMessage({ id: ++id, work, ...values });
      });
    const pcm = [buffer.getChannelData(0)];
    Object.assign(globalThis, {
      code: (bitrate: number) => ask("code", { model: "base", bitrate, denoise: 0, loss: 0, pcm, sampleRate: 24000 }),
      decode: (file: ArrayBuffer) => ask("decode", { data: new Uint8Array(file) }),
    });
  });
}

async function row(page: Page, profile: string, bitrate: number): Promise<Record<string, number>> {
  const found: Record<string, number>[] = [];
  for (let pass = 0; pass < PASSES; pass++) {
    const before = cpu_s(profile);
    const { encode_s, decode_s, duration_s } = await page.evaluate(async (rate) => {
      const shared = globalThis as unknown as { code: (rate: number) => Promise<Coded>; file: ArrayBuffer };
      const coded = await shared.code(rate);
      shared.file = coded.file;
      return { encode_s: coded.encode_s, decode_s: coded.decode_s, duration_s: coded.duration_s };
    }, bitrate);
    const between = cpu_s(profile);
    await page.evaluate(async () => {
      const shared = globalThis as unknown as { decode: (file: ArrayBuffer) => Promise<unknown>; file: ArrayBuffer };
      await shared.decode(shared.file);
    });
    const decode_cpu_s = cpu_s(profile) - between;
    const encode_cpu_s = between - before - decode_cpu_s;
    found.push({ encode: duration_s / encode_cpu_s, decode: duration_s / decode_cpu_s, encode_clock: duration_s / encode_s, decode_clock: duration_s / decode_s });
  }
  const best = (name: string): number => Number(Math.max(...found.slice(1).map((one) => one[name]!)).toFixed(2));
  return { bitrate, encode: best("encode"), decode: best("decode"), encode_clock: best("encode_clock"), decode_clock: best("decode_clock") };
}

/** What the page says of live sound from the microphone, each second of some. */
async function live(page: Page): Promise<Record<string, number>> {
  const said: string[][] = [];
  await page.click("#live");
  await page.waitForFunction(() => document.querySelector("#live-load")?.textContent !== "–", null, { timeout: 60_000 });
  const before = await liveFigures(page);
  for (let second = 0; second < LIVE_S; second++) {
    await page.waitForTimeout(1000);
    said.push(await liveFigures(page));
  }
  await page.click("#live");
  const last = said.at(-1)!;
  const load = said.map((figures) => number(figures[2]!)).sort((a, b) => a - b)[Math.floor(LIVE_S / 2)]!;
  return { duration_s: LIVE_S, packets_per_s: number(last[3]!.split(" of ")[1]!), gaps: number(last[0]!) - number(before[0]!), delay_ms: number(last[1]!), load_percent: load };
}

const liveFigures = (page: Page): Promise<string[]> => page.locator("#live-gaps, #live-delay, #live-load, #live-lost").evaluateAll((found) => {
  return ["live-gaps", "live-delay", "live-load", "live-lost"].map((id) => found.find((one) => one.id === id)?.textContent ?? "");
});
const number = (text: string): number => Number(text.replace(/[^\d.]/g, ""));

const site = process.argv[2]!;
const profile = mkdtempSync(join(tmpdir(), "speed-"));
const { server, address } = await served(site);
const context = await browser(profile);
const page = await context.newPage();
await page.addInitScript("globalThis.__name = (value) => value"); // which functions of a TypeScript runner ask for
await page.goto(address);
await page.waitForSelector("#examples button");
const liveFound = await live(page);
await prepare(page);
const rows: Record<string, number>[] = [];
for (const bitrate of BITRATES) rows.push(await row(page, profile, bitrate));
const git = (...words: string[]): string => execFileSync("git", words, { cwd: ROOT, encoding: "utf8" }).trim();
const about = JSON.parse(readFileSync(join(site, "about.json"), "utf8")) as { models: { id: string }[] };
const result = {
  command: "npm run bench -- SITE (in web/)",
  commit: git("describe", "--always", "--dirty"),
  artifact: about.models[0]!.id,
  data: "examples/clips/speech.flac, 5.5 s; best of 5 passes after the first",
  date: new Date().toISOString().slice(0, 10),
  browser: context.browser()?.version() ?? "Chromium",
  threads: 1,
  load_average: loadavg().map((load) => Number(load.toFixed(1))),
  first_visit_mb: Number((firstVisitBytes(site) / 1e6).toFixed(1)),
  live: liveFound,
  rows,
};
await context.close();
server.close();
rmSync(profile, { recursive: true, force: true });
writeFileSync(join(ROOT, "docs/results/web.json"), `${JSON.stringify(result, null, 2)}\n`);
console.log(JSON.stringify(result, null, 2));
