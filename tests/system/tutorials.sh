#!/usr/bin/env bash
# Every tutorial does what it says: tests/tutorials.py executes the fenced blocks of each
# tests/tutorials/*.md in a fresh copy of the tree (sources and what is built, so that `make` in a
# tutorial compiles only what the tutorial changes).
#
#   CONCERTO   the program under test (default: ./concerto of this tree)
#   ONLY       a pattern of names, such as 'pandas*'
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 MPLBACKEND=Agg
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "tutorials.sh: no concerto at $concerto"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$root" || exit 1
failed=0

# The runner itself must see what goes wrong: blocks that fail, each with the line it must name.
mkdir -p "$dir/probe"
expect() { # LINE TEXT-OF-A-TUTORIAL
    printf '%b' "$2" >"$dir/probe.md"
    said=$(/usr/bin/python3 tests/tutorials.py "$dir/probe.md" "$dir/probe")
    case $said in
    "ok "*) [ "$1" = ok ] && return ;;
    "FAIL $dir/probe.md:$1: "*) return ;;
    esac
    echo "FAIL the runner said '${said%%$'\n'*}' of a tutorial with line $1 wrong"
    failed=1
}
expect 3 '```sh\ntrue\nfalse\ntrue\n```\n'
expect 2 '```python\nassert False\n```\n'
expect 6 '```sh\necho one; echo two\n```\n```text\none\nthree\n```\n'
expect 5 '```sh\necho one; echo two\n```\n```text\none\n```\n'
expect 2 '```text\none\n```\n'
expect 1 'nothing to execute\n'
expect 2 '```c file=../outside.c\n```\n'
expect ok '```c file=new/x.c\nint x;\n```\n```sh\necho "a  1.5 b"; echo; cat new/x.c\n```\n```text\na 1... b\n...\nint x;\n```\n'
expect ok '```python\ny = 2\n```\n```python\nprint(y)\n```\n```text\n2\n```\n'
[ $failed = 0 ] && echo "ok   the runner names the line that is wrong"

for tutorial in tests/tutorials/*.md; do
    name=$(basename "$tutorial" .md)
    # shellcheck disable=SC2254
    case $name in ${ONLY:-*}) ;; *) continue ;; esac
    rm -rf "$dir/tree"
    mkdir "$dir/tree"
    tar -c --exclude=./.git --exclude=./out --exclude=./build-asan --exclude=./build-fast \
        --exclude=./build/unit --exclude='./*.h5*' . | tar -x -C "$dir/tree" || exit 1
    cmp -s "$concerto" "$dir/tree/concerto" || cp -p "$concerto" "$dir/tree/concerto"
    /usr/bin/python3 tests/tutorials.py "$tutorial" "$dir/tree" || failed=1
done
exit $failed
