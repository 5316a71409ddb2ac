/** What every entropy coder can do, and the order in which codes are coded. */

import { crc32 } from "../bytes.ts";
import { ABSENT, Codes, type Grid, type Shape } from "../codes.ts";
import { InvalidField } from "../errors.ts";
import { Decoder, encode } from "./ans.ts";

/** Codebooks that each frame has `[streams * frames]`; null is all of them. */
export type Counts = Uint8Array | null;

/** Codes to a payload and back; every payload decodes alone. */
export interface Coder {
  encode(codes: Codes): Uint8Array<ArrayBuffer>;
  decode(payload: Uint8Array, shape: Shape, counts: Counts): Codes;
}

/** What gives the frequencies of codes, one after the other; a new one for each packet. */
export interface Frequencies {
  /** Where a code lies, and its frequency: the code itself, or the one at a slot. */
  find(stream: number, q: number, code: number | null, slot: number): Found;
  /** Take the code of a place, `ABSENT` where there is none. */
  push(stream: number, q: number, code: number): void;
}

export interface Found {
  code: number;
  start: number;
  width: number;
}

/** The coder of modes 1 and 2: codes frame after frame, codebook after codebook, stream after stream. */
export class FrequencyCoder implements Coder {
  /** @param frequencies of the first codebooks, for so many streams. */
  constructor(
    private readonly grid: Grid,
    private readonly frequencies: (streams: number, numQuantizers: number) => Frequencies,
  ) {}

  encode(codes: Codes): Uint8Array<ArrayBuffer> {
    this.grid.check(codes);
    const starts: number[] = [];
    const widths: number[] = [];
    const known = this.frequencies(codes.streams, codes.numQuantizers);
    for (const { stream, q, frame, stands } of this.places(codes)) {
      const code = codes.at(stream, q, frame);
      if (stands && code !== ABSENT) {
        const { start, width } = known.find(stream, q, code, 0);
        starts.push(start);
        widths.push(width);
      }
      known.push(stream, q, code);
    }
    return encode(starts, widths, this.checksum(codes));
  }

  decode(payload: Uint8Array, shape: Shape, counts: Counts): Codes {
    this.grid.checkWhole(shape, InvalidField);
    const codes = new Codes(shape.streams, shape.numQuantizers, shape.frames);
    const decoder = new Decoder(payload);
    const known = this.frequencies(shape.streams, shape.numQuantizers);
    for (const { stream, q, frame, stands } of this.places(shape)) {
      if (counts && q >= counts[stream * shape.frames + frame]!) codes.data[codes.place(stream, q, frame)] = ABSENT;
      else if (stands) {
        const { code, start, width } = known.find(stream, q, null, decoder.slot);
        decoder.take(start, width);
        this.grid.spread(codes, stream, q, frame, code);
      }
      known.push(stream, q, codes.at(stream, q, frame));
    }
    decoder.finish(this.checksum(codes));
    return codes;
  }

  /** All places in the order of coding, and whether a code stands there and not only covers it. */
  private *places({ streams, numQuantizers, frames }: Shape): Generator<Place> {
    const place: Place = { stream: 0, q: 0, frame: 0, stands: true };
    for (place.frame = 0; place.frame < frames; place.frame++) {
      for (place.q = 0; place.q < numQuantizers; place.q++) {
        place.stands = place.frame % this.grid.stride(place.q) === 0;
        for (place.stream = 0; place.stream < streams; place.stream++) yield place;
      }
    }
  }

  /** The low half of the CRC-32 of codes as 16-bit words in coding order, each once. */
  private checksum(codes: Codes): number {
    const words: number[] = [];
    for (const { stream, q, frame, stands } of this.places(codes)) {
      const code = codes.at(stream, q, frame);
      if (stands && code !== ABSENT) words.push(code & 0xff, code >> 8);
    }
    return crc32(Uint8Array.from(words)) & 0xffff;
  }
}

interface Place {
  stream: number;
  q: number;
  frame: number;
  stands: boolean;
}
