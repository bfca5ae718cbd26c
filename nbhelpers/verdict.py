"""What a claim comes to, for a reader (one sentence) and for a file (plain values)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

MOST = "most seeds"  # the region of a claim whose numbers are yes and no
NOTHING = {"at chance": "all runs compared are at chance", "equal": "no seed shows a difference"}  # said of a rule


@dataclass(frozen=True)
class Verdict:
    """What the seeds say about a claim: holds, fails, undecided, or interim (too few seeds for a verdict).

    `estimate`, `low`, `high` are those of the `part` that decides or comes nearest to it, at the level that
    decides, in `unit`; where `rule` is "share", the share of seeds in the region. For an "extreme" (`pooled`): the
    largest or least of many differences, `part` the one whose estimate it is. For a "spread": the largest
    difference of two arms (biased upwards) and the bounds of the true one. Where `rule` is "at chance" or "equal", the
    part shows nothing: all its runs are at chance, or no seed shows a difference. `margin`: the least move of the
    region's boundary that would tip the verdict. `on_these_images`: whether the error over test images would undo it.
    None is what cannot be said: for want of seeds, of images, or of a boundary to move.
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
    level: float | None = None  # of the interval; of a spread, of its lower end; None where `alpha` says it

    def __post_init__(self):
        for field in fields(self):
            object.__setattr__(self, field.name, _rounded(getattr(self, field.name)))

    @property
    def effect(self) -> str:
        """The number that decided it, such as "+12.3 points" or "in 5 of 6 seeds"; the values where it is interim.

        Only a difference has a sign: a share, a spread and a ratio ("2.1 ×") have none.
        """
        part = self._deciding
        if self.verdict == "interim":
            return "values " + ", ".join(f"{value:.4g}" for value in part["values"])
        if self.rule in NOTHING:
            return NOTHING[self.rule]
        if self.rule == "share":
            return f"in {self.estimate * part['n']:.0f} of {part['n']} seeds"
        sign = "" if self.unit in ("%", "×") or self.rule == "spread" else "+"
        return f"{fixed(self.estimate, self._digits, sign)} {self.unit}".strip()

    @property
    def interval(self) -> str:
        """The interval of `effect`, such as "[10.1, 14.5]"; empty where it is interim or shows nothing.

        Its level is said where it is not 95%, as where one of several parts decides that a claim fails.
        """
        if self.verdict == "interim" or self.rule in NOTHING:
            return ""
        if self.rule == "share":
            return f"[{self.low:.0%}, {self.high:.0%}]{self._said_level}"
        return f"[{fixed(self.low, self._digits)}, {fixed(self.high, self._digits)}]{self._said_level}"

    @property
    def _said_level(self) -> str:
        level = 1 - self.alpha if self.level is None else self.level
        if math.isclose(level, 0.95):
            return ""
        return f" ({'low end ' if self.rule == 'spread' else ''}at {100 * level:.4g}%)"

    @property
    def margin_text(self) -> str:
        """`margin` in the digits of the interval, with its unit where the effect has another; empty where none.

        One that would read 0 has one figure: it is small, not none.
        """
        if self.margin is None:
            return ""
        text = fixed(self.margin, self._digits)
        text = text if float(text) or not self.margin else f"{self.margin:.1g}"
        return f"{text} {self.unit}".strip() if self._by_share else text

    @property
    def region_text(self) -> str:
        """The region; where the effect is a share of seeds, with its own unit: "> 3 points in most seeds"."""
        return f"{self.region} {self.unit}".strip() + " in most seeds" if self._by_share else self.region

    @property
    def where(self) -> str:
        """Which of several parts, or of the arms, decided it, such as "at blocks=4"; empty for a claim of one part."""
        alone = len(self.parts) < 2
        if self.rule == "extreme" or (self.rule in NOTHING and alone and self.part):
            return f"at {self.part}"
        if alone or self.rule == "spread" or (self.rule in NOTHING and self._all_alike):
            return ""
        return (f"in all {len(self.parts)}, nearest " if self.verdict == "holds" else "") + f"at {self.part}"

    @property
    def seeds(self) -> str:
        """How many seeds decided it; of how many, where it is interim."""
        part = self._deciding
        return f"{part['n']}" + (f" of {part['planned']}" if self.verdict == "interim" and part["planned"] else "")

    @property
    def _deciding(self) -> dict:
        return next(part for part in self.parts if part["label"] == self.part)

    @property
    def _by_share(self) -> bool:
        """Whether seeds are counted whose number lies in a region; where they say yes or no the region is a share."""
        return self.rule == "share" and self.region != MOST

    @property
    def _all_alike(self) -> bool:
        return all(part["rule"] == self.rule for part in self.parts)

    @property
    def _half_width(self) -> float:
        return 0 if self.low is None or self.rule == "share" else (self.high - self.low) / 2

    @property
    def _digits(self) -> int:
        """Decimals that leave two figures of the half-width."""
        half = self._half_width
        return min(6, max(0, 1 - math.floor(math.log10(half)))) if half > 0 else 1

    @property
    def sentence(self) -> str:
        """One line, such as "holds: +12.3 points [10.1, 14.5], n = 6, region > 0, margin 10.1"."""
        said = f"{self.effect} {self.interval}".strip()
        if self.verdict == "undecided" and self.interval and self.rule != "share":
            said += f" (± {self._half_width:.{self._digits}f})"
        said += f", n = {self.seeds}, region {self.region_text}"
        said += f", margin {self.margin_text}" if self.margin_text else ""
        said += "" if self.seeds_needed is None else f", about {self.seeds_needed} seeds would decide"
        lead = self.verdict + (" on these images" if self.on_these_images else "")
        return f"{lead} {self.where}".strip() + f": {said}"

    def to_dict(self) -> dict:
        """Plain values for JSON, with the sentence; nothing is nan or infinite."""
        return asdict(self) | {"sentence": self.sentence}

    @classmethod
    def from_dict(cls, written: dict) -> Verdict:
        """The verdict that `to_dict` wrote."""
        return cls(**{field.name: written[field.name] for field in fields(cls) if field.name in written})


def fixed(number: float, digits: int, sign: str = "") -> str:
    """A number with so many decimals; what rounds to zero has no sign. sign: "+" to give positive ones theirs."""
    text = f"{number:{sign}.{digits}f}"
    return text if float(text) else text.lstrip("+-")


def plain(number: float) -> float | None:
    """A number as JSON has it: none where it is not finite."""
    return float(number) if math.isfinite(number) else None


def _rounded(value: Any) -> Any:
    """`value` with its numbers, also those within dicts and lists, to 10 digits: further ones differ by processor."""
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
