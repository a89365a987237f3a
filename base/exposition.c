// SPDX-License-Identifier: Apache-2.0
// Metrics as text; see exposition.h. Called by whoever gathers figures for a scrape, never on a hot
// path.
#include "base/exposition.h"

void exposition_family(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void exposition_begin(struct buf *b, const char *name)
{
    buf_str(b, name);
}

// The first label opens the brace: the byte before it is then still the name's, or a later label's
// quote.
void exposition_label(struct buf *b, const char *name, const char *value)
{
    if (b->err || b->n == 0)
        return;
    if (b->p[b->n - 1] == '}')
        b->n--; // goes on
    buf_printf(b, "%s%s=\"", b->p[b->n - 1] == '"' ? "," : "{", name);
    for (const char *s = value; *s; s++) {
        if (*s == '\\' || *s == '"')
            buf_u8(b, '\\');
        if (*s == '\n')
            buf_str(b, "\\n");
        else
            buf_u8(b, (unsigned char)*s < ' ' || *s == 127 ? '?' : (uint8_t)*s);
    }
    buf_str(b, "\"}");
}

void exposition_value(struct buf *b, double value)
{
    // Whole numbers are written whole: counters must not lose their last digits.
    if (value >= -9007199254740992.0 && value <= 9007199254740992.0 &&
        value == (double)(long long)value)
        buf_printf(b, " %lld\n", (long long)value);
    else
        buf_printf(b, " %.9g\n", value);
}

void exposition_single(struct buf *b, const char *name, const char *type, const char *help,
                       double value)
{
    exposition_family(b, name, type, help);
    exposition_begin(b, name);
    exposition_value(b, value);
}
