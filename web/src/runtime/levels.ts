/** Codes of levels: what a decoder lacks in bands, found frame by frame; as `runtime/levels.py`, which says why. */

import type { Network, State } from "./network.ts";
import type { Quantizer } from "./quantizer.ts";

/** Paths of this search for each path of the search for the codes of latents, where codes may come late; the most. */
const PATHS = 4;
const MAX_PATHS = 64;
/** Frames later from which gains are taken there. */
const LATE_FRAMES = 1;
/** Frames after which an entry is decided there. */
const DECIDED_FRAMES = 12;

/** Paths of codes that may come late, for those that the search for codes of latents keeps. */
export const latePaths = (effort: number): number => (effort > 1 ? Math.min(MAX_PATHS, PATHS * effort) : 1);

/** The codes of the gains of one signal. */
export class LevelCoder {
  private state: State;
  private readonly late: number;
  private skip: number;
  private last: Float32Array | null = null;

  /**
   * @param search finds entries for gains.
   * @param network latents and quantized ones to gains.
   */
  constructor(
    private readonly search: LevelSearch,
    private readonly network: Network,
  ) {
    this.state = network.initState();
    this.late = this.skip = search.paths > 1 ? LATE_FRAMES : 0;
  }

  /** Codes of the frames that come next, of latents `[latent_dim, frames]` and quantized ones, which lack the levels. */
  async push(latents: Float32Array, quantized: Float32Array, frames: number): Promise<number[]> {
    const inputs = {
      latents: { channels: latents.length / frames, data: latents },
      quantized: { channels: quantized.length / frames, data: quantized },
    };
    const [gains, next] = await this.network.step(this.state, inputs);
    this.state = next;
    const rows = Array.from({ length: frames }, (_, frame) => column(gains, frame, frames));
    const first = Math.min(this.skip, frames);
    this.skip -= first;
    this.last = rows.at(-1) ?? this.last;
    return rows.slice(first).flatMap((row) => this.search.push(row));
  }

  /** Codes of the frames that lack one; the last gains are taken to last. */
  flush(): number[] {
    const missing = this.last ? Array.from({ length: this.late - this.skip }, () => this.last!) : [];
    this.skip = this.late;
    const found = missing.flatMap((row) => this.search.push(row));
    return [...found, ...this.search.flush()];
  }
}

interface Path {
  /** Decayed sum of its entries `[bands]`. */
  sum: Float32Array;
  cost: number;
  /** Its entries that are not decided. */
  open: number[];
}

/** The entries of one signal whose decayed sum follows gains, with the least squared error of all paths kept. */
export class LevelSearch {
  private kept: Path[];
  private readonly frames: number;

  /**
   * @param codebook entries `[codebook_size, bands]`, which are those of the quantizer.
   * @param memory share of a sum that is left a frame later.
   * @param paths kept from frame to frame; a single one takes the nearest entry at once.
   */
  constructor(
    private readonly codebook: Float32Array,
    private readonly quantizer: Quantizer,
    private readonly memory: number,
    readonly paths: number,
  ) {
    this.frames = paths > 1 ? DECIDED_FRAMES : 0;
    this.kept = [{ sum: new Float32Array(quantizer.dim), cost: 0, open: [] }];
  }

  /** The code that gains `[bands]` decide, if any. */
  push(wanted: Float32Array): number[] {
    this.goOn(wanted);
    const [best] = this.kept as [Path];
    if (best.open.length <= this.frames) return [];
    const code = best.open[0]!;
    this.kept = this.kept.filter(({ open }) => open[0] === code);
    for (const { open } of this.kept) open.shift();
    return [code];
  }

  /** The codes that are not decided yet: those of the best path, which alone stays. */
  flush(): number[] {
    const [best] = this.kept as [Path];
    this.kept = [{ ...best, open: [] }];
    return best.open;
  }

  /** Keep the best of all ways to go on by an entry; costs count from that of the best path. */
  private goOn(wanted: Float32Array): void {
    const bands = this.quantizer.dim;
    const missing = new Float32Array(this.kept.length * bands);
    const costs = this.kept.map(({ sum, cost }, path) => {
      let squares = 0;
      for (let band = 0; band < bands; band++) {
        sum[band]! *= Math.fround(this.memory);
        const lacks = (missing[path * bands + band] = wanted[band]! - sum[band]!);
        squares += lacks * lacks;
      }
      return cost + squares / 2;
    });
    const found = lowest(this.quantizer.distances(missing, 0), costs, this.paths);
    const least = found[0]!.cost;
    this.kept = found.map(({ path, entry, cost }) => {
      const { sum, open } = this.kept[path]!;
      const next = sum.map((value, band) => value + this.codebook[entry * bands + band]!);
      return { sum: next, cost: cost - least, open: [...open, entry] };
    });
  }
}

interface Step {
  path: number;
  entry: number;
  cost: number;
}

/** The lowest of totals `[paths, entries]` with the costs of their paths, in rising order, the first of equals first. */
function lowest(totals: Float32Array, costs: readonly number[], count: number): Step[] {
  const size = totals.length / costs.length;
  const found: Step[] = [];
  let bound = Infinity;
  for (const [path, before] of costs.entries()) {
    for (let entry = 0; entry < size; entry++) {
      const cost = totals[path * size + entry]! + before;
      if (cost >= bound) continue;
      let place = found.length;
      while (place && found[place - 1]!.cost > cost) place--;
      found.splice(place, 0, { path, entry, cost });
      if (found.length > count) found.pop();
      if (found.length === count) bound = found[count - 1]!.cost;
    }
  }
  return found;
}

/** A column of rows of `frames` numbers. */
function column(rows: Float32Array, place: number, frames: number): Float32Array {
  return Float32Array.from({ length: rows.length / frames }, (_, row) => rows[row * frames + place]!);
}
