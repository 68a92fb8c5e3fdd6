#!/usr/bin/env bash
# TLBs, walk caches and walks against a brute-force reference in Python; tests/reference.py says how,
# and where ChampSim's semantics differ from those here.
#
#   CONCERTO   the program under test (default: ./concerto of this tree)
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "reference.sh: no concerto at $concerto"; exit 77; }
python=/usr/bin/python3
"$python" -c 'import h5py, numpy, pandas' 2>/dev/null || { echo "reference.sh: no python3 with h5py"; exit 77; }
cd "$root" || exit 1
"$python" tests/reference.py "$concerto" tests/traces/sqlite3.champsim.xz
