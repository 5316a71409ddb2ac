import assert from "node:assert/strict";
import { test } from "node:test";

import { readFile, writeFile } from "../src/container.ts";
import { coding, golden, parts, stackOf } from "./golden.ts";

const NAMES = ["none", "fast", "best", "stack", "stack-fast", "stack-best", "counts", "counts-fast", "counts-best", "joint"];

for (const name of NAMES) {
  test(`the golden file ${name} gives its codes, and they give the file`, async () => {
    const file = readFile(golden(`${name}.nac`));
    const coders = await coding(stackOf(name));
    const found = file.packets.map((packet) => coders.unpack(packet, file.header));
    const expected = parts(name);
    assert.deepEqual(found.map(({ codes }) => codes.data), expected.map(({ codes }) => codes.data));
    assert.deepEqual(found.map(({ side }) => side), expected.map(({ side }) => side));
    const packets = expected.flatMap((part) => [...coders.pack(part, file.header)]);
    assert.deepEqual(writeFile(file.header, packets, file.numSamples), golden(`${name}.nac`));
  });
}

test("a golden file tells its samples and tags", () => {
  const { header, numSamples, frames } = readFile(golden("best.nac"));
  assert.deepEqual([header.version, header.entropyMode, numSamples, frames], [1, 2, 113001, 177]);
  assert.deepEqual(header.tags, { title: "Été" });
});
