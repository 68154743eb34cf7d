"""The VM lab: specs, the initramfs, and how runs end, on a QEMU of the tests' own.

Those marked kernel boot the fixture guest_kernel in the real one.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from memdesc_tool import arch, initramfs, kconfig, tree, vm, vmconsole, vmspec
from memdesc_tool.cache import Cache, open_cache
from memdesc_tool.cases import Status
from memdesc_tool.console import Progress
from memdesc_tool.consolelog import ConsoleReport
from memdesc_tool.errors import InfraError, UserError
from memdesc_tool.git import Git
from memdesc_tool.initramfs import GuestFile
from memdesc_tool.vm import VmOutcome, VmRequest, VmResult
from memdesc_tool.vmspec import Node, VirtioMem, VmSpec
from tests.conftest import GitTree, Tool, run_here
from tests.test_build import wait_for_no_process

TestFunction = Callable[..., None]

BOOTED = "say('[    0.0] Linux version 7.3.4')\nsay('[    1.0] memdesc-vm: start')\n"
KERNEL_IS_GOOD = """
image = Path(re.search("-kernel (\\\\S+)", words)[1]).read_text()
say(f"Linux {image}, " + re.search("printk.devkmsg=on ?(.*?) -serial", words)[1])
say(f"memdesc-vm: exit {0 if image == 'good' else 1}")
"""


def good(*lines: str) -> str:
    """A guest whose command says lines and succeeds."""
    return BOOTED + "".join(f"say({line!r})\n" for line in (*lines, "[ 2.0] memdesc-vm: exit 0"))


def fake(tmp_path: Path, guest: str) -> VmRequest:
    """A request for a guest that is a piece of Python; see fakeqemu.py."""
    directory = tmp_path / "a,b"  # QEMU's lists are separated by commas
    directory.mkdir()
    program = directory / "qemu-system-fake"
    shutil.copy(Path(__file__).with_name("fakeqemu.py"), program)
    program.write_text(program.read_text().replace("/usr/bin/env python3", sys.executable, 1))
    program.chmod(0o755)
    (directory / "guest.py").write_text(f"import os, signal, time\n{guest}")
    one = arch.load("x86_64")
    assert one.qemu
    machine = replace(one.qemu, binary=str(program), kvm_hosts=())
    return VmRequest(
        replace(one, qemu=machine), tmp_path / "bzImage", directory / "log", timeout=20
    )


def ran(tmp_path: Path, cache: Cache, guest: str) -> VmResult:
    return vm.run(fake(tmp_path, guest), cache)


# -- how a run ends --------------------------------------------------------------------------


def test_command_that_succeeds(tmp_path: Path, cache: Cache) -> None:
    lines: list[str] = []
    guest = "say('before')\n" + BOOTED + "say('hello\\r')\nsay('memdesc-vm: exit 0')\nsay('after')"
    done = vm.run(fake(tmp_path, guest), cache, on_line=lines.append)
    assert (done.outcome, done.status, done.reasons) == (VmOutcome.EXITED, 0, ())
    assert done.passed and done.boot_seconds is not None
    assert lines == ["hello"]
    assert "before" in done.log.read_text()
    assert not (done.log.parent / "initramfs.cpio").exists()


@pytest.mark.parametrize(
    ("guest", "outcome", "reason"),
    [
        (BOOTED + "say('memdesc-vm: exit 7')", VmOutcome.EXITED, "exit status 7"),
        (BOOTED, VmOutcome.STOPPED, "before the command did"),
        (BOOTED + "event('SHUTDOWN', guest=True, reason='guest-reset')", VmOutcome.STOPPED,
         "(guest-reset)"),
        ("say('Linux version 7')", VmOutcome.STOPPED, "/init (it did not begin)"),
        (BOOTED + "say('Kernel panic - not syncing: x')", VmOutcome.PANIC, "panicked"),
        (BOOTED + "event('GUEST_PANICKED', action='run')", VmOutcome.PANIC, "panicked"),
        ("", VmOutcome.NOT_BOOTED, "no output"),
        (good("WARNING: CPU: 0 PID: 1 at mm/x.c:3 f+0x1/0x2"),
         VmOutcome.EXITED, "splats: "),
        (good("KTAP version 1", "1..1", "not ok 1 one"),
         VmOutcome.EXITED, "1 of 1 cases failed: one"),
        (good("KTAP version 1", "1..1", "ok 1 a # SKIP no"),
         VmOutcome.EXITED, "all 1 cases were skipped"),
    ],
)  # fmt: skip
def test_outcomes(
    tmp_path: Path, cache: Cache, guest: str, outcome: VmOutcome, reason: str
) -> None:
    done = ran(tmp_path, cache, guest)
    assert done.outcome is outcome
    assert reason in "; ".join(done.reasons)
    assert not done.passed


@pytest.mark.parametrize(
    ("guest", "outcome"), [(BOOTED, VmOutcome.HANG), ("", VmOutcome.NOT_BOOTED)]
)
def test_deadline(tmp_path: Path, cache: Cache, guest: str, outcome: VmOutcome) -> None:
    request = fake(tmp_path, f"{guest}\ntime.sleep(1000)")
    done = vm.run(replace(request, timeout=2), cache)
    assert done.outcome is outcome
    assert done.status is None
    wait_for_no_process(str(tmp_path))


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        ("say('Kernel panic - not syncing: stuck')", VmOutcome.PANIC),
        ("say('memdesc-vm: exit 0')", VmOutcome.HANG),
    ],
)
def test_guest_that_should_have_ended_is_not_waited_for(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, last: str, outcome: VmOutcome
) -> None:
    monkeypatch.setattr(vm, "GRACE", 0.3)
    request = fake(tmp_path, f"{BOOTED}{last}\ntime.sleep(1000)")
    done = vm.run(replace(request, timeout=600), cache)
    assert done.outcome is outcome
    assert done.seconds < 300
    wait_for_no_process(str(tmp_path))


def test_guest_that_has_said_enough(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vmconsole, "LOOK_SECONDS", 0.2)
    said = "say('KTAP version 1')\nsay('1..2')\nsay('not ok 1 one')\n"
    request = fake(tmp_path, f"{BOOTED}{said}time.sleep(1000)")
    done = vm.run(replace(request, timeout=600, until=lambda report: report.failed), cache)
    assert done.outcome is VmOutcome.ENOUGH
    assert (done.status, done.passed) == (None, False)
    assert [case.status for case in done.report.document.cases] == [Status.FAILED, Status.MISSING]
    assert done.seconds < 300
    wait_for_no_process(str(tmp_path))


def test_what_is_enough_only_once_ends_no_guest(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vmconsole, "LOOK_SECONDS", 0.0)
    asked: list[int] = []

    def now_and_then(report: ConsoleReport) -> bool:
        asked.append(report.lines)
        return bool(len(asked) % 2)

    request = fake(tmp_path, f"{BOOTED}time.sleep(2)\nsay('memdesc-vm: exit 0')")
    done = vm.run(replace(request, until=now_and_then), cache)
    assert done.outcome is VmOutcome.EXITED and done.passed
    assert len(asked) > 2


@pytest.mark.parametrize(
    ("guest", "message"),
    [
        ("# refuses\nprint('qemu: info: x'); print('qemu: bad option'); os._exit(1)", "bad option"),
        (BOOTED + "os.kill(os.getpid(), signal.SIGABRT)", "killed by signal 6"),
        (BOOTED + "os.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9"),
    ],
)
def test_qemu_that_fails_is_the_machine(
    tmp_path: Path, cache: Cache, guest: str, message: str
) -> None:
    request = fake(tmp_path, guest.replace("; ", "\nsys.stdout.flush()\n"))
    with pytest.raises(InfraError, match=message):
        vm.run(request, cache)


def test_missing_qemu_names_the_package(tmp_path: Path, cache: Cache) -> None:
    request = fake(tmp_path, "")
    assert request.arch.qemu
    machine = replace(request.arch.qemu, binary="qemu-system-none")
    with pytest.raises(InfraError) as caught:
        vm.run(replace(request, arch=replace(request.arch, qemu=machine)), cache)
    assert caught.value.hint == "apt install qemu-system-x86"


def test_uml_is_refused(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(UserError, match="um does not run in QEMU"):
        vm.run(replace(fake(tmp_path, ""), arch=arch.load("um")), cache)


TOOL = """
import sys
from dataclasses import replace
from pathlib import Path
from memdesc_tool import vm
from memdesc_tool.cache import open_cache
from tests.test_vm import fake
vm.run(replace(fake(Path(sys.argv[1]), sys.argv[2]), timeout=None), open_cache(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("group", [False, True])
def test_kill_9_of_the_tool_or_its_group_ends_qemu(tmp_path: Path, group: bool) -> None:
    guest = f"open({str(tmp_path / 'up')!r}, 'w').write(words)\ntime.sleep(1000)"
    tool = subprocess.Popen(
        [sys.executable, "-c", TOOL, str(tmp_path), guest],
        cwd=Path(__file__).parent.parent,
        start_new_session=True,
    )
    while not (tmp_path / "up").exists() or not (tmp_path / "up").read_text():
        assert tool.poll() is None
    (os.killpg if group else os.kill)(tool.pid, signal.SIGKILL)
    tool.wait()
    wait_for_no_process(f"id=console,path={str(tmp_path).replace(',', ',,')}")
    private = Path((tmp_path / "up").read_text().partition("id=host,path=")[2].split("/host,")[0])
    while private.exists():  # the guard removes it last; the test's own time limit ends this
        pass


# -- the host's port -------------------------------------------------------------------------


def asks(tmp_path: Path, cache: Cache, *requests: str) -> list[str]:
    """The host's answers to requests of a guest."""
    asked = "".join(f"say('answer: ' + ask({request!r}))\n" for request in requests)
    lines: list[str] = []
    request = fake(tmp_path, BOOTED + asked + "say('memdesc-vm: exit 0')")
    done = vm.run(request, cache, on_line=lines.append)
    assert done.passed, done.reasons
    return [line.removeprefix("answer: ") for line in lines]


def test_host_does_what_it_is_asked(tmp_path: Path, cache: Cache) -> None:
    assert asks(
        tmp_path, cache,
        "balloon 1600", "plug 256 1", "plug 128 0", "unplug dimm0", "virtio-mem 256", "echo 1.x y",
    ) == ["ok 1600", "ok dimm0", "ok dimm1", "ok dimm0", "ok 256", "ok 1.x y"]  # fmt: skip


def test_size_that_stands_still_is_the_answer(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memdesc_tool.hostport.START_SECONDS", 0.2)
    monkeypatch.setattr("memdesc_tool.hostport.STILL_SECONDS", 0.2)
    assert asks(tmp_path, cache, "virtio-mem 9999") == ["ok 512"]


def test_requests_that_cannot_be(tmp_path: Path, cache: Cache) -> None:
    answers = asks(
        tmp_path, cache,
        "", "balloon", "balloon x", "balloon -1", "plug 1", "plug 128 9", "rm -rf /",
    )  # fmt: skip
    assert answers == [
        "error unknown request",
        "error balloon takes 1 words, not 0",
        "error x is not a number",
        "error -1 is not a number",
        "error plug takes 2 words, not 1",
        "error no node 9",
        "error unknown request rm",
    ]


# -- the machine -----------------------------------------------------------------------------

FULL = """\
[vm]
slots = 2
plug_memory = 512
kernel_args = ["movablecore=512M"]
devices = ["virtio-rng-pci"]
[[node]]
memory = 512
cpus = 2
[[node]]
memory = 256
[virtio_mem]
size = 1024
requested = 128
node = 1
"""


def test_spec_in_words_of_qemu(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(FULL)
    spec = vmspec.find(str(path))
    assert spec.nodes == (Node(512, 2), Node(256, 0))
    assert spec.virtio_mem == VirtioMem(1024, 128, 1)
    assert (spec.memory, spec.cpus, spec.max_memory) == (768, 2, 768 + 512 + 1024)
    assert " ".join(spec.qemu_args) == (
        "-m size=768M,slots=3,maxmem=2304M -smp 2,sockets=1 "
        "-object memory-backend-ram,id=mem0,size=512M -numa node,nodeid=0,cpus=0-1,memdev=mem0 "
        "-object memory-backend-ram,id=mem1,size=256M -numa node,nodeid=1,memdev=mem1 "
        "-object memory-backend-ram,id=vmem,size=1024M "
        "-device virtio-mem-pci,id=virtio-mem,memdev=vmem,node=1,requested-size=128M "
        "-device virtio-rng-pci"
    )
    request = VmRequest(arch.load("x86_64"), path, tmp_path, spec=spec, kernel_args=("x=1",))
    assert request.command_line == "console=ttyS0 panic=-1 printk.devkmsg=on movablecore=512M x=1"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("slots = 2", "slot = 2", ":2: vm.slot: unknown field"),
        ("slots = 2", "slots = -1", ":2: vm.slots: must be an integer of at least 0"),
        ("slots = 2", "slots = 0", ":3: vm.plug_memory: no slots for it"),
        ("plug_memory = 512", "", ":2: vm.slots: plug_memory must say"),
        ("slots = 2", "slots = 2\nmemory = 512", ":3: vm.memory: give either this or"),
        ("cpus = 2", "", "node: the first needs memory, and one of them processors"),
        ("memory = 256", "memory = 'much'", ":10: node[2].memory: must be an integer"),
        ("requested = 128", "requested = 2048", ":13: virtio_mem.requested: more than the size"),
        ("node = 1", "node = 2", ":14: virtio_mem.node: there is no node 2"),
        ("[vm]", "[machine]", "unknown field"),
    ],
)
def test_spec_errors_name_the_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(FULL.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        vmspec.read(path)
    assert message in caught.value.message


def test_the_tools_own_specs_can_be_read() -> None:
    for path in vmspec.SPECS.glob("*.toml"):
        assert vmspec.find(path.stem).memory >= 64
    with pytest.raises(UserError, match="there is no machine big"):
        vmspec.find("big")


def test_size_is_spread_over_nodes() -> None:
    spec = VmSpec().changed(memory=1000, cpus=3, nodes=2)
    assert spec.nodes == (Node(500, 2), Node(500, 1))
    assert VmSpec().changed(nodes=3).nodes == (Node(684, 1), Node(682, 1), Node(682, 0))
    assert VmSpec(nodes=(Node(100, 1), Node(300, 1))).changed().memory == 400
    for wrong in ({"memory": 100, "nodes": 2}, {"nodes": 65}):
        with pytest.raises(UserError):
            VmSpec().changed(**wrong)
    with pytest.raises(UserError, match="virtio-mem device is on node 1"):
        VmSpec(virtio_mem=VirtioMem(512, node=1)).changed(nodes=1)


def test_every_fragment_can_be_read_and_debug_ones_go_together() -> None:
    one = arch.load("x86_64")
    for names in ((), ("debug", "kasan", "faults"), ("debug", "hooks"), ("kcsan",), ("rt",)):
        assert vm.fragment(one, names).get("VIRTIO_CONSOLE") == "y"
    assert vm.fragment(one, ("kasan",)).get("KASAN") == "y"
    assert vm.fragment(one, ("debug",)).get("PAGE_TABLE_CHECK") == "y"
    assert vm.fragment(arch.load("powerpc"), ("debug",)).get("PAGE_TABLE_CHECK") is None
    with pytest.raises(UserError, match="no fragment kas") as caught:
        vm.fragment(one, ("kas",))
    assert "kasan" in caught.value.hint
    for path in vm.FRAGMENTS.glob("vm-*.config"):
        assert kconfig.read(path)


# -- the initramfs ---------------------------------------------------------------------------


def unpack(archive: Path, target: Path) -> dict[str, tuple[int, bytes]]:
    """What cpio(1) finds in an archive: path -> (mode, content or link)."""
    target.mkdir()
    with archive.open("rb") as stream:
        subprocess.run(
            ["cpio", "-idm", "--quiet", "--no-absolute-filenames", "--no-preserve-owner"],
            stdin=stream, cwd=target, check=True,
        )  # fmt: skip
    return {
        str(path.relative_to(target)): (
            path.lstat().st_mode,
            os.fsencode(path.readlink()) if path.is_symlink()
            else path.read_bytes() if path.is_file() else b"",
        )
        for path in target.rglob("*")
    }  # fmt: skip


@pytest.fixture(params=["cpio", pytest.param("gen_init_cpio", marks=pytest.mark.kernel)])
def packer(request: pytest.FixtureRequest, cache: Cache, tmp_path: Path) -> Path | None:
    """cpio(1), and the generator of a kernel source."""
    if request.param == "cpio":
        return None
    base = tree.resolve("7.3", open_cache(), Progress())
    code = tmp_path / "source" / initramfs.GENERATOR
    code.parent.mkdir(parents=True)
    code.write_text(Git(base.repository).run("show", f"{base.commit}:{initramfs.GENERATOR}") + "\n")
    found = initramfs.generator(tmp_path / "source", cache)
    assert found and found == initramfs.generator(tmp_path / "source", cache)
    return found


def contents(tmp_path: Path) -> list[GuestFile]:
    tests = tmp_path / "my tests"
    (tests / "mm").mkdir(parents=True)
    (tests / "mm" / "run").write_text("#!/bin/sh\n")
    (tests / "mm" / "run").chmod(0o750)
    (tests / "again").symlink_to("mm/run")
    return [
        GuestFile("/memdesc/command", content=b"exec true\n"),
        GuestFile("/etc/x", content=b"first"),
        GuestFile("/etc/x", content=b"second", mode=0o600),
        *initramfs.directory(tests, "/tests"),
    ]


def test_initramfs_has_what_was_asked(tmp_path: Path, packer: Path | None) -> None:
    archive = tmp_path / "out" / "a.cpio"
    initramfs.pack(contents(tmp_path), archive, packer)
    found = unpack(archive, tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / "tests" / "mm" / "run").stat().st_mtime == 0
    assert (tmp_path / "unpacked" / "memdesc" / "command").stat().st_mtime == 0
    assert {path: (oct(mode), content) for path, (mode, content) in found.items()} == {
        "memdesc": ("0o40755", b""),
        "memdesc/command": ("0o100644", b"exec true\n"),
        "etc": ("0o40755", b""),
        "etc/x": ("0o100600", b"second"),
        "tests": ("0o40755", b""),
        "tests/mm": ("0o40755", b""),
        "tests/mm/run": ("0o100750", b"#!/bin/sh\n"),
        "tests/again": ("0o120777", b"mm/run"),
    }


def test_same_input_gives_the_same_initramfs(tmp_path: Path, packer: Path | None) -> None:
    files = contents(tmp_path)
    for name, order in (("a", files), ("b", [*files[:3], *reversed(files[3:])])):
        initramfs.pack(order, tmp_path / name, packer)
        os.utime(tmp_path / "my tests" / "mm" / "run", (1, 1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (GuestFile("etc/x"), "no absolute path"),
        (GuestFile("/etc/../x"), "no absolute path"),
        (GuestFile("/etc//x"), "no absolute path"),
        (GuestFile("/a b"), "no spaces"),
        (GuestFile("/memdesc/command/x"), "both a file and the directory"),
        (GuestFile("/x", Path("/nothing/there")), "cannot be read"),
    ],
)
def test_initramfs_refuses(tmp_path: Path, file: GuestFile, message: str) -> None:
    with pytest.raises(UserError, match=message):
        initramfs.pack([*contents(tmp_path), file], tmp_path / "a", None)


# -- the command -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--shell", "--kernel", "IMAGE"], "needs a terminal"),
        (["--shell", "--kernel", "IMAGE", "--", "ls"], "either --shell or a command"),
        (["--kernel", "IMAGE", "--tree", "7.3"], "booted as it is"),
        (["--kernel", "IMAGE", "--save", "copy"], "booted as it is"),
        (["--kernel", "IMAGE", "--arch", "um"], "does not run in QEMU"),
        (["--kernel", "IMAGE", "--spec", "none"], "there is no machine none"),
        (["--config", "kas"], "there is no fragment kas"),
        (["--kernel", "IMAGE", "--file", "/none"], "/none does not exist"),
        (["--kernel", "IMAGE", "--file", ":/x"], "names no file of this machine"),
    ],
)
def test_wrong_use(tmp_path: Path, tool: Tool, args: list[str], message: str) -> None:
    image = tmp_path / "image"
    image.touch()
    done = tool("vm", *[str(image) if arg == "IMAGE" else arg for arg in args])
    assert done.status == 2
    assert message in done.err


MAKEFILE = """\
olddefconfig: ; @true
bzImage: ; @mkdir -p $(O)/arch/x86/boot && cp $(CURDIR)/image $(O)/arch/x86/boot/bzImage
"""


def fake_tree(minitree: GitTree) -> Path:
    """A tree whose kernel is a file with one word."""
    for name, text in {"Makefile": MAKEFILE, "Kconfig": "", "Kbuild": "", "image": "good"}.items():
        (minitree.path / name).write_text(text)
    minitree.commit("a kernel")
    return minitree.path


def test_command_builds_and_boots_what_it_built(
    tmp_path: Path, tool: Tool, minitree: GitTree
) -> None:
    tree = fake_tree(minitree)
    before = minitree.state()
    fake(tmp_path, BOOTED + KERNEL_IS_GOOD)
    programs = tmp_path / "a,b"
    (programs / "qemu-system-fake").rename(programs / "qemu-system-x86_64")
    path = f"{programs}:{os.environ['PATH']}"
    kept = tmp_path / "kept"
    done = tool("vm", "--tree", tree, "--append", "a=1 b=2", "--save", kept, "--", "anything",
                PATH=path)  # fmt: skip
    assert done.status == 0, done.err
    assert kept.read_text() == "good"
    assert done.out == "Linux good, a=1 b=2\n"
    assert "EXITED (boot " in done.err
    assert minitree.state() == before, "the user's tree was written to"
    logs = [log.name for log in (tmp_path / "cache" / "logs" / "vm").glob("*/*")]
    assert sorted(logs) == ["build.log", "console.log", "qemu.log"]

    (tree / "image").write_text("bad")
    minitree.commit("break it")
    done = tool("vm", "--tree", tree, "--", "anything", PATH=path)
    assert done.status == 1
    assert done.out == "Linux bad, \n"
    done = tool("vm", "--tree", tree, "--rev", "HEAD~1", "--", "anything", PATH=path)
    assert done.status == 0, done.err

    (tree / "image").unlink()
    minitree.commit("take it away")
    done = tool("vm", "--tree", tree, PATH=path)
    assert done.status == 1
    assert "does not build" in done.err


# -- the real thing --------------------------------------------------------------------------


def real(test: TestFunction) -> TestFunction:
    """A test that boots guest_kernel; the first one waits until it is built."""
    return pytest.mark.kernel(pytest.mark.timeout(2400)(test))


@real
@pytest.mark.parametrize(
    ("script", "status", "out", "err"),
    [
        ("cat /sys/devices/system/node/online; nproc", 0, "0-1\n2\n", "EXITED ("),
        ("exit 5", 1, "", "exit status 5"),
        ("echo c >/proc/sysrq-trigger", 1, "", "PANIC"),
        ("reboot -f", 1, "", "STOPPED"),
        ("seq 3000", 0, "\n2999\n3000\n", "EXITED ("),
    ],
)
def test_real_guest(guest_kernel: Path, script: str, status: int, out: str, err: str) -> None:
    always = ("--append", "sysrq_always_enabled")
    done = run_here("vm", "--kernel", guest_kernel, *always, "--", "sh", "-c", script)
    assert done.status == status, done.err
    assert out in done.out and err in done.err


@real
def test_real_guest_that_hangs(guest_kernel: Path) -> None:
    done = run_here("vm", "--kernel", guest_kernel, "--timeout", "40", "--", "sleep", "1000")
    assert done.status == 1
    assert "HANG: the command was still running after" in done.err


@real
def test_real_qemu_that_refuses(guest_kernel: Path) -> None:
    done = run_here("vm", "--kernel", guest_kernel, "--qemu-args", "-device no-such-device")
    assert done.status == 3
    assert "no-such-device" in done.err


@real
def test_real_host_requests(guest_kernel: Path) -> None:
    """Needs VIRTIO_CONSOLE, VIRTIO_MEM and memory hotplug in the kernel."""
    script = """
        vmhost balloon 1500; awk '/MemTotal/ {print $2 < 1500 * 1024}' /proc/meminfo
        vmhost balloon 2048; vmhost plug 128 1; vmhost plug 128 9 || echo refused
        vmhost virtio-mem 256
    """
    done = run_here("vm", "--kernel", guest_kernel, "--spec", "hotplug", "--", "sh", "-c", script)
    assert done.status == 0, done.err
    assert done.out.split("\n")[:4] == ["1500", "1", "2048", "dimm0"]
    assert "refused" in done.out and done.out.rstrip().endswith("256")


@real
def test_real_shell_and_the_terminal_after_it(guest_kernel: Path) -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    shell = subprocess.Popen(
        [sys.executable, "-m", "memdesc_tool.cli", "vm", "--shell", "--kernel",
         str(guest_kernel)],
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    said = b""
    typed = False
    while shell.poll() is None or select.select([ours], [], [], 0)[0]:
        if select.select([ours], [], [], 1)[0]:
            said += os.read(ours, 4096)
        if b"# " in said[-20:] and b"memdesc-vm: start" in said and not typed:
            os.write(ours, b"echo $((6 * 7))yes; stty size\nexit\n")
            typed = True
    assert shell.returncode == 0, said
    assert b"42yes" in said
    assert termios.tcgetattr(theirs) == before
