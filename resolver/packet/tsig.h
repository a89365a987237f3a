// SPDX-License-Identifier: Apache-2.0
// Transaction signatures (RFC 8945): checks the MAC of a query and makes that of a response, with
// HMAC-SHA-256, -384 or -512. Operators share keys with each neighbour by hand: one file per key,
// in the form that dig -y takes, ALGORITHM:NAME:SECRET.
//
//   struct tsig_keys *keys;
//   // frozen; snapshot_unref
//   rc = tsig_keys_load("/var/lib/meridian/keys/tsig", names, n, &diag, &keys);
//   struct tsig s;
//   int rcode = tsig_check(keys, query, n, at, now_s, &s);      // 0: signed by s.key; else FORMERR
//                                                               // or NOTAUTH
//   size_t out_n = tsig_sign(&s, response, response_n, cap, now_s);
//
// Only queries that carry a TSIG come here. A key is immutable, any thread; a struct tsig is its
// owner's. Signing and checking may allocate, inside OpenSSL.
#ifndef MERIDIAN_RESOLVER_PACKET_TSIG_H
#define MERIDIAN_RESOLVER_PACKET_TSIG_H

#include "base/diag.h"
#include "base/snapshot.h"
#include "resolver/packet/wire.h"

#define TSIG_FUDGE_S 300
#define TSIG_MAC_MAX 64
#define TSIG_MAX_BYTES (2 * DNS_NAME_MAX + 10 + 16 + TSIG_MAC_MAX + 6) // of a whole record

enum tsig_error { TSIG_BADSIG = 16, TSIG_BADKEY = 17, TSIG_BADTIME = 18, TSIG_BADTRUNC = 22 };

struct tsig_key;
struct tsig_keys { // frozen
    struct snapshot_head head;
    size_t n;
    // in the order of the names; NULL where a key could not be read
    struct tsig_key *const *keys;
};

// Reads DIR/NAME.key for each name. What cannot be read is said in diag and left out; only
// ERR_NOMEM and ERR_CRYPTO fail. A file that others may read is refused.
int tsig_keys_load(const char *dir, const char *const *names, size_t n, struct diag *diag,
                   struct tsig_keys **out);
const struct tsig_key *tsig_key_find(const struct tsig_keys *k, const char *name); // NULL: none
// From the text of a key file. ERR_INVAL, ERR_UNSUPPORTED (algorithm), ERR_NOMEM, ERR_CRYPTO.
int tsig_key_parse(const char *text, size_t n, const char *name, struct tsig_key **out);
void tsig_key_free(struct tsig_key *k);

struct tsig { // of one query, or of one stream of responses
    // NULL: the record that answers is not signed
    const struct tsig_key *key;
    uint8_t name[DNS_NAME_MAX], algorithm[DNS_NAME_MAX];
    size_t name_n, algorithm_n;
    // the last one: the query's, then each response's
    uint8_t mac[TSIG_MAC_MAX];
    size_t mac_n;
    // of the query
    uint64_t time_s;
    uint16_t fudge_s, error, original_id;
    // there is a MAC before this one
    bool answers;
    // a response was signed already: RFC 8945 section 5.3.1
    bool streaming;
};

// The record that begins at `at` is the last of the packet. Returns DNS_NOERROR, or DNS_FORMERR
// (out->name_n is 0: no TSIG in the answer) or DNS_NOTAUTH, where out->error says why and tsig_sign
// writes the record that tells it.
int tsig_check(const struct tsig_keys *keys, const uint8_t *packet, size_t n, size_t at,
               int64_t now_s, struct tsig *out);
// What tsig_sign will add.
size_t tsig_bytes(const struct tsig *s);
// Adds the record to a response and counts it. Returns the new length; 0 when it does not fit or
// OpenSSL failed.
size_t tsig_sign(struct tsig *s, uint8_t *packet, size_t n, size_t cap, int64_t now_s);
// For a query of ours (NOTIFY): tsig_sign then signs it.
void tsig_begin(const struct tsig_key *key, uint16_t id, struct tsig *out);

#endif
