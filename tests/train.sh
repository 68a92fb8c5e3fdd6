#!/usr/bin/env bash
# Short runs from which a profile-guided build learns: train.sh PROGRAM
set -eu
cd "$(dirname "$0")/.."
train() { "$program" run configs/baseline.yaml "$@" -q >/dev/null; }
program=$1
train --workload stream --size 24MiB --cores 1 --instructions 3M
train configs/os-thp-never.yaml --workload gups --size 64MiB --cores 2 --instructions 200k
train configs/os-thp-never.yaml --trace tests/traces/bfs-4t.vmt
train --trace tests/traces/sqlite3.vmt
train --workload chase --size 16MiB --cores 1 --instructions 200k
