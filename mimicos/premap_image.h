/*
 * Image file of what os.premap built: frames, areas, page tables and the policy's state, so that many
 * runs start from it at once.
 *
 * The kernel's memory state is one flat block (struct mm), and the file holds its pages that are not
 * zero, the page-table words among them in one piece; a run maps them from the file, privately, so
 * that the host reads what is used and copies what is changed. A key of text lines says everything
 * that the state depends on. Layout, all numbers little-endian as the host writes them:
 *
 *   head (one page) | key | extents | frames of the nodes | pages of the block ... | sums
 *
 * with one sum of 64 bits for each MiB between head and sums, so that damage is found and placed.
 */
#ifndef MIMICOS_PREMAP_IMAGE_H
#define MIMICOS_PREMAP_IMAGE_H

#include "mimicos/ptimage.h"

/* The block whose state is saved; `words` lies in it. */
struct premap_block {
    void *base; /* page-aligned */
    uint64_t bytes;
    uint64_t *words;
    uint64_t nnodes;      /* saving: slots in use so far */
    const uint32_t *pfns; /* saving: their frames */
    uint64_t npages;      /* pages that were premapped */
};

/* Is there such a file? */
bool premap_image_exists(const char *path);
/* Writes the file under another name and renames it. */
enum err premap_image_save(const char *path, const char *key, const struct premap_block *b);
/*
 * Checks the file, then maps it over the block. `p` becomes the shared tables in it; b->npages is set.
 * Errors name the file and the first line of the key that differs, or the offset of the damage.
 */
enum err premap_image_load(const char *path, const char *key, struct premap_block *b,
                           struct ptimage *p);

#endif
