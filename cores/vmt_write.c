/*
 * Writer of VMT traces. Each thread collects one block in memory: u16 ids into dictionaries of
 * templates, and the address column, which is encoded as the accesses arrive. A full block is
 * compressed by its own thread; one lock is held only while the bytes are appended, so the file
 * grows in whole blocks and whatever kills the process leaves a readable file.
 */
#include "cores/vmt.h"

#include "cores/vmt_codec.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define DICT_SLOT_BITS 17u
#define DICT_SLOTS (1u << DICT_SLOT_BITS)
#define DICT_MAX 65536u
/* A block ends at the first instruction after this many accesses, so that the accesses of one
 * instruction stay together. */
#define DEFAULT_BLOCK_ACCESSES (VMT_MAX_ACCESSES - 64u)
#define MAX_GAP 65535u

/*
 * Template keys. No padding bytes: they are hashed and compared as words.
 */
struct acc_key {
    uint64_t pc;
    uint16_t gap;
    uint8_t size, flags;
    uint16_t addr_dep[2];
    uint16_t data_dep;
    uint8_t addr_ops[2];
    uint8_t data_ops;
    uint8_t zero[3];
};
_Static_assert(sizeof(struct acc_key) == 24, "three words");

struct br_key {
    uint64_t pc, target;
    uint32_t dpos;
    uint16_t instr_off, dep;
    uint8_t ops, kind, taken;
    uint8_t zero[5];
};
_Static_assert(sizeof(struct br_key) == 32, "four words");

struct ev_key {
    uint64_t a[6];
    uint32_t dpos;
    uint16_t type, instr_off;
};
_Static_assert(sizeof(struct ev_key) == 56, "seven words");

/* Open-addressed set of keys; a slot is (generation << 16 | id), so that emptying costs nothing. */
struct dict {
    uint32_t *slots;
    uint64_t *keys;
    uint32_t n;
    uint32_t generation;
};

struct bytes {
    uint8_t *p;
    size_t cap;
};

/*
 * One thread's open block. Born in vmt_thread_open, emptied by each flush, freed by
 * vmt_thread_close. Only its own thread touches it.
 */
struct vmt_thread {
    struct vmt_writer *w;
    uint32_t index;
    uint64_t block;
    uint64_t first_instr, first_access, first_load; /* of the open block */
    uint64_t ninstr_block;                          /* up to and with the last access */
    uint64_t pending;                               /* instructions since the last access */
    uint64_t loads;                                 /* of the thread */
    uint64_t gseq, host_ns;
    uint32_t nacc, nbr, nev;
    uint32_t br_pos, ev_pos; /* access position of the last branch and event */
    size_t npay;
    struct dict acc, br, ev, pc;
    uint16_t *acc_ids, *br_ids, *ev_ids;
    uint8_t *ctl, *pay;
    uint64_t *addrs;      /* VMT_BASE_SAME_PC zeros, then the block's addresses */
    uint32_t *acc_pc_ids; /* of each access template */
    uint64_t *last_at_pc;
    struct bytes raw, out;
};

struct vmt_writer {
    pthread_mutex_t lock; /* guards what follows */
    int fd;
    char *path;
    enum err err;
    uint64_t offset;
    struct vmt_index_entry *index;
    uint64_t nindex, index_cap;
    uint32_t nthreads;
    struct vmt_totals totals;
    uint64_t unfinished_offset;
    _Atomic uint64_t gseq;
    uint32_t block_accesses;
    bool high;
};

/* ---- file ---------------------------------------------------------------------------------- */

static enum err write_failed(struct vmt_writer *w)
{
    if (w->err == ERR_OK)
        w->err = err_log(ERR_OUTPUT, "%s: cannot write at offset %llu: %s", w->path,
                         (unsigned long long)w->offset, strerror(errno));
    return w->err;
}

/* Appends at w->offset; the lock is held (or the writer not yet shared). */
static enum err append(struct vmt_writer *w, const void *bytes, size_t n)
{
    const char *p = bytes;
    if (w->err != ERR_OK)
        return w->err;
    while (n > 0) {
        ssize_t k = pwrite(w->fd, p, n, (off_t)w->offset);
        if (k < 0 && errno == EINTR)
            continue;
        if (k == 0)
            errno = ENOSPC;
        if (k <= 0)
            return write_failed(w);
        p += k;
        n -= (size_t)k;
        w->offset += (uint64_t)k;
    }
    return ERR_OK;
}

static enum err append_padding(struct vmt_writer *w)
{
    static const char zeros[8];
    return append(w, zeros, (size_t)(vmt_pad8(w->offset) - w->offset));
}

static enum err append_meta(struct vmt_writer *w, const char *text)
{
    size_t n = strnlen(text, VMT_MAX_META_BYTES);
    struct vmt_meta_header h = {
        .magic = VMT_META_MAGIC, .text_bytes = (uint32_t)n, .text_hash = codec_hash(text, n)};
    h.header_hash = codec_hash(&h, offsetof(struct vmt_meta_header, header_hash));
    enum err e = append(w, &h, sizeof h);
    if (e == ERR_OK)
        e = append(w, text, n);
    return e == ERR_OK ? append_padding(w) : e;
}

static enum err append_file_header(struct vmt_writer *w)
{
    struct vmt_file_header h = {
        .magic = VMT_FILE_MAGIC,
        .major = VMT_MAJOR,
        .minor = VMT_MINOR,
        .header_bytes = sizeof h,
        .created_s = (uint64_t)time(NULL),
        .max_accesses = VMT_MAX_ACCESSES,
        .max_branches = VMT_MAX_BRANCHES,
        .max_events = VMT_MAX_EVENTS,
        .page_bytes = (uint32_t)PAGE_BYTES,
        .arch = VMT_ARCH_X86_64,
    };
    if (getrandom(h.uuid, sizeof h.uuid, GRND_NONBLOCK) != (ssize_t)sizeof h.uuid)
        memcpy(h.uuid, &h.created_s, sizeof h.created_s);
    h.uuid[6] = (uint8_t)((h.uuid[6] & 0x0f) | 0x40);
    h.uuid[8] = (uint8_t)((h.uuid[8] & 0x3f) | 0x80);
    h.header_hash = codec_hash(&h, offsetof(struct vmt_file_header, header_hash));
    return append(w, &h, sizeof h);
}

/* Other descriptors keep the numbers they would have without a trace being written. */
static int move_fd(int fd, int min_fd)
{
    int moved = min_fd > 0 ? fcntl(fd, F_DUPFD_CLOEXEC, min_fd) : -1;
    if (moved < 0)
        return fd;
    close(fd);
    return moved;
}

enum err vmt_create(const char *path, const char *meta, const struct vmt_writer_opts *opts,
                    struct vmt_writer **out)
{
    static const struct vmt_writer_opts defaults;
    if (opts == NULL)
        opts = &defaults;
    struct vmt_writer *w = calloc(1, sizeof *w);
    if (w == NULL || (w->path = strdup(path)) == NULL) {
        free(w);
        return err_log(ERR_MEMORY, "%s: no memory for a trace writer", path);
    }
    w->block_accesses = opts->block_accesses != 0 ? opts->block_accesses : DEFAULT_BLOCK_ACCESSES;
    if (w->block_accesses > DEFAULT_BLOCK_ACCESSES)
        w->block_accesses = DEFAULT_BLOCK_ACCESSES;
    w->high = opts->high;
    pthread_mutex_init(&w->lock, NULL);
    enum err e = ERR_OUTPUT;
    w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0) {
        err_log(e, "%s: cannot create the trace: %s", path, strerror(errno));
        goto fail;
    }
    w->fd = move_fd(w->fd, opts->min_fd);
    if ((e = append_file_header(w)) != ERR_OK || (e = append_meta(w, meta ? meta : "")) != ERR_OK)
        goto fail_open;
    *out = w;
    return ERR_OK;

fail_open:
    close(w->fd);
fail:
    pthread_mutex_destroy(&w->lock);
    free(w->path);
    free(w);
    return e;
}

void vmt_totals(struct vmt_writer *w, struct vmt_totals *out)
{
    pthread_mutex_lock(&w->lock);
    *out = w->totals;
    out->file_bytes = w->offset;
    pthread_mutex_unlock(&w->lock);
}

enum err vmt_finish(struct vmt_writer *w, const char *meta)
{
    pthread_mutex_lock(&w->lock);
    w->unfinished_offset = w->offset;
    if (meta != NULL)
        append_meta(w, meta);
    size_t index_bytes = w->nindex * sizeof *w->index;
    struct vmt_trailer t = {
        .index_offset = w->offset,
        .nentries = w->nindex,
        .nthreads = w->nthreads,
        .flags = VMT_TRAILER_COMPLETE,
        .ninstr = w->totals.ninstr,
        .naccesses = w->totals.naccesses,
        .nbranches = w->totals.nbranches,
        .nevents = w->totals.nevents,
        .index_hash = codec_hash(w->index, index_bytes),
        .magic = VMT_TRAILER_MAGIC,
    };
    t.trailer_hash = codec_hash(&t, offsetof(struct vmt_trailer, trailer_hash));
    if (append(w, w->index, index_bytes) == ERR_OK)
        append(w, &t, sizeof t);
    enum err e = w->err;
    pthread_mutex_unlock(&w->lock);
    return e;
}

enum err vmt_unfinish(struct vmt_writer *w)
{
    pthread_mutex_lock(&w->lock);
    if (w->err == ERR_OK && ftruncate(w->fd, (off_t)w->unfinished_offset) != 0)
        write_failed(w);
    w->offset = w->unfinished_offset;
    enum err e = w->err;
    pthread_mutex_unlock(&w->lock);
    return e;
}

enum err vmt_close(struct vmt_writer *w, const char *meta)
{
    enum err e = vmt_finish(w, meta);
    if (close(w->fd) != 0 && e == ERR_OK)
        e = write_failed(w);
    pthread_mutex_destroy(&w->lock);
    free(w->index);
    free(w->path);
    free(w);
    return e;
}

/* ---- dictionaries -------------------------------------------------------------------------- */

static bool dict_init(struct dict *d, size_t key_bytes)
{
    d->slots = calloc(DICT_SLOTS, sizeof *d->slots);
    d->keys = malloc(DICT_MAX * key_bytes);
    d->n = 0;
    d->generation = 1;
    return d->slots != NULL && d->keys != NULL;
}

static void dict_free(struct dict *d)
{
    free(d->slots);
    free(d->keys);
}

static void dict_clear(struct dict *d)
{
    d->n = 0;
    if (++d->generation > 0xffff) {
        memset(d->slots, 0, DICT_SLOTS * sizeof *d->slots);
        d->generation = 1;
    }
}

/* Id of the key of `nwords` words, new ones appended. The caller keeps n below DICT_MAX. */
static inline uint32_t dict_id(struct dict *d, const uint64_t *key, unsigned nwords, bool *new_out)
{
    uint64_t h = 0;
    for (unsigned i = 0; i < nwords; i++) {
        h = (h ^ key[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    uint32_t s = (uint32_t)((h * UINT64_C(0xd6e8feb86659fd93)) >> (64 - DICT_SLOT_BITS));
    for (;; s = (s + 1) & (DICT_SLOTS - 1)) {
        uint32_t v = d->slots[s];
        if (v >> 16 != d->generation)
            break;
        if (memcmp(d->keys + (size_t)(v & 0xffff) * nwords, key, nwords * sizeof *key) == 0) {
            *new_out = false;
            return v & 0xffff;
        }
    }
    memcpy(d->keys + (size_t)d->n * nwords, key, nwords * sizeof *key);
    d->slots[s] = d->generation << 16 | d->n;
    *new_out = true;
    return d->n++;
}

static uint32_t pc_id(struct vmt_thread *t, uint64_t pc)
{
    bool is_new;
    uint32_t id = dict_id(&t->pc, &pc, 1, &is_new);
    if (is_new)
        t->last_at_pc[id] = 0;
    return id;
}

/* ---- threads ------------------------------------------------------------------------------- */

static uint64_t host_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void block_begin(struct vmt_thread *t)
{
    t->nacc = t->nbr = t->nev = 0;
    t->br_pos = t->ev_pos = 0;
    t->npay = 0;
    t->ninstr_block = 0;
    dict_clear(&t->acc);
    dict_clear(&t->br);
    dict_clear(&t->ev);
    dict_clear(&t->pc);
    t->first_load = t->loads;
    t->gseq = atomic_fetch_add_explicit(&t->w->gseq, 1, memory_order_relaxed);
    t->host_ns = host_ns();
}

static void thread_free(struct vmt_thread *t)
{
    dict_free(&t->acc);
    dict_free(&t->br);
    dict_free(&t->ev);
    dict_free(&t->pc);
    free(t->acc_ids);
    free(t->br_ids);
    free(t->ev_ids);
    free(t->ctl);
    free(t->pay);
    free(t->addrs);
    free(t->acc_pc_ids);
    free(t->last_at_pc);
    free(t->raw.p);
    free(t->out.p);
    free(t);
}

static bool thread_alloc(struct vmt_thread *t)
{
    bool ok = dict_init(&t->acc, sizeof(struct acc_key));
    ok = dict_init(&t->br, sizeof(struct br_key)) && ok;
    ok = dict_init(&t->ev, sizeof(struct ev_key)) && ok;
    ok = dict_init(&t->pc, sizeof(uint64_t)) && ok;
    t->acc_ids = malloc(VMT_MAX_ACCESSES * sizeof *t->acc_ids);
    t->br_ids = malloc(VMT_MAX_BRANCHES * sizeof *t->br_ids);
    t->ev_ids = malloc(VMT_MAX_EVENTS * sizeof *t->ev_ids);
    t->ctl = malloc(VMT_MAX_ACCESSES);
    t->pay = malloc(VMT_MAX_ACCESSES * sizeof(uint64_t) + sizeof(uint64_t));
    t->addrs = calloc(VMT_MAX_ACCESSES + VMT_BASE_SAME_PC, sizeof *t->addrs);
    t->acc_pc_ids = malloc(DICT_MAX * sizeof *t->acc_pc_ids);
    t->last_at_pc = malloc(DICT_MAX * sizeof *t->last_at_pc);
    return ok && t->acc_ids && t->br_ids && t->ev_ids && t->ctl && t->pay && t->addrs &&
           t->acc_pc_ids && t->last_at_pc;
}

static void block_write(struct vmt_thread *t, uint32_t tail_gap);

struct vmt_thread *vmt_thread_open(struct vmt_writer *w)
{
    struct vmt_thread *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->w = w;
    if (!thread_alloc(t)) {
        thread_free(t);
        return NULL;
    }
    pthread_mutex_lock(&w->lock);
    t->index = w->nthreads++;
    pthread_mutex_unlock(&w->lock);
    block_begin(t);
    block_write(t, 0);
    return t;
}

uint32_t vmt_thread_index(const struct vmt_thread *t) { return t->index; }
uint64_t vmt_loads(const struct vmt_thread *t) { return t->loads; }

void vmt_stamp(struct vmt_thread *t, uint64_t gseq, uint64_t ns)
{
    t->gseq = gseq;
    t->host_ns = ns;
}

uint64_t vmt_instrs(const struct vmt_thread *t)
{
    return t->first_instr + t->ninstr_block + t->pending;
}

void vmt_thread_flush(struct vmt_thread *t)
{
    while (t->pending > UINT32_MAX) {
        t->pending -= UINT32_MAX;
        block_write(t, UINT32_MAX);
    }
    uint32_t tail = (uint32_t)t->pending;
    t->pending = 0;
    if (t->nacc + t->nbr + t->nev + tail > 0)
        block_write(t, tail);
}

void vmt_thread_close(struct vmt_thread *t)
{
    vmt_thread_flush(t);
    thread_free(t);
}

/* Ends the block before the current instruction, which opens the next one. */
static void cut_before_instr(struct vmt_thread *t)
{
    uint64_t keep = t->pending > 0 ? 1 : 0;
    t->pending -= keep;
    vmt_thread_flush(t);
    t->pending = keep;
}

/* Makes room for one more record of the current instruction. */
static void make_room(struct vmt_thread *t)
{
    bool full = t->nacc == VMT_MAX_ACCESSES || t->nbr == VMT_MAX_BRANCHES ||
                t->nev == VMT_MAX_EVENTS || t->pc.n + 2 > VMT_MAX_PCS;
    bool ripe = t->nacc >= t->w->block_accesses && t->pending > 0;
    if (full || ripe || t->pending > MAX_GAP)
        cut_before_instr(t);
}

void vmt_instr(struct vmt_thread *t, uint64_t n) { t->pending += n; }

/* ---- records ------------------------------------------------------------------------------- */

static inline unsigned payload_code(uint64_t z)
{
    unsigned nbytes = z == 0 ? 0 : log2_floor(z) / 8 + 1;
    return nbytes < 7 ? nbytes : 7;
}

/* Chooses the base that needs the fewest payload bytes; the same program counter wins ties, since
 * a steady stride then repeats the same bytes. */
static void encode_address(struct vmt_thread *t, uint64_t addr, uint32_t pc)
{
    const uint64_t *recent = t->addrs + VMT_BASE_SAME_PC + t->nacc;
    unsigned base = VMT_BASE_SAME_PC;
    uint64_t best = vmt_zigzag(addr - t->last_at_pc[pc]);
    unsigned best_code = payload_code(best);
    for (unsigned k = 0; k < VMT_BASE_SAME_PC && best_code > 0; k++) {
        uint64_t z = vmt_zigzag(addr - recent[-1 - (int)k]);
        unsigned code = payload_code(z);
        if (code < best_code) {
            base = k;
            best = z;
            best_code = code;
        }
    }
    t->ctl[t->nacc] = (uint8_t)(best_code | base << 3);
    memcpy(t->pay + t->npay, &best, sizeof best);
    t->npay += best_code + (best_code == 7);
    t->addrs[VMT_BASE_SAME_PC + t->nacc] = addr;
    t->last_at_pc[pc] = addr;
}

void vmt_access(struct vmt_thread *t, uint64_t pc, const struct access_rec *rec)
{
    make_room(t);
    struct acc_key key = {
        .pc = pc,
        .gap = (uint16_t)t->pending,
        .size = rec->size,
        .flags = (uint8_t)(rec->flags & ~ACC_NO_PRODUCER),
        .addr_dep = {rec->addr_dep[0], rec->addr_dep[1]},
        .data_dep = rec->data_dep,
        .addr_ops = {rec->addr_ops[0], rec->addr_ops[1]},
        .data_ops = rec->data_ops,
    };
    uint64_t words[3];
    memcpy(words, &key, sizeof words);
    bool is_new;
    uint32_t id = dict_id(&t->acc, words, 3, &is_new);
    if (is_new)
        t->acc_pc_ids[id] = pc_id(t, pc);
    encode_address(t, rec->vaddr, t->acc_pc_ids[id]);
    t->acc_ids[t->nacc++] = (uint16_t)id;
    t->ninstr_block += t->pending;
    t->pending = 0;
    t->loads += (rec->flags & ACC_STORE) == 0;
}

void vmt_branch(struct vmt_thread *t, uint64_t pc, uint64_t target, const struct branch_rec *rec)
{
    make_room(t);
    struct br_key key = {
        .pc = pc,
        .target = target,
        .dpos = t->nacc - t->br_pos,
        .instr_off = (uint16_t)t->pending,
        .dep = rec->dep,
        .ops = rec->ops,
        .kind = rec->kind,
        .taken = rec->taken,
    };
    uint64_t words[4];
    memcpy(words, &key, sizeof words);
    bool is_new;
    uint32_t id = dict_id(&t->br, words, 4, &is_new);
    if (is_new) {
        pc_id(t, pc);
        pc_id(t, target);
    }
    t->br_ids[t->nbr++] = (uint16_t)id;
    t->br_pos = t->nacc;
}

void vmt_event(struct vmt_thread *t, uint16_t type, const uint64_t a[6])
{
    make_room(t);
    struct ev_key key = {
        .dpos = t->nacc - t->ev_pos, .type = type, .instr_off = (uint16_t)t->pending};
    memcpy(key.a, a, sizeof key.a);
    uint64_t words[7];
    memcpy(words, &key, sizeof words);
    bool is_new;
    uint32_t id = dict_id(&t->ev, words, 7, &is_new);
    t->ev_ids[t->nev++] = (uint16_t)id;
    t->ev_pos = t->nacc;
    if (type != FE_IFETCH_PAGE)
        atomic_fetch_add_explicit(&t->w->gseq, 1, memory_order_relaxed);
}

/* ---- blocks -------------------------------------------------------------------------------- */

static bool room(struct bytes *b, size_t n)
{
    if (b->cap >= n)
        return true;
    uint8_t *p = realloc(b->p, n + n / 2);
    if (p == NULL)
        return false;
    b->p = p;
    b->cap = n + n / 2;
    return true;
}

/* Byte planes of field i of `n` templates, the field `nbytes` wide; returns the next plane. */
#define PUT_PLANES(dst, n, nbytes, value)                             \
    do {                                                              \
        for (unsigned b_ = 0; b_ < (nbytes); b_++)                    \
            for (uint32_t i = 0; i < (n); i++)                        \
                *(dst)++ = (uint8_t)((uint64_t)(value) >> (8 * b_));  \
    } while (0)

static void pack_acc_templates(struct vmt_thread *t, uint8_t *p)
{
    const struct acc_key *k = (const struct acc_key *)t->acc.keys;
    uint32_t n = t->acc.n;
    PUT_PLANES(p, n, 4, t->acc_pc_ids[i]);
    PUT_PLANES(p, n, 2, k[i].gap);
    PUT_PLANES(p, n, 1, k[i].size);
    PUT_PLANES(p, n, 1, k[i].flags);
    PUT_PLANES(p, n, 2, k[i].addr_dep[0]);
    PUT_PLANES(p, n, 2, k[i].addr_dep[1]);
    PUT_PLANES(p, n, 2, k[i].data_dep);
    PUT_PLANES(p, n, 1, k[i].addr_ops[0]);
    PUT_PLANES(p, n, 1, k[i].addr_ops[1]);
    PUT_PLANES(p, n, 1, k[i].data_ops);
}

static void pack_pcs(struct vmt_thread *t, uint8_t *p)
{
    const uint64_t *k = t->pc.keys;
    PUT_PLANES(p, t->pc.n, VMT_PC_BYTES, vmt_zigzag(k[i] - (i > 0 ? k[i - 1] : 0)));
}

static void pack_br_templates(struct vmt_thread *t, uint8_t *p)
{
    const struct br_key *k = (const struct br_key *)t->br.keys;
    uint32_t n = t->br.n;
    PUT_PLANES(p, n, 4, k[i].dpos);
    PUT_PLANES(p, n, 4, pc_id(t, k[i].pc));
    PUT_PLANES(p, n, 4, pc_id(t, k[i].target));
    PUT_PLANES(p, n, 2, k[i].instr_off);
    PUT_PLANES(p, n, 2, k[i].dep);
    PUT_PLANES(p, n, 1, k[i].ops);
    PUT_PLANES(p, n, 1, k[i].kind);
    PUT_PLANES(p, n, 1, k[i].taken);
}

static void pack_ev_templates(struct vmt_thread *t, uint8_t *p)
{
    const struct ev_key *k = (const struct ev_key *)t->ev.keys;
    uint32_t n = t->ev.n;
    PUT_PLANES(p, n, 4, k[i].dpos);
    PUT_PLANES(p, n, 2, k[i].type);
    PUT_PLANES(p, n, 2, k[i].instr_off);
    for (unsigned j = 0; j < 6; j++)
        PUT_PLANES(p, n, 8, k[i].a[j]);
}

/* Raw bytes of one column: in place, or built in t->raw. NULL: no memory. */
static const void *column_bytes(struct vmt_thread *t, enum vmt_column_id c, size_t n)
{
    static void (*const pack[VMT_NCOLS])(struct vmt_thread *, uint8_t *) = {
        [VMT_COL_ACC_TMPL] = pack_acc_templates,
        [VMT_COL_PCS] = pack_pcs,
        [VMT_COL_BR_TMPL] = pack_br_templates,
        [VMT_COL_EV_TMPL] = pack_ev_templates,
    };
    switch (c) {
    case VMT_COL_ACC_IDS:
        return t->acc_ids;
    case VMT_COL_ADDR_CTL:
        return t->ctl;
    case VMT_COL_ADDR_PAYLOAD:
        return t->pay;
    case VMT_COL_BR_IDS:
        return t->br_ids;
    case VMT_COL_EV_IDS:
        return t->ev_ids;
    default:
        if (!room(&t->raw, n + 1))
            return NULL;
        pack[c](t, t->raw.p);
        return t->raw.p;
    }
}

static bool pack_columns(struct vmt_thread *t, struct vmt_block_header *h, size_t *bytes_out)
{
    const size_t raw[VMT_NCOLS_KNOWN] = {
        [VMT_COL_ACC_IDS] = 2 * (size_t)t->nacc,
        [VMT_COL_ADDR_CTL] = t->nacc,
        [VMT_COL_ADDR_PAYLOAD] = t->npay,
        [VMT_COL_ACC_TMPL] = VMT_ACC_TMPL_BYTES * (size_t)t->acc.n,
        [VMT_COL_PCS] = VMT_PC_BYTES * (size_t)t->pc.n,
        [VMT_COL_BR_IDS] = 2 * (size_t)t->nbr,
        [VMT_COL_BR_TMPL] = VMT_BR_TMPL_BYTES * (size_t)t->br.n,
        [VMT_COL_EV_IDS] = 2 * (size_t)t->nev,
        [VMT_COL_EV_TMPL] = VMT_EV_TMPL_BYTES * (size_t)t->ev.n,
    };
    size_t bound = sizeof *h + 8;
    for (unsigned c = 0; c < VMT_NCOLS_KNOWN; c++)
        bound += codec_bound(raw[c]);
    if (!room(&t->out, bound))
        return false;
    size_t n = sizeof *h;
    for (unsigned c = 0; c < VMT_NCOLS_KNOWN; c++) {
        const void *src = column_bytes(t, (enum vmt_column_id)c, raw[c]);
        if (src == NULL)
            return false;
        size_t k = codec_pack(t->out.p + n, codec_bound(raw[c]), src, raw[c], t->w->high);
        h->col[c] = (struct vmt_column){(uint32_t)raw[c], (uint32_t)k};
        n += k;
    }
    h->payload_hash = codec_hash(t->out.p + sizeof *h, n - sizeof *h);
    memset(t->out.p + n, 0, 8);
    *bytes_out = n;
    return true;
}

static void index_add(struct vmt_writer *w, const struct vmt_index_entry *entry)
{
    if (w->nindex == w->index_cap) {
        uint64_t cap = w->index_cap != 0 ? 2 * w->index_cap : 256;
        void *p = realloc(w->index, cap * sizeof *w->index);
        if (p == NULL) {
            w->err = err_log(ERR_MEMORY, "%s: no memory for the index of the trace", w->path);
            return;
        }
        w->index = p;
        w->index_cap = cap;
    }
    w->index[w->nindex++] = *entry;
}

/* Compresses and appends the open block, and opens the next one. */
static void block_write(struct vmt_thread *t, uint32_t tail_gap)
{
    struct vmt_writer *w = t->w;
    struct vmt_block_header h = {
        .magic = VMT_BLOCK_MAGIC,
        .header_bytes = sizeof h,
        .thread = t->index,
        .codec = VMT_CODEC_LZ4,
        .block = t->block,
        .first_instr = t->first_instr,
        .first_access = t->first_access,
        .first_load = t->first_load,
        .gseq = t->gseq,
        .host_ns = t->host_ns,
        .nacc = t->nacc,
        .nbr = t->nbr,
        .nev = t->nev,
        .npcs = t->pc.n,
        .nacc_tmpl = t->acc.n,
        .nbr_tmpl = t->br.n,
        .nev_tmpl = t->ev.n,
        .tail_gap = tail_gap,
        .ninstr = t->ninstr_block + tail_gap,
    };
    size_t nbytes = 0;
    bool packed = pack_columns(t, &h, &nbytes);
    pthread_mutex_lock(&w->lock);
    if (!packed && w->err == ERR_OK)
        w->err = err_log(ERR_MEMORY, "%s: no memory to compress a block of thread %u", w->path,
                         t->index);
    if (w->err == ERR_OK) {
        h.header_hash = codec_hash(&h, offsetof(struct vmt_block_header, header_hash));
        memcpy(t->out.p, &h, sizeof h);
        size_t padded = (size_t)vmt_pad8(nbytes);
        struct vmt_index_entry entry = {.offset = w->offset,
                                        .thread = t->index,
                                        .bytes = (uint32_t)padded,
                                        .first_instr = h.first_instr,
                                        .first_access = h.first_access};
        if (append(w, t->out.p, padded) == ERR_OK)
            index_add(w, &entry);
        w->totals.ninstr += h.ninstr;
        w->totals.naccesses += h.nacc;
        w->totals.nbranches += h.nbr;
        w->totals.nevents += h.nev;
    }
    pthread_mutex_unlock(&w->lock);
    t->block++;
    t->first_instr += h.ninstr;
    t->first_access += h.nacc;
    block_begin(t);
}
