"""bench walk on a tree whose own kunit.py is a few lines."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import Tool
from tests.minikernel import make_mini

KUNIT = """\
import os, subprocess, sys
build = sys.argv[sys.argv.index("--build_dir") + 1]
os.makedirs(build, exist_ok=True)
open(build + "/.config", "a").close()
subprocess.run(["make", "-s", "O=" + build, "linux"], check=True)
print(subprocess.run([build + "/linux"], capture_output=True, text=True).stdout)
print("Testing complete.")
"""


def test_bench_walk(tool: Tool, tmp_path: Path) -> None:
    mini = make_mini(tmp_path)
    for name, text in {"tools/testing/kunit/kunit.py": KUNIT, "lib/a.c": "int a;\n"}.items():
        path = mini.tree.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    mini.tree.commit("kunit.py")
    mini.tree.git("checkout", "-q", "-b", "more")
    (mini.tree.path / "lib" / "a.c").write_text("int b;\n")
    mini.tree.commit("lib: a source")
    mini.tree.git("format-patch", "-q", "-1", "-o", str(mini.series))
    mini.tree.git("checkout", "-q", "main")
    (mini.series / "0001-lib-a-source.patch").rename(mini.series / "0004-lib-a-source.patch")
    with (mini.series / "series.toml").open("a") as stream:
        stream.write('\n[[patch]]\nfile = "0004-lib-a-source.patch"\n')
    bench = ("bench", "walk", "--project", mini.project, "--tree", mini.tree.path)
    ran = tool(*bench, "--place", tmp_path / "place")
    assert ran.status == 0, ran.err
    names = [line.partition(":")[0] for line in ran.out.splitlines()]
    assert names == ["peer", "cold", "cold ratio", "unchanged", "reworded",
                     "runs after rewording", "last patch"]  # fmt: skip
    assert re.search(r"^cold ratio: \d+\.\d\d$", ran.out, re.MULTILINE)
    assert "runs after rewording: 0" in ran.out
    # The base, four patches, and the last one once more.
    assert (tmp_path / "place" / "ours" / "work" / "built").read_text().count("built") == 6
    ran = tool(*bench, "--place", tmp_path / "place")
    assert ran.status == 3
    assert "is not empty" in ran.err
