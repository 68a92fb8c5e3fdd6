#!/usr/bin/env bash
# What the README says of the program is what the program says of itself.
#
#   CONCERTO   the program under test (default: ./concerto of this tree)
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
concerto=${CONCERTO:-$root/concerto}
[ -x "$concerto" ] || { echo "docs.sh: no concerto at $concerto"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$root" || exit 1
failed=0

# The bullets below "What is not modelled", each on one line.
awk '/^### What is not modelled/ {on = 1; next} on && /^#/ {exit}
     on && /^\* / {if (t) print t; t = substr($0, 3); next}
     on && /^  / && t {sub(/^ +/, ""); t = t " " $0; next}
     on && t {print t; t = ""}
     END {if (t) print t}' README.md >"$dir/readme"
"$concerto" describe limits | sed -n 's/^  - //p' >"$dir/program"
"$concerto" run configs/test_model.yaml --workload gups --size 64KiB --instructions 100 -q |
    sed -n '/^Not modelled/,$p' | sed -n 's/^  - //p' >"$dir/run"
if [ -s "$dir/readme" ] && diff "$dir/readme" "$dir/program" >"$dir/diff" && diff "$dir/run" "$dir/program" >>"$dir/diff"; then
    echo "ok   README, describe and each run agree on what is not modelled"
else
    echo "FAIL README.md, 'concerto describe limits' and the end of a run differ on what is not modelled"
    head -n 20 "$dir/diff"
    failed=1
fi

# Files that the README points to are there.
missing=$(grep -oE '\]\([^)#]+\)' README.md | sed 's/^](//; s/)$//' | while read -r f; do
    case $f in http*) ;; *) [ -e "$f" ] || echo "$f" ;; esac
done)
[ -z "$missing" ] && echo "ok   what the README links to is there" || { echo "FAIL README.md links to $missing"; failed=1; }
exit $failed
