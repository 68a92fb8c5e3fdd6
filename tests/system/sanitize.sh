#!/usr/bin/env bash
# Unit tests and short runs under AddressSanitizer and UndefinedBehaviorSanitizer, in build-asan.
#
#   SANITIZE   short (default): a few runs; full: unit tests and all runs; no: skipped
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 1
mode=${SANITIZE:-short}
[ "$mode" != no ] || exit 77
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0

flags="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
printf 'int main(void){return 0;}' >"$dir/x.c"
# shellcheck disable=SC2086
"${CC:-cc}" $flags "$dir/x.c" -o "$dir/x" 2>/dev/null && "$dir/x" ||
    { echo "sanitize.sh: this compiler has no AddressSanitizer"; exit 77; }

targets=(build-asan/concerto)
[ "$mode" = short ] || for f in tests/unit/test_*.c; do targets+=("build-asan/unit/$(basename "$f" .c)"); done
unset MAKEFLAGS MFLAGS MAKELEVEL
if ! make -s -j2 BUILD=build-asan BIN=build-asan/concerto OPT="-O1 -g" SAN="$flags" "${targets[@]}" >"$dir/log" 2>&1; then
    echo "FAIL build with sanitizers"
    tail -n 20 "$dir/log"
    exit 1
fi
echo "ok   build with sanitizers"

export ASAN_OPTIONS="detect_stack_use_after_return=1:strict_string_checks=1"
export UBSAN_OPTIONS="print_stacktrace=1"
concerto=$root/build-asan/concerto

check() { # NAME COMMAND...
    local name=$1
    shift
    if timeout 600 "$@" </dev/null >"$dir/log" 2>&1; then
        echo "ok   $name"
    else
        echo "FAIL $name: $*"
        grep -aE -m1 -A15 'ERROR: |runtime error|concerto: ' "$dir/log" || tail -n 15 "$dir/log"
        failed=1
    fi
}
run() { # NAME ARGUMENTS...: on one process, then on two ranks
    local name=$1
    shift
    check "$name" "$concerto" run "$@" -q -s sim.epoch=20us -o "$dir/a.h5"
    # Open MPI and the libraries below it keep memory until the end, in modules unloaded by then.
    ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0" check "$name, 2 ranks" mpirun --oversubscribe -np 2 "$concerto" run "$@" -q -s sim.epoch=20us -o "$dir/b.h5"
    check "$name, equal" "$concerto" compare --exact "$dir/a.h5" "$dir/b.h5"
}

if [ "$mode" != short ]; then
    bash tests/run_unit.sh "${targets[@]:1}" || failed=1
fi
run "bfs" configs/baseline.yaml configs/os-thp-never.yaml --trace tests/traces/bfs-4t.vmt \
    --instructions 5000 --fuzz 3 -s fuzz.events=200
check "repeats" "$concerto" run configs/baseline.yaml --trace tests/traces/bfs-4t.vmt --instructions 3000 --repeat 3 \
    -q -s sim.jitter_cycles=3 -o "$dir/r.h5"
check "compare of repeats" bash -c "'$concerto' compare --all '$dir/a.h5' '$dir/r.h5' >/dev/null; [ \$? -eq 1 ]"
check "recover says what is missing" bash -c "! '$concerto' recover '$dir/none.jnl'"
check "trace verify" "$concerto" trace verify tests/traces/chase.vmt
if [ "$mode" != short ]; then
    run "redis on two cores" configs/skylake.yaml --trace tests/traces/redis.vmt --cores 2 --instructions 200000
    run "ChampSim" configs/virtuoso.yaml -s os.memory_size=4GiB --trace tests/traces/sqlite3.champsim.xz
    run "gups" configs/test_model.yaml --workload gups --size 4MiB --cores 4 --instructions 20000 --cut 3
    run "stream" configs/baseline.yaml --workload stream --size 3MiB --cores 3 --instructions 50000 --fuzz 1
    for trace in bfs-4t redis sqlite3; do
        check "trace verify $trace" "$concerto" trace verify tests/traces/$trace.vmt
    done
    check "PHOLD" "$concerto" phold
fi
exit $failed
