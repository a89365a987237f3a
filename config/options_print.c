// SPDX-License-Identifier: Apache-2.0
// Sample file and manual page from option rows; see options.h.
#include "config/options.h"

#include "config/options_priv.h"

#include <string.h>

static const char *const type_names[] = {
    [OPT_STRING] = "text",
    [OPT_BOOL] = "true or false",
    [OPT_INT] = "number",
    [OPT_DURATION] = "duration",
    [OPT_SIZE] = "size",
    [OPT_PERCENT] = "percentage",
    [OPT_ENUM] = "one of",
    [OPT_FLAGS] = "list of",
    [OPT_ENDPOINT] = "address and port",
    [OPT_IPS] = "list of addresses",
    [OPT_CIDRS] = "list of networks",
    [OPT_ENDPOINTS] = "list of addresses and ports",
    [OPT_STRINGS] = "list of text",
    [OPT_MAP] = "mapping",
    [OPT_LIST] = "list of mappings",
    [OPT_NODE] = "mapping",
};

static void print_facts(const struct option *o, FILE *out)
{
    char lo[32], hi[32];
    fputs(type_names[o->type], out);
    for (size_t i = 0; i < o->n_words; i++)
        fprintf(out, "%s %s", i ? "," : "", o->words[i].word);
    if (o->type >= OPT_INT && o->type <= OPT_PERCENT && o->max)
        fprintf(out, ", %s to %s", option_quantity_format(o->type, o->min, lo),
                option_quantity_format(o->type, o->max, hi));
    if (o->required)
        fputs("; required", out);
    else if (o->def)
        fprintf(out, "; default %s", o->def);
    if (o->reloadable)
        fputs("; taken up without a restart", out);
}

static void print_start(const char *indent, bool *dash, bool off, FILE *out)
{
    size_t n = strlen(indent);
    fputs(off ? "# " : "", out);
    if (*dash) // the first key of a list's item
        fprintf(out, "%.*s- ", (int)(n - 2), indent);
    else
        fputs(indent, out);
    *dash = false;
}

static void print_rows(const struct option_set *set, const char *indent, bool dash, bool off,
                       FILE *out);

static void print_row(const struct option *o, const char *indent, bool *dash, bool off, FILE *out)
{
    char deeper[64];
    bool list = o->type == OPT_FLAGS || (o->type >= OPT_IPS && o->type <= OPT_STRINGS);
    fprintf(out, "%s# %s (", indent, o->help ? o->help : o->key);
    print_facts(o, out);
    fputs(")\n", out);
    // A mapping with only optional keys stays out as a whole: an empty one would be no mapping.
    off = off || !(o->required || o->shown);
    print_start(indent, dash, off, out);
    if (o->sub) {
        fprintf(out, "%s:\n", o->key);
        snprintf(deeper, sizeof deeper, "%s%s", indent, o->type == OPT_LIST ? "    " : "  ");
        print_rows(o->sub, deeper, o->type == OPT_LIST, off, out);
        return;
    }
    const char *value = "";
    if (o->example)
        value = o->example;
    else if (o->def)
        value = o->def;
    fprintf(out, list ? "%s: [%s]\n" : "%s: %s\n", o->key, value);
}

static void print_rows(const struct option_set *set, const char *indent, bool dash, bool off,
                       FILE *out)
{
    for (size_t i = 0; i < set->n_rows; i++)
        print_row(&set->rows[i], indent, &dash, off, out);
}

void options_print_sample(const struct option_set *set, FILE *out)
{
    print_rows(set, "", false, false, out);
}

static void print_troff(const char *s, FILE *out)
{
    for (; *s; s++) {
        if (*s == '\\')
            fputs("\\e", out);
        else if (*s == '-')
            fputs("\\-", out);
        else
            fputc(*s, out);
    }
}

static void print_man(const struct option_set *set, const char *path, FILE *out)
{
    for (size_t i = 0; i < set->n_rows; i++) {
        const struct option *o = &set->rows[i];
        char deeper[256];
        snprintf(deeper, sizeof deeper, "%s%s%s%s", path, *path ? "." : "", o->key,
                 o->type == OPT_LIST ? "[]" : "");
        fprintf(out, ".TP\n.B %s\n", deeper);
        if (o->help) {
            print_troff(o->help, out);
            fputs(".\n", out);
        }
        fputs("(", out);
        print_facts(o, out);
        fputs(")\n", out);
        if (o->sub)
            print_man(o->sub, deeper, out);
    }
}

void options_print_man(const struct option_set *set, FILE *out)
{
    print_man(set, "", out);
}
