/* A disk that fills up at a chosen write, for tests: preloaded into a search and all its workers.

   FINRL_RAY_FULL_PATH    what the paths of the files on that disk have in them
   FINRL_RAY_FULL_AFTER   writes to them, of each process, that succeed
   FINRL_RAY_FULL_ERRNO   the error from then on, in all processes
   FINRL_RAY_FULL_MARK    a file that is there once the disk is full
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int writes;

static int full(int fd) {
    const char *part = getenv("FINRL_RAY_FULL_PATH"), *mark = getenv("FINRL_RAY_FULL_MARK");
    if (part == NULL || mark == NULL) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = '\0';
    if (strstr(path, part) == NULL) return 0;
    if (access(mark, F_OK) != 0) {
        if (atomic_fetch_add(&writes, 1) < atoi(getenv("FINRL_RAY_FULL_AFTER"))) return 0;
        int made = open(mark, O_CREAT | O_WRONLY, 0600);
        if (made >= 0) close(made);
    }
    errno = atoi(getenv("FINRL_RAY_FULL_ERRNO"));
    return 1;
}

ssize_t write(int fd, const void *from, size_t count) {
    return full(fd) ? -1 : syscall(SYS_write, fd, from, count);
}

ssize_t writev(int fd, const struct iovec *from, int count) {
    return full(fd) ? -1 : syscall(SYS_writev, fd, from, count);
}

ssize_t pwrite(int fd, const void *from, size_t count, off_t at) {
    return full(fd) ? -1 : syscall(SYS_pwrite64, fd, from, count, at);
}

ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at) {
    return full(fd) ? -1 : syscall(SYS_pwrite64, fd, from, count, at);
}

ssize_t sendfile(int to, int from, off_t *at, size_t count) {
    return full(to) ? -1 : syscall(SYS_sendfile, to, from, at, count);
}

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t count, unsigned flags) {
    return full(to) ? -1 : syscall(SYS_copy_file_range, from, at, to, there, count, flags);
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t count) {
    return full(to) ? -1 : syscall(SYS_sendfile, to, from, at, count);
}
