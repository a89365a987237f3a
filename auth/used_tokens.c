// SPDX-License-Identifier: Apache-2.0
// Tokens that were exchanged; see used_tokens_priv.h.
#include "auth/used_tokens_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/htab.h"
#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOUR_S 3600
#define BUCKETS (USED_AHEAD_MAX_S / HOUR_S + 2)
#define SAY_EVERY_MS 60000

struct bucket { // the tokens that end in one hour
    // 0: free
    int64_t hour;
    // -1: none
    int fd;
    // of the file, so far read
    off_t read;
    struct htab *ids;
};

struct used_tokens {
    // guards what follows
    pthread_mutex_t lock;
    char *dir;
    int64_t said_ms;
    struct bucket buckets[BUCKETS];
};

static int there; // what an id leads to

static void say(struct used_tokens *u, const char *what)
{
    int64_t now = clock_mono_ms();
    if (u->said_ms && now - u->said_ms < SAY_EVERY_MS)
        return;
    u->said_ms = now;
    log_warn("auth: exchanged tokens cannot be noted in %s (%s): after a restart they would be "
             "taken once more while they live",
             u->dir, what);
}

static char *path_of(const struct used_tokens *u, int64_t hour)
{
    return mem_printf("%s/%" PRId64, u->dir, hour);
}

// --- files ---

static bool hour_parse(const char *name, int64_t *out)
{
    size_t n = strspn(name, "0123456789");
    if (!n || n > 12 || name[n])
        return false;
    *out = strtoll(name, NULL, 10);
    return true;
}

static void files_sweep(const struct used_tokens *u, int64_t hour)
{
    DIR *d = opendir(u->dir);
    int64_t of;
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (hour_parse(e->d_name, &of) && of < hour)
            (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

static void file_open(struct used_tokens *u, struct bucket *b)
{
    if (!u->dir)
        return;
    AUTO_FREE char *path = path_of(u, b->hour);
    if (path)
        b->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (b->fd < 0)
        say(u, err_text(err_from_errno(errno)));
}

// What the file has and the memory has not. A torn record at its end, of a crash, is cut off.
static int file_read_more(struct bucket *b)
{
    uint8_t id[SHA256_BYTES];
    struct stat st;
    if (b->fd < 0)
        return 0;
    while (pread(b->fd, id, sizeof id, b->read) == (ssize_t)sizeof id) {
        if (htab_put(b->ids, id, sizeof id, &there) == ERR_NOMEM)
            return ERR_NOMEM;
        b->read += (off_t)sizeof id;
    }
    if (!fstat(b->fd, &st) && st.st_size > b->read)
        (void)!ftruncate(b->fd, b->read);
    return 0;
}

static void file_append(struct used_tokens *u, struct bucket *b, const uint8_t id[SHA256_BYTES])
{
    if (b->fd < 0)
        return;
    if (write(b->fd, id, SHA256_BYTES) == SHA256_BYTES && !fdatasync(b->fd)) {
        b->read += SHA256_BYTES;
        return;
    }
    say(u, err_text(err_from_errno(errno)));
}

// --- buckets ---

static void bucket_close(struct bucket *b)
{
    if (b->ids)
        htab_free(b->ids);
    if (b->hour && b->fd >= 0)
        close(b->fd);
    *b = (struct bucket){.fd = -1};
}

static void sweep(struct used_tokens *u, int64_t hour)
{
    bool any = false;
    for (size_t i = 0; i < BUCKETS; i++) {
        struct bucket *b = &u->buckets[i];
        if (!b->hour || b->hour >= hour)
            continue;
        bucket_close(b);
        any = true;
    }
    if (any && u->dir)
        files_sweep(u, hour);
}

static struct bucket *bucket_get(struct used_tokens *u, int64_t hour)
{
    struct bucket *room = NULL;
    for (size_t i = 0; i < BUCKETS; i++) {
        if (u->buckets[i].hour == hour)
            return &u->buckets[i];
        if (!u->buckets[i].hour)
            room = &u->buckets[i];
    }
    if (!room)
        return NULL;
    struct htab *ids = htab_new();
    if (!ids)
        return NULL;
    *room = (struct bucket){.hour = hour, .fd = -1, .ids = ids};
    file_open(u, room);
    return room;
}

// Under the file's lock.
static int take(struct used_tokens *u, struct bucket *b, const uint8_t id[SHA256_BYTES])
{
    int rc = file_read_more(b);
    if (rc)
        return rc;
    if (htab_get(b->ids, id, SHA256_BYTES))
        return ERR_EXISTS;
    if (htab_count(b->ids) >= USED_MAX)
        return ERR_FULL;
    rc = htab_put(b->ids, id, SHA256_BYTES, &there);
    if (!rc)
        file_append(u, b, id);
    return rc;
}

int used_tokens_take(struct used_tokens *u, const uint8_t id[SHA256_BYTES], int64_t expires_s,
                     int64_t now_s)
{
    if (expires_s < now_s || expires_s - now_s > USED_AHEAD_MAX_S || now_s < HOUR_S)
        return ERR_INVAL;
    pthread_mutex_lock(&u->lock);
    sweep(u, now_s / HOUR_S);
    struct bucket *b = bucket_get(u, expires_s / HOUR_S);
    int rc = ERR_NOMEM;
    if (b) {
        if (b->fd >= 0)
            (void)flock(b->fd, LOCK_EX);
        rc = take(u, b, id);
        if (b->fd >= 0)
            (void)flock(b->fd, LOCK_UN);
    }
    pthread_mutex_unlock(&u->lock);
    return rc;
}

// --- life ---

int used_tokens_new(const char *dir, struct used_tokens **out)
{
    struct used_tokens *u = mem_zalloc(sizeof *u);
    if (!u)
        return ERR_NOMEM;
    for (size_t i = 0; i < BUCKETS; i++)
        u->buckets[i].fd = -1;
    pthread_mutex_init(&u->lock, NULL);
    if (dir) {
        u->dir = mem_strdup(dir);
        if (!u->dir) {
            used_tokens_free(u);
            return ERR_NOMEM;
        }
        if (mkdir(dir, 0700) && errno != EEXIST)
            say(u, err_text(err_from_errno(errno)));
        files_sweep(u, clock_wall_ms() / 1000 / HOUR_S);
    }
    *out = u;
    return 0;
}

void used_tokens_free(struct used_tokens *u)
{
    if (!u)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        bucket_close(&u->buckets[i]);
    pthread_mutex_destroy(&u->lock);
    free(u->dir);
    free(u);
}
