// SPDX-License-Identifier: Apache-2.0
// Making a backup; see backup.h.
#include "backup/backup.h"

#include "backup/check.h"
#include "backup/folder.h"
#include "backup/node_files.h"
#include "backup/prune.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEW_META "new-meta"
#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct taking {
    const struct backup_want *w;
    struct arena *a;
    struct diag *diag;
    struct folder folder;
    // store/blobs of the region
    int blobs_fd;
    struct backup_report r;
    struct digest *missing;
    size_t missing_cap;
};

// --- the backup that is there ---

// One of another region stays as it is. One that cannot be read is none: what it has of blobs is
// used again, since each is held against its size.
static int earlier_check(struct taking *t)
{
    AUTO_BUF struct buf text;
    struct backup_form form = {0};
    struct diag unsaid;
    buf_init(&text, BACKUP_FORM_MAX);
    int rc = folder_form_get(&t->folder, &text);
    if (rc == ERR_NOTFOUND)
        return 0;
    diag_init(&unsaid);
    if (!rc)
        rc = backup_form_read(bytes_of(text.p, text.n), t->a, &unsaid, &form);
    if (rc == ERR_VERSION)
        diag_add(t->diag, NULL, 0, "%s: holds a backup by a later program: name another folder",
                 t->w->dir);
    else if (rc == ERR_CORRUPT)
        rc = 0;
    else if (!rc && strcmp(form.facts.region, t->w->region) != 0) {
        diag_add(t->diag, NULL, 0,
                 "%s: holds a backup of region %s, not of %s: name another folder", t->w->dir,
                 form.facts.region, t->w->region);
        rc = ERR_CONFLICT;
    }
    diag_done(&unsaid);
    return rc;
}

// --- metadata ---

static int region_check(struct taking *t, const char *path)
{
    struct sqlite_facts *x = &t->r.form.facts;
    int rc = sqlite_facts_read(path, t->a, t->diag, x);
    if (rc || !strcmp(x->region, t->w->region))
        return rc;
    diag_add(t->diag, NULL, 0,
             "%s/" BACKUP_META ": belongs to region %s, not to %s: check data_dir", t->w->data_dir,
             x->region, t->w->region);
    return ERR_CONFLICT;
}

static int meta_take(struct taking *t)
{
    AUTO_FREE char *from = mem_printf("%s/" BACKUP_META, t->w->data_dir);
    AUTO_FREE char *to = mem_printf("%s/" NEW_META, t->w->dir);
    struct backup_file meta = {.path = BACKUP_META, .mode = 0600};
    if (!from || !to)
        return ERR_NOMEM;
    int rc = sqlite_copy(from, to, t->diag);
    if (rc)
        return rc;
    t->r.form.at_ms = clock_wall_ms();
    rc = region_check(t, to);
    if (!rc)
        rc = folder_file_adopt(&t->folder, NEW_META, &meta.bytes, meta.sha256);
    if (!rc)
        rc = node_files_add(&t->r.form, t->a, &meta);
    if (rc)
        (void)unlinkat(t->folder.dir_fd, NEW_META, 0);
    return rc;
}

// --- blobs ---

static int missing_add(struct taking *t, const struct digest *d)
{
    struct backup_form *f = &t->r.form;
    if (f->n_missing == t->missing_cap) {
        size_t cap = t->missing_cap ? 2 * t->missing_cap : 16;
        struct digest *more = arena_array(t->a, cap, sizeof *more);
        if (!more)
            return ERR_NOMEM;
        if (f->n_missing)
            memcpy(more, t->missing, f->n_missing * sizeof *more);
        t->missing = more;
        t->missing_cap = cap;
    }
    t->missing[f->n_missing++] = *d;
    f->missing = t->missing;
    return 0;
}

static int blob_bring(struct taking *t, const struct blob_name *name, uint64_t size)
{
    char shard[3], hex[DIGEST_HEX_SIZE], path[2 * DIGEST_HEX_SIZE];
    hex_format(name->digest.b, 1, shard);
    hex_format(name->digest.b, name->digest.n, hex);
    snprintf(path, sizeof path, "%s/%s/%s%s%s", digest_alg_name((enum digest_alg)name->digest.alg),
             shard, hex, name->generation[0] ? "." : "", name->generation);
    const struct blob_put put = {.from_fd = t->blobs_fd,
                                 .from_name = path,
                                 .digest = &name->digest,
                                 .size = size,
                                 .copy = t->w->copy};
    bool linked;
    int rc = folder_blob_put(&t->folder, &put, &linked);
    if (!rc && t->w->verify)
        rc = folder_blob_look(&t->folder, &name->digest, size, t->w->verify, &t->r.n_read);
    if (rc)
        return rc;
    t->r.n_new++;
    t->r.new_bytes += size;
    t->r.n_linked += linked;
    return 0;
}

// What the region itself has lost, or has damaged, is listed.
static int blob_take(void *ctx, const struct blob_name *name, uint64_t size)
{
    struct taking *t = ctx;
    int rc = folder_blob_look(&t->folder, &name->digest, size, t->w->verify, &t->r.n_read);
    if (!rc) {
        t->r.n_kept++;
        return 0;
    }
    if (rc == ERR_NOTFOUND || rc == ERR_DIGEST)
        rc = blob_bring(t, name, size);
    if (rc != ERR_NOTFOUND && rc != ERR_DIGEST)
        return rc;
    rc = folder_blob_drop(&t->folder, &name->digest);
    if (!rc)
        rc = missing_add(t, &name->digest);
    return rc;
}

static int blobs_take(struct taking *t)
{
    AUTO_FREE char *dir = mem_printf("%s/store/blobs", t->w->data_dir);
    const struct backup_file *meta = backup_form_find(&t->r.form, BACKUP_META);
    AUTO_FREE char *path = folder_file_path(&t->folder, meta->sha256);
    if (!dir || !path)
        return ERR_NOMEM;
    t->blobs_fd = open(dir, DIR_FLAGS);
    if (t->blobs_fd < 0) {
        int rc = err_from_errno(errno);
        diag_add(t->diag, NULL, 0, "%s: cannot be opened: %s", dir, err_text(rc));
        return rc;
    }
    return sqlite_blobs_each(path, blob_take, t);
}

// --- the whole ---

static int form_put(struct taking *t)
{
    AUTO_BUF struct buf text;
    buf_init(&text, BACKUP_FORM_MAX);
    int rc = backup_form_write(&t->r.form, &text);
    if (!rc)
        rc = folder_form_put(&t->folder, bytes_of(text.p, text.n));
    return rc;
}

// Holds from before the metadata is copied until the last blob is there (invariant 2).
static int held_take(struct taking *t)
{
    AUTO_FREE char *store = mem_printf("%s/store", t->w->data_dir);
    AUTO_CLOSE int hold = -1;
    int rc = store ? blob_files_hold(store, &hold) : ERR_NOMEM;
    if (rc) {
        diag_add(t->diag, NULL, 0, "%s: is no store of a region, or cannot be held: %s",
                 store ? store : "store", err_text(rc));
        return rc;
    }
    rc = meta_take(t);
    if (!rc)
        rc = blobs_take(t);
    return rc;
}

static int folder_fill(struct taking *t)
{
    int rc = earlier_check(t);
    if (!rc)
        rc = held_take(t);
    if (!rc)
        rc = node_files_take(&t->folder, t->w->data_dir, t->w->with_keys, t->a, &t->r.form);
    if (!rc)
        rc = folder_sync(&t->folder);
    if (!rc)
        rc = form_put(t); // invariant 1
    if (!rc && folder_prune(&t->folder, &t->r.form))
        diag_add(t->diag, NULL, 0,
                 "%s: the backup is made, but what it does not need any more cannot all be removed",
                 t->w->dir);
    return rc;
}

int backup_take(const struct backup_want *w, struct arena *a, struct diag *diag,
                struct backup_report *out)
{
    struct taking t = {.w = w, .a = a, .diag = diag, .blobs_fd = -1};
    t.r.form.program = MERIDIAN_VERSION;
    t.r.form.keys = w->with_keys;
    int rc = folder_open(w->dir, true, diag, &t.folder);
    if (rc)
        return rc;
    size_t said = diag ? diag_count(diag) : 0;
    rc = folder_fill(&t);
    if (rc && diag && diag_count(diag) == said)
        diag_add(diag, NULL, 0, "%s: the backup cannot be made: %s%s", w->dir, err_text(rc),
                 rc == ERR_NOSPACE ? "; the one before it is as it was" : "");
    fd_auto_close(&t.blobs_fd);
    folder_close(&t.folder);
    if (!rc)
        *out = t.r;
    return rc;
}
