#!/usr/bin/python3
"""Simulation speed: one table, medians over interleaved repetitions. Run by `make bench`.

Timings are those of the host at hand and say little by themselves; the ratios inside one run do.
Repetitions go round-robin over all rows, so that a slow minute of the host falls on all of them.
"""
import os
import platform
import re
import statistics
import subprocess
import sys

CONCERTO = os.environ.get("CONCERTO", "./concerto")
REPETITIONS = int(os.environ.get("REPETITIONS", "5"))
MPIRUN = ["mpirun", "--oversubscribe", "-np"]
BASE = ["configs/baseline.yaml", "-q"]

GUPS = ["--workload", "gups", "--size", "1GiB", "-s", "os.thp=never"]
STREAM = ["--workload", "stream", "--size", "192MiB"]
SQLITE = ["--trace", "tests/traces/sqlite3.vmt"]
BFS = ["--trace", "tests/traces/bfs-4t.vmt"]


def cores(n, instructions):
    return ["--cores", str(n), "--instructions", instructions]


# name, ranks (0: no mpirun), arguments
ROWS = [
    ("PHOLD, 8 LPs, 4 events each, 1 process", 0, ["phold", "--time", "3000"]),
    ("PHOLD, 8 LPs, 4 events each, 2 ranks", 2, ["phold", "--time", "3000"]),
    ("PHOLD, 1024 LPs, 1 process", 0, ["phold", "--lps", "1024", "--events-per-lp", "1", "--time", "60"]),
    ("(a) sqlite3 trace, 1 core, 1 process", 0, ["run", *BASE, *SQLITE]),
    ("    bfs trace, 4 cores, 1 process", 0, ["run", *BASE, *BFS]),
    ("    bfs trace, 4 cores, 2 ranks", 2, ["run", *BASE, *BFS]),
    ("(b) gups 1 GiB, 4 KiB pages, 1 core, 1 process", 0, ["run", *BASE, *GUPS, *cores(1, "12M")]),
    ("    gups 1 GiB, 4 KiB pages, 8 cores, 1 process", 0, ["run", *BASE, *GUPS, *cores(8, "1500k")]),
    ("    gups 1 GiB, 4 KiB pages, 8 cores, 2 ranks", 2, ["run", *BASE, *GUPS, *cores(8, "1500k")]),
    ("(c) stream 192 MiB, 1 core, 1 process", 0, ["run", *BASE, *STREAM, *cores(1, "60M")]),
    ("    stream 192 MiB, 8 cores, 1 process", 0, ["run", *BASE, *STREAM, *cores(8, "4M")]),
    ("    stream 192 MiB, 8 cores, 2 ranks", 2, ["run", *BASE, *STREAM, *cores(8, "4M")]),
]


def run(ranks, arguments):
    command = ([*MPIRUN, str(ranks)] if ranks else []) + [CONCERTO, *arguments]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    if out.returncode != 0:
        sys.exit(f"bench: {' '.join(command)} failed:\n{out.stdout[-500:]}{out.stderr[-500:]}")
    text = out.stdout
    phold = re.search(r"([\d.]+) M events/s", text)
    if phold:
        return {"speed": float(phold[1]), "wait": None, "memory": None}
    return {
        "speed": float(re.search(r"([\d.]+) M instructions/s", text)[1]),
        "wait": sum(float(x) for x in re.findall(r"^ +(?:wait|exchange) .* ([\d.]+) %$", text, re.M)),
        "memory": float(re.search(r"([\d.]+) MiB peak memory", text)[1]),
    }


def processor():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def main():
    os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT", "1")
    os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    results = [[] for _ in ROWS]
    for repetition in range(REPETITIONS):
        for row, (_, ranks, arguments) in zip(results, ROWS):
            row.append(run(ranks, arguments))
        print(f"round {repetition + 1} of {REPETITIONS}", file=sys.stderr)
    print(f"{processor()}, {os.cpu_count()} processors; median (least, most) of {REPETITIONS} interleaved runs")
    print("gups: 8 instructions and 2 accesses an update; stream: 9 instructions and 3 accesses an element\n")
    print(f"{'what':50} {'M/s':>7}  {'least':>6} {'most':>6}  {'memory':>8}  {'waiting':>7}")
    for (name, _, _), row in zip(ROWS, results):
        speeds = [r["speed"] for r in row]
        memory = max((r["memory"] or 0) for r in row)
        waits = [r["wait"] for r in row if r["wait"] is not None]
        print(f"{name:50} {statistics.median(speeds):7.2f}  {min(speeds):6.2f} {max(speeds):6.2f}  "
              f"{f'{memory:.0f} MiB' if memory else '':>8}  "
              f"{f'{statistics.median(waits):.0f} %' if waits else '':>7}")
    print("\nM/s: million simulated instructions a second of wall time (PHOLD: events); memory: peak of all "
          "ranks;\nwaiting: share of the wall time exchanging with and waiting for other ranks.")


if __name__ == "__main__":
    main()
