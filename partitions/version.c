/* See version.h. The Makefile passes the git revision to this file alone. */
#include "partitions/version.h"

#ifndef CONCERTO_GIT
#define CONCERTO_GIT "unknown"
#endif

const char *concerto_git(void) { return CONCERTO_GIT; }
