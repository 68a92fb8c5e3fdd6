#!/usr/bin/env python3
"""Runs the simulator and draws the figures of the README.

    python3 output/figures.py latency [-o out/latency.png]   pointer chase against footprint
    python3 output/figures.py gups    [-o out/gups.png]      gups over 64 GiB by page size
    python3 output/figures.py scaling [-o out/scaling.png]   a whole machine against 1/16 of it

--concerto PROGRAM   the simulator (default: concerto beside this folder)
--quick              fewer and shorter runs
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import concerto_stats as cs

HERE = os.path.dirname(os.path.abspath(__file__))
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# Okabe and Ito
BLUE, RED, GREEN, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#777777"

NO_PREFETCH = ["-s", "l1d.prefetcher=none", "-s", "l2.prefetcher=none"]
PAGES_4K = ["-s", "os.thp=never"]
PAGES_2M = ["-s", "os.thp=always"]
IDEAL = ["-s", "core.mmu=ideal"]


class Simulator:
    def __init__(self, program):
        self.program = program
        self.dir = tempfile.TemporaryDirectory()
        self.n = 0

    def run(self, *arguments):
        """Runs once; returns the region of interest, the wall time in s and the peak memory in MiB."""
        self.n += 1
        path = os.path.join(self.dir.name, f"{self.n}.h5")
        command = [self.program, "run", *map(str, arguments), "-q", "-o", path]
        begin = time.time()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stdout[-500:]}{done.stderr[-2000:]}")
        memory = re.search(r"([0-9]+) MiB peak memory", done.stdout)
        return cs.load(path).roi(), time.time() - begin, int(memory.group(1)) if memory else 0


def size_text(n):
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if n >= unit:
            return f"{n / unit:g} {name}"
    return f"{n} B"


def config_value(s, key):
    return int(s.config[key])


# ---- latency of a pointer chase against footprint ------------------------------------------------


def chase(sim, footprint, more, nloads):
    """User cycles of a load in steady state: as many loads before as there are lines, up to a limit."""
    lines = footprint // 64
    warm = min(max(lines, 20000), 1000000)
    passes = -(-(warm + nloads) // lines)
    s, _, _ = sim.run("baseline", "--workload", "chase", "--size", footprint, "-s", f"workload.passes={passes}",
                      "-s", "os.premap=all", "-s", "llc.slices=8", "-s", "sim.epoch=10us",
                      "--warmup", 3 * warm, "--instructions", 3 * (warm + nloads), *NO_PREFETCH, *more)
    cycles = s.total("cores/cycles") - s.total("cores/kernel/cycles")  # the end of the thread is not a load
    return s, cycles / (s.total("cores/instructions") / 3)


def draw_reach(axes, reach):
    """Dotted lines where structures end; names at the top, neighbours at two heights."""
    last, level = 0, 0
    for name, size, colour in sorted(reach, key=lambda r: r[1]):
        level = 1 - level if last and size < 2.2 * last else 0
        last = size
        axes.axvline(size, color=colour, linewidth=0.8, linestyle=":")
        axes.annotate(name, (size, 1), xycoords=("data", "axes fraction"), xytext=(-2, -3 - 78 * level),
                      textcoords="offset points", rotation=90, fontsize=7, color=colour, ha="right", va="top")


def latency(sim, options):
    sizes = [1 << i for i in range(14, 33, 2 if options.quick else 1)]
    nloads = 15000 if options.quick else 40000
    curves = {"ideal translation": (GREY, "^", IDEAL), "4 KiB pages": (BLUE, "o", PAGES_4K),
              "2 MiB pages": (ORANGE, "s", PAGES_2M)}
    y = {}
    for name, (_, _, more) in curves.items():
        y[name] = []
        for size in sizes:
            s, cycles = chase(sim, size, more, nloads)
            y[name].append(cycles)
            print(f"{name:18} {size_text(size):>8} {cycles:8.1f} cycles a load", flush=True)
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 8), sharex=True)
    for name, (colour, marker, _) in curves.items():
        above.plot(sizes, y[name], color=colour, marker=marker, markersize=4, label=name)
        if name != "ideal translation":
            more_cycles = [max(v - i, 0.1) for v, i in zip(y[name], y["ideal translation"])]
            below.plot(sizes, more_cycles, color=colour, marker=marker, markersize=4, label=name)
    # What each structure holds, from the configuration of the last run. 8 bytes of leaf entries a page.
    l1d, l2 = config_value(s, "l1d.size"), config_value(s, "l2.size")
    llc = config_value(s, "llc.size") * config_value(s, "llc.slices")
    draw_reach(above, [("L1D", l1d, GREY), ("L2", l2, GREY), ("LLC", llc, GREY)])
    draw_reach(below, [("L1 TLB, 4 KiB", config_value(s, "tlb.l1d4k.entries") * 4 * KIB, BLUE),
                       ("STLB, 4 KiB", config_value(s, "tlb.stlb.entries") * 4 * KIB, BLUE),
                       ("PD cache", config_value(s, "pwc.pd_entries") * 2 * MIB, BLUE),
                       ("leaf entries = L1D", l1d * 512, BLUE), ("leaf entries = L2", l2 * 512, BLUE),
                       ("L1 TLB, 2 MiB", config_value(s, "tlb.l1d2m.entries") * 2 * MIB, ORANGE),
                       ("STLB, 2 MiB", config_value(s, "tlb.stlb.entries") * 2 * MIB, ORANGE)])
    for axes in (above, below):
        axes.set_yscale("log")
        axes.grid(axis="y", which="both", linewidth=0.3)
        axes.legend(loc="upper left", bbox_to_anchor=(0.0, 0.86), fontsize=8)
    below.set_xscale("log", base=2)
    step = 1 if options.quick else 2
    below.set_xticks(sizes[::step], [size_text(n) for n in sizes[::step]], rotation=45, fontsize=8)
    below.set_xlabel("footprint, lines in random order (an area below 2 MiB has 4 KiB pages whatever is asked for)")
    above.set_ylabel("cycles a dependent load")
    below.set_ylabel("of these, more than with ideal translation")
    above.set_title("Pointer chase, baseline.yaml, 8 LLC slices, no prefetchers; dotted: what each structure reaches",
                    fontsize=9)
    figure.tight_layout()
    figure.savefig(options.output, dpi=150)


# ---- gups over 64 GiB ----------------------------------------------------------------------------


def gups_runs(sim, quick):
    size = 64 * GIB
    n, warm = (1000000, 1000000) if quick else (8000000, 4000000)
    base = ["baseline", "--workload", "gups", "--size", size, "-s", "os.premap=all", "-s", "os.memory_size=132GiB",
            "--warmup", warm, "--instructions", warm + n]
    kinds = [("4 KiB", PAGES_4K), ("THP", PAGES_2M),
             ("1 GiB", ["-s", "os.page_1g=always", "-s", "os.hugepages_1g=64"]), ("ideal", PAGES_4K + IDEAL)]
    return [(name, *sim.run(*base, *more)) for name, more in kinds]


def per_thousand(s, counter):
    return s.total(counter) / s.total("cores/instructions") * 1000


def gups(sim, options):
    runs = gups_runs(sim, options.quick)
    ideal = runs[-1][1]
    print("gups, 64 GiB, 8 instructions and 2 accesses an update (load and store of one address), baseline.yaml, 1 core")
    print(f"{'pages':8} {'CPI':>7} {'of ideal':>8} {'walks':>8} {'refs a':>7} {'cycles':>7} {'STLB hits':>9} {'wall':>7} "
          f"{'memory':>8}")
    print(f"{'':8} {'':>7} {'':>8} {'/1000 i':>8} {'walk':>7} {'a walk':>7} {'':>9} {'s':>7} {'MiB':>8}")
    cpi = []
    for name, s, seconds, memory in runs:
        walks = s.total("cores/ptw/walks")
        probes = s.total("cores/stlb/hits") + s.total("cores/stlb/misses")
        cpi.append(s.total("cores/cycles") / s.total("cores/instructions"))
        of_ideal = cpi[-1] / (ideal.total("cores/cycles") / ideal.total("cores/instructions"))
        print(f"{name:8} {cpi[-1]:7.2f} {of_ideal:8.2f} {walks / s.total('cores/instructions') * 1000:8.2f} "
              f"{s.total('cores/ptw/refs') / max(walks, 1):7.3f} {s.total('cores/ptw/walk_cycles') / max(walks, 1):7.1f} "
              f"{100 * s.total('cores/stlb/hits') / max(probes, 1):8.2f}% {seconds:7.1f} {memory:8}")
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.bar([r[0] for r in runs], cpi, color=[BLUE, ORANGE, GREEN, GREY])
    axes.bar_label(axes.containers[0], [f"{c:.2f}" for c in cpi], fontsize=8)
    axes.set_ylabel("cycles an instruction")
    axes.set_title("gups over 64 GiB, one core, 8 instructions an update", fontsize=9)
    figure.tight_layout()
    figure.savefig(options.output, dpi=150)


# ---- a machine at 1/16 ---------------------------------------------------------------------------


def scaling(sim, options):
    workloads = ["gups", "graph", "xsbench", "chase"]
    whole = [4 * GIB, 64 * GIB] if options.quick else [1 * GIB, 4 * GIB, 16 * GIB, 64 * GIB]
    n, warm = (1000000, 2000000) if options.quick else (2000000, 6000000)
    common = ["-s", "os.premap=all", "-s", "os.memory_size=132GiB", "-s", "llc.slices=8", "--warmup", warm,
              "--instructions", warm + n, *PAGES_4K]
    rows = []
    print("| workload | footprint | STLB MPKI | 1/16 | refs a walk | 1/16 | cycles a walk | 1/16 | CPI | 1/16 |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for workload in workloads:
        for size in whole:
            pair = []
            for bytes_, files in ((size, ["baseline"]), (size // 16, ["baseline", "scale-16"])):
                passes = 1 if workload == "gups" else max(1, 64 * (warm + n) // bytes_ + 1)
                s, _, _ = sim.run(*files, "--workload", workload, "--size", bytes_, "-s", f"workload.passes={passes}",
                                  *common)
                walks = max(s.total("cores/ptw/walks"), 1)
                pair.append((per_thousand(s, "cores/stlb/misses"), s.total("cores/ptw/refs") / walks,
                             s.total("cores/ptw/walk_cycles") / walks,
                             s.total("cores/cycles") / s.total("cores/instructions")))
            a, b = pair
            print(f"| {workload} | {size_text(size)} | " + " | ".join(
                f"{x:.{d}f} | {y:.{d}f}" for x, y, d in zip(a, b, (1, 2, 0, 2))) + " |", flush=True)
            rows.append((workload, size, a, b))
    figure, all_axes = plt.subplots(1, 4, figsize=(13, 3.6))
    names = ("STLB misses per 1000 instr.", "references a walk", "cycles a walk", "CPI")
    for k, axes in enumerate(all_axes):
        for workload, colour in zip(workloads, (BLUE, ORANGE, GREEN, GREY)):
            mine = [r for r in rows if r[0] == workload]
            axes.plot([r[1] for r in mine], [r[2][k] for r in mine], color=colour, marker="o", markersize=4, label=workload)
            axes.plot([r[1] for r in mine], [r[3][k] for r in mine], color=colour, marker="x", markersize=5,
                      linestyle="--")
        axes.set_xscale("log", base=2)
        axes.set_xticks(whole, [size_text(n) for n in whole], fontsize=7)
        axes.set_title(names[k], fontsize=9)
        if k == 3:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    all_axes[0].legend(fontsize=8)
    figure.suptitle("Whole machine (circles) and 1/16 of it with 1/16 of the footprint (crosses)", fontsize=9)
    figure.tight_layout()
    figure.savefig(options.output, dpi=150)


def main():
    figures = {"latency": latency, "gups": gups, "scaling": scaling}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=figures)
    parser.add_argument("-o", "--output")
    parser.add_argument("--concerto", default=os.path.join(os.path.dirname(HERE), "concerto"))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.output is None:
        options.output = os.path.join("out", options.figure + ".png")
    os.makedirs(os.path.dirname(os.path.abspath(options.output)), exist_ok=True)
    figures[options.figure](Simulator(options.concerto), options)
    print(f"picture  {os.path.abspath(options.output)}")


if __name__ == "__main__":
    main()
