"""The cover letter: a template of the series' own, filled in with what is known.

patches/<series>/cover.md.j2 has the words `series`, `base`, `tested`, `changes` and
`diffstat`. What is permanent stands above the first line of ---; what changed since earlier
revisions is put below it, since mm folds the text above into the first patch.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from memdesc_tool.candidate import Candidate
from memdesc_tool.errors import UserError
from memdesc_tool.evidence import Tested
from memdesc_tool.git import Git
from memdesc_tool.series import Series
from memdesc_tool.template import render

TEMPLATE = "cover.md.j2"
WIDTH = 72


@dataclass(frozen=True)
class Cover:
    """A cover letter: subject; body, the permanent text; below: what belongs below ---."""

    subject: str
    body: str
    below: str = ""

    @property
    def text(self) -> str:
        """All of it, as a prep branch of b4 keeps it."""
        below = f"\n\n---\n{self.below}" if self.below else ""
        return f"{self.subject}\n\n{self.body}{below}\n"


def make_cover(
    series: Series, base: str, tested: str, diffstat: str, range_diff: str = ""
) -> Cover:
    """The cover letter of a series; base, tested, diffstat: texts for the template.

    Raises UserError where there is no template, or what it gives has no subject.
    """
    if not (series.directory / TEMPLATE).is_file():
        raise UserError(
            f"{series.directory} has no {TEMPLATE}", "a series is sent with a cover letter"
        )
    changes = changes_text(series)
    text = render(series.directory, TEMPLATE, series=series, base=base, tested=tested,
                  changes=changes, diffstat=diffstat).strip()  # fmt: skip
    subject, _, body = text.partition("\n")
    if not subject.strip() or not body.startswith("\n"):
        raise UserError(
            f"{series.directory / TEMPLATE}: not a cover letter",
            "it needs a subject, an empty line and a text",
        )
    above, _, below = body.strip().partition("\n---\n")
    parts = [below.strip(), "" if changes and changes in text else changes, range_diff]
    return Cover(subject.strip(), above.strip(), "\n\n".join(part for part in parts if part))


def changes_text(series: Series) -> str:
    """What changed in each revision, newest first, and where the earlier ones are."""
    blocks = [f"Changes in v{revision}:\n{text}" for revision, text in series.changes]
    if series.links:
        blocks.append("\n".join(f"Link: {link}" for link in series.links))
    return "\n\n".join(blocks)


def tested_text(tested: Sequence[Tested], missing: Sequence[str], total: int) -> str:
    """What ran and what did not, in words; total: revisions of the series, base included."""
    if not tested and not missing:
        return "No test suite belongs to this series."
    lines = ["Tested:"] if tested else ["Nothing of it was tested."]
    lines += [_paragraph(one, total) for one in tested]
    text = "\n".join(lines)
    if missing:
        listed = "\n".join(f"- {name}" for name in missing)
        text += f"\n\nNot tested on the state after the last patch:\n{listed}"
    return text


def _paragraph(one: Tested, total: int) -> str:
    every = one.patches == total
    where = "on the base and every patch" if every else f"on {one.patches} of {total} revisions"
    text = f"- {one.suite} on {one.arch}, {where}: {one.passed} cases pass at the end"
    text += f", {one.failed} fail" if one.failed else ""
    if one.repeated:
        text += f"; {one.attempts} runs, {_duration(one.seconds)} together"
    return textwrap.fill(text, WIDTH, subsequent_indent="  ")


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"


def diffstat(candidate: Candidate) -> str:
    """The statistics of the whole series, as git format-patch puts them in a cover letter."""
    return candidate.git.run(
        "diff", f"--stat={WIDTH}", "--summary", "--find-renames", candidate.start, candidate.tip
    )


def range_diff(git: Git, old: tuple[str, str], new: tuple[str, str], revision: int) -> str:
    """What git range-diff says of two (base, tip) spans; revision: of the old one."""
    out = git.run("-c", "core.abbrev=12", "range-diff", "--no-color",
                  f"{old[0]}..{old[1]}", f"{new[0]}..{new[1]}")  # fmt: skip
    return f"Range-diff against v{revision}:\n{out}"


def base_text(base: str, prerequisites: Sequence[str], *, users: bool) -> str:
    """base-commit and prerequisites; a base that only this machine has is not named."""
    if not users:
        return ""
    ids = [one for one in prerequisites if one.startswith("patch-id: ")]
    return "\n".join([f"base-commit: {base}", *(f"prerequisite-{one}" for one in ids)])


def whole_text(cover: Cover, statistics: str, base: str) -> str:
    """The cover letter as it looks in a mail, without what b4 adds."""
    parts = [cover.subject, cover.body, "---"]
    parts += [part for part in (cover.below, statistics, base) if part]
    return "\n\n".join(parts) + "\n"
