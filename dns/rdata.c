// SPDX-License-Identifier: Apache-2.0
// RDATA in wire form and in text; see rdata.h.
#include "dns/rdata.h"

#include "base/addr.h"

#include <assert.h>
#include <string.h>

#define CAA_CRITICAL 128 // RFC 8659 section 4.1

size_t rdata_mx(uint16_t preference, const char *host, uint8_t out[RDATA_MX_MAX])
{
    uint8_t name[DNS_NAME_MAX];
    if (!strcmp(host, "."))
        host = "";
    size_t n = dns_name_from_text(host, name);
    if (!n)
        return 0;
    out[0] = (uint8_t)(preference >> 8);
    out[1] = (uint8_t)preference;
    memcpy(out + 2, name, n);
    return 2 + n;
}

size_t rdata_txt(const char *text, size_t n, uint8_t *out)
{
    size_t at = 0;
    while (n) {
        size_t piece = 255;
        if (n < piece)
            piece = n;
        out[at++] = (uint8_t)piece;
        memcpy(out + at, text, piece);
        at += piece;
        text += piece;
        n -= piece;
    }
    return at;
}

size_t rdata_caa(bool critical, const char *tag, const char *value, uint8_t *out)
{
    size_t n_tag = strlen(tag), n_value = strlen(value);
    assert(n_tag <= RDATA_CAA_TAG_MAX); // validation lets no longer tag pass
    out[0] = 0;
    if (critical)
        out[0] = CAA_CRITICAL;
    out[1] = (uint8_t)n_tag;
    memcpy(out + 2, tag, n_tag);
    memcpy(out + 2 + n_tag, value, n_value);
    return 2 + n_tag + n_value;
}

static void text_quoted(const uint8_t *p, size_t n, struct buf *out)
{
    buf_u8(out, '"');
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"' || p[i] == '\\')
            buf_printf(out, "\\%c", p[i]);
        else if (p[i] < ' ' || p[i] > '~')
            buf_printf(out, "\\%03u", p[i]);
        else
            buf_u8(out, p[i]);
    }
    buf_u8(out, '"');
}

// A name of letters, digits, hyphens and underscores, with its final dot.
static void text_name(const uint8_t *name, size_t n, struct buf *out)
{
    size_t at = 0;
    while (at < n && name[at] && at + 1u + name[at] <= n) {
        buf_add(out, name + at + 1, name[at]);
        buf_u8(out, '.');
        at += 1u + name[at];
    }
    if (!at)
        buf_u8(out, '.');
}

static void text_strings(const uint8_t *p, size_t n, struct buf *out)
{
    size_t at = 0;
    while (at < n && at + 1u + p[at] <= n) {
        if (at)
            buf_u8(out, ' ');
        text_quoted(p + at + 1, p[at], out);
        at += 1u + p[at];
    }
}

static void text_address(const uint8_t *p, size_t n, struct buf *out)
{
    struct ip ip = {{[10] = 0xff, [11] = 0xff}}; // an IPv4 address is a mapped one
    char text[IP_TEXT_SIZE];
    memcpy(ip.b + 16 - n, p, n);
    ip_format(&ip, text);
    buf_add(out, text, strlen(text));
}

void rdata_text(enum dns_type type, const uint8_t *rdata, size_t n, struct buf *out)
{
    if (type == DNS_A || type == DNS_AAAA) {
        assert(n == (type == DNS_A ? 4u : 16u));
        text_address(rdata, n, out);
    } else if (type == DNS_MX) {
        assert(n > 2);
        buf_printf(out, "%u ", (unsigned)(rdata[0] << 8 | rdata[1]));
        text_name(rdata + 2, n - 2, out);
    } else if (type == DNS_TXT) {
        text_strings(rdata, n, out);
    } else {
        assert(type == DNS_CAA && n >= 2u + rdata[1]);
        buf_printf(out, "%u %.*s ", rdata[0], rdata[1], (const char *)rdata + 2);
        text_quoted(rdata + 2 + rdata[1], n - 2 - rdata[1], out);
    }
}
