// SPDX-License-Identifier: Apache-2.0
// Any text as each header and field of a foreign registry: what is taken keeps its promises.
#include "cli/import_words.h"

#include "config/repository.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void challenge_check(const char *text)
{
    struct challenge ch = challenge_parse(text);
    if (ch.kind == CHALLENGE_BEARER && strncasecmp(ch.realm, "https://", 8) != 0)
        abort();
    for (const char *p = ch.realm; ch.kind == CHALLENGE_BEARER && *p; p++)
        if (*p <= ' ' || *p > '~')
            abort();
}

static void link_check(const char *text)
{
    char path[256];
    if (!link_next_parse(text, path, sizeof path) && strncmp(path, "/v2/", 4) != 0)
        abort();
}

static void place_check(const char *text)
{
    struct import_place at;
    if (import_place_parse(text, &at))
        return;
    if (!*at.host || strpbrk(at.host, "/@ \"\n"))
        abort();
    if (*at.repository && !repository_name_ok(at.repository, strlen(at.repository)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t ms;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    challenge_check(text);
    link_check(text);
    place_check(text);
    if (!created_parse(text, &ms) && ms <= 0)
        abort();
    if (retry_after_parse(text, 1577934245000) < -1)
        abort();
    if (tag_schema_ok(text) && !tag_name_ok(text))
        abort();
    if (size < 64) // fnmatch(3) may take long for patterns of the operator's own
        (void)globs_match(text, "team/app");
    free(text);
    return 0;
}
