/** Changing the sample rate of one signal by a windowed sinc, evaluated at the place of each new sample. */

import { gcd } from "../header.ts";

interface Shape {
  /** Samples of the lower rate that the window covers to either side. */
  reach: number;
  /** Where the filter is at half, as a share of half the lower rate. */
  cutoff: number;
  /** Of the Kaiser window. */
  beta: number;
}

/** As soxr's high quality, by which the Python package resamples files: fitted to its output, which it meets to 1e-6. */
const FILE: Shape = { reach: 96.84, cutoff: 0.956872, beta: 13.04 };
/** As the Python package resamples live sound: 1.3 ms at 24 kHz to either side. */
const LIVE: Shape = { reach: 32, cutoff: 0.93, beta: 6.8 };

/** Samples after resampling, rounded up, so that the way back never falls short. */
export function resampledLength(numSamples: number, fromRate: number, toRate: number): number {
  return Math.ceil((numSamples * toRate) / fromRate);
}

/** Takes samples of any number and gives those that are ready: in all `resampledLength`, without a shift in time. */
export class Resampler {
  private readonly step: number;
  private readonly phases: number;
  private readonly reach: number;
  private readonly filters: Float32Array[];
  private held: Float32Array;
  private place = 0;
  private taken = 0;
  private given = 0;

  /** @param live filter shortly, for little delay, and not as carefully as for a file. */
  constructor(
    private readonly fromRate: number,
    private readonly toRate: number,
    live = false,
  ) {
    const shared = gcd(fromRate, toRate);
    [this.step, this.phases] = [fromRate / shared, toRate / shared];
    const shape = live ? LIVE : FILE;
    const share = Math.min(1, this.phases / this.step);
    this.reach = fromRate === toRate ? 0 : Math.ceil(shape.reach / share);
    this.filters = this.reach ? filters(shape, share, this.phases, this.reach) : [];
    this.held = new Float32Array(Math.max(0, this.reach - 1));
  }

  /** How long a sample waits for those after it that its filter sees, ms. */
  get latencyMs(): number {
    return (1000 * this.reach) / this.fromRate;
  }

  push(pcm: Float32Array): Float32Array {
    this.taken += pcm.length;
    if (!this.reach) return pcm;
    const held = joined([this.held, pcm]);
    const room = (held.length - 2 * this.reach + 1) * this.phases;
    const found = new Float32Array(Math.max(0, Math.ceil((room - this.place) / this.step)));
    for (let i = 0; i < found.length; i++) found[i] = this.at(held, this.place + i * this.step);
    const next = this.place + found.length * this.step;
    const first = Math.floor(next / this.phases);
    this.place = next - first * this.phases;
    this.held = held.slice(first);
    this.given += found.length;
    return found;
  }

  /** Give the tail; the stream is over. */
  flush(): Float32Array {
    const left = resampledLength(this.taken, this.fromRate, this.toRate) - this.given;
    return this.reach ? this.push(new Float32Array(2 * this.reach)).subarray(0, left) : new Float32Array();
  }

  /** The sample at a place, which counts in 1 / phases of a sample. */
  private at(held: Float32Array, place: number): number {
    const first = Math.floor(place / this.phases);
    const filter = this.filters[place % this.phases]!;
    let sum = 0;
    for (let i = 0; i < filter.length; i++) sum += held[first + i]! * filter[i]!;
    return sum;
  }
}

/** Weights of the samples around each place between two, by phase `[2 * reach]`. */
function filters({ reach: width, cutoff, beta }: Shape, share: number, phases: number, reach: number): Float32Array[] {
  return Array.from({ length: phases }, (_, phase) => {
    const weights = Float64Array.from({ length: 2 * reach }, (_, i) => {
      const away = i + 1 - reach - phase / phases;
      const outside = Math.max(0, 1 - ((away * share) / width) ** 2);
      return sinc(cutoff * share * away) * bessel(beta * Math.sqrt(outside));
    });
    const sum = weights.reduce((all, weight) => all + weight, 0);
    return Float32Array.from(weights, (weight) => weight / sum);
  });
}

export function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** The modified Bessel function of the first kind and order 0, by its series. */
export function bessel(x: number): number {
  let [sum, term] = [1, 1];
  for (let i = 1; term > 1e-17 * sum; i++) sum += term *= (x / (2 * i)) ** 2;
  return sum;
}

export function joined(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
