/* `concerto describe`: every design, parameter and statistic, from the same tables as the model. */
#include <stdio.h>
#include <string.h>

#include "configs/config.h"
#include "partitions/machine.h"
#include "partitions/not_modelled.h"
#include "partitions/run.h"

static void list_mmus(void)
{
    puts("MMU designs (core.mmu):");
    for (int i = 0; i < MMU_COUNT; i++)
        printf("  %-12s %s\n", mmu_table[i]->name, mmu_table[i]->doc);
}

static void list_replacements(void)
{
    puts("replacement policies (*.replacement):");
    for (int i = 0; repl_names[i] != NULL; i++)
        printf("  %-12s %s\n", repl_table[i]->name, repl_table[i]->doc);
}

static void list_workloads(void)
{
    puts("built-in workloads (workload.kind):");
    for (int i = 1; workload_names[i] != NULL; i++)
        printf("  %-12s %s\n", workload_names[i], workload_docs[i]);
    puts("allocation policies of the kernel (os.alloc):");
    for (uint64_t i = 0; alloc_names[i] != NULL; i++)
        printf("  %-12s %s\n", alloc_names[i], alloc_at(i)->doc);
}

static void list_limits(void)
{
    puts("not modelled:");
    for (size_t i = 0; i < nnot_modelled; i++)
        printf("  - %s\n", not_modelled[i]);
}

static void list_partitions(void)
{
    puts("partitions (--partition):\n"
         "  single       everything on one process\n"
         "  packed       several cores on a rank, each with its share of LLC slices beside it\n"
         "  dedicated    a rank per core, the last for the kernel, the others for the memory system\n"
         "  auto         single, packed or dedicated, by the number of ranks\n"
         "  FILE         a map: lines 'core 0-3 1', 'slice * 0', 'channel 0 2', 'kernel 0', 'control 0'");
}

int describe_main(int argc, char **argv)
{
    static struct machine_params params;
    struct param_group groups[MACHINE_NGROUPS];
    struct stat_component components[NCOMPONENTS];
    machine_param_groups(&params, groups);
    machine_components(1, 1, 1, 1, components);
    const char *what = argc > 1 ? argv[1] : NULL, *filter = argc > 2 ? argv[2] : NULL;
    static const char *const topics[] = {"mmu", "replacement", "workload", "partition", "config", "stats", "limits"};
    if (what == NULL) {
        list_mmus();
        list_replacements();
        list_workloads();
        list_partitions();
        list_limits();
        puts("more: concerto describe config [PREFIX], concerto describe stats [PREFIX]");
        return 0;
    }
    if (strcmp(what, "mmu") == 0)
        list_mmus();
    else if (strcmp(what, "replacement") == 0)
        list_replacements();
    else if (strcmp(what, "workload") == 0)
        list_workloads();
    else if (strcmp(what, "partition") == 0)
        list_partitions();
    else if (strcmp(what, "limits") == 0)
        list_limits();
    else if (strcmp(what, "stats") == 0 || strcmp(what, "config") == 0) {
        size_t n = what[0] == 's' ? stats_describe(components, NCOMPONENTS, filter, stdout)
                                  : config_describe(groups, MACHINE_NGROUPS, filter, stdout);
        if (n == 0)
            return err_exit_code(err_log(ERR_USAGE, "describe %s: nothing begins with '%s'", what, filter));
    } else {
        const char *near = err_nearest(what, topics, sizeof topics / sizeof topics[0]);
        return err_exit_code(err_log(ERR_USAGE, "describe: '%s' is none of mmu, replacement, workload, partition, config, stats, limits (did you mean '%s'?)",
                                     what, near != NULL ? near : "config"));
    }
    return 0;
}
