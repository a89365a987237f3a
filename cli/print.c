// SPDX-License-Identifier: Apache-2.0
// Output formats; see print.h.
#include "cli/print.h"

#include "base/mem.h"
#include "base/plain.h"
#include "cli/query.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int print_check(struct cli *c)
{
    char why[QUERY_WHY_SIZE];
    const char *at = strstr("|" PRINT_FORMATS "|", arena_printf(&c->arena, "|%s|", c->output));
    if (!at)
        return cli_fail(EXIT_USAGE, "%s: MERIDIAN_OUTPUT=%s: it is one of %s", c->path, c->output,
                        PRINT_FORMATS);
    if (c->query && !query_parse(&c->arena, c->query, why))
        return cli_fail(EXIT_USAGE, "%s: --query %s: %s", c->path, c->query, why);
    return 0;
}

bool cli_json(const struct cli *c)
{
    return c->query || strcmp(c->output, "table") != 0;
}

char *cli_plain(const char *fmt, va_list ap)
{
    char *said = NULL;
    if (vasprintf(&said, fmt, ap) < 0)
        return NULL;
    text_plain_lines(said, strlen(said));
    return said;
}

// ---- yaml ----

static bool plain_char(char ch)
{
    return isalnum((unsigned char)ch) || strchr("_./-+@", ch);
}

// May it stand without quotes? Numbers and words that mean something else may not.
static bool plain(const char *s)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n"};
    if (!isalpha((unsigned char)s[0]) && s[0] != '/')
        return false;
    for (const char *p = s; *p; p++)
        if (!plain_char(*p))
            return false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (!strcasecmp(s, words[i]))
            return false;
    return true;
}

static void scalar(const json_t *v, FILE *out)
{
    if (json_is_string(v) && plain(json_string_value(v)))
        fputs(json_string_value(v), out);
    else
        json_dumpf(v, out, JSON_ENCODE_ANY | JSON_COMPACT); // a JSON string is one of YAML, too
}

static bool is_deep(const json_t *v)
{
    return (json_is_array(v) && json_array_size(v)) || (json_is_object(v) && json_object_size(v));
}

static void yaml_at(const json_t *v, int indent, bool first_inline, FILE *out);

static void yaml_member(const char *key, const json_t *v, int indent, FILE *out)
{
    if (plain(key))
        fputs(key, out);
    else {
        json_t *k = json_string(key);
        scalar(k, out);
        json_decref(k);
    }
    fputc(':', out);
    if (!is_deep(v)) {
        fputc(' ', out);
        scalar(v, out);
        fputc('\n', out);
        return;
    }
    fputc('\n', out);
    yaml_at(v, indent + (json_is_array(v) ? 0 : 2), false, out);
}

// `first_inline`: the first line goes on after "- ".
static void yaml_at(const json_t *v, int indent, bool first_inline, FILE *out)
{
    if (json_is_array(v) && json_array_size(v)) {
        for (size_t i = 0; i < json_array_size(v); i++) {
            fprintf(out, "%*s- ", i || !first_inline ? indent : 0, "");
            yaml_at(json_array_get(v, i), indent + 2, true, out);
        }
        return;
    }
    if (!is_deep(v)) {
        scalar(v, out);
        fputc('\n', out);
        return;
    }
    const char *key;
    json_t *one;
    bool first = first_inline;
    json_object_foreach((json_t *)v, key, one)
    {
        fprintf(out, "%*s", first ? 0 : indent, "");
        yaml_member(key, one, indent, out);
        first = false;
    }
}

void print_yaml(const json_t *v, FILE *out)
{
    yaml_at(v, 0, false, out);
}

// ---- tsv ----

static void tsv_text(const char *s, FILE *out)
{
    for (; *s; s++) {
        if (*s == '\t')
            fputs("\\t", out);
        else if (*s == '\n')
            fputs("\\n", out);
        else if (*s == '\\')
            fputs("\\\\", out);
        else
            fputc(*s, out);
    }
}

static void tsv_cell(const json_t *v, FILE *out)
{
    if (json_is_string(v))
        tsv_text(json_string_value(v), out);
    else if (!json_is_null(v))
        json_dumpf(v, out, JSON_ENCODE_ANY | JSON_COMPACT | JSON_PRESERVE_ORDER);
}

static void tsv_row(const json_t *v, FILE *out)
{
    const char *key, *gap = "";
    json_t *one;
    size_t i;
    if (json_is_object(v)) {
        json_object_foreach((json_t *)v, key, one)
        {
            fputs(gap, out);
            tsv_cell(one, out);
            gap = "\t";
        }
    } else if (json_is_array(v)) {
        json_array_foreach(v, i, one)
        {
            fputs(gap, out);
            tsv_cell(one, out);
            gap = "\t";
        }
    } else {
        tsv_cell(v, out);
    }
    fputc('\n', out);
}

void print_tsv(const json_t *v, FILE *out)
{
    if (!json_is_array(v)) {
        tsv_row(v, out);
        return;
    }
    size_t i;
    json_t *one;
    json_array_foreach(v, i, one) tsv_row(one, out);
}

// ---- table ----

static const char *cell(struct cli *c, const json_t *v)
{
    if (json_is_string(v))
        return json_string_value(v);
    if (!v || json_is_null(v))
        return "";
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_PRESERVE_ORDER);
    const char *out = arena_strdup(&c->arena, text ? text : "");
    free(text);
    return out;
}

#define MAX_COLUMNS 64

static size_t columns_add(const json_t *row, const char **columns, size_t n)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)row, key, v)
    {
        size_t i = 0;
        while (i < n && strcmp(columns[i], key) != 0)
            i++;
        if (i == n && n < MAX_COLUMNS && !is_deep(v))
            columns[n++] = key;
    }
    return n;
}

static void objects_table(struct cli *c, const json_t *rows)
{
    const char *columns[MAX_COLUMNS];
    size_t n = 0, n_rows = json_array_size(rows);
    for (size_t i = 0; i < n_rows; i++)
        n = columns_add(json_array_get(rows, i), columns, n);
    if (!n)
        return;
    const char **cells = arena_array(&c->arena, (n_rows + 1) * n, sizeof *cells);
    assert(cells);
    memcpy(cells, columns, n * sizeof *cells);
    for (size_t i = 0; i < n_rows; i++)
        for (size_t k = 0; k < n; k++)
            cells[(i + 1) * n + k] = cell(c, json_object_get(json_array_get(rows, i), columns[k]));
    cli_table(cells, n_rows + 1, n);
}

// Of anything but objects: one row for each element, a list's elements as columns.
static void values_table(struct cli *c, const json_t *rows)
{
    size_t n = 1, n_rows = json_array_size(rows);
    for (size_t i = 0; i < n_rows; i++)
        if (json_array_size(json_array_get(rows, i)) > n)
            n = json_array_size(json_array_get(rows, i));
    const char **cells = arena_array(&c->arena, (n_rows + 1) * n, sizeof *cells);
    assert(cells);
    for (size_t k = 0; k < n; k++)
        cells[k] = n == 1 ? "result" : arena_printf(&c->arena, "column%zu", k + 1);
    for (size_t i = 0; i < n_rows; i++) {
        const json_t *row = json_array_get(rows, i);
        for (size_t k = 0; k < n; k++)
            cells[(i + 1) * n + k] = cell(c, json_is_array(row) ? json_array_get(row, k)
                                             : k                ? NULL
                                                                : row);
    }
    cli_table(cells, n_rows + 1, n);
}

static bool all_objects(const json_t *rows)
{
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (!json_is_object(json_array_get(rows, i)))
            return false;
    return json_array_size(rows) > 0;
}

void print_generic_table(struct cli *c, const json_t *v)
{
    json_t *rows;
    if (json_is_array(v))
        rows = json_incref((json_t *)v);
    else
        rows = json_pack("[O]", (json_t *)v);
    if (all_objects(rows))
        objects_table(c, rows);
    else if (json_array_size(rows) && !json_is_null(v))
        values_table(c, rows);
    json_decref(rows);
}

// ---- json ----

#define COLOUR_KEY "\033[34m"
#define COLOUR_TEXT "\033[32m"
#define COLOUR_WORD "\033[33m"
#define COLOUR_END "\033[0m"

// JSON text as jansson writes it, with colours: strings before a colon are keys.
static void put_coloured(const char *s, FILE *out)
{
    while (*s) {
        size_t n = 1;
        const char *colour = NULL;
        if (*s == '"') {
            while (s[n] && s[n] != '"')
                n += s[n] == '\\' && s[n + 1] ? 2 : 1;
            n += s[n] == '"';
            colour = s[n] == ':' ? COLOUR_KEY : COLOUR_TEXT;
        } else if (isalnum((unsigned char)*s) || *s == '-') {
            n = strspn(s, "abcdefghijklmnopqrstuvwxyzE0123456789+-.");
            colour = COLOUR_WORD;
        }
        if (n == 0)
            n = 1;
        if (colour)
            fprintf(out, "%s%.*s%s", colour, (int)n, s, COLOUR_END);
        else
            fputc(*s, out);
        s += n;
    }
}

static int put_json(const struct cli *c, const json_t *doc)
{
    const size_t flags = JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY;
    const char *never = getenv("NO_COLOR");
    bool colours = !strcmp(c->output, "jsonc") && isatty(STDOUT_FILENO) && !(never && *never);
    if (!colours)
        return json_dumpf(doc, stdout, flags);
    char *text = json_dumps(doc, flags);
    if (!text)
        return -1;
    put_coloured(text, stdout);
    free(text);
    return 0;
}

int cli_print_json(struct cli *c, json_t *doc)
{
    char why[QUERY_WHY_SIZE];
    if (doc && c->query) {
        const struct query *q = query_parse(&c->arena, c->query, why);
        json_t *part = NULL;
        if (q)
            part = query_run(q, doc);
        json_decref(doc);
        doc = part;
    }
    if (!doc)
        return cli_fail(EXIT_FAILED, "out of memory");
    int rc = 0;
    bool as_json = !strncmp(c->output, "json", 4) || !cli_json(c);
    if (as_json)
        rc = put_json(c, doc);
    else if (!strcmp(c->output, "table"))
        print_generic_table(c, doc);
    else if (!strcmp(c->output, "tsv"))
        print_tsv(doc, stdout);
    else
        print_yaml(doc, stdout);
    json_decref(doc);
    if (rc)
        return cli_fail(EXIT_FAILED, "out of memory");
    if (as_json)
        putchar('\n');
    return EXIT_DONE;
}

int cli_done(struct cli *c, json_t *doc, const char *fmt, ...)
{
    if (cli_json(c))
        return cli_print_json(c, doc);
    json_decref(doc);
    va_list ap;
    va_start(ap, fmt);
    char *said = cli_plain(fmt, ap);
    va_end(ap);
    puts(said ? said : "");
    free(said);
    return EXIT_DONE;
}

void cli_tell(struct cli *c, json_t *doc, const char *fmt, ...)
{
    if (cli_json(c)) {
        if (!c->told)
            c->told = json_array();
        json_array_append_new(c->told, doc);
        return;
    }
    json_decref(doc);
    va_list ap;
    va_start(ap, fmt);
    char *said = cli_plain(fmt, ap);
    va_end(ap);
    puts(said ? said : "");
    free(said);
}

int cli_told(struct cli *c)
{
    json_t *told = c->told;
    c->told = NULL;
    if (!told)
        return EXIT_DONE;
    return cli_print_json(c, told);
}

// What a terminal would take as an order is shown as a question mark.
static void put_cell(const char *s, bool head)
{
    size_t n = strlen(s);
    char *copy = strdup(s);
    assert(copy);
    text_plain(copy, n);
    for (size_t i = 0; i < n; i++)
        putchar(head ? toupper((unsigned char)copy[i]) : copy[i]);
    free(copy);
}

void cli_table(const char *const *cells, size_t n_rows, size_t n_cols)
{
    AUTO_FREE size_t *widths = mem_zalloc_array(n_cols, sizeof *widths);
    assert(widths || !n_cols);
    for (size_t i = 0; i < n_rows * n_cols; i++)
        if (strlen(cells[i]) > widths[i % n_cols])
            widths[i % n_cols] = strlen(cells[i]);
    for (size_t i = 0; i < n_rows * n_cols; i++) {
        size_t col = i % n_cols;
        put_cell(cells[i], i < n_cols);
        if (col + 1 < n_cols)
            printf("%*s", (int)(widths[col] - strlen(cells[i]) + 2), "");
        else
            putchar('\n');
    }
}
