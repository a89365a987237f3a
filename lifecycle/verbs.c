// SPDX-License-Identifier: Apache-2.0
// The table of verbs. `operation cancel` is the engine's own (canceling.c).
#include "lifecycle/verbs.h"

#include "base/mem.h"

#include <string.h>

#define VERB_ROW(name) &verb_##name,
static const struct verb *const verbs[] = {VERBS(VERB_ROW)};

const struct verb *const *verbs_all(size_t *out_n)
{
    *out_n = ARRAY_LEN(verbs);
    return verbs;
}

static bool is_named(const struct verb *v, const char *words)
{
    size_t n = strlen(v->noun);
    return !strncmp(words, v->noun, n) && words[n] == ' ' && !strcmp(words + n + 1, v->word);
}

const struct verb *verb_find(const char *words)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (is_named(verbs[i], words))
            return verbs[i];
    return NULL;
}
