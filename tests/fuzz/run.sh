#!/usr/bin/env bash
# Fuzzes each reader for some seconds: run.sh [SECONDS] [TARGET...]. Inputs that break one are left
# in build/fuzz/<target>/; those found worth keeping, in build/fuzz/<target>/corpus. The target `machines`: see machines.py;
# other machines each time.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 1
seconds=${1:-120}
shift
[ $# -gt 0 ] || set -- config vmt champsim machines
failed=0
readers=()
for target in "$@"; do
    if [ "$target" != machines ]; then
        readers+=("$target")
    else
        /usr/bin/python3 tests/fuzz/machines.py --seed "$(date +%s)" --seconds "$seconds" || failed=1
    fi
done
[ ${#readers[@]} -gt 0 ] || exit $failed
set -- "${readers[@]}"
clang=$(command -v clang || ls /usr/bin/clang-[0-9]* 2>/dev/null | sort -V | tail -n 1)
works() {
    [ -n "$clang" ] && mkdir -p build/fuzz &&
        echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d == 0 && n; }' >build/fuzz/try.c &&
        "$clang" -w -fsanitize=fuzzer,address build/fuzz/try.c -o build/fuzz/try 2>/dev/null
}
if ! works && command -v apt-get >/dev/null; then
    root_do=()
    [ "$(id -u)" -eq 0 ] || root_do=(sudo -n)
    version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
    "${root_do[@]}" apt-get install -y --no-install-recommends clang "libclang-rt-${version:-14}-dev" \
        >build/fuzz.log 2>&1
    clang=$(command -v clang)
fi
works || { echo "fuzz: no clang with libFuzzer (install clang and libclang-rt-14-dev)"; exit 77; }

declare -A sources=(
    [config]="configs/config.c configs/config_file.c configs/describe.c configs/units.c configs/yaml_doc.c -lyaml"
    [vmt]="cores/vmt_codec.c cores/vmt_decode.c cores/vmt_read.c cores/vmt_write.c cores/reloc_map.c cores/reloc_place.c cores/relocate.c mimicos/layout.c -llz4 -lxxhash"
    [champsim]="cores/champsim.c"
)
for target in "$@"; do
    dir=build/fuzz/$target
    mkdir -p "$dir/corpus" "$dir/seeds"
    case $target in
    config) for f in configs/*.yaml; do { printf '\0'; cat "$f"; } >"$dir/seeds/$(basename "$f")"; done ;;
    vmt)
        [ -x ./concerto ] && [ ! -e "$dir/seeds/a.vmt" ] && for n in 100 2000; do
            ./concerto trace cut tests/traces/bfs-4t.vmt --instructions $n -o "$dir/seeds/$n.vmt" >/dev/null 2>&1
        done ;;
    champsim) xz -dc tests/traces/sqlite3.champsim.xz 2>/dev/null | head -c 6400 >"$dir/seeds/sqlite3" ;;
    esac
    # shellcheck disable=SC2086
    if ! "$clang" -std=c17 -D_GNU_SOURCE -g -O1 -I. -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
        "tests/fuzz/fuzz_$target.c" pdes/err.c ${sources[$target]} -o "$dir/fuzz" 2>"$dir/build.log"; then
        echo "FAIL fuzz $target does not build"
        head -n 10 "$dir/build.log"
        failed=1
        continue
    fi
    # -close_fd_mask=2: the messages about damage go to stderr. libFuzzer's own go there too, to a copy.
    if "$dir/fuzz" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 -close_fd_mask=2 \
        -print_final_stats=1 -artifact_prefix="$dir/" "$dir/corpus" "$dir/seeds" >"$dir/log" 2>&1; then
        echo "ok   fuzz $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/log") inputs in $seconds s"
    else
        echo "FAIL fuzz $target"
        grep -aE -m1 -A12 'ERROR|runtime error' "$dir/log"
        grep -a 'Test unit written' "$dir/log"
        failed=1
    fi
done
exit $failed
