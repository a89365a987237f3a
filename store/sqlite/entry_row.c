// SPDX-License-Identifier: Apache-2.0
// Entries and marks as rows of the tables `feed`, `voided` and `origins`; see sqlite_priv.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "store/entry_kind.h"

#include <string.h>

int mark_of_row(sqlite3_stmt *st, int col, struct feed_mark *out)
{
    const void *hash = sqlite3_column_blob(st, col + 3);
    if (!hash || sqlite3_column_bytes(st, col + 3) != ENTRY_HASH_BYTES)
        return ERR_CORRUPT;
    struct feed_mark m = {.epoch = (uint64_t)sqlite3_column_int64(st, col),
                          .partition = (uint32_t)sqlite3_column_int(st, col + 1),
                          .seq = (uint64_t)sqlite3_column_int64(st, col + 2)};
    memcpy(m.hash, hash, ENTRY_HASH_BYTES);
    *out = m;
    return 0;
}

static bool names_there(const struct feed_entry *e)
{
    return e->origin && e->registry && e->repository && e->key;
}

// A column of exactly `size` bytes.
static int bytes_copy(sqlite3_stmt *st, int col, uint8_t *out, int size)
{
    const void *p = sqlite3_column_blob(st, col);
    if (!p || sqlite3_column_bytes(st, col) != size)
        return ERR_CORRUPT;
    memcpy(out, p, (size_t)size);
    return 0;
}

// The members that rows of both versions have in columns: hash, key, signature, content.
static int proofs_of_row(sqlite3_stmt *st, struct arena *a, struct feed_entry *e)
{
    int rc = bytes_copy(st, 14, e->hash, ENTRY_HASH_BYTES);
    if (rc)
        return rc;
    rc = db_text(st, 15, a, &e->key);
    if (rc)
        return rc;
    rc = bytes_copy(st, 16, e->sig, ENTRY_SIG_BYTES);
    if (rc)
        return rc;
    return db_blob(st, 17, a, &e->content);
}

// The body says all.
static int v2_row(sqlite3_stmt *st, struct arena *a, struct feed_entry *out)
{
    struct bytes body;
    struct feed_entry e;
    int rc = db_blob(st, 19, a, &body);
    if (rc)
        return rc;
    rc = entry_body_parse(body, a, &e);
    if (rc == ERR_PROTO)
        return ERR_CORRUPT;
    if (rc)
        return rc;
    rc = proofs_of_row(st, a, &e);
    if (rc)
        return rc;
    if (!e.key)
        return ERR_CORRUPT;
    *out = e;
    return 0;
}

static int v1_row(sqlite3_stmt *st, struct arena *a, struct feed_entry *out)
{
    struct feed_entry e = {.version = 1,
                           .epoch = (uint64_t)sqlite3_column_int64(st, 2),
                           .partition = (uint32_t)sqlite3_column_int(st, 3),
                           .seq = (uint64_t)sqlite3_column_int64(st, 4),
                           .stamp = (uint64_t)sqlite3_column_int64(st, 5),
                           .restates = (uint64_t)sqlite3_column_int64(st, 6),
                           .kind = (enum entry_kind)sqlite3_column_int(st, 7),
                           .size = (uint64_t)sqlite3_column_int64(st, 13)};
    int rc = db_digest(st, 11, &e.digest);
    const struct {
        int col;
        const char **to;
    } texts[] = {
        {1, &e.origin}, {8, &e.registry}, {9, &e.repository}, {10, &e.tag}, {12, &e.media_type}};
    for (size_t i = 0; !rc && i < ARRAY_LEN(texts); i++)
        rc = db_text(st, texts[i].col, a, texts[i].to);
    if (rc)
        return rc;
    rc = proofs_of_row(st, a, &e);
    if (rc)
        return rc;
    if (!names_there(&e))
        return ERR_CORRUPT;
    const struct entry_form *form = entry_form(e.kind);
    e.attribute = e.by = e.rule = e.judged_origin = "";
    if (form) {
        e.subject = form->subject;
        e.attribute = form->attribute;
    }
    *out = e;
    return 0;
}

int feed_row_read(sqlite3_stmt *st, struct arena *a, struct feed_entry *out)
{
    if (sqlite3_column_int(st, 18) == 2)
        return v2_row(st, a, out);
    return v1_row(st, a, out);
}

int void_row(sqlite3_stmt *st, struct arena *a, struct feed_entry *out)
{
    int rc = feed_row_read(st, a, out);
    if (!rc && sqlite3_column_int(st, 7) == ENTRY_UNKNOWN)
        out->kind = ENTRY_UNKNOWN;
    return rc;
}

int feed_row(sqlite3_stmt *st, struct arena *a, struct feed_entry *out)
{
    int rc = void_row(st, a, out);
    if (!rc)
        out->ended = sqlite3_column_int(st, ENTRY_N_COLUMNS) == FEED_ENDED;
    return rc;
}
