/* The CPI stack; see cpi.h. */
#include "cores/cpi.h"

#include "cores/core.h"

static struct cpi_ahead *ahead_of(struct core *c) { return core_at(c, c->at.cpi_ahead); }

/* A wait of the window is cut into at most four pieces an access; the front end adds a few. */
uint32_t cpi_ahead_size(uint64_t naccesses) { return (uint32_t)(4 * naccesses + 64); }

static void push_ahead(struct core *c, enum cpi_cause cause, uint64_t cycles)
{
    struct cpi *s = &c->cpi;
    struct cpi_ahead *a = ahead_of(c);
    if (s->nahead > 0 && a[s->nahead - 1].cause == cause) {
        a[s->nahead - 1].cycles += cycles;
        return;
    }
    SIM_ASSERT(s->nahead < s->ahead_size, "%u causes lie behind the epoch that ends at cycle %llu", s->nahead,
               (unsigned long long)s->epoch_end);
    a[s->nahead++] = (struct cpi_ahead){cycles, cause};
}

void cpi_begin(struct core *c, uint64_t at) { c->cpi.upto = at; }

void cpi_charge(struct core *c, enum cpi_cause cause, uint64_t to)
{
    struct cpi *s = &c->cpi;
    if (to <= s->upto)
        return;
    uint64_t within = to <= s->epoch_end ? to - s->upto : s->epoch_end > s->upto ? s->epoch_end - s->upto : 0;
    c->stats.stack[cause] += within;
    if (to - s->upto > within)
        push_ahead(c, cause, to - s->upto - within);
    s->upto = to;
}

static enum cpi_cause cause_of_level(unsigned level)
{
    static const enum cpi_cause causes[] = {[SERVED_L1] = CPI_L1, [SERVED_L2] = CPI_L2, [SERVED_LLC] = CPI_LLC};
    return level < sizeof causes / sizeof causes[0] ? causes[level] : CPI_DRAM;
}

static uint64_t translated_at(struct core *c, uint64_t no)
{
    const struct flight *e = core_flight(c, no);
    return e->common ? e->issue + e->tlb_cycles : core_window(c, no)->translated;
}

/* The access's time in the TLBs and in a walk, as far as its translation is known. */
static void charge_translation(struct core *c, const struct flight *e, uint64_t until)
{
    cpi_charge(c, CPI_BASE, u64_min(e->issue, until));
    cpi_charge(c, CPI_TLB, u64_min(e->issue + e->tlb_cycles, until));
    cpi_charge(c, CPI_WALK, until);
}

/* An access that is complete, or will be, up to cycle `to` at most. */
static void wait_complete(struct core *c, uint64_t no, uint64_t to)
{
    const struct flight *e = core_flight(c, no);
    uint64_t until = u64_min(e->done, to);
    if (until <= c->cpi.upto)
        return;
    charge_translation(c, e, u64_min(translated_at(c, no), until));
    cpi_charge(c, e->flags & ACC_STORE ? CPI_BASE : cause_of_level(e->level), until);
}

void cpi_wait_access(struct core *c, uint64_t no)
{
    const struct flight *e = core_flight(c, no);
    if (e->done <= c->slot_cycle)
        return; /* no wait: nothing is charged ahead of its time */
    cpi_charge(c, CPI_BASE, c->slot_cycle);
    wait_complete(c, no, e->done);
}

void cpi_wait_store(struct core *c, unsigned level, uint64_t fill)
{
    if (fill <= c->slot_cycle)
        return;
    cpi_charge(c, CPI_BASE, c->slot_cycle);
    cpi_charge(c, cause_of_level(level), fill);
}

/* The oldest access is not complete: what it has done and is doing up to `to`. */
static void wait_unanswered(struct core *c, uint64_t no, uint64_t to)
{
    const struct flight *e = core_flight(c, no);
    switch (e->phase) {
    case PH_XLATE:
        charge_translation(c, e, to);
        break;
    case PH_MEM:
        charge_translation(c, e, u64_min(translated_at(c, no), to));
        cpi_charge(c, CPI_DRAM, to);
        break;
    case PH_FAULT:
        charge_translation(c, e, u64_min(translated_at(c, no), to));
        cpi_charge(c, CPI_FAULT, to);
        break;
    default: /* waits for a store's data, which an older access has answered by now */
        cpi_charge(c, CPI_BASE, to);
        break;
    }
}

void cpi_wait_unknown(const struct core_ctx *x, uint64_t to)
{
    struct core *c = x->c;
    cpi_charge(c, CPI_BASE, u64_min(c->slot_cycle, to));
    if (c->cpi.upto >= to)
        return;
    if (c->ifetch_wait != 0) {
        cpi_charge(c, c->ifetch_wait == 1 ? CPI_WALK : CPI_FETCH, to);
        return;
    }
    if (c->branch_wait) {
        cpi_charge(c, CPI_BRANCH, to);
        return;
    }
    for (uint64_t no = c->head; no < c->tail && c->cpi.upto < to; no++) {
        if (core_flight(c, no)->done == CYCLE_UNKNOWN) {
            wait_unanswered(c, no, to);
            return;
        }
        wait_complete(c, no, to);
    }
    cpi_charge(c, CPI_DRAM, to); /* everything is complete but a store's line */
}

/* What a core in the kernel is there for. */
static enum cpi_cause kernel_cause(const struct core *c)
{
    return c->in_fault ? CPI_FAULT : c->in_sync ? CPI_SYNC : CPI_KERNEL;
}

void cpi_leave_kernel(struct core *c, uint64_t at) { cpi_charge(c, kernel_cause(c), at); }

void cpi_close_epoch(const struct core_ctx *x, uint64_t end)
{
    struct core *c = x->c;
    if (c->run == RUN_KERNEL)
        cpi_leave_kernel(c, end);
    else if (c->run != RUN_IDLE)
        cpi_wait_unknown(x, end);
}

void cpi_next_epoch(struct core *c, uint64_t next_end)
{
    struct cpi *s = &c->cpi;
    struct cpi_ahead *a = ahead_of(c);
    uint64_t room = next_end - s->epoch_end;
    uint32_t n = 0;
    s->epoch_end = next_end;
    while (n < s->nahead && room > 0) {
        uint64_t cycles = u64_min(a[n].cycles, room);
        c->stats.stack[a[n].cause] += cycles;
        a[n].cycles -= cycles;
        room -= cycles;
        n += a[n].cycles == 0;
    }
    s->nahead -= n;
    for (uint32_t i = 0; i < s->nahead && n > 0; i++)
        a[i] = a[i + n];
}

uint64_t cpi_total(const struct core *c)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < CPI_NCAUSES; i++)
        sum += c->stats.stack[i];
    return sum;
}
