// SPDX-License-Identifier: Apache-2.0
// Partial fetches whose bytes come in ranges, at any place; see store/blob.h and files.h. Which chunks
// are there stands in memory, and beside the file in NAME.map: the size of the whole, a bit for each
// chunk, and a sum over both. The owner and the threads that put bytes share a lock for the bits.
//
// Invariants:
//   1. The map is on the disk before the file has a hole. A file that has no map is without holes, and
//      one whose map cannot be read counts as empty.
//   2. A chunk stands in the map on the disk only when its bytes are durable. So nothing counts after a
//      kill or a crash that is not there; what came since the last sync is fetched again.
//   3. The map goes after the file has no hole any more: when it was cut to what is there in order, was
//      published, or is gone. A map that outlives its file counts for nothing: no file is so long, and
//      it is written anew before the next file of that name grows.
#include "store/files/files_priv.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES (256u << 10)
#define MAGIC "meridian-chunks1"
#define MAGIC_BYTES (sizeof MAGIC - 1)
#define HEAD_BYTES (MAGIC_BYTES + 8)
#define SUM_BYTES 32

struct file_spread {
    uint64_t whole;
    size_t n_chunks;
    // the map on the disk has chunks for which the file was too short
    bool outlived;
    pthread_mutex_t lock;
    // under the lock: a bit for each chunk
    uint8_t bits[];
};

static size_t bits_bytes(size_t n_chunks)
{
    return (n_chunks + 7) / 8;
}

static size_t chunks_of(uint64_t whole)
{
    return (size_t)((whole + BLOB_CHUNK_BYTES - 1) / BLOB_CHUNK_BYTES);
}

static bool bit_get(const uint8_t *bits, size_t i)
{
    return bits[i / 8] >> (i % 8) & 1;
}

static void bit_set(uint8_t *bits, size_t i)
{
    bits[i / 8] |= (uint8_t)(1u << (i % 8));
}

static void bit_clear(uint8_t *bits, size_t i)
{
    bits[i / 8] &= (uint8_t) ~(1u << (i % 8));
}

static uint64_t chunk_end(uint64_t whole, size_t i)
{
    uint64_t end = (uint64_t)(i + 1) * BLOB_CHUNK_BYTES;
    if (end > whole)
        end = whole;
    return end;
}

static struct file_spread *spread_new(uint64_t whole)
{
    size_t n = chunks_of(whole);
    struct file_spread *sp = mem_zalloc(sizeof *sp + bits_bytes(n));
    if (!sp)
        return NULL;
    sp->whole = whole;
    sp->n_chunks = n;
    pthread_mutex_init(&sp->lock, NULL);
    return sp;
}

void file_spread_free(struct file_spread *sp)
{
    if (!sp)
        return;
    pthread_mutex_destroy(&sp->lock);
    free(sp);
}

// --- the map on the disk ---

static void beside_name(const char *name, const char *suffix, char out[FILE_BESIDE_SIZE])
{
    snprintf(out, FILE_BESIDE_SIZE, "%s%s", name, suffix);
}

void file_spread_forget(int dir_fd, const char *name)
{
    char beside[FILE_BESIDE_SIZE];
    beside_name(name, ".map", beside);
    (void)unlinkat(dir_fd, beside, 0);
    beside_name(name, ".new", beside);
    (void)unlinkat(dir_fd, beside, 0);
}

bool file_spread_beside(const char *name, char out_of[BLOB_NAME_SIZE])
{
    const char *dot = strrchr(name, '.');
    if (!dot || (strcmp(dot, ".map") != 0 && strcmp(dot, ".new") != 0))
        return false;
    snprintf(out_of, BLOB_NAME_SIZE, "%.*s", (int)(dot - name), name);
    return true;
}

// Replaces the map by one with these bits.
static int map_write(const struct file_upload *u, const uint8_t *bits)
{
    const struct file_spread *sp = u->spread;
    size_t n = HEAD_BYTES + bits_bytes(sp->n_chunks);
    AUTO_FREE uint8_t *text = mem_zalloc(n + SUM_BYTES);
    char fresh[FILE_BESIDE_SIZE], map[FILE_BESIDE_SIZE];
    struct digest sum;
    if (!text)
        return ERR_NOMEM;
    memcpy(text, MAGIC, MAGIC_BYTES);
    for (size_t i = 0; i < 8; i++)
        text[MAGIC_BYTES + i] = (uint8_t)(sp->whole >> (56 - 8 * i));
    memcpy(text + HEAD_BYTES, bits, bits_bytes(sp->n_chunks));
    int rc = digest_of(DIGEST_SHA256, text, n, &sum);
    if (rc)
        return rc;
    memcpy(text + n, sum.b, SUM_BYTES);
    beside_name(u->name, ".new", fresh);
    beside_name(u->name, ".map", map);
    AUTO_CLOSE int fd =
        openat(u->dir_fd, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_from_errno(errno);
    file_group_ensure(fd, u->fs->group);
    if (fchmod(fd, 0640)) // whatever the umask was
        return err_from_errno(errno);
    rc = fd_write_all(fd, text, n + SUM_BYTES);
    if (!rc && fdatasync(fd))
        rc = err_from_errno(errno);
    if (!rc && renameat(u->dir_fd, fresh, u->dir_fd, map))
        rc = err_from_errno(errno);
    if (rc)
        (void)unlinkat(u->dir_fd, fresh, 0);
    return rc;
}

// ERR_NOTFOUND: there is none. ERR_CORRUPT: there is one that says nothing.
static int map_read(int dir_fd, const char *name, struct file_spread **out)
{
    char map[FILE_BESIDE_SIZE];
    struct stat st;
    struct digest sum;
    beside_name(name, ".map", map);
    AUTO_CLOSE int fd = openat(dir_fd, map, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    if (fstat(fd, &st))
        return err_from_errno(errno);
    size_t most = HEAD_BYTES + bits_bytes(chunks_of(BLOB_SPREAD_MAX)) + SUM_BYTES;
    size_t size = (size_t)st.st_size;
    if (!S_ISREG(st.st_mode) || size < HEAD_BYTES + SUM_BYTES || size > most)
        return ERR_CORRUPT;
    AUTO_FREE uint8_t *text = mem_alloc(size);
    if (!text)
        return ERR_NOMEM;
    if (pread(fd, text, size, 0) != (ssize_t)size)
        return ERR_CORRUPT;
    int rc = digest_of(DIGEST_SHA256, text, size - SUM_BYTES, &sum);
    if (rc)
        return rc;
    uint64_t whole = 0;
    for (size_t i = 0; i < 8; i++)
        whole = whole << 8 | text[MAGIC_BYTES + i];
    bool good = memcmp(text, MAGIC, MAGIC_BYTES) == 0 &&
                memcmp(text + size - SUM_BYTES, sum.b, SUM_BYTES) == 0 &&
                whole <= BLOB_SPREAD_MAX &&
                size == HEAD_BYTES + bits_bytes(chunks_of(whole)) + SUM_BYTES;
    if (!good)
        return ERR_CORRUPT;
    struct file_spread *sp = spread_new(whole);
    if (!sp)
        return ERR_NOMEM;
    memcpy(sp->bits, text + HEAD_BYTES, bits_bytes(sp->n_chunks));
    *out = sp;
    return 0;
}

// What the file is too short for is not there.
static void bits_bound(struct file_spread *sp, uint64_t file_size)
{
    for (size_t i = 0; i < sp->n_chunks; i++)
        if (bit_get(sp->bits, i) && chunk_end(sp->whole, i) > file_size) {
            bit_clear(sp->bits, i);
            sp->outlived = true;
        }
}

// --- what is there ---

// The bytes that are there in order.
static uint64_t in_order(const struct file_spread *sp)
{
    size_t i = 0;
    while (i < sp->n_chunks && bit_get(sp->bits, i))
        i++;
    if (i == sp->n_chunks)
        return sp->whole;
    return (uint64_t)i * BLOB_CHUNK_BYTES;
}

int file_spread_load(struct file_upload *u)
{
    struct file_spread *sp = NULL;
    int rc = map_read(u->dir_fd, u->name, &sp);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc == ERR_CORRUPT) { // invariant 1
        if (ftruncate(u->fd, 0))
            return err_from_errno(errno);
        file_spread_forget(u->dir_fd, u->name);
        u->base.size = 0;
        return 0;
    }
    if (rc)
        return rc;
    bits_bound(sp, u->base.size);
    u->base.size = in_order(sp);
    u->spread = sp;
    return 0;
}

uint64_t file_spread_size(int dir_fd, const char *name, uint64_t file_size)
{
    struct file_spread *sp = NULL;
    uint64_t sum = 0;
    int rc = map_read(dir_fd, name, &sp);
    if (rc == ERR_CORRUPT)
        return 0;
    if (rc)
        return file_size;
    bits_bound(sp, file_size);
    for (size_t i = 0; i < sp->n_chunks; i++)
        if (bit_get(sp->bits, i))
            sum += chunk_end(sp->whole, i) - (uint64_t)i * BLOB_CHUNK_BYTES;
    file_spread_free(sp);
    return sum;
}

int file_spread_end(struct file_upload *u)
{
    if (!u->spread)
        return 0;
    if (ftruncate(u->fd, (off_t)u->base.size))
        return err_from_errno(errno);
    file_spread_forget(u->dir_fd, u->name); // invariant 3
    file_spread_free(take_ptr(u->spread));
    return 0;
}

// --- operations ---

// The map is on the disk when this returns 0.
static int map_begin(struct file_upload *u)
{
    int rc = map_write(u, u->spread->bits);
    if (!rc && fsync(u->dir_fd)) // invariant 1
        rc = err_from_errno(errno);
    if (!rc)
        u->spread->outlived = false;
    return rc;
}

int file_upload_spread(struct blob_upload *bu, uint64_t whole)
{
    struct file_upload *u = (struct file_upload *)bu;
    if (u->dead)
        return u->dead;
    if (u->dir_fd != u->fs->part_fd || whole > BLOB_SPREAD_MAX || bu->size > whole)
        return ERR_UNSUPPORTED;
    bool same = u->spread && u->spread->whole == whole;
    if (same && u->spread->outlived)
        return map_begin(u); // invariant 3
    if (same)
        return 0;
    uint64_t kept = bu->size - bu->size % BLOB_CHUNK_BYTES;
    if (bu->size == whole)
        kept = whole;
    int rc = file_upload_trim(bu, kept); // of another whole
    if (rc)
        return rc;
    u->spread = spread_new(whole);
    if (!u->spread)
        return ERR_NOMEM;
    for (size_t i = 0; i < u->spread->n_chunks && chunk_end(whole, i) <= kept; i++)
        bit_set(u->spread->bits, i);
    rc = map_begin(u);
    if (rc)
        (void)file_spread_end(u);
    return rc;
}

int file_upload_put(struct blob_upload *bu, uint64_t at, const void *p, size_t n)
{
    struct file_upload *u = (struct file_upload *)bu;
    assert(u->spread && n <= u->spread->whole && at <= u->spread->whole - n);
    return fd_pwrite_all(u->fd, p, n, (off_t)at);
}

void file_upload_chunk_done(struct blob_upload *bu, size_t chunk)
{
    struct file_spread *sp = ((struct file_upload *)bu)->spread;
    assert(chunk < sp->n_chunks);
    pthread_mutex_lock(&sp->lock);
    bit_set(sp->bits, chunk);
    pthread_mutex_unlock(&sp->lock);
}

bool file_upload_chunk_there(struct blob_upload *bu, size_t chunk)
{
    struct file_spread *sp = ((struct file_upload *)bu)->spread;
    assert(chunk < sp->n_chunks);
    pthread_mutex_lock(&sp->lock);
    bool there = bit_get(sp->bits, chunk);
    pthread_mutex_unlock(&sp->lock);
    return there;
}

int file_upload_read(struct blob_upload *bu, uint64_t at, void *p, size_t n)
{
    const struct file_upload *u = (const struct file_upload *)bu;
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(u->fd, (char *)p + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_from_errno(errno);
        if (got == 0) // the file is shorter
            return ERR_IO;
        done += (size_t)got;
    }
    return 0;
}

// The next chunk in order, which is there.
static int chunk_digest(struct file_upload *u, size_t chunk, char *piece)
{
    uint64_t end = chunk_end(u->spread->whole, chunk);
    for (uint64_t at = u->base.size; at < end;) {
        size_t n = READ_BYTES;
        if (end - at < n)
            n = (size_t)(end - at);
        int rc = file_upload_read(&u->base, at, piece, n);
        if (rc)
            return rc;
        hasher_update(u->hasher, piece, n);
        at += n;
    }
    u->base.size = end;
    return 0;
}

int file_upload_digest(struct blob_upload *bu, uint64_t max)
{
    struct file_upload *u = (struct file_upload *)bu;
    if (u->dead)
        return u->dead;
    int rc = file_hasher_ensure(u);
    if (rc)
        return rc;
    AUTO_FREE char *piece = mem_alloc(READ_BYTES);
    if (!piece)
        return ERR_NOMEM;
    uint64_t until = bu->size + max;
    while (!rc && bu->size < until && bu->size < u->spread->whole) {
        size_t chunk = (size_t)(bu->size / BLOB_CHUNK_BYTES);
        if (!file_upload_chunk_there(bu, chunk))
            break;
        rc = chunk_digest(u, chunk, piece);
    }
    if (rc) // it may have seen a part of a chunk
        hasher_free(take_ptr(u->hasher));
    return rc;
}

int file_spread_sync(struct file_upload *u)
{
    struct file_spread *sp = u->spread;
    AUTO_FREE uint8_t *bits = mem_alloc(bits_bytes(sp->n_chunks));
    if (!bits)
        return ERR_NOMEM;
    pthread_mutex_lock(&sp->lock);
    memcpy(bits, sp->bits, bits_bytes(sp->n_chunks));
    pthread_mutex_unlock(&sp->lock);
    int rc = file_bytes_sync(u);
    if (rc)
        return rc;
    return map_write(u, bits); // invariant 2
}
