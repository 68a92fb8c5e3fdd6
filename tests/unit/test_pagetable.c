/* Radix page tables over a fake word store. */
#include "mimicos/pagetable.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

enum { MAX_NODES = 600 };
struct fake {
    uint64_t word[MAX_NODES][512];
    bool used[MAX_NODES];
    unsigned nused, limit, nwrites;
    paddr_t last_write;
};

static uint64_t *word_at(struct fake *s, paddr_t a)
{
    CU_ASSERT_FATAL((a.v >> 12) < MAX_NODES && s->used[a.v >> 12]);
    return &s->word[a.v >> 12][(a.v >> 3) & 511];
}
static uint64_t fake_read8(void *ctx, paddr_t a) { return *word_at(ctx, a); }
static void fake_write8(void *ctx, paddr_t a, uint64_t v)
{
    struct fake *s = ctx;
    *word_at(s, a) = v;
    s->nwrites++;
    s->last_write = a;
}
static bool fake_alloc(void *ctx, pfn_t *out)
{
    struct fake *s = ctx;
    for (uint64_t i = 1; i < s->limit; i++)
        if (!s->used[i]) {
            s->used[i] = true;
            s->nused++;
            *out = (pfn_t){i};
            return true;
        }
    return false;
}
static void fake_free(void *ctx, pfn_t pfn)
{
    struct fake *s = ctx;
    CU_ASSERT_FATAL(s->used[pfn.v]);
    for (int i = 0; i < 512; i++)
        CU_ASSERT_EQUAL(s->word[pfn.v][i], 0);
    s->used[pfn.v] = false;
    s->nused--;
}

static struct fake g_fake;
static const struct pt_store g_store = {&g_fake, fake_read8, fake_write8, fake_alloc, fake_free};
static const struct pt_store *const st = &g_store;

static paddr_t open_table(const struct pt_format *f)
{
    memset(&g_fake, 0, sizeof g_fake);
    g_fake.limit = MAX_NODES;
    paddr_t root = {0};
    CU_ASSERT_EQUAL(f->create(f, st, &root), PT_OK);
    return root;
}

#define FLAGS (PTE_PRESENT | PTE_RW | PTE_USER)

static void check_first_map(const struct pt_format *f, unsigned levels)
{
    paddr_t root = open_table(f);
    vaddr_t va = {UINT64_C(0x7f1234567000)};
    CU_ASSERT_EQUAL(f->map(f, st, root, va, 12, pte_make((pfn_t){77}, FLAGS)), PT_OK);
    CU_ASSERT_EQUAL(g_fake.nwrites, levels);
    CU_ASSERT_EQUAL(g_fake.nused, levels);
    struct pt_entry e;
    f->lookup(f, st, root, (vaddr_t){va.v + 0x123}, &e);
    CU_ASSERT_EQUAL(e.nrefs, levels);
    CU_ASSERT_EQUAL(e.shift, 12);
    CU_ASSERT_EQUAL(e.va, va.v);
    CU_ASSERT_EQUAL(pte_pfn(e.value).v, 77);
    CU_ASSERT_EQUAL(e.paddr.v, g_fake.last_write.v);
    CU_ASSERT_EQUAL(f->map(f, st, root, va, 12, pte_make((pfn_t){78}, FLAGS)), PT_BUSY);
    CU_ASSERT_EQUAL(f->map(f, st, root, va, 21, pte_make((pfn_t){512}, FLAGS)), PT_BUSY);
}

static void a_four_level_walk_reads_four_words(void) { check_first_map(&pt_format_radix4, 4); }
static void a_five_level_walk_reads_five_words(void) { check_first_map(&pt_format_radix5, 5); }

static void a_walker_that_follows_the_entries_finds_the_same_leaf(void)
{
    const struct pt_format *f = &pt_format_radix4;
    paddr_t table = open_table(f);
    vaddr_t va = {UINT64_C(0x7f1234567abc)};
    f->map(f, st, table, va, 12, pte_make((pfn_t){77}, FLAGS));
    for (unsigned level = 4; level >= 1; level--) {
        uint64_t pte = fake_read8(&g_fake, radix_entry_paddr(4, level, table, va));
        CU_ASSERT(pte_present(pte));
        CU_ASSERT_EQUAL(pte_is_leaf(level, pte), level == 1);
        if (level == 1)
            CU_ASSERT_EQUAL(pte_paddr(level, pte, va).v, (77 << 12) + 0xabc);
        table = pte_table(pte);
    }
}

static void large_leaves_end_the_walk_early(void)
{
    const struct pt_format *f = &pt_format_radix4;
    paddr_t root = open_table(f);
    struct pt_entry e;
    CU_ASSERT_EQUAL(f->map(f, st, root, (vaddr_t){0x40000000}, 21, pte_make((pfn_t){1024}, FLAGS)),
                    PT_OK);
    f->lookup(f, st, root, (vaddr_t){0x40012345}, &e);
    CU_ASSERT_EQUAL(e.nrefs, 3);
    CU_ASSERT_EQUAL(e.shift, 21);
    CU_ASSERT_EQUAL(pte_paddr(2, e.value, (vaddr_t){0x40012345}).v, (1024 << 12) + 0x12345);
    CU_ASSERT_EQUAL(f->map(f, st, root, (vaddr_t){UINT64_C(3) << 30}, 30,
                           pte_make((pfn_t){UINT64_C(1) << 18}, FLAGS)), PT_OK);
    f->lookup(f, st, root, (vaddr_t){(UINT64_C(3) << 30) + 5}, &e);
    CU_ASSERT_EQUAL(e.nrefs, 2);
    CU_ASSERT_EQUAL(e.shift, 30);
}

static void a_lookup_of_nothing_names_the_empty_range(void)
{
    const struct pt_format *f = &pt_format_radix4;
    paddr_t root = open_table(f);
    struct pt_entry e;
    f->lookup(f, st, root, (vaddr_t){0x12345678}, &e);
    CU_ASSERT_EQUAL(e.value, 0);
    CU_ASSERT_EQUAL(e.shift, 39);
    f->map(f, st, root, (vaddr_t){0x1000}, 12, pte_make((pfn_t){1}, FLAGS));
    f->lookup(f, st, root, (vaddr_t){0x12345678}, &e);
    CU_ASSERT_EQUAL(e.shift, 21);
}

static void a_split_keeps_every_translation(void)
{
    const struct pt_format *f = &pt_format_radix4;
    paddr_t root = open_table(f);
    struct pt_entry e;
    f->map(f, st, root, (vaddr_t){0x200000}, 21, pte_make((pfn_t){1024}, FLAGS | PTE_DIRTY));
    f->lookup(f, st, root, (vaddr_t){0x200000}, &e);
    CU_ASSERT_EQUAL(f->split(f, st, root, &e), PT_OK);
    for (uint64_t i = 0; i < 512; i++) {
        f->lookup(f, st, root, (vaddr_t){0x200000 + (i << 12)}, &e);
        CU_ASSERT_EQUAL(e.shift, 12);
        CU_ASSERT_EQUAL(e.value, pte_make((pfn_t){1024 + i}, FLAGS | PTE_DIRTY));
    }
}

static void pruning_frees_empty_nodes_only(void)
{
    const struct pt_format *f = &pt_format_radix4;
    paddr_t root = open_table(f);
    struct pt_entry e;
    f->map(f, st, root, (vaddr_t){0x1000}, 12, pte_make((pfn_t){1}, FLAGS));
    f->map(f, st, root, (vaddr_t){0x200000}, 12, pte_make((pfn_t){2}, FLAGS));
    CU_ASSERT_EQUAL(g_fake.nused, 5);
    f->lookup(f, st, root, (vaddr_t){0x1000}, &e);
    f->unmap(f, st, root, &e);
    CU_ASSERT_EQUAL(f->prune(f, st, root, (vaddr_t){0x1000}), 1);
    CU_ASSERT_EQUAL(f->prune(f, st, root, (vaddr_t){0x200000}), 0);
    f->lookup(f, st, root, (vaddr_t){0x200000}, &e);
    f->unmap(f, st, root, &e);
    CU_ASSERT_EQUAL(f->prune(f, st, root, (vaddr_t){0x200000}), 3);
    CU_ASSERT_EQUAL(g_fake.nused, 1);
}

static void running_out_of_nodes_is_an_answer(void)
{
    const struct pt_format *f = &pt_format_radix4;
    paddr_t root = open_table(f);
    g_fake.limit = 3;
    CU_ASSERT_EQUAL(f->map(f, st, root, (vaddr_t){0x1000}, 12, pte_make((pfn_t){1}, FLAGS)), PT_NOMEM);
    g_fake.limit = MAX_NODES;
    CU_ASSERT_EQUAL(f->map(f, st, root, (vaddr_t){0x1000}, 12, pte_make((pfn_t){1}, FLAGS)), PT_OK);
}

static uint64_t next_random(uint64_t *x)
{
    *x = *x * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return *x >> 33;
}

enum { NKEYS = 400 };
static uint64_t g_key[NKEYS], g_value[NKEYS];

/* The dictionary's next mapped key at or after `va`, by search. */
static int dict_next(uint64_t va, uint64_t end)
{
    int best = -1;
    for (int i = 0; i < NKEYS; i++)
        if (g_value[i] != 0 && g_key[i] >= va && g_key[i] < end &&
            (best < 0 || g_key[i] < g_key[best]))
            best = i;
    return best;
}

static void check_random(const struct pt_format *f)
{
    paddr_t root = open_table(f);
    uint64_t x = 7;
    struct pt_entry e;
    for (int i = 0; i < NKEYS; i++) {
        g_key[i] = ((next_random(&x) % 3) << 39) + ((next_random(&x) % 4) << 30) +
                   ((next_random(&x) % 6) << 21) + ((uint64_t)i << 12);
        g_value[i] = 0;
    }
    for (int step = 0; step < 10000; step++) {
        int i = (int)(next_random(&x) % NKEYS);
        f->lookup(f, st, root, (vaddr_t){g_key[i]}, &e);
        CU_ASSERT_EQUAL(e.value, g_value[i]);
        if (g_value[i] == 0) {
            g_value[i] = pte_make((pfn_t){1 + next_random(&x) % 1000}, FLAGS);
            CU_ASSERT_EQUAL(f->map(f, st, root, (vaddr_t){g_key[i]}, 12, g_value[i]), PT_OK);
        } else if (next_random(&x) % 2) {
            g_value[i] ^= PTE_RW;
            f->update(f, st, root, &e, g_value[i]);
        } else {
            g_value[i] = 0;
            f->unmap(f, st, root, &e);
            f->prune(f, st, root, (vaddr_t){g_key[i]});
        }
        uint64_t from = next_random(&x) % 3 << 39, end = from + (next_random(&x) << 10);
        int k = dict_next(from, end);
        bool found = f->next(f, st, root, (vaddr_t){from}, end, &e);
        CU_ASSERT_EQUAL(found, k >= 0);
        if (found && k >= 0)
            CU_ASSERT_EQUAL(e.va, g_key[k]);
    }
    for (int i = 0; i < NKEYS; i++)
        if (g_value[i] != 0) {
            f->lookup(f, st, root, (vaddr_t){g_key[i]}, &e);
            f->unmap(f, st, root, &e);
            f->prune(f, st, root, (vaddr_t){g_key[i]});
        }
    CU_ASSERT_EQUAL(g_fake.nused, 1);
}

static void random_mappings_agree_with_a_dictionary(void)
{
    for (uint64_t i = 0; pt_format_names[i] != NULL; i++) {
        CU_ASSERT_STRING_EQUAL(pt_format_at(i)->name, pt_format_names[i]);
        check_random(pt_format_at(i));
    }
}

UNIT_MAIN("mimicos/pagetable", UNIT(a_four_level_walk_reads_four_words),
          UNIT(a_five_level_walk_reads_five_words),
          UNIT(a_walker_that_follows_the_entries_finds_the_same_leaf),
          UNIT(large_leaves_end_the_walk_early), UNIT(a_lookup_of_nothing_names_the_empty_range),
          UNIT(a_split_keeps_every_translation), UNIT(pruning_frees_empty_nodes_only),
          UNIT(running_out_of_nodes_is_an_answer), UNIT(random_mappings_agree_with_a_dictionary))
