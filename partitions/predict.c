/* See predict.h. */
#include "partitions/predict.h"

#include <stdlib.h>
#include <string.h>

const struct loss_desc loss_table[NLOSSES] = {
#define X(name, letter, label, doc) {letter, label, doc},
    LOSS_LIST(X)
#undef X
};

struct predictor {
    struct exchange_costs costs;
    struct predict_map map;
    struct prediction result;
    double *work;    /* [rank][NLOSSES]: by kind, and messages */
};

struct predictor *predictor_create(const struct exchange_costs *costs, const struct predict_map *map)
{
    struct predictor *p = calloc(1, sizeof *p);
    double *work = calloc((size_t)map->nranks * NLOSSES, sizeof *work);
    if (p == NULL || work == NULL) {
        free(p);
        free(work);
        return NULL;
    }
    *p = (struct predictor){.costs = *costs, .map = *map, .result = {.nranks = map->nranks}, .work = work};
    return p;
}

void predictor_destroy(struct predictor *p)
{
    if (p == NULL)
        return;
    free(p->work);
    free(p);
}

const struct prediction *predictor_result(const struct predictor *p) { return &p->result; }

/* ---- costs ------------------------------------------------------------------------------------ */

static bool one_node(const struct exchange_costs *c, int nranks)
{
    return c->node_ranks == 0 || (uint32_t)nranks <= c->node_ranks;
}

static double ranks_per_processor(const struct exchange_costs *c, int nranks)
{
    return c->processors == 0 || (uint32_t)nranks <= c->processors ? 1.0 : (double)nranks / c->processors;
}

double exchange_ns(const struct exchange_costs *c, int nranks)
{
    if (nranks == 1)
        return 0;
    double ns = one_node(c, nranks) ? c->first_ns + (nranks - 2) * c->peer_ns
                                    : c->latency_ns + (nranks - 1) * c->net_peer_ns;
    return ns + (ranks_per_processor(c, nranks) - 1) * c->turn_ns;
}

double exchange_message_ns(const struct exchange_costs *c, int nranks)
{
    return one_node(c, nranks) ? c->message_ns : c->net_message_ns + sizeof(struct msg) * c->net_byte_ns;
}

static double phase_ns(const struct exchange_costs *c, int nranks, double longest_ns, double sum_ns)
{
    double shared = sum_ns / nranks * ranks_per_processor(c, nranks);
    return (shared > longest_ns ? shared : longest_ns) + exchange_ns(c, nranks);
}

enum loss prediction_limit(const struct prediction *p)
{
    enum loss worst = LOSS_EXCHANGE;
    for (enum loss k = 0; k < NLOSSES; k++)
        if (p->loss_ns[k] > p->loss_ns[worst])
            worst = k;
    return worst;
}

/* ---- one phase -------------------------------------------------------------------------------- */

void predictor_begin(struct predictor *p)
{
    memset(p->work, 0, (size_t)p->map.nranks * NLOSSES * sizeof *p->work);
}

void predictor_work(struct predictor *p, int rank, enum loss kind, double ns)
{
    p->work[(size_t)rank * NLOSSES + kind] += ns;
    p->result.work_ns += ns;
}

void predictor_messages(struct predictor *p, int rank, double nmessages)
{
    double ns = nmessages * exchange_message_ns(&p->costs, p->map.nranks) / 2;
    p->work[(size_t)rank * NLOSSES + LOSS_MESSAGES] += ns;
}

static void add_messages(struct predictor *p, const struct phase_log *phase)
{
    int nranks = p->map.nranks;
    for (uint32_t i = 0; i < phase->nsent; i++) {
        const struct lp_sent *s = &phase->sent[i];
        int from = p->map.rank[s->src];
        if (s->dst == LPID_NONE) { /* to every other rank */
            for (int r = 0; r < nranks; r++)
                predictor_messages(p, r, r == from ? nranks - 1 : 1);
            continue;
        }
        int to = p->map.rank[s->dst];
        if (to == from)
            continue;
        predictor_messages(p, from, 1);
        predictor_messages(p, to, 1);
    }
}

static double sum_of(const double *work)
{
    double sum = 0;
    for (enum loss k = 0; k < NLOSSES; k++)
        sum += work[k];
    return sum;
}

/*
 * The loss of a phase, longest + exchange - work / ranks, is put down to the exchange, to messages of
 * the rank that took longest, and to the kinds of which that rank had more than the average.
 */
static void account(struct predictor *p, const double *longest, const double *mean, double time_ns)
{
    struct prediction *r = &p->result;
    double exchange = exchange_ns(&p->costs, r->nranks), more[NLOSSES] = {0}, sum_more = 0;
    double work = sum_of(mean) - mean[LOSS_MESSAGES];
    double loss = time_ns - exchange - work * ranks_per_processor(&p->costs, r->nranks);
    r->loss_ns[LOSS_EXCHANGE] += exchange;
    for (enum loss k = LOSS_MESSAGES; k < NLOSSES; k++) {
        double excess = longest[k] - (k == LOSS_MESSAGES ? 0 : mean[k]);
        more[k] = excess > 0 ? excess : 0;
        sum_more += more[k];
    }
    for (enum loss k = LOSS_MESSAGES; k < NLOSSES && sum_more > 0 && loss > 0; k++)
        r->loss_ns[k] += loss * more[k] / sum_more;
}

void predictor_end(struct predictor *p)
{
    int nranks = p->map.nranks, longest_rank = 0;
    double mean[NLOSSES] = {0}, sum = 0, longest = -1;
    for (int r = 0; r < nranks; r++) {
        const double *work = p->work + (size_t)r * NLOSSES;
        double busy = sum_of(work);
        for (enum loss k = 0; k < NLOSSES; k++)
            mean[k] += work[k] / nranks;
        sum += busy;
        if (busy > longest) {
            longest = busy;
            longest_rank = r;
        }
    }
    double time_ns = phase_ns(&p->costs, nranks, longest, sum);
    p->result.total_ns += time_ns;
    account(p, p->work + (size_t)longest_rank * NLOSSES, mean, time_ns);
}

static double least_ns(const struct phase_log *phase, int nranks)
{
    double longest = 0, sum = (double)phase->idle_ns;
    for (uint32_t i = 0; i < phase->nloads; i++) {
        double ns = (double)phase->loads[i].ns;
        longest = ns > longest ? ns : longest;
        sum += ns;
    }
    return longest > sum / nranks ? longest : sum / nranks;
}

void predictor_phase(struct predictor *p, const struct phase_log *phase)
{
    p->result.least_ns += least_ns(phase, p->map.nranks);
    predictor_begin(p);
    for (uint32_t i = 0; i < phase->nloads; i++) {
        const struct lp_load *l = &phase->loads[i];
        predictor_work(p, p->map.rank[l->lp], p->map.kind[l->lp], (double)l->ns);
    }
    for (int r = 0; r < p->map.nranks; r++)
        predictor_work(p, r, LOSS_IDLE, (double)phase->idle_ns / p->map.nranks);
    if (p->map.nranks > 1)
        add_messages(p, phase);
    predictor_end(p);
}
