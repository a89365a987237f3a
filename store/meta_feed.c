// SPDX-License-Identifier: Apache-2.0
// The log: own entries (the outbox) and those of other regions that were read; see meta.h. Minting
// runs on the writer thread, reading anywhere.
//
// Invariants (design section 9)
//   1. An own entry is minted in the transaction that changes the state.
//   8. A place (origin, epoch, partition, seq) has one entry for ever: the table's key; an epoch
//      only grows.
#include "store/backend_chain.h"
#include "store/entry_kind.h"
#include "store/meta_kept.h"
#include "store/meta_priv.h"

#include "base/err.h"

#include <assert.h>
#include <string.h>

// entries looked at in one call, so that a long filtered stretch does not hold a thread
#define LOOK_MAX 10000

static int entry_sign(struct meta *m, struct feed_entry *e)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    int rc = entry_sign_input(e, &b);
    if (rc)
        return rc;
    if (m->o.sign)
        return m->o.sign(m->o.sign_ctx, b.p, b.n, e->sig);
    return ERR_CRYPTO;
}

int own_reload(struct tx *tx)
{
    struct own_head own;
    uint64_t stamp = 0;
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    own.last = (struct feed_mark){0};
    rc = log_head(tx, tx->region, &own.last, &stamp);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (own.epoch < own.last.epoch)
        own.epoch = own.last.epoch;
    if (own.stamp < stamp)
        own.stamp = stamp;
    return own_set(tx, &own);
}

// The entry's body, behind the last one of its registry. `body` holds it until the entry is in the
// log.
static int body_make(const struct chain_head *head, struct feed_entry *e, struct buf *body)
{
    const struct entry_form *form = entry_form(e->kind);
    e->registry_seq = head->registry_seq + 1;
    memcpy(e->registry_prev, head->hash, ENTRY_HASH_BYTES);
    int rc = entry_body_make(e, body);
    if (rc)
        return rc;
    e->body = bytes_of(body->p, body->n);
    if (form) { // what is said again keeps its own
        e->subject = form->subject;
        e->attribute = form->attribute;
    }
    return 0;
}

// Own entries above the own clock are about to become void (meta_repair.c): the chain goes on
// without them. `last`: the stamp of the last own entry that stays.
static int text_make(struct meta *m, struct tx *tx, uint64_t last, struct feed_entry *e,
                     struct buf *body)
{
    const struct chain_query q = {
        .origin = tx->region, .registry = e->registry, .stamp_max = last ? last : 1};
    struct chain_head head = {0};
    e->version = 2;
    int rc = chain_last(tx, &q, &head);
    if (rc == ERR_NOTFOUND)
        rc = mint_version(m, tx, e->registry, &e->version);
    if (rc)
        return rc;
    if (e->version == 2)
        return body_make(&head, e, body);
    if (entry_needs_v2(e))
        return ERR_BEHIND;
    e->body = (struct bytes){0};
    return 0;
}

static int entry_finish(struct meta *m, struct tx *tx, const struct own_head *own,
                        struct bytes keep_content, struct feed_entry *e, int64_t *out_id)
{
    int rc = entry_hash(own->last.hash, e, e->hash);
    if (rc)
        return rc;
    rc = entry_sign(m, e);
    if (rc)
        return rc;
    rc = log_append(tx, e, keep_content, out_id);
    if (rc == ERR_CONFLICT)
        return ERR_CORRUPT; // a place that is taken: the own head is not the log's
    return rc;
}

static int mint_at(struct meta *m, struct tx *tx, struct own_head *own, struct bytes keep_content,
                   struct feed_entry *e, int64_t *out_id)
{
    AUTO_BUF struct buf body;
    buf_init(&body, 0);
    e->origin = tx->region;
    e->epoch = own->epoch;
    e->partition = 0;
    e->seq = 1;
    if (own->last.epoch == own->epoch)
        e->seq = own->last.seq + 1;
    e->key = m->o.key_id;
    assert(e->stamp > own->stamp);                                     // invariant 9
    assert(e->epoch > own->last.epoch || e->seq == own->last.seq + 1); // invariant 8: no gap
    int rc = text_make(m, tx, own->stamp, e, &body);
    if (!rc)
        rc = entry_finish(m, tx, own, keep_content, e, out_id);
    e->value = e->body = (struct bytes){0};
    if (rc)
        return rc;
    own->last = (struct feed_mark){.epoch = e->epoch, .seq = e->seq};
    memcpy(own->last.hash, e->hash, ENTRY_HASH_BYTES);
    own->stamp = e->stamp;
    return own_set(tx, own);
}

int feed_mint(struct meta *m, struct tx *tx, uint64_t above, struct bytes keep_content,
              struct feed_entry *e, int64_t *out_id)
{
    struct own_head own;
    if (!tx->mints)
        return ERR_CLOSED; // 8: the log is another process's
    if (m->key_revoked)
        return ERR_AUTH; // whoever read it would have to refuse it
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    rc = clock_mint(m, own.stamp, above, &e->stamp);
    if (rc)
        return rc;
    rc = mint_at(m, tx, &own, keep_content, e, out_id);
    if (rc)
        return rc;
    tx->notify = true;
    return 0;
}

// --- reading ---

int entry_content_fill(struct tx *tx, struct arena *a, struct feed_entry *e)
{
    if (!entry_has(e, ENTRY_HAS_CONTENT) || e->content.n)
        return 0;
    if (e->size > ENTRY_INLINE_MAX)
        return 0;
    int rc = manifest_content(tx, e->registry, e->repository, &e->digest, a, &e->content);
    if (rc == ERR_NOTFOUND)
        return 0;
    return rc;
}

static int page_read(struct tx *tx, const struct log_query *q, struct arena *a,
                     struct log_page *out)
{
    int rc = log_forward(tx, q, a, out);
    for (size_t i = 0; !rc && i < out->n; i++)
        rc = entry_content_fill(tx, a, &out->entries[i]);
    return rc;
}

int meta_feed_read(struct meta *m, const char *origin, const struct feed_mark *after,
                   const char *const *registries, size_t n_registries, size_t max, struct arena *a,
                   struct feed_entry **out, size_t *out_n, struct feed_mark *out_last)
{
    const struct log_query q = {.origin = origin,
                                .from = *after,
                                .registries = registries,
                                .n_registries = n_registries,
                                .max = max,
                                .max_looks = LOOK_MAX};
    struct log_page p = {0};
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = page_read(tx, &q, a, &p);
    tx_end(tx);
    if (rc)
        return rc;
    *out = p.entries;
    *out_n = p.n;
    *out_last = p.last;
    return 0;
}

int meta_feed_tail(struct meta *m, const char *origin, const char *registry,
                   const struct feed_mark *before, size_t max, struct arena *a,
                   struct feed_entry **out, size_t *out_n, struct feed_mark *out_next)
{
    const struct log_query q = {.origin = origin,
                                .from = {.epoch = before->epoch, .seq = before->seq},
                                .registries = &registry,
                                .n_registries = 1,
                                .max = max,
                                .max_looks = LOOK_MAX};
    struct log_page p = {0};
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = log_backward(tx, &q, a, &p);
    tx_end(tx);
    if (rc)
        return rc;
    *out = p.entries;
    *out_n = p.n;
    *out_next = (struct feed_mark){0};
    if (!p.at_end)
        *out_next = (struct feed_mark){.epoch = p.last.epoch, .seq = p.last.seq};
    return 0;
}

int meta_head(struct meta *m, const char *origin, struct feed_mark *out)
{
    struct feed_mark mark = {0};
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = log_head(tx, origin, &mark, NULL);
    tx_end(tx);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = mark;
    return 0;
}

int meta_last_stamp(struct meta *m, const char *origin, uint64_t epoch, uint64_t *out)
{
    uint64_t stamp = 0;
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = log_last_stamp(tx, origin, epoch, &stamp);
    tx_end(tx);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = stamp;
    return 0;
}

// 0: the log has nothing at this place, and its entry may have been dropped. ERR_NOTFOUND: it was not.
static int place_dropped(struct tx *tx, const char *origin, const struct feed_mark *mark)
{
    const struct feed_entry at = {
        .origin = origin, .epoch = mark->epoch, .partition = mark->partition, .seq = mark->seq};
    struct feed_mark kept;
    int64_t id;
    int rc = log_held(tx, &at, &id);
    if (rc != ERR_NOTFOUND)
        return rc == 0 || rc == ERR_CONFLICT ? ERR_NOTFOUND : rc;
    rc = kept_from(tx, origin, NULL, &kept);
    if (rc)
        return rc;
    return feed_mark_order(mark, &kept) <= 0 ? 0 : ERR_NOTFOUND;
}

// The read mark is a place that is held, too: its entry may lie in a stretch that was filtered out.
int meta_feed_check(struct meta *m, const char *origin, const struct feed_mark *mark)
{
    struct tx *tx;
    if (mark->seq == 0)
        return 0;
    if (mark->epoch > INT64_MAX || mark->seq > INT64_MAX)
        return ERR_CONFLICT;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = mark_known(tx, origin, mark);
    if (rc == ERR_NOTFOUND)
        rc = place_dropped(tx, origin, mark);
    tx_end(tx);
    if (rc == ERR_NOTFOUND)
        return ERR_CONFLICT;
    return rc;
}

int meta_registry_head(struct meta *m, const char *origin, const char *registry,
                       const struct feed_mark *upto, uint64_t *out_seq,
                       uint8_t out_hash[ENTRY_HASH_BYTES])
{
    const struct chain_query q = {.origin = origin, .registry = registry, .upto = upto};
    struct chain_head head = {0};
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = chain_last(tx, &q, &head);
    tx_end(tx);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out_seq = head.registry_seq;
    memcpy(out_hash, head.hash, ENTRY_HASH_BYTES);
    return 0;
}

int meta_registry_has(struct meta *m, const char *origin, const char *registry,
                      uint64_t registry_seq, const uint8_t hash[ENTRY_HASH_BYTES])
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = chain_has(tx, origin, registry, registry_seq, hash);
    tx_end(tx);
    return rc;
}

int meta_feed_touched(struct meta *m, int64_t after, size_t max, struct arena *a,
                      struct feed_touched **out, size_t *out_n, int64_t *out_upto)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = log_touched(tx, after, max, a, out, out_n, out_upto);
    tx_end(tx);
    return rc;
}
