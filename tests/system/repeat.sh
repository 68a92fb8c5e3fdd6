#!/usr/bin/env bash
# Repeats (run --repeat N): each is the run that sim.perturb=i alone gives, on any number of ranks;
# the perturbations differ from each other; the means and intervals are those that numpy computes.
#
#   CONCERTO   the program under test (default: ./concerto of this tree)
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "repeat.sh: no concerto at $concerto"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$root" || exit 1
failed=0
ok() { echo "ok   $1"; }
fail() { echo "FAIL $1"; failed=1; }
common=(configs/baseline.yaml configs/os-thp-never.yaml -q -s sim.epoch=20us -s sim.jitter_cycles=4)
bfs=("${common[@]}" --trace tests/traces/bfs-4t.vmt --instructions 12000)
gups=("${common[@]}" --workload gups --size 4MiB --cores 3 --instructions 12000)

# same NAME A B
same() {
    local said
    said=$("$concerto" compare --exact "$2" "$3" 2>&1)
    [ "$said" = equal ] || { fail "$1: $said"; return 1; }
}

for pair in bfs gups; do
    declare -n arguments=$pair
    "$concerto" run "${arguments[@]}" --repeat 4 -o "$dir/one.h5" >"$dir/log" 2>&1 || fail "$pair: $(tail -n 1 "$dir/log")"
    mpirun --oversubscribe -np 3 "$concerto" run "${arguments[@]}" --repeat 4 -o "$dir/many.h5" >/dev/null 2>"$dir/err" ||
        fail "$pair on 3 ranks: $(tail -n 1 "$dir/err")"
    CONCERTO_TRANSPORT=mpi "$concerto" run "${arguments[@]}" --repeat 2 --ranks 2 --cut 5 -o "$dir/mpi.h5" >/dev/null 2>"$dir/err" ||
        fail "$pair by --ranks: $(tail -n 1 "$dir/err")"
    good=1
    for i in 1 2 3; do
        same "$pair, repeat $i on 3 ranks" "$dir/one.r$i.h5" "$dir/many.r$i.h5" || good=0
        mpirun --oversubscribe -np 2 "$concerto" run "${arguments[@]}" -s sim.perturb=$i -o "$dir/alone.h5" >/dev/null 2>&1
        same "$pair, repeat $i alone on 2 ranks" "$dir/one.r$i.h5" "$dir/alone.h5" || good=0
        "$concerto" compare --exact "$dir/one.h5" "$dir/one.r$i.h5" >/dev/null && { fail "$pair: repeat $i perturbs nothing"; good=0; }
    done
    same "$pair, repeat 1 by --ranks" "$dir/one.r1.h5" "$dir/mpi.r1.h5" || good=0
    "$concerto" run "${arguments[@]}" -o "$dir/plain.h5" >/dev/null 2>&1
    same "$pair, repeat 0 is the plain run" "$dir/one.h5" "$dir/plain.h5" || good=0
    "$concerto" compare --exact "$dir/one.r1.h5" "$dir/one.r2.h5" >/dev/null && { fail "$pair: two repeats are the same"; good=0; }
    [ $good = 1 ] && ok "$pair: each repeat is the run that sim.perturb gives, on any number of ranks"
done

# One thing at a time: each must change something by itself.
for only in perturb_memory=64MiB start_skew=500ns jitter_cycles=3; do
    settings=(-s sim.perturb_memory=0 -s sim.start_skew=0 -s sim.jitter_cycles=0 -s "sim.$only")
    "$concerto" run "${gups[@]}" "${settings[@]}" -s sim.perturb=1 -o "$dir/p.h5" >/dev/null 2>&1
    if "$concerto" compare --exact "$dir/plain.h5" "$dir/p.h5" >/dev/null; then
        fail "sim.$only alone changes nothing"
    else
        ok "sim.$only alone changes the run"
    fi
done

# Each repeat has its own image of premapped page tables, and starts from it the second time.
premap=("${common[@]}" --workload gups --size 16MiB --instructions 5000 -s os.premap=all)
if "$concerto" run "${premap[@]}" --repeat 2 -o "$dir/none.h5" >/dev/null 2>"$dir/err" &&
    "$concerto" run "${premap[@]}" --repeat 2 -s os.premap_image="$dir/image" -o "$dir/first.h5" >/dev/null 2>>"$dir/err" &&
    "$concerto" run "${premap[@]}" --repeat 2 -s os.premap_image="$dir/image" -o "$dir/second.h5" >/dev/null 2>>"$dir/err" &&
    [ -s "$dir/image" ] && [ -s "$dir/image.1" ] && same "premap" "$dir/none.r1.h5" "$dir/second.r1.h5"; then
    ok "each repeat has its own premap image"
else
    fail "premap images of repeats: $(tail -n 1 "$dir/err")"
fi

# The summary's mean and interval of IPC, by numpy; 3 degrees of freedom: t = 3.182446.
/usr/bin/python3 - "$dir" <<'PY' && ok "mean and interval are those of the files" || fail "mean and interval"
import sys
sys.path.insert(0, "output")
import numpy as np
import concerto_stats as cs

d = sys.argv[1]
runs = [cs.load(p).roi() for p in (f"{d}/one.h5", f"{d}/one.r1.h5", f"{d}/one.r2.h5", f"{d}/one.r3.h5")]
cycles = np.array([r.total("cores/cycles") for r in runs])
half = 3.182446 * cycles.std(ddof=1) / 2
line = next(l for l in open(f"{d}/log") if l.strip().startswith("cycles, all cores"))
words = line.split()
mean, said = float(words[3]), float(words[4].lstrip("+-"))
assert [r.path for r in runs] == [r.path for r in cs.load_set(f"{d}/one.h5")]
assert np.allclose(cs.mean_interval(cycles), (cycles.mean(), half), rtol=1e-6)
assert abs(cs.student_t95(1) - 12.70620) < 1e-4 and abs(cs.student_t95(9) - 2.26216) < 1e-4
table = cs.sweep([f"{d}/one.h5"], repeats=True)
assert list(table["repeat"]) == [0, 1, 2, 3] and list(table["cores/cycles"]) == list(cycles)
assert abs(mean - cycles.mean()) <= 0.51 and abs(said - half) <= 0.51, (line, cycles.mean(), half)
PY

# Dimension scales, as the library itself sees them: time along the first, instances along the second.
/usr/bin/python3 - "$dir/one.h5" <<'PY' && ok "each counter has the scales of its dimensions" || fail "dimension scales"
import sys
import h5py

f = h5py.File(sys.argv[1])
time, n = f["stats/time/end"], 0

def check(name, item):
    global n
    if not isinstance(item, h5py.Dataset) or "stamp" not in item.attrs:
        return
    ids = f["stats"][name.split("/")[0]]["id"]
    assert h5py.h5ds.is_attached(item.id, time.id, 0) and h5py.h5ds.is_attached(item.id, ids.id, 1), name
    assert item.dims[0][0] == time and item.dims[1][0] == ids and len(item.dims) == item.ndim, name
    n += 1

f["stats"].visititems(check)
assert n > 200 and len(time.attrs["REFERENCE_LIST"]) == n
PY

# What is said of bad input.
"$concerto" run "${gups[@]}" --repeat 2 -s sim.perturb=1 >/dev/null 2>"$dir/err"
[ $? -eq 2 ] && grep -q 'sim.perturb' "$dir/err" && ok "--repeat with sim.perturb is refused" || fail "--repeat with sim.perturb"
"$concerto" run "${gups[@]}" --repeat none >/dev/null 2>"$dir/err"
[ $? -eq 2 ] && grep -q 'expected a number' "$dir/err" && ok "--repeat none is refused" || fail "--repeat none"
exit $failed
