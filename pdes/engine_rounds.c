/*
 * See engine.h: several ranks, or one that is profiled, go in rounds:
 *
 *     bounds (the same on all ranks) -> safe time of each class -> run the local LPs of most classes
 *     -> one batch to each rank {bounds, messages, mirrored writes} -> run those of patient classes
 *     -> deliver what came
 *
 * All ranks hold the same bounds after an exchange, hence take the same decisions (epoch boundary, end)
 * without any collective.
 */
#include <string.h>

#include "pdes/engine_inside.h"

/* ---- sending ---------------------------------------------------------------------------------- */

/* Room for so many more bytes in the batch to a rank. */
static char *batch_room(struct engine *e, struct outbox *o, size_t bytes)
{
    if (o->bytes < e->head_bytes)
        o->bytes = e->head_bytes;
    if (o->bytes + bytes > o->cap) {
        o->cap = 2 * (o->bytes + bytes) + 4096;
        o->data = engine_alloc(o->data, o->cap);
    }
    char *p = o->data + o->bytes;
    o->bytes += bytes;
    return p;
}

struct msg *engine_send_remote(struct engine *e, const struct lp *dst, simtime_t time)
{
    struct outbox *o = &e->outboxes[dst->rank];
    o->sent[dst->cls] = u64_min(o->sent[dst->cls], time);
    e->host.nmessages_remote++;
    return (void *)batch_room(e, o, sizeof(struct msg));
}

/* ---- running ----------------------------------------------------------------------------------- */

/* From when on a class has something to do. */
static simtime_t due(const struct engine *e, uint32_t x)
{
    return x == e->cfg.mirror_reader_class ? u64_min(e->bound[x], e->mirror_due) : e->bound[x];
}

/* True: some class had something to do. */
static bool run_classes(struct engine *e, bool patient)
{
    bool ran = false;
    for (uint32_t x = 0; x < e->nclasses; x++) {
        simtime_t next = due(e, x);
        if (e->patient[x] != patient || next >= e->round_until[x])
            continue;
        engine_run_class(e, x, next, e->round_until[x], e->nrounds + x);
        ran = true;
    }
    return ran;
}

/*
 * Classes whose messages are long on their way, such as DRAM channels, do not have to go as far as they may at
 * once. They do after the batches were sent, instead of waiting for those of other ranks, and so make up for
 * some of the unevenness of what the others do. What ranks agree upon is as of before.
 */
static void run_patient(void *ctx)
{
    struct engine *e = ctx;
    uint64_t start = engine_now_ns();
    run_classes(e, true);
    uint64_t ns = engine_now_ns() - start;
    e->host.run_ns += ns;
    e->host.exchange_ns -= ns; /* within which this is */
}

static void choose_patient(struct engine *e)
{
    simtime_t round_trip = engine_round_trip(e);
    for (uint32_t x = 0; x < e->nclasses; x++)
        e->patient[x] = e->nparts > 1 && e->probe.begin == NULL && engine_nearest(e, x) / 3 >= round_trip;
}

/* All classes go as far as the bounds allow that the last exchange told, but for the patient ones. */
static void run_impatient(struct engine *e)
{
    unsigned phase = e->nrounds & 1;
    e->idle_ns = e->nidle = 0;
    if (e->probe.begin != NULL) {
        e->probed = e->probe.begin(e->probe.ctx, e->nrounds / 2, phase);
        engine_watch_sends(e, e->probed);
    }
    for (uint32_t x = 0; x < e->nclasses; x++)
        e->round_until[x] = u64_min(engine_reach(e, e->agreed, x), e->epoch_end);
    if (!run_classes(e, false))
        run_classes(e, true); /* the others may be waiting for these */
    if (e->probed)
        e->probe.end(e->probe.ctx, phase, e->idle_ns, e->nidle);
    e->probed = false;
    e->host.nwindows = ++e->nrounds / 2;
}

/* ---- exchange --------------------------------------------------------------------------------- */

/* The earliest of each class that is pending here or that this rank sends. */
static void find_pending(const struct engine *e, simtime_t *pending)
{
    memcpy(pending, e->bound, sizeof e->bound);
    for (int r = 0; r < e->tr->nranks; r++)
        for (uint32_t x = 0; x < e->nclasses; x++)
            pending[x] = u64_min(pending[x], e->outboxes[r].sent[x]);
}

static void fill_batch(struct engine *e, int r)
{
    struct outbox *o = &e->outboxes[r];
    size_t write_bytes = e->nwrites * sizeof *e->writes;
    char *p = batch_room(e, o, write_bytes);
    if (write_bytes > 0)
        memcpy(p, e->writes, write_bytes);
    SIM_ASSERT(o->bytes <= UINT32_MAX, "a batch of %zu bytes", o->bytes);
    struct batch_head head = {.nbytes = (uint32_t)o->bytes, .nwrites = e->nwrites};
    memcpy(o->data, &head, sizeof head);
    memcpy(o->data + sizeof head, e->agreed, e->nclasses * sizeof *e->agreed);
    e->out[r] = o->data;
    e->out_bytes[r] = o->bytes;
    e->host.nbytes_remote += o->bytes;
}

/* The batch is under way: the next one begins in the other buffer. */
static void begin_batch(struct outbox *o)
{
    struct outbox was = *o;
    *o = (struct outbox){.data = was.sent_data, .cap = was.sent_cap, .sent_data = was.data, .sent_cap = was.cap};
    for (uint32_t x = 0; x < ENGINE_MAX_CLASSES; x++)
        o->sent[x] = BOUND_NEVER;
}

static void take_batch(struct engine *e, const char *p)
{
    struct batch_head head;
    simtime_t bounds[ENGINE_MAX_CLASSES];
    memcpy(&head, p, sizeof head);
    memcpy(bounds, p + sizeof head, e->nclasses * sizeof *bounds);
    for (uint32_t x = 0; x < e->nclasses; x++)
        e->agreed[x] = u64_min(e->agreed[x], bounds[x]);
    const char *writes = p + head.nbytes - head.nwrites * sizeof(struct mirror_write);
    for (p += e->head_bytes; p < writes; p += sizeof(struct msg)) {
        lpid_t dst_id;
        memcpy(&dst_id, p + offsetof(struct msg, dst), sizeof dst_id);
        struct lp *dst = e->lps[dst_id];
        struct msg *m = inbox_take_slot(&dst->inbox);
        memcpy(m, p, sizeof *m);
        engine_deliver(e, dst, m);
    }
    for (uint32_t i = 0; i < head.nwrites; i++, p += sizeof(struct mirror_write)) {
        struct mirror_write w;
        memcpy(&w, p, sizeof w);
        engine_take_mirror(e, &w);
    }
}

void engine_exchange(struct engine *e)
{
    find_pending(e, e->agreed);
    if (e->nparts == 1)
        return;
    uint64_t start = engine_now_ns();
    for (int r = 0; r < e->tr->nranks; r++)
        if (r != e->tr->rank && e->takes_part[r]) {
            fill_batch(e, r);
            begin_batch(&e->outboxes[r]);
        }
    e->nwrites = 0;
    e->tr->ops->exchange(e->tr, e->out, e->out_bytes, e->in, e->in_bytes, run_patient, e);
    for (int r = 0; r < e->tr->nranks; r++)
        if (r != e->tr->rank && e->takes_part[r])
            take_batch(e, e->in[r]);
    e->host.nexchanges++;
    e->host.exchange_ns += engine_now_ns() - start;
    e->host.wait_ns = e->tr->wait_ns;
}

void engine_round(struct engine *e)
{
    uint64_t start = engine_now_ns();
    run_impatient(e);
    e->host.run_ns += engine_now_ns() - start;
    engine_exchange(e);
}

/* ---- ranks without LPs -------------------------------------------------------------------------- */

/* Those that are profiled all take part, so that each measures the same exchanges. */
void engine_choose_parts(struct engine *e)
{
    for (int r = 0; r < e->tr->nranks; r++)
        e->takes_part[r] = r == 0 || e->probe.begin != NULL;
    for (uint32_t i = 0; i < e->nlps; i++)
        e->takes_part[e->lps[i]->rank] = true;
    e->nparts = 0;
    for (int r = 0; r < e->tr->nranks; r++)
        e->nparts += e->takes_part[r];
    if (e->tr->ops->attend != NULL)
        e->tr->ops->attend(e->tr, e->takes_part);
    choose_patient(e);
}

void engine_rouse(struct engine *e, simtime_t next)
{
    for (int r = 1; r < e->tr->nranks && e->tr->rank == 0 && next >= e->epoch_end; r++)
        if (!e->takes_part[r])
            e->tr->ops->rouse(e->tr, r, next);
}

void engine_sleep(struct engine *e)
{
    do {
        e->host.exchange_ns = e->host.wait_ns = e->tr->wait_ns;
    } while (!engine_close_epochs(e, e->tr->ops->sleep(e->tr)));
    e->host.exchange_ns = e->host.wait_ns = e->tr->wait_ns;
}
