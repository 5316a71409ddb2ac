/** pcm of one signal to codes, and codes to pcm, in pieces of any length; a whole file is one piece after the other. */

import { ConfigError } from "../errors.ts";
import { type LevelCoder, latePaths } from "./levels.ts";
import { type Model, encoderHints } from "./model.ts";
import type { Rows, State } from "./network.ts";
import { PitchPostfilter } from "./postfilter.ts";
import { joined } from "./resample.ts";

/** Sound in one call of a network, at most. */
const BLOCK_S = 1;

export interface EncodeSettings {
  numQuantizers: number;
  /** Paths that the search for codes keeps. */
  effort: number;
  /** How much noise to remove: 0 none, 1 all that can be. */
  denoise: number;
}

/** pcm of one channel at the codec's rate in, codes `[num_quantizers, frames]` out; a new one for each signal. */
export class EncoderStream {
  private state: State;
  private denoiserState: State | null = null;
  private rest = new Float32Array();
  private owed = 0;
  /** Codes of frames whose code of levels is not decided. */
  private held: Int32Array = new Int32Array();
  private readonly levels: LevelCoder | null;

  private constructor(
    private readonly model: Model,
    /** What may change from push to push. */
    public settings: EncodeSettings,
    levels: LevelCoder | null,
  ) {
    this.state = model.encoder.initState();
    this.levels = levels;
  }

  /**
   * @param wait codes of levels may come late, as they do unless the effort is 1.
   * @throws ConfigError the model cannot remove noise.
   */
  static async open(model: Model, settings: EncodeSettings, wait: boolean): Promise<EncoderStream> {
    const { denoise, effort } = settings;
    if (!(denoise >= 0 && denoise <= 1)) throw new ConfigError(`denoise is ${denoise}; expected 0 to 1`);
    if (denoise && !model.spec.canDenoise) throw new ConfigError("this model was not trained to remove noise; use denoise 0");
    await model.loadEncoder(denoise > 0, settings.numQuantizers);
    return new EncoderStream(model, settings, model.newLevelCoder(wait ? latePaths(effort) : 1));
  }

  /** Take samples; give the codes of the frames that they complete. */
  async push(pcm: Float32Array): Promise<Int32Array> {
    if (pcm.length) this.owed = this.model.spec.delaySamples;
    return this.take(pcm);
  }

  /** Codes of the open frame, and of the samples that the decoder gives late, filled up with zeros. */
  async flush(): Promise<Int32Array> {
    const hop = this.model.spec.hopLength;
    const filled = this.rest.length + this.owed;
    const missing = this.owed + Math.ceil(filled / hop) * hop - filled;
    this.owed = 0;
    const last = await this.take(new Float32Array(missing));
    return joinedRows([last, this.decided(new Int32Array(), this.levels?.flush() ?? [])], this.settings.numQuantizers);
  }

  private async take(pcm: Float32Array): Promise<Int32Array> {
    const hop = this.model.spec.hopLength;
    const all = joined([this.rest, pcm]);
    const whole = Math.floor(all.length / hop) * hop;
    this.rest = all.slice(whole);
    const block = Math.round(BLOCK_S * this.model.spec.frameRate) * hop;
    const parts: Int32Array[] = [];
    for (let start = 0; start < whole; start += block) {
      parts.push(await this.codes(all.slice(start, Math.min(start + block, whole))));
    }
    return joinedRows(parts, this.settings.numQuantizers);
  }

  private async codes(pcm: Float32Array): Promise<Int32Array> {
    const { spec, encoder, quantizer } = this.model;
    const { numQuantizers, effort } = this.settings;
    const frames = pcm.length / spec.hopLength;
    const inputs = { pcm: { channels: 1, data: pcm }, ...(await this.hints(pcm, frames)) };
    const [latents, next] = await encoder.step(this.state, inputs);
    this.state = next;
    const place = spec.levels && numQuantizers > spec.levels.place ? spec.levels.place : null;
    const found = quantizer.encode(latents, frames, numQuantizers - (place === null ? 0 : 1), effort);
    if (place === null || !this.levels) return found;
    const levels = await this.levels.push(latents, quantizer.decode(found, frames), frames);
    const codes = new Int32Array(numQuantizers * frames);
    codes.set(found.subarray(0, place * frames));
    codes.set(found.subarray(place * frames), (place + 1) * frames);
    return this.decided(codes, levels);
  }

  /** Frames that were held and these, those of them for which levels are decided. */
  private decided(codes: Int32Array, levels: readonly number[]): Int32Array {
    const { numQuantizers } = this.settings;
    const all = joinedRows([this.held, codes], numQuantizers);
    const frames = all.length / numQuantizers;
    const found = columns(all, frames, 0, levels.length);
    this.held = columns(all, frames, levels.length, frames - levels.length);
    if (levels.length) found.set(levels, this.model.spec.levels!.place * levels.length);
    return found;
  }

  /** What the encoder is told of noise. */
  private async hints(pcm: Float32Array, frames: number): Promise<Record<string, Rows>> {
    const { encoder, denoiser } = this.model;
    const { denoise } = this.settings;
    const hints = encoderHints(encoder, frames, denoise);
    if (!hints.mask || !denoise || !denoiser) {
      this.denoiserState = null;
      return hints;
    }
    const state = this.denoiserState ?? denoiser.initState();
    const [mask, next] = await denoiser.step(state, { pcm: { channels: 1, data: pcm } });
    this.denoiserState = next;
    return { ...hints, mask: { channels: hints.mask.channels, data: mask } };
  }
}

/** Codes of one channel in, pcm out, hop_length samples a frame; a new one for each signal. */
export class DecoderStream {
  private state: State;
  private readonly postfilter: PitchPostfilter | null;

  private constructor(private readonly model: Model) {
    this.state = model.decoder.initState();
    const wanted = model.postfilter && model.spec.postfilter;
    this.postfilter = wanted ? new PitchPostfilter(model.kernels, model.spec.sampleRate, model.spec.hopLength) : null;
  }

  static async open(model: Model, numQuantizers: number): Promise<DecoderStream> {
    await model.loadDecoder(numQuantizers);
    return new DecoderStream(model);
  }

  /** Take codes `[num_quantizers, frames]`, which are -1 where there is none. */
  push(codes: Int32Array, frames: number): Promise<Float32Array> {
    return this.pushLatents(this.model.latents(codes, frames), frames);
  }

  /** The same from latents `[latent_dim, frames]`. */
  async pushLatents(latents: Float32Array, frames: number): Promise<Float32Array> {
    const { spec, decoder } = this.model;
    const block = Math.round(BLOCK_S * spec.frameRate);
    const parts: Float32Array[] = [];
    for (let start = 0; start < frames; start += block) {
      const count = Math.min(block, frames - start);
      const data = columns(latents, frames, start, count);
      const inputs = { latents: { channels: spec.latentDim, data }, ...this.condition(count) };
      const [pcm, next] = await decoder.step(this.state, inputs);
      this.state = next;
      parts.push(this.postfilter ? this.postfilter.push(pcm) : pcm);
    }
    return joined(parts);
  }

  /** Of a decoder that takes one, as without any switch. */
  private condition(frames: number): Record<string, Rows> {
    const channels = this.model.decoder.inputChannels("condition");
    if (!channels) return {};
    return { condition: { channels, data: new Float32Array(channels * frames).fill(1, 0, frames) } };
  }
}

/** So many columns of rows of `frames` numbers, from a column on. */
function columns<T extends Float32Array | Int32Array>(rows: T, frames: number, start: number, count: number): T {
  const found = rows.slice(0, frames ? (rows.length / frames) * count : 0) as T;
  for (let row = 0; row * count < found.length; row++) {
    found.set(rows.subarray(row * frames + start, row * frames + start + count), row * count);
  }
  return found;
}

/** Parts of so many rows, one behind the other. */
function joinedRows(parts: readonly Int32Array[], rows: number): Int32Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Int32Array(parts.reduce((length, part) => length + part.length, 0));
  let start = 0;
  for (const part of parts) {
    const length = part.length / rows;
    for (let row = 0; row < rows; row++) whole.set(part.subarray(row * length, (row + 1) * length), (row * whole.length) / rows + start);
    start += length;
  }
  return whole;
}

