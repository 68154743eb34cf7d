"""Results of other machines: read from every form, stored once, refused where they are bad."""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from memdesc_tool.cache import Cache
from memdesc_tool.ingest import KIND, ingest
from memdesc_tool.machineresult import read
from memdesc_tool.results import Outcome, open_store
from tests.bundles import Unpacked, run_step, unpacked
from tests.conftest import Tool
from tests.test_schema import RECORDED, RECORDED_1, RECORDED_KEY, write

NESTED = r"printf 'TAP version 13\n1..2\nok 1 a\nnot ok 2 b\n'"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    """A bundle that has run, with a case that fails."""
    steps = (run_step("good", "true"), run_step("nested", NESTED))
    bundle = unpacked(tmp_path_factory.mktemp("ran"), ("sh",), *steps)
    assert bundle.run().status == 1
    return bundle


def as_tar(result: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        tar.add(result, "somewhere/result")
    return path


def test_the_same_result_twice_is_one_run(tool: Tool, finished: Unpacked, tmp_path: Path) -> None:
    forms = (
        finished.result, finished.directory, as_tar(finished.result, tmp_path / "x.tar.gz"),
        finished.result / "result.ktap", finished.result,
    )  # fmt: skip
    for number, form in enumerate(forms):
        ran = tool("modules", "ingest", form)
        assert ran.status == 1, ran.out + ran.err
        assert ("was stored already" in ran.out) == (number > 0), ran.out
        assert "nested.b" in ran.out and os.uname().release in ran.out
    with open_store(tmp_path / "cache" / "results.sqlite") as store:
        (inputs,) = store.inputs(KIND)
        assert store.database.execute("SELECT count(*) FROM run").fetchone() == (1,)
    facts = finished.read().facts
    assert inputs["machine"] == facts["machine"] and inputs["memory"] == facts["memory"]
    table = tool("modules", "ingest")
    assert table.status == 1
    assert len(table.out.splitlines()) == 2


def test_another_run_is_another(tool: Tool, finished: Unpacked, tmp_path: Path) -> None:
    """Of the same machine, with the same outcome."""
    copy = tmp_path / "copy"
    shutil.copytree(finished.result, copy)
    ktap = copy / "result.ktap"
    run = finished.read().facts["run"]
    ktap.write_text(ktap.read_text().replace(run, "0" * 8 + run[8:]))
    tool("modules", "ingest", finished.result, copy)
    assert len(tool("modules", "ingest").out.splitlines()) == 3


def test_a_later_state_replaces_the_earlier(cache: Cache, finished: Unpacked) -> None:
    whole = finished.read()
    half = type(whole)(whole.ktap[: whole.ktap.index(b"    TAP version")], whole.config)
    with open_store(cache.results) as store:
        first = ingest(store, cache, half)
        assert first.new and first.attempt.outcome is Outcome.RAN
        second = ingest(store, cache, whole)
        assert second.new and not ingest(store, cache, whole).new
        assert store.database.execute("SELECT count(*) FROM run").fetchone() == (1,)
        assert second.log.read_bytes() == whole.ktap


def test_a_crash_and_a_splat_are_what_they_are(cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "x.ktap"
    path.write_text(
        "KTAP version 1\n# memdesc-fact machine: board\n# memdesc-fact run: 12345678\n1..2\n"
        "[    9.000000] WARNING: CPU: 0 PID: 1 at mm/x.c:3 broken+0x1/0x2\n"
        "[    9.000001] ---[ end trace 0000000000000000 ]---\n"
        "ok 1 fine\nnot ok 2 gone # ERROR crashed: the machine went down in this step\n"
    )
    with open_store(cache.results) as store:
        done = ingest(store, cache, read(path))
    assert done.attempt.outcome is Outcome.DIED
    assert done.attempt.detail == "the machine went down in gone"
    names = [result.name for result in done.attempt.results]
    assert names[:2] == ["fine", "gone"] and len(names) == 3, "the splat is the third"


def test_a_ktap_file_of_somebody_else(tool: Tool, tmp_path: Path) -> None:
    path = tmp_path / "x.ktap"
    path.write_text("KTAP version 1\n1..1\nok 1 fine\n")
    ran = tool("modules", "ingest", path)
    assert (ran.status, "give --name" in ran.err) == (2, True)
    assert tool("modules", "ingest", path, "--name", "board 7").status == 0
    assert "board 7" in tool("modules", "ingest").out


def test_a_store_of_before_takes_it(tool: Tool, finished: Unpacked, tmp_path: Path) -> None:
    path = tmp_path / "cache" / "results.sqlite"
    path.parent.mkdir()
    write(path, RECORDED_1)
    assert tool("modules", "ingest", finished.result).status == 1
    with open_store(path) as store:
        assert store.attempts(RECORDED_KEY) == RECORDED
        assert len(store.inputs(KIND)) == 1
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM run").fetchone() == (3,)


def hostile(directory: Path) -> dict[str, Path]:
    """What is no result, by what is wrong with it."""
    good = b"KTAP version 1\n1..1\nok 1 x\n"

    def tar(name: str, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
        path = directory / name
        with gzip.open(path, "wb") as out:
            for info, content in members:
                out.write(info.tobuf() + content + bytes(-len(content) % 512))
            out.write(bytes(1024))
        return path

    def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
        info = tarfile.TarInfo(name)
        for field, value in {"size": len(content), **fields}.items():
            setattr(info, field, value)
        return info, content

    def file(name: str, content: bytes) -> Path:
        (directory / name).write_bytes(content)
        return directory / name

    whole = tar("whole.tar.gz", member("result/result.ktap", good * 4000)).read_bytes()
    (directory / "empty directory").mkdir()
    os.mkfifo(directory / "fifo")
    (directory / "fifo inside").mkdir()
    os.mkfifo(directory / "fifo inside" / "result.ktap")
    (directory / "loop").symlink_to("loop")
    return {
        "is not there": directory / "none",
        "loop": directory / "loop",
        "empty directory": directory / "empty directory",
        "fifo": directory / "fifo",
        "fifo inside": directory / "fifo inside",
        "device": Path("/dev/zero"),
        "empty": file("empty", b""),
        "binary": file("binary", bytes(range(256)) * 100),
        "text": file("text", b"no results\n"),
        "cut": file("cut.tar.gz", whole[: len(whole) // 2]),
        "garbled": file("garbled.tar.gz", whole[:40] + b"\xff" * 40 + whole[80:]),
        "no result": tar("other.tar.gz", member("result/other", good)),
        "link": tar("link.tar.gz", member("result.ktap", type=tarfile.SYMTYPE, linkname="/etc")),
        "node": tar("node.tar.gz", member("result.ktap", type=tarfile.CHRTYPE, devmajor=1)),
        "says it is huge": tar("huge.tar.gz", member("result.ktap", good, size=1 << 33)),
        "holds a huge file": tar("bomb.tar.gz", member("x", size=1 << 33), member("result.ktap")),
        "is shorter than it says": tar("short.tar.gz", member("result.ktap", good, size=9999)),
        "facts alone": file("facts", b"# memdesc-fact machine: \x1b[31mx\n# memdesc-fact run: y\n"),
    }


def test_what_is_no_result_is_refused_in_one_line(tool: Tool, tmp_path: Path) -> None:
    for what, path in hostile(tmp_path).items():
        ran = tool("modules", "ingest", path)
        lines = [line for line in ran.err.splitlines() if not line.startswith("  ")]
        assert (ran.status, len(lines)) == (2, 1), (what, ran.err, ran.out)
        assert ran.out == "", what
    assert tool("modules", "ingest").out.count("\n") == 1


def test_what_a_machine_says_of_itself_is_not_believed(tool: Tool, tmp_path: Path) -> None:
    """No control character reaches the terminal, no name leads anywhere."""
    path = tmp_path / "x.ktap"
    path.write_bytes(
        b"KTAP version 1\n# memdesc-fact machine: ../../\x1b[31mevil\n# memdesc-fact run: ../..\n"
        b"# memdesc-fact model: [bold]" + b"x" * 100_000 + b"\n1..1\nok 1 \x1b]0;title\x07[red]\n"
    )
    ran = tool("modules", "ingest", path)
    assert ran.status == 0, ran.err
    assert "\x1b" not in ran.out and "\x07" not in ran.out
    assert "[bold]" in ran.out
    logs = [one for one in (tmp_path / "cache" / "logs").rglob("*") if one.is_file()]
    assert [one.name for one in logs] == ["result.ktap"]


def test_one_bad_result_stores_none(tool: Tool, finished: Unpacked, tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("nothing")
    assert tool("modules", "ingest", finished.result, tmp_path / "bad").status == 2
    assert tool("modules", "ingest").out.count("\n") == 1
