"""Brute force against the simulator: exact LRU TLBs and walk caches, replayed access by access.

    tests/reference.py CONCERTO TRACE.champsim.xz      (tests/system/reference.sh runs it)

The structures have the sizes of ChampSim's defaults: 64-entry, 4-way L1 TLBs; 1536-entry, 12-way STLB;
walk caches of 32, 8, 4 and 2 entries (here fully associative; there 4 x 8, 2 x 4, 1 x 4, 1 x 2); for the
trace, whose pages would fit, small ones. Pages are 4 KiB. What happens to an access is the same in both: L1 TLB, STLB, the deepest walk-cache level
that has the prefix, one reference for each entry below it, walk caches filled on the way down, STLB and
L1 TLB filled at the end. Where ChampSim (src/ptw.cc, inc/msl/lru_table.h) does otherwise:

  walk caches   its lookup touches every level that has the prefix, ours the deepest one only; versions
                of 2022 touched none at a hit. The reference can do both, and prints what that changes
  page faults   its walks never fail: the page table is made when first asked for, after a penalty. Here
                a walk ends at the missing entry, the kernel maps the page, the access starts again
  instructions  it looks every instruction's page up; here each change of code page is, as far as accesses,
                branches and their targets show it
  levels        five by default; the test runs four and five

Three comparisons, from where timing cannot matter to where it does:

  serial   every access completes before the next one touches anything: ROB of 8, eight instructions
           between two accesses. The program order is the order of touches, faults included. Whatever
           walks cost, all counters must be equal to the unit, references by level, too
  steady   the trace as it is, second pass (no faults left), walk references at a fixed cost, no
           dependences: accesses and code pages touch in program order, and what a walk fills is there for
           the next one. Equal to the unit. The same for the gups stream over a table made before the run
  timed    the trace as it is on the baseline: accesses wait for the loads that feed them, and are
           repeated after faults; walks take time, and misses of a page that is being walked join. The
           difference is taken apart: program order -> order of touches, from the event log -> fills
           when the walk ends, from the event log. The last one must be equal to the unit: given the
           order of events, nothing but LRU decides
"""

import collections
import json
import lzma
import os
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "output"))
import concerto_stats as cs

RECORD = struct.Struct("<QBB2B4B2Q4Q")  # ip, branch, taken, registers, two stores, four loads
# ChampSim's, and small ones for a trace that touches few pages.
CHAMPSIM = {"tlb.l1d4k": (64, 4), "tlb.l1i4k": (64, 4), "tlb.stlb": (1536, 12), "pwc": {2: 32, 3: 8, 4: 4, 5: 2}}
SMALL = {"tlb.l1d4k": (16, 4), "tlb.l1i4k": (8, 4), "tlb.stlb": (32, 4), "pwc": {2: 3, 3: 2, 4: 1, 5: 1}}
PWC_KEYS = {2: "pd", 3: "pdpt", 4: "pml4", 5: "pml5"}
LEVEL_NAMES = {1: "PT", 2: "PD", 3: "PDPT", 4: "PML4", 5: "PML5"}
FILLER = 8  # instructions between two accesses: as many as the smallest reorder buffer holds
SERIAL_ACCESSES, GUPS_UPDATES, GUPS_BYTES = 40000, 40000, 256 << 20


class Lru:
    """Sets of at most `ways` keys, least recently used out first."""

    def __init__(self, entries, ways):
        self.ways = ways
        self.sets = [collections.OrderedDict() for _ in range(entries // ways)]

    def _set(self, key):
        return self.sets[key % len(self.sets)]

    def hit(self, key):
        if key not in self._set(key):
            return False
        self._set(key).move_to_end(key)
        return True

    def fill(self, key):
        s = self._set(key)
        if key not in s and len(s) == self.ways:
            s.popitem(last=False)
        s[key] = True
        s.move_to_end(key)

    def drop(self, key):
        self._set(key).pop(key, None)


class Reference:
    """One core's translation. `pages`: those that the page table maps, or None: all."""

    def __init__(self, sizes, levels=4, pages=None, touch_all_levels=False):
        self.l1 = {False: Lru(*sizes["tlb.l1d4k"]), True: Lru(*sizes["tlb.l1i4k"])}  # by: is it code?
        self.stlb = Lru(*sizes["tlb.stlb"])
        self.pwc = {n: Lru(sizes["pwc"][n], sizes["pwc"][n]) for n in range(2, levels + 1)}
        self.levels, self.pages, self.touch_all_levels = levels, pages, touch_all_levels
        self.nodes = set()  # (level, prefix) of interior entries that exist
        self.n = collections.Counter()

    def map_page(self, page):
        self.pages.add(page)
        for level in range(2, self.levels + 1):
            self.nodes.add((level, page >> 9 * (level - 1)))

    def probe(self, page, code):
        """L1 and STLB: "l1", "stlb" or "miss"; an STLB hit fills L1."""
        name = "itlb" if code else "dtlb"
        if self.l1[code].hit(page):
            self.n[f"cores/{name}/l1_hits"] += 1
            return "l1"
        self.n[f"cores/{name}/l1_misses"] += 1
        if self.stlb.hit(page):
            self.n["cores/stlb/hits"] += 1
            self.l1[code].fill(page)
            return "stlb"
        self.n["cores/stlb/misses"] += 1
        return "miss"

    def probe_pwc(self, page):
        """The deepest level whose entry is cached, 0: none."""
        found = 0
        for level, cache in self.pwc.items():
            if found and not self.touch_all_levels:
                break
            if cache.hit(page >> 9 * (level - 1)) and not found:
                found = level
        self.n[f"cores/pwc/{PWC_KEYS[found]}_hits" if found else "cores/pwc/misses"] += 1
        return found

    def present(self, level, page):
        if self.pages is None:
            return True
        return page in self.pages if level == 1 else (level, page >> 9 * (level - 1)) in self.nodes

    def read_entry(self, level, page):
        """One reference: False, when the walk ends without a translation."""
        self.n["cores/ptw/refs"] += 1
        self.n[LEVEL_NAMES[level]] += 1
        if not self.present(level, page):
            self.n["cores/ptw/walks_fault"] += 1
            return False
        if level > 1:
            self.pwc[level].fill(page >> 9 * (level - 1))
        return True

    def walk(self, page, code):
        self.n["cores/ptw/walks"] += 1
        for level in range((self.probe_pwc(page) or self.levels + 1) - 1, 0, -1):
            if not self.read_entry(level, page):
                return False
        self.fill(page, code)
        return True

    def fill(self, page, code):
        self.stlb.fill(page)
        self.l1[code].fill(page)

    def drop(self, page):
        for tlb in (self.stlb, *self.l1.values()):
            tlb.drop(page)

    def access(self, page, code=False):
        while self.probe(page, code) == "miss" and not self.walk(page, code):
            self.n["cores/fault/raised"] += 1
            self.map_page(page)


# ---- traces --------------------------------------------------------------------------------------


def records(path):
    """(ip, does it access or branch, does it jump, loads, stores) of each instruction."""
    with lzma.open(path) as f:
        data = f.read()
    for r in RECORD.iter_unpack(data):
        loads, stores = [a for a in r[11:15] if a], [a for a in r[9:11] if a]
        yield r[0], bool(r[1] or loads or stores), bool(r[1] and r[2]), loads, stores


def touches_of(trace):
    """(page, is code) in program order: changes of code page, loads, then stores of an instruction. Known
    of code are instructions that access, branch, or are branched to."""
    at, target, touches = None, False, []
    for ip, known, jumps, loads, stores in trace:
        known, target = known or target, jumps
        if known and ip >> 12 != at:
            at = ip >> 12
            touches.append((at, True))
        touches += [(a >> 12, False) for a in loads + stores]
    return touches


def write_serial(path, trace, naccesses):
    """One access to an instruction, FILLER others after it; returns what is in the file as `trace` is."""
    written = []
    with open(path, "wb") as f:
        for ip, _, _, loads, stores in trace:
            for load, store in [(a, 0) for a in loads] + [(0, a) for a in stores]:
                f.write(RECORD.pack(ip, *[0] * 8, store, 0, load, 0, 0, 0))
                f.write(RECORD.pack(ip, *[0] * 14) * FILLER)
                written.append((ip, True, False, [load] if load else [], [store] if store else []))
            if len(written) >= naccesses:
                return written
    return written


def gups_pages(n, table_bytes, base=0x7F0000000000):
    """HPCC RandomAccess: a load and a store of the same word for each update."""
    a, mask, pages = 1, table_bytes // 8 - 1, []
    for _ in range(n):
        a = a << 1 & (1 << 64) - 1 ^ (7 if a >> 63 else 0)
        pages += [(base + (a & mask) * 8) >> 12] * 2
    return pages


# ---- the program ---------------------------------------------------------------------------------


class Runner:
    def __init__(self, concerto, directory):
        self.concerto, self.dir, self.failed, self.nruns = concerto, directory, 0, 0

    @staticmethod
    def arguments(config, workload, sizes, levels, extra):
        settings = [f"{name}.{key}={value}" for name in ("tlb.l1d4k", "tlb.l1i4k", "tlb.stlb")
                    for key, value in zip(("entries", "ways"), sizes[name])]
        settings += [f"pwc.{PWC_KEYS[n]}_entries={sizes['pwc'][n]}" for n in sizes["pwc"]] + ["pwc.ways=0"]
        settings += ["os.thp=never", f"os.page_table=radix{levels}", "l1d.prefetcher=none", "l2.prefetcher=none"]
        return [f"configs/{config}.yaml"] + [w for s in settings + list(extra) for w in ("-s", s)] + workload

    def run(self, *machine):
        """Totals of a run, by name."""
        self.nruns += 1
        out = os.path.join(self.dir, f"{self.nruns}.h5")
        command = [self.concerto, "run"] + self.arguments(*machine) + ["-q", "-o", out]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"FAIL {' '.join(command)}\n{done.stderr}")
        stats = cs.load(out)
        return lambda key: int(stats.total(key))

    def log(self, events, *machine):
        command = [self.concerto, "log"] + self.arguments(*machine) + ["--event", events, "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            for line in child.stdout:
                if line.startswith("{"):
                    yield json.loads(line)
        if child.returncode != 0:
            sys.exit(f"FAIL {' '.join(command)}")

    def judge(self, good, text):
        print(f"{'ok  ' if good else 'FAIL'} {text}")
        self.failed |= not good


COUNTERS = ["cores/dtlb/l1_hits", "cores/dtlb/l1_misses", "cores/itlb/l1_hits", "cores/itlb/l1_misses", "cores/stlb/hits", "cores/stlb/misses", "cores/ptw/walks",
            "cores/ptw/walks_fault", "cores/ptw/refs", "cores/pwc/pml5_hits", "cores/pwc/pml4_hits",
            "cores/pwc/pdpt_hits", "cores/pwc/pd_hits", "cores/pwc/misses", "cores/fault/raised"]


def equal(runner, name, reference, measured):
    """Prints a table; every counter must be the same."""
    wrong = [k for k in COUNTERS if reference[k] != measured[k]]
    for k in COUNTERS:
        if reference[k] or measured[k]:
            print(f"     {k:24} {reference[k]:>9} {measured[k]:>9}{'   differs' if k in wrong else ''}")
    walks = reference["cores/ptw/walks"]
    runner.judge(not wrong and walks > 0, f"{name}: equal to the reference, {walks} walks of "
                 f"{reference['cores/ptw/refs'] / max(walks, 1):.4f} references")


def serial(runner, trace, sizes, levels):
    path = os.path.join(runner.dir, "serial.trace")
    written = write_serial(path, trace, SERIAL_ACCESSES)
    reference = Reference(sizes, levels, pages=set())
    for page, code in touches_of(written):
        reference.access(page, code)
    machine = ("baseline", ["--trace", path], sizes, levels, ["core.rob=8"])
    measured = runner.run(*machine)
    name = f"serial, {len(written)} accesses from the start, {levels} levels"
    equal(runner, name, reference.n, {k: measured(k) for k in COUNTERS})
    refs = collections.Counter(e["level"] for e in runner.log("walk_ref", *machine))
    wanted = {name: reference.n[name] for name in LEVEL_NAMES.values() if reference.n[name]}
    runner.judge(dict(refs) == wanted, f"{name}: references by level {wanted}")


def steady_trace(runner, path, trace, sizes, levels):
    """run(T twice) - run(T): the second pass, for which every page is there but perhaps that of the first
    instruction, which is branched to for the first time."""
    twice = os.path.join(runner.dir, "twice.xz")
    with open(path, "rb") as f:
        data = f.read()
    with open(twice, "wb") as f:
        f.write(data + data)
    once, both = (runner.run("test_model", ["--trace", t], sizes, levels,
                             ["core.overlap=independent", "l1i.enabled=true", "l1i.prefetcher=none"])
                  for t in (path, twice))
    first, touches = len(touches_of(trace)), touches_of(trace + trace)
    reference = Reference(sizes, levels, pages=set())
    other = Reference(sizes, levels, pages=set(), touch_all_levels=True)
    for i, touch in enumerate(touches):
        if i == first:
            reference.n.clear()
            other.n.clear()
        reference.access(*touch)
        other.access(*touch)
    name = f"steady, second pass over {len(touches) - first} accesses and changes of code page, {levels} levels"
    equal(runner, name, reference.n, {k: both(k) - once(k) for k in COUNTERS})
    print(f"     with walk caches that touch every level that hits, as ChampSim's do: "
          f"{other.n['cores/stlb/misses']} STLB misses, {other.n['cores/ptw/refs']} references")


def gups_machine(config, sizes, levels):
    workload = ["--workload", "gups", "--size", str(GUPS_BYTES), "--instructions", str(8 * GUPS_UPDATES)]
    return config, workload, sizes, levels, ["os.premap=all"]


def steady_gups(runner, sizes, levels):
    measured = runner.run(*gups_machine("test_model", sizes, levels))
    reference = Reference(sizes, levels)
    for page in gups_pages(GUPS_UPDATES, GUPS_BYTES):
        reference.access(page)
    equal(runner, f"steady, gups over {GUPS_BYTES >> 20} MiB, {levels} levels", reference.n,
          {k: measured(k) for k in COUNTERS})


# ---- with timing ---------------------------------------------------------------------------------


class Replay:
    """What the structures must have said, given the order of the log's events."""

    def __init__(self, reference):
        self.r, self.wrong, self.seen = reference, collections.Counter(), collections.Counter()
        self.walks = {}  # by walker: next level, is it for code
        self.missed, self.queue = None, []  # (page, is code): the lookup just made; walks that wait

    def check(self, what, expected, found):
        self.seen[what] += 1
        self.wrong[what] += expected != found

    def tlb(self, e, page):
        code = e["access"] is None
        outcome = self.r.probe(page, code)
        self.check("L1 TLB", "4K" if outcome == "l1" else "miss", e["l1"])
        if outcome != "l1":
            self.check("STLB", "4K" if outcome == "stlb" else "miss", e["stlb"])
        self.missed = (page, code) if outcome == "miss" else None

    def walk_wait(self, e, page):
        if e["joins"].startswith("no walk"):
            self.queue.append(self.missed)

    def walk_start(self, e, page):
        _, code = self.missed or self.queue.pop(0)
        found = self.r.probe_pwc(page)
        self.r.n["cores/ptw/walks"] += 1
        self.walks[e["walker"]] = ((found or self.r.levels + 1) - 1, code)
        self.check("walk caches", LEVEL_NAMES[found] if found else "none", e["found"])

    def walk_ref(self, e, page):
        level, code = self.walks[e["walker"]]
        self.walks[e["walker"]] = (level - 1, code)
        self.check("level of a reference", LEVEL_NAMES.get(level), e["level"])
        self.r.n["cores/ptw/refs"] += 1
        if level > 1 and int(e["value"], 16) & 1:
            self.r.pwc[level].fill(page >> 9 * (level - 1))

    def walk_end(self, e, page):
        level, code = self.walks[e["walker"]]
        if e["result"] == "translation":
            self.check("entries read", 0, level)
            self.r.fill(page, code)
        else:
            self.r.n["cores/ptw/walks_fault"] += 1

    def fault(self, _, page):
        self.r.n["cores/fault/raised"] += 1
        self.r.drop(page)

    def take(self, e):
        handler = getattr(self, e["event"], None)
        if handler:
            handler(e, int(e["vaddr"], 16) >> 12)
        if e["event"] != "tlb":
            self.missed = None  # a lookup's walk starts, or waits, right behind it


def touch_order(events):
    """(page, is code) in the order of lookups, and whether it came again or after a younger access."""
    latest, done = -1, set()
    for e in events:
        if e["event"] != "tlb":
            continue
        page, number = int(e["vaddr"], 16) >> 12, e["access"]
        if number is None:
            yield page, True, ""
            continue
        yield page, False, "again" if number in done else "late" if number < latest else ""
        done.add(number)
        latest = max(latest, number)


def count_doubled(events):
    """Walks that began while another one of the same page was going on: a store does not join a load's."""
    active, n = {}, 0
    for e in events:
        if e["event"] == "walk_start":
            page = int(e["vaddr"], 16) >> 12
            n += page in active.values()
            active[e["walker"]] = page
        elif e["event"] == "walk_end":
            del active[e["walker"]]
    return n


def timed(runner, name, touches, machine):
    sizes = machine[2]
    measured = runner.run(*machine)
    events = list(runner.log("tlb,walk,fault", *machine))
    program, ordered, kinds = Reference(sizes), Reference(sizes), collections.Counter()
    for touch in touches:
        program.access(*touch)
    for page, code, kind in touch_order(events):
        ordered.access(page, code)
        kinds["code" if code else kind] += 1
    replay = Replay(Reference(sizes))
    for e in events:
        replay.take(e)
    print(f"     {name:23}    program    order of  fills when         run")
    print("                                order     touches  a walk ends")
    for k in COUNTERS[:9]:
        print(f"     {k:22} {program.n[k]:>10} {ordered.n[k]:>11} {replay.r.n[k]:>12} {measured(k):>11}")
    again, late, joined, doubled = kinds["again"], kinds["late"], measured("cores/ptw/merged"), count_doubled(events)
    naccesses = sum(not code for _, code in touches)
    print(f"     {naccesses} accesses: {late} touched after a younger one, {again} touches repeated after faults; "
          f"{joined} misses joined a walk, {doubled} walks of stores beside one of the same page for a load")
    runner.judge(sum(kinds.values()) - kinds["code"] == naccesses + again,
                 f"timed, {name}: every access touches once, and again after a fault")
    wrong = {what: n for what, n in replay.wrong.items() if n}
    runner.judge(not wrong and replay.seen["walk caches"] > 0,
                 f"timed, {name}: in the order of the log, each lookup finds what LRU says: " +
                 ", ".join(f"{n} {what}" for what, n in replay.seen.items()) + (f"; wrong: {wrong}" if wrong else ""))
    runner.judge(all(replay.r.n[k] == measured(k) for k in COUNTERS),
                 f"timed, {name}: and all counters of the run are the reference's")
    misses = measured("cores/stlb/misses") - joined - measured("cores/ptw/walks_fault") - doubled
    # Fills come later than the touch, and so evictions: less than 1 % of the misses go either way.
    order = program.n["cores/stlb/misses"]
    runner.judge(abs(misses - order) <= late + order // 100,
                 f"timed, {name}: {measured('cores/stlb/misses')} STLB misses are {order} in program order, the joined "
                 f"ones, faults, doubled walks, and {misses - order:+} by the order of touches and fills")


def main():
    concerto, path = sys.argv[1:3]
    trace = list(records(path))
    with tempfile.TemporaryDirectory() as directory:
        runner = Runner(concerto, directory)
        print(f"     {'counter':24} {'reference':>9} {'run':>9}")
        for levels in (4, 5):
            serial(runner, trace, SMALL, levels)
            steady_trace(runner, path, trace, SMALL, levels)
            steady_gups(runner, CHAMPSIM, levels)
        timed(runner, "trace", touches_of(trace), ("baseline", ["--trace", path], SMALL, 4, []))
        timed(runner, "gups", [(p, False) for p in gups_pages(GUPS_UPDATES, GUPS_BYTES)],
              gups_machine("baseline", CHAMPSIM, 4))
    sys.exit(runner.failed)


main()
