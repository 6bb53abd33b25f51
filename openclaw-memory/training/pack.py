"""The model's file; `src/embed/table.rs` describes it."""

import hashlib
import struct
import unicodedata
from pathlib import Path

import numpy as np


def useful(token: str) -> bool:
    """Whether a token is worth its 128 bytes: of another script the teacher knows next to nothing."""
    if token.startswith("[") and token.endswith("]") and len(token) > 1:
        return False
    letters = [c for c in token if c.isalpha()]
    if any("LATIN" not in unicodedata.name(c, "") and "GREEK" not in unicodedata.name(c, "") for c in letters):
        return False
    return token.isascii() or bool(letters)


def quantised(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values from −7 to 7 and a scale for each row: of a few, the one that loses least."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    best = np.zeros_like(rows)
    scales = np.zeros((len(rows), 1), rows.dtype)
    losses = np.full((len(rows), 1), np.inf)
    for share in np.linspace(0.6, 1.0, 9):
        scale = largest * share / 7 + 1e-12
        values = np.clip(np.rint(rows / scale), -7, 7)
        loss = ((values * scale - rows) ** 2).sum(axis=1, keepdims=True)
        better = loss < losses
        best, scales, losses = (
            np.where(better, values, best),
            np.where(better, scale, scales),
            np.where(better, loss, losses),
        )
    return best.astype(np.int64), scales.ravel()


def write(path: Path, vocabulary: list[str], table: np.ndarray) -> str:
    """Writes the file and, beside it, its SHA-256, which is returned."""
    kept = sorted(i for i, token in enumerate(vocabulary) if useful(token))
    kept.sort(key=lambda i: vocabulary[i].encode())
    words = "\n".join(vocabulary[i] for i in kept).encode()
    values, scales = quantised(table[kept].astype(np.float64))
    scales = np.rint(scales / scales.max() * 65535).astype("<u2")
    nibbles = (values + 8).astype(np.uint8)
    rows = nibbles[:, 0::2] | (nibbles[:, 1::2] << 4)
    head = b"OCSTATIC" + struct.pack("<4I", 1, len(kept), table.shape[1], len(words))
    data = head + words + scales.tobytes() + rows.tobytes()
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    path.with_suffix(".sha256").write_text(digest)
    return digest
