// SPDX-License-Identifier: Apache-2.0
// Words that name something in a registry; see target.h.
#include "cli/target.h"

#include "config/repository.h"

#include <string.h>

static int usage_of(const char *command, enum target_form form, const char *word)
{
    static const char *const forms[] = {"REGISTRY/REPOSITORY", "REGISTRY/REPOSITORY:TAG",
                                        "REGISTRY/REPOSITORY@DIGEST"};
    if (word)
        return cli_fail(EXIT_USAGE, "%s: %s: give %s", command, word, forms[form]);
    return cli_fail(EXIT_USAGE, "%s: give %s", command, forms[form]);
}

int target_parse(struct cli *c, const char *command, enum target_form form, const char *word,
                 struct target *out)
{
    struct target at = {0};
    char *text = word ? arena_strdup(&c->arena, word) : NULL, *slash = NULL;
    if (text)
        slash = strchr(text, '/');
    if (!slash)
        return usage_of(command, form, word);
    *slash = 0;
    char *name = slash + 1, *cut = NULL;
    if (form == TARGET_TAG)
        cut = strrchr(name, ':');
    else if (form == TARGET_MANIFEST)
        cut = strchr(name, '@');
    if (!cut != (form == TARGET_REPOSITORY))
        return usage_of(command, form, word);
    if (cut) {
        *cut = 0;
        if (!cut[1])
            return usage_of(command, form, word);
    }
    if (form == TARGET_TAG)
        at.tag = cut + 1;
    else if (form == TARGET_MANIFEST)
        at.digest = cut + 1;
    if (!repository_name_ok(name, strlen(name)))
        return usage_of(command, form, word);
    at.repository = name;
    at.registry = cli_registry(c, text);
    if (!at.registry)
        return EXIT_FAILED;
    *out = at;
    return EXIT_DONE;
}

const char *target_text(struct cli *c, const struct target *at)
{
    const char *mark = "", *what = "";
    if (at->tag) {
        mark = ":";
        what = at->tag;
    } else if (at->digest) {
        mark = "@";
        what = at->digest;
    }
    return arena_printf(&c->arena, "%s/%s%s%s", at->registry->name, at->repository, mark, what);
}

const char *target_query(struct cli *c, const struct target *at)
{
    const char *repository = cli_urlencode(c, at->repository);
    if (at->tag)
        return arena_printf(&c->arena, "repository=%s&tag=%s", repository,
                            cli_urlencode(c, at->tag));
    if (at->digest)
        return arena_printf(&c->arena, "repository=%s&digest=%s", repository,
                            cli_urlencode(c, at->digest));
    return arena_printf(&c->arena, "repository=%s", repository);
}
