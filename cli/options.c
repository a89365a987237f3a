// SPDX-License-Identifier: Apache-2.0
// Options by rows, groups of commands, and the help that comes from both; see cli.h.
#include "cli/cli.h"

#include "base/diag.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_ROWS 48

static const char *from_env(const char *name, const char *otherwise)
{
    const char *v = getenv(name);
    if (v && *v)
        return v;
    return otherwise;
}

void cli_complain(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("meridian: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

static void print_help(const struct command *cmd, const char *noun, const struct opt *rows,
                       size_t n)
{
    printf("usage: meridian %s%s%s %s\n\n%s\n\n", noun ? noun : "", noun ? " " : "", cmd->name,
           cmd->synopsis, cmd->summary);
    for (size_t i = 0; i < n; i++) {
        char head[64];
        snprintf(head, sizeof head, "%c%c%s --%s%s%s", rows[i].letter ? '-' : ' ',
                 rows[i].letter ? rows[i].letter : ' ', rows[i].letter ? "," : " ", rows[i].name,
                 rows[i].value ? " " : "", rows[i].value ? rows[i].value : "");
        printf("  %-28s %s\n", head, rows[i].help);
    }
}

static const struct opt *find_row(const struct opt *rows, size_t n, const char *word, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(rows[i].name) == len && !memcmp(rows[i].name, word, len))
            return &rows[i];
    return NULL;
}

static const struct opt *find_letter(const struct opt *rows, size_t n, char letter)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].letter == letter)
            return &rows[i];
    return NULL;
}

const char *cli_did_you_mean(struct cli *c, const char *near)
{
    if (!near)
        return "";
    return arena_printf(&c->arena, " (did you mean %s?)", near);
}

static int unknown(struct cli *c, const struct command *cmd, const struct opt *rows, size_t n,
                   const char *word)
{
    const char *names[MAX_ROWS];
    for (size_t i = 0; i < n; i++)
        names[i] = rows[i].name;
    const char *near = NULL;
    if (strncmp(word, "--", 2) == 0)
        near = diag_nearest(word + 2, names, n);
    if (near)
        near = arena_printf(&c->arena, "--%s", near);
    return cli_fail(EXIT_USAGE, "%s: %s is not an option%s; --help lists them", cmd->name, word,
                    cli_did_you_mean(c, near));
}

int opt_parse(struct cli *c, const struct command *cmd, const char *noun, const struct opt *own,
              size_t n_own, int argc, char **argv, int *out_argc)
{
    c->topology = from_env("MERIDIAN_TOPOLOGY", "/etc/meridian/topology.yaml");
    c->admin = from_env("MERIDIAN_ADMIN", "/var/lib/meridian/run/admin.sock");
    c->ca = from_env("MERIDIAN_CA", NULL);
    c->username = from_env("MERIDIAN_USERNAME", NULL);
    c->password_file = from_env("MERIDIAN_PASSWORD_FILE", NULL);
    bool help = false;
    const struct opt common[] = {
        {'o', "output", "FORMAT", "table or json", &c->output, NULL},
        {0, "topology", "FILE", "the topology (MERIDIAN_TOPOLOGY)", &c->topology, NULL},
        {0, "admin", "SOCKET", "a node's admin socket (MERIDIAN_ADMIN)", &c->admin, NULL},
        {0, "ca", "FILE", "CA that endpoints are verified with (MERIDIAN_CA)", &c->ca, NULL},
        {'u', "username", "NAME", "who to log in as (MERIDIAN_USERNAME)", &c->username, NULL},
        {0, "password-file", "FILE", "file with the password (MERIDIAN_PASSWORD_FILE)",
         &c->password_file, NULL},
        {0, "password-stdin", NULL, "read the password from standard input", NULL,
         &c->password_stdin},
        {'h', "help", NULL, "this text", NULL, &help},
    };
    struct opt rows[MAX_ROWS];
    size_t n = 0;
    for (size_t i = 0; i < n_own && n < MAX_ROWS; i++)
        rows[n++] = own[i];
    for (size_t i = 0; i < ARRAY_LEN(common) && n < MAX_ROWS; i++)
        if (!find_row(own, n_own, common[i].name, strlen(common[i].name)))
            rows[n++] = common[i];
    int n_words = 1;
    for (int i = 1; i < argc; i++) {
        char *a = argv[i];
        if (a[0] != '-' || !a[1]) {
            argv[n_words++] = a;
            continue;
        }
        const char *eq = strchr(a, '=');
        const struct opt *r;
        if (a[1] == '-')
            r = find_row(rows, n, a + 2, eq ? (size_t)(eq - a - 2) : strlen(a + 2));
        else if (a[2])
            r = NULL;
        else
            r = find_letter(rows, n, a[1]);
        if (!r)
            return unknown(c, cmd, rows, n, a);
        if (!r->value && a[1] == '-' && eq)
            return cli_fail(EXIT_USAGE, "--%s takes no value", r->name);
        if (!r->value)
            *r->flag = true;
        else if (a[1] == '-' && eq)
            *r->to = eq + 1;
        else if (i + 1 < argc)
            *r->to = argv[++i];
        else
            return cli_fail(EXIT_USAGE, "--%s wants a value: %s", r->name, r->value);
    }
    if (help) {
        print_help(cmd, noun, rows, n);
        exit(fflush(stdout) ? EXIT_FAILED : EXIT_DONE);
    }
    if (strcmp(c->output, "table") != 0 && strcmp(c->output, "json") != 0)
        return cli_fail(EXIT_USAGE, "-o %s: the formats are table and json", c->output);
    *out_argc = n_words;
    return 0;
}

int command_group(struct cli *c, const char *noun, const struct command *cmds, size_t n, int argc,
                  char **argv)
{
    const char *names[MAX_ROWS];
    bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    for (size_t i = 0; i < n; i++) {
        names[i] = cmds[i].name;
        if (argc > 1 && !strcmp(argv[1], cmds[i].name))
            return cmds[i].run(c, argc - 1, argv + 1);
    }
    if (argc > 1 && !help) {
        const char *near = diag_nearest(argv[1], names, n);
        return cli_fail(EXIT_USAGE, "%s %s: no such command%s; `meridian %s --help` lists them",
                        noun, argv[1], cli_did_you_mean(c, near), noun);
    }
    FILE *out = stderr;
    if (help)
        out = stdout;
    fprintf(out, "usage: meridian %s COMMAND [options]\n\n", noun);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "  %-10s %-44s %s\n", cmds[i].name, cmds[i].synopsis, cmds[i].summary);
    if (help)
        return EXIT_DONE;
    return EXIT_USAGE;
}
