#!/usr/bin/env bash
# The statistics of a run do not depend on how it was run. Every preset meets every trace and every
# built-in workload, with and without the fuzz process; each pair is run once by one process and
# then in other ways, taken from the list `ways`; compare must say "equal" and the digests
# of all messages must agree.
#
#   tests/system/exact.sh             each way meets each preset, trace and workload a few times
#   EXACT=full tests/system/exact.sh  every way for every pair
#   CONCERTO   the program under test (default: ./concerto of this tree)
#   ONLY       a pattern of pairs, such as 'virtuoso redis*'
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export CONCERTO_PROCESSORS=64 # every rank is to hold something, also where ranks share processors
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "exact.sh: no concerto at $concerto"; exit 77; }
dir=$(mktemp -d) || exit 1
busy=()
quiet() { [ ${#busy[@]} -eq 0 ] || { kill "${busy[@]}"; wait "${busy[@]}"; } 2>/dev/null; busy=(); }
trap 'quiet; rm -rf "$dir"' EXIT
cd "$root" || exit 1
failed=0 nmpi=0

# Name, configuration files. Every file of configs/ appears.
presets=(
    "baseline       configs/baseline.yaml"
    "baseline-4k    configs/baseline.yaml configs/os-thp-never.yaml configs/os-radix5.yaml -s core.mmu=l3tlb -s l1d.prefetcher=berti -s prefetch.cross_page=true -s prefetch.walk=true"
    "skylake        configs/skylake.yaml configs/dram-ddr4-3200.yaml configs/os-thp-madvise.yaml"
    "virtuoso       configs/virtuoso.yaml configs/os-fragmented.yaml -s os.memory_size=4GiB -s dram.channels=2"
    "test_model     configs/test_model.yaml configs/dram-ddr5-4800.yaml"
    "premap         configs/baseline.yaml configs/os-premap.yaml configs/os-thp-never.yaml"
    "reserve        configs/baseline.yaml configs/scale-16.yaml configs/os-reserve.yaml"
    "giant          configs/baseline.yaml configs/os-1g.yaml configs/os-premap.yaml"
)
# Name, simulated cores, arguments. Short, but with faults, walks, DRAM and the kernel in them.
workloads=(
    "bfs-4t         4 --trace tests/traces/bfs-4t.vmt --instructions 16000"
    "chase          1 --trace tests/traces/chase.vmt --instructions 15000 --warmup 2000"
    "redis          5 --trace tests/traces/redis.vmt --instructions 200000"
    "redis-2cores   2 --trace tests/traces/redis.vmt --instructions 200000 --cores 2"
    "sqlite3        1 --trace tests/traces/sqlite3.vmt --instructions 300000"
    "champsim       1 --trace tests/traces/sqlite3.champsim.xz --instructions 100000 -s l1i.enabled=true"
    "gups           4 --workload gups --size 4MiB --cores 4 --instructions 15000"
    "stream         4 --workload stream --size 3MiB --cores 4 --instructions 20000"
    "graph          2 --workload graph --size 4MiB --cores 2 --instructions 15000"
    "xsbench        2 --workload xsbench --size 4MiB --cores 2 --instructions 15000"
    "chase-built-in 2 --workload chase --size 1MiB --cores 2 --instructions 2000"
)
# Ranks, name, arguments. `dedicated` and maps that fix the shape need a machine that fits.
ways=(
    "2 auto"
    "3 auto"
    "4 auto"
    "6 auto"
    "1 one-queue -s sim.order=queue"
    "1 again"
    "1 cut      --cut 1"
    "3 packed   --partition packed"
    "D dedicated --partition dedicated"
    "2 inside-out --partition tests/maps/inside-out.map"
    "1 cut      --cut 77"
    "1 long-way -s sim.fast_path=false"
    "3 kernel-alone --partition tests/maps/kernel-alone.map"
    "4 idle-rank --partition tests/maps/idle-rank.map"
    "2 cut      --cut 5"
    "3 backwards --partition tests/maps/backwards.map"
    "1 loaded"
    "6 scattered --partition tests/maps/scattered.map"
    "2 loaded   --cut 9"
    "4 packed+cut --partition packed --cut 123"
    "2 packed   --partition packed"
)

# run RANKS OUTPUT ARGUMENTS...: prints the digest
run() {
    local ranks=$1 out=$2
    shift 2
    local start=()
    [ "$ranks" -eq 1 ] || start=(mpirun --oversubscribe -np "$ranks")
    # Ranks of one node share memory; every second run sends messages, as between nodes.
    [ "$ranks" -eq 1 ] || [ $((++nmpi % 2)) -eq 1 ] || start=(env CONCERTO_TRANSPORT=mpi "${start[@]}")
    command="${start[*]} $concerto run $*"
    timeout 300 "${start[@]}" "$concerto" run "$@" -q -s sim.epoch=20us -o "$out" \
        </dev/null >"$dir/log" 2>"$dir/err"
    local status=$?
    digest=$(awk '$1 == "digest" {print $2}' "$dir/log")
    [ "$status" -eq 0 ] && [ -n "$digest" ] && return 0
    echo "FAIL exit code $status: $command"
    grep -a concerto: "$dir/err" | head -n 3 | sed 's/^/     /'
    return 1
}

# same WAY REFERENCE DIGEST ARGUMENTS...
same() {
    local way=$1 reference=$2 expected=$3 ranks name more said
    shift 3
    read -r ranks name more <<<"$way"
    # shellcheck disable=SC2086
    run "$ranks" "$dir/b.h5" "$@" $more || return 1
    said=$("$concerto" compare --exact "$reference" "$dir/b.h5" 2>&1)
    [ "$said" = equal ] && [ "$digest" = "$expected" ] && return 0
    echo "FAIL differs from one process: $command"
    echo "     $said; digest $digest, expected $expected"
    return 1
}

# The way as it can be run with this many cores; empty when it cannot.
fit() {
    local ranks=${1%% *} rest=${1#* } ncores=$2
    case $rest in
    dedicated*) echo "$((ncores + 2)) $rest" ;;
    backwards* | scattered*) [ "$ncores" -eq 4 ] && echo "$1" ;;
    *) echo "$ranks $rest" ;;
    esac
}

declare -A used=()
# Into `taken`: the ways that this preset, and then this workload, has met least; all when EXACT=full.
take_ways() { # PRESET WORKLOAD NCORES COUNT
    local way w name rank
    taken=()
    while read -r _ w; do
        [ "${EXACT:-}" = full ] || [ ${#taken[@]} -lt "$4" ] || break
        way=$(fit "${ways[w]}" "$3")
        [ -n "$way" ] || continue
        taken+=("$way")
        for name in "$1" "$2" all; do
            used[$name,$w]=$((${used[$name,$w]:-0} + 1))
        done
    done < <(for w in "${!ways[@]}"; do
        rank=0
        for name in "$1" "$2" all; do
            rank=$((rank * 100 + ${used[$name,$w]:-0}))
        done
        echo "$rank $w"
    done | sort -n -s -k 1,1)
}

# pair PRESET WORKLOAD NCORES ARGUMENTS...: plain and fuzzed, each in some ways
pair() {
    local preset=$1 workload=$2 pair="$1 $2" ncores=$3 count mode reference digests=() told way ok=1
    shift 3
    told="ok   $pair:"
    for mode in plain fuzz; do
        [ $mode = plain ] || set -- "$@" --fuzz 11 -s fuzz.events=300
        reference=$dir/$mode.h5
        run 1 "$reference" "$@" || return 1
        digests+=("$digest")
        [ $mode = plain ] || told="${told%,}; fuzzed:"
        count=$([ $mode = plain ] && echo 2 || echo 1)
        take_ways "$preset" "$workload" "$ncores" "$count"
        for way in "${taken[@]}"; do
            told+=$(echo "$way" | awk '{printf " %s on %s,", $2, $1}')
            case $way in *loaded*) for _ in 1 2; do (while :; do :; done) & busy+=($!); done ;; esac
            same "$way" "$reference" "${digests[-1]}" "$@" || ok=0
            quiet
        done
    done
    if [ "${digests[0]}" = "${digests[1]}" ] || "$concerto" compare --exact "$dir/plain.h5" "$dir/fuzz.h5" >/dev/null; then
        echo "FAIL $pair: the fuzz process changed nothing"
        ok=0
    fi
    [ $ok = 1 ] && echo "${told%,}" && return 0
    return 1
}

for p in "${presets[@]}"; do
    for w in "${workloads[@]}"; do
        read -r preset files <<<"$p"
        read -r workload ncores arguments <<<"$w"
        # shellcheck disable=SC2254
        case "$preset $workload" in ${ONLY:-*}) ;; *) continue ;; esac
        case "$preset $workload" in premap*champsim | giant*champsim) continue ;; esac # no memory map to fill
        # shellcheck disable=SC2086
        pair "$preset" "$workload" "$ncores" $files $arguments || failed=1
    done
done

# many NAME RANKS ARGUMENTS...
many() {
    local name=$1 ranks=$2
    shift 2
    # shellcheck disable=SC2254
    case $name in ${ONLY:-*}) ;; *) return ;; esac
    if run 1 "$dir/a.h5" "$@" && same "$ranks auto" "$dir/a.h5" "$digest" "$@"; then
        echo "ok   $name"
    else
        failed=1
    fi
}
# cuts NAME COUNT ARGUMENTS...: so many ways to cut the windows of one run. Each is quick, and a fault may show
# in few of them; the pairs above meet only some.
cuts() {
    local name=$1 count=$2 seed
    shift 2
    # shellcheck disable=SC2254
    case $name in ${ONLY:-*}) ;; *) return ;; esac
    run 1 "$dir/a.h5" "$@" || { failed=1; return; }
    local expected=$digest
    for seed in $(seq 1 "$count"); do
        same "1 cut --cut $seed" "$dir/a.h5" "$expected" "$@" || { failed=1; return; }
    done
    echo "ok   $name"
}
for p in "${presets[@]}"; do
    read -r preset files <<<"$p"
    # shellcheck disable=SC2086
    cuts "$preset redis-2cores in 12 cuts" 12 $files --trace tests/traces/redis.vmt --instructions 200000 --cores 2
    # shellcheck disable=SC2086
    cuts "$preset sqlite3 in 4 cuts" 4 $files --trace tests/traces/sqlite3.vmt --instructions 150000
done

# Small structures make rare moments common: lines of code that come late, one at a time.
cuts "little L1I, redis-2cores in 12 cuts" 12 configs/virtuoso.yaml -s l1i.size=2KiB -s l1i.ways=2 -s l1i.mshrs=1 \
    --trace tests/traces/redis.vmt --instructions 150000 --cores 2
cuts "little queues, bfs-4t in 6 cuts" 6 configs/virtuoso.yaml -s core.rob=24 -s core.load_queue=4 -s core.store_queue=3 \
    -s l1i.mshrs=1 --trace tests/traces/bfs-4t.vmt --instructions 20000 --fuzz 3

# The row of common accesses against the general code, where walks of prefetches end ahead of the touch clock.
slow_way() { # NAME ARGUMENTS...
    local name=$1
    shift
    # shellcheck disable=SC2254
    case $name in ${ONLY:-*}) ;; *) return ;; esac
    run 1 "$dir/a.h5" "$@" || { failed=1; return; }
    same "1 long-way -s sim.fast_path=false" "$dir/a.h5" "$digest" "$@" || { failed=1; return; }
    echo "ok   $name"
}
slow_way "walking prefetches, sqlite3, the long way" configs/baseline.yaml configs/os-thp-never.yaml -s l1d.prefetcher=streamer \
    -s prefetch.cross_page=true -s prefetch.walk=true -s tlb.l1d4k.entries=4 -s tlb.l1d4k.ways=4 -s tlb.stlb.entries=4 \
    -s tlb.stlb.ways=4 -s pwc.latency_cycles=60 --trace tests/traces/sqlite3.vmt --instructions 300000

many "64 cores on 2 ranks" 2 configs/baseline.yaml --workload gups --cores 64 --size 1MiB --instructions 800
many "16 cores on 16 ranks" 16 configs/baseline.yaml --workload stream --cores 16 --size 192KiB --instructions 600
many "promotions on 3 ranks" 3 configs/baseline.yaml configs/os-reserve.yaml --workload stream --size 12MiB --cores 2 --instructions 2400k
many "5 cores on 16 ranks" 16 configs/baseline.yaml --trace tests/traces/redis.vmt --instructions 3000

exit $failed
