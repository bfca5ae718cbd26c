"""The lesson's statements, each held beside what a cell of the notebook computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from nbhelpers import published
from nbhelpers.lesson.answers import ANSWERS, Answer
from nbhelpers.lesson.listings import STUDY

if TYPE_CHECKING:
    from nbhelpers.study import Study

# What no computation can give: a year, and what another paper printed. It is shown as published.
CITED = {
    16: {"year": "the factor 6 is from the ImageNet paper of {}"},
    21: {"elu_timit": "ELU on TIMIT has an error of {}%", "runs_cifar": "the medians on CIFAR are of {} runs"},
}
WORDS = ("right", "wrong", "holds", "fails", "undecided", "interim")  # computed on paper: the first two
ROUNDING = 0.01  # relative: published values are printed with two digits or more


class Statements:
    """The statements of the lesson, judged one by one; each is shown, and kept for ``summary.json``.

    ``say(7)`` judges number 7 by its formula in `answers`; ``say(30, answer)`` by what was measured.
    """

    def __init__(self, study: Study):
        self.known = {
            row["id"]: row for row in published.everything()["studies"][STUDY]["tables"]["statements"]["rows"]
        }
        self.kept = study.statements

    def __call__(self, number: int, answer: Answer | None = None) -> None:
        """Show statement `number` with its verdict, what was computed, and what is cited beside it.

        ValueError for a number that is not in the list or was judged before, and where a published right value has
        not been computed.
        """
        if number not in self.known or number in self.kept:
            raise ValueError(f"statement {number}: {'was judged before' if number in self.kept else 'is not listed'}")
        verdict, sentence, values, shown = answer or ANSWERS[number]()
        entry = self.known[number]
        phrases = CITED.get(number, {})
        cited = {name: entry["right"][name] for name in phrases}
        if absent := set(entry["right"]) - set(values) - set(cited):
            raise ValueError(f"statement {number}: {', '.join(sorted(absent))}: must be computed")
        if cited:
            said = ", and ".join(phrase.format(cited[name]) for name, phrase in phrases.items())
            said = f" The paper itself, cited and not computed: {said}."
            sentence, shown = sentence + said, shown and shown + said
        word = {True: "right", False: "wrong"}.get(verdict, verdict)
        plain = {name: _plain(value) for name, value in values.items()}
        self.kept[number] = {"statement": entry["statement"], "verdict": word, "computed": plain, "cited": cited}
        self.kept[number] |= {"said": sentence}
        display(Markdown(f"> **{number}. “{entry['statement']}”** — *{word}.* {shown or sentence}"))

    def printed(self, name: str) -> pd.DataFrame:
        """A published table of the lesson, as it was printed."""
        return pd.DataFrame(published.table(STUDY, name))

    def table(self) -> pd.DataFrame:
        """All statements judged so far by number: what the lesson says, the verdict, what was computed."""
        rows = [self.kept[number] | {"number": number} for number in sorted(self.kept)]
        frame = pd.DataFrame(rows, columns=["number", "statement", "verdict", "said"])
        return frame.rename(columns={"said": "computed here", "statement": "the lesson says"})

    def summary(self) -> str:
        """How many statements there are, how many were found what, and which have a verdict of their own."""
        words = {number: entry["verdict"] for number, entry in sorted(self.kept.items())}
        counts = ", ".join(f"{n} {word}" for word in WORDS if (n := list(words.values()).count(word)))
        own = "; ".join(f"{number}: {word}" for number, word in words.items() if word not in WORDS)
        said = f"{len(words)} of {len(self.known)} statements are answered: {counts or 'none in one word'}."
        return said + (f" In more words than one: {own}." if own else "")


def agrees(computed: Any, right: Any) -> bool:
    """Whether a computed value is the published right one, up to the rounding of what is printed (1%)."""
    if isinstance(right, (list, tuple)):
        return len(computed) == len(right) and all(map(agrees, computed, right))
    if isinstance(right, str):
        return computed == right
    return bool(np.isclose(computed, right, rtol=ROUNDING, atol=0))


def _plain(value: Any) -> Any:
    """Numbers of numpy and pandas as Python's."""
    if isinstance(value, (list, tuple, np.ndarray, pd.Series)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
