/* Binary buddy allocator; see buddy.h. */
#include "mimicos/buddy.h"

#include <string.h>

#include "pdes/err.h"
#include "pdes/rng.h"

#define RNG_KIND_BUDDY UINT64_C(0x6275646479) /* own number space of draws */
#define REGION_FRAMES (UINT64_C(1) << BUDDY_HUGE_ORDER)
#define REGIONS_PER_BLOCK (BUDDY_BLOCK_FRAMES / REGION_FRAMES)
#define BLOCK_WORDS (BUDDY_BLOCK_FRAMES / 64)

enum frame_state { FRAME_NONE, FRAME_FREE, FRAME_ALLOCATED, FRAME_POOL /* a free giant */ };

/* Valid for first frames of blocks only; every other record is FRAME_NONE. */
struct frame {
    uint32_t next, prev; /* free: pfn + 1 of neighbours in the list; allocated: the owner's words */
    uint8_t state;       /* enum frame_state */
    uint8_t order;
    uint16_t reserved;
};

static struct frame *frame_at(const struct buddy *b, uint64_t pfn)
{
    return (struct frame *)(uintptr_t)(b + 1) + pfn;
}

/* ---- free lists ------------------------------------------------------------------------------ */

static void list_push(struct buddy *b, uint64_t pfn, unsigned order)
{
    struct frame *f = frame_at(b, pfn);
    *f = (struct frame){.next = b->head[order], .state = FRAME_FREE, .order = (uint8_t)order};
    if (f->next != 0)
        frame_at(b, f->next - 1)->prev = (uint32_t)pfn + 1;
    b->head[order] = (uint32_t)pfn + 1;
    b->nblocks[order]++;
}

static void list_remove(struct buddy *b, uint64_t pfn)
{
    struct frame *f = frame_at(b, pfn);
    if (f->prev != 0)
        frame_at(b, f->prev - 1)->next = f->next;
    else
        b->head[f->order] = f->next;
    if (f->next != 0)
        frame_at(b, f->next - 1)->prev = f->prev;
    b->nblocks[f->order]--;
    *f = (struct frame){.state = FRAME_NONE};
}

/* ---- the pool of 1 GiB pages ----------------------------------------------------------------- */

static void pool_push(struct buddy *b, uint64_t pfn)
{
    *frame_at(b, pfn) = (struct frame){.next = b->pool_head, .state = FRAME_POOL,
                                       .order = BUDDY_GIANT_ORDER};
    b->pool_head = (uint32_t)pfn + 1;
    b->npool_free++;
}

static uint64_t pool_blocks(const struct buddy *b) { return b->pool_end - b->pool_first; }

static void pool_init(struct buddy *b)
{
    uint64_t end = b->cfg.nframes / BUDDY_GIANT_FRAMES * BUDDY_GIANT_FRAMES;
    for (uint64_t i = 0; i < b->cfg.ngiants; i++)
        pool_push(b, end - (i + 1) * BUDDY_GIANT_FRAMES);
    b->pool_end = end / BUDDY_BLOCK_FRAMES;
    b->pool_first = b->pool_end - b->cfg.ngiants * (BUDDY_GIANT_FRAMES / BUDDY_BLOCK_FRAMES);
}

/* `block`, or the first one behind the pool when it lies at its beginning. */
static uint64_t skip_pool(const struct buddy *b, uint64_t block)
{
    return block == b->pool_first ? b->pool_end : block;
}

/* ---- the scattered state --------------------------------------------------------------------- */

/* Items that slot `i` of `nslots` gets when `n` are dealt evenly; the sum over all slots is n. */
static uint64_t share(uint64_t n, uint64_t nslots, uint64_t i)
{
    __extension__ typedef unsigned __int128 u128;
    return (uint64_t)((u128)n * (i + 1) / nslots) - (uint64_t)((u128)n * i / nslots);
}

static uint64_t share_before(uint64_t n, uint64_t nslots, uint64_t i)
{
    __extension__ typedef unsigned __int128 u128;
    return (uint64_t)((u128)n * i / nslots);
}

static void mark_used(uint64_t *used, uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++)
        used[i / 64] |= UINT64_C(1) << (i % 64);
}

/* Occupies exactly `n` of the region's pieces, each choice of places being equally likely. */
static void scatter_region(const struct buddy *b, uint64_t block, uint64_t region, uint64_t n,
                           uint64_t *used)
{
    uint64_t order = b->cfg.scatter_order, nplaces = REGION_FRAMES >> order;
    uint64_t left = n;
    for (uint64_t i = 0; i < nplaces && left > 0; i++) {
        uint64_t draw = rng_draw(b->cfg.seed, RNG_KIND_BUDDY, block, 1 + region, i);
        if (rng_below(draw, nplaces - i) >= left)
            continue;
        mark_used(used, region * REGION_FRAMES + (i << order), UINT64_C(1) << order);
        left--;
    }
}

/* One bit per frame of `block`: occupied for good. Depends on the configuration only. */
static void scatter_block(const struct buddy *b, uint64_t block, uint64_t used[BLOCK_WORDS])
{
    memset(used, 0, BLOCK_WORDS * sizeof *used);
    uint64_t first = b->cfg.nreserved / BUDDY_BLOCK_FRAMES;
    uint64_t n = b->end_virgin - first - pool_blocks(b);
    if (b->npieces == 0)
        return;
    uint64_t at = block - first - (block >= b->pool_end ? pool_blocks(b) : 0);
    uint64_t broken = share(b->nbroken, n, at);
    uint64_t rank = share_before(b->nbroken, n, at);
    uint64_t draw = rng_draw(b->cfg.seed, RNG_KIND_BUDDY, block, 0, 0);
    uint64_t region = broken == 1 ? rng_below(draw, REGIONS_PER_BLOCK) : 0;
    for (uint64_t i = 0; i < broken; i++)
        scatter_region(b, block, region + i, share(b->npieces, b->nbroken, rank + i), used);
}

static bool any_used(const uint64_t *used, uint64_t first, uint64_t n)
{
    if (n < 64)
        return (used[first / 64] >> (first % 64) & ((UINT64_C(1) << n) - 1)) != 0;
    for (uint64_t i = first / 64; i < (first + n) / 64; i++)
        if (used[i] != 0)
            return true;
    return false;
}

/*
 * The free blocks of a block with occupied frames, largest first at each place: `pfns` and `orders`
 * have room for BUDDY_BLOCK_FRAMES. Returns their number.
 */
static unsigned free_pieces(const uint64_t *used, uint16_t *places, uint8_t *orders)
{
    unsigned n = 0;
    for (uint64_t at = 0; at < BUDDY_BLOCK_FRAMES;) {
        if (any_used(used, at, 1)) {
            at++;
            continue;
        }
        unsigned order = at == 0 ? BUDDY_MAX_ORDER : (unsigned)__builtin_ctzll(at);
        while (any_used(used, at, UINT64_C(1) << order))
            order--;
        places[n] = (uint16_t)at;
        orders[n++] = (uint8_t)order;
        at += UINT64_C(1) << order;
    }
    return n;
}

/* Puts the next virgin block's free pieces into the lists, low addresses first to be taken. */
static void carve(struct buddy *b)
{
    uint64_t used[BLOCK_WORDS];
    uint16_t places[BUDDY_BLOCK_FRAMES];
    uint8_t orders[BUDDY_BLOCK_FRAMES];
    uint64_t block = b->next_virgin;
    b->next_virgin = skip_pool(b, block + 1);
    scatter_block(b, block, used);
    unsigned n = free_pieces(used, places, orders);
    for (unsigned i = n; i-- > 0;) {
        list_push(b, block * BUDDY_BLOCK_FRAMES + places[i], orders[i]);
        b->nvirgin_blocks[orders[i]]--;
    }
}

static void count_virgin(struct buddy *b)
{
    if (b->npieces == 0) {
        b->nvirgin_blocks[BUDDY_MAX_ORDER] =
            b->end_virgin - b->cfg.nreserved / BUDDY_BLOCK_FRAMES - pool_blocks(b);
        return;
    }
    for (uint64_t block = b->next_virgin; block < b->end_virgin;
         block = skip_pool(b, block + 1)) {
        uint64_t used[BLOCK_WORDS];
        uint16_t places[BUDDY_BLOCK_FRAMES];
        uint8_t orders[BUDDY_BLOCK_FRAMES];
        scatter_block(b, block, used);
        unsigned n = free_pieces(used, places, orders);
        for (unsigned i = 0; i < n; i++)
            b->nvirgin_blocks[orders[i]]++;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

const char *buddy_config_error(const struct buddy_config *cfg)
{
    if (cfg->nframes == 0 || cfg->nframes % BUDDY_BLOCK_FRAMES != 0)
        return "the memory size must be a multiple of 4 MiB";
    if (cfg->nframes >= UINT32_MAX)
        return "the memory size must be below 16 TiB";
    if (cfg->nreserved % BUDDY_BLOCK_FRAMES != 0 || cfg->nreserved >= cfg->nframes)
        return "the reserved part must be a multiple of 4 MiB and smaller than the memory";
    uint64_t ngiants_most = cfg->nframes / BUDDY_GIANT_FRAMES;
    ngiants_most -= u64_min(ngiants_most, (cfg->nreserved + BUDDY_GIANT_FRAMES - 1) / BUDDY_GIANT_FRAMES);
    if (cfg->ngiants > ngiants_most)
        return "the memory (os.memory_size) has no room for so many 1 GiB pages (os.hugepages_1g) beside its reserved part";
    if (cfg->scatter_order >= BUDDY_HUGE_ORDER)
        return "occupied pieces must be smaller than 2 MiB";
    if (cfg->scatter_regions_permille > 1000)
        return "the share of broken 2 MiB regions must be at most 1000 per mille";
    if (cfg->scatter_used_permille > cfg->scatter_regions_permille)
        return "the occupied share must not exceed the share of broken 2 MiB regions";
    return NULL;
}

size_t buddy_bytes(const struct buddy_config *cfg)
{
    return sizeof(struct buddy) + cfg->nframes * sizeof(struct frame);
}

void buddy_init(struct buddy *b, const struct buddy_config *cfg)
{
    SIM_ASSERT(buddy_config_error(cfg) == NULL, "buddy: %s", buddy_config_error(cfg));
    *b = (struct buddy){.cfg = *cfg};
    pool_init(b);
    uint64_t nopen = cfg->nframes - cfg->nreserved - cfg->ngiants * BUDDY_GIANT_FRAMES;
    uint64_t nregions = nopen / REGION_FRAMES;
    b->next_virgin = skip_pool(b, cfg->nreserved / BUDDY_BLOCK_FRAMES);
    b->end_virgin = cfg->nframes / BUDDY_BLOCK_FRAMES;
    b->nbroken = nregions * cfg->scatter_regions_permille / 1000;
    b->npieces = (nopen * cfg->scatter_used_permille / 1000) >> cfg->scatter_order;
    b->npieces = u64_min(b->npieces, b->nbroken * (REGION_FRAMES >> cfg->scatter_order));
    b->nbroken = u64_min(b->nbroken, b->npieces);
    b->nused = cfg->nframes - nopen + (b->npieces << cfg->scatter_order);
    b->nfree = cfg->nframes - b->nused;
    count_virgin(b);
}

/* The smallest order >= `order` with a free block in a list; BUDDY_NORDERS: none. */
static unsigned find_order(const struct buddy *b, unsigned order)
{
    while (order < BUDDY_NORDERS && b->head[order] == 0)
        order++;
    return order;
}

static bool virgin_has(const struct buddy *b, unsigned order)
{
    for (; order < BUDDY_NORDERS; order++)
        if (b->nvirgin_blocks[order] != 0)
            return true;
    return false;
}

enum buddy_result buddy_alloc(struct buddy *b, unsigned order, pfn_t *pfn_out,
                              unsigned *nsplits_out)
{
    SIM_ASSERT(order <= BUDDY_MAX_ORDER, "buddy: order %u", order);
    unsigned from = find_order(b, order);
    while (from == BUDDY_NORDERS && virgin_has(b, order)) {
        carve(b);
        from = find_order(b, order);
    }
    if (from == BUDDY_NORDERS) {
        b->nfailed++;
        return BUDDY_NOMEM;
    }
    uint64_t pfn = b->head[from] - 1;
    list_remove(b, pfn);
    for (unsigned o = from; o-- > order;)
        list_push(b, pfn + (UINT64_C(1) << o), o);
    *frame_at(b, pfn) = (struct frame){.state = FRAME_ALLOCATED, .order = (uint8_t)order};
    b->nsplits += from - order;
    b->nallocs++;
    b->nfree -= UINT64_C(1) << order;
    b->nused += UINT64_C(1) << order;
    if (nsplits_out != NULL)
        *nsplits_out = from - order;
    *pfn_out = (pfn_t){pfn};
    return BUDDY_OK;
}

enum buddy_result buddy_alloc_giant(struct buddy *b, pfn_t *pfn_out)
{
    if (b->pool_head == 0) {
        b->nfailed++;
        return BUDDY_NOMEM;
    }
    *pfn_out = (pfn_t){b->pool_head - 1};
    struct frame *f = frame_at(b, pfn_out->v);
    b->pool_head = f->next;
    b->npool_free--;
    *f = (struct frame){.state = FRAME_ALLOCATED, .order = BUDDY_GIANT_ORDER};
    b->nallocs++;
    return BUDDY_OK;
}

bool buddy_is_allocated(const struct buddy *b, pfn_t pfn, unsigned *order_out)
{
    if (pfn.v >= b->cfg.nframes || frame_at(b, pfn.v)->state != FRAME_ALLOCATED)
        return false;
    if (order_out != NULL)
        *order_out = frame_at(b, pfn.v)->order;
    return true;
}

unsigned buddy_free(struct buddy *b, pfn_t pfn)
{
    unsigned order = 0;
    SIM_ASSERT(buddy_is_allocated(b, pfn, &order), "buddy: frame %#llx is not an allocated block",
               (unsigned long long)pfn.v);
    if (order == BUDDY_GIANT_ORDER) {
        b->nfrees++;
        pool_push(b, pfn.v);
        return order;
    }
    unsigned freed = order;
    uint64_t at = pfn.v;
    frame_at(b, at)->state = FRAME_NONE;
    for (; order < BUDDY_MAX_ORDER; order++) {
        uint64_t other = at ^ (UINT64_C(1) << order);
        const struct frame *f = frame_at(b, other);
        if (f->state != FRAME_FREE || f->order != order)
            break;
        list_remove(b, other);
        at &= ~(UINT64_C(1) << order);
        b->nmerges++;
    }
    list_push(b, at, order);
    b->nfrees++;
    b->nfree += UINT64_C(1) << freed;
    b->nused -= UINT64_C(1) << freed;
    return freed;
}

void buddy_split_allocated(struct buddy *b, pfn_t pfn)
{
    unsigned order = 0;
    SIM_ASSERT(buddy_is_allocated(b, pfn, &order), "buddy: frame %#llx is not an allocated block",
               (unsigned long long)pfn.v);
    unsigned piece = order == BUDDY_GIANT_ORDER ? BUDDY_HUGE_ORDER : 0;
    for (uint64_t i = 0; i < UINT64_C(1) << order; i += UINT64_C(1) << piece)
        *frame_at(b, pfn.v + i) = (struct frame){.state = FRAME_ALLOCATED, .order = (uint8_t)piece};
}

void buddy_join_allocated(struct buddy *b, pfn_t pfn, unsigned order)
{
    SIM_ASSERT(order <= BUDDY_MAX_ORDER && (pfn.v & ((UINT64_C(1) << order) - 1)) == 0,
               "buddy: frame %#llx is no place for order %u", (unsigned long long)pfn.v, order);
    for (uint64_t i = 0; i < UINT64_C(1) << order; i++) {
        struct frame *f = frame_at(b, pfn.v + i);
        SIM_ASSERT(f->state == FRAME_ALLOCATED && f->order == 0,
                   "buddy: frame %#llx is not an allocated single frame",
                   (unsigned long long)(pfn.v + i));
        *f = (struct frame){.state = FRAME_NONE};
    }
    *frame_at(b, pfn.v) = (struct frame){.state = FRAME_ALLOCATED, .order = (uint8_t)order};
}

static struct frame *owned(struct buddy *b, pfn_t pfn)
{
    SIM_ASSERT(buddy_is_allocated(b, pfn, NULL), "buddy: frame %#llx is not an allocated block",
               (unsigned long long)pfn.v);
    return frame_at(b, pfn.v);
}

uint32_t *buddy_owner_link(struct buddy *b, pfn_t pfn) { return &owned(b, pfn)->next; }
uint32_t *buddy_owner_tag(struct buddy *b, pfn_t pfn) { return &owned(b, pfn)->prev; }

/* ---- metrics --------------------------------------------------------------------------------- */

uint64_t buddy_free_blocks(const struct buddy *b, unsigned order)
{
    return b->nblocks[order] + b->nvirgin_blocks[order];
}

uint64_t buddy_unusable_permille(const struct buddy *b, unsigned order)
{
    if (b->nfree == 0)
        return 0;
    uint64_t usable = 0;
    for (unsigned o = order; o < BUDDY_NORDERS; o++)
        usable += buddy_free_blocks(b, o) << o;
    return (b->nfree - usable) * 1000 / b->nfree;
}

int64_t buddy_extfrag_index(const struct buddy *b, unsigned order)
{
    uint64_t nblocks = 0;
    for (unsigned o = 0; o < BUDDY_NORDERS; o++) {
        nblocks += buddy_free_blocks(b, o);
        if (o >= order && buddy_free_blocks(b, o) != 0)
            return -1000;
    }
    if (nblocks == 0)
        return 0;
    return 1000 - (int64_t)((1000 + b->nfree * 1000 / (UINT64_C(1) << order)) / nblocks);
}

void buddy_verify(const struct buddy *b)
{
    SIM_ASSERT(b->nused + b->nfree == b->cfg.nframes, "buddy: %llu used + %llu free of %llu",
               (unsigned long long)b->nused, (unsigned long long)b->nfree,
               (unsigned long long)b->cfg.nframes);
    uint64_t nfree = 0;
    for (unsigned o = 0; o < BUDDY_NORDERS; o++) {
        uint64_t n = 0;
        for (uint32_t at = b->head[o]; at != 0; at = frame_at(b, at - 1)->next, n++) {
            const struct frame *f = frame_at(b, at - 1);
            SIM_ASSERT(f->state == FRAME_FREE && f->order == o, "buddy: frame %#x in list %u", at - 1,
                       o);
            const struct frame *other = frame_at(b, (at - 1) ^ (1u << o));
            SIM_ASSERT(o == BUDDY_MAX_ORDER || other->state != FRAME_FREE || other->order != o,
                       "buddy: frame %#x and its buddy are both free", at - 1);
        }
        SIM_ASSERT(n == b->nblocks[o], "buddy: list %u has %llu of %llu", o, (unsigned long long)n,
                   (unsigned long long)b->nblocks[o]);
        nfree += buddy_free_blocks(b, o) << o;
    }
    uint64_t npool = 0;
    for (uint32_t at = b->pool_head; at != 0; at = frame_at(b, at - 1)->next, npool++)
        SIM_ASSERT(frame_at(b, at - 1)->state == FRAME_POOL, "buddy: frame %#x in the pool", at - 1);
    SIM_ASSERT(npool == b->npool_free, "buddy: the pool has %llu of %llu free pages",
               (unsigned long long)npool, (unsigned long long)b->npool_free);
    SIM_ASSERT(nfree == b->nfree, "buddy: lists hold %llu of %llu free frames",
               (unsigned long long)nfree, (unsigned long long)b->nfree);
}
