/** The context model: frequencies that follow from the codes before, in whole numbers; docs/format.md. */

import { ArtifactError } from "../errors.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { TOTAL } from "./ans.ts";
import type { Found, Frequencies } from "./coder.ts";
import { LIMIT, type Tables } from "./tables.ts";

const PARTS = 6;
const FRACTION = 1 << 11;
/** Added to a number and taken away again, it leaves the nearest whole one, of two the even one. */
const TO_WHOLE = 1.5 * 2 ** 52;
const INPUT_SHIFT = 6;
const MEAN_SHIFT = 3;
const MEAN_BITS = 4;

interface Layers {
  hiddenWeights: number;
  hiddenBiases: number;
  hiddenShift: number;
  outputWeights: number;
  outputBiases: number;
  outputShift: number;
  size: number;
}

/** Tables in the memory of the kernels; keeps nothing from call to call. */
export class ContextModel {
  readonly dim: number;
  private readonly kept: Int32Array[] = [];
  readonly shifts: Int32Array;
  private readonly layers: Layers[];
  private readonly width: number;
  private readonly inner: number;
  private readonly inputs: number;
  private readonly active: number;
  private readonly sums: number;
  private readonly table: number;
  private readonly widths: number;

  /**
   * @param codebooks `[entries, latent_dim]` each, of the model that the tables were fitted to; some may come later.
   * @throws ArtifactError the tables were fitted to a model of another shape.
   */
  constructor(
    private readonly kernels: Kernels,
    private readonly tables: Tables,
    private readonly codebooks: readonly Float32Array[],
  ) {
    this.dim = tables.inputs / PARTS;
    const own = tables.has("vectors");
    const wanted = tables.sizes.map((size) => size * this.dim);
    if (wanted.length !== codebooks.length || (!own && codebooks.some((book, q) => book.length !== wanted[q]))) {
      throw new ArtifactError("the entropy tables are of a model with other codebooks; fit them anew");
    }
    this.shifts = tables.list("vector_shifts");
    this.width = Math.ceil(tables.inputs / 8) * 8;
    this.inner = Math.ceil(tables.hidden / 8) * 8;
    this.layers = tables.sizes.map((_, q) => this.layersOf(q));
    this.inputs = kernels.room(2 * this.width);
    this.active = kernels.room(2 * this.inner);
    this.sums = kernels.room(4 * Math.max(tables.size, tables.hidden));
    this.widths = kernels.room(4 * tables.size);
    this.table = kernels.keepInts(tables.list("exponentials"));
  }

  /** Entries of codebook q in parts of 1 / 2^11 `[entries, dim]`. */
  vectors(q: number): Int32Array {
    return (this.kept[q] ??= this.tables.has("vectors") ? Int32Array.from(this.tables.row("vectors", q)) : fixedPoint(this.codebooks[q]!));
  }

  /** Where the inputs stand, int16 `[6 * dim]`. */
  input(): Int16Array {
    return this.kernels.shorts(this.inputs, this.width);
  }

  /** Frequencies of the codes of codebook q after `input`; they stay until the next call. */
  frequencies(q: number): Int32Array {
    const { run } = this.kernels;
    const layers = this.layers[q]!;
    const { hidden } = this.tables;
    run.layer(layers.hiddenWeights, this.inputs, layers.hiddenBiases, this.sums, hidden, this.width, layers.hiddenShift);
    const [sums, active] = [this.kernels.ints(this.sums, hidden), this.kernels.shorts(this.active, hidden)];
    for (let i = 0; i < hidden; i++) active[i] = Math.min(Math.max(sums[i]!, 0), LIMIT);
    run.layer(layers.outputWeights, this.active, layers.outputBiases, this.sums, layers.size, this.inner, layers.outputShift);
    const last = this.tables.list("exponentials").length - 1;
    run.frequencies(this.sums, this.table, this.widths, layers.size, last, TOTAL);
    return this.kernels.ints(this.widths, layers.size);
  }

  private layersOf(q: number): Layers {
    const { kernels, tables } = this;
    return {
      hiddenWeights: kernels.keepRows(tables.row("hidden_weights", q), tables.inputs, this.width),
      hiddenBiases: kernels.keepInts(tables.row("hidden_biases", q)),
      hiddenShift: tables.list("hidden_shifts")[q]!,
      outputWeights: kernels.keepRows(tables.row("output_weights", q), tables.hidden, this.inner),
      outputBiases: kernels.keepInts(tables.row("output_biases", q)),
      outputShift: tables.list("output_shifts")[q]!,
      size: tables.sizes[q]!,
    };
  }
}

/** Entries in parts of 1 / 2^11, rounded to even, in 16 bits with sign. */
function fixedPoint(book: Float32Array): Int32Array {
  const found = new Int32Array(book.length);
  for (let i = 0; i < found.length; i++) found[i] = Math.min(Math.max(book[i]! * FRACTION + TO_WHOLE - TO_WHOLE, -32768), 32767);
  return found;
}

/** What a decoder knows of one stream, code after code; zero at the start of every packet. */
class Known {
  private last: Int32Array;
  private before: Int32Array;
  private readonly mean: Int32Array;
  private soFar: Int32Array;
  /** By codebook, where the vector of the code chosen last begins, or -1. */
  private readonly chosen: number[];

  constructor(
    private readonly model: ContextModel,
    private readonly numQuantizers: number,
  ) {
    const zeros = (): Int32Array => new Int32Array(model.dim);
    [this.last, this.before, this.mean, this.soFar] = [zeros(), zeros(), zeros(), zeros()];
    this.chosen = Array.from({ length: numQuantizers }, () => -1);
  }

  /** Write the inputs of the next code, which is of codebook q. */
  fill(input: Int16Array, q: number): void {
    const { dim, shifts } = this.model;
    const above = q ? this.chosen[q - 1]! : -1;
    for (let i = 0; i < dim; i++) {
      input[i] = scaled(this.last[i]!, INPUT_SHIFT);
      input[dim + i] = scaled(this.before[i]!, INPUT_SHIFT);
      input[2 * dim + i] = scaled(this.mean[i]! >> MEAN_BITS, INPUT_SHIFT);
      input[3 * dim + i] = scaled(this.soFar[i]!, INPUT_SHIFT);
      input[4 * dim + i] = above < 0 ? 0 : scaled(this.model.vectors(q - 1)[above + i]!, shifts[q - 1]!);
      input[5 * dim + i] = this.chosen[q]! < 0 ? 0 : scaled(this.model.vectors(q)[this.chosen[q]! + i]!, shifts[q]!);
    }
  }

  push(q: number, code: number): void {
    const { dim } = this.model;
    this.chosen[q] = code < 0 ? -1 : code * dim;
    if (code >= 0) for (let i = 0; i < dim; i++) this.soFar[i]! += this.model.vectors(q)[code * dim + i]!;
    if (q + 1 === this.numQuantizers) this.endFrame();
  }

  private endFrame(): void {
    for (let i = 0; i < this.mean.length; i++) {
      this.mean[i]! += ((this.soFar[i]! << MEAN_BITS) - this.mean[i]!) >> MEAN_SHIFT;
    }
    [this.last, this.before, this.soFar] = [this.soFar, this.last, this.before];
    this.soFar.fill(0);
  }
}

function scaled(value: number, shift: number): number {
  const moved = shift >= 0 ? value >> shift : value << -shift;
  return moved > LIMIT ? LIMIT : moved < -LIMIT ? -LIMIT : moved;
}

/** Frequencies of one packet's codes. */
export class ContextFrequencies implements Frequencies {
  private readonly known: Known[];

  constructor(
    private readonly model: ContextModel,
    streams: number,
    numQuantizers: number,
  ) {
    this.known = Array.from({ length: streams }, () => new Known(model, numQuantizers));
  }

  find(stream: number, q: number, code: number | null, slot: number): Found {
    this.known[stream]!.fill(this.model.input(), q);
    const widths = this.model.frequencies(q);
    let [found, start] = [0, 0];
    while (code === null ? start + widths[found]! <= slot : found < code) start += widths[found++]!;
    return { code: found, start, width: widths[found]! };
  }

  push(stream: number, q: number, code: number): void {
    this.known[stream]!.push(q, code);
  }
}
