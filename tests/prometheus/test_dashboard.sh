#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The dashboard by itself: what Grafana wants of one, and what we want of ours.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"

DASHBOARD=$TOP/packaging/grafana/dropscope.json

# board FILTER: an answer about the dashboard, one a line
board() {
	jq -r "$1" "$DASHBOARD"
}

case_frame() {
	needs jq || return
	truth 'JSON' jq -e . "$DASHBOARD" >/dev/null || return
	equal 'id (Grafana gives one)' null "$(board .id)"
	equal 'uid' dropscope "$(board .uid)"
	at_least 'schemaVersion' 36 "$(board .schemaVersion)"
	equal 'import dialog (files are provisioned)' null "$(board .__inputs)"
	equal 'variables' 'datasource job instance symbol' "$(board '[.templating.list[].name] | join(" ")')"
	equal 'panels whose id is not their own' '' \
		"$(board '[.panels[].id] | group_by(.)[] | select(length > 1)[0]')"
	equal 'data sources other than the variable' '' "$(board '[.. | .datasource? // empty | .uid]
		| unique[] | select(. != "${datasource}")')"
}

case_panels() {
	needs jq || return
	at_least 'panels' 40 "$(board '[.panels[] | select(.type != "row")] | length')"
	equal 'panels without title, description, unit or query' '' "$(board '.panels[]
		| select(.type != "row")
		| select((.title // "") == "" or (.description // "" | length) < 20
			or (.fieldConfig.defaults.unit // "") == "" or (.targets | length) == 0
			or .datasource.type != "prometheus" or any(.targets[]; .datasource.uid == null))
		| .title')"
	equal 'panels that overlap or leave the page' '' "$(board '[.panels[] | .gridPos + {title}] | . as $all
		| range(length) as $i | range($i) as $j | [$all[$i], $all[$j]]
		| select((.[0].x < .[1].x + .[1].w and .[1].x < .[0].x + .[0].w
			and .[0].y < .[1].y + .[1].h and .[1].y < .[0].y + .[0].h)
			or .[0].x + .[0].w > 24) | .[0].title')"
}

# What Grafana's schema of a dashboard asks for, of those parts that ours has: fields that must be there, of which
# type and from which values. Prints where one is not so.
schema() {
	jq -r 'def want($where; $name; test): if has($name) and (.[$name] | test) then empty
			else "\($where).\($name) = \(.[$name] | tojson)" end;
		def text: type == "string";
		def word: text and length > 0;
		def flag: type == "boolean";
		def whole: type == "number" and . == floor and . >= 0;
		def list: type == "array";
		def object: type == "object";
		def one_of($values): . as $value | any($values[]; . == $value);
		def source($where): want($where; "datasource"; object and (.type | word) and (.uid | word));
		def option: object and has("text") and has("value")
			and (.text | text or (list and all(.[]; text))) and (.value | type) == (.text | type);
		def variable($where): want($where; "type"; one_of(["query", "datasource"])),
			want($where; "name"; word), want($where; "hide"; one_of([0, 1, 2])),
			want($where; "skipUrlSync"; flag), want($where; "multi"; flag),
			want($where; "includeAll"; flag), want($where; "refresh"; one_of([0, 1, 2])),
			want($where; "options"; list), want($where; "current"; option),
			(if .type == "query" then source($where), want($where; "sort"; whole and . <= 8),
				want($where; "query"; object and (.query | word) and (.refId | word)) else
				want($where; "query"; word) end),
			(if .multi then want($where; "current"; .value | list) else
				want($where; "current"; .value | text) end);
		def grid($where): want($where; "gridPos"; object and (.h | whole and . > 0)
			and (.w | whole and . > 0 and . <= 24) and (.x | whole and . < 24) and (.y | whole));
		def config: object and (.overrides | list and all(.[]; (.matcher.id | word)
				and (.properties | list and all(.[]; .id | word))))
			and (.defaults | object and (.thresholds // {mode: "absolute", steps: []}
				| (.mode | one_of(["absolute", "percentage"])) and (.steps | all(.[]; .color | word)
					and (.[0].value == null) and ([.[1:][].value] | . == sort))));
		def panel($where): want($where; "type"; word), want($where; "id"; whole and . > 0),
			want($where; "title"; text), grid($where),
			(if .type == "row" then want($where; "collapsed"; flag), want($where; "panels"; list)
			else source($where), want($where; "options"; object), want($where; "transparent"; flag),
				want($where; "transformations"; list and all(.[]; (.id | word) and (.options | object))),
				want($where; "fieldConfig"; config),
				(.targets[] | source($where + ".targets"), want($where + ".targets"; "refId"; word),
					want($where + ".targets"; "expr"; word)),
				(if ([.targets[].refId] | unique | length) == (.targets | length) then empty
				else "\($where).targets have the same refId" end) end);
		want(""; "title"; word), want(""; "uid"; word and length <= 40), want(""; "editable"; flag),
		want(""; "graphTooltip"; one_of([0, 1, 2])), want(""; "schemaVersion"; whole),
		want(""; "version"; whole), want(""; "tags"; list and all(.[]; word)),
		want(""; "time"; object and (.from | word) and (.to | word)), want(""; "timepicker"; object),
		want(""; "timezone"; text), want(""; "weekStart"; text), want(""; "refresh"; text or . == false),
		want(""; "fiscalYearStartMonth"; whole and . < 12), want(""; "links"; list), want(""; "liveNow"; flag),
		(.annotations.list[] | source(".annotations"), want(".annotations"; "name"; word),
			want(".annotations"; "enable"; flag), want(".annotations"; "iconColor"; word)),
		(.templating.list[] | variable(".templating.\(.name)")),
		(.panels[] | panel(".panels.\(.id)"))' "$1"
}

case_schema() {
	needs jq || return
	equal 'what is not as the schema has it' '' "$(schema "$DASHBOARD" 2>&1 | head -n 5)"
	# A check that finds nothing wherever it looks would be none.
	jq 'del(.templating.list[0].current.value, .panels[1].fieldConfig.overrides, .annotations.list[0].iconColor)
		| .panels[2].gridPos.w = 25 | .graphTooltip = "shared"' "$DASHBOARD" >"$TMP/wrong.json"
	equal 'places where a wrong one is wrong' \
		'.annotations.iconColor .graphTooltip .panels.2.fieldConfig .panels.3.gridPos .templating.datasource.current' \
		"$(schema "$TMP/wrong.json" | sed 's/ = .*//' | sort -u | paste -sd' ')"
}

# What a fleet's first page costs must not grow with the fleet.
case_fleet_row() {
	needs jq || return
	board '.panels as $p | ($p | map(.type == "row") | indices(true)) as $rows
		| $p[$rows[0] + 1:$rows[1]][].targets[].expr' >"$TMP/fleet"
	at_least 'queries of the fleet' 15 "$(wc -l <"$TMP/fleet")"
	equal 'queries that read more than the recorded series of the fleet' '' \
		"$(grep -vE '^[^{]*\<(fleet[a-z_]*:|ALERTS)' "$TMP/fleet")"
	equal 'raw series there' '' "$(grep -E '(^|[^:a-z_])dropscope_|instance[a-z_]*:' "$TMP/fleet" | grep -v fleet_)"
}

# What rows other than the first read of single hosts is bounded: one host, or one symbol.
case_bounded() {
	needs jq || return
	equal 'queries of raw series without a host' '' "$(board '.panels[].targets[]?.expr' |
		grep -E '(^|[^:a-z_])(dropscope|process|scrape)_' | grep -v 'instance="$instance"')"
}

# Every series that is asked for is the daemon's, a rule's, or Prometheus's own.
case_names() {
	local name

	needs jq || return
	[ -x "$DAEMON" ] || skip "$DAEMON is needed" || return
	{
		"$DAEMON" --list-metrics | sed -n 's/^| `\([a-z_]*\)`.*/\1/p'
		sed -n 's/^ *- record: //p' "$TOP/packaging/prometheus/dropscope-rules.yml"
		printf '%s\n' up ALERTS scrape_duration_seconds
	} | sort -u >"$TMP/known"
	board '[.panels[].targets[]?.expr, .templating.list[].query.query?, .annotations.list[].expr]
		| .[] | strings' |
		grep -oE '([a-z_]+:)?(dropscope|process|scrape)_[a-z_]+(:[a-z0-9_]+)?|\<up\{' |
		sed -E 's/\{$//; s/_(bucket|count|sum)$//' | sort -u >"$TMP/asked"
	at_least 'names' 30 "$(wc -l <"$TMP/asked")"
	for name in $(comm -13 "$TMP/known" "$TMP/asked"); do
		# A recorded name ends in what was done to it, which may look like a part of a histogram.
		grep -qE "^$name(_count)?\$" "$TMP/known" || fault "expected a known series, got $name"
	done
}

case_links() {
	needs jq || return
	board '.. | .url? // empty | strings' >"$TMP/links"
	at_least 'links to hosts' 5 "$(grep -c '[&]var-instance=' "$TMP/links")"
	at_least 'links to symbols' 2 "$(grep -c '[&]var-symbol=' "$TMP/links")"
	equal 'links that lead elsewhere' '' "$(grep -v '^/d/dropscope/dropscope[?]' "$TMP/links")"
}

run_case 'dashboard: frame' case_frame
run_case 'dashboard: panels' case_panels
run_case 'dashboard: as the schema has it' case_schema
run_case 'dashboard: the fleet reads recorded series' case_fleet_row
run_case 'dashboard: other rows read one host or symbol' case_bounded
run_case 'dashboard: every series exists' case_names
run_case 'dashboard: links' case_links
finish
