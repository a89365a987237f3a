// SPDX-License-Identifier: Apache-2.0
// Scalars of option rows: text to value, with one sentence per way to be wrong. Called by options.c
// only.
#include "config/options_priv.h"

#include "base/addr.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct unit {
    const char *word;
    uint64_t value;
};
static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit size_units[] = {{"", 1},
                                         {"B", 1},
                                         {"KiB", 1ull << 10},
                                         {"MiB", 1ull << 20},
                                         {"GiB", 1ull << 30},
                                         {"TiB", 1ull << 40},
                                         {"PiB", 1ull << 50}};
static const struct option_word bool_words[] = {
    {"true", 1}, {"false", 0}, {"enabled", 1}, {"disabled", 0}};

// Digits and then one of the units; no sign, blank or fraction.
static int quantity_parse(const char *s, const struct unit *units, size_t n_units, uint64_t *out)
{
    size_t n = strspn(s, "0123456789");
    if (n == 0)
        return ERR_INVAL;
    if (n > 18)
        return ERR_RANGE;
    uint64_t v = strtoull(s, NULL, 10);
    for (size_t i = 0; i < n_units; i++)
        if (!strcmp(s + n, units[i].word)) {
            if (v > UINT64_MAX / units[i].value)
                return ERR_RANGE;
            *out = v * units[i].value;
            return 0;
        }
    return ERR_INVAL;
}

int duration_parse(const char *text, uint64_t *out_ms)
{
    return quantity_parse(text, duration_units, ARRAY_LEN(duration_units), out_ms);
}

int size_parse(const char *text, uint64_t *out_bytes)
{
    return quantity_parse(text, size_units, ARRAY_LEN(size_units), out_bytes);
}

const char *option_quantity_format(enum option_type type, uint64_t v, char buf[32])
{
    const struct unit *u = size_units;
    if (type == OPT_DURATION)
        u = duration_units;
    size_t n = 1;
    if (type == OPT_DURATION)
        n = ARRAY_LEN(duration_units);
    else if (type == OPT_SIZE)
        n = ARRAY_LEN(size_units);
    size_t best = 0;
    for (size_t i = 0; i < n && v; i++)
        if (v % u[i].value == 0)
            best = i;
    const char *unit = "s";
    if (type == OPT_PERCENT)
        unit = "%";
    else if (type == OPT_INT)
        unit = "";
    else if (v || type == OPT_SIZE)
        unit = u[best].word;
    bool scaled = type == OPT_DURATION || type == OPT_SIZE;
    snprintf(buf, 32, "%llu%s", (unsigned long long)(v && scaled ? v / u[best].value : v), unit);
    return buf;
}

static int number_of(const struct option *o, const char *text, uint64_t *out)
{
    static const struct unit none[] = {{"", 1}}, percent[] = {{"%", 1}};
    switch (o->type) {
    case OPT_DURATION:
        return duration_parse(text, out);
    case OPT_SIZE:
        return size_parse(text, out);
    case OPT_PERCENT:
        return quantity_parse(text, percent, 1, out);
    default:
        return quantity_parse(text, none, 1, out);
    }
}

static void store_uint(void *field, size_t size, uint64_t v)
{
    switch (size) {
    case 1:
        *(uint8_t *)field = (uint8_t)v;
        break;
    case 2:
        *(uint16_t *)field = (uint16_t)v;
        break;
    case 4:
        *(uint32_t *)field = (uint32_t)v;
        break;
    default:
        *(uint64_t *)field = v;
        break;
    }
}

static void number_value(struct option_at *at, const char *text, void *field)
{
    const struct option *o = at->row;
    static const char *const expect[] = {
        [OPT_INT] = "a whole number",
        [OPT_DURATION] = "a whole number with its unit (ms, s, m, h, d), as in 30s",
        [OPT_SIZE] = "a size in bytes, as in 512, 64KiB, 4MiB, 1GiB or 2TiB",
        [OPT_PERCENT] = "a whole percentage, as in 10%",
    };
    uint64_t v = 0, most = o->max ? o->max : UINT64_MAX;
    int rc = number_of(o, text, &v);
    if (rc == ERR_INVAL) {
        option_wrong(at, expect[o->type]);
        return;
    }
    if (rc || v < o->min || v > most) {
        char lo[32], hi[32];
        options_error(at->ctx, at->line, "%s: %s is out of range, %s to %s", at->path, text,
                      option_quantity_format(o->type, o->min, lo),
                      option_quantity_format(o->type, most, hi));
        return;
    }
    store_uint(field, o->size, o->unit_ms > 1 ? v / o->unit_ms : v);
}

static void words_joined(const struct option_word *w, size_t n, char *buf, size_t size)
{
    size_t at = 0;
    buf[0] = 0;
    for (size_t i = 0; i < n && at < size; i++) {
        const char *between = ", ";
        if (i == 0)
            between = "";
        else if (i + 1 == n)
            between = " or ";
        at += (size_t)snprintf(buf + at, size - at, "%s%s", between, w[i].word);
    }
}

bool option_word_value(struct option_at *at, const struct option_word *w, size_t n,
                       const char *text, unsigned *out)
{
    const char *known[16];
    for (size_t i = 0; i < n; i++)
        if (!strcmp(w[i].word, text)) {
            *out = w[i].value;
            return true;
        }
    for (size_t i = 0; i < n && i < ARRAY_LEN(known); i++)
        known[i] = w[i].word;
    char expect[256];
    words_joined(w, n, expect, sizeof expect);
    const char *near = diag_nearest(text, known, n < ARRAY_LEN(known) ? n : ARRAY_LEN(known));
    options_error(at->ctx, at->line, "%s: expected %s, found \"%.80s\"%s%s%s", at->path, expect,
                  text, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return false;
}

static void string_value(struct option_at *at, const char *text, const char **field)
{
    const struct option *o = at->row;
    size_t n = strlen(text), most = o->max && o->type == OPT_STRING ? (size_t)o->max : 4096;
    if (o->check && !o->check(text))
        option_wrong(at, o->expect);
    else if (n > most)
        options_error(at->ctx, at->line, "%s: longer than %zu bytes", at->path, most);
    else
        *field = text;
}

void option_scalar(struct option_at *at, const char *text, void *field)
{
    const struct option *o = at->row;
    unsigned word;
    at->found = text;
    switch (o->type) {
    case OPT_STRING:
    case OPT_STRINGS:
        string_value(at, text, field);
        break;
    case OPT_BOOL:
        if (option_word_value(at, bool_words, ARRAY_LEN(bool_words), text, &word))
            *(bool *)field = word;
        break;
    case OPT_ENUM:
        if (option_word_value(at, o->words, o->n_words, text, &word))
            *(unsigned *)field = word;
        break;
    case OPT_FLAGS:
        if (option_word_value(at, o->words, o->n_words, text, &word))
            *(unsigned *)field |= word;
        break;
    case OPT_ENDPOINT:
    case OPT_ENDPOINTS:
        if (endpoint_parse(text, o->port, field) || ((struct endpoint *)field)->port == 0)
            option_wrong(
                at, o->port ? "an IP address, perhaps with a port (192.0.2.1:53, [2001:db8::1]:53)"
                            : "an IP address with a port (192.0.2.1:8443, [2001:db8::1]:8443)");
        break;
    case OPT_IPS:
        if (ip_parse(text, field))
            option_wrong(at, o->expect ? o->expect : "an IP address");
        else if (o->check && !o->check(text))
            option_wrong(at, o->expect);
        break;
    case OPT_CIDRS:
        if (cidr_parse(text, field))
            option_wrong(at, "a network without host bits, as in 10.0.0.0/8 or 2001:db8::/32");
        break;
    default:
        number_value(at, text, field);
        break;
    }
}
