#!/bin/sh -e
# SPDX-License-Identifier: GPL-2.0

# A virtio-mem device that was unbound is lost until the next boot. A VM that
# can talk to its host was made for tests and is thrown away after them.
if command -v vmhost > /dev/null; then
	destructive=-d
fi

./run_vmtests.sh $destructive -t movable_ops_unbind
