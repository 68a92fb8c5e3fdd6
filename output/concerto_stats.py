"""Reads the statistics files of Concerto.

    import concerto_stats as cs
    s = cs.load("run.h5")
    s["cores/instructions"]              # DataFrame: simulated time in ns x core, per epoch
    s.roi().total("cores/ptw/walks")     # one number, region of interest
    s.mpki("cores/stlb/misses")          # Series over time
    s.breakdown()                        # translation cycles by part, over time
    s.stack("core")                      # all cycles by cause, per core
    cs.sweep(glob.glob("out/*.h5"))      # one row per run: configuration and totals
    cs.load_set("run.h5")                # the run and its repeats (concerto run --repeat)
    cs.mean_interval([1.1, 1.2, 1.0])    # mean and half of its 95 % interval

Needs h5py, numpy and pandas. A counter that a run does not have raises KeyError from s[...], and
is 0 for total(..., default=0), mpki and breakdown.
"""

import functools
import math
import os
import warnings

import h5py
import numpy as np
import pandas as pd

# Parts of the cycles spent on translation: label, and the counters that make it up. The first
# counter that a run has is taken, so that alternatives can stand side by side.
BREAKDOWN = (
    ("L1 TLB hit", ("cores/tlb/l1_cycles", "cores/tlb/hit_cycles")),
    ("STLB hit", ("cores/stlb/hit_cycles",)),
    ("walk, hit in L1", ("cores/ptw/cycles_l1",)),
    ("walk, hit in L2", ("cores/ptw/cycles_l2",)),
    ("walk, hit in LLC", ("cores/ptw/cycles_llc",)),
    ("walk, from DRAM", ("cores/ptw/cycles_dram",)),
    ("waiting for a walker", ("cores/ptw/queue_cycles",)),
    ("page fault", ("cores/fault/cycles",)),
)

# Causes of the cycle stack, from the core outwards.
STACK = ("base", "branch", "fetch", "l1", "l2", "llc", "dram", "tlb", "walk", "fault", "kernel", "sync")


def _plain(value):
    """An attribute as str, bool, int, float or array."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.generic):
        return _plain(value.item())
    return value


def _attributes(group):
    return {name: _plain(group.attrs[name]) for name in group.attrs}


def _open(path):
    """Also a file that a running simulation is still writing."""
    try:
        return h5py.File(path, "r", locking=False)
    except (TypeError, OSError):  # h5py before 3.5; or this process holds it open with a lock
        return h5py.File(path, "r")


class Stats:
    """One run. Values are read from the file when they are asked for."""

    def __init__(self, path, rows=None):
        self.path = str(path)
        self._rows = rows
        with _open(self.path) as f:
            if _plain(f.attrs.get("format", "")) != "concerto-stats":
                raise ValueError(f"{self.path} is no statistics file of Concerto")
            self.complete = bool(f.attrs["complete"])
            end = f["stats/time/end_fs"][:]
            self.config = _attributes(f["config"])
            self.config_text = _plain(f["config/text"][()])
            self.provenance = _attributes(f["provenance"])
            self.marks = [(_plain(m["name"]), int(m["epoch"])) for m in f["stats/time/marks"][:]]
            self.counters = {}
            f["stats"].visititems(self._take_counter)
        self.nepochs = len(end)
        self.all_end_ns = end / 1e6
        starts = np.concatenate(([0], end[:-1])) if len(end) else end
        self._all_length_fs = end - starts

    def _take_counter(self, name, item):
        top = name.split("/")[0]
        if isinstance(item, h5py.Dataset) and top not in ("time", "summary") and "kind" in item.attrs:
            kind = _plain(item.attrs["kind"])
            if kind in ("delta", "gauge", "hist"):
                self.counters[name] = {
                    "kind": kind,
                    "units": _plain(item.attrs["units"]),
                    "stamp": _plain(item.attrs.get("stamp", "")),
                    "description": _plain(item.attrs["description"]),
                }

    def __repr__(self):
        return f"<{self.path}: {len(self.time_ns)} epochs, {len(self.counters)} counters>"

    def __contains__(self, name):
        return name in self.counters

    def __getitem__(self, name):
        return self.df(name)

    def _select(self, array):
        return array if self._rows is None else array[self._rows]

    @property
    def time_ns(self):
        """Simulated time at the end of each epoch."""
        return pd.Index(self._select(self.all_end_ns), name="time_ns")

    @property
    def start_ns(self):
        """Simulated time at the start of each epoch."""
        return self._select(self.all_end_ns - self._all_length_fs / 1e6)

    @property
    def simulated_ns(self):
        return float(self._select(self._all_length_fs).sum()) / 1e6

    def array(self, name):
        """The dataset as it is: [epoch, instance] or [epoch, instance, bin]."""
        if name not in self.counters:
            near = [n for n in self.counters if n.endswith("/" + name.split("/")[-1])]
            hint = f"; there is {', '.join(near)}" if near else ""
            raise KeyError(f"{self.path} has no counter '{name}'{hint}")
        with _open(self.path) as f:
            values = f["stats/" + name][: self.nepochs]
        return self._select(values)

    def df(self, name):
        """One counter: time x instance. The bins of a histogram are summed: its occurrences."""
        values = self.array(name)
        if values.ndim == 3:
            values = values.sum(axis=2)
        frame = pd.DataFrame(values, index=self.time_ns)
        frame.columns.name = name.split("/")[0]
        return frame

    def component(self, name):
        """All counters of a component, summed over its instances: time x counter."""
        prefix = name + "/"
        return pd.DataFrame(
            {n[len(prefix):]: self.df(n).sum(axis=1) for n in self.counters if n.startswith(prefix)},
            index=self.time_ns,
        )

    def hist(self, name):
        """A histogram over all epochs and instances: counts, indexed by [low, high) of each bin."""
        values = self.array(name)
        with _open(self.path) as f:
            edges = f["stats/" + name + "_bins"][:]
        index = pd.IntervalIndex.from_breaks(edges.astype(float), closed="left", name="bin")
        return pd.Series(values.sum(axis=(0, 1)), index=index, name=name)

    def total(self, name, default=None):
        """The sum over epochs and instances; of a gauge, its last value."""
        if name not in self.counters and default is not None:
            return default
        values = self.array(name)
        if self.counters[name]["kind"] == "gauge":
            values = values[-1:]
        return int(values.sum(dtype=np.uint64))

    def over_time(self, name):
        """The sum over instances per epoch; zeros if there is no such counter."""
        if name not in self.counters:
            return pd.Series(0.0, index=self.time_ns)
        return self.df(name).sum(axis=1).astype(float)

    def per_instance(self, name):
        """The sum over epochs per instance."""
        return self.df(name).sum(axis=0)

    def roi(self):
        """The same run, cut to its region of interest."""
        inside = np.ones(self.nepochs, dtype=bool)
        begun = False
        for name, epoch in sorted(self.marks, key=lambda m: m[1]):
            if name in ("roi-begin", "warmup-end") and not begun:
                inside[:epoch] = False
            if name in ("roi-begin", "roi-end"):
                inside[epoch:] = name == "roi-begin"
            begun = begun or name == "roi-begin"
        return Stats(self.path, rows=inside)

    def ipc(self):
        """Per core."""
        cycles = self.per_instance("cores/cycles")
        return self.per_instance("cores/instructions") / cycles.where(cycles > 0)

    def mpki(self, name):
        """Occurrences per thousand instructions, over time."""
        instructions = self.over_time("cores/instructions")
        return 1000 * self.over_time(name) / instructions.where(instructions > 0)

    def breakdown(self, per="time"):
        """Translation cycles by part: rows are epochs (per="time") or cores (per="core")."""
        parts = {}
        for label, names in BREAKDOWN:
            name = next((n for n in names if n in self.counters), None)
            if name is not None:
                parts[label] = self.df(name).sum(axis=1 if per == "time" else 0)
        walk = "cores/ptw/walk_cycles"
        if walk in self.counters and not any(p.startswith("walk,") for p in parts):
            parts["walk"] = self.df(walk).sum(axis=1 if per == "time" else 0)
        return pd.DataFrame(parts)

    def stack(self, per="time"):
        """
        Cycles by cause: rows are epochs (per="time") or cores (per="core"), columns the causes of
        cores/stack in their usual order. Each row sums to cores/cycles. Empty: the run has none.
        """
        names = [n for n in self.counters if n.startswith("cores/stack/")]
        names.sort(key=lambda n: STACK.index(n.split("/")[-1]) if n.split("/")[-1] in STACK else 99)
        axis = 1 if per == "time" else 0
        return pd.DataFrame({n.split("/")[-1]: self.df(n).sum(axis=axis) for n in names})

    def summary(self, region="roi"):
        """The totals that the run itself wrote: region of interest, or "run" for all of it."""
        with _open(self.path) as f:
            group = f.get("stats/summary/" + region)
            totals = _attributes(group) if group is not None else {}
            top = _attributes(f["stats/summary"])
        totals = {n: int(np.sum(v)) if isinstance(v, np.ndarray) else v for n, v in totals.items()}
        totals.update({n: v for n, v in top.items() if not n.endswith(".units")})
        return pd.Series(totals, name=self.path, dtype=object)

    def host(self, name):
        """A column of the host's side: epoch x rank."""
        with _open(self.path) as f:
            values = f["host/" + name][: self.nepochs]
        return pd.DataFrame(self._select(values), index=self.time_ns)


def load(path):
    return Stats(path)


def repeat_path(path, i):
    """Where repeat `i` of a run lies: x.h5, x.r1.h5, x.r2.h5, ..."""
    head, end = (path[:-3], ".h5") if path.endswith(".h5") else (path, "")
    return path if i == 0 else f"{head}.r{i}{end}"


def _same_run(a, b):
    """b repeats a: only what a repeat changes differs."""
    free = ("sim.perturb", "sim.cut_seed")
    keys = {k: v for k, v in a.config.items() if k not in free}
    facts = ("workload", "version", "git")
    return (keys == {k: v for k, v in b.config.items() if k not in free}
            and all(a.provenance.get(f) == b.provenance.get(f) for f in facts))


def load_set(path):
    """The run and its repeats, as far as they lie beside it; another run's file is left out."""
    runs, i = [Stats(path)], 1
    while os.path.exists(repeat_path(str(path), i)):
        s = Stats(repeat_path(str(path), i))
        if _same_run(runs[0], s):
            runs.append(s)
        else:
            warnings.warn(f"{s.path} is no repeat of {path} and is left out")
        i += 1
    return runs


@functools.lru_cache(maxsize=None)
def student_t95(df):
    """t such that 95 % of Student's distribution lie in +-t, by halving and Simpson's rule."""
    def outside(t):
        x = np.linspace(0, math.atan(t / math.sqrt(df)), 4001)  # t = sqrt(df) tan x
        y = np.cos(x) ** (df - 1)
        inside = (y[0] + y[-1] + 4 * y[1::2].sum() + 2 * y[2:-1:2].sum()) * (x[1] - x[0]) / 3
        scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(math.pi)
        return 1 - 2 * scale * inside
    low, high = 0.0, 16.0  # 12.7 is the most, at one degree
    for _ in range(100):
        t = (low + high) / 2
        low, high = (t, high) if outside(t) > 0.05 else (low, t)
    return (low + high) / 2


def mean_interval(values):
    """(mean, half of the 95 % interval) of independent repeats; one value has no interval: inf."""
    v = np.asarray(list(values), dtype=float)
    if len(v) < 2:
        return float(v.mean()), math.inf
    return float(v.mean()), float(student_t95(len(v) - 1) * v.std(ddof=1) / math.sqrt(len(v)))


def sweep(paths, region="roi", only_varying=False, repeats=False):
    """
    One row per file: its configuration and its totals. `only_varying` drops constant keys. With
    `repeats`, also one row for each repeat beside a file, told apart by the column `repeat`.
    """
    rows, index = [], []
    for path in paths:
        for s in load_set(path) if repeats else [Stats(path)]:
            row = {"repeat": int(s.config.get("sim.perturb", 0))} if repeats else {}
            row.update(s.config)
            row.update(s.summary(region))
            row["complete"] = s.complete
            rows.append(row)
            index.append(s.path)
    table = pd.DataFrame(rows, index=pd.Index(index, name="file"))
    if only_varying and len(table) > 1:
        table = table.loc[:, table.astype(str).nunique() > 1]
    return table


def gmean(values):
    """The geometric mean of positive values; others are an error, not skipped."""
    values = np.asarray(list(values), dtype=float)
    if len(values) == 0 or not (values > 0).all():
        raise ValueError("gmean needs positive values")
    return float(np.exp(np.log(values).mean()))


def breakdown(runs, per_instruction=True):
    """Translation cycles by part for several runs: {label: Stats} to run x part."""
    table = pd.DataFrame({label: s.breakdown().sum() for label, s in runs.items()}).T
    if per_instruction:
        n = pd.Series({label: s.total("cores/instructions", 0) for label, s in runs.items()})
        table = table.div(n.where(n > 0), axis=0) * 1000
    return table
