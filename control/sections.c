// SPDX-License-Identifier: Apache-2.0
// Sections of a document rewritten in place; see sections.h. Pure.
#include "control/sections.h"

#include <stdbool.h>
#include <string.h>

static size_t line_length(const char *line)
{
    size_t n = strcspn(line, "\n");
    return n + (line[n] == '\n');
}

static bool begins(const char *line, const char *key)
{
    size_t n = strlen(key);
    return !strncmp(line, key, n) && line[n] == ':';
}

// A line that may belong to what is above it or to what is below.
static bool is_between(const char *line)
{
    return *line == '#' || line[strspn(line, " \t\r")] == '\n' || !line[strspn(line, " \t\r")];
}

// Does it go on with the section above? An item of a list, or the end of a bracket, may stand at
// the margin.
static bool goes_on(const char *line)
{
    return *line == ' ' || *line == '}' || *line == ']' ||
           (*line == '-' && strchr(" \r\n", line[1]));
}

static void add_version(struct buf *out, const char *line, size_t n, uint64_t version)
{
    size_t at = strlen("version:");
    at += strspn(line + at, " ");
    size_t digits = strspn(line + at, "0123456789");
    buf_add(out, line, at);
    buf_printf(out, "%llu", (unsigned long long)version);
    buf_add(out, line + at + digits, n - at - digits);
}

static const struct edit_section *section_at(const char *line, const struct edit_section *list,
                                             size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (begins(line, list[i].key))
            return &list[i];
    return NULL;
}

void edit_sections(const char *text, const struct edit_section *list, size_t n, uint64_t version,
                   struct buf *out)
{
    const char *held = NULL; // what stands between a section that is replaced and the line in hand
    bool inside = false;
    uint64_t written = 0; // bits: of the list
    for (const char *line = text, *next; *line; line = next) {
        next = line + line_length(line);
        if (inside && is_between(line)) {
            if (!held)
                held = line;
            continue;
        }
        if (inside && goes_on(line)) {
            held = NULL;
            continue;
        }
        if (held)
            buf_add(out, held, (size_t)(line - held));
        held = NULL;
        const struct edit_section *s = section_at(line, list, n);
        inside = s != NULL;
        if (s && !(written >> (s - list) & 1)) {
            buf_str(out, s->text);
            written |= (uint64_t)1 << (s - list);
        } else if (!s && version && begins(line, "version")) {
            add_version(out, line, (size_t)(next - line), version);
        } else if (!s) {
            buf_add(out, line, (size_t)(next - line));
        }
    }
    if (held)
        buf_str(out, held);
    if (out->n && out->p[out->n - 1] != '\n')
        buf_str(out, "\n");
    for (size_t i = 0; i < n; i++)
        if (!(written >> i & 1))
            buf_str(out, list[i].text);
}
