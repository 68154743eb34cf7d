"""The figures of a benchmark for a cover letter: what they were on the base, what they are now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memdesc_tool.measured import THRESHOLD, Figure

TITLE = 38


def figures_text(figures: Sequence[Figure], last: str) -> str:
    """A table of what has changed, in at most 72 columns; "" where nothing was measured.

    figures: of a span, as they are stored: the base's come first; last: subject of the last patch.
    """
    ends = [one for one in figures if one.patch.partition(". ")[2] == last]
    before = {(one.name, one.unit): one for one in figures if one.patch == figures[0].patch}
    pairs = [(old, new) for new in ends if (old := before.get((new.name, new.unit)))]
    if not pairs:
        return ""
    boots = max(one.runs for one in ends)
    lines = [f"Measured on the base and at the end, medians of {boots} boots:"]
    changed = [pair for pair in pairs if _differ(*pair)]
    for unit in dict.fromkeys(new.unit for _, new in changed):
        lines += ["", f"  {unit[:TITLE]:{TITLE}} {'base':>9} {'end':>9}"]
        lines += _rows([pair for pair in changed if pair[1].unit == unit])
    if same := len(pairs) - len(changed):
        others = "1 figure has" if same == 1 else f"{same} figures have"
        lines += ["", f"{others} changed by no more than {THRESHOLD:.0%}, or than boots differ."]
    return "\n".join(lines)


def _rows(pairs: Sequence[tuple[Figure, Figure]]) -> Iterator[str]:
    for old, new in pairs:
        share = f"{new.middle / old.middle - 1:+.0%}" if old.middle else "new"
        row = f"  {new.name[:TITLE]:{TITLE}} {_number(old.middle):>9} {_number(new.middle):>9}"
        yield f"{row} {share:>8}"


def _differ(old: Figure, new: Figure) -> bool:
    apart = new.low > old.high or new.high < old.low
    return apart and abs(new.middle - old.middle) > THRESHOLD * abs(old.middle)


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.1f}"
