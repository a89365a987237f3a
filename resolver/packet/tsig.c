// SPDX-License-Identifier: Apache-2.0
// MACs of messages; see tsig.h. Section numbers are those of RFC 8945.
#include "resolver/packet/tsig.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "resolver/packet/tsig_priv.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

static const uint8_t class_any_ttl_0[] = {0, DNS_ANY, 0, 0, 0, 0};

static void put_u16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put_time(uint8_t p[6], uint64_t s)
{
    for (size_t i = 0; i < 6; i++)
        p[i] = (uint8_t)(s >> (40 - 8 * i));
}

// The parts one after the other. Returns the length of the MAC, 0 if OpenSSL failed.
static size_t mac_of(const struct tsig_key *k, const struct bytes *parts, size_t n,
                     uint8_t out[TSIG_MAC_MAX])
{
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(k->ctx);
    size_t out_n = 0;
    bool ok = ctx != NULL;
    for (size_t i = 0; i < n && ok; i++)
        ok = EVP_MAC_update(ctx, parts[i].p, parts[i].n) == 1;
    ok = ok && EVP_MAC_final(ctx, out, &out_n, TSIG_MAC_MAX) == 1;
    EVP_MAC_CTX_free(ctx);
    if (ok)
        return out_n;
    return 0;
}

// section 4.3.3: time, fudge, error, length of other data, other data; and a MAC's length
struct variables {
    uint8_t b[12 + 6];
    size_t n;
    uint8_t mac_length[2];
};

static void fill_variables(struct variables *v, uint64_t time_s, uint16_t fudge_s, uint16_t error,
                           struct bytes other)
{
    put_time(v->b, time_s);
    put_u16(v->b + 6, fudge_s);
    put_u16(v->b + 8, error);
    put_u16(v->b + 10, other.n);
    if (other.n)
        memcpy(v->b + 12, other.p, other.n);
    v->n = 12 + other.n;
}

// Of a message without its TSIG, of which `additional` is the last count (sections 4.3.1 to 4.3.3,
// 5.3.1). The id is that of the first sender: one who passes messages on may have put in another.
static size_t mac_of_message(const struct tsig_key *k, const struct tsig *s, const uint8_t *packet,
                             size_t n, size_t additional, struct variables *v,
                             uint8_t out[TSIG_MAC_MAX])
{
    struct bytes parts[8];
    uint8_t head[DNS_HEADER_BYTES];
    size_t i = 0;
    memcpy(head, packet, sizeof head);
    put_u16(head, s->original_id);
    put_u16(head + 10, additional);
    if (s->answers) {
        put_u16(v->mac_length, s->mac_n);
        parts[i++] = (struct bytes){v->mac_length, 2};
        parts[i++] = (struct bytes){s->mac, s->mac_n};
    }
    parts[i++] = (struct bytes){head, DNS_HEADER_BYTES};
    parts[i++] = (struct bytes){packet + DNS_HEADER_BYTES, n - DNS_HEADER_BYTES};
    if (!s->streaming) {
        parts[i++] = (struct bytes){s->name, s->name_n};
        parts[i++] = (struct bytes){class_any_ttl_0, sizeof class_any_ttl_0};
        parts[i++] = (struct bytes){s->algorithm, s->algorithm_n};
    }
    parts[i++] = (struct bytes){v->b, s->streaming ? 8 : v->n};
    return mac_of(k, parts, i, out);
}

// ---- reading ----

// RFC 8945 wants names here uncompressed, yet not every client keeps to it with the key's.
// A name that may end in a pointer to an earlier place, in lower case. Returns the octets it takes
// at `at`, 0 if it is none.
static size_t read_name(const uint8_t *p, size_t n, size_t at, uint8_t out[DNS_NAME_MAX],
                        size_t *out_n)
{
    size_t start = at, taken = 0, k = 0, least = at;
    for (;;) {
        if (at >= n)
            return 0;
        uint8_t len = p[at];
        if (len >= 0xc0) {
            if (at + 1 >= n)
                return 0;
            size_t to = (size_t)(len & 0x3f) << 8 | p[at + 1];
            if (to >= least)
                return 0; // pointers go back, so that they end
            if (!taken)
                taken = at + 2 - start;
            at = least = to;
            continue;
        }
        if (len > 63 || len >= n - at || k + len + 1 > DNS_NAME_MAX)
            return 0;
        out[k++] = len;
        for (size_t i = 1; i <= len; i++)
            out[k++] = (uint8_t)(p[at + i] | ((uint8_t)(p[at + i] - 'A') < 26) << 5);
        at += 1u + len;
        if (len)
            continue;
        *out_n = k;
        if (taken)
            return taken;
        return at - start;
    }
}

struct record { // a TSIG as it came
    struct tsig s;
    struct bytes mac, other;
};

static bool read_record(const uint8_t *packet, size_t n, size_t at, struct record *r)
{
    memset(r, 0, sizeof *r);
    size_t len = read_name(packet, n, at, r->s.name, &r->s.name_n);
    if (!len || n - at - len < 10)
        return false;
    struct cursor c = {packet + at + len, packet + n, packet, false};
    uint16_t type = cursor_u16(&c), class_ = cursor_u16(&c);
    uint32_t ttl = cursor_u32(&c);
    size_t rdata_n = cursor_u16(&c);
    if (type != DNS_TSIG || class_ != DNS_ANY || ttl || cursor_left(&c) != rdata_n)
        return false;
    len = read_name(packet, n, cursor_pos(&c), r->s.algorithm, &r->s.algorithm_n);
    if (!len)
        return false;
    cursor_skip(&c, len);
    r->s.time_s = (uint64_t)cursor_u16(&c) << 32;
    r->s.time_s |= cursor_u32(&c);
    r->s.fudge_s = cursor_u16(&c);
    r->mac = cursor_take(&c, cursor_u16(&c));
    r->s.original_id = cursor_u16(&c);
    r->s.error = cursor_u16(&c);
    r->other = cursor_take(&c, cursor_u16(&c));
    return !c.failed && !cursor_left(&c) && r->other.n <= 6;
}

static const struct tsig_key *key_of(const struct tsig_keys *keys, const struct tsig *s)
{
    for (size_t i = 0; keys && i < keys->n; i++) {
        const struct tsig_key *k = keys->keys[i];
        if (!k || k->name_n != s->name_n || k->algorithm->wire_n != s->algorithm_n)
            continue;
        if (memcmp(k->name, s->name, s->name_n))
            continue;
        if (!memcmp(k->algorithm->wire, s->algorithm, s->algorithm_n))
            return k;
    }
    return NULL;
}

// Section 5.2.2, as much of it as came. The message without its TSIG has one additional record
// less.
static bool mac_is_right(const struct tsig_key *k, const struct record *r, const uint8_t *packet,
                         size_t at)
{
    uint8_t mac[TSIG_MAC_MAX];
    struct variables v;
    fill_variables(&v, r->s.time_s, r->s.fudge_s, r->s.error, r->other);
    size_t n =
        mac_of_message(k, &r->s, packet, at, ((size_t)packet[10] << 8 | packet[11]) - 1, &v, mac);
    return n >= r->mac.n && secret_equal(mac, r->mac.n, r->mac.p, r->mac.n);
}

static bool in_time(const struct record *r, int64_t now_s)
{
    int64_t d = now_s - (int64_t)r->s.time_s;
    return d <= r->s.fudge_s && -d <= r->s.fudge_s;
}

int tsig_check(const struct tsig_keys *keys, const uint8_t *packet, size_t n, size_t at,
               int64_t now_s, struct tsig *out)
{
    struct record r;
    memset(out, 0, sizeof *out);
    if (at < DNS_HEADER_BYTES || !read_record(packet, n, at, &r))
        return DNS_FORMERR;
    const struct tsig_key *k = key_of(keys, &r.s);
    size_t whole = 0;
    if (k)
        whole = k->algorithm->mac_n;
    size_t least = whole / 2;
    if (least < 10)
        least = 10;
    if (k && (r.mac.n > whole || r.mac.n < least))
        return DNS_FORMERR; // section 5.2.2.1
    *out = r.s;
    out->error = 0;
    if (!k) {
        out->error = TSIG_BADKEY; // section 5.2.1
    } else if (!mac_is_right(k, &r, packet, at)) {
        out->error = TSIG_BADSIG;
    } else {
        out->key = k;
        memcpy(out->mac, r.mac.p, r.mac.n);
        out->mac_n = r.mac.n;
        out->answers = true;
        // Sections 5.2.3 and 5.2.4, of a MAC that is right only, and so signed. We take whole MACs.
        if (!in_time(&r, now_s))
            out->error = TSIG_BADTIME;
        else if (r.mac.n < whole)
            out->error = TSIG_BADTRUNC;
        else
            out->error = 0;
    }
    if (out->error)
        return DNS_NOTAUTH;
    return DNS_NOERROR;
}

// ---- writing ----

void tsig_begin(const struct tsig_key *key, uint16_t id, struct tsig *out)
{
    memset(out, 0, sizeof *out);
    out->key = key;
    memcpy(out->name, key->name, key->name_n);
    out->name_n = key->name_n;
    memcpy(out->algorithm, key->algorithm->wire, key->algorithm->wire_n);
    out->algorithm_n = key->algorithm->wire_n;
    out->original_id = id;
}

size_t tsig_bytes(const struct tsig *s)
{
    return s->name_n + 10 + s->algorithm_n + 16 + (s->key ? s->key->algorithm->mac_n : 0) +
           (s->error == TSIG_BADTIME ? 6 : 0);
}

size_t tsig_sign(struct tsig *s, uint8_t *packet, size_t n, size_t cap, int64_t now_s)
{
    size_t bytes = tsig_bytes(s), mac_n = 0, additional = (size_t)packet[10] << 8 | packet[11];
    uint8_t mac[TSIG_MAC_MAX], server_time[6];
    struct variables v;
    if (cap < n || cap - n < bytes || additional == 65535)
        return 0;
    // Section 5.2.3: to who is out of time, its own time and fudge, and our time beside it.
    bool late = s->error == TSIG_BADTIME;
    put_time(server_time, (uint64_t)now_s);
    fill_variables(&v, late || !s->key ? s->time_s : (uint64_t)now_s,
                   late ? s->fudge_s : TSIG_FUDGE_S, s->error,
                   (struct bytes){server_time, late ? sizeof server_time : 0});
    if (s->key) {
        mac_n = mac_of_message(s->key, s, packet, n, additional, &v, mac);
        if (mac_n != s->key->algorithm->mac_n)
            return 0;
    }
    struct dns_writer w;
    dns_writer_init(&w, packet, cap);
    w.n = n;
    dns_write_bytes(&w, s->name, s->name_n);
    dns_write_u16(&w, DNS_TSIG);
    dns_write_bytes(&w, class_any_ttl_0, sizeof class_any_ttl_0);
    dns_write_u16(&w, (uint16_t)(bytes - s->name_n - 10));
    dns_write_bytes(&w, s->algorithm, s->algorithm_n);
    dns_write_bytes(&w, v.b, 8);
    dns_write_u16(&w, (uint16_t)mac_n);
    dns_write_bytes(&w, mac, mac_n);
    dns_write_u16(&w, s->original_id);
    dns_write_bytes(&w, v.b + 8, v.n - 8);
    if (w.full)
        return 0;
    put_u16(packet + 10, additional + 1);
    s->streaming = s->answers;
    s->answers = true;
    memcpy(s->mac, mac, mac_n);
    s->mac_n = mac_n;
    return w.n;
}
