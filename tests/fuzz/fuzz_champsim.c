/*
 * Fuzz target: a raw ChampSim file made of any bytes, cut to whole records. Must neither crash nor
 * read out of bounds.
 *
 *     clang -fsanitize=fuzzer,address,undefined -I. tests/fuzz/fuzz_champsim.c cores/champsim.c
 *         pdes/err.c
 *     ./a.out -close_fd_mask=2 corpus     (the messages about damage are not of interest)
 */
#include "cores/champsim.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
extern volatile uint64_t fuzz_sink;

static int g_fd = -1;
static char g_path[64];
volatile uint64_t fuzz_sink; /* so that what is read is not optimised away */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    g_fd = memfd_create("fuzz", 0);
    snprintf(g_path, sizeof g_path, "/proc/self/fd/%d", g_fd);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = g_path;
    struct frontend *fe = NULL;
    struct fe_block b = {.last = 0};
    /* A decompressor would be the program under test. */
    if (size < 2 || data[0] == 0xfd || (data[0] == 0x1f && data[1] == 0x8b))
        return 0;
    size -= size % CHAMPSIM_RECORD_BYTES;
    if (ftruncate(g_fd, 0) != 0 || pwrite(g_fd, data, size, 0) != (ssize_t)size)
        return 0;
    fuzz_sink = champsim_probe(path);
    if (champsim_open(&path, 1, &fe) != ERR_OK)
        return 0;
    for (uint64_t i = 0; !b.last && fe->ops->load(fe, 0, i, &b) == ERR_OK; i++) {
        for (uint32_t k = 0; k < b.nacc; k++)
            fuzz_sink += b.pcs[b.piece[k].pc_id] + b.piece[k].size;
        for (uint32_t k = 0; k < b.nbr; k++)
            fuzz_sink += b.pcs[b.br_forms[k].target_id];
    }
    fe->ops->close(fe);
    return 0;
}
