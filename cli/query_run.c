// SPDX-License-Identifier: Apache-2.0
// Runs a query on a document; see query.h. Every value is a reference of its own. NULL stands for
// lack of memory alone: what is not there is json_null().
#include "cli/query_priv.h"

#include "base/mem.h"

#include <string.h>

static json_t *run(const struct query *q, json_t *v);

static const struct {
    const char *name;
    size_t arity;
} functions[] = {[FUNCTION_LENGTH] = {"length", 1},
                 [FUNCTION_KEYS] = {"keys", 1},
                 [FUNCTION_CONTAINS] = {"contains", 2},
                 [FUNCTION_STARTS_WITH] = {"starts_with", 2},
                 [FUNCTION_ENDS_WITH] = {"ends_with", 2}};

bool query_function_find(const char *name, enum query_function *out)
{
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        if (!strcmp(functions[i].name, name)) {
            *out = (enum query_function)i;
            return true;
        }
    return false;
}

size_t query_function_arity(enum query_function f)
{
    return functions[f].arity;
}

static json_t *own_or_null(json_t *v)
{
    if (!v)
        return json_null();
    return json_incref(v);
}

static bool truth(const json_t *v)
{
    if (json_is_null(v) || json_is_false(v))
        return false;
    if (json_is_string(v))
        return json_string_length(v) > 0;
    if (json_is_array(v))
        return json_array_size(v) > 0;
    if (json_is_object(v))
        return json_object_size(v) > 0;
    return true;
}

static int64_t clamp(int64_t i, int64_t n)
{
    if (i < 0)
        i += n;
    if (i < 0)
        return 0;
    if (i > n)
        return n;
    return i;
}

static json_t *at_index(const struct query *q, const json_t *v)
{
    int64_t n = (int64_t)json_array_size(v), i = q->from;
    if (i < 0)
        i += n;
    if (i < 0 || i >= n)
        return json_null();
    return own_or_null(json_array_get(v, (size_t)i));
}

static json_t *slice(const struct query *q, const json_t *v)
{
    if (!json_is_array(v))
        return json_null();
    int64_t n = (int64_t)json_array_size(v), from = 0, to = n;
    if (q->has_from)
        from = clamp(q->from, n);
    if (q->has_to)
        to = clamp(q->to, n);
    json_t *out = json_array();
    for (int64_t i = from; out && i < to; i++)
        json_array_append(out, json_array_get(v, (size_t)i));
    return out;
}

static json_t *flatten(const json_t *v)
{
    if (!json_is_array(v))
        return json_null();
    json_t *out = json_array(), *one;
    size_t i;
    json_array_foreach(v, i, one)
    {
        if (!out)
            break;
        if (json_is_array(one))
            json_array_extend(out, one);
        else
            json_array_append(out, one);
    }
    return out;
}

static json_t *values_of(const json_t *v)
{
    if (!json_is_object(v))
        return json_null();
    json_t *out = json_array(), *one;
    const char *key;
    json_object_foreach((json_t *)v, key, one)
    {
        if (out)
            json_array_append(out, one);
    }
    return out;
}

// false: out of memory
static bool wanted(const struct query *q, json_t *one, bool *out)
{
    *out = true;
    if (q->kind != QUERY_FILTER)
        return true;
    json_t *v = run(q->condition, one);
    if (!v)
        return false;
    *out = truth(v);
    json_decref(v);
    return true;
}

// Takes `list`.
static json_t *project(const struct query *q, json_t *list)
{
    if (!json_is_array(list)) {
        json_decref(list);
        return json_null();
    }
    json_t *out = json_array(), *one;
    size_t i;
    bool ok = out != NULL;
    json_array_foreach(list, i, one)
    {
        bool take = false;
        json_t *v = NULL;
        ok = ok && wanted(q, one, &take);
        if (ok && take) {
            v = run(q->right, one);
            ok = v != NULL;
        }
        if (v && !json_is_null(v))
            json_array_append(out, v);
        json_decref(v);
    }
    json_decref(list);
    if (ok)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *list_of(const struct query *q, json_t *v)
{
    json_t *out = json_is_null(v) ? json_null() : json_array();
    for (size_t i = 0; json_is_array(out) && i < q->n_parts; i++)
        if (json_array_append_new(out, run(q->parts[i], v))) {
            json_decref(out);
            return NULL;
        }
    return out;
}

static json_t *hash_of(const struct query *q, json_t *v)
{
    json_t *out = json_is_null(v) ? json_null() : json_object();
    for (size_t i = 0; json_is_object(out) && i < q->n_parts; i++)
        if (json_object_set_new(out, q->keys[i], run(q->parts[i], v))) {
            json_decref(out);
            return NULL;
        }
    return out;
}

static json_t *length_of(const json_t *v)
{
    if (json_is_string(v)) {
        json_int_t n = 0; // characters, not bytes
        for (const char *p = json_string_value(v); *p; p++)
            n += ((unsigned char)*p & 0xc0) != 0x80;
        return json_integer(n);
    }
    if (json_is_array(v))
        return json_integer((json_int_t)json_array_size(v));
    if (json_is_object(v))
        return json_integer((json_int_t)json_object_size(v));
    return json_null();
}

static json_t *keys_of(const json_t *v)
{
    if (!json_is_object(v))
        return json_null();
    json_t *out = json_array(), *one;
    const char *key;
    json_object_foreach((json_t *)v, key, one)
    {
        if (out)
            json_array_append_new(out, json_string(key));
    }
    return out;
}

static bool contains(const json_t *v, const json_t *what)
{
    if (json_is_string(v) && json_is_string(what))
        return strstr(json_string_value(v), json_string_value(what)) != NULL;
    for (size_t i = 0; i < json_array_size(v); i++)
        if (json_equal(json_array_get(v, i), what))
            return true;
    return false;
}

static bool begins_or_ends(const json_t *v, const json_t *what, bool begins)
{
    if (!json_is_string(v) || !json_is_string(what))
        return false;
    size_t n = json_string_length(v), len = json_string_length(what);
    if (len > n)
        return false;
    return !memcmp(json_string_value(v) + (begins ? 0 : n - len), json_string_value(what), len);
}

static json_t *call(const struct query *q, json_t *v)
{
    json_t *a = run(q->parts[0], v), *b = NULL, *out = NULL;
    if (q->n_parts > 1)
        b = run(q->parts[1], v);
    if (a && (b || q->n_parts == 1)) {
        if (q->function == FUNCTION_LENGTH)
            out = length_of(a);
        else if (q->function == FUNCTION_KEYS)
            out = keys_of(a);
        else if (q->function == FUNCTION_CONTAINS)
            out = json_boolean(contains(a, b));
        else
            out = json_boolean(begins_or_ends(a, b, q->function == FUNCTION_STARTS_WITH));
    }
    json_decref(a);
    json_decref(b);
    return out;
}

// Only numbers have an order; null where it makes no sense.
static json_t *compare(enum query_kind kind, const json_t *a, const json_t *b)
{
    bool equal = json_equal(a, b);
    bool numbers = json_is_number(a) && json_is_number(b);
    if (numbers)
        equal = json_number_value(a) == json_number_value(b);
    if (kind == QUERY_EQ)
        return json_boolean(equal);
    if (kind == QUERY_NE)
        return json_boolean(!equal);
    if (!numbers)
        return json_null();
    double x = json_number_value(a), y = json_number_value(b);
    if (kind == QUERY_LT)
        return json_boolean(x < y);
    if (kind == QUERY_LE)
        return json_boolean(x <= y);
    if (kind == QUERY_GT)
        return json_boolean(x > y);
    return json_boolean(x >= y);
}

static json_t *both(const struct query *q, json_t *v)
{
    json_t *a = run(q->left, v);
    if (!a)
        return NULL;
    bool decided = (q->kind == QUERY_OR && truth(a)) || (q->kind == QUERY_AND && !truth(a));
    if (decided)
        return a;
    json_t *b = run(q->right, v), *out = NULL;
    if (b && (q->kind == QUERY_OR || q->kind == QUERY_AND))
        out = json_incref(b);
    else if (b)
        out = compare(q->kind, a, b);
    json_decref(a);
    json_decref(b);
    return out;
}

// What works on the value of its left side. Takes `left`.
static json_t *of_left(const struct query *q, json_t *left)
{
    json_t *out = NULL;
    if (!left)
        return NULL;
    if (q->kind == QUERY_PROJECTION || q->kind == QUERY_FILTER)
        return project(q, left);
    if (q->kind == QUERY_VALUES) {
        json_t *list = values_of(left);
        json_decref(left);
        if (!list)
            return NULL;
        return project(q, list);
    }
    if (q->kind == QUERY_INDEX)
        out = at_index(q, left);
    else if (q->kind == QUERY_SLICE)
        out = slice(q, left);
    else if (q->kind == QUERY_FLATTEN)
        out = flatten(left);
    else if (q->kind == QUERY_NOT)
        out = json_boolean(!truth(left));
    else
        out = run(q->right, left);
    json_decref(left);
    return out;
}

static json_t *run(const struct query *q, json_t *v)
{
    switch (q->kind) {
    case QUERY_IDENTITY:
        return json_incref(v);
    case QUERY_FIELD:
        return own_or_null(json_object_get(v, q->name));
    case QUERY_LITERAL:
        return json_loads(q->name, JSON_DECODE_ANY, NULL);
    case QUERY_LIST:
        return list_of(q, v);
    case QUERY_HASH:
        return hash_of(q, v);
    case QUERY_FUNCTION:
        return call(q, v);
    case QUERY_OR:
    case QUERY_AND:
    case QUERY_EQ:
    case QUERY_NE:
    case QUERY_LT:
    case QUERY_LE:
    case QUERY_GT:
    case QUERY_GE:
        return both(q, v);
    case QUERY_INDEX:
    case QUERY_SLICE:
    case QUERY_SUB:
    case QUERY_PIPE:
    case QUERY_PROJECTION:
    case QUERY_VALUES:
    case QUERY_FILTER:
    case QUERY_FLATTEN:
    case QUERY_NOT:
        break;
    }
    return of_left(q, run(q->left, v));
}

json_t *query_run(const struct query *q, const json_t *doc)
{
    return run(q, (json_t *)doc);
}
