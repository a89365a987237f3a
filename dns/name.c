// SPDX-License-Identifier: Apache-2.0
// Text to names in wire form; see name.h.
#include "dns/name.h"

#include <string.h>

size_t dns_name_from_text(const char *text, uint8_t out[DNS_NAME_MAX])
{
    uint8_t wire[DNS_NAME_MAX];
    size_t n = 0;
    while (*text) {
        size_t len = strcspn(text, ".");
        if (len == 0 || len > DNS_LABEL_MAX || n + len + 2 > DNS_NAME_MAX)
            return 0;
        wire[n++] = (uint8_t)len;
        memcpy(wire + n, text, len);
        n += len;
        text += len;
        if (*text)
            text++;
    }
    wire[n++] = 0;
    memcpy(out, wire, n);
    return n;
}

size_t dns_name_from_mailbox(const char *address, uint8_t out[DNS_NAME_MAX])
{
    uint8_t rest[DNS_NAME_MAX];
    const char *at = strchr(address, '@');
    size_t local = 0;
    if (at)
        local = (size_t)(at - address);
    if (!at)
        return dns_name_from_text(address, out);
    size_t n = dns_name_from_text(at + 1, rest);
    if (n == 0 || local == 0 || local > DNS_LABEL_MAX || n + local + 1 > DNS_NAME_MAX)
        return 0;
    out[0] = (uint8_t)local;
    memcpy(out + 1, address, local);
    memcpy(out + 1 + local, rest, n);
    return n + local + 1;
}
