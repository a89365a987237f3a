// SPDX-License-Identifier: Apache-2.0
// Rules over claims: the input's first line is a rule's `match` as YAML, the rest is what a token
// says as JSON. A rule is refused, or asks for `sub` or for an id. Claims are refused with a reason,
// or are of our issuer, for us, live, and matched by the rule. The rest is also read as a whole
// token.
#include "auth/oidc_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define NOW_MS 1800000000000
#define SERVICE "contoso.meridian.test"
#define ISSUER "https://issuer.example"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct principals *document(const char *match)
{
    struct principals *p = NULL;
    AUTO_FREE char *text =
        mem_printf("users: []\nissuers:\n  - name: ci\n    issuer: " ISSUER
                   "\n    registry: contoso\n    rules:\n"
                   "      - {name: r, scope_map: _pull, repositories: [\"*\"], match: %s}\n",
                   match);
    if (!text || principals_parse(text, strlen(text), "fuzz.yaml", NULL, &p))
        return NULL;
    return p;
}

static bool identifies(const struct issuer_rule *r)
{
    for (size_t i = 0; i < r->n_matches; i++) {
        if (!strcmp(r->matches[i].claim, "sub"))
            return true;
        for (size_t k = 0; issuer_id_claim(k); k++)
            if (!strcmp(r->matches[i].claim, issuer_id_claim(k)))
                return true;
    }
    return false;
}

static void judge(const struct issuer *i, const char *json, size_t n)
{
    struct jwt t = {.signed_at = json,
                    .n_signed = n,
                    .claims = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL)};
    struct oidc_caller c = {0};
    const char *why = NULL;
    if (json_is_object(t.claims)) {
        int rc = oidc_judge(&t, i, SERVICE, NOW_MS, &c, &why);
        if (rc && rc != ERR_NOMEM && !why)
            abort();
        if (!rc && (strlen(c.subject) > JWT_SUBJECT_MAX_BYTES ||
                    !oidc_rule_matches(c.rule, t.claims) || c.remember_s <= NOW_MS / 1000))
            abort();
    }
    jwt_done(&t);
}

static void judge_token(const char *text)
{
    struct arena a;
    struct jwt t;
    const char *why = NULL;
    arena_init(&a, 1 << 20);
    int rc = jwt_parse(text, &a, &t, &why);
    if (rc && rc != ERR_NOMEM && !why)
        abort();
    if (!rc && (!json_is_object(t.claims) || !*t.kid || !t.n_sig))
        abort();
    jwt_done(&t);
    arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 65536)
        return 0;
    AUTO_FREE char *match = mem_strndup((const char *)data, size);
    if (!match)
        abort();
    char *rest = strchr(match, '\n');
    if (!rest)
        return 0;
    *rest++ = 0;
    judge_token(rest);
    struct principals *p = document(match);
    if (!p)
        return 0;
    for (size_t i = 0; i < p->n_issuers; i++)
        for (size_t k = 0; k < p->issuers[i].n_rules; k++)
            if (!identifies(&p->issuers[i].rules[k]) || !p->issuers[i].rules[k].fingerprint)
                abort();
    if (p->n_issuers)
        judge(&p->issuers[0], rest, strlen(rest));
    snapshot_unref(p);
    return 0;
}
