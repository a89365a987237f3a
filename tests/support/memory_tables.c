// SPDX-License-Identifier: Apache-2.0
// See memory_tables.h.
#include "tests/support/memory_tables.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define MAX_TEXTS 12
#define MAX_BYTES 4

struct table {
    _Atomic size_t n_refs;
    size_t n, cap;
    // of rows, behind their headers
    void **rows;
};

struct header {
    _Atomic size_t n_refs;
    // so that a row behind it is aligned
    size_t unused;
};

// --- orders ---

static int u64_cmp(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int i64_cmp(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

int digest_cmp(const struct digest *a, const struct digest *b)
{
    if (a->alg != b->alg)
        return a->alg < b->alg ? -1 : 1;
    return memcmp(a->b, b->b, a->n < b->n ? a->n : b->n);
}

// The first comparison that is not equal.
#define FIRST(...)                                                          \
    ({                                                                      \
        const int first_list[] = {__VA_ARGS__};                             \
        size_t first_i = 0;                                                 \
        while (first_i + 1 < ARRAY_LEN(first_list) && !first_list[first_i]) \
            first_i++;                                                      \
        first_list[first_i];                                                \
    })

#define ORDER(name, type, ...)                      \
    static int name(const void *pa, const void *pb) \
    {                                               \
        const type *a = pa, *b = pb;                \
        return FIRST(__VA_ARGS__);                  \
    }

ORDER(own_cmp, struct m_own, i64_cmp(a->zero, b->zero))
ORDER(feed_cmp, struct m_feed, i64_cmp(a->id, b->id))
ORDER(place_cmp, struct m_place, strcmp(a->origin, b->origin), u64_cmp(a->part, b->part),
      u64_cmp(a->epoch, b->epoch), u64_cmp(a->seq, b->seq))
ORDER(mark_cmp, struct m_mark, strcmp(a->origin, b->origin), u64_cmp(a->part, b->part))
ORDER(repo_cmp, struct m_repo, strcmp(a->registry, b->registry), strcmp(a->name, b->name))
ORDER(manifest_cmp, struct m_manifest, i64_cmp(a->repo, b->repo),
      digest_cmp(&a->digest, &b->digest))
ORDER(ref_cmp, struct m_ref, i64_cmp(a->repo, b->repo), digest_cmp(&a->parent, &b->parent),
      digest_cmp(&a->child, &b->child), i64_cmp(a->kind, b->kind))
ORDER(untagged_cmp, struct m_untagged, i64_cmp(a->repo, b->repo),
      digest_cmp(&a->digest, &b->digest))
ORDER(lock_cmp, struct m_lock, i64_cmp(a->repo, b->repo), strcmp(a->tag, b->tag),
      digest_cmp(&a->digest, &b->digest))
ORDER(tag_cmp, struct m_tag, i64_cmp(a->repo, b->repo), strcmp(a->tag, b->tag))
ORDER(version_cmp, struct m_version, i64_cmp(a->repo, b->repo), strcmp(a->tag, b->tag),
      u64_cmp(a->stamp, b->stamp), strcmp(a->origin, b->origin), digest_cmp(&a->digest, &b->digest))
ORDER(link_cmp, struct m_link, i64_cmp(a->repo, b->repo), digest_cmp(&a->digest, &b->digest))
ORDER(blob_cmp, struct m_blob, digest_cmp(&a->digest, &b->digest))
ORDER(pulled_cmp, struct m_pulled, i64_cmp(a->repo, b->repo), digest_cmp(&a->digest, &b->digest))
ORDER(usage_cmp, struct m_usage, strcmp(a->registry, b->registry), i64_cmp(a->repo, b->repo))
ORDER(task_cmp, struct m_task, i64_cmp(a->id, b->id))
ORDER(void_cmp, struct m_void, i64_cmp(a->id, b->id))
ORDER(revoked_cmp, struct revoked_key, strcmp(a->key, b->key))
ORDER(outdone_cmp, struct m_outdone, i64_cmp(a->repo, b->repo), strcmp(a->tag, b->tag))
ORDER(upload_cmp, struct m_upload, strcmp(a->id, b->id))
ORDER(ended_cmp, struct m_ended, strcmp(a->id, b->id))
ORDER(number_cmp, struct m_number, strcmp(a->name, b->name))

// --- what a row is made of ---

struct shape {
    size_t size;
    int (*cmp)(const void *a, const void *b);
    // offsets of its texts; 0 ends the list, unless it is the first
    size_t n_texts, texts[MAX_TEXTS];
    // of its struct bytes; 0 ends the list
    size_t bytes[MAX_BYTES + 1];
};

#define AT(type, member) offsetof(struct type, member)

// Of an entry `e` in a row.
#define ENTRY_N_TEXTS 10
#define ENTRY_TEXTS(type)                                                                          \
    AT(type, e.origin), AT(type, e.registry), AT(type, e.repository), AT(type, e.tag),             \
        AT(type, e.media_type), AT(type, e.key), AT(type, e.attribute), AT(type, e.judged_origin), \
        AT(type, e.rule), AT(type, e.by)
#define ENTRY_BYTES(type) \
    AT(type, e.content), AT(type, e.value), AT(type, e.body), AT(type, e.absent)

static const struct shape shapes[N_TABLES] = {
    [T_OWN] = {sizeof(struct m_own), own_cmp, 0, {0}, {0}},
    [T_FEED] = {sizeof(struct m_feed),
                feed_cmp,
                ENTRY_N_TEXTS,
                {ENTRY_TEXTS(m_feed)},
                {ENTRY_BYTES(m_feed)}},
    [T_PLACES] = {sizeof(struct m_place), place_cmp, 1, {AT(m_place, origin)}, {0}},
    [T_MARKS] = {sizeof(struct m_mark), mark_cmp, 1, {AT(m_mark, origin)}, {0}},
    [T_REPOS] = {sizeof(struct m_repo), repo_cmp, 2, {AT(m_repo, registry), AT(m_repo, name)}, {0}},
    [T_MANIFESTS] = {sizeof(struct m_manifest),
                     manifest_cmp,
                     5,
                     {AT(m_manifest, media_type), AT(m_manifest, origin),
                      AT(m_manifest, gone_origin), AT(m_manifest, by), AT(m_manifest, absent)},
                     {AT(m_manifest, content)}},
    [T_REFS] = {sizeof(struct m_ref), ref_cmp, 0, {0}, {0}},
    [T_UNTAGGED] = {sizeof(struct m_untagged), untagged_cmp, 0, {0}, {0}},
    [T_LOCKS] = {sizeof(struct m_lock),
                 lock_cmp,
                 3,
                 {AT(m_lock, tag), AT(m_lock, origin), AT(m_lock, by)},
                 {0}},
    [T_TAGS] = {sizeof(struct m_tag),
                tag_cmp,
                4,
                {AT(m_tag, tag), AT(m_tag, origin), AT(m_tag, gone_origin), AT(m_tag, by)},
                {0}},
    [T_HISTORY] = {sizeof(struct m_version),
                   version_cmp,
                   3,
                   {AT(m_version, tag), AT(m_version, origin), AT(m_version, by)},
                   {0}},
    [T_LINKS] = {sizeof(struct m_link), link_cmp, 0, {0}, {0}},
    [T_BLOBS] = {sizeof(struct m_blob), blob_cmp, 0, {0}, {0}},
    [T_PULLED] = {sizeof(struct m_pulled), pulled_cmp, 0, {0}, {0}},
    [T_USAGE] = {sizeof(struct m_usage), usage_cmp, 1, {AT(m_usage, registry)}, {0}},
    [T_TASKS] = {sizeof(struct m_task),
                 task_cmp,
                 6,
                 {AT(m_task, registry), AT(m_task, reason), AT(m_task, key), AT(m_task, payload),
                  AT(m_task, origin), AT(m_task, repository)},
                 {0}},
    [T_VOIDED] = {sizeof(struct m_void),
                  void_cmp,
                  2 + ENTRY_N_TEXTS,
                  {AT(m_void, reason), AT(m_void, was), ENTRY_TEXTS(m_void)},
                  {ENTRY_BYTES(m_void)}},
    [T_REVOKED] = {sizeof(struct revoked_key), revoked_cmp, 1, {AT(revoked_key, key)}, {0}},
    [T_OUTDONE] = {sizeof(struct m_outdone), outdone_cmp, 1, {AT(m_outdone, tag)}, {0}},
    [T_UPLOADS] = {sizeof(struct m_upload),
                   upload_cmp,
                   5,
                   {AT(m_upload, id), AT(m_upload, row.id), AT(m_upload, row.registry),
                    AT(m_upload, row.repository), AT(m_upload, row.principal)},
                   {0}},
    [T_ENDED] = {sizeof(struct m_ended),
                 ended_cmp,
                 5,
                 {AT(m_ended, id), AT(m_ended, row.id), AT(m_ended, row.registry),
                  AT(m_ended, row.repository), AT(m_ended, row.principal)},
                 {0}},
    [T_NUMBERS] = {sizeof(struct m_number), number_cmp, 1, {AT(m_number, name)}, {0}},
};

static struct header *header_of(void *row)
{
    return (struct header *)row - 1;
}

static void row_unref(void *row)
{
    if (--header_of(row)->n_refs == 0)
        free(header_of(row));
}

static const char **text_at(void *row, size_t offset)
{
    return (const char **)((char *)row + offset);
}

static struct bytes *bytes_at(void *row, size_t offset)
{
    return (struct bytes *)((char *)row + offset);
}

static size_t room_of(const struct shape *s, void *row)
{
    size_t n = sizeof(struct header) + s->size;
    for (size_t i = 0; i < s->n_texts; i++) {
        const char *text = *text_at(row, s->texts[i]);
        if (text)
            n += strlen(text) + 1;
    }
    for (size_t i = 0; s->bytes[i]; i++)
        n += bytes_at(row, s->bytes[i])->n;
    return n;
}

// The row, its texts and its bytes in one block.
static void *row_copy(const struct shape *s, const void *of)
{
    struct header *h = mem_alloc(room_of(s, (void *)of));
    if (!h)
        return NULL;
    h->n_refs = 1;
    void *row = h + 1;
    memcpy(row, of, s->size);
    char *to = (char *)row + s->size;
    for (size_t i = 0; i < s->n_texts; i++) {
        const char **text = text_at(row, s->texts[i]);
        if (!*text)
            continue;
        size_t n = strlen(*text) + 1;
        memcpy(to, *text, n);
        *text = to;
        to += n;
    }
    for (size_t i = 0; s->bytes[i]; i++) {
        struct bytes *b = bytes_at(row, s->bytes[i]);
        if (!b->n)
            continue;
        memcpy(to, b->p, b->n);
        b->p = (const uint8_t *)to;
        to += b->n;
    }
    return row;
}

// --- tables and states ---

static void table_unref(struct table *t)
{
    if (!t || --t->n_refs)
        return;
    for (size_t i = 0; i < t->n; i++)
        row_unref(t->rows[i]);
    free(t->rows);
    free(t);
}

static struct table *table_copy(const struct table *of)
{
    struct table *t = mem_zalloc(sizeof *t);
    size_t cap = of ? of->n + of->n / 4 + 4 : 4;
    if (t)
        t->rows = mem_alloc(cap * sizeof *t->rows);
    if (!t || !t->rows) {
        free(t);
        return NULL;
    }
    t->n_refs = 1;
    t->cap = cap;
    t->n = of ? of->n : 0;
    for (size_t i = 0; i < t->n; i++) {
        t->rows[i] = of->rows[i];
        header_of(t->rows[i])->n_refs++;
    }
    return t;
}

struct state *state_new(void)
{
    struct state *s = mem_zalloc(sizeof *s);
    if (s)
        s->n_refs = 1;
    return s;
}

struct state *state_copy(struct state *of)
{
    struct state *s = state_new();
    if (!s)
        return NULL;
    s->version = of->version;
    for (size_t i = 0; i < N_TABLES; i++) {
        s->tables[i] = of->tables[i];
        if (s->tables[i])
            s->tables[i]->n_refs++;
    }
    return s;
}

void state_unref(struct state *s)
{
    if (!s || --s->n_refs)
        return;
    for (size_t i = 0; i < N_TABLES; i++)
        table_unref(s->tables[i]);
    free(s);
}

// For changes: no other state has it.
static struct table *table_own(struct tx *tx, enum table_id id)
{
    struct memory_tx *t = memory_tx(tx);
    assert(t->writes); // a reader changes nothing
    struct table *is = t->s->tables[id];
    if (is && is->n_refs == 1)
        return is;
    struct table *own = table_copy(is);
    if (!own)
        return NULL;
    table_unref(is);
    t->s->tables[id] = own;
    return own;
}

size_t row_count(struct tx *tx, enum table_id id)
{
    const struct table *t = memory_tx(tx)->s->tables[id];
    return t ? t->n : 0;
}

const void *row_at(struct tx *tx, enum table_id id, size_t i)
{
    return memory_tx(tx)->s->tables[id]->rows[i];
}

size_t row_lower(struct tx *tx, enum table_id id, const void *key)
{
    size_t low = 0, high = row_count(tx, id);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (shapes[id].cmp(row_at(tx, id, mid), key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_at(struct tx *tx, enum table_id id, size_t i, const void *key)
{
    return i < row_count(tx, id) && shapes[id].cmp(row_at(tx, id, i), key) == 0;
}

const void *row_find(struct tx *tx, enum table_id id, const void *key)
{
    size_t i = row_lower(tx, id, key);
    return is_at(tx, id, i, key) ? row_at(tx, id, i) : NULL;
}

int row_put(struct tx *tx, enum table_id id, const void *row)
{
    void *copy = row_copy(&shapes[id], row);
    size_t i = row_lower(tx, id, row);
    bool there = is_at(tx, id, i, row);
    struct table *t = copy ? table_own(tx, id) : NULL;
    if (!t) {
        free(copy ? header_of(copy) : NULL);
        return ERR_NOMEM;
    }
    if (there) {
        row_unref(t->rows[i]);
        t->rows[i] = copy;
        return 0;
    }
    if (t->n == t->cap) {
        void **rows = mem_realloc(t->rows, 2 * t->cap * sizeof *rows);
        if (!rows) {
            free(header_of(copy));
            return ERR_NOMEM;
        }
        t->rows = rows;
        t->cap *= 2;
    }
    memmove(t->rows + i + 1, t->rows + i, (t->n - i) * sizeof *t->rows);
    t->rows[i] = copy;
    t->n++;
    return 0;
}

int row_remove_at(struct tx *tx, enum table_id id, size_t i)
{
    struct table *t = table_own(tx, id);
    if (!t)
        return ERR_NOMEM;
    assert(i < t->n);
    row_unref(t->rows[i]);
    t->n--;
    memmove(t->rows + i, t->rows + i + 1, (t->n - i) * sizeof *t->rows);
    return 0;
}

int row_remove(struct tx *tx, enum table_id id, const void *key)
{
    size_t i = row_lower(tx, id, key);
    if (!is_at(tx, id, i, key))
        return ERR_NOTFOUND;
    return row_remove_at(tx, id, i);
}

struct m_own own_row(struct tx *tx)
{
    const struct m_own *o = row_find(tx, T_OWN, &(struct m_own){0});
    return o ? *o : (struct m_own){.epoch = 1};
}

// --- copies for callers ---

int text_out(struct arena *a, const char *s, const char **out)
{
    *out = NULL;
    if (!s)
        return 0;
    *out = arena_strdup(a, s);
    return *out ? 0 : ERR_NOMEM;
}

static int bytes_out(struct arena *a, struct bytes *b)
{
    if (!b->n) {
        *b = (struct bytes){0};
        return 0;
    }
    b->p = arena_copy(a, b->p, b->n);
    return b->p ? 0 : ERR_NOMEM;
}

int entry_out(struct arena *a, const struct feed_entry *e, bool with_content,
              struct feed_entry *out)
{
    struct feed_entry c = *e;
    const char **const texts[] = {&c.origin, &c.registry,  &c.repository,    &c.tag,  &c.media_type,
                                  &c.key,    &c.attribute, &c.judged_origin, &c.rule, &c.by};
    struct bytes *const bytes[] = {&c.content, &c.value, &c.body, &c.absent};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        int rc = text_out(a, *texts[i], texts[i]);
        if (rc)
            return rc;
    }
    if (!with_content)
        c.content = (struct bytes){0};
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
        int rc = bytes_out(a, bytes[i]);
        if (rc)
            return rc;
    }
    *out = c;
    return 0;
}

const struct m_feed *feed_by_id(struct tx *tx, int64_t id)
{
    return row_find(tx, T_FEED, &(struct m_feed){.id = id});
}

int64_t repo_id(struct tx *tx, const char *registry, const char *repository)
{
    const struct m_repo *r =
        row_find(tx, T_REPOS, &(struct m_repo){.registry = registry, .name = repository});
    return r ? r->id : 0;
}
