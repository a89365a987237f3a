// SPDX-License-Identifier: Apache-2.0
// The other regions of a replay; see peers.h.
#include "tests/scenario/resolver/peers.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define N PEERS_MAX
const char *const peers_regions[N] = {"eastus", "westeurope", "southeastasia", "northeurope",
                                      "brazilsouth"};
const char *const peers_stamps[N] = {"eus-1", "weu-1", "sea-1", "neu-1", "brs-1"};

enum voter_mode { SILENT, ANSWERS, FORGED, SPEAKS_FOR_OTHERS, EXPIRED, DAMAGED, REPLAYS };

static struct voter {
    enum voter_mode mode;
    // deaf: takes no orders
    bool abstains, deaf, slow;
    uint64_t boot, sequence;
    size_t n_votes;
    struct observation_vote votes[8];
    struct health_orders orders;
    struct health_drills drills;
    // what it said first, for replaying
    char first[8192];
} voters[N] = {{.boot = 100}, {.boot = 100}, {.boot = 100}, {.boot = 100}, {.boot = 100}};

static struct deep {
    // "": does not answer
    char text[HEALTH_DEEP_MAX_BYTES + 4096];
    int headroom;
    bool is_short;
    char impaired[256];
} deeps[N];

static int index_of(const char *region)
{
    for (int i = 0; i < N; i++)
        if (region && !strcmp(peers_regions[i], region))
            return i;
    return -1;
}

void peers_key(const char *region, char out[64])
{
    int i = index_of(region);
    char fill[43];
    memset(fill, 'B' + i, 42);
    fill[42] = 0;
    snprintf(out, 64, "MCowBQYDK2VwAyEA%sA=", fill);
}

int peers_sign(void *key, const void *p, size_t n, uint8_t out[64])
{
    AUTO_BUF struct buf b;
    buf_init(&b, 1 << 20);
    buf_str(&b, key);
    buf_add(&b, p, n);
    sha256(b.p, b.n, out);
    sha256(out, 32, out + 32);
    return b.err;
}

int peers_verify(const char *key, const void *p, size_t n, const uint8_t sig[64])
{
    uint8_t right[64];
    return peers_sign((void *)key, p, n, right) || memcmp(right, sig, 64) ? ERR_AUTH : 0;
}

static bool says(struct voter *v, char **rest)
{
    const char *stamp = strtok_r(NULL, " ", rest), *how = strtok_r(NULL, " ", rest),
               *bad = strtok_r(NULL, " ", rest);
    struct observation_vote *to = NULL;
    if (!stamp || !how)
        return false;
    for (size_t i = 0; i < v->n_votes; i++)
        if (!strcmp(v->votes[i].stamp, stamp))
            to = &v->votes[i];
    if (!to && v->n_votes == 8)
        return false;
    to = to ? to : &v->votes[v->n_votes++];
    snprintf(to->stamp, sizeof to->stamp, "%s", stamp);
    for (int i = 0; i < N; i++) // the second stamp of eastus, too
        if (!strncmp(stamp, peers_stamps[i], 3))
            snprintf(to->region, sizeof to->region, "%s", peers_regions[i]);
    to->n_bad = !strcmp(how, "up") ? 0 : bad ? (uint32_t)atol(bad) : 3;
    return true;
}

// Started there; its wall clock may be another: "drills eastus 60s +30s".
static bool drills(struct voter *v, const char *region, char **rest)
{
    static unsigned n;
    const char *where = strtok_r(NULL, " ", rest), *seconds = strtok_r(NULL, " ", rest),
               *ahead = strtok_r(NULL, " ", rest);
    struct health_drill x = {.at_ms = clock_wall_ms()};
    if (!where || !seconds)
        return false;
    if (ahead)
        x.at_ms += 1000 * atol(ahead);
    x.for_ms = x.left_ms = 1000 * atol(seconds);
    snprintf(x.id, sizeof x.id, "%016x", ++n);
    snprintf(x.region, sizeof x.region, "%s", where);
    snprintf(x.by, sizeof x.by, "root@%s", region);
    return health_drills_merge(&v->drills, &x, x.at_ms, clock_mono_ms()) == 1;
}

bool peers_voter(const char *region, const char *what, char **rest)
{
    static const char *const modes[] = {"silent",  "answers", "forged", "speaks-for-others",
                                        "expired", "damaged", "replays"};
    int i = index_of(region);
    if (i < 0)
        return false;
    struct voter *v = &voters[i];
    for (size_t k = 0; k < sizeof modes / sizeof modes[0]; k++)
        if (!strcmp(what, modes[k])) {
            v->mode = (enum voter_mode)k;
            return true;
        }
    if (!strcmp(what, "says"))
        return says(v, rest);
    if (!strcmp(what, "abstains") || !strcmp(what, "votes"))
        v->abstains = what[0] == 'a';
    else if (!strcmp(what, "deaf") || !strcmp(what, "hears"))
        v->deaf = what[0] == 'd';
    else if (!strcmp(what, "slow") || !strcmp(what, "quick"))
        v->slow = what[0] == 's';
    else if (!strcmp(what, "restarts"))
        v->boot++, v->sequence = 0, v->n_votes = 0;
    else if (!strcmp(what, "older-boot"))
        v->boot--, v->sequence += 1000;
    else if (!strcmp(what, "drains")) { // an order given there
        struct health_order x = {.kind = HEALTH_DRAINED, .at_ms = clock_wall_ms()};
        const char *where = strtok_r(NULL, " ", rest), *on = strtok_r(NULL, " ", rest);
        if (!where || !on)
            return false;
        snprintf(x.region, sizeof x.region, "%s", where);
        x.on = !strcmp(on, "on");
        return health_orders_merge(&v->orders, &x, clock_wall_ms()) == 1;
    } else if (!strcmp(what, "forces")) {
        struct health_order x = {.kind = HEALTH_FORCED, .at_ms = clock_wall_ms()};
        const char *where = strtok_r(NULL, " ", rest), *state = strtok_r(NULL, " ", rest);
        if (!where || !state || health_force_parse(state, &x.force))
            return false;
        snprintf(x.region, sizeof x.region, "%s", where);
        x.on = x.force != HEALTH_AUTO;
        return health_orders_merge(&v->orders, &x, clock_wall_ms()) == 1;
    } else if (!strcmp(what, "drills"))
        return drills(v, region, rest);
    else if (!strcmp(what, "stops")) {
        const struct health_drill *x = health_drills_running(&v->drills);
        if (!x)
            return false;
        struct health_drill word = *x;
        word.stopped_ms = clock_wall_ms();
        snprintf(word.stopped_by, sizeof word.stopped_by, "root@%s", region);
        return health_drills_merge(&v->drills, &word, clock_wall_ms(), clock_mono_ms()) == 1;
    } else
        return false;
    return true;
}

static void write_deep(int i)
{
    struct deep *d = &deeps[i];
    char impaired[sizeof d->impaired];
    memcpy(impaired, d->impaired, sizeof impaired);
    snprintf(
        d->text, sizeof d->text,
        "{\"status\":\"%s\",\"region\":\"%s\",\"stamp\":\"%s\",\"headroom\":%d,\"impaired\":[%s]}",
        d->is_short ? "short" : "up", peers_regions[i], peers_stamps[i], d->headroom, impaired);
}

bool peers_deep(const char *region, const char *what, char **rest)
{
    int i = index_of(region);
    const char *word = strtok_r(NULL, " ", rest);
    if (i < 0)
        return false;
    struct deep *d = &deeps[i];
    if (!d->text[0])
        d->headroom = 100;
    if (!strcmp(what, "silent"))
        d->text[0] = 0;
    else if (!strcmp(what, "damaged"))
        snprintf(d->text, sizeof d->text, "{\"status\":\"up\",\"region\":\"%s\",\"headroom\":1000}",
                 region);
    else if (!strcmp(what, "oversized"))
        memset(d->text, ' ', sizeof d->text - 1);
    else if (!strcmp(what, "headroom") && word) {
        d->headroom = atoi(word);
        write_deep(i);
    } else if (!strcmp(what, "short") && word) {
        d->is_short = !strcmp(word, "on");
        write_deep(i);
    } else if (!strcmp(what, "impaired") && word) {
        snprintf(d->impaired, sizeof d->impaired, "%s%s%s", strcmp(word, "none") ? "\"" : "",
                 strcmp(word, "none") ? word : "", strcmp(word, "none") ? "\"" : "");
        write_deep(i);
    } else
        return false;
    return true;
}

// What the checker posted is read as a peer would read it, and its orders are taken.
static void take_orders(const struct topology *t, struct voter *v, struct bytes body)
{
    struct observation *o = NULL;
    const char *why = "";
    const char *from = t->regions[0].name;
    json_t *outer = json_loadb((const char *)body.p, body.n, 0, NULL);
    const char *key = json_string_value(json_object_get(outer, "key"));
    for (size_t i = 0; key && i < t->n_regions; i++)
        if (!strncmp(key, t->regions[i].name, strlen(t->regions[i].name)))
            from = t->regions[i].name;
    if (observation_parse(t, from, body, clock_wall_ms(), peers_verify, &o, &why)) {
        fprintf(stderr, "a peer refuses our observation: %s\n", why);
        exit(1);
    }
    for (size_t i = 0; i < o->orders.n && !v->deaf; i++)
        health_orders_merge(&v->orders, &o->orders.list[i], clock_wall_ms());
    for (size_t i = 0; i < o->drills.n && !v->deaf; i++)
        health_drills_merge(&v->drills, &o->drills.list[i], clock_wall_ms(), clock_mono_ms());
    observation_free(o);
    json_decref(outer);
}

static void observe(const struct topology *t, int i, struct buf *out)
{
    struct voter *v = &voters[i];
    static struct observation o;
    char key_id[64], key[64];
    int who = v->mode == FORGED || v->mode == SPEAKS_FOR_OTHERS ? (i + 1) % 3 : i;
    if (v->mode == REPLAYS && v->first[0]) {
        buf_str(out, v->first);
        return;
    }
    snprintf(key_id, sizeof key_id, "%s-feed-1", peers_regions[v->mode == FORGED ? i : who]);
    peers_key(peers_regions[who], key);
    const struct observation_signer s = {peers_sign, key, key_id};
    o = (struct observation){.boot = v->boot,
                             .sequence = ++v->sequence,
                             .expires_ms = clock_wall_ms() + (v->mode == EXPIRED ? -120000 : 3000),
                             .abstains = v->abstains,
                             .n_votes = v->n_votes,
                             .votes = v->votes,
                             .orders = v->orders};
    health_drills_turn(&v->drills, clock_wall_ms(), clock_mono_ms());
    o.drills = v->drills;
    snprintf(o.region, sizeof o.region, "%s",
             peers_regions[v->mode == SPEAKS_FOR_OTHERS ? who : i]);
    snprintf(o.stamp, sizeof o.stamp, "%s", peers_stamps[i]);
    observation_format(&o, t->domain, &s, out);
    if (!v->first[0])
        snprintf(v->first, sizeof v->first, "%s", buf_cstr(out));
}

bool peers_answer(const struct topology *t, const struct fetch_request *q, struct fetch_result *out,
                  int64_t *out_ms)
{
    char region[64], path[64];
    if (sscanf(q->url, "https://%63[^.].peer.example.io:9443%63s", region, path) != 2)
        return false;
    int i = index_of(region);
    if (i < 0 || !q->client_pem || !q->pinned || q->connect_to->port != 9443) {
        fprintf(stderr, "the call of %s is not right\n", q->url);
        exit(1);
    }
    bool deep = !strcmp(path, "/healthz");
    buf_init(&out->body, q->max_bytes);
    out->status = 200;
    *out_ms = !deep && voters[i].slow ? 900 : 2;
    if (deep && deeps[i].text[0])
        buf_str(&out->body, deeps[i].text);
    else if (!deep && voters[i].mode == DAMAGED)
        buf_str(&out->body, "{\"observation\": 1}");
    else if (!deep && voters[i].mode != SILENT) {
        take_orders(t, &voters[i], q->body);
        observe(t, i, &out->body);
    } else {
        *out = (struct fetch_result){.err = ERR_TIMEOUT, .message = "Operation timed out"};
        *out_ms = q->timeout_ms;
    }
    if (!out->err && out->body.err)
        *out = (struct fetch_result){.err = ERR_TOOBIG,
                                     .message = "the response is larger than its limit"};
    return true;
}
