"""The cover letter: a template of the series' own, filled in with what is known.

A branch that keeps a cover letter has no template: what is known stands below its text.

patches/<series>/cover.md.j2 has the words `series`, `base`, `tested`, `figures` (what a
benchmark came to, "" for none), `changes` and `diffstat`. What is permanent stands above the
first line of ---; what changed since earlier revisions is put below it, since mm folds the text
above into the first patch.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from memdesc_tool.candidate import Candidate
from memdesc_tool.errors import UserError
from memdesc_tool.evidence import Tested, Untested
from memdesc_tool.finding import Finding, Severity
from memdesc_tool.git import Git
from memdesc_tool.message import EDITME
from memdesc_tool.series import Series
from memdesc_tool.template import render

TEMPLATE = "cover.md.j2"
WIDTH = 72
NAMED = 5
"""How many skipped cases of a suite are named."""
_TRAILER = re.compile(r"[A-Za-z][A-Za-z-]*: \S")


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
    series: Series, base: str, tested: str, figures: str, diffstat: str, range_diff: str = ""
) -> Cover:
    """The cover letter of a series; base, tested, figures, diffstat: texts for the template.

    Raises UserError where there is no template, or what it gives has no subject.
    """
    changes = changes_text(series)
    if series.cover:
        text = _with_known(series.cover, tested, figures)
    else:
        text = _rendered(series, base=base, tested=tested, figures=figures, changes=changes,
                         diffstat=diffstat)  # fmt: skip
    subject, _, body = text.partition("\n")
    above, _, below = body.strip().partition("\n---\n")
    parts = [below.strip(), "" if changes and changes in text else changes, range_diff]
    return Cover(subject.strip(), above.strip(), "\n\n".join(part for part in parts if part))


def _rendered(series: Series, **words: str) -> str:
    if not (series.directory / TEMPLATE).is_file():
        raise UserError(
            f"{series.directory} has no {TEMPLATE}",
            "a series is sent with a cover letter; a branch: git branch --edit-description",
        )
    text = render(series.directory, TEMPLATE, series=series, **words).strip()
    subject, _, body = text.partition("\n")
    if not subject.strip() or not body.startswith("\n"):
        raise UserError(
            f"{series.directory / TEMPLATE}: not a cover letter",
            "it needs a subject, an empty line and a text",
        )
    return text


def _with_known(text: str, tested: str, figures: str) -> str:
    """A cover letter with what is known at the end of its permanent text, above trailers."""
    above, separator, below = text.partition("\n---\n")
    paragraphs = above.strip().split("\n\n")
    signed = [paragraphs.pop()] if len(paragraphs) > 1 and _is_signed(paragraphs[-1]) else []
    known = [part for part in (tested, figures) if part]
    return "\n\n".join((*paragraphs, *known, *signed)) + separator + below


def _is_signed(paragraph: str) -> bool:
    return all(_TRAILER.match(line) for line in paragraph.splitlines())


def check_cover(series: Series) -> tuple[Finding, ...]:
    """What of a cover letter is still to be written; there may be none. A note: a series
    begins like that. refuse_unfinished() keeps it from being sent.
    """
    path = series.directory / TEMPLATE
    text = series.cover
    if not text and path.is_file():
        text = path.read_text(encoding="utf-8", errors="replace")
    return tuple(
        Finding("cover", Severity.NOTE, f"is to be written: {match[0].strip()}")
        for match in EDITME.finditer(f"{series.title}\n{text}")
    )


def refuse_unfinished(candidate: Candidate, cover: str) -> None:
    """Raise UserError where the text of the cover or a message is still to be written."""
    texts = [("the cover letter", cover)]
    texts += [(step.name, f"{step.patch.subject}\n{step.patch.body}") for step in candidate.steps]
    for name, text in texts:
        if match := EDITME.search(text):
            raise UserError(f"{name} is to be written: {match[0].strip()}")


def changes_text(series: Series) -> str:
    """What changed in each revision, newest first, and where the earlier ones are."""
    blocks = [f"Changes in v{revision}:\n{text}" for revision, text in series.changes]
    if series.links:
        blocks.append("\n".join(f"Link: {link}" for link in series.links))
    return "\n\n".join(blocks)


def tested_text(tested: Sequence[Tested], untested: Sequence[Untested], total: int) -> str:
    """What ran and what did not, in words; total: revisions of the series, base included."""
    if not tested and not untested:
        return "No test suite belongs to this series."
    lines = ["Tested:"] if tested else ["Nothing of it was tested."]
    lines += [_item(_came_to(one, total)) for one in tested]
    gaps = [": ".join(filter(None, (one.name, one.why))) for one in untested]
    gaps += [f"{one.suite}/{one.arch}, skipped: {_named(one.skipped)}"
             for one in tested if one.skipped]  # fmt: skip
    if gaps:
        lines += ["", "Not tested on the state after the last patch:", *map(_item, gaps)]
    return "\n".join(lines)


def _came_to(one: Tested, total: int) -> str:
    every = one.patches == total
    where = "on the base and every patch" if every else f"on {one.patches} of {total} revisions"
    counts = [f"{one.passed} {'case passes' if one.passed == 1 else 'cases pass'} at the end"]
    counts += [f"{one.failed} {'fails' if one.failed == 1 else 'fail'}"] if one.failed else []
    skipped = len(one.skipped)
    counts += [f"{skipped} {'is' if skipped == 1 else 'are'} skipped"] if skipped else []
    parts = [f"{one.suite} on {one.arch}, {where}: {', '.join(counts)}", *one.broken]
    if one.seconds is not None:
        runs = "1 run" if one.runs == 1 else f"{one.runs} runs"
        parts.append(f"{runs}, {_duration(one.seconds)}{' with builds' if one.builds else ''}")
    return "; ".join(parts)


def _item(text: str) -> str:
    return textwrap.fill(f"- {text}", WIDTH, subsequent_indent="  ", break_long_words=False,
                         break_on_hyphens=False)  # fmt: skip


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _duration(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


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
