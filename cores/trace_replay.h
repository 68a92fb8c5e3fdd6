/* Replays only the order of a trace's threads, to prove that a simulation cannot get stuck in it. */
#ifndef CORES_TRACE_REPLAY_H
#define CORES_TRACE_REPLAY_H

#include "cores/frontend.h"

/*
 * Runs all threads through their events: threads start when created, waits wait for their wake-up,
 * map events for the ones before them, marks for theirs. ERR_TRACE with a logged text that names
 * the first thread that is stuck and what it waits for.
 */
enum err trace_replay_order(struct frontend *fe);

#endif
