// SPDX-License-Identifier: Apache-2.0
// The collected rows; see declared.h.
#include "cli/declared.h"

#include <assert.h>
#include <string.h>

static struct declared_command *add(struct cli *c)
{
    struct declared *all = c->declared;
    assert(all->n < DECLARED_MAX);
    struct declared_command *d = &all->v[all->n++];
    d->path = c->path;
    d->row = *c->row;
    return d;
}

void declared_leaf(struct cli *c, const struct opt *opts, size_t n_own, size_t n_opts)
{
    struct declared_command *d = add(c);
    d->opts = arena_copy(&c->arena, opts, n_opts * sizeof *opts);
    d->n_own = n_own;
    d->n_opts = n_opts;
    assert(d->opts);
}

static void run_all(struct cli *c, const struct command *cmds, size_t n, const char *prefix)
{
    for (size_t i = 0; i < n; i++) {
        char *argv[] = {(char *)cmds[i].name, NULL};
        c->row = &cmds[i];
        c->path = arena_printf(&c->arena, "%s%s%s", prefix, *prefix ? " " : "", cmds[i].name);
        size_t before = c->declared->n;
        cmds[i].run(c, 1, argv);
        assert(c->declared->n > before); // it has declared itself before doing anything
    }
}

void declared_group(struct cli *c, const struct command *cmds, size_t n)
{
    struct declared_command *d = add(c);
    d->group = true;
    run_all(c, cmds, n, d->path);
}

struct declared *declared_all(struct cli *c)
{
    static struct declared *all;
    if (all)
        return all;
    const struct command *row = c->row;
    const char *path = c->path;
    all = arena_alloc(&c->arena, sizeof *all);
    assert(all);
    c->declared = all;
    run_all(c, c->nouns, c->n_nouns, "");
    c->declared = NULL;
    c->row = row;
    c->path = path;
    return all;
}

const struct declared_command *declared_find(struct cli *c, const char *path)
{
    const struct declared *all = declared_all(c);
    for (size_t i = 0; i < all->n; i++)
        if (!strcmp(all->v[i].path, path))
            return &all->v[i];
    return NULL;
}
