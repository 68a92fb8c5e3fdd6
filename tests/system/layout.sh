#!/usr/bin/env bash
# The same program in 20 random layouts of its address space: the same instructions and accesses,
# other addresses, and so a spread of TLB misses and walk references, which is printed. One layout
# is the same run on any number of ranks; the addresses of seed 0 are those of `setarch -R`.
#
#   CONCERTO   the program under test (default: ./concerto of this tree)
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "layout.sh: no concerto at $concerto"; exit 77; }
python=/usr/bin/python3
"$python" -c 'import h5py, numpy, pandas' 2>/dev/null || { echo "layout.sh: no python3 with h5py"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$root" || exit 1
failed=0
ok() { echo "ok   $1"; }
fail() { echo "FAIL $1"; failed=1; }

# A small second level, so that which pages share a set matters; 4 KiB pages, so that there are many.
small=(configs/baseline.yaml configs/os-thp-never.yaml -q -s tlb.stlb.entries=128 -s tlb.stlb.ways=4
    -s tlb.l1d4k.entries=32 -s tlb.l1d4k.ways=4)
redis=(--trace tests/traces/redis.vmt --instructions 400000 --cores 2)
sqlite=(--trace tests/traces/sqlite3.vmt --instructions 400000)

# run OUTPUT ARGUMENTS...
run() {
    local out=$1
    shift
    "$concerto" run "$@" -o "$out" >"$dir/log" 2>&1 && return 0
    fail "run $*: $(tail -n 1 "$dir/log")"
    return 1
}

for name in redis sqlite; do
    declare -n trace=$name
    run "$dir/$name.recorded.h5" "${small[@]}" "${trace[@]}" -s os.layout=recorded || continue
    for seed in $(seq 1 20); do
        run "$dir/$name.$seed.h5" "${small[@]}" "${trace[@]}" -s os.layout_seed="$seed" || break
    done
    "$python" - "$root/output" "$name" "$dir/$name.recorded.h5" "$dir/$name."[0-9]*.h5 <<'PYTHON' || failed=1
import sys
sys.path.insert(0, sys.argv[1])
import concerto_stats as cs

name, recorded, paths = sys.argv[2], cs.load(sys.argv[3]), sys.argv[4:]
runs = [cs.load(p) for p in paths]
if len(runs) != 20:
    sys.exit(f"FAIL {name}: {len(runs)} runs instead of 20")
total = lambda s, key: int(s.total(key))
bad = False
for key in ("cores/instructions", "cores/loads", "cores/stores", "kernel/map/mmap"):
    values = {total(s, key) for s in runs + [recorded]}
    if len(values) != 1:
        bad = True
        print(f"FAIL {name}: {key} depends on the layout: {sorted(values)}")
print(f"     {name}: {total(recorded, 'cores/instructions')} instructions, 20 layouts")
for label, key in (("STLB misses", "cores/stlb/misses"), ("walk references", "cores/ptw/refs"),
                   ("page-table nodes", "kernel/frames/page_table")):
    values = [total(s, key) for s in runs]
    scale = 1000 / total(recorded, "cores/instructions") if key != "kernel/frames/page_table" else 1
    unit = " per 1000 instructions" if scale != 1 else ""
    print(f"     {label}{unit}: min {min(values) * scale:.4f}, mean {sum(values) / 20 * scale:.4f}, "
          f"max {max(values) * scale:.4f}; as recorded {total(recorded, key) * scale:.4f}")
    if key != "kernel/frames/page_table" and len(set(values)) < 10:
        bad = True
        print(f"FAIL {name}: {label}: only {len(set(values))} values in 20 layouts")
placed = [[total(s, f"kernel/layout/{k}") for k in ("exec", "searched", "aligned", "fixed", "kept")] for s in runs]
if any(p != placed[0] for p in placed) or placed[0][0] == 0 or placed[0][1] == 0:
    bad = True
    print(f"FAIL {name}: areas placed: {placed}")
if any(total(recorded, f"kernel/layout/{k}") for k in ("exec", "searched", "aligned", "fixed", "kept")):
    bad = True
    print(f"FAIL {name}: areas counted as placed in the recorded layout")
print(f"     areas: {placed[0][0]} by execve, {placed[0][1]} searched, {placed[0][2]} at 2 MiB, {placed[0][3]} beside others")
if not bad:
    print(f"ok   {name}: 20 layouts execute the same and differ in translation only")
sys.exit(bad)
PYTHON
done

# One layout on other numbers of ranks.
good=1
for ranks in 2 3; do
    mpirun --oversubscribe -np $ranks "$concerto" run "${small[@]}" "${redis[@]}" -s os.layout_seed=7 --cut $ranks \
        -o "$dir/ranks.h5" >/dev/null 2>"$dir/err" || fail "seed 7 on $ranks ranks: $(tail -n 1 "$dir/err")"
    said=$("$concerto" compare --exact "$dir/redis.7.h5" "$dir/ranks.h5" 2>&1)
    [ "$said" = equal ] || { fail "seed 7 on $ranks ranks: $said"; good=0; }
done
[ $good = 1 ] && ok "one layout is the same run on 1, 2 and 3 ranks"

# What the trace says is shown as recorded, whatever the runs do.
if "$concerto" trace dump tests/traces/sqlite3.vmt --count 1 | grep -q "mmap 0 4000000000"; then
    ok "concerto trace shows recorded addresses"
else
    fail "concerto trace does not show recorded addresses"
fi

if "$concerto" run "${small[@]}" "${sqlite[@]}" -s os.layout=linus >"$dir/log" 2>&1; then
    fail "a layout that does not exist is accepted"
elif grep -q "linux" "$dir/log"; then
    ok "a wrong word for the layout is answered with the right ones"
else
    fail "a wrong word for the layout: $(tail -n 1 "$dir/log")"
fi
exit $failed
