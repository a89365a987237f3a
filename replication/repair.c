// SPDX-License-Identifier: Apache-2.0
// Mending a store that holds stamps of the future (meta_repair_clock), and telling peers which
// stretches of our log are void by it. See replication.h. The admin socket's thread; HTTP threads;
// the readers.
//
// A peer that has read such a stretch gives a cursor that lies in it. It is told so in the answer,
// 409 with {"void": {"after": CURSOR, "below": EPOCH, "key": ID, "sig": BASE64URL}}: what it has of
// us after that place and before that epoch is void. It is signed with our feed key, as the entries
// are: the connection alone, which our edge holds too, is no authority to take back what this
// region has written. Said once more later it changes nothing, since those places are never used
// again.
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/replication_priv.h"
#include "replication/response_producer.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <inttypes.h>
#include <string.h>

// What is signed. No other text that the feed key signs begins so.
static int void_text(const char *origin, const char *after, uint64_t below, struct buf *out)
{
    buf_printf(out, "meridian-void-1\n%s\n%s\n%" PRIu64 "\n", origin, after, below);
    return out->err;
}

static void void_register_log(const struct void_register *v)
{
    char was[DIGEST_TEXT_SIZE], is[DIGEST_TEXT_SIZE], at[CLOCK_TEXT_SIZE];
    log_warn("replication: void: %s/%s%s%s was %s (of %s, stamped %s) and is %s", v->registry,
             v->repository, *v->tag ? ":" : "", v->tag,
             v->was.n ? digest_format(&v->was, was) : "nothing", v->origin ? v->origin : "?",
             clock_format(hlc_wall_ms(v->stamp), at), v->is.n ? digest_format(&v->is, is) : "gone");
}

// --- telling ---

json_t *voided_json(struct replicator *r, const struct feed_mark *asked)
{
    struct feed_mark after;
    uint64_t below;
    char cur[CURSOR_TEXT_SIZE];
    const char *key;
    uint8_t sig[ENTRY_SIG_BYTES];
    char sig_text[b64_size(ENTRY_SIG_BYTES)];
    if (meta_place_void(r->o.meta, asked, &after, &below))
        return NULL;
    AUTO_BUF struct buf said;
    buf_init(&said, 1024);
    if (void_text(r->o.region, cursor_format(&after, cur), below, &said) ||
        meta_sign(r->o.meta, said.p, said.n, &key, sig))
        return NULL;
    b64url_format(sig, sizeof sig, sig_text);
    return json_pack("{s:s, s:I, s:s, s:s}", "after", cur, "below", (json_int_t)below, "key", key,
                     "sig", sig_text);
}

bool place_is_void(struct replicator *r, const struct feed_mark *at)
{
    struct feed_mark after;
    uint64_t below;
    return meta_place_void(r->o.meta, at, &after, &below) == 0;
}

// --- being told ---

static int body_read(struct response_reader *f, struct buf *out)
{
    char piece[4096];
    ssize_t n;
    while ((n = response_reader_read(f, piece, sizeof piece, PEER_ANSWER_MS)) > 0)
        buf_add(out, piece, (size_t)n);
    if (n < 0)
        return (int)n;
    return out->err;
}

struct voided { // what a peer says
    struct feed_mark after;
    uint64_t below;
};

static int signature_read(const json_t *v, uint8_t sig[ENTRY_SIG_BYTES])
{
    const char *text = json_string_value(json_object_get(v, "sig"));
    size_t n = 0;
    if (!text || b64url_parse(text, strlen(text), sig, ENTRY_SIG_BYTES, &n))
        return ERR_AUTH;
    if (n != ENTRY_SIG_BYTES)
        return ERR_AUTH;
    return 0;
}

// The key that is named, if the topology gives it to that region and has not retired it.
static const struct public_key *key_of(const struct peer *p, const struct topology *t,
                                       const json_t *v)
{
    const char *id = json_string_value(json_object_get(v, "key"));
    const struct region *origin = topology_region(t, peer_name(p));
    if (!id || !origin)
        return NULL;
    const struct public_key *key = topology_feed_key_in_use(t, id);
    if (!key || key->region != origin->index)
        return NULL;
    return key;
}

static int void_verify(const struct peer *p, const struct topology *t, const json_t *v,
                       const struct voided *said)
{
    const struct public_key *key = key_of(p, t, v);
    uint8_t sig[ENTRY_SIG_BYTES];
    char cur[CURSOR_TEXT_SIZE];
    if (!key || signature_read(v, sig))
        return ERR_AUTH;
    AUTO_BUF struct buf b;
    buf_init(&b, 1024);
    int rc = void_text(peer_name(p), cursor_format(&said->after, cur), said->below, &b);
    if (rc)
        return rc;
    if (peer_replicator(p)->o.verify(key->spki_b64, b.p, b.n, sig))
        return ERR_AUTH;
    return 0;
}

static bool voided_read(const json_t *v, struct voided *out)
{
    const json_t *below = json_object_get(v, "below");
    const char *cur = json_string_value(json_object_get(v, "after"));
    if (!cur || cursor_parse(cur, &out->after))
        return false;
    if (!json_is_integer(below) || json_integer_value(below) <= 0)
        return false;
    out->below = (uint64_t)json_integer_value(below);
    return true;
}

// ERR_NOTFOUND: it says nothing of the kind.
static int voided_parse(const struct peer *p, const struct topology *t, struct bytes body,
                        struct voided *out)
{
    json_t *o = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *v = json_object_get(o, "void");
    int rc = ERR_NOTFOUND;
    if (voided_read(v, out))
        rc = void_verify(p, t, v, out);
    json_decref(o);
    return rc;
}

// Makes it so, and logs what that changed.
static int voided_apply(struct peer *p, const struct voided *said)
{
    struct arena a;
    struct void_report done;
    arena_init(&a, 0);
    int rc = meta_void_origin(peer_replicator(p)->o.meta, peer_name(p), &said->after, said->below,
                              &a, &done);
    if (!rc) {
        log_warn("replication: %s says that what it wrote after entry %" PRIu64 " of epoch %" PRIu64
                 " and before epoch %" PRIu64
                 " is void: %zu entries, %zu tags changed, %zu manifests are gone",
                 peer_name(p), said->after.seq, said->after.epoch, said->below, done.n_entries,
                 done.n_tags, done.n_manifests);
        for (size_t i = 0; i < done.n_list; i++)
            void_register_log(&done.list[i]);
    }
    arena_done(&a);
    return rc;
}

int voided_take(struct peer *p, const struct topology *t, const struct feed_mark *stored,
                struct response_reader *f)
{
    AUTO_BUF struct buf body;
    buf_init(&body, 8192);
    int rc = body_read(f, &body);
    return rc ? rc : voided_take_text(p, t, stored, bytes_of(body.p, body.n));
}

int voided_take_text(struct peer *p, const struct topology *t, const struct feed_mark *stored,
                     struct bytes body)
{
    static struct log_limit limit = LOG_LIMIT(10000);
    struct voided said;
    int rc = voided_parse(p, t, body, &said);
    if (rc == ERR_AUTH)
        log_limited(&limit, LOG_WARN,
                    "replication: %s says that entries of its own are void, without a signature by "
                    "its feed key: not believed",
                    peer_name(p));
    if (rc)
        return rc;
    bool covers = mark_order(&said.after, stored) < 0 && stored->epoch < said.below;
    if (!covers)
        return ERR_PROTO;
    return voided_apply(p, &said);
}

// --- mending ---

static void hang_up(void *ctx)
{
    struct replicator *r = ctx;
    peers_hang_up(r->peers);
}

// Readers end, and begin no session; streams to peers end.
static void reading_pause(struct replicator *r)
{
    reading_hold_pause(r->hold, hang_up, r);
    streams_wake(r->streams);
}

static void reading_resume(struct replicator *r)
{
    reading_hold_resume(r->hold);
    streams_wake(r->streams);
    job_queue_kick(r->jobs);
}

int replicator_repair_clock(struct replicator *r, bool apply, struct arena *a,
                            struct clock_repair *out)
{
    if (!apply)
        return meta_repair_clock(r->o.meta, false, a, out);
    if (!life_enter(r->life))
        return ERR_CLOSED;
    reading_pause(r);
    int rc = meta_repair_clock(r->o.meta, true, a, out);
    reading_resume(r);
    for (size_t i = 0; !rc && i < out->voided.n_list; i++)
        void_register_log(&out->voided.list[i]);
    life_leave(r->life);
    return rc;
}
