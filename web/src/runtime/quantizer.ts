/** The residual vector quantizer of a trained model: search and look-up in codebooks. */

import { ConfigError } from "../errors.ts";
import type { Kernels } from "../kernels/kernels.ts";

/** Paths that the search for the codes of a file keeps. */
export const DEFAULT_EFFORT = 4;
/** Most paths that a search may keep. */
export const MAX_EFFORT = 64;
/** Vectors that are searched side by side. */
const MAX_ROWS = 128;

interface Book {
  size: number;
  /** Entries `[size, dim]`. */
  entries: Float32Array;
  /** The same in the memory of the kernels, `[dim, size]`, and half the squared length of each. */
  transposed: number;
  norms: number;
}

/**
 * A beam search: of all ways to go on from the paths that it keeps, the best few by squared error are kept for the next
 * codebook. One path is the greedy search of SoundStream (Zeghidour et al., 2021), Algorithm 1. Equal errors go to the
 * path, then the entry, of lower index.
 */
export class Quantizer {
  private readonly books: Book[] = [];
  private readonly vectors: number;
  private readonly totals: number;

  /** @param most entries of the largest codebook. */
  constructor(
    private readonly kernels: Kernels,
    readonly dim: number,
    most: number,
  ) {
    this.vectors = kernels.room(4 * MAX_ROWS * dim);
    this.totals = kernels.room(4 * MAX_ROWS * up(most));
  }

  /** Take those of all codebooks `[size, dim]` that come behind the ones it has; levels are not among them. */
  learn(entries: readonly Float32Array[]): void {
    for (const book of entries.slice(this.books.length)) this.books.push(this.keep(book));
  }

  /**
   * Codes `[num_quantizers, frames]` of latents.
   *
   * @param latents `[at least dim, frames]`; rows behind the first `dim` are not looked at.
   * @param effort paths that the search keeps, 1 to 64.
   * @throws ConfigError the effort is out of range.
   */
  encode(latents: Float32Array, frames: number, numQuantizers: number, effort: number): Int32Array {
    if (!Number.isInteger(effort) || effort < 1 || effort > MAX_EFFORT) {
      throw new ConfigError(`effort is ${effort}; expected a whole number from 1 to ${MAX_EFFORT}`);
    }
    const codes = new Int32Array(numQuantizers * frames);
    const step = Math.max(1, Math.floor(MAX_ROWS / effort));
    for (let start = 0; start < frames; start += step) {
      const count = Math.min(step, frames - start);
      const rows = new Float32Array(count * this.dim);
      for (let i = 0; i < rows.length; i++) {
        rows[i] = latents[(i % this.dim) * frames + start + Math.floor(i / this.dim)]!;
      }
      const found = new Search(rows, this.dim, effort).codes(numQuantizers, (search, q) => this.distances(search, q), this.books);
      for (let row = 0; row < count; row++) {
        for (let q = 0; q < numQuantizers; q++) codes[q * frames + start + row] = found[row * numQuantizers + q]!;
      }
    }
    return codes;
  }

  /** Sum of the entries that codes `[num_quantizers, frames]` name, `[dim, frames]`. */
  decode(codes: Int32Array, frames: number): Float32Array {
    const sum = new Float32Array(this.dim * frames);
    for (let q = 0; q < codes.length / frames; q++) {
      const { entries } = this.books[q]!;
      for (let frame = 0; frame < frames; frame++) {
        const code = codes[q * frames + frame]!;
        if (code >= 0) for (let i = 0; i < this.dim; i++) sum[i * frames + frame]! += entries[code * this.dim + i]!;
      }
    }
    return sum;
  }

  /**
   * Half the squared distances of residuals to the entries of codebook q `[rows, size]`, less what is common to a row; until
   * the next call. Sizes that four do not divide are filled up with infinities.
   */
  distances(residuals: Float32Array, q: number): Float32Array {
    const { size, transposed, norms } = this.books[q]!;
    const rows = residuals.length / this.dim;
    this.kernels.floats(this.vectors, residuals.length).set(residuals);
    this.kernels.run.distances(this.vectors, transposed, norms, this.totals, rows, this.dim, size);
    return this.kernels.floats(this.totals, rows * size);
  }

  private keep(entries: Float32Array): Book {
    const size = entries.length / this.dim;
    const padded = up(size);
    const transposed = new Float32Array(padded * this.dim);
    const norms = new Float32Array(padded).fill(Infinity);
    for (let entry = 0; entry < size; entry++) {
      let norm = 0;
      for (let i = 0; i < this.dim; i++) {
        const value = entries[entry * this.dim + i]!;
        transposed[i * padded + entry] = value;
        norm += value * value;
      }
      norms[entry] = norm / 2;
    }
    return { size: padded, entries, transposed: this.kernels.keepFloats(transposed), norms: this.kernels.keepFloats(norms) };
  }
}

/** A length that vectors of 4 numbers fill. */
const up = (length: number): number => Math.ceil(length / 4) * 4;

/** The paths of some vectors side by side, each row with as many. */
class Search {
  private readonly rows: number;
  private paths = 1;
  private scores: Float32Array;
  /** By codebook, for each path the path that it goes on from, and its entry. */
  private readonly steps: { paths: number; parents: Int32Array; entries: Int32Array }[] = [];

  constructor(
    private residuals: Float32Array,
    private readonly dim: number,
    private readonly effort: number,
  ) {
    this.rows = residuals.length / dim;
    this.scores = new Float32Array(this.rows);
  }

  /** Codes `[rows, num_quantizers]` of the best path of each row. */
  codes(numQuantizers: number, distances: (residuals: Float32Array, q: number) => Float32Array, books: readonly Book[]): Int32Array {
    for (let q = 0; q < numQuantizers; q++) this.goOn(distances(this.residuals, q), books[q]!);
    const codes = new Int32Array(this.rows * numQuantizers);
    for (let row = 0; row < this.rows; row++) {
      let path = 0;
      for (let q = numQuantizers - 1; q >= 0; q--) {
        const { paths, parents, entries } = this.steps[q]!;
        codes[row * numQuantizers + q] = entries[row * paths + path]!;
        path = parents[row * paths + path]!;
      }
    }
    return codes;
  }

  private goOn(totals: Float32Array, { size, entries }: Book): void {
    const kept = Math.min(this.effort, this.paths * size);
    const step = { paths: kept, parents: new Int32Array(this.rows * kept), entries: new Int32Array(this.rows * kept) };
    const residuals = new Float32Array(this.rows * kept * this.dim);
    const scores = new Float32Array(this.rows * kept);
    for (let row = 0; row < this.rows; row++) {
      const places = this.lowest(totals, row, size, scores.subarray(row * kept, (row + 1) * kept));
      for (let i = 0; i < kept; i++) {
        const [parent, entry] = [Math.floor(places[i]! / size), places[i]! % size];
        step.parents[row * kept + i] = parent;
        step.entries[row * kept + i] = entry;
        const [from, to] = [(row * this.paths + parent) * this.dim, (row * kept + i) * this.dim];
        for (let j = 0; j < this.dim; j++) residuals[to + j] = this.residuals[from + j]! - entries[entry * this.dim + j]!;
      }
    }
    this.steps.push(step);
    [this.residuals, this.scores, this.paths] = [residuals, scores, kept];
  }

  /** Places of the lowest totals of a row, in rising order, the first of equals first; and their scores. */
  private lowest(totals: Float32Array, row: number, size: number, scores: Float32Array): Int32Array {
    const places = new Int32Array(scores.length);
    scores.fill(Infinity);
    const last = scores.length - 1;
    for (let path = 0, place = 0; path < this.paths; path++) {
      const score = this.scores[row * this.paths + path]!;
      let at = (row * this.paths + path) * size;
      for (const end = at + size; at < end; at++, place++) {
        const total = Math.fround(totals[at]! + score);
        if (total < scores[last]!) insert(scores, places, total, place);
      }
    }
    const best = scores[0]!;
    for (let i = 0; i <= last; i++) scores[i]! -= best;
    return places;
  }
}

/** Put a total that is below the last one where it belongs, behind those that equal it. */
function insert(scores: Float32Array, places: Int32Array, total: number, place: number): void {
  let i = scores.length - 1;
  for (; i > 0 && total < scores[i - 1]!; i--) {
    scores[i] = scores[i - 1]!;
    places[i] = places[i - 1]!;
  }
  scores[i] = total;
  places[i] = place;
}
