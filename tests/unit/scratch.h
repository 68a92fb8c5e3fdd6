/*
 * A directory of its own for a test that writes files; it goes away when the program ends.
 */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch_dir[] = "/tmp/concerto_test.XXXXXX";
static pid_t scratch_owner;

static inline void scratch_remove(void)
{
    char command[sizeof scratch_dir + 16];
    snprintf(command, sizeof command, "rm -rf %s", scratch_dir);
    /* Children of the test that exit must leave it alone. */
    if (getpid() == scratch_owner && system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", scratch_dir);
}

/* Makes the directory at the first call and goes there; false: impossible. */
static inline bool scratch_enter(void)
{
    if (scratch_owner == 0) {
        if (mkdtemp(scratch_dir) == NULL)
            return false;
        scratch_owner = getpid();
        atexit(scratch_remove);
    }
    return chdir(scratch_dir) == 0;
}

#endif
