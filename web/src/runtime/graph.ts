/** An ONNX graph run by our own kernels, which keep int8 matrices as they are; ONNX Runtime would expand them. */

import type { Kernels } from "../kernels/kernels.ts";
import { type Node, type Onnx, type Tensor, readOnnx } from "./onnx.ts";
import { OPERATORS } from "./operators.ts";
import { PRODUCTS, gelu } from "./products.ts";
import { simplified } from "./simplify.ts";

/** What runs a graph. */
export interface Engine {
  /** Dimensions of inputs by name; 0 is one that changes. */
  inputs: ReadonlyMap<string, readonly number[]>;
  outputs: readonly string[];
  run(inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>>;
}

interface Step {
  inputs: string[];
  output: string;
  run: (inputs: Tensor[]) => Tensor;
}

export class Graph implements Engine {
  private constructor(
    readonly inputs: ReadonlyMap<string, readonly number[]>,
    readonly outputs: readonly string[],
    private readonly constants: ReadonlyMap<string, Tensor>,
    private readonly steps: readonly Step[],
  ) {}

  /**
   * @returns null where the graph has an operator that is not known here.
   * @throws ArtifactError the file is damaged.
   */
  static of(model: Uint8Array, kernels: Kernels): Graph | null {
    const onnx = readOnnx(model);
    const steps: Step[] = [];
    for (const node of simplified(onnx)) {
      const step = stepOf(node, onnx, kernels);
      if (!step) return null;
      steps.push(step);
    }
    return new Graph(onnx.inputs, onnx.outputs, onnx.constants, steps);
  }

  run(inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    const known = new Map(Object.entries(inputs));
    const get = (name: string): Tensor => known.get(name) ?? this.constants.get(name)!;
    for (const { inputs: names, output, run } of this.steps) known.set(output, run(names.map(get)));
    return Promise.resolve(Object.fromEntries(this.outputs.map((name) => [name, get(name)])));
  }
}

function stepOf(node: Node, onnx: Onnx, kernels: Kernels): Step | null {
  const [x] = node.inputs as [string];
  const [output] = node.outputs as [string];
  const plain = OPERATORS[node.operator];
  if (plain) return { inputs: node.inputs, output, run: (inputs) => plain(inputs, node.numbers) };
  const isGelu = node.operator === "Gelu" && !node.numbers.has("approximate");
  const run = isGelu ? gelu(kernels) : (PRODUCTS[node.operator]?.(kernels, node, onnx) ?? null);
  return run && { inputs: [x], output, run: ([value]) => run(value!) };
}
