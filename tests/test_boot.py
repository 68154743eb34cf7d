"""Running kernels: how a run ends, deadlines, and that nothing outlives the tool."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from memdesc_tool import arch, boot, process, qemu
from memdesc_tool.arch import Qemu
from memdesc_tool.boot import BootOutcome, BootRequest
from memdesc_tool.cache import Cache
from memdesc_tool.errors import InfraError
from tests.test_build import wait_for_no_process

BANNER = "echo 'Linux version 7.3.4'\n"


def kernel(tmp_path: Path, body: str) -> BootRequest:
    """A "User Mode Linux" that is a shell script."""
    image = tmp_path / "linux"
    image.write_text(f"#!/bin/sh\n{body}")
    image.chmod(0o755)
    return BootRequest(arch.load("um"), image, tmp_path / "run" / "console.log", timeout=20)


def test_complete(tmp_path: Path, cache: Cache) -> None:
    request = kernel(tmp_path, BANNER + 'echo "$@"\necho "$TMPDIR"\ncat\n')
    done = boot.boot(replace(request, kernel_args=("a=1", "b=2")), cache)
    assert (done.outcome, done.status, done.started) == (BootOutcome.COMPLETE, 0, True)
    _, args, temporary = done.log.read_text().splitlines()
    assert args.startswith("mem=1G console=tty kunit_shutdown=halt a=1 b=2 uml_dir=")
    assert Path(temporary).is_dir()
    assert done.command_line == "mem=1G console=tty kunit_shutdown=halt a=1 b=2"
    assert list(done.log.parent.iterdir()) == [done.log], "something was left behind"


@pytest.mark.parametrize(
    ("end", "status"), [("exit 1", 1), ("kill -ABRT $$", -6), ("kill -SEGV $$", -11)]
)
def test_died(tmp_path: Path, cache: Cache, end: str, status: int) -> None:
    done = boot.boot(kernel(tmp_path, BANNER + end), cache)
    assert (done.outcome, done.status) == (BootOutcome.DIED, status)


def test_panic_that_ends_in_order_died(tmp_path: Path, cache: Cache) -> None:
    request = kernel(tmp_path, BANNER + "echo 'Kernel panic - not syncing: Oops'\n")
    assert boot.boot(request, cache).outcome is BootOutcome.DIED


def test_timeout_keeps_the_log_and_kills(tmp_path: Path, cache: Cache) -> None:
    request = kernel(tmp_path, BANNER + f"echo before\nexec sleep 1000.{os.getpid()}\n")
    done = boot.boot(replace(request, timeout=1), cache)
    assert done.outcome is BootOutcome.TIMEOUT
    assert "before" in done.log.read_text()
    wait_for_no_process(f"1000.{os.getpid()}")


def test_silence_is_told_apart(tmp_path: Path, cache: Cache) -> None:
    assert not boot.boot(kernel(tmp_path, "exit 1"), cache).started


def test_killed_from_outside_is_the_machine(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(InfraError, match="from outside"):
        boot.boot(kernel(tmp_path, BANNER + "kill -KILL $$"), cache)


def test_no_space_is_the_machine(tmp_path: Path, cache: Cache) -> None:
    text = "echo 'Bus error - the host /dev/shm or /tmp mount likely just ran out of space'\n"
    with pytest.raises(InfraError, match="out of space"):
        boot.boot(kernel(tmp_path, BANNER + text + "exit 1"), cache)


def test_long_log_path_gets_a_short_socket_path(tmp_path: Path, cache: Cache) -> None:
    request = kernel(tmp_path, BANNER + 'echo "$@"\n')
    done = boot.boot(replace(request, log=tmp_path / ("d" * 100) / "console.log"), cache)
    directory = done.log.read_text().partition("uml_dir=")[2].split()[0]
    assert len(f"{directory}memdesc-tool/mconsole") < 108


def test_progress_names_the_last_result(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("[    0.1]     ok 1 first\n[    0.2] not ok 2 - second\n    # noise\n")
    assert boot._position(log) == "second"


OUTLIVES = """
import sys
from pathlib import Path
from memdesc_tool import process
process.run_logged(["sh", "-c", sys.argv[1]], cwd=Path(sys.argv[2]),
                   log_file=Path(sys.argv[2]) / "log")
"""


STAYS = ": > up; exec sleep {word}"
"""Says that it runs, then stays. Its word is in its arguments from the start."""


@pytest.mark.parametrize(
    "script",
    [
        STAYS,
        f"setsid sh -c '{STAYS}' & wait",
        f"(setsid sh -c '{STAYS}' &) ; sleep {{word}}",
        f"setsid sh -c \"(setsid sh -c '{STAYS}' &) ; sleep {{word}}\" & wait",
    ],
)
def test_kill_9_of_the_tool_kills_everything(tmp_path: Path, script: str) -> None:
    word = f"2000.{os.getpid()}"
    text = f"trap '' TERM HUP; {script.format(word=word)}"
    tool = subprocess.Popen([sys.executable, "-c", OUTLIVES, text, str(tmp_path)])
    while not (tmp_path / "up").exists():
        assert tool.poll() is None
    tool.send_signal(signal.SIGKILL)
    tool.wait()
    wait_for_no_process(word)


def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    word = f"3000.{os.getpid()}"
    script = f"setsid sh -c '{STAYS.format(word=word)}' & while ! test -e up; do :; done; exit 7"
    done = process.run_logged(["sh", "-c", script], cwd=tmp_path, log_file=tmp_path / "log")
    assert done.status == 7
    wait_for_no_process(word)


# -- QEMU ------------------------------------------------------------------------------------

FAKE_QEMU = """\
#!/bin/sh
case "$*" in
--version) echo "QEMU emulator version 9.9"; exit;;
*kvm*) echo kvm >> {log}; {kvm};;
*) echo "$@"; {tcg};;
esac
"""


def fake_qemu(tmp_path: Path, kvm: str, tcg: str = "echo 'Linux version 7.3'") -> Qemu:
    path = tmp_path / "qemu-system-fake"
    path.write_text(FAKE_QEMU.format(log=tmp_path / "probes.log", kvm=kvm, tcg=tcg))
    path.chmod(0o755)
    return Qemu(str(path), "qemu-fake", ("-machine", "virt"), kvm_hosts=(os.uname().machine,))


@pytest.mark.parametrize(
    ("console", "name", "probes"),
    [
        ("echo 'Linux version 7.3'; echo 'VFS: Unable to mount root fs on x'", "kvm", 1),
        ("exit 1", "tcg", 1),
        ("echo 'Linux version 7.3'", "tcg", 2),  # it began to boot: asked again next time
    ],
)
def test_accelerator_is_what_boots(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch,
    console: str, name: str, probes: int,
) -> None:  # fmt: skip
    device = tmp_path / "kvm-device"
    device.touch()
    monkeypatch.setattr(qemu, "KVM_DEVICE", device)
    machine = fake_qemu(tmp_path, console)
    for _ in range(2):
        assert qemu.accelerator(machine, tmp_path, (), cache).name == name
    assert len((tmp_path / "probes.log").read_text().splitlines()) == probes


def test_no_device_means_tcg_without_a_probe(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "KVM_DEVICE", tmp_path / "nothing")
    machine = fake_qemu(tmp_path, "exit 1")
    assert qemu.accelerator(machine, tmp_path, (), cache).name == "tcg"
    assert not (tmp_path / "probes.log").exists()


def qemu_request(tmp_path: Path, machine: Qemu) -> BootRequest:
    one = replace(arch.load("x86_64"), qemu=replace(machine, kvm_hosts=()))
    return BootRequest(one, tmp_path / "bzImage", tmp_path / "console.log", ("x=1",), ("-smp", "2"))


def test_qemu_command(tmp_path: Path, cache: Cache) -> None:
    done = boot.boot(qemu_request(tmp_path, fake_qemu(tmp_path, "")), cache)
    assert done.outcome is BootOutcome.COMPLETE
    said = done.log.read_text()
    for word in ("-no-reboot", "tcg,thread=multi", "-cpu max", "-smp 2", "panic=-1", "x=1"):
        assert word in said
    assert (
        done.machine.startswith("QEMU emulator version 9.9 -accel tcg") and "-smp 2" in done.machine
    )


def test_qemu_that_refuses_is_the_machine(tmp_path: Path, cache: Cache) -> None:
    machine = fake_qemu(tmp_path, "", "echo 'qemu: bad option'; exit 1")
    with pytest.raises(InfraError, match="bad option"):
        boot.boot(qemu_request(tmp_path, machine), cache)


def test_missing_qemu_names_the_package(tmp_path: Path, cache: Cache) -> None:
    machine = Qemu("qemu-system-none", "qemu-none")
    with pytest.raises(InfraError) as caught:
        boot.boot(qemu_request(tmp_path, machine), cache)
    assert caught.value.hint == "apt install qemu-none"
