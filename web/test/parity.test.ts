import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { toHex } from "../src/bytes.ts";
import { type Codec, load } from "../src/codec.ts";
import { LiveDecoder, LiveEncoder } from "../src/live.ts";
import { configureRuntime } from "../src/runtime/network.ts";
import { withFloatProducts } from "../src/runtime/onnx.ts";
import { joined } from "../src/runtime/resample.ts";
import { bytes, noPython, python } from "./python.ts";

const BASE = "src/soundstream/models/base";
const GRAPHS = ["encoder.onnx", "decoder.onnx", "levels.onnx", "denoiser.onnx"];
const FILES = [...GRAPHS, "config.json", "codebooks.npy", "levels.npy", "entropy.npz"];
/** Rate in Hz, bit rate, channels and denoising of each clip. */
const CLIPS = [[24000, 6000, 1, 0], [48000, 3000, 2, 0], [44100, 9000, 1, 0], [16000, 1500, 1, 1]] as const;

/** Python with the same graphs: coded clips, their codes and sound, and the sound of our files. */
const PYTHON = `
import json, sys
from pathlib import Path
import numpy as np, soundfile, soxr, soundstream
from soundstream.runtime.artifact import write_manifest
folder, clips = Path(sys.argv[1]), json.loads(sys.argv[2])
write_manifest(folder)
codec = soundstream.load(folder)
pcm, rate = soundfile.read("examples/clips/speech.flac", dtype="float32")
for i, (to, bitrate, channels, denoise) in enumerate(clips):
    part = soxr.resample(pcm[rate : rate * 8 // 5 + 1234], rate, to).astype(np.float32)
    part = np.stack([part, -part[::-1]])[:channels]
    part.tofile(folder / f"{i}.pcm")
    data = codec.encode(part, to, bitrate, denoise=denoise)
    (folder / f"{i}.nac").write_bytes(data)
    codec.decode(data)[0].tofile(folder / f"{i}.decoded")
encoder, decoder = codec.open_encoder(rate, bitrate=6000, packet_frames=4), codec.open_decoder(48_000)
packets = encoder.push(pcm[rate : 2 * rate])
(folder / "live.json").write_text(json.dumps([packet.hex() for packet in packets]))
pcm[rate : 2 * rate].tofile(folder / "live.pcm")
heard = [decoder.push(None if i in (7, 8) else packet) for i, packet in enumerate(packets)]
np.concatenate(heard, axis=1).tofile(folder / "live.decoded")
`;
const DECODE = `
import sys
from pathlib import Path
import soundstream
folder, count = Path(sys.argv[1]), int(sys.argv[2])
codec = soundstream.load(folder)
for i in range(count):
    codec.decode((folder / f"{i}.ours.nac").read_bytes())[0].tofile(folder / f"{i}.ours.decoded")
`;

const folder = mkdtempSync(join(tmpdir(), "parity-"));
after(() => { rmSync(folder, { recursive: true }); });
let codec: Codec;

const floats = (name: string): Float32Array => new Float32Array(new Uint8Array(readFileSync(join(folder, name))).buffer);

function split(samples: Float32Array, channels: number): Float32Array[] {
  const length = samples.length / channels;
  return Array.from({ length: channels }, (_, i) => samples.slice(i * length, (i + 1) * length));
}

/** The first samples that soxr gives at 44,100 Hz are its own: it begins such a ratio otherwise than it goes on. */
const EDGE = 48;

function assertNear(found: readonly Float32Array[], expected: readonly Float32Array[], edge: number): void {
  assert.deepEqual(found.map(({ length }) => length), expected.map(({ length }) => length));
  found.forEach((channel, i) => {
    const away = channel.map((sample, j) => Math.abs(sample - expected[i]![j]!)).subarray(edge);
    const most = away.reduce((worst, one) => Math.max(worst, one), 0);
    assert.ok(most < 1e-4, `a sample differs by ${most}`);
  });
}

/** base, its products as this package computes them: in int8 Python rounds their inputs, which no browser does. */
before(async () => {
  if (noPython) return;
  configureRuntime(1);
  for (const name of FILES) {
    const data = bytes(`${BASE}/${name}`);
    writeFileSync(join(folder, name), GRAPHS.includes(name) ? withFloatProducts(data) : data);
  }
  python(PYTHON, folder, JSON.stringify(CLIPS));
  codec = await load((name) => Promise.resolve(new Uint8Array(readFileSync(join(folder, name)))));
});

test("codes of base are those of Python", { skip: noPython }, async () => {
  for (const [i, [rate, bitrate, channels, denoise]] of CLIPS.entries()) {
    const data = await codec.encode(split(floats(`${i}.pcm`), channels), rate, { bitrate, denoise });
    writeFileSync(join(folder, `${i}.ours.nac`), data);
    const [ours, theirs] = [codec.codesOf(data), codec.codesOf(new Uint8Array(readFileSync(join(folder, `${i}.nac`))))];
    assert.deepEqual(ours.file.header, theirs.file.header);
    const pairs = ours.codes.flatMap((codes, j) => Array.from(codes.data, (code, k) => code === theirs.codes[j]!.data[k]));
    const equal = pairs.filter(Boolean).length / pairs.length;
    assert.ok(equal >= 0.999, `${equal} of the codes of clip ${i} are equal`);
  }
});

test("files of Python sound as in Python, and ours do there as here", { skip: noPython }, async () => {
  python(DECODE, folder, String(CLIPS.length));
  for (const [i, [rate, , channels]] of CLIPS.entries()) {
    for (const name of [`${i}`, `${i}.ours`]) {
      const { channels: found, sampleRate } = await codec.decode(new Uint8Array(readFileSync(join(folder, `${name}.nac`))));
      assert.equal(sampleRate, rate);
      assertNear(found, split(floats(`${name}.decoded`), channels), rate === 44100 ? EDGE : 0);
    }
  }
});

test("live packets are those of Python, and sound the same where some are lost", { skip: noPython }, async () => {
  const expected = JSON.parse(readFileSync(join(folder, "live.json"), "utf8")) as string[];
  const encoder = await LiveEncoder.open(codec, 24000, { bitrate: 6000, packetFrames: 4 });
  const packets = await encoder.push(floats("live.pcm"));
  assert.deepEqual(packets.map(toHex), expected);
  const decoder = await LiveDecoder.open(codec, 48000);
  const heard: Float32Array[] = [];
  for (const [i, packet] of packets.entries()) heard.push(await decoder.push(i === 7 || i === 8 ? null : packet));
  assertNear([joined(heard)], [floats("live.decoded")], 0);
  await assert.rejects(decoder.push(new Uint8Array(1)), { name: "Truncated" });
  await assert.rejects(decoder.push(packets[0]!.slice(0, -1)), { name: "InvalidField" });
});

test("a file of another model is refused by name", { skip: noPython }, async () => {
  await assert.rejects(codec.decode(bytes("tests/golden/best.nac")), { name: "ModelMismatch" });
});
