// SPDX-License-Identifier: Apache-2.0
// `meridian explain pull`: the steps of a pull in each region of a registry, the first that fails, and
// what mends it. The ways are found and gone in pull_*.c; here the question is read and the answer
// shown.
//
// Exit status: 0 when every step of every way is fine, else that of the first step that failed; 1
// where none failed, but some could not be tried.
#include "cli/pull_walk.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/print.h"
#include "cli/show.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define JUDGE_MS 20000
#define COLUMNS (3 + N_PULL_STEPS + 2)

// ---- the question ----

static int read_image(struct pull_run *run, const char *text, const char *region)
{
    struct cli *c = run->c;
    const char *why = "";
    int rc = pull_image_parse(text, c->topo->domain, &c->arena, &run->image, &why);
    if (rc == ERR_INVAL)
        return cli_fail(EXIT_USAGE, "%s: %s: %s", c->path, text, why);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: %s", c->path, err_text(rc));
    run->registry = topology_by_label(c->topo, run->image.label);
    if (!run->registry && !run->image.host)
        run->registry = topology_registry(c->topo, run->image.label);
    if (region && run->image.region && strcmp(region, run->image.region) != 0)
        return cli_fail(EXIT_USAGE,
                        "%s: %s is a name of %s, and never means another region: leave out "
                        "--region",
                        c->path, run->image.host, run->image.region);
    if (run->image.region)
        run->only = topology_region(c->topo, run->image.region);
    else if (region && !(run->only = cli_region(c, region)))
        return EXIT_USAGE;
    return EXIT_DONE;
}

static int want_password(struct pull_run *run)
{
    run->password = cli_password(run->c);
    if (!run->password)
        return EXIT_FAILED;
    return EXIT_DONE;
}

// Whose pull it is, and who asks: --password-stdin is the password of --user, a file that of -u.
static int read_user(struct pull_run *run, const char *user)
{
    struct cli *c = run->c;
    run->user = user ? user : c->username;
    run->login = PULL_LOGIN_JUDGED;
    if (c->password_stdin && !run->user)
        return cli_fail(EXIT_USAGE, "%s: whose password is it? Give --user", c->path);
    if (!c->password_stdin && !c->password_file) {
        if (!run->user)
            run->login = PULL_LOGIN_ANONYMOUS;
        return EXIT_DONE;
    }
    if (!run->user)
        return cli_fail(EXIT_USAGE, "%s: whose password is in %s? Give --user, or -u", c->path,
                        c->password_file);
    run->asker = run->user;
    if (!c->password_stdin && c->username)
        run->asker = c->username;
    if (!strcmp(run->asker, run->user))
        run->login = PULL_LOGIN_PASSWORD;
    return want_password(run);
}

// What a node says of a user whose password is not at hand.
static void ask_judgement(struct pull_run *run)
{
    struct cli *c = run->c;
    struct fetch_result r;
    if (run->login != PULL_LOGIN_JUDGED)
        return;
    run->login = PULL_LOGIN_NONE;
    if (!run->registry || !pull_has_node(c))
        return;
    const char *path = arena_printf(
        &c->arena, "/v1/principals/judge?registry=%s&repository=%s&principal=%s",
        run->registry->name, cli_urlencode(c, run->image.repository), cli_urlencode(c, run->user));
    if (cli_node_fetch(c, "GET", path, (struct bytes){0}, JUDGE_MS, &r))
        return;
    if (r.status == 200)
        run->judgement = json_said(&r.body, 0);
    if (run->judgement)
        run->login = PULL_LOGIN_JUDGED;
    fetch_result_done(&r);
}

// ---- after the walk ----

static const json_t *report_of(const json_t *fleet, const char *region)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)fleet, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "region"));
        if (name && !strcmp(name, region))
            return one;
    }
    return NULL;
}

// When the certificates end that the regions show, as a node has heard it: the shared one for the
// global name, the region's own for the others.
static void take_ends(struct pull_run *run)
{
    struct cli *c = run->c;
    struct fetch_result r;
    if (!pull_has_node(c) || cli_node_fetch(c, "GET", "/v1/fleet", (struct bytes){0}, JUDGE_MS, &r))
        return;
    json_t *fleet = json_said(&r.body, 0);
    for (size_t i = 0; i < run->n_ways; i++) {
        struct pull_findings *f = &run->ways[i].f;
        const char *kind = f->regional ? "region" : "shared";
        size_t k;
        json_t *one;
        json_array_foreach(json_object_get(report_of(fleet, f->region), "certificates"), k, one)
        {
            const char *is = json_string_value(json_object_get(one, "kind"));
            const char *end = json_string_value(json_object_get(one, "notAfter"));
            if (is && end && !strcmp(is, kind))
                f->tls.until = arena_strdup(&c->arena, end);
        }
    }
    json_decref(fleet);
    fetch_result_done(&r);
}

// Who has what others lack.
static void compare(struct pull_run *run)
{
    for (size_t i = 0; i < run->n_ways; i++)
        for (size_t k = 0; k < run->n_ways; k++) {
            struct pull_findings *f = &run->ways[i].f;
            const struct pull_findings *other = &run->ways[k].f;
            if (!strcmp(f->region, other->region) || !*other->region)
                continue;
            if (other->manifest.status == 200 && !f->manifest.elsewhere)
                f->manifest.elsewhere = other->region;
            bool whole = other->blobs.tried && !other->blobs.n_missing && !other->blobs.n_wrong &&
                         !other->blobs.n_children_missing;
            if (whole && !f->blobs.elsewhere)
                f->blobs.elsewhere = other->region;
        }
}

// ---- the answer as a document ----

static json_t *step_json(const struct pull_step *s, size_t kind)
{
    return json_pack("{s:s, s:s, s:s?, s:s?, s:s?}", "step", pull_step_names[kind], "state",
                     pull_state_names[s->state], "code", s->code, "why", s->why, "cure", s->cure);
}

static const char *first_name(const struct pull_step *steps)
{
    const struct pull_step *first = pull_first_failure(steps);
    if (first)
        return pull_step_names[first - steps];
    return NULL;
}

static json_t *way_json(const struct pull_way *w, const struct pull_step *steps)
{
    json_t *list = json_array();
    for (size_t i = 0; i < N_PULL_STEPS; i++)
        json_array_append_new(list, step_json(&steps[i], i));
    json_t *o = json_pack("{s:s, s:s, s:s?, s:b, s:s?, s:o, s:s?}", "region", w->f.region, "host",
                          w->host, "address", w->f.tls.address, "led", w->f.led, "digest",
                          w->f.manifest.digest, "steps", list, "firstFailure", first_name(steps));
    if (w->f.blobs.tried) {
        json_object_set_new(o, "blobs", json_integer((json_int_t)w->f.blobs.n));
        json_object_set_new(o, "bytes", json_integer((json_int_t)w->f.blobs.bytes));
    }
    return o;
}

static json_t *run_json(const struct pull_run *run, const struct pull_step *steps, bool ok)
{
    json_t *ways = json_array();
    for (size_t i = 0; i < run->n_ways; i++)
        json_array_append_new(ways, way_json(&run->ways[i], steps + i * N_PULL_STEPS));
    return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:b, s:o}", "registry",
                     run->ways[0].f.registry, "repository", run->image.repository, "reference",
                     run->image.reference, "user", run->user, "client", run->client, "view",
                     run->ways[0].f.view.name, "ok", ok, "ways", ways);
}

// ---- the answer as a table ----

static const char *cell_of(const struct pull_step *s)
{
    static const char *const words[] = {"not tried", "ok", "FAILED"};
    return words[s->state];
}

static void fill_row(struct cli *c, const struct pull_way *w, const struct pull_step *steps,
                     const char **cells)
{
    size_t n = 0;
    const char *digest = "-", *size = "-";
    if (w->f.manifest.digest)
        digest = arena_printf(&c->arena, "%.19s", w->f.manifest.digest);
    if (w->f.blobs.tried) {
        json_t *bytes = json_integer((json_int_t)w->f.blobs.bytes);
        size = size_text(c, bytes);
        json_decref(bytes);
    }
    cells[n++] = *w->f.region ? w->f.region : "?";
    cells[n++] = w->host;
    cells[n++] = w->f.led ? "yes" : "no";
    for (size_t i = 0; i < N_PULL_STEPS; i++)
        cells[n++] = cell_of(&steps[i]);
    cells[n++] = digest;
    cells[n] = size;
}

static void print_table(struct cli *c, const struct pull_run *run, const struct pull_step *steps)
{
    const char **cells = arena_array(&c->arena, COLUMNS * (run->n_ways + 1), sizeof *cells);
    size_t n = 0;
    cells[n++] = "region";
    cells[n++] = "name";
    cells[n++] = "led";
    for (size_t i = 0; i < N_PULL_STEPS; i++)
        cells[n++] = pull_step_names[i];
    cells[n++] = "digest";
    cells[n] = "size";
    for (size_t i = 0; i < run->n_ways; i++)
        fill_row(c, &run->ways[i], steps + i * N_PULL_STEPS, cells + (i + 1) * COLUMNS);
    cli_table(cells, run->n_ways + 1, COLUMNS);
}

// Digests that differ are no failure: one region is behind.
static void print_lag(const struct pull_run *run)
{
    const char *first = NULL;
    for (size_t i = 0; i < run->n_ways; i++) {
        const char *digest = run->ways[i].f.manifest.digest;
        if (!digest || run->ways[i].f.manifest.status != 200)
            continue;
        if (first && strcmp(first, digest) != 0) {
            puts("the regions show different digests: `meridian replication status` says who is "
                 "behind");
            return;
        }
        first = digest;
    }
}

// A line, of which regions may have written a part.
__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    AUTO_FREE char *text = cli_plain(fmt, ap);
    va_end(ap);
    if (text)
        puts(text);
}

// What is told of a way: the first step that failed, else the first that was not tried; NULL: nothing.
static const struct pull_step *told_of(const struct pull_step *steps)
{
    const struct pull_step *s = pull_first_failure(steps);
    for (size_t k = 0; !s && k < N_PULL_STEPS; k++)
        if (steps[k].state == PULL_NOT_TRIED)
            s = &steps[k];
    return s;
}

static const char *place_of(const struct pull_way *w)
{
    if (*w->f.region)
        return w->f.region;
    return w->host;
}

// Two ways that are told in one go: the same step for the same reason, with the same cure.
static bool same_told(const struct pull_step *a, const struct pull_step *b)
{
    if (!a->code || !b->code || strcmp(a->code, b->code) != 0)
        return a->code == b->code && !strcmp(a->why, b->why);
    return !strcmp(a->cure, b->cure);
}

static void print_reasons(const struct pull_run *run, const struct pull_step *steps)
{
    for (size_t i = 0; i < run->n_ways; i++) {
        const struct pull_step *of = steps + i * N_PULL_STEPS, *s = told_of(of);
        bool told = false;
        for (size_t k = 0; s && k < i && !told; k++) {
            const struct pull_step *before = told_of(steps + k * N_PULL_STEPS);
            told = before && same_told(before, s);
        }
        if (!s || told)
            continue;
        printf("\n%s", place_of(&run->ways[i]));
        for (size_t k = i + 1; k < run->n_ways; k++) {
            const struct pull_step *other = told_of(steps + k * N_PULL_STEPS);
            if (other && same_told(s, other))
                printf(", %s", place_of(&run->ways[k]));
        }
        say(": %s: %s", pull_step_names[s - of], s->why);
        if (s->cure)
            say("  %s", s->cure);
    }
}

static int show(struct pull_run *run)
{
    struct cli *c = run->c;
    struct pull_step *steps = arena_array(&c->arena, run->n_ways * N_PULL_STEPS, sizeof *steps);
    bool ok = true;
    int status = EXIT_DONE;
    if (!steps)
        return cli_fail(EXIT_FAILED, "%s: %s", c->path, err_text(ERR_NOMEM));
    for (size_t i = 0; i < run->n_ways; i++) {
        struct pull_step *of = steps + i * N_PULL_STEPS;
        pull_judge(&run->ways[i].f, &c->arena, of);
        const struct pull_step *first = pull_first_failure(of);
        ok = ok && pull_all_ok(of);
        if (first && !status)
            status = first->status;
    }
    if (!ok && !status)
        status = EXIT_FAILED;
    if (cli_json(c)) {
        int rc = cli_print_json(c, run_json(run, steps, ok));
        return rc ? rc : status;
    }
    print_table(c, run, steps);
    print_lag(run);
    print_reasons(run, steps);
    return status;
}

static int explain(struct pull_run *run)
{
    ask_judgement(run);
    int rc = pull_find_ways(run);
    if (rc)
        return rc;
    for (size_t i = 0; i < run->n_ways; i++)
        pull_walk(run, &run->ways[i]);
    take_ends(run);
    compare(run);
    return show(run);
}

static int explain_pull(struct cli *c, int argc, char **argv)
{
    const char *user = NULL, *region = NULL;
    struct pull_run run = {.c = c};
    struct ip ip;
    const struct opt rows[] = {
        {0, "user", "NAME", "whose pull (default: that of -u, else anybody's)", &user},
        {0, "client", "ADDR",
         "the client, for views and routes (default: 127.0.0.1, or with no node at "
         "hand this machine)",
         &run.client},
        {0, "region", "REGION", "that region alone, by its own name where it has one", &region},
        {0, "view", "NAME", "as a client in that view, or public", &run.view}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (run.client && ip_parse(run.client, &ip))
        return cli_fail(EXIT_USAGE, "%s: --client %s: that is no IP address", c->path, run.client);
    rc = cli_topology_in_force(c);
    if (!rc)
        rc = read_image(&run, argv[1], region);
    if (!rc)
        rc = read_user(&run, user);
    c->quiet = true; // the steps say why
    if (!rc)
        rc = explain(&run);
    json_decref(run.judgement);
    if (run.password)
        explicit_bzero(run.password, strlen(run.password));
    free(run.password);
    return rc;
}

static const struct command explain_cmds[] = {
    {"pull",
     "the steps of a pull in each region, the first that fails, and what mends it",
     "IMAGE [--user NAME] [--client ADDR] [--region REGION] [--view NAME]",
     explain_pull,
     USES_ENDPOINT | USES_ADMIN,
     1,
     1,
     {"meridian explain pull contoso/app:1 --user ada --password-stdin",
      "meridian explain pull contoso.eastus.geo.example.io/app:1 --user ada --client 10.0.0.9 -o "
      "json"}},
};

int cmd_explain(struct cli *c, int argc, char **argv)
{
    return command_group(c, explain_cmds, ARRAY_LEN(explain_cmds), argc, argv);
}
