/* See launch.h. */
#include "partitions/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pdes/err.h"

static bool own_path(char *buf, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", buf, size - 1);
    if (n <= 0)
        return false;
    buf[n] = '\0';
    return true;
}

const char *launch_dir(const char *name, char *buf, size_t size)
{
    static const char *const places[] = {"", "../", "../share/concerto/"};
    char exe[3072];
    if (!own_path(exe, sizeof exe))
        return name;
    *strrchr(exe, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct stat st;
        snprintf(buf, size, "%s/%s%s", exe, places[i], name);
        if (stat(buf, &st) == 0 && S_ISDIR(st.st_mode))
            return buf;
    }
    return name;
}

int launch_mpirun(const char *ranks, int argc, char **argv)
{
    char *end;
    unsigned long n = strtoul(ranks, &end, 10);
    if (*end != '\0' || n == 0)
        return err_exit_code(err_log(ERR_USAGE, "run: --ranks %s: expected a number of at least 1", ranks));
    static char exe[4096];
    if (!own_path(exe, sizeof exe))
        return err_exit_code(err_log(ERR_RUNTIME, "cannot find the path of this program"));
    const char **args = calloc((size_t)argc + 8, sizeof *args);
    if (args == NULL)
        return err_exit_code(err_log(ERR_MEMORY, "no host memory for the command line"));
    const char *head[] = {"mpirun", "--oversubscribe", "-np", ranks, exe};
    memcpy(args, head, sizeof head);
    for (int i = 0; i < argc; i++)
        args[5 + i] = argv[i];
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    if (n > (unsigned long)sysconf(_SC_NPROCESSORS_ONLN))
        setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    execvp("mpirun", (char *const *)(void *)args);
    enum err e = err_log(ERR_RUNTIME, "cannot start mpirun: %s (install openmpi-bin, or run without --ranks)", strerror(errno));
    free(args);
    return err_exit_code(e);
}

FILE *launch_self(int nranks, const char *arguments)
{
    char exe[3072], command[4096];
    if (!own_path(exe, sizeof exe) || strchr(exe, '\'') != NULL)
        return NULL;
    snprintf(command, sizeof command,
             "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout 30 mpirun --oversubscribe -np %d '%s' %s "
             "</dev/null 2>/dev/null", nranks, exe, arguments);
    return popen(command, "r");
}
