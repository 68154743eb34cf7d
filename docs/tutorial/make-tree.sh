#!/bin/sh
# Make what the tutorial works on: linux/, a stand-in for a kernel that is configured, "compiled"
# and run in a second, and project/, a directory of series with one test suite.
set -eu

mkdir -p linux/lib linux/tests project/patches project/kernel-test-modules/counting
git init -q -b main linux
git -C linux config user.name "A. Developer"
git -C linux config user.email dev@example.org

# The targets of a kernel that the tool asks for on User Mode Linux.
cat > linux/Makefile <<'MAKEFILE'
KCONFIG_CONFIG ?= .config
olddefconfig:
	@sort -u -o $(O)/$(KCONFIG_CONFIG) $(O)/$(KCONFIG_CONFIG)
linux:
	@for f in $(CURDIR)/lib/*.sh; do sh -n $$f || { echo "$$f:1:1: error: syntax"; exit 1; }; done
	@echo '  LINK    linux'
	@(echo '#!/bin/sh'; cat $(CURDIR)/lib/*.sh; echo 'echo "Linux version 7.3.0 (tutorial)"'; \
		for t in $$(grep -v '^\#' $(CURDIR)/tests/list); do cat $(CURDIR)/tests/$$t; done) > $(O)/linux
	@chmod +x $(O)/linux
.PHONY: olddefconfig linux
MAKEFILE
: > linux/Kconfig
: > linux/Kbuild
echo '# suites' > linux/tests/list
cat > linux/lib/count.sh <<'COUNT'
# How many pages there are.
count() {
	echo 41
}

# Says hello.
greet() {
	echo hello
}
COUNT
git -C linux add -A
git -C linux commit -q -m "a kernel"

echo 'series = []' > project/patches/stack.toml
echo 'CONFIG_KUNIT=y' > project/kernel-test-modules/counting/.kunitconfig
cat > project/kernel-test-modules/counting/suite.toml <<'TOML'
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
TOML
cat > project/kernel-test-modules/counting/counting.sh <<'SUITE'
echo "KTAP version 1"
echo "1..1"
echo "    KTAP version 1"
echo "    # Subtest: counting"
echo "    1..2"
test "$(count)" = 42 && echo "    ok 1 right_number" || echo "    not ok 1 right_number"
test "$(greet)" = hello && echo "    ok 2 greets" || echo "    not ok 2 greets"
if test "$(count)" = 42 && test "$(greet)" = hello
then echo "ok 1 counting"; else echo "not ok 1 counting"; fi
SUITE
