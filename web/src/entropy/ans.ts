/**
 * Symbols with integer frequencies to bytes and back: the range variant of asymmetric numeral systems (Duda,
 * arXiv 1311.2540), which begins from a check number that a decoder must find at the end.
 */

import { CodesMismatch } from "../errors.ts";

const TOTAL_BITS = 18;
/** Sum of the frequencies of all symbols, at every place. */
export const TOTAL = 1 << TOTAL_BITS;
const LOW = 1 << 24;
const ROOM = 1 << (24 - TOTAL_BITS + 8);

/**
 * The payload of symbols.
 *
 * @param starts what lies below each symbol.
 * @param widths their frequencies, at least 1.
 * @param check below 2^16; `Decoder.finish` must find it.
 */
export function encode(starts: readonly number[], widths: readonly number[], check: number): Uint8Array<ArrayBuffer> {
  const moved: number[] = [];
  let state = check;
  for (let i = starts.length - 1; i >= 0; i--) {
    const width = widths[i]!;
    while (state >= width * ROOM) {
      moved.push(state % 256);
      state = Math.floor(state / 256);
    }
    state = Math.floor(state / width) * TOTAL + (state % width) + starts[i]!;
  }
  for (; state > 0; state = Math.floor(state / 256)) moved.push(state % 256);
  return Uint8Array.from(moved.reverse());
}

/** Takes the symbols of a payload off, one after the other. */
export class Decoder {
  private state = 0;
  private next: number;

  constructor(private readonly payload: Uint8Array) {
    this.next = Math.min(4, payload.length);
    for (let i = 0; i < this.next; i++) this.state = this.state * 256 + payload[i]!;
  }

  /** A number from the symbol's start up to, not including, its start plus its frequency. */
  get slot(): number {
    return this.state % TOTAL;
  }

  /** Remove the symbol that lies at `slot`. */
  take(start: number, width: number): void {
    let state = width * Math.floor(this.state / TOTAL) + this.slot - start;
    while (state < LOW && this.next < this.payload.length) state = state * 256 + this.payload[this.next++]!;
    this.state = state;
  }

  /**
   * End after the last symbol.
   *
   * @throws CodesMismatch the check number is another, or bytes are left.
   */
  finish(check: number): void {
    if (this.state === check && this.next >= this.payload.length) return;
    throw new CodesMismatch(
      "the codes of a packet do not match their checksum, though its bytes do: " +
        "it was made with other tables or by a faulty encoder; decode with the release and model that made it",
    );
  }
}
