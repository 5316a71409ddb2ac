/** The errors of the Python package, by the same names: `error.name` says which one it is. */

export class CodecError extends Error {
  override name = "CodecError";
}

/** A value is out of range or unknown. */
export class ConfigError extends CodecError {
  override name = "ConfigError";
}

/** Audio that cannot be coded. */
export class AudioError extends CodecError {
  override name = "AudioError";
}

/** A model folder that is missing, damaged or foreign. */
export class ArtifactError extends CodecError {
  override name = "ArtifactError";
}

/** A `.nac` file that cannot be decoded. */
export class BitstreamError extends CodecError {
  override name = "BitstreamError";
}

/** The bytes are not a `.nac` file. */
export class BadMagic extends BitstreamError {
  override name = "BadMagic";
}

/** The file has a format version that this release does not read. */
export class UnsupportedVersion extends BitstreamError {
  override name = "UnsupportedVersion";
}

/** The file ends before its end record. */
export class Truncated extends BitstreamError {
  override name = "Truncated";
}

/** Bytes of the file were changed after writing. */
export class ChecksumMismatch extends BitstreamError {
  override name = "ChecksumMismatch";
}

/** A field holds a value that the format forbids. */
export class InvalidField extends BitstreamError {
  override name = "InvalidField";
}

/** The bytes of a packet are whole, yet do not decode to the codes that their encoder summed up. */
export class CodesMismatch extends BitstreamError {
  override name = "CodesMismatch";
}

/** The file was made by another model than the one that is loaded. */
export class ModelMismatch extends BitstreamError {
  override name = "ModelMismatch";
}

/** Refuse a value that is not a whole number from low to high. */
export function checkRange(name: string, value: number, low: number, high: number): void {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new ConfigError(`${name} is ${value}; expected a whole number from ${low} to ${high}`);
  }
}

/** Run a check of values that come from a file: its ConfigError is an InvalidField. */
export function readFromFile<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new InvalidField(`the file is damaged or was not written by an encoder: ${error.message}`);
  }
}
