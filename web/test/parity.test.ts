import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { toHex } from "../src/bytes.ts";
import { type Codec, load } from "../src/codec.ts";
import { LiveDecoder, LiveEncoder } from "../src/live.ts";
import { joined } from "../src/runtime/resample.ts";
import { ROOT, bytes, noPython, python } from "./python.ts";

const SHIPPED = "src/soundstream/models";
/** Rate in Hz, bit rate, channels and denoising of each clip. */
const CLIPS = [[24000, 6000, 1, 0], [48000, 3000, 2, 0], [44100, 9000, 1, 0], [16000, 1500, 1, 1]] as const;
const CLIP_S = 0.4;
/** Clips of each model: base rounds inputs of large products to int8, `floats` is base without that, seanet needs ONNX Runtime. */
const MODELS = { rounded: 1, floats: CLIPS.length, seanet: 1 };
/** Live packets that do not arrive. */
const LOST = [3, 4];

/** What Python makes of the same sound, and of our files. */
const PYTHON = `
import json, sys
from pathlib import Path
import numpy as np, soundstream
folder, models, clips, lost = Path(sys.argv[1]), *map(json.loads, sys.argv[2:])
for name, count in models.items():
    here = folder / name
    codec = soundstream.load(here)
    for i, (rate, bitrate, channels, denoise) in enumerate(clips[:count]):
        pcm = np.fromfile(folder / f"{i}.pcm", np.float32).reshape(channels, -1)
        data = codec.encode(pcm, rate, bitrate, denoise=denoise)
        (here / f"{i}.nac").write_bytes(data)
        codec.decode(data)[0].tofile(here / f"{i}.decoded")
    codec.decode((here / "0.ours.nac").read_bytes())[0].tofile(here / "0.ours.decoded")
    encoder, decoder = codec.open_encoder(24_000, bitrate=6000, packet_frames=4), codec.open_decoder(48_000)
    packets = encoder.push(np.fromfile(folder / "0.pcm", np.float32))
    (here / "live.json").write_text(json.dumps([packet.hex() for packet in packets]))
    heard = [decoder.push(None if i in lost else packet) for i, packet in enumerate(packets)]
    np.concatenate(heard, axis=1).tofile(here / "live.decoded")
`;

const folder = mkdtempSync(join(tmpdir(), "parity-"));
after(() => { rmSync(folder, { recursive: true }); });
const codecs = new Map<string, Codec>();

const file = (...names: string[]): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(folder, ...names)));
const floats = (...names: string[]): Float32Array => new Float32Array(file(...names).buffer);

function split(samples: Float32Array, channels: number): Float32Array[] {
  const length = samples.length / channels;
  return Array.from({ length: channels }, (_, i) => samples.slice(i * length, (i + 1) * length));
}

/** A hum that slides and swells, and hiss between. */
function sound(rate: number, channels: number): Float32Array {
  const length = Math.round(CLIP_S * rate) + 34;
  return Float32Array.from({ length: channels * length }, (_, i) => {
    const time = (i % length) / rate;
    const phase = 2 * Math.PI * (110 * time + 40 * time * time + Math.floor(i / length) / 4);
    const hum = [1, 2, 3, 5, 8, 13].reduce((sum, harmonic) => sum + Math.sin(harmonic * phase) / harmonic, 0);
    const hiss = Math.abs((Math.sin(i * 12.9898) * 43758.5453) % 1) - 0.5;
    return 0.2 * hum * Math.sin(Math.PI * time / CLIP_S) + 0.1 * hiss * Number(time % 0.3 > 0.2);
  });
}

/** The model whose products take their inputs as they are: `accuracy_level` 0 in the place of 4. */
function withoutRounding(name: string, data: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const level = new TextEncoder().encode("accuracy_level\x18");
  for (let at = Buffer.from(data.buffer).indexOf(level); at >= 0; at = Buffer.from(data.buffer).indexOf(level, at + 1)) {
    assert.equal(data[at + level.length], 4, name);
    data[at + level.length] = 0;
  }
  return data;
}

function writeModel(name: string): void {
  const source = `${SHIPPED}/${name === "seanet" ? name : "base"}`;
  cpSync(ROOT + source, join(folder, name), { recursive: true });
  if (name !== "floats") return;
  const manifest = JSON.parse(readFileSync(join(folder, name, "manifest.json"), "utf8")) as { files: Record<string, string>; model_id: string };
  for (const one of Object.keys(manifest.files).filter((file) => file.endsWith(".onnx"))) {
    const data = withoutRounding(one, bytes(`${source}/${one}`));
    writeFileSync(join(folder, name, one), data);
    manifest.files[one] = createHash("sha256").update(data).digest("hex");
  }
  const files = Object.fromEntries(Object.entries(manifest.files).sort());
  const digests = JSON.stringify(files).replaceAll(":", ": ").replaceAll(",", ", ");
  manifest.model_id = createHash("sha256").update(digests).digest("hex").slice(0, 16);
  writeFileSync(join(folder, name, "manifest.json"), JSON.stringify(manifest));
}

/** The first samples that soxr gives at 44,100 Hz are its own: it begins such a ratio otherwise than it goes on. */
const EDGE = 48;

function farthest(found: readonly Float32Array[], expected: readonly Float32Array[], edge = 0): number {
  assert.deepEqual(found.map(({ length }) => length), expected.map(({ length }) => length));
  const away = found.flatMap((channel, i) => Array.from(channel, (sample, j) => Math.abs(sample - expected[i]![j]!)).slice(edge));
  return away.reduce((worst, one) => Math.max(worst, one), 0);
}

before(async () => {
  if (noPython) return;
  CLIPS.forEach(([rate, , channels], i) => { writeFileSync(join(folder, `${i}.pcm`), sound(rate, channels)); });
  for (const [name, count] of Object.entries(MODELS)) {
    writeModel(name);
    const codec = await load((one) => Promise.resolve(file(name, one)));
    codecs.set(name, codec);
    for (const [i, [rate, bitrate, channels, denoise]] of CLIPS.slice(0, count).entries()) {
      writeFileSync(join(folder, name, `${i}.ours.nac`), await codec.encode(split(floats(`${i}.pcm`), channels), rate, { bitrate, denoise }));
    }
  }
  python(PYTHON, folder, ...[MODELS, CLIPS, LOST].map((one) => JSON.stringify(one)));
});

/** What share of the codes of a clip are those of Python. */
async function equalShare(name: string, i: number): Promise<number> {
  const [ours, theirs] = await Promise.all([`${i}.ours.nac`, `${i}.nac`].map((one) => codecs.get(name)!.codesOf(file(name, one))));
  assert.deepEqual(ours!.file.header, theirs!.file.header);
  const pairs = ours!.codes.flatMap((codes, j) => Array.from(codes.data, (code, k) => code === theirs!.codes[j]!.data[k]));
  return pairs.filter(Boolean).length / pairs.length;
}

/** How far a file sounds from what Python makes of it, at the farthest sample. */
async function farApart(name: string, i: number, one: string): Promise<number> {
  const [rate, , channels] = CLIPS[i]!;
  const found = await codecs.get(name)!.decode(file(name, `${one}.nac`));
  assert.equal(found.sampleRate, rate);
  return farthest(found.channels, split(floats(name, `${one}.decoded`), channels), rate === 44100 ? EDGE : 0);
}

async function assertEqual(name: string, i: number, least: number): Promise<void> {
  const share = await equalShare(name, i);
  assert.ok(share >= least, `${share} of the codes of clip ${i} are equal`);
}

async function assertNear(name: string, i: number, one: string, most: number): Promise<void> {
  const apart = await farApart(name, i, one);
  assert.ok(apart < most, `a sample of ${one} differs by ${apart}`);
}

test("codes of base are those of Python", { skip: noPython }, async () => {
  for (const i of CLIPS.keys()) await assertEqual("floats", i, 0.999);
});

test("files of Python sound as in Python, and ours do there as here", { skip: noPython }, async () => {
  for (const i of CLIPS.keys()) await assertNear("floats", i, `${i}`, 1e-4);
  await assertNear("floats", 0, "0.ours", 1e-4);
});

test("products that round go the way of Python's, but for what falls on the other side of a half", { skip: noPython }, async () => {
  await assertEqual("rounded", 0, 0.8);
  await assertNear("rounded", 0, "0", 0.02);
});

test("a model with operators that we do not have runs in ONNX Runtime", { skip: noPython }, async () => {
  await assertEqual("seanet", 0, 0.999);
  await assertNear("seanet", 0, "0", 1e-4);
});

test("live packets are those of Python, and sound the same where some are lost", { skip: noPython }, async () => {
  const codec = codecs.get("floats")!;
  const encoder = await LiveEncoder.open(codec, 24000, { bitrate: 6000, packetFrames: 4 });
  const packets = await encoder.push(floats("0.pcm"));
  assert.deepEqual(packets.map(toHex), JSON.parse(readFileSync(join(folder, "floats", "live.json"), "utf8")));
  const decoder = await LiveDecoder.open(codec, 48000);
  const heard: Float32Array[] = [];
  for (const [i, packet] of packets.entries()) heard.push(await decoder.push(LOST.includes(i) ? null : packet));
  assert.ok(farthest([joined(heard)], [floats("floats", "live.decoded")]) < 1e-4);
  await assert.rejects(decoder.push(new Uint8Array(1)), { name: "Truncated" });
  await assert.rejects(decoder.push(packets[0]!.slice(0, -1)), { name: "InvalidField" });
});

test("a file of another model is refused by name", { skip: noPython }, async () => {
  await assert.rejects(codecs.get("floats")!.decode(bytes("tests/golden/best.nac")), { name: "ModelMismatch" });
});
