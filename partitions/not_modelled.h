/*
 * What Concerto does not model, in the words of the end of each run, of `concerto describe limits`
 * and of README.md ("What is not modelled"); tests/system/docs.sh holds these equal. Whoever models
 * something takes its line away here and there.
 */
#ifndef PARTITIONS_NOT_MODELLED_H
#define PARTITIONS_NOT_MODELLED_H

#include <stddef.h>

extern const char *const not_modelled[];
extern const size_t nnot_modelled;

#endif
