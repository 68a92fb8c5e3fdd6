/*
 * A message between two logical processes: 64 bytes, fixed layout, no pointers.
 *
 * Messages are totally ordered by (time, dst, src, seq), all chosen by the sender; an LP receives
 * its messages in the order (time, src, seq).
 */
#ifndef PDES_MSG_H
#define PDES_MSG_H

#include "pdes/types.h"

struct msg {
    simtime_t time; /* arrival */
    uint64_t seq;   /* per sender, counts model messages only */
    lpid_t dst, src;
    uint16_t type; /* number space of the receiver's class; see the *_msg.h of the server */
    uint16_t flags;
    uint32_t arg;
    uint64_t a[4];
};
_Static_assert(sizeof(struct msg) == 64, "a message is one cache line");

/* True when `x` is delivered before `y` at one receiver. */
static inline bool msg_before(const struct msg *x, const struct msg *y)
{
    if (x->time != y->time)
        return x->time < y->time;
    if (x->src != y->src)
        return x->src < y->src;
    return x->seq < y->seq;
}

#endif
