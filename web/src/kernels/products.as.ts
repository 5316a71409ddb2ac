// Products of rows with matrices, in AssemblyScript. A matrix is `[units, width]`: the weights of each result lie together.

/**
 * Round rows to whole numbers of 8 bits, each block of a row by a scale of its own: its largest becomes 127.
 *
 * rows: float32 [length]; values: int16 [length]; scales: float32 [length / block]; block is a multiple of 8.
 */
export function quantize(rows: usize, values: usize, scales: usize, length: i32, block: i32): void {
  for (let start = 0; start < length; start += block) {
    let most = f32x4.splat(0);
    for (let i = 0; i < block; i += 4) most = f32x4.max(most, f32x4.abs(v128.load(rows + (i << 2))));
    const largest: f32 = max(max(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1)), max(f32x4.extract_lane(most, 2), f32x4.extract_lane(most, 3)));
    const steps = f32x4.splat(largest > 0 ? 127 / largest : 0);
    for (let i = 0; i < block; i += 8) {
      const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(rows + (i << 2)), steps)));
      const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(rows + (i << 2), 16), steps)));
      v128.store(values + (i << 1), i16x8.narrow_i32x4_s(low, high));
    }
    store<f32>(scales, largest / 127);
    rows += block << 2;
    values += block << 1;
    scales += 4;
  }
}

/**
 * Products of such rows with int8 weights, each unit's times a scale of its own.
 *
 * values: int16 [rows, width]; scales: float32 [rows, width / block]; weights: int8 [units, width]; units: a multiple of 4;
 * unit_scales: float32 [units]; out: float32 [rows, units].
 */
export function product8(
  values: usize, scales: usize, weights: usize, unit_scales: usize, out: usize, rows: i32, width: i32, units: i32, block: i32,
): void {
  const blocks = width / block;
  const one = units << 2;
  const many = rows & ~3;
  for (let unit = 0; unit < units; unit += 4) {
    const matrix = weights + unit * width;
    const at = out + (unit << 2);
    const by = unit_scales + (unit << 2);
    for (let row = 0; row < many; row += 4) {
      const x = values + (row * width << 1);
      const s = scales + (row * blocks << 2);
      fourRows(x, s, matrix, by, at + row * one, one, width, block);
      fourRows(x, s, matrix + (width << 1), by + 8, at + row * one + 8, one, width, block);
    }
    let row = many;
    for (; row + 2 <= rows; row += 2) {
      const x = values + (row * width << 1);
      const s = scales + (row * blocks << 2);
      twoRows(x, s, matrix, by, at + row * one, one, width, block);
      twoRows(x, s, matrix + (width << 1), by + 8, at + row * one + 8, one, width, block);
    }
    if (row < rows) {
      oneRow(values + (row * width << 1), scales + (row * blocks << 2), matrix, by, at + row * one, width, block);
    }
  }
}

/** Four rows by two units. */
function fourRows(x: usize, scales: usize, weights: usize, by: usize, out: usize, one: usize, width: i32, block: i32): void {
  const next = <usize>(width << 1);
  const next_scale = <usize>(width / block << 2);
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  for (let start = 0; start < width; start += block) {
    let i0 = i32x4.splat(0), i1 = i32x4.splat(0), j0 = i32x4.splat(0), j1 = i32x4.splat(0);
    let k0 = i32x4.splat(0), k1 = i32x4.splat(0), l0 = i32x4.splat(0), l1 = i32x4.splat(0);
    for (const end = x + (block << 1); x < end; x += 16) {
      const first = v128.load_ext<i8>(weights);
      const second = v128.load_ext<i8>(weights + <usize>width);
      let value = v128.load(x);
      i0 = i32x4.add(i0, i32x4.dot_i16x8_s(first, value));
      i1 = i32x4.add(i1, i32x4.dot_i16x8_s(second, value));
      value = v128.load(x + next);
      j0 = i32x4.add(j0, i32x4.dot_i16x8_s(first, value));
      j1 = i32x4.add(j1, i32x4.dot_i16x8_s(second, value));
      value = v128.load(x + 2 * next);
      k0 = i32x4.add(k0, i32x4.dot_i16x8_s(first, value));
      k1 = i32x4.add(k1, i32x4.dot_i16x8_s(second, value));
      value = v128.load(x + 3 * next);
      l0 = i32x4.add(l0, i32x4.dot_i16x8_s(first, value));
      l1 = i32x4.add(l1, i32x4.dot_i16x8_s(second, value));
      weights += 8;
    }
    let scale = v128.load32_splat(scales);
    a0 = f32x4.add(a0, f32x4.mul(scale, f32x4.convert_i32x4_s(i0)));
    a1 = f32x4.add(a1, f32x4.mul(scale, f32x4.convert_i32x4_s(i1)));
    scale = v128.load32_splat(scales + next_scale);
    b0 = f32x4.add(b0, f32x4.mul(scale, f32x4.convert_i32x4_s(j0)));
    b1 = f32x4.add(b1, f32x4.mul(scale, f32x4.convert_i32x4_s(j1)));
    scale = v128.load32_splat(scales + 2 * next_scale);
    c0 = f32x4.add(c0, f32x4.mul(scale, f32x4.convert_i32x4_s(k0)));
    c1 = f32x4.add(c1, f32x4.mul(scale, f32x4.convert_i32x4_s(k1)));
    scale = v128.load32_splat(scales + 3 * next_scale);
    d0 = f32x4.add(d0, f32x4.mul(scale, f32x4.convert_i32x4_s(l0)));
    d1 = f32x4.add(d1, f32x4.mul(scale, f32x4.convert_i32x4_s(l1)));
    scales += 4;
  }
  keepTwo(out, by, a0, a1);
  keepTwo(out + one, by, b0, b1);
  keepTwo(out + 2 * one, by, c0, c1);
  keepTwo(out + 3 * one, by, d0, d1);
}

/** Two rows by two units. */
function twoRows(x: usize, scales: usize, weights: usize, by: usize, out: usize, one: usize, width: i32, block: i32): void {
  const next = <usize>(width << 1);
  const next_scale = <usize>(width / block << 2);
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  for (let start = 0; start < width; start += block) {
    let i0 = i32x4.splat(0), i1 = i32x4.splat(0), j0 = i32x4.splat(0), j1 = i32x4.splat(0);
    for (const end = x + (block << 1); x < end; x += 16) {
      const first = v128.load_ext<i8>(weights);
      const second = v128.load_ext<i8>(weights + <usize>width);
      const value = v128.load(x);
      const other = v128.load(x + next);
      i0 = i32x4.add(i0, i32x4.dot_i16x8_s(first, value));
      i1 = i32x4.add(i1, i32x4.dot_i16x8_s(second, value));
      j0 = i32x4.add(j0, i32x4.dot_i16x8_s(first, other));
      j1 = i32x4.add(j1, i32x4.dot_i16x8_s(second, other));
      weights += 8;
    }
    const scale = v128.load32_splat(scales);
    a0 = f32x4.add(a0, f32x4.mul(scale, f32x4.convert_i32x4_s(i0)));
    a1 = f32x4.add(a1, f32x4.mul(scale, f32x4.convert_i32x4_s(i1)));
    const other_scale = v128.load32_splat(scales + next_scale);
    b0 = f32x4.add(b0, f32x4.mul(other_scale, f32x4.convert_i32x4_s(j0)));
    b1 = f32x4.add(b1, f32x4.mul(other_scale, f32x4.convert_i32x4_s(j1)));
    scales += 4;
  }
  keepTwo(out, by, a0, a1);
  keepTwo(out + one, by, b0, b1);
}

/** One row by four units. */
function oneRow(x: usize, scales: usize, weights: usize, by: usize, out: usize, width: i32, block: i32): void {
  const next = <usize>width;
  let a = f32x4.splat(0), b = f32x4.splat(0), c = f32x4.splat(0), d = f32x4.splat(0);
  for (let start = 0; start < width; start += block) {
    let i = i32x4.splat(0), j = i32x4.splat(0), k = i32x4.splat(0), l = i32x4.splat(0);
    for (const end = x + (block << 1); x < end; x += 16) {
      const value = v128.load(x);
      i = i32x4.add(i, i32x4.dot_i16x8_s(v128.load_ext<i8>(weights), value));
      j = i32x4.add(j, i32x4.dot_i16x8_s(v128.load_ext<i8>(weights + next), value));
      k = i32x4.add(k, i32x4.dot_i16x8_s(v128.load_ext<i8>(weights + 2 * next), value));
      l = i32x4.add(l, i32x4.dot_i16x8_s(v128.load_ext<i8>(weights + 3 * next), value));
      weights += 8;
    }
    const scale = v128.load32_splat(scales);
    a = f32x4.add(a, f32x4.mul(scale, f32x4.convert_i32x4_s(i)));
    b = f32x4.add(b, f32x4.mul(scale, f32x4.convert_i32x4_s(j)));
    c = f32x4.add(c, f32x4.mul(scale, f32x4.convert_i32x4_s(k)));
    d = f32x4.add(d, f32x4.mul(scale, f32x4.convert_i32x4_s(l)));
    scales += 4;
  }
  keepTwo(out, by, a, b);
  keepTwo(out + 8, by + 8, c, d);
}

// @ts-expect-error: decorators of AssemblyScript
@inline
function keepTwo(out: usize, by: usize, a: v128, b: v128): void {
  store<f32>(out, sum(a) * load<f32>(by));
  store<f32>(out + 4, sum(b) * load<f32>(by + 4));
}

// @ts-expect-error: decorators of AssemblyScript
@inline
function sum(x: v128): f32 {
  return f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3));
}

/**
 * The same of float32 numbers: rows [rows, width], weights [units, width], out [rows, units]; width and units are multiples of 4.
 */
export function product(values: usize, weights: usize, out: usize, rows: i32, width: i32, units: i32): void {
  for (let unit = 0; unit < units; unit += 4) {
    const matrix = weights + (unit * width << 2);
    let x = values;
    let at = out + (unit << 2);
    let row = 0;
    for (; row + 2 <= rows; row += 2) {
      floats(x, x + (width << 2), matrix, at, at + (units << 2), width);
      x += width << 3;
      at += units << 3;
    }
    if (row < rows) floats(x, x, matrix, at, at, width);
  }
}

/** Two rows by four units. */
function floats(x: usize, y: usize, weights: usize, out: usize, other: usize, width: i32): void {
  const next = <usize>(width << 2);
  let a = f32x4.splat(0), b = f32x4.splat(0), c = f32x4.splat(0), d = f32x4.splat(0);
  let e = f32x4.splat(0), f = f32x4.splat(0), g = f32x4.splat(0), h = f32x4.splat(0);
  for (const end = x + next; x < end; x += 16) {
    const first = v128.load(x);
    const second = v128.load(y);
    let weight = v128.load(weights);
    a = f32x4.add(a, f32x4.mul(first, weight));
    e = f32x4.add(e, f32x4.mul(second, weight));
    weight = v128.load(weights + next);
    b = f32x4.add(b, f32x4.mul(first, weight));
    f = f32x4.add(f, f32x4.mul(second, weight));
    weight = v128.load(weights + 2 * next);
    c = f32x4.add(c, f32x4.mul(first, weight));
    g = f32x4.add(g, f32x4.mul(second, weight));
    weight = v128.load(weights + 3 * next);
    d = f32x4.add(d, f32x4.mul(first, weight));
    h = f32x4.add(h, f32x4.mul(second, weight));
    y += 16;
    weights += 16;
  }
  keepFour(out, a, b, c, d);
  keepFour(other, e, f, g, h);
}

// @ts-expect-error: decorators of AssemblyScript
@inline
function keepFour(out: usize, a: v128, b: v128, c: v128, d: v128): void {
  store<f32>(out, sum(a));
  store<f32>(out + 4, sum(b));
  store<f32>(out + 8, sum(c));
  store<f32>(out + 12, sum(d));
}
