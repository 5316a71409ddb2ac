/** Plain codes: every code takes as many bits as its codebook has. */

import { ABSENT, Codes, type Grid, type Shape } from "../codes.ts";
import { InvalidField } from "../errors.ts";
import type { Coder, Counts } from "./coder.ts";

/** Packs codes, most significant bit first: frame after frame, stream after stream, codebook after codebook. */
export class PlainCoder implements Coder {
  constructor(private readonly grid: Grid) {}

  encode(codes: Codes): Uint8Array<ArrayBuffer> {
    this.grid.check(codes);
    const writer = new BitWriter();
    this.each(codes, (stream, q, frame) => {
      const code = codes.at(stream, q, frame);
      if (code !== ABSENT) writer.put(code, this.grid.bits(q));
    });
    return writer.finish();
  }

  decode(payload: Uint8Array, shape: Shape, counts: Counts): Codes {
    this.grid.checkWhole(shape, InvalidField);
    const codes = new Codes(shape.streams, shape.numQuantizers, shape.frames);
    codes.data.fill(ABSENT);
    const reader = new BitReader(payload, this.expectedBytes(shape, counts));
    this.each(shape, (stream, q, frame) => {
      if (has(counts, shape, stream, q, frame)) {
        this.grid.spread(codes, stream, q, frame, reader.take(this.grid.bits(q)));
      }
    });
    reader.finish();
    return codes;
  }

  private expectedBytes(shape: Shape, counts: Counts): number {
    let bits = 0;
    this.each(shape, (stream, q, frame) => {
      if (has(counts, shape, stream, q, frame)) bits += this.grid.bits(q);
    });
    return Math.ceil(bits / 8);
  }

  private each({ streams, numQuantizers, frames }: Shape, visit: (stream: number, q: number, frame: number) => void): void {
    for (let frame = 0; frame < frames; frame++) {
      for (let stream = 0; stream < streams; stream++) {
        for (let q = 0; q < numQuantizers; q++) if (frame % this.grid.stride(q) === 0) visit(stream, q, frame);
      }
    }
  }
}

function has(counts: Counts, { frames }: Shape, stream: number, q: number, frame: number): boolean {
  return !counts || q < counts[stream * frames + frame]!;
}

class BitWriter {
  private readonly bytes: number[] = [];
  private held = 0;
  private count = 0;

  put(value: number, bits: number): void {
    this.held = (this.held << bits) | value;
    this.count += bits;
    for (; this.count >= 8; this.count -= 8) this.bytes.push((this.held >> (this.count - 8)) & 0xff);
    this.held &= (1 << this.count) - 1;
  }

  finish(): Uint8Array<ArrayBuffer> {
    if (this.count) this.put(0, 8 - this.count);
    return Uint8Array.from(this.bytes);
  }
}

class BitReader {
  private held = 0;
  private count = 0;
  private at = 0;

  constructor(
    private readonly data: Uint8Array,
    expected: number,
  ) {
    if (data.length !== expected) {
      throw new InvalidField(`the payload has ${data.length} bytes; expected ${expected} for its codes`);
    }
  }

  take(bits: number): number {
    for (; this.count < bits; this.count += 8) this.held = (this.held << 8) | this.data[this.at++]!;
    this.count -= bits;
    const value = this.held >> this.count;
    this.held &= (1 << this.count) - 1;
    return value;
  }

  finish(): void {
    if (this.held) throw new InvalidField("a bit after the last code of the payload is set; expected zeros");
  }
}
