/* `concerto trace`: looks at, checks and copies traces. */
#ifndef CORES_TRACE_TOOL_H
#define CORES_TRACE_TOOL_H

/* argv[0] is the word "trace". Returns the exit code of the process (3: damaged trace). */
int trace_main(int argc, char **argv);

#endif
