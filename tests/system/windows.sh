#!/usr/bin/env bash
# What being parallel takes: windows, and messages and bytes between ranks, for each simulated
# microsecond, of short runs on 1, 2 and 4 ranks. These follow from the model, the placement and the
# declared latencies alone, hence are the same on every host, at any load; so the bounds of windows.tsv
# are tight: SLACK per cent, for changes of the model that shift events a little. A latency that is
# declared shorter than it must be, a message too many, or parts placed without need on different ranks,
# fail here.
#
#   tests/system/windows.sh            counts and judges
#   tests/system/windows.sh --update   counts and writes windows.tsv (make guard-update)
#   CONCERTO   the program under test (default: ./concerto of this tree)
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export CONCERTO_PROCESSORS=64 # every rank is to hold something, however few processors there are
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "windows.sh: no concerto at $concerto"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$root" || exit 1
table=tests/system/windows.tsv
SLACK=3

# Name, arguments: many misses and few, without faults; and the faults of recorded threads.
runs=(
    "graph8 configs/os-premap.yaml --workload graph --size 64MiB --cores 8 --instructions 20k"
    "stream8 configs/os-premap.yaml --workload stream --size 64MiB --cores 8 --instructions 40k"
    "bfs-4t --trace tests/traces/bfs-4t.vmt --instructions 20k"
)

# count RANKS NAME ARGUMENTS...: windows, messages and bytes for a simulated microsecond into `counted`
count() {
    local ranks=$1 name=$2 start=()
    shift 2
    [ "$ranks" -eq 1 ] || start=(mpirun --oversubscribe -np "$ranks")
    timeout 300 "${start[@]}" "$concerto" run configs/baseline.yaml "$@" -q -s sim.epoch=10us \
        </dev/null >"$dir/log" 2>"$dir/err" || return 1
    counted=$(awk '$1 == "simulated" && $2 == "time" {sub(/.* in /, ""); sub(/ epochs.*/, ""); gsub(/ /, ""); us = 10 * $0}
        / windows, .* between ranks/ {
            for (i = 2; i <= NF; i++) {
                if ($i == "windows,") windows = $(i - 1)
                if ($i == "messages") {messages = $(i - 1); bytes = substr($(i + 1), 2)}
            }
            if (us > 0) printf "%.2f\t%.2f\t%.1f\n", windows / us, messages / us, bytes / us
        }' "$dir/log")
    [ -n "$counted" ]
}

[ "${1:-}" != --update ] || echo "# Run, ranks: windows, messages, bytes for each simulated microsecond; see windows.sh. Written by: make guard-update" >"$dir/table"
failed=0 lower=
printf '      %-8s %5s   %s\n' run ranks "windows, messages, bytes for a simulated microsecond (bound)"
for r in "${runs[@]}"; do
    name=${r%% *}
    for ranks in 1 2 4; do
        # shellcheck disable=SC2086
        if ! count "$ranks" $r; then
            echo "FAIL  $name on $ranks: it did not run to its end"
            tail -n 3 "$dir/err"
            failed=1
            continue
        fi
        [ "${1:-}" != --update ] || printf '%s\t%s\t%s\n' "$name" "$ranks" "$counted" >>"$dir/table"
        bounds=$(awk -F'\t' -v n="$name" -v r="$ranks" '$1 == n && $2 == r {print $3 "\t" $4 "\t" $5}' "$table" 2>/dev/null)
        said=$(printf '%s\t%s\n' "$counted" "$bounds" | awk -F'\t' -v s=$SLACK '{
            say = NF == 6 ? "ok" : "FAIL"
            for (i = 1; i <= 3; i++) {
                if ($i > $(i + 3) * (1 + s / 100)) say = "FAIL"
                if ($i < $(i + 3) * (1 - s / 100) && say == "ok") lower = " lower"
                text = text sprintf("  %.2f (%s)", $i, $(i + 3) == "" ? "-" : $(i + 3))
            }
            print say lower text}')
        say=${said%% *}
        case $said in "ok lower"*) lower="$lower $name on $ranks," ;; esac
        [ "${1:-}" != --update ] || say="  "
        [ "$say" != FAIL ] || failed=1
        printf '%-4s  %-8s %5s %s\n' "$say" "$name" "$ranks" "${said#* }"
    done
done
if [ "${1:-}" = --update ]; then
    [ "$failed" -eq 0 ] && cp "$dir/table" "$table" && echo "wrote $table"
elif [ "$failed" -ne 0 ]; then
    echo "      more than $SLACK % above windows.tsv; if that is meant and worth it: make guard-update"
fi
[ -z "$lower" ] || echo "      the bounds of${lower%,} may be lowered: make guard-update"
exit $failed
