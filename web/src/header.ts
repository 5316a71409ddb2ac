/** The header of a `.nac` file: docs/format.md. */

import { concat, crc32, pack, unpack, withCrc } from "./bytes.ts";
import { BadMagic, ChecksumMismatch, ConfigError, InvalidField, Truncated, UnsupportedVersion } from "./errors.ts";
import { checkRange, readFromFile } from "./errors.ts";

const MAGIC = Uint8Array.of(0x89, 0x4e, 0x41, 0x43);
const START_LENGTH = 7;
const FIELDS_LENGTH = 32;
const MIN_LENGTH = START_LENGTH + FIELDS_LENGTH + 1 + 4;
const MAX_PAYLOAD = 0xffff;
const UNKNOWN_SAMPLES = (1n << 64n) - 1n;
const LEAD_IN = 1;
const STACK = 2;
const JOINT = 4;
const SIDE = 8;
const COUNTS = 16;
const KNOWN_FLAGS = 31;

/** Bits of a plain code and frames that it covers, by codebook; none where all are alike, with a code a frame. */
export type Stack = readonly (readonly [number, number])[];

/** What a decoder must know before the first packet. */
export interface HeaderFields {
  /** First eight bytes of the hash over the model, in hexadecimal. */
  modelId: string;
  /** Hz of the original, 8,000 to 192,000. */
  sampleRate: number;
  /** Channels of the original, 1 to 8. */
  channels: number;
  /** Hz at which the networks run. */
  codecSampleRate: number;
  /** Samples per frame at that rate. */
  hopLength: number;
  /** Bits of one plain code, 1 to 16. */
  codebookBits: number;
  /** Most codebooks that a packet uses, 1 to 128. */
  numQuantizers: number;
  /** 0 plain codes, 1 fixed frequencies, 2 the context model. */
  entropyMode?: number;
  /** Samples of the original per channel; null while unknown. */
  numSamples?: number | null;
  /** Samples per channel before those, which a decoder leaves out. */
  leadIn?: number;
  stack?: Stack;
  /** Channels that are coded together as one stream. */
  jointChannels?: number;
  /** Numbers that each stream has in a packet beside its codes. */
  sideNumbers?: number;
  /** Whether frames may have fewer codebooks than others. */
  frameCounts?: boolean;
  /** Free text by name. */
  tags?: Readonly<Record<string, string>>;
}

const RANGES = [
  ["sampleRate", 8000, 192000],
  ["channels", 1, 8],
  ["codecSampleRate", 8000, 192000],
  ["hopLength", 1, 65535],
  ["codebookBits", 1, 16],
  ["numQuantizers", 1, 128],
  ["entropyMode", 0, 2],
  ["leadIn", 0, 2 ** 32 - 1],
  ["jointChannels", 1, 8],
  ["sideNumbers", 0, 64],
] as const;

/**
 * A checked header.
 *
 * @throws ConfigError a value is out of range, or the tags do not fit.
 */
export class Header implements Required<HeaderFields> {
  readonly modelId!: string;
  readonly sampleRate!: number;
  readonly channels!: number;
  readonly codecSampleRate!: number;
  readonly hopLength!: number;
  readonly codebookBits!: number;
  readonly numQuantizers!: number;
  readonly entropyMode: number = 0;
  readonly numSamples: number | null = null;
  readonly leadIn: number = 0;
  readonly stack: Stack = [];
  readonly jointChannels: number = 1;
  readonly sideNumbers: number = 0;
  readonly frameCounts: boolean = false;
  readonly tags: Readonly<Record<string, string>> = {};

  constructor(fields: HeaderFields) {
    Object.assign(this, fields);
    for (const [name, low, high] of RANGES) checkRange(name, this[name], low, high);
    if (!/^[0-9a-f]{16}$/.test(this.modelId)) throw new ConfigError(`the model id is ${this.modelId}; expected 8 bytes`);
    this.checkStack();
    if (this.numSamples !== null && !(this.numSamples >= 0 && this.numSamples < 2 ** 63)) {
      throw new ConfigError(`numSamples is ${this.numSamples}; expected a whole number from 0 to 2^63 - 1`);
    }
    checkRange("number of tags", Object.keys(this.tags).length, 0, 255);
    checkRange("header length", this.toBytes().length, MIN_LENGTH, 0xffff);
  }

  private checkStack(): void {
    if (!this.stack.length) return;
    if (this.frameCounts && this.granule > 1) {
      throw new ConfigError("frame counts are there; expected none where a code covers several frames");
    }
    if (this.stack.length !== this.numQuantizers || this.stack.every(([b, s]) => b === this.codebookBits && s === 1)) {
      throw new ConfigError(
        `the stack is of ${this.stack.length} codebooks; expected ${this.numQuantizers}, not all alike`,
      );
    }
    for (const [bits, stride] of this.stack) {
      checkRange("bits of a code", bits, 1, this.codebookBits);
      checkRange("stride", stride, 1, 64);
    }
    if (Math.max(...this.stack.map(([bits]) => bits)) !== this.codebookBits) {
      throw new ConfigError(`codebookBits is ${this.codebookBits}; expected the most of the stack`);
    }
  }

  /** Frames per second. */
  get frameRate(): number {
    return this.codecSampleRate / this.hopLength;
  }

  /** Signals that have codes of their own: the channels, or groups of them. */
  get streams(): number {
    return Math.ceil(this.channels / this.jointChannels);
  }

  /** Bytes of the side numbers of a packet. */
  get sideBytes(): number {
    return this.streams * this.sideNumbers * 4;
  }

  /** Frames that codes cover together: a packet has a multiple of them. */
  get granule(): number {
    return this.stack.reduce((all, [, stride]) => lcm(all, stride), 1);
  }

  /** Nominal bit/s of one stream as plain codes. */
  get bitrate(): number {
    const stack = this.stack.length ? this.stack : Array.from({ length: this.numQuantizers }, () => [this.codebookBits, 1]);
    return Math.round(this.frameRate * stack.reduce((sum, [bits, stride]) => sum + bits / stride, 0));
  }

  /** Most bytes that a payload may have. */
  payloadLimit(frames: number, numQuantizers: number): number {
    const plain = Math.ceil((frames * this.streams * numQuantizers * this.codebookBits) / 8);
    const counts = this.frameCounts ? 18 + 3 * frames * this.streams : 0;
    return Math.min(2 * plain + 16 + this.sideBytes + counts, MAX_PAYLOAD);
  }

  private get flags(): number {
    const fields = [this.leadIn, this.stack.length, this.jointChannels > 1, this.sideNumbers, this.frameCounts];
    return fields.reduce<number>((flags, field, bit) => flags | (field ? 1 << bit : 0), 0);
  }

  /** Of the format: the lowest that has every field. */
  get version(): number {
    return this.flags ? 2 : 1;
  }

  /** The header as it stands in a file, checksum included. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const tags = Object.entries(this.tags).map(([name, value]) => concat([text(name, 1, 1, 255), text(value, 2, 0, 0xffff)]));
    const rest = concat([this.fields(), this.more(), Uint8Array.of(tags.length), ...tags]);
    return withCrc(concat([MAGIC, pack([this.version, 1], [START_LENGTH + rest.length + 4, 2]), rest]));
  }

  private fields(): Uint8Array {
    const samples = new Uint8Array(8);
    const count = this.numSamples === null ? UNKNOWN_SAMPLES : BigInt(this.numSamples);
    new DataView(samples.buffer).setBigUint64(0, count, true);
    const id = Uint8Array.from(this.modelId.match(/../g)!, (byte) => parseInt(byte, 16));
    const rates = pack([this.sampleRate, 4], [this.codecSampleRate, 4], [this.hopLength, 2], [this.channels, 1]);
    const codes = pack([this.codebookBits, 1], [this.numQuantizers, 1], [this.entropyMode, 1]);
    return concat([pack([this.flags, 2]), id, rates, codes, samples]);
  }

  /** Fields of flags, in their order. */
  private more(): Uint8Array {
    const bytes = this.leadIn ? [...pack([this.leadIn, 4])] : [];
    bytes.push(...this.stack.flat());
    if (this.jointChannels > 1) bytes.push(this.jointChannels);
    if (this.sideNumbers) bytes.push(this.sideNumbers);
    return Uint8Array.from(bytes);
  }
}

/**
 * The header at the start of a file, and its length in bytes.
 *
 * @throws BadMagic, UnsupportedVersion, Truncated, ChecksumMismatch, InvalidField it cannot be read.
 */
export function readHeader(data: Uint8Array): [Header, number] {
  if (data.length < 4 || MAGIC.some((byte, i) => data[i] !== byte)) {
    throw new BadMagic("this is no .nac file; give a file that an encoder wrote");
  }
  if (data.length > 4 && data[4] !== 1 && data[4] !== 2) {
    throw new UnsupportedVersion(`the file has format version ${data[4]}; this release reads 1, 2`);
  }
  if (data.length < START_LENGTH) throw new Truncated(`the file ends in its header, after ${data.length} bytes`);
  const length = unpack(data, 5, 2);
  if (length < MIN_LENGTH) throw new InvalidField(`the header length is ${length}; expected at least ${MIN_LENGTH}`);
  if (data.length < length) {
    throw new Truncated(`the file ends in its header, after ${data.length} of ${length} bytes; get a whole copy`);
  }
  const body = withoutCrc(data.subarray(0, length), "the header").subarray(START_LENGTH);
  return [fromBody(body, data[4]!), length];
}

/**
 * Bytes without the CRC-32 behind them.
 *
 * @throws ChecksumMismatch the last four bytes are not the CRC-32 of those before.
 */
export function withoutCrc(data: Uint8Array, what: string): Uint8Array {
  const body = data.subarray(0, -4);
  if (crc32(body) !== unpack(data, data.length - 4, 4)) {
    throw new ChecksumMismatch(`the bytes of ${what} do not match their checksum; the file was changed or damaged`);
  }
  return body;
}

function fromBody(body: Uint8Array, version: number): Header {
  const flags = unpack(body, 0, 2);
  checkFlags(flags, version);
  const numQuantizers = body[22]!;
  const samples = new DataView(body.buffer, body.byteOffset).getBigUint64(24, true);
  const fields: HeaderFields = {
    modelId: Array.from(body.subarray(2, 10), (byte) => byte.toString(16).padStart(2, "0")).join(""),
    sampleRate: unpack(body, 10, 4),
    codecSampleRate: unpack(body, 14, 4),
    hopLength: unpack(body, 18, 2),
    channels: body[20]!,
    codebookBits: body[21]!,
    numQuantizers,
    entropyMode: body[23]!,
    numSamples: samples === UNKNOWN_SAMPLES ? null : Number(samples),
    frameCounts: Boolean(flags & COUNTS),
  };
  const more = new Fields(body.subarray(FIELDS_LENGTH));
  if (flags & LEAD_IN) fields.leadIn = more.leadIn();
  if (flags & STACK) fields.stack = more.stack(numQuantizers);
  if (flags & JOINT) fields.jointChannels = more.number(1, "channels coded together");
  if (flags & SIDE) fields.sideNumbers = more.number(0, "side numbers");
  fields.tags = more.tags();
  return readFromFile(() => new Header(fields));
}

function checkFlags(flags: number, version: number): void {
  if (version > 1 && flags & ~KNOWN_FLAGS) {
    throw new UnsupportedVersion(`the header's flags are ${flags}; this release knows ${KNOWN_FLAGS} only`);
  }
  if (Boolean(flags) !== version > 1) {
    throw new InvalidField(`the header's flags are ${flags}; version 1 has none, and version 2 at least one`);
  }
}

/** What stands behind the fields that every header has. */
class Fields {
  private at = 0;

  constructor(private readonly data: Uint8Array) {}

  /** So many bytes, behind which at least the number of tags follows. */
  private take(length: number): Uint8Array {
    if (this.data.length - this.at <= length) throw new InvalidField("the header ends before its number of tags");
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }

  leadIn(): number {
    const value = unpack(this.take(4), 0, 4);
    if (!value) throw new InvalidField("the header has a lead-in of no samples; a file without one says nothing of it");
    return value;
  }

  stack(numQuantizers: number): Stack {
    const bytes = this.take(2 * numQuantizers);
    return Array.from({ length: numQuantizers }, (_, q) => [bytes[2 * q]!, bytes[2 * q + 1]!] as const);
  }

  number(without: number, what: string): number {
    const value = this.take(1)[0]!;
    if (value <= without) {
      throw new InvalidField(`the header counts ${value} ${what}; a file with no more says nothing of it`);
    }
    return value;
  }

  tags(): Record<string, string> {
    const tags = new Map<string, string>();
    for (let count = this.data[this.at++]!; count > 0; count--) {
      const name = this.text(1);
      const value = this.text(2);
      if (!name || tags.has(name)) {
        throw new InvalidField(`the tag name '${name}' is empty or stands twice in the header`);
      }
      tags.set(name, value);
    }
    if (this.at < this.data.length) {
      throw new InvalidField(`${this.data.length - this.at} bytes follow the last tag; expected the header's checksum`);
    }
    return Object.fromEntries(tags);
  }

  private text(width: number): string {
    const start = this.at + width;
    const end = start > this.data.length ? Infinity : start + unpack(this.data, this.at, width);
    if (end > this.data.length) throw new InvalidField("a tag is longer than the header");
    this.at = end;
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.data.subarray(start, end));
    } catch {
      throw new InvalidField("a tag is not valid UTF-8");
    }
  }
}

function text(value: string, width: number, shortest: number, longest: number): Uint8Array {
  if (!value.isWellFormed()) throw new ConfigError(`the tag text '${value}' is not valid Unicode`);
  const data = new TextEncoder().encode(value);
  checkRange(`byte length of the tag text '${value.slice(0, 20)}'`, data.length, shortest, longest);
  return concat([pack([data.length, width]), data]);
}

export function lcm(a: number, b: number): number {
  return (a / gcd(a, b)) * b;
}

export function gcd(a: number, b: number): number {
  return b ? gcd(b, a % b) : a;
}
