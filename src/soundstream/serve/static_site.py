"""The page as a folder for any static host: the codec runs in the browser, and nothing is sent anywhere.

index.html, main.js, ...     the parts of the served page, `serve/page`, as they are
connection.js                answers in the browser what the served page asks a server: built of web/src/page
codec-worker.js              the codec, built likewise
runtime/                     ONNX Runtime for browsers
models/NAME/                 the files of an artifact, packed, and codebooks.npy cut in two: `_pack`
about.json, examples/        what the page is told first, and sounds to try
sw.js                        keeps all that was used in the browser, so that the page works offline
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

import soundstream
from soundstream.errors import ConfigError, OutputError
from soundstream.runtime.artifact import FILES, OPTIONAL_FILES
from soundstream.serve.app import PAGE
from soundstream.serve.models import Models

BUILT = Path(__file__).parent / "static"
"""What is built of `web/`; a checkout has it after `npm run build`, a wheel brings it."""
CHECKOUT_RUNTIME = Path(__file__).parents[3] / "web" / "node_modules" / "onnxruntime-web"
PACKAGE = "onnxruntime-web"
_LIST = "about.json"
_CODEBOOKS = "codebooks.npy"
_FIRST_CODEBOOKS = 8
"""As many are fetched at once, the others when a rate needs them."""
_LATER = ("runtime/", "examples/", "denoiser.onnx", "codebooks.1.npy")
"""What a browser fetches when it needs it, and keeps then."""
_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'"
)
_LIMITS = {"upload_bytes": 200_000_000, "duration_s": 60, "channels": 2}


def write_site(
    folder: Path, model: str, examples: Mapping[str, Path], runtime: Path | None = None, force: bool = False
) -> int:
    """Write the page into a folder that is new or empty; returns its bytes.

    Args:
        model: name of a shipped model, or the folder of another.
        examples: audio files to offer, by the name that the page shows.
        runtime: the npm package onnxruntime-web, as a folder or as the file that `npm pack` writes; None is that of
            the checkout.
        force: write it anew over a page that was written before; nothing else is overwritten.
    Raises:
        ConfigError: a part of the page is missing here, or the runtime is another one.
        OutputError: the folder has files.
    """
    _check_folder(folder, force)
    if not (BUILT / "runtime.json").is_file():
        raise ConfigError("the page for static hosts is not built here; in a checkout run: scripts/site FOLDER")
    parts, models = _runtime(runtime or CHECKOUT_RUNTIME), Models.only(model)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        made = Path(beside) / "site"
        _fill(made, models, examples, parts)
        made.chmod(0o755)
        if folder.exists():
            folder.rename(Path(beside) / "before")
        made.rename(folder)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _check_folder(folder: Path, force: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (force and (folder / _LIST).is_file() and (folder / "codec-worker.js").is_file()):
        hint = "--force writes a page anew" if (folder / _LIST).is_file() else "and it is no page: give a new folder"
        raise OutputError(f"{folder} is not empty; {hint}")


def _fill(folder: Path, models: Models, examples: Mapping[str, Path], runtime: Mapping[str, bytes]) -> None:
    for source in (PAGE, BUILT):
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("runtime.json"))
    _write(folder / "runtime", runtime)
    for name, artifact in models.folders().items():
        _pack(artifact, folder / "models" / name)
    _copy(folder / "examples", examples.values())
    about = {"version": soundstream.__version__, "models": models.facts(), "examples": list(examples)}
    (folder / _LIST).write_text(json.dumps(about | {"limits": _LIMITS, "local": True}))
    _with_policy(folder / "index.html")
    _with_files(folder)


def _runtime(source: Path) -> dict[str, bytes]:
    """The files of ONNX Runtime that the page loads, by name, and none but those that it was built with.

    Raises:
        ConfigError: they are not there, or are others.
    """
    told = json.loads((BUILT / "runtime.json").read_text())
    wanted = f"{PACKAGE} {told['version']} from npm (npm pack {PACKAGE}@{told['version']}), a folder or .tgz"
    try:
        found = {name: _file_of(source, name) for name in told["files"]}
    except (OSError, KeyError, tarfile.TarError) as error:
        raise ConfigError(f"{source} is not the runtime for browsers ({error}); give --runtime {wanted}") from error
    changed = [name for name, data in found.items() if hashlib.sha256(data).hexdigest() != told["files"][name]]
    if changed:
        raise ConfigError(f"{source} has another {', '.join(changed)}; give --runtime {wanted}")
    return found


def _file_of(package: Path, name: str) -> bytes:
    if package.is_dir():
        return (package / "dist" / name).read_bytes()
    with tarfile.open(package) as archive:
        file = archive.extractfile(f"package/dist/{name}")
        if file is None:
            raise KeyError(name)
        return file.read()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _copy(folder: Path, files: Iterable[Path]) -> None:
    folder.mkdir(parents=True)
    for file in files:
        if file.is_file():
            shutil.copyfile(file, folder / file.name)


def _pack(artifact: Path, folder: Path) -> None:
    """Write the files of an artifact by gzip, as few hosts would send them, and codebooks for high rates apart.

    packed.json has the SHA-256 of the pieces; manifest.json has those of the other files.
    """
    names = [name for name in (*FILES, *OPTIONAL_FILES, "manifest.json") if (artifact / name).is_file()]
    files = {name: (artifact / name).read_bytes() for name in names}
    if _CODEBOOKS in files:
        pieces = _pieces(files.pop(_CODEBOOKS))
        files |= pieces
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in pieces.items()}
    else:
        digests = {}
    files["packed.json"] = json.dumps(digests).encode()
    _write(folder, {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in files.items()})


def _pieces(codebooks: bytes) -> dict[str, bytes]:
    books = np.load(io.BytesIO(codebooks))
    found = {}
    for i, piece in enumerate((books[:_FIRST_CODEBOOKS], books[_FIRST_CODEBOOKS:])):
        if len(piece):
            data = io.BytesIO()
            np.save(data, piece)
            found[f"codebooks.{i}.npy"] = data.getvalue()
    return found


def _with_policy(page: Path) -> None:
    """Let the page load and send to nowhere but its own folder, whatever its host says."""
    meta = f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    page.write_text(page.read_text().replace('<meta charset="utf-8">', meta, 1))


def _with_files(folder: Path) -> None:
    """Tell the service worker which files there are, and a version that changes with any of them."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "sw.js")
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths)).hexdigest()
    files = [path.relative_to(folder).as_posix() for path in paths]
    later = [name for name in files if any(part in name for part in _LATER)]
    build = json.dumps(
        {"version": digest[:16], "files": ["./", *(name for name in files if name not in later)], "later": later}
    )
    worker = folder / "sw.js"
    worker.write_text(f"const BUILD = {build};\n{worker.read_text()}")
