// Waveforms and spectrograms on canvases.

import { melOf } from "./mel.js";

const ROWS = 200, MAX_COLUMNS = 1400;
const LOW_HZ = 40, HIGH_HZ = 20000;
const RANGE_DB = 78; // from the loudest to the darkest that is shown
const MAX_SHARE = 0.999; // of the original's values that lie below the top of the scale
const MARKS_HZ = [300, 1000, 3000, 8000, 16000];

const worker = new Worker(new URL("spectrum-worker.js", import.meta.url), { type: "module" });
const waiting = new Map();
let asked = 0;
worker.onmessage = ({ data }) => {
  waiting.get(data.id)?.(data.levels);
  waiting.delete(data.id);
};

/** Compute a spectrogram. @returns {Promise<{levels: Float32Array, columns: number, high: number}>} */
export function spectrogram(channels, rate) {
  const id = asked++, high = Math.min(rate / 2, HIGH_HZ);
  const columns = Math.min(MAX_COLUMNS, Math.max(1, Math.ceil(channels[0].length / 64)));
  worker.postMessage({ id, channels, rate, columns, rows: ROWS, low: LOW_HZ, high });
  return new Promise((resolve) => waiting.set(id, (levels) => resolve({ levels, columns, high })));
}

/** The level that is drawn brightest, dB. */
export function topOf({ levels }) {
  const sorted = levels.slice().sort();
  return Math.max(-60, sorted[Math.floor(MAX_SHARE * (sorted.length - 1))]);
}

export function drawSpectrogram(canvas, { levels, columns }, top) {
  canvas.width = columns;
  canvas.height = ROWS;
  const context = canvas.getContext("2d"), image = context.createImageData(columns, ROWS);
  const pixels = new Uint32Array(image.data.buffer);
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < ROWS; row++) {
      const share = 1 + (levels[column * ROWS + row] - top) / RANGE_DB;
      pixels[(ROWS - 1 - row) * columns + column] = PALETTE[Math.max(0, Math.min(255, Math.round(255 * share)))];
    }
  }
  context.putImageData(image, 0, 0);
}

/** Labels of frequencies beside a spectrogram up to `high` Hz. */
export function frequencyMarks(high) {
  const bottom = melOf(LOW_HZ), top = melOf(high);
  return MARKS_HZ.filter((hz) => hz < 0.9 * high).map((hz) => ({
    text: hz < 1000 ? String(hz) : `${hz / 1000}k`,
    share: (melOf(hz) - bottom) / (top - bottom),
  }));
}

/** Draw the lowest and highest sample of every column, all channels in one. */
export function drawWave(canvas, channels, colour) {
  const scale = devicePixelRatio || 1;
  const width = (canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale)));
  const height = (canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale)));
  const context = canvas.getContext("2d"), middle = height / 2;
  context.fillStyle = colour;
  for (let x = 0; x < width; x++) {
    const [low, high] = extremes(channels, x / width, (x + 1) / width);
    const from = middle - clamp(high) * middle * 0.96, to = middle - clamp(low) * middle * 0.96;
    context.fillRect(x, from, 1, Math.max(scale * 0.75, to - from));
  }
}

const clamp = (value) => Math.max(-1, Math.min(1, value));

function extremes(channels, from, to) {
  const length = channels[0].length, first = Math.floor(from * length);
  const last = Math.max(first + 1, Math.floor(to * length));
  let low = Infinity, high = -Infinity;
  for (const channel of channels) {
    for (let i = first; i < last && i < length; i++) {
      if (channel[i] < low) low = channel[i];
      if (channel[i] > high) high = channel[i];
    }
  }
  return low > high ? [0, 0] : [low, high];
}

/** 256 colours from night blue over plum and ember to pale yellow, their lightness rising evenly. */
const PALETTE = Uint32Array.from({ length: 256 }, (_, i) => {
  const share = i / 255, hue = (265 + 195 * share ** 0.9) % 360;
  const chroma = 0.05 + 0.13 * Math.sin(Math.PI * Math.min(1, 0.08 + share * 0.86)) ** 1.2;
  const [r, g, b] = fromOklch(0.13 + 0.84 * share, chroma * Math.min(1, 0.45 + share * 2), hue);
  return (255 << 24) | (b << 16) | (g << 8) | r;
});

/** Bytes of sRGB for a colour in Oklab's polar form (Ottosson, 2020). */
function fromOklch(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180), b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((linear) => {
    const value = Math.max(0, Math.min(1, linear));
    return Math.round(255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055));
  });
}
