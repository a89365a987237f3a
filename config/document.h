// SPDX-License-Identifier: Apache-2.0
// A YAML document as a small tree with line numbers, read with libyaml. What our files never need
// is refused with its line: anchors and aliases (so nothing can expand), tags, several documents,
// keys that are not words, duplicate keys, control bytes, nesting deeper than DOC_MAX_DEPTH, more
// than DOC_MAX_KEYS keys in one mapping. Memory is linear in the input.
//
//   struct doc_node *root;
//   // the tree lives in the arena
//   rc = doc_parse(text, n, "topology.yaml", &arena, &diag, &root);
//
// Called by config/options.h and its users. Single-threaded.
#ifndef MERIDIAN_CONFIG_DOCUMENT_H
#define MERIDIAN_CONFIG_DOCUMENT_H

#include "base/arena.h"
#include "base/diag.h"

#include <stdbool.h>
#include <stddef.h>

#define DOC_MAX_DEPTH 16
#define DOC_MAX_KEYS 1024

enum doc_kind { DOC_SCALAR, DOC_LIST, DOC_MAP };

struct doc_node {
    enum doc_kind kind;
    // 1 is the first
    int line;
    // a scalar without quotes
    bool plain;
    // items of a list, pairs of a map, bytes of a scalar
    size_t n;
    // scalar
    const char *text;
    // first item, or first value of a map
    struct doc_node *child;
    // in the same list or map
    struct doc_node *next;
    // when it is a map's value
    const char *key;
    int key_line;
};

// On failure diag has at least one sentence (ERR_INVAL), or memory ended (ERR_NOMEM). Duplicate
// keys and the like are all reported before it gives up; a syntax error ends the reading.
int doc_parse(const char *text, size_t n, const char *source, struct arena *arena,
              struct diag *diag, struct doc_node **out);
// The same of a part of a file: messages and nodes have its lines. NULL: from the first line on,
// with no gap.
struct doc_lines {
    // the file's line that the text begins with, 1 being the first
    int first;
    // pairs: after so many lines of the text, so many of the file are left out
    const int *after;
    size_t n_pairs;
};
int doc_parse_part(const char *text, size_t n, const char *source, const struct doc_lines *lines,
                   struct arena *arena, struct diag *diag, struct doc_node **out);
// NULL if absent or not a map
const struct doc_node *doc_get(const struct doc_node *map, const char *key);
int doc_key_line(const struct doc_node *map, const char *key); // line of the key, else of the map
// of an item of a list under key
int doc_item_line(const struct doc_node *map, const char *key, size_t index);
const char *doc_kind_name(const struct doc_node *n); // "a mapping", "a list", "a value"

#endif
