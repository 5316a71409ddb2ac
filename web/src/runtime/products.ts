/** Operators of ONNX that our kernels compute: convolutions, products with int8 matrices, and `Gelu`. */

import type { Kernels } from "../kernels/kernels.ts";
import type { Node, Tensor } from "./onnx.ts";
import { size } from "./operators.ts";

/** The highest bit of each of four bytes: changed, it takes 128 away. */
const SIGNS = 0x80808080;
const ROUND_INPUTS = 4;
const LANES = 4;

/** Rows `[rows, width]` times a matrix that is kept: `[rows, units]`. */
interface Product {
  width: number;
  units: number;
  /** Fill in the rows, then ask for the result, which is a view that the next product changes. */
  rows(count: number): Float32Array;
  results(count: number): Float32Array;
}

/** A matrix `[units, width]` of float32 numbers. */
export function floatProduct(kernels: Kernels, matrix: Float32Array, units: number): Product {
  const width = up(matrix.length / units);
  const filled = new Float32Array(up(units) * width);
  for (let unit = 0; unit < units; unit++) filled.set(matrix.subarray((unit * matrix.length) / units, ((unit + 1) * matrix.length) / units), unit * width);
  const weights = kernels.keepFloats(filled);
  return {
    width,
    units: up(units),
    rows: (count) => kernels.floats(kernels.scratch("rows", 4 * count * width), count * width),
    results: (count) => {
      const out = kernels.scratch("results", 4 * count * up(units));
      kernels.run.product(kernels.scratch("rows", 0), weights, out, count, width, up(units));
      return kernels.floats(out, count * up(units));
    },
  };
}

const up = (length: number): number => Math.ceil(length / LANES) * LANES;

/** A matrix of int8 numbers `[units, width]`, a scale for each unit; rows are rounded to int8 in blocks. */
function roundedProduct(kernels: Kernels, matrix: Int8Array, scales: Float32Array, block: number): Product {
  const units = scales.length;
  const width = matrix.length / units;
  const [weights, by] = [kernels.keepBytes(matrix), kernels.keepFloats(scales)];
  return {
    width,
    units,
    rows: (count) => kernels.floats(kernels.scratch("rows", 4 * count * width), count * width),
    results: (count) => {
      const values = kernels.scratch("values", 2 * count * width);
      const steps = kernels.scratch("steps", (4 * count * width) / block);
      const out = kernels.scratch("results", 4 * count * units);
      kernels.run.quantize(kernels.scratch("rows", 0), values, steps, count * width, block);
      kernels.run.product8(values, steps, weights, by, out, count, width, units, block);
      return kernels.floats(out, count * units);
    },
  };
}

export type Weighted = (x: Tensor) => Tensor;

/**
 * A `MatMulNBits` of 8 bits, as ONNX Runtime computes it: inputs are rounded where it says so.
 *
 * @returns null if it is of another kind.
 */
export function matMulNBits(kernels: Kernels, { numbers }: Node, bytes: Uint8Array, scales: Float32Array): Weighted | null {
  const number = (name: string): number => numbers.get(name)?.[0] ?? 0;
  const [width, units, block] = [number("K"), number("N"), number("block_size")];
  const perUnit = Float32Array.from({ length: units }, (_, unit) => scales[(unit * scales.length) / units]!);
  const isKnown = number("bits") === 8 && width % block === 0 && block % 8 === 0 && units % LANES === 0;
  if (!isKnown || scales.some((scale, i) => scale !== perUnit[Math.floor((i * units) / scales.length)])) return null;
  const matrix = centred(bytes);
  const product =
    number("accuracy_level") === ROUND_INPUTS
      ? roundedProduct(kernels, matrix, perUnit, block)
      : floatProduct(kernels, scaled(matrix, perUnit), units);
  return ({ dims, data }) => {
    const count = data.length / width;
    product.rows(count).set(data);
    return { dims: [...dims.slice(0, -1), units], data: product.results(count).slice() };
  };
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

/**
 * A convolution over the last axis of `[1, channels, 1, time]`, without padding: of all channels, or of each alone.
 *
 * @returns null if it is of another kind.
 */
export function convolution(kernels: Kernels, { numbers }: Node, weight: Tensor, bias?: Tensor): Weighted | null {
  const [units, channels, height, taps] = weight.dims as [number, number, number, number];
  const [stride, dilation] = [numbers.get("strides")?.at(-1) ?? 1, numbers.get("dilations")?.at(-1) ?? 1];
  const groups = numbers.get("group")?.[0] ?? 1;
  const isPadded = (numbers.get("pads") ?? []).some(Boolean) || numbers.has("auto_pad");
  if (weight.dims.length !== 4 || height !== 1 || isPadded || (groups > 1 && (channels > 1 || groups !== units))) return null;
  const shape = { units, channels, taps, stride, dilation };
  const biases = bias?.data ?? new Float32Array(units);
  return groups > 1 ? depthwise(kernels, shape, weight.data, biases) : dense(kernels, shape, weight.data, biases);
}

interface Shape {
  units: number;
  channels: number;
  taps: number;
  stride: number;
  dilation: number;
}

function countOf(length: number, { taps, stride, dilation }: Shape): number {
  return Math.floor((length - (taps - 1) * dilation - 1) / stride) + 1;
}

function depthwise(kernels: Kernels, shape: Shape, weights: Float32Array, biases: Float32Array): Weighted {
  const { units, taps, stride, dilation } = shape;
  const [by, from] = [kernels.keepFloats(weights), kernels.keepFloats(biases)];
  return ({ dims, data }) => {
    const length = dims.at(-1)!;
    const count = countOf(length, shape);
    const rows = kernels.scratch("rows", 4 * data.length);
    const out = kernels.scratch("results", 4 * units * count);
    kernels.floats(rows, data.length).set(data);
    kernels.run.depthwise(rows, by, from, out, units, length, count, taps, stride, dilation);
    return { dims: [1, units, 1, count], data: kernels.floats(out, units * count).slice() };
  };
}

function dense(kernels: Kernels, shape: Shape, weights: Float32Array, biases: Float32Array): Weighted {
  const { units, channels, taps, stride, dilation } = shape;
  const product = floatProduct(kernels, weights, units);
  return ({ dims, data }) => {
    const length = dims.at(-1)!;
    const count = countOf(length, shape);
    const rows = product.rows(count);
    for (let i = 0, at = 0; i < count; i++, at = i * product.width) {
      for (let channel = 0; channel < channels; channel++) {
        const start = channel * length + i * stride;
        for (let tap = 0; tap < taps; tap++) rows[at++] = data[start + tap * dilation]!;
      }
      rows.fill(0, at, (i + 1) * product.width);
    }
    const results = product.results(count);
    const found = new Float32Array(size([units, count]));
    for (let unit = 0; unit < units; unit++) {
      for (let i = 0; i < count; i++) found[unit * count + i] = results[i * product.units + unit]! + biases[unit]!;
    }
    return { dims: [1, units, 1, count], data: found };
  };
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
