// SPDX-License-Identifier: Apache-2.0
// Words to the front; see arrange.h.
#include "cli/arrange.h"

#include "cli/declared.h"

#include <assert.h>
#include <string.h>

struct arranging {
    struct cli *c;
    // the words so far, with a blank between them
    const char *path;
    // options and their values
    char **rest;
    int n_rest;
};

static bool below(const char *command, const char *path)
{
    size_t n = strlen(path);
    return !n || (!strncmp(command, path, n) && (!command[n] || command[n] == ' '));
}

static bool opt_is(const struct opt *o, const char *word)
{
    if (word[1] != '-')
        return o->letter == word[1];
    return !strcmp(o->name, word + 2) || (o->also && !strcmp(o->also, word + 2));
}

struct verdict {
    bool takes_value, takes_none;
};

// Do the commands below the path that know this option say that a value follows?
static struct verdict ask(struct arranging *a, const char *word)
{
    const struct declared *all = declared_all(a->c);
    struct verdict v = {0};
    for (size_t i = 0; i < all->n; i++) {
        const struct declared_command *d = &all->v[i];
        for (size_t k = 0; below(d->path, a->path) && k < d->n_opts; k++) {
            if (!opt_is(&d->opts[k], word))
                continue;
            if (d->opts[k].value)
                v.takes_value = true;
            else
                v.takes_none = true;
        }
    }
    return v;
}

// An option that stands before the words are complete, at argv[i]; how many words it is.
static int take_option(struct arranging *a, int argc, char **argv, int i)
{
    const char *word = argv[i];
    a->rest[a->n_rest++] = argv[i];
    if (strchr(word, '=') || (word[1] != '-' && word[2]))
        return 1;
    struct verdict v = ask(a, word);
    if (v.takes_value && v.takes_none) {
        cli_complain("%s means different things: put it behind the words of the command", word);
        return 0;
    }
    if (!v.takes_value || i + 1 == argc)
        return 1;
    a->rest[a->n_rest++] = argv[i + 1];
    return 2;
}

char **arrange_words(struct cli *c, int argc, char **argv)
{
    char **out = arena_array(&c->arena, (size_t)argc + 1, sizeof *out);
    struct arranging a = {
        .c = c, .path = "", .rest = arena_array(&c->arena, (size_t)argc + 1, sizeof *out)};
    assert(out && a.rest);
    int n = 0, i = 1;
    out[n++] = argv[0];
    while (i < argc) {
        if (argv[i][0] == '-' && argv[i][1]) {
            int taken = take_option(&a, argc, argv, i);
            if (!taken)
                return NULL;
            i += taken;
            continue;
        }
        const char *path = arena_printf(&c->arena, "%s%s%s", a.path, *a.path ? " " : "", argv[i]);
        const struct declared_command *d = declared_find(c, path);
        out[n++] = argv[i++];
        if (!d || !d->group)
            break;
        a.path = d->path;
    }
    for (int k = 0; k < a.n_rest; k++)
        out[n++] = a.rest[k];
    while (i < argc)
        out[n++] = argv[i++];
    return out;
}
