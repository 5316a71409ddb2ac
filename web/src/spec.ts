/** What a codec is, as `spec` in config.json of an artifact says. */

import { ArtifactError, ConfigError } from "./errors.ts";
import type { Stack } from "./header.ts";

const DEFAULT_BITRATE = 6000;
const EARLY_MEMORY_FRAMES = 128;

interface Levels {
  /** As many of the latents, the last ones. */
  bands: number;
  /** Which codebook has the gains. */
  place: number;
  /** Share of a gain that is left in the next frame. */
  memory: number;
}

/** The part of config.json's `spec` that is used here. */
interface SpecFields {
  sample_rate: number;
  hop_length: number;
  latent_dim: number;
  codebooks: { size: number; stride?: number; group?: string }[];
  counts: number[];
  channels?: number;
  segment_samples?: number;
  lookahead_samples?: number;
  context_frames?: number;
  window_frames?: number;
  period_frames?: number;
  start_frames?: number;
  delay_samples?: number;
  memory_frames?: number;
  side_numbers?: number;
  switches?: { name: string; side: string }[];
  levels?: Levels | null;
  postfilter?: boolean;
}

/** A codec that this package can run. */
export class Spec {
  readonly sampleRate: number;
  readonly hopLength: number;
  readonly latentDim: number;
  readonly sizes: readonly number[];
  readonly counts: readonly number[];
  readonly delaySamples: number;
  readonly memoryFrames: number;
  readonly canDenoise: boolean;
  readonly levels: Levels | null;
  readonly postfilter: boolean;

  private constructor(fields: SpecFields) {
    this.sampleRate = fields.sample_rate;
    this.hopLength = fields.hop_length;
    this.latentDim = fields.latent_dim;
    this.sizes = fields.codebooks.map(({ size }) => size);
    this.counts = fields.counts;
    this.delaySamples = fields.delay_samples ?? 0;
    this.memoryFrames = fields.memory_frames ?? 0;
    this.canDenoise = (fields.switches ?? []).some(({ name, side }) => name === "denoise" && side === "encoder");
    this.levels = fields.levels ?? null;
    this.postfilter = fields.postfilter ?? true;
  }

  /**
   * The spec that a config.json holds.
   *
   * @throws ArtifactError it describes no codec, or one that this package cannot run; the message names what it lacks.
   */
  static of(config: Record<string, unknown>): Spec {
    const fields = (config.spec ?? early(config as unknown as EarlyConfig)) as Partial<SpecFields>;
    const numbers = [fields.sample_rate, fields.hop_length, fields.latent_dim, ...(fields.counts ?? [NaN])];
    if (!numbers.every((number) => Number.isInteger(number) && Number(number) > 0) || !fields.codebooks?.length) {
      throw new ArtifactError("config.json does not describe a codec");
    }
    const missing = unsupported(fields as SpecFields);
    if (missing.length) throw new ArtifactError(`the model is of a codec with ${missing.join(", ")}, which this package cannot do yet`);
    return new Spec(fields as SpecFields);
  }

  get numQuantizers(): number {
    return this.sizes.length;
  }

  get codebookBits(): number {
    return Math.round(Math.log2(Math.max(...this.sizes)));
  }

  /** Bits and strides of the first codebooks; none where all are alike. */
  stack(numQuantizers: number): Stack {
    const books = this.sizes.slice(0, numQuantizers).map((size) => [Math.round(Math.log2(size)), 1] as const);
    return books.every(([bits]) => bits === this.codebookBits) ? [] : books;
  }

  get frameRate(): number {
    return this.sampleRate / this.hopLength;
  }

  /** Algorithmic latency, ms. */
  get latencyMs(): number {
    return (1000 * (this.hopLength + this.delaySamples)) / this.sampleRate;
  }

  /** Nominal bit/s of the first codebooks, as plain codes. */
  bitrate(numQuantizers: number): number {
    return Math.round(this.frameRate * this.sizes.slice(0, numQuantizers).reduce((sum, size) => sum + Math.log2(size), 0));
  }

  /**
   * Number of codebooks for a nominal bit rate; null is 6,000 bit/s, or the highest below that there is.
   *
   * @throws ConfigError no number of codebooks gives this rate.
   */
  quantizersFor(bitrate: number | null): number {
    const rates = new Map(this.counts.map((count) => [this.bitrate(count), count]));
    const usual = [...rates.keys()].filter((rate) => rate <= DEFAULT_BITRATE);
    const wanted = bitrate ?? (usual.length ? Math.max(...usual) : Math.min(...rates.keys()));
    const found = rates.get(wanted);
    if (found === undefined) {
      throw new ConfigError(`bitrate ${bitrate} bit/s is not supported; choose one of ${[...rates.keys()].join(", ")}`);
    }
    return found;
  }
}

/** What streams here do not know of yet, in words. */
function unsupported(fields: SpecFields): string[] {
  const wants: Record<string, boolean> = {
    segments: Boolean(fields.segment_samples),
    "look-ahead": Boolean(fields.lookahead_samples),
    "chunks with context": Boolean(fields.context_frames),
    "windows of frames": (fields.window_frames ?? 1) > 1 || (fields.period_frames ?? 1) > 1,
    "frames that wait at the start": Boolean(fields.start_frames),
    "joint channels": (fields.channels ?? 1) > 1,
    "numbers beside its codes": Boolean(fields.side_numbers),
    "codes that cover several frames": fields.codebooks.some(({ stride }) => (stride ?? 1) > 1),
    "groups of codebooks": new Set(fields.codebooks.map(({ group }) => group ?? "acoustic")).size > 1,
    "a denoise switch in the decoder": (fields.switches ?? []).some(({ side }) => side === "decoder"),
  };
  return Object.keys(wants).filter((name) => wants[name]);
}

/** The settings of networks that an early config.json has. */
interface EarlyConfig {
  sample_rate: number;
  latent_dim: number;
  num_quantizers?: number;
  codebook_size: number;
  strides?: number[];
  hop_length?: number | null;
  overlap?: number;
  denoise?: boolean;
  film?: string;
}

/** The spec of an artifact of release 0.2 or before, whose config.json has the settings of its networks alone. */
function early(config: EarlyConfig): SpecFields {
  const count = config.num_quantizers ?? 0;
  return {
    sample_rate: config.sample_rate,
    hop_length: config.hop_length ?? (config.strides ?? []).reduce((all, stride) => all * stride, 1),
    latent_dim: config.latent_dim,
    codebooks: Array.from({ length: count }, () => ({ size: config.codebook_size })),
    counts: Array.from({ length: count }, (_, i) => i + 1),
    delay_samples: config.overlap ?? 0,
    memory_frames: EARLY_MEMORY_FRAMES,
    switches: config.denoise ? [{ name: "denoise", side: config.film ?? "encoder" }] : [],
  };
}
