// The Gaussian error linear unit, in AssemblyScript.

/**
 * x (1 + erf(x / sqrt 2)) / 2 of float32 numbers in place; length is a multiple of 4.
 *
 * Source: Abramowitz and Stegun (1964), 7.1.26, which errs by 1.5e-7 at most.
 */
export function gelu(values: usize, length: i32): void {
  const half = f32x4.splat(0.5);
  const one = f32x4.splat(1);
  for (const end = values + (length << 2); values < end; values += 16) {
    const x = v128.load(values);
    const z = f32x4.mul(f32x4.abs(x), f32x4.splat(0.70710678));
    const t = f32x4.div(one, f32x4.add(one, f32x4.mul(f32x4.splat(0.3275911), z)));
    let sum = step(f32x4.splat(1.061405429), t, -1.453152027);
    sum = step(sum, t, 1.421413741);
    sum = step(sum, t, -0.284496736);
    sum = step(sum, t, 0.254829592);
    const tail = f32x4.mul(half, f32x4.mul(f32x4.mul(sum, t), fading(f32x4.mul(z, z))));
    const share = v128.bitselect(tail, f32x4.sub(one, tail), f32x4.lt(x, f32x4.splat(0)));
    v128.store(values, f32x4.mul(x, share));
  }
}

/** e^-y of numbers from 0 on: a power of two, and a series for what is left. */
// @ts-expect-error: decorators of AssemblyScript
@inline
function fading(y: v128): v128 {
  y = f32x4.pmin(y, f32x4.splat(86));
  const whole = f32x4.nearest(f32x4.mul(y, f32x4.splat(1.44269504)));
  const near = f32x4.sub(f32x4.mul(whole, f32x4.splat(0.693359375)), y);
  const rest = f32x4.add(near, f32x4.mul(whole, f32x4.splat(-0.00021219444)));
  let series = step(f32x4.splat(1.0 / 5040.0), rest, 1.0 / 720.0);
  series = step(series, rest, 1.0 / 120.0);
  series = step(series, rest, 1.0 / 24.0);
  series = step(series, rest, 1.0 / 6.0);
  series = step(series, rest, 0.5);
  series = step(series, rest, 1);
  series = step(series, rest, 1);
  const exponent = i32x4.sub(i32x4.splat(127), i32x4.trunc_sat_f32x4_s(whole));
  return f32x4.mul(series, i32x4.shl(exponent, 23));
}

/** sum * x + next: a step of Horner's. */
// @ts-expect-error: decorators of AssemblyScript
@inline
function step(sum: v128, x: v128, next: f32): v128 {
  return f32x4.add(f32x4.mul(sum, x), f32x4.splat(next));
}
