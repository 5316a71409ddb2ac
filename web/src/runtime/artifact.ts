/** An artifact: the folder that training writes, fetched file by file and verified. */

import { toHex } from "../bytes.ts";
import { Tables } from "../entropy/tables.ts";
import { ArtifactError } from "../errors.ts";
import { readNpy } from "../npy.ts";
import { Spec } from "../spec.ts";

const FORMAT = 1;
const MODEL_ID_DIGITS = 16;

/** Gives a file of an artifact by its name. */
export type Fetch = (name: string) => Promise<Uint8Array<ArrayBuffer>>;

interface Manifest {
  format: number;
  model_id: string;
  files: Record<string, string>;
}

/** A verified artifact; networks are fetched when they are first asked for. */
export class Artifact {
  private constructor(
    readonly spec: Spec,
    /** 16 hexadecimal digits that name these exact weights. */
    readonly modelId: string,
    /** Entries by codebook, `[entries, width]`; those of levels stand in their place. */
    readonly codebooks: readonly Float32Array[],
    readonly tables: Tables | null,
    private readonly get: Fetch,
    private readonly manifest: Manifest,
  ) {}

  /** @throws ArtifactError it is incomplete, its files were changed, or this package cannot run its codec. */
  static async load(get: Fetch): Promise<Artifact> {
    const manifest = parsed(await get("manifest.json")) as unknown as Manifest;
    if (manifest.format !== FORMAT) throw new ArtifactError(`the model has artifact format ${manifest.format}; this package reads ${FORMAT}`);
    if (typeof manifest.files !== "object" || typeof manifest.model_id !== "string") throw new ArtifactError("manifest.json is damaged");
    await checkId(manifest);
    const checked: Fetch = async (name) => verified(name, await get(name), manifest);
    if ("quantizer.npz" in manifest.files) throw new ArtifactError("the model has factorised codebooks, which this package cannot do yet");
    const spec = Spec.of(parsed(await checked("config.json")));
    const tables = "entropy.npz" in manifest.files ? await Tables.read(await checked("entropy.npz")) : null;
    return new Artifact(spec, manifest.model_id, await codebooks(spec, checked), tables, checked, manifest);
  }

  has(name: string): boolean {
    return name in this.manifest.files;
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

/** Entries of each codebook: those of levels have latents of their own, behind those of the others. */
async function codebooks(spec: Spec, get: Fetch): Promise<Float32Array[]> {
  const { levels, latentDim } = spec;
  const width = latentDim - (levels?.bands ?? 0);
  const plain = await array(get, "codebooks.npy", [spec.numQuantizers - (levels ? 1 : 0), Math.max(...spec.sizes), width]);
  const sizes = spec.sizes.filter((_, q) => q !== levels?.place);
  const books = sizes.map((size, i) => {
    const start = i * Math.max(...spec.sizes) * width;
    return widened(plain.subarray(start, start + size * width), width, latentDim, 0);
  });
  if (!levels) return books;
  const gains = await array(get, "levels.npy", [Math.max(...spec.sizes), levels.bands]);
  books.splice(levels.place, 0, widened(gains, levels.bands, latentDim, width));
  return books;
}

async function array(get: Fetch, name: string, expected: readonly number[]): Promise<Float32Array> {
  const { shape, data } = readNpy(await get(name));
  if (String(shape) !== String(expected) || !(data instanceof Float32Array)) {
    throw new ArtifactError(`${name} does not hold codebooks ${String(expected)}, as config.json says`);
  }
  return data;
}

/** Rows of `width` numbers in rows of `wider`, from a place on, zeros around them. */
function widened(rows: Float32Array, width: number, wider: number, place: number): Float32Array {
  if (width === wider) return rows;
  const found = new Float32Array((rows.length / width) * wider);
  for (let i = 0; i < rows.length; i++) found[Math.floor(i / width) * wider + place + (i % width)] = rows[i]!;
  return found;
}

async function verified(name: string, data: Uint8Array<ArrayBuffer>, manifest: Manifest): Promise<Uint8Array<ArrayBuffer>> {
  const digest = await sha256(data);
  if (digest !== null && digest !== manifest.files[name]) {
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
