/* Finding the program's own files, and starting mpirun so that it works as root and oversubscribed. */
#ifndef PARTITIONS_LAUNCH_H
#define PARTITIONS_LAUNCH_H

#include <stddef.h>
#include <stdio.h>

/* Directory `name` beside the executable, or in its share directory when installed. Returns `buf`. */
const char *launch_dir(const char *name, char *buf, size_t size);

/* Replaces this process by mpirun -np `ranks` on itself; returns an exit code only on failure. */
int launch_mpirun(const char *ranks, int argc, char **argv);

/*
 * Starts `nranks` ranks of this program with the words of `arguments` and without a word on stderr; read what they
 * print and end with pclose. NULL: cannot be started.
 */
FILE *launch_self(int nranks, const char *arguments);

#endif
