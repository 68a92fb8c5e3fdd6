#!/usr/bin/env bash
# Speed, counted and not timed: host instructions for each simulated one, of the part of a run that
# simulates (engine_run; neither start nor output), on a few short runs of one process. A change that
# makes the simulator do more than SLACK per cent more work than guard.tsv says fails here.
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

# Name, simulated instructions, arguments. A few seconds each under valgrind.
runs=(
    "sqlite3 300000 configs/baseline.yaml --trace tests/traces/sqlite3.vmt"
    "stream 500000 configs/baseline.yaml configs/os-premap.yaml --workload stream"
    "gups 200000 configs/baseline.yaml configs/os-premap.yaml --workload gups"
    "stream-in-L1 2000000 configs/baseline.yaml configs/os-premap.yaml --workload stream --size 16KiB -s workload.passes=1M"
)

# count NAME INSTRUCTIONS ARGUMENTS...: host instructions for a simulated one into $dir/NAME
count() {
    local name=$1 n=$2
    shift 2
    valgrind --tool=callgrind --toggle-collect=engine_run --callgrind-out-file=/dev/null \
        "$concerto" run "$@" --instructions "$n" -q -s sim.epoch=10ms >"$dir/$name.log" 2>"$dir/$name.err" || return
    [ "$(awk '$1 == "instructions" {print $2 $3 $4; exit}' "$dir/$name.log")" = "$n" ] || return
    awk -v n="$n" '$2 == "Collected" && $4 > 0 {printf "%.2f\n", $4 / n}' "$dir/$name.err" >"$dir/$name"
}

# Two at a time: nothing here is timed.
for r in "${runs[@]}"; do
    # shellcheck disable=SC2086
    count $r &
    [ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n
done
wait

compiler="$(uname -m), $("$concerto" --version | sed 's/.*, //')"
if [ "${1:-}" = --update ]; then
    {
        echo "# Host instructions for each simulated one; see guard.sh. Written by: make guard-update"
        printf 'compiler\t%s\n' "$compiler"
    } >"$dir/table"
fi
judged=$(awk -F'\t' -v c="$compiler" '$1 == "compiler" && $2 == c' "$table" 2>/dev/null)
failed=0 lower=
printf '      %-14s %10s %10s %8s\n' "run" "measured" "guard.tsv" "change"
for r in "${runs[@]}"; do
    name=${r%% *}
    measured=$(cat "$dir/$name" 2>/dev/null)
    if [ -z "$measured" ]; then
        echo "FAIL  $name: it did not run to its end under valgrind"
        tail -n 3 "$dir/$name.err"
        failed=1
        continue
    fi
    [ "${1:-}" = --update ] && printf '%s\t%s\n' "$name" "$measured" >>"$dir/table"
    bound=$(awk -F'\t' -v n="$name" '$1 == n {print $2}' "$table" 2>/dev/null)
    change=$(awk -v m="$measured" -v b="${bound:-0}" 'BEGIN {if (b > 0) printf "%+.1f %%", 100 * (m / b - 1); else print "-"}')
    say=ok
    if [ -z "$judged" ] || [ "${1:-}" = --update ]; then
        say="  "
    elif [ -z "$bound" ] || awk -v m="$measured" -v b="$bound" -v s=$SLACK 'BEGIN {exit !(m > b * (1 + s / 100))}'; then
        say=FAIL
        failed=1
    elif awk -v m="$measured" -v b="$bound" -v s=$SLACK 'BEGIN {exit !(m < b * (1 - s / 200))}'; then
        lower="$lower $name"
    fi
    printf '%-4s  %-14s %10s %10s %8s\n' "$say" "$name" "$measured" "${bound:--}" "$change"
done
if [ "${1:-}" = --update ]; then
    [ "$failed" -eq 0 ] && cp "$dir/table" "$table" && echo "wrote $table"
elif [ -z "$judged" ]; then
    echo "guard.sh: not judged: guard.tsv is not of this compiler ($compiler)"
    [ "$failed" -ne 0 ] || exit 77
elif [ "$failed" -ne 0 ]; then
    echo "      more than $SLACK % above guard.tsv; if that is meant and worth it: make guard-update"
fi
[ -z "$lower" ] || echo "      the bound of$lower may be lowered: make guard-update"
exit $failed
