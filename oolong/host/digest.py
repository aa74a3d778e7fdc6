"""Canonical JSON and SHA-256: how recipes, locks and artifacts get their names."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> bytes:
    """The one byte string for a value made of dict, list, str, int, bool and None (no floats, no NaN)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def digest_of(value: Any) -> str:
    """SHA-256 (64 hex digits) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_digest(files: Iterable[Path], *, relative_to: Path) -> str:
    """One digest over the names and bytes of files, whatever order they come in."""
    return digest_of(sorted([path.relative_to(relative_to).as_posix(), file_sha256(path)] for path in files))
