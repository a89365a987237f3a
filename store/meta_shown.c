// SPDX-License-Identifier: Apache-2.0
// The texts of what clients see, and walks over them; see meta_shown.h. Any thread: a walk only
// reads, so it never waits for the writer.
#include "store/meta_shown.h"

#include "base/err.h"
#include "store/entry_kind.h"
#include "store/meta_live.h"
#include "store/meta_shown_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define PAGE 200             // rows that are read in one piece
#define TEXT_MAX (16u << 10) // a bitmap of absent children in hex is the longest of it

static_assert(SHOWN_TAG_SIZE == ENTRY_TAG_SIZE, "a tag fits");

// --- names and order ---

static int rank_of(enum entry_subject kind)
{
    switch (kind) {
    case SUBJECT_REPOSITORY:
        return 0;
    case SUBJECT_MANIFEST:
        return 1;
    case SUBJECT_TAG:
        return 2;
    case SUBJECT_OTHER:
        break;
    }
    assert(!"a subject that is never shown");
    return 3;
}

static int digest_order(const struct digest *a, const struct digest *b)
{
    int order = (int)a->alg - (int)b->alg;
    if (!order)
        order = memcmp(a->b, b->b, a->n < b->n ? a->n : b->n);
    return order;
}

int shown_subject_order(const struct shown_subject *a, const struct shown_subject *b)
{
    int order = rank_of(a->kind) - rank_of(b->kind);
    if (!order && a->kind == SUBJECT_MANIFEST)
        order = digest_order(&a->digest, &b->digest);
    if (!order && a->kind == SUBJECT_TAG)
        order = strcmp(a->tag, b->tag);
    return order;
}

const char *shown_subject_format(const struct shown_subject *s, char out[SHOWN_NAME_SIZE])
{
    char digest[DIGEST_TEXT_SIZE];
    const char *what = "";
    if (s->kind == SUBJECT_MANIFEST)
        what = digest_format(&s->digest, digest);
    if (s->kind == SUBJECT_TAG)
        what = s->tag;
    snprintf(out, SHOWN_NAME_SIZE, "%s:%s", entry_subject_name(s->kind), what);
    return out;
}

// What follows `prefix`; NULL: the text does not begin with it.
static const char *behind(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    if (strncmp(text, prefix, n) != 0)
        return NULL;
    return text + n;
}

int shown_subject_parse(const char *text, struct shown_subject *out)
{
    struct shown_subject s = {.kind = SUBJECT_REPOSITORY};
    const char *what = behind(text, "manifest:");
    if (what) {
        s.kind = SUBJECT_MANIFEST;
        if (digest_parse(what, strlen(what), &s.digest))
            return ERR_INVAL;
        *out = s;
        return 0;
    }
    what = behind(text, "tag:");
    if (what) {
        s.kind = SUBJECT_TAG;
        if (!entry_tag_ok(what))
            return ERR_INVAL;
        snprintf(s.tag, sizeof s.tag, "%s", what);
        *out = s;
        return 0;
    }
    if (strcmp(text, "repository:") != 0)
        return ERR_INVAL;
    *out = s;
    return 0;
}

// --- sums ---

void shown_sum_add(struct shown_sum *sum, const struct shown_item *item)
{
    unsigned carry = 0;
    sum->n++;
    for (size_t i = SHA256_BYTES; i-- > 0;) {
        carry += (unsigned)sum->b[i] + item->hash[i];
        sum->b[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

bool shown_sum_equal(const struct shown_sum *a, const struct shown_sum *b)
{
    return a->n == b->n && memcmp(a->b, b->b, sizeof a->b) == 0;
}

// --- texts ---

static void write_text(const struct register_value *v, struct buf *out)
{
    buf_printf(out, "%" PRIu64 " %s %" PRIu64, v->stamp, v->origin, v->epoch);
}

// A lock that refuses something and is newer than what voids locks of its subject.
static int lock_text(struct tx *tx, int64_t repo, const struct subject *s, uint64_t voids,
                     struct buf *out)
{
    struct lock_now l;
    int rc = lock_get(tx, repo, s, &l);
    if (rc)
        return missing_ok(rc);
    if (l.value.value.stamp <= voids || (!l.write && !l.del))
        return 0;
    buf_str(out, "lock ");
    write_text(&l.value.value, out);
    buf_printf(out, " %d %d\n", l.write, l.del);
    return 0;
}

static void absent_text(const struct manifest_now *m, struct buf *out)
{
    if (!m->n_absent)
        buf_str(out, "-");
    for (size_t i = 0; i < m->n_absent; i++)
        buf_printf(out, "%02x", m->absent[i]);
}

static int manifest_text(struct tx *tx, int64_t repo, const struct digest *digest, struct buf *out)
{
    char name[DIGEST_TEXT_SIZE];
    struct manifest_now m;
    int rc = manifest_look(tx, repo, digest, &m);
    if (rc)
        return rc;
    if (!m.live)
        return ERR_NOTFOUND;
    buf_printf(out, "manifest %s\n", digest_format(digest, name));
    if (manifest_asserted(&m)) {
        buf_str(out, "value ");
        write_text(&m.value.value, out);
        buf_printf(out, " %s ", m.media_type);
        absent_text(&m, out);
        buf_str(out, "\n");
    }
    return lock_text(tx, repo, &(struct subject){"", *digest}, m.killed, out);
}

static int tag_text(struct tx *tx, int64_t repo, const char *tag, struct buf *out)
{
    char name[DIGEST_TEXT_SIZE];
    struct manifest_now m;
    struct tag_now t;
    bool there;
    int rc = tag_look(tx, repo, tag, &t);
    if (rc)
        return rc;
    if (!t.live)
        return ERR_NOTFOUND;
    const struct register_value *v = &t.value.value;
    rc = manifest_read(tx, repo, &v->digest, &m, &there);
    if (rc)
        return rc;
    buf_printf(out, "tag %s\nvalue %s ", tag, digest_format(&v->digest, name));
    write_text(v, out);
    buf_printf(out, " %d %" PRIu64 "\n", v->create_only, v->generation);
    return lock_text(tx, repo, &(struct subject){.tag = tag}, stamp_max(t.ended, m.killed), out);
}

static int repository_text(struct tx *tx, int64_t repo, struct buf *out)
{
    buf_str(out, "repository\n");
    size_t n = out->n;
    int rc = lock_text(tx, repo, &(struct subject){.tag = ""}, 0, out);
    if (!rc && out->n == n)
        rc = ERR_NOTFOUND;
    return rc;
}

int shown_text(struct tx *tx, int64_t repo, const struct shown_subject *s, struct buf *out)
{
    int rc = ERR_NOTFOUND;
    buf_clear(out);
    switch (s->kind) {
    case SUBJECT_REPOSITORY:
        rc = repository_text(tx, repo, out);
        break;
    case SUBJECT_MANIFEST:
        rc = manifest_text(tx, repo, &s->digest, out);
        break;
    case SUBJECT_TAG:
        rc = tag_text(tx, repo, s->tag, out);
        break;
    case SUBJECT_OTHER:
        break;
    }
    if (rc)
        buf_clear(out);
    return rc ? rc : out->err;
}

// --- a walk ---

struct walk {
    struct tx *tx;
    int64_t repo;
    size_t max;
    struct shown_item *out;
    size_t n;
    struct buf text;
};

static int item_add(struct walk *w, const struct shown_subject *s)
{
    int rc = shown_text(w->tx, w->repo, s, &w->text);
    if (rc)
        return missing_ok(rc);
    struct shown_item *item = &w->out[w->n++];
    item->subject = *s;
    sha256(w->text.p, w->text.n, item->hash);
    return 0;
}

static size_t page_of(const struct walk *w)
{
    size_t left = w->max - w->n;
    return left < PAGE ? left : PAGE;
}

// *out_end: there are no more manifests.
static int manifests_walk(struct walk *w, struct digest after, bool *out_end)
{
    *out_end = false;
    while (w->n < w->max) {
        struct arena a;
        struct manifest_detail *list;
        size_t asked = page_of(w), n;
        arena_init(&a, 0);
        int rc = manifest_details(w->tx, w->repo, &after, asked, &a, &list, &n);
        for (size_t i = 0; !rc && i < n; i++) {
            after = list[i].digest;
            rc = item_add(w, &(struct shown_subject){.kind = SUBJECT_MANIFEST, .digest = after});
        }
        arena_done(&a);
        if (rc)
            return rc;
        if (n < asked) {
            *out_end = true;
            return 0;
        }
    }
    return 0;
}

static int tags_walk(struct walk *w, const char *after, bool *out_end)
{
    struct shown_subject at = {.kind = SUBJECT_TAG};
    snprintf(at.tag, sizeof at.tag, "%s", after);
    *out_end = false;
    while (w->n < w->max) {
        struct arena a;
        const char **list;
        size_t asked = page_of(w), n;
        arena_init(&a, 0);
        int rc = tags_list(w->tx, w->repo, at.tag, asked, &a, &list, &n);
        for (size_t i = 0; !rc && i < n; i++) {
            snprintf(at.tag, sizeof at.tag, "%s", list[i]);
            rc = item_add(w, &at);
        }
        arena_done(&a);
        if (rc)
            return rc;
        if (n < asked) {
            *out_end = true;
            return 0;
        }
    }
    return 0;
}

static int repository_walk(struct walk *w, const struct shown_subject *after, bool *out_end)
{
    static const struct digest first;
    bool end = true;
    int rc = 0;
    if (!after)
        rc = item_add(w, &(struct shown_subject){.kind = SUBJECT_REPOSITORY});
    if (!rc && (!after || after->kind != SUBJECT_TAG)) {
        const struct digest *from = &first;
        if (after && after->kind == SUBJECT_MANIFEST)
            from = &after->digest;
        rc = manifests_walk(w, *from, &end);
    }
    if (rc || !end) {
        *out_end = false;
        return rc;
    }
    return tags_walk(w, after ? after->tag : "", out_end);
}

int meta_shown_walk(struct meta *m, const char *registry, const char *repository,
                    const struct shown_subject *after, size_t max, struct shown_item *out,
                    size_t *out_n, bool *out_end)
{
    struct walk w = {.max = max, .out = out};
    bool end = true;
    assert(max > 0);
    int rc = backend_read_moment(m->b, &w.tx);
    if (rc)
        return rc;
    buf_init(&w.text, TEXT_MAX);
    rc = repo_find(w.tx, registry, repository, &w.repo);
    if (!rc)
        rc = repository_walk(&w, after, &end);
    tx_end(w.tx);
    buf_done(&w.text);
    rc = missing_ok(rc);
    if (rc)
        return rc;
    *out_n = w.n;
    *out_end = end;
    return 0;
}
