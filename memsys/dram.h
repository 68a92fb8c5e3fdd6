/*
 * One DRAM channel: ranks, bank groups, banks with open rows, and the controller that chooses among
 * waiting requests. Pure: enqueue, ask for the time of the next command, step.
 *
 * Timing follows the JEDEC state machine (JESD79-4 for DDR4, JESD79-5 for DDR5) at the level of
 * single PRE, ACT, RD and WR commands with their constraints per bank, bank group, rank and data
 * bus; one command per clock on the command bus. Scheduling is FR-FCFS (Rixner et al., "Memory
 * Access Scheduling", ISCA 2000): of the commands that are legal first, column accesses before row
 * commands, then the oldest; a row with waiting hits stays open until `hit_cap` of them have passed
 * an older request to the bank (Mutlu and Moscibroda, MICRO 2007). Open page. Writes wait until
 * `write_high` of them are there or no read is, and then drain down to `write_low`.
 *
 * An arrival is rounded up to the channel's clock; from then on a command is issued as soon as its
 * constraints allow (they are whole clocks to within a femtosecond's rounding), so that unloaded
 * latencies are exactly tCL + burst, tRCD + tCL + burst, tRP + tRCD + tCL + burst. The controller's
 * own time, both ways, is charged on the way back, where it lengthens the lookahead. Refresh closes
 * all rows of a rank on its date; ranks are staggered.
 *
 * A DDR5 DIMM is two independent 32-bit sub-channels: configure each as a channel.
 *
 * Not modelled: power-down, write CRC, forwarding from the write queue (a read of a line whose
 * write still waits pays its own access), per-bank refresh, refresh postponing, and the precharge
 * that precedes a refresh.
 */
#ifndef MEMSYS_DRAM_H
#define MEMSYS_DRAM_H

#include "memsys/mem_msg.h"
#include "memsys/times2.h"
#include "pdes/desc.h"
#include "pdes/err.h"
#include "pdes/types.h"

#define DRAM_MAX_RANKS 8u
#define DRAM_MAX_GROUPS 64u /* of a channel */
#define DRAM_MAX_BANKS 256u /* of a channel */
#define DRAM_MAX_WINDOW 256u
#define DRAM_NLATENCY_BINS 20u

/* ---- parameters ---------------------------------------------------------------------------- */

/*
 * Presets and timings, in femtoseconds. Sources: JESD79-4 (DDR4-2400R 17-17-17, DDR4-3200AA
 * 22-22-22, 8 Gb x8 devices, 1 KiB pages) and JESD79-5 (DDR5-4800B 40-39-39, 16 Gb x8 devices);
 * minima given there in clocks and nanoseconds are taken as the larger of the two, in whole clocks.
 */
/* clang-format off */
#define DRAM_PRESET_LIST(X)                                                  \
    /* enum      word         ranks groups banks row_bytes */                \
    X(DDR4_2400, "ddr4-2400", 2,    4,     4,    8192)                       \
    X(DDR4_3200, "ddr4-3200", 2,    4,     4,    8192)                       \
    X(DDR5_4800, "ddr5-4800", 2,    8,     4,    4096)

#define DRAM_TIMING_LIST(X)                                                                     \
    /* name       ddr4-2400  ddr4-3200   ddr5-4800  meaning */                                  \
    X(tck,        833333,    625000,     416667,    "command clock")                            \
    X(tcl,        14166667,  13750000,   16666667,  "RD to first data")                         \
    X(tcwl,       10000000,  10000000,   15833333,  "WR to first data")                         \
    X(trcd,       14166667,  13750000,   16250000,  "ACT to RD or WR")                          \
    X(trp,        14166667,  13750000,   16250000,  "PRE to ACT")                               \
    X(tras,       32000000,  32000000,   32000000,  "ACT to PRE")                               \
    X(tburst,     3333333,   2500000,    3333333,   "one line on the data bus (BL8, BL16)")     \
    X(tccd_s,     3333333,   2500000,    3333333,   "column to column, other bank group")       \
    X(tccd_l,     5000000,   5000000,    5000000,   "column to column, same bank group")        \
    X(tccd_l_wr,  5000000,   5000000,    10000000,  "write to write, same bank group")          \
    X(trrd_s,     3333333,   2500000,    3333333,   "ACT to ACT, other bank group")             \
    X(trrd_l,     5000000,   5000000,    5000000,   "ACT to ACT, same bank group")              \
    X(tfaw,       21666667,  21250000,   13333333,  "window of at most four ACT to a rank")     \
    X(twr,        15000000,  15000000,   30000000,  "end of write data to PRE")                 \
    X(twtr_s,     2500000,   2500000,    2500000,   "end of write data to RD, other group")     \
    X(twtr_l,     7500000,   7500000,    10000000,  "end of write data to RD, same group")      \
    X(trtp,       7500000,   7500000,    7500000,   "RD to PRE")                                \
    X(tturn,      1666667,   1250000,    833333,    "data bus gap, new direction or rank") \
    X(trfc,       350000000, 350000000,  295000000, "refresh of all banks of a rank")           \
    X(trefi,      7800000000, 7800000000, 3900000000, "mean distance of two refreshes of a rank")
/* clang-format on */

enum dram_preset {
#define X(upper, word, ranks, groups, banks, row_bytes) DRAM_##upper,
    DRAM_PRESET_LIST(X)
#undef X
        DRAM_PRESETS
};

/* How a line's number within the channel is cut up, highest field first. */
enum dram_mapping {
    DRAM_MAP_GROUP_LOW, /* row : rank : bank : column : group; neighbours alternate bank groups */
    DRAM_MAP_COLUMN_LOW /* row : rank : bank : group : column; neighbours share a row */
};

struct dram_timing {
#define X(name, a, b, c, doc) simtime_t name##_fs;
    DRAM_TIMING_LIST(X)
#undef X
};

/* As configured; 0 in an organisation or timing field means: the preset's. */
struct dram_params {
    uint64_t preset, channels, ranks, groups, banks, row_bytes;
    uint64_t mapping, xor_hash, refresh;
    uint64_t controller_fs;
    uint64_t read_window, write_window, write_high, write_low, hit_cap;
    struct dram_timing timing;
};
extern const struct param_desc dram_param_rows[];
extern const uint32_t dram_param_nrows;

#define DRAM_DIVIDE UINT32_MAX /* not a power of two */

/*
 * A stamp is a time in a channel as it is compared there: its distance from the time of which the stamp would be 0,
 * with room below for the order of commands that may go at the same time. Stamps are as times2.h wants them.
 */
#define DRAM_ORDER_BITS 10
#define DRAM_STAMP_LEAST (TIMES2_LEAST >> DRAM_ORDER_BITS) /* as a distance */
#define DRAM_STAMP_ROOM (UINT64_C(1) << 51) /* no less is left for sums of timings, which are of milliseconds */

/* What a column command of a read, or of a write, sets, as distances from its own stamp, or time. */
struct dram_column {
    _Alignas(16) uint64_t rank_ok[2]; /* RD, WR: of its rank, */
    uint64_t others_ok[2], group_ok[2]; /* of other ranks, of its group */
    uint64_t pre_ok;
    simtime_t data_end, answer; /* times; answer: leaves the channel */
};

/* The timings as distances of stamps. */
struct dram_distances {
#define X(name, a, b, c, doc) uint64_t name;
    DRAM_TIMING_LIST(X)
#undef X
};

/* From a line's number to its bank and row, if channels and ranks are powers of two; see dram_place_of. */
struct dram_bits {
    uint8_t group_shift, bank_shift, rank_shift, row_shift;
    uint32_t group_mask, bank_mask, rank_mask;
    uint32_t hash; /* of group and bank: what the row changes */
    bool usable;
};

/* Resolved; read-only and shared by all channels. */
struct dram_config {
    struct dram_timing t;
    struct dram_distances dist;
    uint32_t nchannels, nranks, ngroups, nbanks; /* groups of a rank, banks of a group */
    uint32_t ncolumns;                           /* lines of a row */
    uint32_t group_bits, bank_bits, column_bits; /* log2 of these numbers */
    uint32_t channel_bits, nrank_bits;           /* the same of channels and ranks, or DRAM_DIVIDE */
    uint32_t rank_bits;                          /* log2 of the banks of a rank */
    uint32_t read_window, write_window, write_high, write_low, hit_cap;
    uint32_t nrequests_max; /* sum of the credits that can reach one channel */
    enum dram_mapping mapping;
    bool xor_hash, refresh;
    simtime_t controller_fs;
    uint64_t tck_reciprocal;
    struct dram_column column[2]; /* reads, writes */
    simtime_t unloaded_fs[3];     /* latency of a read by dram_row_state, if nothing else is there */
    struct dram_bits bits;
};

/* Logs and returns ERR_USAGE when the values do not fit together. */
enum err dram_configure(const struct dram_params *p, uint32_t nrequests_max,
                        struct dram_config *out);

/* ---- addresses ------------------------------------------------------------------------------ */

struct dram_place {
    uint64_t row;
    uint32_t rank, group, bank, column; /* group of the rank, bank of the group */
};

/* XOR of all pieces of `x`, so that any stride changes the low bits. */
static inline uint32_t dram_fold(uint64_t x)
{
    x ^= x >> 32;
    x ^= x >> 16;
    x ^= x >> 5;
    return (uint32_t)(x & 0xffff);
}

/*
 * Line number = local * nchannels + remainder. The remainder is rotated by a fold of the local
 * number, so every group of nchannels neighbours still touches each channel once, and (channel,
 * local) names a line. This is of 2^nbits channels.
 */
static inline uint32_t dram_channel_of_bits(uint32_t nbits, bool hash, paddr_t line)
{
    uint64_t number = line.v >> LINE_SHIFT;
    uint32_t rotate = hash ? dram_fold(number >> nbits) : 0;
    return ((uint32_t)number + rotate) & ((1u << nbits) - 1);
}

/* The channel that owns a line. Any number of channels; `hash` is dram.xor_hash. */
uint32_t dram_channel_of(uint32_t nchannels, bool hash, paddr_t line);
/* Where in its channel a line lies. No two lines of a channel share a place. */
struct dram_place dram_place_of(const struct dram_config *c, paddr_t line);

/* ---- statistics ----------------------------------------------------------------------------- */

/* clang-format off */
/* K: one value per line kind; S: one value; H: histogram of nbins */
#define DRAM_STAT_LIST(K, S, H)                                                                   \
    K(reads,         "1",  STAT_DELTA, STAMP_TOUCH, "lines read")                                 \
    K(writes,        "1",  STAT_DELTA, STAMP_TOUCH, "lines written")                              \
    K(row_hits,      "1",  STAT_DELTA, STAMP_TOUCH, "accesses that found their row open")         \
    K(row_closed,    "1",  STAT_DELTA, STAMP_TOUCH, "accesses that had to open their row")        \
    K(row_conflicts, "1",  STAT_DELTA, STAMP_TOUCH, "accesses that had to close another row")     \
    K(read_latency,  "fs", STAT_DELTA, STAMP_TOUCH, "sum over reads, arrival to data leaving")    \
    K(read_wait,     "fs", STAT_DELTA, STAMP_TOUCH, "of read_latency, beyond the unloaded one")   \
    S(bus_busy,      "fs", STAT_DELTA, STAMP_TOUCH, "data bus carries data")                      \
    S(turnarounds,   "1",  STAT_DELTA, STAMP_TOUCH, "changes between reading and writing")        \
    S(refresh_delays, "1", STAT_DELTA, STAMP_TOUCH, "refreshes that some request waited for")     \
    S(queue_peak,    "1",  STAT_GAUGE, STAMP_TOUCH, "most requests that ever waited at once")     \
    H(read_latency_hist, "ns", STAT_HIST, STAMP_TOUCH, DRAM_NLATENCY_BINS, "latency of reads")
/* clang-format on */

struct dram_stats {
#define K(name, unit, kind, stamp, doc) uint64_t name[LINE_KINDS];
#define S(name, unit, kind, stamp, doc) uint64_t name;
#define H(name, unit, kind, stamp, nbins, doc) uint64_t name[nbins];
    DRAM_STAT_LIST(K, S, H)
#undef K
#undef S
#undef H
};
extern const struct stat_desc dram_stat_rows[];
extern const uint32_t dram_stat_nrows;
#define DRAM_STAT_NVALUES ((uint32_t)(sizeof(struct dram_stats) / sizeof(uint64_t)))

/* ---- the channel ---------------------------------------------------------------------------- */

#define DRAM_SLOTS (2 * DRAM_MAX_WINDOW)
#define DRAM_NO_ROW UINT64_MAX
#define DRAM_NIL UINT32_MAX

/* In order of precedence; the first ones, which banks offer, index tables. */
enum dram_command {
    DRAM_CMD_COLUMN,
    DRAM_CMD_ACT,
    DRAM_CMD_PRE,
    DRAM_CMD_OFFERS,
    DRAM_CMD_REFRESH = DRAM_CMD_OFFERS,
    DRAM_CMD_NONE
};

struct dram_bank {
    uint64_t row;                 /* DRAM_NO_ROW: precharged */
    uint64_t ok[DRAM_CMD_OFFERS]; /* stamps: earliest command of each sort */
    uint64_t turn;                /* in which it has changed last */
    uint32_t hit_streak;          /* hits that passed an older request since the row opened */
    uint32_t reserved;
};

/* What an access met. */
enum dram_row_state { DRAM_ROW_HIT, DRAM_ROW_CLOSED, DRAM_ROW_CONFLICT };

/* What limits a command beyond its own bank; nothing does a PRE. Two and two, which are looked at at once. */
enum dram_limit { DRAM_LIMIT_RD, DRAM_LIMIT_WR, DRAM_LIMIT_ACT, DRAM_LIMIT_PRE, DRAM_LIMITS };

struct dram_rank {
    uint64_t faw_ok[4]; /* stamps: when the fourth ACT after this slot's ACT may be issued; a ring */
    uint64_t faw_at;
    simtime_t refresh_next;    /* date of the next refresh */
    simtime_t refresh_end;     /* of the last one */
    uint64_t refresh_delaying; /* the last one has been counted as delaying */
};

/* Neighbours in a ring, as bytes from the start of the channel's state: links, or the bank's ends of the ring. */
struct dram_link {
    uint32_t next, prev;
};

/*
 * A request's life: enqueued at its arrival, behind the others to its bank or, when the scheduler
 * sees a whole window already, in the order of arrival until it does not; opens its row if need be;
 * leaves with its column command.
 */
struct dram_request {
    paddr_t line;
    uint64_t row;
    simtime_t arrival;
    uint64_t ready;        /* the stamp of the clock edge from which it is seen */
    uint32_t token, src;   /* handed back */
    struct dram_link link; /* when seen, to others of its bank; else `next` is a request that waits, or is free */
    uint16_t bank, slot;   /* bank of the channel; slot in its list, when seen */
    /* Not side by side: the compiler would put the bytes together to store them at once, which takes longer. */
    uint8_t rank;
    uint8_t row_state; /* enum dram_row_state, as far as is known by now */
    uint8_t group;     /* of the channel */
    uint8_t reserved0;
    uint8_t kind;
    uint8_t reserved1;
    uint8_t is_write;
    uint8_t reserved[5]; /* to one host cache line */
};

/*
 * The reads, or the writes, of one bank that the scheduler sees, oldest first, and the one command
 * that the bank offers for them: a column command for the oldest hit, or else a row command for the
 * oldest of all. The offer changes only with the bank's own state and requests.
 */
struct dram_queue {
    struct dram_link ends; /* next: the oldest; prev: the youngest */
    uint32_t offer;        /* its place among the offers of all banks */
    uint32_t command;      /* of the offer; DRAM_CMD_NONE: there is none, and nothing to offer it for */
};

/* A request that is seen. Slots are in order of arrival. */
struct dram_slot {
    uint32_t request; /* DRAM_NIL: it has left */
    uint16_t bank, reserved;
};

/* Where an offer is from, and what else limits it, by number over all groups, or ranks. */
struct dram_where {
    uint8_t group_limit, rank_limit;
    uint16_t bank;
};

/* What is compared when the next command is chosen, field by field, in no order. */
struct dram_offers {
    _Alignas(16) uint64_t ok[DRAM_MAX_BANKS]; /* when the bank allows the command; behind the last offer TIMES2_MOST */
    _Alignas(16) uint64_t order[DRAM_MAX_BANKS]; /* slot of the request + DRAM_ORDER_ROW, unless it is a column command */
    struct dram_where where[DRAM_MAX_BANKS];
    uint32_t n, reserved;
};
#define DRAM_ORDER_ROW (1u << (DRAM_ORDER_BITS - 1))
_Static_assert(DRAM_ORDER_ROW == DRAM_SLOTS, "an order is a slot and one bit");

/*
 * All reads, or all writes. The scheduler sees the oldest ones, a window of them: these have slots.
 * A new one takes the next slot; when there is none left, the requests move up.
 */
struct dram_list {
    uint32_t n, window;                 /* requests; so many of them are seen, the oldest, which have slots */
    uint32_t unseen_first, unseen_last; /* the others */
    uint32_t nslots, slots_end;         /* slots taken so far; there are so many, for now */
    uint64_t turn;                      /* its last one, when its offers were what the banks then were */
    struct dram_offers offers;
    struct dram_queue queues[DRAM_MAX_BANKS];
    struct dram_slot slots[DRAM_SLOTS];
};

struct dram_plan {
    simtime_t time; /* SIM_NEVER: nothing to do */
    uint64_t stamp; /* the same, and the order of the offer that goes first */
    uint32_t command, request;
    uint32_t is_stale, is_write;
};

/* State of one channel, flat. */
struct dram {
    struct dram_stats stats;
    simtime_t now;                /* of the last enqueue or step */
    simtime_t stamp0;             /* whose stamp would be 0: less than 0, modulo 2^64, at first */
    uint64_t cmd_ok;              /* stamp: command bus */
    simtime_t refresh_next;       /* of all ranks, or when stamp0 moves on */
    uint32_t bus_used, bus_write; /* the data bus: ever; last */
    uint32_t draining;            /* writes go first until write_low */
    uint32_t free_first;
    uint32_t nrequests_max, reserved;
    struct dram_plan plan;
    uint64_t turn;             /* counts changes between the lists, and refreshes */
    struct dram_list lists[2]; /* reads, writes */
    struct dram_rank ranks[DRAM_MAX_RANKS];
    /* Stamps: earliest commands; those of ranks include the data bus and the window of four ACT. */
    _Alignas(16) uint64_t rank_ok[DRAM_MAX_RANKS * DRAM_LIMITS];
    _Alignas(16) uint64_t group_ok[DRAM_MAX_GROUPS * DRAM_LIMITS];
    struct dram_bank banks[DRAM_MAX_BANKS];
    struct dram_request requests[];
};

/* What a column command finished. */
struct dram_done {
    const struct dram_request *request; /* until the next one arrives */
    simtime_t answer; /* end of the data + controller: when the answer leaves the channel */
};

static inline uint64_t dram_stamp(const struct dram *d, simtime_t t) { return (t - d->stamp0) << DRAM_ORDER_BITS; }
static inline simtime_t dram_time_of(const struct dram *d, uint64_t stamp)
{
    return d->stamp0 + (stamp >> DRAM_ORDER_BITS);
}

size_t dram_state_bytes(const struct dram_config *c);
/* `d` is zeroed. */
void dram_init(struct dram *d, const struct dram_config *c);
/* A request arrives at `now`, which never goes back over all calls. */
void dram_enqueue(struct dram *d, const struct dram_config *c, simtime_t now, paddr_t line,
                  enum line_kind kind, bool is_write, uint32_t token, uint32_t src);
/* Renews the plan. */
void dram_choose(struct dram *d, const struct dram_config *c);
/* When the next command will be issued if nothing arrives; SIM_NEVER when nothing waits. */
static inline simtime_t dram_next_time(struct dram *d, const struct dram_config *c)
{
    if (d->plan.is_stale)
        dram_choose(d, c);
    return d->plan.time;
}
/* Issues that command (now becomes its time). True when it was a column command: `done` is set. */
bool dram_step(struct dram *d, const struct dram_config *c, struct dram_done *done_out);
/*
 * Issues what is planned, which is for the list `l`, and, after a row command, goes on with what the same list has
 * before `until`: whose turn it is changes with arrivals and column commands only.
 */
bool dram_run(struct dram *d, const struct dram_config *c, struct dram_list *l, simtime_t until,
              struct dram_done *done_out);
/*
 * Like dram_step, but goes on while commands are before `until`, up to the first column command, or the first
 * refresh.
 */
static inline bool dram_advance(struct dram *d, const struct dram_config *c, simtime_t until,
                                struct dram_done *done_out)
{
    return dram_run(d, c, &d->lists[d->plan.is_write], until, done_out);
}
static inline uint32_t dram_nwaiting(const struct dram *d) { return d->lists[0].n + d->lists[1].n; }

/* From a step's time to the answer leaving the channel, at least: part of the declared latency. */
simtime_t dram_min_answer_fs(const struct dram_config *c);

#endif
