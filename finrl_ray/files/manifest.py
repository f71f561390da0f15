"""A folder of files that is either whole or known to be damaged.

The manifest, written last, names every other file with its size and SHA-256. A folder that was cut
short, copied in part, or changed afterwards does not match it.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finrl_ray.errors import SearchError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.files.bounded_reading import read_json
from finrl_ray.files.contained_path import why_outside

MANIFEST_FILE = "manifest.json"
FORMAT = "finrl_ray sealed folder 1"


def write_folder_manifest(folder: Path, **facts: Any) -> None:
    """Write the manifest of everything in `folder`.

    Parameters
    ----------
    folder : its own files are listed, not those of folders inside it
    facts : plain values to keep in the manifest

    Raises
    ------
    OSError
        If it cannot be written; the folder then counts as damaged.
    """
    files = {path.name: fingerprint(path) for path in _files(folder)}
    content = {"format": FORMAT, **facts, "files": files}
    content["sha256"] = _digest(content)
    with atomic_path(folder / MANIFEST_FILE) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def find_damage(folder: Path) -> str:
    """Return how a folder differs from its manifest, or an empty text if it is whole."""
    manifest = folder / MANIFEST_FILE
    try:
        content = read_json(manifest)
        whole = content.pop("sha256") == _digest(content) and "format" in content
    except FileNotFoundError:
        return f"{MANIFEST_FILE} is missing"
    except (SearchError, OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        return f"{MANIFEST_FILE} is damaged"
    if content["format"] != FORMAT:
        return f"{MANIFEST_FILE} has format {content['format']!r} instead of {FORMAT!r}"
    files = content.get("files")
    if not isinstance(files, Mapping) or not all(map(_is_fingerprint, files.values())):
        return f"{MANIFEST_FILE} must list files with their bytes and sha256"
    for name, expected in files.items():
        outside = why_outside(name)
        if outside:
            return f"{MANIFEST_FILE} names a file that is not in the folder: {outside}"
        problem = find_file_damage(folder / name, expected)
        if problem:
            return problem
    return ""


def read_folder_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder in which `find_damage` has found nothing."""
    content: dict[str, Any] = read_json(folder / MANIFEST_FILE)
    return content


def flush_folder(folder: Path) -> None:
    """Have every file of a folder written to the disk itself, for a machine that loses power."""
    for path in (*_files(folder), folder):
        if path.is_dir() and os.name == "nt":
            continue  # Windows cannot open a folder
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and p.name != MANIFEST_FILE)


def _is_fingerprint(value: object) -> bool:
    return isinstance(value, Mapping) and {"bytes", "sha256"} <= set(value)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def find_file_damage(path: Path, expected: Mapping[str, Any]) -> str:
    """Return how a file differs from its fingerprint, or an empty text if it does not."""
    if not path.is_file():
        return f"{path.name} is missing"
    size = path.stat().st_size
    if size != expected["bytes"]:
        return f"{path.name} has {size} bytes instead of {expected['bytes']}"
    if fingerprint(path)["sha256"] != expected["sha256"]:
        return f"{path.name} does not match its checksum"
    return ""


def fingerprint(path: Path) -> dict[str, Any]:
    """Return the size and the SHA-256 of a file, as `bytes` and `sha256`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}
