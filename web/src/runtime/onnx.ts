/**
 * ONNX graphs for the browser: products with int8 matrices (`MatMulNBits`) become products with float32 ones.
 *
 * ONNX Runtime's WebAssembly expands such a matrix anew in every call, which takes ten times as long as the product.
 * So the graph is changed to expand it by plain operators of constants, which the runtime computes once, when it loads.
 */

import { concat } from "../bytes.ts";
import { ArtifactError } from "../errors.ts";

const GRAPH = 7;
const NODE = 1;
const [INPUT, OUTPUT, OP_TYPE, ATTRIBUTE] = [1, 2, 4, 5];
const [ATTRIBUTE_NAME, ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_INTS, ATTRIBUTE_TYPE] = [1, 2, 3, 8, 20];
const [TYPE_FLOAT, TYPE_INT, TYPE_INTS] = [1, 2, 7];
const FLOAT = 1;
const ZERO_POINT = 128;

/** A field of a message of Protocol Buffers. */
interface Field {
  number: number;
  /** The whole field. */
  raw: Uint8Array;
  /** What it holds: of a number nothing. */
  body: Uint8Array;
  value: number;
}

/** The same model with float32 products. @throws ArtifactError its int8 products are of a kind that is not known. */
export function withFloatProducts(model: Uint8Array): Uint8Array<ArrayBuffer> {
  const parts = fields(model).map((field) => (field.number === GRAPH ? message(GRAPH, expandedGraph(field.body)) : field.raw));
  return concat(parts);
}

function expandedGraph(graph: Uint8Array): Uint8Array {
  return concat(
    fields(graph).flatMap((field) => {
      const node = field.number === NODE ? fields(field.body) : [];
      return texts(node, OP_TYPE)[0] === "MatMulNBits" ? expanded(node) : [field.raw];
    }),
  );
}

/** The nodes that do what a `MatMulNBits` does. */
function expanded(product: Field[]): Uint8Array[] {
  const inputs = texts(product, INPUT);
  const [out] = texts(product, OUTPUT);
  const sizes = Object.fromEntries(product.filter(({ number }) => number === ATTRIBUTE).map(({ body }) => attribute(body)));
  const { K, N, bits, block_size: block } = sizes;
  if (inputs.length !== 3 || bits !== 8 || !K || !N || !block || K % block) {
    throw new ArtifactError(`the product ${out} of a network is of a kind that is not known here`);
  }
  const [x, blocks, scales] = inputs as [string, string, string];
  const name = (part: string): string => `${out}.${part}`;
  return [
    node("Cast", [blocks], name("values"), intAttribute("to", FLOAT)),
    node("Constant", [], name("zero"), floatAttribute("value_float", ZERO_POINT)),
    node("Sub", [name("values"), name("zero")], name("centred")),
    node("Constant", [], name("by_block"), intsAttribute("value_ints", [N, K / block, 1])),
    node("Reshape", [scales, name("by_block")], name("scales")),
    node("Mul", [name("centred"), name("scales")], name("scaled")),
    node("Constant", [], name("matrix_shape"), intsAttribute("value_ints", [N, K])),
    node("Reshape", [name("scaled"), name("matrix_shape")], name("rows")),
    node("Transpose", [name("rows")], name("matrix"), intsAttribute("perm", [1, 0])),
    node("MatMul", [x, name("matrix")], out!),
  ];
}

function node(operator: string, inputs: string[], output: string, ...attributes: Uint8Array[]): Uint8Array {
  const names = inputs.map((input) => text(INPUT, input));
  const given = attributes.map((one) => message(ATTRIBUTE, one));
  return message(NODE, concat([...names, text(OUTPUT, output), text(OP_TYPE, operator), ...given]));
}

function intAttribute(name: string, value: number): Uint8Array {
  return concat([text(ATTRIBUTE_NAME, name), number(ATTRIBUTE_INT, value), number(ATTRIBUTE_TYPE, TYPE_INT)]);
}

function intsAttribute(name: string, values: number[]): Uint8Array {
  const ints = values.map((value) => number(ATTRIBUTE_INTS, value));
  return concat([text(ATTRIBUTE_NAME, name), ...ints, number(ATTRIBUTE_TYPE, TYPE_INTS)]);
}

function floatAttribute(name: string, value: number): Uint8Array {
  const bytes = new Uint8Array(Float32Array.of(value).buffer);
  const float = concat([varint((ATTRIBUTE_FLOAT << 3) | 5), bytes]);
  return concat([text(ATTRIBUTE_NAME, name), float, number(ATTRIBUTE_TYPE, TYPE_FLOAT)]);
}

function attribute(body: Uint8Array): [string, number] {
  const found = fields(body);
  return [texts(found, ATTRIBUTE_NAME)[0] ?? "", found.find((field) => field.number === ATTRIBUTE_INT)?.value ?? 0];
}

function texts(found: Field[], wanted: number): string[] {
  return found.filter((field) => field.number === wanted).map(({ body }) => new TextDecoder().decode(body));
}

function message(field: number, body: Uint8Array): Uint8Array {
  return concat([varint((field << 3) | 2), varint(body.length), body]);
}

function text(field: number, value: string): Uint8Array {
  return message(field, new TextEncoder().encode(value));
}

function number(field: number, value: number): Uint8Array {
  return concat([varint(field << 3), varint(value)]);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Uint8Array.of(...bytes, value);
}

/** The fields of a message, in order. @throws ArtifactError it is damaged. */
function fields(data: Uint8Array): Field[] {
  const found: Field[] = [];
  for (let at = 0; at < data.length; ) {
    const start = at;
    const [key, afterKey] = readVarint(data, at);
    const [value, afterValue] = (key & 7) === 0 || (key & 7) === 2 ? readVarint(data, afterKey) : [0, afterKey];
    at = afterValue + ({ 0: 0, 1: 8, 2: value, 5: 4 }[key & 7] ?? Infinity);
    if (at > data.length) throw new ArtifactError("a network's file is damaged; fetch it again");
    found.push({ number: key >>> 3, raw: data.subarray(start, at), body: data.subarray(afterValue, at), value });
  }
  return found;
}

function readVarint(data: Uint8Array, start: number): [number, number] {
  let [value, scale] = [0, 1];
  for (let at = start; at < data.length; at++, scale *= 128) {
    value += (data[at]! & 127) * scale;
    if (data[at]! < 128) return [value, at + 1];
  }
  throw new ArtifactError("a network's file is damaged; fetch it again");
}
