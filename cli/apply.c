// SPDX-License-Identifier: Apache-2.0
// `meridian apply FILE`: what the document says, by three sides (control/document_apply.h). The
// document is compared here with what is in force, and only the rows that differ are sent: a
// document of half a million registries is not, for the sake of one. Where more differ than one
// entry of the feed holds, they go in parts, and the command says so.
#include "cli/apply.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/apply_show.h"
#include "cli/show.h"
#include "cli/what_if_print.h"
#include "control/document_diff.h"
#include "control/topology_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Of rows in one part: an entry of the feed holds 24 MiB, and JSON may double them.
#define PART_MAX_BYTES (8u << 20)
// How often what is in force may change while a document is applied in parts.
#define ROUNDS_MAX 3

struct applying {
    struct cli *c;
    const char *path, *force;
    // the version that the document was exported at; 0: it does not say
    uint64_t exported;
    bool dry;
    // the document, and what is in force
    struct topology *ours, *theirs;
    struct document_diff diff;
    size_t n_parts;
    // what the writer says of each part
    json_t *answers, *what_ifs, *operations, *notes;
};

// ---- what both apply and rollback do ----

int cli_in_force_text(struct cli *c, uint64_t version, struct buf *out)
{
    struct fetch_result r;
    const char *path = "/v1/topology";
    if (version)
        path = arena_printf(&c->arena, "/v1/topology?version=%llu", (unsigned long long)version);
    int rc = cli_node_fetch(c, "GET", path, (struct bytes){0}, 120000, &r);
    if (rc)
        return rc;
    if (r.status != 200)
        rc = cli_node_refused(c, &r);
    else
        buf_add(out, r.body.p, r.body.n);
    if (!rc && out->err)
        rc = cli_fail(EXIT_FAILED, "%s: %s", c->path, err_text(out->err));
    fetch_result_done(&r);
    return rc;
}

static int ask(struct cli *c, const char *verb, const json_t *arguments, bool what_if, json_t **out)
{
    bool was = c->what_if;
    const struct request q = {
        .verb = verb, .object = "", .arguments = json_incref((json_t *)arguments)};
    c->what_if = what_if;
    *out = NULL;
    int rc = cli_request_answer(c, &q, out);
    c->what_if = was;
    return rc;
}

int change_preview(struct cli *c, const char *verb, const json_t *arguments, json_t **out)
{
    return ask(c, verb, arguments, true, out);
}

int change_make(struct cli *c, const char *verb, const json_t *arguments, json_t **out)
{
    return ask(c, verb, arguments, false, out);
}

void change_show_notes(FILE *to, const json_t *notes)
{
    size_t i;
    json_t *one;
    json_array_foreach(notes, i, one)
    {
        const char *text = json_string_value(one);
        if (text)
            fprintf(to, "note: %s\n", text);
    }
}

void change_show_end(struct cli *c, const json_t *operation)
{
    size_t i;
    json_t *region;
    if (!operation)
        return;
    if (!json_is_integer(json_object_get(operation, "to"))) {
        printf("operation %s: %s\n", json_text(operation, "id"), json_text(operation, "state"));
        return;
    }
    printf("version %s is in force", json_count(c, operation, "to"));
    json_array_foreach(json_object_get(operation, "later"), i, region)
        printf("%s%s", i ? ", " : "; later, when they are back: ", json_string_value(region));
    putchar('\n');
}

// ---- the document and what differs ----

uint64_t export_mark_read(const char *text, size_t *out_n)
{
    const size_t n = strlen(EXPORT_MARK);
    char *end;
    *out_n = 0;
    if (strncmp(text, EXPORT_MARK, n) != 0 || text[n] < '1' || text[n] > '9')
        return 0;
    unsigned long long version = strtoull(text + n, &end, 10);
    if (*end != '\n' && *end != '\r')
        return 0;
    *out_n = (size_t)(end - text) + strcspn(end, "\n") + 1;
    return version;
}

static uint64_t exported_at(const char *path)
{
    char head[128];
    size_t n = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    if (!fgets(head, sizeof head, f))
        head[0] = '\0';
    fclose(f);
    return export_mark_read(head, &n);
}

static int load_ours(struct applying *a)
{
    a->exported = exported_at(a->path);
    struct diag d;
    diag_init(&d);
    int rc = topology_file_load(a->path, &d, &a->ours);
    diag_print(&d, stderr);
    diag_done(&d);
    if (rc)
        return cli_fail(EXIT_FAILED, "the document %s cannot be used: %s", a->path, err_text(rc));
    return EXIT_DONE;
}

static int compare(struct applying *a)
{
    int rc = cli_topology_of_node(a->c);
    if (rc)
        return rc;
    a->theirs = snapshot_ref(a->c->topo);
    rc = document_diff(a->theirs, a->ours, &a->diff);
    if (rc == ERR_UNSUPPORTED)
        return cli_fail(EXIT_FAILED,
                        "%s: its sections must begin lines of their own, so that they can be told "
                        "apart; write the document in block style",
                        a->path);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: %s", a->path, err_text(rc));
    return EXIT_DONE;
}

static void compared_done(struct applying *a)
{
    document_diff_done(&a->diff);
    snapshot_unref(a->theirs);
    a->theirs = NULL;
}

// Arguments of the part that begins with row `first`. NULL: out of memory.
static json_t *part_arguments(struct applying *a, size_t first, size_t *out_next)
{
    AUTO_BUF struct buf change;
    buf_init(&change, 0);
    if (document_diff_part(&a->diff, first, PART_MAX_BYTES, &change, out_next))
        return NULL;
    bool whole = first == 0 && *out_next == document_diff_rows(&a->diff);
    json_t *args =
        json_pack("{s:I, s:b}", "from", (json_int_t)a->theirs->version, "whole", (int)whole);
    if (a->exported)
        json_object_set_new(args, "exported", json_integer((json_int_t)a->exported));
    if (a->force)
        json_object_set_new(args, "force", json_string(a->force));
    if (change.n)
        json_object_set_new(args, "change", json_stringn(change.p, change.n));
    if (a->diff.frame && first == 0)
        json_object_set_new(args, "frame",
                            json_stringn(a->ours->frame->text, a->ours->frame->text_n));
    return args;
}

// ---- asking ----

static void remember(struct applying *a, const json_t *answer)
{
    static const char *const members[] = {"answer", "whatIf", "operation"};
    json_t *lists[] = {a->answers, a->what_ifs, a->operations};
    json_array_extend(a->notes, json_object_get(answer, "notes"));
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        json_t *one = json_object_get(answer, members[i]);
        if (one)
            json_array_append(lists[i], one);
    }
}

static void forget(struct applying *a)
{
    json_array_clear(a->answers);
    json_array_clear(a->what_ifs);
    json_array_clear(a->operations);
    json_array_clear(a->notes);
}

// All parts, one after another. The status of the first that is neither done nor would change
// something; EXIT_CHANGES when any would.
static int each_part(struct applying *a, bool preview)
{
    size_t at = 0, all = document_diff_rows(&a->diff);
    int status = EXIT_DONE;
    a->n_parts = 0;
    do {
        json_t *answer = NULL, *args = part_arguments(a, at, &at);
        if (!args)
            return cli_fail(EXIT_FAILED, "%s: %s", a->path, err_text(ERR_NOMEM));
        a->n_parts++;
        if (a->n_parts > 1 && !preview)
            progress_show("part %zu: %zu of %zu rows", a->n_parts, at, all);
        int rc = preview ? change_preview(a->c, "topology apply", args, &answer)
                         : change_make(a->c, "topology apply", args, &answer);
        json_decref(args);
        remember(a, answer);
        json_decref(answer);
        if (rc == EXIT_CHANGES)
            status = rc;
        else if (rc)
            return rc;
    } while (at < all);
    progress_end();
    return status;
}

// ---- showing ----

static int print_document(struct applying *a)
{
    return cli_print_json(a->c,
                          json_pack("{s:s, s:O, s:O, s:O}", "file", a->path, "answers", a->answers,
                                    "whatIf", a->what_ifs, "operations", a->operations));
}

static void show_each(const json_t *list, void (*show)(const json_t *one))
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) show(one);
}

static int show_preview(struct applying *a)
{
    size_t i;
    json_t *one;
    if (cli_json(a->c))
        return print_document(a);
    show_each(a->answers, apply_show_diff);
    show_each(a->answers, apply_show_kept);
    json_array_foreach(a->what_ifs, i, one)
    {
        // what changes was shown as a difference just now
        json_object_del(one, "changes");
        what_if_show(a->c, one);
    }
    return EXIT_DONE;
}

static int show_done(struct applying *a)
{
    size_t n = json_array_size(a->operations);
    if (cli_json(a->c))
        return print_document(a);
    show_each(a->answers, apply_show_rows);
    show_each(a->answers, apply_show_kept);
    change_show_notes(stdout, a->notes);
    if (n)
        change_show_end(a->c, json_array_get(a->operations, n - 1));
    else
        printf("nothing to do: version %llu is in force\n", (unsigned long long)a->theirs->version);
    return EXIT_DONE;
}

// ---- the command ----

static int confirm(struct applying *a)
{
    size_t i;
    json_t *one;
    json_array_foreach(a->answers, i, one)
    {
        const char *sentence = apply_removed(a->c, one);
        int rc = EXIT_DONE;
        if (sentence)
            rc = cli_confirm(a->c, sentence);
        if (rc)
            return rc;
    }
    return EXIT_DONE;
}

static void tell_parts(const struct applying *a)
{
    if (a->n_parts > 1 && !cli_json(a->c))
        fprintf(
            stderr,
            "%s: %zu rows differ, which is more than one change holds: they go in %zu parts, one "
            "after another, and what reads the topology meanwhile sees some of them\n",
            a->path, document_diff_rows(&a->diff), a->n_parts);
}

// Why it cannot be done just now, although it could be otherwise; or NULL.
static const json_t *held_by(const struct applying *a)
{
    size_t i;
    json_t *one;
    json_array_foreach(a->what_ifs, i, one)
    {
        if (what_if_is_held(one))
            return json_object_get(one, "error");
    }
    return NULL;
}

// What is in force is compared anew after parts: what commands have changed meanwhile, and which
// rows the document and the fleet now agree about, is for the last look to settle.
static int make(struct applying *a)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        int rc = each_part(a, false);
        if (rc || a->n_parts == 1)
            return rc;
        compared_done(a);
        rc = compare(a);
        if (rc)
            return rc;
    }
    return EXIT_DONE;
}

static int run(struct applying *a)
{
    int rc = compare(a);
    if (rc)
        return rc;
    rc = each_part(a, true);
    const json_t *held = held_by(a);
    if (held && !a->dry)
        return cli_fail(EXIT_CONFLICT, "%s: %s", a->c->path, json_text(held, "message"));
    if (rc && rc != EXIT_CHANGES && !held)
        return rc;
    tell_parts(a);
    if (a->dry) {
        int shown = show_preview(a);
        return shown ? shown : rc;
    }
    rc = confirm(a);
    if (rc)
        return rc;
    forget(a);
    rc = make(a);
    if (rc && !json_array_size(a->operations) && !cli_json(a->c))
        return rc; // nothing was done, and why was said
    int shown = show_done(a);
    return rc ? rc : shown;
}

int cmd_apply(struct cli *c, int argc, char **argv)
{
    struct applying a = {.c = c};
    const struct opt rows[] = {
        {0, "dry-run", NULL, "show what would change, as kubectl diff does; status 10 if anything",
         .flag = &a.dry},
        {0, "force-conflicts", "file|commands",
         "whose word holds where both the file and a command have changed a member", &a.force,
         .choices = "file|commands"},
        {'y', "yes", NULL, "do not ask before registries go", .flag = &c->yes}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    a.path = argv[1];
    a.dry = a.dry || c->what_if;
    a.answers = json_array();
    a.what_ifs = json_array();
    a.operations = json_array();
    a.notes = json_array();
    rc = load_ours(&a);
    if (!rc) {
        arena_init(&a.diff.arena, 0);
        rc = run(&a);
        compared_done(&a);
    }
    snapshot_unref(a.ours);
    json_decref(a.answers);
    json_decref(a.what_ifs);
    json_decref(a.operations);
    json_decref(a.notes);
    return rc;
}
