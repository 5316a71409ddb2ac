/** Arrays of NumPy: files `.npy` and `.npz`. */

import { unpack } from "./bytes.ts";
import { ArtifactError } from "./errors.ts";

export type Numbers = Int8Array | Uint8Array | Int16Array | Int32Array | Float32Array | BigInt64Array;

export interface NumpyArray {
  shape: number[];
  /** float16 comes as float32. */
  data: Numbers;
}

const TYPES: Record<string, (buffer: ArrayBuffer) => Numbers> = {
  "|i1": (buffer) => new Int8Array(buffer),
  "|u1": (buffer) => new Uint8Array(buffer),
  "<i2": (buffer) => new Int16Array(buffer),
  "<i4": (buffer) => new Int32Array(buffer),
  "<i8": (buffer) => new BigInt64Array(buffer),
  "<f2": (buffer) => fromHalf(new Uint16Array(buffer)),
  "<f4": (buffer) => new Float32Array(buffer),
};

/**
 * The array of a `.npy` file.
 *
 * @throws ArtifactError it is none, or of a type that no artifact has.
 */
export function readNpy(data: Uint8Array): NumpyArray {
  if (data.length < 10 || unpack(data, 1, 5) !== 0x59504d554e) throw new ArtifactError("the bytes are no .npy array");
  const wide = data[6]! > 1;
  const start = wide ? 12 : 10;
  const end = start + unpack(data, 8, wide ? 4 : 2);
  const header = new TextDecoder().decode(data.subarray(start, end));
  const [, type] = /'descr': '([^']+)'/.exec(header) ?? [];
  const [, dims] = /'shape': \(([^)]*)\)/.exec(header) ?? [];
  const make = TYPES[type ?? ""];
  if (!make || dims === undefined || !header.includes("'fortran_order': False")) {
    throw new ArtifactError(`a .npy array has the header ${header.trim()}, which is not read here`);
  }
  const shape = dims.split(",").filter((part) => part.trim()).map(Number);
  const found = make(data.slice(end).buffer);
  if (found.length !== shape.reduce((all, size) => all * size, 1)) throw new ArtifactError("a .npy array is cut");
  return { shape, data: found };
}

/**
 * The arrays of a `.npz` file by name.
 *
 * @throws ArtifactError it is damaged.
 */
export async function readNpz(data: Uint8Array): Promise<Record<string, NumpyArray>> {
  const arrays: Record<string, NumpyArray> = {};
  let at = directoryOf(data);
  while (at + 46 <= data.length && unpack(data, at, 4) === 0x02014b50) {
    const nameLength = unpack(data, at + 28, 2);
    const name = new TextDecoder().decode(data.subarray(at + 46, at + 46 + nameLength));
    arrays[name.replace(/\.npy$/, "")] = readNpy(await member(data, at));
    at += 46 + nameLength + unpack(data, at + 30, 2) + unpack(data, at + 32, 2);
  }
  return arrays;
}

/** Where the central directory of a zip file begins. */
function directoryOf(data: Uint8Array): number {
  for (let at = data.length - 22; at >= 0; at--) if (unpack(data, at, 4) === 0x06054b50) return unpack(data, at + 16, 4);
  throw new ArtifactError("the bytes are no .npz archive");
}

/** The bytes of the member of a zip file that the directory names at a place. */
async function member(data: Uint8Array, entry: number): Promise<Uint8Array> {
  const method = unpack(data, entry + 10, 2);
  const local = unpack(data, entry + 42, 4);
  const start = local + 30 + unpack(data, local + 26, 2) + unpack(data, local + 28, 2);
  const bytes = data.slice(start, start + unpack(data, entry + 20, 4));
  if (method === 0) return bytes;
  if (method !== 8) throw new ArtifactError(`an .npz archive is packed by method ${method}, which is not read here`);
  return inflated(bytes, "deflate-raw");
}

/** What was packed. @throws ArtifactError it is damaged. */
export async function inflated(bytes: Uint8Array<ArrayBuffer>, format: CompressionFormat): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format));
  try {
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw new ArtifactError("a packed file of the model is damaged; fetch it again");
  }
}

/** float16 numbers as float32, without loss. */
export function fromHalf(halves: Uint16Array): Float32Array {
  const table = halfTable();
  const found = new Float32Array(halves.length);
  for (let i = 0; i < found.length; i++) found[i] = table[halves[i]!]!;
  return found;
}

let halves: Float32Array | null = null;

function halfTable(): Float32Array {
  halves ??= Float32Array.from({ length: 1 << 16 }, (_, half) => {
    const [exponent, fraction] = [(half >> 10) & 31, half & 1023];
    const size = exponent === 31 ? (fraction ? NaN : Infinity) : exponent ? 2 ** (exponent - 25) * (1024 + fraction) : fraction * 2 ** -24;
    return half & 0x8000 ? -size : size;
  });
  return halves;
}
