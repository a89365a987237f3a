// SPDX-License-Identifier: Apache-2.0
// Scopes as clients write them; see token_priv.h. skopeo repeats the parameter, ctr joins scopes
// with blanks, docker says "push,pull": all three come out as one list with the actions of a
// repository joined. Pure; any thread.
#include "auth/token_priv.h"

#include "base/err.h"

#include <string.h>

static int grant_add(struct scopes *s, const char *name, size_t n, unsigned actions,
                     struct arena *a)
{
    for (size_t i = 0; i < s->n; i++) {
        struct access_grant *g = &s->items[i];
        if (strncmp(g->repository, name, n) || g->repository[n])
            continue;
        g->actions |= actions;
        return 0;
    }
    if (s->n == SCOPE_MAX_COUNT)
        return ERR_TOOBIG;
    const char *copy = arena_strndup(a, name, n);
    if (!copy)
        return ERR_NOMEM;
    s->items[s->n++] = (struct access_grant){copy, actions};
    return 0;
}

static unsigned actions_of(const char *p, size_t n)
{
    unsigned all = 0;
    for (const char *end = p + n; p < end;) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        size_t k = (size_t)((comma ? comma : end) - p);
        unsigned one;
        if (k == 1 && *p == '*')
            all |= ACTION_PULL | ACTION_PUSH | ACTION_DELETE;
        else if (!action_parse(p, k, &one) && !(one & ACTIONS_OF_REGISTRY))
            all |= one;
        p += k + 1;
    }
    return all;
}

static bool is_word(struct bytes b, const char *word)
{
    return bytes_equal(b, bytes_str(word));
}

// type ":" name ":" actions; the name may hold colons (a host and port), so it ends at the last
// one.
static int scope_one(struct scopes *s, const char *p, size_t n, struct arena *a)
{
    const char *first = memchr(p, ':', n), *last = memrchr(p, ':', n);
    if (!first || first == p || last == first)
        return ERR_INVAL;
    struct bytes type = bytes_of(p, (size_t)(first - p));
    struct bytes name = bytes_of(first + 1, (size_t)(last - first - 1));
    size_t n_actions = (size_t)(p + n - last - 1);
    if (is_word(type, "registry")) {
        unsigned action = 0;
        if (is_word(name, "catalog"))
            action = ACTION_CATALOG;
        if (is_word(name, "audit"))
            action = ACTION_AUDIT;
        if (!action || !memchr(last + 1, '*', n_actions))
            return 0;
        return grant_add(s, "*", 1, action, a);
    }
    if (!is_word(type, "repository") && !is_word(type, "repository(plugin)"))
        return 0;
    if (!repository_name_ok((const char *)name.p, name.n))
        return ERR_INVAL;
    return grant_add(s, (const char *)name.p, name.n, actions_of(last + 1, n_actions), a);
}

// What the error shows: it comes from the client, and goes back to it and into the log.
static void malformed_keep(struct scopes *s, const char *p, size_t n)
{
    if (*s->malformed)
        return;
    if (n > SCOPE_SHOWN_BYTES)
        n = SCOPE_SHOWN_BYTES;
    for (size_t i = 0; i < n; i++) {
        s->malformed[i] = '?';
        if (p[i] > ' ' && p[i] <= '~' && p[i] != '"' && p[i] != '\\')
            s->malformed[i] = p[i];
    }
    s->malformed[n] = 0;
}

int scopes_add(struct scopes *s, const char *text, struct arena *a)
{
    s->n_bytes += strlen(text);
    if (s->n_bytes > SCOPE_MAX_BYTES)
        return ERR_TOOBIG;
    for (const char *p = text + strspn(text, " "); *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");
        int rc = scope_one(s, p, n, a);
        if (rc == ERR_INVAL)
            malformed_keep(s, p, n);
        else if (rc)
            return rc;
        else
            s->n_formed++;
        p += n;
    }
    return 0;
}
