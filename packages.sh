#!/bin/sh
# Install the Debian or Ubuntu packages that `make regress` and `make test` need.
#
# More packages can be given as arguments. As root or with sudo they are installed. Otherwise
# the one command that is missing is printed, and what is there already must do.
set -eu

wanted="bc bison busybox-static ccache cpio flex gcc git gpg gpgv kmod libc6-dev libelf-dev libssl-dev make
perl python3 python3-venv qemu-system-x86 rsync xz-utils $*"

command -v dpkg-query >/dev/null 2>&1 || {
	echo "packages.sh: no dpkg here; needed, by Debian's names:" $wanted >&2
	exit 0
}

missing=
for package in $wanted; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

command="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
	sudo=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
	sudo="sudo -n"
else
	echo "packages.sh: going on without some packages; to install them:" >&2
	echo "  sudo $command" >&2
	exit 0
fi
echo "installing:$missing" >&2
$sudo apt-get update -qq >&2
$sudo env DEBIAN_FRONTEND=noninteractive $command >/dev/null
