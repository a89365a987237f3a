// SPDX-License-Identifier: Apache-2.0
// Lines of a feed; see feed_line.h. Called by peer readers and by recovery on their own threads,
// and by the feed's server on the pool.
//
// Invariants (design section 9)
//   7. `proven` moves over what the running hash or the origin's signed heads show to be whole.
//   8. Places only go up: a line at or before the last one is refused, so a sequence seen is never
//      seen to mean something else.
#include "replication/feed_line.h"

#include "base/clock.h"
#include "base/err.h"
#include "replication/cursor.h"
#include "store/entry_kind.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_PREFIX "{\"progress\":"
#define PAST_SEAL "past the place at which its origin is sealed"

// Keys of registries hold no byte that JSON would escape.
static void heads_format(const struct feed_progress *p, struct buf *out)
{
    char hash[2 * ENTRY_HASH_BYTES + 1], sig[b64_size(ENTRY_SIG_BYTES)];
    assert(p->n_heads <= FEED_HEADS_LINE_MAX);
    if (p->n_heads) {
        buf_str(out, ",\"heads\":[");
        for (size_t i = 0; i < p->n_heads; i++) {
            const struct head_row *row = &p->heads[i];
            hex_format(row->hash, sizeof row->hash, hash);
            buf_printf(out, "%s[\"%s\",\"%" PRIu64 "\",\"%s\"]", i ? "," : "", row->registry,
                       row->seq, hash);
        }
        buf_str(out, "]");
    }
    if (!p->heads_sig)
        return;
    b64url_format(p->heads_sig, ENTRY_SIG_BYTES, sig);
    buf_printf(out, ",\"headsSig\":\"%s\",\"headsKey\":\"%s\"", sig, p->heads_key);
}

int feed_progress_format(const struct feed_progress *p, struct buf *out)
{
    char cur[CURSOR_TEXT_SIZE];
    buf_printf(out, PROGRESS_PREFIX "\"%s\",\"topology\":%" PRIu64 ",\"caughtUp\":%s",
               cursor_format(p->at, cur), p->topology_version, p->caught_up ? "true" : "false");
    if (p->registries) {
        buf_str(out, ",\"registries\":[");
        for (size_t i = 0; i < p->n_registries; i++)
            buf_printf(out, "%s\"%s\"", i ? "," : "", p->registries[i]);
        buf_str(out, "]");
    }
    if (p->beat_ms)
        buf_printf(out, ",\"beatMs\":%u", p->beat_ms);
    if (p->speaks)
        buf_printf(out, ",\"speaks\":%u", p->speaks);
    heads_format(p, out);
    buf_str(out, "}\n");
    return out->err;
}

static int registries_take(const json_t *list, struct arena *a, struct feed_line *out)
{
    if (!json_is_array(list) || json_array_size(list) > FEED_REGISTRIES_MAX)
        return ERR_PROTO;
    size_t n = json_array_size(list);
    const char **names = arena_array(a, n + 1, sizeof *names);
    if (!names)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (!s || !registry_key_ok(s))
            return ERR_PROTO;
        names[i] = arena_strdup(a, s);
        if (!names[i])
            return ERR_NOMEM;
    }
    out->registries = names;
    out->n_registries = n;
    return 0;
}

struct progress { // the members of a progress line that are known
    const char *cursor;
    const json_t *version, *names, *caught_up, *beat, *speaks, *heads, *sig, *key;
};

static void progress_read(const json_t *o, struct progress *out)
{
    *out = (struct progress){.cursor = json_string_value(json_object_get(o, "progress")),
                             .version = json_object_get(o, "topology"),
                             .names = json_object_get(o, "registries"),
                             .caught_up = json_object_get(o, "caughtUp"),
                             .beat = json_object_get(o, "beatMs"),
                             .speaks = json_object_get(o, "speaks"),
                             .heads = json_object_get(o, "heads"),
                             .sig = json_object_get(o, "headsSig"),
                             .key = json_object_get(o, "headsKey")};
}

static bool number_in(const json_t *j, json_int_t least, json_int_t most)
{
    json_int_t v = json_integer_value(j); // 0 when it is no number
    return json_is_integer(j) && v >= least && v <= most;
}

static bool progress_whole(const struct progress *p)
{
    if (!p->cursor || !json_is_boolean(p->caught_up))
        return false;
    if (!number_in(p->version, 1, INT64_MAX))
        return false;
    if (p->beat && !number_in(p->beat, FEED_BEAT_MIN_MS, FEED_BEAT_MAX_MS))
        return false;
    if (p->speaks && !number_in(p->speaks, 1, INT32_MAX))
        return false;
    return !p->sig == !p->key;
}

// --- heads ---

static bool sequence_read(const char *s, uint64_t *out)
{
    size_t n = 0;
    if (s)
        n = strlen(s);
    if (!n || n > 18 || strspn(s, "0123456789") != n || (*s == '0' && n > 1))
        return false;
    *out = strtoull(s, NULL, 10);
    return true;
}

static int row_read(const json_t *j, struct head_row *out)
{
    *out = (struct head_row){0};
    const char *key = json_string_value(json_array_get(j, 0));
    const char *hash = json_string_value(json_array_get(j, 2));
    if (json_array_size(j) != 3 || !key || !registry_key_ok(key) || !hash)
        return ERR_PROTO;
    if (!sequence_read(json_string_value(json_array_get(j, 1)), &out->seq))
        return ERR_PROTO;
    if (hex_parse(hash, strlen(hash), out->hash, sizeof out->hash))
        return ERR_PROTO;
    int n = snprintf(out->registry, sizeof out->registry, "%s", key);
    if (n >= (int)sizeof out->registry)
        return ERR_PROTO;
    return 0;
}

static int rows_take(struct feed_rules *ru, const json_t *list, const char **why)
{
    *why = "malformed heads";
    if (!json_is_array(list) || json_array_size(list) > FEED_HEADS_LINE_MAX)
        return ERR_PROTO;
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct head_row row;
        int rc = row_read(json_array_get(list, i), &row);
        if (!rc)
            rc = feed_heads_set(ru->said, &row);
        if (rc == ERR_TOOBIG)
            return ERR_PROTO;
        if (rc)
            return rc;
    }
    return 0;
}

static int heads_verify(struct feed_rules *ru, const struct progress *p,
                        const struct feed_mark *place, const char **why)
{
    uint8_t sig[ENTRY_SIG_BYTES];
    size_t n = 0;
    const char *id = json_string_value(p->key), *text = json_string_value(p->sig);
    *why = "malformed heads";
    if (!id || !text || b64url_parse(text, strlen(text), sig, sizeof sig, &n) || n != sizeof sig)
        return ERR_PROTO;
    const struct public_key *key = topology_feed_key_in_use(ru->topology, id);
    *why = "heads signed by a key that the topology does not give its origin now";
    if (!key || key->region != ru->origin->index)
        return ERR_AUTH;
    AUTO_BUF struct buf signed_text;
    buf_init(&signed_text, 4096);
    int rc = feed_heads_text(ru->said, ru->origin->name, place, &signed_text);
    if (rc)
        return rc;
    *why = "wrong signature of the heads";
    if (ru->verify(key->spki_b64, signed_text.p, signed_text.n, sig))
        return ERR_AUTH;
    return 0;
}

static int gap_refuse(struct feed_rules *ru, const struct head_row *held,
                      const struct head_row *said, const char **why)
{
    *why = ru->gap;
    if (!said)
        snprintf(
            ru->gap, sizeof ru->gap,
            "it moves past entries that it does not show, and its signed heads do not speak of "
            "registry %s",
            held->registry);
    else if (said->seq == held->seq)
        snprintf(ru->gap, sizeof ru->gap,
                 "entry %" PRIu64 " of registry %s is another one here than its signed heads say",
                 held->seq, held->registry);
    else
        snprintf(ru->gap, sizeof ru->gap,
                 "it leaves out entries of registry %s: %" PRIu64 " came, and its signed heads say "
                 "%" PRIu64,
                 held->registry, held->seq, said->seq);
    return ERR_GAP;
}

// Does the line prove that nothing is missing up to its place?
static int heads_take(struct feed_rules *ru, const struct progress *p,
                      const struct feed_mark *place, bool *out_proves, const char **why)
{
    *out_proves = false;
    if (!ru->said || !ru->held)
        return 0;
    if (p->heads) {
        int rc = rows_take(ru, p->heads, why);
        if (rc)
            return rc;
    }
    if (!p->sig)
        return 0;
    int rc = heads_verify(ru, p, place, why);
    if (rc)
        return rc;
    const struct head_row *said = NULL, *held = feed_heads_lacking(ru->held, ru->said, &said);
    if (held)
        return gap_refuse(ru, held, said, why);
    *out_proves = true;
    return 0;
}

bool feed_at_seal(const struct feed_seal *seal, const struct feed_mark *place)
{
    return place->epoch == seal->epoch && place->seq == seal->seq &&
           !memcmp(place->hash, seal->hash, sizeof seal->hash);
}

// Past the seal, or in its place and another entry.
static bool past_seal(const struct feed_rules *ru, const struct feed_mark *place)
{
    if (!ru->seal || feed_at_seal(ru->seal, place))
        return false;
    const struct feed_mark seal = {.epoch = ru->seal->epoch, .seq = ru->seal->seq};
    return mark_order(place, &seal) >= 0 && !mark_is_zero(place);
}

// A line without entries of its own: is all proven that lies before its place?
static int proven_move(struct feed_rules *ru, const struct feed_mark *place, bool proves,
                       bool caught_up, const char **why)
{
    bool stays = mark_equal(place, &ru->last) && mark_equal(&ru->proven, &ru->last);
    if (ru->seal && !stays)
        return 0; // no heads are signed any more: sealed_reader.h
    if (proves || !ru->strict || stays) {
        ru->proven = *place;
        return 0;
    }
    if (!caught_up)
        return 0; // the heads may be said in the next lines
    snprintf(ru->gap, sizeof ru->gap,
             "it moves past entries that it does not show, without signed heads");
    *why = ru->gap;
    return ERR_GAP;
}

// --- progress ---

// Only the beginning of the feed and the last line's place may be said again.
static bool goes_back(const struct feed_mark *m, const struct feed_mark *last)
{
    int order = mark_order(m, last);
    if (order == 0)
        return !mark_is_zero(m) && !mark_equal(m, last);
    return order < 0;
}

static int progress_fields(struct feed_rules *ru, const json_t *o, struct arena *a,
                           struct feed_line *out, const char **why)
{
    struct progress p;
    struct feed_mark m;
    bool proves, caught_up;
    progress_read(o, &p);
    *why = "malformed progress line";
    if (!progress_whole(&p) || cursor_parse(p.cursor, &m))
        return ERR_PROTO;
    if (p.names) {
        int rc = registries_take(p.names, a, out);
        if (rc)
            return rc;
    }
    *why = "progress goes back";
    if (goes_back(&m, &ru->last))
        return ERR_PROTO;
    *why = PAST_SEAL;
    if (past_seal(ru, &m))
        return ERR_PROTO;
    if (ru->held && json_integer_value(p.speaks) >= FEED_SPEAKS_HEADS)
        ru->strict = true;
    caught_up = json_is_true(p.caught_up);
    int rc = heads_take(ru, &p, &m, &proves, why);
    if (!rc)
        rc = proven_move(ru, &m, proves, caught_up, why);
    if (rc)
        return rc;
    if (m.epoch != ru->last.epoch)
        ru->last_stamp = 0;                   // no entry of that epoch was seen
    assert(mark_order(&ru->last, &m) <= 0);   // 8
    assert(mark_order(&ru->proven, &m) <= 0); // 7
    ru->last = m;
    ru->their_topology = (uint64_t)json_integer_value(p.version);
    out->kind = FEED_PROGRESS;
    out->caught_up = caught_up;
    out->beat_ms = (unsigned)json_integer_value(p.beat);
    out->speaks = (unsigned)json_integer_value(p.speaks);
    *why = NULL;
    return 0;
}

static int progress_accept(struct feed_rules *ru, struct bytes line, struct arena *a,
                           struct feed_line *out, const char **why)
{
    json_error_t err;
    json_t *o = json_loadb((const char *)line.p, line.n, JSON_REJECT_DUPLICATES, &err);
    *why = "malformed progress line";
    int rc = ERR_PROTO;
    if (o)
        rc = progress_fields(ru, o, a, out, why);
    json_decref(o);
    return rc;
}

static int refuse_key(struct feed_rules *ru, const struct feed_entry *e)
{
    snprintf(ru->refused_key, sizeof ru->refused_key, "%s", e->key);
    return ERR_AUTH;
}

int feed_signature_check(struct feed_rules *ru, const struct feed_entry *e, const char **why)
{
    const struct public_key *key = topology_feed_key(ru->topology, e->key);
    *why = "signed by a key that the topology does not give its origin";
    if (!key || key->region != ru->origin->index)
        return refuse_key(ru, e);
    *why = "signed by a key after it was retired";
    if (!public_key_signed_at(ru->topology, key, hlc_wall_ms(e->stamp)))
        return refuse_key(ru, e);
    struct buf text;
    buf_init(&text, 64 << 10);
    int rc = entry_sign_input(e, &text);
    *why = "wrong signature";
    if (!rc) {
        if (ru->verify(key->spki_b64, text.p, text.n, e->sig))
            rc = ERR_AUTH;
        else
            rc = 0;
    }
    buf_done(&text);
    if (rc == ERR_NOMEM || rc == ERR_AUTH || !rc)
        return rc;
    return ERR_PROTO;
}

// Where the last line was the entry before, the running hash must follow from it. After a filtered
// stretch it cannot be computed, and the signature alone vouches for it.
static bool hash_follows(const struct feed_rules *ru, const struct feed_entry *e)
{
    uint8_t want[ENTRY_HASH_BYTES];
    return entry_hash(ru->last.hash, e, want) == 0 && memcmp(want, e->hash, sizeof want) == 0;
}

static bool chain_ok(const struct feed_rules *ru, const struct feed_entry *e)
{
    if (e->epoch != ru->last.epoch || e->seq != ru->last.seq + 1 || ru->last.seq == 0)
        return true;
    return hash_follows(ru, e);
}

// Does it follow the last line without a gap? An epoch goes on from the last hash of the one
// before, and the first from zeros.
static bool is_next(const struct feed_rules *ru, const struct feed_entry *e)
{
    if (e->epoch == ru->last.epoch && ru->last.seq)
        return e->seq == ru->last.seq + 1; // and the hash was compared
    return e->seq == 1 && hash_follows(ru, e);
}

// Of a registry that the greeting does not name the chain is not followed: nothing of it is taken
// that would have to be.
static int head_move(struct feed_rules *ru, const struct feed_entry *e, const char **why)
{
    struct head_row row;
    if (!ru->held || !head_row_of(e, &row))
        return 0;
    const struct head_row *held = feed_heads_get(ru->held, row.registry);
    *why = "entry of a registry that the greeting does not name";
    if (!held)
        return ru->strict ? ERR_PROTO : 0;
    // A later epoch may go on from an earlier entry: the origin lost the others. Else it is held
    // already, or the store says that something is missing before it.
    if (row.seq != held->seq + 1 && row.epoch <= held->epoch)
        return 0;
    return feed_heads_set(ru->held, &row);
}

// By a revoked key: past its last good entry, or in the place of that with another hash, or not
// proven to lie before it.
bool feed_entry_void(const struct feed_rules *ru, const struct feed_entry *e)
{
    const struct feed_revocation *v = topology_revocation(ru->topology, e->key);
    if (!v)
        return false;
    if (e->epoch > v->epoch || (e->epoch == v->epoch && e->seq > v->seq))
        return true;
    if (e->epoch == v->epoch && e->seq == v->seq)
        return memcmp(e->hash, v->hash, sizeof v->hash) != 0;
    enum proof proof = feed_proof_judge(ru->proof, e);
    return proof == PROOF_OTHER || (proof == PROOF_UNKNOWN && !ru->vouched);
}

bool feed_content_ok(const struct feed_entry *e)
{
    struct digest d;
    if (!entry_has(e, ENTRY_HAS_CONTENT) || e->content.n != e->size)
        return false;
    if (digest_of(e->digest.alg, e->content.p, e->content.n, &d))
        return false;
    return digest_equal(&d, &e->digest);
}

// What an entry says of itself: whose it is, and that it comes after the last line.
static int order_check(const struct feed_rules *ru, const struct feed_entry *e,
                       const struct feed_mark *at, const char **why)
{
    *why = "entry of another origin";
    if (strcmp(e->origin, ru->origin->name) != 0)
        return ERR_PROTO;
    *why = "entry of a partition that this version does not have";
    if (e->partition)
        return ERR_PROTO;
    *why = PAST_SEAL;
    if (past_seal(ru, at))
        return ERR_PROTO;
    *why = "entry out of order";
    if (mark_order(at, &ru->last) <= 0)
        return ERR_PROTO;
    *why = "stamp does not go up";
    if (e->epoch == ru->last.epoch && e->stamp <= ru->last_stamp)
        return ERR_PROTO;
    *why = "content does not match its digest";
    if (e->content.n && !feed_content_ok(e))
        return ERR_PROTO;
    return 0;
}

static bool is_shared(const struct feed_rules *ru, const struct feed_entry *e)
{
    const struct registry *reg = topology_registry_by_key(ru->topology, e->registry);
    if (!reg || !registry_replica(reg, ru->self->index))
        return false;
    return registry_replica(reg, ru->origin->index) != NULL;
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_left(const struct feed_rules *ru, const struct feed_entry *e)
{
    return ru->n_left && bsearch(&e->registry, ru->left, ru->n_left, sizeof *ru->left, name_order);
}

static enum feed_line_kind kind_of(const struct feed_entry *e, bool is_void, bool left, bool wanted)
{
    if (is_void)
        return FEED_VOID;
    if (left)
        return FEED_SKIPPED;
    if (entry_malformed(e))
        return FEED_MALFORMED;
    if (!wanted)
        return FEED_SKIPPED;
    return FEED_ENTRY;
}

static int entry_accept(struct feed_rules *ru, struct bytes line, struct arena *a,
                        struct feed_line *out, const char **why)
{
    struct feed_entry e;
    *why = "malformed entry";
    // Also holds every name to its grammar: they become parts of URLs and of rows, and the
    // signature says who wrote them, not that they are sane.
    int rc = entry_parse(line, a, &e);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc)
        return ERR_PROTO;
    struct feed_mark at;
    mark_of_entry(&e, &at);
    rc = order_check(ru, &e, &at, why);
    if (rc)
        return rc;
    rc = feed_signature_check(ru, &e, why);
    if (rc)
        return rc;
    *why = "running hash does not follow";
    ru->chain_broken = !chain_ok(ru, &e);
    if (ru->chain_broken)
        return ERR_PROTO;
    bool is_void = feed_entry_void(ru, &e);
    *why = "signed by a revoked key, and not among the entries that its revocation leaves good";
    if (is_void && !ru->skip_void)
        return ERR_AUTH;
    *why = "stamped too far ahead of this region's clock";
    if (ru->limit && e.stamp > ru->limit) {
        ru->ahead = e.stamp;
        ru->ahead_at = at;
        return ERR_AHEAD;
    }
    bool own = ru->self == ru->origin;
    *why = "an entry that is ended, of another region";
    if (e.ended && !own)
        return ERR_PROTO;
    bool wanted = own || is_shared(ru, &e);
    *why = "entry of a registry that is not shared";
    // Two regions may be on different topologies for a while: then it is no offence, and
    // backfill_state.h has it read again.
    if (!wanted && ru->their_topology == ru->topology->version)
        return ERR_PROTO;
    bool left = is_left(ru, &e);
    if (wanted && !left && !is_void) {
        rc = head_move(ru, &e, why);
        if (rc)
            return rc;
    }
    bool whole = mark_equal(&ru->proven, &ru->last) && is_next(ru, &e);
    if (whole || !ru->strict)
        ru->proven = at;
    assert(mark_order(&ru->last, &at) < 0);    // 8
    assert(mark_order(&ru->proven, &at) <= 0); // 7
    ru->last = at;
    ru->last_stamp = e.stamp;
    out->kind = kind_of(&e, is_void, left, wanted);
    out->entry = e;
    *why = NULL;
    return 0;
}

static bool is_progress(struct bytes line)
{
    size_t n = strlen(PROGRESS_PREFIX);
    return line.n >= n && memcmp(line.p, PROGRESS_PREFIX, n) == 0;
}

int feed_line_accept(struct feed_rules *rules, struct bytes line, struct arena *a,
                     struct feed_line *out, const char **out_why)
{
    struct feed_line l = {0};
    int rc;
    if (line.n > FEED_LINE_MAX) {
        *out_why = "line too long";
        return ERR_PROTO;
    }
    if (is_progress(line))
        rc = progress_accept(rules, line, a, &l, out_why);
    else
        rc = entry_accept(rules, line, a, &l, out_why);
    if (!rc)
        *out = l;
    return rc;
}

int feed_lines_take(struct buf *text, int (*line)(void *ctx, struct bytes text), void *ctx)
{
    size_t from = 0;
    int rc = 0;
    while (!rc) {
        const char *nl = memchr(text->p + from, '\n', text->n - from);
        if (!nl)
            break;
        size_t n = (size_t)(nl - (text->p + from));
        rc = line(ctx, bytes_of(text->p + from, n));
        from += n + 1;
    }
    if (from)
        buf_consume(text, from);
    return rc;
}
