/** An artifact: the folder that training writes, fetched file by file and verified. */

import { toHex } from "../bytes.ts";
import { Tables } from "../entropy/tables.ts";
import { ArtifactError } from "../errors.ts";
import { readNpy } from "../npy.ts";
import { Spec } from "../spec.ts";

const FORMAT = 1;
const MODEL_ID_DIGITS = 16;
/** What `codebooks.npy` is cut into for a page: the second one is for high rates. */
const CODEBOOK_PIECES = ["codebooks.0.npy", "codebooks.1.npy"];

/** Gives a file of an artifact by its name. */
export type Fetch = (name: string) => Promise<Uint8Array<ArrayBuffer>>;

interface Manifest {
  format: number;
  model_id: string;
  files: Record<string, string>;
}

/** A verified artifact; networks, and codebooks that only high rates use, are fetched when they are first asked for. */
export class Artifact {
  /** Entries by codebook, `[entries, width]`, as far as they were fetched; those of levels stand in their place. */
  readonly codebooks: Float32Array[];
  private readonly pieces: string[];
  private fetching: Promise<void> = Promise.resolve();

  private constructor(
    readonly spec: Spec,
    /** 16 hexadecimal digits that name these exact weights. */
    readonly modelId: string,
    readonly tables: Tables | null,
    private readonly get: Fetch,
    /** Digests by name. */
    private readonly files: Record<string, string>,
  ) {
    this.codebooks = new Array<Float32Array>(spec.numQuantizers);
    this.pieces = CODEBOOK_PIECES.filter((name) => name in files);
    if (!this.pieces.length) this.pieces = ["codebooks.npy"];
  }

  /**
   * @param packed the folder is one of a static page, which has digests of its own for pieces of a file.
   * @throws ArtifactError it is incomplete, its files were changed, or this package cannot run its codec.
   */
  static async load(get: Fetch, packed = false): Promise<Artifact> {
    const manifest = parsed(await get("manifest.json")) as unknown as Manifest;
    if (manifest.format !== FORMAT) throw new ArtifactError(`the model has artifact format ${manifest.format}; this package reads ${FORMAT}`);
    if (typeof manifest.files !== "object" || typeof manifest.model_id !== "string") throw new ArtifactError("manifest.json is damaged");
    await checkId(manifest);
    const files = packed ? { ...manifest.files, ...(parsed(await get("packed.json")) as Record<string, string>) } : manifest.files;
    const checked: Fetch = async (name) => verified(name, await get(name), files);
    if ("quantizer.npz" in manifest.files) throw new ArtifactError("the model has factorised codebooks, which this package cannot do yet");
    const spec = Spec.of(parsed(await checked("config.json")));
    const tables = "entropy.npz" in manifest.files ? await Tables.read(await checked("entropy.npz")) : null;
    const artifact = new Artifact(spec, manifest.model_id, tables, checked, files);
    if (spec.levels) artifact.codebooks[spec.levels.place] = await levelBook(spec, checked);
    await artifact.loadCodebooks(1);
    return artifact;
  }

  has(name: string): boolean {
    return name in this.files;
  }

  /** Have the first codebooks ready. */
  loadCodebooks(count: number): Promise<void> {
    this.fetching = this.fetching.catch(() => undefined).then(() => this.fetchCodebooks(count));
    return this.fetching;
  }

  private async fetchCodebooks(count: number): Promise<void> {
    for (let at = this.missing(); at >= 0 && at < count; at = this.missing()) {
      const name = this.pieces[0];
      if (name === undefined) throw new ArtifactError("the codebooks are fewer than config.json says");
      for (const book of await plainBooks(name, this.spec, this.get)) this.codebooks[this.missing()] = book;
      this.pieces.shift();
    }
  }

  /** The first codebook that was not fetched yet, or -1. */
  private missing(): number {
    return this.codebooks.findIndex((book) => !(book as Float32Array | undefined));
  }

  /** The bytes of a file. @throws ArtifactError it was changed. */
  file(name: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.get(name);
  }
}

function parsed(data: Uint8Array): Record<string, unknown> {
  try {
    return JSON.parse(new TextDecoder().decode(data)) as Record<string, unknown>;
  } catch {
    throw new ArtifactError("a JSON file of the model is damaged; fetch it again");
  }
}

/** Entries of the codebooks of a file, which lack latents of levels. */
async function plainBooks(name: string, spec: Spec, get: Fetch): Promise<Float32Array[]> {
  const size = Math.max(...spec.sizes);
  const width = spec.latentDim - (spec.levels?.bands ?? 0);
  const { shape, data } = await floats(name, get);
  const expected = [shape[0], size, width];
  if (String(shape) !== String(expected)) throw notAsTold(name, expected);
  return Array.from({ length: shape[0]! }, (_, i) => {
    return widened(data.subarray(i * size * width, (i + 1) * size * width), width, spec.latentDim, 0);
  });
}

/** Entries of levels, which have latents of their own behind those of the others. */
async function levelBook({ levels, sizes, latentDim }: Spec, get: Fetch): Promise<Float32Array> {
  const expected = [Math.max(...sizes), levels!.bands];
  const { shape, data } = await floats("levels.npy", get);
  if (String(shape) !== String(expected)) throw notAsTold("levels.npy", expected);
  return widened(data, levels!.bands, latentDim, latentDim - levels!.bands);
}

async function floats(name: string, get: Fetch): Promise<{ shape: number[]; data: Float32Array }> {
  const { shape, data } = readNpy(await get(name));
  return { shape, data: data instanceof Float32Array ? data : new Float32Array() };
}

function notAsTold(name: string, expected: unknown[]): ArtifactError {
  return new ArtifactError(`${name} does not hold codebooks ${String(expected)}, as config.json says`);
}

/** Rows of `width` numbers in rows of `wider`, from a place on, zeros around them. */
function widened(rows: Float32Array, width: number, wider: number, place: number): Float32Array {
  if (width === wider) return rows;
  const found = new Float32Array((rows.length / width) * wider);
  for (let i = 0; i < rows.length; i++) found[Math.floor(i / width) * wider + place + (i % width)] = rows[i]!;
  return found;
}

async function verified(name: string, data: Uint8Array<ArrayBuffer>, files: Record<string, string>): Promise<Uint8Array<ArrayBuffer>> {
  const digest = await sha256(data);
  if (digest !== null && digest !== files[name]) {
    throw new ArtifactError(`the model is damaged: ${name} does not match its checksum; fetch it again`);
  }
  return data;
}

/** The model id is the hash over the digests of all files, as JSON of Python with sorted keys. */
async function checkId({ files, model_id: id }: Manifest): Promise<void> {
  const pairs = Object.keys(files).sort().map((name) => `"${name}": "${files[name]}"`);
  const digest = await sha256(new TextEncoder().encode(`{${pairs.join(", ")}}`));
  if (digest !== null && digest.slice(0, MODEL_ID_DIGITS) !== id) {
    throw new ArtifactError("the model is damaged: manifest.json does not match its checksum; fetch it again");
  }
}

/** SHA-256 in hexadecimal; null where the browser has none, which is so on pages of plain http. */
async function sha256(data: Uint8Array<ArrayBuffer>): Promise<string | null> {
  const { subtle } = globalThis.crypto;
  return (subtle as SubtleCrypto | undefined) ? toHex(new Uint8Array(await subtle.digest("SHA-256", data))) : null;
}
