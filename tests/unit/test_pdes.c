/* The engine: order, lookahead, windows, save and restore; with a small ring model and no MPI. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pdes/control.h"
#include "pdes/engine.h"
#include "pdes/inbox.h"
#include "pdes/rng.h"
#include "tests/unit/unit.h"

static struct msg message(simtime_t time, lpid_t src, uint64_t seq)
{
    return (struct msg){.time = time, .src = src, .seq = seq};
}

static void take_out(struct inbox *b, struct msg *m_out)
{
    struct msg *m = inbox_pop(b);
    *m_out = *m;
    inbox_give_back(b, m);
}

static void messages_come_out_by_time_then_source_then_sequence(void)
{
    struct inbox b;
    inbox_init(&b);
    struct msg want[] = {message(1, 7, 9), message(2, 1, 5), message(2, 1, 6), message(2, 3, 0),
                         message(9, 0, 0)};
    int order[] = {3, 0, 4, 2, 1};
    for (int i = 0; i < 5; i++)
        inbox_push(&b, (unsigned)i % INBOX_LANES, &want[order[i]]);
    for (int i = 0; i < 5; i++) {
        struct msg m;
        CU_ASSERT_EQUAL(inbox_next_time(&b), want[i].time);
        take_out(&b, &m);
        CU_ASSERT_EQUAL(memcmp(&m, &want[i], sizeof m), 0);
    }
    CU_ASSERT_EQUAL(inbox_next_time(&b), SIM_NEVER);
    inbox_free(&b);
}

static void a_thousand_random_messages_come_out_sorted(void)
{
    struct inbox b;
    inbox_init(&b);
    for (uint64_t i = 0; i < 1000; i++) {
        struct msg m = message(rng_draw(1, 0, 0, 0, i) % 50, (lpid_t)(rng_draw(1, 0, 0, 1, i) % 5), i);
        inbox_push(&b, i % 7 < 3, &m);
    }
    struct msg last = {0}, m;
    for (int i = 0; i < 1000; i++) {
        take_out(&b, &m);
        CU_ASSERT_FALSE(i > 0 && msg_before(&m, &last));
        last = m;
    }
    CU_ASSERT_EQUAL(inbox_count(&b), 0);
    inbox_free(&b);
}

/* Answers of a distant class, in one lane, and what comes meanwhile, in the other and far from its end. */
static void lanes_and_places_far_from_the_end_keep_the_order(void)
{
    struct inbox b;
    inbox_init(&b);
    struct msg m, copies[600];
    bool added = false;
    for (uint64_t i = 0; i < 200; i++) {
        m = message(10000 + 10 * i, 3, i);
        inbox_push(&b, 1, &m);
        m = message(5000 - 10 * i, 2, i); /* each goes before all others of its lane */
        inbox_push(&b, 0, &m);
        m = message(10000 + 10 * i, 1 + (lpid_t)(i % 4), 1000 + i); /* the same time from other sources */
        inbox_push(&b, 0, &m);
    }
    inbox_copy(&b, copies);
    for (uint32_t i = 0; i < 600; i++) {
        take_out(&b, &m);
        CU_ASSERT_EQUAL(memcmp(&m, &copies[i], sizeof m), 0);
        CU_ASSERT_FALSE(i > 0 && !msg_before(&copies[i - 1], &m));
        if (i >= 300 && !added && inbox_next_time(&b) > m.time + 1) { /* what is taken out makes room, and a new one goes in between */
            struct msg late = message(m.time + 1, 9, 5000);
            added = true;
            inbox_push(&b, 1, &late);
            struct msg next;
            take_out(&b, &next);
            CU_ASSERT_EQUAL(next.seq, 5000);
        }
    }
    CU_ASSERT(added);
    CU_ASSERT_EQUAL(inbox_next_time(&b), SIM_NEVER);
    inbox_free(&b);
}

/* What is sent is later than what was taken out, at times that often are the same, from senders in any order. */
static void a_place_near_the_end_is_the_one_that_a_search_finds(void)
{
    struct inbox b;
    inbox_init(&b);
    struct msg m, last = {0};
    unsigned nnear = 0, nout = 0, nwrong = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t r = rng_draw(1, 0, 0, 2, i);
        if (inbox_count(&b) > r % 12) {
            take_out(&b, &m);
            nwrong += nout++ > 0 && !msg_before(&last, &m);
            last = m;
        } else {
            m = message(last.time + 1 + (r >> 8) % 12, (lpid_t)(r >> 16) % 3, i);
            struct msg *slot = inbox_take_slot(&b);
            struct inbox_lane *l = &b.lanes[r >> 24 & 1];
            *slot = m;
            bool near = inbox_enter_near(l, slot, m.time, m.src);
            nnear += near;
            if (!near)
                inbox_insert(&b, l, slot);
        }
    }
    CU_ASSERT(nnear > 4000 && nout + inbox_count(&b) - nnear > 1000);
    CU_ASSERT_EQUAL(nwrong, 0);
    while (inbox_count(&b) > 0) {
        take_out(&b, &m);
        CU_ASSERT(msg_before(&last, &m));
        last = m;
    }
    inbox_free(&b);
}

/* A ring of LPs in two classes that pass tokens on and sum what they saw, in order. */
struct ring_state {
    uint64_t hash, count, epochs_seen;
};
struct ring_cfg {
    uint32_t nlps;
    simtime_t hop;
    uint64_t limit;
};

static void ring_start(struct lp *lp)
{
    const struct ring_cfg *c = lp->cfg;
    lp_send(lp, (lp->id + 1) % c->nlps, c->hop + lp->id, 1, lp->id, 0, 0, 0, 0);
}

static void ring_handle(struct lp *lp, const struct msg *m)
{
    const struct ring_cfg *c = lp->cfg;
    struct ring_state *s = lp->state;
    s->hash = rng_mix(s->hash ^ m->time ^ (uint64_t)m->arg << 40);
    s->count++;
    if (m->a[0] < c->limit)
        lp_send(lp, (lpid_t)(rng_draw(5, 0, m->arg, 0, m->a[0]) % (c->nlps / 2) * 2 + (lp->id + 1) % 2),
                lp->now + c->hop + rng_draw(9, 0, m->arg, 1, m->a[0]) % 100, 1, m->arg, m->a[0] + 1, 0,
                0, 0);
}

static const struct lp_ops ring_ops = {.name = "ring", .start = ring_start, .handle = ring_handle};

struct ring_run {
    struct engine *e;
    uint64_t epochs, stop_at;
    void *saved;
    size_t saved_bytes;
    uint64_t save_at;
    bool load;
};

static bool ring_epoch(void *ctx, uint64_t epoch, simtime_t end)
{
    struct ring_run *r = ctx;
    (void)end;
    r->epochs++;
    if (r->save_at && epoch == r->save_at) {
        r->saved_bytes = engine_save_bytes(r->e);
        r->saved = malloc(r->saved_bytes);
        engine_save(r->e, r->saved);
        if (r->load) {
            for (uint32_t i = 0; i < engine_nlps(r->e); i++) {
                struct lp *lp = engine_lp(r->e, i);
                memset(lp->state, 0xa5, lp->state_bytes);
                inbox_free(&lp->inbox);
                lp->seq = 77;
            }
            CU_ASSERT_EQUAL(engine_load(r->e, r->saved, r->saved_bytes), ERR_OK);
        }
        free(r->saved);
    }
    return r->stop_at && epoch + 1 == r->stop_at;
}

static bool ring_idle(void *ctx)
{
    (void)ctx;
    return true;
}

struct ring_result {
    uint64_t hash, digest, epochs, windows;
};

static struct ring_result ring(uint64_t cut_seed, simtime_t hop, uint64_t save_at, bool load, bool one_queue)
{
    static struct ring_cfg cfg;
    cfg = (struct ring_cfg){.nlps = 8, .hop = hop, .limit = 500};
    struct ring_run r = {.save_at = save_at, .load = load};
    struct engine_config ec = {.epoch_fs = 5000, .mirror_reader_class = 99, .cut_seed = cut_seed, .one_queue = one_queue};
    struct engine_hooks hooks = {.ctx = &r, .epoch = ring_epoch, .idle = ring_idle};
    engine_create(&ec, &hooks, transport_self(), &r.e);
    uint32_t even = engine_add_class(r.e, "even"), odd = engine_add_class(r.e, "odd");
    engine_add_edge(r.e, even, odd, hop);
    engine_add_edge(r.e, odd, even, hop);
    for (uint32_t i = 0; i < cfg.nlps; i++) {
        lpid_t id;
        engine_add_lp(r.e, &ring_ops, i % 2 ? odd : even, i / 2, &cfg, sizeof(struct ring_state), 0, &id);
    }
    CU_ASSERT_EQUAL(engine_run(r.e), ERR_OK);
    struct ring_result out = {.digest = engine_digest(r.e), .epochs = r.epochs,
                              .windows = engine_host(r.e)->nwindows};
    uint64_t count = 0;
    for (uint32_t i = 0; i < cfg.nlps; i++) {
        struct ring_state *s = engine_lp(r.e, i)->state;
        out.hash = rng_mix(out.hash ^ s->hash);
        count += s->count;
    }
    CU_ASSERT_EQUAL(count, 8 * 501); /* every message sent was delivered once */
    engine_destroy(r.e);
    return out;
}

static void windows_cut_at_random_do_not_show(void)
{
    struct ring_result full = ring(0, 40, 0, false, false);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct ring_result cut = ring(seed, 40, 0, false, false);
        CU_ASSERT_EQUAL(cut.hash, full.hash);
        CU_ASSERT_EQUAL(cut.digest, full.digest);
        CU_ASSERT_EQUAL(cut.epochs, full.epochs);
        CU_ASSERT(cut.windows > full.windows);
    }
}

static void saved_scrambled_and_restored_lps_go_on_with_the_same_digest(void)
{
    struct ring_result full = ring(0, 40, 0, false, false);
    for (uint64_t at = 1; at < full.epochs - 1; at++) {
        struct ring_result again = ring(0, 40, at, true, false);
        CU_ASSERT_EQUAL(again.hash, full.hash);
        CU_ASSERT_EQUAL(again.digest, full.digest);
    }
}

static void one_queue_without_windows_gives_the_same_and_can_be_saved(void)
{
    struct ring_result full = ring(0, 40, 0, false, false);
    for (uint64_t at = 0; at < full.epochs - 1; at += 3) {
        struct ring_result queue = ring(0, 40, at, at != 0, true);
        CU_ASSERT_EQUAL(queue.hash, full.hash);
        CU_ASSERT_EQUAL(queue.digest, full.digest);
        CU_ASSERT_EQUAL(queue.epochs, full.epochs);
        CU_ASSERT(queue.windows > full.windows); /* one event is about one turn */
    }
}

static void random_draws_do_not_depend_on_the_order_of_calls(void)
{
    uint64_t a = rng_draw(1, 2, 3, 4, 5);
    rng_draw(1, 2, 3, 4, 6);
    CU_ASSERT_EQUAL(rng_draw(1, 2, 3, 4, 5), a);
    CU_ASSERT_NOT_EQUAL(rng_draw(1, 2, 3, 5, 4), a);
    uint64_t counts[16] = {0};
    for (uint64_t i = 0; i < 16000; i++)
        counts[rng_below(rng_draw(7, 0, 0, 0, i), 16)]++;
    uint64_t chi = 0; /* sum of (c - 1000)^2 / 1000, 15 degrees of freedom: below 37.7 for p = 0.001 */
    for (int i = 0; i < 16; i++)
        chi += (counts[i] - 1000) * (counts[i] - 1000);
    CU_ASSERT(chi < 37700);
}

static void times_add_up_to_never_at_most(void)
{
    CU_ASSERT_EQUAL(time_add(SIM_NEVER, 1), SIM_NEVER);
    CU_ASSERT_EQUAL(time_add(SIM_NEVER - 1, 5), SIM_NEVER);
    CU_ASSERT_EQUAL(time_add(3, 4), 7);
}

static void the_nearest_word_is_found_within_its_distance(void)
{
    const char *const words[] = {"entries", "ways", "latency"};
    CU_ASSERT_STRING_EQUAL(err_nearest("entires", words, 3), "entries");
    CU_ASSERT_STRING_EQUAL(err_nearest("way", words, 3), "ways");
    CU_ASSERT_PTR_NULL(err_nearest("frobnicate", words, 3));
}

/* An LP that sends one message earlier than its edge declares. */
static void hasty_start(struct lp *lp)
{
    lp->now = 1000;
    lp_send(lp, 1, 1039, 1, 0, 0, 0, 0, 0);
}
static const struct lp_ops hasty_ops = {.name = "hasty", .start = hasty_start, .handle = ring_handle};

static void a_send_below_the_declared_latency_stops_the_run_and_names_both_ends(void)
{
    int out[2];
    CU_ASSERT_EQUAL_FATAL(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDERR_FILENO);
        struct ring_run r = {0};
        struct engine_config ec = {.epoch_fs = 5000, .mirror_reader_class = 99};
        struct engine_hooks hooks = {.ctx = &r, .epoch = ring_epoch, .idle = ring_idle};
        engine_create(&ec, &hooks, transport_self(), &r.e);
        uint32_t from = engine_add_class(r.e, "from"), to = engine_add_class(r.e, "to");
        engine_add_edge(r.e, from, to, 40);
        lpid_t id;
        engine_add_lp(r.e, &hasty_ops, from, 0, NULL, 8, 0, &id);
        engine_add_lp(r.e, &ring_ops, to, 0, NULL, sizeof(struct ring_state), 0, &id);
        engine_run(r.e);
        _exit(0);
    }
    close(out[1]);
    char text[1024] = "";
    size_t n = 0;
    for (ssize_t got; n + 1 < sizeof text && (got = read(out[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    close(out[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "hasty 0 at 1000 fs sends message 1 to ring 0 for 1039 fs"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "at least 40 fs"));
}

static void tell(struct control_state *s, const struct control_cfg *cfg, uint16_t type, uint64_t limited)
{
    struct lp lp = {.state = s, .cfg = cfg};
    struct msg m = {.type = type, .a = {1000, limited, 0, 0}};
    control_lp_ops.handle(&lp, &m);
}

static void marks_take_effect_once_at_the_next_boundary(void)
{
    const struct control_cfg cfg = {.nthreads = 2, .warmup = true};
    struct control_state s = {0};
    CU_ASSERT_EQUAL(control_decide(&s), 0);
    tell(&s, &cfg, CTRL_WARM, 0);
    CU_ASSERT_EQUAL(control_decide(&s), 0); /* one of two threads is warm */
    tell(&s, &cfg, CTRL_WARM, 0);
    CU_ASSERT_EQUAL(control_decide(&s), CONTROL_WARM_END);
    CU_ASSERT_EQUAL(control_decide(&s), 0);
    tell(&s, &cfg, CTRL_ROI_BEGIN, 0);
    tell(&s, &cfg, CTRL_ROI_BEGIN, 0); /* the second thread's does not begin another region */
    CU_ASSERT_EQUAL(control_decide(&s), CONTROL_ROI_BEGIN);
    tell(&s, &cfg, CTRL_ROI_END, 0);
    CU_ASSERT_EQUAL(control_decide(&s), 0); /* until the last thread leaves it */
    tell(&s, &cfg, CTRL_ROI_END, 0);
    CU_ASSERT_EQUAL(control_decide(&s), CONTROL_ROI_END);
    tell(&s, &cfg, CTRL_THREAD_DONE, 0);
    CU_ASSERT_EQUAL(control_decide(&s), 0);
    tell(&s, &cfg, CTRL_THREAD_DONE, 1);
    CU_ASSERT_EQUAL(control_decide(&s), 0); /* the run ends when nothing is left to do */
    CU_ASSERT_EQUAL(s.ndone, 2);
    CU_ASSERT_EQUAL(s.nlimited, 1);
    CU_ASSERT_EQUAL(s.instructions, 2000);
}

UNIT_MAIN("pdes", UNIT(messages_come_out_by_time_then_source_then_sequence),
          UNIT(a_thousand_random_messages_come_out_sorted), UNIT(lanes_and_places_far_from_the_end_keep_the_order),
          UNIT(a_place_near_the_end_is_the_one_that_a_search_finds),
          UNIT(windows_cut_at_random_do_not_show),
          UNIT(saved_scrambled_and_restored_lps_go_on_with_the_same_digest),
          UNIT(one_queue_without_windows_gives_the_same_and_can_be_saved),
          UNIT(random_draws_do_not_depend_on_the_order_of_calls), UNIT(times_add_up_to_never_at_most),
          UNIT(the_nearest_word_is_found_within_its_distance),
          UNIT(a_send_below_the_declared_latency_stops_the_run_and_names_both_ends),
          UNIT(marks_take_effect_once_at_the_next_boundary))
