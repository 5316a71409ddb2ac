import assert from "node:assert/strict";
import { test } from "node:test";

import { Kernels } from "../src/kernels/kernels.ts";
import type { Node, Onnx, Tensor } from "../src/runtime/onnx.ts";
import { PRODUCTS } from "../src/runtime/products.ts";
import { simplified } from "../src/runtime/simplify.ts";

const TO_LAST = { perm: [0, 2, 3, 1] };
const TO_FIRST = { perm: [0, 3, 1, 2] };

function node(operator: string, inputs: string[], output: string, numbers: Record<string, number[]> = {}): Node {
  return { operator, inputs, outputs: [output], numbers: new Map(Object.entries(numbers)) };
}

function tensor(...dims: number[]): Tensor {
  const data = Float32Array.from({ length: dims.reduce((all, one) => all * one, 1) }, (_, i) => Math.sin(i * 12.9898 + dims.length));
  return { dims, data };
}

function graph(nodes: Node[], constants: Record<string, Tensor>, outputs: string[]): Onnx {
  return { nodes, constants: new Map(Object.entries(constants)), bytes: new Map(), inputs: new Map(), outputs };
}

const told = (nodes: readonly Node[]): string[] => nodes.map(({ operator, inputs, outputs }) => `${operator}(${inputs.join(" ")}) ${outputs.join(" ")}`);

test("a convolution between turns takes rows, and takes its bias and Gelu along", () => {
  const weights = { w: tensor(4, 4, 1, 1), b: tensor(4), m: tensor(4, 8), c: tensor(8) };
  const nodes = [
    node("Transpose", ["x"], "first", TO_FIRST), node("Conv", ["first", "w", "b"], "y"), node("Transpose", ["y"], "rows", TO_LAST),
    node("MatMul", ["rows", "m"], "product"), node("Add", ["product", "c"], "sum"), node("Gelu", ["sum"], "out"),
  ];
  assert.deepEqual(told(simplified(graph(nodes, weights, ["out"]))), ["RowsConv(x w b) y:rows", "MatMul(y:rows m c) out"]);
});

test("what is an output, or needed twice, stays", () => {
  const weights = { w: tensor(4, 4, 1, 1), m: tensor(4, 4), c: tensor(4) };
  const nodes = [
    node("Conv", ["x", "w"], "y"), node("Transpose", ["y"], "rows", TO_LAST), node("MatMul", ["rows", "m"], "product"), node("Add", ["product", "c"], "sum"),
  ];
  const found = told(simplified(graph(nodes, weights, ["y", "product", "sum"])));
  assert.deepEqual(found, ["Transpose(x) y:in", "RowsConv(y:in w) y:rows", "Transpose(y:rows) y", "MatMul(y:rows m) product", "Add(product c) sum"]);
});

/** The definition of a convolution, over `[1, 1, time, channels]`. */
function convolved(x: Tensor, weight: Tensor, bias: Tensor, stride: number, dilation: number, groups: number): number[] {
  const [units, channels, , taps] = weight.dims as [number, number, number, number];
  const [, , length, width] = x.dims as [number, number, number, number];
  const count = Math.floor((length - (taps - 1) * dilation - 1) / stride) + 1;
  return Array.from({ length: count * units }, (_, at) => {
    const [i, unit] = [Math.floor(at / units), at % units];
    let sum = bias.data[unit]!;
    for (let channel = 0; channel < channels; channel++) {
      for (let tap = 0; tap < taps; tap++) {
        const seen = (i * stride + tap * dilation) * width + (groups > 1 ? unit : channel);
        sum += x.data[seen]! * weight.data[(unit * channels + channel) * taps + tap]!;
      }
    }
    return sum;
  });
}

const SHAPES = [[17, 1, 16, 1, 1, 17], [8, 1, 3, 2, 2, 8], [5, 6, 2, 1, 3, 1], [7, 1, 4, 2, 1, 1], [6, 9, 1, 1, 1, 1]] as const;

test("convolutions are what their definition says", async () => {
  const kernels = await Kernels.create();
  for (const [units, channels, taps, stride, dilation, groups] of SHAPES) {
    const [x, weight, bias] = [tensor(1, 1, 23, channels * groups), tensor(units, channels, 1, taps), tensor(units)];
    const numbers = { strides: [1, stride], dilations: [1, dilation], group: [groups] };
    const run = PRODUCTS.RowsConv!(kernels, node("RowsConv", ["x", "w", "b"], "y", numbers), graph([], { w: weight, b: bias }, []))!;
    const [found, expected] = [run(x), convolved(x, weight, bias, stride, dilation, groups)];
    assert.deepEqual(found.dims, [1, 1, expected.length / units, units]);
    expected.forEach((value, i) => { assert.ok(Math.abs(found.data[i]! - value) < 1e-5); });
  }
});
