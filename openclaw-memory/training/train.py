"""Makes the built-in model. See README.md."""

import argparse
import os
import sys
from pathlib import Path

for library in ("OPENBLAS", "OMP", "MKL"):  # one thread: sums in one order, so the same bits
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np
from tokenizers import Tokenizer

import corpus
import fit
import pack
from teacher import LONGEST, Teacher

DEBIAN_SHARE = 0.2
TEXTS = 100_000
BLOCK = 2_000  # texts between two writes of the cache


def taught(cache: Path, folder: Path, texts: list[str]):
    """The texts' tokens, the teacher's vectors for them, and for each token alone."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    sequences = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    first, last = sequences[0][0], sequences[0][-1]
    alone = [[first, token, last] for token in range(tokenizer.get_vocab_size())]
    teacher = Teacher(folder)
    cache.mkdir(parents=True, exist_ok=True)

    def vectors(name: str, some: list[list[int]]) -> np.ndarray:
        kept = cache / f"{name}.npy"
        if not kept.exists():
            with open(kept.with_suffix(".part"), "wb") as file:
                np.save(file, teacher.embed(some))
            kept.with_suffix(".part").rename(kept)
        return np.load(kept)

    alone = vectors("tokens", alone)
    blocks = []
    for start in range(0, len(texts), BLOCK):
        print(f"\rteacher: {start} of {len(texts)} texts", end="", file=sys.stderr, flush=True)
        name = corpus.digest(texts[start : start + BLOCK])[:16]
        blocks.append(vectors(name, sequences[start : start + BLOCK]))
    print(f"\rteacher: {len(texts)} texts{' ' * 20}", file=sys.stderr)
    return tokenizer, [s[1:-1] for s in sequences], np.concatenate(blocks), alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", type=Path, required=True, help="folder of model.safetensors")
    parser.add_argument("--wordnet", type=Path, required=True, help="folder of data.noun")
    parser.add_argument("--apt-lists", type=Path, required=True, help="folder of *_Translation-en*")
    parser.add_argument("--cache", type=Path, required=True, help="keeps the teacher's vectors")
    parser.add_argument("--out", type=Path, required=True, help="the model's file")
    arguments = parser.parse_args()

    texts = corpus.texts(arguments.wordnet, arguments.apt_lists, DEBIAN_SHARE)[:TEXTS]
    print(f"{len(texts)} texts, SHA-256 {corpus.digest(texts)}")
    tokenizer, sequences, vectors, alone = taught(arguments.cache, arguments.teacher, texts)
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    table = fit.table(sequences, vectors, alone)
    print(f"SHA-256 of the model {pack.write(arguments.out, vocabulary, table)}")


if __name__ == "__main__":
    main()
