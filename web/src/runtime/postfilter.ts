/** A pitch post-filter: harmonics that decoded voices lack are made from the pitch that they have kept.
 *
 * `runtime/postfilter.py` of the Python package says what it does; the numbers are the same.
 */

import type { Kernels } from "../kernels/kernels.ts";
import { PitchTracker, behind, roundEven } from "./pitch.ts";
import { bessel } from "./resample.ts";

const VOICED = [0.8, 1] as const;
const TERMS = 2;
const [LOW_GAIN, COMB_GAIN] = [0.4, 0.5];
const [SPLIT_HZ, TOP_HZ, SLOPE_HZ] = [1300, 3000, 200];
const HALF_S = 0.001;
const PHASES = 8;
const SHELF_TAPS = 32;
const KAISER = 2.5;
const FADE = 4;
const GRID = 4096;

interface Frame {
  /** How periodic the sound is, 0 to 1. */
  share: number;
  /** Samples. */
  period: number;
}

interface Filters {
  /** By past period and part of a sample. */
  combs: Float64Array[][];
  shelf: Float64Array;
}

/** Decoded sound of one signal in, as many samples out, none later. */
export class PitchPostfilter {
  private readonly tracker: PitchTracker;
  private readonly filters: Filters;
  private readonly half: number;
  private past: Float64Array;
  private last: Frame = { share: 0, period: 0 };

  constructor(
    private readonly kernels: Kernels,
    sampleRate: number,
    private readonly hop: number,
  ) {
    this.tracker = new PitchTracker(kernels, sampleRate, hop);
    this.filters = filtersFor(sampleRate);
    this.half = (this.filters.combs[0]![0]!.length - 2) / 2;
    this.past = new Float64Array(TERMS * (this.tracker.maxPeriod + 1) + this.half + 2);
  }

  /** Take whole frames of pcm; give the same samples, filtered. */
  push(pcm: Float32Array): Float32Array {
    const found = new Float32Array(pcm.length);
    for (let start = 0; start < pcm.length; start += this.hop) {
      found.set(this.frame(pcm.subarray(start, start + this.hop)), start);
    }
    return found;
  }

  private frame(pcm: Float32Array): Float32Array {
    const { period, correlation } = this.tracker.push(pcm);
    const share = Math.min(Math.max((correlation - VOICED[0]) / (VOICED[1] - VOICED[0]), 0), 1);
    const heard = behind(this.past, pcm);
    const [now, before] = [{ share, period }, this.last];
    const change = new Float64Array(pcm.length);
    if (now.share) this.add(change, heard, this.hop, now, (fade) => fade);
    if (before.share) this.add(change, heard, Math.floor(this.hop / FADE), before, (fade) => 1 - fade);
    this.last = now;
    this.past = heard.slice(this.hop);
    const found = new Float32Array(pcm.length);
    for (let i = 0; i < found.length; i++) found[i] = pcm[i]! + Math.fround(change[i]!);
    return found;
  }

  /** Add the change of the first samples of a frame for one pitch, weighted by how far its fade is. */
  private add(change: Float64Array, heard: Float64Array, samples: number, { share, period }: Frame, weight: (fade: number) => number): void {
    const first = this.past.length;
    const made = this.kernels.convolved(heard.subarray(first - SHELF_TAPS + 1, first + samples), this.filters.shelf);
    for (let term = 1; term <= TERMS; term++) {
      const eighths = roundEven(term * period * PHASES);
      const begin = first - Math.floor(eighths / PHASES) - this.half - 1;
      const seen = heard.subarray(begin, begin + samples + 2 * this.half + 1);
      const comb = this.kernels.convolved(seen, this.filters.combs[term - 1]![eighths % PHASES]!);
      for (let i = 0; i < made.length; i++) made[i]! += comb[i]!;
    }
    for (let i = 0; i < made.length; i++) change[i]! += weight(Math.min(1, ((i + 0.5) * FADE) / this.hop)) * share * made[i]!;
  }
}

const designed = new Map<number, Filters>();

function filtersFor(sampleRate: number): Filters {
  const found = designed.get(sampleRate) ?? design(sampleRate);
  designed.set(sampleRate, found);
  return found;
}

function design(sampleRate: number): Filters {
  const hz = Float64Array.from({ length: GRID + 1 }, (_, i) => ((i / GRID) * sampleRate) / 2);
  const comb = hz.map((at) => steps(at, 0, [[SPLIT_HZ, COMB_GAIN], [TOP_HZ, 0]]));
  const average = hz.map((at) => steps(at, LOW_GAIN, [[SPLIT_HZ, 0]]));
  const powers = Array.from({ length: TERMS + 1 }, (_, term) => comb.map((gain) => gain ** term));
  const level = hz.map((_, i) => Math.sqrt(powers.reduce((sum, power) => sum + power[i]! ** 2, 0)) * (1 + average[i]!));
  powers[1] = powers[1]!.map((power, i) => power + average[i]!);
  const half = roundEven(HALF_S * sampleRate);
  const shelf = minimumPhase(level.map((gain) => 1 / gain));
  shelf[0]! -= 1;
  const combs = powers.slice(1).map((power) => {
    const response = power.map((gain, i) => gain / level[i]!);
    return Array.from({ length: PHASES }, (_, phase) => linearPhase(response, half, phase / PHASES));
  });
  return { combs, shelf };
}

/** A response that is `first` at 0 Hz and goes to each step's gain at its frequency. */
function steps(hz: number, first: number, gains: readonly (readonly [number, number])[]): number {
  let before = first;
  for (const [at, gain] of gains) {
    if (hz < at + SLOPE_HZ) return before + (gain - before) * Math.max(0, (hz - at + SLOPE_HZ) / (2 * SLOPE_HZ));
    before = gain;
  }
  return before;
}

function linearPhase(response: Float64Array, half: number, late: number): Float64Array {
  return Float64Array.from({ length: 2 * half + 2 }, (_, i) => {
    const time = i - half - late;
    let tap = 0;
    for (let k = 0; k <= GRID; k++) tap += response[k]! * Math.cos(((Math.PI * k) / GRID) * time);
    const window = bessel(KAISER * Math.sqrt(Math.max(0, 1 - (time / (half + 1)) ** 2))) / bessel(KAISER);
    return (tap / GRID) * window;
  });
}

/** The taps that have this magnitude and come as early as they can, by way of the cepstrum. */
function minimumPhase(response: Float64Array): Float64Array {
  const size = 2 * GRID;
  const log = Float64Array.from({ length: size }, (_, i) => Math.log(response[i <= GRID ? i : size - i]!));
  const [cepstrum] = fourier(log, new Float64Array(size));
  const folded = cepstrum.map((value, i) => (i > GRID ? 0 : ((i && i < GRID ? 2 : 1) * value) / size));
  const [real, imaginary] = fourier(folded, new Float64Array(size));
  const wave = real.map((value, i) => Math.exp(value) * Math.cos(imaginary[i]!));
  const rest = real.map((value, i) => -Math.exp(value) * Math.sin(imaginary[i]!));
  return fourier(wave, rest)[0].slice(0, SHELF_TAPS).map((tap) => tap / size);
}

/** The discrete Fourier transform of a power of two of complex numbers, real and imaginary parts. */
function fourier(real: Float64Array, imaginary: Float64Array): [Float64Array, Float64Array] {
  const size = real.length;
  if (size === 1) return [real, imaginary];
  const half = (values: Float64Array, odd: number): Float64Array => values.filter((_, i) => i % 2 === odd);
  const [a, b] = fourier(half(real, 0), half(imaginary, 0));
  const [c, d] = fourier(half(real, 1), half(imaginary, 1));
  const [x, y] = [new Float64Array(size), new Float64Array(size)];
  for (let k = 0; k < size / 2; k++) {
    const [cos, sin] = [Math.cos((2 * Math.PI * k) / size), Math.sin((2 * Math.PI * k) / size)];
    const [re, im] = [c[k]! * cos + d[k]! * sin, d[k]! * cos - c[k]! * sin];
    [x[k], y[k]] = [a[k]! + re, b[k]! + im];
    [x[k + size / 2], y[k + size / 2]] = [a[k]! - re, b[k]! - im];
  }
  return [x, y];
}
