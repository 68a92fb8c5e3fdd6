#!/usr/bin/env bash
# A run that is killed leaves a journal; the file recovered from it must be the beginning of the
# file of the same run left alone.
#
#   CONCERTO   the program under test (default: ./concerto of this tree)
#   RUN        the command without "-o file"; it should take at least a second and write many epochs
#   ROUNDS     how many runs are killed (default: 5)
#
# Exit codes: 0 passed, 1 failed, 77 skipped.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 1
concerto=${CONCERTO:-$root/concerto}
run=${RUN:-run -q configs/test_model.yaml --workload gups --size 16MiB --cores 2 --instructions 4M -s sim.epoch=20us}
rounds=${ROUNDS:-5}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
fail() { echo "FAIL $*"; exit 1; }

[ -x "$concerto" ] || { echo "recover: no $concerto, skipped"; exit 77; }

# shellcheck disable=SC2086
"$concerto" $run -o "$dir/whole.h5" >"$dir/whole.log" 2>&1 ||
    fail "the undisturbed run failed: $(tail -n 3 "$dir/whole.log")"
[ ! -e "$dir/whole.h5.jnl" ] && [ ! -e "$dir/whole.h5.part" ] || fail "leftovers of a whole run"

killed=0
for round in $(seq "$rounds"); do
    rm -f "$dir"/cut.h5*
    # shellcheck disable=SC2086
    "$concerto" $run -o "$dir/cut.h5" >"$dir/cut.log" 2>&1 &
    pid=$!
    # From the first epoch on: the journal then holds more than its first record.
    for _ in $(seq 2000); do
        first=${first:-$(stat -c %s "$dir/cut.h5.jnl" 2>/dev/null)}
        size=$(stat -c %s "$dir/cut.h5.jnl" 2>/dev/null || echo 0)
        [ -n "${first:-}" ] && [ "$size" -gt "${first:-0}" ] && break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.005
    done
    unset first
    sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
    kill -9 "$pid" 2>/dev/null && killed=$((killed + 1))
    wait "$pid" 2>/dev/null
    [ -e "$dir/cut.h5.jnl" ] || continue # it was faster than the kill
    # Now and then the last write is torn as well.
    [ $((round % 2)) -eq 0 ] && truncate -s -3 "$dir/cut.h5.jnl"
    "$concerto" recover "$dir/cut.h5.jnl" >"$dir/recover.log" 2>&1 ||
        fail "recover failed: $(cat "$dir/recover.log")"
    said=$("$concerto" compare --exact "$dir/cut.h5" "$dir/whole.h5" 2>&1)
    case $said in
    equal | *": "[0-9]*" / "[0-9]*" rows "*) ;;
    *"attribute '"*) ;; # all rows are equal, the program's last words are missing
    *) fail "the recovered file is not the beginning of the whole one: $said" ;;
    esac
    echo "ok   round $round: $(sed -n 's/.*: \([0-9]* epochs\).*/\1/p' "$dir/recover.log") recovered"
done
[ "$killed" -gt 0 ] || { echo "recover: every run was faster than its kill, skipped"; exit 77; }
