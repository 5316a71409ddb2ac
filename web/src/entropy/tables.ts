/** The numbers of the entropy model, as an artifact's `entropy.npz` has them. */

import { ArtifactError } from "../errors.ts";
import { type NumpyArray, readNpz } from "../npy.ts";
import { TOTAL } from "./ans.ts";

/** Largest magnitude of a weight and of an input. */
export const LIMIT = 127;
/** Terms of a sum that stays below 2^24. */
const MAX_INPUTS = 1040;

const DIMENSIONS: Record<string, number> = {
  static: 2,
  exponentials: 1,
  vector_shifts: 1,
  hidden_weights: 3,
  hidden_biases: 2,
  hidden_shifts: 1,
  output_weights: 3,
  output_biases: 2,
  output_shifts: 1,
};

/** Whole numbers only, by codebook; `docs/format.md` says what they do. */
export class Tables {
  readonly numQuantizers: number;
  /** Entries of the largest codebook. */
  readonly size: number;
  readonly hidden: number;
  readonly inputs: number;
  /** Entries of each codebook. */
  readonly sizes: number[];

  /** @throws ArtifactError a table is missing, or its shape or a value cannot be. */
  constructor(private readonly arrays: Record<string, NumpyArray>) {
    const names = Object.keys(DIMENSIONS);
    const wrong = names.filter((name) => arrays[name]?.shape.length !== DIMENSIONS[name]);
    if (wrong.length) throw new ArtifactError(`the entropy tables are damaged: ${wrong.join(", ")}`);
    [this.numQuantizers, this.hidden, this.inputs] = arrays.hidden_weights!.shape as [number, number, number];
    this.size = arrays.static!.shape[1]!;
    this.check();
    this.sizes = Array.from({ length: this.numQuantizers }, (_, q) => Array.from(this.row("static", q)).filter(Boolean).length);
  }

  static async read(data: Uint8Array): Promise<Tables> {
    return new Tables(await readNpz(data));
  }

  has(name: string): boolean {
    return name in this.arrays;
  }

  /** The part of a table that is of codebook q. */
  row(name: string, q: number): Int32Array | Int8Array | Int16Array {
    const { shape, data } = this.arrays[name]!;
    const length = shape.slice(1).reduce((all, size) => all * size, 1);
    return (data as Int32Array).subarray(q * length, (q + 1) * length);
  }

  /** A table that has one number for each codebook, or the exponentials. */
  list(name: string): Int32Array {
    return this.arrays[name]!.data as Int32Array;
  }

  private check(): void {
    const [q, hidden, size] = [this.numQuantizers, this.hidden, this.size];
    const counts: Record<string, number> = { static: q * size, hidden_biases: q * hidden, output_weights: q * size * hidden };
    Object.assign(counts, { output_biases: q * size, vector_shifts: q, hidden_shifts: q, output_shifts: q });
    const wrong = Object.entries(counts).filter(([name, count]) => this.arrays[name]!.data.length !== count);
    const sums = Array.from({ length: q }, (_, i) => Array.from(this.row("static", i)).reduce((sum, width) => sum + width, 0));
    const weights = ["hidden_weights", "output_weights"].every((name) => {
      const { data } = this.arrays[name]!;
      return data instanceof Int8Array && !data.includes(-LIMIT - 1);
    });
    if (wrong.length || sums.some((sum) => sum !== TOTAL) || !weights || Math.max(this.inputs, hidden) > MAX_INPUTS) {
      throw new ArtifactError("the entropy tables are damaged: a shape or a value cannot be; fit them anew");
    }
  }
}
