#!/usr/bin/python3
"""Simulation speed: a table of speeds, one of ratios, and predictions against measurements. `make bench`.

Timings are those of the host at hand and say little by themselves; the ratios inside one run do. Repetitions
go round-robin over all rows, so that a slow minute of the host falls on all of them; a ratio is the median of
those of each round. Needs two processors to itself; takes some five minutes.

Beside each speed: host cycles for a simulated instruction, by the clock that the host was found to have just
before the run (`lookups clock`). They say more of the simulator, and the speed more of the host and its other guests.

    REPETITIONS=5   rounds
    ONLY=PATTERN    rows whose name matches
"""
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile

CONCERTO = os.environ.get("CONCERTO", "./concerto")
LOOKUPS = os.environ.get("LOOKUPS", "build/lookups")
REPETITIONS = int(os.environ.get("REPETITIONS", "5"))
MPIRUN = ["mpirun", "--oversubscribe", "-np"]
RUN = ["run", "configs/baseline.yaml", "-q"]
PREMAP = ["-s", "os.premap=all"]


def cores(n, instructions):
    return ["--cores", str(n), "--instructions", instructions]


def stream(n, instructions):
    return [*RUN, *PREMAP, "--workload", "stream", "--size", "192MiB", *cores(n, instructions)]


def graph(n, instructions):
    return [*RUN, *PREMAP, "--workload", "graph", "--size", "64MiB", *cores(n, instructions)]


def gups(size, memory, instructions, image):
    return [*RUN, "configs/os-thp-never.yaml", *PREMAP, "--workload", "gups", "--size", size, *cores(1, instructions),
            "-s", f"os.memory_size={memory}", "-s", f"os.premap_image={image}"]


def resident(n, instructions):
    return [*RUN, *PREMAP, "--workload", "stream", "--size", f"{16 * n}KiB", "-s", "workload.passes=1M", *cores(n, instructions)]


def rows(scratch):
    """key: (what, ranks (0: no mpirun), copies at once, arguments)"""
    sqlite = [*RUN, "--trace", "tests/traces/sqlite3.vmt"]
    bfs = [*RUN, "--trace", "tests/traces/bfs-4t.vmt"]
    return {
        "sqlite": ("recorded sqlite3, 1 core", 0, 1, sqlite),
        "sqlite x2": ("2 such runs at once, together", 0, 2, sqlite),
        "stream": ("stream 192 MiB, 1 core", 0, 1, stream(1, "20M")),
        "gups": ("gups 1 GiB, 4 KiB pages, 1 core", 0, 1, gups("1GiB", "4GiB", "4M", f"{scratch}/1g")),
        "gups64": ("gups 64 GiB, 4 KiB pages, 1 core", 0, 1, gups("64GiB", "80GiB", "4M", f"{scratch}/64g")),
        "resident": ("stream 16 KiB, 1 core", 0, 1, resident(1, "40M")),
        "resident64": ("stream 16 KiB a core, 64 cores", 0, 1, resident(64, "1M")),
        "bfs": ("recorded graph search, 4 cores", 0, 1, bfs),
        "bfs/2": ("the same, 2 ranks", 2, 1, bfs),
        "graph2": ("graph 64 MiB, 2 cores", 0, 1, graph(2, "2M")),
        "graph2/2": ("the same, 2 ranks", 2, 1, graph(2, "2M")),
        "graph8": ("graph 64 MiB, 8 cores", 0, 1, graph(8, "1M")),
        "graph8 queue": ("the same, under one queue, no windows", 0, 1, [*graph(8, "1M"), "-s", "sim.order=queue"]),
        "graph8/2": ("the same, 2 ranks", 2, 1, graph(8, "1M")),
        "graph8/4": ("the same, 4 ranks", 4, 1, graph(8, "1M")),
        "graph16": ("graph 64 MiB, 16 cores", 0, 1, graph(16, "500k")),
        "graph16/2": ("the same, 2 ranks", 2, 1, graph(16, "500k")),
        "stream8": ("stream 192 MiB, 8 cores", 0, 1, stream(8, "2M")),
        "stream8/2": ("the same, 2 ranks", 2, 1, stream(8, "2M")),
        "stream8/4": ("the same, 4 ranks", 4, 1, stream(8, "2M")),
        "stream16": ("stream 192 MiB, 16 cores", 0, 1, stream(16, "500k")),
        "stream16/2": ("the same, 2 ranks", 2, 1, stream(16, "500k")),
        "stream16/16": ("the same, 16 ranks", 16, 1, stream(16, "500k")),
        "decode": ("decoding the sqlite3 trace for the baseline (accesses)", 0, 1, ["trace", "bench", "tests/traces/sqlite3.vmt"]),
        "phold": ("PHOLD, 8 LPs, 4 events each (events)", 0, 1, ["phold", "--time", "3000"]),
        "phold/2": ("the same, 2 ranks", 2, 1, ["phold", "--time", "3000"]),
        "phold1024": ("PHOLD, 1024 LPs (events)", 0, 1, ["phold", "--lps", "1024", "--events-per-lp", "1", "--time", "60"]),
    }


# what, over what, words, the aim
RATIOS = [
    ("sqlite x2", "sqlite", "two independent runs at once, throughput against one", "at least 1.9"),
    ("graph8", "graph8 queue", "1 process against the same processes under one queue", "at least 0.95"),
    ("graph8/2", "graph8", "2 ranks against 1 process, 8 cores, 44 L2 misses per 1000 instructions", "1.6"),
    ("graph16/2", "graph16", "the same, 16 cores", "1.6"),
    ("stream8/2", "stream8", "2 ranks against 1 process, 8 cores, 8 L2 misses per 1000 instructions", "1.8"),
    ("stream16/2", "stream16", "the same, 16 cores", "1.8"),
    ("bfs/2", "bfs", "2 ranks against 1 process, 4 cores, recorded", ""),
    ("graph2/2", "graph2", "2 cores on 2 ranks against 1 process", "at least 0.7"),
    ("stream16/16", "stream16", "16 ranks against 1 process, 16 cores", "at least 0.33"),
    ("resident64", "resident", "64 cores against 1, all in private caches", "at least 0.5"),
]

# key of one process, keys of the same on more ranks: --profile-parallelism of the one predicts all.
PREDICTED = [("graph8", {2: "graph8/2", 4: "graph8/4"}), ("stream8", {2: "stream8/2", 4: "stream8/4"}), ("bfs", {2: "bfs/2"})]


def fail(command, out):
    sys.exit(f"bench: {' '.join(command)} failed:\n{out[-1000:]}")


def start(ranks, arguments):
    command = ([*MPIRUN, str(ranks)] if ranks else []) + [CONCERTO, *arguments]
    return command, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def first(pattern, text, default=None):
    m = re.search(pattern, text, re.M)
    return float(m[1]) if m else default


def run(ranks, copies, arguments):
    started = [start(ranks, arguments) for _ in range(copies)]
    result = {"speed": 0.0, "wait": None, "memory": None, "seconds": None}
    for command, process in started:
        text = process.communicate()[0]
        speed = first(r"([\d.]+) M (?:events|instructions|accesses)/s", text)
        if process.returncode != 0 or speed is None:
            fail(command, text)
        result["speed"] += speed
        result["seconds"] = first(r"^host +([\d.]+) s wall", text)
        result["memory"] = first(r"([\d.]+) MiB peak memory", text)
        result["arrays"] = first(r"([\d.]+) MiB of it modelled arrays", text)
        waits = re.findall(r"^ +(?:wait|exchange) .* ([\d.]+) %$", text, re.M)
        result["wait"] = sum(map(float, waits)) if waits else None
    return result


def predictions(arguments):
    """{ranks: seconds on this host}, as one process predicts them."""
    command, process = start(0, [*arguments, "--profile-parallelism"])
    text = process.communicate()[0]
    found = {}
    for line in text.splitlines():
        m = re.match(r" +(\d+) +([\d.]+) +[\d.]+ +([\d.]+) ", line + " ")
        if m and int(m[1]) == (1 if not found else 2 * max(found)):
            found[int(m[1])] = float(m[2]) if not found else found[1] / float(m[3])
    if process.returncode != 0 or 4 not in found:
        fail(command, text)
    return found


def processor():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def clock():
    """Of one processor now, in GHz."""
    return float(subprocess.run([LOOKUPS, "clock"], capture_output=True, text=True, check=True).stdout)


def print_speeds(table, results):
    print(f"{'what':52} {'M/s':>7}  {'least':>6} {'most':>6}  {'cycles':>6}  {'memory':>8}  {'waiting':>7}")
    for key, (name, _, _, _) in table.items():
        speeds = [r["speed"] for r in results[key]]
        memory = max(r["memory"] or 0 for r in results[key])
        cycles = statistics.median(r["clock"] * 1e3 / r["speed"] for r in results[key])
        waits = [r["wait"] for r in results[key] if r["wait"] is not None]
        print(f"{name:52} {statistics.median(speeds):7.2f}  {min(speeds):6.2f} {max(speeds):6.2f}  {cycles:6.0f}  "
              f"{f'{memory:.0f} MiB' if memory else '':>8}  "
              f"{f'{statistics.median(waits):.0f} %' if waits else '':>7}")
    print("\nM/s: million simulated instructions a second of wall time; cycles: of the host's clock, for one\n"
          "simulated instruction; memory: peak of all ranks;\n"
          "waiting: share of the wall time exchanging with and waiting for other ranks.\n"
          "gups: 8 instructions and 2 accesses an update; stream: 9 and 3 an element; graph: 9 instructions a\n"
          "vertex, 6 an edge. All with their page tables built before; the recorded ones fault.")


def print_ratios(results):
    print(f"\n{'ratio of speeds':74} {'median':>6}  {'least':>5} {'most':>5}  aim")
    for above, below, words, aim in RATIOS:
        if above not in results or below not in results:
            continue
        ratios = [a["speed"] / b["speed"] for a, b in zip(results[above], results[below])]
        print(f"{words:74} {statistics.median(ratios):6.2f}  {min(ratios):5.2f} {max(ratios):5.2f}  {aim}")
    if "resident" in results and "resident64" in results:
        few, many = results["resident"], results["resident64"]
        whole = (max(r["memory"] for r in many) - max(r["memory"] for r in few)) / 63
        arrays = (many[0]["arrays"] - few[0]["arrays"]) / 63
        print(f"{'memory of a further simulated core beyond modelled arrays':74} {whole - arrays:6.2f} MiB  below 1\n"
              f"{'modelled arrays of a core and its slice':74} {arrays:6.2f} MiB")


def print_predictions(table, results):
    print(f"\n{'predicted by --profile-parallelism of one process':52} {'ranks':>5}  {'predicted':>9}  {'took, least':>11}  ratio")
    for key, more in PREDICTED:
        if key not in results:
            continue
        found = predictions(table[key][3])
        for ranks, other in {1: key, **more}.items():
            if other in results:
                took = min(r["seconds"] for r in results[other])
                print(f"{table[key][0]:52} {ranks:5}  {found[ranks]:7.2f} s  {took:9.2f} s  {found[ranks] / took:5.2f}")


def main():
    os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT", "1")
    os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    only = re.compile(os.environ.get("ONLY", ""))
    with tempfile.TemporaryDirectory() as scratch:
        table = {k: v for k, v in rows(scratch).items() if only.search(k)}
        results = {k: [] for k in table}
        for repetition in range(REPETITIONS):
            for key, (_, ranks, copies, arguments) in table.items():
                ghz = clock()
                results[key].append({**run(ranks, copies, arguments), "clock": ghz})
            print(f"round {repetition + 1} of {REPETITIONS}", file=sys.stderr)
        clocks = [r["clock"] for runs in results.values() for r in runs]
        print(f"{processor()}, {os.cpu_count()} processors at {statistics.median(clocks):.2f} GHz ({min(clocks):.2f} to {max(clocks):.2f}, "
              f"what other guests take off it included); median (least, most) of {REPETITIONS} interleaved runs\n")
        print_speeds(table, results)
        print_ratios(results)
        print_predictions(table, results)


if __name__ == "__main__":
    main()
