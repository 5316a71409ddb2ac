/** Bytes and checksums: what the container and the coders share. */

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  let value = i;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** CRC-32 of zlib. */
export function crc32(data: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of data) value = CRC_TABLE[(value ^ byte) & 0xff]! ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** Numbers, least significant byte first, each in so many bytes: `[value, bytes]`; up to 2^53 - 1. */
export function pack(...fields: readonly (readonly [number, number])[]): Uint8Array<ArrayBuffer> {
  const bytes: number[] = [];
  for (const [field, size] of fields) {
    let value = field;
    for (let i = 0; i < size; i++) {
      bytes.push(value % 256);
      value = Math.floor(value / 256);
    }
  }
  return Uint8Array.from(bytes);
}

/** The number that `size` bytes make, least significant first; exact up to 2^53. */
export function unpack(data: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + data[at + i]!;
  return value;
}

/** Append the CRC-32 of the bytes. */
export function withCrc(data: Uint8Array): Uint8Array<ArrayBuffer> {
  return concat([data, pack([crc32(data), 4])]);
}

export function toHex(data: Uint8Array): string {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
