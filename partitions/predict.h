/*
 * Predicted host time of a run on any number of ranks, from a log of windows and costs of an exchange.
 *
 * A window has two phases, two rounds of the engine, each of which ends with an exchange among all ranks. So
 *
 *     time = sum over phases of ( max over ranks ( work of its LPs + packing and taking messages ) + exchange )
 *
 * with `work` the logged host time of the LPs that the placement gives the rank, and
 *
 *     exchange(R) = 0 for one rank; on one node  first + (R - 2) x peer;
 *                   over several nodes           latency + (R - 1) x net_peer
 *     message     = message_ns (and on several nodes 64 bytes of the network), half at either end
 *
 * since every rank writes to and reads from every other one. With more ranks than processors, ranks take
 * turns: a phase takes at least its work over the processors, and an exchange some turns.
 *
 * Not modelled: that DRAM channels run while batches are awaited (not in a run that is profiled); that fewer LPs on a rank are faster because the host's caches hold them; memory
 * bandwidth that ranks share; noise of the operating system, which grows with the number of ranks.
 */
#ifndef PARTITIONS_PREDICT_H
#define PARTITIONS_PREDICT_H

#include "partitions/window_log.h"

struct exchange_costs {
    double first_ns, peer_ns, message_ns;                        /* through shared memory */
    double latency_ns, net_peer_ns, net_message_ns, net_byte_ns; /* by messages, between nodes */
    double turn_ns;       /* an exchange, for each rank on a processor but one */
    uint32_t node_ranks;  /* ranks of one node */
    uint32_t processors;  /* of the host; 0: one for each rank */
};

/* The parts that the loss of a placement against the ideal (work over ranks) is put down to. */
/* clang-format off */
#define LOSS_LIST(X)                                                                \
    X(EXCHANGE, 'x', "exchange",   "windows are too short for the cost of an exchange") \
    X(MESSAGES, 'm', "messages",   "packing and taking messages between ranks")     \
    X(CORES,    'c', "cores",      "simulated cores are busy unevenly, or too few for the ranks") \
    X(SLICES,   's', "LLC slices", "the same of LLC slices")                        \
    X(CHANNELS, 'd', "DRAM",       "the same of DRAM channels")                     \
    X(KERNEL,   'k', "kernel LP",  "one process for all of the operating system")   \
    X(IDLE,     'i', "idle LPs",   "asking LPs that have nothing to do")
/* clang-format on */
enum loss {
#define X(name, letter, label, doc) LOSS_##name,
    LOSS_LIST(X)
#undef X
        NLOSSES
};
extern const struct loss_desc {
    char letter;
    const char *label, *doc;
} loss_table[NLOSSES];

/* A placement, and the kind of each LP (a loss from LOSS_CORES to LOSS_KERNEL). */
struct predict_map {
    int nranks;
    uint32_t nlps;
    const int *rank;           /* [nlps] */
    const unsigned char *kind; /* [nlps] */
};

struct prediction {
    int nranks;
    double total_ns, work_ns; /* work of all LPs */
    double least_ns;          /* what no placement gets below: see predictor_phase */
    double loss_ns[NLOSSES];  /* sum = total - work / min(ranks, processors), as far as not negative */
};

/* Adds up phases for one placement. NULL: no memory. `map` is copied, its arrays are not. */
struct predictor;
struct predictor *predictor_create(const struct exchange_costs *costs, const struct predict_map *map);
void predictor_destroy(struct predictor *p);
/*
 * Adds a phase of the log. To least_ns it adds what it would take if LPs could be placed anew in each phase, and
 * exchanges and messages were free: its longest LP, or its work shared out evenly, whichever is more (Graham 1966: no schedule
 * of jobs that do not depend on one another is shorter).
 */
void predictor_phase(struct predictor *p, const struct phase_log *phase);
const struct prediction *predictor_result(const struct predictor *p);

/* A phase piece by piece: begin, what each rank does, end. `nmessages` have one end at the rank. */
void predictor_begin(struct predictor *p);
void predictor_work(struct predictor *p, int rank, enum loss kind, double ns);
void predictor_messages(struct predictor *p, int rank, double nmessages);
void predictor_end(struct predictor *p);

double exchange_ns(const struct exchange_costs *c, int nranks);
/* Of one message, at both ends together. */
double exchange_message_ns(const struct exchange_costs *c, int nranks);
/* The greatest loss. */
enum loss prediction_limit(const struct prediction *p);

#endif
