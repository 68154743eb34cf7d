#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs the steps of the bundle that it lies in, on this machine, and writes result/:
#
#   result.ktap   everything: facts of the machine, results, the kernel's messages of each step
#   facts         what the machine is: "name: value"
#   config        the configuration of the running kernel, where it can be had
#
#   sh run.sh             run; after a crash and reboot: go on with the next step
#   sh run.sh --list      the steps
#   sh run.sh --facts     what this machine offers
#   sh run.sh --anyway    run although the kernel is not the one that the bundle is for: what
#                         needs its modules is skipped
#   sh run.sh --attach    run in the background and show how far it is, until it has ended
#   sh run.sh --stop      end the one that runs; its step begins anew next time
#   sh run.sh --again     forget the results that are there
#
# A step that was running when the machine went down has failed. Exit status 0: all passed;
# 1: something failed or nothing ran; 2: wrong use, or a machine that does not fit; 130: stopped.

here=$(cd "$(dirname "$0")" && pwd) || exit 2
result=$here/result
steps=$here/steps
manifest=$here/manifest
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown)
release=$(uname -r)
tab=$(printf '\t')
group=

starting=

for file in "$steps" "$manifest" "$here/machine.sh" "$here/ktap.sh"; do
	[ -r "$file" ] || {
		echo "memdesc-run: $here is no bundle: there is no $file" >&2
		exit 2
	}
done
# shellcheck source=SCRIPTDIR/machine.sh
. "$here/machine.sh"
# shellcheck source=SCRIPTDIR/ktap.sh
. "$here/ktap.sh"

say() { echo "memdesc-run: $*"; }

die() {
	echo "memdesc-run: $*" >&2
	exit 2
}

# put FILE TEXT: all or nothing, on disk before it returns
put() {
	printf '%s\n' "$2" >"$1.new" && mv "$1.new" "$1" && sync
}

seconds() {
	read -r up rest </proc/uptime
	echo "${up%.*}"
}

nap() { sleep 0.2 2>/dev/null || sleep 1; }

check_machine() {
	[ "$(id -u)" = 0 ] || say "not root: what needs it is skipped"
	right_kernel && return
	wanted="$(value "$manifest" kernel) $(value "$manifest" build-id)"
	[ "$anyway" ] || die "this bundle is for kernel $wanted, $release runs: boot that one," \
		"or give --anyway, which skips what needs its modules"
	say "this bundle is for kernel $wanted, not for the one that runs: modules are skipped"
}

# --- what is changed on the machine, and undone at the end -----------------------------------

prepare() {
	is_root || return 0
	mounted=
	if [ -d /sys/kernel/debug ] && ! debugfs && mount -t debugfs none /sys/kernel/debug; then
		mounted=1
	fi 2>/dev/null
	linked=
	if [ -d "$here/lib/modules/$release" ] && [ ! -e "/lib/modules/$release" ]; then
		mkdir -p /lib/modules && ln -s "$here/lib/modules/$release" "/lib/modules/$release" && linked=1
	fi
	# What panics is to reboot, so that the run can go on.
	panic=$(cat /proc/sys/kernel/panic 2>/dev/null)
	[ "$panic" = 0 ] && echo 5 >/proc/sys/kernel/panic
	[ -e "$result/changed" ] && [ ! "$linked" ] && linked=$(value "$result/changed" linked)
	put "$result/changed" "boot: $boot
mounted: $mounted
linked: $linked
panic: $panic"
}

undo() {
	[ -e "$result/changed" ] || return 0
	if [ "$(value "$result/changed" boot)" = "$boot" ]; then
		[ "$(value "$result/changed" mounted)" ] && umount /sys/kernel/debug 2>/dev/null
		[ "$(value "$result/changed" panic)" = 0 ] && echo 0 >/proc/sys/kernel/panic
	fi
	if [ "$(value "$result/changed" linked)" ] && [ -h "/lib/modules/$release" ]; then
		rm -f "/lib/modules/$release"
	fi
	rm -f "$result/changed"
}

# --- one step --------------------------------------------------------------------------------

mark() { [ -w /dev/kmsg ] && echo "memdesc-run: step $1 of $id begins" >/dev/kmsg; }

# messages N: what the kernel has said since the mark
messages() {
	[ -w /dev/kmsg ] && have dmesg || return 0
	dmesg >"$result/$1.all" 2>/dev/null || return 0
	if grep -q "memdesc-run: step $1 of $id begins" "$result/$1.all"; then
		sed "1,/memdesc-run: step $1 of $id begins/d" "$result/$1.all"
	else
		echo "# messages of the kernel were lost"
		cat "$result/$1.all"
	fi
	rm -f "$result/$1.all"
}

# settle N WORD TEXT: what a step came to
settle() {
	put "$result/$1.status" "$2 $3"
	rm -f "$result/running"
	write_ktap
	say "[$1/$total] $(sed -n "$1s/$tab.*//p" "$steps"): $2${3:+, $3}"
}

members() {
	for stat in /proc/[0-9]*/stat; do
		line=$(cat "$stat" 2>/dev/null) || continue
		# shellcheck disable=SC2086 # the fields behind the name
		set -- ${line##*) }
		[ "$3" = "$group" ] && [ "$1" != Z ] && echo "$1"
	done
}

kill_group() {
	[ "$group" ] || return 0
	kill -TERM "-$group" 2>/dev/null
	tries=0
	while [ "$(members)" ] && [ $tries -lt 50 ]; do
		[ $tries = 10 ] && kill -KILL "-$group" 2>/dev/null
		tries=$((tries + 1))
		nap
	done
	! [ "$(members)" ]
}

# execute N SECONDS DIRECTORY COMMAND: sets code, "" where it did not end, and late
execute() {
	rm -f "$result/$1.code"
	late=
	# shellcheck disable=SC2016 # for the shell that runs it
	setsid sh -c 'cd "$1" && (eval "$2"); echo $? >"$3.new"; mv "$3.new" "$3"' \
		sh "$3" "$4" "$result/$1.code" >"$result/$1.out" 2>&1 </dev/null &
	group=$!
	end=$(($(seconds) + $2))
	while [ ! -e "$result/$1.code" ] && kill -0 "$group" 2>/dev/null; do
		if [ "$(seconds)" -ge "$end" ]; then
			late="TIMEOUT after $2 s"
			kill_group || late="$late, cannot be killed"
			break
		fi
		nap
	done
	code=$(cat "$result/$1.code" 2>/dev/null)
	rm -f "$result/$1.code"
	# Whatever the step has left running ends with it.
	[ "$late" ] || { [ "$(members)" ] && kill_group; }
	group=
}

no_module() {
	if ! is_root; then
		echo "needs root"
	elif ! offers_modules; then
		echo "modules cannot be loaded here"
	elif ! right_kernel; then
		echo "not built for this kernel"
	fi
}

# step N ID KIND SECONDS DIRECTORY COMMAND
step() {
	why=
	case $3 in module | kunit) why=$(no_module) ;; esac
	if [ "$why" ]; then
		settle "$1" skip "$why"
		return
	fi
	put "$result/running" "boot: $boot
step: $1"
	say "[$1/$total] $2"
	mark "$1"
	case $3 in
	run) command=$6 ;;
	module) command="insmod '$6' && rmmod '$(basename "$6" .ko)'" ;;
	kunit) command="modprobe -r '$6' 2>/dev/null; modprobe '$6' && modprobe -r '$6'" ;;
	*) command="echo 'unknown kind of step: $3'; false" ;;
	esac
	execute "$1" "$4" "$here/$5" "$command"
	messages "$1" >"$result/$1.dmesg"
	judge "$1" "$3"
}

judge() {
	if [ "$late" ]; then
		settle "$1" timeout "$late"
	elif [ -z "$code" ]; then
		settle "$1" fail "it was killed"
	elif [ "$code" = 4 ] && [ "$2" = run ]; then
		settle "$1" skip "its exit status says so: $(grep -i skip "$result/$1.out" | tail -n 1 | tr '#' ' ')"
	elif [ "$code" != 0 ]; then
		settle "$1" fail "exit status $code"
	elif [ "$2" = kunit ] && ! grep -qE '(^|\]) *ok [0-9]' "$result/$1.dmesg"; then
		settle "$1" fail "no KUnit suite passed or reported"
	elif failing "$1" "$2"; then
		settle "$1" fail "some of it failed"
	else
		settle "$1" ok ""
	fi
}

# --- all steps -------------------------------------------------------------------------------

begin() {
	mkdir -p "$result" || die "cannot write $result"
	total=$(grep -c . "$steps")
	if [ ! -e "$result/facts" ]; then
		config >"$result/config" 2>/dev/null
		digest=$(sha256sum <"$result/config" 2>/dev/null | cut -d ' ' -f 1)
		[ -s "$result/config" ] || digest=
		id=$(cat /proc/sys/kernel/random/uuid)
		put "$result/facts" "run: $id
bundle: $(value "$manifest" bundle)
started: $(date -u '+%Y-%m-%d %H:%M:%S')
$(facts)
config: $digest"
	fi
	id=$(value "$result/facts" run)
	settle_running
	case $(df -P "$result" 2>/dev/null | tail -n 1) in
	tmpfs*) say "$result is in memory: it will not survive a crash" ;;
	esac
}

# Settle the step that was running when the last call ended without an end.
settle_running() {
	[ -e "$result/running" ] || return 0
	number=$(value "$result/running" step)
	if [ "$(value "$result/running" boot)" = "$boot" ]; then
		settle "$number" fail "the runner was killed in this step"
		return
	fi
	last_words >"$result/$number.dmesg"
	settle "$number" crash "the machine went down in this step"
}

# What the kernel that went down has left in pstore
last_words() {
	[ -d /sys/fs/pstore ] || return 0
	ls /sys/fs/pstore/* >/dev/null 2>&1 || mount -t pstore none /sys/fs/pstore 2>/dev/null
	for file in /sys/fs/pstore/dmesg-*; do
		[ -r "$file" ] && sed 's/^<[0-9]*>//' "$file"
	done
}

alive() {
	[ -e "$result/pid" ] && [ "$(value "$result/pid" boot)" = "$boot" ] || return 1
	tr '\000' ' ' <"/proc/$(value "$result/pid" pid)/cmdline" 2>/dev/null | grep -q 'run\.sh'
}

finish() {
	undo
	rm -f "$result/pid"
	trap - EXIT
}

stopped() {
	kill_group
	rm -f "$result/running"
	finish
	say "stopped; the same command goes on"
	exit 130
}

run() {
	begin
	trap stopped INT TERM HUP
	trap finish EXIT
	put "$result/pid" "pid: $$
boot: $boot"
	prepare
	number=0
	while IFS=$tab read -r name kind limit directory command <&3; do
		number=$((number + 1))
		[ -e "$result/$number.status" ] && continue
		step "$number" "$name" "$kind" "$limit" "$directory" "$command" 3<&-
	done 3<"$steps"
	write_ktap
	conclude
	finish
	return $status
}

conclude() {
	passed=0 failed=0 skipped=0
	number=0
	while [ $number -lt "$total" ]; do
		number=$((number + 1))
		read -r word text <"$result/$number.status"
		case $word in
		ok) passed=$((passed + 1)) ;;
		skip) skipped=$((skipped + 1)) ;;
		*) failed=$((failed + 1)) ;;
		esac
	done
	status=0
	[ $failed = 0 ] && [ $passed != 0 ] || status=1
	if grep -qE '(WARNING|BUG|Oops|UBSAN): |INFO: (task|rcu|possible)' "$result"/*.dmesg 2>/dev/null; then
		say "the kernel complained; the result has what it said"
	fi
	say "$passed passed, $failed failed, $skipped skipped: $result/result.ktap"
	put "$result/exit" "$status"
}

# Run in the background, show its words as they come, return its exit status.
attach() {
	mkdir -p "$result" || die "cannot write $result"
	if ! alive && [ ! -e "$result/exit" ]; then
		: >"$result/log"
		# shellcheck disable=SC2086 # an option or nothing
		setsid sh "$0" $anyway >>"$result/log" 2>&1 </dev/null &
		starting=$!
	fi
	shown=0
	while alive || { [ "$starting" ] && kill -0 "$starting" 2>/dev/null; }; do
		more
		nap
	done
	more
	[ -e "$result/exit" ] || exit 2
	return "$(cat "$result/exit")"
}

more() {
	lines=$(wc -l <"$result/log")
	[ "$lines" -gt "$shown" ] && sed -n "$((shown + 1)),${lines}p" "$result/log"
	shown=$lines
}

stop() {
	alive || return 0
	kill -TERM "$(value "$result/pid" pid)"
	while alive; do nap; done
}

anyway=
action=run
for argument in "$@"; do
	case $argument in
	--anyway) anyway=--anyway ;;
	--attach | --facts | --list | --stop | --again) action=${argument#--} ;;
	*) die "unknown option $argument (see the top of $0)" ;;
	esac
done

case $action in
facts) facts ;;
list) cut -f 1-3 "$steps" ;;
stop) stop ;;
attach) attach ;;
*)
	alive && die "it is running already; --attach shows how far it is"
	check_machine
	if [ "$action" = again ]; then
		undo
		rm -rf "$result"
	fi
	run
	;;
esac
