/** Entropy coding with fixed tables: each codebook has its own frequencies. */

import type { Found, Frequencies } from "./coder.ts";
import type { Tables } from "./tables.ts";

/** Knows no context and costs next to nothing. */
export class StaticFrequencies implements Frequencies {
  private readonly below: Int32Array[];

  constructor(tables: Tables) {
    this.below = Array.from({ length: tables.numQuantizers }, (_, q) => sums(tables.row("static", q)));
  }

  find(_stream: number, q: number, code: number | null, slot: number): Found {
    const below = this.below[q]!;
    const found = code ?? lastNotAbove(below, slot);
    return { code: found, start: below[found]!, width: below[found + 1]! - below[found]! };
  }

  push(): void {}
}

/** Sums of all frequencies below each symbol, and below the end. */
function sums(widths: ArrayLike<number>): Int32Array {
  const below = new Int32Array(widths.length + 1);
  for (let i = 0; i < widths.length; i++) below[i + 1] = below[i]! + widths[i]!;
  return below;
}

/** The last place whose value is not above a number; the first value is not. */
function lastNotAbove(values: Int32Array, number: number): number {
  let [low, high] = [0, values.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle]! <= number) low = middle;
    else high = middle;
  }
  return low;
}
