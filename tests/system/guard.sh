#!/usr/bin/env bash
# Speed, counted and not timed: host instructions and mispredicted host branches for each simulated instruction, of the
# part of a run that simulates (engine_run; neither start nor output), on a few short runs of one process. A
# change that makes the simulator do more of either than guard.tsv says, by more than SLACK or SLACK_BRANCHES per
# cent, fails here. The branches are those that callgrind's simple predictor gets wrong, more than a host does:
# what it finds hard is mostly hard for a host, too, where one costs as much as twenty to thirty instructions. Which
# branches share a place in it depends on where the code lies: another layout alone has changed a figure by 7 %.
#
#   tests/system/guard.sh            measures and judges
#   tests/system/guard.sh --update   measures and writes guard.tsv (make guard-update)
#   CONCERTO   the program under test (default: ./concerto of this tree), built as `make` does by default
#
# The figures depend on the compiler: with another one than that of guard.tsv they are shown, not judged.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "guard.sh: no concerto at $concerto"; exit 77; }
command -v valgrind >/dev/null || {
    echo "guard.sh: speed is not checked: it is counted with valgrind, which is not installed (make deps tries to)"
    exit 77
}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$root" || exit 1
table=tests/system/guard.tsv
SLACK=5
SLACK_BRANCHES=15

# Name, simulated instructions, arguments. A few seconds each under valgrind.
runs=(
    "sqlite3 300000 configs/baseline.yaml --trace tests/traces/sqlite3.vmt"
    "stream 500000 configs/baseline.yaml configs/os-premap.yaml --workload stream"
    "gups 200000 configs/baseline.yaml configs/os-premap.yaml --workload gups"
    "stream-in-L1 2000000 configs/baseline.yaml configs/os-premap.yaml --workload stream --size 16KiB -s workload.passes=1M"
)

# count NAME INSTRUCTIONS ARGUMENTS...: host instructions and mispredicted branches for a simulated one into $dir/NAME
count() {
    local name=$1 n=$2
    shift 2
    valgrind --tool=callgrind --branch-sim=yes --toggle-collect=engine_run --callgrind-out-file=/dev/null \
        "$concerto" run "$@" --instructions "$n" -q -s sim.epoch=10ms >"$dir/$name.log" 2>"$dir/$name.err" || return
    [ "$(awk '$1 == "instructions" {print $2 $3 $4; exit}' "$dir/$name.log")" = "$n" ] || return
    awk -v n="$n" '$2 == "Collected" && $8 != "" {printf "%.2f %.3f\n", $4 / n, ($6 + $8) / n}' "$dir/$name.err" >"$dir/$name"
}

# Two at a time: nothing here is timed.
for r in "${runs[@]}"; do
    # shellcheck disable=SC2086
    count $r &
    [ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n
done
wait

update=
[ "${1:-}" != --update ] || update=1
compiler="$(uname -m), $("$concerto" --version | sed 's/.*, //')"
if [ "$update" ]; then
    {
        echo "# Host instructions and mispredicted host branches for each simulated instruction; see guard.sh. Written by: make guard-update"
        printf 'compiler\t%s\n' "$compiler"
    } >"$dir/table"
fi
judged=$(awk -F'\t' -v c="$compiler" '$1 == "compiler" && $2 == c' "$table" 2>/dev/null)
failed=0 lower=

# judge NAME WHAT MEASURED BOUND SLACK: prints a line; sets failed, or adds to lower
judge() {
    local say=ok change
    change=$(awk -v m="$3" -v b="${4:-0}" 'BEGIN {if (b > 0) printf "%+.1f %%", 100 * (m / b - 1); else print "-"}')
    if [ -z "$judged" ] || [ "$update" ]; then
        say="  "
    elif [ -z "$4" ] || awk -v m="$3" -v b="$4" -v s="$5" 'BEGIN {exit !(m > b * (1 + s / 100))}'; then
        say=FAIL
        failed=1
    elif awk -v m="$3" -v b="$4" -v s="$5" 'BEGIN {exit !(m < b * (1 - s / 200))}'; then
        lower="$lower, $2 of $1"
    fi
    printf '%-4s  %-14s %-22s %10s %10s %8s\n' "$say" "$1" "$2" "$3" "${4:--}" "$change"
}

printf '      %-14s %-22s %10s %10s %8s\n' "run" "for an instruction" "measured" "guard.tsv" "change"
for r in "${runs[@]}"; do
    name=${r%% *}
    if ! read -r instructions branches 2>/dev/null <"$dir/$name"; then
        echo "FAIL  $name: it did not run to its end under valgrind"
        tail -n 3 "$dir/$name.err"
        failed=1
        continue
    fi
    [ -z "$update" ] || printf '%s\t%s\t%s\n' "$name" "$instructions" "$branches" >>"$dir/table"
    IFS=$'\t' read -r _ most_instructions most_branches < <(grep "^$name"$'\t' "$table" 2>/dev/null)
    judge "$name" "host instructions" "$instructions" "$most_instructions" $SLACK
    judge "$name" "mispredicted branches" "$branches" "$most_branches" $SLACK_BRANCHES
done
if [ "$update" ]; then
    [ "$failed" -eq 0 ] && cp "$dir/table" "$table" && echo "wrote $table"
elif [ -z "$judged" ]; then
    echo "guard.sh: not judged: guard.tsv is not of this compiler ($compiler)"
    [ "$failed" -ne 0 ] || exit 77
elif [ "$failed" -ne 0 ]; then
    echo "      more than $SLACK % ($SLACK_BRANCHES % for branches) above guard.tsv; if that is meant and worth it: make guard-update"
fi
[ -z "$lower" ] || echo "      the bound of ${lower#, } may be lowered: make guard-update"
exit $failed
