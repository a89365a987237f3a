// SPDX-License-Identifier: Apache-2.0
// Pages of a snapshot as lines; see snapshot_page.h. Called by the server on the pool, and by a
// peer's reader on its thread.
//
// Invariants (design section 9)
//   4. (of hard histories) A register's value is believed because its origin signed it.
//   A page is taken whole or not at all: its head says what it is of, its foot how much it is.
#include "replication/snapshot_page.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "replication/cursor.h"
#include "store/entry_kind.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_PREFIX "{\"snapshot\":"
#define FOOT_PREFIX "{\"entries\":"
#define NEXT_RAW_MAX 760
#define TEXT_VERSION 1

// --- head and foot ---

// Keys of registries and names of regions hold no byte that JSON would escape.
int snapshot_head_format(const struct page_head *h, struct buf *out)
{
    char cursor[CURSOR_TEXT_SIZE], hash[2 * ENTRY_HASH_BYTES + 1];
    buf_printf(out, HEAD_PREFIX "%d,\"origin\":\"%s\",\"registry\":\"%s\",\"at\":\"%s\"",
               TEXT_VERSION, h->origin, h->registry, cursor_format(&h->at, cursor));
    buf_printf(out, ",\"topology\":%" PRIu64, h->topology);
    if (h->first) {
        hex_format(h->chain_hash, sizeof h->chain_hash, hash);
        buf_printf(out, ",\"chain\":[\"%" PRIu64 "\",\"%s\"]", h->chain_seq, hash);
        buf_printf(out, ",\"of\":%" PRIu64, h->of);
    }
    if (h->floor)
        buf_printf(out, ",\"floor\":\"%" PRIu64 "\"", h->floor);
    buf_str(out, "}\n");
    return out->err;
}

int snapshot_foot_format(const struct page_foot *f, struct buf *out)
{
    buf_printf(out, FOOT_PREFIX "%" PRIu64 ",\"looked\":%" PRIu64 ",\"next\":\"%s\"}\n",
               f->n_entries, f->looked, f->next);
    return out->err;
}

// --- where the next page begins ---

bool snapshot_next_ok(const char *text)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t n = strnlen(text, SNAPSHOT_NEXT_SIZE);
    return n < SNAPSHOT_NEXT_SIZE && strspn(text, letters) == n;
}

int snapshot_next_format(const struct snapshot_at *at, char out[SNAPSHOT_NEXT_SIZE])
{
    char raw[NEXT_RAW_MAX + 1], digest[DIGEST_TEXT_SIZE] = "";
    if (!at->repository || !at->tag)
        return ERR_INVAL;
    if (at->digest.n)
        digest_format(&at->digest, digest);
    int n = snprintf(raw, sizeof raw, "1\n%s\n%u\n%s\n%s\n%" PRIu64 "\n%" PRIu64 "\n",
                     at->repository, at->nth, at->tag, digest, at->epoch, at->seq);
    if (n < 0 || (size_t)n >= sizeof raw)
        return ERR_INVAL;
    static_assert(b64_size(NEXT_RAW_MAX) <= SNAPSHOT_NEXT_SIZE, "it fits");
    b64url_format(raw, (size_t)n, out);
    return 0;
}

// The text up to the next line feed, which becomes a NUL.
static char *field_take(char **p)
{
    char *from = *p, *end = strchr(from, '\n');
    if (!end)
        return NULL;
    *end = '\0';
    *p = end + 1;
    return from;
}

static bool number_read(const char *s, uint64_t *out)
{
    return !entry_decimal_parse(bytes_str(s), out);
}

static bool register_read(const char *tag, const char *digest, struct snapshot_at *out)
{
    if (*tag && !entry_tag_ok(tag))
        return false;
    if (*digest && digest_parse(digest, strlen(digest), &out->digest))
        return false;
    return true;
}

int snapshot_next_parse(const char *text, struct arena *a, struct snapshot_at *out)
{
    char *raw = arena_array(a, NEXT_RAW_MAX + 1, 1), *field[7];
    struct snapshot_at at = {0};
    uint64_t nth;
    size_t n = 0;
    if (!raw)
        return ERR_NOMEM;
    if (!snapshot_next_ok(text) ||
        b64url_parse(text, strlen(text), (uint8_t *)raw, NEXT_RAW_MAX, &n))
        return ERR_INVAL;
    raw[n] = '\0';
    if (strlen(raw) != n)
        return ERR_INVAL;
    char *p = raw;
    for (size_t i = 0; i < ARRAY_LEN(field); i++)
        if (!(field[i] = field_take(&p)))
            return ERR_INVAL;
    if (*p || strcmp(field[0], "1") != 0)
        return ERR_INVAL;
    if (*field[1] && !entry_repository_ok(field[1]))
        return ERR_INVAL;
    if (!number_read(field[2], &nth) || nth >= SNAPSHOT_KINDS)
        return ERR_INVAL;
    if (!register_read(field[3], field[4], &at))
        return ERR_INVAL;
    if (!number_read(field[5], &at.epoch) || !number_read(field[6], &at.seq))
        return ERR_INVAL;
    at.repository = field[1];
    at.nth = (unsigned)nth;
    at.tag = field[3];
    *out = at;
    return 0;
}

// --- what a reader believes ---

static const char *text_of(const json_t *o, const char *name)
{
    return json_string_value(json_object_get(o, name));
}

static bool integer_of(const json_t *o, const char *name, json_int_t least, uint64_t *out)
{
    const json_t *j = json_object_get(o, name);
    if (!json_is_integer(j) || json_integer_value(j) < least)
        return false;
    *out = (uint64_t)json_integer_value(j);
    return true;
}

static bool chain_read(const json_t *j, struct page_head *h)
{
    static const uint8_t zeros[ENTRY_HASH_BYTES];
    const char *number = json_string_value(json_array_get(j, 0));
    const char *hash = json_string_value(json_array_get(j, 1));
    if (json_array_size(j) != 2 || !number || !hash || !number_read(number, &h->chain_seq))
        return false;
    if (strlen(hash) != 2 * ENTRY_HASH_BYTES ||
        hex_parse(hash, strlen(hash), h->chain_hash, sizeof h->chain_hash))
        return false;
    return h->chain_seq || memcmp(h->chain_hash, zeros, sizeof zeros) == 0;
}

static int head_read(const struct page_rules *ru, const json_t *o, struct page_head *h,
                     const char **why)
{
    const char *origin = text_of(o, "origin"), *registry = text_of(o, "registry");
    const char *at = text_of(o, "at");
    uint64_t version;
    *why = "malformed head of a page";
    if (!origin || !registry || !at || !integer_of(o, "snapshot", 1, &version))
        return ERR_PROTO;
    if (cursor_parse(at, &h->at) || !integer_of(o, "topology", 1, &h->topology))
        return ERR_PROTO;
    *why = "the head of a page says how much there is in no number";
    if (json_object_get(o, "of") && !integer_of(o, "of", 0, &h->of))
        return ERR_PROTO;
    *why = "a page of a later form";
    if (version != TEXT_VERSION)
        return ERR_PROTO;
    *why = "a page of another origin, registry or place than was asked for";
    if (strcmp(origin, ru->feed.origin->name) != 0 || strcmp(registry, ru->registry) != 0)
        return ERR_PROTO;
    if (h->at.partition || (ru->at && !mark_equal(&h->at, ru->at)))
        return ERR_PROTO;
    *why = "the head of a first page does not say the end of its chain";
    if (ru->first && !chain_read(json_object_get(o, "chain"), h))
        return ERR_PROTO;
    *why = "the floor in the head of a page is no stamp";
    const char *floor = text_of(o, "floor");
    if (json_object_get(o, "floor") && (!floor || !number_read(floor, &h->floor)))
        return ERR_PROTO;
    h->origin = ru->feed.origin->name;
    h->registry = ru->registry;
    h->first = ru->first;
    return 0;
}

static int head_accept(struct page_rules *ru, const json_t *o, struct page_line *out,
                       const char **why)
{
    struct page_head h = {0};
    *why = "a second head in one page";
    if (ru->begun)
        return ERR_PROTO;
    int rc = head_read(ru, o, &h, why);
    if (rc)
        return rc;
    ru->begun = true;
    ru->upto = h.at;
    ru->chain_seq = h.chain_seq;
    memcpy(ru->chain_hash, h.chain_hash, sizeof ru->chain_hash);
    ru->of = h.of;
    ru->floor = h.floor;
    out->kind = SNAPSHOT_HEAD;
    out->head = h;
    return 0;
}

static int foot_accept(struct page_rules *ru, const json_t *o, struct arena *a,
                       struct page_line *out, const char **why)
{
    struct page_foot f = {0};
    const char *next = text_of(o, "next");
    *why = "malformed foot of a page";
    if (!next || !snapshot_next_ok(next) || !integer_of(o, "entries", 0, &f.n_entries) ||
        !integer_of(o, "looked", 0, &f.looked))
        return ERR_PROTO;
    *why = "the foot of a page counts other entries than came";
    if (f.n_entries != ru->n_entries)
        return ERR_PROTO;
    *why = "the entry at the end of its chain did not come";
    if (ru->first && ru->chain_seq && !ru->n_entries)
        return ERR_PROTO;
    *why = "a page that is empty and not the last";
    if (*next && !f.n_entries && !f.looked)
        return ERR_PROTO;
    f.next = arena_strdup(a, next);
    if (!f.next)
        return ERR_NOMEM;
    ru->ended = true;
    out->kind = SNAPSHOT_FOOT;
    out->foot = f;
    return 0;
}

// Is it what the chain of the first page ends with?
static bool ends_chain(const struct page_rules *ru, const struct feed_entry *e)
{
    uint8_t hash[ENTRY_HASH_BYTES];
    if (e->version != 2 || e->registry_seq != ru->chain_seq)
        return false;
    entry_body_hash(e, hash);
    return memcmp(hash, ru->chain_hash, sizeof hash) == 0;
}

static int entry_judge(struct page_rules *ru, const struct feed_entry *e, const char **why)
{
    const struct feed_mark place = entry_mark(e);
    *why = "entry of another origin or registry";
    if (strcmp(e->origin, ru->feed.origin->name) != 0 || strcmp(e->registry, ru->registry) != 0)
        return ERR_PROTO;
    *why = "entry of a partition that this version does not have";
    if (e->partition)
        return ERR_PROTO;
    *why = "entry behind the place of the snapshot";
    int order = feed_mark_order(&place, &ru->upto);
    if (order > 0)
        return ERR_PROTO;
    *why = "another entry at the place of the snapshot";
    if (order == 0 && memcmp(place.hash, ru->upto.hash, sizeof place.hash) != 0)
        return ERR_PROTO;
    *why = "the first page does not begin with the end of its chain";
    if (ru->first && ru->chain_seq && !ru->n_entries && !ends_chain(ru, e))
        return ERR_PROTO;
    *why = "content does not match its digest";
    if (e->content.n && !feed_content_ok(e))
        return ERR_PROTO;
    int rc = feed_signature_check(&ru->feed, e, why);
    if (rc)
        return rc;
    *why = "signed by a revoked key: a snapshot proves nothing of it";
    if (feed_entry_void(&ru->feed, e))
        return ERR_AUTH;
    *why = "stamped too far ahead of this region's clock";
    if (ru->feed.limit && e->stamp > ru->feed.limit)
        return ERR_AHEAD;
    return 0;
}

static int entry_accept(struct page_rules *ru, struct bytes line, struct arena *a,
                        struct page_line *out, const char **why)
{
    *why = "an entry without a head before it";
    if (!ru->begun)
        return ERR_PROTO;
    *why = "too many entries in one page";
    if (ru->n_entries == SNAPSHOT_ENTRIES_MAX)
        return ERR_PROTO;
    *why = "malformed entry";
    int rc = entry_parse(line, a, &out->entry);
    if (rc)
        return rc == ERR_NOMEM ? rc : ERR_PROTO;
    rc = entry_judge(ru, &out->entry, why);
    if (rc)
        return rc;
    *why = "a malformed entry that says nothing";
    if (out->entry.version != 2 && entry_malformed(&out->entry))
        return ERR_PROTO;
    *why = "an entry that is ended, and is not the end of the chain";
    if (out->entry.ended && (!ru->first || ru->n_entries))
        return ERR_PROTO;
    ru->n_entries++;
    out->kind = SNAPSHOT_ENTRY;
    return 0;
}

static bool begins(struct bytes line, const char *prefix)
{
    size_t n = strlen(prefix);
    return line.n >= n && memcmp(line.p, prefix, n) == 0;
}

static int object_accept(struct page_rules *ru, struct bytes line, struct arena *a,
                         struct page_line *out, const char **why)
{
    bool head = begins(line, HEAD_PREFIX);
    json_t *o = json_loadb((const char *)line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
    int rc = ERR_PROTO;
    *why = "malformed head or foot of a page";
    if (o && head)
        rc = head_accept(ru, o, out, why);
    else if (o && ru->begun)
        rc = foot_accept(ru, o, a, out, why);
    json_decref(o);
    return rc;
}

int snapshot_line_accept(struct page_rules *rules, struct bytes line, struct arena *a,
                         struct page_line *out, const char **out_why)
{
    struct page_line l = {0};
    int rc = ERR_PROTO;
    *out_why = "a line that is too long, or behind the foot of its page";
    if (line.n > SNAPSHOT_LINE_MAX || rules->ended)
        return ERR_PROTO;
    if (begins(line, HEAD_PREFIX) || begins(line, FOOT_PREFIX))
        rc = object_accept(rules, line, a, &l, out_why);
    else
        rc = entry_accept(rules, line, a, &l, out_why);
    if (rc)
        return rc;
    *out = l;
    *out_why = NULL;
    return 0;
}
