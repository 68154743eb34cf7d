"""The descriptions of architectures, and finding their tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from memdesc_tool import arch, qemuconfig
from memdesc_tool.arch import Runner
from memdesc_tool.errors import InfraError, UserError
from memdesc_tool.process import version_of


@pytest.mark.parametrize("name", arch.names())
def test_every_description_is_complete(name: str) -> None:
    one = arch.load(name)
    assert one.name == name
    assert one.targets and one.image and one.make_arch
    assert one.kconfig.get("LOCALVERSION_AUTO") == "n"
    assert (one.runner is Runner.QEMU) == (one.qemu is not None)
    assert any(argument.startswith("console=") for argument in one.kernel_args)
    assert any(argument.startswith("kunit_shutdown=") for argument in one.kernel_args)
    if one.runner is Runner.QEMU:
        assert "panic=-1" in one.kernel_args, "a panic must end QEMU"
        assert one.cross_compile.endswith("-") and one.compiler_package.startswith("gcc-")


def test_unknown_names_what_is_known() -> None:
    with pytest.raises(UserError) as caught:
        arch.load("vax")
    assert "um-smp" in caught.value.hint and "x86_64" in caught.value.hint


def test_variant_adds_to_its_base() -> None:
    um, smp = arch.load("um"), arch.load("um-smp")
    assert (smp.make_arch, smp.image, smp.name) == (um.make_arch, um.image, "um-smp")
    assert smp.kernel_args == (*um.kernel_args, "ncpus=2", "seccomp=on")
    assert smp.kconfig.get("SMP") == "y" and um.kconfig.get("SMP") is None


def test_base_fragment_takes_the_trees(tmp_path: Path) -> None:
    um = arch.load("um")
    assert um.base_fragment(tmp_path) == um.kconfig
    path = tmp_path / um.tree_kconfig
    path.parent.mkdir(parents=True)
    path.write_text("CONFIG_FROM_TREE=y\n")
    assert um.base_fragment(tmp_path).get("FROM_TREE") == "y"


def test_toolchain_of_this_machine() -> None:
    tools = arch.toolchain(arch.load("um"))
    assert tools.prefix == "" and tools.compiler == "gcc"
    assert "gcc" in tools.version and "ld" in tools.linker


def tool(directory: Path, name: str, version: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{version}'\n")
    path.chmod(0o755)


def test_toolchain_follows_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name in ("clang", "ld.lld", "my-gcc", "my-ld"):
        tool(tmp_path, name, f"{name} 1.0")
    um = arch.load("um")
    assert arch.toolchain(um, ("LLVM=1",)).key == "clang 1.0; ld.lld 1.0"
    assert arch.toolchain(um, (), "my-").key == "my-gcc 1.0; my-ld 1.0"
    assert arch.toolchain(um, ("CROSS_COMPILE=my-",)).prefix == "my-"
    assert arch.toolchain(um, ("CC=ccache my-gcc",)).compiler == "my-gcc"


def test_a_program_is_asked_for_its_version_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again where it has been upgraded meanwhile."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    asked = tmp_path / "asked"
    script = tmp_path / "my-cc"
    for version in ("1.0", "2.0"):
        script.write_text(f"#!/bin/sh\necho >>{asked}\necho my-cc {version}\necho more\n")
        script.chmod(0o755)
        assert {version_of("my-cc") for _ in range(3)} == {f"my-cc {version}"}
    assert len(asked.read_text().splitlines()) == 2


def test_missing_compiler_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfraError) as caught:
        arch.toolchain(arch.load("s390"))
    assert caught.value.hint == "apt install gcc-s390x-linux-gnu"
    with pytest.raises(InfraError) as caught:
        arch.toolchain(arch.load("um"), ("LLVM=-19",))
    assert caught.value.hint == "apt install clang-19 lld-19 llvm-19"


KUNIT_PY = """\
from ..qemu_config import QemuArchParams

QEMU_ARCH = QemuArchParams(linux_arch='alpha',
                           kconfig='''
CONFIG_SERIAL_8250=y''',
                           qemu_arch='alpha',
                           kernel_path='arch/alpha/boot/vmlinux',
                           kernel_command_line='console=ttyS0',
                           extra_qemu_params=['-m', '512'])
"""


def test_file_of_kunit_py(tmp_path: Path) -> None:
    path = tmp_path / qemuconfig.CONFIGS / "alpha.py"
    path.parent.mkdir(parents=True)
    path.write_text(KUNIT_PY)
    alpha = qemuconfig.find_arch("alpha", tmp_path)
    assert (alpha.name, alpha.make_arch, alpha.image) == (
        "alpha", "alpha", "arch/alpha/boot/vmlinux",
    )  # fmt: skip
    assert alpha.kconfig.get("SERIAL_8250") == "y"
    assert "kunit_shutdown=reboot" in alpha.kernel_args
    assert alpha.qemu is not None and alpha.qemu.args == ("-m", "512")
    assert alpha.qemu.binary == "qemu-system-alpha"


@pytest.mark.parametrize(
    ("text", "error"),
    [("x = 1", UserError), ("1/0", UserError), ("import sys; sys.exit()", InfraError)],
)
def test_bad_file_of_kunit_py(tmp_path: Path, text: str, error: type[Exception]) -> None:
    path = tmp_path / "odd.py"
    path.write_text(text)
    with pytest.raises(error, match=r"odd\.py"):
        qemuconfig.read(path)
