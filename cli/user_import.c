// SPDX-License-Identifier: Apache-2.0
// `meridian user import --htpasswd FILE`: takes the users of another registry over, with the
// passwords that they have. What a line says wrong is told by its number, and the other lines are
// taken; who is there already stays as he is. The file of principals is written once, whole.
#include "cli/htpasswd.h"
#include "cli/principals_call.h"
#include "cli/user.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/principals.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct taking { // what becomes of the lines
    struct cli *c;
    const char *from, *path;
    struct principals *now;
    struct principal *users;
    size_t n_users, n_before, n_there, n_refused;
    // name to user: the file's, and those that were there
    struct htab *names;
    // what each gets; NULL: nothing
    const struct grant *grant;
    // the writer knows who is there
    bool fleets;
};

static void taking_done(struct taking *t)
{
    htab_free(t->names);
    snapshot_unref(t->now);
}
#define AUTO_TAKING __attribute__((cleanup(taking_done)))

// Words of --registry, --repositories and --actions. An exit status, after saying what is wrong.
static int grant_parse(struct cli *c, const char *registry, char *repositories, char *actions,
                       struct grant *out)
{
    struct grant g = {.registry = arena_strdup(&c->arena, registry)};
    const char **list = arena_array(&c->arena, strlen(repositories) + 1, sizeof *list);
    char *save = NULL;
    for (char *w = strtok_r(repositories, ",", &save); w; w = strtok_r(NULL, ",", &save))
        list[g.n_repositories++] = w;
    g.repositories = list;
    for (char *w = strtok_r(actions, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        unsigned bit;
        if (grant_word_parse(w, &bit))
            return cli_fail(EXIT_USAGE,
                            "%s is not an action: pull, push, delete, catalog, or a word of scope "
                            "maps (content/read …)",
                            w);
        g.actions |= bit;
    }
    if (!g.n_repositories || !g.actions)
        return cli_fail(EXIT_USAGE, "give repositories and actions, separated by commas");
    *out = g;
    return 0;
}

static int principals_begin(struct taking *t, size_t more)
{
    struct diag d;
    diag_init(&d);
    int rc = 0;
    if (!t->fleets && !access(t->path, F_OK))
        rc = principals_load(t->path, &d, &t->now);
    if (rc) {
        diag_print(&d, stderr);
        cli_complain("%s: %s (name the file with --principals)", t->path, err_text(rc));
    }
    diag_done(&d);
    if (rc)
        return EXIT_FAILED;
    const struct principal *before = NULL;
    if (t->now) {
        before = t->now->users;
        t->n_users = t->n_before = t->now->n_users;
    }
    t->users = arena_array(&t->c->arena, t->n_users + more + 1, sizeof *t->users);
    t->names = htab_new();
    if (!t->users || !t->names)
        return cli_fail(EXIT_FAILED, "out of memory");
    for (size_t i = 0; before && i < t->n_users; i++) {
        t->users[i] = before[i]; // strings stay with `now`
        if (htab_put(t->names, t->users[i].name, strlen(t->users[i].name), &t->users[i]))
            return cli_fail(EXIT_FAILED, "out of memory");
    }
    return EXIT_DONE;
}

static void refuse(struct taking *t, const struct htpasswd_line *l, const char *why)
{
    t->n_refused++;
    cli_complain("%s:%u: %s%s%s", t->from, l->number, l->name, *l->name ? ": " : "", why);
}

static int line_take(struct taking *t, const struct htpasswd_line *l)
{
    if (*l->why) {
        refuse(t, l, l->why);
        return EXIT_DONE;
    }
    const struct principal *there = htab_get(t->names, l->name, strlen(l->name));
    if (there && !strcmp(there->password_hash, l->hash)) {
        t->n_there++;
        return EXIT_DONE;
    }
    if (there && (size_t)(there - t->users) >= t->n_before) {
        refuse(t, l, "the name stands in the file twice; the first line counts");
        return EXIT_DONE;
    }
    if (there) {
        refuse(t, l, "there is a user of that name with another password, who stays as he is");
        return EXIT_DONE;
    }
    if (t->now && principals_find(t->now, l->name)) {
        refuse(t, l, "a named token has that name");
        return EXIT_DONE;
    }
    struct principal *p = &t->users[t->n_users++];
    *p = (struct principal){.name = l->name,
                            .password_hash = l->hash,
                            .generation = t->now ? t->now->version + 1 : 1,
                            .enabled = true,
                            .grants = t->grant,
                            .n_grants = t->grant ? 1 : 0};
    if (htab_put(t->names, p->name, strlen(p->name), p))
        return cli_fail(EXIT_FAILED, "out of memory");
    return EXIT_DONE;
}

static int lines_take(struct taking *t, struct buf *text)
{
    int rc = principals_begin(t, bytes_lines(text->p, text->n) + 1);
    struct htpasswd h = htpasswd_begin(text->p, text->n);
    struct htpasswd_line l;
    while (!rc && htpasswd_next(&h, &l))
        rc = line_take(t, &l);
    return rc;
}

static int write_out(struct taking *t, bool dry_run)
{
    struct principals doc = {0};
    if (t->now)
        doc = *t->now;
    size_t n_new = t->n_users - t->n_before;
    doc.users = t->users;
    doc.n_users = t->n_users;
    doc.version++;
    int rc = 0;
    if (n_new && !dry_run)
        rc = principals_write(&doc, t->path);
    if (rc == ERR_INVAL)
        return cli_fail(EXIT_USAGE,
                        "repositories are names, prefixes that end in /*, or *. %s stays as it was",
                        t->path);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: cannot be written: %s", t->path, err_text(rc));
    const char *verb = "taken over";
    if (dry_run)
        verb = "would be taken over";
    const char *version = "";
    if (n_new && !dry_run)
        version = arena_printf(&t->c->arena, " (version %llu)", (unsigned long long)doc.version);
    cli_done(t->c,
             json_pack("{s:s, s:I, s:I, s:I, s:b}", "file", t->path, "users", (json_int_t)n_new,
                       "present", (json_int_t)t->n_there, "refusedLines", (json_int_t)t->n_refused,
                       "dryRun", (int)dry_run),
             "%s: %zu users %s, %zu were there already, %zu lines refused%s", t->path, n_new, verb,
             t->n_there, t->n_refused, version);
    if (t->n_refused)
        return EXIT_FAILED;
    if (dry_run && n_new)
        return EXIT_CHANGES;
    return EXIT_DONE;
}

struct import_ask { // the words of the command
    const char *path, *htpasswd, *registry, *repositories, *actions;
    bool dry_run;
};

// The lines that are good, as a request to the writer: whoever is there already stays as he is.
static int send_out(struct taking *t, const struct import_ask *a)
{
    json_t *o = json_object(), *users = json_array();
    for (size_t i = 0; i < t->n_users; i++)
        json_array_append_new(users, json_pack("{s:s, s:s}", "name", t->users[i].name,
                                               "passwordHash", t->users[i].password_hash));
    json_object_set_new(o, "users", users);
    principals_argument(o, "registry", a->registry);
    if (a->registry) {
        principals_argument(o, "repositories", a->repositories);
        principals_argument(o, "actions", a->actions);
    }
    const struct principals_call q = {
        .noun = "user", .word = "import", .object = "", .arguments = o};
    if (a->dry_run)
        t->c->what_if = true;
    int rc = principals_call(t->c, &q);
    if (!rc && t->n_refused)
        rc = cli_fail(EXIT_FAILED, "%zu lines refused", t->n_refused);
    return rc;
}

static int file_take(struct taking *t, const struct import_ask *a, struct buf *text)
{
    int rc = file_read(a->htpasswd, HTPASSWD_MAX_BYTES, text);
    buf_u8(text, 0); // so that there is room for the final NUL
    if (rc || text->err)
        return cli_fail(EXIT_FAILED, "%s: cannot be read: %s", a->htpasswd,
                        err_text(rc ? rc : text->err));
    text->n--;
    rc = lines_take(t, text);
    if (!rc && t->fleets)
        rc = send_out(t, a);
    else if (!rc)
        rc = write_out(t, a->dry_run || t->c->what_if);
    explicit_bzero(text->p, text->n);
    return rc;
}

int user_import(struct cli *c, int argc, char **argv)
{
    struct import_ask a = {.repositories = "*", .actions = "pull,push"};
    const struct opt rows[] = {
        {0, "htpasswd", "FILE", "the file of names and bcrypt hashes", &a.htpasswd, NULL},
        PRINCIPALS_OPT(&a.path),
        {'n', "registry", "REGISTRY", "grant each of them on this registry", &a.registry, NULL},
        {0, "repositories", "LIST", "names, prefixes ending in /*, or * (default *)",
         &a.repositories, NULL},
        {0, "actions", "LIST", "pull, push, delete, catalog (default pull,push)", &a.actions, NULL},
        {0, "dry-run", NULL, "say what would be done, write nothing", NULL, &a.dry_run}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!a.htpasswd)
        return cli_fail(EXIT_USAGE, "user import: give --htpasswd FILE");
    struct grant grant;
    AUTO_TAKING struct taking t = {.c = c, .from = a.htpasswd, .path = a.path};
    if (!a.path)
        t.path = principals_default_path(c);
    rc = principals_are_fleets(c, a.path, &t.fleets);
    if (!rc && a.registry && !t.fleets && !principals_registry_known(c, a.registry))
        rc = EXIT_FAILED;
    if (!rc && a.registry) {
        rc = grant_parse(c, a.registry, arena_strdup(&c->arena, a.repositories),
                         arena_strdup(&c->arena, a.actions), &grant);
        t.grant = &grant;
    }
    if (rc)
        return rc;
    AUTO_BUF struct buf text;
    buf_init(&text, HTPASSWD_MAX_BYTES + 1);
    return file_take(&t, &a, &text);
}
