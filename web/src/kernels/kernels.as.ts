// The inner loops, in AssemblyScript: WebAssembly with vectors of 128 bits. Pointers are bytes of one memory.

export { addToRows, convolve, depthwise } from "./filters.as";
export { gelu } from "./gelu.as";
export { product, product8, quantize } from "./products.as";

/** The first byte of the memory that nothing here uses. */
export function base(): usize {
  return __heap_base;
}

/**
 * `weights . inputs + biases >> shift` in whole numbers.
 *
 * weights: int8 [units, width]; inputs: int16 [width]; biases and out: int32 [units]; width is a multiple of 8.
 */
export function layer(weights: usize, inputs: usize, biases: usize, out: usize, units: i32, width: i32, shift: i32): void {
  for (let unit = 0; unit < units; unit++) {
    let sum = i32x4.splat(0);
    for (let i = 0; i < width; i += 8) {
      sum = i32x4.add(sum, i32x4.dot_i16x8_s(v128.load_ext<i8>(weights), v128.load(inputs + (i << 1))));
      weights += 8;
    }
    const all = i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1) + i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3);
    store<i32>(out + (unit << 2), (all + load<i32>(biases + (unit << 2))) >> shift);
  }
}

/**
 * Integer logits to frequencies that add up to `total`: docs/format.md, "Frequencies of the context model".
 *
 * logits, out: int32 [size]; table: int32 [last + 1], the exponentials.
 */
export function frequencies(logits: usize, table: usize, out: usize, size: i32, last: i32, total: i32): void {
  let largest = 0;
  for (let i = 1; i < size; i++) {
    if (load<i32>(logits + (i << 2)) > load<i32>(logits + (largest << 2))) largest = i;
  }
  const top = load<i32>(logits + (largest << 2));
  let all: i64 = 0;
  for (let i = 0; i < size; i++) {
    const weight = load<i32>(table + (min(top - load<i32>(logits + (i << 2)), last) << 2));
    store<i32>(out + (i << 2), weight);
    all += weight;
  }
  const scale = ((<i64>(total - size)) << 20) / all;
  let left = total;
  for (let i = 0; i < size; i++) {
    const width = 1 + <i32>((<i64>load<i32>(out + (i << 2)) * scale) >> 20);
    store<i32>(out + (i << 2), width);
    left -= width;
  }
  store<i32>(out + (largest << 2), load<i32>(out + (largest << 2)) + left);
}

/**
 * Half the squared distance of vectors to entries, less what all entries have in common: norms - vectors . book.
 *
 * vectors: float32 [rows, dim]; book: float32 [dim, size]; norms: float32 [size]; out: float32 [rows, size]; size is a
 * multiple of 16, or of 4.
 */
export function distances(vectors: usize, book: usize, norms: usize, out: usize, rows: i32, dim: i32, size: i32): void {
  const wide = size & ~15;
  for (let row = 0; row + 2 <= rows; row += 2) {
    for (let entry = 0; entry < wide; entry += 16) sixteen(vectors, book, norms, out, dim, size, entry);
    for (let entry = wide; entry < size; entry += 4) {
      four(vectors, book, norms, out, dim, size, entry);
      four(vectors + (dim << 2), book, norms, out + (size << 2), dim, size, entry);
    }
    vectors += dim << 3;
    out += size << 3;
  }
  for (let entry = 0; (rows & 1) && entry < size; entry += 4) four(vectors, book, norms, out, dim, size, entry);
}

/** The distances of two vectors, one behind the other, to 16 entries. */
// @ts-expect-error: decorators of AssemblyScript
@inline
function sixteen(vector: usize, book: usize, norms: usize, out: usize, dim: i32, size: i32, entry: i32): void {
  const at = <usize>(entry << 2);
  const next = <usize>(dim << 2);
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  let e = f32x4.splat(0);
  let f = f32x4.splat(0);
  let g = f32x4.splat(0);
  let h = f32x4.splat(0);
  book += at;
  for (let i = 0; i < dim; i++) {
    const x = v128.load32_splat(vector);
    const y = v128.load32_splat(vector + next);
    const first = v128.load(book);
    const second = v128.load(book, 16);
    const third = v128.load(book, 32);
    const fourth = v128.load(book, 48);
    a = f32x4.add(a, f32x4.mul(x, first));
    b = f32x4.add(b, f32x4.mul(x, second));
    c = f32x4.add(c, f32x4.mul(x, third));
    d = f32x4.add(d, f32x4.mul(x, fourth));
    e = f32x4.add(e, f32x4.mul(y, first));
    f = f32x4.add(f, f32x4.mul(y, second));
    g = f32x4.add(g, f32x4.mul(y, third));
    h = f32x4.add(h, f32x4.mul(y, fourth));
    vector += 4;
    book += size << 2;
  }
  keep(norms + at, out + at, a, b, c, d);
  keep(norms + at, out + at + (size << 2), e, f, g, h);
}

/** Store norms less products of 16 entries. */
// @ts-expect-error: decorators of AssemblyScript
@inline
function keep(norms: usize, out: usize, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(out, f32x4.sub(v128.load(norms), a));
  v128.store(out, f32x4.sub(v128.load(norms, 16), b), 16);
  v128.store(out, f32x4.sub(v128.load(norms, 32), c), 32);
  v128.store(out, f32x4.sub(v128.load(norms, 48), d), 48);
}

/** The distances of one vector to 4 entries. */
function four(vector: usize, book: usize, norms: usize, out: usize, dim: i32, size: i32, entry: i32): void {
  const at = <usize>(entry << 2);
  let a = f32x4.splat(0);
  for (let i = 0; i < dim; i++) {
    a = f32x4.add(a, f32x4.mul(v128.load32_splat(vector + (i << 2)), v128.load(book + at + (i * size << 2))));
  }
  v128.store(out + at, f32x4.sub(v128.load(norms + at), a));
}
