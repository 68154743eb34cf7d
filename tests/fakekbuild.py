"""A kernel tree of a few C files that a real compiler compiles, with kbuild's command files.

ARCH=i386 is 32-bit code, ARCH=x86_64 64-bit; W=1 asks for more warnings, as in the kernel. No
configuration compiles a file NAME_off.c.
"""

from __future__ import annotations

from pathlib import Path

from tests.conftest import GitTree

MAKEFILE = """\
KCONFIG_CONFIG ?= .config
.PHONY: olddefconfig defconfig allnoconfig linux FORCE
olddefconfig:
	@sort -u -o $(O)/$(KCONFIG_CONFIG) $(O)/$(KCONFIG_CONFIG)
	@sed -i /CONFIG_NEVER/d $(O)/$(KCONFIG_CONFIG)
	@mkdir -p $(O)/include/config
	@printf 'deps_config := \\\\\\n\\tKconfig \\\\\\n\\tmm/Kconfig \\\\\\n\\n' \\
		> $(O)/include/config/auto.conf.cmd
defconfig allnoconfig:
	@echo CONFIG_BASE_$@=y > $(O)/$(KCONFIG_CONFIG)
linux:
	@$(MAKE) --no-print-directory -C $(O) -f $(CURDIR)/Makefile.build SRC=$(CURDIR) \
		DIR="mm/ tests/" linux
%/: FORCE
	@$(MAKE) --no-print-directory -C $(O) -f $(CURDIR)/Makefile.build SRC=$(CURDIR) DIR=$@
"""

BUILD = """\
FLAGS := -std=gnu11 -Wall $(if $(W),-Wextra) $(if $(filter i386,$(ARCH)),-m32) \
	-I$(SRC)/include $(if $(shell grep CONFIG_GCOV=y .config),--coverage)
FOUND := $(foreach dir,$(DIR),$(wildcard $(SRC)/$(dir)*.c))
OBJECTS := $(patsubst $(SRC)/%.c,%.o,$(filter-out %_off.c,$(FOUND)))
all: $(OBJECTS)
linux: $(OBJECTS)
	@echo '  LINK    $@'
	@$(CC) $(FLAGS) -o $@ $(OBJECTS)
$(OBJECTS): %.o: $(SRC)/%.c .config
	@echo '  CC      $@'
	@mkdir -p $(@D); echo $@ >> $(SRC)/../../compiled
	@$(CC) $(FLAGS) -MMD -MF $(@D)/.$(@F).d -c -o $@ $<
	@(echo 'savedcmd_$@ := cc'; echo; echo 'source_$@ := $<'; echo; echo 'deps_$@ := \\'; \\
		tr ' ' '\\n' < $(@D)/.$(@F).d | sed -n 's|^/.*|  & \\\\|p'; echo) > $(@D)/.$(@F).cmd
-include $(wildcard $(addsuffix .*.d,$(DIR)))
"""

FILES = {
    "Makefile": MAKEFILE,
    "Makefile.build": BUILD,
    "Kbuild": "",
    "Kconfig": 'mainmenu "a kernel"\n',
    "mm/Kconfig": "",
    "mm/Makefile": "",
    "include/linux/pages.h": "#define PAGE_BITS 12\nint count_pages(int wanted);\n",
    "include/linux/other.h": "#define OTHER 1\n",
    "mm/count.c": "#include <linux/pages.h>\n\nint count_pages(int wanted)\n{\n"
    "\treturn wanted << PAGE_BITS;\n}\n",
    "mm/old.c": "int old_one(void);\n\nint old_one(void)\n{\n\tint left_over;\n\n\treturn 1;\n}\n",
    "mm/other.c": "#include <linux/other.h>\nint other = OTHER;\n",
    "Documentation/pages.rst": "Pages\n",
    "arch/arm/pages.c": "not C at all\n",
}


def make_kbuild(path: Path) -> GitTree:
    """The tree, with a commit on main."""
    tree = GitTree(path)
    write(tree, FILES)
    tree.git("init", "-q", "-b", "main")
    tree.commit("a kernel")
    return tree


def write(tree: GitTree, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = tree.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def make_range(tree: GitTree, *steps: tuple[str, dict[str, str]]) -> None:
    """A branch "work" with a commit for each (subject, files)."""
    tree.git("checkout", "-q", "-B", "work", "main")
    for subject, files in steps:
        write(tree, files)
        tree.commit(subject)
    tree.git("checkout", "-q", "main")


def compiled(cache: Path) -> list[str]:
    """Every object that was compiled with a cache so far."""
    log = cache / "work" / "compiled"
    return log.read_text().split() if log.exists() else []
