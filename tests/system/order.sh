#!/usr/bin/env bash
# Folders form a line: a file includes only from its own folder and those before it (configs and
# output: only from pdes). Each outside library has one door, the one file that includes it.
cd "$(dirname "$0")/../.." || exit 1
failed=0
wrong() { echo "FAIL $1"; sed 's/^/     /'; failed=1; }

before=""
for folder in pdes memsys mimicos cores configs output partitions; do
    case $folder in
    configs | output) may="pdes|$folder" ;;
    *) may="$before$folder" ;;
    esac
    found=$(grep -nE '^ *# *include *"' -r --include='*.[ch]' "$folder" | grep -vE "\"($may)/")
    if [ -n "$found" ]; then
        wrong "$folder includes from folders after it" <<<"$found"
    else
        echo "ok   $folder includes from $may only"
    fi
    before="$before$folder|"
done

door() { # LIBRARY HEADERS FILES
    local found
    found=$(git ls-files '*.c' '*.h' 2>/dev/null | grep . ||
        find . -name '*.[ch]' -not -path './build*' | sed 's,^\./,,')
    found=$(echo "$found" | xargs grep -nE "^ *# *include *[<\"]($2)[>\"]" | grep -vE "^($3):")
    if [ -n "$found" ]; then
        wrong "$1 is included elsewhere than in $3" <<<"$found"
    else
        echo "ok   $1 has one door: ${3//\\/}"
    fi
}
door MPI 'mpi\.h' 'pdes/transport_mpi\.c'
door HDF5 'hdf5.*\.h' 'output/hdf5_write\.c'
door libyaml 'yaml\.h' 'configs/yaml_doc\.c'
door "LZ4 and xxHash" 'lz4[a-z]*\.h|xxhash\.h' 'cores/vmt_codec\.c'
door capstone 'capstone/.*' 'cores/recorder_decode\.c'
door "QEMU's plugin interface" 'qemu-plugin\.h' 'cores/recorder_plugin\.c'
door CUnit 'CUnit/.*' 'tests/unit/[a-z0-9_]+\.[ch]'
exit $failed
