/*
 * The progress line. The rate is smoothed over some ten seconds, so that the ETA does not jump.
 */
#include "output/progress.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TTY_SECONDS 0.25
#define PLAIN_SECONDS 30.0
#define SMOOTHING_SECONDS 10.0

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void progress_init(struct progress *p, FILE *f, enum progress_mode mode)
{
    *p = (struct progress){.f = f, .mode = mode, .start_s = now_s()};
    p->shown_s = p->start_s;
    p->tty = mode != PROGRESS_QUIET && isatty(fileno(f)) == 1;
}

double progress_seconds(const struct progress *p) { return now_s() - p->start_s; }

static void format_duration(double seconds, char *buf, size_t size)
{
    uint64_t s = seconds < 0 ? 0 : seconds > 3.6e8 ? 360000000 : (uint64_t)seconds;
    snprintf(buf, size, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600, s / 60 % 60, s % 60);
}

static void format_line(const struct progress *p, const struct progress_state *s, double elapsed_s,
                        char *buf, size_t size)
{
    char percent[32] = "", eta[48] = "", duration[32];
    if (s->goal > 0) {
        double share = (double)s->done / (double)s->goal;
        share = share > 1 ? 1 : share;
        snprintf(percent, sizeof percent, "%5.1f %%  ", 100 * share);
        if (share > 0 && share < 1) {
            format_duration(elapsed_s * (1 - share) / share, duration, sizeof duration);
            snprintf(eta, sizeof eta, "  ETA %s", duration);
        }
    }
    snprintf(buf, size, "%s%.2f M instructions/s  %.1f us  %" PRIu64 " epochs%s", percent,
             p->rate / 1e6, (double)s->now / (double)FS_PER_US, s->nepochs, eta);
}

void progress_update(struct progress *p, const struct progress_state *s)
{
    if (p->mode == PROGRESS_QUIET || (!p->tty && p->mode == PROGRESS_AUTO))
        return;
    double now = now_s(), passed = now - p->shown_s;
    if (passed < (p->tty ? TTY_SECONDS : PLAIN_SECONDS))
        return;
    double rate = (double)(s->instructions - p->shown_instructions) / passed;
    double weight = passed / (passed + SMOOTHING_SECONDS);
    p->rate = p->rate > 0 ? p->rate + weight * (rate - p->rate) : rate;
    p->shown_s = now;
    p->shown_instructions = s->instructions;
    char line[160];
    format_line(p, s, now - p->start_s, line, sizeof line);
    if (p->tty)
        fprintf(p->f, "\r%s\033[K", line);
    else
        fprintf(p->f, "%s\n", line);
    p->line_open = p->tty;
    fflush(p->f);
}

void progress_clear(struct progress *p)
{
    if (p->line_open) {
        fputs("\r\033[K", p->f);
        fflush(p->f);
    }
    p->line_open = false;
}

void progress_end(struct progress *p)
{
    if (p->line_open) {
        fputc('\n', p->f);
        fflush(p->f);
    }
    p->line_open = false;
}
