// SPDX-License-Identifier: Apache-2.0
// Growing blobs: uploads of clients and fetches from peers; see blob.h. One upload is used by one
// thread at a time.
//
// Invariants:
//   1. [0, size) of the file is what `hasher` has seen, or hasher is NULL and the file is read
//      again when needed: with the next write or at the commit. So to open, to trim and to close
//      reads nothing, however large the file is.
//   2. After a failed write the file ends at `size` again: nothing of the failed bytes counts.
//   3. After a failed fsync the handle is dead: the kernel may have dropped pages that look clean.
//      What an earlier sync or the caller vouches for is kept.
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/blob.h"
#include "store/blob_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_MAX 128
#define OPEN_TRIES 100 // each fails only when another process has just ended the upload
#define READ_BYTES (256u << 10)

struct blob_upload {
    struct blob_store *bs;
    // in bs->open
    struct blob_upload *next;
    // bs->uploads_fd or bs->part_fd; borrowed
    int dir_fd;
    char name[ID_MAX + 1];
    int fd;
    uint64_t size;
    // of these, known to be on disk
    uint64_t synced;
    // NULL: see 1
    struct hasher *hasher;
    // error that ended this handle; or ERR_CLOSED after the commit
    int dead;
};

static bool id_ok(const char *id)
{
    size_t n = strnlen(id, ID_MAX + 1);
    if (n == 0 || n > ID_MAX || id[0] == '.')
        return false;
    return strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n;
}

bool blob_upload_is_open(struct blob_store *bs, int dir_fd, const char *name)
{
    for (const struct blob_upload *u = bs->open; u; u = u->next)
        if (u->dir_fd == dir_fd && strcmp(u->name, name) == 0)
            return true;
    return false;
}

static void unlist(struct blob_upload *u)
{
    pthread_mutex_lock(&u->bs->lock);
    for (struct blob_upload **at = &u->bs->open; *at; at = &(*at)->next)
        if (*at == u) {
            *at = u->next;
            break;
        }
    pthread_mutex_unlock(&u->bs->lock);
}

// Digests the first u->size bytes of the file anew.
static int redigest(struct blob_upload *u)
{
    hasher_free(u->hasher);
    u->hasher = NULL;
    struct hasher *h = hasher_new(DIGEST_SHA256);
    AUTO_FREE char *b = mem_alloc(READ_BYTES);
    int rc = ERR_NOMEM;
    if (h && b)
        rc = 0;
    for (uint64_t at = 0; !rc && at < u->size;) {
        uint64_t left = u->size - at;
        ssize_t r = pread(u->fd, b, left < READ_BYTES ? (size_t)left : READ_BYTES, (off_t)at);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0) {
            if (r < 0) // the file shrank under us
                rc = err_from_errno(errno);
            else
                rc = ERR_IO;
            break;
        }
        hasher_update(h, b, (size_t)r);
        u->bs->redigested_bytes += (uint64_t)r;
        at += (uint64_t)r;
    }
    if (rc)
        hasher_free(h);
    else
        u->hasher = h;
    return rc;
}

// Opens and locks: another process, which shares the store during a restart, may have it open. What
// has the name once the lock is ours is what was opened: a commit elsewhere may have made a blob of
// that file meanwhile.
static int file_open(int dir_fd, const char *name, int flags, int *out_fd, struct stat *out)
{
    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        struct stat now;
        AUTO_CLOSE int fd = openat(dir_fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0640);
        if (fd < 0 || fstat(fd, out))
            return err_from_errno(errno);
        if (!S_ISREG(out->st_mode))
            return ERR_CORRUPT;
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            if (errno == EWOULDBLOCK)
                return ERR_BUSY;
            return err_from_errno(errno);
        }
        if (fstatat(dir_fd, name, &now, AT_SYMLINK_NOFOLLOW) || now.st_dev != out->st_dev ||
            now.st_ino != out->st_ino)
            continue;
        if (fstat(fd, out)) // its size, now that nobody else writes
            return err_from_errno(errno);
        *out_fd = fd;
        fd = -1;
        return 0;
    }
    return ERR_BUSY;
}

int blob_upload_hold(struct blob_store *bs, int dir_fd, const char *name, int *out_fd)
{
    struct stat st;
    if (blob_upload_is_open(bs, dir_fd, name))
        return ERR_BUSY;
    int rc = file_open(dir_fd, name, O_RDONLY, out_fd, &st);
    if (rc == ERR_BUSY) // what cannot be opened, or is none of ours, nobody writes to
        return rc;
    return 0;
}

bool blob_upload_elsewhere(struct blob_store *bs, const char *id)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;
    if (!id_ok(id))
        return false;
    pthread_mutex_lock(&bs->lock);
    bool here = blob_upload_is_open(bs, bs->uploads_fd, id);
    bool elsewhere = !here && file_open(bs->uploads_fd, id, O_RDONLY, &fd, &st) == ERR_BUSY;
    pthread_mutex_unlock(&bs->lock);
    return elsewhere;
}

static int growing_open(struct blob_store *bs, int dir_fd, const char *name,
                        struct blob_upload **out)
{
    struct blob_upload *u = mem_zalloc(sizeof *u);
    if (!u)
        return ERR_NOMEM;
    *u = (struct blob_upload){.bs = bs, .dir_fd = dir_fd, .fd = -1};
    snprintf(u->name, sizeof u->name, "%s", name);
    pthread_mutex_lock(&bs->lock);
    bool busy = blob_upload_is_open(bs, dir_fd, name);
    if (!busy) {
        u->next = bs->open;
        bs->open = u;
    }
    pthread_mutex_unlock(&bs->lock);
    if (busy) {
        free(u);
        return ERR_BUSY;
    }
    struct stat st;
    int rc = file_open(dir_fd, name, O_RDWR | O_CREAT, &u->fd, &st);
    if (!rc && (st.st_mode & 07777) != 0640 && fchmod(u->fd, 0640)) // whatever the umask was
        rc = err_from_errno(errno);
    if (rc) {
        blob_upload_close(u);
        return rc;
    }
    u->size = (uint64_t)st.st_size;
    *out = u;
    return 0;
}

int blob_upload_open(struct blob_store *bs, const char *id, struct blob_upload **out)
{
    if (id_ok(id))
        return growing_open(bs, bs->uploads_fd, id, out);
    return ERR_INVAL;
}

static int partial_name(const struct digest *d, char out[ID_MAX + 1])
{
    if (d->alg != DIGEST_SHA256 || d->n != SHA256_BYTES)
        return ERR_UNSUPPORTED;
    char hex[2 * SHA256_BYTES + 1];
    hex_format(d->b, d->n, hex);
    snprintf(out, ID_MAX + 1, "%s-%s", digest_alg_name((enum digest_alg)d->alg), hex);
    return 0;
}

int blob_partial_open(struct blob_store *bs, const struct digest *d, struct blob_upload **out)
{
    char name[ID_MAX + 1];
    int rc = partial_name(d, name);
    if (rc)
        return rc;
    return growing_open(bs, bs->part_fd, name, out);
}

uint64_t blob_partial_size(struct blob_store *bs, const struct digest *d)
{
    char name[ID_MAX + 1];
    struct stat st;
    if (partial_name(d, name) || fstatat(bs->part_fd, name, &st, AT_SYMLINK_NOFOLLOW) ||
        !S_ISREG(st.st_mode))
        return 0;
    return (uint64_t)st.st_size;
}

uint64_t blob_upload_size(const struct blob_upload *u)
{
    return u->size;
}

int blob_upload_write(struct blob_upload *u, const void *p, size_t n)
{
    if (u->dead)
        return u->dead;
    if (u->size > INT64_MAX - n)
        return ERR_TOOBIG;
    int rc = 0;
    if (!u->hasher)
        rc = redigest(u);
    if (rc)
        return rc;
    rc = fd_pwrite_all(u->fd, p, n, (off_t)u->size);
    if (rc) {
        // If this fails too, the acknowledged size in the metadata still says where the truth ends.
        (void)!ftruncate(u->fd, (off_t)u->size);
        return rc;
    }
    hasher_update(u->hasher, p, n);
    u->size += n;
    return 0;
}

static int sync_failed(struct blob_upload *u, int e)
{
    u->dead = err_from_errno(e);
    (void)!ftruncate(u->fd, (off_t)u->synced); // a later look must not take lost pages for bytes
    u->size = u->synced;
    return u->dead;
}

int blob_upload_sync(struct blob_upload *u)
{
    if (u->dead)
        return u->dead;
    if (fdatasync(u->fd))
        return sync_failed(u, errno);
    u->synced = u->size;
    return 0;
}

int blob_upload_trim(struct blob_upload *u, uint64_t size)
{
    if (u->dead)
        return u->dead;
    if (size > u->size)
        return ERR_RANGE;
    u->synced = size;
    if (size == u->size)
        return 0;
    if (ftruncate(u->fd, (off_t)size))
        return err_from_errno(errno);
    u->size = size;
    hasher_free(take_ptr(u->hasher));
    return 0;
}

int blob_upload_truncate(struct blob_upload *u)
{
    return blob_upload_trim(u, 0);
}

static int verify(struct blob_upload *u, const struct digest *expected)
{
    struct digest d;
    int rc = 0;
    if (!u->hasher)
        rc = redigest(u);
    if (rc)
        return rc;
    rc = hasher_final(u->hasher, &d);
    hasher_free(u->hasher);
    u->hasher = NULL; // read again if the upload goes on
    if (rc)
        return rc;
    if (digest_equal(&d, expected))
        return 0;
    return ERR_DIGEST;
}

// Gives the file its name, over whatever has it: this one was verified, that one may have been
// damaged since. Who reads the old one reads on. What was set aside under this name is replaced by
// that, too.
static int publish(struct blob_upload *u, const struct digest *d)
{
    AUTO_CLOSE int shard = -1;
    int rc = blob_shard_open(u->bs, d, true, &shard);
    if (rc)
        return rc;
    char hex[2 * SHA256_BYTES + 1];
    hex_format(d->b, d->n, hex);
    struct stat dir, own;
    if (fstat(shard, &dir) == 0 && fstat(u->fd, &own) == 0 && own.st_gid != dir.st_gid)
        // allowed only to members; the daemon sets groups up
        (void)!fchown(u->fd, (uid_t)-1, dir.st_gid);
    pthread_mutex_lock(&u->bs->lock); // blob_verify moves away only what it has read
    if (renameat(u->dir_fd, u->name, shard, hex))
        rc = err_from_errno(errno);
    else
        rc = 0;
    pthread_mutex_unlock(&u->bs->lock);
    if (rc)
        return rc;
    u->dead = ERR_CLOSED;
    if (fsync(shard))
        return err_from_errno(errno);
    // if it stays, the mender finds the blob whole and takes it off
    (void)blob_damaged_forget(u->bs, d);
    return 0;
}

// The name under which an upload's outcome is noted: no id has a '='.
static void outcome_name(const char *id, char out[ID_MAX + 2])
{
    out[0] = '=';
    snprintf(out + 1, ID_MAX + 1, "%s", id);
}

// A symbolic link comes to be whole, name and text, in one step; nothing ever follows it. It is
// written once the content was verified and before the file moves, so that a moved file always has
// one.
static int outcome_note(struct blob_upload *u, const struct digest *d)
{
    char name[ID_MAX + 2], text[DIGEST_TEXT_SIZE];
    outcome_name(u->name, name);
    digest_format(d, text);
    if (unlinkat(u->dir_fd, name, 0) && errno != ENOENT)
        return err_from_errno(errno);
    if (symlinkat(text, u->dir_fd, name))
        return err_from_errno(errno);
    return 0;
}

int blob_upload_outcome(struct blob_store *bs, const char *id, struct digest *out)
{
    char name[ID_MAX + 2], text[DIGEST_TEXT_SIZE];
    if (!id_ok(id))
        return ERR_INVAL;
    outcome_name(id, name);
    ssize_t n = readlinkat(bs->uploads_fd, name, text, sizeof text);
    if (n < 0)
        return err_from_errno(errno);
    if (digest_parse(text, (size_t)n, out))
        return ERR_CORRUPT;
    return 0;
}

int blob_upload_commit(struct blob_upload *u, const struct digest *expected, uint64_t *out_size)
{
    if (u->dead)
        return u->dead;
    if (expected->alg != DIGEST_SHA256 || expected->n != SHA256_BYTES)
        return ERR_UNSUPPORTED;
    int rc = verify(u, expected);
    if (!rc && fsync(u->fd))
        rc = sync_failed(u, errno);
    if (!rc && u->dir_fd == u->bs->uploads_fd)
        rc = outcome_note(u, expected);
    if (!rc)
        rc = publish(u, expected);
    if (!rc && out_size)
        *out_size = u->size;
    return rc;
}

void blob_upload_close(struct blob_upload *u)
{
    if (!u)
        return;
    fd_auto_close(&u->fd);
    unlist(u);
    hasher_free(u->hasher);
    free(u);
}

void blob_upload_drop(struct blob_upload *u)
{
    if (!u)
        return;
    if (u->dead != ERR_CLOSED) // after the commit the file has another name
        (void)unlinkat(u->dir_fd, u->name, 0);
    blob_upload_close(u);
}

int blob_upload_discard(struct blob_store *bs, const char *id)
{
    if (!id_ok(id))
        return ERR_INVAL;
    AUTO_CLOSE int held = -1;
    char outcome[ID_MAX + 2];
    outcome_name(id, outcome);
    pthread_mutex_lock(&bs->lock);
    int rc = blob_upload_hold(bs, bs->uploads_fd, id, &held);
    if (!rc && unlinkat(bs->uploads_fd, id, 0) && errno != ENOENT)
        rc = err_from_errno(errno);
    if (!rc && unlinkat(bs->uploads_fd, outcome, 0) && errno != ENOENT)
        rc = err_from_errno(errno);
    pthread_mutex_unlock(&bs->lock);
    return rc;
}
