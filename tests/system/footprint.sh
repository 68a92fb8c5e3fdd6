#!/usr/bin/env bash
# Large footprints: gups over 64 GiB with 4 KiB, 2 MiB and 1 GiB pages and ideal translation, each against
# what one can compute by hand; tables shared by ranks; images of them.
#
#   Every access meets one of 16 777 216 pages of 4 KiB, or of 32 768 of 2 MiB, each as likely. With the
#   walk caches of baseline.yaml 32 PD entries hold 32 of 32 768 regions of 2 MiB and 4 PDPT entries 4 of
#   64 GiB; where addresses are independent, as in the chase, a walk reads
#     0.001 x 1 + 0.0625 x 2 + 0.9365 x 3 = 2.94 entries, and with 32 PDPT entries 2.50.
#   The HPCC sequence of gups shifts by one bit, so five of the six bits that name a GiB are the last ones
#   moved: LRU over such a sequence of random bits hits in 4.65 % with 4 entries and in 49.05 % with 32:
#     0.001 x 1 + 0.0465 x 2 + 0.9525 x 3 = 2.951, and 2.509.
#   An update has 8 instructions and one walk, since its store merges with the walk of its load: 125 in
#   1000. 2048 entries of the STLB hold 2048 of 32 768 pages of 2 MiB: 125 x (1 - 1/16) = 117.2.
#   Thread 1 of 3 is looked at: thread 0 begins at the sequence's first values, half-way it reaches a
#   power of two, and near both the values are far from random for some hundred thousand updates.
#
#   CONCERTO   the program under test (default: ./concerto of this tree)
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "footprint.sh: no concerto at $concerto"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$root" || exit 1
failed=0

# check TEXT VALUE LEAST MOST
check() {
    if awk -v v="$2" -v a="$3" -v b="$4" 'BEGIN {exit !(v >= a && v <= b)}'; then
        echo "ok   $1: $2"
    else
        echo "FAIL $1: $2, expected $3 to $4"
        failed=1
    fi
}

# run NAME ARGUMENTS...: $dir/NAME.h5 and .log
run() {
    local name=$1
    shift
    "$concerto" run configs/baseline.yaml configs/os-premap.yaml -q -o "$dir/$name.h5" "$@" >"$dir/$name.log" 2>"$dir/err" &&
        return 0
    echo "FAIL exit code $?: concerto run $*"
    head -n 3 "$dir/err"
    exit 1
}

# value NAME EXPRESSION: of the region of interest; c("counter") is that of core 1
value() {
    /usr/bin/python3 - "$dir/$1.h5" "$2" <<'PYTHON'
import sys
sys.path.insert(0, "output")
import concerto_stats as cs

s = cs.load(sys.argv[1]).roi()
c = lambda name: float(s.per_instance("cores/" + name).iloc[1])
print(f"{eval(sys.argv[2]):.6g}")
PYTHON
}

chase=(--workload chase --size 64GiB -s os.memory_size=66GiB --warmup 150k --instructions 750k -s os.thp=never -s sim.epoch=20us)
run chase "${chase[@]}" --cores 2
check "references a walk, pointer chase, 4 PDPT entries" "$(value chase 'c("ptw/refs") / c("ptw/walks")')" 2.93 2.943
run chase-pdpt "${chase[@]}" --cores 2 -s pwc.pdpt_entries=32
check "references a walk, pointer chase, 32 PDPT entries" "$(value chase-pdpt 'c("ptw/refs") / c("ptw/walks")')" 2.493 2.507

gups=(--workload gups --size 64GiB --cores 3 --warmup 300k --instructions 1300k -s os.memory_size=130GiB
    -s ptw.walkers=1 -s sim.epoch=20us)
refs='c("ptw/refs") / c("ptw/walks")'
cpi='c("cycles") / c("instructions")'
run 4k "${gups[@]}" -s os.thp=never
check "references a walk, 4 KiB pages, 4 PDPT entries" "$(value 4k "$refs")" 2.945 2.957
check "walks of 1000 instructions, 4 KiB pages" "$(value 4k '1000 * c("ptw/walks") / c("instructions")')" 124.8 125.1
check "microseconds a page to premap" "$(sed -n 's/.*premapped before.*: \(.*\) us a page/\1/p' "$dir/4k.log")" 0 3 # 0.13 on a host that is not busy
check "MiB of host memory" "$(sed -n 's/.*, \([0-9]*\) MiB peak memory.*/\1/p' "$dir/4k.log")" 1 2048
run 4k-pdpt "${gups[@]}" -s os.thp=never -s pwc.pdpt_entries=32
check "references a walk, 4 KiB pages, 32 PDPT entries" "$(value 4k-pdpt "$refs")" 2.500 2.518
run thp "${gups[@]}" -s os.thp=always
check "walks of 1000 instructions, 2 MiB pages" "$(value thp '1000 * c("ptw/walks") / c("instructions")')" 116.7 117.7
run 1g "${gups[@]}" -s os.page_1g=always -s os.hugepages_1g=64
check "walks of 1000 instructions, 1 GiB pages" "$(value 1g '1000 * c("ptw/walks") / c("instructions")')" 0 0.01
run ideal "${gups[@]}" -s os.thp=never -s core.mmu=ideal
check "CPI, 4 KiB over 2 MiB pages" "$(echo "$(value 4k "$cpi") $(value thp "$cpi")" | awk '{print $1 / $2}')" 2 20
check "CPI, 2 MiB over 1 GiB pages" "$(echo "$(value thp "$cpi") $(value 1g "$cpi")" | awk '{print $1 / $2}')" 1.002 5
check "CPI, 1 GiB pages over ideal" "$(echo "$(value 1g "$cpi") $(value ideal "$cpi")" | awk '{print $1 / $2}')" 0.99 1.1

# digest RANKS TRANSPORT ARGUMENTS...
digest() {
    local ranks=$1 transport=$2
    shift 2
    env ${transport:+CONCERTO_TRANSPORT=$transport} mpirun --oversubscribe -np "$ranks" "$concerto" run configs/baseline.yaml \
        configs/os-premap.yaml -q --workload graph --size 200MiB --cores 2 --instructions 30k -s os.thp=never "$@" \
        2>"$dir/err" </dev/null | awk '$1 == "digest" {print $2}'
}
first=$(digest 1 "")
for ranks in 1 2 4; do
    rm -f "$dir/image"
    for how in "no image" "image made" "image used" "hosts apart"; do
        transport='' image=("-s" "os.premap_image=$dir/image")
        [ "$how" != "no image" ] || image=()
        [ "$how" != "hosts apart" ] || transport=mpi
        got=$(digest $ranks "$transport" ${image[@]+"${image[@]}"})
        if [ -n "$got" ] && [ "$got" = "$first" ]; then
            echo "ok   premap on $ranks ranks, $how: digest $got"
        else
            echo "FAIL premap on $ranks ranks, $how: digest '$got', expected $first"
            head -n 3 "$dir/err"
            failed=1
        fi
    done
done
exit $failed
