/* Copies of a trace: shorter, packed again, or in ChampSim's format. */
#ifndef CORES_TRACE_COPY_H
#define CORES_TRACE_COPY_H

#include "cores/frontend.h"

/*
 * Writes the first `max_instrs` instructions of each thread as a VMT trace. Waits and marks that
 * point at what was cut off are mended. `high`: slower, smaller compression.
 */
enum err trace_copy(struct frontend *fe, const char *out_path, uint64_t max_instrs, bool high);

/*
 * Writes one thread as a ChampSim trace, through `xz` when the name ends in .xz. Loads write and
 * their consumers read one of 128 registers in turn, so producers up to 128 loads back survive.
 * Instructions that neither access memory nor branch get invented addresses.
 */
enum err trace_export_champsim(struct frontend *fe, uint32_t thread, const char *out_path);

#endif
