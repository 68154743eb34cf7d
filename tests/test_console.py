"""What people see: as it was given, on one line."""

from __future__ import annotations

import pytest

from memdesc_tool import console


def test_a_note_is_one_line_as_it_was_given(
    capsys: pytest.CaptureFixture[str], progress: console.Progress
) -> None:
    progress.note("mm:bug: caf\udce9\n" + "word " * 60 + "end")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("  mm:bug: caf\\udce9\\nword")


def test_no_emoji_is_made_of_a_subject(capsys: pytest.CaptureFixture[str]) -> None:
    console.out.print("mm:lock:bug: x", markup=False)
    assert capsys.readouterr().out == "mm:lock:bug: x\n"
