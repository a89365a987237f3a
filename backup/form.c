// SPDX-License-Identifier: Apache-2.0
// backup.json; see form.h.
#include "backup/form.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define DUMP_FLAGS (JSON_SORT_KEYS | JSON_COMPACT)

// The document as it is hashed. The caller frees it; NULL: out of memory.
static int hash_of(const json_t *doc, char out[2 * SHA256_BYTES + 1])
{
    uint8_t sum[SHA256_BYTES];
    char *text = json_dumps(doc, DUMP_FLAGS);
    if (!text)
        return ERR_NOMEM;
    sha256(text, strlen(text), sum);
    free(text);
    hex_format(sum, sizeof sum, out);
    return 0;
}

const struct backup_file *backup_form_find(const struct backup_form *f, const char *path)
{
    for (size_t i = 0; i < f->n_files; i++)
        if (!strcmp(f->files[i].path, path))
            return &f->files[i];
    return NULL;
}

int backup_digest_order(const void *a, const void *b)
{
    const struct digest *x = a, *y = b;
    if (x->alg != y->alg)
        return x->alg < y->alg ? -1 : 1;
    return memcmp(x->b, y->b, x->n);
}

// --- writing ---

static json_t *place_json(const struct sqlite_place *p)
{
    return json_pack("{s:I, s:I}", "epoch", (json_int_t)p->epoch, "seq", (json_int_t)p->seq);
}

static json_t *read_json(const struct sqlite_facts *x)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < x->n_read; i++) {
        json_t *o = place_json(&x->read[i]);
        if (!o || json_object_set_new(o, "origin", json_string(x->read[i].origin)) ||
            json_array_append(list, o)) {
            json_decref(list);
            list = NULL;
        }
        json_decref(o);
    }
    return list;
}

static json_t *missing_json(const struct backup_form *f)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < f->n_missing; i++) {
        char text[DIGEST_TEXT_SIZE];
        if (json_array_append_new(list, json_string(digest_format(&f->missing[i], text)))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *files_json(const struct backup_form *f)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < f->n_files; i++) {
        const struct backup_file *x = &f->files[i];
        char hex[2 * SHA256_BYTES + 1], mode[16];
        hex_format(x->sha256, sizeof x->sha256, hex);
        snprintf(mode, sizeof mode, "%o", x->mode);
        if (json_array_append_new(list,
                                  json_pack("{s:s, s:I, s:s, s:s}", "path", x->path, "bytes",
                                            (json_int_t)x->bytes, "sha256", hex, "mode", mode))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *counts_json(const struct sqlite_facts *x)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "repositories",
                     (json_int_t)x->n_repositories, "manifests", (json_int_t)x->n_manifests, "tags",
                     (json_int_t)x->n_tags, "entries", (json_int_t)x->n_entries, "blobs",
                     (json_int_t)x->n_blobs, "blobBytes", (json_int_t)x->blob_bytes);
}

static json_t *form_json(const struct backup_form *f)
{
    char at[CLOCK_TEXT_SIZE];
    const struct sqlite_facts *x = &f->facts;
    return json_pack("{s:i, s:s, s:I, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:b, s:o}", "format",
                     BACKUP_FORMAT, "program", f->program, "schema", (json_int_t)x->schema,
                     "region", x->region, "at", clock_format_s(f->at_ms / 1000, at), "epoch",
                     (json_int_t)x->epoch, "head", place_json(&x->head), "read", read_json(x),
                     "counts", counts_json(x), "missing", missing_json(f), "keys", (int)f->keys,
                     "files", files_json(f));
}

int backup_form_write(const struct backup_form *f, struct buf *out)
{
    char hash[2 * SHA256_BYTES + 1];
    json_t *doc = form_json(f);
    char *text = NULL;
    int rc = doc ? hash_of(doc, hash) : ERR_NOMEM;
    if (!rc && json_object_set_new(doc, "hash", json_string(hash)))
        rc = ERR_NOMEM;
    if (!rc && !(text = json_dumps(doc, JSON_INDENT(1) | JSON_SORT_KEYS)))
        rc = ERR_NOMEM;
    if (!rc) {
        buf_add(out, text, strlen(text));
        buf_add(out, "\n", 1);
        rc = out->err;
    }
    free(text);
    json_decref(doc);
    return rc;
}

// --- reading ---

static int place_read(const json_t *o, struct sqlite_place *out)
{
    json_int_t epoch = 0, seq = 0;
    if (json_unpack((json_t *)o, "{s:I, s:I}", "epoch", &epoch, "seq", &seq) || epoch < 0 ||
        seq < 0)
        return ERR_CORRUPT;
    out->epoch = (uint64_t)epoch;
    out->seq = (uint64_t)seq;
    return 0;
}

static int read_read(const json_t *list, struct arena *a, struct sqlite_facts *out)
{
    size_t n = json_array_size(list);
    out->read = arena_array(a, n + 1, sizeof *out->read);
    if (!out->read)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(list, i);
        const char *origin = json_string_value(json_object_get(o, "origin"));
        int rc = origin ? place_read(o, &out->read[i]) : ERR_CORRUPT;
        if (!rc && !(out->read[i].origin = arena_strdup(a, origin)))
            rc = ERR_NOMEM;
        if (rc)
            return rc;
    }
    out->n_read = n;
    return 0;
}

static int missing_read(const json_t *list, struct arena *a, struct backup_form *out)
{
    size_t n = json_array_size(list);
    struct digest *d = arena_array(a, n + 1, sizeof *d);
    if (!d)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || digest_parse(text, strlen(text), &d[i]))
            return ERR_CORRUPT;
    }
    out->missing = d;
    out->n_missing = n;
    return 0;
}

// Below the data folder, and nowhere else.
static bool path_ok(const char *path)
{
    static const char *const below[] = {"state/", "keys/", "certs/"};
    bool known = !strcmp(path, BACKUP_META);
    for (size_t i = 0; i < ARRAY_LEN(below); i++)
        known |= !strncmp(path, below[i], strlen(below[i]));
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (*p == '/' || *p == '.' || !*p)
            return false;
    return known;
}

static int file_read_one(const json_t *o, struct arena *a, struct backup_file *out)
{
    const char *path, *hex, *mode;
    json_int_t bytes = 0;
    char *end = NULL;
    if (json_unpack((json_t *)o, "{s:s, s:I, s:s, s:s}", "path", &path, "bytes", &bytes, "sha256",
                    &hex, "mode", &mode) ||
        bytes < 0 || !path_ok(path) || hex_parse(hex, strlen(hex), out->sha256, SHA256_BYTES))
        return ERR_CORRUPT;
    out->bytes = (uint64_t)bytes;
    out->mode = (unsigned)strtoul(mode, &end, 8);
    if (*end || out->mode & ~0777u)
        return ERR_CORRUPT;
    out->path = arena_strdup(a, path);
    return out->path ? 0 : ERR_NOMEM;
}

static int files_read(const json_t *list, struct arena *a, struct backup_form *out)
{
    size_t n = json_array_size(list);
    struct backup_file *f = arena_array(a, n + 1, sizeof *f);
    if (!f)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        int rc = file_read_one(json_array_get(list, i), a, &f[i]);
        if (rc)
            return rc;
    }
    out->files = f;
    out->n_files = n;
    return 0;
}

static int counts_read(const json_t *o, struct sqlite_facts *out)
{
    json_int_t v[6];
    if (json_unpack((json_t *)o, "{s:I, s:I, s:I, s:I, s:I, s:I}", "repositories", &v[0],
                    "manifests", &v[1], "tags", &v[2], "entries", &v[3], "blobs", &v[4],
                    "blobBytes", &v[5]))
        return ERR_CORRUPT;
    uint64_t *const to[] = {&out->n_repositories, &out->n_manifests, &out->n_tags,
                            &out->n_entries,      &out->n_blobs,     &out->blob_bytes};
    for (size_t i = 0; i < ARRAY_LEN(to); i++) {
        if (v[i] < 0)
            return ERR_CORRUPT;
        *to[i] = (uint64_t)v[i];
    }
    return 0;
}

static int body_read(json_t *doc, struct arena *a, struct backup_form *f)
{
    const char *program, *region, *at;
    json_int_t schema, epoch;
    json_t *head, *read, *counts, *missing, *files;
    int keys;
    int64_t at_s;
    if (json_unpack(doc, "{s:s, s:I, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:b, s:o}", "program",
                    &program, "schema", &schema, "region", &region, "at", &at, "epoch", &epoch,
                    "head", &head, "read", &read, "counts", &counts, "missing", &missing, "keys",
                    &keys, "files", &files) ||
        epoch < 0 || clock_parse_s(at, &at_s))
        return ERR_CORRUPT;
    f->facts.schema = schema;
    f->facts.epoch = (uint64_t)epoch;
    f->at_ms = at_s * 1000;
    f->keys = keys;
    f->program = arena_strdup(a, program);
    f->facts.region = f->facts.head.origin = arena_strdup(a, region);
    if (!f->program || !f->facts.region)
        return ERR_NOMEM;
    int rc = place_read(head, &f->facts.head);
    if (!rc)
        rc = read_read(read, a, &f->facts);
    if (!rc)
        rc = counts_read(counts, &f->facts);
    if (!rc)
        rc = missing_read(missing, a, f);
    if (!rc)
        rc = files_read(files, a, f);
    if (!rc && !backup_form_find(f, BACKUP_META))
        rc = ERR_CORRUPT;
    return rc;
}

static int hash_check(json_t *doc)
{
    char is[2 * SHA256_BYTES + 1], said[2 * SHA256_BYTES + 1] = "";
    const char *text = json_string_value(json_object_get(doc, "hash"));
    if (!text || strlen(text) != sizeof said - 1)
        return ERR_CORRUPT;
    memcpy(said, text, sizeof said);
    json_object_del(doc, "hash");
    int rc = hash_of(doc, is);
    if (!rc && strcmp(is, said) != 0)
        rc = ERR_CORRUPT;
    return rc;
}

static int form_read(json_t *doc, struct arena *a, struct diag *diag, struct backup_form *out)
{
    struct backup_form f = {0};
    const json_t *format = json_object_get(doc, "format");
    int rc = json_is_integer(format) ? 0 : ERR_CORRUPT;
    if (!rc && json_integer_value(format) > BACKUP_FORMAT) {
        diag_add(diag, NULL, 0,
                 "backup.json: a later program made this backup (format %lld, this one reads %d): "
                 "use that program",
                 (long long)json_integer_value(format), BACKUP_FORMAT);
        return ERR_VERSION;
    }
    if (!rc)
        rc = hash_check(doc);
    if (!rc)
        rc = body_read(doc, a, &f);
    if (rc == ERR_CORRUPT)
        diag_add(diag, NULL, 0, "backup.json: is damaged: its hash or its form is not right");
    if (!rc)
        *out = f;
    return rc;
}

int backup_form_read(struct bytes text, struct arena *a, struct diag *diag, struct backup_form *out)
{
    json_t *doc = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    int rc = form_read(doc, a, diag, out);
    json_decref(doc);
    return rc;
}
