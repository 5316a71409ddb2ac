// Convolutions, in AssemblyScript.

/**
 * Sums of the products of float64 samples with taps, the last tap first, where all taps see samples.
 *
 * samples: [count + length - 1]; taps: [length]; out: [count, rounded up to a multiple of 4], and as much room behind samples.
 */
export function convolve(samples: usize, taps: usize, out: usize, count: i32, length: i32): void {
  for (let i = 0; i < count; i += 4) {
    let a = f64x2.splat(0);
    let b = f64x2.splat(0);
    let x = samples + (i << 3);
    for (let tap = taps + (length << 3) - 8; tap >= taps; tap -= 8) {
      const by = v128.load64_splat(tap);
      a = f64x2.add(a, f64x2.mul(v128.load(x), by));
      b = f64x2.add(b, f64x2.mul(v128.load(x, 16), by));
      x += 8;
    }
    v128.store(out + (i << 3), a);
    v128.store(out + (i << 3), b, 16);
  }
}

/**
 * Each column of float32 numbers through taps of its own: out[i] = biases + sum of rows[i * stride + tap * dilation] weights[tap].
 *
 * rows: [any, width]; weights: [taps, width]; biases: [width]; out: [count, width].
 */
export function depthwise(
  rows: usize, weights: usize, biases: usize, out: usize, width: i32, count: i32, taps: i32, stride: i32, dilation: i32,
): void {
  const wide = width & ~3;
  for (let i = 0; i < count; i++) {
    for (let column = 0; column < wide; column += 4) {
      let sum = v128.load(biases + (column << 2));
      for (let tap = 0; tap < taps; tap++) {
        sum = f32x4.add(sum, f32x4.mul(v128.load(rows + (tap * dilation * width + column << 2)), v128.load(weights + (tap * width + column << 2))));
      }
      v128.store(out + (column << 2), sum);
    }
    for (let column = wide; column < width; column++) {
      let sum = load<f32>(biases + (column << 2));
      for (let tap = 0; tap < taps; tap++) sum += load<f32>(rows + (tap * dilation * width + column << 2)) * load<f32>(weights + (tap * width + column << 2));
      store<f32>(out + (column << 2), sum);
    }
    rows += stride * width << 2;
    out += width << 2;
  }
}

/** Add the same row to each of some: rows: float32 [count, width]; row: [width]; width is a multiple of 4. */
export function addToRows(rows: usize, row: usize, count: i32, width: i32): void {
  for (let i = 0; i < count; i++) {
    for (let column = 0; column < width; column += 4) {
      v128.store(rows, f32x4.add(v128.load(rows), v128.load(row + (column << 2))));
      rows += 16;
    }
  }
}
