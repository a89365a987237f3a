// SPDX-License-Identifier: Apache-2.0
// Arguments of the principals' verbs; see principals_change_priv.h.
#include "control/principals_change_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/hostname.h"
#include "config/password.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 1024

int call_fail(struct call *c, int rc, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    diag_add(c->diag, NULL, 0, "%s", text);
    return rc;
}

int call_done(struct call *c, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->what = arena_strdup(&c->e.arena, text);
    if (c->what)
        return 0;
    return ERR_NOMEM;
}

const json_t *arg_of(const struct call *c, const char *name)
{
    const json_t *v = json_object_get(c->ask->arguments, name);
    if (json_is_null(v))
        return NULL;
    return v;
}

static bool is_printable(const char *s)
{
    for (; *s; s++)
        if (*s < ' ' || *s > '~')
            return false;
    return true;
}

static int text_of(struct call *c, const json_t *v, const char *name, const char **out)
{
    const char *s = json_string_value(v);
    *out = "";
    if (!s || strlen(s) != json_string_length(v) || strlen(s) > 4096 || !is_printable(s))
        return call_fail(c, ERR_INVAL, "%s: expected a text of printable characters", name);
    *out = s;
    return 0;
}

int arg_text(struct call *c, const char *name, const char **out)
{
    const json_t *v = arg_of(c, name);
    *out = NULL;
    if (!v)
        return 0;
    return text_of(c, v, name, out);
}

int arg_needed(struct call *c, const char *name, const char **out)
{
    int rc = arg_text(c, name, out);
    if (!rc && !*out)
        rc = call_fail(c, ERR_INVAL, "%s: missing", name);
    return rc;
}

int arg_bool(struct call *c, const char *name, bool *out_given, bool *out)
{
    const json_t *v = arg_of(c, name);
    *out_given = v != NULL;
    if (!v)
        return 0;
    if (json_is_boolean(v)) {
        *out = json_is_true(v);
        return 0;
    }
    const char *s = json_string_value(v);
    if (s && (!strcmp(s, "true") || !strcmp(s, "false"))) {
        *out = !strcmp(s, "true");
        return 0;
    }
    return call_fail(c, ERR_INVAL, "%s: expected true or false", name);
}

// Words of a text with commas, cut up in a copy.
static int words_cut(struct call *c, const char *text, const char **list, size_t *out_n)
{
    char *save = NULL, *copy = arena_strdup(&c->e.arena, text);
    if (!copy)
        return ERR_NOMEM;
    for (char *w = strtok_r(copy, ", ", &save); w && *out_n < WORDS_MAX;
         w = strtok_r(NULL, ", ", &save))
        list[(*out_n)++] = w;
    return 0;
}

int arg_words(struct call *c, const char *name, const char *const **out, size_t *out_n)
{
    const json_t *v = arg_of(c, name), *one;
    size_t i;
    *out = NULL;
    *out_n = 0;
    if (!v)
        return 0;
    const char **list = arena_array(&c->e.arena, WORDS_MAX, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    *out = list;
    const char *text;
    if (json_is_string(v)) {
        int rc = text_of(c, v, name, &text);
        if (!rc)
            rc = words_cut(c, text, list, out_n);
        return rc;
    }
    if (!json_is_array(v) || json_array_size(v) > WORDS_MAX)
        return call_fail(c, ERR_INVAL, "%s: expected a list of at most %d texts", name, WORDS_MAX);
    json_array_foreach(v, i, one)
    {
        int rc = text_of(c, one, name, &list[i]);
        if (rc)
            return rc;
    }
    *out_n = i;
    return 0;
}

static int words_judge(struct call *c, const char *name, const char *const *list, size_t n,
                       bool (*ok)(const char *), const char *expected)
{
    for (size_t i = 0; i < n; i++)
        if (!ok(list[i]))
            return call_fail(c, ERR_INVAL, "%s: expected %s, found \"%.80s\"", name, expected,
                             list[i]);
    return 0;
}

int arg_patterns(struct call *c, const char *name, const char *const **out, size_t *out_n)
{
    int rc = arg_words(c, name, out, out_n);
    if (rc)
        return rc;
    return words_judge(c, name, *out, *out_n, pattern_ok,
                       "a repository, a prefix that ends in \"/*\", or \"*\" alone");
}

int arg_regions(struct call *c, const char *name, const char *const **out, size_t *out_n)
{
    int rc = arg_words(c, name, out, out_n);
    if (rc)
        return rc;
    return words_judge(c, name, *out, *out_n, hostname_region_ok, "a region");
}

int arg_registry(struct call *c, const char **out)
{
    int rc = arg_needed(c, "registry", out);
    if (rc)
        return rc;
    if (!hostname_registry_ok(*out))
        return call_fail(
            c, ERR_INVAL,
            "registry: expected 5 to 50 lower-case letters and digits, found \"%.80s\"", *out);
    if (c->ask->registry_known && !c->ask->registry_known(c->ask->ctx, *out))
        return call_fail(c, ERR_NOTFOUND, "there is no registry %s", *out);
    return 0;
}

int arg_hash(struct call *c, const json_t *from, const char **out)
{
    const json_t *v = json_object_get(from, "passwordHash");
    if (!v)
        return call_fail(c, ERR_INVAL, "passwordHash: missing");
    int rc = text_of(c, v, "passwordHash", out);
    // the value itself is never shown: it is a secret, even when it is not a hash
    if (!rc && (!password_hash_ok(*out) || strpbrk(*out, "\"\\ ")))
        rc = call_fail(c, ERR_INVAL,
                       "passwordHash: expected a yescrypt ($y$) or bcrypt ($2a$, "
                       "$2b$, $2y$) hash");
    return rc;
}

int arg_time(struct call *c, const json_t *from, const char *name, int64_t *out_s)
{
    const json_t *v = json_object_get(from, name);
    const char *text;
    *out_s = 0;
    if (!v || json_is_null(v))
        return 0;
    int rc = text_of(c, v, name, &text);
    if (!rc && (clock_parse_s(text, out_s) || *out_s <= c->ask->now_ms / 1000))
        rc = call_fail(c, ERR_INVAL,
                       "%s: expected a time to come, in UTC, as in "
                       "2027-01-31T00:00:00Z",
                       name);
    return rc;
}

int arg_password(struct call *c, const json_t *from, struct token_password *out)
{
    const json_t *id = json_object_get(from, "id");
    struct token_password w = {.created_s = c->ask->now_ms / 1000};
    if (!json_is_integer(id) || json_integer_value(id) < 1 ||
        json_integer_value(id) > TOKEN_PASSWORDS)
        return call_fail(c, ERR_INVAL, "id: expected 1 or 2: which of the token's passwords");
    w.id = (unsigned)json_integer_value(id);
    int rc = arg_hash(c, from, &w.hash);
    if (!rc)
        rc = arg_time(c, from, "expires", &w.expires_s);
    if (!rc)
        *out = w;
    return rc;
}

// In the words of scope maps alone, which name one action each.
static bool coarse(const char *word)
{
    return !strchr(word, '/') && strcmp(word, "catalog") != 0;
}

static int actions_read(struct call *c, bool scope, const char *const *words, size_t n,
                        unsigned *out)
{
    for (size_t i = 0; i < n; i++) {
        unsigned bits;
        if ((scope && coarse(words[i])) || grant_word_parse(words[i], &bits))
            return call_fail(c, ERR_INVAL,
                             "%.40s is not an action%s: %scontent/read, content/write, "
                             "content/delete, content/add, metadata/read, metadata/write, catalog, "
                             "audit/read",
                             words[i], scope ? " of a scope map" : "",
                             scope ? "" : "pull, push, delete, ");
        *out |= bits;
    }
    return 0;
}

static const char *const everywhere[] = {"*"};

int arg_grant(struct call *c, bool scope, struct grant *out)
{
    struct grant g = {0};
    const char *const *words;
    size_t n;
    int rc = arg_registry(c, &g.registry);
    if (!rc)
        rc = arg_patterns(c, "repositories", &g.repositories, &g.n_repositories);
    if (!rc)
        rc = arg_words(c, "actions", &words, &n);
    if (!rc)
        rc = actions_read(c, scope, words, n, &g.actions);
    if (rc)
        return rc;
    if (!scope && !arg_of(c, "repositories")) {
        g.repositories = everywhere;
        g.n_repositories = 1;
    }
    if (!scope && !arg_of(c, "actions"))
        g.actions = ACTION_PULL | ACTION_META_READ | ACTION_PUSH;
    if (!g.n_repositories || !g.actions)
        return call_fail(c, ERR_INVAL, "repositories and actions: give both");
    *out = g;
    return 0;
}
