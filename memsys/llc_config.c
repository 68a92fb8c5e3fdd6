/* See llc.h: parameters and the rows of the statistics. */
#include "memsys/llc.h"

#include "memsys/clock.h"

/* clang-format off */
const struct param_desc llc_param_rows[] = {
#define AT(field) offsetof(struct llc_params, field)
    {"clock", PARAM_FREQ, "hertz", "2GHz", 1000000, 100000000000, NULL, AT(clock_hz),
     "clock of the slices"},
    {"slices", PARAM_COUNT, "slice", "0", 0, 65536, NULL, AT(slices), "0: one per core"},
    {"size", PARAM_SIZE, "byte", "2MiB", 4096, UINT64_C(1) << 32, NULL, AT(size_bytes),
     "capacity of one slice"},
    {"ways", PARAM_COUNT, "way", "16", 1, SARRAY_MAX_WAYS, NULL, AT(ways), "associativity"},
    {"repl", PARAM_ENUM, "", "lru", 0, REPL_KINDS - 1, repl_names, AT(repl), "replacement policy"},
    {"banks", PARAM_COUNT, "bank", "4", 1, LLC_MAX_BANKS, NULL, AT(banks), "banks of a slice"},
    {"tag_cycles", PARAM_COUNT, "cycle", "6", 1, 10000, NULL, AT(tag_cycles),
     "from a granted bank to hit or miss"},
    {"data_cycles", PARAM_COUNT, "cycle", "10", 1, 10000, NULL, AT(data_cycles),
     "from a hit, or from a fill, to data leaving"},
    {"bank_busy_cycles", PARAM_COUNT, "cycle", "2", 0, 10000, NULL, AT(bank_busy_cycles),
     "a bank takes the next access this much later"},
    {"dram_reads", PARAM_COUNT, "request", "32", 1, 4096, NULL, AT(dram_reads),
     "reads that a slice may have under way at one channel"},
    {"dram_writes", PARAM_COUNT, "request", "32", 1, 4096, NULL, AT(dram_writes),
     "writes that a slice may have under way at one channel"},
    {"victims", PARAM_COUNT, "line", "32", 1, 4096, NULL, AT(victims),
     "replaced dirty lines held by a slice before it stops reading"},
#undef AT
};

const struct stat_desc llc_stat_rows[] = {
#define AT(field) offsetof(struct llc_stats, field)
#define K(name, unit, kind, doc)                                                            \
    {#name "/data", unit, kind, STAMP_ARRIVAL, 1, AT(name[LINE_DATA]), doc ": data"},      \
    {#name "/code", unit, kind, STAMP_ARRIVAL, 1, AT(name[LINE_CODE]), doc ": code"},      \
    {#name "/pt", unit, kind, STAMP_ARRIVAL, 1, AT(name[LINE_PT]), doc ": page tables"},
#define S(name, unit, kind, doc) {#name, unit, kind, STAMP_ARRIVAL, 1, AT(name), doc},
    LLC_STAT_LIST(K, S)
#undef K
#undef S
#undef AT
};
/* clang-format on */
const uint32_t llc_param_nrows = sizeof llc_param_rows / sizeof llc_param_rows[0];
const uint32_t llc_stat_nrows = sizeof llc_stat_rows / sizeof llc_stat_rows[0];

enum err llc_configure(const struct llc_params *p, const struct llc_machine *m,
                       struct llc_config *out)
{
    uint64_t set_bytes = p->ways * LINE_BYTES;
    if (p->size_bytes % set_bytes != 0)
        return err_log(ERR_USAGE,
                       "llc.size (%llu bytes a slice) is no multiple of a set of llc.ways = %llu "
                       "lines (%llu bytes); the next that is: %llu",
                       (unsigned long long)p->size_bytes, (unsigned long long)p->ways,
                       (unsigned long long)set_bytes,
                       (unsigned long long)((p->size_bytes / set_bytes + 1) * set_bytes));
    if (m->ncores >= 1u << 24)
        return err_log(ERR_USAGE, "%u cores; a cache line can name %u", m->ncores, 1u << 24);
    simtime_t period_fs = clock_period_fs(p->clock_hz);
    *out = (struct llc_config){
        .array = {.nsets = (uint32_t)(p->size_bytes / set_bytes),
                  .nways = (uint32_t)p->ways,
                  .repl = (enum repl_kind)p->repl,
                  .seed = m->seed},
        .nslices = p->slices != 0 ? (uint32_t)p->slices : m->ncores,
        .nbanks = (uint32_t)p->banks,
        .ncores = m->ncores,
        .nchannels = m->nchannels,
        .channel_hash = m->channel_hash,
        .nrequests_max = m->ncores * m->core_credits,
        .dram_reads = (uint32_t)p->dram_reads,
        .dram_writes = (uint32_t)p->dram_writes,
        .victims = (uint32_t)p->victims,
        .period_fs = period_fs,
        .period_reciprocal = clock_reciprocal(period_fs),
        .tag_fs = p->tag_cycles * period_fs,
        .data_fs = p->data_cycles * period_fs,
        .busy_fs = p->bank_busy_cycles * period_fs,
    };
    out->bank_mask = is_pow2(out->nbanks) ? out->nbanks - 1 : 0;
    out->channel_bits = is_pow2(out->nchannels) ? log2_floor(out->nchannels) : LLC_NIL;
    if (is_pow2(out->nslices) && is_pow2(out->array.nsets)) {
        out->set_shift = log2_floor(out->nslices);
        out->set_mask = out->array.nsets - 1;
    }
    return ERR_OK;
}
