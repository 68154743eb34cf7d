"""Configuring and building, on a miniature tree with the real make."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from memdesc_tool import arch, build, buildlog, kconfig
from memdesc_tool.build import MARKER, BuildRequest
from memdesc_tool.errors import CommandTimeout, InfraError, UserError
from tests.fakelinux import FakeLinux, make_fake


@pytest.fixture
def fake(tmp_path: Path) -> FakeLinux:
    return make_fake(tmp_path / "src")


@pytest.fixture
def request_(fake: FakeLinux, tmp_path: Path) -> BuildRequest:
    return BuildRequest(
        source=fake.path,
        build_dir=tmp_path / "out",
        arch=arch.load("um"),
        fragment=kconfig.parse("CONFIG_A=y\n", "t"),
        log_file=tmp_path / "build.log",
        jobs=1,
    )


def test_builds(request_: BuildRequest) -> None:
    told: list[str] = []
    done = build.build(request_, told.append)
    assert done.ok and done.image == request_.build_dir / "linux"
    assert done.image.read_text().startswith("#!/bin/sh")
    assert "CONFIG_A=y" in done.config_text and not done.errors
    assert told[0] == "configuration" and told[-1] == "3 files done, linux"
    assert not (request_.build_dir / MARKER).exists()
    assert "ARCH=um" in " ".join(build._make(request_, done.toolchain, "linux"))


def test_nothing_is_built_twice(request_: BuildRequest) -> None:
    build.build(request_)
    config = request_.build_dir / ".config"
    before = config.stat().st_mtime_ns
    assert build.build(request_).ok
    assert config.stat().st_mtime_ns == before, ".config was rewritten without need"
    assert "CC" not in request_.log_file.read_text()
    other = replace(request_, fragment=kconfig.parse("CONFIG_B=y\n", "t"))
    assert "CONFIG_A=" not in build.build(other).config_text, "an old option was left over"
    assert "CC      mm/a.o" in request_.log_file.read_text()


def test_a_step_alone(request_: BuildRequest) -> None:
    config = build.configure(request_)
    assert config.ok and not (request_.build_dir / "linux").exists()
    tools = arch.toolchain(request_.arch)
    assert build.compile_kernel(request_, config, tools).ok


def test_missing_option_is_a_result_with_its_reason(
    fake: FakeLinux, request_: BuildRequest
) -> None:
    fake.write("unavailable", "CONFIG_SECOND\n")
    asked = replace(request_, fragment=kconfig.parse("CONFIG_SECOND=y\n", "my.config"))
    done = build.build(asked)
    assert not done.ok and not done.compiled and done.image is None
    (item,) = done.config.missing
    assert item.option.origin == "my.config:1"
    assert "depends on FIRST, and FIRST is n" in str(item)
    assert not (request_.build_dir / "linux").exists()


def test_broken_kconfig_is_a_result(fake: FakeLinux, request_: BuildRequest) -> None:
    fake.write("broken-kconfig", "")
    done = build.build(request_)
    assert not done.ok and not done.config.missing
    assert [str(error) for error in done.errors] == ["Kconfig:7: error: syntax error"]


def test_compile_error_is_a_result(fake: FakeLinux, request_: BuildRequest) -> None:
    fake.write("mm/b.c", "fine\nan error\n")
    done = build.build(request_)
    assert not done.ok and done.compiled and done.image is None
    assert str(done.errors[0]) == "mm/b.c:2: error: broken on purpose"
    assert not (request_.build_dir / MARKER).exists(), "make ended by itself"
    fake.write("mm/b.c", "fine\n")
    assert build.build(request_).ok


def test_old_image_of_a_build_that_fails_is_not_taken(
    fake: FakeLinux, request_: BuildRequest
) -> None:
    assert build.build(request_).ok
    fake.write("mm/a.c", "error\n")
    os.utime(fake.path / "mm/a.c", (2**31, 2**31))
    assert build.build(request_).image is None


def test_warnings(fake: FakeLinux, request_: BuildRequest) -> None:
    fake.write("mm/b.c", "fine\na warning\n")
    done = build.build(request_)
    assert done.ok
    assert [str(w) for w in done.warnings] == ["mm/b.c:2: warning: odd on purpose"]


def test_reproducible_and_user_overrides(request_: BuildRequest) -> None:
    tools = arch.toolchain(request_.arch)
    argv = build._make(request_, tools, "linux")
    assert any(word.startswith("KBUILD_BUILD_TIMESTAMP=") for word in argv)
    ours = build._make(replace(request_, make_options=("CC=mine", "ARCH=x")), tools, "linux")
    assert [word for word in ours if word.startswith(("CC=", "ARCH="))] == ["CC=mine", "ARCH=x"]
    without = build._make(replace(request_, ccache=False), tools, "linux")
    assert not any("ccache" in word for word in without)


def test_environment_does_not_reach_the_build(
    fake: FakeLinux, request_: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.write("Makefile", "olddefconfig:\n\t@env; echo $(MAKECMDGOALS); false\n")
    for name in ("LLVM", "W", "KCFLAGS", "KBUILD_EXTRA_SYMBOLS", "KCONFIG_ALLCONFIG", "SUBARCH"):
        monkeypatch.setenv(name, "from-outside")
    assert not build.build(request_).ok
    text = request_.log_file.read_text()
    assert "from-outside" not in text and "PATH=" in text


@pytest.mark.parametrize("name", ["Kbuild", "Kconfig", "Makefile"])
def test_no_kernel_tree(fake: FakeLinux, request_: BuildRequest, name: str) -> None:
    (fake.path / name).unlink()
    with pytest.raises(UserError, match=f"has no {name}"):
        build.build(request_)


def test_tree_built_in_place_is_refused(fake: FakeLinux, request_: BuildRequest) -> None:
    fake.write(".config", "")
    with pytest.raises(UserError, match="built in place") as caught:
        build.build(request_)
    assert "mrproper" in caught.value.hint


KILLED = """
import sys
from pathlib import Path
from memdesc_tool import arch, build, kconfig
build.build(build.BuildRequest(Path(sys.argv[1]), Path(sys.argv[2]), arch.load("um"),
    kconfig.parse("CONFIG_A=y", "t"), Path(sys.argv[3]), jobs=1))
"""


def test_kill_9_leaves_no_process_and_no_truncated_object(
    fake: FakeLinux, request_: BuildRequest
) -> None:
    assert build.build(request_).ok
    whole = (fake.path / "mm/a.c").read_bytes()
    kept = (request_.build_dir / "mm/b.o").stat().st_mtime_ns
    os.utime(fake.path / "mm/a.c")  # to be compiled again
    fake.write("stop", "")
    argv = [sys.executable, "-c", KILLED, str(fake.path), str(request_.build_dir),
            str(request_.log_file)]  # fmt: skip
    tool = subprocess.Popen(argv)
    while not (request_.build_dir / "stopped").exists():
        assert tool.poll() is None
    tool.send_signal(signal.SIGKILL)
    tool.wait()
    wait_for_no_process(str(request_.build_dir))
    half = request_.build_dir / "mm/a.o"
    assert half.read_bytes() != whole and (request_.build_dir / MARKER).exists()
    (fake.path / "stop").unlink()
    assert build.build(request_).ok
    assert half.read_bytes() == whole, "a truncated object was taken for finished"
    assert (request_.build_dir / "mm/b.o").stat().st_mtime_ns == kept, "more removed than needed"
    assert not (request_.build_dir / MARKER).exists()


def wait_for_no_process(word: str) -> None:
    """Wait until no process has word in its arguments; the test's own deadline applies."""
    mine = str(os.getpid())

    def arguments(path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError:  # it has ended since it was listed
            return b""

    while any(
        word.encode() in arguments(path)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.parent.name != mine
    ):
        pass


def test_timeout_kills_and_marks(fake: FakeLinux, request_: BuildRequest) -> None:
    fake.write("stop", "")
    with pytest.raises(CommandTimeout):
        build.build(replace(request_, timeout=2))
    assert (request_.build_dir / MARKER).exists()


def test_kconfigs_own_files_survive(tmp_path: Path) -> None:
    (tmp_path / MARKER).touch()
    for name in ("include/config/A", "include/generated/autoconf.h", ".config", "x.o"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert build.remove_unfinished(tmp_path) == 1
    assert not (tmp_path / "x.o").exists() and (tmp_path / "include/config/A").exists()


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("/s/mm/a.c:12:34: error: 'x' undeclared", "mm/a.c:12: error: 'x' undeclared"),
        ("./include/linux/x.h:3:10: fatal error: y.h: No such file or directory",
         "include/linux/x.h:3: error: y.h: No such file or directory"),
        ("ld: mm/a.o: undefined reference to `f'", None),
        ("ld: mm/a.c:(.text+0x12): undefined reference to `f'",
         "mm/a.c: error: undefined reference to `f'"),
        ("ERROR: modpost: \"f\" [x.ko] undefined!", "error: modpost: \"f\" [x.ko] undefined!"),
        ("mm/Kconfig:12: syntax error", "mm/Kconfig:12: error: syntax error"),
        ("mm/Kconfig:5:error: recursive dependency detected!",
         "mm/Kconfig:5: error: recursive dependency detected!"),
        ("\x1b[01m\x1b[K/s/a.c:1:2:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kbad",
         "a.c:1: error: bad"),
        ("  CC      mm/error.o", None),
    ],
)  # fmt: skip
def test_error_lines(tmp_path: Path, line: str, parsed: str | None) -> None:
    log = tmp_path / "log"
    log.write_text(f"{line}\nmake: *** [Makefile:1: all] Error 2\n")
    (error, *_) = buildlog.errors(log, Path("/s"))
    assert str(error) == (parsed or "error: [Makefile:1: all] Error 2")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/tmp/x.s: No space left on device", "the disk is full"),
        ("gcc: fatal error: Killed signal terminated program cc1", "want of memory"),
        ("/bin/sh: 1: flex: not found", "needs flex"),
        ("make[1]: bison: No such file or directory", "needs bison"),
        ("t.c:1:10: fatal error: gelf.h: No such file or directory", "libelf"),
        ("***   Minimum Clang version: 17.0.1", "this kernel needs Clang 17.0.1 or newer"),
    ],
)
def test_trouble_of_the_machine(
    fake: FakeLinux, request_: BuildRequest, line: str, message: str
) -> None:
    fake.write("Makefile", f"olddefconfig:\n\t@echo '{line}'; false\n")
    with pytest.raises(InfraError, match=message):
        build.build(request_)
