// SPDX-License-Identifier: Apache-2.0
// Observations on the wire; see health_observation.h.
#include "health/observation.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define NUMBER_MAX ((json_int_t)1 << 62)

// --- writing ---

static json_t *votes_json(const struct observation *o)
{
    json_t *all = json_object();
    int bad = !all;
    for (size_t i = 0; i < o->n_votes && !bad; i++) {
        const struct observation_vote *v = &o->votes[i];
        json_t *region = json_object_get(all, v->region);
        if (!region && !json_object_set_new(all, v->region, json_object()))
            region = json_object_get(all, v->region);
        bad = !region || json_object_set_new(region, v->stamp, json_integer(v->n_bad));
    }
    if (!bad)
        return all;
    json_decref(all);
    return NULL;
}

static int sign_text(const char *text, const struct observation_signer *s, uint8_t out[64])
{
    AUTO_BUF struct buf b;
    buf_init(&b, OBSERVATION_MAX_BYTES + sizeof OBSERVATION_PREFIX);
    buf_str(&b, OBSERVATION_PREFIX);
    buf_str(&b, text);
    if (b.err)
        return b.err;
    return s->sign(s->ctx, b.p, b.n, out);
}

int observation_format(const struct observation *o, const char *domain,
                       const struct observation_signer *s, struct buf *out)
{
    uint8_t sig[64];
    AUTO_BUF struct buf text;
    buf_init(&text, OBSERVATION_MAX_BYTES);
    json_t *root =
        json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:o}", "v", 1, "domain", domain,
                  "region", o->region, "stamp", o->stamp, "boot", (json_int_t)o->boot, "sequence",
                  (json_int_t)o->sequence, "expiresMs", (json_int_t)o->expires_ms, "abstains",
                  (int)o->abstains, "votes", votes_json(o));
    if (root && (health_orders_put(&o->orders, root) ||
                 health_drills_put(&o->drills, false, clock_wall_ms(), clock_mono_ms(), root))) {
        json_decref(root);
        return ERR_NOMEM;
    }
    int rc = json_text_add(root, &text);
    if (!rc)
        rc = sign_text(buf_cstr(&text), s, sig);
    if (rc)
        return rc;
    return json_text_add(json_pack("{s:s, s:s, s:o}", "observation", buf_cstr(&text), "key",
                                   s->key_id, "signature", json_binary(sig, sizeof sig)),
                         out);
}

// --- reading ---

static int parse_votes(json_t *all, struct observation *o)
{
    const char *region, *stamp;
    json_t *stamps, *v;
    size_t n = 0;
    if (!json_is_object(all))
        return ERR_CORRUPT;
    json_object_foreach(all, region, stamps)
    {
        if (!json_is_object(stamps) || !hostname_region_ok(region) ||
            strlen(region) >= HOSTNAME_REGION_SIZE)
            return ERR_CORRUPT;
        n += json_object_size(stamps);
    }
    if (n > OBSERVATION_VOTES_MAX)
        return ERR_CORRUPT;
    o->votes = mem_zalloc_array(n, sizeof *o->votes);
    if (!o->votes)
        return ERR_NOMEM;
    json_object_foreach(all, region, stamps) json_object_foreach(stamps, stamp, v)
    {
        json_int_t bad = -1;
        if (json_is_integer(v))
            bad = json_integer_value(v);
        if (bad < 0 || bad > UINT32_MAX || !hostname_stamp_ok(stamp))
            return ERR_CORRUPT;
        struct observation_vote *to = &o->votes[o->n_votes++];
        snprintf(to->region, sizeof to->region, "%s", region);
        snprintf(to->stamp, sizeof to->stamp, "%s", stamp);
        to->n_bad = (uint32_t)bad;
    }
    return 0;
}

static int parse_inner(json_t *root, const char *domain, struct observation *o, const char **why)
{
    int version, abstains;
    const char *of, *region, *stamp;
    json_int_t boot, sequence, expires;
    json_t *votes;
    *why = "its fields are not those of an observation";
    if (json_unpack(root, "{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:o}", "v", &version, "domain",
                    &of, "region", &region, "stamp", &stamp, "boot", &boot, "sequence", &sequence,
                    "expiresMs", &expires, "abstains", &abstains, "votes", &votes) ||
        version != 1 || !hostname_region_ok(region) || strlen(region) >= sizeof o->region ||
        !hostname_stamp_ok(stamp) || boot <= 0 || boot > NUMBER_MAX || sequence <= 0 ||
        sequence > NUMBER_MAX || expires <= 0 || expires > NUMBER_MAX)
        return ERR_CORRUPT;
    if (strcmp(of, domain) != 0) {
        *why = "it is of another domain";
        return ERR_DENIED;
    }
    snprintf(o->region, sizeof o->region, "%s", region);
    snprintf(o->stamp, sizeof o->stamp, "%s", stamp);
    o->boot = (uint64_t)boot;
    o->sequence = (uint64_t)sequence;
    o->expires_ms = expires;
    o->abstains = abstains;
    int rc = parse_votes(votes, o);
    if (rc)
        return rc;
    rc = health_orders_get(root, &o->orders);
    if (rc)
        return rc;
    return health_drills_get(root, false, &o->drills);
}

static int check_signature(const struct topology *t, const char *from, const char *text,
                           const char *key_id, const char *sig_text, observation_verify_fn *verify)
{
    uint8_t sig[64];
    size_t n_sig;
    const struct public_key *key = topology_feed_key_in_use(t, key_id);
    if (!key || strcmp(t->regions[key->region].name, from) != 0 ||
        b64url_parse(sig_text, strlen(sig_text), sig, sizeof sig, &n_sig) || n_sig != sizeof sig)
        return ERR_AUTH;
    AUTO_BUF struct buf b;
    buf_init(&b, OBSERVATION_MAX_BYTES + sizeof OBSERVATION_PREFIX);
    buf_str(&b, OBSERVATION_PREFIX);
    buf_str(&b, text);
    if (b.err)
        return b.err;
    if (verify(key->spki_b64, b.p, b.n, sig))
        return ERR_AUTH;
    return 0;
}

static int parse_outer(const struct topology *t, const char *from, json_t *outer, int64_t wall_ms,
                       observation_verify_fn *verify, struct observation *o, const char **why)
{
    const char *text, *key, *sig;
    *why = "it is not a signed observation";
    if (json_unpack(outer, "{s:s, s:s, s:s}", "observation", &text, "key", &key, "signature", &sig))
        return ERR_CORRUPT;
    *why = "its signature is not one of this region's keys";
    int rc = check_signature(t, from, text, key, sig, verify);
    if (rc)
        return rc;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    rc = parse_inner(root, t->domain, o, why);
    json_decref(root);
    if (rc)
        return rc;
    if (strcmp(o->region, from) != 0) {
        *why = "it speaks for another region";
        return ERR_DENIED;
    }
    if (o->expires_ms + HEALTH_SKEW_MS < wall_ms ||
        o->expires_ms > wall_ms + 2 * HEALTH_SKEW_MS + 3600000) {
        *why = "it has expired, or a clock is wrong";
        return ERR_EXPIRED;
    }
    return 0;
}

int observation_parse(const struct topology *t, const char *from, struct bytes text,
                      int64_t wall_ms, observation_verify_fn *verify, struct observation **out,
                      const char **out_why)
{
    *out_why = "it is too large";
    if (text.n > OBSERVATION_MAX_BYTES)
        return ERR_CORRUPT;
    struct observation *o = mem_zalloc(sizeof *o);
    *out_why = "out of memory";
    if (!o)
        return ERR_NOMEM;
    json_t *outer = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    int rc = parse_outer(t, from, outer, wall_ms, verify, o, out_why);
    json_decref(outer);
    if (rc)
        observation_free(o);
    else
        *out = o;
    return rc;
}

void observation_free(struct observation *o)
{
    if (!o)
        return;
    free(o->votes);
    free(o);
}
