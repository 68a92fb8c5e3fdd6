#!/usr/bin/env python3
"""Random machines, each run in two ways: statistics and the digest of all messages must be the same.

    tests/fuzz/machines.py [--seed N] [--machines N | --seconds S] [--only WAY] [--against CONCERTO] [--set NAME=VALUE]

The parameters, their ranges and their choices are those that `concerto describe config` tells, so that what is new is
tried too; values lie at the ends of a range, around the default, and where nothing divides: 1, 3, 5, 7. A machine that the
simulator refuses loses the parameters that the error names. The first run is by one process; the second takes another
way through the program:

    long    sim.fast_path=false, the long way of every access: the strongest of these checks, since short cuts are
            where an exact simulator goes wrong
    queue   one queue instead of windows
    cut     windows cut at random
    ranks   2 or 3 ranks, through shared memory or messages
    again   the same once more (with --against: by that program, for instance one built from an older revision)

A difference is made small before it is told: parameters are left out as long as it stays. Seeds make the same machines
on every host. $CONCERTO is the program under test. Exit code: 1 if anything differed.
"""

import argparse
import concurrent.futures
import os
import random
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONCERTO = os.environ.get("CONCERTO", os.path.join(ROOT, "concerto"))
TIMEOUT_S = 120
WAYS = ["long", "long", "long", "ranks", "cut", "queue", "again"]

# Of these groups no parameter is drawn, but for those here: they say how to run, what to run, or cost a run its time.
NOT_DRAWN = re.compile(r"sim\.|workload\.|fuzz\.|core\.count|dram\.trefi|os\.(memory_size|reserved|premap_image|cost\.|stack|layout_brk)")
DRAWN = re.compile(r"sim\.(epoch|warmup|seed|control_latency|jitter_cycles|start_skew)$")
UNITS = {"": 1, "fs": 1, "ps": 10**3, "ns": 10**6, "us": 10**9, "ms": 10**12, "s": 10**15}
BYTES = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
HERTZ = {"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9}

PRESETS = ["baseline", "baseline", "baseline", "skylake", "virtuoso", "test_model"]
PIECES = sorted({f[:-5] for f in os.listdir(os.path.join(ROOT, "configs")) if f.endswith(".yaml")} - set(PRESETS))
WORKLOADS = ["gups", "stream", "chase", "graph", "xsbench"]
TRACES = ["sqlite3.vmt", "sqlite3.vmt", "redis.vmt", "redis.vmt", "bfs-4t.vmt", "bfs-4t.vmt", "chase.vmt", "sqlite3.champsim.xz"]
PROGRAMS = ["tests/traces/chase.vmt", "tests/traces/bfs-4t.vmt", "tests/traces/redis.vmt", "gups:1MiB", "stream:1MiB:2", "chase:1MiB*2",
            "graph:1MiB", "xsbench:1MiB"]
INSTRUCTIONS = [7, 1000, 5000, 9999, 20000, 20001, 33333, 60000]


# ---- parameters ----------------------------------------------------------------------------------

def number(text, units):
    m = re.fullmatch(r"([\d.]+)([A-Za-z]*)", text)
    return int(float(m[1]) * units[m[2]]) if m and m[2] in units else None


def around(least, most, default, roughly):
    """Numbers of a range: its ends, small ones, and those around the default, none of them `roughly` times beyond it."""
    near = {default, default - 1, default + 1, default // 2, default // 3, default * 2, default + default // 2}
    most = min(most, max(default * roughly, 64))
    return sorted(v for v in near | {least, least + 1, 1, 2, 3, 5, 7, 8, 33, 64} if least <= v <= most)


def values_of(kind, ranges, default):
    """What a parameter may be, as texts; empty: nothing to draw."""
    if kind == "boolean":
        return ["true", "false"]
    if kind == "choice":
        return ranges.replace("one of: ", "").split(", ")
    units = {"count": {"": 1}, "size": BYTES, "time": UNITS, "frequency": HERTZ}.get(kind)
    ends = re.fullmatch(r"(\S+) (?:to (\S+)|or more)", ranges)
    if units is None or ends is None:
        return []
    least, most, usual = number(ends[1], units), number(ends[2] or "1000000", units), number(default, units)
    if None in (least, most, usual):
        return []
    if kind == "count":
        return [str(v) for v in around(least, most, usual, 4)]
    if usual == 0:  # what stands for 0 is elsewhere: usual times of DRAM, usual rows
        return ["0", "1ns", "3ns", "8ns", "20ns", "60ns"] if kind == "time" else ["0", "1KiB", "2KiB", "8KiB"]
    unit = {"size": "", "time": "fs", "frequency": "Hz"}[kind]
    return [f"{v}{unit}" for v in (usual // 4, usual // 2, usual * 3 // 4, usual * 2, usual * 4) if least <= v <= most]


def parameters():
    text = subprocess.run([CONCERTO, "describe", "config"], capture_output=True, text=True, check=True).stdout
    found = {}
    for m in re.finditer(r"^  ([a-z0-9_]+(?:\.[a-z0-9_]+)+) +(\w+)(?: \([^)]*\))?(?:, ([^;]*))?; default (.+)$", text, re.M):
        values = values_of(m[2], m[3] or "", m[4].strip())
        if values and (DRAWN.match(m[1]) or not NOT_DRAWN.match(m[1])):
            found[m[1]] = values
    if len(found) < 150:
        sys.exit(f"machines.py: only {len(found)} parameters found in: {CONCERTO} describe config")
    return found


# ---- machines -------------------------------------------------------------------------------------

class Machine:
    """What to run, how it is set, and the other way to run it."""

    def __init__(self, seed, known, only):
        r = random.Random(seed)
        self.seed = seed
        self.settings = {}
        wild = r.choice([0.02, 0.06, 0.15, 0.3])
        for name, values in known.items():
            if r.random() < wild * (3 if name.startswith("core.") else 1):
                self.settings[name] = r.choice(values)
        self.what = self.files(r) + self.workload(r)
        if r.random() < 0.2:
            self.what += ["--fuzz", str(r.randrange(1, 100))]
        drawn = r.choice(WAYS)
        self.way = only or drawn
        self.other, self.launcher, self.env = [], [], {}
        if self.way == "long":
            self.other = ["-s", "sim.fast_path=false"]
        elif self.way == "queue":
            self.other = ["-s", "sim.order=queue"]
        elif self.way == "cut":
            self.other = ["--cut", str(r.randrange(1, 1000))]
        elif self.way == "ranks":
            self.launcher = ["mpirun", "--oversubscribe", "-np", str(r.choice([2, 2, 3]))]
            self.other = ["--partition", r.choice(["auto", "packed"])]
            self.env = {"CONCERTO_TRANSPORT": "mpi"} if r.random() < 0.5 else {}

    @staticmethod
    def files(r):
        if r.random() < 0.1:
            return []
        return [f"configs/{r.choice(PRESETS)}.yaml"] + [f"configs/{p}.yaml" for p in PIECES if r.random() < 0.1]

    @staticmethod
    def workload(r):
        instructions, kind = r.choice(INSTRUCTIONS), r.random()
        cores = ["--cores", str(r.choice([1, 1, 2, 3, 4]))]
        if kind < 0.4:
            workload = r.choice(WORKLOADS)
            sizes = ["16KiB", "64KiB", "1MiB", "3MiB", "16MiB", "64MiB"]
            what = ["--workload", workload, "--size", r.choice(sizes[3:] if workload == "xsbench" else sizes), *cores]
        elif kind < 0.85:
            what = ["--trace", f"tests/traces/{r.choice(TRACES)}", *(cores if r.random() < 0.3 else [])]
        else:
            what = ["--mix", ",".join(r.choice(PROGRAMS) for _ in range(r.choice([2, 3]))), "--no-alone"]
            instructions = min(instructions, 9999)
        return [*what, "--instructions", str(instructions)]

    def arguments(self):
        return self.what + [x for name, value in self.settings.items() for x in ("-s", f"{name}={value}")]


# ---- runs -----------------------------------------------------------------------------------------

class Run:
    def __init__(self, program, machine, output, other):
        self.command = [*(machine.launcher if other else []), program, "run", *machine.arguments(), *(machine.other if other else [])]
        env = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "CONCERTO_PROCESSORS": "64",
               **(machine.env if other else {})}
        self.output = output
        try:
            p = subprocess.run([*self.command, "-q", "-o", output], capture_output=True, text=True, cwd=ROOT, env=env, timeout=TIMEOUT_S,
                               stdin=subprocess.DEVNULL)
            self.code, self.error = p.returncode, p.stderr
            m = re.search(r"^digest +(\w+)", p.stdout, re.M)
            self.digest = m[1] if m else None
        except subprocess.TimeoutExpired:
            self.code, self.error, self.digest = "timeout", f"no end in {TIMEOUT_S} s", None

    def told(self):
        return " ".join(self.command)

    def refuses(self):
        """The simulator says what it does not take, or that the simulated memory is full; no assertion, no signal."""
        full = re.search(r"out of simulated memory|raise \w+", self.error) and "broken invariant" not in self.error
        return self.code in (2, 3) or (self.code == 1 and full is not None)


def blamed(error, settings):
    """The parameters that an error names, or else those of the group it names."""
    named = [k for k in settings if re.search(rf"\b{re.escape(k)}\b", error)]
    if named:
        return named
    groups = set(re.findall(r"\b(tlb\.\w+|pwc|ptw|l1i|l1d|l2|bpred|prefetch|noc|llc|dram|os|mmu|core)\b", error))
    return [k for k in settings if any(k.startswith(g + ".") for g in groups)]


def difference(machine, scratch, program):
    """(What sort of thing the two ways differ in, in words); sort None: in nothing, or both refuse the machine."""
    first = Run(CONCERTO, machine, f"{scratch}/a.h5", False)
    other = Run(program, machine, f"{scratch}/b.h5", True)
    if first.refuses() and other.refuses():
        return None, "refused"
    for run in (first, other):
        if run.code != 0 or run.digest is None:
            return (first.code, other.code), f"exit code {run.code} of: {run.told()}\n     {run.error.strip()[-600:]}"
    said = subprocess.run([CONCERTO, "compare", "--exact", first.output, other.output], capture_output=True, text=True)
    if said.stdout.strip() == "equal" and first.digest == other.digest:
        return None, ""
    return "statistics", f"{said.stdout.strip()[:400]} {said.stderr.strip()[:200]}; digests {first.digest}, {other.digest}"


def accepted(machine, scratch):
    """Leaves out what the simulator refuses; False: it still does. What ends in another way is for difference() to tell."""
    while True:
        run = Run(CONCERTO, machine, f"{scratch}/a.h5", False)
        if not run.refuses():
            return True
        bad = blamed(run.error, machine.settings)
        if not bad:
            return False
        for name in bad:
            del machine.settings[name]


def made_small(machine, scratch, program, sort):
    """Leaves out what a difference of this sort does not need, in ever smaller shares."""
    share = max(1, len(machine.settings) // 2)
    while share >= 1 and machine.settings:
        kept = list(machine.settings.items())
        for at in range(0, len(kept), share):
            whole = machine.settings
            machine.settings = {k: v for k, v in whole.items() if k not in dict(kept[at:at + share])}
            if difference(machine, scratch, program)[0] != sort:
                machine.settings = whole
        share //= 2


def try_machine(seed, known, options):
    """(seed, way, None: refused, "": equal, else what differs)"""
    machine = Machine(seed, known, options.only)
    for setting in options.set:
        name, _, value = setting.partition("=")
        machine.settings[name] = value
    program = options.against if options.against and machine.way == "again" else CONCERTO
    with tempfile.TemporaryDirectory() as scratch:
        if not accepted(machine, scratch):
            return seed, machine.way, None
        sort, said = difference(machine, scratch, program)
        if sort is None:
            return seed, machine.way, None if said else ""
        made_small(machine, scratch, program, sort)
        said = difference(machine, scratch, program)[1] or said
        other = " ".join([*(f"{k}={v}" for k, v in machine.env.items()), *machine.launcher, program, "run", *machine.arguments(), *machine.other])
        return seed, machine.way, f"{said}\n     one process: {CONCERTO} run {' '.join(machine.arguments())}\n     against:     {other}"


def seeds(options):
    end = time.monotonic() + options.seconds if options.seconds else None
    seed = options.seed
    while time.monotonic() < end if end else seed < options.seed + options.machines:
        yield seed
        seed += 1


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1, help="of the first machine; the next one has the next")
    p.add_argument("--machines", type=int, default=50)
    p.add_argument("--seconds", type=int, default=0, help="begin no machine after so many, instead of a number of them")
    p.add_argument("--only", choices=sorted(set(WAYS)), help="this way")
    p.add_argument("--against", metavar="CONCERTO", help="another program, which runs each machine again")
    p.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="in every machine")
    options = p.parse_args()
    if options.against and options.only is None:
        options.only = "again"
    known, equal, refused, failed, by_way = parameters(), 0, 0, 0, {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        pending, source = set(), seeds(options)
        while True:
            while len(pending) < (os.cpu_count() or 1) and (seed := next(source, None)) is not None:
                pending.add(pool.submit(try_machine, seed, known, options))
            if not pending:
                break
            done, pending = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
            for seed, way, said in (d.result() for d in done):
                refused += said is None
                equal += said == ""
                by_way[way] = by_way.get(way, 0) + (said == "")
                if said:
                    failed += 1
                    print(f"FAIL  machine {seed}, {way}: {said}", flush=True)
    told = ", ".join(f"{by_way[w]} {w}" for w in sorted(by_way))
    good = failed == 0 and equal > 2 * refused  # of machines that are refused nothing is known
    print(f"{'ok' if good else 'FAIL' if failed == 0 else '--'}    {equal} random machines equal in another way ({told}), {failed} not, {refused} refused; of {len(known)} parameters")
    sys.exit(not good)


if __name__ == "__main__":
    main()
