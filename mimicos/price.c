/* Costs of handlers; see price.h. */
#include "mimicos/price.h"

#include "pdes/err.h"

void krun_append(struct krun *r, enum kseg_kind kind, uint64_t addr, uint64_t bytes,
                 simtime_t cost_fs)
{
    struct kseg *last = r->nsegs > 0 ? &r->seg[r->nsegs - 1] : NULL;
    r->total_fs += cost_fs;
    if (last != NULL && last->kind == (uint32_t)kind &&
        (kind == KSEG_COST || (kind == KSEG_STORE && last->addr >> LINE_SHIFT == addr >> LINE_SHIFT))) {
        last->cost_fs += cost_fs;
        return;
    }
    SIM_ASSERT(r->nsegs < KRUN_MAX_SEGS, "a handler run has more than %u segments", KRUN_MAX_SEGS);
    r->seg[r->nsegs++] = (struct kseg){addr, bytes, cost_fs, (uint32_t)kind, 0};
}

/* ---- model: a table of costs ----------------------------------------------------------------- */

static void table_op(struct krun *r, enum kop op, uint64_t n)
{
    krun_append(r, KSEG_COST, 0, 0, n * r->costs.fs[op]);
}

static void table_store(struct krun *r, paddr_t pte)
{
    krun_append(r, KSEG_STORE, pte.v, 8, r->costs.fs[KOP_PTE_WRITE]);
}

static void table_zero(struct krun *r, paddr_t at, uint64_t bytes)
{
    krun_append(r, KSEG_ZERO, at.v, bytes, (bytes >> 10) * r->costs.fs[KOP_ZERO_KIB]);
}

static void table_copy(struct krun *r, uint64_t bytes)
{
    krun_append(r, KSEG_COST, 0, 0, ((bytes + 1023) >> 10) * r->costs.fs[KOP_COPY_KIB]);
}

const struct fault_model fault_model_table = {
    .name = "table", .doc = "one cost per operation (os.cost.*)",
    .op = table_op, .store = table_store, .zero = table_zero, .copy = table_copy};

/* ---- model: a constant ----------------------------------------------------------------------- */

static void constant_op(struct krun *r, enum kop op, uint64_t n)
{
    (void)r;
    (void)op;
    (void)n;
}
static void constant_store(struct krun *r, paddr_t pte)
{
    (void)r;
    (void)pte;
}
static void constant_zero(struct krun *r, paddr_t at, uint64_t bytes)
{
    (void)r;
    (void)at;
    (void)bytes;
}
static void constant_copy(struct krun *r, uint64_t bytes)
{
    (void)r;
    (void)bytes;
}
static void constant_end(struct krun *r)
{
    krun_append(r, KSEG_COST, 0, 0, r->costs.fs[KOP_CONSTANT]);
    r->commit_fs = r->total_fs;
}

const struct fault_model fault_model_constant = {
    .name = "constant", .doc = "every handler run costs os.cost.constant; for comparison only",
    .op = constant_op, .store = constant_store, .zero = constant_zero, .copy = constant_copy,
    .end = constant_end};

/* ---- the seam -------------------------------------------------------------------------------- */

#define X(name, object) #name,
const char *const fault_model_names[] = {FAULT_MODELS(X) NULL};
#undef X

static const struct fault_model *model_of(const struct krun *r)
{
#define X(name, object) &object,
    static const struct fault_model *const models[] = {FAULT_MODELS(X)};
#undef X
    SIM_ASSERT(r->model < sizeof models / sizeof models[0], "fault model %u", r->model);
    return models[r->model];
}

void krun_init(struct krun *r, uint32_t model, const struct kcosts *costs)
{
    r->model = model;
    r->costs = *costs;
    krun_begin(r);
}

void krun_begin(struct krun *r)
{
    r->total_fs = r->commit_fs = r->visible_fs = 0;
    r->nsegs = r->nwrites = r->nnodes = 0;
    r->mode = KRUN_TIMED;
    r->zeroed_bytes = 0;
    r->nnotes = 0;
}

#define X(name, key, def, doc) key,
const char *const kop_names[] = {KOP_LIST(X) NULL};
#undef X

/* Remembers that `n` times `op` cost what was added since `before`. */
static void note(struct krun *r, enum kop op, uint64_t n, simtime_t before)
{
    uint32_t i = 0;
    while (i < r->nnotes && r->note[i].op != (uint32_t)op)
        i++;
    if (i == r->nnotes)
        r->note[r->nnotes++] = (struct knote){.op = (uint32_t)op};
    r->note[i].n += (uint32_t)n;
    r->note[i].cost_fs += r->total_fs - before;
}

void krun_end(struct krun *r)
{
    if (r->mode != KRUN_TIMED || model_of(r)->end == NULL)
        return;
    simtime_t before = r->total_fs;
    model_of(r)->end(r);
    note(r, KOP_CONSTANT, 1, before);
}

void price_op(struct krun *r, enum kop op, uint64_t n)
{
    simtime_t before = r->total_fs;
    if (n == 0 || r->mode != KRUN_TIMED)
        return;
    model_of(r)->op(r, op, n);
    note(r, op, n, before);
}

void price_node(struct krun *r, uint32_t slot)
{
    if (r->mode == KRUN_SILENT)
        return;
    SIM_ASSERT(r->nnodes < KRUN_MAX_NODES, "a handler run makes more than %u nodes", KRUN_MAX_NODES);
    r->node[r->nnodes++] = slot;
}

void price_mirror(struct krun *r, paddr_t pte)
{
    if (r->mode == KRUN_SILENT)
        return;
    SIM_ASSERT(r->nwrites < KRUN_MAX_WRITES, "a handler run writes more than %u entries",
               KRUN_MAX_WRITES);
    r->write[r->nwrites++] = pte;
}

void price_store(struct krun *r, paddr_t pte)
{
    simtime_t before = r->total_fs;
    price_mirror(r, pte);
    if (r->mode != KRUN_TIMED)
        return;
    model_of(r)->store(r, pte);
    note(r, KOP_PTE_WRITE, 1, before);
    r->commit_fs = r->total_fs;
}

void price_zero(struct krun *r, paddr_t at, uint64_t bytes)
{
    simtime_t before = r->total_fs;
    if (r->mode != KRUN_TIMED)
        return;
    r->zeroed_bytes += bytes;
    model_of(r)->zero(r, at, bytes);
    note(r, KOP_ZERO_KIB, bytes >> 10, before);
}

void price_copy(struct krun *r, uint64_t bytes)
{
    simtime_t before = r->total_fs;
    if (r->mode != KRUN_TIMED)
        return;
    model_of(r)->copy(r, bytes);
    note(r, KOP_COPY_KIB, (bytes + 1023) >> 10, before);
}
