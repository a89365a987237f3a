// SPDX-License-Identifier: Apache-2.0
// Secrets that all regions share, and how they come to a region that lacks one: private keys of
// DNSSEC and TSIG keys that the topology names, and the secret of DNS cookies. A region that joins
// gets them so, and so does every region when one is rotated: whoever makes a new key does it on
// one node, names it in the topology, and the others fetch it.
//
//   POST /control/v1/secrets     peer listener, a region of the topology by its fingerprint
//
//   request {"request":TEXT,"key":feed key id,"signature":base64url}
//     TEXT {"v":1,"domain":D,"region":asker,"to":asked,"box":base64url,"want":["dns/ID","tsig/NAME",
//           "cookies"]}
//   answer  {"answer":TEXT,"key":…,"signature":…}
//     TEXT {"v":1,"domain":D,"region":asked,"to":asker,"request":SHA-256 of the request's TEXT,
//           "box":base64url,"sealed":base64url}
//   sealed (certs/sealed.h) {"secrets":[{"name":"dns/ID","data":base64}]}
//
// Both are signed with the feed key of who says it (Ed25519, RFC 8032, over SECRETS_…_PREFIX and
// TEXT), and the content is sealed for the asker's box: the edges of both regions, which end TLS,
// can neither read a secret nor put another one in its place, nor ask for one.
//
// Threads: secrets_look and secrets_fetch block, one at a time; the rest any thread.
#ifndef MERIDIAN_FLEET_SECRETS_H
#define MERIDIAN_FLEET_SECRETS_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "certs/keys.h"
#include "certs/sealed.h"
#include "config/topology.h"
#include "fleet/call.h"
#include "net/http.h"

#include <stdbool.h>
#include <stddef.h>

#define SECRETS_PATH "/control/v1/secrets"
#define SECRETS_REQUEST_PREFIX "meridian secrets request 1\n"
#define SECRETS_ANSWER_PREFIX "meridian secrets answer 1\n"
#define SECRETS_REQUEST_MAX_BYTES (32u << 10)
#define SECRETS_ANSWER_MAX_BYTES (2u << 20)
#define SECRETS_WANT_MAX 128
#define SECRET_MAX_BYTES 16384
#define SECRETS_RECORD "secret/cookies" // of the ledger: {"sha256":hex} of the file in force

struct secrets_places { // where this node keeps them
    const char *dns_dir, *tsig_dir;
    // NULL: its cookies are its own alone
    const char *cookies;
};

struct secrets_want { // names hang off the arena
    const char *names[SECRETS_WANT_MAX];
    size_t n;
};

// What the topology names and is not here. `cookies_sha256`: of the ledger, or NULL when nothing is
// said: then any file will do. ERR_NOMEM.
int secrets_missing(const struct secrets_places *at, const struct topology *t,
                    const char *cookies_sha256, struct arena *a, struct secrets_want *out);

// ---- asking ----

struct secrets_asker {
    const struct fleet_caller *caller;
    struct region_keys *keys;
    const struct secrets_places *at;
};
// Asks that region and writes what came (0600), each judged first. *out_n: how many. With one
// sentence in diag: ERR_UNREACHABLE …, ERR_AUTH: what came is not that region's word.
int secrets_ask(const struct secrets_asker *by, const struct topology *t, const char *region,
                const struct secrets_want *want, const char *cookies_sha256, struct diag *diag,
                size_t *out_n);
// Asks one after the other, the writer first, until nothing is missing. ERR_NOTFOUND: some are
// nowhere; diag names them.
int secrets_fetch(const struct secrets_asker *by, const struct topology *t,
                  const char *cookies_sha256, struct diag *diag, size_t *out_n);

// ---- answering ----

// The answer to `body`, which came over `peer`'s connection. ERR_DENIED, ERR_INVAL, ERR_NOTFOUND
// (none of them is here); with one sentence.
int secrets_answer(const struct secrets_places *at, const struct topology *t,
                   struct region_keys *keys, const char *region, const char *peer,
                   struct bytes body, struct diag *diag, struct buf *out);

// ---- the parts, for tests and the fuzz target ----

int secrets_request_format(const struct topology *t, struct region_keys *keys, const char *region,
                           const char *to, const struct sealed_box *box,
                           const struct secrets_want *want, char out_hash[65], struct buf *out);
// What came, opened: writes nothing. `visit` for each secret; non-zero ends it.
int secrets_open(const struct topology *t, const char *region, const char *from,
                 const struct sealed_box *box, const char *request_hash, struct bytes body,
                 struct diag *diag, int (*visit)(void *ctx, const char *name, struct bytes data),
                 void *ctx);

#endif
