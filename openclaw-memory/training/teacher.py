"""all-MiniLM-L6-v2 in NumPy: mean-pooled sentence vectors, a batch of equally long texts at a time."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

LONGEST = 128  # tokens, the special ones included
BATCH_TOKENS = 512  # what fits in a core's cache


def gelu(x: np.ndarray) -> np.ndarray:
    """In its form with tanh: NumPy has no erf, and SciPy's costs more than the rest of the model."""
    y = x * x
    y *= np.float32(0.044715)
    y += 1
    y *= x
    y *= np.float32(np.sqrt(2 / np.pi))
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= np.float32(0.5)
    return y


class Teacher:
    """The weights of a folder as `transformers` writes it."""

    def __init__(self, folder: Path):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = load_file(folder / "model.safetensors")
        self.heads = self.config["num_attention_heads"]

    def _linear(self, name: str, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, name: str, x):
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.config["layer_norm_eps"])
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def pooled(self, ids: np.ndarray) -> np.ndarray:
        """Unit vectors for `ids`, shaped (texts, tokens), special tokens included."""
        texts, tokens = ids.shape
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][:tokens]
        x = self._norm("embeddings.LayerNorm", x + w["embeddings.token_type_embeddings.weight"][0])
        x = x.reshape(texts * tokens, -1)
        for layer in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}"

            def split(part, name=name, x=x):
                y = self._linear(f"{name}.attention.self.{part}", x)
                return y.reshape(texts, tokens, self.heads, -1).transpose(0, 2, 1, 3)

            query, key, value = split("query"), split("key"), split("value")
            scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(query.shape[-1]))
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            scores /= scores.sum(axis=-1, keepdims=True)
            mixed = (scores @ value).transpose(0, 2, 1, 3).reshape(texts * tokens, -1)
            x = self._norm(
                f"{name}.attention.output.LayerNorm",
                self._linear(f"{name}.attention.output.dense", mixed) + x,
            )
            inner = gelu(self._linear(f"{name}.intermediate.dense", x))
            x = self._norm(
                f"{name}.output.LayerNorm", self._linear(f"{name}.output.dense", inner) + x
            )
        mean = x.reshape(texts, tokens, -1).mean(axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def embed(self, sequences: list[list[int]]) -> np.ndarray:
        """Unit vectors for token sequences with their special tokens, in their order."""
        vectors = np.empty((len(sequences), self.config["hidden_size"]), np.float32)
        by_length: dict[int, list[int]] = {}
        for place, sequence in enumerate(sequences):
            by_length.setdefault(min(len(sequence), LONGEST), []).append(place)
        for length, places in sorted(by_length.items()):
            step = max(1, BATCH_TOKENS // length)
            for start in range(0, len(places), step):
                some = places[start : start + step]
                ids = np.array([sequences[i][: length - 1] + sequences[i][-1:] for i in some])
                vectors[some] = self.pooled(ids)
        return vectors
