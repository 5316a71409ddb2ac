/** Codes to packets and back in every entropy mode of a model. */

import { concat, pack, unpack } from "./bytes.ts";
import { ABSENT, Codes, Grid } from "./codes.ts";
import type { Packet } from "./container.ts";
import { type Coder, type Counts, FrequencyCoder } from "./entropy/coder.ts";
import { ContextFrequencies, ContextModel } from "./entropy/context.ts";
import { countsOf, decodeCounts, encodeCounts } from "./entropy/counts.ts";
import { PlainCoder } from "./entropy/plain.ts";
import { StaticFrequencies } from "./entropy/static.ts";
import type { Tables } from "./entropy/tables.ts";
import { ConfigError, InvalidField } from "./errors.ts";
import type { Header, Stack } from "./header.ts";
import type { Kernels } from "./kernels/kernels.ts";

/** Names of the entropy modes; a header holds the place of its own in this list. */
export const MODES = ["none", "fast", "best"] as const;
export type Mode = (typeof MODES)[number];
const MAX_BEST_QUANTIZERS = 8;
const MAX_PAYLOAD = 0xffff;

/** What a packet holds. */
export interface Part {
  codes: Codes;
  /** Numbers beside the codes `[streams * side_numbers]`. */
  side?: Float32Array;
}

/** The entropy coders of a model, each made when it is first asked for. */
export class Coding {
  private readonly coders: (Coder | undefined)[] = [];
  private readonly grid: Grid;

  /**
   * @param codebooks `[entries, latent_dim]` each.
   * @param tables fitted to this model; null leaves only plain codes.
   * @param stack bits and strides of the codebooks where they are not alike.
   */
  constructor(
    private readonly kernels: Kernels,
    codebookBits: number,
    private readonly codebooks: readonly Float32Array[],
    private readonly tables: Tables | null,
    stack: Stack = [],
  ) {
    this.grid = new Grid(codebookBits, stack);
  }

  /**
   * Number of a mode in a header; null is the default one.
   *
   * @throws ConfigError there is no such mode, or the model has no tables for it.
   */
  mode(name: Mode | null, numQuantizers: number): number {
    const usual = numQuantizers <= MAX_BEST_QUANTIZERS ? "best" : "fast";
    const wanted = MODES.indexOf(name ?? (this.tables ? usual : "none"));
    if (wanted < 0) throw new ConfigError(`entropy mode ${name} is unknown; expected one of: ${MODES.join(", ")}`);
    if (wanted && !this.tables) throw new ConfigError(`entropy mode ${name} needs tables, which this model lacks; choose none`);
    return wanted;
  }

  /** A packet for a part, or several where one is too small for it. */
  *pack(part: Part, header: Header): Generator<Packet> {
    const { codes } = part;
    const payload = this.payload(part, header);
    if (payload.length <= MAX_PAYLOAD || header.sideNumbers) {
      yield { numQuantizers: codes.numQuantizers, frames: codes.frames, payload };
      return;
    }
    const middle = Math.max(1, Math.floor(codes.frames / 2 / header.granule)) * header.granule;
    yield* this.pack({ codes: codes.slice(0, middle) }, header);
    yield* this.pack({ codes: codes.slice(middle, codes.frames) }, header);
  }

  /** @throws InvalidField, CodesMismatch the payload is not one of this file. */
  unpack(packet: Packet, header: Header): Part {
    const coder = this.coder(header.entropyMode);
    const shape = { streams: header.streams, numQuantizers: packet.numQuantizers, frames: packet.frames };
    let data = packet.payload.subarray(header.sideBytes);
    let counts: Counts = null;
    if (header.frameCounts) {
      const end = data.length < 2 ? Infinity : 2 + unpack(data, 0, 2);
      if (data.length < end) throw new InvalidField(`the payload has ${data.length} bytes; expected the counts of its frames`);
      counts = decodeCounts(data.subarray(2, end), shape);
      data = data.subarray(end);
    }
    const codes = coder.decode(data, shape, counts);
    const side = sideOf(packet, header);
    return side.length ? { codes, side } : { codes };
  }

  private payload({ codes, side }: Part, header: Header): Uint8Array<ArrayBuffer> {
    const coder = this.coder(header.entropyMode);
    const numbers = side ? new Uint8Array(side.slice().buffer) : new Uint8Array();
    if (!header.frameCounts) {
      if (codes.data.includes(ABSENT)) throw new ConfigError("frames lack codes, in a file without counts of frames");
      return concat([numbers, coder.encode(codes)]);
    }
    const counts = encodeCounts(countsOf(codes), codes.streams, codes.numQuantizers);
    return concat([numbers, pack([counts.length, 2]), counts, coder.encode(codes)]);
  }

  private coder(mode: number): Coder {
    return (this.coders[mode] ??= this.newCoder(mode));
  }

  private newCoder(mode: number): Coder {
    if (mode === 0) return new PlainCoder(this.grid);
    const { tables } = this;
    if (!tables) throw new InvalidField("the file's codes are entropy-coded, but the model that it names has no tables");
    if (mode === 1) {
      const fixed = new StaticFrequencies(tables);
      return new FrequencyCoder(this.grid, () => fixed);
    }
    const model = new ContextModel(this.kernels, tables, this.codebooks);
    return new FrequencyCoder(this.grid, (streams, count) => new ContextFrequencies(model, streams, count));
  }
}

/** The numbers beside the codes of a packet. @throws InvalidField they are not whole, or cannot be. */
function sideOf({ payload }: Packet, { sideBytes }: Header): Float32Array {
  if (payload.length < sideBytes) throw new InvalidField(`the payload has ${payload.length} bytes; expected ${sideBytes} of side numbers`);
  const side = new Float32Array(payload.slice(0, sideBytes).buffer);
  if (side.some((number) => !Number.isFinite(number) || (number && Math.abs(number) < 2 ** -126))) {
    throw new InvalidField("the file was not written by an encoder: a number beside its codes is not finite, or too small");
  }
  return side;
}
