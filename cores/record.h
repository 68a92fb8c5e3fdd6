/* `concerto record`: runs a program under QEMU with the recorder plugin. */
#ifndef CORES_RECORD_H
#define CORES_RECORD_H

/* argv[0] is the word "record". Returns the exit code of the process. */
int record_main(int argc, char **argv);

#endif
