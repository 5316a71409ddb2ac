/** A neural audio codec: reads and writes `.nac` files with the weights of the Python package. */

export { Codec, load } from "./codec.ts";
export type { Audio, DecodeOptions, EncodeOptions, LoadOptions } from "./codec.ts";
export { Codes } from "./codes.ts";
export { readFile, writeFile } from "./container.ts";
export type { File, Packet } from "./container.ts";
export * from "./errors.ts";
export { Header } from "./header.ts";
export type { HeaderFields } from "./header.ts";
export { LiveDecoder, LiveEncoder } from "./live.ts";
export type { LiveOptions } from "./live.ts";
export { configureRuntime } from "./runtime/session.ts";
