"""A miniature kernel tree: its Makefile knows olddefconfig and linux, its "linux" is a script.

So that configuring, building, booting and killing are tested in seconds, with real make
and real processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MAKEFILE = """\
KCONFIG_CONFIG ?= .config
.PHONY: olddefconfig linux
olddefconfig:
	@sh $(CURDIR)/conf.sh $(CURDIR) $(O)/$(KCONFIG_CONFIG)
linux:
	@$(MAKE) --no-print-directory -C $(O) -f $(CURDIR)/Makefile.build SRC=$(CURDIR)
"""

# Drops what the file "unavailable" names; fails where there is a file "broken-kconfig".
CONF = """\
if test -e $1/broken-kconfig; then echo "Kconfig:7: syntax error"; exit 1; fi
touch $1/unavailable
grep -v -w -F -f $1/unavailable $2 > $2.tmp
echo CONFIG_ALWAYS=y >> $2.tmp
mv $2.tmp $2
"""

# "Compiles" by copying. A file "stop" makes it stop in the middle of an object.
BUILD = """\
linux: mm/a.o mm/b.o $(SRC)/linux.sh
	@echo '  LINK    $@'
	@cp $(SRC)/linux.sh $@ && chmod +x $@
mm/%.o: $(SRC)/mm/%.c .config
	@echo '  CC      $@'
	@mkdir -p mm
	@! grep -n error $< | sed 's|^\\([0-9]*\\):.*|$<:\\1:2: error: broken on purpose|' | grep .
	@grep -n warning $< | sed 's|^\\([0-9]*\\):.*|$<:\\1:2: warning: odd on purpose|' || true
	@head -c 4 $< > $@; if test -e $(SRC)/stop; then touch stopped; sleep 1000; fi; cp $< $@
"""

KCONFIG = """\
mainmenu "a kernel"

source "mm/Kconfig"
source "arch/$(SRCARCH)/Kconfig"
"""

MM_KCONFIG = """\
config ALWAYS
	def_bool y

menuconfig FIRST
	bool "First"
	help
		Text with a line that looks like an entry:
		config HELPED

if FIRST

config SECOND
	bool "Second" if EXPERT
	depends on MMU && \\
		(NEEDED || OTHER = "x")
	default y

endif

config FORCED
	bool "Forced"

config FORCER
	bool "Forcer"
	select FORCED if ALWAYS

config HIDDEN
	bool

config SOMETIMES
	bool "Sometimes"
	depends on NEEDED if ALWAYS

config NUMBER
	int "Number"
	range 1 64

choice
	prompt "one of two"

config LEFT
	bool "left"

config RIGHT
	bool "right"

endchoice
"""

PASSING = """\
Linux version 7.3.4 (user@host)
KTAP version 1
1..2
    KTAP version 1
    # Subtest: alpha
    1..2
    ok 1 one
    ok 2 two
ok 1 alpha
    KTAP version 1
    # Subtest: beta
    1..1
    ok 1 three # SKIP not here
ok 2 beta # SKIP
reboot: System halted
"""


@dataclass(frozen=True)
class FakeLinux:
    """A tree made by make_fake()."""

    path: Path

    def write(self, name: str, text: str) -> None:
        """Write a file of the tree."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def says(self, console: str, end: str = "exit 0") -> None:
        """Let "linux" print a console and then do something (a line of shell)."""
        self.write("console.txt", console)
        self.write("linux.sh", f"#!/bin/sh\ncat <<'END'\n{console}END\n{end}\n")


def make_fake(path: Path) -> FakeLinux:
    """A tree that configures, builds, and runs with three cases, one of them skipped."""
    tree = FakeLinux(path)
    tree.write("Makefile", MAKEFILE)
    tree.write("Kbuild", "")
    tree.write("Makefile.build", BUILD)
    tree.write("conf.sh", CONF)
    tree.write("Kconfig", KCONFIG)
    tree.write("mm/Kconfig", MM_KCONFIG)
    tree.write("arch/um/Kconfig", "config MMU\n\tdef_bool y\n")
    tree.write("arch/x86/Kconfig", 'config NUMA\n\tbool "NUMA"\n')
    tree.write("mm/a.c", "int a_is_a_longer_line;\n")
    tree.write("mm/b.c", "int b;\n")
    tree.write("tools/testing/kunit/configs/default.config", "CONFIG_KUNIT=y\n")
    tree.says(PASSING)
    return tree
