/* One process without MPI: nobody to exchange with. The reference that every other run must equal. */
#include <string.h>

#include "pdes/transport.h"

static void self_exchange(struct transport *t, const void *const *out, const size_t *out_bytes,
                          const void **in, size_t *in_bytes, void (*meanwhile)(void *ctx), void *ctx)
{
    (void)t, (void)out, (void)out_bytes;
    if (meanwhile != NULL)
        meanwhile(ctx);
    in[0] = NULL;
    in_bytes[0] = 0;
}

static void self_gather(struct transport *t, const void *out, size_t out_bytes, void *in,
                        const size_t *bytes_of_rank)
{
    (void)t, (void)bytes_of_rank;
    memcpy(in, out, out_bytes);
}

static void self_bcast(struct transport *t, void *data, size_t bytes)
{
    (void)t, (void)data, (void)bytes;
}

static uint64_t self_sum(struct transport *t, uint64_t x)
{
    (void)t;
    return x;
}

static void self_nothing(struct transport *t) { (void)t; }

static uint64_t self_sleep(struct transport *t)
{
    (void)t;
    return 0;
}

static void self_rouse(struct transport *t, int rank, uint64_t value)
{
    (void)t, (void)rank, (void)value;
}

static const struct transport_ops self_ops = {
    .name = "self",
    .exchange = self_exchange,
    .gather = self_gather,
    .bcast = self_bcast,
    .sum = self_sum,
    .barrier = self_nothing,
    .sleep = self_sleep,
    .rouse = self_rouse,
    .close = self_nothing,
};

struct transport *transport_self(void)
{
    static struct transport t = {.ops = &self_ops, .rank = 0, .nranks = 1};
    return &t;
}
