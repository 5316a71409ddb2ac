/** The codec: pcm to `.nac` bytes and back, pcm to codes, and streams. */

import { Codes } from "./codes.ts";
import { Coding, type Mode } from "./coding.ts";
import { concat } from "./bytes.ts";
import { type File, Writer, readFile } from "./container.ts";
import { AudioError, ArtifactError, InvalidField, ModelMismatch } from "./errors.ts";
import { Header } from "./header.ts";
import { inflated } from "./npy.ts";
import { Kernels } from "./kernels/kernels.ts";
import { Artifact, type Fetch } from "./runtime/artifact.ts";
import { Model } from "./runtime/model.ts";
import { DEFAULT_EFFORT } from "./runtime/quantizer.ts";
import { Resampler, joined } from "./runtime/resample.ts";
import { DecoderStream, type EncodeSettings, EncoderStream } from "./runtime/stream.ts";
import type { Spec } from "./spec.ts";

const PACKET_S = 2;
const LONG_PACKET_S = 3;
const LOW_BITRATE = 3000;
const MAX_FRAMES = 255;
const TOO_LOUD = 4;
const KNEE = 0.95;

/** How audio is to be coded. */
export interface EncodeOptions {
  /** Nominal bit/s of each channel; not given it is 6,000, or the highest below that the model has. */
  bitrate?: number;
  /** `none`, `fast` (fixed tables) or `best` (context model); not given it is `best` up to 8 codebooks, else `fast`. */
  entropy?: Mode;
  /** How much noise to remove from speech: 0 none, 1 all that can be. */
  denoise?: number;
  /** Paths that the search for codes keeps, 1 to 64; 4 where nothing is said. */
  effort?: number;
  /** Text to keep in the file, by name. */
  tags?: Readonly<Record<string, string>>;
  /** Told what share of the work is done. A long job gives other work a turn between. */
  progress?: (share: number) => void;
}

export interface DecodeOptions {
  progress?: (share: number) => void;
}

/** Decoded sound. */
export interface Audio {
  /** Samples in [-1, 1] by channel. */
  channels: Float32Array[];
  /** Hz. */
  sampleRate: number;
}

export interface LoadOptions {
  /** What is decoded passes the pitch post-filter; true where nothing is said. */
  postfilter?: boolean;
  /** The folder is one of a page that `soundstream serve --static` wrote: smaller files, expanded here. */
  packed?: boolean;
}

/**
 * Load a model from the folder of an artifact.
 *
 * @param source address of the folder, or what gives the bytes of one of its files by name.
 * @throws ArtifactError it is missing, incomplete, changed, or of a kind that this package cannot run.
 */
export async function load(source: string | URL | Fetch, { postfilter = true, packed = false }: LoadOptions = {}): Promise<Codec> {
  const artifact = await Artifact.load(typeof source === "function" ? source : fetcher(source, packed), packed);
  return new Codec(artifact, await Kernels.create(), postfilter);
}

function fetcher(folder: string | URL, packed: boolean): Fetch {
  const base = String(folder).replace(/\/?$/, "/");
  return async (name) => {
    const address = `${base}${name}${packed ? ".gz" : ""}`;
    const answer = await fetch(address);
    if (!answer.ok) throw new ArtifactError(`${address} cannot be fetched: the server answered ${answer.status}`);
    const data = new Uint8Array(await answer.arrayBuffer());
    return packed && isGzip(data) ? inflated(data, "gzip") : data; // some hosts have the browser unpack it
  };
}

const isGzip = (data: Uint8Array): boolean => data[0] === 0x1f && data[1] === 0x8b;

/** A loaded model; it keeps no state between calls. */
export class Codec {
  readonly spec: Spec;
  /** 16 hexadecimal digits; every `.nac` file carries them. */
  readonly modelId: string;
  readonly model: Model;
  private readonly coding: Coding;

  constructor(artifact: Artifact, kernels: Kernels, postfilter: boolean) {
    this.spec = artifact.spec;
    this.modelId = artifact.modelId;
    this.model = new Model(artifact, kernels, postfilter);
    const stack = this.spec.stack(this.spec.numQuantizers);
    this.coding = new Coding(kernels, this.spec.codebookBits, artifact.codebooks, artifact.tables, stack);
  }

  /**
   * Compress audio to the bytes of a `.nac` file.
   *
   * @param pcm samples in [-1, 1], of one channel or by channel, 1 to 8 of them.
   * @param sampleRate Hz, 8,000 to 192,000.
   * @throws AudioError the audio has another form, or holds NaN or infinity.
   * @throws ConfigError an option is not supported.
   */
  async encode(pcm: Float32Array | readonly Float32Array[], sampleRate: number, options: EncodeOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const channels = checked(pcm, sampleRate);
    const header = this.header(sampleRate, channels.length, channels[0]!.length, options);
    const writer = new Writer(header);
    const parts = [header.toBytes()];
    const codes = await this.toCodes(channels, sampleRate, options);
    for (const part of inPackets(codes, packetFrames(header))) {
      for (const packet of this.coding.pack({ codes: part }, header)) parts.push(writer.packet(packet));
    }
    parts.push(writer.end(channels[0]!.length));
    return concat(parts);
  }

  /**
   * Codes `[channels, num_quantizers, frames]`.
   *
   * @throws AudioError, ConfigError as `encode`.
   */
  async toCodes(pcm: Float32Array | readonly Float32Array[], sampleRate: number, options: EncodeOptions = {}): Promise<Codes> {
    const channels = checked(pcm, sampleRate);
    const settings = this.settings(options);
    const streams = await Promise.all(channels.map(() => EncoderStream.open(this.model, settings, true)));
    const resamplers = channels.map(() => new Resampler(sampleRate, this.spec.sampleRate));
    const parts: Codes[] = [];
    const length = channels[0]!.length;
    for (let start = 0; start < length; start += sampleRate) {
      const blocks = channels.map((channel, i) => resamplers[i]!.push(channel.subarray(start, start + sampleRate)));
      parts.push(await this.coded(blocks, streams, settings));
      await turn(options.progress, Math.min(1, (start + sampleRate) / length));
    }
    parts.push(await this.coded(resamplers.map((resampler) => resampler.flush()), streams, settings));
    const last: Int32Array[] = [];
    for (const stream of streams) last.push(await stream.flush());
    return Codes.joined([...parts, asCodes(last, settings.numQuantizers)]);
  }

  /**
   * Audio of the bytes of a `.nac` file, with exactly the samples of the original.
   *
   * @throws BitstreamError the bytes are damaged, incomplete, foreign, or of another model.
   */
  async decode(data: Uint8Array, options: DecodeOptions = {}): Promise<Audio> {
    const file = readFile(data);
    this.check(file.header);
    const { header, packets } = file;
    const streams = await Promise.all(Array.from({ length: header.channels }, () => DecoderStream.open(this.model, header.numQuantizers)));
    const restored = streams.map(() => new Restored(this.spec, header.sampleRate));
    let frames = 0;
    for (const packet of packets) {
      const { codes } = this.coding.unpack(packet, header);
      for (const [i, stream] of streams.entries()) {
        restored[i]!.push(await stream.push(rowsOf(codes, i), codes.frames));
      }
      frames += packet.frames;
      await turn(options.progress, frames / file.frames);
    }
    const channels = restored.map((signal) => signal.finish(header.leadIn, file.numSamples));
    return { channels, sampleRate: header.sampleRate };
  }

  /** The codes of a file, packet after packet. @throws BitstreamError as `decode`. */
  async codesOf(data: Uint8Array): Promise<{ file: File; codes: Codes[] }> {
    const file = readFile(data);
    this.check(file.header);
    await this.model.loadCodebooks(file.header.numQuantizers);
    return { file, codes: file.packets.map((packet) => this.coding.unpack(packet, file.header).codes) };
  }

  /** Settings of a stream. @throws ConfigError the model does not have this bit rate. */
  settings({ bitrate, effort = DEFAULT_EFFORT, denoise = 0 }: EncodeOptions): EncodeSettings {
    return { numQuantizers: this.spec.quantizersFor(bitrate ?? null), effort, denoise };
  }

  private header(sampleRate: number, channels: number, numSamples: number, options: EncodeOptions): Header {
    const { numQuantizers } = this.settings(options);
    const stack = this.spec.stack(numQuantizers);
    return new Header({
      modelId: this.modelId,
      sampleRate,
      channels,
      codecSampleRate: this.spec.sampleRate,
      hopLength: this.spec.hopLength,
      codebookBits: stack.length ? Math.max(...stack.map(([bits]) => bits)) : this.spec.codebookBits,
      numQuantizers,
      entropyMode: this.coding.mode(options.entropy ?? null, numQuantizers),
      numSamples,
      stack,
      tags: options.tags ?? {},
    });
  }

  private async coded(blocks: Float32Array[], streams: EncoderStream[], { numQuantizers }: EncodeSettings): Promise<Codes> {
    const found: Int32Array[] = [];
    for (const [i, stream] of streams.entries()) found.push(await stream.push(blocks[i]!));
    return asCodes(found, numQuantizers);
  }

  private check(header: Header): void {
    if (header.modelId !== this.modelId) {
      throw new ModelMismatch(`the file was made by model ${header.modelId}, loaded is ${this.modelId}; load the file's own model`);
    }
    const { sampleRate, hopLength, numQuantizers } = this.spec;
    const stack = this.spec.stack(header.numQuantizers);
    const bits = stack.length ? Math.max(...stack.map(([size]) => size)) : this.spec.codebookBits;
    const expected: [string, unknown, unknown][] = [
      ["codec_sample_rate", header.codecSampleRate, sampleRate],
      ["hop_length", header.hopLength, hopLength],
      ["codebook_bits", header.codebookBits, bits],
      ["stack", String(header.stack), String(stack)],
      ["joint_channels", header.jointChannels, 1],
      ["side_numbers", header.sideNumbers, 0],
      ["num_quantizers", Math.max(header.numQuantizers, numQuantizers), numQuantizers],
    ];
    for (const [name, found, wanted] of expected) {
      if (found !== wanted) throw new InvalidField(`${name} is ${String(found)}; this model has ${String(wanted)}`);
    }
  }
}

/** One decoded signal brought to the rate of its original. */
class Restored {
  private readonly resampler: Resampler;
  private readonly parts: Float32Array[] = [];
  private late: number;

  constructor(spec: Spec, sampleRate: number) {
    this.resampler = new Resampler(spec.sampleRate, sampleRate);
    this.late = spec.delaySamples;
  }

  push(pcm: Float32Array): void {
    this.parts.push(this.resampler.push(pcm.subarray(this.late)));
    this.late = Math.max(0, this.late - pcm.length);
  }

  /** So many samples after the lead-in. */
  finish(leadIn: number, numSamples: number): Float32Array {
    const whole = joined([...this.parts, this.resampler.flush()]);
    return softLimit(whole.slice(leadIn, leadIn + numSamples));
  }
}

/** Audio by channel. @throws AudioError it cannot be coded. */
export function checked(pcm: Float32Array | readonly Float32Array[], sampleRate: number): readonly Float32Array[] {
  const channels = pcm instanceof Float32Array ? [pcm] : pcm;
  if (!Number.isInteger(sampleRate) || sampleRate < 8000 || sampleRate > 192000) {
    throw new AudioError(`sample rate ${sampleRate} Hz; expected whole Hz from 8000 to 192000`);
  }
  if (channels.length < 1 || channels.length > 8) throw new AudioError(`audio has ${channels.length} channels; expected 1 to 8`);
  for (const channel of channels) {
    if (channel.length !== channels[0]!.length) throw new AudioError("the channels have unlike lengths");
    const bad = channel.findIndex((sample) => !(Math.abs(sample) < TOO_LOUD));
    if (bad >= 0) throw new AudioError(`audio holds ${channel[bad]} at sample ${bad}; expected floats in [-1, 1]`);
  }
  return channels;
}

/** Bring decoded sound into [-1, 1]: up to 0.95 of full scale as it is, above it bent, and never beyond 1. */
export function softLimit(pcm: Float32Array): Float32Array {
  return pcm.map((sample) => {
    const level = Math.abs(sample);
    if (level <= KNEE) return sample;
    return Math.sign(sample) * (KNEE + (1 - KNEE) * Math.tanh((level - KNEE) / (1 - KNEE)));
  });
}

function packetFrames(header: Header): number {
  const isLow = header.entropyMode > 0 && header.streams * header.bitrate <= LOW_BITRATE;
  return Math.max(1, Math.min(MAX_FRAMES, Math.round((isLow ? LONG_PACKET_S : PACKET_S) * header.frameRate)));
}

function inPackets(codes: Codes, frames: number): Codes[] {
  const count = Math.ceil(codes.frames / frames);
  return Array.from({ length: count }, (_, i) => codes.slice(i * frames, Math.min((i + 1) * frames, codes.frames)));
}

/** Codes `[num_quantizers, frames]` of each stream together. */
export function asCodes(streams: readonly Int32Array[], numQuantizers: number): Codes {
  const frames = streams[0]!.length / numQuantizers;
  const codes = new Codes(streams.length, numQuantizers, frames);
  streams.forEach((data, i) => { codes.data.set(data, i * data.length); });
  return codes;
}

/** Codes `[num_quantizers, frames]` of one stream. */
export function rowsOf(codes: Codes, stream: number): Int32Array {
  const length = codes.numQuantizers * codes.frames;
  return codes.data.slice(stream * length, (stream + 1) * length);
}

/** Tell how far the work is, and let other work have its turn. */
async function turn(progress: ((share: number) => void) | undefined, share: number): Promise<void> {
  if (!progress) return;
  progress(share);
  await new Promise((resolve) => setTimeout(resolve));
}
