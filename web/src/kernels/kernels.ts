/** The WebAssembly of `kernels.as.ts`, and its memory. */

import { KERNELS } from "./kernels.wasm.ts";

interface Exports {
  memory: WebAssembly.Memory;
  base(): number;
  layer(weights: number, inputs: number, biases: number, out: number, units: number, width: number, shift: number): void;
  frequencies(logits: number, table: number, out: number, size: number, last: number, total: number): void;
  distances(vectors: number, book: number, norms: number, out: number, rows: number, dim: number, size: number): void;
  convolve(samples: number, taps: number, out: number, count: number, length: number): void;
  depthwise(
    rows: number, weights: number, biases: number, out: number, width: number, count: number, taps: number, stride: number, dilation: number,
  ): void;
  addToRows(rows: number, row: number, count: number, width: number): void;
  gelu(values: number, length: number): void;
  quantize(rows: number, values: number, scales: number, length: number, block: number): void;
  product(values: number, weights: number, out: number, rows: number, width: number, units: number): void;
  product8(
    values: number, scales: number, weights: number, unitScales: number, out: number, rows: number, width: number, units: number, block: number,
  ): void;
}

const PAGE_BYTES = 65536;
const ALIGNED = 16;

/** Places in one memory, which is never given back: a model makes what it needs once. */
export class Kernels {
  private top: number;
  private readonly passing = new Map<string, { at: number; bytes: number }>();

  private constructor(readonly run: Exports) {
    this.top = run.base();
  }

  static async create(): Promise<Kernels> {
    const bytes = Uint8Array.from(atob(KERNELS), (letter) => letter.charCodeAt(0));
    const { instance } = await WebAssembly.instantiate(bytes);
    return new Kernels(instance.exports as unknown as Exports);
  }

  /** Reserve bytes, which are zero. */
  room(bytes: number): number {
    const at = Math.ceil(this.top / ALIGNED) * ALIGNED;
    this.top = at + bytes;
    const missing = this.top - this.run.memory.buffer.byteLength;
    if (missing > 0) this.run.memory.grow(Math.ceil(missing / PAGE_BYTES));
    return at;
  }

  /** Room of at least so many bytes for what is needed within one call, by the name of its use. */
  scratch(use: string, bytes: number): number {
    let found = this.passing.get(use);
    if (!found || found.bytes < bytes) this.passing.set(use, (found = { at: this.room(bytes), bytes }));
    return found.at;
  }

  /** Numbers in the memory; they move when it grows, so ask for them each time. */
  floats(at: number, length: number): Float32Array {
    return new Float32Array(this.run.memory.buffer, at, length);
  }

  ints(at: number, length: number): Int32Array {
    return new Int32Array(this.run.memory.buffer, at, length);
  }

  shorts(at: number, length: number): Int16Array {
    return new Int16Array(this.run.memory.buffer, at, length);
  }

  /** The samples of a convolution that see all taps. */
  convolved(samples: Float64Array, taps: Float64Array): Float64Array {
    const count = samples.length - taps.length + 1;
    const from = this.scratch("samples", 8 * (samples.length + 4));
    const by = this.scratch("taps", 8 * taps.length);
    const to = this.scratch("convolved", 8 * (count + 4));
    this.doubles(from, samples.length).set(samples);
    this.doubles(by, taps.length).set(taps);
    this.run.convolve(from, by, to, count, taps.length);
    return this.doubles(to, count).slice();
  }

  private doubles(at: number, length: number): Float64Array {
    return new Float64Array(this.run.memory.buffer, at, length);
  }

  /** Keep whole numbers. @returns where. */
  keepInts(values: ArrayLike<number>): number {
    const at = this.room(4 * values.length);
    this.ints(at, values.length).set(values);
    return at;
  }

  keepFloats(values: ArrayLike<number>): number {
    const at = this.room(4 * values.length);
    this.floats(at, values.length).set(values);
    return at;
  }

  keepBytes(values: Int8Array): number {
    const at = this.room(values.length);
    new Int8Array(this.run.memory.buffer, at, values.length).set(values);
    return at;
  }

  /** Keep int8 rows of `width`, each filled up with zeros to `padded`. */
  keepRows(values: ArrayLike<number>, width: number, padded: number): number {
    const rows = values.length / width;
    const at = this.room(rows * padded);
    const memory = new Int8Array(this.run.memory.buffer, at, rows * padded);
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < width; i++) memory[row * padded + i] = values[row * width + i]!;
    }
    return at;
  }
}
