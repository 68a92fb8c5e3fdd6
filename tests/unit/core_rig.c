/* See core_rig.h. */
#include "tests/unit/core_rig.h"

#include <stdlib.h>
#include <string.h>

/* ---- parameters and page tables --------------------------------------------------------------- */

struct rig *rig_open(void)
{
    struct rig *r = calloc(1, sizeof *r);
    r->threads = calloc(RIG_THREADS, sizeof *r->threads);
    r->p = (struct core_params){
        .core = {.count = 1, .clock_hz = 1000000000, .width = 1, .rob = 4096, .load_queue = 1024,
                 .store_queue = 1024, .refill_cycles = 0, .lock_cycles = 18, .forward_cycles = 5,
                 .syscall_cycles = 400, .fault_entry_cycles = 100},
        .l1i4k = {64, 4, 1, REPL_LRU},
        .l1i2m = {8, 4, 1, REPL_LRU},
        .l1d4k = {64, 4, 1, REPL_LRU},
        .l1d2m = {32, 4, 1, REPL_LRU},
        .l1d1g = {4, 0, 1, REPL_LRU},
        .stlb = {.entries = 1536, .ways = 12, .latency_cycles = 12, .repl = REPL_LRU, .share_1g = 1},
        .pwc = {.pml5_entries = 2, .pml4_entries = 2, .pdpt_entries = 4, .pd_entries = 32,
                .latency_cycles = 2},
        .ptw = {.walkers = 4, .ref_cycles = 100, .dirty_assist_cycles = 100},
        .l1i = {0, 32768, 8, 5, REPL_LRU, 8, 1},
        .l1d = {1, 49152, 12, 5, REPL_LRU, 16, 16},
        .l2 = {1, 2097152, 16, 15, REPL_LRU, 48, 32},
    };
    r->mmu = &mmu_radix;
    r->ncores = 1;
    r->nthreads = 1;
    r->miss_cycles = 100;
    r->wb_ack_cycles = 50;
    r->served = SERVED_DRAM;
    r->handler_cycles = 1000;
    r->call_cycles = 200;
    r->keeps_ad = true;
    r->epoch_cycles = 10000;
    r->next_node = UINT64_C(1) << 40;
    for (uint32_t s = 0; s < RIG_SPACES; s++)
        r->levels[s] = 4;
    CU_ASSERT_EQUAL_FATAL(ptmem_create(&r->ptmem), ERR_OK);
    return r;
}

uint64_t rig_va(uint64_t pml4, uint64_t pdpt, uint64_t pd, uint64_t pt, uint64_t offset)
{
    return pml4 << 39 | pdpt << 30 | pd << 21 | pt << 12 | offset;
}

uint64_t rig_pa(uint32_t space, uint64_t va)
{
    return (va & ((UINT64_C(1) << 48) - 1)) + ((uint64_t)(space + 1) << 49);
}

static void write_word(struct rig *r, uint64_t addr, uint64_t value)
{
    struct mirror_write w = {.addr = {addr}, .value = value, .writer = LPID_NONE};
    ptmem_write(r->ptmem, &w);
}

static uint64_t read_word(const struct rig *r, uint64_t addr)
{
    return ptmem_read(r->ptmem, (paddr_t){addr}, SIM_NEVER - 1);
}

static uint64_t new_node(struct rig *r)
{
    uint64_t node = r->next_node;
    r->next_node += PAGE_BYTES;
    return node;
}

static uint64_t root_of(struct rig *r, uint32_t space)
{
    if (r->root[space] == 0)
        r->root[space] = new_node(r);
    return r->root[space];
}

void rig_map(struct rig *r, uint32_t space, uint64_t va, unsigned shift, uint64_t flags)
{
    uint64_t table = root_of(r, space);
    for (unsigned level = r->levels[space];; level--) {
        uint64_t entry = radix_entry_paddr(r->levels[space], level, (paddr_t){table}, (vaddr_t){va}).v;
        if (radix_level_shift(level) == shift) {
            uint64_t page = rig_pa(space, va) >> shift << shift;
            if (flags != 0)
                write_word(r, entry, page | flags | (level > 1 ? PTE_PS : 0));
            return;
        }
        if (read_word(r, entry) == 0)
            write_word(r, entry, new_node(r) | PTE_TABLE_FLAGS);
        table = pte_table(read_word(r, entry)).v;
    }
}

uint64_t rig_entry(const struct rig *r, uint32_t space, uint64_t va)
{
    uint64_t table = r->root[space];
    for (unsigned level = r->levels[space];; level--) {
        uint64_t entry = radix_entry_paddr(r->levels[space], level, (paddr_t){table}, (vaddr_t){va}).v;
        uint64_t pte = read_word(r, entry);
        if (level == 1 || (pte_present(pte) && pte_is_leaf(level, pte)))
            return entry;
        SIM_ASSERT(pte_present(pte), "no way to %llx in the rig's tables", (unsigned long long)va);
        table = pte_table(pte).v;
    }
}

/* ---- programs --------------------------------------------------------------------------------- */

static struct rig_block *last_block(struct rig *r, uint32_t thread)
{
    struct rig_thread *t = &r->threads[thread];
    if (t->nblocks == 0)
        t->nblocks = 1;
    return &t->blocks[t->nblocks - 1];
}

void rig_new_block(struct rig *r, uint32_t thread)
{
    last_block(r, thread);
    SIM_ASSERT(r->threads[thread].nblocks < RIG_BLOCKS, "more than %d blocks", RIG_BLOCKS);
    r->threads[thread].nblocks++;
}

struct access_rec *rig_access(struct rig *r, uint32_t thread, uint64_t va, uint32_t gap, unsigned flags)
{
    struct rig_block *b = last_block(r, thread);
    if (b->nacc == b->acc_cap) {
        b->acc_cap = b->acc_cap ? 2 * b->acc_cap : 64;
        b->acc = realloc(b->acc, b->acc_cap * sizeof *b->acc);
    }
    struct access_rec *a = &b->acc[b->nacc++];
    *a = (struct access_rec){.vaddr = va, .gap = (uint16_t)gap, .size = 8, .flags = (uint8_t)flags};
    return a;
}

struct fe_event *rig_event(struct rig *r, uint32_t thread, unsigned type, uint32_t instr_off)
{
    struct rig_block *b = last_block(r, thread);
    if (b->nev == b->ev_cap) {
        b->ev_cap = b->ev_cap ? 2 * b->ev_cap : 16;
        b->ev = realloc(b->ev, b->ev_cap * sizeof *b->ev);
        b->ev_at = realloc(b->ev_at, b->ev_cap * sizeof *b->ev_at);
    }
    b->ev_at[b->nev] = (struct fe_at){.pos = b->nacc, .form = b->nev};
    struct fe_event *e = &b->ev[b->nev++];
    *e = (struct fe_event){.type = (uint16_t)type, .instr_off = (uint16_t)instr_off};
    return e;
}

struct branch_rec *rig_branch(struct rig *r, uint32_t thread, unsigned kind, uint32_t instr_off, uint32_t pc,
                              uint32_t target, bool taken)
{
    struct rig_block *b = last_block(r, thread);
    if (b->nbr == b->br_cap) {
        b->br_cap = b->br_cap ? 2 * b->br_cap : 16;
        b->br = realloc(b->br, b->br_cap * sizeof *b->br);
        b->br_at = realloc(b->br_at, b->br_cap * sizeof *b->br_at);
    }
    b->br_at[b->nbr] = (struct fe_at){.pos = b->nacc, .form = b->nbr};
    struct branch_rec *br = &b->br[b->nbr++];
    *br = (struct branch_rec){.pc_id = pc, .target_id = target, .instr_off = (uint16_t)instr_off,
                              .kind = (uint8_t)kind, .taken = taken};
    return br;
}

static enum err fe_load(struct frontend *fe, uint32_t thread, uint64_t block, struct fe_block *out)
{
    struct rig *r = (struct rig *)((char *)fe - offsetof(struct rig, fe));
    struct rig_thread *t = &r->threads[thread];
    if (block >= t->nblocks && block != 0)
        return err_log(ERR_TRACE, "thread %u has no block %llu", thread, (unsigned long long)block);
    const struct rig_block *b = &t->blocks[block];
    t->loaded = block;
    for (uint32_t i = 0; i < b->nacc; i++)
        b->acc[i] = acc_marked(b->acc[i]);
    *out = (struct fe_block){.nacc = b->nacc, .nev = b->nev, .nbr = b->nbr, .npcs = 64, .tail_gap = b->tail_gap,
                             .nev_forms = b->nev, .nbr_forms = b->nbr, .ev_at = b->ev_at, .ev_forms = b->ev,
                             .br_at = b->br_at, .br_forms = b->br, .last = block + 1 >= t->nblocks, .pcs = r->pcs};
    return ERR_OK;
}

/* Pieces of a few accesses, so that their ends come where they may. */
static void fe_piece(struct frontend *fe, uint32_t thread, uint32_t acc, struct fe_block *out)
{
    enum { PIECE = 7 };
    struct rig *r = (struct rig *)((char *)fe - offsetof(struct rig, fe));
    out->acc_from = acc - acc % PIECE;
    out->acc_to = out->acc_from + PIECE < out->nacc ? out->acc_from + PIECE : out->nacc;
    out->piece = r->threads[thread].blocks[r->threads[thread].loaded].acc + out->acc_from;
}

static const struct frontend_ops fe_ops = {.name = "rig", .doc = "arrays of a test", .load = fe_load, .piece = fe_piece};

struct rig_order *rig_order(struct rig *r, simtime_t time, uint32_t type)
{
    SIM_ASSERT(r->nscript < RIG_SCRIPT, "more than %d orders", RIG_SCRIPT);
    struct rig_order *o = &r->script[r->nscript++];
    *o = (struct rig_order){.time = time, .type = type};
    return o;
}

/* ---- the slice -------------------------------------------------------------------------------- */

static void hear(struct rig_heard *h, const struct msg *m)
{
    if (h->n < RIG_LOG)
        h->msgs[h->n++] = *m;
}

static void slice_handle(struct lp *lp, const struct msg *m)
{
    const struct rig *r = lp->cfg;
    struct rig_slice_state *s = lp->state;
    hear(&s->heard, m);
    if (m->type == MEM_WRITEBACK) {
        s->writebacks++;
        simtime_t ack = m->time + r->wb_ack_cycles * RIG_CYCLE;
        uint64_t out = 1;
        for (uint32_t i = 0; i < 512; i++)
            out += s->oldest_ack[i] > m->time;
        s->wbs_out_max = u64_max(s->wbs_out_max, out);
        s->oldest_ack[s->writebacks % 512] = ack;
        lp_send(lp, m->src, ack, MEM_WB_ACK, 0, m->a[0], 0, 0, 0);
        return;
    }
    s->reads++;
    uint64_t more = r->miss_spread ? rng_draw(7, 0, 0, 0, m->a[0]) % r->miss_spread : 0;
    lp_send(lp, m->src, m->time + (r->miss_cycles - r->p.l2.latency_cycles + more) * RIG_CYCLE,
            MSG_TYPE(MEM_DATA, MEM_KIND(m->flags)), m->arg, m->a[0], r->served, 0, 0);
}

static const struct lp_ops slice_ops = {.name = "fake slice", .handle = slice_handle};

/* ---- the kernel ------------------------------------------------------------------------------- */

static void run_thread(struct lp *lp, const struct rig *r, uint32_t core, uint32_t thread, simtime_t time)
{
    const struct rig_kernel_state *k = lp->state;
    const uint64_t *p = k->position[thread];
    uint32_t space = r->threads[thread].space;
    lp_send(lp, r->first_core + core, time, K_SWITCH_POS, thread, p[0], p[1], p[2], p[3]);
    lp_send(lp, r->first_core + core, time, K_SWITCH, thread, space + 1, r->root[space],
            r->levels[space], 0);
}

static void kernel_start(struct lp *lp)
{
    const struct rig *r = lp->cfg;
    for (uint32_t core = 0; core < r->ncores; core++)
        for (uint32_t t = 0; t < r->nthreads; t++)
            if (r->threads[t].core == core) {
                uint64_t start = r->threads[t].start;
                run_thread(lp, r, core, t, (start ? start : RIG_START) * RIG_CYCLE);
                break;
            }
    for (uint32_t i = 0; i < r->nscript; i++) {
        const struct rig_order *o = &r->script[i];
        if (o->type != 0)
            lp_send(lp, r->first_core + o->core, o->time, o->type, o->arg, o->a[0], o->a[1], o->a[2],
                    o->a[3]);
    }
}

static simtime_t kernel_advance(struct lp *lp, simtime_t until)
{
    const struct rig *r = lp->cfg;
    struct rig_kernel_state *k = lp->state;
    for (; k->next_order < r->nscript; k->next_order++) {
        const struct rig_order *o = &r->script[k->next_order];
        if (o->type != 0)
            continue;
        simtime_t at = o->time - RIG_MIRROR_CYCLES * RIG_CYCLE;
        if (at >= until)
            return at;
        lp->now = at;
        lp_mirror(lp, o->time, (paddr_t){o->a[0]}, o->a[1], LPID_NONE);
    }
    return SIM_NEVER;
}

static void next_thread(struct lp *lp, const struct rig *r, uint32_t core, uint32_t from, simtime_t time)
{
    const struct rig_kernel_state *k = lp->state;
    for (uint32_t i = 1; i <= r->nthreads; i++) {
        uint32_t t = (from + i) % r->nthreads;
        if (r->threads[t].core == core && !k->done[t]) {
            run_thread(lp, r, core, t, time);
            return;
        }
    }
    lp_send(lp, r->first_core + core, time, K_IDLE, 0, 0, 0, 0, 0);
}

static void kernel_handle(struct lp *lp, const struct msg *m)
{
    const struct rig *r = lp->cfg;
    struct rig_kernel_state *k = lp->state;
    uint32_t core = m->src - r->first_core;
    simtime_t answer = m->time + r->call_cycles * RIG_CYCLE;
    hear(&k->heard, m);
    switch (m->type) {
    case K_FAULT: {
        uint32_t space = r->threads[m->arg].space;
        uint64_t entry = rig_entry(r, space, m->a[0]);
        uint64_t page = rig_pa(space, m->a[0]) & ~(PAGE_BYTES - 1);
        lp_mirror(lp, m->time + RIG_MIRROR_CYCLES * RIG_CYCLE, (paddr_t){entry}, page | RIG_PAGE, LPID_NONE);
        lp_send(lp, m->src, m->time + r->handler_cycles * RIG_CYCLE, K_RESUME, m->arg, KR_OK, 0, 0, 0);
        break;
    }
    case K_POS:
        memcpy(k->position[m->arg], m->a, sizeof m->a);
        break;
    case K_CALL:
        if (m->flags == FE_FUTEX_WAIT && r->moves) {
            run_thread(lp, r, (core + 1) % r->ncores, m->arg, answer);
            lp_send(lp, m->src, answer, K_IDLE, 0, 0, 0, 0, 0);
        } else if (m->flags == FE_FUTEX_WAIT)
            next_thread(lp, r, core, m->arg, answer);
        else
            lp_send(lp, m->src, answer, K_RESUME, m->arg, KR_OK, m->a[0], 0, 0);
        break;
    case K_MARK:
        if (m->flags & 1)
            lp_send(lp, m->src, answer, K_RESUME, m->arg, KR_OK, m->a[0], 0, 0);
        break;
    case K_EXIT:
        k->done[m->arg] = 1;
        next_thread(lp, r, core, m->arg, answer);
        break;
    case K_AD:
        if (r->keeps_ad)
            lp_mirror(lp, m->time + RIG_MIRROR_CYCLES * RIG_CYCLE, (paddr_t){m->a[0]},
                      read_word(r, m->a[0]) | m->a[1], m->src);
        break;
    default:
        break;
    }
}

static const struct lp_ops kernel_ops = {
    .name = "scripted kernel", .start = kernel_start, .handle = kernel_handle, .advance = kernel_advance};

/* ---- the fuzz process ------------------------------------------------------------------------- */

enum { FUZZ_TO_CORE = 20 };

static simtime_t fuzz_advance(struct lp *lp, simtime_t until)
{
    const struct rig *r = lp->cfg;
    struct rig_fuzz_state *s = lp->state;
    for (; s->n < r->fuzz_n; s->n++) {
        uint64_t x = rng_draw(r->fuzz_seed, 1, 0, 0, s->n), y = rng_draw(r->fuzz_seed, 1, 0, 1, s->n);
        /* Not on a clock edge. */
        simtime_t at = (RIG_START + s->n * r->fuzz_period) * RIG_CYCLE + x % (r->fuzz_period * RIG_CYCLE);
        simtime_t time = at + FUZZ_TO_CORE * RIG_CYCLE;
        lpid_t core = r->first_core + (uint32_t)(y % r->ncores);
        uint64_t line = r->fuzz_lines[(y >> 8) % r->fuzz_nlines];
        if (at >= until)
            return at;
        lp->now = at;
        switch (x >> 60 & 3) {
        case 0:
            lp_send(lp, core, time, K_INTERRUPT, 0, (x >> 20 & 63) * RIG_CYCLE, 0, 0, 0);
            break;
        case 1:
            lp_send(lp, core, time, K_SHOOTDOWN, 10, line & ((UINT64_C(1) << 48) - 1), x & 256 ? 0 : PAGE_BYTES,
                    1 + (y >> 40) % RIG_SPACES, s->n);
            break;
        default:
            lp_send(lp, core, time, MEM_INVALIDATE, 0, line & ~(LINE_BYTES - 1), 0, 0, 0);
        }
    }
    return SIM_NEVER;
}

static void fuzz_handle(struct lp *lp, const struct msg *m) { (void)lp, (void)m; }

static const struct lp_ops fuzz_ops = {.name = "fuzz", .handle = fuzz_handle, .advance = fuzz_advance};

/* ---- the machine ------------------------------------------------------------------------------ */

static void hook_mirror(void *ctx, const struct mirror_write *w) { ptmem_write(ctx, w); }
static void hook_floor(void *ctx, simtime_t floor) { ptmem_floor(ctx, floor); }
static bool hook_idle(void *ctx) { return ctx != NULL; }

static bool hook_epoch(void *ctx, uint64_t epoch, simtime_t end)
{
    struct rig *r = ctx;
    uint64_t h = 0;
    (void)end;
    for (uint32_t i = 0; i < r->ncores; i++) {
        struct core_stats row;
        core_lp_ops.stats(engine_lp(r->engine, r->first_core + i), (uint64_t *)&row);
        for (size_t j = 0; j < sizeof row / 8; j++)
            h = rng_mix(h + ((uint64_t *)&row)[j]);
    }
    if (epoch < RIG_EPOCHS) {
        r->epoch_rows[epoch] = h;
        r->nepochs = epoch + 1;
    }
    if (r->save_epoch != 0 && epoch == r->save_epoch && r->saved == NULL) {
        r->saved_bytes = engine_save_bytes(r->engine);
        r->saved = malloc(r->saved_bytes);
        engine_save(r->engine, r->saved);
        r->saved_tables_bytes = ptmem_save_bytes(r->ptmem);
        r->saved_tables = malloc(r->saved_tables_bytes);
        ptmem_save(r->ptmem, r->saved_tables);
    }
    return false;
}

static void configure_cores(struct rig *r)
{
    r->noc = (struct noc){.ncores = r->ncores, .nslices = 1, .nchannels = 1, .ntiles = r->ncores,
                          .ncolumns = r->ncores, .nrows = 1, .per_column = (UINT64_C(1) << 32) / r->ncores + 1};
    for (uint32_t i = 0; i < r->ncores; i++) {
        r->hosts[i] = (struct core_host){.fe = &r->fe};
        r->cores[i] = (struct core_cfg){
            .params = &r->p,
            .mmu = r->mmu,
            .noc = &r->noc,
            .ptmem = r->ptmem,
            .host = &r->hosts[i],
            .period_fs = RIG_CYCLE,
            .kernel_entry_fs = r->p.core.fault_entry_cycles * RIG_CYCLE,
            .kernel_lp = r->kernel_id,
            .control_lp = 0,
            .first_slice_lp = r->slice_id,
            .nslices = 1,
            .control_latency_fs = FS_PER_US,
            .instruction_limit = r->instruction_limit,
            .warmup = r->warmup,
            .epoch_fs = r->epoch_cycles * RIG_CYCLE,
            .fast_path = !r->mmu->free_translation && r->p.core.overlap == OVERLAP_RECORDED && !r->slow,
        };
    }
}

static void build(struct rig *r)
{
    enum { CONTROL, KERNEL, CORE, SLICE, FUZZ };
    r->kernel_id = 1;
    r->first_core = 2;
    r->slice_id = 2 + r->ncores;
    r->fe = (struct frontend){.ops = &fe_ops, .nthreads = r->nthreads};
    r->control = (struct control_cfg){.nthreads = r->nthreads, .warmup = r->warmup != 0};
    for (uint32_t s = 0; s < RIG_SPACES; s++)
        root_of(r, s);
    configure_cores(r);
    CU_ASSERT_EQUAL_FATAL(core_params_check(&r->p), ERR_OK);

    struct engine_config ec = {.epoch_fs = r->epoch_cycles * RIG_CYCLE,
                               .mirror_latency_fs = RIG_MIRROR_CYCLES * RIG_CYCLE,
                               .mirror_writer_class = KERNEL,
                               .mirror_reader_class = CORE,
                               .cut_seed = r->cut_seed};
    struct engine_hooks hooks = {.ctx = r, .mirror_ctx = r->ptmem, .mirror = hook_mirror,
                                 .mirror_floor = hook_floor, .epoch = hook_epoch, .idle = hook_idle};
    CU_ASSERT_EQUAL_FATAL(engine_create(&ec, &hooks, transport_self(), &r->engine), ERR_OK);
    struct engine *e = r->engine;
    engine_add_class(e, "control");
    engine_add_class(e, "kernel");
    engine_add_class(e, "core");
    engine_add_class(e, "slice");
    engine_add_class(e, "fuzz");
    engine_add_edge(e, CORE, SLICE, core_min_request_cycles(&r->p) * RIG_CYCLE);
    engine_add_edge(e, SLICE, CORE,
                    u64_min(r->miss_cycles - r->p.l2.latency_cycles, r->wb_ack_cycles) * RIG_CYCLE);
    engine_add_edge(e, CORE, KERNEL, r->p.core.fault_entry_cycles * RIG_CYCLE);
    engine_add_edge(e, KERNEL, CORE, RIG_TO_CORE_CYCLES * RIG_CYCLE);
    engine_add_edge(e, CORE, CONTROL, FS_PER_US);
    engine_add_edge(e, FUZZ, CORE, FUZZ_TO_CORE * RIG_CYCLE);
    lpid_t id;
    enum err x = engine_add_lp(e, &control_lp_ops, CONTROL, 0, &r->control, sizeof(struct control_state), 0, &id);
    x |= engine_add_lp(e, &kernel_ops, KERNEL, 0, r, sizeof(struct rig_kernel_state), 0, &id);
    for (uint32_t i = 0; i < r->ncores; i++)
        x |= engine_add_lp(e, &core_lp_ops, CORE, i, &r->cores[i], core_state_bytes(&r->p), 0, &id);
    x |= engine_add_lp(e, &slice_ops, SLICE, 0, r, sizeof(struct rig_slice_state), 0, &id);
    x |= engine_add_lp(e, &fuzz_ops, FUZZ, 0, r, sizeof(struct rig_fuzz_state), 0, &r->fuzz_id);
    CU_ASSERT_EQUAL_FATAL(x, ERR_OK);
}

static void check_end(const struct rig *r)
{
    IS(rig_control(r)->ndone, r->nthreads);
    uint64_t requests = 0, writebacks = 0;
    for (uint32_t i = 0; i < r->ncores; i++) {
        const struct core *c = rig_core(r, i);
        core_lp_ops.check(engine_lp(r->engine, r->first_core + i));
        requests += c->requests_sent;
        writebacks += c->writebacks_sent;
        IS(c->stats.answers, c->requests_sent);
        IS(c->stats.wb_acks, c->writebacks_sent);
        IS(c->nmisses, 0);
        IS(c->nsent + c->nsent_data, 0);
        IS(c->wbs_out, 0);
        IS(c->wb_queue_n, 0);
        IS(c->run, RUN_IDLE);
        IS(c->tail, c->head);
        IS(c->window_loads, 0);
    }
    IS(rig_slice(r)->reads, requests);
    IS(rig_slice(r)->writebacks, writebacks);
}

void rig_run(struct rig *r)
{
    build(r);
    CU_ASSERT_EQUAL_FATAL(engine_run(r->engine), ERR_OK);
    check_end(r);
}

void rig_rerun_from_save(struct rig *r)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(r->saved);
    for (lpid_t id = 0; id < engine_nlps(r->engine); id++)
        memset(engine_lp(r->engine, id)->state, 0xa5, engine_lp(r->engine, id)->state_bytes);
    engine_destroy(r->engine);
    build(r);
    for (lpid_t id = 0; id < engine_nlps(r->engine); id++)
        memset(engine_lp(r->engine, id)->state, 0x5a, engine_lp(r->engine, id)->state_bytes);
    CU_ASSERT_EQUAL_FATAL(ptmem_load(r->ptmem, r->saved_tables, r->saved_tables_bytes), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(engine_load(r->engine, r->saved, r->saved_bytes), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(engine_run(r->engine), ERR_OK);
    check_end(r);
}

void rig_close(struct rig *r)
{
    engine_destroy(r->engine);
    ptmem_destroy(r->ptmem);
    for (uint32_t t = 0; t < RIG_THREADS; t++)
        for (uint32_t b = 0; b < RIG_BLOCKS; b++) {
            free(r->threads[t].blocks[b].acc);
            free(r->threads[t].blocks[b].ev);
            free(r->threads[t].blocks[b].br);
            free(r->threads[t].blocks[b].ev_at);
            free(r->threads[t].blocks[b].br_at);
        }
    free(r->threads);
    free(r->saved);
    free(r->saved_tables);
    free(r);
}

/* ---- looking ---------------------------------------------------------------------------------- */

struct core *rig_core(const struct rig *r, uint32_t core) { return engine_lp(r->engine, r->first_core + core)->state; }
const struct core_stats *rig_stats(const struct rig *r) { return &rig_core(r, 0)->stats; }
const struct rig_kernel_state *rig_kernel(const struct rig *r) { return engine_lp(r->engine, r->kernel_id)->state; }
const struct rig_slice_state *rig_slice(const struct rig *r) { return engine_lp(r->engine, r->slice_id)->state; }
const struct control_state *rig_control(const struct rig *r) { return engine_lp(r->engine, 0)->state; }

uint64_t rig_done(const struct rig *r, uint64_t n) { return rig_core(r, 0)->load_done[n % LOAD_RING] - RIG_START; }

static const struct msg *read_no(const struct rig *r, uint64_t n)
{
    const struct rig_heard *h = &rig_slice(r)->heard;
    for (uint64_t i = 0; i < h->n; i++)
        if (h->msgs[i].type == MEM_READ && n-- == 0)
            return &h->msgs[i];
    return NULL;
}

uint64_t rig_asked(const struct rig *r, uint64_t n)
{
    const struct msg *m = read_no(r, n);
    return m == NULL ? SIM_NEVER : m->time / RIG_CYCLE - r->p.l2.latency_cycles - RIG_START;
}

uint64_t rig_line(const struct rig *r, uint64_t n)
{
    const struct msg *m = read_no(r, n);
    return m == NULL ? SIM_NEVER : m->a[0];
}

const struct msg *rig_told(const struct rig *r, unsigned type, uint32_t n)
{
    const struct rig_heard *h = &rig_kernel(r)->heard;
    for (uint64_t i = 0; i < h->n; i++)
        if (h->msgs[i].type == type && n-- == 0)
            return &h->msgs[i];
    return NULL;
}

uint64_t rig_told_at(const struct rig *r, unsigned type, uint32_t n)
{
    const struct msg *m = rig_told(r, type, n);
    return m == NULL ? SIM_NEVER : m->time / RIG_CYCLE - RIG_START;
}

uint32_t rig_ntold(const struct rig *r, unsigned type)
{
    uint32_t n = 0;
    while (rig_told(r, type, n) != NULL)
        n++;
    return n;
}
