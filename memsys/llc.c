/* See llc.h. Layout: head | array | channels | buckets | misses | requests | writes. */
#include "memsys/llc.h"

#include "memsys/clock.h"
#include "memsys/dram.h"
#include "pdes/rng.h"

enum { RNG_KIND_LLC = 0x4c4c43 };

/* Parts start on host cache lines. */
static size_t round_up(size_t n) { return (n + 63) & ~(size_t)63; }

static struct sarray *array_of(struct llc *l) { return (void *)((char *)l + round_up(sizeof *l)); }
static struct llc_channel *channel_at(struct llc *l, uint32_t i) { return llc_channel_at(l, i); }
static uint32_t *bucket_at(struct llc *l, uint32_t i)
{
    return (uint32_t *)(void *)((char *)l + l->buckets_at) + i;
}
static struct llc_miss *miss_at(struct llc *l, uint32_t i) { return llc_miss_at(l, i); }
static struct llc_request *request_at(struct llc *l, uint32_t i)
{
    return (struct llc_request *)(void *)((char *)l + l->requests_at) + i;
}
static struct llc_write *write_at(struct llc *l, uint32_t i)
{
    return (struct llc_write *)(void *)((char *)l + l->writes_at) + i;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

/* Misses and requests: each is paid for by a core's credit. */
static uint32_t nbuckets_of(const struct llc_config *c)
{
    uint32_t n = 16;
    while (n < c->nrequests_max && n < 4096)
        n *= 2;
    return n;
}

/*
 * Writes: one per write-back credit, and those of fills: no read departs while `victims` of them
 * are held, so at most the reads then under way can add to them.
 */
static uint32_t nwrites_of(const struct llc_config *c)
{
    uint64_t reads = u64_min((uint64_t)c->nchannels * c->dram_reads, c->nrequests_max);
    return (uint32_t)(c->nrequests_max + c->victims + reads);
}

/* Offsets of the parts into `l` (which is only a head); returns the size of all. */
static size_t lay_out(struct llc *l, const struct llc_config *c)
{
    size_t at = round_up(sizeof *l);
    at += round_up(sarray_bytes(&c->array));
    l->channels_at = at;
    at += round_up(c->nchannels * sizeof(struct llc_channel));
    l->buckets_at = at;
    at += round_up(nbuckets_of(c) * sizeof(uint32_t));
    l->misses_at = at;
    at += round_up(c->nrequests_max * sizeof(struct llc_miss));
    l->requests_at = at;
    at += round_up(c->nrequests_max * sizeof(struct llc_request));
    l->writes_at = at;
    at += round_up(nwrites_of(c) * sizeof(struct llc_write));
    return at;
}

size_t llc_state_bytes(const struct llc_config *c)
{
    struct llc head;
    return lay_out(&head, c);
}

void llc_init(struct llc *l, const struct llc_config *c, uint32_t slice)
{
    lay_out(l, c);
    struct sarray_cfg array = c->array;
    array.seed = rng_draw(array.seed, RNG_KIND_LLC, slice, 0, 0);
    sarray_init(array_of(l), &array);
    for (uint32_t i = 0; i < c->nchannels; i++)
        *channel_at(l, i) = (struct llc_channel){
            .read_credits = c->dram_reads,
            .write_credits = c->dram_writes,
            .reads = {LLC_NIL, LLC_NIL},
            .writes = {LLC_NIL, LLC_NIL},
        };
    l->bucket_shift = 64 - log2_floor(nbuckets_of(c));
    for (uint32_t i = 0; i < nbuckets_of(c); i++)
        *bucket_at(l, i) = LLC_NIL;
    l->miss_free = l->request_free = l->write_free = l->express = LLC_NIL;
    for (uint32_t i = c->nrequests_max; i-- > 0;) {
        miss_at(l, i)->hash_next = l->miss_free;
        l->miss_free = i;
        request_at(l, i)->next = l->request_free;
        l->request_free = i;
    }
    for (uint32_t i = nwrites_of(c); i-- > 0;) {
        write_at(l, i)->next = l->write_free;
        l->write_free = i;
    }
}

/* ---- places and banks ----------------------------------------------------------------------- */

static uint64_t number_of(paddr_t line) { return line.v >> LINE_SHIFT; }

/* The slice takes one line of each group of nslices, so the group's number indexes its sets. */
static uint32_t set_of(const struct llc_config *c, paddr_t line)
{
    if (c->set_mask != 0)
        return (uint32_t)(number_of(line) >> c->set_shift) & c->set_mask;
    return (uint32_t)(number_of(line) / c->nslices % c->array.nsets);
}

static inline simtime_t edge_of(const struct llc_config *c, simtime_t now)
{
    return clock_edge(now, c->period_fs, c->period_reciprocal);
}

/* When the access that arrives at `now` gets its bank, which it then keeps busy. */
static simtime_t take_bank(struct llc *l, const struct llc_config *c, uint32_t set, simtime_t now)
{
    uint32_t bank = set & c->bank_mask;
    if (c->bank_mask == 0)
        bank = set % c->nbanks;
    simtime_t *bank_free = &l->bank_free[bank];
    simtime_t edge = edge_of(c, now), start = u64_max(edge, *bank_free);
    l->bank_wait_fs += start - edge; /* whole cycles: both are edges */
    *bank_free = start + c->busy_fs;
    return start;
}

/* ---- what a line remembers ------------------------------------------------------------------ */

static enum line_kind kind_of(uint64_t data) { return (enum line_kind)(data & LLC_KIND_MASK); }

static uint64_t new_line(enum line_kind kind, uint32_t core)
{
    return (uint64_t)kind | (uint64_t)core << LLC_CORE_SHIFT;
}

/* Notes a use by `core`, and counts it if several cores use the line and one of them wrote. */
static uint64_t use_line(struct llc *l, uint64_t data, enum line_kind kind, uint32_t core,
                         bool is_write)
{
    if (kind_of(data) != kind) { /* the frame has changed its purpose */
        l->stats.lines[kind_of(data)]--;
        l->stats.lines[kind]++;
        data = (data & ~LLC_KIND_MASK) | (uint64_t)kind;
    }
    if ((data & LLC_CORE_MASK) >> LLC_CORE_SHIFT != core)
        data |= LLC_MANY;
    if (is_write)
        data |= LLC_WRITTEN;
    l->stats.write_shared[kind] += (data & LLC_MANY) && (data & LLC_WRITTEN);
    return data;
}

/* ---- held requests to memory ---------------------------------------------------------------- */

static uint32_t channel_of(const struct llc_config *c, paddr_t line)
{
    if (__builtin_expect(c->channel_bits != LLC_NIL, 1))
        return dram_channel_of_bits(c->channel_bits, c->channel_hash, line);
    return dram_channel_of(c->nchannels, c->channel_hash, line);
}

static void enqueue_read(struct llc *l, uint32_t idx)
{
    struct llc_miss *m = miss_at(l, idx);
    struct llc_queue *q = &channel_at(l, m->channel)->reads;
    m->held_next = LLC_NIL;
    if (q->first == LLC_NIL)
        q->first = idx;
    else
        miss_at(l, q->last)->held_next = idx;
    q->last = idx;
    l->held_at = m->channel;
}

/* It is not alone any more, or does not go at once. */
static void end_express(struct llc *l)
{
    if (l->express != LLC_NIL)
        enqueue_read(l, l->express);
    l->express = LLC_NIL;
}

static void hold_read(struct llc *l, const struct llc_config *c, uint32_t idx)
{
    bool waits = channel_at(l, miss_at(l, idx)->channel)->read_credits == 0 || l->nvictims_held >= c->victims;
    if (__builtin_expect(l->nheld++ == 0 && !waits, 1)) {
        l->express = idx;
        return;
    }
    l->stats.dram_held += waits;
    end_express(l);
    enqueue_read(l, idx);
}

/* `ack_core` LLC_NIL: the victim of a fill. */
static void hold_write(struct llc *l, const struct llc_config *c, const struct llc_write *write)
{
    SIM_ASSERT(l->write_free != LLC_NIL, "more than %u dirty lines leave a slice at once",
               nwrites_of(c));
    uint32_t idx = l->write_free, channel = channel_of(c, write->line);
    end_express(l);
    struct llc_channel *ch = channel_at(l, channel);
    struct llc_queue *q = &ch->writes;
    struct llc_write *w = write_at(l, idx);
    l->write_free = w->next;
    *w = *write;
    w->next = LLC_NIL;
    *(q->first == LLC_NIL ? &q->first : &write_at(l, q->last)->next) = idx;
    q->last = idx;
    l->nheld++;
    l->held_at = channel;
    l->nvictims_held += w->ack_core == LLC_NIL;
    l->stats.dram_held += ch->write_credits == 0;
}

static bool write_departs(struct llc *l, const struct llc_config *c, uint32_t channel,
                          simtime_t now, struct llc_departure *out)
{
    struct llc_channel *ch = channel_at(l, channel);
    uint32_t idx = ch->writes.first;
    if (idx == LLC_NIL || ch->write_credits == 0)
        return false;
    struct llc_write *w = write_at(l, idx);
    simtime_t edge = edge_of(c, now);
    *out = (struct llc_departure){
        .line = w->line,
        .time = u64_max(w->ready, edge + c->tag_fs),
        .channel = channel,
        .kind = (enum line_kind)w->kind,
        .is_write = true,
        .ack_core = w->ack_core,
        .ack_line = w->ack_line,
        .ack_time = u64_max(w->ack_ready, edge + c->data_fs),
    };
    ch->write_credits--;
    ch->writes.first = w->next;
    l->nvictims_held -= w->ack_core == LLC_NIL;
    l->nacks += w->ack_core != LLC_NIL;
    w->next = l->write_free;
    l->write_free = idx;
    l->stats.dram_writes[out->kind]++;
    return true;
}

static bool read_departs(struct llc *l, const struct llc_config *c, uint32_t channel, simtime_t now,
                         struct llc_departure *out)
{
    struct llc_channel *ch = channel_at(l, channel);
    uint32_t idx = ch->reads.first;
    if (idx == LLC_NIL || ch->read_credits == 0 || l->nvictims_held >= c->victims)
        return false;
    struct llc_miss *m = miss_at(l, idx);
    *out = (struct llc_departure){
        .line = m->line,
        .time = u64_max(m->ready, edge_of(c, now) + c->tag_fs),
        .channel = channel,
        .token = idx,
        .kind = MEM_KIND(m->request.flags),
        .ack_core = LLC_NIL,
    };
    ch->read_credits--;
    ch->reads.first = m->held_next;
    l->stats.dram_reads[out->kind]++;
    return true;
}

static inline bool channel_departs(struct llc *l, const struct llc_config *c, uint32_t channel,
                                   simtime_t now, struct llc_departure *out)
{
    return write_departs(l, c, channel, now, out) || read_departs(l, c, channel, now, out);
}

bool llc_send_held(struct llc *l, const struct llc_config *c, simtime_t now,
                   struct llc_departure *out)
{
    end_express(l);
    /* Mostly there is one, of the message in progress. Writes first: they may be what reads are held for. */
    bool found = l->nheld == 1 && channel_departs(l, c, l->held_at, now, out);
    for (uint32_t i = 0; i < c->nchannels && !found; i++)
        found = channel_departs(l, c, i, now, out);
    l->nheld -= found;
    return found;
}

/* ---- the array ------------------------------------------------------------------------------ */

/* Puts a line in. True: a dirty line, *old_out, has to leave, which is to be held for memory. */
static inline bool put(struct llc *l, uint32_t set, paddr_t line, uint64_t data, struct sarray_entry *old_out)
{
    l->stats.lines[kind_of(data)]++;
    if (!sarray_replace(array_of(l), set, number_of(line), data, old_out))
        return false;
    l->stats.lines[kind_of(old_out->data)]--;
    l->stats.evictions[kind_of(old_out->data)]++;
    return old_out->data & LLC_DIRTY;
}

/* `leaving` has all but the line and its kind. */
static __attribute__((noinline)) void hold_old(struct llc *l, const struct llc_config *c, struct sarray_entry old,
                                               struct llc_write leaving)
{
    leaving.line = (paddr_t){old.tag << LINE_SHIFT};
    leaving.kind = kind_of(old.data);
    hold_write(l, c, &leaving);
}

/* ---- misses --------------------------------------------------------------------------------- */

static uint32_t bucket_of(const struct llc *l, paddr_t line)
{
    return (uint32_t)(number_of(line) * UINT64_C(0x9e3779b97f4a7c15) >> l->bucket_shift);
}

static inline uint32_t find_miss(struct llc *l, uint32_t bucket, paddr_t line)
{
    uint32_t idx = *bucket_at(l, bucket);
    while (idx != LLC_NIL && miss_at(l, idx)->line.v != line.v)
        idx = miss_at(l, idx)->hash_next;
    return idx;
}

/* The miss that has its line and its first request: into its bucket, and on its way. */
static inline void start_miss(struct llc *l, const struct llc_config *c, uint32_t idx, struct llc_miss *m)
{
    uint32_t *bucket = bucket_at(l, m->bucket);
    m->channel = channel_of(c, m->line);
    m->hash_next = *bucket;
    m->last = LLC_NIL;
    m->nwritebacks = l->nwritebacks;
    *bucket = idx;
    l->nmisses++;
    l->stats.misses_peak = u64_max(l->stats.misses_peak, l->nmisses);
    hold_read(l, c, idx);
}

static inline void unlink_miss(struct llc *l, uint32_t idx)
{
    uint32_t *at = bucket_at(l, miss_at(l, idx)->bucket);
    while (*at != idx)
        at = &miss_at(l, *at)->hash_next;
    *at = miss_at(l, idx)->hash_next;
    l->nmisses--;
}

static __attribute__((noinline)) void join_miss(struct llc *l, struct llc_miss *m, uint32_t core, uint32_t token,
                                                uint32_t flags)
{
    uint32_t r = l->request_free;
    struct llc_request *q = request_at(l, r);
    l->request_free = q->next;
    *q = (struct llc_request){.core = core, .token = token, .next = LLC_NIL, .flags = flags};
    *(m->last == LLC_NIL ? &m->request.next : &request_at(l, m->last)->next) = r;
    m->last = r;
}

void llc_second_request(struct llc *l, struct llc_miss *m)
{
    uint32_t r = m->request.next;
    m->request = *request_at(l, r);
    if (r == m->last)
        m->last = LLC_NIL;
    request_at(l, r)->next = l->request_free;
    l->request_free = r;
}

/* ---- the calls ------------------------------------------------------------------------------ */

void llc_fetch(struct llc *l, const struct llc_config *c, paddr_t line)
{
    sarray_prefetch(array_of(l), set_of(c, line));
}

simtime_t llc_read(struct llc *l, const struct llc_config *c, simtime_t now, paddr_t line, uint32_t flags,
                   uint32_t core, uint32_t token)
{
    struct sarray *a = array_of(l);
    enum line_kind kind = MEM_KIND(flags);
    uint32_t set = set_of(c, line);
    simtime_t start = take_bank(l, c, set, now);
    l->nrequests++;
    l->stats.accesses[kind]++;
    uint64_t *data = sarray_use(a, set, number_of(line));
    if (data != NULL) {
        *data = use_line(l, *data, kind, core, flags & MEM_FOR_WRITE);
        l->stats.hits[kind]++;
        l->nanswers++;
        return start + c->tag_fs + c->data_fs;
    }
    SIM_ASSERT(l->nrequests - l->nanswers <= c->nrequests_max, "more than %u requests wait at a slice",
               c->nrequests_max);
    uint32_t bucket = bucket_of(l, line), idx = find_miss(l, bucket, line);
    if (__builtin_expect(idx != LLC_NIL, 0)) {
        l->stats.merged[kind]++;
        join_miss(l, miss_at(l, idx), core, token, flags);
        return SIM_NEVER;
    }
    idx = l->miss_free;
    struct llc_miss *m = miss_at(l, idx);
    l->miss_free = m->hash_next;
    m->line = line;
    m->ready = start + c->tag_fs;
    m->set = set;
    m->bucket = bucket;
    m->request.core = core;
    m->request.token = token;
    m->request.next = LLC_NIL;
    m->request.flags = flags;
    start_miss(l, c, idx, m);
    l->stats.misses[kind]++;
    sarray_prefetch_victim(a, set); /* for the fill */
    return SIM_NEVER;
}

bool llc_writeback(struct llc *l, const struct llc_config *c, simtime_t now, paddr_t line,
                   enum line_kind kind, uint32_t core, simtime_t *ack_out)
{
    struct sarray *a = array_of(l);
    uint32_t set = set_of(c, line);
    simtime_t start = take_bank(l, c, set, now);
    l->nwritebacks++;
    l->stats.writebacks[kind]++;
    *ack_out = start + c->tag_fs + c->data_fs;
    int way = sarray_find(a, set, number_of(line));
    if (way >= 0) {
        uint64_t *data = sarray_data(a, set, (uint32_t)way);
        *data = use_line(l, *data, kind, core, true) | LLC_DIRTY;
        l->nacks++;
        return true;
    }
    l->stats.wb_allocs[kind]++;
    struct sarray_entry old;
    bool held = put(l, set, line, new_line(kind, core) | LLC_WRITTEN | LLC_DIRTY, &old);
    if (held)
        hold_old(l, c, old, (struct llc_write){.ready = start + c->tag_fs, .ack_core = core, .ack_line = line,
                                               .ack_ready = *ack_out});
    l->nacks += !held;
    return !held;
}

/* The requests use the line that came for them: what it remembers then. */
static __attribute__((noinline)) uint64_t use_filled(struct llc *l, const struct llc_miss *m, uint64_t data)
{
    const struct llc_request *q = &m->request;
    for (;; q = request_at(l, q->next)) {
        data = use_line(l, data, MEM_KIND(q->flags), q->core, q->flags & MEM_FOR_WRITE);
        if (q->next == LLC_NIL)
            return data;
    }
}

simtime_t llc_fill(struct llc *l, const struct llc_config *c, simtime_t now, uint32_t token)
{
    struct llc_miss *m = miss_at(l, token);
    uint32_t set = m->set;
    simtime_t start = take_bank(l, c, set, now);
    unlink_miss(l, token);
    /* A write-back may have brought the line meanwhile, newer than memory's. */
    if (__builtin_expect(m->nwritebacks != l->nwritebacks, 0)) {
        struct sarray *a = array_of(l);
        int found = sarray_find(a, set, number_of(m->line));
        if (found >= 0) {
            uint64_t *data = sarray_data(a, set, (uint32_t)found);
            *data = use_filled(l, m, *data);
            return start + c->data_fs;
        }
    }
    enum line_kind kind = MEM_KIND(m->request.flags);
    uint64_t data = new_line(kind, m->request.core);
    l->stats.fills[kind]++;
    /* One that comes to read alone leaves no more than that. */
    if (m->last != LLC_NIL || (m->request.flags & MEM_FOR_WRITE) != 0) {
        l->stats.lines[kind]++; /* as it comes; put counts it as what its users have made of it */
        data = use_filled(l, m, data);
        l->stats.lines[kind_of(data)]--;
    }
    struct sarray_entry old;
    if (put(l, set, m->line, data, &old))
        hold_old(l, c, old, (struct llc_write){.ready = start + c->tag_fs, .ack_core = LLC_NIL});
    return start + c->data_fs;
}

const struct llc_stats *llc_stats_now(struct llc *l, const struct llc_config *c)
{
    l->stats.bank_wait = l->bank_wait_fs / c->period_fs;
    l->stats.ways_used = sarray_used(array_of(l));
    return &l->stats;
}

void llc_check(const struct llc *l, const struct llc_config *c)
{
    SIM_ASSERT(l->nrequests == l->nanswers && l->nwritebacks == l->nacks,
               "%llu reads, %llu answers, %llu write-backs, %llu acknowledgements",
               (unsigned long long)l->nrequests, (unsigned long long)l->nanswers,
               (unsigned long long)l->nwritebacks, (unsigned long long)l->nacks);
    SIM_ASSERT(l->nmisses == 0 && l->nheld == 0 && l->nvictims_held == 0,
               "%u misses and %u held requests are left", l->nmisses, l->nheld);
    const struct llc_channel *channels = (const void *)((const char *)l + l->channels_at);
    for (uint32_t i = 0; i < c->nchannels; i++)
        SIM_ASSERT(channels[i].read_credits == c->dram_reads &&
                       channels[i].write_credits == c->dram_writes,
                   "channel %u keeps credits: %u of %u reads, %u of %u writes are here", i,
                   channels[i].read_credits, c->dram_reads, channels[i].write_credits,
                   c->dram_writes);
}
