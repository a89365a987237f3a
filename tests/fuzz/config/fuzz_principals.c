// SPDX-License-Identifier: Apache-2.0
// Any bytes as principals: refused with at least one sentence, or whole; then what is written back
// reads as the same document, and grants name good patterns of their own registry alone.
#include "config/principals.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void grants_check(const struct principal *p)
{
    for (size_t i = 0; i < p->n_grants; i++) {
        must(!p->token || !strcmp(p->grants[i].registry, p->token->registry));
        for (size_t k = 0; k < p->grants[i].n_repositories; k++)
            must(pattern_ok(p->grants[i].repositories[k]));
    }
}

static void check(const struct principals *p)
{
    for (size_t i = 0; i < p->n_users; i++) {
        must(principals_find(p, p->users[i].name) == &p->users[i]);
        must(p->users[i].password_hash && !p->users[i].token);
        grants_check(&p->users[i]);
    }
    for (size_t i = 0; i < p->n_tokens; i++) {
        const struct principal *t = &p->tokens[i];
        must(principals_find(p, t->name) == t && t->token && !t->password_hash);
        must(t->token->n_passwords <= TOKEN_PASSWORDS && t->token->n_passwords <= p->passwords_max);
        must(t->token->lifetime_s >= ACCESS_LIFETIME_MIN_S &&
             t->token->lifetime_s <= ACCESS_LIFETIME_MAX_S);
        grants_check(t);
    }
    for (size_t i = 0; i < p->n_revoked; i++)
        must(principals_revoked(p, p->revoked[i].id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct principals *p = NULL, *again = NULL;
    struct buf text, twice;
    struct diag d;
    diag_init(&d);
    int rc = principals_parse((const char *)data, size, "fuzz.yaml", &d, &p);
    must(rc ? diag_count(&d) > 0 : p != NULL);
    diag_done(&d);
    if (rc)
        return 0;
    check(p);
    must(!principals_format(p, &text));
    must(!principals_parse(buf_cstr(&text), text.n, "again.yaml", NULL, &again));
    must(!principals_format(again, &twice));
    must(text.n == twice.n && !memcmp(text.p, twice.p, text.n));
    check(again);
    buf_done(&text);
    buf_done(&twice);
    snapshot_unref(again);
    snapshot_unref(p);
    return 0;
}
