/* Shared page-table words; see ptimage.h. */
#include "mimicos/ptimage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = {'C', 'C', 'T', 'O', 'P', 'T', 'I', 'M'};

uint64_t ptimage_nonce(void)
{
    uint64_t x = 0;
    if (getrandom(&x, sizeof x, 0) != (ssize_t)sizeof x)
        x = (uint64_t)getpid() * UINT64_C(0x9e3779b97f4a7c15);
    return x | 1;
}

static uint64_t hash_text(uint64_t h, const char *text)
{
    for (; *text != '\0'; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return h;
}

uint64_t ptimage_host(void)
{
    char text[256] = "";
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (f != NULL) {
        if (fgets(text, sizeof text, f) != NULL)
            h = hash_text(h, text);
        fclose(f);
    }
    ssize_t n = readlink("/proc/self/ns/pid", text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return hash_text(h, text);
}

static enum err fail(const char *what)
{
    return err_log(ERR_MEMORY, "os.premap: %s: %s", what, strerror(errno));
}

/* Puts [offset, offset + bytes) of `fd` in the place of `at`. */
static bool put_mapping(void *at, uint64_t bytes, int flags, int fd, uint64_t offset)
{
    return bytes == 0 || mmap(at, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED | MAP_NORESERVE, fd,
                              (off_t)offset) != MAP_FAILED;
}

static bool write_all(int fd, const void *data, uint64_t bytes, uint64_t offset)
{
    const char *p = data;
    while (bytes > 0) {
        ssize_t n = pwrite(fd, p, bytes, (off_t)offset);
        if (n <= 0 && errno != EINTR)
            return false;
        if (n > 0) {
            p += n;
            offset += (uint64_t)n;
            bytes -= (uint64_t)n;
        }
    }
    return true;
}

enum err ptimage_begin(struct ptimage *p, uint64_t *words, uint64_t max_nodes, uint64_t nused)
{
    SIM_ASSERT(((uintptr_t)words & (PAGE_BYTES - 1)) == 0, "page-table words at %p", (void *)words);
    *p = PTIMAGE_NONE;
    p->fd = memfd_create("concerto-premap", MFD_CLOEXEC);
    if (p->fd < 0)
        return fail("no file in memory");
    memcpy(p->head.magic, magic, sizeof magic);
    p->head.nonce = ptimage_nonce();
    p->head.words_at = PAGE_BYTES;
    if (ftruncate(p->fd, (off_t)(PAGE_BYTES + max_nodes * PTIMAGE_NODE_BYTES)) != 0 ||
        !write_all(p->fd, words, nused * PTIMAGE_NODE_BYTES, PAGE_BYTES) ||
        !put_mapping(words, max_nodes * PTIMAGE_NODE_BYTES, MAP_SHARED, p->fd, PAGE_BYTES)) {
        enum err e = fail("no room for page tables");
        ptimage_close(p);
        return e;
    }
    return ERR_OK;
}

enum err ptimage_end(struct ptimage *p, uint64_t *words, uint64_t max_nodes, uint64_t nnodes,
                     const uint32_t *pfns)
{
    uint64_t used = nnodes * PTIMAGE_NODE_BYTES;
    p->head.nnodes = nnodes;
    p->head.pfns_at = PAGE_BYTES + used;
    if (!put_mapping(words, used, MAP_PRIVATE, p->fd, PAGE_BYTES) ||
        !put_mapping((char *)words + used, max_nodes * PTIMAGE_NODE_BYTES - used,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ||
        ftruncate(p->fd, (off_t)p->head.pfns_at) != 0 ||
        !write_all(p->fd, pfns, nnodes * sizeof *pfns, p->head.pfns_at) ||
        !write_all(p->fd, &p->head, sizeof p->head, 0))
        return fail("the page tables cannot be shared");
    return ptimage_map(p);
}

enum err ptimage_map(struct ptimage *p)
{
    uint64_t words_end = p->head.words_at + p->head.nnodes * PTIMAGE_NODE_BYTES;
    uint64_t pfns_end = p->head.pfns_at + p->head.nnodes * sizeof(uint32_t);
    p->map_bytes = u64_max(words_end, pfns_end);
    p->map = mmap(NULL, p->map_bytes, PROT_READ, MAP_SHARED, p->fd, 0);
    if (p->map == MAP_FAILED) {
        p->map = NULL;
        return fail("the page tables cannot be mapped");
    }
    p->words = (const uint64_t *)((const char *)p->map + p->head.words_at);
    p->pfns = (const uint32_t *)((const char *)p->map + p->head.pfns_at);
    return ERR_OK;
}

bool ptimage_attach(struct ptimage *p, uint64_t pid, uint64_t fd, uint64_t nonce)
{
    char path[64];
    *p = PTIMAGE_NONE;
    snprintf(path, sizeof path, "/proc/%llu/fd/%llu", (unsigned long long)pid, (unsigned long long)fd);
    p->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (p->fd < 0)
        return false;
    if (pread(p->fd, &p->head, sizeof p->head, 0) == (ssize_t)sizeof p->head &&
        memcmp(p->head.magic, magic, sizeof magic) == 0 && p->head.nonce == nonce &&
        ptimage_map(p) == ERR_OK)
        return true;
    ptimage_close(p);
    return false;
}

void ptimage_close(struct ptimage *p)
{
    if (p->map != NULL)
        munmap(p->map, p->map_bytes);
    if (p->fd >= 0)
        close(p->fd);
    *p = PTIMAGE_NONE;
}
