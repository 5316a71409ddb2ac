/** A `.nac` file: header, packets, end record. Nothing here knows what a code means. */

import { concat, pack, unpack, withCrc } from "./bytes.ts";
import { ConfigError, InvalidField, Truncated, checkRange, readFromFile } from "./errors.ts";
import { type Header, readHeader, withoutCrc } from "./header.ts";

const PACKET = 0x50;
const END = 0x45;
const MARKER = 0xa5;
const HEAD_LENGTH = 8;
const END_LENGTH = 22;
const SEQUENCES = 1 << 16;

/** Some frames of every stream, coded. */
export interface Packet {
  /** Codebooks used in these frames. */
  numQuantizers: number;
  /** 1 to 255. */
  frames: number;
  payload: Uint8Array;
}

/** A file that was read to its end. */
export interface File {
  header: Header;
  packets: Packet[];
  /** Samples of the original per channel. */
  numSamples: number;
  frames: number;
}

/** Packets to the bytes of a file, one after the other. */
export class Writer {
  private packets = 0;
  private frames = 0;

  constructor(readonly header: Header) {}

  /** @throws ConfigError the packet exceeds what the header allows. */
  packet({ numQuantizers, frames, payload }: Packet): Uint8Array<ArrayBuffer> {
    checkRange("num_quantizers of a packet", numQuantizers, 1, this.header.numQuantizers);
    checkRange("frames", frames, 1, 255);
    checkRange("payload length", payload.length, 0, this.header.payloadLimit(frames, numQuantizers));
    const head = pack([MARKER, 1], [PACKET, 1], [this.packets % SEQUENCES, 2], [frames, 1], [numQuantizers, 1]);
    this.packets += 1;
    this.frames += frames;
    return withCrc(concat([head, pack([payload.length, 2]), payload]));
  }

  /**
   * The end record.
   *
   * @param numSamples exact samples of the original per channel.
   * @throws ConfigError the header promised another number, or the frames do not cover it.
   */
  end(numSamples: number): Uint8Array<ArrayBuffer> {
    checkEnd(this.header, this.frames, numSamples);
    return withCrc(pack([MARKER, 1], [END, 1], [numSamples, 8], [this.frames, 8]));
  }
}

/** The bytes of a whole file. */
export function writeFile(header: Header, packets: Iterable<Packet>, numSamples: number): Uint8Array<ArrayBuffer> {
  const writer = new Writer(header);
  const parts = Array.from(packets, (packet) => writer.packet(packet));
  return concat([header.toBytes(), ...parts, writer.end(numSamples)]);
}

/**
 * Read a whole file, every checksum verified.
 *
 * @throws BadMagic, UnsupportedVersion, Truncated, ChecksumMismatch, InvalidField it is damaged.
 */
export function readFile(data: Uint8Array): File {
  const [header, start] = readHeader(data);
  const packets: Packet[] = [];
  const reader = new Cursor(data, start);
  let frames = 0;
  for (;;) {
    const [first, kind] = reader.look(2);
    if (first === MARKER && kind === END) break;
    if (first !== MARKER || kind !== PACKET) {
      throw new InvalidField(`the file is damaged: after ${packets.length} packets comes no packet nor end`);
    }
    const packet = readPacket(reader, header, packets.length);
    frames += packet.frames;
    packets.push(packet);
  }
  return { header, packets, numSamples: readEnd(reader, header, frames), frames };
}

class Cursor {
  constructor(
    private readonly data: Uint8Array,
    private at: number,
  ) {}

  look(length: number): Uint8Array {
    if (this.at + length > this.data.length) {
      throw new Truncated("the file ends before its end record; get a whole copy");
    }
    return this.data.subarray(this.at, this.at + length);
  }

  take(length: number): Uint8Array {
    const found = this.look(length);
    this.at += length;
    return found;
  }

  get left(): number {
    return this.data.length - this.at;
  }
}

function readPacket(reader: Cursor, header: Header, sequence: number): Packet {
  const head = reader.look(HEAD_LENGTH);
  const frames = head[4]!;
  const numQuantizers = head[5]!;
  const length = unpack(head, 6, 2);
  readFromFile(() => checkRange("payload length", length, 0, header.payloadLimit(frames, numQuantizers)));
  const body = withoutCrc(reader.take(HEAD_LENGTH + length + 4), "a packet");
  readFromFile(() => {
    checkRange("num_quantizers", numQuantizers, 1, 128);
    checkRange("frames", frames, 1, 255);
    const found = unpack(body, 2, 2);
    if (found !== sequence % SEQUENCES) {
      throw new ConfigError(`packet ${found} follows; expected packet ${sequence % SEQUENCES}`);
    }
    checkRange("num_quantizers of a packet", numQuantizers, 1, header.numQuantizers);
  });
  return { numQuantizers, frames, payload: body.subarray(HEAD_LENGTH) };
}

/** The number of samples that the end record counts. */
function readEnd(reader: Cursor, header: Header, frames: number): number {
  const body = withoutCrc(reader.take(END_LENGTH), "the end record");
  const numSamples = unpack(body, 2, 8);
  const counted = unpack(body, 10, 8);
  readFromFile(() => checkRange("num_samples", numSamples, 0, 2 ** 63));
  if (counted !== frames) {
    throw new InvalidField(`the end record counts ${counted} frames; the packets hold ${frames}`);
  }
  readFromFile(() => checkEnd(header, frames, numSamples));
  if (reader.left) throw new InvalidField("bytes follow the end record; a .nac file ends there");
  return numSamples;
}

function checkEnd(header: Header, frames: number, numSamples: number): void {
  if (header.numSamples !== null && header.numSamples !== numSamples) {
    throw new ConfigError(`num_samples is ${numSamples} at the end; the header says ${header.numSamples}`);
  }
  if ((header.leadIn + numSamples) * header.codecSampleRate > frames * header.hopLength * header.sampleRate) {
    throw new ConfigError(`num_samples is ${numSamples}; the file's ${frames} frames hold fewer`);
  }
}
