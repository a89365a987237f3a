// SPDX-License-Identifier: Apache-2.0
// Reads what the answer builder has just written; see answer_sections.h. The octets are ours, not
// the network's; bounds are kept all the same.
#include "resolver/answer/sections.h"

#include <string.h>

// Decompresses into `out`; returns where the name ends in the message, 0 if it does not hold
// together.
static size_t read_name(const uint8_t *p, size_t n, size_t at, uint8_t out[DNS_NAME_MAX],
                        size_t *out_n)
{
    size_t len = 0, end = 0;
    for (int hops = 0; at < n && hops < 128;) {
        size_t c = p[at];
        if (c >= 0xc0) {
            if (at + 2 > n)
                return 0;
            if (!end)
                end = at + 2;
            at = (c & 0x3f) << 8 | p[at + 1];
            hops++;
            continue;
        }
        if (at + 1 + c > n || len + 1 + c > DNS_NAME_MAX)
            return 0;
        name_lower(out + len, p + at, 1 + c);
        len += 1 + c;
        at += 1 + c;
        if (c == 0) {
            *out_n = len;
            if (end)
                return end;
            return at;
        }
    }
    return 0;
}

size_t sections_name(const struct answer *a, size_t at, uint8_t out[DNS_NAME_MAX])
{
    size_t n = 0;
    if (read_name(a->w.p, a->w.n, at, out, &n))
        return n;
    return 0;
}

static uint8_t *room(struct sections *s, size_t n)
{
    if (sizeof s->scratch - s->used < n)
        return NULL;
    uint8_t *p = s->scratch + s->used;
    s->used += n;
    return p;
}

static const uint8_t *keep(struct sections *s, const uint8_t *p, size_t n)
{
    uint8_t *to = room(s, n ? n : 1);
    if (to)
        return memcpy(to, p, n);
    return NULL;
}

// How many octets stand before the names of an RDATA, and how many names there are.
static size_t names_of(uint16_t type, size_t *before)
{
    if (type == 15) // MX
        *before = 2;
    else
        *before = 0;
    if (type == DNS_CNAME || type == DNS_NS || type == 12 || type == 15)
        return 1;
    if (type == DNS_SOA)
        return 2;
    return 0;
}

static bool read_rdata(struct sections *s, const uint8_t *p, size_t at, size_t n, bool moves,
                       struct section_record *r)
{
    uint8_t flat[2 * DNS_NAME_MAX + 24];
    size_t before, names = names_of(r->type, &before), len = before, end = at + n;
    if (!names) {
        r->rdata = (struct rdata){moves ? keep(s, p + at, n) : p + at, (uint16_t)n};
        return r->rdata.p != NULL;
    }
    if (n < before)
        return false;
    memcpy(flat, p + at, before);
    at += before;
    for (size_t i = 0; i < names; i++) {
        size_t got = 0;
        at = read_name(p, end, at, flat + len, &got);
        if (!at)
            return false;
        len += got;
    }
    if (at > end || len + (end - at) > sizeof flat)
        return false;
    memcpy(flat + len, p + at, end - at);
    len += end - at;
    r->rdata = (struct rdata){keep(s, flat, len), (uint16_t)len};
    return r->rdata.p != NULL;
}

static bool read_owner(struct sections *s, const uint8_t *p, size_t n, size_t *at,
                       const struct section_record *before, struct section_record *r)
{
    uint8_t name[DNS_NAME_MAX];
    size_t whole_at = *at;
    if (*at + 2 <= n && p[*at] >= 0xc0)
        whole_at = (p[*at] & 0x3fu) << 8 | p[*at + 1];
    r->owner_at = (uint16_t)whole_at;
    // most records follow one of the same owner
    if (before && before->owner_at == whole_at && whole_at != *at) {
        r->owner = before->owner;
        r->owner_n = before->owner_n;
        *at += 2;
        return true;
    }
    *at = read_name(p, n, *at, name, &r->owner_n);
    if (*at)
        r->owner = keep(s, name, r->owner_n);
    else
        r->owner = NULL;
    return r->owner != NULL;
}

static bool read_record(struct sections *s, const struct answer *a, size_t *at, bool moves,
                        const struct section_record *before, struct section_record *r)
{
    const uint8_t *p = a->w.p;
    if (!read_owner(s, p, a->w.n, at, before, r) || *at + 10 > a->w.n)
        return false;
    const uint8_t *h = p + *at;
    r->type = (uint16_t)(h[0] << 8 | h[1]);
    r->ttl = (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7];
    size_t n = (size_t)h[8] << 8 | h[9];
    *at += 10;
    if (a->w.n - *at < n || !read_rdata(s, p, *at, n, moves, r))
        return false;
    *at += n;
    return true;
}

bool sections_read(struct sections *s, const struct answer *a)
{
    size_t at = DNS_HEADER_BYTES + a->q->name_n + 4,
           n = (size_t)a->n_answer + a->n_authority + a->n_additional;
    s->n_answer = a->n_answer;
    s->n_authority = a->n_authority;
    s->n_additional = a->n_additional;
    s->used = 0;
    s->authority_at = at;
    if (n > SECTION_RECORDS_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (i == s->n_answer)
            s->authority_at = at;
        if (!read_record(s, a, &at, i >= s->n_answer, i ? &s->rr[i - 1] : NULL, &s->rr[i]))
            return false;
    }
    if (n == s->n_answer)
        s->authority_at = at;
    return at == a->w.n;
}
