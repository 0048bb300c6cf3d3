# SPDX-License-Identifier: BSD-2-Clause
# The tree that a kernel under test boots into: programs with the libraries that they are linked with, from
# this machine or from a tree of another architecture, a kernel's modules, and the tests. Sourced.
# shellcheck shell=bash

# find_in ROOT NAME: a program's path below ROOT
find_in() {
	local directory

	for directory in /usr/sbin /usr/bin /sbin /bin /usr/local/sbin /usr/local/bin; do
		[ -f "$1$directory/$2" ] && echo "$directory/$2" && return
	done
	echo "$2 is needed" >&2
	return 1
}

# libraries_of ROOT FILE: the paths below ROOT of what the file is linked with, itself not among them
libraries_of() {
	local root=$1 interpreter name directory

	interpreter=$(readelf -lW "$2" 2>/dev/null | sed -n 's/.*interpreter: \(.*\)\]$/\1/p')
	[ -z "$interpreter" ] || echo "$interpreter"
	readelf -dW "$2" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p' | while read -r name; do
		for directory in /lib/*-linux-gnu /usr/lib/*-linux-gnu /usr/lib/*-linux-gnu/systemd \
			/lib64 /usr/lib64 /lib /usr/lib; do
			for directory in "$root"$directory; do
				[ -f "$directory/$name" ] && echo "${directory#"$root"}/$name" && continue 3
			done
		done
		echo "$name, which $2 is linked with, is needed" >&2
	done
}

# copy_libraries ROOT FILE TO
copy_libraries() {
	local path

	libraries_of "$1" "$2" | while read -r path; do
		[ ! -e "$3$path" ] || continue
		mkdir -p "$3$(dirname "$path")"
		cp -L "$1$path" "$3$path"
		copy_libraries "$1" "$1$path" "$3"
	done
}

# install_programs ROOT TO PROGRAM...: into /usr/bin
install_programs() {
	local root=$1 to=$2 name path

	shift 2
	mkdir -p "$to/usr/bin"
	for name; do
		path=$(find_in "$root" "$name") || return
		cp -L "$root$path" "$to/usr/bin/$name"
		copy_libraries "$root" "$root$path" "$to"
	done
}

# make_tree ROOT BUILD TO: everything but the modules
make_tree() {
	local root=$1 build=$2 to=$3 top applet file

	top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
	mkdir -p "$to"/{proc,sys,dev,tmp,run,root,etc,lib/modules,usr/sbin,dropscope/build/tests} || return
	# The last three: busybox's nsenter runs its own applets, its realpath lacks -m, its setpriv most.
	install_programs "$root" "$to" bash busybox curl jq ip tc nft nstat kmod bpftool \
		nsenter realpath setpriv || return
	for directory in bin sbin; do
		ln -s usr/bin "$to/$directory"
	done
	# The rest are busybox's, under the names of this machine's own.
	for applet in $(busybox --list); do
		[ -e "$to/usr/bin/$applet" ] || ln -s busybox "$to/usr/bin/$applet"
	done
	ln -sf kmod "$to/usr/bin/modprobe"
	cp "$build/dropscoped" "$to/dropscope/build/"
	cp -r "$build"/tests/system "$build"/tests/kernels "$to/dropscope/build/tests/"
	for file in "$to"/dropscope/build/dropscoped "$to"/dropscope/build/tests/*/*; do
		copy_libraries "$root" "$file" "$to"
	done
	mkdir -p "$to/dropscope/tests"
	cp -r "$top/tests/system" "$top/tests/kernels" "$to/dropscope/tests/"
	cp "$top/tests/kernels/init" "$to/init"
}

# add_modules KERNEL TO MODULE...: those that the kernel has, with what they depend on
add_modules() {
	local kernel=$1 to=$2 version module path

	shift 2
	version=$(cat "$kernel/version")
	for module; do
		modprobe -d "$kernel" -S "$version" --show-depends "$module" 2>/dev/null
	done | awk '$1 == "insmod" { print $2 }' | sort -u | while read -r path; do
		mkdir -p "$to$(dirname "${path#"$kernel"}")"
		cp "$path" "$to${path#"$kernel"}"
	done
	depmod -b "$to" "$version" 2>/dev/null
}

# pack TREE FILE: as an initramfs
pack() {
	(cd "$1" && find . | cpio --quiet -o -H newc -R 0:0) | gzip -1 >"$2"
}
