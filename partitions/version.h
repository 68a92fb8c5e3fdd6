/* Version of the program. */
#ifndef PARTITIONS_VERSION_H
#define PARTITIONS_VERSION_H

#define CONCERTO_VERSION "0.1.0"
const char *concerto_git(void);

#endif
