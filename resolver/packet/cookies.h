// SPDX-License-Identifier: Apache-2.0
// DNS cookies of the server (RFC 7873) in the form that servers behind one address share (RFC
// 9018): a hash of client's cookie, time and address under a secret. The secrets are published as
// one snapshot; a worker checks and makes cookies without memory or lock.
//
//   struct cookies *c;
//   rc = cookies_load(path, &diag, &c);           // or cookies_new_random(&c): a secret that no
//                                                 // other process has
//   snapshot_publish(&cell, c);
//   bool valid = cookies_check(c, &query, &client, now_s, out);   // `out` is the option of the
//                                                                 // response
//
// A file has one or two lines of 32 hexadecimal digits: the secret that cookies are made with, then
// the one before, which is still honoured. Rollover (RFC 9018 section 5): put the new one first on
// all servers; after an hour drop the old one.
#ifndef MERIDIAN_RESOLVER_PACKET_COOKIES_H
#define MERIDIAN_RESOLVER_PACKET_COOKIES_H

#include "base/addr.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/siphash.h"
#include "base/snapshot.h"
#include "resolver/packet/edns.h"

#define COOKIE_SECRETS_MAX 2
#define COOKIE_LIFE_S 3600  // RFC 9018 section 4.3
#define COOKIE_FRESH_S 1800 // older ones are replaced
#define COOKIE_FUTURE_S 300

struct cookies { // frozen once published
    struct snapshot_head head;
    // BADCOOKIE over UDP to clients that know cookies and show no valid one
    bool required;
    unsigned n;
    struct siphash_key secrets[COOKIE_SECRETS_MAX];
};

// ERR_INVAL
int cookies_parse(struct bytes text, const char *source, struct diag *diag, struct cookies **out);
// ERR_DENIED: others than its owner may read or write the file. ERR_NOTFOUND and others of reading.
int cookies_load(const char *path, struct diag *diag, struct cookies **out);
int cookies_new_random(struct cookies **out);

// Is the query's cookie one that we gave to this address of late? The query has one (q->cookie).
// `out` gets the client's octets and a good server cookie: the same if it is fresh.
bool cookies_check(const struct cookies *c, const struct dns_query *q, const struct ip *client,
                   int64_t now_s, uint8_t out[EDNS_COOKIE_BYTES]);

#endif
