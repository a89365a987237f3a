// SPDX-License-Identifier: Apache-2.0
// See proxied.h.
#include "resolver/packet/proxied.h"

#include "base/err.h"

#include <string.h>

#define SIGNATURE_BYTES 12
#define HEAD_BYTES 16
#define IPV4_BYTES 12 // two addresses, two ports
#define IPV6_BYTES 36

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 }; // with the version
enum { FAMILY_IPV4 = 1, FAMILY_IPV6 = 2 };

static const uint8_t signature[SIGNATURE_BYTES] = "\r\n\r\n\0\r\nQUIT\n";

bool proxied_begins(const uint8_t *p, size_t n)
{
    return !memcmp(p, signature, n < SIGNATURE_BYTES ? n : SIGNATURE_BYTES);
}

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static int read_ipv4(const uint8_t *p, size_t n, struct endpoint *out)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    if (n < IPV4_BYTES)
        return ERR_PROTO;
    memcpy(&sa.sin_addr, p, sizeof sa.sin_addr);
    memcpy(&sa.sin_port, p + 8, sizeof sa.sin_port);
    return endpoint_from_sockaddr((struct sockaddr *)&sa, sizeof sa, out);
}

static int read_ipv6(const uint8_t *p, size_t n, struct endpoint *out)
{
    if (n < IPV6_BYTES)
        return ERR_PROTO;
    memcpy(out->ip.b, p, sizeof out->ip.b);
    out->port = u16(p + 32);
    return 0;
}

// `p`: what follows the head.
static int read_client(uint8_t family_and_transport, const uint8_t *p, size_t n,
                       struct endpoint *out)
{
    switch (family_and_transport >> 4) {
    case FAMILY_IPV4:
        return read_ipv4(p, n, out);
    case FAMILY_IPV6:
        return read_ipv6(p, n, out);
    default:
        return ERR_PROTO;
    }
}

int proxied_parse(const uint8_t *p, size_t n, struct proxied *out)
{
    struct proxied got = {0};
    if (!proxied_begins(p, n))
        return ERR_PROTO;
    if (n < HEAD_BYTES)
        return ERR_TRUNC;
    size_t body = u16(p + 14);
    got.n = HEAD_BYTES + body;
    got.local = p[12] == COMMAND_LOCAL;
    if (got.n > PROXIED_MAX || (!got.local && p[12] != COMMAND_PROXY))
        return ERR_PROTO;
    if (n < got.n)
        return ERR_TRUNC;
    int rc = 0;
    if (!got.local)
        rc = read_client(p[13], p + HEAD_BYTES, body, &got.client);
    if (!rc)
        *out = got;
    return rc;
}
