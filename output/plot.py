#!/usr/bin/env python3
"""Draws where a run's cycles went: the CPI stack, translation by part, misses per 1000 instructions.

    python3 output/plot.py run.h5 -o run.png [--per core] [--title TEXT] [--roi]

With repeats beside the file (concerto run --repeat N: run.r1.h5, ...), bars carry 95 % intervals and
lines bands of them; what is drawn over time is of the file itself.
"""

import argparse
import os
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import matplotlib.ticker
import numpy as np
import pandas as pd

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import concerto_stats as cs

# Okabe and Ito: told apart by colour-blind readers too. Walk references go from light to dark.
COLOURS = {
    "L1 TLB hit": "#999999",
    "STLB hit": "#F0E442",
    "walk": "#56B4E9",
    "walk, hit in L1": "#C6E3F5",
    "walk, hit in L2": "#7CC0E8",
    "walk, hit in LLC": "#0072B2",
    "walk, from DRAM": "#00365A",
    "waiting for a walker": "#E69F00",
    "page fault": "#D55E00",
}
# Likewise; what translation costs is blue, the operating system red, the caches grey to black.
STACK_COLOURS = {
    "base": "#009E73",
    "branch": "#F0E442",
    "fetch": "#CC79A7",
    "l1": "#D9D9D9",
    "l2": "#B3B3B3",
    "llc": "#808080",
    "dram": "#404040",
    "tlb": "#C6E3F5",
    "walk": "#0072B2",
    "fault": "#D55E00",
    "kernel": "#E69F00",
    "sync": "#7A4B94",
}
MPKI_LINES = (
    ("L1 DTLB misses", "cores/dtlb/l1_misses", "#E69F00", "-"),
    ("L1 ITLB misses", "cores/itlb/l1_misses", "#CC79A7", ":"),
    ("STLB misses", "cores/stlb/misses", "#0072B2", "-"),
    ("walks", "cores/ptw/walks", "#000000", "--"),
)
TIME_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (0, "ns"))
POINTS_MAX = 240
BUSY_SHARE = 0.02


def thin(frame):
    """Sums neighbouring epochs, so that a long run stays readable."""
    step = -(-len(frame) // POINTS_MAX)
    if step <= 1:
        return frame
    groups = np.arange(len(frame)) // step
    index = frame.index.to_series().groupby(groups).last()
    thinned = frame.groupby(groups).sum()
    thinned.index = pd.Index(index, name=frame.index.name)
    return thinned


def time_axis(time_ns):
    longest = time_ns[-1] if len(time_ns) else 0
    scale, unit = next((s, u) for s, u in TIME_UNITS if longest >= s)
    return time_ns / (scale or 1), unit


def time_in(unit, time_ns):
    scale = next(s for s, u in TIME_UNITS if u == unit)
    return time_ns / (scale or 1)


def draw_marks(axes, s, unit):
    """Where the region of interest begins and ends, if that is inside the picture."""
    low, high = axes.get_xlim()
    for name, epoch in s.marks:
        if not 0 < epoch <= s.nepochs:
            continue
        x = time_in(unit, s.all_end_ns[epoch - 1])
        if low < x < high:
            axes.axvline(x, color="#555555", linestyle=(0, (2, 2)), linewidth=0.8)
            is_right = x > low + 0.85 * (high - low)
            axes.annotate(name, (x, 1.0), xycoords=("data", "axes fraction"), fontsize=7,
                          color="#555555", xytext=(-2 if is_right else 2, -1),
                          textcoords="offset points", va="top", ha="right" if is_right else "left")


def draw_breakdown(axes, s, per):
    parts = s.breakdown(per)
    parts = parts.loc[:, parts.sum() > 0]
    if parts.empty or len(parts.columns) == 0:
        axes.text(0.5, 0.5, "this run counts no translation cycles", ha="center", va="center",
                  transform=axes.transAxes)
        axes.set_axis_off()
        return
    # Of cycles, not of instructions: a core that waits for faults all along executes hardly any.
    base = "cores/cycles" if "cores/cycles" in s else "cores/instructions"
    if per == "time":
        both = thin(parts.assign(_base=s.over_time(base)))
    else:
        both = parts.assign(_base=s.per_instance(base) if base in s else 0.0)
    n = both.pop("_base")
    values = both.div(n.where(n > 0), axis=0).fillna(0) * 100
    shares = 100 * parts.sum() / parts.sum().sum()
    values.columns = [f"{c} ({shares[c]:.1f} %)" for c in parts.columns]
    shown = parts.columns
    colours = [COLOURS.get(c, "#009E73") for c in shown]
    if per == "time":
        x, unit = time_axis(values.index)
        edges = np.concatenate(([time_in(unit, s.start_ns[0])], x))
        steps = values.to_numpy().T
        steps = np.concatenate((steps[:, :1], steps), axis=1)
        axes.stackplot(edges, steps, step="pre", labels=values.columns, colors=colours,
                       linewidth=0)
        axes.set_xlabel(f"simulated time ({unit})")
        axes.set_xlim(edges[0], edges[-1])
        draw_marks(axes, s, unit)
    else:
        bottom = np.zeros(len(values))
        for column, colour in zip(values.columns, colours):
            axes.bar(values.index, values[column], bottom=bottom, label=column, color=colour,
                     width=0.8, edgecolor="white", linewidth=0.3)
            bottom += values[column].to_numpy()
        axes.set_xlabel("core")
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    of_cycles = base == "cores/cycles"
    axes.set_ylabel("% of core cycles" if of_cycles else "cycles per 100 instructions")
    axes.set_title("Cycles of translation (those of overlapping accesses counted each)",
                   fontsize=10, loc="left")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], fontsize=8, loc="upper left",
                bbox_to_anchor=(1.005, 1.0), frameon=False)


def draw_stack_bars(axes, runs):
    """Cycles per instruction by cause, mean over the runs with its interval."""
    n = [max(1, r.total("cores/instructions", 0)) for r in runs]
    table = pd.DataFrame([r.stack().sum() / k for r, k in zip(runs, n)])
    table = table.loc[:, table.sum() > 0]
    y = np.arange(len(table.columns))
    spread = [cs.mean_interval(table[c]) for c in table.columns]
    halves = [h for _, h in spread] if len(runs) > 1 else None
    axes.barh(y, [m for m, _ in spread], xerr=halves, height=0.75,
              color=[STACK_COLOURS.get(c, "#56B4E9") for c in table.columns],
              error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#000000"})
    axes.set_yticks(y, table.columns)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    cpi, half = cs.mean_interval(table.sum(axis=1))
    text = f" ± {half:.3g}, {len(runs)} runs" if len(runs) > 1 else ""
    axes.set_xlabel("cycles per instruction")
    axes.set_title(f"CPI {cpi:.4g}{text}", fontsize=10, loc="left")


def draw_stack(axes, s, per):
    """Shares of the cycles by cause, over time or per core."""
    parts = s.stack(per)
    shares = 100 * parts.sum() / max(1, parts.sum().sum())
    parts = parts.loc[:, shares > 0]
    if per == "time":
        parts = thin(parts)
    values = parts.div(parts.sum(axis=1).where(parts.sum(axis=1) > 0), axis=0).fillna(0) * 100
    labels = [f"{c} ({shares[c]:.1f} %)" for c in values.columns]
    colours = [STACK_COLOURS.get(c, "#56B4E9") for c in values.columns]
    if per == "time":
        x, unit = time_axis(values.index)
        edges = np.concatenate(([time_in(unit, s.start_ns[0])], x))
        steps = values.to_numpy().T
        steps = np.concatenate((steps[:, :1], steps), axis=1)
        axes.stackplot(edges, steps, step="pre", labels=labels, colors=colours, linewidth=0)
        axes.set_xlabel(f"simulated time ({unit})")
        axes.set_xlim(edges[0], edges[-1])
        draw_marks(axes, s, unit)
    else:
        bottom = np.zeros(len(values))
        for column, label, colour in zip(values.columns, labels, colours):
            axes.bar(values.index, values[column], bottom=bottom, label=label, color=colour, width=0.8,
                     edgecolor="white", linewidth=0.3)
            bottom += values[column].to_numpy()
        axes.set_xlabel("core")
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.set_ylim(0, 100)
    axes.set_ylabel("% of cycles")
    axes.set_title("Where the cycles went", fontsize=10, loc="left")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], fontsize=8, loc="upper left", bbox_to_anchor=(1.005, 1.0),
                frameon=False)


def rates(s):
    """Occurrences per thousand instructions over time; an epoch that was all waiting has none."""
    counts = pd.DataFrame({"_instructions": s.over_time("cores/instructions")})
    for label, name, _, _ in MPKI_LINES:
        if name in s:
            counts[label] = s.over_time(name)
    counts = thin(counts)
    n = counts.pop("_instructions")
    return counts.div(n.where(n > BUSY_SHARE * n.max()), axis=0) * 1000


def draw_band(axes, x, column, all_rates, colour):
    """The 95 % interval of the mean over repeats, epoch by epoch, as far as all runs go."""
    n = min(len(r) for r in all_rates)
    table = np.array([r[column].to_numpy()[:n] for r in all_rates if column in r])
    if len(table) < 2:
        return
    known = np.isfinite(table).all(axis=0)
    low, high = np.full(n, np.nan), np.full(n, np.nan)
    for i in np.flatnonzero(known):
        mean, half = cs.mean_interval(table[:, i])
        low[i], high[i] = max(0.0, mean - half), mean + half
    axes.fill_between(x[:n], low, high, color=colour, alpha=0.25, linewidth=0)


def draw_mpki(axes, s, runs):
    values = rates(s)
    all_rates = [values] + [rates(r) for r in runs[1:]]
    x, unit = time_axis(values.index)
    for label, _, colour, style in MPKI_LINES:
        if label in values:
            axes.plot(x, values[label], label=label, color=colour, linestyle=style, linewidth=1.3,
                      marker="o" if len(x) == 1 else None)
            draw_band(axes, np.asarray(x), label, all_rates, colour)
    top = values.to_numpy()
    top = top[np.isfinite(top) & (top > 0)]
    if len(top) and top.max() / top.min() > 100:
        axes.set_yscale("symlog", linthresh=max(0.1, 10 ** np.floor(np.log10(top.min()))))
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(f"simulated time ({unit})")
    axes.set_ylabel("per 1000 instructions")
    band = f"; bands: 95 % of {len(runs)} runs" if len(runs) > 1 else ""
    axes.set_title("Misses and walks" + band, fontsize=10, loc="left")
    if x[-1] > time_in(unit, s.start_ns[0]):
        axes.set_xlim(time_in(unit, s.start_ns[0]), x[-1])
    draw_marks(axes, s, unit)
    if len(values.columns):
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False)
    else:
        axes.text(0.5, 0.5, "this run counts no TLB misses", ha="center", va="center",
                  transform=axes.transAxes)


def title_of(s):
    """The workload and the design, as far as the file says."""
    words = [str(s.provenance.get(k) or s.config.get(k)) for k in
             ("workload", "workload.name", "trace.name", "trace.path")
             if s.provenance.get(k) or s.config.get(k)]
    words = words[:1] or [os.path.basename(s.path)]
    design = next((str(v) for k, v in s.config.items() if k == "mmu" or k.endswith(".mmu")
                   or k == "mmu.design"), None)
    if design:
        words.append(f"MMU {design}")
    ncores = len(s.per_instance("cores/instructions")) if "cores/instructions" in s else 0
    if ncores:
        words.append(f"{ncores} core" + ("s" if ncores > 1 else ""))
        cycles = s.total("cores/cycles", 0)
        if cycles:
            words.append(f"IPC {s.total('cores/instructions') / cycles:.2f}")
    return ", ".join(words) + ("" if s.complete else "  (stopped early)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", help="statistics file of a run")
    parser.add_argument("-o", "--output", help="picture to write (.png, .pdf, .svg)")
    parser.add_argument("--per", choices=("time", "core"), default="time",
                        help="what the cycles are drawn over")
    parser.add_argument("--title")
    parser.add_argument("--roi", action="store_true", help="the region of interest only")
    parser.add_argument("--alone", action="store_true", help="without the repeats beside the file")
    args = parser.parse_args()
    try:
        runs = [cs.load(args.file)] if args.alone else cs.load_set(args.file)
    except (OSError, ValueError) as e:
        sys.exit(f"plot.py: {e}")
    if args.roi:
        runs = [r.roi() for r in runs]
    s = runs[0]
    if len(s.time_ns) == 0:
        sys.exit(f"plot.py: {args.file} holds no epochs")
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9})
    has_stack = not s.stack().empty and s.stack().to_numpy().sum() > 0
    figure = plt.figure(figsize=(11, 9) if has_stack else (9, 6), constrained_layout=True)
    grid = figure.add_gridspec(3 if has_stack else 2, 4)
    figure.suptitle(args.title or title_of(s), fontsize=11)
    if has_stack:
        draw_stack_bars(figure.add_subplot(grid[0, 0]), runs)
        draw_stack(figure.add_subplot(grid[0, 1:]), s, args.per)
    draw_breakdown(figure.add_subplot(grid[-2, :]), s, args.per)
    draw_mpki(figure.add_subplot(grid[-1, :]), s, runs)
    output = args.output or os.path.splitext(args.file)[0] + ".png"
    figure.savefig(output, dpi=150)
    print(output)


if __name__ == "__main__":
    main()
