#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The manual pages and the completion against what they describe.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"

PAGE8=docs/man/dropscoped.8
PAGE5=docs/man/dropscoped.conf.5
cd "$TOP" || exit 1

# nothing_left WHAT-TO-DO LINES: each line is a fault, and says how it is mended
nothing_left() {
	local line

	CHECKS=$((CHECKS + 1))
	while IFS= read -r line; do
		[ -z "$line" ] || fault "expected $1, got $line"
	done <<<"$2"
}

# The long options of --help.
options() {
	"$DAEMON" --help | sed -n 's/^ *--\([a-z-]*\).*/\1/p' | sort
}

# The words after a macro in items of a page, without roff's marks.
items() {
	sed -n "s/^\.It $1 //p" "$2" | sed -e 's/\\-/-/g' -e 's/\\&//g'
}

case_options() {
	local wanted found

	wanted=$(options) found=$(items Fl "$PAGE8" | sed -e 's/^-//' -e 's/ .*//' | sort)
	at_least 'options in --help' 5 "$(wc -l <<<"$wanted")"
	nothing_left "an item \".It Fl \\-OPTION\" in $PAGE8 for each option of --help" \
		"$(comm -23 <(echo "$wanted") <(echo "$found") | sed 's/^/none for --/')"
	nothing_left "only options of --help in $PAGE8" \
		"$(comm -13 <(echo "$wanted") <(echo "$found") | sed 's/^/--/')"
}

# Each "[section] key = default", of the file and of the page.
keys_of_file() {
	sed -n -e '/^\[/h' -e '/^#[a-z-]* =/{s/^#//;G;s/\(.*\)\n\(.*\)/\2 \1/p}' config/dropscoped.conf | sort
}

keys_of_page() {
	sed -n -e 's/^\.Ss Section \(.*\)/[\1]/' -e '/^\[/h' \
		-e '/^\.It Cm [a-z\\-]* =/{s/^\.It Cm //;G;s/\(.*\)\n\(.*\)/\2 \1/;s/\\-/-/g;s/\\&//g;p}' "$PAGE5" | sort
}

case_keys() {
	at_least 'keys in config/dropscoped.conf' 10 "$(keys_of_file | wc -l)"
	nothing_left "\".It Cm KEY = DEFAULT\" under \".Ss Section SECTION\" in $PAGE5 for each key of config/dropscoped.conf" \
		"$(comm -23 <(keys_of_file) <(keys_of_page) | sed 's/^/none for /')"
	nothing_left "only keys of config/dropscoped.conf, with their defaults, in $PAGE5" \
		"$(comm -13 <(keys_of_file) <(keys_of_page))"
}

# What the daemon names when it is asked for a path that is none.
case_paths() {
	local wanted

	needs root btf jq || return
	start_daemon || return
	wanted=$(get /no/such/path | jq -r '.allowed[]' | sort)
	at_least 'paths' 8 "$(wc -l <<<"$wanted")"
	nothing_left "an item \".It Pa PATH\" in $PAGE8 for each path that the daemon answers" \
		"$(comm -23 <(echo "$wanted") <(items Pa "$PAGE8" | sort) | sed 's/^/none for /')"
}

case_roff() {
	needs mandoc man || return
	# Whether the other pages are installed is not the pages' business.
	equal 'mandoc'\''s complaints' '' "$(mandoc -T lint "$PAGE8" "$PAGE5" 2>/dev/null |
		grep -v -e 'referenced manual not found')"
	equal 'complaints of man' '' "$(for page in "$PAGE8" "$PAGE5"; do
		LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -Tutf8 -Z -l "$page" 2>&1 >/dev/null
	done)"
}

# complete WORD...: what bash would offer after these words, the last of them begun
complete_words() (
	# shellcheck source=packaging/completion/dropscoped
	. packaging/completion/dropscoped
	COMP_WORDS=("$DAEMON" "$@") COMP_CWORD=$#
	_dropscoped "$DAEMON"
	printf '%s\n' "${COMPREPLY[@]}" | sort
)

case_completion() {
	local level

	equal 'completions of --' "$(options | sed 's/^/--/' | tr '\n' ' ')" "$(complete_words -- | tr '\n' ' ')"
	equal 'completions of --log-level' 'debug error info warning ' \
		"$(complete_words --log-level '' | tr '\n' ' ')"
	for level in $(complete_words --log-level ''); do
		truth "--log-level $level to be taken" "$DAEMON" --log-level "$level" --version >/dev/null
	done
	equal 'completions of --config' config/dropscoped.conf "$(complete_words --config config/dropscoped.c)"
}

run_case 'manual: every option' case_options
run_case 'manual: every key with its default' case_keys
run_case 'manual: every path' case_paths
run_case 'manual: clean roff' case_roff
run_case 'completion' case_completion
finish
