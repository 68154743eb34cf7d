"""The tutorial, from top to bottom, as it stands in docs/tutorial.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

TUTORIAL = ROOT / "docs" / "tutorial.md"
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "-- block {} --"


def blocks() -> list[tuple[str, str]]:
    """(commands, what they print) of the tutorial, in its order; "" for what is not said."""
    found: list[tuple[str, str]] = []
    for kind, text in _BLOCK.findall(TUTORIAL.read_text()):
        if kind == "sh":
            found.append((text, ""))
        else:
            assert not found[-1][1], "two outputs for one block"
            found[-1] = (found[-1][0], text)
    return found


def test_it_does_what_it_says(tmp_path: Path) -> None:
    every = blocks()
    script = "set -eu\n" + "".join(
        f"echo '{_MARK.format(number)}'\n{commands}" for number, (commands, _) in enumerate(every)
    )
    env = {
        **os.environ,
        "REPO": str(ROOT),
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MEMDESC_TOOL_CACHE": str(tmp_path / "cache"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=env, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    printed = re.split(r"^-- block \d+ --\n", done.stdout, flags=re.MULTILINE)[1:]
    assert len(printed) == len(every) > 8
    assert sum(bool(wanted) for _, wanted in every) > 8
    for (commands, wanted), out in zip(every, printed, strict=True):
        assert _pattern(wanted).search(_squeezed(out)), f"{commands}\nprints\n{out}"
    assert (tmp_path / "project" / "report.html").exists()


def _pattern(wanted: str) -> re.Pattern[str]:
    """The lines in this order, others between them; "..." stands for anything in a line."""
    lines = [line for line in _squeezed(wanted).splitlines() if line not in ("...", "")]
    parts = [".*".join(map(re.escape, line.split("..."))) for line in lines]
    return re.compile("(?s:.*?)".join(f"^{part}$" for part in parts), re.MULTILINE)


def _squeezed(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.splitlines())
