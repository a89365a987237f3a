// SPDX-License-Identifier: Apache-2.0
// See apply_show.h.
#include "cli/apply_show.h"

#include "cli/show.h"
#include "cli/text_diff.h"

#include <stdio.h>
#include <string.h>

static json_int_t count_of(const json_t *answer, const char *key)
{
    return json_integer_value(json_object_get(answer, key));
}

static void tell_more(const json_t *answer, const char *list, const char *number)
{
    json_int_t n = count_of(answer, number);
    json_int_t shown = (json_int_t)json_array_size(json_object_get(answer, list));
    if (n > shown)
        printf("… and %lld more\n", (long long)(n - shown));
}

void apply_show_diff(const json_t *answer)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(answer, "rows"), i, row)
    {
        AUTO_BUF struct buf text;
        buf_init(&text, 0);
        if (!text_diff(&text, json_text(row, "row"),
                       json_string_value(json_object_get(row, "before")),
                       json_string_value(json_object_get(row, "after"))))
            fputs(buf_cstr(&text), stdout);
    }
    tell_more(answer, "rows", "nRows");
    if (json_is_true(json_object_get(answer, "commentsLost")))
        puts("note: sections of the document are merged with what commands have changed, so that "
             "its comments are not kept in force");
}

void apply_show_rows(const json_t *answer)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(answer, "rows"), i, row)
    {
        const char *what = "changed";
        if (!json_object_get(row, "before"))
            what = "created";
        if (!json_object_get(row, "after"))
            what = "deleted";
        printf("%s %s\n", json_text(row, "row"), what);
    }
    tell_more(answer, "rows", "nRows");
}

static const char *said(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    if (text)
        return text;
    return "(absent)";
}

void apply_show_kept(const json_t *answer)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(answer, "kept"), i, row)
    {
        const char *why = json_text(row, "why"), *member = json_text(row, "member");
        if (*why) {
            printf("kept: %s: %s\n", json_text(row, "row"), why);
            continue;
        }
        const char *by = json_string_value(json_object_get(row, "by"));
        printf("kept: %s%s%s: %s, by a command; the file says %s%s%s%s\n", json_text(row, "row"),
               *member ? " " : "", member, said(row, "inForce"), said(row, "file"),
               by ? " (the row was changed last by " : "", by ? by : "", by ? ")" : "");
        if (*json_text(row, "note"))
            printf("note: %s\n", json_text(row, "note"));
    }
    tell_more(answer, "kept", "nKept");
}

const char *apply_removed(struct cli *c, const json_t *answer)
{
    json_int_t n = count_of(answer, "nRemoved");
    const json_t *list = json_object_get(answer, "removed");
    const char *names = "";
    if (n <= 0)
        return NULL;
    for (size_t i = 0; i < json_array_size(list) && i < 5; i++)
        names = arena_printf(&c->arena, "%s%s%s", names, i ? ", " : "",
                             json_string_value(json_array_get(list, i)));
    return arena_printf(&c->arena, "%lld registr%s: %s%s.", (long long)n,
                        n == 1 ? "y goes" : "ies go", names, n > 5 ? ", …" : "");
}
