// SPDX-License-Identifier: Apache-2.0
// Verbs of users, named tokens and scope maps: one document each, which control/principals_change.h
// makes from the one in force. A request brings hashes of passwords, and the record of its operation
// keeps neither these nor any other argument.
#include "base/err.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "control/principals_change.h"
#include "lifecycle/lifecycle.h"
#include "lifecycle/verbs.h"

#include <string.h>

static bool registry_known(void *ctx, const char *name)
{
    return topology_registry(ctx, name) != NULL;
}

static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

// A scope map is known by its registry too.
static int object_set(const struct plan_ctx *x, const char *noun, struct plan *out)
{
    const char *registry = json_string_value(json_object_get(x->arguments, "registry"));
    if (strcmp(noun, "scope-map") != 0 || !registry)
        return 0;
    out->object = arena_printf(x->arena, "scope-map/%.64s/%.128s", registry, x->object);
    if (out->object)
        return 0;
    return ERR_NOMEM;
}

// The document and the sentence, in the plan's arena.
static int keep(const struct plan_ctx *x, struct plan *out, const struct buf *text,
                const char *what)
{
    const char *copy = arena_copy(x->arena, text->p, text->n);
    const char *note = arena_strdup(x->arena, what);
    if (!copy || !note)
        return ERR_NOMEM;
    out->first.name = "principals";
    out->first.principals = bytes_of(copy, text->n);
    out->notes[out->n_notes++] = note;
    return 0;
}

static int change(const struct plan_ctx *x, const struct principals_ask *ask, struct plan *out,
                  struct diag *diag)
{
    struct buf now, next;
    char *what = NULL;
    uint64_t version = 0;
    buf_init(&now, 0);
    int rc = x->deps->principals(x->deps->ctx, &now, &version);
    if (!rc)
        rc = principals_change(bytes_of(now.p, now.n), ask, diag, &next, &what);
    wipe(&now);
    if (rc)
        return rc;
    rc = keep(x, out, &next, what);
    out->first.principals_from = version;
    free(what);
    wipe(&next);
    return rc;
}

static int plan_principals(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                           const char **out_code)
{
    const char *space = strchr(x->verb, ' ');
    const char *noun = arena_strndup(x->arena, x->verb, (size_t)(space - x->verb));
    if (!noun)
        return ERR_NOMEM;
    const struct principals_ask ask = {.noun = noun,
                                       .word = space + 1,
                                       .object = x->object,
                                       .arguments = x->arguments,
                                       .now_ms = x->now_ms,
                                       .sure_ms = x->sure_ms,
                                       .registry_known = registry_known,
                                       .ctx = (void *)x->t};
    int rc = object_set(x, noun, out);
    if (!rc)
        rc = change(x, &ask, out, diag);
    if (rc == ERR_CONFLICT)
        *out_code = strcmp(ask.word, "create") ? "Refused" : "AlreadyExists";
    return rc;
}

#define VERB(id, noun_text, word_text, away, revoking, state_text)    \
    const struct verb verb_##id = {.noun = (noun_text),               \
                                   .word = (word_text),               \
                                   .right = CONTROL_RIGHT_PRINCIPALS, \
                                   .takes_away = (away),              \
                                   .revokes = (revoking),             \
                                   .state = (state_text),             \
                                   .plan = plan_principals}

VERB(user_create, "user", "create", false, false, "Creating");
VERB(user_update, "user", "update", false, true, "Updating");
VERB(user_passwd, "user", "passwd", false, true, "Updating");
VERB(user_grant, "user", "grant", false, false, "Updating");
VERB(user_revoke, "user", "revoke", false, true, "Updating");
VERB(user_delete, "user", "delete", true, true, "Deleting");
VERB(user_import, "user", "import", false, false, "Creating");
VERB(token_create, "token", "create", false, false, "Creating");
VERB(token_update, "token", "update", false, true, "Updating");
VERB(token_delete, "token", "delete", true, true, "Deleting");
VERB(token_credential_generate, "token", "credential generate", false, true, "Updating");
VERB(token_credential_delete, "token", "credential delete", true, true, "Updating");
VERB(token_revoke, "token", "revoke", false, true, "Updating");
VERB(scope_map_create, "scope-map", "create", false, false, "Creating");
VERB(scope_map_update, "scope-map", "update", false, true, "Updating");
VERB(scope_map_delete, "scope-map", "delete", true, true, "Deleting");
