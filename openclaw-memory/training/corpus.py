"""The texts that the model learns from: WordNet's glosses and examples, Debian's descriptions."""

import hashlib
import random
import re
import subprocess
import urllib.parse
from pathlib import Path

SEED = 20
LONGEST = 400  # characters of a text


def wordnet(folder: Path):
    """For each synset its words with its gloss, and each of its examples."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text("ascii").splitlines():
            if line.startswith("  "):  # the licence
                continue
            head, _, gloss = line.partition(" | ")
            fields = head.split()
            words = [fields[4 + 2 * i] for i in range(int(fields[3], 16))]
            words = [re.sub(r"\(\w+\)$", "", word).replace("_", " ") for word in words]
            examples = re.findall(r'"([^"]+)"', gloss)
            meaning = re.sub(r'"[^"]*"?', "", gloss).strip(" ;\n")
            yield f"{', '.join(words[:4])}: {meaning}"
            yield from examples


def debian(lists: Path):
    """For each package what it is in a line, and the sentences that describe it."""
    for path in sorted(lists.glob("*_Translation-en*")):
        text = subprocess.run(
            ["/usr/lib/apt/apt-helper", "cat-file", path], check=True, capture_output=True
        ).stdout.decode()
        for stanza in text.split("\n\n"):
            _, _, description = stanza.partition("Description-en: ")
            short, _, long = description.partition("\n")
            yield short.strip()
            for paragraph in re.split(r"\n \.\n", "\n" + long):
                if re.search(r"\n  |\n [-*+o] ", paragraph):  # a list or verbatim text
                    continue
                flat = " ".join(paragraph.split())
                yield from re.split(r"(?<=[.!?]) (?=[A-Z])", flat)


def texts(wordnet_folder: Path, apt_lists: Path, debian_share: float) -> list[str]:
    """Distinct texts, shuffled the same way each time."""
    chance = random.Random(SEED)
    kept = dict.fromkeys(wordnet(wordnet_folder))
    for text in dict.fromkeys(debian(apt_lists)):
        if chance.random() < debian_share:
            kept[text] = None
    shuffled = [text[:LONGEST] for text in kept if 8 <= len(text)]
    chance.shuffle(shuffled)
    return shuffled


def digest(all_texts: list[str]) -> str:
    """What identifies them."""
    return hashlib.sha256("\n".join(all_texts).encode()).hexdigest()
