/* Parameters, statistics and layout of the kernel; see kernel.h. */
#include "mimicos/kernel.h"

#include <string.h>

/* ---- tables ---------------------------------------------------------------------------------- */

static const char *const thp_words[] = {"never", "madvise", "always", NULL};
static const char *const page_1g_words[] = {"never", "always", NULL};
static const char *const premap_words[] = {"none", "all", NULL};
static const char *const memory_state_words[] = {"fresh", "scattered", NULL};

#define AT(field) offsetof(struct kernel_params, field)
#define SIZE_ROW(key, def, lo, hi, field, text) \
    {key, PARAM_SIZE, "byte", def, lo, hi, NULL, AT(field), text}
#define COUNT_ROW(key, unit, def, lo, hi, field, text) \
    {key, PARAM_COUNT, unit, def, lo, hi, NULL, AT(field), text}
#define TIME_ROW(key, def, field, text) \
    {key, PARAM_TIME, "fs", def, 1, FS_PER_S, NULL, AT(field), text}

/* clang-format off */
const struct param_desc kernel_param_rows[] = {
    SIZE_ROW("memory_size", "64GiB", 8 << 20, UINT64_C(1) << 43, memory_size,
             "simulated physical memory, a multiple of 4 MiB; host memory is used as it is touched"),
    SIZE_ROW("reserved_size", "4MiB", 4 << 20, UINT64_C(1) << 42, reserved_size,
             "lowest part of the memory that holds the kernel itself, a multiple of 4 MiB"),
    {"memory_state", PARAM_ENUM, "", "fresh", 0, 1, memory_state_words, AT(memory_state),
     "fresh: all memory free in one piece; scattered: part of it occupied for good"},
    COUNT_ROW("scatter_used_percent", "%", "20", 0, 100, scatter_used_percent,
              "scattered: share of memory that is occupied"),
    COUNT_ROW("scatter_regions_percent", "%", "50", 0, 100, scatter_regions_percent,
              "scattered: share of 2 MiB regions that hold the occupied pieces; the others stay whole"),
    SIZE_ROW("scatter_piece_size", "4KiB", 4 << 10, 1 << 20, scatter_piece_size,
             "scattered: size of an occupied piece, a power of two"),
    COUNT_ROW("seed", "", "1", 0, UINT64_MAX, seed, "random choices of the kernel"),
    {"thp", PARAM_ENUM, "", "always", 0, 2, thp_words, AT(thp),
     "2 MiB pages at fault time: never, where advised, or wherever an area covers the region"},
    {"page_1g", PARAM_ENUM, "", "never", 0, 1, page_1g_words, AT(page_1g),
     "1 GiB pages: never, or wherever an anonymous area covers the region and the pool has one"},
    COUNT_ROW("hugepages_1g", "page", "0", 0, 8192, hugepages_1g,
              "1 GiB pages set aside at boot, at the top of the memory (Linux: hugepagesz=1G hugepages=N)"),
    {"alloc", PARAM_ENUM, "", "buddy", 0, 64, alloc_names, AT(alloc),
     "policy that chooses page size and frame of an anonymous page"},
    {"premap", PARAM_ENUM, "", "none", 0, 1, premap_words, AT(premap),
     "all: anonymous areas are filled with pages when they are made, without time (built-in workloads: before time 0)"},
    {"premap_image", PARAM_TEXT, "", "", 0, 0, NULL, AT(premap_image),
     "file with what os.premap builds before time 0: used if it exists, else written"},
    {"page_table", PARAM_ENUM, "", "radix4", 0, 64, pt_format_names, AT(page_table),
     "page-table format"},
    {"fault_model", PARAM_ENUM, "", "table", 0, 64, fault_model_names, AT(fault_model),
     "how handlers are priced"},
    SIZE_ROW("fault_around_size", "64KiB", 4 << 10, 2 << 20, fault_around_size,
             "window of file pages that one read fault maps (Linux: 64 KiB)"),
    SIZE_ROW("stack_limit_size", "8MiB", 4 << 10, UINT64_C(1) << 40, stack_limit_size,
             "how far a stack may grow down"),
    {"layout", PARAM_ENUM, "", "linux", 0, 1, layout_mode_words, AT(layout.mode),
     "where the areas of a recorded trace lie: recorded: where they were (traces of `concerto record`: densely "
     "from 0x4000000000 up); linux: placed by the rules of Linux x86-64, and all addresses move along"},
    COUNT_ROW("layout_seed", "", "1", 0, UINT64_MAX, layout.seed,
              "random parts of the layout; 0: no randomisation, as under setarch -R"),
    COUNT_ROW("layout_mmap_bits", "bit", "28", 0, 32, layout.mmap_bits,
              "random bits of the mmap base and of a position-independent program's page number "
              "(Linux: vm.mmap_rnd_bits, 28 to 32)"),
    COUNT_ROW("layout_stack_bits", "bit", "22", 0, 24, layout.stack_bits,
              "random bits of the page number of the stack's end (Linux: 22)"),
    SIZE_ROW("layout_brk_size", "1GiB", 0, UINT64_C(1) << 40, layout.brk_size,
             "range of the random distance between program and heap (Linux: 1 GiB, before 6.9 32 MiB)"),
    {"layout_thp_align", PARAM_ENUM, "", "multiples", 0, 2, layout_align_words, AT(layout.thp_align),
     "anonymous areas at multiples of 2 MiB: never; if their size is one (Linux 6.13); if they are as large "
     "(6.7). Files of 2 MiB and more are aligned unless never"},
    COUNT_ROW("flush_ceiling", "page", "33", 0, 1 << 20, flush_ceiling_pages,
              "more pages than this flush the whole address space (Linux: 33)"),
    TIME_ROW("kernel_to_core", "30ns", kernel_to_core_fs, "least latency of an answer to a core"),
    TIME_ROW("ipi", "500ns", ipi_fs, "delivery of an interrupt to another core"),
    COUNT_ROW("max_vmas", "area", "65536", 16, 1 << 24, max_vmas, "areas per address space"),
    COUNT_ROW("max_table_nodes", "node", "0", 0, 1 << 26, max_table_nodes,
              "page-table nodes of all address spaces; 0: one per MiB of memory and 4096"),
    COUNT_ROW("max_wakes", "wake", "1M", 1, UINT64_C(1) << 36, max_wakes,
              "futex wake ids per process, where the trace does not tell"),
#define X(name, key, def, text) \
    {"cost." key, PARAM_TIME, "fs", def, 1, FS_PER_S, NULL, AT(cost.fs[KOP_##name]), text},
    KOP_LIST(X)
#undef X
};
/* clang-format on */
const uint32_t kernel_param_nrows = sizeof kernel_param_rows / sizeof kernel_param_rows[0];

const struct stat_desc kernel_stat_rows[] = {
#define X(name, unit, kind, stamp, nbins, path, doc) \
    {path, unit, STAT_##kind, STAMP_##stamp, nbins, offsetof(struct kernel_stats, name), doc},
    KERNEL_STATS(X)
#undef X
};
const uint32_t kernel_stat_nrows = sizeof kernel_stat_rows / sizeof kernel_stat_rows[0];
const uint32_t kernel_stat_nvalues = sizeof(struct kernel_stats) / sizeof(uint64_t);

/* ---- layout ---------------------------------------------------------------------------------- */

static struct mm_config mm_config_of(const struct kernel_cfg *cfg)
{
    const struct kernel_params *p = cfg->params;
    bool scattered = p->memory_state == MEMORY_SCATTERED;
    uint64_t nnodes = p->max_table_nodes != 0 ? p->max_table_nodes : (p->memory_size >> 20) + 4096;
    return (struct mm_config){
        .frames = {.nframes = p->memory_size >> PAGE_SHIFT,
                   .nreserved = p->reserved_size >> PAGE_SHIFT,
                   .seed = p->seed,
                   .ngiants = p->hugepages_1g,
                   .scatter_used_permille = scattered ? 10 * p->scatter_used_percent : 0,
                   .scatter_regions_permille = scattered ? 10 * p->scatter_regions_percent : 0,
                   .scatter_order = log2_floor(u64_max(p->scatter_piece_size >> PAGE_SHIFT, 1))},
        .format = p->page_table,
        .thp = p->thp,
        .alloc = p->alloc,
        .page_1g = p->page_1g,
        .populate = p->premap != PREMAP_NONE && !cfg->infer_vmas,
        .fault_around_bytes = p->fault_around_size,
        .stack_limit_bytes = p->stack_limit_size,
        .flush_ceiling_pages = p->flush_ceiling_pages,
        .nspaces = cfg->nprocesses,
        .max_vmas = (uint32_t)p->max_vmas,
        .max_nodes = (uint32_t)nnodes,
        .boot_frames = cfg->boot_frames,
        .infer_vmas = cfg->infer_vmas,
        .infer_vmas_of = cfg->infer_vmas_of};
}

static struct sched_config sched_config_of(const struct kernel_cfg *cfg)
{
    return (struct sched_config){
        .ncores = cfg->ncores, .nthreads = cfg->nthreads, .nspaces = cfg->nprocesses,
        .nwakes = cfg->nwakes != 0 ? cfg->nwakes : cfg->params->max_wakes,
        .space_of_thread = cfg->space_of_thread};
}

static bool infers_any(const struct kernel_cfg *cfg)
{
    bool any = cfg->infer_vmas;
    for (uint32_t i = 0; cfg->infer_vmas_of != NULL && i < cfg->nprocesses; i++)
        any |= cfg->infer_vmas_of[i];
    return any;
}

const char *kernel_cfg_error(const struct kernel_cfg *cfg)
{
    const struct kernel_params *p = cfg->params;
    if (cfg->ncores == 0 || cfg->nthreads == 0 || cfg->nprocesses == 0)
        return "there must be at least one core, one thread and one process";
    if ((p->memory_size | p->reserved_size) % BUDDY_BLOCK_BYTES != 0)
        return "os.memory_size and os.reserved_size must be multiples of 4 MiB";
    if (!is_pow2(p->scatter_piece_size))
        return "os.scatter_piece_size must be a power of two";
    if (!is_pow2(u64_max(p->fault_around_size, 1)))
        return "os.fault_around_size must be a power of two";
    if (p->max_table_nodes != 0 && p->max_table_nodes < 8)
        return "os.max_table_nodes must be 8 or more, or 0 for one per MiB of memory and 4096";
    if (p->page_1g != 0 && p->hugepages_1g == 0)
        return "os.page_1g = always needs pages: set os.hugepages_1g";
    if (p->premap != PREMAP_NONE && infers_any(cfg))
        return "os.premap needs to know the memory areas, and this trace has no memory map";
    if (p->premap_image[0] != '\0' && cfg->nareas == 0)
        return "os.premap_image holds what os.premap builds before time 0: it needs os.premap = all and "
               "a built-in workload";
    if (p->ipi_fs < p->kernel_to_core_fs)
        return "os.ipi must not be shorter than os.kernel_to_core";
    struct mm_config mc = mm_config_of(cfg);
    return mm_config_error(&mc);
}

struct kernel_parts {
    uint64_t sched, cores, seen, programs, mm, end;
};

static uint64_t round_up(uint64_t x) { return (x + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES; }

static struct kernel_parts parts_of(const struct kernel_cfg *cfg)
{
    struct mm_config mc = mm_config_of(cfg);
    struct sched_config sc = sched_config_of(cfg);
    struct kernel_parts l;
    l.sched = round_up(sizeof(struct kernel));
    l.cores = round_up(l.sched + sched_bytes(&sc));
    l.seen = round_up(l.cores + cfg->ncores * sizeof(struct kcore));
    l.programs = round_up(l.seen + (uint64_t)cfg->ncores * cfg->nprocesses);
    l.mm = round_up(l.programs + cfg->nprocesses * sizeof(struct program));
    l.end = l.mm + mm_bytes(&mc);
    return l;
}

size_t kernel_state_bytes(const struct kernel_cfg *cfg) { return parts_of(cfg).end; }

static void *at_offset(const struct kernel *k, uint64_t offset)
{
    return (char *)(uintptr_t)k + offset;
}

struct mm *kernel_mm(const struct kernel *k) { return at_offset(k, k->mm_at); }
struct sched *kernel_sched(const struct kernel *k) { return at_offset(k, k->sched_at); }
struct kcore *kernel_core(const struct kernel *k, uint32_t core)
{
    return (struct kcore *)at_offset(k, k->cores_at) + core;
}
struct program *kernel_program(const struct kernel *k, uint32_t asid)
{
    return (struct program *)at_offset(k, k->programs_at) + asid;
}
bool kernel_all_start(const struct kernel_cfg *cfg, uint32_t asid)
{
    return cfg->all_start_of != NULL ? cfg->all_start_of[asid] : cfg->all_start;
}
uint8_t *kernel_seen(const struct kernel *k, const struct kernel_cfg *cfg, uint32_t asid,
                     uint32_t core)
{
    return (uint8_t *)at_offset(k, k->seen_at) + (uint64_t)asid * cfg->ncores + core;
}

void kernel_init(struct kernel *k, const struct kernel_cfg *cfg)
{
    const char *bad = kernel_cfg_error(cfg);
    SIM_ASSERT(bad == NULL, "kernel: %s", bad);
    struct kernel_parts l = parts_of(cfg);
    struct mm_config mc = mm_config_of(cfg);
    struct sched_config sc = sched_config_of(cfg);
    k->sched_at = l.sched;
    k->cores_at = l.cores;
    k->seen_at = l.seen;
    k->programs_at = l.programs;
    k->mm_at = l.mm;
    k->ready = 1;
    k->next_action = SIM_NEVER;
    krun_init(&k->run, (uint32_t)cfg->params->fault_model, &cfg->params->cost);
    sched_init(kernel_sched(k), &sc);
    if (mm_init(kernel_mm(k), &mc, &k->run) != MM_OK)
        err_fatal(ERR_RUNTIME, "no frame for the page-table roots; raise os.memory_size");
    for (uint32_t i = 0; i < cfg->ncores; i++) {
        struct kcore *c = kernel_core(k, i);
        c->commit_at = c->end_at = SIM_NEVER;
        c->idle_told = 1;
    }
}

void kernel_stats_fill(const struct kernel *k, struct kernel_stats *out)
{
    const struct mm *m = kernel_mm(k);
    const struct buddy *b = mm_buddy(m);
    *out = k->stats;
    out->frames_used[0] = b->nused;
    out->frames_free[0] = b->nfree;
    out->frames_table[0] = m->nnodes;
    out->pool_1g_free[0] = b->npool_free;
    out->premapped[0] = k->npremapped;
    for (unsigned o = 0; o < BUDDY_NORDERS; o++)
        out->free_order[o] = buddy_free_blocks(b, o);
    out->unusable_permille[0] = buddy_unusable_permille(b, BUDDY_HUGE_ORDER);
    for (uint32_t asid = 0; asid < m->cfg.nspaces; asid++) {
        const struct vma_set *s = mm_vmas(m, asid);
        out->vmas[0] += s->n;
        out->vmas_high[0] = u64_max(out->vmas_high[0], s->high_water);
    }
    out->run_queue_high[0] = kernel_sched(k)->queue_high_water;
}
