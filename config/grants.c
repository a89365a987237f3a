// SPDX-License-Identifier: Apache-2.0
// Actions, their words, and patterns; see grants.h.
#include "config/grants.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/grant_rows.h"
#include "config/hostname.h"

#include <string.h>

#define PATTERNS_MAX 1024

// The coarse words first: what is written back is written in as few words as there are.
static const struct option_word user_words[] = {
    {"pull", ACTION_PULL | ACTION_META_READ},
    {"push", ACTION_PUSH},
    {"delete", ACTION_DELETE | ACTION_META_WRITE},
    {"catalog", ACTION_CATALOG},
    {"content/read", ACTION_PULL},
    {"content/write", ACTION_PUSH},
    {"content/delete", ACTION_DELETE},
    {"metadata/read", ACTION_META_READ},
    {"metadata/write", ACTION_META_WRITE},
    {"content/add", ACTION_ADD},
    {"audit/read", ACTION_AUDIT},
};

static const struct option_word scope_words[] = {
    {"content/read", ACTION_PULL},       {"content/write", ACTION_PUSH},
    {"content/delete", ACTION_DELETE},   {"content/add", ACTION_ADD},
    {"metadata/read", ACTION_META_READ}, {"metadata/write", ACTION_META_WRITE},
    {"catalog", ACTION_CATALOG},         {"audit/read", ACTION_AUDIT},
};

static const struct option_word token_words[] = {
    {"pull", ACTION_PULL},
    {"push", ACTION_PUSH},
    {"delete", ACTION_DELETE},
    {"metadata_read", ACTION_META_READ},
    {"metadata_write", ACTION_META_WRITE},
    {"add", ACTION_ADD},
    {"catalog", ACTION_CATALOG},
};

#define REPOSITORIES_ROW                                                            \
    {                                                                               \
        "repositories", OPT_STRINGS,                                                \
            OPT_ARRAY_AT(struct spec_grant, repositories, n_repositories),          \
            .required = true, .min = 1, .max = PATTERNS_MAX, .check = pattern_ok,   \
            .example = "\"*\"",                                                     \
            .expect = "a repository, a prefix that ends in \"/*\", or \"*\" alone", \
            .help = "the repositories: names, prefixes with /*, or *"               \
    }

static const struct option grant_rows[] = {
    {"registry", OPT_STRING, OPT_AT(struct spec_grant, registry), .required = true,
     .check = hostname_registry_ok,
     .expect = "a registry name: 5 to 50 lower-case letters and digits", .example = "contoso",
     .help = "the registry"},
    REPOSITORIES_ROW,
    {"actions", OPT_FLAGS, OPT_AT(struct spec_grant, actions), .required = true, .min = 1,
     .max = ARRAY_LEN(user_words), OPT_WORDS(user_words), .example = "pull, push",
     .help = "what is allowed"},
};
const struct option_set grant_set = {grant_rows, ARRAY_LEN(grant_rows), sizeof(struct spec_grant),
                                     offsetof(struct spec_grant, node)};

static const struct option scope_grant_rows[] = {
    REPOSITORIES_ROW,
    {"actions", OPT_FLAGS, OPT_AT(struct spec_grant, actions), .required = true, .min = 1,
     .max = ARRAY_LEN(scope_words), OPT_WORDS(scope_words),
     .example = "content/read, metadata/read", .help = "what is allowed"},
};
const struct option_set scope_grant_set = {scope_grant_rows, ARRAY_LEN(scope_grant_rows),
                                           sizeof(struct spec_grant),
                                           offsetof(struct spec_grant, node)};

static int word_find(const struct option_word *words, size_t n_words, struct bytes word,
                     unsigned *out)
{
    for (size_t i = 0; i < n_words; i++)
        if (bytes_equal(word, bytes_str(words[i].word))) {
            *out = words[i].value;
            return 0;
        }
    return ERR_INVAL;
}

int grant_word_parse(const char *word, unsigned *out)
{
    return word_find(user_words, ARRAY_LEN(user_words), bytes_str(word), out);
}

int action_parse(const char *word, size_t n, unsigned *out)
{
    return word_find(token_words, ARRAY_LEN(token_words), bytes_of(word, n), out);
}

static void words_format(const struct option_word *words, size_t n, unsigned actions,
                         const char *between, struct buf *out)
{
    unsigned said = 0;
    const char *first = "";
    for (size_t i = 0; i < n; i++) {
        unsigned value = words[i].value;
        if ((actions & value) != value || (said & value) == value)
            continue;
        buf_str(out, first);
        buf_str(out, words[i].word);
        said |= value;
        first = between;
    }
}

void grant_words_format(unsigned actions, const char *between, struct buf *out)
{
    words_format(user_words, ARRAY_LEN(user_words), actions, between, out);
}

void scope_words_format(unsigned actions, const char *between, struct buf *out)
{
    words_format(scope_words, ARRAY_LEN(scope_words), actions, between, out);
}

const char *action_word(unsigned action)
{
    if (action & ACTIONS_OF_REGISTRY)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(token_words); i++)
        if (token_words[i].value == action)
            return token_words[i].word;
    return NULL;
}

unsigned actions_of_old(unsigned actions)
{
    unsigned all = actions & (ACTION_PULL | ACTION_PUSH | ACTION_DELETE);
    if (actions & ACTION_PULL)
        all |= ACTION_META_READ;
    if (actions & ACTION_DELETE)
        all |= ACTION_META_WRITE;
    return all;
}

// --- patterns ---

// The part before "/*"; the whole of a name; 0 of "*".
static size_t stem_length(const char *pattern, bool *out_prefix)
{
    size_t n = strlen(pattern);
    *out_prefix = true;
    if (!strcmp(pattern, "*"))
        return 0;
    if (n > 2 && !strcmp(pattern + n - 2, "/*"))
        return n - 2;
    *out_prefix = false;
    return n;
}

bool pattern_ok(const char *s)
{
    bool prefix, in_word = false;
    size_t n = stem_length(s, &prefix);
    if (!strcmp(s, "*"))
        return true;
    for (size_t i = 0; i < n; i++) {
        bool alnum = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9');
        bool sep = s[i] == '.' || s[i] == '_' || s[i] == '-' || s[i] == '/';
        if (!alnum && (!sep || (s[i] == '/' && !in_word)))
            return false;
        if (!alnum && i == 0)
            return false;
        in_word = alnum;
    }
    return n > 0 && n <= 255 && in_word;
}

bool pattern_matches(const char *pattern, const char *repository)
{
    bool prefix;
    size_t n = stem_length(pattern, &prefix);
    if (!prefix)
        return !strcmp(pattern, repository);
    if (!n)
        return true;
    return !strncmp(pattern, repository, n + 1) && repository[n + 1];
}

// Does it match all that `of` matches?
static bool pattern_covers(const char *pattern, const char *of)
{
    bool prefix, prefix_of;
    size_t n = stem_length(pattern, &prefix), n_of = stem_length(of, &prefix_of);
    if (!prefix)
        return !prefix_of && !strcmp(pattern, of);
    if (!n)
        return true;
    if (n_of == n)
        return prefix_of && !strncmp(pattern, of, n);
    return n_of > n && !strncmp(pattern, of, n + 1);
}

const char *pattern_common(const char *a, const char *b)
{
    if (pattern_covers(a, b))
        return b;
    if (pattern_covers(b, a))
        return a;
    return NULL;
}

bool patterns_add(const char **list, size_t *n, size_t max, const char *pattern)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        if (pattern_covers(list[i], pattern))
            return true;
        if (!pattern_covers(pattern, list[i]))
            list[kept++] = list[i];
    }
    *n = kept;
    if (kept == max)
        return false;
    list[(*n)++] = pattern;
    return true;
}

// --- writing ---

// Only two letters of printable ASCII need care.
void yaml_quote(struct buf *b, const char *s)
{
    buf_u8(b, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_u8(b, '\\');
        buf_u8(b, (uint8_t)*s);
    }
    buf_u8(b, '"');
}

void patterns_format(struct buf *b, const char *const *patterns, size_t n)
{
    buf_u8(b, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_str(b, ", ");
        yaml_quote(b, patterns[i]);
    }
    buf_u8(b, ']');
}
