"""A "kernel build directory": a Makefile that compiles modules with the real compiler."""

from __future__ import annotations

from pathlib import Path

MAKEFILE = """\
NAMES := $(patsubst %.o,%,$(filter %.o,$(file <$(M)/Kbuild)))
WARN := $(if $(filter 1,$(W)),-Wall -Wmissing-prototypes)
modules: $(if $(C),check,$(NAMES:%=$(M)/%.ko))
$(M)/%.ko: $(M)/%.c
	@echo '  CC [M]  $@'
	@gcc $(WARN) -ffreestanding -I$(CURDIR)/include -c -o $@ $<
	@! grep -q '^// wants' $< || \\
		{ echo 'WARNING: modpost: "other" [$@] undefined!'; test -n "$(KBUILD_MODPOST_WARN)"; }
check:
	@test ! -e old-sparse || { echo 'C=2 specified, but sparse is not up to date'; false; } && \\
	for name in $(NAMES); do echo "  CHECK   $(M)/$$name.c"; \\
		$(CHECK) -I$(CURDIR)/include $(M)/$$name.c; done; true
"""

GOOD = '#include "kernel.h"\nint start(void);\nint start(void) { return kernel(); }\n'


def make_kdir(path: Path, release: str = "7.3.4-fake", header: str = "") -> Path:
    """A build directory whose kernel.h declares kernel() and has the lines of header."""
    for name, text in {
        "Makefile": MAKEFILE,
        "include/config/auto.conf": "CONFIG_MODULES=y\nCONFIG_NAME=a word\nCONFIG_M=m\n",
        "include/generated/utsrelease.h": f'#define UTS_RELEASE "{release}"\n',
        "include/kernel.h": f"int kernel(void);\n{header}",
        "Module.symvers": "",
    }.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return path


def make_project(path: Path, config: str = "CONFIG_MODULES=y\n", **sources: str) -> Path:
    """A project with one module directory, "extra", of these sources (name -> text)."""
    extra = path / "kernel-test-modules" / "extra"
    extra.mkdir(parents=True)
    (path / "patches").mkdir()
    (path / "patches" / "stack.toml").write_text("series = []\n")
    (extra / "Kbuild").write_text("".join(f"obj-m += {name}.o\n" for name in sources))
    (extra / "config").write_text(config)
    for name, text in sources.items():
        (extra / f"{name}.c").write_text(text)
    return path
