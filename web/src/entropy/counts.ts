/** How many codebooks each frame has, to bytes and back: docs/format.md, "Counts". */

import { crc32 } from "../bytes.ts";
import type { Codes, Shape } from "../codes.ts";
import { Decoder, TOTAL, encode } from "./ans.ts";

/** Frequencies of the counts 1 to `most` in one stream, as they come; counts here are less 1. */
class Expected {
  private readonly seen: number[];
  private readonly steps = [4, 4, 4];
  private last = -1;

  constructor(private readonly most: number) {
    this.seen = Array.from({ length: most }, () => 1);
  }

  widths(): number[] {
    const weights = this.seen.map((weight, count) => weight + (this.isNear(count) ? this.steps[count - this.last + 1]! : 0));
    const all = weights.reduce((sum, weight) => sum + weight, 0);
    const widths = weights.map((weight) => 1 + Math.floor(((TOTAL - this.most) * weight) / all));
    widths[weights.indexOf(Math.max(...weights))]! += TOTAL - widths.reduce((sum, width) => sum + width, 0);
    return widths;
  }

  push(count: number): void {
    if (this.isNear(count)) this.steps[count - this.last + 1]! += 2;
    this.seen[count]! += 1;
    this.last = count;
  }

  private isNear(count: number): boolean {
    return this.last >= 0 && Math.abs(count - this.last) <= 1;
  }
}

/** Bytes of counts `[streams * frames]` of 1 to `most` codebooks. */
export function encodeCounts(counts: Uint8Array, streams: number, most: number): Uint8Array<ArrayBuffer> {
  const starts: number[] = [];
  const widths: number[] = [];
  const frames = counts.length / streams;
  for (let stream = 0; stream < streams; stream++) {
    const expected = new Expected(most);
    for (const count of counts.subarray(stream * frames, (stream + 1) * frames)) {
      const found = expected.widths();
      starts.push(found.slice(0, count - 1).reduce((sum, width) => sum + width, 0));
      widths.push(found[count - 1]!);
      expected.push(count - 1);
    }
  }
  return encode(starts, widths, crc32(counts) & 0xffff);
}

/**
 * Inverse of `encodeCounts`.
 *
 * @throws CodesMismatch the bytes do not end as those of counts must.
 */
export function decodeCounts(payload: Uint8Array, { streams, numQuantizers, frames }: Shape): Uint8Array {
  const decoder = new Decoder(payload);
  const counts = new Uint8Array(streams * frames);
  for (let stream = 0; stream < streams; stream++) {
    const expected = new Expected(numQuantizers);
    for (let frame = 0; frame < frames; frame++) counts[stream * frames + frame] = next(decoder, expected) + 1;
  }
  decoder.finish(crc32(counts) & 0xffff);
  return counts;
}

function next(decoder: Decoder, expected: Expected): number {
  const widths = expected.widths();
  let [count, start] = [0, 0];
  while (start + widths[count]! <= decoder.slot) start += widths[count++]!;
  decoder.take(start, widths[count]!);
  expected.push(count);
  return count;
}

/** Codebooks of each frame of codes. */
export function countsOf(codes: Codes): Uint8Array {
  const counts = new Uint8Array(codes.streams * codes.frames);
  for (let stream = 0; stream < codes.streams; stream++) {
    for (let q = 0; q < codes.numQuantizers; q++) {
      for (let frame = 0; frame < codes.frames; frame++) {
        if (codes.at(stream, q, frame) >= 0) counts[stream * codes.frames + frame]!++;
      }
    }
  }
  return counts;
}
