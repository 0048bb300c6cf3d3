# SPDX-License-Identifier: BSD-2-Clause
# Packages of another Debian suite or architecture, through this machine's own apt and mirror, beside the
# machine's own packages: nothing is installed. Sourced; $cache is where it keeps its lists.
# shellcheck shell=bash

# One at a time, until the script ends.
cache_lock() {
	mkdir -p "$cache" && exec 9>"$cache/lock" && flock 9
}

# mirror_open SUITE ARCH: for the functions below
mirror_open() {
	local suite=$1 arch=$2 state=$cache/apt/$1-$2

	command -v apt-get >/dev/null || { echo "apt-get is needed" >&2; return 1; }
	mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/empty" || return
	: >"$state/status"
	mirror_sources "$suite" >"$state/sources.list"
	[ -s "$state/sources.list" ] || { echo "this machine's apt knows no Debian mirror" >&2; return 1; }
	MIRROR_STATE=$state
	MIRROR=(
		-o "Dir::State=$state" -o "Dir::State::status=$state/status" -o "Dir::State::lists=$state/lists"
		-o "Dir::Cache=$state" -o "Dir::Cache::archives=$state/archives"
		-o "Dir::Etc::SourceList=$state/sources.list" -o "Dir::Etc::SourceParts=$state/empty"
		-o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o APT::Get::List-Cleanup=0
		-o Acquire::Languages=none -o Acquire::Retries=2 -o Acquire::http::Timeout=20
		-o APT::Sandbox::User=root -o Debug::NoLocking=1 -o APT::Update::Error-Mode=any -q
	)
	# A suite may have no suite for its security updates; the first line is what counts.
	apt-get "${MIRROR[@]}" update >/dev/null ||
		{ sed -i 1q "$state/sources.list" && apt-get "${MIRROR[@]}" update >/dev/null; }
}

# The machine's own sources, with another suite: the archive, and the security updates for it.
mirror_sources() {
	apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' |
		awk -F '|' -v suite="$1" '$1 == "Debian" && $4 == "main" {
			security = $3 ~ /-security$/
			if (seen[security]++)
				next
			line[security] = "deb " $2 " " suite (security ? "-security" : "") " main"
		}
		END { if (0 in line) print line[0]; if (1 in line && suite !~ /^sid$|-/) print line[1] }'
}

apt_there() {
	apt-cache "${MIRROR[@]}" "$@"
}

# mirror_unpack DIRECTORY PACKAGE...: these packages
mirror_unpack() {
	local to=$1 work status

	shift
	work=$(mktemp -d "$to.XXXXXX") || return
	(cd "$work" && apt-get "${MIRROR[@]}" download "$@" >/dev/null) && unpack "$to" "$work"/*.deb
	status=$?
	rm -rf "$work"
	return $status
}

# mirror_unpack_all DIRECTORY PACKAGE...: with all that they depend on
mirror_unpack_all() {
	local to=$1

	shift
	apt-get "${MIRROR[@]}" install --download-only --no-install-recommends -y "$@" >/dev/null &&
		unpack "$to" "$MIRROR_STATE"/archives/*.deb && rm -f "$MIRROR_STATE"/archives/*.deb
}

# unpack DIRECTORY FILE...
unpack() {
	local to=$1 file

	shift
	for file; do
		dpkg-deb -x "$file" "$to" || return
	done
}
