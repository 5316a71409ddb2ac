/** The frozen files of tests/golden, and the codes that they were made of: tests/golden/make_golden.py. */

import { Codes } from "../src/codes.ts";
import { Coding, type Part } from "../src/coding.ts";
import { Tables } from "../src/entropy/tables.ts";
import type { Stack } from "../src/header.ts";
import { Kernels } from "../src/kernels/kernels.ts";
import { readNpy } from "../src/npy.ts";
import { bytes } from "./python.ts";

const PACKETS = [[4, 40], [2, 40], [3, 40], [3, 40], [3, 17]] as const;
const STACK: Stack = [[5, 4], [4, 2], [5, 1]];
const GAINS = [0.125, 1e-8, 3.4028234663852886e38];
const BITS = 5;

export const golden = (name: string): Uint8Array<ArrayBuffer> => bytes(`tests/golden/${name}`);

const { shape, data } = readNpy(golden("codes.npy"));
const ALL = new Codes(shape[0]!, shape[1]!, shape[2]!, Int32Array.from(data as Uint8Array));
const BOOKS = readNpy(golden("codebooks.npy"));

/** The coders of the frozen model. */
export async function coding(stack: Stack = []): Promise<Coding> {
  const length = BOOKS.shape[1]! * BOOKS.shape[2]!;
  const sizes = stack.length ? stack.map(([bits]) => 1 << bits) : [32, 32, 32, 32];
  const floats = BOOKS.data as Float32Array;
  const books = sizes.map((size, q) => floats.subarray(q * length, q * length + size * BOOKS.shape[2]!));
  const tables = await Tables.read(golden(stack.length ? "entropy-stack.npz" : "entropy.npz"));
  return new Coding(await Kernels.create(), BITS, books, tables, stack);
}

/** Codes of each packet of a file. */
export function parts(name: string): Part[] {
  if (name.startsWith("stack")) return cut(stacked(), [40, 40, 12]);
  if (name.startsWith("counts")) return cut(counted(), [40, 20]);
  if (name === "joint") return cut(first(ALL, 1, 2), [12, 12, 5]).map((part, i) => ({ ...part, side: Float32Array.of(GAINS[i]!) }));
  return cut(ALL, PACKETS.map(([, frames]) => frames)).map(({ codes }, i) => ({ codes: first(codes, 2, PACKETS[i]![0]) }));
}

export const stackOf = (name: string): Stack => (name.startsWith("stack") ? STACK : []);

function cut(codes: Codes, lengths: number[]): Part[] {
  let start = 0;
  return lengths.map((length) => ({ codes: codes.slice(start, (start += length)) }));
}

/** Codes of the first streams and codebooks. */
function first(codes: Codes, streams: number, count: number): Codes {
  return made(streams, count, codes.frames, (stream, q, frame) => codes.at(stream, q, frame));
}

function stacked(): Codes {
  return made(2, STACK.length, 92, (stream, q, frame) => ALL.at(stream, q, frame - (frame % STACK[q]![1])) % (1 << STACK[q]![0]));
}

function counted(): Codes {
  return made(2, 4, 60, (stream, q, frame) => {
    const count = 1 + Math.abs(((frame + 2 * stream) % 6) - 3);
    return q < count ? ALL.at(stream, q, frame) : -1;
  });
}

function made(
  streams: number,
  count: number,
  frames: number,
  code: (stream: number, q: number, frame: number) => number,
): Codes {
  const codes = new Codes(streams, count, frames);
  for (let stream = 0; stream < streams; stream++) {
    for (let q = 0; q < count; q++) {
      for (let frame = 0; frame < frames; frame++) codes.data[codes.place(stream, q, frame)] = code(stream, q, frame);
    }
  }
  return codes;
}
