# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What the steps have printed as one KTAP file; read by run.sh, which sets the variables.
# shellcheck disable=SC2154

# failing N KIND: whether a result in what it printed is a failure
failing() {
	if [ "$2" = kunit ]; then
		grep -qE '(^|\]) *not ok [0-9]' "$result/$1.dmesg"
	else
		grep '^not ok [0-9]' "$result/$1.out" | grep -qvE '# *(SKIP|XFAIL|TODO)'
	fi
}

# The output of a step as part of the whole: its results one level down, the rest as notes
show_output() {
	if grep -qE '^(K?TAP version|1\.\.[0-9])' "$result/$1.out" 2>/dev/null; then
		sed 's/^/    /' "$result/$1.out"
	else
		sed 's/^/# /' "$result/$1.out" 2>/dev/null
	fi
}

# show_messages N KIND: as the kernel printed them; results of KUnit one level down, and what
# only looks like a result as a note
show_messages() {
	[ -s "$result/$1.dmesg" ] || return 0
	stamp='^\[[ 0-9.]*\](\[ *[TC][0-9]*\])? '
	like=' *(# |ok [0-9]|not ok [0-9]|K?TAP version|1\.\.[0-9])'
	if [ "$2" = kunit ]; then
		sed -E -e "/$stamp$like/s/$stamp//" -e "/^$like/s/^/    /" "$result/$1.dmesg"
	else
		sed -E -e "/($stamp|^)$like/{" -e 's/(ok|version) ([0-9])/\1_\2/' -e 's/1\.\./1_/' \
			-e 's/^/# /' -e '}' "$result/$1.dmesg"
	fi
}

write_ktap() {
	{
		echo "KTAP version 1"
		sed 's/^/# memdesc-fact /' "$result/facts"
		echo "1..$total"
		n=0
		while IFS=$tab read -r name kind _; do
			n=$((n + 1))
			[ -e "$result/$n.status" ] || continue
			read -r word text <"$result/$n.status"
			show_output "$n"
			show_messages "$n" "$kind"
			text=$(printf '%s' "$text" | tr '#' ' ')
			case $word in
			ok) echo "ok $n $name" ;;
			skip) echo "ok $n $name # SKIP $text" ;;
			timeout) echo "not ok $n $name # $text" ;;
			crash) echo "not ok $n $name # ERROR crashed: $text" ;;
			*) echo "not ok $n $name # $text" ;;
			esac
		done <"$steps"
	} >"$result/result.ktap.new" && mv "$result/result.ktap.new" "$result/result.ktap"
}
