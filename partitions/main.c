/* The program: one word chooses the command. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cores/record.h"
#include "cores/trace_tool.h"
#include "output/recorder.h"
#include "partitions/exchange.h"
#include "partitions/phold.h"
#include "partitions/run.h"
#include "partitions/version.h"
#include "pdes/err.h"
#include "pdes/transport.h"

static int version_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("concerto %s (git %s), %s, gcc-compatible %s\n", CONCERTO_VERSION, concerto_git(),
           transport_mpi_version(), __VERSION__);
    return 0;
}

static int help_main(int argc, char **argv);

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *doc;
} commands[] = {
    {"run", run_main, "simulate a trace or a built-in workload (run --help)"},
    {"explain", run_main, "one access as a timed story: what was probed, charged and waited for"},
    {"log", run_main, "what the machine does, event by event, as text or JSON lines"},
    {"record", record_main, "record a Linux program: record -o x.vmt -- program arguments"},
    {"trace", trace_main, "info, verify, dump, cut, repack, export of traces"},
    {"info", info_main, "the summary of a statistics file again"},
    {"compare", compare_main, "what differs between two runs: configuration, counters, cycles"},
    {"recover", recover_main, "rebuild a statistics file from the journal of a killed run"},
    {"describe", describe_main, "designs, parameters and statistics with units and meaning"},
    {"phold", phold_main, "the PHOLD benchmark on the simulator's own engine"},
    {"exchange", exchange_main, "what an exchange between ranks costs on this host"},
    {"version", version_main, "version, git revision, libraries"},
    {"help", help_main, "this list"},
};
#define NCOMMANDS (sizeof commands / sizeof commands[0])

static int help_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    puts("concerto: a parallel simulator of virtual memory\n");
    for (size_t i = 0; i < NCOMMANDS; i++)
        printf("  concerto %-9s %s\n", commands[i].name, commands[i].doc);
    return 0;
}

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN); /* a file that grows past its limit is a write error, and told as one */
    const char *word = argc > 1 ? argv[1] : "help";
    if (strcmp(word, "--version") == 0)
        word = "version";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        word = "help";
    const char *names[NCOMMANDS];
    for (size_t i = 0; i < NCOMMANDS; i++) {
        if (strcmp(commands[i].name, word) == 0)
            return commands[i].run(argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv);
        names[i] = commands[i].name;
    }
    const char *near = err_nearest(word, names, NCOMMANDS);
    return err_exit_code(near != NULL
                             ? err_log(ERR_USAGE, "unknown command '%s' (did you mean '%s'?)", word, near)
                             : err_log(ERR_USAGE, "unknown command '%s'; concerto help lists them", word));
}
