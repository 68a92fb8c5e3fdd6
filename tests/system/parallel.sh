#!/usr/bin/env bash
# Planning for many ranks: --profile-parallelism changes nothing of the statistics, prints tables that can be
# read, and a profile that places the next run; its prediction of the run itself is near what it took.
# Wall time is not asserted, since the host may be busy.
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "parallel.sh: no concerto at $concerto"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$root" || exit 1
failed=0
check() { # WHAT: the status of the last command
    if [ "$?" -eq 0 ]; then echo "ok   $1"; else echo "FAIL $1"; failed=1; fi
}
run() { # RANKS NAME ARGUMENTS...
    local ranks=$1 name=$2 start=()
    shift 2
    [ "$ranks" -eq 1 ] || start=(mpirun --oversubscribe -np "$ranks")
    timeout 300 "${start[@]}" "$concerto" run configs/baseline.yaml -q --workload gups --size 16MiB --cores 4 --instructions 150k \
        "$@" -o "$dir/$name.h5" </dev/null >"$dir/$name.log" 2>"$dir/$name.err" || { cat "$dir/$name.err"; return 1; }
}
same() { [ "$("$concerto" compare --exact "$dir/plain.h5" "$dir/$1.h5")" = equal ]; }

run 1 plain || exit 1

run 1 one --profile-parallelism && same one
check "profiling one process changes no statistic"
run 3 three --profile-parallelism && same three
check "profiling three ranks changes no statistic"

# ranks seconds speed-up, from 1 on, doubling; one process is the measure.
awk '/^  ranks    seconds/ {on = 1; next} on && NF >= 4 && $1 == want + 0 {n++; want *= 2; if ($2 <= 0 || $3 <= 0) bad = 1; if (n == 1 && $3 != 1) bad = 1; next}
     {on = 0} BEGIN {want = 1} END {exit !(n >= 4 && !bad)}' "$dir/one.log"
check "seconds and speed-up are predicted for 1, 2, 4, 8 ranks"
awk '/^  ranks .* cores\*/ {on = 1; next} on && $1 == 1024 {far = 1} END {exit !(on && far)}' "$dir/one.log"
check "larger machines are extrapolated up to 1024 ranks"
grep -q 'exchange .*shared memory [0-9]' "$dir/one.log"
check "the costs of an exchange are told"

# More ranks than processors: auto leaves the last ones empty, which sleep to the end of each epoch.
for n in 1 2; do
    for transport in shm mpi; do
        CONCERTO_PROCESSORS=$n CONCERTO_TRANSPORT=$transport run 4 crowded && same crowded &&
            grep -qE "^ +$((4 - n)) of these ranks hold nothing" "$dir/crowded.log"
        check "4 ranks on $n processors ($transport): the others hold nothing, and no statistic changes"
    done
done
CONCERTO_PROCESSORS=1 run 6 crowded --partition dedicated && same crowded && ! grep -q "hold nothing" "$dir/crowded.log"
check "each core has a rank when that is asked for, however few processors there are"

# The runs alone leave ranks asleep that the profiled run of all needs.
CONCERTO_PROCESSORS=2 timeout 120 mpirun --oversubscribe -np 3 "$concerto" run configs/baseline.yaml -q --mix chase:1MiB,gups:1MiB \
    --instructions 3000 --profile-parallelism >"$dir/mix.log" 2>&1 </dev/null && grep -q '^digest' "$dir/mix.log"
check "a rank that slept in one run takes part in the next"

ratio=$(sed -n 's/.*this run, 1 process .*(ratio \([0-9.]*\)).*/\1/p' "$dir/one.log")
awk -v r="$ratio" 'BEGIN {exit !(r > 0.2 && r < 3)}'
check "the prediction of one process (ratio $ratio) is near its processor time"

[ "$(grep -cE '^(core|slice) [0-3] [0-9]+$' "$dir/one.profile")" -eq 8 ] && grep -qE '^kernel [0-9]+$' "$dir/one.profile"
check "the profile has a load for each core and slice, and the kernel"
run 2 placed --partition-profile "$dir/one.profile" && same placed
check "a placement by measured loads changes no statistic"

"$concerto" run configs/baseline.yaml --workload gups --size 1MiB --cores 2 --instructions 1k --partition-profile "$dir/one.profile" \
    >"$dir/log" 2>&1
[ $? -eq 2 ] && grep -q 'one.profile:' "$dir/log"
check "a profile of another machine is refused, by name and line"
"$concerto" run configs/baseline.yaml --workload gups --size 1MiB --instructions 1k --profile-parallelism --network fast >"$dir/log" 2>&1
[ $? -eq 2 ] && grep -q '1500ns,12.5GB,64' "$dir/log"
check "a network that is none is refused, with an example"

"$concerto" run configs/baseline.yaml --workload gups --size 1MiB --instructions 1k --profile-parallelism -s sim.order=queue >"$dir/log" 2>&1
[ $? -eq 2 ] && grep -q 'sim.order' "$dir/log"
check "a profile of a run without windows is refused"

grep -q 'host .*M instructions/s: cores [0-9]* %' "$dir/one.log" &&
    grep -qE '^ +wait( +[0-9.]+){3} +[0-2] +[0-9.]+ %' "$dir/three.log"
check "host time is told for one process, and by rank for three"
exit $failed
