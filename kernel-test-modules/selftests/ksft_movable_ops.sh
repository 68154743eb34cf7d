#!/bin/sh -e
# SPDX-License-Identifier: GPL-2.0

# Poisoned pages cost memory until the next boot. A VM that can talk to its
# host was made for tests and is thrown away after them.
if command -v vmhost > /dev/null; then
	destructive=-d
fi

./run_vmtests.sh $destructive -t movable_ops
