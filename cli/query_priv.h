// SPDX-License-Identifier: Apache-2.0
// Nodes of a query, shared by its parser and its runner; see query.h.
#ifndef MERIDIAN_CLI_QUERY_PRIV_H
#define MERIDIAN_CLI_QUERY_PRIV_H

#include "cli/query.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum query_kind {
    QUERY_IDENTITY,
    QUERY_FIELD,
    QUERY_LITERAL,
    QUERY_INDEX,
    QUERY_SLICE,
    // right of what left is
    QUERY_SUB,
    QUERY_PIPE,
    // right of each element of left; what is null is left out
    QUERY_PROJECTION,
    // of the values of an object
    QUERY_VALUES,
    // of those elements for which `condition` is true
    QUERY_FILTER,
    // lists in the list are opened
    QUERY_FLATTEN,
    QUERY_LIST,
    QUERY_HASH,
    QUERY_FUNCTION,
    QUERY_NOT,
    QUERY_OR,
    QUERY_AND,
    QUERY_EQ,
    QUERY_NE,
    QUERY_LT,
    QUERY_LE,
    QUERY_GT,
    QUERY_GE
};

enum query_function {
    FUNCTION_LENGTH,
    FUNCTION_KEYS,
    FUNCTION_CONTAINS,
    FUNCTION_STARTS_WITH,
    FUNCTION_ENDS_WITH
};

struct query {
    enum query_kind kind;
    struct query *left, *right, *condition;
    // a field's name, or a literal as JSON
    const char *name;
    // of an index or slice
    int64_t from, to;
    bool has_from, has_to;
    // of a list, a hash (with keys) or a function
    struct query **parts;
    const char **keys;
    size_t n_parts;
    enum query_function function;
};

bool query_function_find(const char *name, enum query_function *out);
size_t query_function_arity(enum query_function f);

#endif
