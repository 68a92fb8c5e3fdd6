/* See mix.h. */
#include "cores/mix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mix {
    struct frontend base;
    struct frontend **parts;
    struct fe_program *programs;
    uint32_t *space_of_thread;
    char *description;
};

static enum err mix_load(struct frontend *fe, uint32_t thread, uint64_t block, struct fe_block *out)
{
    struct mix *m = (struct mix *)fe;
    uint32_t i = m->space_of_thread[thread];
    struct frontend *part = m->parts[i];
    enum err e = part->ops->load(part, thread - m->programs[i].first_thread, block, out);
    return e == ERR_OK ? e : err_log(e, "in program %u, %s", i, m->programs[i].name);
}

static void mix_piece(struct frontend *fe, uint32_t thread, uint32_t acc, struct fe_block *out)
{
    struct mix *m = (struct mix *)fe;
    uint32_t i = m->space_of_thread[thread];
    m->parts[i]->ops->piece(m->parts[i], thread - m->programs[i].first_thread, acc, out);
}

static void free_mix(struct mix *m)
{
    for (uint32_t i = 0; m->programs != NULL && i < m->base.nprograms; i++)
        free((void *)(uintptr_t)m->programs[i].name);
    free(m->programs);
    free(m->parts);
    free(m->space_of_thread);
    free(m->description);
    free(m);
}

static void mix_close(struct frontend *fe)
{
    struct mix *m = (struct mix *)fe;
    for (uint32_t i = 0; i < m->base.nprograms; i++)
        m->parts[i]->ops->close(m->parts[i]);
    free_mix(m);
}

static const struct frontend_ops mix_ops = {
    .name = "mix", .doc = "several programs at once, each in its own address space",
    .load = mix_load, .piece = mix_piece, .close = mix_close};

/* The name with the number of its repetition. NULL: no memory. */
static char *distinct_name(const struct mix_part *parts, uint32_t i)
{
    uint32_t n = 1;
    char *text = NULL;
    for (uint32_t k = 0; k < i; k++)
        n += strcmp(parts[k].name, parts[i].name) == 0;
    if (n == 1)
        return strdup(parts[i].name);
    return asprintf(&text, "%s#%u", parts[i].name, n) < 0 ? NULL : text;
}

static bool describe(struct mix *m)
{
    size_t size = 64;
    for (uint32_t i = 0; i < m->base.nprograms; i++)
        size += strlen(m->programs[i].name) + 2;
    m->description = malloc(size);
    if (m->description == NULL)
        return false;
    int n = snprintf(m->description, size, "mix of %u program%s:", m->base.nprograms,
                     m->base.nprograms == 1 ? "" : "s");
    for (uint32_t i = 0; i < m->base.nprograms; i++)
        n += snprintf(m->description + n, size - (size_t)n, "%s%s", i > 0 ? ", " : " ",
                      m->programs[i].name);
    m->base.description = m->description;
    return true;
}

static bool add_part(struct mix *m, const struct mix_part *parts, uint32_t i)
{
    struct frontend *fe = parts[i].fe, *base = &m->base;
    m->parts[i] = fe;
    m->programs[i] = (struct fe_program){
        .name = distinct_name(parts, i), .first_thread = base->nthreads, .nthreads = fe->nthreads,
        .all_start = fe->all_start, .vmas_inferred = fe->vmas_inferred};
    for (uint32_t t = 0; t < fe->nthreads; t++)
        m->space_of_thread[base->nthreads++] = i;
    base->all_start |= fe->all_start;
    base->vmas_inferred |= fe->vmas_inferred;
    base->ninstr += fe->ninstr;
    base->naccesses += fe->naccesses;
    return m->programs[i].name != NULL;
}

/* A sum with an unknown part is unknown. */
static void forget_unknown_sums(struct frontend *base, const struct mix_part *parts)
{
    for (uint32_t i = 0; i < base->nprograms; i++) {
        base->ninstr = parts[i].fe->ninstr == 0 ? 0 : base->ninstr;
        base->naccesses = parts[i].fe->naccesses == 0 ? 0 : base->naccesses;
    }
}

enum err mix_create(const struct mix_part *parts, uint32_t nparts, struct frontend **out)
{
    uint32_t nthreads = 0;
    for (uint32_t i = 0; i < nparts; i++)
        nthreads += parts[i].fe->nthreads;
    struct mix *m = calloc(1, sizeof *m);
    if (m == NULL)
        return err_log(ERR_MEMORY, "no host memory for a mix of %u programs", nparts);
    m->base = (struct frontend){.ops = &mix_ops, .nprograms = nparts};
    m->parts = calloc(nparts, sizeof(struct frontend *));
    m->programs = calloc(nparts, sizeof *m->programs);
    m->space_of_thread = calloc(nthreads, sizeof *m->space_of_thread);
    bool ok = m->parts != NULL && m->programs != NULL && m->space_of_thread != NULL;
    for (uint32_t i = 0; i < nparts && ok; i++)
        ok = add_part(m, parts, i);
    if (!ok || !describe(m)) {
        free_mix(m);
        return err_log(ERR_MEMORY, "no host memory for a mix of %u programs", nparts);
    }
    forget_unknown_sums(&m->base, parts);
    m->base.programs = m->programs;
    m->base.space_of_thread = m->space_of_thread;
    *out = &m->base;
    return ERR_OK;
}
