// SPDX-License-Identifier: Apache-2.0
// `meridian topology check` and `show`: is a topology good, with the changes beside it, would nodes
// that have another one in force take it, and what it holds, in numbers.
#include "cli/topology.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/advice.h"
#include "config/catalogue.h"
#include "config/frontend.h"
#include "control/changes_undone.h"
#include "control/compiled.h"
#include "control/successor.h"

#include <assert.h>

static size_t count_private(const struct topology *t)
{
    struct catalogue_iter it = {0};
    size_t n = 0;
    for (const struct registry *r; (r = topology_next(t, &it));)
        n += r->n_private_endpoints;
    return n;
}

static int describe(struct cli *c, const char *path, const struct topology_loaded *l)
{
    const struct topology *t = l->t;
    size_t n_stamps = t->catalogue->n_stamps, n_private = count_private(t);
    uint32_t serial = (uint32_t)frontend_serial(t, clock_wall_ms() / 1000);
    bool pinned = frontend_pinned(t);
    if (cli_json(c))
        return cli_print_json(
            c, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:I}",
                         "file", path, "form", l->compiled ? "compiled" : "document", "domain",
                         t->domain, "version", (json_int_t)t->version, "baseVersion",
                         (json_int_t)t->frame->base_version, "changes", (json_int_t)l->n_changes,
                         "frontendSerial", (json_int_t)serial, "pinned", (int)pinned, "regions",
                         (json_int_t)t->n_regions, "stamps", (json_int_t)n_stamps, "registries",
                         (json_int_t)t->n_registries, "privateEndpoints", (json_int_t)n_private,
                         "views", (json_int_t)t->n_views));
    printf("file               %s (%s)\ndomain             %s\nversion            %llu", path,
           l->compiled ? "compiled" : "document", t->domain, (unsigned long long)t->version);
    if (l->n_changes)
        printf(" (%zu change%s after %llu)", l->n_changes, l->n_changes == 1 ? "" : "s",
               (unsigned long long)(t->version - l->n_changes));
    const char *pin = "";
    if (pinned)
        pin = " (pinned)";
    else if (t->frame->serial.pin)
        pin = " (the pin is of other content; meridian topology pin renews it)";
    printf("\nserial of fe.D     %u%s", (unsigned)serial, pin);
    printf("\nregions            %zu\nstamps             %zu\nregistries         %zu\nprivate "
           "endpoints  %zu\n"
           "views              %zu\n",
           t->n_regions, n_stamps, t->n_registries, n_private, t->n_views);
    return EXIT_DONE;
}

static void advise(const struct topology *t, const char *path)
{
    struct diag d;
    diag_init(&d);
    topology_advise(t, path, &d);
    diag_print(&d, stderr);
    diag_done(&d);
}

#define NOTES_MAX 8

// Of registries that come without an incarnation: nobody could tell them from an earlier one.
static void note_new(const struct topology *old, const struct topology *t, const char *path)
{
    struct catalogue_iter it = {0};
    size_t n = 0;
    for (const struct registry *r; n < NOTES_MAX && (r = topology_next(t, &it));) {
        if (r->incarnation || topology_registry(old, r->name))
            continue;
        n++;
        fprintf(stderr,
                "%s: note: registry %s is new. If there may have been another of its name before, "
                "give it `incarnation: %llu`, so that nothing which that one left in a region is "
                "taken for its own\n",
                path, r->name, (unsigned long long)t->version);
    }
}

// Would nodes that have `after` in force take it?
static int check_after(const char *path, const struct topology *t, const char *after)
{
    struct topology_loaded old = {0};
    struct diag d;
    AUTO_BUF struct buf text;
    int64_t again_s;
    int rc = topology_load(after, &old);
    if (rc) {
        snapshot_unref(old.t);
        return rc;
    }
    buf_init(&text, 0);
    diag_init(&d);
    bool lines = !file_read(path, TOPOLOGY_MAX_BYTES, &text) && !compiled_is(text.p, text.n);
    if (t->version <= old.t->version)
        diag_add(&d, path, 0, "version %llu is not above %llu, which %s has",
                 (unsigned long long)t->version, (unsigned long long)old.t->version, after);
    bool ok = successor_ok(old.t, t, bytes_of(text.p, lines ? text.n : 0), clock_wall_ms() / 1000,
                           &d, &again_s);
    ok = ok && !diag_count(&d);
    diag_print(&d, stderr);
    diag_done(&d);
    if (ok)
        note_new(old.t, t, path);
    snapshot_unref(old.t);
    if (ok)
        return EXIT_DONE;
    return cli_fail(EXIT_FAILED, "nodes that have %s in force would refuse %s", after, path);
}

// Has the document taken over the changes beside it that it supersedes?
static int check_undone(const char *path, const struct topology *t)
{
    struct diag d;
    diag_init(&d);
    int rc = changes_undone(path, t, &d);
    size_t n = diag_count(&d);
    diag_print(&d, stderr);
    diag_done(&d);
    if (rc == ERR_NOMEM)
        return cli_fail(EXIT_FAILED, "%s: %s", path, err_text(rc));
    if (!n)
        return EXIT_DONE;
    return cli_fail(
        EXIT_FAILED,
        "%s undoes what %s.changes says. Take it over (meridian topology export shows "
        "what is in force), or say --undo; when every node has the document, the file of "
        "changes can go",
        path, path);
}

static int check_or_show(struct cli *c, int argc, char **argv, bool show)
{
    struct topology_loaded l = {0};
    const char *after = NULL;
    bool undo = false;
    const struct opt rows[] = {
        {0, "after", "FILE", "the topology in force: would nodes that have it take this one?",
         &after, NULL},
        {0, "undo", NULL, "what it undoes of the changes beside it is meant to be undone", NULL,
         &undo}};
    int rc = opt_parse(c, rows, show ? 0 : ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc > 2)
        return cli_fail(EXIT_USAGE, "topology %s: one file at a time", c->row->name);
    const char *path;
    if (argc == 2)
        path = argv[1];
    else
        path = c->topology;
    rc = topology_load(path, &l);
    assert(rc || l.t);
    if (l.t && !show)
        advise(l.t, path);
    if (!rc && !show && !undo)
        rc = check_undone(path, l.t);
    if (!rc && after)
        rc = check_after(path, l.t, after);
    if (l.t && (show || (!rc && cli_json(c)))) {
        int printed = describe(c, path, &l);
        if (!rc)
            rc = printed;
    } else if (!rc) {
        printf("%s: good: version %llu, %zu registries in %zu regions\n", path,
               (unsigned long long)l.t->version, l.t->n_registries, l.t->n_regions);
    }
    snapshot_unref(l.t);
    return rc;
}

int topology_check(struct cli *c, int argc, char **argv)
{
    return check_or_show(c, argc, argv, false);
}

int topology_show(struct cli *c, int argc, char **argv)
{
    return check_or_show(c, argc, argv, true);
}
