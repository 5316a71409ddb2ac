/** Operators of ONNX that our kernels compute: convolutions, products with matrices, and `Gelu`. */

import type { Kernels } from "../kernels/kernels.ts";
import type { Node, Onnx, Tensor } from "./onnx.ts";
import { ROWS_CONV } from "./simplify.ts";

/** The highest bit of each of four bytes: changed, it takes 128 away. */
const SIGNS = 0x80808080;
const ROUND_INPUTS = 4;
const LANES = 4;

export type Weighted = (x: Tensor) => Tensor;
/** What runs a node; null if it is of another kind. */
type Maker = (kernels: Kernels, node: Node, onnx: Onnx) => Weighted | null;

export const PRODUCTS: Record<string, Maker> = { MatMul: matMul, MatMulNBits: matMulNBits, [ROWS_CONV]: convolution };

const up = (length: number): number => Math.ceil(length / LANES) * LANES;

/** Rows `[rows, width]` times a matrix that is kept, and what comes after it. */
interface Product {
  /** Numbers of a row, of what is taken and of what is given; in memory they are filled up to a multiple of 4. */
  width: number;
  units: number;
  /** Multiply the rows at a place; the results lie where it says until the next product. */
  times(rows: number, count: number): number;
}

/** A matrix `[units, width]` of float32 numbers. */
function floatProduct(kernels: Kernels, matrix: Float32Array, units: number): Product {
  const width = matrix.length / units;
  const filled = new Float32Array(up(units) * up(width));
  for (let unit = 0; unit < units; unit++) filled.set(matrix.subarray(unit * width, (unit + 1) * width), unit * up(width));
  const weights = kernels.keepFloats(filled);
  const times = (rows: number, count: number): number => {
    const out = kernels.scratch("results", 4 * count * up(units));
    kernels.run.product(rows, weights, out, count, up(width), up(units));
    return out;
  };
  return { width, units, times };
}

/** A matrix of int8 numbers `[units, width]`, a scale for each unit; rows are rounded to int8 in blocks. */
function roundedProduct(kernels: Kernels, matrix: Int8Array, scales: Float32Array, block: number): Product {
  const units = scales.length;
  const width = matrix.length / units;
  const [weights, by] = [kernels.keepBytes(matrix), kernels.keepFloats(scales)];
  const times = (rows: number, count: number): number => {
    const values = kernels.scratch("values", 2 * count * width);
    const steps = kernels.scratch("steps", (4 * count * width) / block);
    const out = kernels.scratch("results", 4 * count * units);
    kernels.run.quantize(rows, values, steps, count * width, block);
    kernels.run.product8(values, steps, weights, by, out, count, width, units, block);
    return out;
  };
  return { width, units, times };
}

/** A product with a bias, if there is one, and `Gelu`, if the node says so. */
function finished(kernels: Kernels, product: Product, { numbers }: Node, bias?: Tensor): (rows: number, count: number) => Float32Array {
  const { units } = product;
  const added = bias && kernels.keepFloats(Float32Array.from({ length: up(units) }, (_, i) => bias.data[i] ?? 0));
  return (rows, count) => {
    const out = product.times(rows, count);
    if (added !== undefined) kernels.run.addToRows(out, added, count, up(units));
    if (numbers.has("gelu")) kernels.run.gelu(out, count * up(units));
    return rowsOf(kernels.floats(out, count * up(units)), up(units), units);
  };
}

/** Rows of another width: cut off, or filled up with zeros. */
function rowsOf(data: Float32Array, width: number, wanted: number): Float32Array {
  if (width === wanted) return data.slice();
  const count = data.length / width;
  const found = new Float32Array(count * wanted);
  for (let row = 0; row < count; row++) found.set(data.subarray(row * width, row * width + Math.min(width, wanted)), row * wanted);
  return found;
}

/** Rows in the memory of the kernels, filled up to a multiple of 4. @returns where. */
function placed(kernels: Kernels, data: Float32Array, width: number): number {
  const filled = width === up(width) ? data : rowsOf(data, width, up(width));
  const rows = kernels.scratch("rows", 4 * filled.length);
  kernels.floats(rows, filled.length).set(filled);
  return rows;
}

function multiplying(kernels: Kernels, product: Product, node: Node, bias?: Tensor): Weighted | null {
  if (bias && bias.data.length !== product.units) return null;
  const run = finished(kernels, product, node, bias);
  return ({ dims, data }) => {
    const rows = placed(kernels, data, product.width);
    return { dims: [...dims.slice(0, -1), product.units], data: run(rows, data.length / product.width) };
  };
}

/** A product with a constant matrix `[width, units]`, over the last axis. */
function matMul(kernels: Kernels, node: Node, { constants }: Onnx): Weighted | null {
  const [, name, bias] = node.inputs;
  const matrix = constants.get(name!);
  if (matrix?.dims.length !== 2) return null;
  const [width, units] = matrix.dims as [number, number];
  return multiplying(kernels, floatProduct(kernels, swapped(matrix.data, width, units), units), node, constants.get(bias ?? ""));
}

/** A `MatMulNBits` of 8 bits, as ONNX Runtime computes it: inputs are rounded where it says so. */
function matMulNBits(kernels: Kernels, node: Node, { constants, bytes }: Onnx): Weighted | null {
  const number = (name: string): number => node.numbers.get(name)?.[0] ?? 0;
  const [width, units, block] = [number("K"), number("N"), number("block_size")];
  const [, name, by, points, groups, bias] = node.inputs;
  const [stored, scales] = [bytes.get(name!), constants.get(by!)?.data];
  if (!stored || !scales || points || groups) return null;
  const perUnit = Float32Array.from({ length: units }, (_, unit) => scales[(unit * scales.length) / units]!);
  const isKnown = number("bits") === 8 && width % block === 0 && block % 8 === 0 && units % LANES === 0;
  if (!isKnown || scales.some((scale, i) => scale !== perUnit[Math.floor((i * units) / scales.length)])) return null;
  const matrix = centred(stored);
  const isRounded = number("accuracy_level") === ROUND_INPUTS;
  const product = isRounded ? roundedProduct(kernels, matrix, perUnit, block) : floatProduct(kernels, scaled(matrix, perUnit), units);
  return multiplying(kernels, product, node, constants.get(bias ?? ""));
}

/** Bytes around 128 as numbers around 0, in their place; a multiple of 4 of them. */
function centred(bytes: Uint8Array): Int8Array {
  const four = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  for (let i = 0; i < four.length; i++) four[i]! ^= SIGNS;
  return new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Rows of int8 numbers, each times its scale. */
function scaled(matrix: Int8Array, scales: Float32Array): Float32Array {
  const found = new Float32Array(matrix.length);
  const width = matrix.length / scales.length;
  for (let i = 0; i < found.length; i++) found[i] = matrix[i]! * scales[Math.floor(i / width)]!;
  return found;
}

/** A convolution over the rows of `[1, 1, time, channels]`, without padding: of all channels, or of each alone. */
function convolution(kernels: Kernels, node: Node, { constants }: Onnx): Weighted | null {
  const { inputs, numbers } = node;
  const [weight, bias] = [constants.get(inputs[1]!), constants.get(inputs[2] ?? "")];
  if (weight?.dims.length !== 4 || (inputs[2] && !bias)) return null;
  const [units, channels, height, taps] = weight.dims as [number, number, number, number];
  const [stride, dilation] = [numbers.get("strides")?.at(-1) ?? 1, numbers.get("dilations")?.at(-1) ?? 1];
  const groups = numbers.get("group")?.[0] ?? 1;
  const isPadded = (numbers.get("pads") ?? []).some(Boolean) || numbers.has("auto_pad");
  if (height !== 1 || isPadded || (groups > 1 && (channels > 1 || groups !== units))) return null;
  const form = { taps, stride, dilation };
  return groups > 1 ? depthwise(kernels, form, weight.data, bias) : dense(kernels, form, weight, node, bias);
}

interface Form {
  taps: number;
  stride: number;
  dilation: number;
}

function countOf(length: number, { taps, stride, dilation }: Form): number {
  return Math.floor((length - (taps - 1) * dilation - 1) / stride) + 1;
}

function depthwise(kernels: Kernels, form: Form, weights: Float32Array, bias?: Tensor): Weighted {
  const { taps, stride, dilation } = form;
  const units = weights.length / taps;
  const by = kernels.keepFloats(swapped(weights, units, taps));
  const from = kernels.keepFloats(bias?.data ?? new Float32Array(units));
  return ({ dims, data }) => {
    const count = countOf(dims.at(-2)!, form);
    const rows = kernels.scratch("rows", 4 * data.length);
    const out = kernels.scratch("results", 4 * units * count);
    kernels.floats(rows, data.length).set(data);
    kernels.run.depthwise(rows, by, from, out, units, count, taps, stride, dilation);
    return { dims: [1, 1, count, units], data: kernels.floats(out, units * count).slice() };
  };
}

/** Each unit's weights in the order of the rows that it sees: a product with these one behind the other. */
function dense(kernels: Kernels, form: Form, { dims, data: weights }: Tensor, node: Node, bias?: Tensor): Weighted {
  const [units, channels, , taps] = dims as [number, number, number, number];
  const width = channels * taps;
  const ordered = new Float32Array(weights.length);
  for (let unit = 0; unit < units; unit++) ordered.set(swapped(weights.subarray(unit * width, (unit + 1) * width), channels, taps), unit * width);
  const run = finished(kernels, floatProduct(kernels, ordered, units), node, bias);
  return ({ dims: [, , length], data }) => {
    const count = countOf(length!, form);
    return { dims: [1, 1, count, units], data: run(placed(kernels, windows(data, channels, count, form), width), count) };
  };
}

/** What each result sees, one behind the other. */
function windows(rows: Float32Array, channels: number, count: number, { taps, stride, dilation }: Form): Float32Array {
  if (taps === 1 && stride === 1) return rows;
  const found = new Float32Array(count * taps * channels);
  const [together, pieces] = dilation === 1 ? [taps * channels, 1] : [channels, taps];
  for (let i = 0, at = 0; i < count; i++) {
    for (let piece = 0; piece < pieces; piece++, at += together) {
      const start = (i * stride + piece * dilation) * channels;
      found.set(rows.subarray(start, start + together), at);
    }
  }
  return found;
}

/** `[rows, width]` to `[width, rows]`. */
function swapped(matrix: Float32Array, rows: number, width: number): Float32Array {
  return Float32Array.from(matrix, (_, i) => matrix[(i % rows) * width + Math.floor(i / rows)]!);
}

/** The operator `Gelu`, the exact one. */
export function gelu(kernels: Kernels): Weighted {
  return ({ dims, data }) => {
    const length = up(data.length);
    const at = kernels.scratch("rows", 4 * length);
    kernels.floats(at, data.length).set(data);
    kernels.run.gelu(at, length);
    return { dims, data: kernels.floats(at, data.length).slice() };
  };
}
