"""What the guest of a benchmark prints: the samples of its figures.

Lines begin with "bench: ", behind whatever the console has in front of them:

    bench: begin instructions
    bench: sample NAME COUNT VALUE      VALUE for COUNT of what the figure is per
    bench: end NUMBER                   how many samples there were
    bench: failed STEP ERROR            in place of end

A value per page of 0 or less is only good for what is measured in bytes: code that takes no
instruction was not measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from memdesc_tool.benchplan import Plan
from memdesc_tool.errors import FailedError

_LINE = re.compile(r"bench: (begin|sample|end|failed)\b ?(.*)$")
_SAMPLE = re.compile(r"(\S+) (\d+) (-?\d+)")


@dataclass(frozen=True)
class Samples:
    """A boot's samples: value per unit of count, in the order in which they were taken."""

    counter: str
    values: dict[str, tuple[float, ...]]

    def middle(self, name: str) -> float:
        """The median of a figure's samples."""
        return median(self.values[name])


def parse(lines: Iterable[str], plan: Plan) -> Samples:
    """The samples of one boot.

    Raises FailedError where any is missing, torn, not planned, or not to be had.
    """
    counter, ended, found = "", False, 0
    values: dict[str, list[float]] = {}
    for line in lines:
        match = _LINE.search(line.rstrip())
        if not match:
            continue
        word, rest = match.groups()
        if ended or bool(counter) is (word == "begin"):
            raise FailedError(f"the benchmark's output is out of order: {line.strip()!r}")
        if word == "begin":
            counter = rest or "nothing"
        elif word == "sample":
            found += 1
            name, value = _sample(rest)
            values.setdefault(name, []).append(value)
        elif word == "failed":
            raise FailedError(f"the benchmark failed in the guest: {rest}")
        else:
            ended = True
            if rest != str(found):
                raise FailedError(f"the benchmark took {rest} samples, {found} have arrived")
    if not ended:
        raise FailedError("the benchmark did not come to its end"
                          if counter else "the benchmark printed nothing")  # fmt: skip
    _check(values, plan)
    return Samples(counter, {name: tuple(every) for name, every in values.items()})


def failure(lines: Iterable[str]) -> str:
    """The step that the guest says has failed, and its error; "" where it says nothing."""
    for line in lines:
        match = _LINE.search(line.rstrip())
        if match and match[1] == "failed":
            return match[2]
    return ""


def _sample(rest: str) -> tuple[str, float]:
    match = _SAMPLE.fullmatch(rest)
    if not match:
        raise FailedError(f"a sample of the benchmark is torn: {rest!r}")
    name, count, value = match[1], int(match[2]), int(match[3])
    if not count:
        raise FailedError(f"the benchmark measured {name} of nothing (a count of 0)")
    return name, value / count


def _check(values: dict[str, list[float]], plan: Plan) -> None:
    planned = {figure.name: figure for figure in plan.figures}
    if missing := [name for name in planned if name not in values]:
        raise FailedError(f"the benchmark has no sample of {', '.join(missing)}")
    if unknown := [name for name in values if name not in planned]:
        raise FailedError(f"the benchmark has samples that nobody planned: {', '.join(unknown)}")
    for name, every in values.items():
        bound = 0.0 if planned[name].unit else 1e-9
        if min(every) < bound:
            raise FailedError(f"the benchmark measured {min(every):g} for {name}")
