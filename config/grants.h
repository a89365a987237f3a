// SPDX-License-Identifier: Apache-2.0
// What may be done: the actions, their words in documents and in tokens, and patterns of
// repositories. A grant is a registry, patterns, and actions on what they match.
//
//   unsigned actions;
//   if (grant_word_parse("content/read", &actions)) …no such word…
//   if (pattern_matches("team/*", "team/web")) …
//
// Documents (principals.yaml) speak two sets of words. Those of users are the coarse ones, in which
// reading content and reading lists go together; those of scope maps have one action each:
//
//   users' grants   pull                       push            delete                       catalog
//   scope maps      content/read metadata/read content/write   content/delete metadata/write catalog
//                   content/add audit/read
//
// Users' grants take the words of scope maps too. Pure; any thread.
#ifndef MERIDIAN_CONFIG_GRANTS_H
#define MERIDIAN_CONFIG_GRANTS_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

enum action { // bit flags
    // content/read: manifests and blobs
    ACTION_PULL = 1,
    // content/write
    ACTION_PUSH = 2,
    // content/delete
    ACTION_DELETE = 4,
    // the catalogue, of the repositories that the grant names
    ACTION_CATALOG = 8,
    // metadata/read: lists of tags, details, history
    ACTION_META_READ = 16,
    // metadata/write: locks
    ACTION_META_WRITE = 32,
    // content/add: may add, and neither read nor replace
    ACTION_ADD = 64,
    // audit/read: the registry's audit log
    ACTION_AUDIT = 128,
};
// these are of a registry, the others of a repository
#define ACTIONS_OF_REGISTRY (ACTION_CATALOG | ACTION_AUDIT)

struct grant {
    const char *registry;
    // patterns
    const char *const *repositories;
    size_t n_repositories;
    unsigned actions;
};

// A word of a users' grant: "pull", "content/read" … ERR_INVAL.
int grant_word_parse(const char *word, unsigned *out);
// The words for these actions, the coarse ones first: "pull, push". `between` stands between them.
void grant_words_format(unsigned actions, const char *between, struct buf *out);
// The same in the words of scope maps alone.
void scope_words_format(unsigned actions, const char *between, struct buf *out);

// The words of the token scope (distribution, "Token Scope Documentation"), one action each: "pull",
// "push", "delete", "metadata_read", "metadata_write", "add", and "catalog". ERR_INVAL.
int action_parse(const char *word, size_t n, unsigned *out);
// The word of one action of a repository; NULL: it has none.
const char *action_word(unsigned action);
// What pull, push and delete meant when they were the only words: to pull was to read lists as well,
// to delete was to lock as well.
unsigned actions_of_old(unsigned actions);

bool pattern_ok(const char *s); // a repository, a prefix that ends in "/*", or "*" alone
bool pattern_matches(const char *pattern, const char *repository);
// Adds a pattern to a list without repetition: one that is covered is left out, one that covers
// others takes their place. False: the list is full.
bool patterns_add(const char **list, size_t *n, size_t max, const char *pattern);
// What both match: one of the two, since patterns are nested or have nothing in common; NULL.
const char *pattern_common(const char *a, const char *b);

// Double-quoted YAML, of printable ASCII.
void yaml_quote(struct buf *b, const char *s);
// "[\"a\", \"b/*\"]"
void patterns_format(struct buf *b, const char *const *patterns, size_t n);

#endif
