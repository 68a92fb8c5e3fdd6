#!/usr/bin/env bash
# Runs unit-test programs, prints one line each, and their output when one fails.
failed=0
for t in "$@"; do
    if out=$("$t" 2>&1); then
        asserts=$(printf '%s\n' "$out" | awk '$1 == "asserts" {print $2}')
        tests=$(printf '%s\n' "$out" | awk '$1 == "tests" {print $2}')
        printf 'ok    %-34s %3s tests, %s assertions\n' "$(basename "$t")" "$tests" "$asserts"
    else
        printf 'FAIL  %s\n%s\n' "$(basename "$t")" "$out"
        failed=1
    fi
done
exit $failed
