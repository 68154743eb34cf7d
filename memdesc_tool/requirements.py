"""What a stack of series is to achieve, and which patches and tests stand for it.

patches/requirements.toml, optional:

    [[requirement]]
    id = "R1"
    text = "An isolated page is never freed."
    patches = ["isolation/0007-*"]          # globs over SERIES/FILE
    tests = ["my_suite.isolate*"]           # globs over the ids of cases
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from memdesc_tool.baseline import is_case, worst
from memdesc_tool.cells import Regression
from memdesc_tool.project import Project
from memdesc_tool.results import Verdict
from memdesc_tool.series import Numbered
from memdesc_tool.tomlfile import read_toml

REQUIREMENTS_FILE = "requirements.toml"


@dataclass(frozen=True)
class Requirement:
    """A line of requirements.toml: its name, what it says, globs of patches and of cases."""

    name: str
    text: str
    patches: tuple[str, ...]
    tests: tuple[str, ...]


class Standing(Enum):
    """What the last revision's results say of a requirement."""

    MET = "passed"
    BROKEN = "failed"
    SKIPPED = "skipped"
    """Its cases were there and did not run."""
    NOT_RUN = "not run"
    """It has tests, and none of them is in the results."""
    UNTESTED = "no test"
    """It names none."""


@dataclass(frozen=True)
class Tested:
    """A case that stands for a requirement: its id, the columns that ran it last, and the
    worst that it came to after the last patch.
    """

    case: str
    columns: tuple[str, ...]
    verdict: Verdict


@dataclass(frozen=True)
class Traced:
    """A requirement with the patches and cases that its globs match.

    unmatched: globs of tests that no case matches.
    """

    requirement: Requirement
    patches: tuple[Numbered, ...]
    cases: tuple[Tested, ...]
    unmatched: tuple[str, ...]

    @property
    def standing(self) -> Standing:
        """Met only where a case passed, none failed, and each glob has a case."""
        verdicts = {one.verdict for one in self.cases}
        if Verdict.FAILED in verdicts:
            return Standing.BROKEN
        if not self.requirement.tests:
            return Standing.UNTESTED
        if self.unmatched or not verdicts:
            return Standing.NOT_RUN
        return Standing.MET if Verdict.PASSED in verdicts else Standing.SKIPPED


def read_requirements(project: Project) -> tuple[Requirement, ...]:
    """The requirements of a project; none where it has no such file.

    Each glob of patches must match one of the whole stack. Raises UserError.
    """
    path = project.patches / REQUIREMENTS_FILE
    if not path.exists():
        return ()
    top = read_toml(path, "what the series are to achieve")
    top.only(["requirement"])
    names = [_name(patch) for patch in project.stack().patches]
    found: dict[str, Requirement] = {}
    for table in top.tables("requirement"):
        table.only(["id", "text", "patches", "tests"])
        one = Requirement(
            table.string("id"), table.string("text"),
            table.strings("patches"), table.strings("tests"),
        )  # fmt: skip
        if one.name in found:
            raise table.error("id", f"{one.name} is there twice")
        for glob in one.patches:
            if not fnmatch.filter(names, glob):
                raise table.error("patches", f"{glob} matches no patch", "write SERIES/FILE")
        found[one.name] = one
    return tuple(found.values())


def trace(
    requirements: Sequence[Requirement], patches: Sequence[Numbered], found: Regression
) -> tuple[Traced, ...]:
    """The requirements with what stands for them among patches and after the last of the rows;
    those of which none of the patches is here are left out.
    """
    cases: dict[str, dict[str, Verdict]] = {}
    for cell in found.of_row(found.rows[-1]):
        for name, verdicts in cell.cases.items():
            if is_case(name):
                cases.setdefault(name, {})[cell.column.name] = worst(verdicts)
    every = (_traced(one, patches, cases) for one in requirements)
    return tuple(one for one in every if one.patches or not one.requirement.patches)


def _traced(
    one: Requirement, patches: Sequence[Numbered], cases: dict[str, dict[str, Verdict]]
) -> Traced:
    globs = {glob: [name for name in cases if fnmatch.fnmatchcase(name, glob)]
             for glob in one.tests}  # fmt: skip
    names = dict.fromkeys(name for matched in globs.values() for name in matched)
    return Traced(
        one,
        tuple(p for p in patches if any(fnmatch.fnmatchcase(_name(p), g) for g in one.patches)),
        tuple(Tested(n, tuple(cases[n]), worst(tuple(cases[n].values()))) for n in names),
        tuple(glob for glob, matched in globs.items() if not matched),
    )


def _name(patch: Numbered) -> str:
    return f"{patch.series}/{patch.patch.path.name}"
