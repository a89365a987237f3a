// SPDX-License-Identifier: Apache-2.0
// What a disk allows, without a server: each of N threads makes files of so many bytes, write,
// fsync, rename into another folder, fsync of that folder; then one thread appends pages to a file
// with fdatasync, as a log of a database does. Prints one line of JSON. Run by bench.py.
//
//   fsync_loop DIR COUNT BYTES THREADS
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64
#define SHARDS 16
#define LOG_PAGES 1000
#define PAGE 4096

static size_t count, bytes;
static char *content;
static _Atomic size_t next_file;

static void die(const char *what)
{
    fprintf(stderr, "fsync_loop: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void file_make(size_t i)
{
    char grown[64], shard[64], name[128];
    snprintf(grown, sizeof grown, "grown-%zu", i);
    snprintf(shard, sizeof shard, "shard-%zu", i % SHARDS);
    snprintf(name, sizeof name, "%s/%zu", shard, i);
    int fd = open(grown, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0 || write(fd, content, bytes) != (ssize_t)bytes || fsync(fd))
        die(grown);
    int dir = open(shard, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || rename(grown, name) || fsync(dir))
        die(name);
    close(dir);
    close(fd);
}

static void *files_make(void *arg)
{
    (void)arg;
    for (size_t i; (i = next_file++) < count;)
        file_make(i);
    return NULL;
}

static double files_per_s(size_t n_threads)
{
    pthread_t threads[THREADS_MAX];
    double began = now_s();
    for (size_t i = 0; i < n_threads; i++)
        if (pthread_create(&threads[i], NULL, files_make, NULL))
            die("a thread");
    for (size_t i = 0; i < n_threads; i++)
        pthread_join(threads[i], NULL);
    return (double)count / (now_s() - began);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Microseconds of one page at its place and fdatasync, at the median: what a commit of one
// transaction costs at least.
static double log_us(void)
{
    static double took[LOG_PAGES];
    int fd = open("log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        die("log");
    for (size_t i = 0; i < LOG_PAGES; i++)
        if (pwrite(fd, content, PAGE, (off_t)(i * PAGE)) != PAGE)
            die("log");
    if (fsync(fd))
        die("log");
    for (size_t i = 0; i < LOG_PAGES; i++) {
        double began = now_s();
        if (pwrite(fd, content, PAGE, (off_t)(i * PAGE)) != PAGE || fdatasync(fd))
            die("log");
        took[i] = 1e6 * (now_s() - began);
    }
    close(fd);
    qsort(took, LOG_PAGES, sizeof took[0], compare);
    return took[LOG_PAGES / 2];
}

static size_t number(const char *text, size_t max)
{
    char *end;
    unsigned long long v = strtoull(text, &end, 10);
    if (*end || !v || v > max) {
        fprintf(stderr, "fsync_loop: %s is not a number from 1 to %zu\n", text, max);
        exit(2);
    }
    return (size_t)v;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: fsync_loop DIR COUNT BYTES THREADS\n");
        return 2;
    }
    count = number(argv[2], 1000000);
    bytes = number(argv[3], 1u << 30);
    size_t n_threads = number(argv[4], THREADS_MAX);
    content = malloc(bytes < PAGE ? PAGE : bytes);
    if (!content || chdir(argv[1]))
        die(argv[1]);
    memset(content, 'x', bytes < PAGE ? PAGE : bytes);
    for (int i = 0; i < SHARDS; i++) {
        char shard[64];
        snprintf(shard, sizeof shard, "shard-%d", i);
        if (mkdir(shard, 0750) && errno != EEXIST)
            die(shard);
    }
    double rate = files_per_s(n_threads);
    printf("{\"files_per_s\": %.1f, \"log_us\": %.0f}\n", rate, log_us());
    free(content);
    return 0;
}
