"""A project with a "kernel" of shell functions: configured, built and run by the real tool.

The kernel counts and greets; its suite checks both. The series of three patches fixes the
counting with its second patch. MINI_HOOK names a program that it calls in every step, with the
name of the step and a directory. Nothing here knows what the tool's own series are about.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.conftest import GitTree

MAKEFILE = """\
KCONFIG_CONFIG ?= .config
HOOK := $(or $(MINI_HOOK),true)
.PHONY: olddefconfig linux
olddefconfig:
	@$(HOOK) configure $(O)
	@sort -u -o $(O)/$(KCONFIG_CONFIG) $(O)/$(KCONFIG_CONFIG)
linux:
	@$(HOOK) compile $(O)
	@for f in $(CURDIR)/lib/*.sh; do sh -n $$f || \\
		{ echo "$$f:1:1: error: bad shell"; exit 1; }; done
	@echo '  LINK    linux'
	@(echo '#!/bin/sh'; cat $(CURDIR)/lib/*.sh; cat $(CURDIR)/tests/boot) > $(O)/linux
	@for t in $$(grep -v '^#' $(CURDIR)/tests/list); do cat $(CURDIR)/tests/$$t; done >> $(O)/linux
	@chmod +x $(O)/linux; echo built >> $(CURDIR)/../../built
"""

BOOT = 'echo "Linux version 7.3.0 (mini)"\n${MINI_HOOK:-true} boot .\n'

COUNT = """\
# How many there are.
count() {
	echo 41
}

# Says hello.
greet() {
	echo hello
}
"""

SUITE = """\
echo "KTAP version 1"
echo "1..1"
echo "    KTAP version 1"
echo "    # Subtest: counting"
echo "    1..3"
test "$(count)" = 42 && echo "    ok 1 right_number" || echo "    not ok 1 right_number"
test "$(greet)" = hello && echo "    ok 2 greets" || echo "    not ok 2 greets"
test -n "$(count)" && echo "    ok 3 counts" || echo "    not ok 3 counts"
if test "$(count)" = 42 && test "$(greet)" = hello
then echo "ok 1 counting"; else echo "not ok 1 counting"; fi
"""

SUITE_TOML = """\
[suite]
name = "counting"
title = "counting and greeting"
filter = "counting"

[[file]]
source = "counting.sh"
path = "tests/counting"

[[edit]]
path = "tests/list"
lines = ["counting"]
after = '^# suites$'
"""


@dataclass(frozen=True)
class MiniKernel:
    """The kernel's tree and the project with a series for it."""

    tree: GitTree
    project: Path

    @property
    def series(self) -> Path:
        return self.project / "patches" / "numbers"

    def builds(self, cache: Path) -> int:
        """How many kernels were built so far with a cache."""
        log = cache / "work" / "built"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def make_series(self, *steps: tuple[str, str]) -> None:
        """Write the series: each step is a subject and lib/count.sh after it."""
        tree = self.tree
        tree.git("checkout", "-q", "-B", "work", "main")
        for subject, text in steps:
            (tree.path / "lib" / "count.sh").write_text(text)
            tree.commit(f"lib: {subject}\n\nFor the test.")
        for old in self.series.glob("*.patch"):
            old.unlink()
        tree.git("format-patch", "-q", "-o", str(self.series), "main..work")
        tree.git("checkout", "-q", "main")
        names = sorted(path.name for path in self.series.glob("*.patch"))
        (self.series / "series.toml").write_text(
            'title = "numbers that are right"\nsuites = ["counting"]\n\n'
            + "\n".join(f'[[patch]]\nfile = "{name}"\n' for name in names)
        )


FIXED = COUNT.replace("41", "42")
STEPS = (
    ("say how many of what", COUNT.replace("How many there are", "How many pages there are")),
    ("count right", FIXED.replace("How many there are", "How many pages there are")),
    ("say hello to whom", FIXED.replace("Says hello", "Says hello to all").replace(
        "How many there are", "How many pages there are")),
)  # fmt: skip


def make_mini(path: Path) -> MiniKernel:
    """The tree and the project, below path."""
    tree = GitTree(path / "kernel")
    for name, text in {
        "Makefile": MAKEFILE, "Kconfig": "", "Kbuild": "", "lib/count.sh": COUNT,
        "tests/boot": BOOT, "tests/list": "# suites\n",
    }.items():  # fmt: skip
        file = tree.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    tree.git("init", "-q", "-b", "main")
    tree.commit("a kernel")
    project = path / "my project"
    suite = project / "kernel-test-modules" / "counting"
    suite.mkdir(parents=True)
    (suite / "suite.toml").write_text(SUITE_TOML)
    (suite / "counting.sh").write_text(SUITE)
    (suite / ".kunitconfig").write_text("CONFIG_KUNIT=y\n")
    mini = MiniKernel(tree, project)
    mini.series.mkdir(parents=True)
    (project / "patches" / "stack.toml").write_text('series = ["numbers"]\n')
    mini.make_series(*STEPS)
    return mini


def make_foreign(path: Path) -> MiniKernel:
    """As make_mini(), with the suite in the tree itself and the patches of the series made."""
    mini = make_mini(path)
    (mini.tree.path / "tests" / "counting").write_text(SUITE)
    (mini.tree.path / "tests" / "list").write_text("# suites\ncounting\n")
    mini.tree.commit("tests: count in the tree itself")
    mini.make_series(*STEPS)
    return mini
