/* Preloaded into the processes of a node: records what they do to the files below RECORD_ROOT, in the file RECORD_LOG.
 *
 * What changes data is recorded before it is done, what changes names and what makes either durable after it was done;
 * so a record of a sync stands behind all that it is certain to cover. Each record is one write in append mode: the
 * records of all threads and processes have one order. `crashed_disk.py` reads them.
 *
 * record: kind (1 byte), inode, offset, lengths of two paths and of the data (5 x 8 bytes, little endian), then these.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FILES 65536
enum { FILE_FOLDER = 2, FILE_PLAIN = 1 };
static unsigned char tracked[MAX_FILES];
static char folder_of[MAX_FILES][512];

static int log_file(void) {
    static int descriptor = -1;
    static pid_t owner = 0;
    if (descriptor < 0 || owner != getpid()) {
        const char *path = getenv("RECORD_LOG");
        if (!path) return -1;
        descriptor = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        if (descriptor >= 0) {
            int high = syscall(SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, 1000);
            if (high >= 0) { syscall(SYS_close, descriptor); descriptor = high; }
        }
        owner = getpid();
    }
    return descriptor;
}

static void record(char kind, uint64_t inode, uint64_t offset, const char *one, const char *two, const void *data,
                   uint64_t size) {
    uint64_t numbers[5] = {inode, offset, one ? strlen(one) : 0, two ? strlen(two) : 0, size};
    struct iovec parts[5] = {{&kind, 1}, {numbers, sizeof numbers}, {(void *)one, numbers[2]}, {(void *)two, numbers[3]},
                             {(void *)data, size}};
    syscall(SYS_writev, log_file(), parts, 5);
}

/* Makes a path absolute; whether it lies below RECORD_ROOT. */
static int is_ours(const char *path, char *absolute) {
    const char *root = getenv("RECORD_ROOT");
    if (!root || !path) return 0;
    if (path[0] == '/') snprintf(absolute, 512, "%s", path);
    else {
        char here[256];
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(absolute, 512, "%s/%s", here, path);
    }
    size_t length = strlen(root);
    return !strncmp(absolute, root, length) && (absolute[length] == '/' || !absolute[length]);
}

static uint64_t inode_of(int descriptor) {
    struct stat found;
    return fstat(descriptor, &found) ? 0 : found.st_ino;
}

static int is_tracked(int descriptor) { return descriptor >= 0 && descriptor < MAX_FILES && tracked[descriptor]; }

static int opened(int descriptor, const char *path, int flags, int was_there) {
    char absolute[512];
    struct stat found;
    if (descriptor < 0 || descriptor >= MAX_FILES || !is_ours(path, absolute) || fstat(descriptor, &found))
        return descriptor;
    tracked[descriptor] = S_ISDIR(found.st_mode) ? FILE_FOLDER : FILE_PLAIN;
    if (S_ISDIR(found.st_mode)) snprintf(folder_of[descriptor], 512, "%s", absolute);
    else if (!was_there) record('C', found.st_ino, 0, absolute, NULL, NULL, 0);
    else if (flags & O_TRUNC) record('T', found.st_ino, 0, NULL, NULL, NULL, 0);
    return descriptor;
}

static int open_and_record(const char *path, int flags, mode_t mode) {
    struct stat before;
    int was_there = !stat(path, &before);
    return opened(syscall(SYS_openat, AT_FDCWD, path, flags, mode), path, flags, was_there);
}

static mode_t mode_in(int flags, va_list rest) { return flags & O_CREAT ? va_arg(rest, mode_t) : 0; }

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_in(flags, rest);
    va_end(rest);
    return open_and_record(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_in(flags, rest);
    va_end(rest);
    return open_and_record(path, flags, mode);
}

int close(int descriptor) {
    if (descriptor >= 0 && descriptor < MAX_FILES) tracked[descriptor] = 0;
    return syscall(SYS_close, descriptor);
}

ssize_t write(int descriptor, const void *data, size_t size) {
    if (is_tracked(descriptor)) {
        struct stat found;
        int appends = syscall(SYS_fcntl, descriptor, F_GETFL) & O_APPEND;
        off_t offset = appends && !fstat(descriptor, &found) ? found.st_size : lseek(descriptor, 0, SEEK_CUR);
        record('W', inode_of(descriptor), offset, NULL, NULL, data, size);
    }
    return syscall(SYS_write, descriptor, data, size);
}

static ssize_t write_at(int descriptor, const void *data, size_t size, off_t offset) {
    if (is_tracked(descriptor)) record('W', inode_of(descriptor), offset, NULL, NULL, data, size);
    return syscall(SYS_pwrite64, descriptor, data, size, offset);
}
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
    return write_at(descriptor, data, size, offset);
}
ssize_t pwrite64(int descriptor, const void *data, size_t size, off_t offset) {
    return write_at(descriptor, data, size, offset);
}

static int truncate_file(int descriptor, off_t size) {
    if (is_tracked(descriptor)) record('T', inode_of(descriptor), size, NULL, NULL, NULL, 0);
    return syscall(SYS_ftruncate, descriptor, size);
}
int ftruncate(int descriptor, off_t size) { return truncate_file(descriptor, size); }
int ftruncate64(int descriptor, off_t size) { return truncate_file(descriptor, size); }

static int allocate(int descriptor, off_t offset, off_t size) {
    struct stat found;
    if (is_tracked(descriptor) && !fstat(descriptor, &found) && found.st_size < offset + size)
        record('T', found.st_ino, offset + size, NULL, NULL, NULL, 0);
    return syscall(SYS_fallocate, descriptor, 0, offset, size) ? errno : 0;
}
int posix_fallocate(int descriptor, off_t offset, off_t size) { return allocate(descriptor, offset, size); }
int posix_fallocate64(int descriptor, off_t offset, off_t size) { return allocate(descriptor, offset, size); }

static int synced(int descriptor, int result) {
    if (!result && is_tracked(descriptor)) {
        if (tracked[descriptor] == FILE_FOLDER) record('D', 0, 0, folder_of[descriptor], NULL, NULL, 0);
        else record('S', inode_of(descriptor), 0, NULL, NULL, NULL, 0);
    }
    return result;
}
int fsync(int descriptor) { return synced(descriptor, syscall(SYS_fsync, descriptor)); }
int fdatasync(int descriptor) { return synced(descriptor, syscall(SYS_fdatasync, descriptor)); }

int rename(const char *from, const char *to) {
    char one[512], two[512];
    int result = syscall(SYS_rename, from, to);
    if (!result && is_ours(from, one) && is_ours(to, two)) record('R', 0, 0, one, two, NULL, 0);
    return result;
}

int unlink(const char *path) {
    char absolute[512];
    int result = syscall(SYS_unlink, path);
    if (!result && is_ours(path, absolute)) record('U', 0, 0, absolute, NULL, NULL, 0);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    char absolute[512];
    int result = syscall(SYS_mkdir, path, mode);
    if (!result && is_ours(path, absolute)) record('M', 0, 0, absolute, NULL, NULL, 0);
    return result;
}
