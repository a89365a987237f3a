// SPDX-License-Identifier: Apache-2.0
// meridian(1) as mdoc; see manual.h.
#include "cli/manual.h"

#include "base/mem.h"
#include "cli/declared.h"

#include <string.h>

// Text of a page: a backslash is \e, a quote \(dq, a dash is one that can be copied; what would
// begin a request does not.
static void text(const char *s, FILE *out)
{
    if (*s == '.' || *s == '\'')
        fputs("\\&", out);
    for (; *s; s++) {
        if (*s == '\\')
            fputs("\\e", out);
        else if (*s == '"')
            fputs("\\(dq", out);
        else if (*s == '-')
            fputs("\\-", out);
        else if (*s == '`')
            fputs("\\(ga", out);
        else if (!strncmp(s, "…", strlen("…"))) {
            fputs("...", out);
            s += strlen("…") - 1;
        } else
            fputc(*s, out);
    }
}

static void line(const char *s, FILE *out)
{
    text(s, out);
    fputc('\n', out);
}

// One argument of a macro.
static void argument(const char *s, FILE *out)
{
    fputs(" \"", out);
    text(s, out);
    fputc('"', out);
}

static void print_opt(const struct opt *o, FILE *out)
{
    fputs(".It", out);
    if (o->letter)
        fprintf(out, " Fl %c ,", o->letter);
    fputs(" Fl", out);
    fputs(" \\-", out);
    text(o->name, out);
    if (o->value) {
        fputs(" Ar", out);
        argument(o->value, out);
    }
    fputc('\n', out);
    line(o->help, out);
}

static void print_command(const struct declared_command *d, FILE *out)
{
    fputs(".It Cm", out);
    argument(d->path, out);
    if (*d->row.synopsis) {
        fputs(" Ar", out);
        argument(d->row.synopsis, out);
    }
    fputc('\n', out);
    line(d->row.summary, out);
    if (d->n_own) {
        fputs(".Bl -tag -width Ds -compact\n", out);
        for (size_t i = 0; i < d->n_own; i++)
            print_opt(&d->opts[i], out);
        fputs(".El\n", out);
    }
    const char *gap = "";
    for (size_t i = d->n_own; i < d->n_opts; i++) {
        if (!strcmp(d->opts[i].name, "help"))
            continue;
        fputs(*gap ? " ,\n" : "Also\n", out);
        fputs(".Fl \\-", out);
        text(d->opts[i].name, out);
        gap = ",";
    }
    if (*gap)
        fputs(" .\n", out);
    for (size_t i = 0; i < ARRAY_LEN(d->row.examples) && d->row.examples[i]; i++) {
        fputs(".Dl", out);
        argument(d->row.examples[i], out);
        fputc('\n', out);
    }
}

// Each shared option once, by the first command that has it.
static void print_shared(const struct declared *all, FILE *out)
{
    const char *told[64];
    size_t n = 0;
    fputs(".Bl -tag -width Ds\n", out);
    for (size_t i = 0; i < all->n; i++) {
        const struct declared_command *d = &all->v[i];
        for (size_t k = d->n_own; k < d->n_opts; k++) {
            size_t t = 0;
            while (t < n && strcmp(told[t], d->opts[k].name) != 0)
                t++;
            if (t < n || n == ARRAY_LEN(told))
                continue;
            told[n++] = d->opts[k].name;
            print_opt(&d->opts[k], out);
        }
    }
    fputs(".El\n", out);
}

static void print_exits(FILE *out)
{
    fputs(".Sh EXIT STATUS\n.Bl -tag -width Ds\n", out);
    for (size_t i = 0; i < n_exit_rows; i++) {
        fprintf(out, ".It %d\n", exit_rows[i].status);
        line(exit_rows[i].text, out);
    }
    fputs(".El\n.Pp\nOf several regions the highest holds, up to 9.\n", out);
}

static const char head[] =
    ".Dd November 30, 2026\n.Dt MERIDIAN 1\n.Os\n.Sh NAME\n.Nm meridian\n"
    ".Nd command line of a geo\\-replicated container registry\n.Sh SYNOPSIS\n.Nm\n.Ar command\n"
    ".Op Ar options\n.Sh DESCRIPTION\n"
    "All commands, with their words, their options and two examples each.\n"
    "What they do in more words stands in\n.Xr meridian 7 .\n.Pp\n.Nm\n"
    "looks at the topology that the node has in force, at its admin socket or with\n"
    ".Fl \\-server\nat its admin listener, or at the file that\n.Fl \\-topology\nnames.\n"
    "It dials the addresses that the topology states and verifies the names, so it needs no DNS.\n"
    "Options may stand before or after words; after\n.Fl \\-\nall is words.\n";

static const char environment[] =
    ".Sh ENVIRONMENT\nVariables that are named with options give their defaults.\nBesides,\n"
    ".Ev REGISTRY_AUTH_FILE\nand\n.Ev DOCKER_CONFIG\nsay where\n.Cm login\nwrites, and\n"
    ".Ev NO_COLOR\nkeeps\n.Fl o Cm jsonc\nfrom colours.\n";

int manual_page_print(struct cli *c, FILE *out)
{
    const struct declared *all = declared_all(c);
    fputs(head, out);
    fputs(".Sh COMMANDS\n.Bl -tag -width Ds\n", out);
    for (size_t i = 0; i < all->n; i++)
        if (!all->v[i].group)
            print_command(&all->v[i], out);
    fputs(".El\n.Sh SHARED OPTIONS\nEach command takes those that are listed with it.\n", out);
    print_shared(all, out);
    fputs(environment, out);
    print_exits(out);
    fputs(".Sh SEE ALSO\n.Xr meridian 7 ,\n.Xr meridiand 8 ,\n.Xr dig 1 ,\n.Xr skopeo 1\n", out);
    return EXIT_DONE;
}
