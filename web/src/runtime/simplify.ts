/** The nodes of a graph as our kernels want them: fewer, and convolutions of rows that hold the channels of a moment. */

import type { Node, Onnx } from "./onnx.ts";
import { OPERATORS } from "./operators.ts";

/** Orders of axes: from channels first, `[1, channels, 1, time]`, to channels last, `[1, 1, time, channels]`, and back. */
const [TO_LAST, TO_FIRST] = [[0, 2, 3, 1], [0, 3, 1, 2]];
/** A convolution that takes and gives channels last. */
export const ROWS_CONV = "RowsConv";
const PRODUCTS = ["MatMul", "MatMulNBits", ROWS_CONV];
/** Where a product takes what is added to each row; that of a `Conv` stands there. */
const BIAS: Record<string, number> = { MatMul: 2, MatMulNBits: 5 };

/** The nodes without those whose results are known at once: these become constants. */
export function simplified({ nodes, constants, outputs }: Onnx): Node[] {
  const left = nodes.filter((node) => !known(node, constants));
  return merged(needed(turning(left), outputs), constants, outputs);
}

function known({ operator, inputs, outputs, numbers }: Node, constants: Onnx["constants"]): boolean {
  const values = inputs.map((name) => constants.get(name));
  const run = OPERATORS[operator];
  if (!run || !values.every((one) => one !== undefined)) return false;
  constants.set(outputs[0]!, run(values, numbers));
  return true;
}

/** With convolutions of rows between two turns, and nothing turned that was turned the other way before. */
function turning(nodes: readonly Node[]): Node[] {
  const found: Node[] = [];
  const [before, renamed] = [new Map<string, { input: string; order: string }>(), new Map<string, string>()];
  const turn = (input: string, output: string, order: number[], back: number[]): string => {
    const made = before.get(input);
    if (made?.order === String(back)) return made.input;
    before.set(output, { input, order: String(order) });
    found.push({ operator: "Transpose", inputs: [input], outputs: [output], numbers: new Map([["perm", order]]) });
    return output;
  };
  for (const node of nodes) {
    const inputs = node.inputs.map((name) => renamed.get(name) ?? name);
    const [[input], [output]] = [inputs as [string], node.outputs as [string]];
    const order = String(node.operator === "Transpose" ? node.numbers.get("perm") : "");
    if (order === String(TO_LAST)) renamed.set(output, turn(input, output, TO_LAST, TO_FIRST));
    else if (order === String(TO_FIRST)) renamed.set(output, turn(input, output, TO_FIRST, TO_LAST));
    else if (node.operator === "Conv") {
      const rows = turn(input, `${output}:in`, TO_LAST, TO_FIRST);
      found.push({ ...node, operator: ROWS_CONV, inputs: [rows, ...inputs.slice(1)], outputs: [`${output}:rows`] });
      turn(`${output}:rows`, output, TO_FIRST, TO_LAST);
    } else found.push({ ...node, inputs });
  }
  return found;
}

/** Those that outputs come from. */
function needed(nodes: readonly Node[], outputs: readonly string[]): Node[] {
  const wanted = new Set(outputs);
  const found = nodes.toReversed().filter((node) => {
    const isWanted = node.outputs.some((name) => wanted.has(name));
    if (isWanted) node.inputs.forEach((name) => wanted.add(name));
    return isWanted;
  });
  return found.reverse();
}

/** With what is added to the rows of a product, and `Gelu` of these, done by the product itself. */
function merged(nodes: readonly Node[], constants: Onnx["constants"], outputs: readonly string[]): Node[] {
  const uses = new Map<string, number>(outputs.map((name) => [name, 2]));
  for (const name of nodes.flatMap(({ inputs }) => inputs)) uses.set(name, (uses.get(name) ?? 0) + 1);
  const products = new Map<string, Node>();
  const found: Node[] = [];
  for (const node of nodes) {
    const [x, other] = node.inputs as [string, string];
    const [first] = node.inputs.filter((name) => products.has(name) && uses.get(name) === 1);
    const product = products.get(first ?? "");
    const taken = product && (node.operator === "Gelu" ? withGelu(product, node) : node.operator === "Add" ? withBias(product, first === x ? other : x, constants) : null);
    const kept = taken ? { ...taken, outputs: node.outputs } : node;
    if (taken) found.splice(found.indexOf(product), 1);
    found.push(kept);
    if (PRODUCTS.includes(kept.operator)) products.set(kept.outputs[0]!, kept);
  }
  return found;
}

function withGelu(product: Node, { numbers }: Node): Node | null {
  if (numbers.has("approximate") || product.numbers.has("gelu")) return null;
  return { ...product, numbers: new Map([...product.numbers, ["gelu", [1]]]) };
}

function withBias(product: Node, bias: string, constants: Onnx["constants"]): Node | null {
  const place = BIAS[product.operator];
  if (place === undefined || product.inputs[place] || product.numbers.has("gelu") || constants.get(bias)?.dims.length !== 1) return null;
  return { ...product, inputs: Object.assign(new Array<string>(place).fill(""), product.inputs, { [place]: bias }) };
}
