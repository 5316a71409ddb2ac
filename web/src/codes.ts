/** Codes `[streams, num_quantizers, frames]`, and where they stand. */

import { ConfigError, InvalidField } from "./errors.ts";
import type { Stack } from "./header.ts";

/** Stands in the place of a code that a frame does not have. */
export const ABSENT = -1;

/** Whole numbers `[streams, num_quantizers, frames]`, the last one changing fastest. */
export class Codes {
  readonly data: Int32Array;

  constructor(
    readonly streams: number,
    readonly numQuantizers: number,
    readonly frames: number,
    data?: Int32Array,
  ) {
    this.data = data ?? new Int32Array(streams * numQuantizers * frames);
  }

  place(stream: number, q: number, frame: number): number {
    return (stream * this.numQuantizers + q) * this.frames + frame;
  }

  at(stream: number, q: number, frame: number): number {
    return this.data[this.place(stream, q, frame)]!;
  }

  /** Frames from `start` up to, not including, `end`. */
  slice(start: number, end: number): Codes {
    const part = new Codes(this.streams, this.numQuantizers, end - start);
    for (let row = 0; row < this.streams * this.numQuantizers; row++) {
      part.data.set(this.data.subarray(row * this.frames + start, row * this.frames + end), row * part.frames);
    }
    return part;
  }

  /** Parts one behind the other; at least one. */
  static joined(parts: readonly Codes[]): Codes {
    const { streams, numQuantizers } = parts[0]!;
    const whole = new Codes(streams, numQuantizers, parts.reduce((sum, part) => sum + part.frames, 0));
    let start = 0;
    for (const part of parts) {
      for (let row = 0; row < streams * numQuantizers; row++) {
        whole.data.set(part.data.subarray(row * part.frames, (row + 1) * part.frames), row * whole.frames + start);
      }
      start += part.frames;
    }
    return whole;
  }
}

/** Streams, codebooks and frames of a packet. */
export interface Shape {
  streams: number;
  numQuantizers: number;
  frames: number;
}

/** Sizes and strides of codebooks. A code stands in the first of the frames that it covers, and counts in all. */
export class Grid {
  constructor(
    private readonly codebookBits: number,
    private readonly stack: Stack = [],
  ) {}

  bits(q: number): number {
    return this.stack.length ? this.stack[q]![0] : this.codebookBits;
  }

  stride(q: number): number {
    return this.stack.length ? this.stack[q]![1] : 1;
  }

  /** Refuse frames that the codes of a codebook do not cover evenly, by an error of that type. */
  checkWhole({ numQuantizers, frames }: Shape, error: typeof ConfigError | typeof InvalidField): void {
    for (let q = 0; q < numQuantizers; q++) {
      if (frames % this.stride(q)) {
        throw new error(`there are ${frames} frames; expected whole codes, which cover ${this.stride(q)}`);
      }
    }
  }

  /**
   * Refuse codes that are not below the sizes of their codebooks, or absent before others.
   *
   * @throws ConfigError
   */
  check(codes: Codes): void {
    this.checkWhole(codes, ConfigError);
    for (let row = 0; row < codes.streams; row++) {
      for (let q = 0; q < codes.numQuantizers; q++) this.checkRow(codes, row, q);
    }
  }

  private checkRow(codes: Codes, stream: number, q: number): void {
    for (let frame = 0; frame < codes.frames; frame++) {
      const code = codes.at(stream, q, frame);
      const gap = code < ABSENT || (code < 0 && (q === 0 || this.stride(q) > 1));
      const late = code >= 0 && q > 0 && codes.at(stream, q - 1, frame) < 0;
      if (gap || late || code >= 1 << this.bits(q)) {
        throw new ConfigError(`a code of codebook ${q} is ${code}; expected 0 to ${(1 << this.bits(q)) - 1}`);
      }
    }
  }

  /** The code at a place, in all frames that it covers. */
  spread(codes: Codes, stream: number, q: number, frame: number, code: number): void {
    const place = codes.place(stream, q, frame);
    codes.data.fill(code, place, place + this.stride(q));
  }
}
