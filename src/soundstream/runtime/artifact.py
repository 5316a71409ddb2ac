"""An artifact: the folder that training writes and the runtime reads.

config.json      the spec, and the settings of the networks
encoder.onnx     pcm, condition, mask (with a denoiser) and states in; latents and states out
decoder.onnx     latents, condition (if the encoder takes none) and states in; pcm and states out
denoiser.onnx    pcm and states in; mask and states out; needed only while noise is removed
codebooks.npy    float16 [num_quantizers, codebook_size, width]; width is latent_dim unless there is a quantizer.npz;
                 codebook_size is that of the largest, and what is behind the last entry of another means nothing;
                 that of levels, and latents of its own, are not among them
levels.onnx      latents, quantized and states in; gains of bands and states out; of codecs that code them
features.onnx    features of the sound and states in; what is added to latents and states out; of codecs that take some
levels.npy       the codebook of those gains, float16 [codebook_size, bands]
quantizer.npz    projections of the codebooks; a plain quantizer has none
entropy.npz      tables of the entropy coder; a model without them writes plain codes
manifest.json    SHA-256 of each file above, and the model id made of them
"""

from __future__ import annotations

import hashlib
import json
import math
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy.tables import TABLES_FILE, Tables
from soundstream.errors import ArtifactError
from soundstream.limits import Whole
from soundstream.runtime.factors import QUANTIZER_FILE, Factors
from soundstream.runtime.model import DENOISER_FILE, FEATURES_FILE, LEVELS_FILE, Artifact
from soundstream.spec import Codebook, CodecSpec, Switch

FILES = ("config.json", "encoder.onnx", "decoder.onnx", "codebooks.npy")
LEVEL_CODEBOOK_FILE = "levels.npy"
OPTIONAL_FILES = (DENOISER_FILE, LEVELS_FILE, LEVEL_CODEBOOK_FILE, FEATURES_FILE, TABLES_FILE, QUANTIZER_FILE)
FORMAT = 1
MODEL_ID_BYTES = 8
MODELS = Path(__file__).parent.parent / "models"
"""Artifacts that the package ships, one folder a name."""
DEFAULT = "base"
"""Name of the model that `default` stands for."""
EARLY_MEMORY_FRAMES = 128
"""More than what decoders of artifacts without a spec remember."""


def load_artifact(name_or_path: str | PathLike[str] = "default") -> Artifact:
    """Read and verify an artifact, by the name of one that ships with the package or by its folder.

    Raises:
        ArtifactError: it is missing, incomplete, or its files were changed.
    """
    folder = find(name_or_path)
    manifest = _read_manifest(folder)
    digests = _digests(folder)
    changed = sorted(
        name for name in {*digests, *manifest["files"]} if manifest["files"].get(name) != digests.get(name)
    )
    if changed or manifest["model_id"] != _model_id(digests):
        raise ArtifactError(f"{folder} is damaged: {', '.join(changed) or 'manifest.json'} does not match its checksum")
    spec = _read_spec(folder / "config.json")
    codebooks = _read_codebooks(folder, spec, QUANTIZER_FILE in digests)
    factors = _read_factors(folder / QUANTIZER_FILE, spec, codebooks, QUANTIZER_FILE in digests)
    tables = Tables.load(folder / TABLES_FILE) if TABLES_FILE in digests else None
    model_id = bytes.fromhex(manifest["model_id"])
    return Artifact(folder, spec, model_id, codebooks, tables, has_denoiser=DENOISER_FILE in digests, factors=factors)


def find(name_or_path: str | PathLike[str]) -> Path:
    """The folder of an artifact: a shipped one by name, any other by path.

    Raises:
        ArtifactError: there is none.
    """
    name = DEFAULT if str(name_or_path) == "default" else str(name_or_path)
    for folder in (MODELS / name, Path(name_or_path)):
        if (folder / "manifest.json").is_file():
            return folder
    raise ArtifactError(
        f"no model at {str(name_or_path)!r}; "
        f"give a folder that `soundstream export` wrote, or one of: {', '.join(shipped()) or 'none'}"
    )


def id_of(folder: Path) -> bytes:
    """The model id that the manifest of an artifact gives; nothing else is read or verified.

    Raises:
        ArtifactError: there is no manifest, or it is damaged.
    """
    try:
        return bytes.fromhex(_read_manifest(folder)["model_id"])
    except (OSError, TypeError, ValueError) as error:
        raise ArtifactError(f"{folder / 'manifest.json'} is damaged: {error}") from error


def shipped() -> list[str]:
    """Names of the models that the package ships."""
    return sorted(path.name for path in MODELS.glob("*") if (path / "manifest.json").is_file())


def write_manifest(folder: Path) -> str:
    """Seal the files of an artifact; returns the model id in hexadecimal."""
    digests = _digests(folder)
    manifest = {"format": FORMAT, "model_id": _model_id(digests), "files": digests}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return _model_id(digests)


def _read_manifest(folder: Path) -> dict:
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except ValueError as error:
        raise ArtifactError(f"{folder / 'manifest.json'} is damaged: {error}") from error
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise ArtifactError(f"{folder / 'manifest.json'} is not a model's manifest")
    if manifest["format"] != FORMAT:
        raise ArtifactError(f"{folder} has artifact format {manifest['format']}; this release reads {FORMAT}")
    if not isinstance(manifest.get("files"), dict) or "model_id" not in manifest:
        raise ArtifactError(f"{folder / 'manifest.json'} is damaged: it lacks files or model_id")
    return manifest


def _read_spec(path: Path) -> CodecSpec:
    try:
        settings = json.loads(path.read_text())
        spec = CodecSpec.from_dict(settings["spec"]) if "spec" in settings else _early_spec(settings)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} does not describe a codec: {error}") from error
    if wants := _unsupported(spec):
        raise ArtifactError(f"{path} is of a codec with {', '.join(wants)}, which this release cannot do")
    return spec


def _early_spec(settings: dict[str, Any]) -> CodecSpec:
    """The spec of an artifact of release 0.2 or before, whose config.json has the settings of its networks alone.

    Raises:
        KeyError, TypeError, ValueError: it lacks one of them, or one is out of range.
    """
    count = settings["num_quantizers"]
    Whole(1, 128).check("num_quantizers", count)
    switches = (Switch("denoise", settings.get("film", "encoder")),) if settings.get("denoise") else ()
    return CodecSpec(
        sample_rate=settings["sample_rate"],
        hop_length=settings.get("hop_length") or math.prod(settings["strides"]),
        latent_dim=settings["latent_dim"],
        codebooks=(Codebook(settings["codebook_size"]),) * count,
        counts=tuple(range(1, count + 1)),
        delay_samples=settings.get("overlap", 0),
        memory_frames=EARLY_MEMORY_FRAMES,
        switches=switches,
    )


def _unsupported(spec: CodecSpec) -> list[str]:
    """What streams and files of this release do not know of yet, in words."""
    wants = {
        "look-ahead without context": spec.lookahead_samples and not spec.context_frames,
        "numbers beside its codes but no segments": spec.side_numbers and not spec.segment_samples,
        "importance of frames and codebooks of several strides": spec.importance and spec.granule > 1,
        "importance of frames and features beside the sound": spec.importance and spec.features,
        "segments of codebooks of several strides": spec.segment_samples and spec.granule > 1,
    }
    return [name for name, wanted in wants.items() if wanted]


def _read_factors(path: Path, spec: CodecSpec, codebooks: NDArray[np.float32], exists: bool) -> Factors:
    sizes, strides = zip(*((book.size, book.stride) for book in spec.codebooks), strict=True)
    factors = Factors(sizes=sizes, strides=strides, starts=spec.group_starts)
    if not exists:
        return factors
    factors = Factors.load(path, factors)
    factors.check(path, codebooks, spec.latent_dim)
    return factors


def _read_codebooks(folder: Path, spec: CodecSpec, any_width: bool) -> NDArray[np.float32]:
    size, levels = 1 << spec.codebook_bits, spec.levels
    if not levels:
        width = None if any_width else spec.latent_dim
        return _read_array(folder / "codebooks.npy", (spec.num_quantizers, size, width))
    shape = (spec.num_quantizers - 1, size, spec.latent_dim - levels.bands)
    latents = np.pad(_read_array(folder / "codebooks.npy", shape), ((0, 0), (0, 0), (0, levels.bands)))
    gains = np.pad(_read_array(folder / LEVEL_CODEBOOK_FILE, (size, levels.bands)), ((0, 0), (shape[2], 0)))
    return np.insert(latents, levels.place, gains, axis=0)


def _read_array(path: Path, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    """An array of this shape; None is any size."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path} is not an array: {error}") from error
    found = array.shape if isinstance(array, np.ndarray) else ()
    if len(found) != len(shape) or any(size not in {None, other} for size, other in zip(shape, found, strict=True)):
        sizes = ["any" if size is None else size for size in shape]
        raise ArtifactError(f"{path} does not hold codebooks {sizes}, as config.json says")
    return array.astype(np.float32)


def _digests(folder: Path) -> dict[str, str]:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(f"{folder} is incomplete: it lacks {', '.join(missing)}")
    present = (*FILES, *(name for name in OPTIONAL_FILES if (folder / name).is_file()))
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in present}


def _model_id(digests: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[: 2 * MODEL_ID_BYTES]
