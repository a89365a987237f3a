// SPDX-License-Identifier: Apache-2.0
// The compiled form of a topology; see compiled.h. Reading is in compiled_record.c's hands where
// registries begin.
#include "control/compiled.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/reserved.h"
#include "config/topology_make.h"
#include "control/compiled_priv.h"

#include <malloc.h>
#include <string.h>

#define MAGIC "MERIDTC" // then the format, a digit
#define MAGIC_BYTES 8
#define FORMAT_AT (MAGIC_BYTES - 1)
#define FORMAT '1'
#define FORMAT_RESERVED '2'  // with reserved names, stages and owners
#define FORMAT_ENDPOINTS '3' // with what private endpoints say beside their addresses
#define DIGEST_AT (MAGIC_BYTES + 8)
#define BODY_AT (DIGEST_AT + SHA256_BYTES)
#define TRIM_FROM_BYTES (1u << 20)

// ---- writing ----

void compiled_put(struct buf *b, uint64_t v, size_t n_bytes)
{
    uint8_t p[8];
    for (size_t i = 0; i < n_bytes; i++)
        p[i] = (uint8_t)(v >> (8 * (n_bytes - 1 - i)));
    buf_add(b, p, n_bytes);
}

static void set_u64(char *p, uint64_t v)
{
    for (size_t i = 0; i < 8; i++)
        p[i] = (char)(v >> (56 - 8 * i));
}

static int by_label(const void *a, const void *b)
{
    const struct catalogue_registry *x = *(const struct catalogue_registry *const *)a,
                                    *y = *(const struct catalogue_registry *const *)b;
    size_t n;
    if (x->label_n < y->label_n)
        n = x->label_n;
    else
        n = y->label_n;
    int c = memcmp(catalogue_label(x), catalogue_label(y), n);
    if (c)
        return c;
    return (int)x->label_n - (int)y->label_n;
}

static int put_registries(const struct topology *t, struct buf *out)
{
    size_t n = 0;
    struct catalogue_iter it = {0};
    const struct catalogue_registry *r;
    AUTO_FREE const struct catalogue_registry **all =
        mem_zalloc_array(t->n_registries + 1, sizeof *all);
    if (!all)
        return ERR_NOMEM;
    while ((r = catalogue_next(t->catalogue, &it)))
        all[n++] = r;
    qsort(all, n, sizeof *all, by_label);
    compiled_put(out, n, 8);
    for (size_t i = 0; i < n; i++)
        compiled_put_registry(out, t->catalogue, all[i]);
    return 0;
}

// The oldest format that can say it, for the sake of older releases.
static char format_for(const struct topology *t)
{
    struct catalogue_iter it = {0};
    char format = FORMAT;
    if (topology_reserved_count(t))
        format = FORMAT_RESERVED;
    for (const struct catalogue_registry *r; (r = catalogue_next(t->catalogue, &it));) {
        if (compiled_has_endpoints(t->catalogue, r))
            return FORMAT_ENDPOINTS;
        if (r->flags & (CATALOGUE_STAGES | CATALOGUE_OWNER))
            format = FORMAT_RESERVED;
    }
    return format;
}

int compiled_format(const struct topology *t, struct buf *out)
{
    const struct topology_frame *f = t->frame;
    struct topology *again = NULL;
    if (!f->text)
        return ERR_UNSUPPORTED;
    // A document in flow style may look as if lines could be cut out of it: what is left must be
    // one.
    int rc = topology_parse_frame(f->text, f->text_n, t->source,
                                  &(struct doc_lines){1, f->cuts, f->n_cuts}, NULL, &again);
    snapshot_unref(again);
    if (rc) {
        if (rc == ERR_NOMEM)
            return rc;
        return ERR_UNSUPPORTED;
    }
    size_t start = out->n;
    char format = format_for(t);
    buf_str(out, MAGIC);
    buf_u8(out, (uint8_t)format);
    char front[8 + SHA256_BYTES] = {0};
    buf_add(out, front, sizeof front);
    compiled_put(out, t->version, 8);
    buf_add(out, t->content_hash, SHA256_BYTES);
    buf_add(out, f->base_hash, SHA256_BYTES);
    compiled_put(out, f->base_version, 8);
    compiled_put(out, f->n_cuts, 4);
    for (size_t i = 0; i < 2 * f->n_cuts; i++)
        compiled_put(out, (uint64_t)f->cuts[i], 4);
    compiled_put(out, f->text_n, 8);
    buf_add(out, f->text, f->text_n);
    rc = put_registries(t, out);
    if (format != FORMAT)
        compiled_put_reserved(out, t);
    if (!rc)
        rc = out->err;
    if (rc)
        return rc;
    uint8_t digest[SHA256_BYTES];
    char *p = out->p + start;
    sha256(p + BODY_AT, out->n - start - BODY_AT, digest);
    set_u64(p + MAGIC_BYTES, out->n - start);
    memcpy(p + DIGEST_AT, digest, SHA256_BYTES);
    return 0;
}

// ---- reading ----

bool compiled_is(const void *p, size_t n)
{
    // another format is not a document either
    return n >= MAGIC_BYTES && !memcmp(p, MAGIC, FORMAT_AT);
}

static void take(struct cursor *c, uint8_t *out, size_t n)
{
    struct bytes b = cursor_take(c, n);
    if (b.n == n)
        memcpy(out, b.p, n);
}

static void info_take(struct cursor *c, struct compiled_info *out)
{
    out->version = cursor_u64(c);
    take(c, out->content_hash, SHA256_BYTES);
    take(c, out->base_hash, SHA256_BYTES);
    out->base_version = cursor_u64(c);
}

int compiled_info_parse(const void *p, size_t n, struct compiled_info *out)
{
    if (n < BODY_AT || !compiled_is(p, n))
        return ERR_CORRUPT;
    struct compiled_info info = {0};
    struct cursor c = cursor_of(bytes_of((const uint8_t *)p + BODY_AT, n - BODY_AT));
    info_take(&c, &info);
    if (c.failed)
        return ERR_TRUNC;
    *out = info;
    return 0;
}

// Format, length and digest of the file as a whole.
static int check_whole(const uint8_t *p, size_t n, const char *source, struct diag *diag)
{
    uint8_t digest[SHA256_BYTES];
    if (n >= MAGIC_BYTES && (p[FORMAT_AT] < FORMAT || p[FORMAT_AT] > FORMAT_ENDPOINTS)) {
        diag_add(
            diag, source, 0,
            "a compiled topology of format %c, which this version does not read; compile it again",
            p[FORMAT_AT] >= ' ' && p[FORMAT_AT] <= '~' ? p[FORMAT_AT] : '?');
        return ERR_VERSION;
    }
    if (n < BODY_AT) {
        diag_add(diag, source, 0, "a compiled topology that ends after %zu bytes", n);
        return ERR_TRUNC;
    }
    struct cursor c = cursor_of(bytes_of(p + MAGIC_BYTES, 8));
    uint64_t length = cursor_u64(&c);
    if (length != n) {
        diag_add(diag, source, 0, "a compiled topology of %llu bytes, but there are %zu",
                 (unsigned long long)length, n);
        return ERR_TRUNC;
    }
    sha256(p + BODY_AT, n - BODY_AT, digest);
    if (memcmp(digest, p + DIGEST_AT, SHA256_BYTES) != 0) {
        diag_add(diag, source, 0,
                 "a damaged compiled topology: its content does not match its digest");
        return ERR_DIGEST;
    }
    return 0;
}

static int damaged(const char *source, struct diag *diag, const char *what)
{
    diag_add(diag, source, 0, "a damaged compiled topology: %s", what);
    return ERR_CORRUPT;
}

static int take_rest(enum topology_form form, bool reserved, struct cursor *c, struct topology *t,
                     const char *source, struct diag *diag)
{
    int rc = compiled_take_registries(form, c, t, source, diag);
    if (!rc && reserved)
        rc = compiled_take_reserved(c, t, source, diag);
    if (rc)
        return rc;
    if (!cursor_left(c))
        return 0;
    diag_add(diag, source, 0, "a damaged compiled topology: %zu bytes after its last registry",
             cursor_left(c));
    return ERR_CORRUPT;
}

static int parse_body(enum topology_form form, bool reserved, struct cursor *c, const char *source,
                      struct diag *diag, struct topology **out)
{
    struct compiled_info info = {0};
    int cuts[2 * TOPOLOGY_CUTS_MAX];
    info_take(c, &info);
    size_t n_cuts = cursor_u32(c);
    if (n_cuts > TOPOLOGY_CUTS_MAX)
        return damaged(source, diag, "too many cuts in its document");
    for (size_t i = 0; i < 2 * n_cuts; i++) {
        cuts[i] = (int)(cursor_u32(c) & INT32_MAX);
        if (cuts[i] > INT32_MAX / (2 * TOPOLOGY_CUTS_MAX + 2))
            return damaged(source, diag, "a cut in its document is out of range");
    }
    uint64_t text_n = cursor_u64(c);
    struct bytes text;
    if (text_n <= cursor_left(c))
        text = cursor_take(c, text_n);
    else
        text = (struct bytes){0};
    if (c->failed || !text.n)
        return damaged(source, diag, "its document is missing");
    struct topology *t = NULL;
    int rc = topology_parse_frame((const char *)text.p, text.n, source,
                                  &(struct doc_lines){1, cuts, n_cuts}, diag, &t);
    if (rc) {
        if (rc == ERR_CORRUPT)
            return damaged(source, diag, "its document has registries");
        return rc;
    }
    if (info.base_version < t->version || info.version < info.base_version ||
        info.version > INT64_MAX) {
        rc = damaged(source, diag, "its versions contradict each other");
    } else {
        t->version = info.version;
        memcpy(t->content_hash, info.content_hash, SHA256_BYTES);
        memcpy(t->frame->base_hash, info.base_hash, SHA256_BYTES);
        t->frame->base_version = info.base_version;
        rc = take_rest(form, reserved, c, t, source, diag);
    }
    if (rc)
        snapshot_unref(t);
    else
        *out = t;
    return rc;
}

int compiled_parse(enum topology_form form, const void *p, size_t n, const char *source,
                   struct diag *diag, struct topology **out)
{
    int rc = check_whole(p, n, source, diag);
    if (rc)
        return rc;
    struct cursor c = cursor_of(bytes_of((const uint8_t *)p + BODY_AT, n - BODY_AT));
    bool reserved = ((const char *)p)[FORMAT_AT] != FORMAT;
    rc = parse_body(form, reserved, &c, source, diag, out);
    if (rc == ERR_NOMEM)
        diag_add(diag, source, 0, "out of memory while reading it");
    if (n >= TRIM_FROM_BYTES)
        malloc_trim(0); // of what judging it took
    return rc;
}
