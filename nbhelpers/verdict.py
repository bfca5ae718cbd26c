"""What a claim comes to, for a reader (one sentence) and for a file (plain values)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Verdict:
    """What the seeds say about a claim: holds, fails, undecided, or interim (too few seeds for a verdict).

    `estimate`, `low`, `high` are those of the `part` that decides or comes nearest to it, at the level that
    decides, in `unit`; where `rule` is "share", the share of seeds in the region. For an "extreme" (`pooled`): the
    largest or least of many differences, `part` the one whose estimate it is. For a "spread": the largest
    difference of two arms (biased upwards) and the bounds of the true one. `margin`: the least move of the region's
    boundary that would tip the verdict. `on_these_images`: whether the error over test images would undo it. None
    is what cannot be said: for want of seeds, of images, or of a boundary to move.
    """

    text: str
    region: str
    verdict: str
    n: int
    planned: int | None
    estimate: float
    low: float | None
    high: float | None
    margin: float | None
    on_these_images: bool | None
    seeds_needed: int | None
    part: str
    rule: str
    unit: str
    alpha: float
    parts: list[dict]

    @property
    def sentence(self) -> str:
        """One line, such as "holds: +12.3 points [10.1, 14.5], n = 6, region > 0, margin 10.1"."""
        half = 0 if self.low is None or self.rule == "share" else (self.high - self.low) / 2
        digits = min(6, max(0, 1 - math.floor(math.log10(half)))) if half > 0 else 1  # two figures of the half-width
        part = next(part for part in self.parts if part["label"] == self.part)
        if self.verdict == "interim":
            said = "values " + ", ".join(f"{value:.4g}" for value in part["values"])
        elif self.rule == "share":
            said = f"in {self.estimate * part['n']:.0f} of {part['n']} seeds [{self.low:.0%}, {self.high:.0%}]"
        else:
            sign = "" if self.unit == "%" or self.rule == "spread" else "+"
            said = f"{self.estimate:{sign}.{digits}f} {self.unit}".strip()
            said += f" [{self.low:.{digits}f}, {self.high:.{digits}f}]"
            said += f" (± {half:.{digits}f})" if self.verdict == "undecided" else ""
        planned = f" of {part['planned']}" if self.verdict == "interim" and part["planned"] else ""
        said += f", n = {part['n']}{planned}"
        said += f", region {self.region}"
        said += "" if self.margin is None else f", margin {self.margin:.{digits}f}"
        said += "" if self.seeds_needed is None else f", about {self.seeds_needed} seeds would decide"
        lead = self.verdict + (" on these images" if self.on_these_images else "")
        if self.rule == "extreme":
            lead += f" at {self.part}"
        elif len(self.parts) > 1 and self.rule != "spread":
            lead += f" in all {len(self.parts)}, nearest" if self.verdict == "holds" else ""
            lead += f" at {self.part}"
        return f"{lead}: {said}"

    def to_dict(self) -> dict:
        """Plain values for JSON, with the sentence; nothing is nan or infinite."""
        return asdict(self) | {"sentence": self.sentence}
