// SPDX-License-Identifier: Apache-2.0
// Requests of operators: the text, its signature, who may sign. See request.h. Any thread; no
// state.
#include "control/request.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "certs/keys.h"
#include "net/json.h"

#include <stdio.h>
#include <string.h>

#define VERB_MAX 64
#define OBJECT_MAX 512
#define FLEET_MAX 253

// --- the form of members ---

bool control_operator_name_ok(const char *name)
{
    size_t n = strlen(name);
    if (!n || n >= CONTROL_OPERATOR_SIZE)
        return false;
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") != n)
        return false;
    return !strchr("._-", name[0]) && !strchr("._-", name[n - 1]);
}

// one to three words of lower-case letters and inner hyphens, one blank between two
static bool verb_ok(const char *verb)
{
    size_t n = strlen(verb), blanks = 0;
    if (!n || n > VERB_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool letter = verb[i] >= 'a' && verb[i] <= 'z';
        bool edge = !i || i + 1 == n || verb[i - 1] == ' ' || verb[i + 1] == ' ';
        if (letter)
            continue;
        if (edge || (verb[i] != ' ' && verb[i] != '-'))
            return false;
        blanks += verb[i] == ' ';
    }
    return blanks <= 2;
}

static bool object_ok(const char *object)
{
    size_t n = strlen(object);
    if (n > OBJECT_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (object[i] <= ' ' || object[i] > '~')
            return false;
    return true;
}

static bool fleet_ok(const char *fleet)
{
    size_t n = strlen(fleet);
    return n && n <= FLEET_MAX && object_ok(fleet);
}

static bool nonce_ok(const char *nonce)
{
    return strlen(nonce) == CONTROL_NONCE_SIZE - 1 &&
           strspn(nonce, "0123456789abcdef") == CONTROL_NONCE_SIZE - 1;
}

int control_request_nonce(char out[CONTROL_NONCE_SIZE])
{
    return random_hex(out, (CONTROL_NONCE_SIZE - 1) / 2);
}

// --- writing ---

static bool request_ok(const struct control_request *q)
{
    if (!verb_ok(q->verb) || !object_ok(q->object) || !fleet_ok(q->fleet) || !nonce_ok(q->nonce))
        return false;
    if (q->operator&& !control_operator_name_ok(q->operator))
        return false;
    return (!q->arguments || json_is_object(q->arguments)) && q->if_version <= INT64_MAX &&
           q->expires_ms > 0;
}

int control_request_format(const struct control_request *q, struct buf *out)
{
    if (!request_ok(q))
        return ERR_INVAL;
    json_t *o = json_pack("{s:i, s:s, s:s}", "v", 1, "verb", q->verb, "object", q->object);
    json_t *arguments = q->arguments;
    if (arguments)
        json_incref(arguments);
    else
        arguments = json_object();
    int bad = json_object_set_new(o, "arguments", arguments);
    if (q->if_version)
        bad |= json_object_set_new(o, "ifVersion", json_integer((json_int_t)q->if_version));
    bad |= json_object_set_new(o, "whatIf", json_boolean(q->what_if));
    if (q->quorum) // writers of older releases know no such member
        bad |= json_object_set_new(o, "quorum", json_true());
    bad |= json_object_set_new(o, "nonce", json_string(q->nonce));
    bad |= json_object_set_new(o, "expires", json_integer(q->expires_ms));
    if (q->operator)
        bad |= json_object_set_new(o, "operator", json_string(q->operator));
    bad |= json_object_set_new(o, "fleet", json_string(q->fleet));
    if (bad) {
        json_decref(o);
        return ERR_NOMEM;
    }
    AUTO_BUF struct buf text;
    buf_init(&text, CONTROL_REQUEST_MAX_BYTES);
    int rc = json_text_add(o, &text);
    if (rc)
        return rc;
    buf_add(out, text.p, text.n);
    return out->err;
}

static int signed_bytes(struct bytes text, struct buf *out)
{
    buf_str(out, CONTROL_REQUEST_PREFIX);
    buf_add(out, text.p, text.n);
    return out->err;
}

int control_request_sign(const struct signing_key *key, const char *operator_name,
                         struct bytes text, struct buf *out)
{
    if (!control_operator_name_ok(operator_name))
        return ERR_INVAL;
    AUTO_BUF struct buf b;
    buf_init(&b, CONTROL_REQUEST_MAX_BYTES + sizeof CONTROL_REQUEST_PREFIX);
    uint8_t sig[64];
    int rc = signed_bytes(text, &b);
    if (!rc)
        rc = signing_key_sign(key, b.p, b.n, sig);
    if (rc)
        return rc;
    return json_text_add(json_pack("{s:s%, s:s, s:o}", "request", (const char *)text.p, text.n,
                                   "key", operator_name, "signature", json_binary(sig, sizeof sig)),
                         out);
}

// --- reading ---

struct request_own { // what control_request_free releases; the request comes first
    struct control_request q;
    // its strings hang off this
    json_t *root;
};

static int refuse(struct diag *diag, int rc, const char *why)
{
    diag_add(diag, NULL, 0, "the request is refused: %s", why);
    return rc;
}

static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static bool members_known(json_t *o, const char *const *known, size_t n, const char **out_unknown)
{
    const char *key;
    json_t *value;
    json_object_foreach(o, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < n; i++)
            found |= !strcmp(key, known[i]);
        if (found)
            continue;
        *out_unknown = key;
        return false;
    }
    return true;
}

static int members_judge(json_t *o, struct diag *diag)
{
    static const char *const known[] = {"v",         "verb",     "object", "arguments",
                                        "ifVersion", "whatIf",   "quorum", "nonce",
                                        "expires",   "operator", "fleet"};
    const json_t *v = json_object_get(o, "v");
    if (!json_is_integer(v))
        return refuse(diag, ERR_INVAL, "it has no version \"v\" of its form");
    if (json_integer_value(v) != 1)
        return refuse(diag, ERR_VERSION,
                      "its form is newer than the writer's region knows: upgrade meridiand there");
    const char *unknown = NULL;
    if (members_known(o, known, ARRAY_LEN(known), &unknown))
        return 0;
    diag_add(diag, NULL, 0,
             "the request is refused: the writer's region knows no member \"%.40s\": upgrade "
             "meridiand there",
             unknown);
    return ERR_VERSION;
}

// The text's own members, each judged; nothing of who signed.
static int members_take(json_t *o, struct diag *diag, struct control_request *q)
{
    int rc = members_judge(o, diag);
    if (rc)
        return rc;
    const char *nonce = text_of(o, "nonce");
    const json_t *version = json_object_get(o, "ifVersion"),
                 *expires = json_object_get(o, "expires"), *what_if = json_object_get(o, "whatIf"),
                 *quorum = json_object_get(o, "quorum"), *op = json_object_get(o, "operator");
    q->verb = text_of(o, "verb");
    q->object = text_of(o, "object");
    q->fleet = text_of(o, "fleet");
    q->arguments = json_object_get(o, "arguments");
    if (!q->verb || !q->object || !q->fleet || !nonce || !json_is_object(q->arguments))
        return refuse(diag, ERR_INVAL,
                      "it must have verb, object, arguments, nonce, expires and fleet");
    if (!nonce_ok(nonce))
        return refuse(diag, ERR_INVAL, "its nonce must be 32 lower-case hex digits");
    memcpy(q->nonce, nonce, sizeof q->nonce);
    if (!json_is_integer(expires) || json_integer_value(expires) <= 0)
        return refuse(diag, ERR_INVAL, "\"expires\" must be Unix milliseconds");
    q->expires_ms = json_integer_value(expires);
    if (version && (!json_is_integer(version) || json_integer_value(version) <= 0))
        return refuse(diag, ERR_INVAL, "\"ifVersion\" must be a version, from 1");
    q->if_version = (uint64_t)json_integer_value(version);
    if (what_if && !json_is_boolean(what_if))
        return refuse(diag, ERR_INVAL, "\"whatIf\" must be true or false");
    q->what_if = json_is_true(what_if);
    if (quorum && !json_is_boolean(quorum))
        return refuse(diag, ERR_INVAL, "\"quorum\" must be true or false");
    q->quorum = json_is_true(quorum);
    if (op && !json_is_string(op))
        return refuse(diag, ERR_INVAL, "\"operator\" must be a name");
    q->operator= json_string_value(op);
    if (!request_ok(q))
        return refuse(diag, ERR_INVAL,
                      "its verb, object, fleet or operator has a form that is none");
    return 0;
}

static int text_take(const char *text, size_t n, struct diag *diag, struct request_own *own)
{
    if (n > CONTROL_REQUEST_MAX_BYTES)
        return refuse(diag, ERR_TOOBIG, "its text is larger than 24 MiB");
    own->root = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(own->root))
        return refuse(diag, ERR_INVAL, "its text is no JSON object");
    return members_take(own->root, diag, &own->q);
}

static int time_judge(const struct control_request *q, int64_t now_ms, struct diag *diag)
{
    if (q->expires_ms <= now_ms)
        return refuse(diag, ERR_EXPIRED,
                      "it has expired; if it was made just now, compare the clocks of the two "
                      "machines");
    if (q->expires_ms - now_ms > CONTROL_REQUEST_LIFE_MAX_MS)
        return refuse(diag, ERR_EXPIRED,
                      "it would count for more than 10 minutes; if that was not asked for, compare "
                      "the clocks of the two machines");
    return 0;
}

// Whose signature: a name that the topology knows and has not revoked, and the text names it too.
static int signature_judge(const json_t *outer, const struct control_signers *who,
                           const struct control_request *q, struct diag *diag)
{
    const char *text = text_of(outer, "request"), *name = text_of(outer, "key");
    uint8_t sig[64];
    if (!text || !name || !json_binary_take(outer, "signature", sig, sizeof sig))
        return refuse(diag, ERR_INVAL, "it must have a text, a key and a signature");
    if (!control_operator_name_ok(name))
        return refuse(diag, ERR_INVAL, "its key must be the name of an operator");
    bool revoked = false;
    const char *spki = who->key_of(who->ctx, name, &revoked);
    if (!spki) {
        diag_add(diag, NULL, 0,
                 "the request is refused: the topology in force has no operator \"%s\"; see "
                 "`meridian operator list`",
                 name);
        return ERR_DENIED;
    }
    if (revoked) {
        diag_add(diag, NULL, 0, "the request is refused: the key of operator \"%s\" is revoked",
                 name);
        return ERR_DENIED;
    }
    AUTO_BUF struct buf b;
    buf_init(&b, CONTROL_REQUEST_MAX_BYTES + sizeof CONTROL_REQUEST_PREFIX);
    int rc = signed_bytes(bytes_str(text), &b);
    if (rc)
        return rc;
    if (ed25519_verify(spki, b.p, b.n, sig)) {
        diag_add(diag, NULL, 0,
                 "the request is refused: its signature is not of the key that the topology has "
                 "for operator \"%s\"",
                 name);
        return ERR_DENIED;
    }
    if (!q->operator|| strcmp(q->operator, name) != 0)
        return refuse(diag, ERR_DENIED, "its text names another operator than its signature");
    return 0;
}

static int bare_judge(const struct control_signers *who, const struct control_request *q,
                      struct diag *diag)
{
    if (!who->bare)
        return refuse(diag, ERR_DENIED,
                      "it is not signed; only root on the writer's own node may ask without an "
                      "operator's key");
    if (q->operator)
        return refuse(diag, ERR_DENIED, "it names an operator, and carries no signature");
    return 0;
}

static int take(const json_t *root, struct bytes body, const struct control_signers *who,
                int64_t now_ms, struct diag *diag, struct request_own *own)
{
    static const char *const known[] = {"request", "key", "signature"};
    const json_t *text = json_object_get(root, "request");
    const char *unknown = NULL;
    int rc;
    if (text) {
        if (!json_is_string(text) ||
            !members_known((json_t *)root, known, ARRAY_LEN(known), &unknown))
            return refuse(diag, ERR_INVAL, "it must have a text, a key and a signature");
        rc = text_take(json_string_value(text), json_string_length(text), diag, own);
        if (!rc)
            rc = signature_judge(root, who, &own->q, diag);
    } else {
        rc = text_take((const char *)body.p, body.n, diag, own);
        if (!rc)
            rc = bare_judge(who, &own->q, diag);
    }
    if (rc)
        return rc;
    if (strcmp(own->q.fleet, who->fleet) != 0) {
        diag_add(diag, NULL, 0, "the request is refused: it is for the fleet of %.253s, this is %s",
                 own->q.fleet, who->fleet);
        return ERR_DENIED;
    }
    return time_judge(&own->q, now_ms, diag);
}

int control_request_take(struct bytes body, const struct control_signers *who, int64_t now_ms,
                         struct diag *diag, struct control_request **out)
{
    if (body.n > CONTROL_ENVELOPE_MAX_BYTES)
        return refuse(diag, ERR_TOOBIG, "it is larger than 56 MiB");
    json_t *root = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return refuse(diag, ERR_INVAL, "it is no JSON object");
    }
    struct request_own *own = mem_zalloc(sizeof *own);
    int rc = ERR_NOMEM;
    if (own)
        rc = take(root, body, who, now_ms, diag, own);
    json_decref(root);
    if (rc) {
        control_request_free((struct control_request *)own);
        return rc;
    }
    *out = &own->q;
    return 0;
}

void control_request_free(struct control_request *q)
{
    struct request_own *own = (struct request_own *)q;
    if (!own)
        return;
    json_decref(own->root);
    free(own);
}

const char *control_request_by(const struct control_request *q, const char *region,
                               char out[CONTROL_BY_SIZE])
{
    if (q->operator)
        snprintf(out, CONTROL_BY_SIZE, "operator:%s", q->operator);
    else
        snprintf(out, CONTROL_BY_SIZE, "root@%s", region);
    return out;
}
