/** Operators of ONNX that only move numbers or change them one by one. Batches have one signal. */

import type { Tensor } from "./onnx.ts";

/** The attributes of a node by name. */
export type Numbers = ReadonlyMap<string, readonly number[]>;
export type Operator = (inputs: readonly Tensor[], numbers: Numbers) => Tensor;

const SHORT = 64;

export const OPERATORS: Record<string, Operator> = {
  Abs: each(Math.abs),
  Add: sum,
  Cast: ([x]) => x!,
  Clip: ([x, low, high]) => mapped(x!, (value) => Math.min(Math.max(value, low!.data[0]!), high!.data[0]!)),
  Concat: concat,
  Exp: each(Math.exp),
  Expand: ([x, shape], numbers) => pairs((a) => a)([x!, zeros(Array.from(shape!.data))], numbers),
  Gather: gather,
  Identity: ([x]) => x!,
  LayerNormalization: layerNormalization,
  Log: each(Math.log),
  Min: pairs(Math.min),
  Mul: pairs((a, b) => a * b),
  Reshape: reshape,
  Sigmoid: each((x) => 1 / (1 + Math.exp(-x))),
  Sign: each(Math.sign),
  Sin: each(Math.sin),
  Slice: slice,
  Sqrt: each(Math.sqrt),
  Sub: pairs((a, b) => a - b),
  Transpose: transpose,
};

const zeros = (dims: readonly number[]): Tensor => ({ dims, data: new Float32Array(size(dims)) });

export function size(dims: readonly number[]): number {
  return dims.reduce((all, one) => all * one, 1);
}

function each(change: (value: number) => number): Operator {
  return ([x]) => mapped(x!, change);
}

function mapped({ dims, data }: Tensor, change: (value: number) => number): Tensor {
  const found = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) found[i] = change(data[i]!);
  return { dims, data: found };
}

/** Two tensors, of which one is spread over the other. */
function pairs(join: (a: number, b: number) => number): Operator {
  return ([a, b]) => {
    if (endsWith(a!.dims, b!.dims)) return repeated(a!, b!, join);
    const rank = Math.max(a!.dims.length, b!.dims.length);
    const [from, to] = [filledUp(a!.dims, rank), filledUp(b!.dims, rank)];
    const dims = from.map((one, i) => (one === 1 ? to[i]! : one));
    const found = zeros(dims);
    const [out, first, second] = [found.data, a!.data, b!.data];
    const [left, right] = [steps(from), steps(to)];
    let at = 0;
    const walk = (axis: number, i: number, j: number): void => {
      const [length, di, dj] = [dims[axis]!, left[axis]!, right[axis]!];
      if (axis < rank - 1) for (let k = 0; k < length; k++) walk(axis + 1, i + k * di, j + k * dj);
      else for (let k = 0; k < length; k++) out[at++] = join(first[i + k * di]!, second[j + k * dj]!);
    };
    walk(0, 0, 0);
    return found;
  };
}

const anySum = pairs((a, b) => a + b);

/** By far the most frequent of them, so that it has a loop of its own. */
function sum(inputs: readonly Tensor[], numbers: Numbers): Tensor {
  const [a, b] = inputs as [Tensor, Tensor];
  if (!endsWith(a.dims, b.dims)) return anySum(inputs, numbers);
  const [found, first, second] = [new Float32Array(a.data.length), a.data, b.data];
  for (let start = 0; start < found.length; start += second.length) {
    for (let i = 0; i < second.length; i++) found[start + i] = first[start + i]! + second[i]!;
  }
  return { dims: a.dims, data: found };
}

function endsWith(dims: readonly number[], last: readonly number[]): boolean {
  return last.every((length, i) => length === dims[dims.length - last.length + i]);
}

/** The second one again and again: all of it, a row of it, or one number. */
function repeated({ dims, data: first }: Tensor, { data: second }: Tensor, join: (a: number, b: number) => number): Tensor {
  const found = new Float32Array(first.length);
  for (let start = 0; start < first.length; start += second.length) {
    for (let i = 0; i < second.length; i++) found[start + i] = join(first[start + i]!, second[i]!);
  }
  return { dims, data: found };
}

const filledUp = (dims: readonly number[], rank: number): number[] => [...new Array<number>(rank - dims.length).fill(1), ...dims];

/** How far apart neighbours along each axis lie; 0 where there is but one. */
function steps(dims: readonly number[]): number[] {
  return dims.map((length, axis) => (length === 1 ? 0 : size(dims.slice(axis + 1))));
}

function axisOf(axis: number, dims: readonly number[]): number {
  return axis < 0 ? axis + dims.length : axis;
}

/** The numbers before an axis, along it and behind it. */
function around(dims: readonly number[], axis: number): [number, number, number] {
  return [size(dims.slice(0, axis)), dims[axis]!, size(dims.slice(axis + 1))];
}

function withLength(dims: readonly number[], axis: number, length: number): number[] {
  return dims.map((one, i) => (i === axis ? length : one));
}

/** So many numbers from a place to another: of a few, a view would cost more than they do. */
function copy(from: Float32Array, start: number, to: Float32Array, at: number, count: number): void {
  if (count > SHORT) to.set(from.subarray(start, start + count), at);
  else for (let i = 0; i < count; i++) to[at + i] = from[start + i]!;
}

function concat(inputs: readonly Tensor[], numbers: Numbers): Tensor {
  const axis = axisOf(numbers.get("axis")![0]!, inputs[0]!.dims);
  const found = zeros(withLength(inputs[0]!.dims, axis, inputs.reduce((sum, { dims }) => sum + dims[axis]!, 0)));
  const [outer, ...rest] = around(found.dims, axis);
  const whole = size(rest);
  let start = 0;
  for (const { dims, data } of inputs) {
    const length = size(dims.slice(axis));
    for (let i = 0; i < outer; i++) copy(data, i * length, found.data, i * whole + start, length);
    start += length;
  }
  return found;
}

function slice([x, starts, ends, axes]: readonly Tensor[]): Tensor {
  const axis = axisOf(axes!.data[0]!, x!.dims);
  const [outer, length, inner] = around(x!.dims, axis);
  const place = (value: number): number => Math.max(0, Math.min(value < 0 ? value + length : value, length));
  const [start, end] = [place(starts!.data[0]!), place(ends!.data[0]!)];
  const found = zeros(withLength(x!.dims, axis, Math.max(0, end - start)));
  const part = (end - start) * inner;
  for (let i = 0; i < outer; i++) copy(x!.data, (i * length + start) * inner, found.data, i * part, part);
  return found;
}

function gather([x, places]: readonly Tensor[], numbers: Numbers): Tensor {
  const axis = axisOf(numbers.get("axis")?.[0] ?? 0, x!.dims);
  const [outer, length, inner] = around(x!.dims, axis);
  const count = places!.data.length;
  const found = zeros(withLength(x!.dims, axis, count));
  for (let i = 0; i < outer * count; i++) {
    const at = Math.floor(i / count) * length + places!.data[i % count]!;
    copy(x!.data, at * inner, found.data, i * inner, inner);
  }
  return found;
}

function reshape([x, shape]: readonly Tensor[]): Tensor {
  const dims = Array.from(shape!.data, (length, i) => (length === 0 ? x!.dims[i]! : length));
  const known = dims.filter((length) => length > 0);
  return { dims: dims.map((length) => (length > 0 ? length : x!.data.length / size(known))), data: x!.data };
}

function transpose([x]: readonly Tensor[], numbers: Numbers): Tensor {
  const order = numbers.get("perm")!;
  const found = zeros(order.map((axis) => x!.dims[axis]!));
  const axes = order.filter((axis) => x!.dims[axis]! > 1);
  if (axes.length === 2 && axes[0]! > axes[1]!) swap(x!.data, found.data, x!.dims[axes[0]!]!);
  else if (axes.every((axis, i) => !i || axis > axes[i - 1]!)) found.data.set(x!.data);
  else reordered(x!.data, found.data, axes.map((axis) => x!.dims[axis]!), axes.map((axis) => steps(x!.dims)[axis]!));
  return found;
}

function reordered(data: Float32Array, found: Float32Array, lengths: number[], apart: number[]): void {
  for (let at = 0; at < found.length; at++) {
    let [from, rest] = [0, at];
    for (let axis = lengths.length - 1; axis >= 0; axis--) {
      from += (rest % lengths[axis]!) * apart[axis]!;
      rest = Math.floor(rest / lengths[axis]!);
    }
    found[at] = data[from]!;
  }
}

/** Rows `[rows, width]` to columns. */
function swap(rows: Float32Array, found: Float32Array, width: number): void {
  const count = rows.length / width;
  for (let i = 0; i < width; i++) for (let row = 0; row < count; row++) found[i * count + row] = rows[row * width + i]!;
}

/** Over the last axis. */
function layerNormalization([x, scale, bias]: readonly Tensor[], numbers: Numbers): Tensor {
  const [by, add, epsilon] = [scale!.data, bias!.data, numbers.get("epsilon")![0]!];
  const width = by.length;
  const found = zeros(x!.dims);
  for (let start = 0; start < found.data.length; start += width) {
    const [row, out] = [x!.data.subarray(start, start + width), found.data.subarray(start, start + width)];
    let [sum, squares] = [0, 0];
    for (let i = 0; i < width; i++) sum += row[i]!;
    const mean = sum / width;
    for (let i = 0; i < width; i++) squares += (row[i]! - mean) ** 2;
    const share = 1 / Math.sqrt(squares / width + epsilon);
    for (let i = 0; i < width; i++) out[i] = (row[i]! - mean) * share * by[i]! + add[i]!;
  }
  return found;
}
