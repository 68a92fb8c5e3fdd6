#!/usr/bin/env bash
# The warnings at the end of a run: each appears when it must, with the right number, and not else.
#
#   CONCERTO   the program under test (default: ./concerto of this tree)
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "warnings.sh: no concerto at $concerto"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$root" || exit 1
failed=0

# warnings ARGUMENTS...: the list at the end of a run, which `info` must print again
warnings() {
    "$concerto" run "$@" -q -o "$dir/w.h5" >"$dir/log" 2>"$dir/err" || echo "FAIL exit code $?: $(cat "$dir/err")"
    sed -n '/^Warnings/,/^$/p' "$dir/log" | grep '^  - ' >"$dir/warnings"
    "$concerto" info "$dir/w.h5" | sed -n '/^Warnings/,/^$/p' | grep '^  - ' | cmp -s - "$dir/warnings" ||
        echo "FAIL info shows other warnings than the run: $*"
}
says() { # NAME TEXT
    if grep -qF -- "$2" "$dir/warnings"; then echo "ok   $1"; else
        echo "FAIL $1: no '$2' in:"; cat "$dir/warnings"; failed=1; fi
}
silent() { # NAME TEXT
    if grep -qF -- "$2" "$dir/warnings"; then
        echo "FAIL $1:"; grep -F -- "$2" "$dir/warnings"; failed=1
    else echo "ok   $1"; fi
}

# A thread that reads one word 1000 times in a loop of three instructions: 998 x 3 = 2994 instructions
# are counted, from the second read on. Beside it 21000 instructions that read another word each
# time, 300 that read one word 100 times with a store between, and a row of 16 reads.
/usr/bin/python3 - "$dir/spin.champsim" <<'PY'
import struct, sys
def instruction(ip, load=0, store=0, branch=0):
    return struct.pack("<QBB2B4B2Q4Q", ip, branch, branch, 0, 0, 0, 0, 0, 0, store, 0, load, 0, 0, 0)
with open(sys.argv[1], "wb") as f:
    def loop(n, ip, address, step=0, store=0):
        for i in range(n):
            f.write(instruction(ip, load=address + i * step))
            f.write(instruction(ip + 4, store=store))
            f.write(instruction(ip + 8, branch=1))
    loop(1000, 0x400000, 0x10000000)
    loop(7000, 0x400100, 0x10001000, step=8)
    loop(100, 0x400200, 0x10020000, store=0x10020000)
    loop(16, 0x400300, 0x10030000)
PY
warnings configs/baseline.yaml --trace "$dir/spin.champsim"
says "a spin is counted to the instruction" "of the instructions (2994) spin on one word"
says "a trace without a memory map is said to be one" "the trace has no memory map"
mpirun --oversubscribe -np 2 "$concerto" run configs/baseline.yaml --trace "$dir/spin.champsim" -q -o "$dir/w2.h5" >/dev/null 2>&1
[ "$("$concerto" compare --exact "$dir/w.h5" "$dir/w2.h5")" = equal ] || { echo "FAIL spin on 2 ranks"; failed=1; }

# 64 pages and 4096 lines, eleven times over: everything is used after the warm-up, nothing is cold in the region.
small="-s core.count=1 -s l2.size=64KiB -s l2.ways=8 -s llc.size=128KiB -s llc.ways=8 -s tlb.stlb.entries=32 -s tlb.stlb.ways=4"
# shellcheck disable=SC2086
warnings configs/baseline.yaml configs/os-thp-never.yaml $small --workload chase --size 256KiB -s workload.passes=11 --warmup 20k -s sim.epoch=20us
silent "a warm run has no cold structures" "were ever used"
silent "a warm run has no first uses to speak of" "filled a place never used before"
silent "a long region is not called short" "lengthen the region"
silent "one core shares nothing" "no coherence"
silent "nothing spins in a chase" "spin on one word"

warnings configs/baseline.yaml configs/os-thp-never.yaml --workload chase --size 256KiB
# 256 KiB are 4096 lines of data; with the lines of page tables some more.
says "a cold run says what was never filled" "LLC lines 13 % (4"
says "a cold run says how much of the misses are first uses" "LLC misses 100 %"

warnings configs/baseline.yaml --trace tests/traces/bfs-4t.vmt
says "write-shared lines are a share of the traffic" "of the LLC's traffic"

warnings configs/baseline.yaml --trace tests/traces/redis.vmt --instructions 200k
says "system calls without a model are counted" "system calls without a model take 400 cycles each"
says "a trace that was cut is said to be" "of the trace's 2497662 instructions"
says "threads that wait for one that was stopped are counted" "1 of 5 threads reached their instruction limit"
one=$(sed -n '/^System calls at a fixed cost/,/^$/p' "$dir/log")
mpirun --oversubscribe -np 3 "$concerto" run configs/baseline.yaml --trace tests/traces/redis.vmt --instructions 200k \
    -q -o "$dir/w3.h5" >"$dir/log3" 2>&1
three=$(sed -n '/^System calls at a fixed cost/,/^$/p' "$dir/log3")
listed=$(echo "$one" | awk '/^  / {n += $NF} END {print n + 0}')
counted=$(/usr/bin/python3 -c 'import sys; sys.path.insert(0, "output"); import concerto_stats as cs; print(cs.load(sys.argv[1]).total("cores/kernel/syscalls_local"))' "$dir/w.h5")
if [ -n "$one" ] && [ "$one" = "$three" ] && [ "$listed" = "$counted" ] && echo "$one" | grep -q '^  write '; then
    echo "ok   system calls are listed by name, all of them, the same on three ranks"
else
    echo "FAIL system calls: one rank lists $listed of $counted: $one; three ranks: $three"
    failed=1
fi
warnings configs/baseline.yaml --workload gups --size 1MiB --instructions 1M -s sim.max_time=100us
says "a run that was stopped says so" "the run was stopped by sim.max_time"
exit $failed
