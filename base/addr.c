// SPDX-License-Identifier: Apache-2.0
// Addresses; see addr.h.
#include "base/addr.h"

#include "base/err.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool ip_is_v4(const struct ip *ip)
{
    return memcmp(ip->b, mapped, 12) == 0;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
    return memcmp(a->b, b->b, 16) == 0;
}

int ip_parse(const char *text, struct ip *out)
{
    struct ip ip;
    if (inet_pton(AF_INET, text, ip.b + 12) == 1)
        memcpy(ip.b, mapped, 12);
    else if (inet_pton(AF_INET6, text, ip.b) != 1)
        return ERR_INVAL;
    *out = ip;
    return 0;
}

const char *ip_format(const struct ip *ip, char buf[IP_TEXT_SIZE])
{
    if (ip_is_v4(ip))
        inet_ntop(AF_INET, ip->b + 12, buf, IP_TEXT_SIZE);
    else
        inet_ntop(AF_INET6, ip->b, buf, IP_TEXT_SIZE);
    return buf;
}

static int number_parse(const char *s, unsigned max, unsigned *out)
{
    unsigned v = 0;
    size_t n = strlen(s);
    if (n == 0 || n > 5 || strspn(s, "0123456789") != n || (n > 1 && s[0] == '0'))
        return ERR_INVAL;
    for (; *s; s++)
        v = v * 10 + (unsigned)(*s - '0');
    if (v > max)
        return ERR_RANGE;
    *out = v;
    return 0;
}

int cidr_parse(const char *text, struct cidr *out)
{
    char addr[IP_TEXT_SIZE];
    const char *slash = strchr(text, '/');
    size_t n;
    if (slash)
        n = (size_t)(slash - text);
    else
        n = strlen(text);
    if (n >= sizeof addr)
        return ERR_INVAL;
    memcpy(addr, text, n);
    addr[n] = 0;
    struct cidr c;
    if (ip_parse(addr, &c.ip))
        return ERR_INVAL;
    bool v4 = strchr(addr, ':') == NULL;
    unsigned bits = 128;
    if (v4)
        bits = 32;
    if (slash && number_parse(slash + 1, bits, &bits))
        return ERR_INVAL;
    c.bits = (uint8_t)(v4 ? bits + 96 : bits);
    for (unsigned i = c.bits; i < 128; i++)
        if (c.ip.b[i / 8] >> (7 - i % 8) & 1)
            return ERR_INVAL;
    *out = c;
    return 0;
}

const char *cidr_format(const struct cidr *c, char buf[CIDR_TEXT_SIZE])
{
    char ip[IP_TEXT_SIZE];
    bool v4 = ip_is_v4(&c->ip) && c->bits >= 96;
    snprintf(buf, CIDR_TEXT_SIZE, "%s/%d", ip_format(&c->ip, ip), v4 ? c->bits - 96 : c->bits);
    return buf;
}

bool cidr_contains(const struct cidr *c, const struct ip *ip)
{
    unsigned whole = c->bits / 8, rest = c->bits % 8;
    if (memcmp(c->ip.b, ip->b, whole))
        return false;
    return !rest || ((c->ip.b[whole] ^ ip->b[whole]) >> (8 - rest)) == 0;
}

bool cidr_overlaps(const struct cidr *a, const struct cidr *b)
{
    if (a->bits <= b->bits)
        return cidr_contains(a, &b->ip);
    return cidr_contains(b, &a->ip);
}

int endpoint_parse(const char *text, uint16_t default_port, struct endpoint *out)
{
    char addr[IP_TEXT_SIZE + 2];
    const char *port = NULL, *start = text;
    size_t n = strlen(text);
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (!close || (close[1] && close[1] != ':'))
            return ERR_INVAL;
        start = text + 1;
        n = (size_t)(close - start);
        if (close[1])
            port = close + 2;
        else
            port = NULL;
    } else {
        const char *colon = strchr(text, ':');
        if (colon && !strchr(colon + 1, ':')) {
            n = (size_t)(colon - text);
            port = colon + 1;
        }
    }
    if (n >= sizeof addr)
        return ERR_INVAL;
    memcpy(addr, start, n);
    addr[n] = 0;
    struct endpoint e = {.port = default_port};
    unsigned v = default_port;
    if (ip_parse(addr, &e.ip) || (port && (number_parse(port, 65535, &v) || v == 0)))
        return ERR_INVAL;
    e.port = (uint16_t)v;
    *out = e;
    return 0;
}

const char *endpoint_format(const struct endpoint *e, char buf[ENDPOINT_TEXT_SIZE])
{
    char ip[IP_TEXT_SIZE];
    snprintf(buf, ENDPOINT_TEXT_SIZE, ip_is_v4(&e->ip) ? "%s:%u" : "[%s]:%u", ip_format(&e->ip, ip),
             e->port);
    return buf;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (ip_is_v4(&e->ip)) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(e->port);
        memcpy(&in->sin_addr, e->ip.b + 12, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(e->port);
    memcpy(&in6->sin6_addr, e->ip.b, 16);
    return sizeof *in6;
}

int endpoint_from_sockaddr(const struct sockaddr *sa, socklen_t n, struct endpoint *out)
{
    if (sa->sa_family == AF_INET && n >= (socklen_t)sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        memcpy(out->ip.b, mapped, 12);
        memcpy(out->ip.b + 12, &in->sin_addr, 4);
        out->port = ntohs(in->sin_port);
        return 0;
    }
    if (sa->sa_family == AF_INET6 && n >= (socklen_t)sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
        memcpy(out->ip.b, &in6->sin6_addr, 16);
        out->port = ntohs(in6->sin6_port);
        return 0;
    }
    return ERR_INVAL;
}

static int cidr_order(const void *a, const void *b)
{
    const struct cidr *x = a, *y = b;
    int c = memcmp(x->ip.b, y->ip.b, sizeof x->ip.b);
    if (c)
        return c;
    return x->bits - y->bits;
}

// In this order a network comes right before those that it holds.
size_t cidr_set_make(struct cidr *list, size_t n)
{
    size_t kept = 0;
    if (n)
        qsort(list, n, sizeof *list, cidr_order);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !cidr_contains(&list[kept - 1], &list[i].ip))
            list[kept++] = list[i];
    return kept;
}

bool cidr_set_contains(const struct cidr *set, size_t n, const struct ip *ip)
{
    size_t low = 0; // the first network that begins after ip
    while (n) {
        size_t half = n / 2;
        if (memcmp(set[low + half].ip.b, ip->b, sizeof ip->b) <= 0) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return low > 0 && cidr_contains(&set[low - 1], ip);
}

struct v4_block {
    uint32_t net;
    uint8_t bits;
};

static const struct v4_block special[] = {
    {0x00000000, 8},  // this network
    {0x0a000000, 8},  // private
    {0x64400000, 10}, // shared, behind carriers' NAT
    {0x7f000000, 8},  // loopback
    {0xa9fe0000, 16}, // link-local
    {0xac100000, 12}, // private
    {0xc0000000, 24}, // protocol assignments
    {0xc0a80000, 16}, // private
    {0xc6120000, 15}, // benchmarking
    {0xe0000000, 3},  // multicast, reserved, broadcast
};

uint8_t ip_special_bits(const struct ip *ip, bool v4)
{
    const uint8_t *b = ip->b;
    if (!v4 && b[0] >> 5 == 1)
        return 0; // 2000::/3
    if (!v4) {
        if ((b[0] & 0xfe) == 0xfc) // fc00::/7 is private; the rest in pieces
            return 7;
        return 8;
    }
    uint32_t at = (uint32_t)b[12] << 24 | (uint32_t)b[13] << 16 | (uint32_t)b[14] << 8 | b[15];
    for (size_t i = 0; i < ARRAY_LEN(special); i++)
        if (at >> (32 - special[i].bits) == special[i].net >> (32 - special[i].bits))
            return (uint8_t)(96 + special[i].bits);
    return 0;
}
