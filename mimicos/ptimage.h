/*
 * Page-table words that os.premap built before time 0, in host memory that the ranks of one host share.
 *
 * Life: the rank that builds calls ptimage_begin, and the words of its kernel (mm_words) become a file
 * in memory; it builds; ptimage_end closes the file and turns the kernel's view of it into a private
 * one, in which the host copies a node (4 KiB) when the kernel first writes to it. Other ranks of the
 * host attach to the file by process and descriptor, and read it in place. A replica (ptmem.h) copies
 * the nodes that are written later. So a host holds one copy of the tables, however many ranks it has.
 * An image file (premap_image.h) takes the place of the file in memory: it begins with the same head.
 *
 * Host memory only: nothing of this shows in results.
 */
#ifndef MIMICOS_PTIMAGE_H
#define MIMICOS_PTIMAGE_H

#include "pdes/err.h"
#include "pdes/types.h"

#define PTIMAGE_NODE_BYTES PAGE_BYTES

/* The first bytes of a file. */
struct ptimage_head {
    char magic[8];
    uint64_t nonce; /* tells this file from another one of the same number */
    uint64_t nnodes;
    uint64_t words_at; /* offset of the first node's words, a multiple of the page size */
    uint64_t pfns_at;  /* offset of nnodes frame numbers of 32 bits */
};

struct ptimage {
    int fd; /* -1: none */
    struct ptimage_head head;
    const uint64_t *words; /* 512 of each node; NULL: not mapped here */
    const uint32_t *pfns;  /* the frame of each node; 0: no node */
    void *map;
    size_t map_bytes;
};

#define PTIMAGE_INIT {.fd = -1}
#define PTIMAGE_NONE ((struct ptimage)PTIMAGE_INIT)

/* `words` has room for `max_nodes` nodes and is page-aligned; it must hold only zeros but for `nused`
 * nodes, which are kept. */
enum err ptimage_begin(struct ptimage *p, uint64_t *words, uint64_t max_nodes, uint64_t nused);
/* `pfns`: the frames of the `nnodes` nodes built. */
enum err ptimage_end(struct ptimage *p, uint64_t *words, uint64_t max_nodes, uint64_t nnodes,
                     const uint32_t *pfns);
/* Maps the tables of p->fd, whose head has been read. */
enum err ptimage_map(struct ptimage *p);
/* Tries the file `fd` of process `pid`; false: it cannot be reached from here, or is another one. */
bool ptimage_attach(struct ptimage *p, uint64_t pid, uint64_t fd, uint64_t nonce);
void ptimage_close(struct ptimage *p);

/* A random number for a file's head; never part of results. */
uint64_t ptimage_nonce(void);
/* Tells hosts (and containers that do not see each other's processes) apart. */
uint64_t ptimage_host(void);

#endif
