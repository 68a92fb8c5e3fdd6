#!/usr/bin/env python3
"""Executes the fenced blocks of a tutorial, in order, in a directory that is a copy of the tree.

    python3 tests/tutorials.py tests/tutorials/pandas.md DIRECTORY

    ```sh              run by bash; any command that fails ends the tutorial
    ```python          run in one interpreter per tutorial, like the cells of a notebook
    ```c file=PATH     written to PATH; any language may stand for c
    ```text            what the sh or python block in front of it must have printed; "..." stands
                       for anything inside of a line, and for any lines where it is all of a line;
                       a run of blanks matches any other
    anything else      is for the reader only

Says "ok" with the number of blocks, or "FAIL" with file and line of what went wrong.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
import traceback

SECONDS = 600
FENCE = re.compile(r"^```(.*)$")


class Failure(Exception):
    def __init__(self, line, text):
        super().__init__(text)
        self.line = line


def blocks_of(text):
    """(line of the first line inside, info string, content)"""
    found, inside = [], None
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if inside is None and fence:
            inside = (number + 1, fence.group(1).strip(), [])
        elif inside is not None and line.strip() == "```":
            found.append((inside[0], inside[1], "\n".join(inside[2]) + "\n"))
            inside = None
        elif inside is not None:
            inside[2].append(line)
    if inside is not None:
        raise Failure(inside[0] - 1, "this block is not closed")
    return found


def pattern_of(line):
    """One line of expected output as a regular expression."""
    parts = [r"\s+".join(re.escape(w) for w in re.split(r"\s+", p)) for p in line.rstrip().split("...")]
    return ".*".join(parts)


def check_output(line, expected, printed):
    """Where the printed lines leave the expected ones, if they do."""
    want = [w for w in expected.rstrip("\n").split("\n")]
    got = [g.rstrip() for g in printed.rstrip("\n").split("\n")]

    def match(i, k):
        """The furthest expected line that can be reached from there; len(want): all match."""
        while i < len(want):
            if want[i].strip() == "...":
                return max(match(i + 1, j) for j in range(k, len(got) + 1))
            if k == len(got) or not re.fullmatch(pattern_of(want[i]), got[k]):
                return i
            i, k = i + 1, k + 1
        return i if k == len(got) else -1

    reached = match(0, 0)
    if reached == len(want):
        return
    wrong = f"expected '{want[reached]}'" if reached >= 0 else "there is more output than expected"
    raise Failure(line + max(reached, 0), f"{wrong}; the block printed:\n{printed.rstrip()}")


def run_sh(line, code):
    # The shell names the line of the command that failed, counted from the block's first.
    script = "set -eEuo pipefail; trap 'echo \"command-failed $LINENO\" >&2' ERR\n" + code
    try:
        done = subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=SECONDS, errors="replace")
    except subprocess.TimeoutExpired:
        raise Failure(line, f"took more than {SECONDS} s") from None
    if done.returncode != 0:
        at = re.findall(r"^command-failed (\d+)$", done.stderr, re.M)
        tail = re.sub(r"^command-failed .*\n?", "", done.stdout + done.stderr, flags=re.M)
        raise Failure(line + (int(at[0]) - 2 if at else 0),
                      f"exit code {done.returncode}:\n" + "\n".join(tail.rstrip().split("\n")[-15:]))
    return done.stdout


def run_python(line, code, names, path):
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(compile("\n" * (line - 1) + code, path, "exec"), names)  # its lines are the file's
    except BaseException as e:  # also sys.exit
        here = [f.lineno for f in traceback.extract_tb(e.__traceback__) if f.filename == path]
        at = here[-1] if here else getattr(e, "lineno", None) or line
        raise Failure(at, f"{type(e).__name__}: {e}") from None
    return out.getvalue()


def write_file(line, name, content):
    path = os.path.normpath(name)
    if os.path.isabs(path) or path.startswith(".."):
        raise Failure(line, f"'{name}' lies outside of the tree")
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(content)


def run(path, directory):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    blocks = blocks_of(text)
    os.chdir(directory)
    sys.path.insert(0, "")
    names, printed, ndone = {"__name__": "__main__"}, None, 0
    for line, info, content in blocks:
        words = info.split()
        file = next((w[5:] for w in words if w.startswith("file=")), None)
        if file is not None:
            write_file(line, file, content)
            printed = None
        elif words[:1] == ["sh"]:
            printed = run_sh(line, content)
        elif words[:1] == ["python"]:
            printed = run_python(line, content, names, path)
        elif words[:1] == ["text"]:
            if printed is None:
                raise Failure(line, "no block whose output this could be stands in front of it")
            check_output(line, content, printed)
            printed = None
        else:
            continue
        ndone += 1
    if ndone == 0:
        raise Failure(1, "no block to execute")
    return ndone


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.split("\n\n", maxsplit=2)[1])
    path = sys.argv[1]
    try:
        ndone = run(path, sys.argv[2])
    except Failure as e:
        text = str(e).replace("\n", "\n     ")
        print(f"FAIL {path}:{e.line}: {text}")
        sys.exit(1)
    print(f"ok   {path}: {ndone} blocks")


if __name__ == "__main__":
    main()
