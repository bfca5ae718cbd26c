"""Words as vectors: the hundred commonest words of English, embedded by counting their neighbours in a text."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import scipy

GRID = """a about after all also an and any are as at back be because but by can come could day do even first for from
get give go good have he her him his how I if in into it its just know like look make me most my new no not now of on
one only or other our out over people say see she so some take than that the their them then there these they think
this time to two up us use want way we well what when which who will with work would year you your"""
WORDS = tuple(word.lower() for word in GRID.split())


def text() -> list[str]:
    """The words, in lower case, of the documentation in the source files of scipy.stats: English that is at hand."""
    folder = Path(scipy.__file__).parent / "stats"
    sources = (path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
    prose = (part for source in sources for part in re.findall(r'"""(.*?)"""', source, re.DOTALL))
    return re.findall(r"[a-z]+", " ".join(prose).lower())


def embedding(found: list[str], width: int = 16, reach: int = 3, least: int = 10) -> tuple[list[str], np.ndarray]:
    """The words of the grid that occur at least `least` times, and a vector for each: (words, width), length 1.

    Neighbours up to `reach` words away are counted, among the 1,000 commonest words of the text; the positive
    logarithms of observed over expected counts are then cut to their `width` greatest singular values (Levy and
    Goldberg, *Neural word embedding as implicit matrix factorization*, 2014).
    """
    totals = Counter(found)
    kept = [word for word in WORDS if totals[word] >= least]
    context = {word: i for i, (word, _) in enumerate(sorted(totals.items(), key=lambda kv: (-kv[1], kv[0]))[:1000])}
    row = {word: i for i, word in enumerate(kept)}
    counts = np.zeros((len(kept), len(context)))
    at = np.array([context.get(word, -1) for word in found])
    rows = np.array([row.get(word, -1) for word in found])
    for shift in (s for s in range(-reach, reach + 1) if s):
        here, there = (rows[:-shift], at[shift:]) if shift > 0 else (rows[-shift:], at[:shift])
        both = (here >= 0) & (there >= 0)
        np.add.at(counts, (here[both], there[both]), 1)
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.where(counts > 0, np.maximum(np.log(counts / expected), 0), 0)
    left, values, _ = np.linalg.svd(information, full_matrices=False)
    vectors = left[:, :width] * np.sqrt(values[:width])
    return kept, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def lookup_difference(vectors: np.ndarray) -> float:
    """The largest difference between looking a row up and multiplying a one-hot row with the matrix: over all words."""
    return float(np.abs(np.eye(len(vectors)) @ vectors - vectors[np.arange(len(vectors))]).max())


def neighbours(kept: list[str], vectors: np.ndarray, of: tuple[str, ...], count: int = 4) -> pd.DataFrame:
    """The nearest words by cosine of the angle, for each word of `of`; of one that is not there, why."""
    nearness = vectors @ vectors.T
    rows = []
    for word in of:
        if word in kept:
            order = np.argsort(-nearness[kept.index(word)])[1 : count + 1]
            near = ", ".join(f"{kept[i]} ({nearness[kept.index(word), i]:.2f})" for i in order)
        else:
            near = "too rare in this text" if word in WORDS else "not among the lesson's words"
        rows.append({"word": word, "nearest, with the cosine": near})
    return pd.DataFrame(rows)
