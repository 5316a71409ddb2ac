/** The codebooks and networks of an artifact, shared by all streams; they are loaded when they are first needed. */

import type { Kernels } from "../kernels/kernels.ts";
import type { Spec } from "../spec.ts";
import type { Artifact } from "./artifact.ts";
import { LevelCoder, LevelSearch } from "./levels.ts";
import { Network, type Rows } from "./network.ts";
import { Quantizer } from "./quantizer.ts";

export class Model {
  readonly spec: Spec;
  /** Of all but the codebook of levels. */
  readonly quantizer: Quantizer;
  private levelQuantizer: Quantizer | null = null;
  private readonly networks = new Map<string, Promise<Network>>();
  private readonly loaded = new Map<string, Network>();

  /** @param postfilter what is decoded passes the pitch post-filter. */
  constructor(
    private readonly artifact: Artifact,
    readonly kernels: Kernels,
    readonly postfilter: boolean,
  ) {
    this.spec = artifact.spec;
    this.quantizer = new Quantizer(kernels, this.spec.latentDim - (this.spec.levels?.bands ?? 0), Math.max(...this.spec.sizes));
  }

  /** What coding needs with the first codebooks. */
  async loadEncoder(denoise: boolean, numQuantizers: number): Promise<void> {
    await this.loadCodebooks(numQuantizers);
    const plain = this.artifact.codebooks.filter((_, q) => q !== this.spec.levels?.place);
    this.quantizer.learn(plain.map((book) => part(book, this.spec.latentDim, 0, this.quantizer.dim)));
    const names = ["encoder.onnx"];
    if (this.spec.levels) names.push("levels.onnx");
    if (denoise && this.artifact.has("denoiser.onnx")) names.push("denoiser.onnx");
    for (const name of names) await this.load(name);
  }

  async loadDecoder(numQuantizers: number): Promise<void> {
    await this.loadCodebooks(numQuantizers);
    await this.load("decoder.onnx");
  }

  loadCodebooks(numQuantizers: number): Promise<void> {
    return this.artifact.loadCodebooks(numQuantizers);
  }

  /** Latents `[latent_dim]` of silence that has lasted, for a second. */
  async silence(): Promise<Float32Array> {
    await this.loadEncoder(false, 1);
    const [frames, { encoder }] = [Math.round(this.spec.frameRate), this];
    const [latents] = await encoder.step(encoder.initState(), quiet(encoder, frames, frames * this.spec.hopLength));
    return Float32Array.from({ length: this.spec.latentDim }, (_, i) => latents[(i + 1) * frames - 1]!);
  }

  get encoder(): Network {
    return this.loaded.get("encoder.onnx")!;
  }

  get decoder(): Network {
    return this.loaded.get("decoder.onnx")!;
  }

  /** What tells the encoder how to remove noise; null while it is not loaded. */
  get denoiser(): Network | null {
    return this.loaded.get("denoiser.onnx") ?? null;
  }

  /** What finds the codes of levels, if there are some, by keeping so many paths. */
  newLevelCoder(paths: number): LevelCoder | null {
    const { levels, latentDim } = this.spec;
    if (!levels) return null;
    const book = part(this.artifact.codebooks[levels.place]!, latentDim, latentDim - levels.bands, levels.bands);
    this.levelQuantizer ??= new Quantizer(this.kernels, levels.bands, book.length / levels.bands);
    this.levelQuantizer.learn([book]);
    const search = new LevelSearch(book, this.levelQuantizer, levels.memory, paths);
    return new LevelCoder(search, this.loaded.get("levels.onnx")!);
  }

  /** Latents `[latent_dim, frames]` of codes `[num_quantizers, frames]`; one below 0 adds nothing. */
  latents(codes: Int32Array, frames: number): Float32Array {
    const dim = this.spec.latentDim;
    const latents = new Float32Array(dim * frames);
    for (let q = 0; q * frames < codes.length; q++) {
      const book = this.artifact.codebooks[q]!;
      for (let frame = 0; frame < frames; frame++) {
        const code = codes[q * frames + frame]!;
        if (code >= 0) for (let i = 0; i < dim; i++) latents[i * frames + frame]! += book[code * dim + i]!;
      }
    }
    return latents;
  }

  private async load(name: string): Promise<void> {
    const loading = this.networks.get(name) ?? this.artifact.file(name).then((data) => Network.load(name, data, this.kernels));
    this.networks.set(name, loading);
    this.loaded.set(name, await loading);
  }
}

/** What an encoder takes of so much silence. */
function quiet(encoder: Network, frames: number, samples: number): Record<string, Rows> {
  return { pcm: { channels: 1, data: new Float32Array(samples) }, ...encoderHints(encoder, frames, 0) };
}

/** What an encoder is told of noise where no denoiser says more: `condition` and `mask`, if it takes them. */
export function encoderHints(encoder: Network, frames: number, denoise: number): Record<string, Rows> {
  const hints: Record<string, Rows> = {};
  for (const name of ["condition", "mask"]) {
    const channels = encoder.inputChannels(name);
    if (channels) hints[name] = { channels, data: new Float32Array(channels * frames) };
  }
  hints.condition?.data.fill(1 - denoise, 0, frames).fill(denoise, frames, 2 * frames);
  hints.mask?.data.fill(1);
  return hints;
}

/** Numbers of each row of `width`: so many from a place on. */
function part(rows: Float32Array, width: number, place: number, count: number): Float32Array {
  if (count === width) return rows;
  const found = new Float32Array((rows.length / width) * count);
  for (let i = 0; i < found.length; i++) found[i] = rows[Math.floor(i / count) * width + place + (i % count)]!;
  return found;
}
