#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The packages: built twice by different users in different places, read, checked, installed into a tree,
# upgraded, taken back and removed. They stay in BUILD/packages.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"

PACKAGES=$BUILD/packages
VERSION=$(sed -n 's/.*DROPSCOPE_VERSION "\(.*\)"/\1/p' "$TOP/daemon/version.h")
NEXT=$VERSION.1
OTHER=$TMP/other
CONF=etc/dropscope/dropscoped.conf
# Debian's rpm makes a database there.
export HOME=$TMP

# build_otherwise rpm|deb TREE BUILD [check]: without git, without the unit tests unless told to, by a user without
# rights if we are root, with another umask, time zone and locale
build_otherwise() {
	local user=() check=${4:-nocheck}

	[ "$(id -u)" != 0 ] || user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	(
		umask 077
		"${user[@]}" env HOME="$OTHER" TZ=Asia/Tokyo SOURCE_DATE_EPOCH="$EPOCH" \
			"$2/packaging/build" "$1" "$3" "$check"
	) >"$TMP/otherwise.log" 2>&1 ||
		fault "expected packages of $2, got: $(tail -n 1 "$TMP/otherwise.log")"
}

# unpack DIRECTORY: the sources once more, as a release brings them
unpack() {
	mkdir -p "$1" && tar -xzf "$TMP"/source/packages/*.tar.gz --strip-components=1 -C "$1"
	[ "$(id -u)" != 0 ] || chown -R 65534:65534 "$1"
}

# same_bytes GLOB: what was built there and otherwise
same_bytes() {
	local file

	# shellcheck disable=SC2231 # the pattern is one
	for file in "$PACKAGES"/$1; do
		equal "sha256 of ${file##*/}" "$(sha256sum <"$file")" \
			"$(sha256sum <"$OTHER/build/packages/${file##*/}")"
	done
}

# In a package's list, "MODE OWNER/GROUP PATH": what should be otherwise.
wrong_modes() {
	grep -v -e '^drwxr-xr-x root/root ' -e '^lrwxrwxrwx root/root ' -e '^-rw-r--r-- root/root ' \
		-e '^-rwxr-xr-x root/root /usr/sbin/dropscoped$' -e '^-r--r--r-- root/root /usr/lib/debug/'
}

# has_files LIST UNITS-DIRECTORY: what both packages have
has_files() {
	local path unit

	for path in /usr/sbin/dropscoped "/$CONF" /etc/dropscope/hints.d /usr/share/dropscope \
		/usr/share/man/man8/dropscoped.8.gz /usr/share/man/man5/dropscoped.conf.5.gz \
		/usr/share/bash-completion/completions/dropscoped '/usr/share/doc/dropscope/README.md*'; do
		matches "the files" "*/root $path"$'\n*' "$1"$'\n'
	done
	for unit in "$TOP"/systemd/*.service "$TOP"/systemd/*.socket; do
		[ ! -e "$unit" ] || matches 'the units' "*/root $2/${unit##*/}"$'\n*' "$1"$'\n'
	done
	equal 'tests among the files' '' "$(grep '_test\.yml' <<<"$1")"
	equal 'files with other modes or owners' '' "$(wrong_modes <<<"$1")"
}

# ---- a tree to install into: a shell, and programs that write down how they were called

# tree DIRECTORY PROGRAM...
tree() {
	local tree=$1 file

	shift
	mkdir -p "$tree"/{bin,dev,etc,run/systemd/system,var/lib/dpkg/{info,updates}}
	cp "$(command -v bash)" "$tree/bin/sh"
	for file in $(ldd "$tree/bin/sh" | grep -o '/[^ ]*'); do
		mkdir -p "$tree${file%/*}" && cp -L "$file" "$tree$file"
	done
	for file; do
		mkdir -p "$tree${file%/*}"
		# shellcheck disable=SC2016 # for the other script
		printf '#!/bin/sh\necho "${0##*/} $*" >>/calls\n' >"$tree$file"
		chmod 755 "$tree$file"
	done
	touch "$tree"/{calls,dev/null,var/lib/dpkg/status}
}

# calls TREE: what was called since the last time, on one line
calls() {
	tr '\n' ';' <"$1/calls"
	: >"$1/calls"
}

# Files, and directories of ours, but the package managers' records. A package shares the other directories.
contents() {
	(cd "$1" && find . -path ./var/lib -prune -o ! -name calls \( ! -type d -o -name '*dropscope*' \) -print |
		sort)
}

# settings FILE: the lines that differ here
settings() {
	grep -e budget -e log-level "$1"
}

# edited FILE: as somebody would
edited() {
	sed -i 's/^#log-level = info/log-level = warning/' "$1"
	matches 'edited configuration' '*log-level = warning*' "$(settings "$1")"
}

# ---- rpm

rpm_tools() {
	needs rpmbuild rpmspec debugedit eu-strip clang bpftool make
}

package_rpm() {
	echo "$PACKAGES/dropscope-$VERSION-1"*."$(uname -m).rpm"
}

# The unit tests, which cost more than all the rest, are of another package (below).
case_rpm() {
	rpm_tools || return
	"$TOP/packaging/build" rpm "$BUILD" nocheck >"$TMP/make.log" 2>&1 ||
		fault "expected rpm packages, got: $(tail -n 1 "$TMP/make.log")" || return
	equal 'files named -debuginfo' 1 "$(find "$PACKAGES" -name "dropscope-debuginfo-$VERSION-*.rpm" | wc -l)"
	equal 'files named .src.rpm' 1 "$(find "$PACKAGES" -name "dropscope-$VERSION-*.src.rpm" | wc -l)"
	equal 'version' "$VERSION" "$(rpm -qp --qf '%{VERSION}' "$(package_rpm)")"
}

case_rpm_reproducible() {
	rpm_tools && needs setpriv || return
	build_otherwise rpm "$OTHER" "$OTHER/build" || return
	# The source package has its builder's name in it.
	same_bytes "*.$(uname -m).rpm"
}

case_rpm_files() {
	local list

	rpm_tools || return
	list=$(rpm -qp --qf '[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]' "$(package_rpm)")
	has_files "$list" /usr/lib/systemd/system
	equal 'configuration files' "cn /$CONF" \
		"$(rpm -qp --qf '[%{FILEFLAGS:fflags} %{FILENAMES}\n]' "$(package_rpm)" | grep '^[^ ]*c')"
	matches 'licences' '*/LICENSE' "$(rpm -qp --licensefiles "$(package_rpm)")"
	matches 'debug information' '*/usr/lib/debug/usr/sbin/dropscoped-*.debug*' \
		"$(rpm -qpl "$PACKAGES"/dropscope-debuginfo-*.rpm)"
}

case_rpm_scriptlets() {
	local scripts

	rpm_tools || return
	scripts=$(rpm -qp --scripts "$(package_rpm)")
	equal 'lines with %' '' "$(grep '%' <<<"$scripts")"
	equal 'scriptlets' 3 "$(grep -c '^p.* scriptlet ' <<<"$scripts")"
	# Whoever forgets Fedora's macros, or mistypes one, must not ship its name.
	unpack "$TMP/macro"
	sed -i 's/^%systemd_preun /%systemd_preunn /' "$TMP/macro/packaging/rpm/dropscope.spec"
	matches 'the build with a macro that is none' '*scriptlet*%systemd_preunn*' \
		"$(SOURCE_DATE_EPOCH=$EPOCH "$TMP/macro/packaging/build" rpm "$TMP/macro/build" nocheck 2>&1 &&
			echo 'it went through')"
	equal 'packages of it' '' "$(find "$TMP/macro" -name '*.rpm')"
}

case_rpmlint() {
	rpm_tools && needs rpmlint || return
	equal 'what rpmlint says' '' "$(rpmlint -c "$TOP/packaging/rpm/rpmlint.toml" "$PACKAGES"/*.rpm 2>&1 |
		grep -E ': [EWF]: |Traceback')"
}

# Into a tree, where only the package's own files count: what it needs is not there.
rpm_into() {
	rpm --root "$TMP/rpm" --nodeps --nosignature "$@" 2>&1 | grep -v -e '^warning: .* created as ' -e '^rpm: '
}

# later_tree DIRECTORY: a later version, with another default, of which only the packaging matters: its program is that
# which has been built, and of the unit tests it has two.
later_tree() {
	unpack "$1"
	sed -i "1s/$VERSION/$NEXT/" "$1/packaging/deb/changelog"
	sed -i "s/\"$VERSION\"/\"$NEXT\"/" "$1/daemon/version.h"
	sed -i 's/^#budget = .*/#budget = 999/' "$1/config/dropscoped.conf"
	cp "$DAEMON" "$1/dropscoped"
	chmod 755 "$1/dropscoped"
	sed -i -e 's,^$(BUILD)/dropscoped: $(OBJECTS)$,$(BUILD)/dropscoped: dropscoped,' \
		-e 's,^\t$(CC) $(CFLAGS) $(LINK).*,\tinstall -D $< $@,' "$1/Makefile"
	find "$1/tests/unit" -name 'test_*.c' ! -name test_utf8.c ! -name test_record.c -delete
}

case_rpm_life() {
	local root=$TMP/rpm later=$TMP/later units='dropscoped.service dropscoped.socket' before next

	rpm_tools && needs root || return
	later_tree "$later"
	build_otherwise rpm "$later" "$later/build" check || return
	matches 'what the unit tests said' '[1-9]* passed, 0 failed, *' \
		"$(grep '^[0-9]* passed, ' "$later/build/packages/rpm.log")"
	next=$(echo "$later/build/packages/dropscope-$NEXT-1"*."$(uname -m).rpm")

	tree "$root" /usr/bin/systemctl /usr/lib/systemd/systemd-update-helper
	rpm --root "$root" --initdb
	before=$(contents "$root")
	equal 'words at installation' '' "$(rpm_into -i "$(package_rpm)")"
	matches 'calls at installation' '*preset dropscoped.service;*' \
		"$(calls "$root" | sed 's/install-system-units/preset/')"
	equal 'words at an upgrade' '' "$(rpm_into -U "$next")"
	matches 'calls at an upgrade' '*restart* dropscoped.service;*' "$(calls "$root")"
	matches 'configuration that was left alone' '*#budget = 999*' "$(settings "$root/$CONF")"
	equal 'words at a downgrade' '' "$(rpm_into -U --oldpackage "$(package_rpm)")"
	matches 'configuration that was left alone' '*#budget = 1000*' "$(settings "$root/$CONF")"

	edited "$root/$CONF"
	equal 'words at an upgrade' '' "$(rpm_into -U "$next")"
	matches 'edited configuration' '*log-level = warning*' "$(settings "$root/$CONF")"
	matches 'new default beside it' '*#budget = 999*' "$(settings "$root/$CONF.rpmnew")"
	rm "$root/$CONF.rpmnew"
	equal 'words at a downgrade' '' "$(rpm_into -U --oldpackage "$(package_rpm)")"
	matches 'edited configuration' '*log-level = warning*' "$(settings "$root/$CONF")"
	rm "$root/$CONF.rpmnew"

	calls "$root" >/dev/null
	equal 'words at removal' '' "$(rpm_into -e dropscope | grep -v ' saved as ')"
	matches 'calls at removal' "*disable $units;*stop $units;*" \
		"$(calls "$root" | sed 's/remove-system-units \([^;]*\)/disable \1;stop \1/')"
	equal 'what is left' "$(printf './%s\n' etc/dropscope "$CONF.rpmsave")" \
		"$(comm -13 <(echo "$before") <(contents "$root"))"
	matches 'what was edited' '*log-level = warning*' "$(settings "$root/$CONF.rpmsave")"
}

# ---- deb

deb_tools() {
	needs dpkg-buildpackage dh clang bpftool make
}

package_deb() {
	echo "$PACKAGES/dropscope_$VERSION-1_$(dpkg --print-architecture).deb"
}

case_deb() {
	deb_tools || return
	(cd "$TOP" && DEB_BUILD_OPTIONS=nocheck make --no-print-directory deb BUILD="$BUILD") >"$TMP/make.log" 2>&1 ||
		fault "expected make deb to build packages, got: $(tail -n 1 "$TMP/make.log")" || return
	truth 'the package' test -s "$(package_deb)"
	truth 'its debug symbols' test -s "$PACKAGES/dropscope-dbgsym_$VERSION-1_$(dpkg --print-architecture).deb"
	truth 'its source' test -s "$PACKAGES/dropscope_$VERSION-1.dsc"
}

case_deb_reproducible() {
	deb_tools && needs setpriv || return
	build_otherwise deb "$OTHER" "$OTHER/build" || return
	same_bytes '*.deb'
	same_bytes '*.dsc'
}

case_deb_files() {
	local list

	deb_tools || return
	list=$(dpkg-deb -c "$(package_deb)" | awk '{ print $1, $2, substr($6, 2) }' | sed 's|/$||')
	has_files "$list" "$(awk '/dropscoped.service$/ { sub("/dropscoped.service", "", $3); print $3 }' <<<"$list")"
	equal 'configuration files' "/$CONF" "$(dpkg-deb -I "$(package_deb)" conffiles)"
	matches 'copyright' '*/usr/share/doc/dropscope/copyright*' "$list"
}

case_lintian() {
	local user=()

	deb_tools && needs lintian || return
	[ "$(id -u)" != 0 ] || user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	equal 'what lintian says' '' "$("${user[@]}" \
		lintian -EvIL +pedantic "$OTHER/build/packages/"*.changes 2>&1 | grep -v '^N: ')"
}

deb_into() {
	dpkg --root "$TMP/deb" --force-depends --force-confdef --force-confold "$@" 2>&1 |
		grep -i -e error -e 'not found'
}

case_deb_life() {
	local root=$TMP/deb before next=$TMP/next.deb

	deb_tools && needs root || return
	dpkg-deb -R "$(package_deb)" "$TMP/next"
	sed -i "s/^Version: .*/Version: $NEXT-1/" "$TMP/next/DEBIAN/control"
	sed -i 's/^#budget = .*/#budget = 999/' "$TMP/next/$CONF"
	dpkg-deb --root-owner-group -b "$TMP/next" "$next" >/dev/null

	tree "$root" /usr/bin/{systemctl,deb-systemd-helper,deb-systemd-invoke}
	before=$(contents "$root")
	equal 'words at installation' '' "$(deb_into -i "$(package_deb)")"
	# That of the socket is somebody's choice.
	matches 'calls at installation' '*helper enable dropscoped.service;*invoke start dropscoped.service;*' \
		"$(calls "$root")"
	equal 'words at an upgrade' '' "$(deb_into -i "$next")"
	matches 'calls at an upgrade' '*invoke restart dropscoped.service;*' "$(calls "$root")"
	matches 'configuration that was left alone' '*#budget = 999*' "$(settings "$root/$CONF")"

	edited "$root/$CONF"
	equal 'words at a downgrade' '' "$(deb_into -i "$(package_deb)")"
	matches 'edited configuration' '*log-level = warning*' "$(settings "$root/$CONF")"
	matches 'other default beside it' '*#budget = 1000*' "$(settings "$root/$CONF.dpkg-dist")"
	equal 'words at an upgrade' '' "$(deb_into -i "$next")"
	matches 'edited configuration' '*log-level = warning*' "$(settings "$root/$CONF")"

	calls "$root" >/dev/null
	equal 'words at removal' '' "$(deb_into -r dropscope)"
	matches 'calls at removal' '*invoke stop dropscoped.socket;*invoke stop dropscoped.service;*' "$(calls "$root")"
	equal 'what is left' "$CONF" "$(cd "$root" && find etc -name '*.conf')"
	equal 'words at purging' '' "$(deb_into -P dropscope)"
	matches 'calls at purging' '*helper purge dropscoped.service*' "$(calls "$root")"
	equal 'what is left' '' "$(comm -13 <(echo "$before") <(contents "$root"))"
}

# ---- make install, which both use

case_install() {
	needs make || return
	(cd "$TOP" && make --no-print-directory install BUILD="$BUILD" DESTDIR="$TMP/local" PREFIX=/usr/local \
		DROPINS=systemd/dropscoped.service) >"$TMP/make.log" 2>&1 ||
		fault "expected make install to work, got: $(tail -n 1 "$TMP/make.log")"
	truth 'the daemon' test -x "$TMP/local/usr/local/sbin/dropscoped"
	matches 'the unit' $'*\nExecStart=/usr/local/sbin/dropscoped --config /etc/dropscope/dropscoped.conf\n*' \
		"$(cat "$TMP/local/usr/local/lib/systemd/system/dropscoped.service")"
	truth 'the drop-in' test -e "$TMP/local/usr/local/lib/systemd/system/dropscoped.service.d/dropscoped.service"
}

"$TOP/packaging/build" source "$TMP/source" >/dev/null && unpack "$OTHER" || exit 1
EPOCH=$(stat -c %Y "$OTHER/README.md")

# The deb first: the service's tests, which may be running, use it.
run_case 'deb: make deb' case_deb
run_case 'deb: another user and place, the same bytes' case_deb_reproducible
run_case 'deb: files' case_deb_files
run_case 'deb: lintian' case_lintian
run_case 'deb: install, upgrade, downgrade, purge' case_deb_life
run_case 'rpm: packages' case_rpm
run_case 'rpm: another user and place, the same bytes' case_rpm_reproducible
run_case 'rpm: files' case_rpm_files
run_case 'rpm: scriptlets' case_rpm_scriptlets
run_case 'rpm: rpmlint' case_rpmlint
run_case 'rpm: install, upgrade, downgrade, remove' case_rpm_life
run_case 'make install' case_install
finish
