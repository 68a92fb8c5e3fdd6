/*
 * Fuzz target: a VMT file made of any bytes. Checksums would keep the fuzzer out, so that after the
 * bytes have been placed, every checksum that can be found is made right; damage then reaches the
 * decoder. Must neither crash nor read out of bounds; the same with its areas laid out anew.
 *
 *     clang -fsanitize=fuzzer,address,undefined -I. tests/fuzz/fuzz_vmt.c cores/vmt_*.c cores/reloc*.c
 *         mimicos/layout.c pdes/err.c -llz4 -lxxhash
 *     ./a.out -close_fd_mask=2 corpus     (the messages about damage are not of interest)
 */
#include "cores/relocate.h"
#include "cores/vmt.h"
#include "cores/vmt_codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static void mend_block(uint8_t *p, size_t left)
{
    struct vmt_block_header h;
    if (left < sizeof h)
        return;
    memcpy(&h, p, sizeof h);
    uint64_t n = 0;
    for (unsigned c = 0; c < VMT_NCOLS; c++)
        n += h.col[c].stored_bytes;
    h.header_bytes = sizeof h;
    if (n <= left - sizeof h)
        h.payload_hash = codec_hash(p + sizeof h, (size_t)n);
    h.header_hash = codec_hash(&h, offsetof(struct vmt_block_header, header_hash));
    memcpy(p, &h, sizeof h);
}

static void mend_meta(uint8_t *p, size_t left)
{
    struct vmt_meta_header h;
    if (left < sizeof h)
        return;
    memcpy(&h, p, sizeof h);
    if (h.text_bytes <= left - sizeof h)
        h.text_hash = codec_hash(p + sizeof h, h.text_bytes);
    h.header_hash = codec_hash(&h, offsetof(struct vmt_meta_header, header_hash));
    memcpy(p, &h, sizeof h);
}

static void mend_ends(uint8_t *p, size_t n)
{
    struct vmt_file_header h;
    struct vmt_trailer t;
    if (n >= sizeof h) {
        memcpy(&h, p, sizeof h);
        h.header_hash = codec_hash(&h, offsetof(struct vmt_file_header, header_hash));
        memcpy(p, &h, sizeof h);
    }
    if (n >= sizeof t) {
        memcpy(&t, p + n - sizeof t, sizeof t);
        if (t.index_offset <= n - sizeof t)
            t.index_hash = codec_hash(p + t.index_offset, n - sizeof t - (size_t)t.index_offset);
        t.trailer_hash = codec_hash(&t, offsetof(struct vmt_trailer, trailer_hash));
        memcpy(p + n - sizeof t, &t, sizeof t);
    }
}

static void mend_checksums(uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 8 <= n; i += 8) {
        uint32_t magic;
        memcpy(&magic, p + i, sizeof magic);
        if (magic == VMT_BLOCK_MAGIC)
            mend_block(p + i, n - i);
        else if (magic == VMT_META_MAGIC)
            mend_meta(p + i, n - i);
    }
    mend_ends(p, n);
}

static uint64_t read_everything(struct frontend *fe)
{
    uint64_t sum = 0;
    for (uint32_t t = 0; t < fe->nthreads && t < 4; t++) {
        struct fe_block b = {.last = 0};
        for (uint64_t i = 0; i < 8 && !b.last; i++) {
            if (fe->ops->load(fe, t, i, &b) != ERR_OK)
                continue;
            for (uint32_t k = 0; k < b.nacc; k++)
                sum += fe_access(fe, t, k, &b)->vaddr + b.pcs[fe_acc(&b, k)->pc_id];
            if (b.nacc > 0) /* back to the first piece */
                sum += fe_access(fe, t, b.nacc / 2, &b)->vaddr + fe_access(fe, t, 0, &b)->vaddr;
            for (uint32_t k = 0; k < b.nbr; k++)
                sum += b.pcs[fe_br(&b, k)->pc_id] + b.pcs[fe_br(&b, k)->target_id] + (b.br_at[k].pos > b.nacc);
            for (uint32_t k = 0; k < b.nev; k++)
                sum += fe_ev(&b, k)->a[5] + (b.ev_at[k].pos > b.nacc);
        }
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frontend *fe = NULL;
    uint8_t *copy = malloc(size + 1);
    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    mend_checksums(copy, size);
    if (ftruncate(g_fd, 0) == 0 && pwrite(g_fd, copy, size, 0) == (ssize_t)size &&
        vmt_open_flags(g_path, VMT_QUIET, &fe) == ERR_OK) {
        char value[64];
        vmt_meta_get(vmt_info(fe), "command", value, sizeof value);
        fuzz_sink = read_everything(fe);
        struct relocate_params p = {.layout = {.mode = LAYOUT_LINUX, .seed = size % 3, .mmap_bits = 28}};
        if (relocate_wrap(&fe, &p) == ERR_OK)
            fuzz_sink += read_everything(fe);
        fe->ops->close(fe);
    }
    free(copy);
    return 0;
}
