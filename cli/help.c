// SPDX-License-Identifier: Apache-2.0
// Help as text and as a document; see help.h.
#include "cli/help.h"

#include "base/mem.h"
#include "cli/declared.h"

#include <string.h>

void help_program(const struct cli *c, FILE *out)
{
    fputs("usage: meridian COMMAND [options]\n\n", out);
    for (size_t i = 0; i < c->n_nouns; i++)
        fprintf(out, "  %-15s %s\n", c->nouns[i].name, c->nouns[i].summary);
    fputs(
        "\n`meridian COMMAND --help` tells more, with examples. Options may stand before or after "
        "words.\nExit status:",
        out);
    for (size_t i = 0; i < n_exit_rows; i++)
        fprintf(out, "%s %d %s", i ? "," : "", exit_rows[i].status, exit_rows[i].word);
    fputs(".\n", out);
}

void help_group(const struct cli *c, const struct command *cmds, size_t n, FILE *out)
{
    const char *path = c->path;
    if (!*path) {
        help_program(c, out);
        return;
    }
    size_t width = 10;
    for (size_t i = 0; i < n; i++)
        if (strlen(cmds[i].name) > width)
            width = strlen(cmds[i].name);
    fprintf(out, "usage: meridian %s COMMAND [options]\n\n", path);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "  %-*s  %s\n", (int)width, cmds[i].name, cmds[i].summary);
    fprintf(out, "\n`meridian %s COMMAND --help` tells more, with examples.\n", path);
}

#define HEAD_SIZE 96
#define HEAD_WIDTH 28

// "-n, --name REGISTRY"
static void opt_head(const struct opt *o, char out[HEAD_SIZE])
{
    char letter[8] = "    ";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(out, HEAD_SIZE, "%s--%s%s%s", letter, o->name, o->value ? " " : "",
             o->value ? o->value : "");
}

static void print_opts(const struct opt *opts, size_t n, int width, FILE *out)
{
    char head[HEAD_SIZE];
    for (size_t i = 0; i < n; i++) {
        opt_head(&opts[i], head);
        fprintf(out, "  %-*s %s\n", width, head, opts[i].help);
    }
}

static int widest(const struct opt *opts, size_t n)
{
    char head[HEAD_SIZE];
    int width = HEAD_WIDTH;
    for (size_t i = 0; i < n; i++) {
        opt_head(&opts[i], head);
        if ((int)strlen(head) > width)
            width = (int)strlen(head);
    }
    return width;
}

void help_command(const struct cli *c, const struct opt *opts, size_t n_own, size_t n_opts,
                  FILE *out)
{
    const struct command *row = c->row;
    fprintf(out, "usage: meridian %s%s%s\n\n%s\n\n", c->path, *row->synopsis ? " " : "",
            row->synopsis, row->summary);
    int width = widest(opts, n_opts);
    print_opts(opts, n_own, width, out);
    if (n_own)
        fputc('\n', out);
    print_opts(opts + n_own, n_opts - n_own, width, out);
    for (size_t i = 0; i < ARRAY_LEN(row->examples) && row->examples[i]; i++)
        fprintf(out, "%s  %s\n", i ? "" : "\nExamples:\n", row->examples[i]);
}

// ---- as a document ----

static const char *kind_of(const struct opt *o)
{
    if (!o->value)
        return "flag";
    if (o->number)
        return "number";
    if (o->list)
        return "list";
    return "text";
}

static json_t *opt_json(const struct opt *o, bool shared)
{
    char letter[2] = {o->letter, 0};
    json_t *doc = json_pack("{s:s, s:s, s:s, s:b}", "name", o->name, "kind", kind_of(o), "help",
                            o->help, "shared", shared);
    if (o->letter)
        json_object_set_new(doc, "letter", json_string(letter));
    if (o->value)
        json_object_set_new(doc, "value", json_string(o->value));
    if (o->choices)
        json_object_set_new(doc, "choices", json_string(o->choices));
    if (o->may_be_bare)
        json_object_set_new(doc, "bare", json_true());
    if (o->also)
        json_object_set_new(doc, "also", json_string(o->also));
    return doc;
}

static json_t *command_json(const struct declared_command *d)
{
    json_t *opts = json_array(), *examples = json_array();
    for (size_t i = 0; i < d->n_opts; i++)
        json_array_append_new(opts, opt_json(&d->opts[i], i >= d->n_own));
    for (size_t i = 0; i < ARRAY_LEN(d->row.examples) && d->row.examples[i]; i++)
        json_array_append_new(examples, json_string(d->row.examples[i]));
    json_t *max = json_null();
    if (d->row.max_words != WORDS_ANY)
        max = json_integer(d->row.max_words);
    return json_pack("{s:s, s:s, s:s, s:b, s:i, s:o, s:b, s:o, s:o}", "command", d->path, "summary",
                     d->row.summary, "synopsis", d->row.synopsis, "group", d->group, "minWords",
                     d->row.min_words, "maxWords", max, "takesAway",
                     (d->row.uses & TAKES_AWAY) != 0, "options", opts, "examples", examples);
}

static int print_document(struct cli *c)
{
    const struct declared *all = declared_all(c);
    json_t *commands = json_array(), *statuses = json_array();
    for (size_t i = 0; i < all->n; i++)
        json_array_append_new(commands, command_json(&all->v[i]));
    for (size_t i = 0; i < n_exit_rows; i++)
        json_array_append_new(statuses,
                              json_pack("{s:i, s:s, s:s}", "status", exit_rows[i].status, "word",
                                        exit_rows[i].word, "text", exit_rows[i].text));
    return cli_print_json(c, json_pack("{s:s, s:o, s:o}", "version", MERIDIAN_VERSION, "commands",
                                       commands, "exitStatus", statuses));
}

int cmd_help(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    if (argc == 1 && cli_json(c))
        return print_document(c);
    if (argc == 1) {
        help_program(c, stdout);
        return EXIT_DONE;
    }
    // as `COMMAND … --help`
    char help[] = "--help", *words[16] = {argv[0]};
    int n = 1;
    while (n < argc && n < 14) {
        words[n] = argv[n];
        n++;
    }
    words[n++] = help;
    c->path = "";
    return command_group(c, c->nouns, c->n_nouns, n, words);
}

int cmd_version(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    return cli_done(c, json_pack("{s:s}", "meridian", MERIDIAN_VERSION),
                    "meridian " MERIDIAN_VERSION);
}
