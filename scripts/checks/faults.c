/* Faults between a program and its kernel, for checks (LD_PRELOAD): what the journal's disk does in ternd, the clock in
 * tern-dataplane, and what tern-metrics is told of it. The file named by TERN_FAULTS, five 64-bit words, says which; it may be changed while they run.
 *
 *   0  error number that every write, sync and creation below a folder "journal" fails with; 0 = none
 *   1  ns that every write and sync there takes longer
 *   2  ns that are added to CLOCK_TAI and CLOCK_REALTIME
 *   3  writes and syncs that were failed or delayed, counted here
 *   4  what the kernel says of its clock: 0 = a time daemon keeps it, 1 = none does, 2 = it is 500 us off
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timex.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *words;
static int of_disk, of_clock, of_metrics;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TERN_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED) return;
    of_disk = strcmp(program_invocation_short_name, "ternd") == 0;
    of_clock = strcmp(program_invocation_short_name, "tern-dataplane") == 0;
    of_metrics = strcmp(program_invocation_short_name, "tern-metrics") == 0;
    words = at;
}

static int is_journal(const char *path) { return strstr(path, "/journal") != NULL; }

/* 0, or -1 with errno set. */
static int fault(const char *path) {
    if (!words || !of_disk || !(words[0] || words[1]) || !is_journal(path)) return 0;
    __atomic_fetch_add((int64_t *)&words[3], 1, __ATOMIC_RELAXED);
    if (words[1]) {
        struct timespec pause = {words[1] / 1000000000, words[1] % 1000000000};
        nanosleep(&pause, NULL);
    }
    if (!words[0]) return 0;
    errno = (int)words[0];
    return -1;
}

static int fault_of(int fd) {
    if (!words || !of_disk || !(words[0] || words[1])) return 0;
    char link[64], path[1024];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fault(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    return fault_of(fd) ? -1 : REAL(pwrite64)(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return fault_of(fd) ? -1 : REAL(pwrite)(fd, bytes, count, offset);
}

int fdatasync(int fd) { return fault_of(fd) ? -1 : REAL(fdatasync)(fd); }

int fsync(int fd) { return fault_of(fd) ? -1 : REAL(fsync)(fd); }

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return (flags & O_CREAT) && fault(path) ? -1 : REAL(open64)(path, flags, mode);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static __typeof__(&clock_gettime) real;
    if (!real) real = REAL(clock_gettime);
    int outcome = real(clock, time);
    if (outcome == 0 && words && of_clock && (clock == CLOCK_TAI || clock == CLOCK_REALTIME)) {
        int64_t ns = time->tv_sec * 1000000000LL + time->tv_nsec + words[2];
        time->tv_sec = ns / 1000000000;
        time->tv_nsec = ns % 1000000000;
    }
    return outcome;
}

int adjtimex(struct timex *state) {
    int outcome = REAL(adjtimex)(state);
    if (!words || !of_metrics) return outcome;
    int is_kept = words[4] != 1;
    state->status = is_kept ? state->status & ~STA_UNSYNC : state->status | STA_UNSYNC;
    state->offset = words[4] == 2 ? (state->status & STA_NANO ? 500000 : 500) : 0;
    return is_kept ? TIME_OK : TIME_ERROR;
}
