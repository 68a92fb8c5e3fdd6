/*
 * See record.h. The program runs under `qemu-x86_64 -plugin recorder_plugin.so`; the settings go to
 * the plugin through environment variables that QEMU takes out of the program's own environment.
 * Afterwards the trace is opened like any reader would, so that a summary can only come from a file
 * that can be read.
 */
#include "cores/record.h"

#include "cores/vmt.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define QEMU "qemu-x86_64"
#define PLUGIN "recorder_plugin.so"
#define MAX_EXTRA_ARGS 32

struct options {
    const char *out;
    const char *skip, *max, *function;
    bool roi_only, quiet;
    char **program; /* NULL-terminated argv of the program */
};

static const char usage[] =
    "usage: concerto record -o FILE.vmt [options] [--] program [arguments]\n"
    "  -o FILE          trace to write\n"
    "  --roi-only       record between the marks of cores/roi.h only\n"
    "  --skip N         start after N instructions of the process (k, M, G allowed)\n"
    "  --max N          end the program after N recorded instructions\n"
    "  --function SYM   record only while SYM is on the stack of a thread\n"
    "  --quiet          no summary\n";

/* ---- finding things ------------------------------------------------------------------------ */

static bool is_executable(const char *path) { return access(path, X_OK) == 0; }

/* Looks `name` up as a shell would. */
static bool find_in_path(const char *name, char out[PATH_MAX])
{
    if (name == NULL)
        return false;
    if (strchr(name, '/') != NULL) {
        snprintf(out, PATH_MAX, "%s", name);
        return is_executable(name);
    }
    const char *path = getenv("PATH");
    for (const char *p = path != NULL ? path : "/usr/bin:/bin"; *p != '\0';) {
        size_t n = strcspn(p, ":");
        snprintf(out, PATH_MAX, "%.*s/%s", (int)n, p, name);
        if (is_executable(out))
            return true;
        p += n + (p[n] == ':');
    }
    return false;
}

static bool find_plugin(char out[PATH_MAX])
{
    static const char *const places[] = {"", "build/", "../build/", "../libexec/concerto/",
                                         "../lib/concerto/"};
    char self[PATH_MAX];
    const char *env = getenv("CONCERTO_PLUGIN");
    if (env != NULL) {
        /* QEMU looks for a name without a slash in the system's library path. */
        snprintf(out, PATH_MAX, "%s%s", strchr(env, '/') != NULL ? "" : "./", env);
        return access(out, R_OK) == 0;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return false;
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    slash[1] = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (snprintf(out, PATH_MAX, "%s%s" PLUGIN, self, places[i]) < PATH_MAX &&
            access(out, R_OK) == 0)
            return true;
    }
    return false;
}

/* What QEMU must be given to run the file: itself, or the interpreter of a script before it. */
static enum err resolve_program(const char *name, char path[PATH_MAX], char interp[PATH_MAX],
                                char interp_arg[PATH_MAX])
{
    union {
        Elf64_Ehdr elf;
        char text[PATH_MAX];
    } head;
    interp[0] = interp_arg[0] = '\0';
    if (!find_in_path(name, path))
        return err_log(ERR_USAGE, "%s: no such program, neither as a path nor in PATH", name);
    memset(&head, 0, sizeof head);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, &head, sizeof head - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n < 4)
        return err_log(ERR_USAGE, "%s: cannot be read: %s", path, strerror(errno));
    if (memcmp(head.text, "#!", 2) == 0) {
        head.text[strcspn(head.text, "\n")] = '\0';
        char line[PATH_MAX];
        snprintf(line, sizeof line, "%s", head.text + 2);
        char *word = line + strspn(line, " \t");
        char *arg = word + strcspn(word, " \t");
        if (*arg != '\0')
            *arg++ = '\0';
        snprintf(interp, PATH_MAX, "%s", word);
        snprintf(interp_arg, PATH_MAX, "%s", arg + strspn(arg, " \t"));
        if (!is_executable(interp))
            return err_log(ERR_USAGE, "%s: its interpreter %s cannot be run", path, interp);
        return ERR_OK;
    }
    if (memcmp(head.elf.e_ident, ELFMAG, SELFMAG) != 0)
        return err_log(ERR_USAGE, "%s: neither an ELF program nor a script with #!", path);
    if (head.elf.e_ident[EI_CLASS] != ELFCLASS64 || head.elf.e_machine != EM_X86_64)
        return err_log(ERR_USAGE, "%s: machine %u; only 64-bit x86 programs can be recorded", path,
                       head.elf.e_machine);
    return ERR_OK;
}

/* ---- command line -------------------------------------------------------------------------- */

/* Decimal with an optional k, M or G, rewritten to plain digits in buf; NULL when it is not. */
static const char *parse_count(const char *text, char buf[32])
{
    char *end;
    if (text == NULL)
        return NULL;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10), scale = 1;
    if (*end == 'k')
        scale = 1000;
    else if (*end == 'M')
        scale = 1000000;
    else if (*end == 'G')
        scale = 1000000000;
    if (scale != 1)
        end++;
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || v > ULLONG_MAX / scale)
        return NULL;
    snprintf(buf, 32, "%llu", v * scale);
    return buf;
}

static enum err parse_options(int argc, char **argv, struct options *o)
{
    static char skip[32], max[32];
    static const char *const known[] = {"-o", "--roi-only", "--skip", "--max", "--function",
                                        "--quiet"};
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool takes_value = strcmp(a, "-o") == 0 || strcmp(a, "--skip") == 0 ||
                           strcmp(a, "--max") == 0 || strcmp(a, "--function") == 0;
        if (takes_value && value == NULL)
            return err_log(ERR_USAGE, "record: %s needs a value", a);
        if (strcmp(a, "-o") == 0) {
            o->out = value;
        } else if (strcmp(a, "--skip") == 0) {
            if ((o->skip = parse_count(value, skip)) == NULL)
                return err_log(ERR_USAGE, "record: --skip %s: not a count", value);
        } else if (strcmp(a, "--max") == 0) {
            if ((o->max = parse_count(value, max)) == NULL)
                return err_log(ERR_USAGE, "record: --max %s: not a count", value);
        } else if (strcmp(a, "--function") == 0) {
            o->function = value;
        } else if (strcmp(a, "--roi-only") == 0) {
            o->roi_only = true;
        } else if (strcmp(a, "--quiet") == 0) {
            o->quiet = true;
        } else {
            const char *near = err_nearest(a, known, sizeof known / sizeof known[0]);
            return err_log(ERR_USAGE, "record: unknown option %s%s%s", a,
                           near != NULL ? "; did you mean " : "", near != NULL ? near : "");
        }
        i += takes_value;
    }
    if (i < argc && strcmp(argv[i], "--") == 0)
        i++;
    o->program = argv + i;
    if (o->out == NULL || i >= argc)
        return err_log(ERR_USAGE, "record: needs -o FILE and a program");
    return ERR_OK;
}

/* ---- running ------------------------------------------------------------------------------- */

static void add_line(FILE *f, const char *key, const char *value)
{
    fprintf(f, "%s=", key);
    for (const char *p = value; *p != '\0'; p++)
        fputc(*p == '\n' || *p == '\r' ? ' ' : *p, f);
    fputc('\n', f);
}

static void qemu_version(const char *qemu, char *buf, size_t n)
{
    char command[PATH_MAX + 32];
    snprintf(buf, n, "unknown");
    snprintf(command, sizeof command, "'%s' --version 2>/dev/null", qemu);
    FILE *f = popen(command, "re");
    if (f == NULL)
        return;
    if (fgets(buf, (int)n, f) != NULL)
        buf[strcspn(buf, "\n")] = '\0';
    pclose(f);
}

static char *make_meta(const struct options *o, const char *qemu)
{
    char *text = NULL, buf[512];
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (f == NULL)
        return NULL;
    fprintf(f, "tool=concerto record\nformat=%d.%d\ncommand=", VMT_MAJOR, VMT_MINOR);
    for (char **p = o->program; *p != NULL; p++)
        for (const char *s = p == o->program ? *p : (fputc(' ', f), *p); *s != '\0'; s++)
            fputc(*s == '\n' || *s == '\r' ? ' ' : *s, f);
    fputc('\n', f);
    time_t now = time(NULL);
    struct tm tm;
    strftime(buf, sizeof buf, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    add_line(f, "date", buf);
    struct utsname u;
    if (uname(&u) == 0) {
        snprintf(buf, sizeof buf, "%s %s %s", u.sysname, u.release, u.machine);
        add_line(f, "host", buf);
    }
    qemu_version(qemu, buf, sizeof buf);
    add_line(f, "qemu", buf);
    add_line(f, "guest_arch", "x86_64");
    add_line(f, "page_bytes", "4096");
    add_line(f, "recording", o->roi_only ? "region marks only" : "whole run");
    if (o->skip != NULL)
        add_line(f, "skip", o->skip);
    if (o->max != NULL)
        add_line(f, "max", o->max);
    if (o->function != NULL)
        add_line(f, "function", o->function);
    fclose(f);
    return text;
}

static void set_or_clear(const char *name, const char *value)
{
    if (value != NULL)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

/* Becomes QEMU; only returns when that failed. */
static void exec_qemu(const struct options *o, const char *qemu, const char *plugin,
                      const char *meta)
{
    static const char *const own[] = {"CONCERTO_TRACE", "CONCERTO_META",     "CONCERTO_ROI_ONLY",
                                      "CONCERTO_SKIP",  "CONCERTO_MAX",      "CONCERTO_FUNCTION",
                                      "CONCERTO_PLUGIN"};
    char path[PATH_MAX], interp[PATH_MAX], interp_arg[PATH_MAX];
    size_t nargs = 0, n = 0;
    if (resolve_program(o->program[0], path, interp, interp_arg) != ERR_OK)
        return;
    while (o->program[nargs] != NULL)
        nargs++;
    const char **argv = calloc(nargs + MAX_EXTRA_ARGS, sizeof *argv);
    if (argv == NULL)
        return;
    argv[n++] = qemu;
    argv[n++] = "-plugin";
    argv[n++] = plugin;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        argv[n++] = "-U";
        argv[n++] = own[i];
    }
    if (interp[0] != '\0') {
        argv[n++] = interp;
        if (interp_arg[0] != '\0')
            argv[n++] = interp_arg;
    } else {
        argv[n++] = "-0";
        argv[n++] = o->program[0];
    }
    argv[n++] = path;
    for (size_t i = 1; i < nargs; i++)
        argv[n++] = o->program[i];
    set_or_clear("CONCERTO_TRACE", o->out);
    set_or_clear("CONCERTO_META", meta);
    set_or_clear("CONCERTO_ROI_ONLY", o->roi_only ? "1" : NULL);
    set_or_clear("CONCERTO_SKIP", o->skip);
    set_or_clear("CONCERTO_MAX", o->max);
    set_or_clear("CONCERTO_FUNCTION", o->function);
    /* Waiting OpenMP threads sleep, so that replay sees a futex and not a spin loop. */
    setenv("OMP_WAIT_POLICY", "passive", 0);
    execv(qemu, (char *const *)(uintptr_t)argv);
    err_log(ERR_RUNTIME, "%s: cannot be started: %s", qemu, strerror(errno));
}

static volatile sig_atomic_t g_child;

/* A request to end is for the program; the summary still follows. */
static void forward_signal(int sig)
{
    if (g_child > 0)
        kill((pid_t)g_child, sig);
}

static int run(const struct options *o, const char *qemu, const char *plugin)
{
    char *meta = make_meta(o, qemu);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        exec_qemu(o, qemu, plugin, meta);
        _exit(126);
    }
    free(meta);
    g_child = pid;
    signal(SIGINT, SIG_IGN); /* the terminal sends it to the program as well */
    signal(SIGQUIT, SIG_IGN);
    signal(SIGTERM, forward_signal);
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    return status;
}

/* ---- summary ------------------------------------------------------------------------------- */

static uint64_t meta_number(const struct vmt_info *info, const char *key)
{
    char buf[64];
    return vmt_meta_get(info, key, buf, sizeof buf) ? strtoull(buf, NULL, 10) : 0;
}

static void print_summary(const struct options *o, struct frontend *fe)
{
    const struct vmt_info *info = vmt_info(fe);
    char calls[8192] = "";
    uint64_t spins = meta_number(info, "spin_instructions");
    uint64_t children = meta_number(info, "untraced_children");
    uint64_t ninstr = fe->ninstr > 0 ? fe->ninstr : 1;
    uint64_t hundredths = (uint64_t)((__extension__(unsigned __int128)10000 * spins) / ninstr);
    if (!o->quiet) {
        vmt_meta_get(info, "syscalls", calls, sizeof calls);
        fprintf(stderr,
                "concerto: recorded %s: %u threads, %" PRIu64 " instructions, %" PRIu64
                " accesses, %" PRIu64 " branches, %" PRIu64 " events\n",
                o->out, fe->nthreads, fe->ninstr, fe->naccesses, info->nbranches, info->nevents);
        fprintf(stderr, "concerto: %" PRIu64 " bytes, %.3f bytes per access, %s\n",
                info->file_bytes,
                (double)info->file_bytes / (double)(fe->naccesses > 0 ? fe->naccesses : 1),
                info->truncated ? "truncated" : "complete");
        fprintf(stderr, "concerto: spin loops: %" PRIu64 ".%02" PRIu64 " %% of the instructions\n",
                hundredths / 100, hundredths % 100);
        fprintf(stderr, "concerto: system calls: %s\n", calls);
    }
    if (hundredths > 100)
        warn_log("%s: %" PRIu64 ".%02" PRIu64 " %% of the instructions are in spin loops, whose "
                 "length depends on the host; prefer waiting that sleeps",
                 o->out, hundredths / 100, hundredths % 100);
    if (children > 0)
        warn_log("%s: %" PRIu64 " child processes ran without being traced", o->out, children);
    if (fe->naccesses == 0)
        warn_log("%s: no memory access was recorded%s", o->out,
                 o->roi_only ? ": the program never reached a region mark" : "");
}

static enum err summarise(const struct options *o, int status)
{
    struct frontend *fe = NULL;
    enum err e = vmt_open(o->out, &fe);
    if (e != ERR_OK)
        return e;
    print_summary(o, fe);
    bool truncated = vmt_info(fe)->truncated;
    fe->ops->close(fe);
    if (WIFSIGNALED(status))
        warn_log("%s was ended by signal %d (%s)", o->program[0], WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        warn_log("%s ended with exit status %d", o->program[0], WEXITSTATUS(status));
    if (truncated)
        return err_log(ERR_RUNTIME, "%s is truncated: the program was killed before the recorder "
                                    "could finish; what was written is usable",
                       o->out);
    return ERR_OK;
}

int record_main(int argc, char **argv)
{
    struct options o = {.out = NULL};
    char qemu[PATH_MAX], plugin[PATH_MAX], path[PATH_MAX], interp[PATH_MAX], arg[PATH_MAX];
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    enum err e = parse_options(argc, argv, &o);
    if (e != ERR_OK || o.program == NULL || o.out == NULL) {
        fputs(usage, stderr);
        return err_exit_code(ERR_USAGE);
    }
    if (!find_in_path(QEMU, qemu))
        return err_exit_code(err_log(ERR_USAGE,
                                     "recording needs " QEMU " with plugins: install the package "
                                     "qemu-user (Debian, Ubuntu) or qemu-user-x86 (Fedora)"));
    if (!find_plugin(plugin))
        return err_exit_code(err_log(ERR_USAGE, "the recorder " PLUGIN " was not found beside the "
                                                "executable; build it (needs libcapstone-dev) or "
                                                "set CONCERTO_PLUGIN to its path"));
    e = resolve_program(o.program[0], path, interp, arg);
    if (e != ERR_OK)
        return err_exit_code(e);
    unlink(o.out); /* an old trace must not pass for a new one */
    int status = run(&o, qemu, plugin);
    if (access(o.out, R_OK) != 0)
        return err_exit_code(
            err_log(ERR_RUNTIME, "no trace was written: " QEMU " or the plugin failed to start"));
    return err_exit_code(summarise(&o, status));
}
