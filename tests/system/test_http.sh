#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# HTTP as a user meets it: answers, filters, and errors that say what would have been right.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

TABLES='drops receive retransmits block'

# The rows that the cases ask for: three protocols on two devices.
prepare() {
	needs root btf nsenter ip || return
	start_daemon || return
	namespace a
	namespace b
	cable a srcA b dstA
	cable a srcB b dstB
	traffic a frames srcA 100 lldp
	traffic a frames srcA 50 lacp
	traffic a frames srcB 30 lldp
	traffic a traffic udp 127.0.0.1 9 20 64
}

# answer QUERY: the rows of /drops, and JSON it must be
answer() {
	get "/drops?top=100000&$1" | jq -c "${2:-.rows}"
}

# refused STATUS PATH PARAMETER ALLOWED: an error that teaches
refused() {
	local body

	body=$(get "$2")
	equal "$2" "$1" "$(status "$2")"
	truth "$2: an error in words" jq -e '.error | type == "string" and length > 5' <<<"$body" >/dev/null
	[ -z "$3" ] || equal "$2: parameter" "$3" "$(jq -r .parameter <<<"$body")"
	truth "$2: \"$4\" among what is allowed" jq -e --arg allowed "$4" \
		'.allowed | type == "array" and length > 0 and (map(tostring) | any(contains($allowed)))' \
		<<<"$body" >/dev/null
}

case_shape() {
	local table json

	prepare || return
	for table in $TABLES; do
		json=$(get "/$table")
		equal "$table" "$table" "$(jq -r .table <<<"$json")"
		equal "$table: schema_version" 1 "$(jq .schema_version <<<"$json")"
		equal "$table: rows" array "$(jq -r '.rows | type' <<<"$json")"
		equal "$table: totals" object "$(jq -r '.totals | type' <<<"$json")"
		equal "$table: retired" object "$(jq -r '.retired | type' <<<"$json")"
		equal "$table: lost" object "$(jq -r '.lost | type' <<<"$json")"
		equal "$table: host" "$(uname -n)" "$(jq -r .host <<<"$json")"
		between "$table: time" $(($(date +%s) - 5)) $(($(date +%s) + 5)) \
			"$(date -d "$(jq -r .time <<<"$json")" +%s)"
		matches "$table: time" '????-??-??T??:??:??*Z' "$(jq -r .time <<<"$json")"
		matches "$table: counting_since" '????-??-??T??:??:??*Z' "$(jq -r .counting_since <<<"$json")"
		matches "$table: content type" 'application/json*' \
			"$(curl -sS -o /dev/null -w '%{content_type}' "$URL/$table")"
	done
	json=$(get /drops)
	equal 'total of the rows' "$(jq .totals.packets <<<"$json")" \
		"$(jq '[.rows[].packets, (.other.packets // 0)] | add' <<<"$json")"
}

case_filters() {
	prepare || return
	equal 'protocol=lldp' 130 "$(answer protocol=lldp | sum packets)"
	equal 'protocol=lldp, totals' 130 "$(answer protocol=lldp .totals.packets)"
	equal 'protocol=lldp, others' 0 "$(answer protocol=lldp | jq 'map(select(.protocol != "lldp")) | length')"
	equal 'two filters' 30 "$(answer 'protocol=lldp&device=dstB' | sum packets)"
	equal 'one of two' 180 "$(answer 'protocol=lldp&protocol=lacp' | sum packets)"
	equal 'a pattern' 180 "$(answer 'device=dst*' | sum packets)"
	equal 'not' 50 "$(answer 'device=dst*&protocol!=lldp' | sum packets)"
	equal 'not a pattern' 0 "$(answer 'device!=dst*' | jq 'map(select(.device | startswith("dst"))) | length')"
	equal 'not one of two' 0 "$(answer 'device=dst*&protocol!=lldp&protocol!=lacp' | jq length)"
	equal 'nothing' '[]' "$(answer protocol=no-such-protocol)"
	equal 'nothing, totals' 0 "$(answer protocol=no-such-protocol .totals.packets)"
	# A detail is a label like any other here.
	equal 'interface' 30 "$(answer interface=dstB | sum packets)"
	equal 'netns' 180 "$(answer "netns=$(inode b)" | sum packets)"
	# What has been retired cannot be told apart any more.
	equal 'retired in a filtered answer' null "$(answer protocol=lldp .retired)"
	# Percent-encoded, as a browser sends it.
	equal 'encoded' 180 "$(answer 'device=dst%2A' | sum packets)"
	equal 'encoded not' 50 "$(answer 'device=dst*&protocol%21=lldp' | sum packets)"
}

case_grouping() {
	local rows

	prepare || return
	rows=$(answer 'by=protocol&device=dst*')
	equal 'by=protocol' '[["lldp",130],["lacp",50]]' "$(jq -c 'map([.protocol, .packets])' <<<"$rows")"
	equal 'no other label' null "$(jq -c '.[0].device' <<<"$rows")"
	rows=$(answer 'by=device&device=dst*')
	equal 'by=device' '[["dstA",150],["dstB",30]]' "$(jq -c 'map([.device, .packets])' <<<"$rows")"
	rows=$(answer 'by=device,protocol&device=dst*')
	equal 'by both' '[["dstA","lldp",100],["dstA","lacp",50],["dstB","lldp",30]]' \
		"$(jq -c 'map([.device, .protocol, .packets])' <<<"$rows")"
	equal 'totals' 180 "$(answer 'by=protocol&device=dst*' .totals.packets)"
}

case_order() {
	local rows

	prepare || return
	equal 'most first' '[100,50,30]' "$(answer 'device=dst*' | jq -c 'map(.packets)')"
	equal 'sort=-packets' '[30,50,100]' "$(answer 'device=dst*&sort=-packets' | jq -c 'map(.packets)')"
	equal 'sort=device' '["dstA","dstA","dstB"]' "$(answer 'device=dst*&sort=device' | jq -c 'map(.device)')"
	equal 'sort=-device' '["dstB","dstA","dstA"]' "$(answer 'device=dst*&sort=-device' | jq -c 'map(.device)')"
	rows=$(get '/drops?device=dst*&top=1')
	equal 'top=1' '[100]' "$(jq -c '.rows | map(.packets)' <<<"$rows")"
	equal 'the rest' 80 "$(jq .other.packets <<<"$rows")"
	equal 'rows of the rest' 2 "$(jq .other.rows <<<"$rows")"
	equal 'totals' 180 "$(jq .totals.packets <<<"$rows")"
}

case_text() {
	prepare || return
	get '/drops?format=text&device=dst*' >"$TMP/text"
	matches 'content type' 'text/plain*' \
		"$(curl -sS -o /dev/null -w '%{content_type}' "$URL/drops?format=text")"
	equal 'a line with 100 packets of LLDP' 1 "$(grep 'lldp' "$TMP/text" | grep 'dstA' | grep -cw 100)"
	equal 'tabs' 0 "$(grep -c $'\t' "$TMP/text")"
	equal 'spaces at the end of a line' 0 "$(grep -c ' $' "$TMP/text")"
	equal 'the same in JSON' "$(get '/drops?device=dst*' | jq -S 'del(.time)')" \
		"$(get '/drops?format=json&device=dst*' | jq -S 'del(.time)')"
}

case_head() {
	local path length

	prepare || return
	for path in / /metrics /drops /receive /retransmits /block /-/healthy /-/ready '/drops?format=text'; do
		equal "GET $path" 200 "$(status "$path")"
		equal "HEAD $path" 200 "$(status "$path" --head)"
		equal "HEAD $path: body" 0 "$(curl -sS --max-time 5 --head -o /dev/null -w '%{size_download}' "$URL$path")"
	done
	length=$(curl -sS --head "$URL/-/healthy" | tr -d '\r' | awk 'tolower($1) == "content-length:" { print $2 }')
	equal 'length that HEAD promises' "$(get /-/healthy | wc -c)" "$length"
}

case_errors() {
	local method

	prepare || return
	refused 404 /no-such-path '' /drops
	refused 404 /dropss '' /drops
	for method in POST PUT DELETE OPTIONS PATCH; do
		equal "$method /drops" 405 "$(status /drops -X "$method")"
	done
	equal 'POST with a body' 405 "$(status /drops --data 'a=b')"
	matches 'Allow' '*GET, HEAD*' "$(curl -sS -X POST -D - -o /dev/null "$URL/drops" | grep -i '^allow:')"
	truth 'an error in words' jq -e '.error | length > 5' <<<"$(curl -sS -X POST "$URL/drops")" >/dev/null
	refused 400 '/drops?by=nonsense' by reason
	refused 400 '/drops?sort=nonsense' sort packets
	refused 400 '/drops?top=none' top 1
	refused 400 '/drops?top=0' top 1
	refused 400 '/drops?top=-1' top 1
	refused 400 '/drops?top=99999999999999999999' top 1
	refused 400 '/drops?format=xml' format json
	refused 400 '/drops?nonsense=1' nonsense reason
	refused 400 '/block?reason=x' reason operation
	# After all that it is as well as before.
	equal 'healthy' 200 "$(status /-/healthy)"
	equal 'ready' 200 "$(status /-/ready)"
}

# names FILE: of the metrics in it
names() {
	grep -v -e '^#' -e block_oldest_request "$1" | sed 's/[{ ].*//' | sort
}

case_gzip() {
	prepare || return
	needs gunzip || return
	curl -sS -H 'Accept-Encoding: gzip' -D "$TMP/headers" -o "$TMP/metrics.gz" "$URL/metrics"
	matches 'Content-Encoding' '*gzip*' "$(grep -i '^content-encoding:' "$TMP/headers")"
	matches 'Vary' '*ccept-?ncoding*' "$(grep -i '^vary:' "$TMP/headers")"
	gunzip <"$TMP/metrics.gz" >"$TMP/unpacked" || fault 'expected gzip, got something else'
	get /metrics >"$TMP/plain"
	equal 'metrics in one form only' '' "$(diff <(names "$TMP/plain" | uniq) <(names "$TMP/unpacked" | uniq) | head -n 3)"
	truth 'fewer bytes' test "$(wc -c <"$TMP/metrics.gz")" -lt $(($(wc -c <"$TMP/plain") / 2))
	# Short answers may come as they are; curl knows what it was given.
	# Rates move between the two answers.
	equal '/drops' "$(get '/drops?device=dst*' | jq -cS 'del(.time, .. .rate?, .. .peak?)')" \
		"$(http --compressed "$URL/drops?device=dst*" | jq -cS 'del(.time, .. .rate?, .. .peak?)')"
	equal '/drops as text, lines' "$(get '/drops?device=dst*&format=text' | wc -l)" \
		"$(http --compressed "$URL/drops?device=dst*&format=text" | wc -l)"
	equal 'not asked for' '' "$(curl -sS -D - -o /dev/null "$URL/metrics" | grep -i '^content-encoding:')"
	equal 'declined' '' "$(curl -sS -H 'Accept-Encoding: gzip;q=0' -D - -o /dev/null "$URL/metrics" |
		grep -i '^content-encoding:')"
}

# 64-bit integers are exact: no exponent, no fraction, however jq or a browser would round them.
case_integers() {
	prepare || return
	get '/drops?top=100000' >"$TMP/drops.json"
	equal 'numbers with an exponent' 0 "$(grep -cE '"(packets|bytes|wire_packets)": [0-9.]*[eE.]' "$TMP/drops.json")"
	at_least 'whole numbers' 3 "$(grep -cE '"packets": [0-9]+,?$' "$TMP/drops.json")"
}

case_page() {
	prepare || return
	get / >"$TMP/page"
	matches 'content type' 'text/html*' "$(curl -sS -o /dev/null -w '%{content_type}' "$URL/")"
	for path in /metrics /drops /receive /retransmits /block; do
		truth "a link to $path" grep -q "href=\"$path" "$TMP/page"
	done
}

# A request that never ends is cut off after ten seconds; meanwhile all others are answered.
case_slow() {
	local from=$SECONDS reader took

	needs root btf || return
	start_daemon || return
	# The other end closes while we write.
	trap '' PIPE
	exec 9<>"/dev/tcp/127.0.0.1/$PORT" || fault 'expected a connection, got none' || return
	printf 'GET /metrics HTTP/1.1\r\nHost: x\r\n' >&9
	cat <&9 >"$TMP/slow" &
	reader=$!
	PIDS+=("$reader")
	# A line now and then, so that it is not idle.
	while kill -0 "$reader" 2>/dev/null && [ $((SECONDS - from)) -lt 20 ]; do
		printf 'X-Slow: 1\r\n' >&9 2>/dev/null
		equal 'another request' 200 "$(status /-/healthy)" || break
		sleep 1
	done 2>/dev/null
	took=$((SECONDS - from))
	exec 9>&-
	kill "$reader" 2>/dev/null
	wait "$reader" 2>/dev/null
	forget_pid "$reader"
	trap - PIPE
	between 'seconds until it was cut off' 8 13 "$took"
}

# Twenty connections of one address, and no more; the daemon lives, and answers again when they
# have gone.
case_connections() {
	local fd line fds=() answered=0

	needs root btf || return
	start_daemon || return
	trap '' PIPE
	for _ in {1..40}; do
		exec {fd}<>"/dev/tcp/127.0.0.1/$PORT" || break
		fds+=("$fd")
	done 2>/dev/null
	for fd in "${fds[@]}"; do
		printf 'GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n' >&"$fd"
	done 2>/dev/null
	for fd in "${fds[@]}"; do
		read -r -t 1 line <&"$fd" && [[ $line == *200* ]] && answered=$((answered + 1))
	done 2>/dev/null
	for fd in "${fds[@]}"; do
		exec {fd}>&-
	done
	trap - PIPE
	between 'connections answered' 15 20 "$answered"
	truth 'an answer afterwards' wait_until 5 answers "$URL/-/healthy"
}

run_case 'http: the shape of a table' case_shape
run_case 'http: filters' case_filters
run_case 'http: by' case_grouping
run_case 'http: sort and top' case_order
run_case 'http: text' case_text
run_case 'http: HEAD' case_head
run_case 'http: errors that teach' case_errors
run_case 'http: gzip' case_gzip
run_case 'http: whole numbers' case_integers
run_case 'http: the page' case_page
run_case 'http: a slow request' case_slow
run_case 'http: many connections' case_connections
finish
