// SPDX-License-Identifier: Apache-2.0
// Shared by tsig.c and tsig_key.c: a key with its HMAC prepared.
#ifndef MERIDIAN_RESOLVER_PACKET_TSIG_PRIV_H
#define MERIDIAN_RESOLVER_PACKET_TSIG_PRIV_H

#include "resolver/packet/tsig.h"

#include <openssl/evp.h>

struct tsig_algorithm { // RFC 8945 section 6
    const char *name, *digest;
    const uint8_t *wire;
    size_t wire_n, mac_n;
};

struct tsig_key {
    uint8_t name[DNS_NAME_MAX];
    size_t name_n;
    // the name as it was configured
    char text[DNS_NAME_MAX + 1];
    const struct tsig_algorithm *algorithm;
    // with the secret in; duplicated for each use, never changed
    EVP_MAC_CTX *ctx;
};

#endif
