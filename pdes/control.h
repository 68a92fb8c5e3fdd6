/*
 * The control LP: everything global goes through it and takes effect at an epoch boundary.
 *
 * There is no global condition: threads report (with the declared latency of the edge, about a
 * microsecond) that they ended, reached their instruction limit, finished their warm-up or passed a
 * region mark; the control LP decides at the arrival; the run acts on it at the next boundary. Ended
 * threads are counted here; the run itself is over when nothing is pending any more, or, when programs
 * start anew, at the boundary after the last of them has ended once.
 */
#ifndef PDES_CONTROL_H
#define PDES_CONTROL_H

#include "pdes/lp.h"

enum control_msg_type {
    CTRL_THREAD_DONE = 96, /* arg thread; a[0] instructions, a[1] 1: stopped by its limit */
    CTRL_WARM,             /* arg thread: warm-up instructions done */
    CTRL_ROI_BEGIN,        /* arg thread, a[0] user value */
    CTRL_ROI_END,
    CTRL_PROGRAM_DONE /* arg program of a multi-programmed run: its first pass ended */
};

struct control_cfg {
    uint32_t nthreads;       /* of the whole machine */
    bool warmup;             /* a warm-up was asked for */
    uint32_t nprograms;      /* of a multi-programmed run, which is over when all have ended once; 0: none */
};

/* Flat state of control_state_bytes(); also what an epoch hook reads on the owning rank. */
struct control_state {
    uint64_t ndone, nlimited, nwarm, instructions;
    uint64_t roi_begins, roi_ends;
    uint64_t nprograms_done, nready;
    uint8_t warm_pending, roi_begin_pending, roi_end_pending; /* marks not yet taken by a boundary */
    uint8_t programs_pending;
    uint8_t ready[]; /* per thread of a multi-programmed run: warm or ended, in whichever pass */
};
size_t control_state_bytes(const struct control_cfg *cfg);

enum control_decision {
    CONTROL_WARM_END = 1,
    CONTROL_ROI_BEGIN = 2,
    CONTROL_ROI_END = 4,
    CONTROL_PROGRAMS_END = 8 /* each program has ended once: the run is over */
};

extern const struct lp_ops control_lp_ops;
/* What the boundary that is being closed does; takes the pending marks. Bits of control_decision. */
unsigned control_decide(struct control_state *s);

#endif
