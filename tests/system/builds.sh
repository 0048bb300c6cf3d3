# SPDX-License-Identifier: BSD-2-Clause
# Other builds of these sources, for tests of upgrades; sourced after lib.sh.
# shellcheck shell=bash

# build NAME SED-EXPRESSION FILE...: another build of these sources, changed; sets OTHER, the program. When it fails
# that is a fault of the case, and there is none.
build() {
	local name=$1 tree=$TMP/$1 expression=$2 file

	OTHER=
	shift 2
	if [ ! -d "$tree" ]; then
		mkdir "$tree"
		cp -a "$TOP/Makefile" "$TOP/bpf" "$TOP/daemon" "$TOP/config" "$TOP/packaging" "$tree"
		for file; do
			sed -i "$expression" "$tree/$file"
			! cmp -s "$tree/$file" "$TOP/$file" ||
				fault "expected $file to be changed for the build $name, got it as it was" || return
		done
		# What is older than its object is as it was there.
		mkdir "$tree/build"
		cp -a "$BUILD"/{release,hints.bin,*.bpf.o,*.skel.h} "$tree/build"
		make -s --no-print-directory -C "$tree" -j"$(nproc)" BUILD=build all >"$tree/log" 2>&1
	fi
	[ -x "$tree/build/dropscoped" ] ||
		fault "expected the build $name, got: $(tail -n 1 "$tree/log")" || return
	OTHER=$tree/build/dropscoped
}

# debian_package: sets DEB, the package of these sources. Where one of the very same is there, with the tarball that
# it was made of, that is it.
debian_package() {
	local version packages=$BUILD/packages

	version=$(sed -n 's/.*DROPSCOPE_VERSION "\(.*\)"/\1/p' "$TOP/daemon/version.h")
	DEB=$packages/dropscope_$version-1_$(dpkg --print-architecture).deb
	"$TOP/packaging/build" source "$TMP/source" >"$TMP/deb.log" 2>&1
	# One that is being built is waited for.
	[ ! -e "$packages/lock" ] || flock "$packages/lock" true
	[ -e "$DEB" ] && cmp -s "$TMP/source/packages/dropscope-$version.tar.gz" \
		"$packages/dropscope_$version.orig.tar.gz" && return
	"$TOP/packaging/build" deb "$BUILD" nocheck >>"$TMP/deb.log" 2>&1 && [ -e "$DEB" ] ||
		fault "expected a package, got: $(tail -n 1 "$TMP/deb.log")"
}

# Another program for the same slots.
build_program() {
	build program 's/drop\[1\] | SLOT_LIVE;/(drop[1] | SLOT_LIVE) + 0 * bpf_get_smp_processor_id();\n\tbarrier();/' \
		bpf/drops.bpf.c
}

# Another layout: the counters stand elsewhere, there is one more, another has another name.
build_layout() {
	build layout 's/__u64 packets;/__u64 seen; __u64 packets;/; s/pad\[\([0-9]*\)\]/pad[\1 - 2]/
		s/\.layout = 1/.layout = 2/; s/\.n_slot_values = 3/.n_slot_values = 4/
		s/{ .name = "packets",/{ .name = "seen", .kind = COLUMN_COUNTER, .metric = "dropscope_seen", .help = "Seen." },\n\t&/
		s/.name = "wire_packets"/.name = "segments"/
		s/slot->packets += 1;/slot->packets += 1; slot->seen += 1;/' \
		bpf/drops.h daemon/collect/drops.c bpf/drops.bpf.c
}

# A program that the kernel refuses: it reads what is no memory.
build_broken() {
	build broken 's/drop\[1\] | SLOT_LIVE/(drop[1] | SLOT_LIVE) + *(volatile long *)8/' bpf/drops.bpf.c
}
