/** Sound as it comes to live packets, and back: docs/format.md, "Live packets"; of one channel, without copies. */

import { concat, pack, unpack } from "./bytes.ts";
import { type Codes, Grid } from "./codes.ts";
import { type Codec, asCodes, checked, rowsOf, softLimit } from "./codec.ts";
import { PlainCoder } from "./entropy/plain.ts";
import { InvalidField, Truncated, checkRange } from "./errors.ts";
import { Resampler, joined } from "./runtime/resample.ts";
import { DecoderStream, type EncodeSettings, EncoderStream } from "./runtime/stream.ts";

const SEQUENCES = 128;
const MAX_FRAMES = 4;
const [DECAY_S, FADE_FROM_S, FADE_S] = [0.26, 2 / 15, 1 / 5];

export interface LiveOptions {
  bitrate?: number;
  /** Frames of a packet, 1 to 4: each further one adds a hop of delay. */
  packetFrames?: number;
  denoise?: number;
}

/** pcm in, packets out. */
export class LiveEncoder {
  private readonly coder: PlainCoder;
  private held = new Float32Array();
  private packets = 0;

  private constructor(
    private readonly codec: Codec,
    private readonly stream: EncoderStream,
    private readonly resampler: Resampler,
    private readonly sampleRate: number,
    private readonly frames: number,
  ) {
    this.coder = new PlainCoder(new Grid(codec.spec.codebookBits));
  }

  /** @throws ConfigError, AudioError a value is not supported. */
  static async open(codec: Codec, sampleRate: number, options: LiveOptions = {}): Promise<LiveEncoder> {
    const { packetFrames = 1, ...rest } = options;
    checkRange("packet_frames", packetFrames, 1, MAX_FRAMES);
    checked(new Float32Array(), sampleRate);
    const stream = await EncoderStream.open(codec.model, codec.settings({ effort: 1, ...rest }), false);
    return new LiveEncoder(codec, stream, new Resampler(sampleRate, codec.spec.sampleRate, true), sampleRate, packetFrames);
  }

  /** Longest time from a sample's coming to its packet, if computing took no time, ms. */
  get latencyMs(): number {
    return this.resampler.latencyMs + (1000 * this.frames * this.codec.spec.hopLength) / this.codec.spec.sampleRate;
  }

  /** A new bit rate or denoising, from the next packet on. @throws ConfigError the model does not have it. */
  async set(options: Omit<LiveOptions, "packetFrames">): Promise<void> {
    const settings: EncodeSettings = this.codec.settings({ effort: 1, ...options });
    await this.codec.model.loadEncoder(settings.denoise > 0, settings.numQuantizers);
    this.stream.settings = settings;
  }

  /** Take samples; give the packets that they complete. All are computed in one call, which takes far less time than many. */
  async push(pcm: Float32Array): Promise<Uint8Array<ArrayBuffer>[]> {
    checked(pcm, this.sampleRate);
    const size = this.frames * this.codec.spec.hopLength;
    const held = joined([this.held, this.resampler.push(pcm)]);
    const count = Math.floor(held.length / size);
    this.held = held.slice(count * size);
    if (!count) return [];
    const { numQuantizers } = this.stream.settings;
    const codes = asCodes([await this.stream.push(held.slice(0, count * size))], numQuantizers);
    return Array.from({ length: count }, (_, i) => this.packet(codes.slice(i * this.frames, (i + 1) * this.frames)));
  }

  private packet(codes: Codes): Uint8Array<ArrayBuffer> {
    const head = (this.packets++ % SEQUENCES) | ((codes.numQuantizers - 1) << 7) | ((this.frames - 1) << 14);
    return concat([pack([head, 2]), this.coder.encode(codes)]);
  }
}

/** Packets in, the lost ones as null; pcm in [-1, 1] out. */
export class LiveDecoder {
  private readonly coder: PlainCoder;
  private frames = 1;
  private lost = 0;
  private last: Float32Array | null = null;
  /** Latents of silence; the encoder tells them, which is loaded when a packet is first lost. */
  private silence: Float32Array | null = null;

  private constructor(
    private readonly codec: Codec,
    private readonly stream: DecoderStream,
    private readonly resampler: Resampler,
  ) {
    this.coder = new PlainCoder(new Grid(codec.spec.codebookBits));
  }

  /** @throws AudioError the sample rate is not supported. */
  static async open(codec: Codec, sampleRate: number): Promise<LiveDecoder> {
    checked(new Float32Array(), sampleRate);
    const stream = await DecoderStream.open(codec.model, 1);
    const resampler = new Resampler(codec.spec.sampleRate, sampleRate, true);
    return new LiveDecoder(codec, stream, resampler);
  }

  /** Time from a packet's coming to its sound, beyond that of the sound itself, ms. */
  get latencyMs(): number {
    return this.resampler.latencyMs + (1000 * this.codec.spec.delaySamples) / this.codec.spec.sampleRate;
  }

  /**
   * Sound of one packet. A lost one sounds as the last that came, fading to silence in a third of a second.
   *
   * @throws Truncated, InvalidField the packet is damaged or foreign; nothing changed.
   */
  async push(packet: Uint8Array | null): Promise<Float32Array> {
    const latents = packet ? await this.taken(packet) : await this.guessed();
    return softLimit(this.resampler.push(await this.stream.pushLatents(latents, this.frames)));
  }

  private async taken(packet: Uint8Array): Promise<Float32Array> {
    if (packet.length < 2) throw new Truncated(`a live packet of ${packet.length} bytes; expected at least 2`);
    const head = unpack(packet, 0, 2);
    const [numQuantizers, frames] = [((head >> 7) & 127) + 1, (head >> 14) + 1];
    if (numQuantizers > this.codec.spec.numQuantizers) {
      throw new InvalidField(`the packet uses ${numQuantizers} codebooks; this model has ${this.codec.spec.numQuantizers}`);
    }
    const codes = this.coder.decode(packet.subarray(2), { streams: 1, numQuantizers, frames }, null);
    await this.codec.model.loadCodebooks(numQuantizers);
    const latents = this.codec.model.latents(rowsOf(codes, 0), frames);
    [this.frames, this.lost] = [frames, 0];
    this.last = Float32Array.from({ length: this.codec.spec.latentDim }, (_, i) => latents[(i + 1) * frames - 1]!);
    return latents;
  }

  /** Latents of frames that did not come; levels, to which each frame adds, are left alone. */
  private async guessed(): Promise<Float32Array> {
    const { latentDim, levels, frameRate } = this.codec.spec;
    const silence = (this.silence ??= await this.codec.model.silence());
    const last = this.last ?? silence;
    const latents = new Float32Array(latentDim * this.frames);
    for (let frame = 0; frame < this.frames; frame++) {
      const lostS = ++this.lost / frameRate;
      const weight = Math.exp(-lostS / DECAY_S) * Math.min(Math.max(1 - (lostS - FADE_FROM_S) / FADE_S, 0), 1);
      for (let i = 0; i < latentDim - (levels?.bands ?? 0); i++) {
        latents[i * this.frames + frame] = silence[i]! + weight * (last[i]! - silence[i]!);
      }
    }
    return latents;
  }
}
