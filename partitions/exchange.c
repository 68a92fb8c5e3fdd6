/*
 * See exchange.h. Measured: the least time of many exchanges of a batch without messages, and of one with
 * MESSAGES of them, copied in and out as the engine does. The least, since a busy host can only add.
 */
#include "partitions/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "configs/units.h"
#include "partitions/launch.h"

#define MESSAGES 48u /* a batch below MPI's eager limit */
#define HEAD_BYTES 56u
#define ROUNDS 32
#define ROUND_EXCHANGES 64
#define SECONDS_MAX 0.5

/*
 * Defaults, where nothing can be measured; from two idle processors of a Xeon (family 6, model 207) and Open MPI
 * 4.1: 0.22 us for two ranks to see each other's flag in shared memory, some 100 ns to read a line
 * that another processor has just written, 10 ns a message in a batch; 0.58 us for a pair of non-blocking
 * messages of 64 bytes. Network: assumed, not measured: a 100 Gbit/s fabric.
 */
static const struct exchange_costs default_costs = {
    .first_ns = 220, .peer_ns = 100, .message_ns = 10, .net_peer_ns = 290, .net_message_ns = 10, .turn_ns = 3000,
};
static const struct network default_network = {.latency_ns = 1500, .bytes_per_ns = 12.5, .node_ranks = 64};

/* ---- measuring -------------------------------------------------------------------------------- */

struct bench {
    struct transport *tr;
    char **out;
    size_t *out_bytes, *in_bytes;
    const void **in;
    char *scratch;
};

static double now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void bench_free(struct bench *b)
{
    for (int r = 0; b->out != NULL && r < b->tr->nranks; r++)
        free(b->out[r]);
    free(b->out);
    free(b->out_bytes);
    free(b->in_bytes);
    free(b->in);
    free(b->scratch);
}

static bool bench_create(struct transport *tr, struct bench *b)
{
    size_t n = (size_t)tr->nranks, bytes = HEAD_BYTES + MESSAGES * sizeof(struct msg);
    *b = (struct bench){.tr = tr, .out = calloc(n, sizeof *b->out), .out_bytes = calloc(n, sizeof *b->out_bytes),
                        .in_bytes = calloc(n, sizeof *b->in_bytes), .in = calloc(n, sizeof *b->in),
                        .scratch = calloc(2, bytes)};
    bool ok = b->out && b->out_bytes && b->in_bytes && b->in && b->scratch;
    for (size_t r = 0; ok && r < n; r++)
        ok = (b->out[r] = calloc(1, bytes)) != NULL;
    return ok;
}

static void one_exchange(struct bench *b, uint64_t bytes)
{
    struct transport *tr = b->tr;
    size_t half = HEAD_BYTES + MESSAGES * sizeof(struct msg);
    for (int r = 0; r < tr->nranks; r++) {
        if (r == tr->rank)
            continue;
        SIM_ASSERT(b->out[r] != NULL, "no batch to rank %d", r);
        memcpy(b->out[r], b->scratch, bytes);
        uint32_t size = (uint32_t)bytes;
        memcpy(b->out[r], &size, sizeof size);
        b->out_bytes[r] = bytes;
    }
    tr->ops->exchange(tr, (const void *const *)b->out, b->out_bytes, b->in, b->in_bytes,
                      NULL, NULL);
    for (int r = 0; r < tr->nranks; r++)
        if (r != tr->rank)
            memcpy(b->scratch + half, b->in[r], b->in_bytes[r]);
}

/* Least of many rounds; the same number of them on all ranks. */
static double least_ns(struct bench *b, uint32_t nmsgs)
{
    double least = 1e30, begin = now_ns();
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int i = 0; i < ROUND_EXCHANGES; i++)
            one_exchange(b, HEAD_BYTES + nmsgs * sizeof(struct msg));
        double ns = (now_ns() - start) / ROUND_EXCHANGES;
        least = ns < least ? ns : least;
        uint64_t late = round > 1 && now_ns() - begin > SECONDS_MAX * 1e9;
        if (b->tr->ops->sum(b->tr, late) > 0)
            break;
    }
    return least;
}

struct measured {
    bool shared, messages;
    int nranks;
    double shared_ns, messages_ns; /* an exchange of empty batches */
    double message_ns;             /* a message of 64 bytes more, through shared memory if there is any */
};

static struct measured measure(struct transport *tr)
{
    struct measured m = {.nranks = tr->nranks};
    struct bench b;
    uint64_t nbad = tr->ops->sum(tr, !bench_create(tr, &b));
    if (nbad > 0 || tr->nranks < 2) {
        bench_free(&b);
        return m;
    }
    m.shared = strcmp(tr->ops->name, "shm") == 0;
    if (m.shared)
        m.shared_ns = least_ns(&b, 0);
    double full = least_ns(&b, MESSAGES);
    transport_mpi_share(tr, false);
    m.messages_ns = least_ns(&b, 0);
    m.messages = true;
    double empty = m.shared ? m.shared_ns : m.messages_ns;
    m.message_ns = full > empty ? (full - empty) / MESSAGES / (tr->nranks - 1) : 0;
    if (m.shared)
        transport_mpi_share(tr, true);
    bench_free(&b);
    return m;
}

/* ---- in processes of their own ---------------------------------------------------------------- */

static bool read_measured(FILE *f, struct measured *m)
{
    char line[256];
    while (fgets(line, sizeof line, f) != NULL) {
        int shared;
        if (sscanf(line, "raw %d %d %lf %lf %lf", &m->nranks, &shared, &m->shared_ns, &m->messages_ns, &m->message_ns) == 5) {
            m->shared = shared != 0;
            m->messages = true;
        }
    }
    return m->messages;
}

static bool measure_apart(int nranks, struct measured *m)
{
    *m = (struct measured){0};
    FILE *f = launch_self(nranks, "exchange --raw");
    if (f == NULL)
        return false;
    bool ok = read_measured(f, m);
    return pclose(f) == 0 && ok && m->nranks == nranks;
}

static uint32_t processors_here(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (uint32_t)n : 1;
}

static void take_pair(const struct measured *m, struct exchange_costs *c)
{
    if (m->shared) {
        c->first_ns = m->shared_ns - (m->nranks - 2) * c->peer_ns;
        if (c->first_ns < c->peer_ns)
            c->first_ns = c->peer_ns;
    }
    if (m->messages)
        c->net_peer_ns = m->messages_ns / (2 * (m->nranks - 1)); /* the other half is on its way */
    if (m->message_ns > 0)
        c->message_ns = m->message_ns;
}

static void take_crowd(const struct measured *m, struct exchange_costs *c)
{
    double turns = (double)m->nranks / processors_here() - 1;
    double ns = m->shared ? m->shared_ns : m->messages_ns;
    if (turns > 0 && ns > 0)
        c->turn_ns = (ns - c->first_ns - (m->nranks - 2) * c->peer_ns) / turns;
    if (c->turn_ns < 0)
        c->turn_ns = 0;
}

void exchange_costs_find(struct transport *tr, const struct network *net, struct exchange_costs *c,
                         struct exchange_measured *how)
{
    struct network n = net != NULL ? *net : default_network;
    struct measured pair = {0}, crowd = {0};
    bool crowded = (uint32_t)tr->nranks > processors_here();
    *c = default_costs;
    c->latency_ns = n.latency_ns;
    c->net_byte_ns = n.bytes_per_ns > 0 ? 1 / n.bytes_per_ns : 0;
    c->node_ranks = n.node_ranks;
    if (tr->nranks > 1) {
        pair = measure(tr);
        if (crowded) {
            crowd = pair;
            pair = (struct measured){0};
        }
    } else {
        measure_apart(2, &pair);
        if (processors_here() <= 2) /* else it would be long */
            measure_apart(2 * (int)processors_here(), &crowd);
    }
    take_pair(&pair, c);
    if (crowd.nranks > 0)
        take_crowd(&crowd, c);
    *how = (struct exchange_measured){pair.nranks, crowd.nranks, pair.shared, pair.messages};
}

void exchange_print(FILE *f, const struct exchange_costs *c, const struct exchange_measured *how)
{
    fprintf(f, "  an exchange           shared memory %.0f ns for 2 ranks (%s), %.0f ns for each further one (default), %.1f ns a message (%s)\n",
            c->first_ns, how->shared ? "measured" : "default", c->peer_ns, c->message_ns,
            how->shared || how->messages ? "measured" : "default");
    fprintf(f, "                        between nodes of %u ranks %.0f ns + %.0f ns a rank (%s), %.1f GB/s (--network)\n",
            c->node_ranks, c->latency_ns, c->net_peer_ns, how->messages ? "half of MPI between 2 ranks here" : "default",
            c->net_byte_ns > 0 ? 1 / c->net_byte_ns : 0.0);
    fprintf(f, "                        with ranks that share processors %.0f ns more for each of them on a processor (%s)\n",
            c->turn_ns, how->crowd > 0 ? "measured" : "default");
}

/* ---- the network, in words -------------------------------------------------------------------- */

enum err network_parse(const char *text, struct network *out)
{
    char latency[64] = "", bandwidth[64] = "", rest = '\0';
    unsigned ranks = 0;
    uint64_t fs, bytes;
    static const char expected[] = "--network %s: expected LATENCY,BYTES a second,RANKS of a node, such as 1500ns,12.5GB,64";
    if (sscanf(text, "%63[^,],%63[^,],%u%c", latency, bandwidth, &ranks, &rest) != 3 || ranks == 0 ||
        units_parse(PARAM_TIME, latency, &fs) != UNITS_OK)
        return err_log(ERR_USAGE, expected, text);
    char *end;
    double n = strtod(bandwidth, &end);
    double unit = strcmp(end, "GB") == 0 ? 1e9 : strcmp(end, "MB") == 0 ? 1e6 : 0;
    bytes = (uint64_t)(n * unit);
    if (end == bandwidth || n <= 0 || bytes == 0)
        return err_log(ERR_USAGE, expected, text);
    *out = (struct network){(double)fs / (double)FS_PER_NS, (double)bytes * 1e-9, ranks};
    return ERR_OK;
}

/* ---- the command ------------------------------------------------------------------------------ */

static void say(const struct measured *m)
{
    printf("exchange between %d ranks, best of many\n", m->nranks);
    if (m->shared)
        printf("  shared memory   %8.0f ns, batches without messages\n", m->shared_ns);
    printf("  MPI messages    %8.0f ns, the same\n", m->messages_ns);
    printf("  a message more  %8.1f ns, of 64 bytes, in each batch\n", m->message_ns);
}

int exchange_main(int argc, char **argv)
{
    bool raw = argc == 2 && strcmp(argv[1], "--raw") == 0;
    if (argc > 1 && !raw) {
        puts("usage: mpirun -np N concerto exchange\n"
             "       what an exchange between N ranks costs here; with --map-by node, between nodes");
        return strcmp(argv[1], "--help") == 0 ? 0 : err_exit_code(err_log(ERR_USAGE, "exchange takes no '%s'", argv[1]));
    }
    struct transport *tr = transport_self();
    enum err e = transport_mpi_launched() ? transport_mpi_open(&argc, &argv, &tr) : ERR_OK;
    if (e != ERR_OK)
        return err_exit_code(e);
    if (tr->nranks < 2) {
        e = err_log(ERR_USAGE, "an exchange takes two: mpirun -np 2 concerto exchange");
    } else {
        struct measured m = measure(tr);
        if (tr->rank == 0 && raw)
            printf("raw %d %d %.1f %.1f %.2f\n", m.nranks, m.shared, m.shared_ns, m.messages_ns, m.message_ns);
        else if (tr->rank == 0)
            say(&m);
    }
    tr->ops->close(tr);
    return err_exit_code(e);
}
