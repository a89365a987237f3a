// SPDX-License-Identifier: Apache-2.0
// Verifying a backup; see backup.h.
#include "backup/backup.h"

#include "backup/bytes_copy.h"
#include "backup/check.h"
#include "backup/folder.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SAID_MAX 20

struct checking {
    const struct folder *f;
    bool digests;
    struct diag *diag;
    struct backup_report *r;
    // of blobs: how many are bad, and how many there are
    size_t n_bad, n_seen;
};

int folder_form_read(const struct folder *f, struct arena *a, struct diag *diag,
                     struct backup_form *out)
{
    AUTO_BUF struct buf text;
    buf_init(&text, BACKUP_FORM_MAX);
    int rc = folder_form_get(f, &text);
    if (rc == ERR_NOTFOUND)
        diag_add(diag, NULL, 0, "%s: there is no backup: it has no backup.json", f->dir);
    if (rc)
        return rc;
    return backup_form_read(bytes_of(text.p, text.n), a, diag, out);
}

bool backup_misses(const struct backup_form *form, const struct digest *d)
{
    // they were missed in the order of the metadata's blobs, which is this one
    return form->n_missing &&
           bsearch(d, form->missing, form->n_missing, sizeof *d, backup_digest_order);
}

// --- files ---

// Metadata is read whole, whoever asks: a restore relies on it.
static int file_look(const struct checking *c, const struct backup_file *file)
{
    AUTO_CLOSE int fd = -1;
    struct digest is;
    uint64_t n = 0;
    int rc = folder_file_open(c->f, file->sha256, &fd);
    if (!rc)
        rc = bytes_copy(fd, -1, DIGEST_SHA256, &n, &is);
    if (!rc && (n != file->bytes || memcmp(is.b, file->sha256, SHA256_BYTES) != 0))
        rc = ERR_DIGEST;
    return rc;
}

static int files_check(const struct checking *c)
{
    int bad = 0;
    for (size_t i = 0; i < c->r->form.n_files; i++) {
        const struct backup_file *file = &c->r->form.files[i];
        int rc = file_look(c, file);
        if (!rc)
            continue;
        diag_add(c->diag, NULL, 0, "%s: %s is not whole: %s", c->f->dir, file->path, err_text(rc));
        bad = ERR_CORRUPT;
    }
    return bad;
}

// --- metadata ---

static bool facts_equal(const struct sqlite_facts *a, const struct sqlite_facts *b)
{
    return a->schema == b->schema && !strcmp(a->region, b->region) && a->epoch == b->epoch &&
           a->head.epoch == b->head.epoch && a->head.seq == b->head.seq &&
           a->n_repositories == b->n_repositories && a->n_manifests == b->n_manifests &&
           a->n_tags == b->n_tags && a->n_entries == b->n_entries && a->n_blobs == b->n_blobs &&
           a->blob_bytes == b->blob_bytes;
}

static int meta_check(const struct checking *c, struct arena *a, const char *path)
{
    struct sqlite_facts is = {0};
    int rc = sqlite_facts_read(path, a, c->diag, &is);
    if (!rc && !facts_equal(&is, &c->r->form.facts)) {
        diag_add(c->diag, NULL, 0, "%s: the metadata is not what backup.json says of it",
                 c->f->dir);
        rc = ERR_CORRUPT;
    }
    return rc;
}

// --- blobs ---

int folder_blob_look(const struct folder *f, const struct digest *d, uint64_t size, bool read,
                     uint64_t *n_read)
{
    AUTO_CLOSE int fd = -1;
    struct digest is;
    uint64_t n = 0;
    int rc = folder_blob_open(f, d, size, &fd);
    if (rc || !read)
        return rc;
    rc = bytes_copy(fd, -1, (enum digest_alg)d->alg, &n, &is);
    if (!rc && !digest_equal(&is, d))
        rc = ERR_DIGEST;
    if (!rc)
        ++*n_read;
    return rc;
}

static int blob_check(void *ctx, const struct blob_name *name, uint64_t size)
{
    struct checking *c = ctx;
    char text[DIGEST_TEXT_SIZE];
    if (backup_misses(&c->r->form, &name->digest))
        return 0;
    int rc = folder_blob_look(c->f, &name->digest, size, c->digests, &c->r->n_read);
    c->n_seen++;
    if (!rc)
        c->r->n_kept++;
    if (rc && c->n_bad++ < SAID_MAX)
        diag_add(c->diag, NULL, 0, "%s: blob %s is not whole: %s", c->f->dir,
                 digest_format(&name->digest, text), err_text(rc));
    return 0; // the others too
}

static int blobs_check(struct checking *c, const char *path)
{
    int rc = sqlite_blobs_each(path, blob_check, c);
    if (c->n_bad > SAID_MAX)
        diag_add(c->diag, NULL, 0, "%s: %zu blobs are not whole", c->f->dir, c->n_bad);
    if (!rc && c->n_bad)
        rc = ERR_CORRUPT;
    return rc;
}

int folder_check(const struct folder *f, bool digests, struct arena *a, struct diag *diag,
                 struct backup_report *r)
{
    struct checking c = {.f = f, .digests = digests, .diag = diag, .r = r};
    const struct backup_file *meta = backup_form_find(&r->form, BACKUP_META);
    AUTO_FREE char *path = folder_file_path(f, meta->sha256);
    if (!path)
        return ERR_NOMEM;
    int rc = files_check(&c);
    if (!rc)
        rc = meta_check(&c, a, path);
    if (rc)
        return rc;
    return blobs_check(&c, path);
}

int backup_verify(const char *dir, bool digests, struct arena *a, struct diag *diag,
                  struct backup_report *out)
{
    struct folder f;
    struct backup_report r = {0};
    int rc = folder_open(dir, false, diag, &f);
    if (rc)
        return rc;
    rc = folder_form_read(&f, a, diag, &r.form);
    if (!rc) {
        rc = folder_check(&f, digests, a, diag, &r);
        *out = r;
    }
    folder_close(&f);
    return rc;
}
