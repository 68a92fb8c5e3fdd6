#!/bin/sh
# Records small programs and checks the traces against what the programs are known to do.
# Exit status 77: cannot be tested here (no qemu-x86_64 or no compiler).
#
#   CONCERTO   the program under test (default: build/concerto or ./concerto)
#   CC         C compiler (default: cc)

root=$(cd "$(dirname "$0")/../.." && pwd)
CC=${CC:-cc}
if [ -z "$CONCERTO" ]; then
    for CONCERTO in "$root/build/concerto" "$root/concerto"; do
        [ -x "$CONCERTO" ] && break
    done
fi
[ -x "$CONCERTO" ] || { echo "record.sh: no concerto at $CONCERTO"; exit 77; }
command -v qemu-x86_64 > /dev/null || { echo "record.sh: no qemu-x86_64"; exit 77; }
command -v "$CC" > /dev/null || { echo "record.sh: no compiler"; exit 77; }
[ "$(uname -m)" = x86_64 ] || { echo "record.sh: the test programs are for x86-64"; exit 77; }

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failed=0

# check DESCRIPTION COMMAND...: the command must succeed
check() {
    what=$1
    shift
    if "$@" > check.out 2>&1; then
        echo "ok   $what"
    else
        echo "FAIL $what"
        sed 's/^/     /' check.out | head -n 20
        failed=1
    fi
}

record() { "$CONCERTO" record "$@" > record.out 2> record.err; }
total() { "$CONCERTO" trace verify "$1" | grep -q "$2"; }
events() { # FILE TYPE COUNT
    test "$("$CONCERTO" trace info "$1" | sed -n "s/^events $2: //p")" = "$3"
}

# --- exact counts: 1000 times {load, store, RMW, locked RMW, push, pop, 16-byte load and store}, --
# --- then 100 repeated byte moves: 10,108 instructions, 10,200 accesses ---------------------------
cat > counts.S << 'END'
.globl _start
.text
_start: mov $1000, %ecx
        lea buf(%rip), %rdi
1:      mov (%rdi), %rax
        mov %rax, 8(%rdi)
        add %rax, 16(%rdi)
        lock xadd %rax, 24(%rdi)
        push %rax
        pop %rbx
        movups 32(%rdi), %xmm0
        movups %xmm0, 48(%rdi)
        dec %ecx
        jnz 1b
        lea buf(%rip), %rsi
        lea buf2(%rip), %rdi
        mov $100, %ecx
        rep movsb
        mov $60, %eax
        xor %edi, %edi
        syscall
.bss
.align 64
buf:    .skip 4096
buf2:   .skip 4096
END
$CC -nostdlib -static -o counts counts.S
check "exact program is recorded" record -o counts.vmt ./counts
check "exact instruction, access and branch counts" \
    total counts.vmt "1 threads, 10108 instructions, 10200 accesses, 1000 branches"
dump() { "$CONCERTO" trace dump "$1" > dump.txt; }
check "dump" dump counts.vmt
check "2000 accesses are locked" test "$(grep -c ' lock ' dump.txt)" = 2000
check "2000 accesses have 16 bytes" test "$(grep -c 'size=16' dump.txt)" = 2000
check "a pop waits for the data of its push" \
    test "$(grep -c 'load pc=40101e .* index=1+1' dump.txt)" = 1000
check "a store names the load of its data" \
    test "$(grep -c 'store pc=40100f .* data=1+0' dump.txt)" = 1000

# --- 32-byte accesses, fences, gathers, spills ----------------------------------------------------
cat > flow.c << 'END'
#include "roi.h"
static long table[4096];
static int idx[256];
static struct node { struct node *next; } nodes[64];
__attribute__((noinline)) struct node *chase(struct node *p)
{
    for (int i = 0; i < 200; i++)
        p = p->next;
    return p;
}
__attribute__((noinline)) struct node *spill(struct node *p)
{
    struct node *volatile on_stack = p;
    for (int i = 0; i < 200; i++)
        on_stack = on_stack->next;
    return on_stack;
}
__attribute__((noinline)) long gather(void)
{
    long s = 0;
    for (int i = 0; i < 256; i++)
        s += table[idx[i]];
    return s;
}
__attribute__((noinline)) void update(void)
{
    for (int i = 0; i < 256; i++)
        table[idx[i]] ^= i;
}
int main(void)
{
    for (int i = 0; i < 64; i++)
        nodes[i].next = &nodes[(i + 17) % 64];
    for (int i = 0; i < 256; i++)
        idx[i] = i * 97 % 4096;
    CONCERTO_ROI_BEGIN(1);
    struct node *p = chase(nodes);
    CONCERTO_ROI_END(1);
    CONCERTO_ROI_BEGIN(2);
    p = spill(p);
    CONCERTO_ROI_END(2);
    CONCERTO_ROI_BEGIN(3);
    long s = gather();
    CONCERTO_ROI_END(3);
    CONCERTO_ROI_BEGIN(4);
    update();
    CONCERTO_ROI_END(4);
    return p == nodes + 1 && s == 1;
}
END
$CC -O1 -fno-tree-vectorize -static -I"$root/cores" -o flow flow.c
region() { # NUMBER PATTERN COUNT: lines of the region that match
    n=$(awk -v k="$1" '/event roi_begin/ { on = ($4 == k) } /event roi_end/ { on = 0 } on' dump.txt |
        grep -c -e "$2")
    test "$n" -ge "$3"
}
check "region of interest is recorded" record --roi-only -o flow.vmt ./flow
dump flow.vmt
check "the whole trace is sound" total flow.vmt "whole"
check "each hop of a chase waits for the load before" region 1 "load .* base=1+0 index=0" 199
check "a spilled pointer keeps the chain" region 2 "load .* index=1+0 data" 198
check "a gather waits for its index" region 3 "load .* size=8 .* index=1+[0-9]* data" 256
check "read-modify-write: the store waits for its own load" region 4 "store .* gap=0 .* data=1+1" 256

# --- threads --------------------------------------------------------------------------------------
cat > threads.c << 'END'
#include <pthread.h>
#include <stdio.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;
static long sum;
static void *work(void *arg)
{
    for (int i = 0; i < 300; i++) {
        pthread_mutex_lock(&lock);
        sum += (long)arg;
        for (volatile int k = 0; k < 30; k++)
            ;
        pthread_mutex_unlock(&lock);
    }
    pthread_barrier_wait(&barrier);
    return NULL;
}
int main(void)
{
    pthread_t t[4];
    pthread_barrier_init(&barrier, NULL, 4);
    for (long i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, work, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    printf("%ld\n", sum);
    return 0;
}
END
$CC -O1 -pthread -o threads threads.c
check "threads are recorded" record -o threads.vmt ./threads
check "the program still computes the same" grep -q '^1800$' record.out
check "five threads, every wait has its wake-up" total threads.vmt "whole: 5 threads"
check "each thread is created once" events threads.vmt thread_create 4
check "each thread ends once" events threads.vmt thread_exit 5

# --- processes, scripts, the end of things --------------------------------------------------------
cat > child.c << 'END'
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    if (argc > 1) {
        execl("/bin/true", "true", (char *)0);
        return 1;
    }
    for (int i = 0; i < 3; i++)
        if (fork() == 0) {
            volatile int x = 0;
            while (x < 100000)
                x++;
            if (i == 1)
                execl("/bin/true", "true", (char *)0);
            exit(0);
        }
    while (wait(NULL) > 0)
        ;
    (void)argv;
    return 0;
}
END
$CC -o child child.c
check "forked children do not disturb the trace" record -o child.vmt ./child
check "the parent's trace is whole" total child.vmt "whole: 1 threads"
check "three forks" events child.vmt fork 3
check "the summary tells of untraced children" grep -q "3 child processes" record.err
check "a program that becomes another one" record -o exec.vmt ./child x
check "its trace ends there, whole" total exec.vmt "whole: 1 threads"

printf '#!/bin/sh\necho from the script\n' > script
chmod +x script
check "a script runs through its interpreter" record -o script.vmt ./script
check "the script ran" grep -q "from the script" record.out
check "a program found in PATH" record -o true.vmt true
check "its trace is whole" total true.vmt "whole"

check "the first instructions can be skipped and the rest limited" \
    record --skip 20k --max 30k -o max.vmt ./threads
few() { # FILE: between 30,000 and 40,000 instructions
    n=$("$CONCERTO" trace info "$1" | sed -n 's/^instructions: //p')
    test "$n" -ge 30000 && test "$n" -lt 40000
}
check "as many instructions as asked for" few max.vmt
check "a limited trace is whole" total max.vmt "whole"

cat > forever.c << 'END'
#include <stdlib.h>
int main(void)
{
    volatile char *p = malloc(1 << 20);
    for (unsigned i = 0;; i++)
        p[i * 4099u % (1 << 20)]++;
}
END
$CC -O1 -o forever forever.c
"$CONCERTO" record -o killed.vmt ./forever > record.out 2> record.err &
recorder=$!
sleep 1
kill -9 $(cat "/proc/$recorder/task/$recorder/children")
wait "$recorder"
check "a killed program's trace is told to be truncated" grep -q truncated record.err
usable() { "$CONCERTO" trace info "$1" | grep -q '^state=truncated'; }
check "and is still usable" usable killed.vmt
refused() { "$@" > /dev/null 2>&1; test $? = 3; }
check "but verify refuses it" refused "$CONCERTO" trace verify killed.vmt

cp counts.vmt bad.vmt
printf 'Z' | dd of=bad.vmt bs=1 seek=900 conv=notrunc 2> /dev/null
check "a changed byte is found" refused "$CONCERTO" trace verify bad.vmt

usage_error() { "$@" > /dev/null 2> usage.err; test $? = 2; }
check "a missing program is a usage error" usage_error "$CONCERTO" record -o x.vmt ./nothing
check "so is a file that is no program" usage_error "$CONCERTO" record -o x.vmt ./flow.c
check "and a mistyped option" usage_error "$CONCERTO" record -o x.vmt --roi-onl ./counts
check "which names the nearest one" grep -q -e "--roi-only" usage.err

# --- copies ---------------------------------------------------------------------------------------
check "cut" "$CONCERTO" trace cut threads.vmt --instructions 5k -o cut.vmt
check "a cut trace is whole" total cut.vmt "whole: 5 threads"
check "repack" "$CONCERTO" trace repack threads.vmt --hc -o packed.vmt
same() {
    "$CONCERTO" trace dump "$1" > a.txt && "$CONCERTO" trace dump "$2" > b.txt && cmp a.txt b.txt
}
check "a repacked trace is the same trace" same threads.vmt packed.vmt
check "export for ChampSim" "$CONCERTO" trace export counts.vmt --champsim -o counts.champsim
check "with every access" total counts.champsim "10108 instructions, 10200 accesses"

exit $failed
