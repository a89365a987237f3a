// SPDX-License-Identifier: Apache-2.0
// Values of option rows as a document for reports; see options_print_values in options.h.
#include "config/options.h"

#include "base/addr.h"
#include "base/mem.h"
#include "config/options_priv.h"

#include <string.h>

#define NOT_SHOWN "(not shown)"

static const char *at_of(const struct option *o, const void *values)
{
    return (const char *)values + o->offset;
}

static uint64_t uint_of(const char *field, size_t size)
{
    uint64_t wide;
    uint32_t word;
    uint16_t half;
    switch (size) {
    case 1:
        return *(const uint8_t *)field;
    case 2:
        memcpy(&half, field, sizeof half);
        return half;
    case 4:
        memcpy(&word, field, sizeof word);
        return word;
    default:
        memcpy(&wide, field, sizeof wide);
        return wide;
    }
}

static void put_text(const char *s, struct buf *out)
{
    buf_str(out, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_u8(out, c);
    }
    buf_str(out, "\"");
}

static void put_words(const struct option *o, unsigned value, struct buf *out)
{
    const char *between = "";
    if (o->type == OPT_FLAGS)
        buf_str(out, "[");
    for (size_t i = 0; i < o->n_words; i++) {
        bool is = o->words[i].value == value;
        if (o->type == OPT_FLAGS)
            is = (o->words[i].value & value) != 0;
        if (!is)
            continue;
        buf_printf(out, "%s%s", between, o->words[i].word);
        between = ", ";
        if (o->type == OPT_ENUM)
            return;
    }
    if (o->type == OPT_FLAGS)
        buf_str(out, "]");
}

static void put_item(const struct option *o, const char *field, struct buf *out)
{
    char text[128];
    switch (o->type) {
    case OPT_STRING:
    case OPT_STRINGS:
        if (o->open)
            put_text(*(const char *const *)field, out);
        else
            buf_str(out, NOT_SHOWN);
        break;
    case OPT_BOOL:
        buf_str(out, *(const bool *)field ? "true" : "false");
        break;
    case OPT_ENUM:
    case OPT_FLAGS:
        put_words(o, *(const unsigned *)field, out);
        break;
    case OPT_ENDPOINT:
    case OPT_ENDPOINTS:
        put_text(endpoint_format((const struct endpoint *)field, text), out);
        break;
    case OPT_IPS:
        put_text(ip_format((const struct ip *)field, text), out);
        break;
    case OPT_CIDRS:
        put_text(cidr_format((const struct cidr *)field, text), out);
        break;
    default: {
        uint64_t v = uint_of(field, o->size);
        if (o->unit_ms > 1)
            v *= o->unit_ms;
        buf_str(out, option_quantity_format(o->type, v, text));
    }
    }
}

static size_t item_bytes(const struct option *o)
{
    if (o->type == OPT_IPS)
        return sizeof(struct ip);
    if (o->type == OPT_CIDRS)
        return sizeof(struct cidr);
    if (o->type == OPT_ENDPOINTS)
        return sizeof(struct endpoint);
    if (o->type == OPT_STRINGS)
        return sizeof(const char *);
    return o->sub->size; // OPT_LIST
}

static void put_rows(const struct option_set *set, const void *values, unsigned indent,
                     struct buf *out);

static void put_list(const struct option *o, const void *values, unsigned indent, struct buf *out)
{
    const char *items = *(const char *const *)at_of(o, values);
    size_t n = *(const size_t *)((const char *)values + o->n_offset);
    if (o->type == OPT_LIST) {
        buf_str(out, n ? "\n" : " []\n");
        for (size_t i = 0; i < n; i++) {
            buf_printf(out, "%*s-\n", (int)indent, "");
            put_rows(o->sub, items + i * item_bytes(o), indent + 2, out);
        }
        return;
    }
    buf_str(out, " [");
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? ", " : "");
        put_item(o, items + i * item_bytes(o), out);
    }
    buf_str(out, "]\n");
}

// Nothing is written for these: a text that was not given, an address that is off.
static bool is_absent(const struct option *o, const void *values)
{
    if (o->type == OPT_STRING)
        return !*(const char *const *)at_of(o, values);
    if (o->type == OPT_NODE)
        return !*(const struct doc_node *const *)at_of(o, values);
    if (o->type == OPT_ENDPOINT)
        return !((const struct endpoint *)at_of(o, values))->port;
    return false;
}

// One that has nothing in it is left out: it would be no mapping.
static void put_section(const struct option *o, const void *values, unsigned indent,
                        struct buf *out)
{
    size_t begin = out->n;
    buf_printf(out, "%*s%s:\n", (int)indent, "", o->key);
    size_t head = out->n;
    put_rows(o->sub, at_of(o, values), indent + 2, out);
    if (out->n == head)
        out->n = begin;
    if (out->p)
        out->p[out->n] = 0;
}

static void put_row(const struct option *o, const void *values, unsigned indent, struct buf *out)
{
    if (is_absent(o, values))
        return;
    if (o->type == OPT_MAP) {
        put_section(o, values, indent, out);
        return;
    }
    buf_printf(out, "%*s%s:", (int)indent, "", o->key);
    if (o->type >= OPT_IPS && o->type <= OPT_LIST) {
        put_list(o, values, indent, out);
    } else if (o->type == OPT_NODE) {
        buf_str(out, " " NOT_SHOWN "\n");
    } else {
        buf_str(out, " ");
        put_item(o, at_of(o, values), out);
        buf_str(out, "\n");
    }
}

static void put_rows(const struct option_set *set, const void *values, unsigned indent,
                     struct buf *out)
{
    for (size_t i = 0; i < set->n_rows; i++)
        put_row(&set->rows[i], values, indent, out);
}

void options_print_values(const struct option_set *set, const void *values, struct buf *out)
{
    put_rows(set, values, 0, out);
}
