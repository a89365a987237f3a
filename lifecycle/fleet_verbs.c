// SPDX-License-Identifier: Apache-2.0
// Verbs about the fleet itself: who may change it, and which regions there are. Each is one document,
// or one record of the ledger. Pure.
//
//   operator create NAME {key, rights: [registries|principals|regions|topology|all]}
//   operator revoke NAME
//   join-token create REGION {key, expires, replace}      key: the public half of the token's key
//   join-token revoke ID
//   region add REGION {stamp, ipv4, ipv6, peer, location, nameServer}
//   region remove REGION
//
// Joining itself is no verb: whoever holds a token asks (fleet/join.h).
#include "lifecycle/lifecycle.h"
#include "lifecycle/verbs.h"

#include "base/err.h"
#include "base/mem.h"
#include "certs/signing_key.h"
#include "config/topology_control.h"
#include "control/operators.h"
#include "control/regions.h"
#include "control/sections.h"
#include "fleet/join_record.h"

#include <string.h>

#define REFUSED "Refused"

// --- what the plans share ---

static int frame_of(const struct plan_ctx *x, struct diag *diag, const char **out, size_t *out_n)
{
    if (!x->t->frame->text) {
        diag_add(diag, NULL, 0,
                 "the topology's document cannot be edited: its keys do not begin "
                 "lines of their own");
        return ERR_UNSUPPORTED;
    }
    *out = x->t->frame->text;
    *out_n = x->t->frame->text_n;
    return 0;
}

static int phase_frame(const struct plan_ctx *x, struct plan *out, const struct buf *frame)
{
    const uint8_t *copy = arena_copy(x->arena, frame->p, frame->n);
    if (!copy)
        return ERR_NOMEM;
    out->first.name = "frame";
    out->first.frame = bytes_of(copy, frame->n);
    out->locks[out->n_locks++] = "frame";
    return 0;
}

static int section_set(const struct plan_ctx *x, const char *key, const char *text,
                       struct plan *out, struct diag *diag)
{
    const char *frame = NULL;
    size_t n = 0;
    AUTO_BUF struct buf was, now;
    buf_init(&was, 0);
    buf_init(&now, 0);
    int rc = frame_of(x, diag, &frame, &n);
    if (rc)
        return rc;
    const struct edit_section s = {key, text};
    buf_add(&was, frame, n);
    edit_sections(buf_cstr(&was), &s, 1, 0, &now);
    if (was.err || now.err)
        return ERR_NOMEM;
    return phase_frame(x, out, &now);
}

static int object_needed(const struct plan_ctx *x, struct diag *diag)
{
    if (*x->object)
        return 0;
    diag_add(diag, NULL, 0, "%s: it must be said what it is about", x->verb);
    return ERR_INVAL;
}

// --- operators ---

static int rights_take(const json_t *list, struct diag *diag, unsigned *out)
{
    size_t i;
    const json_t *v;
    unsigned all = 0;
    json_array_foreach(list, i, v)
    {
        const char *word = json_string_value(v);
        unsigned bit = 0;
        if (!word || !control_right_parse(word, &bit)) {
            diag_add(
                diag, NULL, 0,
                "rights: registries, principals, regions, topology, private-endpoints, or all");
            return ERR_INVAL;
        }
        all |= bit;
    }
    if (!json_is_array(list) || !all) {
        diag_add(diag, NULL, 0, "rights: at least one is needed");
        return ERR_INVAL;
    }
    *out = all;
    return 0;
}

// The base64 of a public key: what else it must be, the topology judges.
static int key_take(const json_t *arguments, struct diag *diag, const char **out)
{
    char hex[65];
    int rc = argument_text(arguments, "key", out, diag);
    if (rc)
        return rc;
    if (*out && !strpbrk(*out, "\"\\\n") && !signing_key_fingerprint(*out, hex))
        return 0;
    diag_add(diag, NULL, 0, "key: base64 of the SubjectPublicKeyInfo of an Ed25519 public key");
    return ERR_INVAL;
}

static int operator_create_plan(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                                const char **out_code)
{
    static const char *const known[] = {"key", "rights"};
    const char *key = NULL, *section = NULL;
    unsigned rights = 0;
    int rc = object_needed(x, diag);
    if (!rc)
        rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = key_take(x->arguments, diag, &key);
    if (!rc)
        rc = rights_take(json_object_get(x->arguments, "rights"), diag, &rights);
    const struct control_operator *had = topology_operator(x->t, x->object);
    if (!rc && had && !had->revoked && !strcmp(had->key, key) && had->rights == rights)
        return ERR_EXISTS; // the same request once more
    if (!rc)
        rc = operators_add(x->t, x->object, key, rights, x->arena, diag, &section);
    if (rc == ERR_EXISTS) {
        *out_code = "AlreadyExists";
        return ERR_CONFLICT;
    }
    if (rc)
        return rc;
    return section_set(x, "control", section, out, diag);
}

static int operator_revoke_plan(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                                const char **out_code)
{
    const char *section = NULL;
    (void)out_code;
    int rc = object_needed(x, diag);
    if (!rc)
        rc = arguments_known(x->arguments, NULL, 0, diag);
    if (!rc)
        rc = operators_revoke(x->t, x->object, x->arena, diag, &section);
    if (rc)
        return rc;
    return section_set(x, "control", section, out, diag);
}

// --- join tokens ---

static int record_phase(const struct plan_ctx *x, const struct join_record *r, struct plan *out)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    int rc = join_record_format(r, &text);
    if (rc)
        return rc;
    struct control_record *rec = arena_alloc(x->arena, sizeof *rec);
    const char *lock = arena_printf(x->arena, JOIN_RECORD_PREFIX "%s", r->id),
               *value = arena_strdup(x->arena, buf_cstr(&text));
    if (!rec || !lock || !value)
        return ERR_NOMEM;
    *rec = (struct control_record){lock, value};
    out->first.name = "record";
    out->first.records = rec;
    out->first.n_records = 1;
    out->locks[out->n_locks++] = lock;
    return 0;
}

static int stand_against(struct diag *diag, const char **out_code, const char *sentence,
                         const char *region)
{
    diag_add(diag, NULL, 0, sentence, region);
    *out_code = REFUSED;
    return ERR_CONFLICT;
}

// May a region of that name join, or be replaced?
static int region_judge(const struct plan_ctx *x, bool replace, struct diag *diag,
                        const char **out_code)
{
    const char *name = x->object;
    const struct region *r = topology_region(x->t, name);
    if (!hostname_region_ok(name)) {
        diag_add(diag, NULL, 0,
                 "\"%.40s\" is not a region's name: a letter, then at most 30 letters "
                 "and digits, lower case",
                 name);
        return ERR_INVAL;
    }
    if (replace && !r) {
        diag_add(diag, NULL, 0, "there is no region %s to replace", name);
        return ERR_NOTFOUND;
    }
    if (replace && r == topology_writer(x->t))
        return stand_against(
            diag, out_code,
            "%s is the writer: let another region take over first (`meridian control "
            "takeover`), then replace it",
            name);
    if (!replace && r && r->n_peer_fingerprints)
        return stand_against(
            diag, out_code, "%s has joined already. If its node is lost: `meridian region replace`",
            name);
    if (!r && x->t->n_regions == TOPOLOGY_MAX_REGIONS)
        return stand_against(diag, out_code, "%s cannot join: there are as many regions as may be",
                             name);
    return 0;
}

static int join_token_create_plan(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                                  const char **out_code)
{
    static const char *const known[] = {"key", "expires", "replace"};
    const json_t *expires = json_object_get(x->arguments, "expires");
    struct join_record r = {.region = x->object, .by = x->by, .created_ms = x->now_ms};
    bool given = false;
    char id[JOIN_TOKEN_ID_SIZE];
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = key_take(x->arguments, diag, &r.key);
    if (!rc)
        rc = argument_switch(x->arguments, "replace", &given, &r.replace, diag);
    if (!rc)
        rc = region_judge(x, r.replace, diag, out_code);
    if (rc)
        return rc;
    r.expires_ms = json_integer_value(expires);
    if (!json_is_integer(expires) || r.expires_ms <= x->now_ms ||
        r.expires_ms - x->now_ms > JOIN_LIFE_MAX_MS) {
        diag_add(diag, NULL, 0,
                 "expires: a time from now to a day ahead; compare the clocks of this "
                 "machine and of the writer if it should be that");
        return ERR_INVAL;
    }
    rc = join_token_id(r.key, id);
    if (!rc)
        r.id = arena_strdup(x->arena, id);
    if (!rc && !r.id)
        rc = ERR_NOMEM;
    if (!rc)
        rc = record_phase(x, &r, out);
    if (rc)
        return rc;
    out->answer = json_pack("{s:s, s:s, s:I}", "id", r.id, "region", r.region, "expires",
                            (json_int_t)r.expires_ms);
    return 0;
}

static int join_token_revoke_plan(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                                  const char **out_code)
{
    struct join_record r;
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    (void)out_code;
    int rc = object_needed(x, diag);
    if (!rc)
        rc = arguments_known(x->arguments, NULL, 0, diag);
    const char *key = arena_printf(x->arena, JOIN_RECORD_PREFIX "%.64s", x->object);
    if (!rc && !key)
        rc = ERR_NOMEM;
    if (!rc)
        rc = x->deps->record(x->deps->ctx, key, &text);
    if (!rc)
        rc = join_record_parse(buf_cstr(&text), x->arena, &r);
    if (rc == ERR_NOTFOUND)
        diag_add(diag, NULL, 0, "there is no join token %.64s; see `meridian join-token list`",
                 x->object);
    if (rc)
        return rc;
    if (r.state == JOIN_REVOKED)
        return ERR_EXISTS;
    r.state = JOIN_REVOKED;
    r.refused_ms = 0; // somebody has seen to it
    return record_phase(x, &r, out);
}

// --- regions ---

static int addresses_take(const struct plan_ctx *x, const char *name, bool v4, struct diag *diag,
                          const struct ip **out, size_t *out_n)
{
    const json_t *list = json_object_get(x->arguments, name), *v;
    size_t i, n = json_array_size(list);
    struct ip *ips = arena_array(x->arena, n + 1, sizeof *ips);
    if (!ips)
        return ERR_NOMEM;
    bool good = !list || json_is_array(list);
    json_array_foreach(list, i, v)
    {
        const char *s = json_string_value(v);
        good &= s && !ip_parse(s, &ips[i]) && ip_is_v4(&ips[i]) == v4;
    }
    if (!good || n > REGION_ROW_ADDRESSES_MAX) {
        diag_add(diag, NULL, 0, "%s: a list of at most %d addresses of that family", name,
                 REGION_ROW_ADDRESSES_MAX);
        return ERR_INVAL;
    }
    *out = ips;
    *out_n = n;
    return 0;
}

static int row_take(const struct plan_ctx *x, struct diag *diag, struct region_row *row)
{
    static const char *const known[] = {"stamp", "ipv4", "ipv6", "peer", "location", "nameServer"};
    const char *peer = NULL;
    bool given = false;
    row->name = x->object;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = argument_text(x->arguments, "stamp", &row->stamp, diag);
    if (!rc)
        rc = argument_text(x->arguments, "peer", &peer, diag);
    if (!rc)
        rc = argument_text(x->arguments, "location", &row->location, diag);
    if (!rc)
        rc = argument_switch(x->arguments, "nameServer", &given, &row->name_server, diag);
    if (!rc)
        rc = addresses_take(x, "ipv4", true, diag, &row->ipv4, &row->n_ipv4);
    if (!rc)
        rc = addresses_take(x, "ipv6", false, diag, &row->ipv6, &row->n_ipv6);
    if (rc)
        return rc;
    if (!row->stamp)
        row->stamp = arena_printf(x->arena, "%s-1", x->object);
    if (peer && !endpoint_parse(peer, 0, &row->peer) && row->peer.port)
        return 0;
    diag_add(diag, NULL, 0, "peer: an address and a port, as in 192.0.2.2:8443");
    return ERR_INVAL;
}

static int region_add_plan(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                           const char **out_code)
{
    const char *frame = NULL;
    size_t n = 0;
    struct region_row row = {0};
    AUTO_BUF struct buf now;
    buf_init(&now, 0);
    int rc = row_take(x, diag, &row);
    if (!rc)
        rc = frame_of(x, diag, &frame, &n);
    if (!rc)
        rc = regions_add(frame, n, &row, x->arena, &now);
    if (rc == ERR_EXISTS) {
        diag_add(diag, NULL, 0, "there is a region %s already", x->object);
        *out_code = "AlreadyExists";
        return ERR_CONFLICT;
    }
    if (rc == ERR_INVAL && !diag_count(diag))
        diag_add(diag, NULL, 0, "a region needs a name, a stamp's name and an address");
    if (rc)
        return rc;
    out->notes[out->n_notes++] =
        "it has no keys yet: `meridian join-token create` lets its node join";
    return phase_frame(x, out, &now);
}

static int region_remove_plan(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                              const char **out_code)
{
    const char *frame = NULL;
    size_t n = 0;
    AUTO_BUF struct buf now;
    buf_init(&now, 0);
    int rc = arguments_known(x->arguments, NULL, 0, diag);
    if (!rc && !topology_region(x->t, x->object)) {
        diag_add(diag, NULL, 0, "there is no region %.40s", x->object);
        return ERR_NOTFOUND;
    }
    const char *why = NULL;
    if (!rc)
        why = regions_why_stays(x->t, x->object, x->arena);
    if (why) {
        diag_add(diag, NULL, 0, "%s stays: %s", x->object, why);
        *out_code = REFUSED;
        return ERR_CONFLICT;
    }
    if (!rc)
        rc = frame_of(x, diag, &frame, &n);
    if (!rc)
        rc = regions_remove(frame, n, x->object, x->arena, &now);
    if (rc)
        return rc;
    out->notes[out->n_notes++] =
        "its keys count for nothing from then on: tokens that it gave out, "
        "its certificate, its feed. Stop its node and take its data away";
    out->locks[out->n_locks++] = arena_printf(x->arena, "region/%s", x->object);
    return phase_frame(x, out, &now);
}

const struct verb verb_operator_create = {.noun = "operator",
                                          .word = "create",
                                          .right = CONTROL_RIGHTS_ALL,
                                          .state = "Creating",
                                          .plan = operator_create_plan},
                  verb_operator_revoke = {.noun = "operator",
                                          .word = "revoke",
                                          .right = CONTROL_RIGHTS_ALL,
                                          .takes_away = true,
                                          .state = "Deleting",
                                          .plan = operator_revoke_plan},
                  verb_join_token_create = {.noun = "join-token",
                                            .word = "create",
                                            .right = CONTROL_RIGHT_REGIONS,
                                            .state = "Creating",
                                            .plan = join_token_create_plan},
                  verb_join_token_revoke = {.noun = "join-token",
                                            .word = "revoke",
                                            .right = CONTROL_RIGHT_REGIONS,
                                            .takes_away = true,
                                            .state = "Deleting",
                                            .plan = join_token_revoke_plan},
                  verb_region_add = {.noun = "region",
                                     .word = "add",
                                     .right = CONTROL_RIGHT_REGIONS,
                                     .state = "Creating",
                                     .plan = region_add_plan},
                  verb_region_remove = {.noun = "region",
                                        .word = "remove",
                                        .right = CONTROL_RIGHT_REGIONS,
                                        .takes_away = true,
                                        .state = "Deleting",
                                        .plan = region_remove_plan};
