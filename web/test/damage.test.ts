import assert from "node:assert/strict";
import { test } from "node:test";

import type { Coding } from "../src/coding.ts";
import { readFile } from "../src/container.ts";
import { crc32 } from "../src/bytes.ts";
import { CodecError } from "../src/errors.ts";
import { coding, golden, stackOf } from "./golden.ts";
import { noPython, python } from "./python.ts";

const NAMES = ["best", "fast", "none", "stack-best", "counts-fast", "joint"];
const STEP = 31;

/** The same damage in both languages: each byte of the header and some behind it changed in turn, with and without its CRC made good; and cut. */
const PYTHON = `
import io, json, sys, zlib
from golden import make_golden as made
from soundstream.bitstream import Reader
from soundstream.errors import CodecError
def read(data, coding):
    try:
        reader = Reader(io.BytesIO(data))
        list(coding.unpack(reader, reader.header))
        return "whole"
    except CodecError as error:
        return type(error).__name__
def damaged(data):
    header = int.from_bytes(data[5:7], "little")
    for i in [*range(header), *range(header, len(data), ${STEP})]:
        changed = bytearray(data)
        changed[i] ^= 1 + i % 255
        yield bytes(changed)
        if i < header - 4:
            changed[header - 4 : header] = zlib.crc32(changed[: header - 4]).to_bytes(4, "little")
            yield bytes(changed)
        yield data[:i]
    yield data + b"x"
found = {}
for name in sys.argv[1:]:
    kind = name.split("-")[0]
    coding = {"stack": made.stack_coding, "joint": made.joint_coding}.get(kind, made.coding)()
    found[name] = [read(one, coding) for one in damaged((made.HERE / f"{name}.nac").read_bytes())]
print(json.dumps(found))
`;

function* damaged(data: Uint8Array<ArrayBuffer>): Generator<Uint8Array> {
  const header = data[5]! + 256 * data[6]!;
  for (let i = 0; i < data.length; i += i < header ? 1 : STEP) {
    const changed = data.slice();
    changed[i]! ^= 1 + (i % 255);
    yield changed;
    if (i < header - 4) yield withCrc(changed.slice(), header - 4);
    yield data.slice(0, i);
  }
  yield Uint8Array.of(...data, 120);
}

function withCrc(data: Uint8Array<ArrayBuffer>, length: number): Uint8Array {
  new DataView(data.buffer).setUint32(length, crc32(data.subarray(0, length)), true);
  return data;
}

function nameOf(data: Uint8Array, coders: Coding): string {
  try {
    const file = readFile(data);
    for (const packet of file.packets) coders.unpack(packet, file.header);
    return "whole";
  } catch (error) {
    if (error instanceof CodecError) return error.name;
    throw error;
  }
}

test("damaged files give the errors that Python gives", { skip: noPython }, async () => {
  const expected = JSON.parse(python(PYTHON, ...NAMES)) as Record<string, string[]>;
  for (const name of NAMES) {
    const coders = await coding(stackOf(name));
    const found = Array.from(damaged(golden(`${name}.nac`)), (data) => nameOf(data, coders));
    assert.deepEqual(found, expected[name], name);
    assert.ok(new Set(found).size >= 5, `${name} shows few errors: ${String([...new Set(found)])}`);
  }
});
