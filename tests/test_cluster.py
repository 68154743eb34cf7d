"""regress on several workers: processes in directories of their own, one of them killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from memdesc_tool.cache import Cache
from memdesc_tool.parcel import Filled, take_home
from memdesc_tool.results import Attempt, Outcome, Result, Verdict, key_of, open_store
from tests.conftest import Ran, Tool
from tests.minikernel import STEPS, MiniKernel, make_mini

pytest.importorskip("distributed")


@pytest.fixture
def mini(tmp_path: Path) -> MiniKernel:
    mini = make_mini(tmp_path)
    mini.make_series(*STEPS[:2], ("be short", STEPS[2][1].replace("echo hello", "echo bye")))
    return mini


def regress(tool: Tool, mini: MiniKernel, *args: str | Path, **env: str) -> Ran:
    return tool("regress", "--project", mini.project, "--tree", mini.tree.path, "--arch", "um",
                "--arch", "um-smp", *args, **env)  # fmt: skip


def without_logs(path: Path) -> object:
    """What --json wrote, apart from times and places."""
    found = json.loads(path.read_text())
    for cell in found["cells"]:
        del cell["seconds"], cell["logs"]
    return found


def test_workers_find_what_one_machine_finds(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    alone = regress(tool, mini, "--json", tmp_path / "alone")
    cache = tmp_path / "other"
    spread = regress(tool, mini, "--workers", "2", "--json", tmp_path / "spread",
                     MEMDESC_TOOL_CACHE=str(cache))  # fmt: skip
    assert (alone.status, spread.status) == (1, 1), spread.err
    assert (alone.err, spread.err) == ("", "")
    assert without_logs(tmp_path / "alone") == without_logs(tmp_path / "spread")
    assert sorted(path.name for path in (cache / "workers").iterdir()) == ["0", "1"]
    assert not (cache / "work" / "built").exists()  # nothing was built but by workers
    cells = json.loads((tmp_path / "spread").read_text())["cells"]
    logs = [Path(log) for cell in cells for log in cell["logs"]]
    assert all(log.is_relative_to(cache / "logs") and log.read_text() for log in logs)
    again = regress(tool, mini, MEMDESC_TOOL_CACHE=str(cache))
    assert again.status == 1
    assert not (cache / "work" / "built").exists()


def started(argv: list[str], said: str, **env: str) -> tuple[subprocess.Popen[str], str]:
    """A process of Dask's, once it has said something, and the line in which it did."""
    process = subprocess.Popen(
        argv, stderr=subprocess.PIPE, text=True, env={**os.environ, **env}
    )  # fmt: skip
    assert process.stderr
    return process, next(line for line in process.stderr if said in line)


@contextmanager
def scheduling(host: str, **env: str) -> Iterator[str]:
    """A scheduler in a process of its own, on this machine only."""
    process, line = started(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", host,
         "--port", "0", "--no-dashboard"], "Scheduler at:", **env,
    )  # fmt: skip
    try:
        yield line.split()[-1]
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def scheduler() -> Iterator[str]:
    with scheduling("127.0.0.1") as address:
        yield address


def worker(
    scheduler: str, directory: Path, *, threads: int = 1, **env: str
) -> subprocess.Popen[str]:
    """A worker without a nanny that would restart it; $VICTIM is its process id."""
    directory.mkdir()
    return started(
        ["sh", "-c", 'export VICTIM=$$; exec "$@"', "sh", sys.executable, "-m",
         "distributed.cli.dask_worker", scheduler, "--no-nanny", "--nthreads", str(threads),
         "--no-dashboard", "--local-directory", str(directory)],
        "Registered to", MEMDESC_TOOL_CACHE=str(directory / "cache"), **env,
    )[0]  # fmt: skip


def test_a_worker_that_is_killed_has_its_job_run_elsewhere(
    tool: Tool, mini: MiniKernel, tmp_path: Path, scheduler: str
) -> None:
    """The first compile of the first worker kills that worker."""
    hook = tmp_path / "hook"
    hook.write_text(
        f'#!/bin/sh\ntest "$1" = compile || exit 0\n'
        f"mkdir {tmp_path}/once 2>/dev/null || exit 0\nkill -KILL $VICTIM\nsleep 1\n"
    )
    hook.chmod(0o755)
    first = worker(scheduler, tmp_path / "first", MINI_HOOK=str(hook))
    second = worker(scheduler, tmp_path / "second")
    try:
        ran = regress(tool, mini, "--scheduler", scheduler, "--json", tmp_path / "json")
        assert ran.status == 1, ran.err
        assert first.wait(30) == -signal.SIGKILL
    finally:
        second.kill()
        second.wait()
    found = json.loads((tmp_path / "json").read_text())
    assert found["troubles"] == []
    assert {(cell["row"], cell["column"]) for cell in found["cells"]} == {
        (row, column) for row in range(4) for column in ("counting/um", "counting/um-smp")
    }
    (finding,) = [one for one in found["findings"] if one["change"] == "regressed"]
    assert finding["row"] == 3
    assert finding["columns"] == ["counting/um", "counting/um-smp"]


def test_a_worker_that_hangs_has_its_job_run_elsewhere(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    """The first compile of the first worker stops that worker, which stays connected."""
    hook = tmp_path / "hook"
    hook.write_text(
        f'#!/bin/sh\ntest "$1" = compile || exit 0\n'
        f"mkdir {tmp_path}/once 2>/dev/null || exit 0\nkill -STOP $VICTIM\nsleep 60\n"
    )
    hook.chmod(0o755)
    with scheduling("127.0.0.1", DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s") as scheduler:
        first = worker(scheduler, tmp_path / "first", MINI_HOOK=str(hook))
        second = worker(scheduler, tmp_path / "second")
        try:
            ran = regress(tool, mini, "--scheduler", scheduler, "--json", tmp_path / "json")
            assert ran.status == 1, ran.err
            assert (tmp_path / "once").exists()
            assert first.poll() is None
        finally:
            for one in (first, second):
                one.kill()
                one.wait()
    found = json.loads((tmp_path / "json").read_text())
    assert found["troubles"] == []
    assert len(found["cells"]) == 8
    (finding,) = [one for one in found["findings"] if one["change"] == "regressed"]
    assert finding["row"] == 3


def test_a_worker_that_hangs_already_is_passed_over(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    with scheduling("127.0.0.1", DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s") as scheduler:
        first = worker(scheduler, tmp_path / "first")
        second = worker(scheduler, tmp_path / "second")
        first.send_signal(signal.SIGSTOP)
        try:
            ran = regress(tool, mini, "--scheduler", scheduler)
            assert ran.status == 1, ran.err
            assert "gets no job" in ran.err
            assert "2 regressed" in ran.out
        finally:
            for one in (first, second):
                one.kill()
                one.wait()


def test_a_worker_with_threads_walks_one_column_at_a_time(
    tool: Tool, mini: MiniKernel, tmp_path: Path, scheduler: str
) -> None:
    """All threads have one source worktree: a second build would change it under the first."""
    hook = tmp_path / "hook"
    hook.write_text(
        f'#!/bin/sh\ntest "$1" = compile || exit 0\n'
        f"mkdir {tmp_path}/builds || touch {tmp_path}/two\nsleep 1\nrmdir {tmp_path}/builds\n"
    )
    hook.chmod(0o755)
    only = worker(scheduler, tmp_path / "only", threads=2, MINI_HOOK=str(hook))
    try:
        ran = regress(tool, mini, "--scheduler", scheduler)
    finally:
        only.kill()
        only.wait()
    assert ran.status == 1, ran.err
    assert "2 regressed" in ran.out
    assert not (tmp_path / "two").exists()


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """Dask's configuration for a cluster whose members all have one certificate."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=cluster"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = "DASK_DISTRIBUTED__COMM__TLS"
    files = {f"{tls}__CA_FILE": str(cert), "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true"}
    for member in ("SCHEDULER", "WORKER", "CLIENT"):
        files |= {f"{tls}__{member}__CERT": str(cert), f"{tls}__{member}__KEY": str(key)}
    return files


def test_tls_where_it_is_configured(
    tool: Tool, mini: MiniKernel, tmp_path: Path, certificate: dict[str, str]
) -> None:
    """Who has no certificate of the cluster does not get in, and is told so."""
    with scheduling("tls://127.0.0.1", **certificate) as scheduler:
        assert scheduler.startswith("tls://")
        only = worker(scheduler, tmp_path / "only", **certificate)
        try:
            ran = regress(tool, mini, "--scheduler", scheduler, **certificate)
            assert ran.status == 1, ran.err
            assert "2 regressed" in ran.out
            stranger = regress(tool, mini, "--scheduler", scheduler, "--rerun")
            assert stranger.status == 3
            assert f"no cluster at {scheduler}" in stranger.err
            assert "Traceback" not in stranger.err
        finally:
            only.kill()
            only.wait()


def test_workers_with_other_tools_get_no_job(
    tool: Tool, mini: MiniKernel, tmp_path: Path, scheduler: str
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "gcc").write_text("#!/bin/sh\necho gcc of another kind 1.0\n")
    (tools / "gcc").chmod(0o755)
    odd = worker(scheduler, tmp_path / "odd", PATH=f"{tools}:{os.environ['PATH']}")
    try:
        ran = regress(tool, mini, "--scheduler", scheduler)
    finally:
        odd.kill()
        odd.wait()
    assert ran.status == 3
    assert "none of 1 workers can take it: other tools" in ran.err
    assert "compiler, linker and QEMU" in ran.err


def test_no_cluster_there(tool: Tool, mini: MiniKernel) -> None:
    ran = regress(tool, mini, "--scheduler", "nonsense://x")
    assert ran.status == 3
    assert "no cluster at nonsense://x" in ran.err


def test_workers_run_again_what_is_to_be_run_again(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    """Once, and not once more on this machine; what they find is what is stored."""
    assert regress(tool, mini).status == 1
    built = mini.builds(tmp_path / "cache")
    greet = tmp_path / "hook"
    greet.write_text('#!/bin/sh\ntest "$1" != boot || echo said by $0\n')
    greet.chmod(0o755)
    ran = regress(tool, mini, "--workers", "1", "--rerun", "--json", tmp_path / "json",
                  MINI_HOOK=str(greet))  # fmt: skip
    assert ran.status == 1, ran.err
    assert mini.builds(tmp_path / "cache") == built
    cells = json.loads((tmp_path / "json").read_text())["cells"]
    logs = [log for cell in cells for log in cell["logs"]]
    assert all("said by" in Path(log).read_text() for log in logs)


def test_what_comes_home_overwrites_no_log(cache: Cache) -> None:
    """The log of the one run that is stored is in the directory of a second one."""
    inputs = {"tree": "1"}
    own = cache.logs / key_of(inputs)[:16] / "1" / "run.log"
    own.parent.mkdir(parents=True)
    own.write_text("own")
    first = Attempt(Outcome.RAN, (Result("a", Verdict.PASSED),), 1.0, 2.0, str(own))
    logs = {"run.log": zlib.compress(b"sent")}
    cell = Filled(inputs, (first, replace(first, started=3.0)), (logs, logs), None, None)
    with open_store(cache.results) as store:
        store.add(inputs, first)
        take_home(store, cache, cell)
        found = store.attempts(key_of(inputs))
    assert [Path(one.log).read_text() for one in found] == ["own", "sent"]


def test_workers_do_not_run_what_is_stored(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    assert regress(tool, mini).status == 1
    mini.make_series(*STEPS[:2], ("be brief", STEPS[2][1].replace("echo hello", "echo hi")))
    ran = regress(tool, mini, "--workers", "1", "--confirm", "0")
    assert ran.status == 1, ran.err
    assert mini.builds(tmp_path / "cache" / "workers" / "0") == 2
