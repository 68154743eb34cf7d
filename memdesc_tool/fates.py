"""What became of the mutants of a series, on every machine that they were shown to.

A *cell* is a suite on an arch, and a mutant has a trial in each that it was shown to. All of it
belongs to a span (measured.py), and a trial counts as long as the suite of its cell is what it
was then: what a later series, or another test, would come to is not known.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

from memdesc_tool.mutate import Mutant
from memdesc_tool.results import Store

FATES = "fates"
"""The kind of what is stored."""
AROUND = 3
"""Lines of a hunk before and after the one that a mutant changes."""
_FUNCTION = re.compile(r"[A-Za-z_$]")

Key = tuple[str, int, str, str]


class Came(Enum):
    """What a mutant came to in a cell."""

    SILENT = "not noticed"
    NOTICED = "noticed"
    BROKEN = "does not compile"
    IDLE = "its line is not run"
    """Nothing was built: coverage says that no case of the suite runs the line."""


@dataclass(frozen=True)
class Trial:
    """What a mutant came to in the cell of this name; by: the case that noticed, "" for none."""

    cell: str
    came: Came
    by: str = ""


@dataclass(frozen=True)
class Fate:
    """A mutant and its trials.

    patch: the label of the one that brought the line; line, became: its text without and with
    the mistake, white space included; before: the line of code before it; asked: whether
    somebody has asked for it, trials or none; argued: why nothing could notice it, as people say.
    """

    patch: str
    file: str
    number: int
    operator: str
    line: str
    became: str
    before: str = ""
    asked: bool = False
    trials: tuple[Trial, ...] = ()
    argued: str = ""

    @classmethod
    def of(cls, mutant: Mutant, *, asked: bool = False, trials: Iterable[Trial] = ()) -> Fate:
        """That of a mutant."""
        line = mutant.line
        return cls(line.row.label, line.file, line.number, mutant.operator, line.text,
                   mutant.text, mutant.before, asked, tuple(trials))  # fmt: skip

    @property
    def key(self) -> Key:
        """Which mutant of its span it is."""
        return self.file, self.number, self.operator, self.became

    @property
    def label(self) -> str:
        """Like "mm/a.c:12: no lock: spin_lock(&x);" """
        return f"{self.file}:{self.number}: {self.operator}: {self.line.strip()}"

    def cells(self, came: Came) -> tuple[str, ...]:
        """The names of the cells in which it came to this."""
        return tuple(trial.cell for trial in self.trials if trial.came is came)

    @property
    def noticed(self) -> str:
        """Like "pages/um: pages.some", "" where nothing has noticed it anywhere."""
        found = (one for one in self.trials if one.came is Came.NOTICED)
        return next((f"{one.cell}: {one.by}" for one in found), "")

    @property
    def built(self) -> bool:
        """Whether it compiles, in some cell; where it was built in none, it is taken to."""
        seen = {trial.came for trial in self.trials}
        return bool(seen & {Came.SILENT, Came.NOTICED}) or seen == {Came.IDLE}

    @property
    def counts(self) -> bool:
        """Whether it says something of the suites."""
        return self.built and (bool(self.noticed) or not self.argued)

    @property
    def survives(self) -> bool:
        """Whether no suite notices it that ought to."""
        return self.counts and not self.noticed

    @property
    def where(self) -> str:
        """What has run on it, or why not, like "ran on a/um; its line is not run on b/x86_64"."""
        words = (
            (Came.SILENT, "ran on"),
            (Came.NOTICED, "noticed on"),
            (Came.BROKEN, "does not compile on"),
            (Came.IDLE, "its line is not run on"),
        )
        parts = [(word, self.cells(came)) for came, word in words]
        return "; ".join(f"{word} {', '.join(cells)}" for word, cells in parts if cells)


@dataclass(frozen=True)
class Fates:
    """The mutants of a span.

    every: by file and line, of all that could be planted in some cell; suites: of each cell,
    name and state of its suite (suitestate.py); older: names of cells whose suite has changed
    since, and whose trials are left out (present()); seeds: of the samples that were taken.
    """

    every: tuple[Fate, ...] = ()
    suites: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    older: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    @property
    def planted(self) -> tuple[Fate, ...]:
        """Those with a trial."""
        return tuple(one for one in self.every if one.trials)

    @property
    def asked(self) -> int:
        """How many somebody has asked for; fewer have a trial where that was interrupted."""
        return sum(one.asked or bool(one.trials) for one in self.every)

    @property
    def built(self) -> int:
        """How many compile and change something."""
        return sum(one.counts for one in self.every)

    @property
    def noticed(self) -> int:
        """How many some suite notices, in whichever cell."""
        return sum(bool(one.noticed) for one in self.every)

    @property
    def survivors(self) -> tuple[Fate, ...]:
        """Those that no suite notices."""
        return tuple(one for one in self.every if one.survives)

    @property
    def idle(self) -> int:
        """How many survivors were built nowhere, since no suite runs their lines."""
        return sum({trial.came for trial in one.trials} == {Came.IDLE} for one in self.survivors)

    @property
    def argued(self) -> tuple[Fate, ...]:
        """Those that change nothing, as people say and as nothing disproves."""
        return tuple(one for one in self.every if one.built and not one.counts)

    @property
    def cells(self) -> tuple[tuple[str, int, int, int], ...]:
        """Of each cell its name, how many it was shown, how many of them it notices, and how
        many are in lines that it does not run.
        """
        found = []
        for name in self.suites:
            came = [trial.came for one in self.every for trial in one.trials if trial.cell == name]
            shown = came.count(Came.SILENT) + came.count(Came.NOTICED)
            if came:
                found.append((name, shown, came.count(Came.NOTICED), came.count(Came.IDLE)))
        return tuple(found)

    def score(self) -> dict[str, tuple[int, int, int]]:
        """By operator: (planted, those that compile and change something, those noticed)."""
        found: dict[str, tuple[int, int, int]] = {}
        for one in self.planted:
            every, built, noticed = found.get(one.operator, (0, 0, 0))
            found[one.operator] = every + 1, built + one.counts, noticed + bool(one.noticed)
        return found

    def present(self, states: Mapping[str, str]) -> Fates:
        """What counts of it; states: of the suites that there are now, by name."""
        older = {cell for cell, (suite, state) in self.suites.items() if states.get(suite) != state}
        return replace(
            self,
            every=tuple(replace(one, trials=_without(one.trials, older)) for one in self.every),
            suites={cell: one for cell, one in self.suites.items() if cell not in older},
            older=tuple(sorted(older)),
        )

    def merged(self, later: Fates) -> Fates:
        """With what a later call has found in place of what it had found before."""
        changed = {cell for cell, one in later.suites.items() if self.suites.get(cell, one) != one}
        kept = {one.key: replace(one, trials=_without(one.trials, changed)) for one in self.every}
        for one in later.every:
            old = kept.get(one.key, one)
            again = {trial.cell for trial in one.trials}
            trials = (*_without(old.trials, again), *one.trials)
            kept[one.key] = replace(one, asked=one.asked or old.asked, trials=trials)
        every = sorted(kept.values(), key=lambda one: (one.file, one.number))
        seeds = tuple(dict.fromkeys((*self.seeds, *later.seeds)))
        return Fates(tuple(every), {**self.suites, **later.suites}, (), seeds)


def _without(trials: Sequence[Trial], cells: Iterable[str]) -> tuple[Trial, ...]:
    gone = set(cells)
    return tuple(trial for trial in trials if trial.cell not in gone)


def hunk(text: Sequence[str], fate: Fate) -> tuple[str, ...]:
    """A mutant as a hunk of a diff of its file, whose lines are text; none where the line is not
    what it was.
    """
    at = fate.number - 1
    if not (0 <= at < len(text) and text[at] == fate.line):
        return ()
    first, last = max(0, at - AROUND), min(len(text), at + AROUND + 1)
    count = last - first
    function = next((line for line in reversed(text[:first]) if _FUNCTION.match(line)), "")
    header = f"@@ -{first + 1},{count} +{first + 1},{count} @@ {function}".rstrip()
    return (
        header,
        *(f" {line}" for line in text[first:at]),
        f"-{fate.line}",
        f"+{fate.became}",
        *(f" {line}" for line in text[at + 1 : last]),
    )


def keep_fates(store: Store, span: Mapping[str, str], taken: float, fates: Fates) -> None:
    """Store it in place of what there was of the span; taken: seconds since the epoch."""
    mutants = [
        {**asdict(one), "trials": [[t.cell, t.came.value, t.by] for t in one.trials]}
        for one in fates.every
    ]
    data = {"suites": fates.suites, "seeds": fates.seeds, "mutants": mutants}
    store.keep_measured(FATES, span, taken, json.dumps(data))


def read_fates(store: Store, span: Mapping[str, str]) -> Fates | None:
    """What keep_fates() stored last; None where no mutant was planted."""
    found = store.measured(FATES, span)
    if found is None:
        return None
    try:
        data = json.loads(found[1])
        suites = {str(cell): (str(a), str(b)) for cell, (a, b) in data["suites"].items()}
        every = tuple(_fate(one) for one in data["mutants"])
        return Fates(every, suites, seeds=tuple(map(int, data["seeds"])))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise sqlite3.DatabaseError(f"what was measured ({FATES}): {error}") from None


def _fate(data: dict[str, Any]) -> Fate:
    trials = tuple(Trial(str(cell), Came(came), str(by)) for cell, came, by in data["trials"])
    return Fate(**{**data, "trials": trials, "argued": ""})
