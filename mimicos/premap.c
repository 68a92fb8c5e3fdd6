/* Page tables before time 0; see premap.h. */
#include "mimicos/premap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mimicos/premap_image.h"

/* Raised when the layout of the saved state changes without a change of its size. */
#define STATE_VERSION 1u

bool premap_wanted(const struct kernel_cfg *cfg)
{
    return cfg->params->premap != PREMAP_NONE && cfg->nareas > 0;
}

/* ---- the key --------------------------------------------------------------------------------- */

/* Parameters of the kernel that decide which frame and page size an address gets. */
static const char *const key_params[] = {
    "memory_size", "reserved_size", "memory_state", "scatter_used_percent", "scatter_regions_percent",
    "scatter_piece_size", "seed", "thp", "page_1g", "hugepages_1g", "alloc", "page_table", "max_vmas",
    "max_table_nodes"};

static const struct param_desc *param_of(const char *name)
{
    for (uint32_t i = 0; i < kernel_param_nrows; i++)
        if (strcmp(kernel_param_rows[i].name, name) == 0)
            return &kernel_param_rows[i];
    SIM_ASSERT(false, "no parameter os.%s", name);
}

static void add_param(FILE *f, const struct kernel_cfg *cfg, const char *name)
{
    const struct param_desc *d = param_of(name);
    uint64_t value;
    memcpy(&value, (const char *)cfg->params + d->offset, sizeof value);
    if (d->type == PARAM_ENUM)
        fprintf(f, "os.%s = %s\n", name, d->choices[value]);
    else
        fprintf(f, "os.%s = %llu\n", name, (unsigned long long)value);
}

char *premap_key(const struct kernel_cfg *cfg)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (f == NULL)
        return NULL;
    fprintf(f, "state version = %u.%zu.%zu\n", STATE_VERSION, sizeof(struct mm), sizeof(struct buddy));
    for (size_t i = 0; i < sizeof key_params / sizeof key_params[0]; i++)
        add_param(f, cfg, key_params[i]);
    fprintf(f, "processes = %u\nframes taken at the start (--repeat) = %llu\n", cfg->nprocesses,
            (unsigned long long)cfg->boot_frames);
    for (uint32_t i = 0; i < cfg->nareas; i++) {
        const struct kernel_area *v = &cfg->areas[i];
        fprintf(f, "area %u = process %u, address %#llx, %llu bytes, rights %llu, flags %#llx, id %llu\n", i,
                v->asid, (unsigned long long)v->a[1], (unsigned long long)v->a[2],
                (unsigned long long)v->a[3], (unsigned long long)v->a[4], (unsigned long long)v->a[5]);
    }
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- building -------------------------------------------------------------------------------- */

static enum err make_area(struct kernel *k, const struct kernel_cfg *cfg, const struct kernel_area *v)
{
    struct mm *m = kernel_mm(k);
    struct krun *r = &k->run;
    struct mm_op op;
    uint64_t npages;
    krun_begin(r);
    r->mode = KRUN_SILENT;
    if (mm_call(m, r, v->asid, KCALL_MMAP, v->a, &op) != MM_OK)
        return err_log(ERR_USAGE, "os.premap: the area of %llu bytes at %#llx cannot be made",
                       (unsigned long long)v->a[2], (unsigned long long)v->a[1]);
    if (!mm_populate(m, r, &op, v->asid, v->a[1], v->a[1] + v->a[2], &npages))
        return err_log(ERR_RUNTIME,
                       "os.premap: a simulated memory of %llu MiB does not hold the workload's area of "
                       "%llu MiB and its page tables; raise os.memory_size",
                       (unsigned long long)(cfg->params->memory_size >> 20),
                       (unsigned long long)(v->a[2] >> 20));
    k->npremapped += npages;
    return ERR_OK;
}

static enum err make_areas(struct kernel *k, const struct kernel_cfg *cfg)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; e == ERR_OK && i < cfg->nareas; i++)
        e = make_area(k, cfg, &cfg->areas[i]);
    return e;
}

static uint32_t *node_frames(const struct mm *m)
{
    uint32_t *pfns = calloc(m->node_high_water + 1, sizeof *pfns);
    if (pfns != NULL)
        mm_node_frames(m, pfns);
    else
        err_say("os.premap: no host memory for %u nodes", m->node_high_water);
    return pfns;
}

static enum err build_here(struct kernel *k, const struct kernel_cfg *cfg, const char *key,
                           struct premap_block *b, struct ptimage *p)
{
    struct mm *m = kernel_mm(k);
    enum err e = ptimage_begin(p, b->words, m->cfg.max_nodes, m->node_high_water);
    if (e == ERR_OK)
        e = make_areas(k, cfg);
    if (e != ERR_OK)
        return e;
    uint32_t *pfns = node_frames(m);
    if (pfns == NULL)
        return ERR_MEMORY;
    e = ptimage_end(p, b->words, m->cfg.max_nodes, m->node_high_water, pfns);
    b->nnodes = m->node_high_water;
    b->pfns = pfns;
    b->npages = k->npremapped;
    const char *path = cfg->params->premap_image;
    if (e == ERR_OK && path[0] != '\0')
        e = premap_image_save(path, key, b);
    free(pfns);
    return e;
}

enum err premap_build(struct kernel *k, const struct kernel_cfg *cfg, struct ptimage *p)
{
    *p = PTIMAGE_NONE;
    kernel_init(k, cfg);
    struct mm *m = kernel_mm(k);
    const struct mm_config mc = m->cfg;
    struct premap_block b = {.base = m, .bytes = mm_bytes(&mc), .words = mm_words(m)};
    char *key = premap_key(cfg);
    if (key == NULL)
        return err_log(ERR_MEMORY, "os.premap: no host memory");
    enum err e;
    const char *path = cfg->params->premap_image;
    if (path[0] != '\0' && premap_image_exists(path)) {
        e = premap_image_load(path, key, &b, p);
        k->npremapped = b.npages;
        m->cfg = mc; /* what is no part of the key is this run's */
    } else {
        e = build_here(k, cfg, key, &b, p);
    }
    for (uint32_t i = 0; i < cfg->nareas; i++)
        sched_map_done(kernel_sched(k), cfg->areas[i].asid, cfg->areas[i].a[0]);
    free(key);
    return e;
}
