/* See explain.h. */
#include "partitions/explain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define RECENT 65536u
#define NO_CYCLE UINT64_MAX
#define NO_WALKER UINT64_MAX

/* ---- which records ---------------------------------------------------------------------------- */

static bool is_core_event(const struct explain *e, const struct elog_rec *r, enum core_event kind)
{
    return engine_lp(e->m->engine, r->lp)->ops == &core_lp_ops && r->kind == (uint32_t)kind;
}

static uint64_t get(const struct explain *e, const struct elog_rec *r, const char *name)
{
    return eventlog_field(e->m, r, name);
}

static bool of_page(const struct explain *e, const struct elog_rec *r)
{
    unsigned field = elog_vaddr_field(eventlog_desc(e->m, r));
    return field != ELOG_NO_FIELD && r->a[field] >> PAGE_SHIFT == e->page;
}

static void keep(struct explain *e, const struct elog_rec *r)
{
    if (e->nkept == e->kept_cap) {
        e->kept_cap = e->kept_cap ? 2 * e->kept_cap : 1024;
        struct elog_rec *grown = realloc(e->kept, e->kept_cap * sizeof *grown);
        if (grown == NULL)
            err_fatal(ERR_MEMORY, "no host memory for the story of an access");
        e->kept = grown;
    }
    e->kept[e->nkept++] = *r;
}

static bool has_access(const struct explain *e, const struct elog_rec *r)
{
    return strcmp(eventlog_desc(e->m, r)->fields[0].name, "access") == 0;
}

/* After the choice: everything that may turn out to belong to the access. */
static void collect(struct explain *e, const struct elog_rec *r)
{
    const struct lp *lp = engine_lp(e->m->engine, r->lp);
    if (lp->ops != &core_lp_ops) {
        if (lp->ops != &kernel_lp_ops || get(e, r, "core") == engine_lp(e->m->engine, e->core)->instance)
            keep(e, r);
        return;
    }
    if (r->lp != e->core)
        return;
    const struct elog_desc *d = eventlog_desc(e->m, r);
    if (has_access(e, r) && r->a[0] != e->access)
        return;
    if (!has_access(e, r) && elog_vaddr_field(d) != ELOG_NO_FIELD && !of_page(e, r) && r->kind != CE_SHOOTDOWN)
        return;
    keep(e, r);
    bool fetch = e->access == CORE_LOG_FETCH;
    if (r->kind == CE_RETIRE || (fetch && r->kind == CE_WALK_END && get(e, r, "result") == 0) || r->kind == CE_SWITCH ||
        r->kind == CE_IDLE)
        e->over = true;
}

/* What the page's past has to do with the access: its own records, and a walk that it may join. */
static void keep_past(struct explain *e)
{
    uint64_t first = e->nrecent > RECENT ? e->nrecent - RECENT : 0, walk = e->nrecent, dispatch = e->nrecent;
    for (uint64_t i = first; i < e->nrecent && dispatch == e->nrecent; i++) {
        const struct elog_rec *r = &e->recent[i % RECENT];
        if (r->lp != e->core || (elog_vaddr_field(eventlog_desc(e->m, r)) != ELOG_NO_FIELD && !of_page(e, r)))
            continue;
        if (is_core_event(e, r, CE_WALK_START))
            walk = i;
        else if (is_core_event(e, r, CE_WALK_END))
            walk = e->nrecent;
        else if (has_access(e, r) && r->a[0] == e->access)
            dispatch = i;
    }
    for (uint64_t i = u64_min(walk, dispatch); i < e->nrecent; i++) {
        struct elog_rec r = e->recent[i % RECENT];
        collect(e, &r);
    }
}

static void choose(struct explain *e, const struct elog_rec *r)
{
    if (!is_core_event(e, r, CE_TLB) || !of_page(e, r))
        return;
    e->naccesses++;
    bool miss = get(e, r, "stlb") == CORE_FOUND_MISS;
    e->nmisses += miss;
    if (e->by_time ? r->time < e->from || r->time >= e->to : !miss || e->nmisses != e->nth)
        return;
    e->chosen = true;
    e->core = r->lp;
    e->access = r->a[0];
    e->vaddr = get(e, r, "vaddr");
    keep_past(e);
}

static bool read_record(void *ctx, const struct elog_rec *r)
{
    struct explain *e = ctx;
    if (!e->chosen) {
        choose(e, r);
        if (!e->chosen)
            e->recent[e->nrecent++ % RECENT] = *r;
        if (!e->chosen)
            return true;
    }
    collect(e, r);
    return !e->over;
}

enum err explain_open(struct explain *e, struct machine *m, const struct explain_request *q)
{
    *e = (struct explain){.m = m, .nth = 1, .to = SIM_NEVER, .by_time = q->time != NULL};
    struct eventlog_request lq = {.core = q->core, .page = q->vaddr};
    if (q->vaddr == NULL)
        return err_log(ERR_USAGE, "explain: say which access: --vaddr 0x7f0000001000 [--nth-miss K | --time A:B]");
    if (q->nth_miss != NULL && q->time != NULL)
        return err_log(ERR_USAGE, "explain: --nth-miss and --time choose differently; give one of them");
    enum err err = eventlog_parse_number("--vaddr", q->vaddr, &e->vaddr);
    if (err == ERR_OK && q->nth_miss != NULL)
        err = eventlog_parse_number("--nth-miss", q->nth_miss, &e->nth);
    if (err == ERR_OK && q->time != NULL)
        err = eventlog_parse_time(q->time, &e->from, &e->to);
    if (err == ERR_OK && e->nth == 0)
        err = err_log(ERR_USAGE, "--nth-miss counts from 1");
    if (err == ERR_OK)
        err = eventlog_open(&e->log, m, &lq);
    if (err != ERR_OK)
        return err;
    e->page = e->vaddr >> PAGE_SHIFT;
    /* What has no virtual address (lines, memory, handlers) may belong to the access, too. */
    engine_log_filter(m->engine, &(struct elog_filter){.to = SIM_NEVER, .has_page = true, .keep_others = true,
                                                       .page = e->page});
    e->log.core = UINT32_MAX;
    e->log.reader = read_record;
    e->log.ctx = e;
    e->recent = calloc(RECENT, sizeof *e->recent);
    return e->recent != NULL ? ERR_OK : err_log(ERR_MEMORY, "no host memory to explain an access");
}

bool explain_epoch(struct explain *e) { return e->over || eventlog_epoch(&e->log); }

void explain_close(struct explain *e)
{
    eventlog_close(&e->log);
    free(e->recent);
    free(e->kept);
}

/* ---- the story -------------------------------------------------------------------------------- */

struct story {
    const struct explain *e;
    FILE *f;
    uint64_t period_fs, zero; /* cycle from which the second column counts */
    uint64_t lines[64];       /* lines that the access has to do with */
    unsigned nlines;
    uint64_t first_issue, issue, done; /* issue: of the latest attempt; a page fault makes another one */
    uint64_t charged_before;           /* it */
    bool translating, own_fault, joined; /* joined: the attempt waits for a walk that another access asked for */
    uint64_t walker; /* that walks for this attempt; NO_WALKER: none yet */
    uint64_t tlb, queue, walk_caches, refs[SERVED_LEVELS], other_walk, fault, data, design, waiting;
    uint64_t translated; /* latest end of a translation */
    unsigned indent;
};

static uint64_t cycle_at(const struct story *s, simtime_t t) { return (t + s->period_fs - 1) / s->period_fs; }

/* One line: at which cycle, how many after the start, what, and what it was charged. */
__attribute__((format(printf, 4, 5))) static void say(struct story *s, uint64_t cycle, int64_t charged,
                                                      const char *format, ...)
{
    va_list ap;
    if (cycle == NO_CYCLE)
        fprintf(s->f, "%24s", "");
    else
        fprintf(s->f, "%14" PRIu64 " %+9" PRId64, cycle, (int64_t)(cycle - s->zero));
    if (charged >= 0)
        fprintf(s->f, " %8" PRId64 "  ", charged);
    else
        fprintf(s->f, " %8s  ", "");
    fprintf(s->f, "%*s", (int)(2 * s->indent), "");
    va_start(ap, format);
    vfprintf(s->f, format, ap);
    va_end(ap);
    fputc('\n', s->f);
}

static void add_line(struct story *s, uint64_t address)
{
    if (s->nlines < sizeof s->lines / sizeof s->lines[0])
        s->lines[s->nlines++] = address & ~(LINE_BYTES - 1);
}

static bool has_line(const struct story *s, uint64_t line)
{
    for (unsigned i = 0; i < s->nlines; i++)
        if (s->lines[i] == line)
            return true;
    return false;
}

/* Which lines the access's walk and data touched; known only at their ends. */
static void find_lines(struct story *s)
{
    for (size_t i = 0; i < s->e->nkept; i++) {
        const struct elog_rec *r = &s->e->kept[i];
        if (is_core_event(s->e, r, CE_WALK_REF))
            add_line(s, get(s->e, r, "entry"));
        else if (is_core_event(s->e, r, CE_DATA))
            add_line(s, get(s->e, r, "paddr"));
    }
}

static const char *named(const struct explain *e, const struct elog_rec *r, const char *field)
{
    const struct elog_desc *d = eventlog_desc(e->m, r);
    for (unsigned i = 0; i < ELOG_NFIELDS && d->fields[i].form != ELOG_END; i++)
        if (strcmp(d->fields[i].name, field) == 0)
            return d->fields[i].names[r->a[i]];
    return "?";
}

static void tell_tlb(struct story *s, const struct elog_rec *r)
{
    const struct explain *e = s->e;
    const struct core_params *p = &e->m->params->core;
    uint64_t from = get(e, r, "from"), cycles = get(e, r, "cycles"), usable = get(e, r, "usable");
    uint64_t l1 = get(e, r, "l1"), stlb = get(e, r, "stlb");
    s->tlb += cycles;
    if (l1 == CORE_FOUND_FREE) {
        say(s, from, 0, "translation is free (core.mmu=%s)", e->m->cores[0].mmu->name);
        s->translated = from;
        return;
    }
    uint64_t l2_cycles = stlb == CORE_FOUND_UNPROBED || p->stlb.entries == 0 ? 0 : p->stlb.latency_cycles;
    say(s, from, (int64_t)(cycles - l2_cycles), "L1 TLBs, all page sizes in parallel: %s%s", l1 ? "hit, page of " : "",
        named(e, r, "l1"));
    if (stlb != CORE_FOUND_UNPROBED)
        say(s, from + cycles - l2_cycles, (int64_t)l2_cycles, "STLB, after them: %s%s", stlb ? "hit, page of " : "",
            named(e, r, "stlb"));
    if (usable != CORE_LOG_UNKNOWN && usable > from + cycles) {
        s->other_walk += usable - from - cycles;
        say(s, from + cycles, (int64_t)(usable - from - cycles), "the entry is filled by a walk that ends at %" PRIu64, usable);
    }
    if (usable != CORE_LOG_UNKNOWN)
        s->translated = usable;
}

static void tell_walk_start(struct story *s, const struct elog_rec *r)
{
    const struct explain *e = s->e;
    uint64_t asked = get(e, r, "asked"), start = get(e, r, "start"), found = get(e, r, "found");
    uint64_t pwc = get(e, r, "pwc_cycles"), walker = get(e, r, "walker");
    if (!s->translating || asked < s->issue) { /* somebody else's, which this access joined */
        say(s, start, -1, "(walker %" PRIu64 " had begun this page's walk for an older access, asked at %" PRIu64 ")", walker, asked);
        return;
    }
    if (s->joined || s->walker != NO_WALKER) { /* a store does not wait for the walk of a load, say */
        say(s, start, -1, "(walker %" PRIu64 " walks for another access to this page, asked at %" PRIu64 ")", walker, asked);
        return;
    }
    s->walker = walker;
    say(s, asked, (int64_t)(start - asked), "walker %" PRIu64 " of %" PRIu64 ": %s", get(e, r, "walker"),
        e->m->params->core.ptw.walkers, start == asked ? "free at once" : "waited until one was free");
    s->queue += start - asked;
    s->walk_caches += pwc;
    if (found == 0)
        say(s, start, (int64_t)pwc, "walk caches, all levels in parallel: miss; from the root at 0x%" PRIx64, get(e, r, "table"));
    else
        say(s, start, (int64_t)pwc, "walk caches, all levels in parallel: the longest prefix is a %s entry; its table is at 0x%" PRIx64,
            named(e, r, "found"), get(e, r, "table"));
}

static void tell_walk_ref(struct story *s, const struct elog_rec *r)
{
    const struct explain *e = s->e;
    uint64_t start = get(e, r, "start"), cycles = get(e, r, "cycles"), served = get(e, r, "served");
    bool own = s->translating && get(e, r, "walker") == s->walker;
    if (s->translating && !own && !s->joined)
        return; /* nothing that it waits for */
    if (own)
        s->refs[served < SERVED_LEVELS ? served : SERVED_DRAM] += cycles;
    bool fixed = e->m->params->core.ptw.ref_cycles != 0;
    say(s, start, (int64_t)cycles, "%-4s entry at 0x%" PRIx64 " = 0x%" PRIx64 ", read %s%s", named(e, r, "level"),
        get(e, r, "entry"), get(e, r, "value"), fixed ? "at the fixed cost ptw.ref_cycles" : "from ",
        fixed ? "" : named(e, r, "served"));
}

static void tell_walk_end(struct story *s, const struct elog_rec *r)
{
    const struct explain *e = s->e;
    uint64_t end = get(e, r, "end");
    if (s->translating && get(e, r, "walker") != s->walker && !s->joined)
        return;
    if (s->translating) /* else an older access walks again, after its fault */
        s->translated = end;
    if (get(e, r, "result") != 0)
        say(s, end, -1, "the walk ends: no translation");
    else
        say(s, end, -1, "the walk ends: page of 2^%" PRIu64 " bytes at 0x%" PRIx64 "; fills the STLB and the L1 TLB",
            get(e, r, "page_shift"), get(e, r, "page"));
}

static uint64_t charged_for_translation(const struct story *s)
{
    uint64_t sum = s->tlb + s->design + s->queue + s->walk_caches + s->other_walk;
    for (unsigned i = 0; i < SERVED_LEVELS; i++)
        sum += s->refs[i];
    return sum;
}

/* The attempt's translation is over: what was not its own was a walk that an older access had begun. */
static void close_translation(struct story *s)
{
    if (!s->translating)
        return;
    s->translating = false;
    uint64_t all = s->translated - s->issue, own = charged_for_translation(s) - s->charged_before;
    s->other_walk += all > own ? all - own : 0;
}

static void tell_data(struct story *s, const struct elog_rec *r)
{
    const struct explain *e = s->e;
    uint64_t start = get(e, r, "start"), cycles = get(e, r, "cycles"), level = get(e, r, "level");
    s->translated = start;
    close_translation(s);
    if (level == CORE_LEVEL_WAITS)
        say(s, start, -1, "data at 0x%" PRIx64 ": not in L1D or L2; waits for the line", get(e, r, "paddr"));
    else
        say(s, start, (int64_t)cycles, "data at 0x%" PRIx64 " from %s", get(e, r, "paddr"),
            level == CORE_LEVEL_STORE_QUEUE ? "an older store in the store queue" : named(e, r, "level"));
}

static void tell_request(struct story *s, const struct elog_rec *r)
{
    const struct explain *e = s->e;
    uint64_t start = get(e, r, "start"), at = cycle_at(s, get(e, r, "arrives"));
    s->indent++;
    say(s, start, -1, "asks LLC slice %" PRIu64 " for %s line 0x%" PRIx64 ": %" PRIu64 " cycles of L1D and L2 lookups, then the mesh; there at %" PRIu64,
        get(e, r, "slice"), named(e, r, "kind"), get(e, r, "line"), core_min_request_cycles(&e->m->params->core), at);
    s->indent--;
}

static void tell_memory(struct story *s, const struct elog_rec *r)
{
    const struct explain *e = s->e;
    const struct lp *lp = engine_lp(e->m->engine, r->lp);
    const char *name = eventlog_desc(e->m, r)->name;
    s->indent += 2;
    if (strcmp(name, "LLC_READ") == 0 && get(e, r, "result") == 0)
        say(s, cycle_at(s, r->time), -1, "LLC slice %u: hit; leaves at %" PRIu64, lp->instance, cycle_at(s, get(e, r, "leaves")));
    else if (strcmp(name, "LLC_READ") == 0)
        say(s, cycle_at(s, r->time), -1, "LLC slice %u: miss", lp->instance);
    else if (strcmp(name, "LLC_TO_DRAM") == 0)
        say(s, cycle_at(s, get(e, r, "leaves")), -1, "asks channel %" PRIu64, get(e, r, "channel"));
    else if (strcmp(name, "LLC_FILL") == 0)
        say(s, cycle_at(s, r->time), -1, "LLC slice %u has the line; the answer leaves at %" PRIu64, lp->instance,
            cycle_at(s, get(e, r, "leaves")));
    else if (strcmp(name, "DRAM_ACCESS") == 0 && get(e, r, "write") == 0)
        say(s, cycle_at(s, get(e, r, "arrival")), -1, "channel %u bank %" PRIu64 " row 0x%" PRIx64 ": %s; column command at %" PRIu64 ", answer leaves at %" PRIu64,
            lp->instance, get(e, r, "bank"), get(e, r, "row"), named(e, r, "met"), cycle_at(s, r->time),
            cycle_at(s, get(e, r, "answer")));
    s->indent -= 2;
}

static void tell_kernel(struct story *s, const struct elog_rec *r)
{
    const struct explain *e = s->e;
    const char *name = eventlog_desc(e->m, r)->name;
    uint64_t at = cycle_at(s, r->time);
    s->indent++;
    if (strcmp(name, "KERNEL_FAULT") == 0)
        say(s, at, -1, "kernel: %s, %" PRIu64 " page%s mapped; handler of %" PRIu64 " cycles:", named(e, r, "kind"),
            get(e, r, "pages"), get(e, r, "pages") == 1 ? "" : "s", cycle_at(s, get(e, r, "cost")));
    else if (strcmp(name, "KERNEL_OP") == 0)
        say(s, NO_CYCLE, -1, "  %-18s x %-5" PRIu64 " %" PRIu64 ".%03" PRIu64 " ns", named(e, r, "op"), get(e, r, "times"),
            get(e, r, "cost") / FS_PER_NS, get(e, r, "cost") % FS_PER_NS / 1000);
    else if (strcmp(name, "KERNEL_LOCK") == 0)
        say(s, at, -1, "kernel: the handler had waited %" PRIu64 " cycles for others", cycle_at(s, get(e, r, "waited")));
    else if (strcmp(name, "KERNEL_VISIBLE") == 0)
        say(s, at, -1, "kernel: %" PRIu64 " page-table writes, visible to all at %" PRIu64, get(e, r, "writes"),
            cycle_at(s, get(e, r, "visible")));
    else if (strcmp(name, "KERNEL_ANSWER") == 0)
        say(s, at, -1, "kernel: over; the core hears of it at %" PRIu64, cycle_at(s, get(e, r, "arrives")));
    s->indent--;
}

static void tell_dispatch(struct story *s, const struct elog_rec *r)
{
    const struct explain *e = s->e;
    s->zero = cycle_at(s, r->time);
    say(s, s->zero, -1, "%s 0x%" PRIx64 " takes its slot: instruction %" PRIu64 " of thread %" PRIu64 ", pc 0x%" PRIx64 "%s",
        named(e, r, "kind"), get(e, r, "vaddr"), get(e, r, "instr"), get(e, r, "thread"), get(e, r, "pc"),
        get(e, r, "kernel") ? ", kernel mode" : "");
}

static void tell_retire(struct story *s, const struct elog_rec *r)
{
    const struct explain *e = s->e;
    uint64_t waited = get(e, r, "waited"), from = get(e, r, "from");
    if (waited == 0)
        say(s, from, -1, "when dispatch needed its place it had been complete: it was in nobody's way");
    else
        say(s, from, (int64_t)waited, "dispatch stands still for it until %" PRIu64 "; from then on it is in nobody's way",
            from + waited);
}

static void tell_core(struct story *s, const struct elog_rec *r)
{
    const struct explain *e = s->e;
    switch (r->kind) {
    case CE_DISPATCH:
        tell_dispatch(s, r);
        break;
    case CE_TOUCH:
        close_translation(s);
        if (s->issue != NO_CYCLE && get(e, r, "issue") > s->translated) {
            uint64_t waited = get(e, r, "issue") - s->translated;
            s->waiting += waited;
            say(s, s->translated, (int64_t)waited, "waits for the page fault of an older access");
        }
        s->issue = get(e, r, "issue");
        s->translating = true;
        s->first_issue = u64_min(s->first_issue, s->issue);
        s->charged_before = charged_for_translation(s);
        s->walker = NO_WALKER;
        s->joined = false;
        say(s, get(e, r, "issue"), -1, "its address is known");
        break;
    case CE_TLB:
        tell_tlb(s, r);
        break;
    case CE_DESIGN:
        s->design += get(e, r, "cycles");
        say(s, get(e, r, "from"), (int64_t)get(e, r, "cycles"), "design %s: %s", e->m->cores[0].mmu->name,
            get(e, r, "hit") ? "hit" : "miss");
        break;
    case CE_WALK_WAIT:
        s->joined = get(e, r, "joins") != CORE_JOIN_NEW;
        say(s, get(e, r, "asked"), -1, "joins %s", named(e, r, "joins"));
        break;
    case CE_WALK_START:
        tell_walk_start(s, r);
        break;
    case CE_WALK_REF:
        tell_walk_ref(s, r);
        break;
    case CE_WALK_END:
        tell_walk_end(s, r);
        break;
    case CE_DATA:
        tell_data(s, r);
        break;
    case CE_REQUEST:
        if (has_line(s, get(e, r, "line")))
            tell_request(s, r);
        break;
    case CE_ARRIVE:
        if (!has_line(s, get(e, r, "line")))
            break;
        s->indent++;
        say(s, cycle_at(s, r->time), -1, "line 0x%" PRIx64 " arrives, %" PRIu64 " cycles after it was asked for", get(e, r, "line"),
            get(e, r, "cycles"));
        s->indent--;
        break;
    case CE_FAULT:
        close_translation(s);
        s->own_fault = true;
        s->waiting += get(e, r, "at") - s->translated;
        say(s, get(e, r, "at"), (int64_t)(get(e, r, "at") - s->translated), "oldest, and everything older is complete: the page fault leaves for the kernel");
        break;
    case CE_RESUME:
        close_translation(s);
        if (!s->own_fault) /* an older access's; told where this one goes on */
            break;
        s->own_fault = false;
        s->fault += get(e, r, "cycles");
        s->translated = cycle_at(s, r->time);
        say(s, cycle_at(s, r->time), (int64_t)get(e, r, "cycles"), "the thread goes on; %" PRIu64 " cycles refill the front end",
            e->m->params->core.core.refill_cycles);
        break;
    case CE_DONE:
        s->done = get(e, r, "done");
        s->data += s->done - s->translated;
        say(s, s->done, (int64_t)(s->done - s->translated), "complete");
        break;
    case CE_RETIRE:
        tell_retire(s, r);
        break;
    default:
        break;
    }
}

static void tell(struct story *s, const struct elog_rec *r)
{
    const struct lp_ops *ops = engine_lp(s->e->m->engine, r->lp)->ops;
    if (ops == &core_lp_ops)
        tell_core(s, r);
    else if (ops == &kernel_lp_ops)
        tell_kernel(s, r);
    else if (has_line(s, get(s->e, r, "line")))
        tell_memory(s, r);
}

static void add_term(const struct story *s, const char *name, uint64_t cycles, const char **plus)
{
    if (cycles == 0)
        return;
    fprintf(s->f, "%s%" PRIu64 " %s", *plus, cycles, name);
    *plus = " + ";
}

/* What was charged, added up: the reader's check. */
static void tell_sum(const struct story *s)
{
    const char *plus = "", *levels[] = {"walk, L1D", "walk, L2", "walk, LLC", "walk, DRAM"};
    fprintf(s->f, "\n  charged: ");
    add_term(s, "TLBs", s->tlb, &plus);
    add_term(s, "design", s->design, &plus);
    add_term(s, "waiting for a walker", s->queue, &plus);
    add_term(s, "walk caches", s->walk_caches, &plus);
    for (unsigned i = 0; i < SERVED_LEVELS; i++)
        add_term(s, s->e->m->params->core.ptw.ref_cycles != 0 ? "walk references" : levels[i], s->refs[i], &plus);
    add_term(s, "another's walk", s->other_walk, &plus);
    add_term(s, "waiting for older accesses", s->waiting, &plus);
    add_term(s, "page fault", s->fault, &plus);
    add_term(s, "data", s->data, &plus);
    uint64_t sum = charged_for_translation(s) + s->waiting + s->fault + s->data;
    fprintf(s->f, " = %" PRIu64 " cycles\n", sum);
    if (s->done != NO_CYCLE && s->first_issue != NO_CYCLE && s->done - s->first_issue != sum)
        fprintf(s->f, "  but it took %" PRIu64 ": a defect of this account; please report it\n", s->done - s->first_issue);
}

enum err explain_print(struct explain *e, FILE *f)
{
    if (!e->chosen) {
        if (e->by_time)
            return err_log(ERR_RUNTIME, "explain: no access to page 0x%" PRIx64 " in that time; there were %" PRIu64 " in the run",
                           e->page << PAGE_SHIFT, e->naccesses);
        return err_log(ERR_RUNTIME, "explain: page 0x%" PRIx64 " has %" PRIu64 " STLB misses in %" PRIu64 " accesses of this run, not %" PRIu64
                       "; `concerto log --event tlb --page 0x%" PRIx64 "` lists them",
                       e->page << PAGE_SHIFT, e->nmisses, e->naccesses, e->nth, e->page << PAGE_SHIFT);
    }
    struct story s = {.e = e, .f = f, .period_fs = e->m->cores[0].period_fs, .walker = NO_WALKER, .issue = NO_CYCLE, .first_issue = NO_CYCLE, .done = NO_CYCLE};
    if (e->nkept > 0)
        s.zero = cycle_at(&s, e->kept[0].time);
    find_lines(&s);
    if (e->access == CORE_LOG_FETCH)
        fprintf(f, "instruction fetch of core %u from 0x%" PRIx64, engine_lp(e->m->engine, e->core)->instance, e->vaddr);
    else
        fprintf(f, "access %" PRIu64 " of core %u to 0x%" PRIx64, e->access, engine_lp(e->m->engine, e->core)->instance, e->vaddr);
    if (!e->by_time)
        fprintf(f, ", STLB miss %" PRIu64 " of its page", e->nth);
    fprintf(f, "\n%14s %9s %8s\n", "cycle", "after", "charged");
    for (size_t i = 0; i < e->nkept; i++) {
        /* A request leaves in the middle of the access that makes it: the access first. */
        bool swap = i + 1 < e->nkept && is_core_event(e, &e->kept[i], CE_REQUEST) && is_core_event(e, &e->kept[i + 1], CE_DATA);
        tell(&s, &e->kept[swap ? i + 1 : i]);
        if (swap)
            tell(&s, &e->kept[i++]);
    }
    tell_sum(&s);
    if (!e->over)
        fprintf(f, "  The run ended before this access was out of the way.\n");
    return ERR_OK;
}
