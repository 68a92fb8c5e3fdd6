/*
 * One slice of the shared last-level cache. Pure: calls with times in, times out.
 *
 * The slices share lines by address (llc_slice_of). A slice is a set-associative array with banks
 * that are each busy for a while per access, and a miss table that merges all requests to one line.
 * It is neither inclusive nor exclusive of the private caches: a fill from memory stays here, a
 * line that leaves here stays in the cores, and a dirty line that leaves a core is put here whether
 * or not it is present. Dirty lines that are replaced become writes to memory.
 *
 * Time: an arrival is rounded up to the slice's clock, waits for its bank, knows hit or miss
 * tag_cycles later, and a hit leaves after data_cycles more. Data from memory leave data_cycles
 * after the fill got its bank. State changes at arrival, in message order; bank waiting only adds
 * latency.
 *
 * Flow control: cores own credits, so everything here has a size known at start. Towards each
 * memory channel the slice owns `dram_reads` and `dram_writes` credits; what has none is held in
 * order. When `victims` replaced dirty lines of fills are held, no read is sent until one has left.
 * A write-back whose victim is dirty is acknowledged only when that victim has been sent.
 *
 * Not modelled: coherence between the private caches. A line remembers who used it, in the payload
 * (room for a directory), and accesses to lines used by several cores and written by at least one
 * are counted, so that a run can tell how much coherence it leaves out.
 */
#ifndef MEMSYS_LLC_H
#define MEMSYS_LLC_H

#include "memsys/mem_msg.h"
#include "memsys/sarray.h"
#include "pdes/desc.h"
#include "pdes/err.h"
#include "pdes/types.h"

#define LLC_MAX_BANKS 64u
#define LLC_NIL UINT32_MAX

/*
 * The slice that owns a line; cores ask too. Any number of slices: of each group of nslices
 * neighbours every slice owns one, rotated by an XOR fold of the group's number against strides.
 */
static inline uint32_t llc_slice_of(paddr_t line, uint32_t nslices)
{
    uint64_t number = line.v >> LINE_SHIFT;
    bool pow2 = is_pow2(nslices);
    uint64_t group = pow2 ? number >> log2_floor(nslices) : number / nslices;
    uint64_t fold = group ^ group >> 28;
    fold ^= fold >> 14;
    fold ^= fold >> 7;
    fold &= 0x3fff;
    return pow2 ? (uint32_t)(number + fold) & (nslices - 1)
                : (uint32_t)(number - group * nslices + fold) % nslices;
}

/* ---- parameters ----------------------------------------------------------------------------- */

struct llc_params {
    uint64_t clock_hz, slices, size_bytes, ways, repl, banks;
    uint64_t tag_cycles, data_cycles, bank_busy_cycles;
    uint64_t dram_reads, dram_writes, victims;
};
extern const struct param_desc llc_param_rows[];
extern const uint32_t llc_param_nrows;

/* Resolved; read-only and shared by all slices. */
struct llc_config {
    struct sarray_cfg array; /* seed: of the machine; each slice adds its number */
    uint32_t nslices, nbanks, ncores, nchannels;
    bool channel_hash;
    uint32_t nrequests_max; /* core credits that can meet at one slice */
    uint32_t dram_reads, dram_writes, victims;
    simtime_t period_fs, tag_fs, data_fs, busy_fs;
    uint64_t period_reciprocal;
    /* When slices and sets are powers of two: from a line's number to its set. Mask 0: divide. */
    uint32_t set_shift, set_mask;
    uint32_t bank_mask;    /* 0: divide, if there are several banks */
    uint32_t channel_bits; /* of the number of channels, or LLC_NIL: it is no power of two */
};

/* What the slice has to know of the rest of the machine. */
struct llc_machine {
    uint32_t ncores, core_credits; /* unanswered requests that one core may have at all slices */
    uint32_t nchannels;
    bool channel_hash; /* dram.xor_hash */
    uint64_t seed;
};

/* Logs and returns ERR_USAGE when the values do not fit together. */
enum err llc_configure(const struct llc_params *p, const struct llc_machine *m,
                       struct llc_config *out);

/* Least time from an arrival to an answer to a core leaving; to a request to memory leaving. */
static inline simtime_t llc_min_answer_fs(const struct llc_config *c) { return c->data_fs; }
static inline simtime_t llc_min_dram_fs(const struct llc_config *c) { return c->tag_fs; }
/* Most requests that all slices together can have at one channel. */
static inline uint32_t llc_dram_credits(const struct llc_config *c)
{
    return c->nslices * (c->dram_reads + c->dram_writes);
}

/* ---- statistics ----------------------------------------------------------------------------- */

/* clang-format off */
/* K: one value per line kind; S: one value */
#define LLC_STAT_LIST(K, S)                                                                        \
    K(accesses,     "1", STAT_DELTA, "reads that arrived; hits + misses + merged")                 \
    K(hits,         "1", STAT_DELTA, "reads that found their line")                                \
    K(misses,       "1", STAT_DELTA, "reads that had to ask memory")                               \
    K(merged,       "1", STAT_DELTA, "reads that joined a miss under way")                         \
    K(writebacks,   "1", STAT_DELTA, "dirty lines that arrived from cores")                        \
    K(wb_allocs,    "1", STAT_DELTA, "of these, lines that were not present")                      \
    K(fills,        "1", STAT_DELTA, "lines put in from memory")                                   \
    K(evictions,    "1", STAT_DELTA, "lines replaced, clean and dirty")                            \
    K(dram_reads,   "1", STAT_DELTA, "reads sent to memory")                                       \
    K(dram_writes,  "1", STAT_DELTA, "writes sent to memory")                                      \
    K(write_shared, "1", STAT_DELTA, "reads and write-backs of lines that several cores used and " \
                                     "one wrote while here")                                       \
    K(lines,        "1", STAT_GAUGE, "lines that hold this")                                       \
    S(bank_wait, "cycle", STAT_DELTA, "waiting for a busy bank")                                   \
    S(dram_held,    "1", STAT_DELTA, "requests to memory that waited for a credit")                \
    S(misses_peak,  "1", STAT_GAUGE, "most misses ever under way at once")                         \
    S(ways_used,    "1", STAT_GAUGE, "ways filled at least once; below capacity: a cold cache")
/* clang-format on */

struct llc_stats {
#define K(name, unit, kind, doc) uint64_t name[LINE_KINDS];
#define S(name, unit, kind, doc) uint64_t name;
    LLC_STAT_LIST(K, S)
#undef K
#undef S
};
extern const struct stat_desc llc_stat_rows[];
extern const uint32_t llc_stat_nrows;
#define LLC_STAT_NVALUES ((uint32_t)(sizeof(struct llc_stats) / sizeof(uint64_t)))

/* ---- the slice ------------------------------------------------------------------------------ */

/*
 * Payload of a line. Bits 32 to 63 are free for a directory's sharers.
 */
#define LLC_KIND_MASK UINT64_C(3)
#define LLC_DIRTY (UINT64_C(1) << 2)
#define LLC_WRITTEN (UINT64_C(1) << 3) /* by any core since it came */
#define LLC_MANY (UINT64_C(1) << 4)    /* used by more than one core since it came */
#define LLC_CORE_SHIFT 8               /* 24 bits: the first core that used it */
#define LLC_CORE_MASK (UINT64_C(0xffffff) << LLC_CORE_SHIFT)

struct llc_request {
    uint32_t core, token;
    uint32_t next;
    uint32_t flags; /* those of MEM_READ */
};

/* A line on its way from memory, with all who wait for it in order of arrival. */
struct llc_miss {
    paddr_t line;
    simtime_t ready; /* earliest departure towards memory */
    uint32_t channel, set;
    uint32_t bucket, hash_next, held_next;
    uint32_t last;              /* request; LLC_NIL: there is only the first one */
    struct llc_request request; /* the first one */
    uint64_t nwritebacks;       /* that had come before it */
};

/* A dirty line on its way to memory, until it has a credit. */
struct llc_write {
    paddr_t line;
    simtime_t ready;
    uint32_t kind, next;
    /* The write-back to acknowledge when this has left; LLC_NIL: a fill pushed the line out. */
    uint32_t ack_core, reserved;
    paddr_t ack_line;
    simtime_t ack_ready;
};

struct llc_queue {
    uint32_t first, last;
};

struct llc_channel {
    uint32_t read_credits, write_credits;
    struct llc_queue reads, writes; /* held, in order */
};

/* State of one slice: this head, then the parts at the offsets it holds. */
struct llc {
    struct llc_stats stats;
    uint64_t nrequests, nanswers, nwritebacks, nacks;
    uint32_t nmisses, nheld;
    uint32_t nvictims_held; /* held writes of fills */
    uint32_t request_free, miss_free, write_free;
    uint64_t channels_at, buckets_at, misses_at, requests_at, writes_at;
    uint32_t bucket_shift;
    uint32_t held_at; /* channel of the request that was held last */
    uint32_t express; /* miss that is held alone, and in no queue, since it can depart; LLC_NIL: none */
    simtime_t bank_wait_fs;
    simtime_t bank_free[LLC_MAX_BANKS];
};

size_t llc_state_bytes(const struct llc_config *c);
/* `l` is zeroed memory of that size. */
void llc_init(struct llc *l, const struct llc_config *c, uint32_t slice);

/* The line will be asked for, or written back: the host should have its set near by then. Changes nothing. */
void llc_fetch(struct llc *l, const struct llc_config *c, paddr_t line);

/*
 * When the data of a hit leave; SIM_NEVER: a miss, which is answered after a fill. `flags`: those of MEM_READ.
 */
simtime_t llc_read(struct llc *l, const struct llc_config *c, simtime_t now, paddr_t line, uint32_t flags,
                   uint32_t core, uint32_t token);
/* True: the acknowledgement leaves at *ack_out. False: it comes with an llc_departure. */
bool llc_writeback(struct llc *l, const struct llc_config *c, simtime_t now, paddr_t line,
                   enum line_kind kind, uint32_t core, simtime_t *ack_out);
/* Data for the miss `token` came; its requests' answers leave at the time returned. */
simtime_t llc_fill(struct llc *l, const struct llc_config *c, simtime_t now, uint32_t token);
static inline struct llc_miss *llc_miss_at(struct llc *l, uint32_t i)
{
    return (struct llc_miss *)(void *)((char *)l + l->misses_at) + i;
}
/* The first request of a miss was answered: the next one, if there is any, takes its place. */
void llc_second_request(struct llc *l, struct llc_miss *m);
/*
 * The first request of a filled miss, for which data come, is answered. True: there is another one, now the first. False: the
 * miss is forgotten.
 */
static inline bool llc_answer(struct llc *l, uint32_t token, struct llc_request *out)
{
    struct llc_miss *m = llc_miss_at(l, token);
    *out = m->request;
    l->nanswers++;
    if (__builtin_expect(m->last != LLC_NIL, 0)) {
        llc_second_request(l, m);
        return true;
    }
    m->hash_next = l->miss_free;
    l->miss_free = token;
    return false;
}
static inline struct llc_channel *llc_channel_at(struct llc *l, uint32_t i)
{
    return (struct llc_channel *)(void *)((char *)l + l->channels_at) + i;
}
/* A read or write at `channel` was answered. */
static inline void llc_credit_back(struct llc *l, const struct llc_config *c, uint32_t channel, bool is_write)
{
    struct llc_channel *ch = llc_channel_at(l, channel);
    uint32_t *credits = is_write ? &ch->write_credits : &ch->read_credits;
    ++*credits;
    SIM_ASSERT(*credits <= (is_write ? c->dram_writes : c->dram_reads),
               "channel %u answered more than it was asked", channel);
}

/* Something that leaves for memory. */
struct llc_departure {
    paddr_t line;
    simtime_t time;
    uint32_t channel, token;
    enum line_kind kind;
    bool is_write;
    uint32_t ack_core; /* LLC_NIL, or the core whose write-back of ack_line is acknowledged now */
    paddr_t ack_line;
    simtime_t ack_time;
};
/* Some request to memory is held: tries to send one. */
bool llc_send_held(struct llc *l, const struct llc_config *c, simtime_t now,
                   struct llc_departure *out);
/* The next departure that has a credit; call until false after each of the calls above. */
static inline bool llc_next_departure(struct llc *l, const struct llc_config *c, simtime_t now,
                                      struct llc_departure *out)
{
    return l->nheld != 0 && llc_send_held(l, c, now, out);
}

/* The read that can depart at once, if there is one: what llc_next_departure gives, at m->ready. */
static inline const struct llc_miss *llc_take_express(struct llc *l)
{
    const struct llc_miss *m = llc_miss_at(l, l->express);
    llc_channel_at(l, m->channel)->read_credits--;
    l->stats.dram_reads[MEM_KIND(m->request.flags)]++;
    l->express = LLC_NIL;
    l->nheld--;
    return m;
}

/* The counters, with the gauges brought up to date. */
const struct llc_stats *llc_stats_now(struct llc *l, const struct llc_config *c);
/* At the end of a drained run: everything was answered and every credit is back. */
void llc_check(const struct llc *l, const struct llc_config *c);

#endif
