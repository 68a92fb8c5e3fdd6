#!/usr/bin/env bash
# Runs the unit programs given as arguments and every tests/system/*.sh, and counts what they say:
# a line that begins with "ok" is a test passed, one with "FAIL" a test failed. A system test may
# also end with 77: it could not be tried here. Last line: "N passed, N failed".
#
#   CONCERTO   the program under test
#   UNIT=no, SYSTEM=no, or SYSTEM="exact robust": only some
set -u
here=$(cd "$(dirname "$0")" && pwd)
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
passed=0 failed=0

# count NAME COMMAND...: shows the output as it comes and counts its lines
count() {
    local name=$1 status ok bad
    shift
    local start=$SECONDS
    "$@" </dev/null 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    ok=$(grep -c '^ok\b' "$log")
    bad=$(grep -c '^FAIL\b' "$log")
    if [ "$status" -eq 77 ]; then
        echo "skip  $name"
    elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        echo "FAIL  $name ended with exit code $status"
        bad=1
    elif [ "$status" -eq 0 ] && [ "$((ok + bad))" -eq 0 ]; then
        ok=1
    fi
    passed=$((passed + ok)) failed=$((failed + bad))
    echo "--    $name: $ok passed, $bad failed, $((SECONDS - start)) s"
}

[ "${UNIT:-}" = no ] || [ $# -eq 0 ] || count "unit tests" bash "$here/run_unit.sh" "$@"
for script in "$here"/system/*.sh; do
    name=$(basename "$script" .sh)
    case "${SYSTEM:-$name}" in no) continue ;; esac
    case " ${SYSTEM:-$name} " in *" $name "*) count "$name" "$script" ;; esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
