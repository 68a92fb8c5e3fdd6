/*
 * See champsim.h. The stream can only be read forwards: asking for an earlier block starts it
 * again from the front. Registers become producers by remembering, per register, which load wrote
 * it and how many instructions ago.
 */
#include "cores/champsim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PC_SLOTS 65536u /* at least twice the program counters of a block */
#define READ_RECORDS 1024u
#define MAX_ACCESSES (CHAMPSIM_BLOCK_INSTRS * 6u)
#define MAX_PCS (CHAMPSIM_BLOCK_INSTRS * 2u)
#define MAX_USER_IP (UINT64_C(1) << 57)
#define PROBE_RECORDS 16u

enum container { RAW, XZ, GZIP, ZSTD, TAR };

extern char **environ;

/* Load ordinal << 8 | dependent instructions since; 0 = no load. */
typedef uint64_t producer_t;

/*
 * One file being read: opened at the first load, started again when an earlier block is asked for.
 */
struct stream {
    char *path;
    enum container container;
    uint64_t file_bytes;
    int fd;
    pid_t child; /* the decompressor, 0: none */
    bool open, at_end;
    struct champsim_record buf[READ_RECORDS];
    uint32_t nbuf, next;
    uint64_t record; /* number of the next one */
    uint64_t block;  /* number of the next block */
    uint64_t loads;
    producer_t regs[256];
    /* the decoded block */
    struct access_rec *acc;
    struct branch_rec *br; /* each branch is its own form */
    struct fe_at *br_at;
    uint64_t *pcs;
    uint32_t *pc_slots; /* id + 1 */
    uint32_t npcs;
};

struct champsim {
    struct frontend fe;
    struct stream *streams;
    char description[512];
};

/* ---- the byte stream ----------------------------------------------------------------------- */

static enum container container_of_bytes(const uint8_t *p, size_t n)
{
    if (n >= 6 && memcmp(p, "\xfd" "7zXZ\0", 6) == 0)
        return XZ;
    if (n >= 2 && p[0] == 0x1f && p[1] == 0x8b)
        return GZIP;
    if (n >= 4 && memcmp(p, "\x28\xb5\x2f\xfd", 4) == 0)
        return ZSTD;
    if (n >= 262 && memcmp(p + 257, "ustar", 5) == 0)
        return TAR;
    return RAW;
}

static const char *decompressor(enum container c) { return c == XZ ? "xz" : "gzip"; }

static enum err stream_start_child(struct stream *s)
{
    const char *tool = decompressor(s->container);
    char *argv[] = {(char *)(uintptr_t)tool, (char *)(uintptr_t)"-dc", (char *)(uintptr_t)"--",
                    s->path, NULL};
    posix_spawn_file_actions_t fa;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return err_log(ERR_TRACE, "%s: no pipe to %s: %s", s->path, tool, strerror(errno));
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, fds[1], STDOUT_FILENO);
    int rc = posix_spawnp(&s->child, tool, &fa, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    close(fds[1]);
    if (rc != 0) {
        close(fds[0]);
        s->child = 0;
        return err_log(ERR_TRACE, "%s: needs the program %s (package %s): %s", s->path, tool,
                       s->container == XZ ? "xz-utils" : "gzip", strerror(rc));
    }
    s->fd = fds[0];
    return ERR_OK;
}

static void stream_stop(struct stream *s)
{
    if (!s->open)
        return;
    close(s->fd);
    if (s->child != 0) {
        kill(s->child, SIGTERM);
        waitpid(s->child, NULL, 0);
        s->child = 0;
    }
    s->open = false;
}

static enum err stream_start(struct stream *s)
{
    stream_stop(s);
    s->at_end = false;
    s->nbuf = s->next = 0;
    s->record = s->block = s->loads = 0;
    memset(s->regs, 0, sizeof s->regs);
    if (s->container == RAW) {
        s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
        if (s->fd < 0)
            return err_log(ERR_TRACE, "%s: cannot open the trace: %s", s->path, strerror(errno));
    } else {
        enum err e = stream_start_child(s);
        if (e != ERR_OK)
            return e;
    }
    s->open = true;
    return ERR_OK;
}

/* The end of the bytes: was it the end of the trace? */
static enum err stream_ended(struct stream *s, size_t left_over)
{
    int status = 0;
    s->at_end = true;
    if (s->child != 0) {
        while (waitpid(s->child, &status, 0) < 0 && errno == EINTR)
            ;
        s->child = 0;
    }
    if (status != 0)
        return err_log(ERR_TRACE, "%s: record %" PRIu64 ": %s reports a damaged file", s->path,
                       s->record, decompressor(s->container));
    if (left_over != 0)
        return err_log(ERR_TRACE,
                       "%s: ends %zu bytes into record %" PRIu64 " at offset %" PRIu64
                       "; ChampSim records have 64 bytes",
                       s->path, left_over, s->record, s->record * CHAMPSIM_RECORD_BYTES);
    return ERR_OK;
}

static enum err stream_fill(struct stream *s)
{
    char *p = (char *)s->buf;
    size_t n = 0;
    s->next = s->nbuf = 0;
    while (n < sizeof s->buf) {
        ssize_t k = read(s->fd, p + n, sizeof s->buf - n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return err_log(ERR_TRACE, "%s: record %" PRIu64 ": cannot read: %s", s->path, s->record,
                           strerror(errno));
        if (k == 0)
            break;
        n += (size_t)k;
    }
    s->nbuf = (uint32_t)(n / CHAMPSIM_RECORD_BYTES);
    return n < sizeof s->buf ? stream_ended(s, n % CHAMPSIM_RECORD_BYTES) : ERR_OK;
}

/* The next record without taking it; NULL at the end. */
static enum err stream_peek(struct stream *s, const struct champsim_record **out)
{
    *out = NULL;
    if (s->next == s->nbuf && !s->at_end) {
        enum err e = stream_fill(s);
        if (e != ERR_OK)
            return e;
    }
    if (s->next < s->nbuf)
        *out = &s->buf[s->next];
    return ERR_OK;
}

/* ---- records ------------------------------------------------------------------------------- */

static bool plausible(const struct champsim_record *r)
{
    return r->ip < MAX_USER_IP && r->is_branch <= 1 && r->taken <= 1 && r->taken <= r->is_branch;
}

static enum err check_record(const struct stream *s, const struct champsim_record *r)
{
    if (plausible(r))
        return ERR_OK;
    return err_log(ERR_TRACE,
                   "%s: record %" PRIu64 " at offset %" PRIu64 " (uncompressed) is not a ChampSim "
                   "instruction: ip 0x%" PRIx64 ", branch %u, taken %u; is the record size 64?",
                   s->path, s->record, s->record * CHAMPSIM_RECORD_BYTES, r->ip, r->is_branch,
                   r->taken);
}

static bool has_reg(const uint8_t *regs, unsigned n, unsigned reg)
{
    for (unsigned i = 0; i < n; i++)
        if (regs[i] == reg)
            return true;
    return false;
}

enum branch_kind champsim_branch_kind(const struct champsim_record *r)
{
    bool reads_sp = has_reg(r->src, 4, CHAMPSIM_SP), reads_ip = has_reg(r->src, 4, CHAMPSIM_IP);
    bool flags = has_reg(r->src, 4, CHAMPSIM_FLAGS), other = false;
    bool writes_sp = has_reg(r->dst, 2, CHAMPSIM_SP);
    for (unsigned i = 0; i < 4; i++)
        other |= r->src[i] != 0 && r->src[i] != CHAMPSIM_SP && r->src[i] != CHAMPSIM_IP &&
                 r->src[i] != CHAMPSIM_FLAGS;
    if (reads_sp && writes_sp && !reads_ip)
        return BR_RET;
    if (reads_sp && writes_sp)
        return other ? BR_CALL_INDIRECT : BR_CALL;
    if (flags || (reads_ip && other))
        return BR_COND;
    return other ? BR_INDIRECT : BR_JUMP;
}

static uint32_t pc_id(struct stream *s, uint64_t pc)
{
    uint32_t i = (uint32_t)((pc * UINT64_C(0x9e3779b97f4a7c15)) >> 48) & (PC_SLOTS - 1);
    for (; s->pc_slots[i] != 0; i = (i + 1) & (PC_SLOTS - 1))
        if (s->pcs[s->pc_slots[i] - 1] == pc)
            return s->pc_slots[i] - 1;
    s->pcs[s->npcs] = pc;
    s->pc_slots[i] = ++s->npcs;
    return s->npcs - 1;
}

static bool carries_producer(uint8_t reg)
{
    return reg != 0 && reg != CHAMPSIM_SP && reg != CHAMPSIM_IP;
}

/* The two latest different loads among the sources. */
static void latest_sources(const struct stream *s, const struct champsim_record *r, producer_t p[2])
{
    p[0] = p[1] = 0;
    for (unsigned i = 0; i < 4; i++) {
        producer_t q = carries_producer(r->src[i]) ? s->regs[r->src[i]] : 0;
        if (q >> 8 == p[0] >> 8) {
            p[0] = q > p[0] ? q : p[0];
        } else if (q > p[0]) {
            p[1] = p[0];
            p[0] = q;
        } else if (q > p[1]) {
            p[1] = q;
        }
    }
}

static void set_dep(const struct stream *s, producer_t p, uint16_t *dep, uint8_t *ops)
{
    uint64_t d = s->loads - (p >> 8) + 1;
    *dep = p != 0 && d <= UINT16_MAX ? (uint16_t)d : 0;
    *ops = *dep != 0 ? (uint8_t)p : 0;
}

static uint8_t assumed_size(uint64_t addr)
{
    uint64_t in_line = LINE_BYTES - (addr & (LINE_BYTES - 1));
    return (uint8_t)(in_line < 8 ? in_line : 8);
}

static producer_t one_more(producer_t p)
{
    return p != 0 && (uint8_t)p != UINT8_MAX ? p + 1 : p;
}

/* ---- blocks -------------------------------------------------------------------------------- */

static void decode_accesses(struct stream *s, const struct champsim_record *r, uint32_t pc,
                            uint32_t *gap, struct fe_block *b)
{
    producer_t p[2], own = 0;
    latest_sources(s, r, p);
    for (unsigned i = 0; i < 6; i++) {
        bool store = i >= 4;
        uint64_t addr = store ? r->stores[i - 4] : r->loads[i];
        if (addr == 0)
            continue;
        struct access_rec *a = &s->acc[b->nacc++];
        *a = (struct access_rec){.vaddr = addr,
                                 .pc_id = pc,
                                 .gap = (uint16_t)*gap,
                                 .size = assumed_size(addr),
                                 .flags = store ? ACC_STORE : 0};
        *gap = 0;
        set_dep(s, p[0], &a->addr_dep[0], &a->addr_ops[0]);
        set_dep(s, p[1], &a->addr_dep[1], &a->addr_ops[1]);
        if (store)
            set_dep(s, own != 0 ? one_more(own) : p[0], &a->data_dep, &a->data_ops);
        else
            own = ++s->loads << 8;
        *a = acc_marked(*a);
    }
    for (unsigned i = 0; i < 2; i++)
        if (carries_producer(r->dst[i]))
            s->regs[r->dst[i]] = own != 0 ? own : one_more(p[0]);
}

static void decode_branch(struct stream *s, const struct champsim_record *r,
                          const struct champsim_record *next, uint32_t pc, uint32_t gap,
                          struct branch_rec *br)
{
    producer_t p[2];
    latest_sources(s, r, p);
    *br = (struct branch_rec){.pc_id = pc,
                              .instr_off = (uint16_t)gap,
                              .kind = (uint8_t)champsim_branch_kind(r),
                              .taken = r->taken};
    br->target_id = pc_id(s, r->taken && next != NULL ? next->ip : r->ip);
    if (br->kind != BR_JUMP && br->kind != BR_CALL)
        set_dep(s, p[0], &br->dep, &br->ops);
}

/* Decodes the next block of the stream. */
static enum err decode_block(struct stream *s, struct fe_block *b)
{
    uint32_t gap = 0;
    const struct champsim_record *next;
    *b = (struct fe_block){.first_instr = s->record, .piece = s->acc, .br_at = s->br_at, .br_forms = s->br,
                           .pcs = s->pcs};
    memset(s->pc_slots, 0, PC_SLOTS * sizeof *s->pc_slots);
    s->npcs = 0;
    enum err e = stream_peek(s, &next);
    for (uint32_t i = 0; i < CHAMPSIM_BLOCK_INSTRS && next != NULL && e == ERR_OK; i++) {
        struct champsim_record r = *next;
        e = check_record(s, &r);
        if (e != ERR_OK)
            return e;
        s->next++;
        s->record++;
        e = stream_peek(s, &next);
        uint32_t pc = pc_id(s, r.ip);
        gap++;
        decode_accesses(s, &r, pc, &gap, b);
        if (r.is_branch) {
            s->br_at[b->nbr] = (struct fe_at){.pos = b->nacc, .form = b->nbr};
            decode_branch(s, &r, next, pc, gap, &s->br[b->nbr++]);
        }
    }
    b->acc_to = b->nacc;
    b->nbr_forms = b->nbr;
    b->tail_gap = gap;
    b->npcs = s->npcs;
    b->last = next == NULL;
    s->block++;
    return e;
}

static enum err champsim_load(struct frontend *fe, uint32_t thread, uint64_t block,
                              struct fe_block *out)
{
    struct champsim *c = (struct champsim *)fe;
    if (thread >= fe->nthreads)
        return err_log(ERR_TRACE, "there is no thread %u in a set of %u ChampSim traces", thread,
                       fe->nthreads);
    struct stream *s = &c->streams[thread];
    if (!s->open || block < s->block) {
        enum err e = stream_start(s);
        if (e != ERR_OK)
            return e;
    }
    for (;;) {
        if (s->at_end && s->next == s->nbuf && s->record > 0)
            return err_log(ERR_TRACE, "%s: there is no block %" PRIu64 ", it ends with %" PRIu64,
                           s->path, block, s->block - 1);
        bool wanted = s->block == block;
        enum err e = decode_block(s, out);
        if (e != ERR_OK || wanted)
            return e;
    }
}

static void champsim_close(struct frontend *fe)
{
    struct champsim *c = (struct champsim *)fe;
    for (uint32_t i = 0; c->streams != NULL && i < fe->nthreads; i++) {
        struct stream *s = &c->streams[i];
        stream_stop(s);
        free(s->path);
        free(s->acc);
        free(s->br);
        free(s->br_at);
        free(s->pcs);
        free(s->pc_slots);
    }
    free(c->streams);
    free(c);
}

static const struct frontend_ops champsim_ops = {
    .name = "champsim",
    .doc = "ChampSim instruction trace, raw, .xz or .gz",
    .load = champsim_load,
    .close = champsim_close,
};

/* ---- opening ------------------------------------------------------------------------------- */

static enum err stream_init(struct stream *s, const char *path)
{
    uint8_t head[512];
    struct stat st;
    s->path = strdup(path);
    s->acc = malloc(MAX_ACCESSES * sizeof *s->acc);
    s->br = malloc(CHAMPSIM_BLOCK_INSTRS * sizeof *s->br);
    s->br_at = malloc(CHAMPSIM_BLOCK_INSTRS * sizeof *s->br_at);
    s->pcs = malloc(MAX_PCS * sizeof *s->pcs);
    s->pc_slots = malloc(PC_SLOTS * sizeof *s->pc_slots);
    if (!s->path || !s->acc || !s->br || !s->br_at || !s->pcs || !s->pc_slots)
        return err_log(ERR_MEMORY, "%s: no memory to read the trace", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, head, sizeof head) : -1;
    if (n < 0 || fstat(fd, &st) != 0) {
        enum err e = err_log(ERR_TRACE, "%s: cannot open the trace: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return e;
    }
    close(fd);
    s->file_bytes = (uint64_t)st.st_size;
    s->container = container_of_bytes(head, (size_t)n);
    if (s->container == ZSTD)
        return err_log(ERR_TRACE, "%s: zstd is not read; unpack it with `zstd -d`", path);
    if (s->container == TAR)
        return err_log(ERR_TRACE, "%s: a tar archive; unpack it and pass the trace inside", path);
    if (n == 0 || (s->container == RAW && s->file_bytes % CHAMPSIM_RECORD_BYTES != 0))
        return err_log(ERR_TRACE, "%s: %" PRIu64 " bytes are not a whole number of 64-byte "
                       "ChampSim records", path, s->file_bytes);
    return ERR_OK;
}

/* The first records must make sense, or it is another format. */
static enum err stream_check_start(struct stream *s)
{
    const struct champsim_record *r = NULL;
    enum err e = stream_start(s);
    if (e == ERR_OK)
        e = stream_peek(s, &r);
    if (e == ERR_OK && r == NULL)
        e = err_log(ERR_TRACE, "%s: holds no instruction", s->path);
    for (uint32_t i = 0; i < PROBE_RECORDS && i < s->nbuf && e == ERR_OK; i++)
        e = check_record(s, &s->buf[i]);
    /* A packed tar shows its own header where records should be. */
    if (e == ERR_OK && s->nbuf >= 5 &&
        container_of_bytes((const uint8_t *)s->buf, s->nbuf * sizeof *s->buf) == TAR)
        e = err_log(ERR_TRACE, "%s: a packed tar archive; unpack it first", s->path);
    stream_stop(s);
    return e;
}

enum err champsim_open(const char *const *paths, size_t npaths, struct frontend **out)
{
    struct champsim *c = calloc(1, sizeof *c);
    enum err e = ERR_OK;
    if (c == NULL || npaths == 0 || npaths > UINT16_MAX) {
        free(c);
        return err_log(c == NULL ? ERR_MEMORY : ERR_USAGE, "cannot open %zu ChampSim traces",
                       npaths);
    }
    c->fe.ops = &champsim_ops;
    c->fe.all_start = true;
    c->fe.vmas_inferred = true;
    c->streams = calloc(npaths, sizeof *c->streams);
    if (c->streams == NULL)
        e = err_log(ERR_MEMORY, "no memory to read %zu traces", npaths);
    bool all_raw = true;
    for (size_t i = 0; i < npaths && e == ERR_OK; i++) {
        struct stream *s = &c->streams[i];
        c->fe.nthreads++;
        e = stream_init(s, paths[i]);
        if (e == ERR_OK)
            e = stream_check_start(s);
        all_raw = all_raw && s->container == RAW;
        c->fe.ninstr += s->file_bytes / CHAMPSIM_RECORD_BYTES;
    }
    if (e != ERR_OK) {
        champsim_close(&c->fe);
        return e;
    }
    if (!all_raw)
        c->fe.ninstr = 0;
    snprintf(c->description, sizeof c->description, "ChampSim trace %s%s", paths[0],
             npaths > 1 ? " and others" : "");
    c->fe.description = c->description;
    *out = &c->fe;
    return ERR_OK;
}

/* ---- probing ------------------------------------------------------------------------------- */

static bool named_like_one(const char *path)
{
    static const char *const names[] = {".champsimtrace", ".champsim", ".trace"};
    static const char *const packed[] = {"", ".xz", ".gz"};
    size_t n = strlen(path);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (size_t k = 0; k < sizeof packed / sizeof packed[0]; k++) {
            char end[32];
            int len = snprintf(end, sizeof end, "%s%s", names[i], packed[k]);
            if (n > (size_t)len && strcmp(path + n - (size_t)len, end) == 0)
                return true;
        }
    return false;
}

bool champsim_probe(const char *path)
{
    struct champsim_record r[PROBE_RECORDS];
    if (named_like_one(path))
        return true;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, r, sizeof r);
    close(fd);
    enum container c = container_of_bytes((const uint8_t *)r, n > 0 ? (size_t)n : 0);
    if (c == XZ || c == GZIP)
        return true;
    if (c != RAW || n < (ssize_t)sizeof r[0] || n % (ssize_t)sizeof r[0] != 0)
        return false;
    for (size_t i = 0; i < (size_t)n / sizeof r[0]; i++)
        if (!plausible(&r[i]) || r[i].ip == 0)
            return false;
    return true;
}
