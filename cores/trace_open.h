/* Opens a trace of any known kind. */
#ifndef CORES_TRACE_OPEN_H
#define CORES_TRACE_OPEN_H

#include "cores/frontend.h"

/*
 * One VMT file, or ChampSim files (one thread each). The kind is told by the first bytes, then by
 * the name. Errors are logged.
 */
enum err frontend_open_trace(const char *const *paths, size_t npaths, struct frontend **out);

#endif
