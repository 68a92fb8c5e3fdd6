/*
 * berti: for each instruction, the distances in lines that would have been timely (Navarro-Torres et
 * al., "Berti: an Accurate Local-Delta Data Prefetcher", MICRO 2022).
 *
 * A history keeps, by instruction, the lines that missed or were used for the first time after a
 * prefetch, and when. When such an access knows how long its line took, the history is searched for
 * earlier accesses of the same instruction that came at least that long before it, the youngest
 * first: a prefetch sent then would have been in time. Each gives a timely delta. The share of searches
 * in which a delta was timely is its coverage; after `round` searches, deltas above l1_percent are
 * prefetched into L1D, those above l2_percent into L2, and counting begins anew. In its first round an
 * instruction is helped by deltas of more than 80 % after half the searches. Each access asks for its
 * line plus every delta in use, the best level and the shortest first, up to `degree`.
 *
 * Sizes and percentages are those of the paper and its published source. Different here: latencies and
 * times are whole cycles, not 12 and 16 bits; instructions are told apart by a 32-bit hash instead of
 * 10 bits; every search counts, also one that finds nothing; a prefetch that demand caught up with
 * counts with its whole latency; one watermark for L2 instead of two (a delta between 35 and 50 % may
 * be replaced there); the load of the MSHRs does not move prefetches from L1D to L2
 * (prefetch.mshrs_left drops them); and prefetches cross pages only with prefetch.cross_page.
 */
#include "cores/prefetch.h"

#include <string.h>

#define NROWS(t) (uint32_t)(sizeof(t) / sizeof((t)[0]))
#define NDELTAS 16u
#define SEARCH_MOST 8u        /* timely deltas taken from one search */
#define DELTA_LINES 4096      /* 13 bits with the sign */
#define EARLY_PERCENT 80u

/* clang-format off */
static const struct param_desc rows[] = {
    PREFETCH_COUNT_ROW(prefetch_berti_params, history_sets, "set", "8", 1, 1024, "sets of the history, by instruction"),
    PREFETCH_COUNT_ROW(prefetch_berti_params, history_ways, "access", "16", 1, 1024, "accesses kept in each, first in, first out"),
    PREFETCH_COUNT_ROW(prefetch_berti_params, entries, "instruction", "16", 1, 1024, "instructions whose deltas are kept, 16 deltas each"),
    PREFETCH_COUNT_ROW(prefetch_berti_params, round, "search", "16", 2, 200, "searches after which deltas are judged"),
    PREFETCH_COUNT_ROW(prefetch_berti_params, l1_percent, "%", "65", 0, 100, "deltas timely in more than this share of searches are prefetched into L1D"),
    PREFETCH_COUNT_ROW(prefetch_berti_params, l2_percent, "%", "35", 0, 100, "of the rest, those above this share are prefetched into L2"),
    PREFETCH_COUNT_ROW(prefetch_berti_params, degree, "line", "12", 1, 16, "lines asked for by one access"),
};
/* clang-format on */

enum use { UNUSED, USE_L2, USE_L1D };

struct delta {
    int16_t lines; /* 0: a free place */
    uint8_t seen;  /* searches of this round in which it was timely */
    uint8_t use;
};

struct entry {
    uint32_t ip;
    uint16_t used, nsearches; /* of this round */
    uint32_t nin_use;         /* deltas [0, nin_use) are in use, in the order of asking */
    struct delta d[NDELTAS];
};

struct past {
    uint64_t line, cycle;
    uint32_t ip, used;
};

/* State: this head | history_sets positions | history_sets * history_ways pasts | entries */
struct berti {
    uint64_t next_entry; /* the one to be replaced next */
    uint64_t next_past[];
};

static struct past *history(struct berti *b, const struct prefetch_berti_params *p)
{
    return (struct past *)(b->next_past + p->history_sets);
}

static struct entry *entries(struct berti *b, const struct prefetch_berti_params *p)
{
    return (struct entry *)(history(b, p) + p->history_sets * p->history_ways);
}

static size_t state_bytes(const struct prefetch_params *params)
{
    const struct prefetch_berti_params *p = &params->berti;
    size_t set_bytes = sizeof(uint64_t) + p->history_ways * sizeof(struct past);
    return sizeof(struct berti) + p->history_sets * set_bytes + p->entries * sizeof(struct entry);
}

static struct entry *find_entry(struct berti *b, const struct prefetch_berti_params *p, uint32_t ip)
{
    struct entry *e = entries(b, p);
    for (uint64_t i = 0; i < p->entries; i++)
        if (e[i].ip == ip && e[i].used)
            return &e[i];
    return NULL;
}

static struct entry *new_entry(struct berti *b, const struct prefetch_berti_params *p, uint32_t ip)
{
    struct entry *e = &entries(b, p)[b->next_entry];
    b->next_entry = (b->next_entry + 1) % p->entries;
    memset(e, 0, sizeof *e);
    e->ip = ip;
    e->used = 1;
    return e;
}

/* ---- judging ---------------------------------------------------------------------------------- */

static int lines_of(const struct delta *d) { return d->lines < 0 ? -d->lines : d->lines; }

/* Is `a` asked for before `b`? */
static bool before(const struct delta *a, const struct delta *b)
{
    if (a->use != b->use)
        return a->use > b->use;
    return lines_of(a) != lines_of(b) ? lines_of(a) < lines_of(b) : a->lines > b->lines;
}

static void judge(struct entry *e, const struct prefetch_berti_params *p)
{
    e->nin_use = 0;
    for (uint32_t i = 0; i < NDELTAS; i++) {
        struct delta d = e->d[i];
        uint32_t share = d.seen * 100u, of = e->nsearches;
        d.use = d.lines == 0                 ? UNUSED
                : share > p->l1_percent * of ? USE_L1D
                : share > p->l2_percent * of ? USE_L2
                                             : UNUSED;
        d.seen = 0;
        e->nin_use += d.use != UNUSED;
        uint32_t at = i;
        for (; at > 0 && before(&d, &e->d[at - 1]); at--)
            e->d[at] = e->d[at - 1];
        e->d[at] = d;
    }
    e->nsearches = 0;
}

/* The place of a delta: its own, or that of one that is worth less; NULL: all are worth more. */
static struct delta *place_of(struct entry *e, int16_t lines)
{
    struct delta *worst = NULL;
    for (uint32_t i = 0; i < NDELTAS; i++) {
        struct delta *d = &e->d[i];
        if (d->lines == lines)
            return d;
        if (d->use == UNUSED && (worst == NULL || d->seen < worst->seen))
            worst = d;
    }
    if (worst != NULL)
        *worst = (struct delta){.lines = lines};
    return worst;
}

/* ---- searching -------------------------------------------------------------------------------- */

/* A line that the instruction missed several times in a row, while it was on its way, is kept once. */
static void remember(struct berti *b, const struct prefetch_berti_params *p, const struct prefetch_access *a)
{
    uint64_t set = a->ip % p->history_sets;
    uint64_t *next = &b->next_past[set], at = *next;
    struct past *h = history(b, p) + set * p->history_ways;
    for (uint64_t i = 0; i < p->history_ways; i++) {
        at = at == 0 ? p->history_ways - 1 : at - 1;
        if (!h[at].used)
            break;
        if (h[at].ip != a->ip)
            continue;
        if (h[at].line == a->addr >> LINE_SHIFT)
            return;
        break;
    }
    h[*next] = (struct past){.line = a->addr >> LINE_SHIFT, .cycle = a->cycle, .ip = a->ip, .used = 1};
    if (++*next == p->history_ways)
        *next = 0;
}

static bool contains(const int16_t *found, uint32_t n, int16_t lines)
{
    while (n > 0 && found[n - 1] != lines)
        n--;
    return n > 0;
}

/* The different deltas that would have been timely for an access at `cycle` that waited for `latency`. */
static uint32_t search(struct berti *b, const struct prefetch_berti_params *p, uint32_t ip, uint64_t line,
                       uint64_t cycle, uint64_t latency, int16_t found[SEARCH_MOST])
{
    uint64_t set = ip % p->history_sets, at = b->next_past[set];
    const struct past *h = history(b, p) + set * p->history_ways;
    uint32_t n = 0;
    for (uint64_t i = 0; i < p->history_ways && n < SEARCH_MOST; i++) {
        at = at == 0 ? p->history_ways - 1 : at - 1;
        if (!h[at].used)
            break;
        if (h[at].ip != ip || h[at].cycle + latency > cycle)
            continue;
        int64_t lines = (int64_t)(line - h[at].line);
        if (lines == 0)
            break; /* what lies before belongs to an earlier pass over the data */
        if (lines < DELTA_LINES && lines > -DELTA_LINES && !contains(found, n, (int16_t)lines))
            found[n++] = (int16_t)lines;
    }
    return n;
}

static void learn(struct berti *b, const struct prefetch_berti_params *p, uint32_t ip, uint64_t addr,
                  uint64_t cycle, uint64_t latency)
{
    int16_t found[SEARCH_MOST];
    uint32_t n = search(b, p, ip, addr >> LINE_SHIFT, cycle, latency, found);
    struct entry *e = find_entry(b, p, ip);
    if (e == NULL && n == 0)
        return;
    if (e == NULL)
        e = new_entry(b, p, ip);
    if (e->nsearches == p->round)
        judge(e, p);
    e->nsearches++;
    for (uint32_t i = 0; i < n; i++) {
        struct delta *d = place_of(e, found[i]);
        if (d != NULL)
            d->seen++;
    }
}

/* ---- asking ----------------------------------------------------------------------------------- */

static void ask(const struct prefetch_access *a, int lines, enum prefetch_to to, struct prefetch_list *out)
{
    prefetch_add(out, a, a->addr + (uint64_t)(lines * (int64_t)LINE_BYTES), to);
}

/* Nothing has been judged yet: what stands out already. */
static void ask_early(const struct entry *e, const struct prefetch_access *a, uint64_t degree,
                      struct prefetch_list *out)
{
    for (uint32_t i = 0; i < NDELTAS && degree > 0; i++)
        if (e->d[i].lines != 0 && e->d[i].seen * 100u > EARLY_PERCENT * e->nsearches) {
            ask(a, e->d[i].lines, PREFETCH_TO_HERE, out);
            degree--;
        }
}

static void access(void *state, const struct prefetch_params *params, const struct prefetch_access *a,
                   struct prefetch_list *out)
{
    const struct prefetch_berti_params *p = &params->berti;
    struct berti *b = state;
    if (a->event == PREFETCH_FIRST_USE)
        learn(b, p, a->ip, a->addr, a->cycle, a->latency);
    if (a->event != PREFETCH_HIT)
        remember(b, p, a);
    const struct entry *e = find_entry(b, p, a->ip);
    if (e == NULL)
        return;
    if (e->nin_use == 0 && e->nsearches * 2u >= p->round)
        ask_early(e, a, p->degree, out);
    for (uint32_t i = 0; i < e->nin_use && i < p->degree; i++)
        ask(a, e->d[i].lines, e->d[i].use == USE_L1D ? PREFETCH_TO_HERE : PREFETCH_TO_L2, out);
}

static void fill(void *state, const struct prefetch_params *params, const struct prefetch_fill *f)
{
    learn(state, &params->berti, f->ip, f->addr, f->cycle, f->latency);
}

const struct prefetch_ops prefetch_berti = {
    .name = "berti",
    .doc = "timely deltas of single instructions (MICRO 2022)",
    .places = PREFETCH_AT_L1D,
    .rows = rows,
    .nrows = NROWS(rows),
    .params_offset = offsetof(struct prefetch_params, berti),
    .state_bytes = state_bytes,
    .access = access,
    .fill = fill,
};
