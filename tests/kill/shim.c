/* A preload library that counts system calls below given folders and makes one of them go wrong.
 *
 * What counts: calls of the operations named in SHIM_OPS whose path, or the path of whose descriptor, lies below a
 * folder of SHIM_FOLDERS; in the program and in all programs that it starts, which share one counter.
 *
 *   SHIM_FOLDERS   name=/path, separated by colons; the first that fits names the place
 *   SHIM_OPS       operation, or name.operation, separated by commas; "all", "changes" and name.* stand for groups
 *   SHIM_COUNTER   a file of at least 8 bytes, the shared counter
 *   SHIM_LOG       a file to which one line per counted call is added (optional)
 *   SHIM_AT        the number of the call that goes wrong, from 1 on; 0: none
 *   SHIM_UNTIL     the last number that goes wrong; as SHIM_AT if not given, 0: all that follow
 *   SHIM_DO        before, after, half: kill the process group before the call, after it, or in its middle (a write)
 *                  fail, late: the call fails without, or after, doing what it was asked to
 *                  short: a write writes one half
 *                  term, int: send that signal to the process group, then do the call
 *   SHIM_ERROR     the number of the error of fail and late
 *
 * It knows nothing of Tarragon. Build: cc -O2 -shared -fPIC -o shim.so shim.c -ldl
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#define _FORTIFY_SOURCE 0
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum act { NONE, BEFORE, AFTER, HALF, FAIL, LATE, SHORT, TERM, INT };

static struct { char name[32]; char path[PATH_MAX]; size_t length; } folders[8];
static int folder_count;
static char ops[512];
static _Atomic uint64_t *counter;
static uint64_t first, last;
static enum act what;
static int error_number = EIO;
static int log_fd = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static __thread int inside;

/* ---- configuration ------------------------------------------------------------------------------------------- */

static void read_folders(const char *text) {
    char copy[8 * PATH_MAX], *save = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *item = strtok_r(copy, ":", &save); item && folder_count < 8; item = strtok_r(NULL, ":", &save)) {
        char *equals = strchr(item, '=');
        if (!equals) continue;
        *equals = 0;
        snprintf(folders[folder_count].name, sizeof folders[0].name, "%s", item);
        snprintf(folders[folder_count].path, sizeof folders[0].path, "%s", equals + 1);
        folders[folder_count].length = strlen(equals + 1);
        folder_count++;
    }
}

static void set_up(void) {
    static const struct { const char *word; enum act act; } words[] = {
        {"before", BEFORE}, {"after", AFTER}, {"half", HALF}, {"fail", FAIL},
        {"late", LATE}, {"short", SHORT}, {"term", TERM}, {"int", INT},
    };
    const char *text = getenv("SHIM_FOLDERS"), *file = getenv("SHIM_COUNTER");
    if (!text || !file) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) return;
    void *page = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (page == MAP_FAILED) return;
    read_folders(text);
    snprintf(ops, sizeof ops, ",%s,", getenv("SHIM_OPS") ? getenv("SHIM_OPS") : "changes");
    first = getenv("SHIM_AT") ? strtoull(getenv("SHIM_AT"), NULL, 10) : 0;
    last = getenv("SHIM_UNTIL") ? strtoull(getenv("SHIM_UNTIL"), NULL, 10) : first;
    if (last == 0) last = UINT64_MAX;
    if (getenv("SHIM_ERROR")) error_number = atoi(getenv("SHIM_ERROR"));
    for (size_t i = 0; getenv("SHIM_DO") && i < sizeof words / sizeof *words; i++)
        if (!strcmp(getenv("SHIM_DO"), words[i].word)) what = words[i].act;
    if ((text = getenv("SHIM_LOG")))
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    counter = page;
}

/* ---- what is counted ----------------------------------------------------------------------------------------- */

static int listed(const char *place, const char *op, int changes) {
    char word[80];
    if (strstr(ops, ",all,") || (changes && strstr(ops, ",changes,"))) return 1;
    snprintf(word, sizeof word, ",%s,", op);
    if (strstr(ops, word)) return 1;
    snprintf(word, sizeof word, ",%s.%s,", place, op);
    if (strstr(ops, word)) return 1;
    snprintf(word, sizeof word, ",%s.*,", place);
    return strstr(ops, word) != NULL;
}

static int path_of(int fd, char *into, size_t room) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = syscall(SYS_readlink, link, into, room - 1);
    if (size < 0) return -1;
    into[size] = 0;
    return 0;
}

static int whole_path(int folder, const char *path, char *into, size_t room) {
    if (path[0] == '/') {
        snprintf(into, room, "%s", path);
        return 0;
    }
    char base[PATH_MAX];
    if (folder == AT_FDCWD) {
        if (syscall(SYS_getcwd, base, sizeof base) < 0) return -1;
    } else if (path_of(folder, base, sizeof base) < 0) return -1;
    snprintf(into, room, "%.2000s/%.2000s", base, path);
    return 0;
}

static enum act count(const char *op, int changes, const char *path) {
    for (int i = 0; i < folder_count; i++) {
        if (strncmp(path, folders[i].path, folders[i].length)) continue;
        char next = path[folders[i].length];
        if (next != 0 && next != '/') continue;
        if (!listed(folders[i].name, op, changes)) return NONE;
        uint64_t number = __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
        int hit = first && number >= first && number <= last;
        if (log_fd >= 0) {
            char line[PATH_MAX + 100];
            int size = snprintf(line, sizeof line, "%llu\t%s\t%s\t%s%s\n", (unsigned long long)number, folders[i].name,
                                op, path + folders[i].length, hit ? "\tHIT" : "");
            if (size > 0) syscall(SYS_write, log_fd, line, (size_t)size < sizeof line ? (size_t)size : sizeof line - 1);
        }
        return hit ? what : NONE;
    }
    return NONE;
}

static void end(void) {
    kill(0, SIGKILL);
    for (;;) pause();
}

/* What becomes of a call: SKIP stands for failing without doing it. */
enum turn { GO, SKIP, CUT, THEN_END, THEN_FAIL };

static enum turn turn_of(enum act act, int can_be_cut) {
    switch (act) {
    case BEFORE: end(); return SKIP;
    case AFTER: return THEN_END;
    case HALF: if (can_be_cut) return CUT; end(); return SKIP;
    case FAIL: errno = error_number; return SKIP;
    case LATE: return THEN_FAIL;
    case SHORT: return can_be_cut ? CUT : GO;
    case TERM: kill(0, SIGTERM); return GO;
    case INT: kill(0, SIGINT); return GO;
    default: return GO;
    }
}

static enum turn by_path(const char *op, int changes, int folder, const char *path, int can_be_cut) {
    char whole[PATH_MAX];
    pthread_once(&once, set_up);
    if (!counter || inside || !path) return GO;
    inside = 1;
    int kept = errno;
    enum turn turn = GO;
    if (whole_path(folder, path, whole, sizeof whole) == 0) {
        errno = kept;
        turn = turn_of(count(op, changes, whole), can_be_cut);
    }
    if (turn == GO) errno = kept;
    inside = 0;
    return turn;
}

static enum turn by_fd(const char *op, int changes, int fd, int can_be_cut) {
    char whole[PATH_MAX];
    pthread_once(&once, set_up);
    if (!counter || inside || fd < 0) return GO;
    inside = 1;
    int kept = errno;
    enum turn turn = GO;
    if (path_of(fd, whole, sizeof whole) == 0 && whole[0] == '/') {
        errno = kept;
        turn = turn_of(count(op, changes, whole), can_be_cut);
    }
    if (turn == GO) errno = kept;
    inside = 0;
    return turn;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* Do the call as its turn wants it; `close_it` undoes what would leak when the caller is told that it failed. */
#define DO(decided, call, failed, close_it) \
    do { \
        enum turn t = (decided); \
        if (t == SKIP) return failed; \
        __typeof__(call) answer = call; \
        if (t == THEN_END) end(); \
        if (t == THEN_FAIL && answer != failed) { close_it; errno = error_number; return failed; } \
        return answer; \
    } while (0)

/* ---- opening ------------------------------------------------------------------------------------------------- */

static const char *open_op(int flags, int *changes) {
    *changes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
    return *changes ? "open" : "look";
}

#define OPEN_MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        OPEN_MODE(flags) \
        REAL(int, #name, const char *, int, ...); \
        int changes; \
        const char *op = open_op(flags, &changes); \
        DO(by_path(op, changes, AT_FDCWD, path, 0), real(path, flags, mode), -1, syscall(SYS_close, answer)); \
    }
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        OPEN_MODE(flags) \
        REAL(int, #name, int, const char *, int, ...); \
        int changes; \
        const char *op = open_op(flags, &changes); \
        DO(by_path(op, changes, folder, path, 0), real(folder, path, flags, mode), -1, syscall(SYS_close, answer)); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

#define OPEN_2(name) \
    int name(const char *path, int flags) { \
        int changes; \
        const char *op = open_op(flags, &changes); \
        DO(by_path(op, changes, AT_FDCWD, path, 0), (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0), -1, \
           syscall(SYS_close, answer)); \
    }
#define OPENAT_2(name) \
    int name(int folder, const char *path, int flags) { \
        int changes; \
        const char *op = open_op(flags, &changes); \
        DO(by_path(op, changes, folder, path, 0), (int)syscall(SYS_openat, folder, path, flags, 0), -1, \
           syscall(SYS_close, answer)); \
    }
OPEN_2(__open_2)
OPEN_2(__open64_2)
OPENAT_2(__openat_2)
OPENAT_2(__openat64_2)

#define CREAT(name) \
    int name(const char *path, mode_t mode) { \
        REAL(int, #name, const char *, mode_t); \
        DO(by_path("open", 1, AT_FDCWD, path, 0), real(path, mode), -1, syscall(SYS_close, answer)); \
    }
CREAT(creat)
CREAT(creat64)

#define FOPEN(name) \
    FILE *name(const char *path, const char *mode) { \
        REAL(FILE *, #name, const char *, const char *); \
        int changes = strpbrk(mode, "wa+") != NULL; \
        enum turn t = by_path(changes ? "open" : "look", changes, AT_FDCWD, path, 0); \
        if (t == SKIP) return NULL; \
        FILE *answer = real(path, mode); \
        if (t == THEN_END) end(); \
        if (t == THEN_FAIL && answer) { fclose(answer); errno = error_number; return NULL; } \
        return answer; \
    }
FOPEN(fopen)
FOPEN(fopen64)

/* ---- listing ------------------------------------------------------------------------------------------------- */

DIR *opendir(const char *path) {
    REAL(DIR *, "opendir", const char *);
    if (by_path("list", 0, AT_FDCWD, path, 0) == SKIP) return NULL;
    return real(path);
}

DIR *fdopendir(int fd) {
    REAL(DIR *, "fdopendir", int);
    if (by_fd("list", 0, fd, 0) == SKIP) return NULL;
    return real(fd);
}

#define READDIR(name, type) \
    struct type *name(DIR *folder) { \
        REAL(struct type *, #name, DIR *); \
        enum turn t = by_fd("readdir", 0, dirfd(folder), 0); \
        if (t == SKIP) return NULL; \
        struct type *answer = real(folder); \
        if (t == THEN_FAIL) { errno = error_number; return NULL; } \
        return answer; \
    }
READDIR(readdir, dirent)
READDIR(readdir64, dirent64)

/* ---- reading and writing ------------------------------------------------------------------------------------- */

ssize_t read(int fd, void *data, size_t size) {
    REAL(ssize_t, "read", int, void *, size_t);
    DO(by_fd("read", 0, fd, 0), real(fd, data, size), -1, (void)0);
}

#define WRITE(decided, whole, part) \
    do { \
        enum turn t = (decided); \
        if (t == SKIP) return -1; \
        if (t == CUT) { \
            ssize_t answer = part; \
            if (what == HALF) end(); \
            return answer; \
        } \
        ssize_t answer = whole; \
        if (t == THEN_END) end(); \
        if (t == THEN_FAIL && answer >= 0) { errno = error_number; return -1; } \
        return answer; \
    } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    WRITE(by_fd("write", 1, fd, size > 1), real(fd, data, size), real(fd, data, size / 2));
}

#define PWRITE(name, offset) \
    ssize_t name(int fd, const void *data, size_t size, offset at) { \
        REAL(ssize_t, #name, int, const void *, size_t, offset); \
        WRITE(by_fd("write", 1, fd, size > 1), real(fd, data, size, at), real(fd, data, size / 2, at)); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    WRITE(by_fd("write", 1, fd, count > 1), real(fd, parts, count), real(fd, parts, count / 2));
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags) {
    REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    struct stat seen;
    size_t half = fstat(from, &seen) == 0 && (size_t)seen.st_size < size ? (size_t)seen.st_size / 2 : size / 2;
    WRITE(by_fd("write", 1, to, half > 0), real(from, from_at, to, to_at, size, flags),
          real(from, from_at, to, to_at, half, flags));
}

#define SENDFILE(name, offset) \
    ssize_t name(int to, int from, offset *at, size_t size) { \
        REAL(ssize_t, #name, int, int, offset *, size_t); \
        WRITE(by_fd("write", 1, to, size > 1), real(to, from, at, size), real(to, from, at, size / 2)); \
    }
SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

/* ---- what changes names and sizes ---------------------------------------------------------------------------- */

#define TRUNCATE(name, offset) \
    int name(int fd, offset size) { \
        REAL(int, #name, int, offset); \
        DO(by_fd("truncate", 1, fd, 0), real(fd, size), -1, (void)0); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name) \
    int name(int fd) { \
        REAL(int, #name, int); \
        DO(by_fd("sync", 1, fd, 0), real(fd), -1, (void)0); \
    }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    DO(by_path("rename", 1, AT_FDCWD, to, 0), real(from, to), -1, (void)0);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *);
    DO(by_path("rename", 1, to_folder, to, 0), real(from_folder, from, to_folder, to), -1, (void)0);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
    DO(by_path("rename", 1, to_folder, to, 0), real(from_folder, from, to_folder, to, flags), -1, (void)0);
}

int link(const char *from, const char *to) {
    REAL(int, "link", const char *, const char *);
    DO(by_path("link", 1, AT_FDCWD, to, 0), real(from, to), -1, (void)0);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    REAL(int, "linkat", int, const char *, int, const char *, int);
    DO(by_path("link", 1, to_folder, to, 0), real(from_folder, from, to_folder, to, flags), -1, (void)0);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    DO(by_path("unlink", 1, AT_FDCWD, path, 0), real(path), -1, (void)0);
}

int unlinkat(int folder, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    DO(by_path("unlink", 1, folder, path, 0), real(folder, path, flags), -1, (void)0);
}

int rmdir(const char *path) {
    REAL(int, "rmdir", const char *);
    DO(by_path("unlink", 1, AT_FDCWD, path, 0), real(path), -1, (void)0);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    DO(by_path("mkdir", 1, AT_FDCWD, path, 0), real(path, mode), -1, (void)0);
}

int mkdirat(int folder, const char *path, mode_t mode) {
    REAL(int, "mkdirat", int, const char *, mode_t);
    DO(by_path("mkdir", 1, folder, path, 0), real(folder, path, mode), -1, (void)0);
}

int chmod(const char *path, mode_t mode) {
    REAL(int, "chmod", const char *, mode_t);
    DO(by_path("chmod", 1, AT_FDCWD, path, 0), real(path, mode), -1, (void)0);
}

int fchmod(int fd, mode_t mode) {
    REAL(int, "fchmod", int, mode_t);
    DO(by_fd("chmod", 1, fd, 0), real(fd, mode), -1, (void)0);
}
