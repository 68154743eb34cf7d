# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What the machine is and what it offers; read by run.sh, which sets the variables.
# shellcheck disable=SC2154

have() { command -v "$1" >/dev/null 2>&1; }

is_root() { [ "$(id -u)" = 0 ]; }

# value FILE NAME: of "NAME: value"
value() { sed -n "s/^$2: //p" "$1" 2>/dev/null | sed 1q; }

model() {
	if [ -r /proc/device-tree/model ]; then
		tr -d '\000' </proc/device-tree/model
	else
		cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name 2>/dev/null | tr '\n' ' '
	fi
}

build_id() { od -An -v -tx1 /sys/kernel/notes 2>/dev/null | tr -d ' \n'; }

# nodes: "0:1024 1:2048", MiB
nodes() {
	for info in /sys/devices/system/node/node*/meminfo; do
		[ -r "$info" ] || continue
		number=${info#*/node/node}
		sed -n "s/^Node [0-9]* MemTotal: *\\([0-9]*\\) kB/${number%%/*} \\1/p" "$info"
	done | while read -r number size; do printf '%s:%s ' "$number" $((size / 1024)); done
}

meminfo() { sed -n "s/^$1: *\\([0-9]*\\) kB/\\1/p" /proc/meminfo; }

yes_no() { if "$@" >/dev/null 2>&1; then echo yes; else echo no; fi; }

hotplug() { ls /sys/devices/system/memory/memory*/online >/dev/null 2>&1; }

debugfs() { grep -q ' /sys/kernel/debug debugfs ' /proc/mounts; }

offers_modules() {
	is_root && have insmod && [ "$(cat /proc/sys/kernel/modules_disabled 2>/dev/null)" = 0 ]
}

# right_kernel: whether modules of the bundle can be for the running kernel
right_kernel() {
	for_release=$(value "$manifest" kernel)
	[ -z "$for_release" ] || [ "$for_release" = "$release" ] || return 1
	id=$(value "$manifest" build-id)
	[ -n "$id" ] && [ -r /sys/kernel/notes ] || return 0
	case $(build_id) in *"$id"*) ;; *) return 1 ;; esac
}

facts() {
	echo "machine: $(uname -n)"
	echo "model: $(model | sed 's/ *$//')"
	echo "arch: $(uname -m)"
	echo "system: $(sed -n 's/^PRETTY_NAME="*\([^"]*\)"*$/\1/p' /etc/os-release 2>/dev/null)"
	echo "kernel: $release"
	echo "version: $(uname -v)"
	echo "command line: $(cat /proc/cmdline 2>/dev/null)"
	echo "cpus: $(grep -c '^processor' /proc/cpuinfo)"
	echo "memory: $(($(meminfo MemTotal) / 1024)) MiB"
	echo "free: $(($(meminfo MemFree) / 1024)) MiB"
	echo "nodes: $(nodes | sed 's/ *$//')"
	echo "block size: $(cat /sys/devices/system/memory/block_size_bytes 2>/dev/null)"
	echo "hotplug: $(yes_no hotplug)"
	echo "debugfs: $(yes_no debugfs)"
	echo "root: $(yes_no is_root)"
	echo "modules: $(yes_no offers_modules)"
	echo "right kernel: $(yes_no right_kernel)"
}

# The configuration of the running kernel, to standard output
config() {
	if [ -r /proc/config.gz ]; then
		gzip -dc /proc/config.gz
	elif [ -r "/boot/config-$release" ]; then
		cat "/boot/config-$release"
	fi
}
