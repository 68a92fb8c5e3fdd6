#!/usr/bin/env bash
# Multi-programmed runs: the same statistics however they are run, programs that start anew as often
# as arithmetic says, slowdowns where a bound is known, and clear words for bad input.
#
#   CONCERTO   the program under test (default: ./concerto of this tree)
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "mix.sh: no concerto at $concerto"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$root" || exit 1
failed=0
fail() { echo "FAIL $*"; failed=1; }

# run RANKS OUTPUT ARGUMENTS...: the last digest (that of the mix) in `digest`, the table in $dir/log
run() {
    local ranks=$1 out=$2 start=()
    shift 2
    [ "$ranks" -eq 1 ] || start=(mpirun --oversubscribe -np "$ranks")
    timeout 300 "${start[@]}" "$concerto" run configs/baseline.yaml -q -o "$out" "$@" </dev/null >"$dir/log" 2>"$dir/err"
    local status=$?
    digest=$(awk '$1 == "digest" {d = $2} END {print d}' "$dir/log")
    [ "$status" -eq 0 ] && [ -n "$digest" ] && return 0
    fail "exit code $status: run $* on $ranks ranks"
    sed 's/^/     /' "$dir/err" | head -n 3
    return 1
}

# An item of a file, and the passes of a program by the last table.
item() { "$concerto" info "$1" | awk -v name="$2" '$1 == name {s = ""; for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+$/) s = s $i; print s}'; }
passes() { awk -v name="$1" '$1 == name {print $NF}' "$dir/log"; }
# holds TEXT AWK-CONDITION
holds() { if awk "BEGIN {exit !($2)}"; then echo "ok   $1"; else fail "$1: $2"; fi; }

# ---- the same on any number of ranks, alone and together

exact() { # NAME WAYS ARGUMENTS...; each way is ranks and an argument or two
    local name=$1 ways=$2 way ranks more expected ok=1 f
    shift 2
    run 1 "$dir/a.h5" "$@" || return
    expected=$digest
    while IFS= read -r way; do
        read -r ranks more <<<"$way"
        # shellcheck disable=SC2086
        run "$ranks" "$dir/b.h5" "$@" $more || { ok=0; continue; }
        [ "$digest" = "$expected" ] || { fail "$name: digest on $way"; ok=0; }
        for f in "$dir"/a*.h5; do
            said=$("$concerto" compare --exact "$f" "${f/\/a/\/b}" 2>&1)
            [ "$said" = equal ] || { fail "$name on $way: $(basename "$f"): $said"; ok=0; }
        done
    done <<<"$ways"
    rm -f "$dir"/[ab]*.h5
    [ $ok = 1 ] && echo "ok   exact: $name"
}
exact "three programs" $'2\n3\n1 --cut 5\n2 --cut 9' --mix tests/traces/sqlite3.vmt,chase:1MiB,gups:1MiB --instructions 400000
exact "threads that wait, fewer cores, limits" $'3\n1 --cut 3' --no-alone --cores 3 --instructions 60000 \
    --mix "tests/traces/redis.vmt*2,tests/traces/bfs-4t.vmt,tests/traces/sqlite3.champsim.xz"
exact "fuzzed, with a warm-up" $'2\n1 --cut 4' --no-alone --mix gups:1MiB:2,tests/traces/chase.vmt --instructions 15000 \
    --warmup 2000 --fuzz 11 -s fuzz.events=300

# ---- two copies that have the machine to themselves

# 64 KiB fit the private caches: after 1024 cold lines all 200 passes over the data hit. If the other
# copy delayed each cold line by a whole row conflict (50 ns), that were 51 us of at least a
# millisecond; and the copies' frames lie differently, which may help as well.
run 1 "$dir/two.h5" -s workload.passes=200 --mix "chase:64KiB*2" && {
    a=$(item "$dir/two.h5" program/chase:64KiB/slowdown) b=$(item "$dir/two.h5" program/chase:64KiB#2/slowdown)
    holds "two copies that share nothing run as if alone" "$a > 980000 && $a < 1050000 && $b > 980000 && $b < 1050000"
    antt=$(item "$dir/two.h5" mix/antt) stp=$(item "$dir/two.h5" mix/stp)
    holds "ANTT and STP are those of the slowdowns" \
        "sqrt(($antt - ($a + $b) / 2) ^ 2) <= 1 && sqrt(($stp - 1e12 / $a - 1e12 / $b) ^ 2) <= 2"
}

# ---- one that is slowed down

# Two copies that each fill the LLC of one core's share twice over must disturb each other.
run 1 "$dir/llc.h5" -s workload.passes=2 -s llc.slices=1 --mix "chase:1MiB*2,gups:8MiB*2" --instructions 300000 && {
    a=$(item "$dir/llc.h5" program/chase:1MiB/slowdown)
    holds "programs that share LLC and DRAM slow each other down" "$a > 1010000"
}

# ---- passes by arithmetic

# The short program: 256 lines, twenty times over: between 5120 steps of 5 cycles at 3 GHz (8.5 us)
# and its first, cold pass. Between passes: process_exit 30 us, exec 200 us, a switch 1.2 us, and at
# most 30 us for an idle core's wake-up, its few pages and the flush.
run 1 "$dir/n.h5" --no-alone -s workload.passes=20 --mix chase:1MiB,chase:16KiB && {
    t=$(item "$dir/n.h5" program/chase:1MiB/first_pass_fs) p=$(item "$dir/n.h5" program/chase:16KiB/first_pass_fs)
    n=$(passes chase:16KiB)
    holds "a short program makes as many passes as fit beside a long one" \
        "$n >= int(($t - $p) / ($p + 261.2e9)) + 1 && $n <= int($t / (8.5e9 + 231.2e9)) + 1 && $n >= 5"
    holds "the long one makes one" "$(passes chase:1MiB) == 1"
}

# On one core, each runs until it ends; the first one's second pass is due only after the third.
run 1 "$dir/one.h5" --cores 1 --mix chase:64KiB,stream:48KiB,gups:64KiB && {
    holds "on one core programs take turns" \
        "$(passes chase:64KiB) == 1 && $(passes stream:48KiB) == 1 && $(passes gups:64KiB) == 1"
    sum=0
    for w in chase:64KiB stream:48KiB gups:64KiB; do
        sum=$(awk "BEGIN {printf \"%.0f\", $sum + $(item "$dir/one.h5" program/$w/alone_fs)}")
    done
    t=$(item "$dir/one.h5" program/gups:64KiB/first_pass_fs)
    holds "the last of them waits for the others" "$t > 0.9 * $sum && $t < 1.1 * $sum"
}

# ---- earlier results

run 1 "$dir/e.h5" --mix gups:64KiB,chase:64KiB && cp "$dir/log" "$dir/want" &&
    run 1 "$dir/f.h5" --mix gups:64KiB,chase:64KiB --alone "$dir/e.alone-2.h5,$dir/e.alone-1.h5" && {
    if [ "$(grep -A 3 ^Programs "$dir/want")" = "$(grep -A 3 ^Programs "$dir/log")" ]; then
        echo "ok   results alone can come from files"
    else
        fail "results alone from files give another table"
    fi
}

# ---- bad input

refuse() { # WORDS-OF-THE-MESSAGE ARGUMENTS...
    local words=$1 said
    shift
    said=$("$concerto" run configs/baseline.yaml -q "$@" 2>&1 >/dev/null)
    if [ $? -eq 0 ] || ! grep -q -- "$words" <<<"$said"; then
        fail "run $*: expected '$words', said '$said'"
        return 1
    fi
}
refuse "did you mean 'gups:SIZE'" --mix gubs:1MiB && refuse "there is no such file" --mix nothing/here.vmt &&
    refuse "as in gups:64MiB" --mix gups && refuse "expected a size" --mix gups:1QiB &&
    refuse "number of copies" --mix "gups:1MiB*0" && refuse "more than 256" --mix "gups:1MiB*256,chase:1MiB" &&
    refuse "between two commas" --mix gups:1MiB,, && refuse "both --mix and --trace" --mix gups:1MiB --trace x.vmt &&
    refuse "both --mix and --workload" --mix gups:1MiB --workload gups && refuse "does not reach" --mix gups:1MiB --size 1MiB &&
    refuse "belongs to --mix" --workload gups --no-alone && refuse "of 2 programs together" --mix gups:64KiB --alone "$dir/e.h5" &&
    refuse "none of the files" --mix gups:64KiB,chase:1MiB --alone "$dir/e.alone-1.h5" && echo "ok   bad input is named"

exit $failed
