"""Words embedded by counting their neighbours."""

import numpy as np

from nbhelpers.lesson import words


def test_words_with_the_same_neighbours_come_together():
    found = ("the cat can see you and the dog can see me " * 30).split()
    text = [{"cat": "this", "dog": "that"}.get(word, word) for word in found]
    kept, vectors = words.embedding(text, width=3, reach=1)
    assert set(kept) <= set(words.WORDS) and vectors.shape == (len(kept), 3)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    near = vectors @ vectors[kept.index("this")]
    assert [kept[i] for i in np.argsort(-near)[:2]] == ["this", "that"]
    assert words.lookup_difference(vectors) == 0


def test_the_grid_has_a_hundred_words_in_order():
    assert 95 <= len(words.WORDS) <= 105 and words.WORDS[0] == "a" and words.WORDS[-1] == "your"
    assert sorted(words.WORDS) == list(words.WORDS)
    assert len(words.embedding(words.text())[0]) > 60


def test_a_word_that_is_not_there_is_not_left_out_without_a_word():
    found = words.neighbours(["a", "and", "in"], np.eye(3), of=("in", "year", "is"), count=2)
    said = dict(found.itertuples(index=False))
    assert said["in"].startswith("a (0.00)") and "rare" in said["year"] and "not among" in said["is"]
