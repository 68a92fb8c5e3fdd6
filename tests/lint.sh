#!/usr/bin/env bash
# Folder order and doors, cppcheck, and clang-tidy with .clang-tidy. JOBS=2
set -u
cd "$(dirname "$0")/.." || exit 1
failed=0
bash tests/system/order.sh || failed=1
mapfile -t sources < <(find pdes memsys mimicos cores configs output partitions -name '*.c' | sort)

if command -v cppcheck >/dev/null; then
    if cppcheck -q -j "${JOBS:-2}" --std=c11 --enable=warning,performance,portability --inline-suppr \
        --suppress=missingIncludeSystem --suppressions-list=tests/cppcheck.supp --error-exitcode=1 \
        -D_GNU_SOURCE -I. "${sources[@]}"; then
        echo "ok   cppcheck"
    else
        echo "FAIL cppcheck"
        failed=1
    fi
else
    echo "skip cppcheck is not installed"
fi

if command -v clang-tidy >/dev/null; then
    flags="-std=c17 -D_GNU_SOURCE -I. $(mpicc --showme:compile 2>/dev/null) $(pkg-config --cflags hdf5-serial 2>/dev/null)"
    # shellcheck disable=SC2086
    # The path that leads to a finding is long; clang-tidy FILE -- -I. shows it.
    if findings=$(printf '%s\n' "${sources[@]}" | xargs -P "${JOBS:-2}" -n 4 sh -c \
        'flags=$0; clang-tidy --quiet --warnings-as-errors="*" "$@" -- $flags 2>/dev/null' "$flags"); then
        echo "ok   clang-tidy"
    else
        echo "FAIL clang-tidy"
        grep -E ': (error|warning):' <<<"$findings" | sed "s,^$PWD/,     ,"
        failed=1
    fi
else
    echo "skip clang-tidy is not installed"
fi
exit $failed
