// SPDX-License-Identifier: Apache-2.0
// What a node is known by, judged against the topology in force; see judge.h.
#include "daemon/judge.h"

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/preflight.h"

#include <stdio.h>
#include <string.h>

#define PROBE "meridian self-check"

// ---- keys ----

static void judge_token_key(struct app *app, const struct topology *t)
{
    struct conditions *c = &app->vitals->conditions;
    if (!(app->node->roles & ROLE_AUTH) || condition_holds(c, CONDITION_TOKEN_SIGNING)) {
        condition_clear(c, CONDITION_TOKEN_KEY);
        return;
    }
    struct diag d;
    diag_init(&d);
    if (auth_self_check(t, app->node->region, app->keys, clock_wall_ms(), &d))
        condition_set(c, CONDITION_TOKEN_KEY, CONDITION_DOWN, "%s",
                      d.n ? d.lines[0] : "the token key is refused");
    else
        condition_clear(c, CONDITION_TOKEN_KEY);
    diag_done(&d);
}

static bool feed_key_verifies(const struct region_keys *keys, const struct public_key *key)
{
    uint8_t sig[64];
    return !region_keys_sign_feed((void *)keys, PROBE, strlen(PROBE), sig) &&
           !ed25519_verify(key->spki_b64, PROBE, strlen(PROBE), sig);
}

// What keeps others from taking what this region signs, with the cure; NULL: nothing does. On the
// arena.
static const char *feed_key_why(const struct app *app, const struct topology *t, struct arena *a)
{
    const char *id = region_keys_feed_id(app->keys), *region = app->node->region;
    const struct public_key *key = topology_feed_key(t, id);
    if (!key)
        return arena_printf(a,
                            "the topology in force (version %llu) does not name the feed key %s "
                            "that this region signs "
                            "with: no region takes what is pushed here, nor its votes; add the "
                            "key's public half to "
                            "identities.%s.feed_keys (`meridian init` does)",
                            (unsigned long long)t->version, id, region);
    if (topology_revocation(t, id))
        return arena_printf(a,
                            "the topology revokes the feed key %s that this region signs with; "
                            "move keys/feed.pem away, "
                            "have `meridian init` make a new one, and restart the node",
                            id);
    if (key->retired_s)
        return arena_printf(a,
                            "the topology says that the feed key %s is retired, but this region "
                            "still signs with it: "
                            "no region takes what is pushed here; take `retired` away from it, or "
                            "give this node the "
                            "new key",
                            id);
    if (key->region != topology_region(t, region)->index || !feed_key_verifies(app->keys, key))
        return arena_printf(a,
                            "the topology names the feed key %s with another public half, or for "
                            "another region: no "
                            "region takes what is pushed here; put that of keys/feed.pem under "
                            "identities.%s.feed_keys",
                            id, region);
    return NULL;
}

static void judge_feed_key(struct app *app, const struct topology *t)
{
    struct arena a;
    arena_init(&a, 16 << 10);
    bool signs = app->meta || app->health; // entries, votes
    const char *why = NULL;
    if (signs && t->n_regions > 1 && topology_region(t, app->node->region))
        why = feed_key_why(app, t, &a);
    if (why)
        condition_set(&app->vitals->conditions, CONDITION_FEED_KEY, CONDITION_WARNING, "%s", why);
    else
        condition_clear(&app->vitals->conditions, CONDITION_FEED_KEY);
    arena_done(&a);
}

// ---- certificates ----

// Clients that come now fail by it. Otherwise the edge goes on with the good one that it has
// loaded.
static bool clients_fail(enum cert_fault fault)
{
    return fault == CERT_EXPIRED || fault == CERT_NOT_VALID_YET || fault == CERT_LACKS_NAME;
}

static const char *of_whom(enum cert_kind kind)
{
    if (kind == CERT_REGION)
        return "of this region's names";
    if (kind == CERT_SHARED)
        return "of the global names";
    return "that other regions know this one by";
}

// Half of the time that is meant for renewing is over.
static bool overdue(const struct cert_info *i, int64_t now_ms)
{
    return now_ms > i->renew_at_ms + (i->not_after_ms - i->renew_at_ms) / 2;
}

static void say_fault(struct conditions *c, enum condition which, enum condition_severity severity,
                      const struct cert_info *i, const char *error)
{
    char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE];
    char dates[2 * CLOCK_TEXT_SIZE + 32] = "";
    if (i->not_after_ms)
        snprintf(dates, sizeof dates, "; it is good from %s to %s",
                 clock_format(i->not_before_ms, from), clock_format(i->not_after_ms, to));
    condition_set(c, which, severity,
                  "the certificate %s, %s: %s%s; `meridian certs renew` gets a new one%s%.160s",
                  of_whom(i->kind), i->path, i->problem, dates,
                  *error ? "; the last renewal failed: " : "", error);
}

static bool pinned(const struct topology *t, const char *region, const char *fingerprint)
{
    const struct region *r = topology_region_by_fingerprint(t, fingerprint);
    return r && !strcmp(r->name, region);
}

static void judge_certificate(struct app *app, const struct topology *t, enum cert_kind kind,
                              enum condition which)
{
    struct conditions *c = &app->vitals->conditions;
    struct cert_info i;
    char error[CERTS_ERROR_SIZE], to[CLOCK_TEXT_SIZE];
    if (certs_look(app->certs, kind, &i, error))
        return; // no memory or descriptors just now: that says nothing of it
    enum condition_severity down = CONDITION_DOWN;
    if (kind == CERT_PEER)
        down = CONDITION_WARNING;
    if (i.fault != CERT_FINE)
        say_fault(c, which, clients_fail(i.fault) ? down : CONDITION_WARNING, &i, error);
    else if (kind == CERT_PEER && !pinned(t, app->node->region, i.fingerprint))
        condition_set(c, which, CONDITION_WARNING,
                      "the topology in force (version %llu) does not name this region's peer "
                      "certificate: the other "
                      "regions refuse it, and nothing is replicated to or from it; add %s to "
                      "identities.%s.peer_fingerprints (`meridian init` does)",
                      (unsigned long long)t->version, i.fingerprint, app->node->region);
    else if (overdue(&i, clock_wall_ms()))
        condition_set(c, which, CONDITION_WARNING,
                      "the certificate %s ends at %s and is not renewed%s%.200s", of_whom(kind),
                      clock_format(i.not_after_ms, to), *error ? ": " : "", error);
    else
        condition_clear(c, which);
}

// ---- clocks ----

static void judge_our_clock(struct conditions *c, const struct clock_opinion *o)
{
    if (o->closes)
        condition_set(c, CONDITION_CLOCK, CONDITION_WARNING,
                      "this region's clock is wrong: %s; until it is right no writes are taken%s",
                      o->ours, o->far ? ", and no certificates issued or renewed" : "");
    else
        condition_clear(c, CONDITION_CLOCK);
}

void judge_clocks(struct app *app)
{
    struct conditions *c = &app->vitals->conditions;
    struct clock_opinion o = {0};
    replication_clock_opinion(app->replicator, &o);
    judge_our_clock(c, &o);
    if (o.others[0])
        condition_set(c, CONDITION_PEER_CLOCK, CONDITION_WARNING,
                      "%s; see to its time service (NTP)", o.others);
    else
        condition_clear(c, CONDITION_PEER_CLOCK);
}

// ---- issuers ----

void judge_issuers(struct app *app)
{
    struct conditions *c = &app->vitals->conditions;
    char one[CONDITION_SENTENCE_SIZE];
    size_t n = 0;
    if (app->auth)
        n = auth_issuers_failing(app->auth, one, sizeof one);
    if (n > 1)
        condition_set(c, CONDITION_ISSUER_KEYS, CONDITION_WARNING, "%zu issuers give no keys; %s",
                      n, one);
    else if (n)
        condition_set(c, CONDITION_ISSUER_KEYS, CONDITION_WARNING, "%s", one);
    else
        condition_clear(c, CONDITION_ISSUER_KEYS);
}

// ---- the fleet ----

static void judge_principals(struct app *app)
{
    struct conditions *c = &app->vitals->conditions;
    struct topology *t = snapshot_get(app->topology);
    int64_t age_ms = fleet_stale_ms(app->fleet);
    if (t && (app->node->roles & ROLE_AUTH) && auth_principals_stale(age_ms, t->max_stale_s))
        condition_set(c, CONDITION_PRINCIPALS, CONDITION_DOWN,
                      "the principals in force are %lld s old and tokens.max_stale is %u s: no "
                      "tokens are issued until the writer region is heard again; see the condition "
                      "control_feed",
                      (long long)(age_ms / 1000), t->max_stale_s);
    else
        condition_clear(c, CONDITION_PRINCIPALS);
    snapshot_unref(t);
}

void judge_fleet(struct app *app)
{
    struct conditions *c = &app->vitals->conditions;
    char one[CONDITION_SENTENCE_SIZE];
    if (!app->fleet)
        return;
    if (fleet_drift(app->fleet, one, sizeof one))
        condition_set(c, CONDITION_DRIFT, CONDITION_WARNING, "%s", one);
    else
        condition_clear(c, CONDITION_DRIFT);
    if (fleet_alarm(app->fleet, one, sizeof one))
        condition_set(c, CONDITION_CONTROL, CONDITION_WARNING, "%s", one);
    else
        condition_clear(c, CONDITION_CONTROL);
    judge_principals(app);
}

void judge_private_addresses(struct app *app, const char *why)
{
    struct conditions *c = &app->vitals->conditions;
    if (*why)
        condition_set(c, CONDITION_PRIVATE_ADDRESSES, CONDITION_WARNING,
                      "the edge does not serve an address of a private endpoint: %s", why);
    else
        condition_clear(c, CONDITION_PRIVATE_ADDRESSES);
}

// ---- what operators ordered ----

static void judge_drain(struct app *app)
{
    struct conditions *c = &app->vitals->conditions;
    char text[CONDITION_SENTENCE_SIZE / 2] = "";
    if (app->health)
        health_drains_text(app->health, app->node->region, text, sizeof text);
    if (*text)
        condition_set(
            c, CONDITION_DRAINED, CONDITION_WARNING,
            "global names lead elsewhere: %s (`meridian replication undrain --region %s`)", text,
            app->node->region);
    else
        condition_clear(c, CONDITION_DRAINED);
}

void judge_orders(struct app *app)
{
    struct conditions *c = &app->vitals->conditions;
    char text[CONDITION_SENTENCE_SIZE] = "";
    if (app->health)
        health_drill_text(app->health, text, sizeof text);
    if (*text)
        condition_set(c, CONDITION_DRILL, CONDITION_WARNING, "%s", text);
    else
        condition_clear(c, CONDITION_DRILL);
    judge_drain(app);
}

// ---- all of it ----

void judge_identity(struct app *app)
{
    struct topology *t = snapshot_get(app->topology);
    if (!t)
        return;
    judge_token_key(app, t);
    judge_feed_key(app, t);
    if (app->certs && edge_wanted(app->node)) {
        judge_certificate(app, t, CERT_REGION, CONDITION_REGION_CERTIFICATE);
        judge_certificate(app, t, CERT_SHARED, CONDITION_SHARED_CERTIFICATE);
    }
    if (app->certs && t->n_regions > 1)
        judge_certificate(app, t, CERT_PEER, CONDITION_PEER_CERTIFICATE);
    else
        condition_clear(&app->vitals->conditions, CONDITION_PEER_CERTIFICATE);
    snapshot_unref(t);
}
