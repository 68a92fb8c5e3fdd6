#!/usr/bin/env bash
# Random machines, each run in two ways that must not differ: see tests/fuzz/machines.py. The same ones each time; `make fuzz`
# tries others.
#   CONCERTO   the program under test (default: ./concerto of this tree)
#   MACHINES   how many (default: 40)
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
export CONCERTO=${CONCERTO:-$root/concerto}
[ -x "$CONCERTO" ] || { echo "machines.sh: no concerto at $CONCERTO"; exit 77; }
exec /usr/bin/python3 "$root/tests/fuzz/machines.py" --machines "${MACHINES:-40}"
