#!/usr/bin/env bash
# The event log and `explain`: the same lines in the same order however the run is cut or spread;
# every story adds up; the story of a run's only walk agrees with the run's counters.
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "log.sh: no concerto at $concerto"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$root" || exit 1
failed=0
check() { # NAME CONDITION...
    local name=$1
    shift
    if "$@"; then echo "ok   $name"; else echo "FAIL $name"; failed=1; fi
}

bfs=(configs/baseline.yaml configs/os-thp-never.yaml --trace tests/traces/bfs-4t.vmt --instructions 12000 -q -s sim.epoch=20us)
"$concerto" log "${bfs[@]}" >"$dir/1.log"
lines=$(wc -l <"$dir/1.log")
check "a run logs its events ($lines lines)" [ "$lines" -gt 10000 ]
same() {
    local name=$1
    shift
    "$@" >"$dir/b.log" 2>"$dir/err" && cmp -s "$dir/1.log" "$dir/b.log"
    check "$name" [ $? -eq 0 ]
}
same "the log is the same when windows are cut" "$concerto" log "${bfs[@]}" --cut 7
same "the log is the same on 2 ranks" mpirun --oversubscribe -np 2 "$concerto" log "${bfs[@]}"
same "the log is the same with every process on a rank of its own" \
    mpirun --oversubscribe -np 6 "$concerto" log "${bfs[@]}" --partition dedicated

"$concerto" log "${bfs[@]}" --json >"$dir/1.json"
check "JSON lines hold the same events, in order" /usr/bin/python3 - "$dir/1.json" "$dir/1.log" <<'PY'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
text = [line.split() for line in open(sys.argv[2])]
assert len(rows) == len(text)
for row, words in zip(rows, text):
    assert row["event"] == words[4] and row["process"] == words[2] and str(row["instance"]) == words[3], (row, words)
times = [row["time_fs"] for row in rows]
assert times == sorted(times)
# Until a walk has ended nobody knows when a page is usable: null, or unknown.
unknown = [(row["usable"], words[-1]) for row, words in zip(rows, text) if row["event"] == "tlb" and row["stlb"] == "miss"]
assert len(unknown) > 100 and set(unknown) == {(None, "usable=unknown")}, set(unknown)
PY
check "every counted walk is logged once" /usr/bin/python3 - "$dir/1.json" "$("$concerto" run "${bfs[@]}" -o "$dir/a.h5" >/dev/null; echo "$dir/a.h5")" <<'PY'
import collections, json, sys
import h5py
rows = [json.loads(line) for line in open(sys.argv[1])]
stats = h5py.File(sys.argv[2])["stats/cores"]
for event, path in (("walk_end", "ptw/walks"), ("walk_ref", "ptw/refs"), ("fault", "fault/raised"), ("arrive", "l2/answers")):
    n = collections.Counter(r["instance"] for r in rows if r["event"] == event)
    assert [n[i] for i in range(4)] == list(stats[path][:].sum(axis=0)), (event, n)
refs = sum(r["cycles"] for r in rows if r["event"] == "walk_ref") + 2 * len([r for r in rows if r["event"] == "walk_start"])
assert refs == stats["ptw/walk_cycles"][:].sum(), refs
PY

# Filters keep what they promise.
page=$(grep -o 'walk_end .*' "$dir/1.log" | grep 'result=translation' | sed -n 40p | grep -o 'vaddr=0x[0-9a-f]*' | cut -d= -f2)
"$concerto" log "${bfs[@]}" --event walk --page "$page" --core 0 >"$dir/page.log"
grep -E '^[^ ]+ ns  core   0 ' "$dir/1.log" | grep -E ' walk_' | grep "vaddr=${page%???}" >"$dir/want.log"
check "one page of one core" cmp -s "$dir/page.log" "$dir/want.log"

# Stories: of the STLB misses of many pages, with and without faults, joined walks and queues.
stories=0 bad=0
for vaddr in $(grep ' tlb ' "$dir/1.log" | grep 'stlb=miss' | awk 'NR % 97 == 1' | grep -o 'vaddr=0x[0-9a-f]*' | cut -d= -f2 | head -12); do
    for miss in 1 2; do
        "$concerto" explain "${bfs[@]}" --vaddr "$vaddr" --nth-miss $miss >"$dir/story" 2>/dev/null || continue
        stories=$((stories + 1))
        grep -q 'charged:' "$dir/story" && ! grep -q 'a defect' "$dir/story" || { bad=$((bad + 1)); cp "$dir/story" "$dir/bad"; }
    done
done
check "$stories stories add up to the cycles they took" [ "$stories" -gt 10 -a "$bad" -eq 0 ]
[ "$bad" -eq 0 ] || cat "$dir/bad"

# A store does not join the walk of a load: two walks of one page at a time, of which an access waits for its own;
# alone and beside another program.
for run in "--workload gups --size 4MiB" "--mix tests/traces/chase.vmt,gups:4MiB --no-alone --core 1"; do
    # shellcheck disable=SC2086
    "$concerto" explain configs/baseline.yaml $run --instructions 2000 -q --vaddr 0x7f0000000000 >"$dir/story" 2>/dev/null
    check "of two walks of a page at a time its own counts: $run" \
        [ "$(grep -c 'walks for another access' "$dir/story")" -gt 0 -a "$(grep -c 'charged:' "$dir/story")" -eq 1 -a "$(grep -c 'a defect' "$dir/story")" -eq 0 ]
done

# A load alone on the test model: 1 + 12 in the TLBs, 2 + 4 x 100 walking.
one=(configs/test_model.yaml --workload chase --size 4KiB --instructions 2 -q)
"$concerto" explain "${one[@]}" --vaddr 0x7f0000000000 --nth-miss 2 >"$dir/story"
check "a cold walk after its fault ends 415 cycles after it began" grep -Eq '^ +[0-9]+ +\+[0-9]+ +the walk ends: page of 2\^12' "$dir/story"
first=$(awk '/its address is known/ {a = $1} /the walk ends: page/ {print $1 - a}' "$dir/story")
check "by the cycles in its story" [ "$first" = 415 ]

# Errors say what to do.
refused() { # NAME PATTERN ARGUMENTS...
    local name=$1 pattern=$2
    shift 2
    "$concerto" "$@" >/dev/null 2>"$dir/err"
    [ $? -ne 0 ] && grep -q "$pattern" "$dir/err"
    check "$name" [ $? -eq 0 ]
}
refused "an unknown event names the nearest one" "did you mean 'walk'" log "${one[@]}" --event walkk
refused "a page without a miss says how many there are" "has 0 STLB misses" explain "${one[@]}" --vaddr 0x1000
refused "explain needs an address" "say which access" explain "${one[@]}"
refused "a core that is not there is refused" "cores 0 to 0" log "${one[@]}" --core 3
refused "an option of another command is named" "is no option of .concerto run." run "${one[@]}" --vaddr 0
refused "brackets are for run" "is no option of .concerto log." log "${one[@]}" --brackets

# Brackets: a chase is serial by nature; with independent loads its misses overlap.
"$concerto" run configs/baseline.yaml --workload chase --size 16MiB --instructions 30000 -q --brackets -o "$dir/b.h5" >"$dir/brackets"
check "brackets bound the run" /usr/bin/python3 - "$dir" <<'PY'
import sys, h5py
cycles = {n: int(h5py.File(f"{sys.argv[1]}/b{n}.h5")["stats/cores/cycles"][:].sum()) for n in ("", ".serial", ".independent")}
assert cycles[""] == cycles[".serial"] > 2 * cycles[".independent"], cycles
PY
exit $failed
