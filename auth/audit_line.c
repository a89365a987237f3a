// SPDX-License-Identifier: Apache-2.0
// An event of the audit log as a line of JSON; see audit.h. Allocates nothing; any thread.
#include "auth/audit_priv.h"

#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct line {
    char *out;
    size_t n;
};

// Room that is kept for the end of the line.
#define END_BYTES 3

static void put(struct line *l, const char *s, size_t n)
{
    if (l->n + n + END_BYTES > AUDIT_LINE_MAX)
        return;
    memcpy(l->out + l->n, s, n);
    l->n += n;
}

static void put_str(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

size_t audit_line_value(const char *s, char *out, size_t cap)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (size_t i = 0; s[i] && i < AUDIT_VALUE_MAX; i++) {
        unsigned char c = (unsigned char)s[i];
        if (n + 6 > cap)
            break;
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c >= 0x20 && c < 0x7f) {
            out[n++] = (char)c;
        } else { // each byte by itself: what is no ASCII need not be UTF-8 either
            memcpy(out + n, "\\u00", 4);
            out[n + 4] = hex[c >> 4];
            out[n + 5] = hex[c & 15];
            n += 6;
        }
    }
    return n;
}

// `,"key":"value"`, whole or not at all.
static void put_member(struct line *l, const char *key, const char *value)
{
    char text[6 * AUDIT_VALUE_MAX];
    if (!value || !*value)
        return;
    size_t n = audit_line_value(value, text, sizeof text);
    if (l->n + strlen(key) + n + 6 + END_BYTES > AUDIT_LINE_MAX)
        return;
    put(l, ",\"", 2);
    put_str(l, key);
    put(l, "\":\"", 3);
    put(l, text, n);
    put(l, "\"", 1);
}

size_t audit_line_format(const struct audit_event *e, uint64_t n_lines, int64_t wall_ms,
                         const char *region, const char *stamp, char out[AUDIT_LINE_MAX])
{
    char when[CLOCK_TEXT_SIZE], digest[DIGEST_TEXT_SIZE], client[IP_TEXT_SIZE], number[32];
    struct line l = {.out = out};
    static const struct ip nowhere;
    put_str(&l, AUDIT_LINE_BEGIN);
    put_str(&l, clock_format(wall_ms, when));
    put_str(&l, "\"");
    // in the order of their weight: what does not fit is left out at the end
    put_member(&l, "what", e->what);
    put_member(&l, "outcome", e->outcome);
    put_member(&l, "registry", e->registry);
    put_member(&l, "id", e->request_id);
    if (!ip_equal(&e->client, &nowhere))
        put_member(&l, "client", ip_format(&e->client, client));
    put_member(&l, "principal", e->principal);
    put_member(&l, "private_endpoint", e->private_endpoint);
    if (e->digest && e->digest->n)
        put_member(&l, "digest", digest_format(e->digest, digest));
    put_member(&l, "region", region);
    put_member(&l, "stamp", stamp);
    put_member(&l, "code", e->code);
    put_member(&l, "repository", e->repository);
    put_member(&l, "reference", e->reference);
    put_member(&l, "why", e->why);
    put_member(&l, "detail", e->detail);
    if (n_lines) {
        int n = snprintf(number, sizeof number, ",\"n\":%" PRIu64, n_lines);
        put(&l, number, (size_t)n);
    }
    memcpy(out + l.n, "}\n", 3);
    return l.n + 2;
}
