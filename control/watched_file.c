// SPDX-License-Identifier: Apache-2.0
// Reading of what is watched; see watched_file.h.
#include "control/watched_file.h"

#include "base/err.h"
#include "base/fd.h"
#include "config/principals.h"
#include "control/compiled.h"
#include "control/topology_file.h"

#include <string.h>
#include <sys/stat.h>

void watch_document_done(struct document *d)
{
    snapshot_unref(d->value);
    if (d->text.p)
        explicit_bzero(d->text.p, d->text.cap); // principals
    buf_done(&d->text);
}

static struct topology *topology_of(const struct document *d)
{
    return d->value;
}

// Is the text what the last good one began from?
static bool began_from(const struct document *last, const struct buf *text,
                       const uint8_t sha[SHA256_BYTES])
{
    struct compiled_info info;
    const struct topology_frame *f = NULL;
    if (last && last->value)
        f = topology_of(last)->frame;
    if (!f)
        return false;
    if (compiled_is(text->p, text->n))
        return !compiled_info_parse(text->p, text->n, &info) && info.version == f->base_version &&
               !memcmp(info.content_hash, f->base_hash, SHA256_BYTES);
    return !memcmp(sha, f->base_hash, SHA256_BYTES);
}

static void describe(struct document *out, struct topology *t)
{
    out->value = t;
    out->version = t->version;
    out->file_version = t->frame->base_version;
    memcpy(out->hash, t->frame->base_hash, SHA256_BYTES);
}

static int parse(enum topology_form form, const char *path, const struct document *last,
                 struct diag *diag, struct document *out)
{
    struct topology *t = NULL;
    uint8_t sha[SHA256_BYTES];
    int rc = file_read(path, TOPOLOGY_MAX_BYTES, &out->text);
    if (rc) {
        diag_add(diag, path, 0, "cannot be read: %s", err_text(rc));
        return rc;
    }
    sha256(buf_cstr(&out->text), out->text.n, sha);
    if (began_from(last, &out->text, sha))
        t = snapshot_ref(last->value);
    else
        rc = topology_file_parse(form, buf_cstr(&out->text), out->text.n, path, diag, &t);
    if (rc)
        return rc;
    describe(out, t);
    return 0;
}

int watch_parse_kept(enum topology_form form, const char *path, const char *home, struct diag *diag,
                     struct document *out)
{
    int rc = parse(form, path, NULL, diag, out);
    if (rc) // still ours alone
        return rc;
    return topology_set_source(out->value, home);
}

// The topology at a node's own path: whatever it was compiled from, it is the beginning here.
int watch_parse_topology(enum topology_form form, const char *path, const struct document *last,
                         struct diag *diag, struct document *out)
{
    int rc = parse(form, path, last, diag, out);
    if (rc || (last && out->value == last->value))
        return rc;
    struct topology *t = out->value; // still ours alone
    t->frame->base_version = t->version;
    memcpy(t->frame->base_hash, t->content_hash, SHA256_BYTES);
    describe(out, t);
    return 0;
}

int watch_parse_principals(enum topology_form form, const char *path, const struct document *last,
                           struct diag *diag, struct document *out)
{
    struct principals *p = NULL;
    (void)form;
    (void)last;
    int rc = principals_load(path, diag, &p); // checks the mode as well
    if (rc)
        return rc;
    out->value = p;
    out->version = out->file_version = p->version;
    rc = principals_format(p, &out->text); // canonical: a comment changed is no change
    if (rc)
        diag_add(diag, path, 0, "%s", err_text(rc));
    else
        sha256(buf_cstr(&out->text), out->text.n, out->hash);
    return rc;
}

struct signature watch_signature(const char *path)
{
    struct stat st;
    struct signature s = {0};
    if (stat(path, &st))
        return s;
    s.dev = st.st_dev;
    s.ino = st.st_ino;
    s.mode = st.st_mode;
    s.size = st.st_size;
    s.mtime = st.st_mtim;
    s.ctime = st.st_ctim;
    return s;
}

static bool time_same(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool signature_same(const struct signature *a, const struct signature *b)
{
    if (a->dev != b->dev || a->ino != b->ino || a->mode != b->mode || a->size != b->size)
        return false;
    return time_same(&a->mtime, &b->mtime) && time_same(&a->ctime, &b->ctime);
}
