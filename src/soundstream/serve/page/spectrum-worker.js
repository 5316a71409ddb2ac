// Spectrograms on a mel scale, computed beside the page.
// In: {id, channels, rate, columns, rows, low, high}. Out: {id, levels}: dB, rows from low to high, column after column.

import { hzOf, melOf } from "./mel.js";

const WINDOW_S = 0.046;
const FLOOR = 1e-12;

onmessage = ({ data }) => {
  const { id, ...wanted } = data, levels = spectrogram(wanted);
  postMessage({ id, levels }, [levels.buffer]);
};

function spectrogram({ channels, rate, columns, rows, low, high }) {
  const size = 2 ** Math.round(Math.log2(WINDOW_S * rate));
  const mono = mixed(channels), bands = melBands(rate, size, rows, low, high);
  const window = Float64Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size));
  const transform = new Fourier(size), levels = new Float32Array(columns * rows);
  const re = new Float64Array(size), im = new Float64Array(size), power = new Float64Array(size / 2 + 1);
  for (let column = 0; column < columns; column++) {
    const first = Math.round(((column + 0.5) * mono.length) / columns - size / 2);
    for (let i = 0; i < size; i++) re[i] = (mono[first + i] ?? 0) * window[i];
    im.fill(0);
    transform.run(re, im);
    for (let k = 0; k <= size / 2; k++) power[k] = (re[k] ** 2 + im[k] ** 2) * (16 / size ** 2);
    bands.forEach((band, row) => { levels[column * rows + row] = 10 * Math.log10(FLOOR + band(power)); });
  }
  return levels;
}

function mixed(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((value, i) => (value + channels[1][i]) / 2);
}

/** For each row the power in its band: between two bins where bands are narrow, the mean of bins where they are wide. */
function melBands(rate, size, rows, low, high) {
  const bottom = melOf(low), step = (melOf(high) - bottom) / rows;
  return Array.from({ length: rows }, (_, row) => {
    const [from, to] = [hzOf(bottom + row * step), hzOf(bottom + (row + 1) * step)].map((hz) => (hz * size) / rate);
    if (to - from < 2) {
      const middle = Math.min((from + to) / 2, size / 2 - 1), bin = Math.floor(middle), part = middle - bin;
      return (power) => power[bin] * (1 - part) + power[bin + 1] * part;
    }
    const first = Math.round(from), last = Math.min(Math.round(to), size / 2 + 1);
    return (power) => {
      let sum = 0;
      for (let k = first; k < last; k++) sum += power[k];
      return sum / (last - first);
    };
  });
}

/** The discrete Fourier transform of a size that is a power of two, in place. */
class Fourier {
  constructor(size) {
    this.size = size;
    this.cos = Float64Array.from({ length: size / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / size));
    this.sin = Float64Array.from({ length: size / 2 }, (_, i) => Math.sin((2 * Math.PI * i) / size));
    this.order = new Uint32Array(size);
    for (let i = 1; i < size; i++) this.order[i] = (this.order[i >> 1] >> 1) | (i & 1 ? size >> 1 : 0);
  }

  run(re, im) {
    this.order.forEach((j, i) => {
      if (i < j) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
    });
    for (let half = 1; half < this.size; half *= 2) {
      const stride = this.size / (2 * half);
      for (let start = 0; start < this.size; start += 2 * half) this.#combine(re, im, start, half, stride);
    }
  }

  #combine(re, im, start, half, stride) {
    for (let k = 0, i = start; k < half; k++, i++) {
      const c = this.cos[k * stride], s = this.sin[k * stride], j = i + half;
      const x = re[j] * c + im[j] * s, y = im[j] * c - re[j] * s;
      re[j] = re[i] - x;
      im[j] = im[i] - y;
      re[i] += x;
      im[i] += y;
    }
  }
}
