#!/usr/bin/env bash
# What goes wrong outside the simulator ends in one clear line and the right exit code: 1 the run
# failed, 2 usage or configuration, 3 trace, 4 output, 75 stopped by a signal. Nothing hangs, and
# nothing that was finished is lost.
#
#   CONCERTO   the program under test (default: ./concerto of this tree)
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "robust.sh: no concerto at $concerto"; exit 77; }
dir=$(mktemp -d) || exit 1
mounted=
trap '[ -z "$mounted" ] || umount "$mounted"; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
traces=$root/tests/traces
failed=0
fail() {
    echo "FAIL $1"
    sed 's/^/     /' err | head -n 12
    failed=1
}

# ends CODE PATTERN NAME COMMAND...: exit code, and one line of ours, which matches (PATTERN none: no
# line at all). A warning before an error, and a line that tells how to recover, do not count.
ends() {
    local code=$1 pattern=$2 name=$3 status lines
    shift 3
    timeout 120 "$@" </dev/null >out 2>err
    status=$?
    grep -a '^concerto:' err | grep -av 'use: concerto recover' >ours
    if grep -aq 'error:' ours; then sed -i '/warning:/d' ours; fi
    lines=$(wc -l <ours)
    if [ $status -ne "$code" ]; then
        fail "$name: exit code $status, expected $code"
    elif grep -aqE 'invariant|SIM_ASSERT|Assertion|Segmentation|core dumped' err; then
        fail "$name: an internal check speaks"
    elif [ "$pattern" = none ]; then
        [ "$lines" -eq 0 ] && echo "ok   $name" || fail "$name: says something"
    elif [ "$lines" -ne 1 ]; then
        fail "$name: $lines lines, expected one"
    elif ! grep -qE -e "$pattern" ours; then
        fail "$name: the line does not say $pattern"
    else
        echo "ok   $name"
    fi
}
run=("$concerto" run -q)
small=(--workload gups --size 64KiB --instructions 100)
mpi() { echo mpirun --oversubscribe -np "$1"; }

# --- traces ---------------------------------------------------------------------------------------
whole=$traces/chase.vmt
size=$(stat -c %s "$whole")
head -c $((size * 2 / 3)) "$whole" >short.vmt
ends 0 "warning.*short.vmt.*(truncated|cut)" "a truncated trace runs, with a warning" "${run[@]}" --trace short.vmt
ends 3 "short.vmt" "a truncated trace fails its verification" "$concerto" trace verify short.vmt
head -c 100 "$whole" >stub.vmt
ends 3 "stub.vmt" "a trace of 100 bytes" "${run[@]}" --trace stub.vmt
cp "$whole" flipped.vmt
at=$((size / 2))
byte=$(od -An -tu1 -j $at -N 1 flipped.vmt)
printf "\\$(printf %o $((byte ^ 255)))" | dd of=flipped.vmt bs=1 seek=$at conv=notrunc status=none
ends 3 "flipped.vmt" "a changed byte in a block: run" "${run[@]}" --trace flipped.vmt
ends 3 "flipped.vmt" "a changed byte in a block: verify" "$concerto" trace verify flipped.vmt
# shellcheck disable=SC2046
ends 3 "flipped.vmt" "a changed byte in a block: 2 ranks" $(mpi 2) "${run[@]}" --trace flipped.vmt
head -c 100000 /dev/urandom >noise.vmt
ends 3 "noise.vmt" "not a trace" "${run[@]}" --trace noise.vmt
: >empty.vmt
ends 3 "empty.vmt" "an empty file" "${run[@]}" --trace empty.vmt
ends 3 "a.directory" "a directory" bash -c "mkdir -p a.directory; '$concerto' run -q --trace a.directory"
ends 3 "missing.vmt.*[Nn]o such file" "a missing trace" "${run[@]}" --trace missing.vmt
# shellcheck disable=SC2046
ends 3 "missing.vmt.*[Nn]o such file" "a missing trace, 3 ranks" $(mpi 3) "${run[@]}" --trace missing.vmt
xz -dc "$traces/sqlite3.champsim.xz" 2>/dev/null | head -c 6401 >odd.champsim
ends 3 "odd.champsim" "a ChampSim trace with half a record at its end" "${run[@]}" --trace odd.champsim
head -c 200000 "$traces/sqlite3.champsim.xz" >short.champsim.xz
ends 3 "short.champsim.xz" "a compressed trace that ends early" "${run[@]}" --trace short.champsim.xz

# --- configuration --------------------------------------------------------------------------------
printf 'core:\n  width: 4\ntlb:\n  l1d4k:\n    entires: 64\n' >typo.yaml
ends 2 "typo.yaml:5:.*entires.*did you mean '?tlb.l1d4k.entries" "unknown key, with the nearest" "${run[@]}" typo.yaml "${small[@]}"
printf '# a\ncore.width: 17\n' >range.yaml
ends 2 "range.yaml:2:.*core.width.*17.*1 to 16" "out of range, with file and line" "${run[@]}" range.yaml "${small[@]}"
printf 'core:\n  width: 4\n  width: 5\n' >twice.yaml
ends 2 "twice.yaml:3:.*duplicate.*line 2" "a key given twice" "${run[@]}" twice.yaml "${small[@]}"
printf 'core: [\n' >broken.yaml
ends 2 "broken.yaml:[0-9]+:" "broken YAML" "${run[@]}" broken.yaml "${small[@]}"
printf 'include: nowhere\n' >lost.yaml
ends 2 "lost.yaml:1:.*nowhere" "an included file that is missing" "${run[@]}" lost.yaml "${small[@]}"
printf 'include: loop.yaml\n' >loop.yaml
ends 2 "loop.yaml" "a file that includes itself" "${run[@]}" loop.yaml "${small[@]}"
ends 2 "no-such.yaml" "a missing configuration" "${run[@]}" no-such.yaml "${small[@]}"
ends 2 "baseline" "a misspelt preset, with the nearest" "${run[@]}" baselin "${small[@]}"
ends 2 "core.widht.*did you mean '?core.width" "-s with an unknown key" "${run[@]}" -s core.widht=4 "${small[@]}"
ends 2 "dram.tcl.*unit" "-s without its unit" "${run[@]}" -s dram.tcl=13 "${small[@]}"
ends 2 "expected KEY=VALUE" "-s without a value" "${run[@]}" -s core.width "${small[@]}"
ends 2 "core.mmu.*radix" "a design that does not exist" "${run[@]}" -s core.mmu=radx "${small[@]}"
ends 2 "tlb.l1d4k.*65.*multiple|tlb.l1d4k" "entries that no number of sets makes" "${run[@]}" -s tlb.l1d4k.entries=65 "${small[@]}"
ends 2 "llc.size.*multiple" "an LLC that is no multiple of its sets" "${run[@]}" -s llc.size=100000 "${small[@]}"
# shellcheck disable=SC2046
ends 2 "typo.yaml:5" "unknown key, 3 ranks, said once" $(mpi 3) "${run[@]}" typo.yaml "${small[@]}"

# --- command line ---------------------------------------------------------------------------------
ends 2 "unknown option '--instructoins'.*--instructions" "unknown option, with the nearest" "${run[@]}" --instructoins 5 "${small[@]}"
ends 2 "unknown command 'rnu'.*run" "unknown command, with the nearest" "$concerto" rnu
ends 2 "needs a value" "an option without its value" "${run[@]}" --trace
ends 2 "both a trace and" "both a trace and a workload" "${run[@]}" --trace "$whole" --workload gups
ends 2 "nothing to run" "neither trace nor workload" "${run[@]}"
ends 2 "ranks" "--ranks without a number" "${run[@]}" --ranks many "${small[@]}"
ends 2 "2048 KiB will do" "a workload too small for its tables" "${run[@]}" --workload xsbench --size 16KiB
ends 2 "os.max_table_nodes" "too few nodes of page tables" "${run[@]}" "${small[@]}" -s os.max_table_nodes=5
ends 2 "os.fault_around_size" "a window of file pages that is no power of two" "${run[@]}" "${small[@]}" -s os.fault_around_size=12KiB
ends 2 "os.hugepages_1g" "more 1 GiB pages than the memory has" "${run[@]}" "${small[@]}" -s os.hugepages_1g=500
ends 2 "workload.kind|gups" "a workload that does not exist" "${run[@]}" --workload gusp

# --- placement ------------------------------------------------------------------------------------
four=(--workload gups --size 64KiB --cores 4 --instructions 100)
# shellcheck disable=SC2046
ends 2 "too few ranks.*needs 6.*4 cores.*has 3" "too few ranks for dedicated" $(mpi 3) "${run[@]}" "${four[@]}" --partition dedicated
# shellcheck disable=SC2046
ends 2 "partition single is for one process" "single on 2 ranks" $(mpi 2) "${run[@]}" "${four[@]}" --partition single
ends 2 "dedicatd.*(neither|dedicated)" "a partition that does not exist" "${run[@]}" "${four[@]}" --partition dedicatd
rest=$'core * 0\nslice * 0\nchannel * 0\nkernel 0\ncontrol 0\n'
map() { # PATTERN NAME TEXT
    printf '%s' "$3" >bad.map
    ends 2 "bad.map$1" "map: $2" "${run[@]}" "${four[@]}" --partition bad.map
}
map ":1: .*'cor'.*did you mean 'core'" "an unknown word, with the nearest" $'cor 0 0\n'
map ":6: .*control was placed before" "control placed twice" "${rest}control 0"$'\n'
map ":6: .*core was placed before" "a core placed twice" "${rest}core 2 0"$'\n'
map ":1: .*'4'.*0 to 3" "a core that does not exist" $'core 4 0\n'
map ":1: .*'3-1'" "a range that runs backwards" $'core 3-1 0\n'
map ":2: .*rank '1' does not exist.*0 to 0" "a rank that does not exist" $'# first\nkernel 1\n'
map ":1: .*rank 'x'" "a rank that is no number" $'kernel x\n'
map ":1: .*expected 'core which rank'|:1: .*expected" "too few words" $'core 0\n'
map ":1: .*expected" "too many words" $'kernel 0 0\n'
map ": core 3 is on no rank" "a core left out" $'core 0-2 0\nslice * 0\nchannel * 0\nkernel 0\ncontrol 0\n'
map ": kernel.* is on no rank" "the kernel left out" $'core * 0\nslice * 0\nchannel * 0\ncontrol 0\n'
map ": core 0 is on no rank" "an empty map" ""
printf '%sfuzz 0\n' "$rest" >good.map
ends 0 none "a good map" "${run[@]}" "${four[@]}" --partition good.map

# --- output ---------------------------------------------------------------------------------------
ends 4 "/no/such/folder/a.h5" "an output in a missing folder" "${run[@]}" "${small[@]}" -o /no/such/folder/a.h5
ends 4 "a.directory" "an output that is a directory" "${run[@]}" "${small[@]}" -o a.directory
if [ "$(id -u)" -ne 0 ]; then
    mkdir -p locked && chmod 555 locked
    ends 4 "locked/a.h5" "an output in a folder without the right to write" "${run[@]}" "${small[@]}" -o locked/a.h5
fi
# shellcheck disable=SC2046
ends 4 "/no/such/folder/a.h5" "an output in a missing folder, 2 ranks" $(mpi 2) "${run[@]}" "${small[@]}" -o /no/such/folder/a.h5
long=("${run[@]}" "$root/configs/baseline.yaml" --workload gups --size 16MiB --cores 2 --instructions 100M
    -s sim.epoch=20us -s os.thp=never)
mkdir -p small
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=512k tmpfs small 2>/dev/null; then
    mounted=$dir/small
    ends 4 "small/a.h5.*(No space|space)" "a full disk" "${long[@]}" -o small/a.h5
    # shellcheck disable=SC2046
    ends 4 "small/b.h5.*(No space|space)" "a full disk, 2 ranks" $(mpi 2) "${long[@]}" -o small/b.h5
    umount "$mounted" && mounted=
else
    echo "skip a full disk: no right to mount a small one"
fi
ends 4 "limited.h5" "a file beyond the user's limit" bash -c 'ulimit -f 300; exec "$@"' x "${long[@]}" -o limited.h5

# --- sudden ends ----------------------------------------------------------------------------------
started() { # FILE: until its journal holds some epochs
    for _ in $(seq 400); do
        [ "$(stat -c %s "$1.jnl" 2>/dev/null || echo 0)" -gt 60000 ] && return 0
        sleep 0.05
    done
    return 1
}
epochs() { "$concerto" info "$1" | sed -n 's/.* in \([0-9]*\) epochs.*/\1/p'; }

"${long[@]}" -o killed.h5 >out 2>err &
pid=$!
if started killed.h5; then
    kill -9 $pid
    wait $pid 2>/dev/null
    ends 0 none "kill -9, then recover" "$concerto" recover killed.h5.jnl
    n=$(epochs killed.h5)
    # The same run, left to stop by itself after as many epochs, must hold the same statistics.
    "${long[@]}" -s sim.max_time="$((n * 20))us" -o until.h5 >out 2>err
    said=$("$concerto" compare --exact killed.h5 until.h5 2>&1)
    case $said in
    # The killed run did not come to write its summary.
    equal | "different: /stats/summary: attribute "*" (1 of "*)
        echo "ok   all $n finished epochs are there and right" ;;
    *) echo "$said; $n epochs recovered" >err; fail "all finished epochs are there and right" ;;
    esac
else
    kill -9 $pid
    fail "kill -9: the run never wrote its journal"
fi

"${long[@]}" -o stopped.h5 >out 2>err &
pid=$!
started stopped.h5
kill -TERM $pid
wait $pid
status=$?
if [ $status -eq 75 ] && [ "$(epochs stopped.h5)" -gt 0 ] && [ ! -e stopped.h5.jnl ]; then
    echo "ok   SIGTERM leaves a readable file of $(epochs stopped.h5) epochs and exit code 75"
else
    fail "SIGTERM: exit code $status, $(ls stopped*)"
fi

children() { # PID
    local p
    for p in /proc/[0-9]*; do
        [ "$(sed 's/.*) //' "$p/stat" 2>/dev/null | cut -d ' ' -f 2)" = "$1" ] && echo "${p#/proc/}"
    done
}
running() { [ "$(readlink "/proc/$1/exe" 2>/dev/null)" = "$(readlink -f "$concerto")" ]; }

# One rank of three dies: mpirun ends with an error, the others do not stay.
timeout 120 mpirun --oversubscribe -np 3 "${long[@]}" -o rank.h5 >out 2>err &
pid=$!
if started rank.h5; then
    mapfile -t ranks < <(children "$(children $pid)" | sort -n)
    begin=$SECONDS
    kill -9 "${ranks[-1]}"
    wait $pid
    status=$?
    sleep 0.5
    left=0
    for p in "${ranks[@]}"; do running "$p" && left=$((left + 1)); done
    if [ $status -ne 0 ] && [ $status -ne 124 ] && [ ${#ranks[@]} -eq 3 ] && [ $left -eq 0 ]; then
        echo "ok   kill -9 of one rank of three: mpirun ends after $((SECONDS - begin)) s, nobody stays"
    else
        fail "kill -9 of one rank of ${#ranks[@]}: exit code $status, $left ranks stay"
    fi
    ends 0 none "and the journal recovers" "$concerto" recover rank.h5.jnl
else
    kill $pid
    fail "kill -9 of one rank: the run never wrote its journal"
fi

# A batch system sends SIGTERM to the ranks, a person to mpirun.
timeout 120 mpirun --oversubscribe -np 2 "${long[@]}" -o stopped2.h5 >out 2>err &
pid=$!
started stopped2.h5
# shellcheck disable=SC2046
kill -TERM $(children "$(children $pid)")
wait $pid
status=$?
if [ $status -eq 75 ] && [ "$(epochs stopped2.h5)" -gt 0 ]; then
    echo "ok   SIGTERM to the ranks of mpirun: exit code 75 and a readable file"
else
    fail "SIGTERM to the ranks of mpirun: exit code $status, $(ls stopped2*)"
fi
timeout 120 mpirun --oversubscribe -np 2 "${long[@]}" -o stopped3.h5 >out 2>err &
pid=$!
started stopped3.h5
kill -TERM "$(children $pid)"
wait $pid
status=$?
if [ $status -ne 0 ] && [ $status -ne 124 ] && { [ -s stopped3.h5 ] || "$concerto" recover stopped3.h5.jnl >out 2>err; } &&
    [ "$(epochs stopped3.h5)" -gt 0 ]; then
    echo "ok   SIGTERM to mpirun itself: nothing finished is lost"
else
    fail "SIGTERM to mpirun itself: exit code $status, $(ls stopped3*)"
fi
exit $failed
