// SPDX-License-Identifier: Apache-2.0
// Options by rows, and groups of commands; see command.h.
#include "cli/cli.h"

#include "base/diag.h"
#include "base/mem.h"
#include "cli/declared.h"
#include "cli/help.h"
#include "cli/print.h"
#include "cli/watch.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ROWS 64
#define NOT_PARSED EXIT_USAGE // what a command returns that was only to declare itself

struct flags { // of the frame's own
    bool help, watch;
    int64_t interval_s, looks;
};

struct row_list {
    struct opt v[MAX_ROWS];
    // own ones first
    size_t n_own, n;
};

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
    char *said = cli_plain(fmt, ap);
    va_end(ap);
    fprintf(stderr, "meridian: %s\n", said ? said : "out of memory");
    free(said);
}

const char *cli_did_you_mean(struct cli *c, const char *near)
{
    if (!near)
        return "";
    return arena_printf(&c->arena, " (did you mean %s?)", near);
}

// ---- rows ----

static bool name_is(const char *name, const char *word, size_t len)
{
    return name && strlen(name) == len && !memcmp(name, word, len);
}

static const struct opt *find_row(const struct opt *rows, size_t n, const char *word, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (name_is(rows[i].name, word, len) || name_is(rows[i].also, word, len))
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

static void add_rows(struct row_list *l, const struct opt *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (find_row(l->v, l->n, rows[i].name, strlen(rows[i].name)))
            continue;
        assert(l->n < MAX_ROWS);
        l->v[l->n++] = rows[i];
    }
}

static unsigned uses_of(const struct command *row)
{
    unsigned uses = row->uses;
    if (uses & USES_CHANGE)
        uses |= USES_ADMIN;
    if (uses & USES_ENDPOINT)
        uses |= USES_TOPOLOGY | USES_CA | USES_PASSWORD;
    if (uses & USES_ADMIN)
        uses |= USES_CA;
    return uses;
}

// What the command's row says that it takes beside its own.
static void add_shared(struct cli *c, struct flags *flags, struct row_list *l)
{
    unsigned uses = uses_of(c->row);
    const struct opt topology[] = {
        {0, "topology", "FILE", "the topology (MERIDIAN_TOPOLOGY)", &c->topology}};
    const struct opt admin[] = {
        {0, "admin", "SOCKET", "a node's admin socket (MERIDIAN_ADMIN)", &c->admin},
        {0, "server", "ADDRESS",
         "or its admin listener, as in https://10.0.0.4:8444 (MERIDIAN_SERVER)", &c->server},
        {0, "token-name", "NAME", "who to be at the admin listener (MERIDIAN_TOKEN_NAME)",
         &c->token_name},
        {0, "token-file", "FILE", "and a file with its password (MERIDIAN_TOKEN_FILE)",
         &c->token_file}};
    const struct opt ca[] = {{0, "ca", "FILE",
                              "CA that servers are verified with (MERIDIAN_CA; on a node its own)",
                              &c->ca}};
    const struct opt endpoint[] = {
        {'u', "username", "NAME", "who to log in as (MERIDIAN_USERNAME)", &c->username}};
    const struct opt password[] = {
        {0, "password-file", "FILE", "file with the password (MERIDIAN_PASSWORD_FILE)",
         &c->password_file},
        {0, "password-stdin", NULL, "read the password from standard input",
         .flag = &c->password_stdin}};
    const struct opt change[] = {
        {0, "what-if", NULL, "show what would change, and change nothing", .flag = &c->what_if},
        {0, "if-version", "N", "only if this version is in force", .number = &c->if_version,
         .min = 1, .max = INT64_MAX},
        {0, "no-wait", NULL, "print the operation, and do not wait for its end",
         .flag = &c->no_wait},
        {0, "quorum", NULL,
         "go on once a majority of the regions has a phase, and leave behind those that take "
         "nothing",
         .flag = &c->quorum},
        {0, "timeout", "TIME", "how long to wait for its end: 90s, 10m (default)",
         &c->change_timeout},
        {0, "operator", "NAME", "who signs (MERIDIAN_OPERATOR)", &c->operator_name},
        {0, "fleet", "DOMAIN",
         "for which fleet, where no node here and no topology says it (MERIDIAN_FLEET)", &c->fleet},
        {0, "key", "FILE",
         "the operator's key; without it root asks at the writer's admin socket "
         "(MERIDIAN_OPERATOR_KEY)",
         &c->key}};
    const struct opt yes[] = {{'y', "yes", NULL, "do not ask", .flag = &c->yes}};
    const struct opt watch[] = {
        {0, "watch", NULL, "go on, and show it again when it has changed", .flag = &flags->watch},
        {0, "interval", "SECONDS", "between two looks of a watch (default 2)",
         .number = &flags->interval_s, .min = 1, .max = 86400},
        {0, "count", "N", "end a watch after so many looks", .number = &flags->looks, .min = 1,
         .max = INT32_MAX}};
    const struct opt format[] = {
        {'o', "output", "FORMAT", "table, json, jsonc, yaml or tsv (MERIDIAN_OUTPUT)", &c->output,
         .choices = PRINT_FORMATS},
        {0, "query", "QUERY", "only that part: name, replicas[0].region, [].{n: name}", &c->query}};
    const struct opt help[] = {{'h', "help", NULL, "this text", .flag = &flags->help}};
    if (uses & TAKES_AWAY)
        add_rows(l, yes, ARRAY_LEN(yes));
    if (uses & USES_CHANGE)
        add_rows(l, change, ARRAY_LEN(change));
    if (uses & MAY_WATCH)
        add_rows(l, watch, ARRAY_LEN(watch));
    if (uses & USES_TOPOLOGY)
        add_rows(l, topology, ARRAY_LEN(topology));
    if (uses & USES_ADMIN)
        add_rows(l, admin, ARRAY_LEN(admin));
    if (uses & USES_CA)
        add_rows(l, ca, ARRAY_LEN(ca));
    if (uses & USES_ENDPOINT)
        add_rows(l, endpoint, ARRAY_LEN(endpoint));
    if (uses & USES_PASSWORD)
        add_rows(l, password, ARRAY_LEN(password));
    if (!(uses & NO_FORMAT))
        add_rows(l, format, ARRAY_LEN(format));
    add_rows(l, help, ARRAY_LEN(help));
}

// The private CA, where a node runs on this machine and may be read; NULL: the system's list.
static const char *node_ca(void)
{
    if (!access(CLI_NODE_CA, R_OK))
        return CLI_NODE_CA;
    return NULL;
}

void cli_defaults(struct cli *c)
{
    c->topology = from_env("MERIDIAN_TOPOLOGY", CLI_DEFAULT_TOPOLOGY);
    c->admin = from_env("MERIDIAN_ADMIN", "/var/lib/meridian/run/admin.sock");
    c->ca = from_env("MERIDIAN_CA", node_ca());
    c->username = from_env("MERIDIAN_USERNAME", NULL);
    c->password_file = from_env("MERIDIAN_PASSWORD_FILE", NULL);
    c->output = from_env("MERIDIAN_OUTPUT", "table");
    c->server = from_env("MERIDIAN_SERVER", NULL);
    c->token_name = from_env("MERIDIAN_TOKEN_NAME", NULL);
    c->token_file = from_env("MERIDIAN_TOKEN_FILE", NULL);
    c->operator_name = from_env("MERIDIAN_OPERATOR", NULL);
    c->key = from_env("MERIDIAN_OPERATOR_KEY", NULL);
    c->fleet = from_env("MERIDIAN_FLEET", NULL);
    c->change_timeout = "10m";
}

// ---- values ----

// The row's own spelling of `word`, in the arena; NULL: it is none of the choices.
static const char *choice_of(struct cli *c, const char *choices, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = choices; *at;) {
        size_t n = strcspn(at, "|");
        if (n == len && !strncasecmp(at, word, n))
            return arena_strndup(&c->arena, at, n);
        at += n;
        if (*at)
            at++;
    }
    return NULL;
}

static int set_number(const struct cli *c, const struct opt *r, const char *value)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (errno || end == value || *end || n < r->min || n > r->max)
        return cli_fail(EXIT_USAGE, "%s: --%s %s: it is a number from %lld to %lld", c->path,
                        r->name, value, (long long)r->min, (long long)r->max);
    *r->number = n;
    return 0;
}

static int set_list(struct cli *c, const struct opt *r, const char *value)
{
    char *save = NULL;
    for (char *w = strtok_r(arena_strdup(&c->arena, value), ",", &save); w;
         w = strtok_r(NULL, ",", &save)) {
        if (r->list->n == ARRAY_LEN(r->list->v))
            return cli_fail(EXIT_USAGE, "%s: --%s: %zu at most", c->path, r->name,
                            ARRAY_LEN(r->list->v));
        r->list->v[r->list->n++] = w;
    }
    return 0;
}

static int set_value(struct cli *c, const struct opt *r, const char *value)
{
    if (r->number)
        return set_number(c, r, value);
    if (r->list)
        return set_list(c, r, value);
    if (!r->choices) {
        *r->to = value;
        return 0;
    }
    const char *word = choice_of(c, r->choices, value);
    if (!word)
        return cli_fail(EXIT_USAGE, "%s: --%s %s: it is one of %s", c->path, r->name, value,
                        r->choices);
    *r->to = word;
    return 0;
}

static int unknown(struct cli *c, const struct row_list *l, const char *word)
{
    const char *names[MAX_ROWS];
    for (size_t i = 0; i < l->n; i++)
        names[i] = l->v[i].name;
    const char *near = NULL;
    if (strncmp(word, "--", 2) == 0)
        near = diag_nearest(word + 2, names, l->n);
    if (near)
        near = arena_printf(&c->arena, "--%s", near);
    return cli_fail(EXIT_USAGE, "%s: %s is not an option%s; --help lists them", c->path, word,
                    cli_did_you_mean(c, near));
}

// One option at argv[*i], and its value, which may be the next word.
static int take_option(struct cli *c, const struct row_list *l, int argc, char **argv, int *i)
{
    const char *a = argv[*i], *inside = NULL;
    const struct opt *r;
    if (a[1] == '-') {
        size_t len = strcspn(a + 2, "=");
        r = find_row(l->v, l->n, a + 2, len);
        if (a[2 + len])
            inside = a + 2 + len + 1;
    } else {
        r = find_letter(l->v, l->n, a[1]);
        if (a[2])
            inside = a + 2;
    }
    if (!r || (inside && a[1] != '-' && !r->value))
        return unknown(c, l, a);
    if (!r->value && inside)
        return cli_fail(EXIT_USAGE, "%s: --%s takes no value", c->path, r->name);
    if (!r->value) {
        *r->flag = true;
        return 0;
    }
    if (inside)
        return set_value(c, r, inside);
    const char *next = NULL;
    if (*i + 1 < argc)
        next = argv[*i + 1];
    if (r->may_be_bare && (!next || !choice_of(c, r->choices, next))) {
        *r->to = arena_strndup(&c->arena, r->choices, strcspn(r->choices, "|"));
        return 0;
    }
    if (!next)
        return cli_fail(EXIT_USAGE, "%s: --%s wants a value: %s", c->path, r->name, r->value);
    ++*i;
    return set_value(c, r, next);
}

static int take_all(struct cli *c, const struct row_list *l, int argc, char **argv, int *out_words)
{
    int n_words = 1;
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        if (!only_words && !strcmp(argv[i], "--")) {
            only_words = true;
            continue;
        }
        if (only_words || argv[i][0] != '-' || !argv[i][1]) {
            argv[n_words++] = argv[i];
            continue;
        }
        int rc = take_option(c, l, argc, argv, &i);
        if (rc)
            return rc;
    }
    *out_words = n_words;
    return 0;
}

static int check_words(struct cli *c, int n, char **argv)
{
    const struct command *row = c->row;
    const char *gap = *row->synopsis ? " " : "";
    if (row->max_words != WORDS_ANY && n > row->max_words)
        return cli_fail(EXIT_USAGE, "%s: %s is one word too many; usage: meridian %s%s%s", c->path,
                        argv[row->max_words + 1], c->path, gap, row->synopsis);
    if (n < row->min_words)
        return cli_fail(EXIT_USAGE, "%s: a word is missing; usage: meridian %s%s%s", c->path,
                        c->path, gap, row->synopsis);
    return 0;
}

// ---- asking ----

int cli_confirm(struct cli *c, const char *sentence)
{
    if (c->yes)
        return EXIT_DONE;
    if (!isatty(STDIN_FILENO))
        return cli_fail(EXIT_USAGE, "%s Nobody can be asked here: give --yes", sentence);
    char line[16] = "";
    fprintf(stderr, "%s Go on? [y/N] ", sentence);
    fflush(stderr);
    if (!fgets(line, sizeof line, stdin) || (line[0] != 'y' && line[0] != 'Y'))
        return cli_fail(EXIT_FAILED, "%s: nothing was done", c->path);
    return EXIT_DONE;
}

static bool is_dry(const struct cli *c, const struct row_list *l)
{
    const struct opt *dry = find_row(l->v, l->n, "dry-run", 7);
    return c->what_if || (dry && dry->flag && *dry->flag);
}

static int confirm_words(struct cli *c, const struct row_list *l, int argc, char **argv)
{
    if (!(c->row->uses & TAKES_AWAY) || is_dry(c, l))
        return 0;
    const char *what = c->path;
    for (int i = 1; i < argc; i++)
        what = arena_printf(&c->arena, "%s %s", what, argv[i]);
    return cli_confirm(c, arena_printf(&c->arena, "%s takes something away.", what));
}

int opt_parse(struct cli *c, const struct opt *own, size_t n_own, int argc, char **argv,
              int *out_argc)
{
    struct flags flags = {.interval_s = 2};
    struct row_list l = {0};
    cli_defaults(c);
    add_rows(&l, own, n_own);
    l.n_own = l.n;
    add_shared(c, &flags, &l);
    if (c->declared) {
        declared_leaf(c, l.v, l.n_own, l.n);
        return NOT_PARSED;
    }
    int n_words, rc = take_all(c, &l, argc, argv, &n_words);
    if (rc)
        return rc;
    if (flags.help) {
        help_command(c, l.v, l.n_own, l.n, stdout);
        exit(fflush(stdout) ? EXIT_FAILED : EXIT_DONE);
    }
    rc = check_words(c, n_words - 1, argv);
    if (!rc)
        rc = print_check(c);
    if (!rc)
        rc = confirm_words(c, &l, n_words, argv);
    if (!rc && flags.watch)
        rc = watch_begin(c, flags.interval_s * 1000, flags.looks);
    if (!rc)
        *out_argc = n_words;
    return rc;
}

int command_group(struct cli *c, const struct command *cmds, size_t n, int argc, char **argv)
{
    const char *names[MAX_ROWS];
    assert(n < MAX_ROWS);
    if (c->declared) {
        declared_group(c, cmds, n);
        return NOT_PARSED;
    }
    const char *path = c->path;
    for (size_t i = 0; i < n; i++) {
        names[i] = cmds[i].name;
        if (argc < 2 || strcmp(argv[1], cmds[i].name) != 0)
            continue;
        c->row = &cmds[i];
        c->path = arena_printf(&c->arena, "%s%s%s", path, *path ? " " : "", cmds[i].name);
        return cmds[i].run(c, argc - 1, argv + 1);
    }
    bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    if (argc > 1 && !help) {
        const char *near = diag_nearest(argv[1], names, n);
        return cli_fail(EXIT_USAGE, "%s%s%s: no such command%s; `meridian %s%s--help` lists them",
                        path, *path ? " " : "", argv[1], cli_did_you_mean(c, near), path,
                        *path ? " " : "");
    }
    help_group(c, cmds, n, help ? stdout : stderr);
    if (help)
        return EXIT_DONE;
    return EXIT_USAGE;
}
