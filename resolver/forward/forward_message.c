// SPDX-License-Identifier: Apache-2.0
// Messages of the forwarder; see forward_message.h. Everything that comes from an upstream is
// untrusted: counts, names and lengths are walked before a byte of it goes on, and nothing is taken
// over but the four sections.
#include "resolver/forward/forward_message.h"

#include "base/bytes.h"

#include <string.h>

#define FLAG_QR 0x80
#define FLAG_TC 0x02
#define FLAG_RD 0x01
#define FLAG_RA 0x80
#define FLAG_CD 0x10
#define OPCODE_BITS 0x78
#define POINTERS_MAX 64 // of one name

void forward_message_keep(const struct dns_query *q, const struct edns_response *o,
                          bool checking_disabled, size_t max, struct forward_query *out)
{
    struct dns_writer w;
    out->question_n = (uint16_t)(q->name_n + 4);
    memcpy(out->question, q->name, out->question_n); // type and class follow the name in the packet
    out->max = (uint16_t)max;
    out->edns = q->edns;
    out->dnssec_ok = q->dnssec_ok;
    out->checking_disabled = checking_disabled;
    out->opt_n = 0;
    if (!q->edns)
        return;
    struct edns_response plain = *o;
    plain.rcode = 0;
    plain.ede = EDE_NONE;
    plain.padded = false; // that is of the whole: forward_message_pad
    dns_writer_init(&w, out->opt, sizeof out->opt);
    edns_write(&w, q, &plain);
    out->opt_n = (uint16_t)w.n;
}

size_t forward_message_query(const struct forward_query *q, uint16_t id,
                             const uint8_t mix[DNS_NAME_MAX], uint8_t out[FORWARD_QUERY_BYTES])
{
    uint8_t *p = out + DNS_HEADER_BYTES;
    const uint8_t header[DNS_HEADER_BYTES] = {(uint8_t)(id >> 8),
                                              (uint8_t)id,
                                              FLAG_RD,
                                              q->checking_disabled ? FLAG_CD : 0,
                                              0,
                                              1,
                                              0,
                                              0,
                                              0,
                                              0,
                                              0,
                                              q->edns};
    memcpy(out, header, sizeof header);
    memcpy(p, q->question, q->question_n);
    for (size_t at = 0; p[at]; at += 1u + p[at])
        for (size_t i = at + 1; i <= at + p[at]; i++)
            if ((uint8_t)((p[i] | 0x20) - 'a') < 26 && mix[i] & 1)
                p[i] ^= 0x20;
    p += q->question_n;
    if (q->edns) {
        const uint8_t opt[DNS_OPT_BYTES] = {0,
                                            0,
                                            DNS_OPT,
                                            DNS_UDP_CEILING >> 8,
                                            DNS_UDP_CEILING & 0xff,
                                            0,
                                            0,
                                            q->dnssec_ok ? 0x80 : 0,
                                            0,
                                            0,
                                            0};
        memcpy(p, opt, sizeof opt);
        p += sizeof opt;
    }
    return (size_t)(p - out);
}

// A name at `at`, compressed or not. Pointers go backwards only, so that it ends. Returns where
// what follows it begins, 0 if it is no name.
static size_t name_end(const uint8_t *p, size_t n, size_t at)
{
    size_t end = 0, total = 1, least = at;
    for (int pointers = 0; at < n && pointers <= POINTERS_MAX;) {
        if (p[at] >= 0xc0) {
            if (at + 2 > n)
                return 0;
            size_t to = (size_t)(p[at] & 0x3f) << 8 | p[at + 1];
            if (!end)
                end = at + 2;
            if (to < DNS_HEADER_BYTES || to >= least)
                return 0;
            at = least = to;
            pointers++;
            continue;
        }
        total += 1u + p[at];
        if (p[at] > 63 || total > DNS_NAME_MAX + 1)
            return 0;
        if (p[at] == 0) {
            if (end)
                return end;
            return at + 1;
        }
        at += 1u + p[at];
    }
    return 0;
}

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

struct record {
    size_t begin, end;
    uint16_t type;
    // of an OPT
    uint8_t rcode_high;
};

static bool read_record(const uint8_t *p, size_t n, size_t at, struct record *out)
{
    size_t head = name_end(p, n, at);
    if (!head || n - head < 10)
        return false;
    size_t rdlen = u16(p + head + 8);
    *out = (struct record){at, head + 10 + rdlen, u16(p + head), p[head + 4]};
    if (n - head - 10 < rdlen)
        return false;
    if (u16(p + head + 2) != DNS_IN)
        return true;
    if (out->type == DNS_A)
        return rdlen == 4;
    if (out->type == DNS_AAAA)
        return rdlen == 16;
    return true;
}

struct sections { // of a response that was walked
    // offsets: where the additional section begins, and where what is passed on ends
    size_t additional, end;
    // records of it that are passed on
    uint16_t n_additional;
    // extended
    uint16_t rcode;
};

// OPT and TSIG are of one hop and are left out; with one in the middle, all of the section is:
// offsets would shift.
static bool walk(const uint8_t *p, size_t n, size_t question_n, struct sections *out)
{
    struct record r = {0};
    bool opt = false, after = false;
    size_t at = DNS_HEADER_BYTES + question_n;
    size_t n_main = (size_t)u16(p + 6) + u16(p + 8), n_more = u16(p + 10);
    for (size_t i = 0; i < n_main; i++, at = r.end)
        if (!read_record(p, n, at, &r) || r.type == DNS_OPT || r.type == DNS_TSIG)
            return false;
    *out = (struct sections){.additional = at, .end = at, .rcode = p[3] & 15};
    bool whole = true;
    for (size_t i = 0; i < n_more; i++, at = r.end) {
        if (!read_record(p, n, at, &r) || (r.type == DNS_OPT && (opt || p[at])))
            return false;
        bool hop = r.type == DNS_OPT || r.type == DNS_TSIG;
        if (r.type == DNS_OPT) {
            opt = true;
            out->rcode |= (uint16_t)(r.rcode_high << 4);
        }
        after |= hop;
        whole &= hop || !after;
        if (!after) {
            out->end = r.end;
            out->n_additional++;
        }
    }
    if (!whole) {
        out->end = out->additional;
        out->n_additional = 0;
    }
    return true;
}

static bool same_letters(const uint8_t *a, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool letter = (uint8_t)((a[i] | 0x20) - 'a') < 26;
        if (a[i] != b[i] && !(letter && (a[i] ^ b[i]) == 0x20))
            return false;
    }
    return true;
}

// Does the header answer ours: its id, a response, of the same kind?
static bool is_response(const uint8_t *got, size_t n, const uint8_t *sent)
{
    if (n < DNS_HEADER_BYTES || memcmp(got, sent, 2))
        return false;
    return (got[2] & FLAG_QR) && !(got[2] & OPCODE_BITS);
}

// Is its question ours, letter for letter where the letters were mixed?
static bool same_question(const struct forward_query *q, const uint8_t *sent, const uint8_t *got,
                          size_t n, bool mixed)
{
    const size_t at = DNS_HEADER_BYTES, n_name = q->question_n - 4u;
    if (u16(got + 4) != 1 || n < at + q->question_n)
        return false;
    if (memcmp(got + at + n_name, sent + at + n_name, 4))
        return false;
    if (mixed)
        return !memcmp(got + at, sent + at, n_name);
    return same_letters(got + at, sent + at, n_name);
}

enum forward_verdict forward_message_judge(const struct forward_query *q, const uint8_t *sent,
                                           size_t n_sent, const uint8_t *got, size_t n, bool mixed,
                                           bool over_tcp)
{
    struct sections s;
    if (n_sent < (size_t)DNS_HEADER_BYTES + q->question_n || !is_response(got, n, sent))
        return FORWARD_NOT_OURS;
    if (u16(got + 4) == 0 && n == DNS_HEADER_BYTES && (got[3] & 15) != DNS_NOERROR)
        return FORWARD_FAILED; // FORMERR and the like may come without the question
    if (!same_question(q, sent, got, n, mixed))
        return FORWARD_NOT_OURS;
    if (got[2] & FLAG_TC) {
        if (over_tcp)
            return FORWARD_FAILED;
        return FORWARD_TRUNCATED;
    }
    if (!walk(got, n, q->question_n, &s))
        return FORWARD_FAILED;
    if (s.rcode != DNS_NOERROR && s.rcode != DNS_NXDOMAIN)
        return FORWARD_FAILED;
    return FORWARD_ANSWER;
}

static void write_header(const struct forward_query *q, uint8_t flags, uint16_t rcode, uint8_t *out)
{
    const uint8_t header[DNS_HEADER_BYTES] = {
        0,
        0,
        FLAG_QR | FLAG_RD | flags,
        (uint8_t)(FLAG_RA | (q->checking_disabled ? FLAG_CD : 0) | (rcode & 15)),
        0,
        1};
    memcpy(out, header, sizeof header);
    memcpy(out + DNS_HEADER_BYTES, q->question, q->question_n);
}

// Our OPT at the end of n octets, and the counts. Returns the whole length.
static size_t finish(const struct forward_query *q, uint8_t *out, size_t n,
                     const uint16_t counts[3])
{
    memcpy(out + n, q->opt, q->opt_n);
    for (size_t i = 0; i < 3; i++) {
        uint16_t c = (uint16_t)(counts[i] + (i == 2 && q->opt_n));
        out[6 + 2 * i] = (uint8_t)(c >> 8);
        out[7 + 2 * i] = (uint8_t)c;
    }
    return n + q->opt_n;
}

// Of a response that was walked, the answers that fit `max` octets: where they end, and how many.
static size_t fitting(const struct forward_query *q, const uint8_t *got, size_t n, size_t max,
                      uint16_t *n_answer)
{
    size_t end = DNS_HEADER_BYTES + q->question_n;
    struct record r = {.end = end};
    for (uint16_t i = 0; i < *n_answer; i++) {
        (void)read_record(got, n, end, &r); // walk() could
        if (q->dnssec_ok || r.end > max) {
            *n_answer = i;
            return end;
        }
        end = r.end;
    }
    return end;
}

size_t forward_message_answer(const struct forward_query *q, const uint8_t *got, size_t n,
                              uint8_t *out, size_t cap)
{
    const size_t begin = DNS_HEADER_BYTES + q->question_n;
    struct sections s;
    if (cap < FORWARD_ERROR_BYTES || !walk(got, n, q->question_n, &s))
        return 0;
    size_t max = cap;
    if (cap >= q->max)
        max = q->max;
    uint16_t counts[3] = {u16(got + 6), u16(got + 8), s.n_additional};
    if (s.end + q->opt_n > max) {
        s.end = s.additional;
        counts[2] = 0;
    }
    bool cut = s.end + q->opt_n > max;
    write_header(q, cut ? FLAG_TC : 0, s.rcode, out);
    if (cut) {
        s.end = fitting(q, got, n, max - q->opt_n, &counts[0]);
        counts[1] = 0;
    }
    memcpy(out + begin, got + begin, s.end - begin);
    return finish(q, out, s.end, counts);
}

size_t forward_message_error(const struct forward_query *q, enum edns_ede why,
                             uint8_t out[FORWARD_ERROR_BYTES])
{
    static const uint16_t none[3] = {0};
    write_header(q, 0, DNS_SERVFAIL, out);
    size_t begin = DNS_HEADER_BYTES + q->question_n, n = finish(q, out, begin, none);
    if (q->opt_n && q->opt_n + 6u <= FORWARD_OPT_BYTES) {
        uint8_t *len = out + begin + DNS_OPT_BYTES - 2;
        uint16_t rdlen = (uint16_t)(u16(len) + 6);
        const uint8_t ede[6] = {0, EDNS_EDE, 0, 2, (uint8_t)(why >> 8), (uint8_t)why};
        memcpy(out + n, ede, sizeof ede);
        len[0] = (uint8_t)(rdlen >> 8);
        len[1] = (uint8_t)rdlen;
        n += sizeof ede;
    }
    return n;
}

size_t forward_message_pad(uint8_t *p, size_t n, size_t cap)
{
    struct record r = {.end = name_end(p, n, DNS_HEADER_BYTES) + 4};
    size_t n_records = (size_t)u16(p + 6) + u16(p + 8) + u16(p + 10), more = edns_padding(n, cap);
    for (size_t i = 0; i < n_records; i++)
        if (!read_record(p, n, r.end, &r))
            return n;
    if (!n_records || r.type != DNS_OPT || r.end != n || !more)
        return n;
    uint8_t *len = p + r.begin + DNS_OPT_BYTES - 2;
    size_t rdlen = u16(len) + more;
    len[0] = (uint8_t)(rdlen >> 8);
    len[1] = (uint8_t)rdlen;
    edns_put_padding(p + n, more);
    return n + more;
}
