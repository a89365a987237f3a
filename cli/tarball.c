// SPDX-License-Identifier: Apache-2.0
// ustar in gzip; see tarball.h.
#include "cli/tarball.h"

#include "base/err.h"

#include <stdio.h>
#include <string.h>

#define BLOCK 512
#define GZIP_WINDOW (15 + 16) // zlib: 32 KiB, with gzip's header

// The fields of a header, as POSIX names them. Numbers are octal digits and a NUL.
struct header {
    char name[100];
    char mode[8], uid[8], gid[8];
    char size[12], mtime[12];
    char chksum[8];
    char typeflag;
    char linkname[100];
    char magic[6], version[2];
    char uname[32], gname[32];
    char devmajor[8], devminor[8];
    char prefix[155];
    char rest[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is one block");

static void octal(char *field, size_t size, uint64_t v)
{
    for (size_t i = size - 1; i-- > 0; v /= 8)
        field[i] = (char)('0' + v % 8);
    field[size - 1] = 0;
}

// All bytes of the header added up, those of the sum itself as blanks.
static unsigned sum_of(const struct header *h)
{
    const unsigned char *p = (const unsigned char *)h;
    unsigned sum = sizeof h->chksum * ' ';
    for (size_t i = 0; i < BLOCK; i++)
        if (i < offsetof(struct header, chksum) ||
            i >= offsetof(struct header, chksum) + sizeof h->chksum)
            sum += p[i];
    return sum;
}

static void header_fill(const struct tarball *t, const char *path, size_t n, struct header *h)
{
    *h = (struct header){.typeflag = '0', .version = {'0', '0'}};
    memcpy(h->magic, "ustar", sizeof h->magic);
    memcpy(h->name, path, strlen(path));
    memcpy(h->uname, "root", 5);
    memcpy(h->gname, "root", 5);
    octal(h->mode, sizeof h->mode, 0600);
    octal(h->uid, sizeof h->uid, 0);
    octal(h->gid, sizeof h->gid, 0);
    octal(h->size, sizeof h->size, n);
    octal(h->mtime, sizeof h->mtime, t->time_s > 0 ? (uint64_t)t->time_s : 0);
    octal(h->devmajor, sizeof h->devmajor, 0);
    octal(h->devminor, sizeof h->devminor, 0);
    octal(h->chksum, sizeof h->chksum - 1, sum_of(h));
    h->chksum[sizeof h->chksum - 1] = ' ';
}

// Through the compressor, into `out`.
static void squeeze(struct tarball *t, const void *p, size_t n, int flush)
{
    int rc = Z_OK;
    t->z.next_in = (Bytef *)p;
    t->z.avail_in = (uInt)n;
    while (!t->err && rc != Z_STREAM_END && (t->z.avail_in || flush == Z_FINISH)) {
        char *room = buf_room(&t->out, 64 << 10);
        if (!room) {
            t->err = t->out.err;
            return;
        }
        t->z.next_out = (Bytef *)room;
        t->z.avail_out = 64 << 10;
        rc = deflate(&t->z, flush);
        t->out.n += (64 << 10) - t->z.avail_out;
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            t->err = ERR_NOMEM;
    }
}

int tarball_begin(struct tarball *t, const char *folder, size_t max_bytes, int64_t time_s)
{
    *t = (struct tarball){.folder = folder, .max_bytes = max_bytes, .time_s = time_s};
    buf_init(&t->out, 0);
    if (deflateInit2(&t->z, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        t->err = ERR_NOMEM;
    return t->err;
}

int tarball_add(struct tarball *t, const char *name, struct bytes content)
{
    static const char zeros[BLOCK];
    char path[TARBALL_NAME_MAX + 1];
    struct header h;
    int n = snprintf(path, sizeof path, "%s/%s", t->folder, name);
    if (!*name || n < 0 || (size_t)n >= sizeof path)
        return ERR_INVAL;
    if (content.n > t->max_bytes - t->n_bytes)
        return ERR_TOOBIG;
    header_fill(t, path, content.n, &h);
    squeeze(t, &h, sizeof h, Z_NO_FLUSH);
    squeeze(t, content.p, content.n, Z_NO_FLUSH);
    squeeze(t, zeros, (BLOCK - content.n % BLOCK) % BLOCK, Z_NO_FLUSH);
    t->n_bytes += content.n;
    return t->err;
}

int tarball_end(struct tarball *t, struct buf *out)
{
    static const char zeros[2 * BLOCK];
    squeeze(t, zeros, sizeof zeros, Z_NO_FLUSH);
    squeeze(t, NULL, 0, Z_FINISH);
    deflateEnd(&t->z);
    if (!t->err)
        buf_add(out, t->out.p, t->out.n);
    if (!t->err)
        t->err = out->err;
    buf_done(&t->out);
    return t->err;
}
