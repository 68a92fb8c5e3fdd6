/* See dram.h: parameters, presets, statistics rows and the address mapping. */
#include "memsys/dram.h"

#include "memsys/clock.h"

static const char *const preset_words[] = {
#define X(upper, word, ranks, groups, banks, row_bytes) word,
    DRAM_PRESET_LIST(X)
#undef X
        NULL,
};
static const char *const mapping_words[] = {"group-low", "column-low", NULL};

/* clang-format off */
const struct param_desc dram_param_rows[] = {
#define AT(field) offsetof(struct dram_params, field)
    {"preset", PARAM_ENUM, "", "ddr5-4800", 0, DRAM_PRESETS - 1, preset_words, AT(preset),
     "speed bin that supplies organisation and timing"},
    {"channels", PARAM_COUNT, "channel", "2", 1, 1024, NULL, AT(channels),
     "independent channels; a DDR5 DIMM has two"},
    {"ranks", PARAM_COUNT, "rank", "0", 0, DRAM_MAX_RANKS, NULL, AT(ranks),
     "ranks of a channel; 0: from the preset"},
    {"groups", PARAM_COUNT, "group", "0", 0, 16, NULL, AT(groups),
     "bank groups of a rank; 0: from the preset"},
    {"banks", PARAM_COUNT, "bank", "0", 0, 64, NULL, AT(banks),
     "banks of a bank group; 0: from the preset"},
    {"row_bytes", PARAM_SIZE, "byte", "0", 0, UINT64_C(1) << 20, NULL, AT(row_bytes),
     "row of a bank over all its devices; 0: from the preset"},
    {"mapping", PARAM_ENUM, "", "group-low", 0, 1, mapping_words, AT(mapping),
     "order of the address fields: row:rank:bank:column:group or row:rank:bank:group:column"},
    {"xor_hash", PARAM_BOOL, "", "true", 0, 1, NULL, AT(xor_hash),
     "fold row bits into bank, and higher bits into channel numbers"},
    {"refresh", PARAM_BOOL, "", "true", 0, 1, NULL, AT(refresh), "refresh the ranks"},
    {"controller", PARAM_TIME, "fs", "10ns", 0, FS_PER_US, NULL, AT(controller_fs),
     "controller and PHY, both directions together"},
    {"read_window", PARAM_COUNT, "request", "64", 1, DRAM_MAX_WINDOW, NULL, AT(read_window),
     "oldest reads that the scheduler sees"},
    {"write_window", PARAM_COUNT, "request", "64", 1, DRAM_MAX_WINDOW, NULL, AT(write_window),
     "oldest writes that the scheduler sees"},
    {"write_high", PARAM_COUNT, "request", "48", 1, 65536, NULL, AT(write_high),
     "waiting writes that start a drain"},
    {"write_low", PARAM_COUNT, "request", "16", 0, 65535, NULL, AT(write_low),
     "waiting writes that end a drain"},
    {"hit_cap", PARAM_COUNT, "request", "16", 1, 1000000, NULL, AT(hit_cap),
     "row hits that may pass an older request to the same bank"},
#define X(name, a, b, c, doc)                                                               \
    {#name, PARAM_TIME, "fs", "0", 0, FS_PER_MS, NULL, AT(timing.name##_fs),               \
     doc "; 0: from the preset"},
    DRAM_TIMING_LIST(X)
#undef X
#undef AT
};

const struct stat_desc dram_stat_rows[] = {
#define AT(field) offsetof(struct dram_stats, field)
#define K(name, unit, kind, stamp, doc)                                               \
    {#name "/data", unit, kind, stamp, 1, AT(name[LINE_DATA]), doc ": data"},         \
    {#name "/code", unit, kind, stamp, 1, AT(name[LINE_CODE]), doc ": code"},         \
    {#name "/pt", unit, kind, stamp, 1, AT(name[LINE_PT]), doc ": page tables"},
#define S(name, unit, kind, stamp, doc) {#name, unit, kind, stamp, 1, AT(name), doc},
#define H(name, unit, kind, stamp, nbins, doc) {#name, unit, kind, stamp, nbins, AT(name), doc},
    DRAM_STAT_LIST(K, S, H)
#undef K
#undef S
#undef H
#undef AT
};
/* clang-format on */
const uint32_t dram_param_nrows = sizeof dram_param_rows / sizeof dram_param_rows[0];
const uint32_t dram_stat_nrows = sizeof dram_stat_rows / sizeof dram_stat_rows[0];

struct preset {
    uint32_t nranks, ngroups, nbanks, row_bytes;
    struct dram_timing t;
};

static struct preset preset_of(enum dram_preset which)
{
    static const struct preset presets[] = {
#define X(upper, word, ranks, groups, banks, row) [DRAM_##upper] = {ranks, groups, banks, row, {0}},
        DRAM_PRESET_LIST(X)
#undef X
    };
    struct preset p = presets[which];
    switch (which) {
#define X(name, a, b, c, doc) p.t.name##_fs = a;
    case DRAM_DDR4_2400:
        DRAM_TIMING_LIST(X)
        break;
#undef X
#define X(name, a, b, c, doc) p.t.name##_fs = b;
    case DRAM_DDR4_3200:
        DRAM_TIMING_LIST(X)
        break;
#undef X
#define X(name, a, b, c, doc) p.t.name##_fs = c;
    case DRAM_DDR5_4800:
    case DRAM_PRESETS:
        DRAM_TIMING_LIST(X)
        break;
#undef X
    }
    return p;
}

static uint32_t given_or(uint64_t given, uint32_t preset)
{
    return given != 0 ? (uint32_t)given : preset;
}

/* What is set to a time before the command's own limits nothing. */
static simtime_t less(simtime_t t, simtime_t d) { return t > d ? t - d : 0; }

static struct dram_column column_of(const struct dram_config *c, bool is_write)
{
    const struct dram_timing *t = &c->t;
    simtime_t data_end = (is_write ? t->tcwl_fs : t->tcl_fs) + t->tburst_fs;
    /* The data bus is free from the end of the data on, after a gap for another direction or rank. */
    simtime_t turned = data_end + t->tturn_fs;
    struct dram_column k = {
        .data_end = data_end,
        .others_ok = {less(turned, t->tcl_fs), less(turned, t->tcwl_fs)},
        .group_ok = {t->tccd_l_fs, is_write ? t->tccd_l_wr_fs : t->tccd_l_fs},
        .pre_ok = is_write ? data_end + t->twr_fs : t->trtp_fs,
        .answer = u64_max(data_end + c->controller_fs, dram_min_answer_fs(c)),
    };
    k.rank_ok[is_write] = u64_max(t->tccd_s_fs, t->tburst_fs);
    k.rank_ok[!is_write] = u64_max(t->tccd_s_fs, k.others_ok[!is_write]);
    if (is_write) {
        k.rank_ok[0] = u64_max(k.rank_ok[0], data_end + t->twtr_s_fs);
        k.group_ok[0] = u64_max(k.group_ok[0], data_end + t->twtr_l_fs);
    }
    k.pre_ok <<= DRAM_ORDER_BITS;
    for (unsigned i = 0; i < 2; i++) {
        k.rank_ok[i] <<= DRAM_ORDER_BITS;
        k.others_ok[i] <<= DRAM_ORDER_BITS;
        k.group_ok[i] <<= DRAM_ORDER_BITS;
    }
    return k;
}

static struct dram_bits bits_of(const struct dram_config *c)
{
    bool group_low = c->mapping == DRAM_MAP_GROUP_LOW;
    struct dram_bits b = {.usable = c->channel_bits != DRAM_DIVIDE && c->nrank_bits != DRAM_DIVIDE};
    if (!b.usable)
        return b;
    b.group_shift = (uint8_t)(c->channel_bits + (group_low ? 0 : c->column_bits));
    b.bank_shift = (uint8_t)(c->channel_bits + c->column_bits + c->group_bits);
    b.rank_shift = (uint8_t)(b.bank_shift + c->bank_bits);
    b.row_shift = (uint8_t)(b.rank_shift + c->nrank_bits);
    b.group_mask = c->ngroups - 1;
    b.bank_mask = c->nbanks - 1;
    b.rank_mask = c->nranks - 1;
    b.hash = c->xor_hash ? c->ngroups * c->nbanks - 1 : 0;
    return b;
}

/*
 * What a refresh and one access behind it take at most: it opens its row when other rows allow it, and has its column command
 * when others do. A refresh that is due closes the row before that, so with less there might be refreshes only.
 */
static simtime_t between_refreshes(const struct dram_timing *t)
{
    const simtime_t waits[] = {t->trp_fs, t->tburst_fs, t->tccd_s_fs, t->tccd_l_fs, t->tccd_l_wr_fs, t->trrd_s_fs, t->trrd_l_fs,
                               t->tfaw_fs, t->twr_fs, t->twtr_s_fs, t->twtr_l_fs, t->trtp_fs, t->tturn_fs};
    simtime_t longest = 0;
    for (unsigned i = 0; i < sizeof waits / sizeof waits[0]; i++)
        longest = u64_max(longest, waits[i]);
    return t->trfc_fs + t->trcd_fs + t->tras_fs + 2 * longest;
}

enum err dram_configure(const struct dram_params *p, uint32_t nrequests_max,
                        struct dram_config *out)
{
    struct preset preset = preset_of((enum dram_preset)p->preset);
    struct dram_config c = {
        .t = preset.t,
        .nchannels = (uint32_t)p->channels,
        .nranks = given_or(p->ranks, preset.nranks),
        .ngroups = given_or(p->groups, preset.ngroups),
        .nbanks = given_or(p->banks, preset.nbanks),
        .ncolumns = given_or(p->row_bytes, preset.row_bytes) >> LINE_SHIFT,
        .read_window = (uint32_t)p->read_window,
        .write_window = (uint32_t)p->write_window,
        .write_high = (uint32_t)p->write_high,
        .write_low = (uint32_t)p->write_low,
        .hit_cap = (uint32_t)p->hit_cap,
        .nrequests_max = nrequests_max,
        .mapping = (enum dram_mapping)p->mapping,
        .xor_hash = p->xor_hash,
        .refresh = p->refresh,
        .controller_fs = p->controller_fs,
    };
#define X(name, a, b, cc, doc)                                                                     \
    if (p->timing.name##_fs != 0)                                                                  \
        c.t.name##_fs = p->timing.name##_fs;                                                       \
    c.dist.name = c.t.name##_fs << DRAM_ORDER_BITS;
    DRAM_TIMING_LIST(X)
#undef X
    if (!is_pow2(c.ngroups) || !is_pow2(c.nbanks) || !is_pow2(c.ncolumns))
        return err_log(ERR_USAGE,
                       "dram: groups (%u), banks (%u) and lines a row (%u) must be powers of two",
                       c.ngroups, c.nbanks, c.ncolumns);
    if (c.nranks * c.ngroups > DRAM_MAX_GROUPS || c.nranks * c.ngroups * c.nbanks > DRAM_MAX_BANKS)
        return err_log(ERR_USAGE,
                       "dram: %u ranks of %u groups of %u banks exceed the %u groups or %u banks "
                       "in a channel",
                       c.nranks, c.ngroups, c.nbanks, DRAM_MAX_GROUPS, DRAM_MAX_BANKS);
    if (c.write_low >= c.write_high)
        return err_log(ERR_USAGE, "dram.write_low (%u) must be below dram.write_high (%u)",
                       c.write_low, c.write_high);
    if (c.refresh && between_refreshes(&c.t) >= c.t.trefi_fs)
        return err_log(ERR_USAGE, "dram.trefi of %llu ns leaves no time for accesses: dram.trfc (%llu ns), trcd and tras, and twice the longest "
                       "of the other waits, take %llu ns", (unsigned long long)(c.t.trefi_fs / FS_PER_NS),
                       (unsigned long long)(c.t.trfc_fs / FS_PER_NS), (unsigned long long)(between_refreshes(&c.t) / FS_PER_NS));
    c.group_bits = log2_floor(c.ngroups);
    c.bank_bits = log2_floor(c.nbanks);
    c.column_bits = log2_floor(c.ncolumns);
    c.channel_bits = is_pow2(c.nchannels) ? log2_floor(c.nchannels) : DRAM_DIVIDE;
    c.nrank_bits = is_pow2(c.nranks) ? log2_floor(c.nranks) : DRAM_DIVIDE;
    c.rank_bits = c.group_bits + c.bank_bits;
    c.tck_reciprocal = clock_reciprocal(c.t.tck_fs);
    c.column[0] = column_of(&c, false);
    c.column[1] = column_of(&c, true);
    c.unloaded_fs[DRAM_ROW_HIT] = c.t.tcl_fs + c.t.tburst_fs + c.controller_fs;
    c.unloaded_fs[DRAM_ROW_CLOSED] = c.unloaded_fs[DRAM_ROW_HIT] + c.t.trcd_fs;
    c.unloaded_fs[DRAM_ROW_CONFLICT] = c.unloaded_fs[DRAM_ROW_CLOSED] + c.t.trp_fs;
    c.bits = bits_of(&c);
    if (dram_state_bytes(&c) > UINT32_MAX) /* dram_at_of has 32 bits */
        return err_log(ERR_USAGE, "%u requests wait at a DRAM channel at most, which take more than 4 GiB of this host: fewer of "
                       "llc.slices, llc.dram_reads or llc.dram_writes", c.nrequests_max);
    *out = c;
    return ERR_OK;
}

/* ---- addresses ------------------------------------------------------------------------------ */

uint32_t dram_channel_of(uint32_t nchannels, bool hash, paddr_t line)
{
    if (is_pow2(nchannels))
        return dram_channel_of_bits(log2_floor(nchannels), hash, line);
    uint64_t number = line.v >> LINE_SHIFT, rotate = hash ? dram_fold(number / nchannels) : 0;
    return (uint32_t)((number % nchannels + rotate) % nchannels);
}

static uint32_t take_bits(uint64_t *x, uint32_t nbits)
{
    uint32_t digit = (uint32_t)*x & ((1u << nbits) - 1);
    *x >>= nbits;
    return digit;
}

/* Takes the digit of base `n` off, of which `nbits` is the logarithm. */
static uint32_t take(uint64_t *x, uint32_t n, uint32_t nbits)
{
    if (nbits != DRAM_DIVIDE)
        return take_bits(x, nbits);
    uint32_t digit = (uint32_t)(*x % n);
    *x /= n;
    return digit;
}

struct dram_place dram_place_of(const struct dram_config *c, paddr_t line)
{
    uint64_t rest = line.v >> LINE_SHIFT;
    struct dram_place p = {0};
    take(&rest, c->nchannels, c->channel_bits);
    if (c->mapping == DRAM_MAP_GROUP_LOW)
        p.group = take_bits(&rest, c->group_bits);
    p.column = take_bits(&rest, c->column_bits);
    if (c->mapping == DRAM_MAP_COLUMN_LOW)
        p.group = take_bits(&rest, c->group_bits);
    p.bank = take_bits(&rest, c->bank_bits);
    p.rank = take(&rest, c->nranks, c->nrank_bits);
    p.row = rest;
    if (c->xor_hash) {
        /* Permutation-based page interleaving (Zhang, Zhu, Zhang, MICRO 2000). */
        p.bank ^= (uint32_t)p.row & (c->nbanks - 1);
        p.group ^= (uint32_t)(p.row >> c->bank_bits) & (c->ngroups - 1);
    }
    return p;
}
