#!/usr/bin/python3
"""What one access costs the host, part by part, beside the least that the host could do. `make budget`.

The parts are those of the source: callgrind counts the host instructions of the part of a run that simulates,
and each function belongs to the part of its file, with what was inlined into it. The time of an access is
that of the same run without callgrind (the best of REPETITIONS); a part gets the share of it that it has of the
instructions. That is exact for instructions and an estimate for time: a part that waits for the
host's memory takes more than its share. Below: trace decoding, and the tag arrays without anything else
(tests/lookups.c), measured by themselves. Last, what the host's cycles go into: Concerto records itself in
short runs (the part that simulates) and simulates what it recorded, on a core of about the host's kind. That
is a model's answer; the instructions per cycle that it gives can be held against the measured speed. Needs
valgrind and qemu; takes two minutes.
"""
import os
import re
import subprocess
import sys
import tempfile

CONCERTO = os.environ.get("CONCERTO", "./concerto")
LOOKUPS = os.environ.get("LOOKUPS", "build/lookups")
REPETITIONS = int(os.environ.get("REPETITIONS", "5"))

PREMAP = ["configs/os-premap.yaml"]
# name: arguments; those of the counted run; those of the timed one
RUNS = {
    "sqlite3": (["--trace", "tests/traces/sqlite3.vmt"], [], []),
    "stream-in-L1": ([*PREMAP, "--workload", "stream", "--size", "16KiB", "-s", "workload.passes=1M"],
                     ["--instructions", "2M"], ["--instructions", "40M"]),
    "stream": ([*PREMAP, "--workload", "stream", "--size", "192MiB"], ["--instructions", "1500k"], ["--instructions", "15M"]),
    "gups": ([*PREMAP, "configs/os-thp-never.yaml", "--workload", "gups", "--size", "1GiB", "-s", "os.memory_size=4GiB"],
             ["--instructions", "300k"], ["--instructions", "4M"]),
}

# A core of the Zen 3 kind, as commonly quoted (not looked up), for the simulation of itself.
HOST_CORE = []
for setting in ("core.width=6", "core.rob=256", "core.load_queue=72", "core.store_queue=64", "core.refill_cycles=13", "l1d.size=32KiB",
                "l1d.ways=8", "l1i.size=32KiB", "l1i.ways=8", "l2.size=512KiB", "l2.ways=8"):
    HOST_CORE += ["-s", setting]

# Part, pattern of the file of a function. The first that matches.
PARTS = [
    ("trace decoding, workload", r"cores/(vmt_|reloc|trace_|builtin|champsim|mix)|liblz4|libxxhash"),
    ("branches, lines of code", r"cores/(bpred|fetch)"),
    ("dispatch, window, hits", r"cores/(fast|dispatch|window|core_lp|cpi)"),
    ("translation and walks", r"cores/(translate|tlb|pwc|mmu)|mimicos/(ptmem|radix|pagetable)"),
    ("L1D and L2 misses", r"cores/priv_cache"),
    ("data prefetchers", r"cores/(data_prefetch|prefetch)"),
    ("LLC and mesh", r"memsys/(llc|noc)"),
    ("DRAM", r"memsys/dram"),
    ("messages, windows", r"pdes/|partitions/"),
    ("kernel", r"mimicos/|cores/kernel"),
    ("statistics, output", r"output/|libhdf5|libz"),
    ("the rest", r""),
]


def concerto(arguments, out, prefix=(), may_end=False):
    """may_end: the prefix may end the run before its end."""
    command = [*prefix, CONCERTO, "run", "configs/baseline.yaml", *arguments, "-s", "sim.epoch=10ms", "-o", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 and not may_end:
        sys.exit(f"budget: {' '.join(command)} failed:\n{done.stderr[-1000:]}")
    return done.stdout


def accesses(text):
    return int(re.search(r"^  loads, stores .* of ([\d ]+)$", text, re.M)[1].replace(" ", ""))


def nanoseconds(text):
    """Of an access."""
    instructions = int(re.search(r"^  instructions +([\d ]+)$", text, re.M)[1].replace(" ", ""))
    speed = float(re.search(r"^  speed +([\d.]+) million", text, re.M)[1])
    return instructions / speed * 1e3 / accesses(text)


def self_costs(path):
    """{file or object of a function: instructions of its own}"""
    names, costs, place, call = {}, {}, "", False
    with open(path, encoding="utf-8", errors="replace") as f:
        obj = fl = ""
        for line in f:
            m = re.match(r"(ob|fl|fn|fi|fe)=\((\d+)\)(?: (.*))?", line)
            if m:
                kind, number, name = m.groups()
                space = "ob" if kind == "ob" else "fn" if kind == "fn" else "fl"
                if name:
                    names[space, number] = name.strip()
                if kind == "ob":
                    obj = names[space, number]
                elif kind == "fl":
                    fl = names[space, number]
                elif kind == "fn":
                    place = fl if "/" in fl and not fl.startswith("???") and ".so" not in obj else obj
                continue
            m = re.match(r"c(?:ob|fn|fi|fl)=\((\d+)\)(?: (.*))?", line)
            if m:
                space = "ob" if line.startswith("cob") else "fn" if line.startswith("cfn") else "fl"
                if m[2]:
                    names[space, m[1]] = m[2].strip()
            elif line.startswith("calls="):
                call = True
            elif line[:1] in "+-*0123456789" and line.strip():
                if not call:
                    costs[place] = costs.get(place, 0) + int(line.split()[-1])
                call = False
    return costs


def by_part(costs):
    parts = {name: 0 for name, _ in PARTS}
    for place, cost in costs.items():
        parts[next(name for name, pattern in PARTS if re.search(pattern, place))] += cost
    return parts


def budget(scratch, arguments, counted, timed):
    profile = os.path.join(scratch, "profile")
    out = os.path.join(scratch, "x.h5")
    text = concerto([*arguments, *counted], out,
                    ["valgrind", "--tool=callgrind", "--toggle-collect=engine_run", f"--callgrind-out-file={profile}"])
    n = accesses(text)
    parts = {name: cost / n for name, cost in by_part(self_costs(profile)).items()}
    return parts, min(nanoseconds(concerto([*arguments, *timed], out)) for _ in range(REPETITIONS))


def cycles(scratch, arguments, counted):
    """(instructions per cycle, mispredicted branches per 1000 instructions, {part: share of the cycles in %})"""
    trace = os.path.join(scratch, "self.vmt")
    record = [CONCERTO, "record", "--quiet", "-o", trace, "--function", "engine_run", "--max", "60M", "--"]
    concerto([*arguments, *counted], os.path.join(scratch, "x.h5"), record, may_end=True)
    text = concerto([*PREMAP, "--trace", trace, *HOST_CORE, "--warmup", "15M"], os.path.join(scratch, "x.h5"))
    stack = re.search(r"^Cycles per instruction\n(.*?)\n\n", text, re.M | re.S)[1]
    shares = {m[1].strip(): float(m[2]) for m in re.finditer(r"^(.*?) +[\d.]+ +([\d.]+) %$", stack, re.M)}
    number = lambda name: float(re.search(rf"^  {name} +([\d.]+)", text, re.M)[1])
    return number("IPC, all cores"), number("mispredicted branches"), shares


def print_cycles(found):
    print("\nwhat the host's cycles go into, by Concerto's simulation of itself, in %\n")
    print(f"{'':34}" + "".join(f"{name:>14}" for name in found))
    for part in [p for p in next(iter(found.values()))[2] if p != "all"]:
        shares = [f[2].get(part, 0.0) for f in found.values()]
        if max(shares) >= 0.5:
            print(f"{part:34}" + "".join(f"{share:14.1f}" for share in shares))
    print(f"{'instructions per cycle':34}" + "".join(f"{f[0]:14.2f}" for f in found.values()))
    print(f"{'mispredicted per 1000 instructions':34}" + "".join(f"{f[1]:14.2f}" for f in found.values()))


def main():
    with tempfile.TemporaryDirectory() as scratch:
        found = {name: budget(scratch, *run) for name, run in RUNS.items()}
        within = {name: cycles(scratch, *run[:2]) for name, run in RUNS.items()}
    print("host instructions and nanoseconds for one simulated access (a load or a store)\n")
    print(f"{'':26}" + "".join(f"{name:>18}" for name in found))
    for part, _ in PARTS:
        cells = []
        for parts, ns in found.values():
            cells.append(f"{parts[part]:9.0f} {ns * parts[part] / sum(parts.values()):5.1f} ns")
        print(f"{part:26}" + "".join(f"{c:>18}" for c in cells))
    print(f"{'all':26}" + "".join(f"{f'{sum(parts.values()):9.0f} {ns:5.1f} ns':>18}" for parts, ns in found.values()))
    limits = dict(line.split() for line in subprocess.run([LOOKUPS], capture_output=True, text=True, check=True).stdout.splitlines())
    decode = subprocess.run([CONCERTO, "trace", "bench", "tests/traces/sqlite3.vmt"], capture_output=True, text=True, check=True).stdout
    speed = float(re.search(r"([\d.]+) M accesses/s", decode)[1])
    print("\nby themselves:")
    for name, ns in limits.items():
        print(f"  tag arrays of TLBs and caches, no time and no walks, {name:14} {float(ns):6.1f} ns")
    print(f"  decoding the sqlite3 trace {'':39} {1e3 / speed:6.1f} ns")
    print_cycles(within)


if __name__ == "__main__":
    main()
