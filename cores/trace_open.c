/* See trace_open.h. */
#include "cores/trace_open.h"

#include "cores/champsim.h"
#include "cores/vmt.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum err frontend_open_trace(const char *const *paths, size_t npaths, struct frontend **out)
{
    size_t nvmt = 0;
    if (npaths == 0)
        return err_log(ERR_USAGE, "no trace file was named");
    for (size_t i = 0; i < npaths; i++) {
        size_t n = strlen(paths[i]);
        if (access(paths[i], R_OK) != 0)
            return err_log(ERR_TRACE, "%s: cannot open the trace: %s", paths[i], strerror(errno));
        if (vmt_probe(paths[i]) || (n > 4 && strcmp(paths[i] + n - 4, ".vmt") == 0))
            nvmt++;
        else if (!champsim_probe(paths[i]))
            return err_log(ERR_TRACE,
                           "%s: unknown kind of trace: expected a VMT file (`concerto record`) "
                           "or a ChampSim trace (.champsimtrace.xz, .champsim.gz, .trace)",
                           paths[i]);
    }
    if (nvmt == 0)
        return champsim_open(paths, npaths, out);
    if (npaths > 1)
        return err_log(ERR_USAGE, "%s: a VMT trace holds all its threads and stands alone; %zu "
                       "files were named", paths[0], npaths);
    return vmt_open(paths[0], out);
}
