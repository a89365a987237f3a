// SPDX-License-Identifier: Apache-2.0
// The query language: a Pratt parser that makes nodes in an arena; see query.h. Binding powers are
// those of the JMESPath reference parsers: what binds less than PROJECTION_STOP ends a projection.
// Running a query is in query_run.c.
#include "cli/query_priv.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64
#define MAX_PARTS 64

enum power {
    POWER_END = 0,
    POWER_PIPE = 1,
    POWER_OR = 2,
    POWER_AND = 3,
    POWER_COMPARE = 5,
    POWER_FLATTEN = 9,
    PROJECTION_STOP = 10,
    POWER_STAR = 20,
    POWER_FILTER = 21,
    POWER_DOT = 40,
    POWER_NOT = 45,
    POWER_BRACKET = 55
};

struct parser {
    struct arena *arena;
    const char *text, *at;
    char *why;
    int depth;
};

static struct query *expression(struct parser *p, int power);

static struct query *fail(struct parser *p, const char *what)
{
    if (!*p->why)
        snprintf(p->why, QUERY_WHY_SIZE, "%s, at character %zu", what,
                 (size_t)(p->at - p->text) + 1);
    return NULL;
}

static void skip_blanks(struct parser *p)
{
    while (isspace((unsigned char)*p->at))
        p->at++;
}

static bool take(struct parser *p, const char *token)
{
    skip_blanks(p);
    size_t n = strlen(token);
    if (strncmp(p->at, token, n) != 0)
        return false;
    p->at += n;
    return true;
}

static struct query *node(struct parser *p, enum query_kind kind, struct query *left,
                          struct query *right)
{
    struct query *q = arena_alloc(p->arena, sizeof *q);
    if (!q)
        return fail(p, "out of memory");
    q->kind = kind;
    q->left = left;
    q->right = right;
    return q;
}

static struct query *identity(struct parser *p)
{
    return node(p, QUERY_IDENTITY, NULL, NULL);
}

// ---- names and literals ----

static bool name_begins(char ch)
{
    return isalpha((unsigned char)ch) || ch == '_';
}

static struct query *name_of(struct parser *p, const char *s, size_t n)
{
    struct query *q = node(p, QUERY_FIELD, NULL, NULL);
    if (q)
        q->name = arena_strndup(p->arena, s, n);
    return q;
}

static struct query *name(struct parser *p)
{
    const char *from = p->at;
    while (name_begins(*p->at) || isdigit((unsigned char)*p->at))
        p->at++;
    return name_of(p, from, (size_t)(p->at - from));
}

// Up to the closing `quote`, which p->at is left behind; a backslash takes the next byte along.
static const char *quoted(struct parser *p, char quote, size_t *out_n)
{
    const char *from = p->at;
    while (*p->at && *p->at != quote)
        p->at += p->at[0] == '\\' && p->at[1] ? 2 : 1;
    if (!*p->at)
        return NULL;
    *out_n = (size_t)(p->at - from);
    p->at++;
    return from;
}

static struct query *quoted_name(struct parser *p)
{
    size_t n;
    const char *from = quoted(p, '"', &n);
    if (!from)
        return fail(p, "a name in quotes does not end");
    json_t *s = json_loadb(from - 1, n + 2, JSON_DECODE_ANY, NULL);
    struct query *q = NULL;
    if (s)
        q = name_of(p, json_string_value(s), json_string_length(s));
    json_decref(s);
    if (!q)
        return fail(p, "a name in quotes is no JSON string");
    return q;
}

static struct query *literal(struct parser *p, const char *json, size_t n)
{
    struct query *q = node(p, QUERY_LITERAL, NULL, NULL);
    json_t *v = json_loadb(json, n, JSON_DECODE_ANY, NULL);
    if (!v)
        return fail(p, "a literal is no JSON");
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    json_decref(v);
    if (q && text)
        q->name = arena_strdup(p->arena, text);
    free(text);
    return q;
}

static struct query *raw_literal(struct parser *p)
{
    size_t n;
    const char *from = quoted(p, '\'', &n);
    if (!from)
        return fail(p, "a text in quotes does not end");
    char *s = arena_alloc(p->arena, n + 1);
    if (!s)
        return fail(p, "out of memory");
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (from[i] == '\\' && i + 1 < n && (from[i + 1] == '\'' || from[i + 1] == '\\'))
            i++;
        s[len++] = from[i];
    }
    json_t *v = json_stringn(s, len);
    if (!v)
        return fail(p, "a text is no UTF-8");
    char *text = json_dumps(v, JSON_ENCODE_ANY);
    json_decref(v);
    struct query *q = NULL;
    if (text)
        q = literal(p, text, strlen(text));
    free(text);
    return q;
}

// ---- parts ----

// What a projection does with each element: the rest, as far as it binds.
static struct query *projected(struct parser *p, int power)
{
    skip_blanks(p);
    if (*p->at == '[' || *p->at == '.')
        return expression(p, -power); // negative: begins with what each element is
    return identity(p);
}

static struct query *project(struct parser *p, enum query_kind kind, struct query *left, int power)
{
    struct query *rest = projected(p, power);
    if (!left || !rest)
        return NULL;
    return node(p, kind, left, rest);
}

static bool integer(struct parser *p, int64_t *out, bool *out_there)
{
    skip_blanks(p);
    char *end;
    *out_there =
        isdigit((unsigned char)*p->at) || (*p->at == '-' && isdigit((unsigned char)p->at[1]));
    if (!*out_there)
        return true;
    *out = strtoll(p->at, &end, 10);
    if (end - p->at > 10)
        return false;
    p->at = end;
    return true;
}

// After "[": "1]", "1:3]", ":-1]".
static struct query *index_or_slice(struct parser *p, struct query *left)
{
    struct query *q = node(p, QUERY_INDEX, left, NULL);
    if (!q)
        return NULL;
    if (!integer(p, &q->from, &q->has_from))
        return fail(p, "an index is too long");
    if (take(p, ":")) {
        q->kind = QUERY_SLICE;
        if (!integer(p, &q->to, &q->has_to))
            return fail(p, "an index is too long");
    }
    if (!take(p, "]"))
        return fail(p, "] is wanted");
    if (q->kind == QUERY_SLICE)
        return project(p, QUERY_PROJECTION, q, POWER_STAR);
    return q;
}

static struct query *filter(struct parser *p, struct query *left)
{
    struct query *condition = expression(p, POWER_END);
    if (!condition)
        return NULL;
    if (!take(p, "]"))
        return fail(p, "] is wanted");
    struct query *q = project(p, QUERY_FILTER, left, POWER_FILTER);
    if (q)
        q->condition = condition;
    return q;
}

// After "[" where a name or an expression stands before, or a projection goes on.
static struct query *bracket(struct parser *p, struct query *left)
{
    if (take(p, "?"))
        return filter(p, left);
    if (take(p, "*")) {
        if (!take(p, "]"))
            return fail(p, "] is wanted");
        return project(p, QUERY_PROJECTION, left, POWER_STAR);
    }
    if (take(p, "]"))
        return project(p, QUERY_PROJECTION, node(p, QUERY_FLATTEN, left, NULL), POWER_FLATTEN);
    skip_blanks(p);
    if (isdigit((unsigned char)*p->at) || *p->at == '-' || *p->at == ':')
        return index_or_slice(p, left);
    return fail(p, "an index, *, or a filter is wanted");
}

static bool part_add(struct parser *p, struct query *q, struct query *one)
{
    if (!one)
        return false;
    if (q->n_parts == MAX_PARTS)
        return fail(p, "too many parts") != NULL;
    q->parts[q->n_parts++] = one;
    return true;
}

static struct query *with_parts(struct parser *p, enum query_kind kind)
{
    struct query *q = node(p, kind, NULL, NULL);
    if (!q)
        return NULL;
    q->parts = arena_array(p->arena, MAX_PARTS, sizeof *q->parts);
    q->keys = arena_array(p->arena, MAX_PARTS, sizeof *q->keys);
    if (!q->parts || !q->keys)
        return fail(p, "out of memory");
    return q;
}

// Expressions by comma up to `end`.
static struct query *parts(struct parser *p, enum query_kind kind, const char *end)
{
    struct query *q = with_parts(p, kind);
    if (!q || (kind == QUERY_FUNCTION && take(p, end)))
        return q;
    do {
        if (!part_add(p, q, expression(p, POWER_END)))
            return NULL;
    } while (take(p, ","));
    if (!take(p, end))
        return fail(p, arena_printf(p->arena, "%s is wanted", end));
    return q;
}

static struct query *any_name(struct parser *p)
{
    skip_blanks(p);
    if (take(p, "\""))
        return quoted_name(p);
    if (name_begins(*p->at))
        return name(p);
    return fail(p, "a name is wanted");
}

static struct query *hash(struct parser *p)
{
    struct query *q = with_parts(p, QUERY_HASH);
    if (!q)
        return NULL;
    do {
        struct query *key = any_name(p);
        if (!key)
            return NULL;
        if (!take(p, ":"))
            return fail(p, ": is wanted");
        q->keys[q->n_parts] = key->name;
        if (!part_add(p, q, expression(p, POWER_END)))
            return NULL;
    } while (take(p, ","));
    if (!take(p, "}"))
        return fail(p, "} is wanted");
    return q;
}

static struct query *function(struct parser *p, const char *called)
{
    enum query_function f;
    if (!query_function_find(called, &f))
        return fail(p, arena_printf(p->arena,
                                    "there is no function %.32s (only length, keys, "
                                    "contains, starts_with, ends_with)",
                                    called));
    struct query *q = parts(p, QUERY_FUNCTION, ")");
    if (!q)
        return NULL;
    q->function = f;
    size_t wanted = query_function_arity(f);
    if (q->n_parts != wanted)
        return fail(p, arena_printf(p->arena, "%.32s takes %zu argument%s", called, wanted,
                                    wanted == 1 ? "" : "s"));
    return q;
}

static struct query *after_dot(struct parser *p, struct query *left)
{
    struct query *right;
    if (take(p, "*"))
        return project(p, QUERY_VALUES, left, POWER_STAR);
    if (take(p, "["))
        right = parts(p, QUERY_LIST, "]");
    else if (take(p, "{"))
        right = hash(p);
    else
        right = any_name(p);
    if (!right)
        return NULL;
    return node(p, QUERY_SUB, left, right);
}

// What an expression begins with.
static struct query *first(struct parser *p)
{
    skip_blanks(p);
    if (take(p, "@"))
        return identity(p);
    if (take(p, "!")) {
        struct query *of = expression(p, POWER_NOT);
        if (!of)
            return NULL;
        return node(p, QUERY_NOT, of, NULL);
    }
    if (take(p, "(")) {
        struct query *q = expression(p, POWER_END);
        if (q && !take(p, ")"))
            return fail(p, ") is wanted");
        return q;
    }
    if (take(p, "*"))
        return project(p, QUERY_VALUES, identity(p), POWER_STAR);
    if (take(p, "{"))
        return hash(p);
    if (take(p, "'"))
        return raw_literal(p);
    if (take(p, "`")) {
        size_t n;
        const char *from = quoted(p, '`', &n);
        if (!from)
            return fail(p, "a literal does not end");
        return literal(p, from, n);
    }
    if (take(p, "[")) {
        skip_blanks(p);
        bool list = *p->at != '*' && *p->at != ']' && *p->at != '?' && *p->at != ':' &&
                    *p->at != '-' && !isdigit((unsigned char)*p->at);
        if (list)
            return parts(p, QUERY_LIST, "]");
        return bracket(p, identity(p));
    }
    bool bare = name_begins(*p->at);
    struct query *q = any_name(p);
    if (q && bare && *p->at == '(') {
        p->at++;
        return function(p, q->name);
    }
    return q;
}

struct operator_row {
    const char *token;
    enum power power;
    enum query_kind kind;
};

// Longer ones first.
static const struct operator_row operators[] = {
    {"||", POWER_OR, QUERY_OR},      {"&&", POWER_AND, QUERY_AND},
    {"==", POWER_COMPARE, QUERY_EQ}, {"!=", POWER_COMPARE, QUERY_NE},
    {"<=", POWER_COMPARE, QUERY_LE}, {">=", POWER_COMPARE, QUERY_GE},
    {"<", POWER_COMPARE, QUERY_LT},  {">", POWER_COMPARE, QUERY_GT},
    {"|", POWER_PIPE, QUERY_PIPE},
};

// One step further to the right; *out_end when what follows binds less than `power`.
static struct query *next(struct parser *p, struct query *left, int power, bool *out_end)
{
    skip_blanks(p);
    if (*p->at == '.' && power < POWER_DOT) {
        p->at++;
        return after_dot(p, left);
    }
    if (*p->at == '[') {
        bool flatten = p->at[1] == ']';
        if (power < (flatten ? POWER_FLATTEN : POWER_BRACKET)) {
            p->at++;
            return bracket(p, left);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        const struct operator_row *o = &operators[i];
        if (strncmp(p->at, o->token, strlen(o->token)) != 0)
            continue;
        if (power >= (int)o->power)
            break;
        p->at += strlen(o->token);
        struct query *right = expression(p, o->power);
        if (!right)
            return NULL;
        return node(p, o->kind, left, right);
    }
    *out_end = true;
    return left;
}

// `power`: what binds more than it belongs to the expression. Negative: the rest of a projection,
// which begins with the element itself.
static struct query *expression(struct parser *p, int power)
{
    if (++p->depth > MAX_DEPTH)
        return fail(p, "too deep");
    struct query *q;
    if (power < 0) {
        power = -power;
        q = identity(p);
    } else {
        q = first(p);
    }
    bool end = false;
    while (q && !end)
        q = next(p, q, power, &end);
    p->depth--;
    return q;
}

const struct query *query_parse(struct arena *a, const char *text, char why[QUERY_WHY_SIZE])
{
    struct parser p = {.arena = a, .text = text, .at = text, .why = why};
    *why = 0;
    if (strlen(text) > QUERY_MAX_BYTES)
        return fail(&p, "it is too long");
    struct query *q = expression(&p, POWER_END);
    skip_blanks(&p);
    if (q && *p.at)
        return fail(&p, "something is left over");
    return q;
}
