/*
 * Preloaded into a program (LD_PRELOAD, Linux with glibc), records what it does to the files of one folder, and makes chosen
 * operations fail. What the program reads and locks is not recorded; what it maps for reading only is its own affair.
 *
 * FERROCHROME_SHIM_ROOT     the folder, without symbolic links in its path
 * FERROCHROME_SHIM_TRACE    where to record; without it nothing is recorded
 * FERROCHROME_SHIM_CONTROL  a file; what the program writes to it is a command, and the shim leaves its counters in it
 *
 * Commands, one a write:
 *   mark <text>                            adds a mark to the trace
 *   fail <first> <count> <errno> <kinds>   numbers the operations of these kinds from 1 on and fails `count` from `first` on
 *   heal                                   nothing fails any more
 *   clock <seconds>                        moves the wall clock by so much
 * After each command the file holds "<operations counted> <operations failed>\n".
 *
 * A call and its record are one step under a mutex, so that the order of the trace is the order of what happened.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAX_FILES 65536
#define REAL(name) \
  static __typeof__(name) *real; \
  if (real == NULL) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* Records. The numbers are read by crates/testing/src/trace.rs. */
enum { OPEN = 1, CLOSE, DUPLICATE, WRITE, TRUNCATE, SYNC, SYNC_FAILED, RENAME, LINK, UNLINK, MKDIR, RMDIR, MARK, UNKNOWN };
/* Kinds of operations that can fail, as bits. SHORT: the first write that fails writes half instead. */
enum { ON_OPEN = 1, ON_WRITE = 2, ON_TRUNCATE = 4, ON_SYNC = 8, ON_NAMES = 16, ON_READ = 32, SHORT = 64 };
enum { OTHER = 0, BELOW_ROOT = 1, CONTROL = 2 };

struct record {
  uint32_t kind;
  int32_t fd, fd2;
  uint32_t flags;
  uint64_t offset, bytes;
  uint32_t path, path2;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned char files[MAX_FILES];
static char root[PATH_MAX], control[PATH_MAX];
static int trace = -1;
static uint64_t counted, failed, fail_first, fail_count;
static int fail_errno, fail_kinds, halved;
static int64_t clock_moved;

__attribute__((constructor)) static void begin(void) {
  const char *value = getenv("FERROCHROME_SHIM_ROOT");
  if (value != NULL) snprintf(root, sizeof root, "%s", value);
  value = getenv("FERROCHROME_SHIM_CONTROL");
  if (value != NULL) snprintf(control, sizeof control, "%s", value);
  value = getenv("FERROCHROME_SHIM_TRACE");
  if (value != NULL && trace < 0) {
    int fd = open(value, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    trace = fcntl(fd, F_DUPFD_CLOEXEC, 1000);
    if (trace < 0) abort();
    close(fd);
  }
}

static int file_kind(int fd) { return fd >= 0 && fd < MAX_FILES ? files[fd] : OTHER; }
static void set_file_kind(int fd, int kind) {
  if (fd >= MAX_FILES) abort();
  if (fd >= 0) files[fd] = (unsigned char)kind;
}

/* The whole path of a name, which need not exist. */
static void resolve(int folder, const char *name, char *out) {
  if (name[0] == '/') {
    snprintf(out, PATH_MAX, "%s", name);
    return;
  }
  char base[PATH_MAX] = "";
  if (folder == AT_FDCWD) {
    if (getcwd(base, sizeof base) == NULL) base[0] = 0;
  } else {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t n = readlink(link, base, sizeof base - 1);
    base[n < 0 ? 0 : n] = 0;
  }
  if (snprintf(out, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) out[0] = 0;
}

/* The path relative to the root, or NULL. */
static const char *below_root(const char *path) {
  size_t n = strlen(root);
  if (n == 0 || strncmp(path, root, n) != 0) return NULL;
  if (path[n] == 0) return path + n;
  return path[n] == '/' ? path + n + 1 : NULL;
}

static void put(const void *data, size_t bytes) {
  REAL(write);
  const char *at = data;
  while (bytes > 0) {
    ssize_t n = real(trace, at, bytes);
    if (n <= 0) abort();
    at += n;
    bytes -= (size_t)n;
  }
}

static void record(struct record r, const char *path, const char *path2, const void *data) {
  if (trace < 0) return;
  r.path = path ? (uint32_t)strlen(path) : 0;
  r.path2 = path2 ? (uint32_t)strlen(path2) : 0;
  put(&r, sizeof r);
  if (r.path) put(path, r.path);
  if (r.path2) put(path2, r.path2);
  if (data) put(data, (size_t)r.bytes);
}

/* Whether the operation that is about to happen shall fail. */
static int fails(int kind) {
  if (!(fail_kinds & kind)) return 0;
  counted++;
  if (counted < fail_first || counted - fail_first >= fail_count) return 0;
  failed++;
  errno = fail_errno;
  return 1;
}

/* What was written at a place that the program did not tell us, read back. */
static void record_written(int fd, uint64_t offset, uint64_t bytes) {
  if (trace < 0) return;
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  static __typeof__(open64) *real_open;
  static __typeof__(pread64) *real_pread;
  if (real_open == NULL) real_open = dlsym(RTLD_NEXT, "open64");
  if (real_pread == NULL) real_pread = dlsym(RTLD_NEXT, "pread64");
  int copy = real_open(link, O_RDONLY | O_CLOEXEC);
  char *data = malloc(bytes ? bytes : 1);
  if (copy < 0 || data == NULL || real_pread(copy, data, bytes, (off64_t)offset) != (ssize_t)bytes) abort();
  record((struct record){.kind = WRITE, .fd = fd, .offset = offset, .bytes = bytes}, NULL, NULL, data);
  free(data);
  static __typeof__(close) *real_close;
  if (real_close == NULL) real_close = dlsym(RTLD_NEXT, "close");
  real_close(copy);
}

static void command(int fd, const char *text, size_t bytes) {
  char line[256];
  size_t n = bytes < sizeof line - 1 ? bytes : sizeof line - 1;
  memcpy(line, text, n);
  line[n] = 0;
  if (strncmp(line, "mark ", 5) == 0) {
    record((struct record){.kind = MARK, .bytes = n - 5}, NULL, NULL, line + 5);
  } else if (strncmp(line, "heal", 4) == 0) {
    fail_kinds = 0;
  } else if (sscanf(line, "clock %ld", &clock_moved) == 1) {
  } else if (sscanf(line, "fail %lu %lu %d %d", &fail_first, &fail_count, &fail_errno, &fail_kinds) == 4) {
    counted = failed = 0;
    halved = 0;
  } else {
    abort();
  }
  char state[64];
  int length = snprintf(state, sizeof state, "%lu %lu\n", counted, failed);
  REAL(pwrite64);
  static __typeof__(ftruncate64) *real_truncate;
  if (real_truncate == NULL) real_truncate = dlsym(RTLD_NEXT, "ftruncate64");
  if (real_truncate(fd, 0) != 0 || real(fd, state, (size_t)length, 0) != length) abort();
}

static void lock(void) { pthread_mutex_lock(&mutex); }
static void unlock(void) {
  int kept = errno;
  pthread_mutex_unlock(&mutex);
  errno = kept;
}

/* ---- opening and closing ---- */

static int open_any(int folder, const char *name, int flags, mode_t mode) {
  REAL(openat64);
  char path[PATH_MAX];
  resolve(folder, name, path);
  const char *relative = below_root(path);
  int is_control = control[0] != 0 && strcmp(path, control) == 0;
  if (relative == NULL && !is_control) {
    int fd = real(folder, name, flags, mode);
    set_file_kind(fd, OTHER);
    return fd;
  }
  lock();
  int changes = (flags & (O_CREAT | O_TRUNC)) != 0;
  if (!is_control && fails(changes ? ON_OPEN : ON_READ)) {
    unlock();
    return -1;
  }
  int fd = real(folder, name, flags, mode);
  if (fd >= 0) {
    set_file_kind(fd, is_control ? CONTROL : BELOW_ROOT);
    if (!is_control) record((struct record){.kind = OPEN, .fd = fd, .flags = (uint32_t)flags}, relative, NULL, NULL);
  }
  unlock();
  return fd;
}

#define OPEN_MODE(last) \
  mode_t mode = 0; \
  if (flags & (O_CREAT | __O_TMPFILE)) { \
    va_list arguments; \
    va_start(arguments, last); \
    mode = va_arg(arguments, mode_t); \
    va_end(arguments); \
  }
int open(const char *name, int flags, ...) { OPEN_MODE(flags) return open_any(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { OPEN_MODE(flags) return open_any(AT_FDCWD, name, flags, mode); }
int openat(int folder, const char *name, int flags, ...) { OPEN_MODE(flags) return open_any(folder, name, flags, mode); }
int openat64(int folder, const char *name, int flags, ...) { OPEN_MODE(flags) return open_any(folder, name, flags, mode); }
int __open_2(const char *name, int flags) { return open_any(AT_FDCWD, name, flags, 0); }
int __open64_2(const char *name, int flags) { return open_any(AT_FDCWD, name, flags, 0); }
int creat(const char *name, mode_t mode) { return open_any(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return open_any(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
  REAL(close);
  if (file_kind(fd) == OTHER) return real(fd);
  lock();
  if (file_kind(fd) == BELOW_ROOT) record((struct record){.kind = CLOSE, .fd = fd}, NULL, NULL, NULL);
  set_file_kind(fd, OTHER);
  int outcome = real(fd);
  unlock();
  return outcome;
}

static int duplicated(int fd, int copy) {
  if (copy >= 0) {
    set_file_kind(copy, file_kind(fd));
    if (file_kind(fd) == BELOW_ROOT)
      record((struct record){.kind = DUPLICATE, .fd = fd, .fd2 = copy}, NULL, NULL, NULL);
  }
  return copy;
}
int dup(int fd) {
  REAL(dup);
  lock();
  int copy = duplicated(fd, real(fd));
  unlock();
  return copy;
}
int dup2(int fd, int to) {
  REAL(dup2);
  lock();
  int copy = duplicated(fd, real(fd, to));
  unlock();
  return copy;
}
int dup3(int fd, int to, int flags) {
  REAL(dup3);
  lock();
  int copy = duplicated(fd, real(fd, to, flags));
  unlock();
  return copy;
}
#define FCNTL(name) \
  int name(int fd, int what, ...) { \
    REAL(name); \
    va_list arguments; \
    va_start(arguments, what); \
    void *argument = va_arg(arguments, void *); \
    va_end(arguments); \
    if ((what != F_DUPFD && what != F_DUPFD_CLOEXEC) || file_kind(fd) == OTHER) return real(fd, what, argument); \
    lock(); \
    int copy = duplicated(fd, real(fd, what, argument)); \
    unlock(); \
    return copy; \
  }
FCNTL(fcntl)
FCNTL(fcntl64)

/* ---- contents ---- */

/* How many bytes of a write may be written: all, half, or none (0, with errno set). */
static size_t allowed(size_t bytes) {
  if (!fails(ON_WRITE)) return bytes;
  if (!(fail_kinds & SHORT) || halved || bytes < 2) return 0;
  halved = 1;
  return bytes / 2;
}

static uint64_t position(int fd) {
  static __typeof__(fcntl) *real;
  if (real == NULL) real = dlsym(RTLD_NEXT, "fcntl");
  if (real(fd, F_GETFL) & O_APPEND) {
    struct stat64 status;
    return fstat64(fd, &status) == 0 ? (uint64_t)status.st_size : 0;
  }
  return (uint64_t)lseek64(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t bytes) {
  REAL(write);
  int kind = file_kind(fd);
  if (kind == OTHER) return real(fd, data, bytes);
  lock();
  ssize_t n = (ssize_t)bytes;
  if (kind == CONTROL) {
    command(fd, data, bytes);
  } else {
    size_t now = allowed(bytes);
    uint64_t offset = position(fd);
    n = now == 0 && bytes > 0 ? -1 : real(fd, data, now);
    if (n > 0)
      record((struct record){.kind = WRITE, .fd = fd, .offset = offset, .bytes = (uint64_t)n}, NULL, NULL, data);
  }
  unlock();
  return n;
}

static ssize_t pwrite_any(int fd, const void *data, size_t bytes, off64_t offset) {
  REAL(pwrite64);
  if (file_kind(fd) != BELOW_ROOT) return real(fd, data, bytes, offset);
  lock();
  size_t now = allowed(bytes);
  ssize_t n = now == 0 && bytes > 0 ? -1 : real(fd, data, now, offset);
  if (n > 0)
    record((struct record){.kind = WRITE, .fd = fd, .offset = (uint64_t)offset, .bytes = (uint64_t)n}, NULL, NULL, data);
  unlock();
  return n;
}
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return pwrite_any(fd, data, bytes, offset); }
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) { return pwrite_any(fd, data, bytes, offset); }

/* Calls that write from several buffers or from another file: what they wrote is read back. */
#define WRITES_AT(offset_before, call) \
  lock(); \
  if (fails(ON_WRITE)) { \
    unlock(); \
    return -1; \
  } \
  uint64_t at = (uint64_t)(offset_before); \
  ssize_t n = call; \
  if (n > 0) record_written(fd, at, (uint64_t)n); \
  unlock(); \
  return n
ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(writev);
  if (file_kind(fd) != BELOW_ROOT) return real(fd, parts, count);
  WRITES_AT(position(fd), real(fd, parts, count));
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  REAL(pwritev);
  if (file_kind(fd) != BELOW_ROOT) return real(fd, parts, count, offset);
  WRITES_AT(offset, real(fd, parts, count, offset));
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  REAL(pwritev64);
  if (file_kind(fd) != BELOW_ROOT) return real(fd, parts, count, offset);
  WRITES_AT(offset, real(fd, parts, count, offset));
}
ssize_t copy_file_range(int from, off64_t *from_at, int fd, off64_t *to_at, size_t bytes, unsigned flags) {
  REAL(copy_file_range);
  if (file_kind(fd) != BELOW_ROOT) return real(from, from_at, fd, to_at, bytes, flags);
  WRITES_AT(to_at ? (uint64_t)*to_at : position(fd), real(from, from_at, fd, to_at, bytes, flags));
}
#define SENDFILE(name, offset_type) \
  ssize_t name(int fd, int from, offset_type *offset, size_t bytes) { \
    REAL(name); \
    if (file_kind(fd) != BELOW_ROOT) return real(fd, from, offset, bytes); \
    WRITES_AT(position(fd), real(fd, from, offset, bytes)); \
  }
SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

static int truncate_any(int fd, off64_t length) {
  REAL(ftruncate64);
  if (file_kind(fd) != BELOW_ROOT) return real(fd, length);
  lock();
  int outcome = fails(ON_TRUNCATE) ? -1 : real(fd, length);
  if (outcome == 0) record((struct record){.kind = TRUNCATE, .fd = fd, .offset = (uint64_t)length}, NULL, NULL, NULL);
  unlock();
  return outcome;
}
int ftruncate(int fd, off_t length) { return truncate_any(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncate_any(fd, length); }

/* Space that is set aside: of what is recorded only a new length shows. */
static int allocate(int fd, off64_t offset, off64_t bytes) {
  REAL(posix_fallocate64);
  if (file_kind(fd) != BELOW_ROOT) return real(fd, offset, bytes);
  lock();
  struct stat64 status;
  int outcome = fails(ON_TRUNCATE) ? fail_errno : real(fd, offset, bytes);
  if (outcome == 0 && fstat64(fd, &status) == 0)
    record((struct record){.kind = TRUNCATE, .fd = fd, .offset = (uint64_t)status.st_size}, NULL, NULL, NULL);
  unlock();
  return outcome;
}
int posix_fallocate(int fd, off_t offset, off_t bytes) { return allocate(fd, offset, bytes); }
int posix_fallocate64(int fd, off64_t offset, off64_t bytes) { return allocate(fd, offset, bytes); }
#define FALLOCATE(name, offset_type) \
  int name(int fd, int mode, offset_type offset, offset_type bytes) { \
    REAL(name); \
    if (file_kind(fd) != BELOW_ROOT) return real(fd, mode, offset, bytes); \
    lock(); \
    record((struct record){.kind = UNKNOWN, .fd = fd}, #name, NULL, NULL); \
    int outcome = real(fd, mode, offset, bytes); \
    unlock(); \
    return outcome; \
  }
FALLOCATE(fallocate, off_t)
FALLOCATE(fallocate64, off64_t)

/* What is written through a mapping cannot be seen. SQLite's shared memory is rebuilt by whoever opens the file first. */
static void *map(void *(*real)(void *, size_t, int, int, int, off_t), void *at, size_t bytes, int protection, int flags, int fd,
                 off_t offset) {
  if (file_kind(fd) == BELOW_ROOT && (protection & PROT_WRITE) && (flags & MAP_SHARED)) {
    lock();
    record((struct record){.kind = UNKNOWN, .fd = fd}, "mmap", NULL, NULL);
    unlock();
  }
  return real(at, bytes, protection, flags, fd, offset);
}
void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
  REAL(mmap);
  return map(real, at, bytes, protection, flags, fd, offset);
}
void *mmap64(void *at, size_t bytes, int protection, int flags, int fd, off64_t offset) {
  REAL(mmap64);
  return map(real, at, bytes, protection, flags, fd, offset);
}

#define SYNC_CALL(name) \
  int name(int fd) { \
    REAL(name); \
    if (file_kind(fd) != BELOW_ROOT) return real(fd); \
    lock(); \
    int outcome = fails(ON_SYNC) ? -1 : real(fd); \
    record((struct record){.kind = outcome == 0 ? SYNC : SYNC_FAILED, .fd = fd}, NULL, NULL, NULL); \
    unlock(); \
    return outcome; \
  }
SYNC_CALL(fsync)
SYNC_CALL(fdatasync)

#define READS(declaration, name, ...) \
  declaration { \
    REAL(name); \
    if (file_kind(fd) == BELOW_ROOT) { \
      lock(); \
      int failing = fails(ON_READ); \
      unlock(); \
      if (failing) return -1; \
    } \
    return real(__VA_ARGS__); \
  }
READS(ssize_t read(int fd, void *data, size_t bytes), read, fd, data, bytes)
READS(ssize_t pread(int fd, void *data, size_t bytes, off_t offset), pread, fd, data, bytes, offset)
READS(ssize_t pread64(int fd, void *data, size_t bytes, off64_t offset), pread64, fd, data, bytes, offset)

/* ---- names ---- */

#define NAMES(record_kind, path_a, path_b, call) \
  const char *first = below_root(path_a), *second = below_root(path_b); \
  if (first == NULL && second == NULL) return call; \
  lock(); \
  int outcome = fails(ON_NAMES) ? -1 : call; \
  if (outcome == 0) record((struct record){.kind = (record_kind)}, first, second, NULL); \
  unlock(); \
  return outcome

static int rename_any(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
  REAL(renameat2);
  char path[PATH_MAX], path2[PATH_MAX];
  resolve(from_folder, from, path);
  resolve(to_folder, to, path2);
  NAMES(RENAME, path, path2, real(from_folder, from, to_folder, to, flags));
}
int rename(const char *from, const char *to) { return rename_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return rename_any(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return rename_any(a, from, b, to, flags); }

static int link_any(int from_folder, const char *from, int to_folder, const char *to, int flags) {
  REAL(linkat);
  char path[PATH_MAX], path2[PATH_MAX];
  resolve(from_folder, from, path);
  resolve(to_folder, to, path2);
  NAMES(LINK, path, path2, real(from_folder, from, to_folder, to, flags));
}
int link(const char *from, const char *to) { return link_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int a, const char *from, int b, const char *to, int flags) { return link_any(a, from, b, to, flags); }

static int unlink_any(int folder, const char *name, int flags) {
  REAL(unlinkat);
  char path[PATH_MAX];
  resolve(folder, name, path);
  NAMES((flags & AT_REMOVEDIR) ? RMDIR : UNLINK, path, "", real(folder, name, flags));
}
int unlink(const char *name) { return unlink_any(AT_FDCWD, name, 0); }
int unlinkat(int folder, const char *name, int flags) { return unlink_any(folder, name, flags); }
int rmdir(const char *name) { return unlink_any(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) {
  struct stat64 status;
  int is_folder = lstat64(name, &status) == 0 && S_ISDIR(status.st_mode);
  return unlink_any(AT_FDCWD, name, is_folder ? AT_REMOVEDIR : 0);
}

static int mkdir_any(int folder, const char *name, mode_t mode) {
  REAL(mkdirat);
  char path[PATH_MAX];
  resolve(folder, name, path);
  NAMES(MKDIR, path, "", real(folder, name, mode));
}
int mkdir(const char *name, mode_t mode) { return mkdir_any(AT_FDCWD, name, mode); }
int mkdirat(int folder, const char *name, mode_t mode) { return mkdir_any(folder, name, mode); }

/* ---- the wall clock ---- */

int clock_gettime(clockid_t id, struct timespec *now) {
  REAL(clock_gettime);
  int outcome = real(id, now);
  if (outcome == 0 && id == CLOCK_REALTIME) now->tv_sec += clock_moved;
  return outcome;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  REAL(gettimeofday);
  int outcome = real(now, zone);
  if (outcome == 0) now->tv_sec += clock_moved;
  return outcome;
}
time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}
