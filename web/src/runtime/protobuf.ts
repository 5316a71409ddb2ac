/** Messages of Protocol Buffers, as far as ONNX needs them. */

import { ArtifactError } from "../errors.ts";

/** A field of a message. */
export interface Field {
  number: number;
  /** What it holds: of a number its bytes. */
  body: Uint8Array;
  /** Of a number. */
  value: number;
}

/** The fields of a message, in order. @throws ArtifactError it is damaged. */
export function fields(data: Uint8Array): Field[] {
  const found: Field[] = [];
  for (let at = 0; at < data.length; ) {
    const [key, afterKey] = readVarint(data, at);
    const [value, afterValue] = (key & 7) === 0 || (key & 7) === 2 ? readVarint(data, afterKey) : [0, afterKey];
    at = afterValue + ({ 0: 0, 1: 8, 2: value, 5: 4 }[key & 7] ?? Infinity);
    if (!(at <= data.length)) throw new ArtifactError("a network's file is damaged; fetch it again");
    found.push({ number: key >>> 3, body: data.subarray(afterValue, at), value });
  }
  return found;
}

/** What the fields of one number hold. */
export function bodies(message: readonly Field[], number: number): Uint8Array[] {
  return message.filter((field) => field.number === number).map(({ body }) => body);
}

export function texts(message: readonly Field[], number: number): string[] {
  return bodies(message, number).map((body) => new TextDecoder().decode(body));
}

/** Whole numbers of a repeated field, one by one or packed together. */
export function integers(message: readonly Field[], number: number): number[] {
  return message.filter((field) => field.number === number).flatMap(({ body, value }) => (body.length ? packed(body) : [value]));
}

function packed(body: Uint8Array): number[] {
  const found: number[] = [];
  for (let at = 0; at < body.length; ) {
    const [value, next] = readVarint(body, at);
    found.push(value);
    at = next;
  }
  return found;
}

/** A whole number of up to 64 bits, and where it ends. */
function readVarint(data: Uint8Array, start: number): [number, number] {
  let [low, high, shift] = [0, 0n, 0];
  for (let at = start; at < data.length && shift < 70; at++, shift += 7) {
    const bits = data[at]! & 127;
    if (shift < 28) low += bits << shift;
    else high |= BigInt(bits) << BigInt(shift);
    if (data[at]! < 128) return [high ? Number(BigInt.asIntN(64, high | BigInt(low))) : low, at + 1];
  }
  throw new ArtifactError("a network's file is damaged; fetch it again");
}
