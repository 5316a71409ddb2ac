/** What a file of ONNX says: nodes, constants, inputs and outputs. */

import { ArtifactError } from "../errors.ts";
import { fromHalf } from "../npy.ts";
import { type Field, bodies, fields, integers, texts } from "./protobuf.ts";

/** Numbers `[...dims]`, the last one changing fastest. */
export interface Tensor {
  dims: readonly number[];
  data: Float32Array;
}

export interface Node {
  operator: string;
  inputs: string[];
  outputs: string[];
  numbers: ReadonlyMap<string, readonly number[]>;
}

export interface Onnx {
  nodes: Node[];
  constants: Map<string, Tensor>;
  /** Constants of unsigned bytes: matrices of int8 products. */
  bytes: Map<string, Uint8Array>;
  /** Dimensions by name; 0 is one that changes. */
  inputs: Map<string, readonly number[]>;
  outputs: string[];
}

const GRAPH = 7;
const [NODES, CONSTANTS, INPUTS, OUTPUTS] = [1, 5, 11, 12];
const [NODE_INPUTS, NODE_OUTPUTS, OPERATOR, ATTRIBUTES] = [1, 2, 4, 5];
const [FLOAT, INT, FLOATS, INTS] = [2, 3, 7, 8];
const [DIMS, TYPE, NAME, RAW] = [1, 2, 8, 9];
const UNSIGNED_BYTES = 2;

/** @throws ArtifactError the file is damaged, or of a kind that is not read here. */
export function readOnnx(model: Uint8Array): Onnx {
  const graph = fields(bodies(fields(model), GRAPH)[0] ?? new Uint8Array());
  const constants = bodies(graph, CONSTANTS).map((body) => fields(body));
  const isBytes = (constant: Field[]): boolean => integers(constant, TYPE)[0] === UNSIGNED_BYTES;
  return {
    nodes: bodies(graph, NODES).map((body) => node(fields(body))),
    constants: new Map(constants.filter((one) => !isBytes(one)).map((one) => [nameOf(one), constant(one)])),
    bytes: new Map(constants.filter(isBytes).map((one) => [nameOf(one), raw(one)])),
    inputs: new Map(bodies(graph, INPUTS).map((body) => input(fields(body)))),
    outputs: bodies(graph, OUTPUTS).map((body) => texts(fields(body), 1)[0] ?? ""),
  };
}

function node(message: Field[]): Node {
  const attributes = bodies(message, ATTRIBUTES).map((body) => fields(body));
  return {
    operator: texts(message, OPERATOR)[0] ?? "",
    inputs: texts(message, NODE_INPUTS),
    outputs: texts(message, NODE_OUTPUTS),
    numbers: new Map(attributes.map((one) => [texts(one, 1)[0] ?? "", numbersOf(one)])),
  };
}

function numbersOf(attribute: Field[]): number[] {
  const floats = [...bodies(attribute, FLOAT), ...bodies(attribute, FLOATS)].flatMap((body) => Array.from(new Float32Array(body.slice().buffer)));
  return floats.length ? floats : [...integers(attribute, INT), ...integers(attribute, INTS)];
}

function input(message: Field[]): [string, number[]] {
  const [type] = bodies(message, 2);
  const [tensor] = bodies(fields(type ?? new Uint8Array()), 1);
  const [shape] = bodies(fields(tensor ?? new Uint8Array()), 2);
  const dims = bodies(fields(shape ?? new Uint8Array()), 1).map((body) => integers(fields(body), 1)[0] ?? 0);
  return [texts(message, 1)[0] ?? "", dims];
}

const nameOf = (constant: Field[]): string => texts(constant, NAME)[0] ?? "";
const raw = (constant: Field[]): Uint8Array<ArrayBuffer> => (bodies(constant, RAW)[0] ?? new Uint8Array()).slice();

const TYPES: Record<number, (buffer: ArrayBuffer) => Float32Array> = {
  1: (buffer) => new Float32Array(buffer),
  3: (buffer) => Float32Array.from(new Int8Array(buffer)),
  6: (buffer) => Float32Array.from(new Int32Array(buffer)),
  7: (buffer) => Float32Array.from(new BigInt64Array(buffer), Number),
  10: (buffer) => fromHalf(new Uint16Array(buffer)),
};

/** A constant as float32, in which whole numbers up to 2^24 are exact. */
function constant(message: Field[]): Tensor {
  const dims = integers(message, DIMS);
  const type = integers(message, TYPE)[0] ?? 0;
  const data = TYPES[type]?.(raw(message).buffer);
  if (data?.length !== dims.reduce((all, size) => all * size, 1)) {
    throw new ArtifactError(`the constant ${nameOf(message)} of a network is of a kind that is not read here`);
  }
  return { dims, data };
}
