// SPDX-License-Identifier: Apache-2.0
// Growing files: uploads of clients and fetches from peers; see files.h. One thread at a time uses
// an upload.
//
// Invariants:
//   1. [0, size) of the file is what `hasher` has seen, or hasher is NULL and the file is read
//      again when needed: with the next write or at the commit. So an open, a trim and a close read
//      nothing, however large the file is.
//   2. After a failed write the file ends at `size` again: nothing of the failed bytes counts.
//   3. After a failed fsync the handle is dead: the kernel may have dropped pages that look clean.
//      What an earlier sync or the caller vouches for is kept.
#include "store/files/files_priv.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

// each fails only when another process has just ended the upload
#define OPEN_TRIES 100
#define READ_BYTES (256u << 10)

static struct file_upload *file_upload_of(struct blob_upload *bu)
{
    return (struct file_upload *)bu;
}

// --- which are open ---

// fs->lock is held.
static bool is_open(const struct file_store *fs, int dir_fd, const char *name)
{
    for (const struct file_upload *u = fs->open; u; u = u->next)
        if (u->dir_fd == dir_fd && strcmp(u->name, name) == 0)
            return true;
    return false;
}

static bool enlist(struct file_upload *u)
{
    struct file_store *fs = u->fs;
    pthread_mutex_lock(&fs->lock);
    bool busy = is_open(fs, u->dir_fd, u->name);
    if (!busy) {
        u->next = fs->open;
        fs->open = u;
    }
    pthread_mutex_unlock(&fs->lock);
    return !busy;
}

static void unlist(struct file_upload *u)
{
    pthread_mutex_lock(&u->fs->lock);
    struct file_upload **at = &u->fs->open;
    while (*at && *at != u)
        at = &(*at)->next;
    assert(*at); // every handle is listed from its opening to here
    *at = u->next;
    pthread_mutex_unlock(&u->fs->lock);
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

// Opens and locks: another process, which shares the store during a restart, may have it open. Once
// the lock is ours, the name must still lead to the file that was opened: a commit elsewhere may
// have made a blob of that file meanwhile.
static int file_open(int dir_fd, const char *name, int flags, int *out_fd, struct stat *out)
{
    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        struct stat now;
        AUTO_CLOSE int fd = openat(dir_fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0640);
        if (fd < 0 || fstat(fd, out))
            return err_from_errno(errno);
        if (!S_ISREG(out->st_mode))
            return ERR_CORRUPT;
        if (flock(fd, LOCK_EX | LOCK_NB))
            return errno == EWOULDBLOCK ? ERR_BUSY : err_from_errno(errno);
        if (fstatat(dir_fd, name, &now, AT_SYMLINK_NOFOLLOW) || !is_same_file(&now, out))
            continue;
        if (fstat(fd, out)) // its size, now that nobody else writes
            return err_from_errno(errno);
        *out_fd = fd;
        fd = -1;
        return 0;
    }
    return ERR_BUSY;
}

int file_upload_hold(struct file_store *fs, int dir_fd, const char *name, int *out_fd)
{
    struct stat st;
    if (is_open(fs, dir_fd, name))
        return ERR_BUSY;
    int rc = file_open(dir_fd, name, O_RDONLY, out_fd, &st);
    // nobody writes to a file that cannot be opened, or that is none of ours
    return rc == ERR_BUSY ? ERR_BUSY : 0;
}

bool file_upload_elsewhere(struct blob_store *bs, const char *id)
{
    struct file_store *fs = file_store_of(bs);
    AUTO_CLOSE int fd = -1;
    struct stat st;
    pthread_mutex_lock(&fs->lock);
    bool here = is_open(fs, fs->uploads_fd, id);
    bool elsewhere = !here && file_open(fs->uploads_fd, id, O_RDONLY, &fd, &st) == ERR_BUSY;
    pthread_mutex_unlock(&fs->lock);
    return elsewhere;
}

int file_upload_open(struct blob_store *bs, enum blob_area area, const char *name,
                     struct blob_upload **out)
{
    struct file_store *fs = file_store_of(bs);
    struct file_upload *u = mem_zalloc(sizeof *u);
    if (!u)
        return ERR_NOMEM;
    *u = (struct file_upload){.base.backend = bs->backend, .fs = fs, .fd = -1};
    u->dir_fd = area == BLOB_AREA_UPLOADS ? fs->uploads_fd : fs->part_fd;
    snprintf(u->name, sizeof u->name, "%s", name);
    if (!enlist(u)) {
        free(u);
        return ERR_BUSY;
    }
    struct stat st;
    int rc = file_open(u->dir_fd, name, O_RDWR | O_CREAT, &u->fd, &st);
    if (!rc)
        file_group_ensure(u->fd, fs->group);
    if (!rc && (st.st_mode & 07777) != 0640 && fchmod(u->fd, 0640)) // whatever the umask was
        rc = err_from_errno(errno);
    if (rc) {
        file_upload_close(&u->base, false);
        return rc;
    }
    u->base.size = (uint64_t)st.st_size;
    if (area == BLOB_AREA_PARTIALS)
        rc = file_spread_load(u);
    if (rc) {
        file_upload_close(&u->base, false);
        return rc;
    }
    u->base.resume_at = u->base.size;
    *out = &u->base;
    return 0;
}

void file_upload_close(struct blob_upload *bu, bool drop)
{
    struct file_upload *u = file_upload_of(bu);
    if (drop && u->dead != ERR_CLOSED) { // after the commit the file has another name
        (void)unlinkat(u->dir_fd, u->name, 0);
        if (u->spread)
            file_spread_forget(u->dir_fd, u->name);
    }
    file_spread_free(u->spread);
    fd_auto_close(&u->fd);
    unlist(u);
    hasher_free(u->hasher);
    free(u);
}

// --- bytes ---

static int hash_file(struct file_upload *u, struct hasher *h)
{
    AUTO_FREE char *b = mem_alloc(READ_BYTES);
    if (!b)
        return ERR_NOMEM;
    for (uint64_t at = 0; at < u->base.size;) {
        uint64_t left = u->base.size - at;
        size_t want = left < READ_BYTES ? (size_t)left : READ_BYTES;
        ssize_t r = pread(u->fd, b, want, (off_t)at);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return err_from_errno(errno);
        if (r == 0) // the file shrank under us
            return ERR_IO;
        hasher_update(h, b, (size_t)r);
        u->fs->redigested_bytes += (uint64_t)r;
        at += (uint64_t)r;
    }
    return 0;
}

// Digests the bytes of the file anew, unless the running hash is here and of the algorithm that is
// asked for.
int file_hasher_ensure(struct file_upload *u)
{
    if (u->hasher && hasher_alg(u->hasher) == u->base.alg)
        return 0;
    hasher_free(take_ptr(u->hasher));
    struct hasher *h = hasher_new(u->base.alg);
    if (!h)
        return ERR_NOMEM;
    int rc = hash_file(u, h);
    if (rc) {
        hasher_free(h);
        return rc;
    }
    u->hasher = h;
    return 0;
}

int file_upload_write(struct blob_upload *bu, const void *p, size_t n)
{
    struct file_upload *u = file_upload_of(bu);
    if (u->dead)
        return u->dead;
    if (bu->size > INT64_MAX - n)
        return ERR_TOOBIG;
    int rc = file_spread_end(u); // from now on in order
    if (!rc)
        rc = file_hasher_ensure(u);
    if (rc)
        return rc;
    rc = fd_pwrite_all(u->fd, p, n, (off_t)bu->size);
    if (rc) {
        // Invariant 2. If this fails too, the acknowledged size in the metadata still says where
        // the truth ends.
        (void)!ftruncate(u->fd, (off_t)bu->size);
        return rc;
    }
    assert(u->hasher); // invariant 1
    hasher_update(u->hasher, p, n);
    bu->size += n;
    return 0;
}

// Ends the handle (invariant 3).
static int sync_failed(struct file_upload *u, int e)
{
    assert(u->synced <= u->base.size); // invariant 3
    u->dead = err_from_errno(e);
    if (u->spread) // what its map on the disk says was durable before, and stays so
        return u->dead;
    // so that a later look does not take lost pages for bytes
    (void)!ftruncate(u->fd, (off_t)u->synced);
    u->base.size = u->synced;
    u->base.resume_at = u->synced;
    return u->dead;
}

int file_bytes_sync(struct file_upload *u)
{
    if (fdatasync(u->fd))
        return sync_failed(u, errno);
    assert(u->synced <= u->base.size); // invariant 3
    u->synced = u->base.size;
    u->base.resume_at = u->base.size;
    return 0;
}

int file_upload_sync(struct blob_upload *bu)
{
    struct file_upload *u = file_upload_of(bu);
    if (u->dead)
        return u->dead;
    if (u->spread)
        return file_spread_sync(u);
    return file_bytes_sync(u);
}

int file_upload_trim(struct blob_upload *bu, uint64_t size)
{
    struct file_upload *u = file_upload_of(bu);
    if (u->dead)
        return u->dead;
    if (size > bu->size)
        return ERR_RANGE;
    u->synced = size;
    bu->resume_at = size;
    if (size < bu->size) {
        if (ftruncate(u->fd, (off_t)size))
            return err_from_errno(errno);
        bu->size = size;
        // invariant 1: it has seen more
        hasher_free(take_ptr(u->hasher));
    }
    return file_spread_end(u);
}

// --- the end of an upload ---

static int verify(struct file_upload *u, const struct digest *expected)
{
    struct digest d;
    int rc = file_hasher_ensure(u);
    if (rc)
        return rc;
    rc = hasher_final(u->hasher, &d);
    // used up: the file is read again if the upload goes on
    hasher_free(take_ptr(u->hasher));
    if (rc)
        return rc;
    return digest_equal(&d, expected) ? 0 : ERR_DIGEST;
}

// The file keeps its group when it moves: it takes the one of the shard, if the daemon may.
static void group_follow(struct file_upload *u, int shard)
{
    struct stat dir, own;
    if (fstat(shard, &dir) || fstat(u->fd, &own))
        return;
    if (own.st_gid != dir.st_gid)
        (void)!fchown(u->fd, (uid_t)-1, dir.st_gid);
}

// Gives the file its name, which nothing had before.
static int publish(struct file_upload *u, const struct blob_name *as)
{
    AUTO_CLOSE int shard = -1;
    char name[FILE_NAME_SIZE];
    int rc = file_shard_open(u->fs, &as->digest, true, &shard);
    if (rc)
        return rc;
    file_name(as, name);
    group_follow(u, shard);
    if (renameat(u->dir_fd, u->name, shard, name))
        return err_from_errno(errno);
    assert(!u->hasher); // the content was verified with it
    u->dead = ERR_CLOSED;
    if (u->spread)
        file_spread_forget(u->dir_fd, u->name);
    return fsync(shard) ? err_from_errno(errno) : 0;
}

// The name of the note that holds an upload's outcome: no id has a '='.
static void outcome_name(const char *id, char out[BLOB_NAME_SIZE + 1])
{
    out[0] = '=';
    snprintf(out + 1, BLOB_NAME_SIZE, "%s", id);
}

#define OUTCOME_SIZE (DIGEST_TEXT_SIZE + BLOB_GENERATION_SIZE)

// A symbolic link comes to be whole, name and text, in one step; nothing ever follows it. It is
// written after the content was verified and before the file moves, so that a file that moved
// always has one.
static int outcome_note(struct file_upload *u, const struct blob_name *as)
{
    char name[BLOB_NAME_SIZE + 1], digest[DIGEST_TEXT_SIZE], text[OUTCOME_SIZE];
    outcome_name(u->name, name);
    snprintf(text, sizeof text, "%s.%s", digest_format(&as->digest, digest), as->generation);
    if (unlinkat(u->dir_fd, name, 0) && errno != ENOENT)
        return err_from_errno(errno);
    return symlinkat(text, u->dir_fd, name) ? err_from_errno(errno) : 0;
}

// "sha256:<hex>.<generation>"; without the dot it is from before there were generations.
static int outcome_parse(char *text, struct blob_name *out)
{
    struct blob_name name = {0};
    char *dot = strchr(text, '.');
    if (dot) {
        *dot++ = '\0';
        if (!blob_generation_ok(dot))
            return ERR_CORRUPT;
        snprintf(name.generation, sizeof name.generation, "%s", dot);
    }
    if (digest_parse(text, strlen(text), &name.digest))
        return ERR_CORRUPT;
    *out = name;
    return 0;
}

int file_upload_outcome(struct blob_store *bs, const char *id, struct blob_name *out)
{
    char name[BLOB_NAME_SIZE + 1], text[OUTCOME_SIZE];
    outcome_name(id, name);
    ssize_t n = readlinkat(file_store_of(bs)->uploads_fd, name, text, sizeof text - 1);
    if (n < 0)
        return err_from_errno(errno);
    text[n] = '\0';
    return outcome_parse(text, out);
}

// Was something of it vouched for before, so that its client may come for the rest alone? Whoever
// sends all of it again needs no note of how it ended.
static bool is_gone_on_with(const struct file_upload *u)
{
    return u->dir_fd == u->fs->uploads_fd && u->synced > 0;
}

int file_upload_commit(struct blob_upload *bu, const struct blob_name *as)
{
    struct file_upload *u = file_upload_of(bu);
    if (u->dead)
        return u->dead;
    int rc = verify(u, &as->digest);
    if (rc)
        return rc;
    if (u->spread && ftruncate(u->fd, (off_t)bu->size)) // more may be there than was digested
        return err_from_errno(errno);
    if (fsync(u->fd))
        return sync_failed(u, errno);
    if (is_gone_on_with(u)) {
        rc = outcome_note(u, as);
        if (rc)
            return rc;
    }
    return publish(u, as);
}

static int remove_if_there(int dir_fd, const char *name)
{
    return unlinkat(dir_fd, name, 0) && errno != ENOENT ? err_from_errno(errno) : 0;
}

int file_upload_discard(struct blob_store *bs, const char *id)
{
    struct file_store *fs = file_store_of(bs);
    AUTO_CLOSE int held = -1;
    char outcome[BLOB_NAME_SIZE + 1];
    outcome_name(id, outcome);
    pthread_mutex_lock(&fs->lock);
    int rc = file_upload_hold(fs, fs->uploads_fd, id, &held);
    if (!rc)
        rc = remove_if_there(fs->uploads_fd, id);
    if (!rc)
        rc = remove_if_there(fs->uploads_fd, outcome);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}
