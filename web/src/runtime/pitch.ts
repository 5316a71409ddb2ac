/** The pitch of sound, a frame at a time, from what has been heard so far: `runtime/pitch.py` of the Python package. */

import type { Kernels } from "../kernels/kernels.ts";
import { sinc } from "./resample.ts";

const [MAX_PERIOD_S, MIN_PERIOD_S, WINDOW_S] = [0.015, 0.0025, 0.05];
const [LOWPASS_HZ, LOWPASS_S] = [1000, 0.002];
const COARSE = 4;
const FRACTIONS = [2, 3, 4];
const FRACTION_FITS = 0.85;
const WORTH_A_LOOK = 0.6;
const SILENCE = 1e-9;

/** Period in samples, and how much the newest sound is like that a period before: 1 periodic, 0 hiss. */
export interface Pitch {
  period: number;
  correlation: number;
}

/** Of one signal. Source: normalised cross-correlation, coarse and fine (Chen and Gersho, 1995). */
export class PitchTracker {
  readonly maxPeriod: number;
  private readonly minPeriod: number;
  private readonly window: number;
  private readonly lowpass: Float64Array;
  private unfiltered: Float64Array;
  private heard: Float64Array;

  constructor(
    private readonly kernels: Kernels,
    sampleRate: number,
    private readonly hop: number,
  ) {
    this.window = roundEven(WINDOW_S * sampleRate);
    [this.minPeriod, this.maxPeriod] = [roundEven(MIN_PERIOD_S * sampleRate), roundEven(MAX_PERIOD_S * sampleRate)];
    this.lowpass = lowpass(sampleRate);
    this.unfiltered = new Float64Array(this.lowpass.length - 1);
    this.heard = new Float64Array(this.window + this.maxPeriod + 2 * COARSE);
  }

  /** Take the samples of a frame. */
  push(pcm: Float32Array): Pitch {
    const unfiltered = behind(this.unfiltered, pcm);
    this.unfiltered = unfiltered.slice(this.hop);
    this.heard = behind(this.heard.subarray(this.hop), this.kernels.convolved(unfiltered, this.lowpass));
    const { lag, correlation } = this.coarse();
    const near = { period: COARSE * lag, correlation };
    const found = correlation > WORTH_A_LOOK ? this.refined(near.period) : near;
    return { ...found, period: Math.min(Math.max(found.period, this.minPeriod), this.maxPeriod) };
  }

  /** The best lag among every `COARSE`-th one, or the last part of it that fits nearly as well. */
  private coarse(): { lag: number; correlation: number } {
    const seen = new Float64Array(Math.ceil(this.heard.length / COARSE));
    for (let i = 1; i <= seen.length; i++) seen[seen.length - i] = this.heard[this.heard.length - 1 - COARSE * (i - 1)]!;
    const [low, high] = [Math.floor(this.minPeriod / COARSE), Math.floor(this.maxPeriod / COARSE)];
    const values = correlations(this.kernels, seen, Math.floor(this.window / COARSE), 0, high + 1);
    const best = largest(values, low, high);
    let found = best;
    for (const fraction of FRACTIONS) {
      const middle = roundEven(best / fraction);
      const near = [-1, 0, 1].map((step) => Math.min(Math.max(middle + step, low), high));
      const nearest = near.reduce((one, other) => (values[other]! > values[one]! ? other : one));
      if (best >= fraction * low && values[nearest]! > FRACTION_FITS * values[best]!) found = nearest;
    }
    return { lag: found, correlation: values[found]! };
  }

  /** The best period near a lag, to a part of a sample. */
  private refined(lag: number): Pitch {
    const { heard, window } = this;
    const values = correlations(this.kernels, heard, window, lag - COARSE, 2 * COARSE + 1);
    const best = largest(values, 0, 2 * COARSE);
    const inside = best > 0 && best < 2 * COARSE;
    const offset = inside ? vertex(values[best - 1]!, values[best]!, values[best + 1]!) : 0;
    return { period: lag - COARSE + best + offset, correlation: values[best]! };
  }
}

/** Where between the samples around it the parabola through a maximum has its own. */
function vertex(before: number, at: number, after: number): number {
  const bend = before - 2 * at + after;
  return bend < 0 ? (0.5 * (before - after)) / bend : 0;
}

function lowpass(sampleRate: number): Float64Array {
  const half = roundEven(LOWPASS_S * sampleRate);
  const taps = Float64Array.from({ length: 2 * half + 1 }, (_, i) => {
    const hann = 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 1)) / (2 * half + 2));
    return sinc(((2 * LOWPASS_HZ) / sampleRate) * (i - half)) * hann;
  });
  const sum = taps.reduce((all, tap) => all + tap, 0);
  return taps.map((tap) => tap / sum);
}

/** Of the newest `window` samples with those `first` samples before, and so many of more. */
function correlations(kernels: Kernels, heard: Float64Array, window: number, first: number, count: number): Float64Array {
  const newest = heard.subarray(heard.length - window);
  const start = heard.length - window - first - count + 1;
  const past = heard.subarray(start, start + window + count - 1);
  const energy = newest.reduce((sum, sample) => sum + sample * sample, 0);
  const energies = kernels.convolved(past.map((sample) => sample * sample), new Float64Array(window).fill(1));
  const products = kernels.convolved(past, newest.slice().reverse());
  for (let i = 0; i < count; i++) products[i]! /= Math.sqrt(Math.max(energies[i]! * energy, 0) + SILENCE ** 2);
  return products.reverse();
}

/** The place of the largest value from low to high, the first of equals. */
function largest(values: Float64Array, low: number, high: number): number {
  let best = low;
  for (let i = low + 1; i <= high; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** Samples one behind the other. */
export function behind(before: Float64Array, samples: ArrayLike<number>): Float64Array {
  const whole = new Float64Array(before.length + samples.length);
  whole.set(before);
  whole.set(samples, before.length);
  return whole;
}

/** The nearest whole number, of two the even one. */
export function roundEven(value: number): number {
  const near = Math.round(value);
  return Math.abs(near - value) === 0.5 ? 2 * Math.round(value / 2) : near;
}
