/* `concerto run`: one simulation, from the command line to the summary. */
#ifndef PARTITIONS_RUN_H
#define PARTITIONS_RUN_H

/* argv[0] is the word "run". Returns the exit code of the process. */
int run_main(int argc, char **argv);
/* `concerto describe [mmu|replacement|workload|partition|frontend|stats [PREFIX]|config [PREFIX]]`. */
int describe_main(int argc, char **argv);

#endif
