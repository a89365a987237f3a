// SPDX-License-Identifier: Apache-2.0
// Edits of principals.yaml; see principals_edit.h.
#include "cli/principals_edit.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *principals_default_path(struct cli *c)
{
    const char *slash = strrchr(c->topology, '/');
    if (slash)
        return arena_printf(&c->arena, "%.*s/principals.yaml", (int)(slash - c->topology),
                            c->topology);
    return "principals.yaml";
}

// A copy of a list, with room for one more.
static void *more(struct cli *c, const void *list, size_t n, size_t size)
{
    void *copy = arena_array(&c->arena, n + 1, size);
    if (n)
        memcpy(copy, list, n * size);
    return copy;
}

int principals_edit_begin(struct cli *c, const char *path, bool may_be_new,
                          struct principals_edit *out)
{
    struct principals *now = NULL;
    struct diag d;
    diag_init(&d);
    int rc = 0;
    *out = (struct principals_edit){.c = c, .path = path};
    if (!path)
        out->path = principals_default_path(c);
    if (!may_be_new || !access(out->path, F_OK))
        rc = principals_load(out->path, &d, &now);
    if (rc) {
        diag_print(&d, stderr);
        cli_complain("%s: %s (name the file with --principals)", out->path, err_text(rc));
    }
    diag_done(&d);
    if (rc)
        return EXIT_FAILED;
    out->now = now;
    if (now)
        out->doc = *now; // a copy to read from: it holds no reference, and is never published
    struct principals *doc = &out->doc;
    doc->users = out->users = more(c, doc->users, doc->n_users, sizeof *out->users);
    doc->tokens = out->tokens = more(c, doc->tokens, doc->n_tokens, sizeof *out->tokens);
    doc->scope_maps = out->scope_maps =
        more(c, doc->scope_maps, doc->n_scope_maps, sizeof *out->scope_maps);
    doc->revoked = out->revoked = more(c, doc->revoked, doc->n_revoked, sizeof *out->revoked);
    return 0;
}

void principals_edit_done(struct principals_edit *e)
{
    snapshot_unref(e->now);
}

// Tokens that have ended by themselves need no entry any more; verifiers let a clock be a minute
// behind, so an entry stays for an hour longer.
static void revoked_prune(struct principals_edit *e)
{
    int64_t before_s = clock_wall_ms() / 1000 - 3600;
    size_t kept = 0;
    for (size_t i = 0; i < e->doc.n_revoked; i++)
        if (e->revoked[i].expires_s > before_s)
            e->revoked[kept++] = e->revoked[i];
    e->doc.n_revoked = kept;
}

// What is wrong with a document that was refused.
static void complain_why(const struct principals_edit *e)
{
    struct buf text;
    struct diag d;
    struct principals *p = NULL;
    if (principals_format(&e->doc, &text))
        return;
    diag_init(&d);
    if (principals_parse(buf_cstr(&text), text.n, e->path, &d, &p))
        for (size_t i = 0; i < d.n; i++) {
            const char *words = strstr(d.lines[i], ": "); // the line is one of a text nobody sees
            cli_complain("%s", words ? words + 2 : d.lines[i]);
        }
    snapshot_unref(p);
    diag_done(&d);
    explicit_bzero(text.p, text.n);
    buf_done(&text);
}

int principals_edit_commit(struct principals_edit *e, bool quiet, const char *fmt, ...)
{
    e->doc.version++;
    revoked_prune(e);
    int rc = principals_write(&e->doc, e->path);
    if (rc == ERR_INVAL) {
        complain_why(e);
        return cli_fail(EXIT_USAGE, "%s stays as it was", e->path);
    }
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: cannot be written: %s", e->path, err_text(rc));
    FILE *to = quiet ? stderr : stdout;
    va_list ap;
    va_start(ap, fmt);
    fprintf(to, "%s: ", e->path);
    vfprintf(to, fmt, ap);
    fprintf(to, " (version %llu)\n", (unsigned long long)e->doc.version);
    va_end(ap);
    return EXIT_DONE;
}

struct principal *principals_edit_user(struct principals_edit *e, const char *name)
{
    for (size_t i = 0; i < e->doc.n_users; i++)
        if (!strcmp(e->users[i].name, name))
            return &e->users[i];
    return NULL;
}

struct principal *principals_edit_token(struct principals_edit *e, const char *name)
{
    for (size_t i = 0; i < e->doc.n_tokens; i++)
        if (!strcmp(e->tokens[i].name, name))
            return &e->tokens[i];
    return NULL;
}

struct scope_map *principals_edit_scope_map(struct principals_edit *e, const char *registry,
                                            const char *name)
{
    for (size_t i = 0; i < e->doc.n_scope_maps; i++)
        if (!strcmp(e->scope_maps[i].name, name) && !strcmp(e->scope_maps[i].registry, registry))
            return &e->scope_maps[i];
    return NULL;
}

bool principals_registry_known(struct cli *c, const char *name)
{
    return access(c->topology, R_OK) != 0 || cli_registry(c, name);
}

const char *const *principals_words(struct cli *c, const char *list, size_t *out_n)
{
    const char **words = arena_array(&c->arena, strlen(list) + 1, sizeof *words);
    char *save = NULL, *copy = arena_strdup(&c->arena, list);
    size_t n = 0;
    for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save))
        words[n++] = w;
    *out_n = n;
    return words;
}
