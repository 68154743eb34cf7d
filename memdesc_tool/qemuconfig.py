"""Architectures from the files of the tree's kunit.py: tools/testing/kunit/qemu_configs/*.py.

They are Python; as kunit.py does, they are executed. So only a file that the user named, or
one of a tree that the user asked to build, is read.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from memdesc_tool import arch, kconfig
from memdesc_tool.arch import Arch, Qemu, Runner
from memdesc_tool.errors import InfraError, UserError

CONFIGS = "tools/testing/kunit/qemu_configs"
_PACKAGE = "_memdesc_kunit"


@dataclass(frozen=True)
class QemuArchParams:
    """What such a file calls; its fields are kunit.py's (tools/testing/kunit/qemu_config.py)."""

    linux_arch: str
    kconfig: str
    qemu_arch: str
    kernel_path: str
    kernel_command_line: str
    extra_qemu_params: list[str] = field(default_factory=list)
    serial: str = "stdio"


def find_arch(name: str, source: Path) -> Arch:
    """The architecture called name: the tool's own, else the one of the tree's kunit.py."""
    path = source / CONFIGS / f"{name}.py"
    if name not in arch.names() and path.is_file():
        return read(path)
    return arch.load(name)


def read(path: Path) -> Arch:
    """The architecture that a file describes. Raises UserError, InfraError for what it lacks."""
    params = _execute(path)
    line = params.kernel_command_line
    if "kunit_shutdown=" not in line:
        line += " kunit_shutdown=reboot"
    known = {one.make_arch: one for one in map(arch.load, arch.names())}
    ours = known.get(params.linux_arch)
    return Arch(
        name=path.stem,
        make_arch=params.linux_arch,
        targets=("all",),
        image=params.kernel_path,
        runner=Runner.QEMU,
        cross_compile=ours.cross_compile if ours else f"{params.linux_arch}-linux-gnu-",
        compiler_package=ours.compiler_package if ours else "",
        native=ours.native if ours else (params.linux_arch,),
        kconfig=arch.common_fragment().merge(kconfig.parse(params.kconfig, str(path))),
        kernel_args=(*line.split(), "panic=-1"),
        qemu=Qemu(
            binary=f"qemu-system-{params.qemu_arch}",
            package=ours.qemu.package if ours and ours.qemu else "qemu-system-misc",
            args=tuple(params.extra_qemu_params),
            tcg_cpu="",
            serial=params.serial,
        ),
    )


def _execute(path: Path) -> QemuArchParams:
    """Run the file; return its QEMU_ARCH."""
    said = io.StringIO()
    with _packages(), contextlib.redirect_stdout(said):
        spec = importlib.util.spec_from_file_location(f"{_PACKAGE}.qemu_configs.one", path)
        if spec is None or spec.loader is None:
            raise UserError(f"{path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except SystemExit:
            reason = " ".join(said.getvalue().split()) or "it gave up"
            raise InfraError(f"{path}: {reason}") from None
        except Exception as error:
            raise UserError(f"{path}: {type(error).__name__}: {error}") from None
    params = getattr(module, "QEMU_ARCH", None)
    if not isinstance(params, QemuArchParams):
        raise UserError(f'{path} has no "QEMU_ARCH"', "see qemu_configs/ of the kernel's kunit.py")
    return params


@contextlib.contextmanager
def _packages() -> Iterator[None]:
    """The package in which `from ..qemu_config import QemuArchParams` works."""
    top = types.ModuleType(_PACKAGE)
    top.__path__ = []
    inner = types.ModuleType(f"{_PACKAGE}.qemu_configs")
    inner.__path__ = []
    params = types.ModuleType(f"{_PACKAGE}.qemu_config")
    params.QemuArchParams = QemuArchParams  # type: ignore[attr-defined]
    added = {module.__name__: module for module in (top, inner, params)}
    sys.modules.update(added)
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)
