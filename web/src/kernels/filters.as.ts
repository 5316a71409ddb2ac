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
 * Each row of float32 numbers through taps of its own: out[i] = bias + sum of rows[i * stride + tap * dilation] weights[tap].
 *
 * rows: [count, width]; weights: [count, taps]; biases: [count]; out: [count, length].
 */
export function depthwise(
  rows: usize, weights: usize, biases: usize, out: usize, count: i32, width: i32, length: i32, taps: i32, stride: i32, dilation: i32,
): void {
  for (let row = 0; row < count; row++) {
    const bias = load<f32>(biases + (row << 2));
    let i = 0;
    for (; stride === 1 && i + 4 <= length; i += 4) {
      let sum = f32x4.splat(bias);
      for (let tap = 0; tap < taps; tap++) {
        sum = f32x4.add(sum, f32x4.mul(v128.load(rows + (i + tap * dilation << 2)), v128.load32_splat(weights + (tap << 2))));
      }
      v128.store(out + (i << 2), sum);
    }
    for (; i < length; i++) {
      let sum = bias;
      for (let tap = 0; tap < taps; tap++) sum += load<f32>(rows + (i * stride + tap * dilation << 2)) * load<f32>(weights + (tap << 2));
      store<f32>(out + (i << 2), sum);
    }
    rows += width << 2;
    weights += taps << 2;
    out += length << 2;
  }
}
