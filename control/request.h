// SPDX-License-Identifier: Apache-2.0
// A change that somebody asks for, as a text and, from afar, under an operator's signature. Nothing
// on the way counts for who asks: neither the connection nor the region that handed it on. The
// writer judges the signature by the topology in force, which names the operators.
//
//   TEXT      {"v":1,"verb":"registry update","object":"contoso","arguments":{…},
//              "ifVersion":41,"whatIf":false,"nonce":"32 hex digits","expires":1764460800000,
//              "operator":"ada","fleet":"example.io"}
//             and "quorum":true, where it was asked for
//   envelope  {"request":TEXT as a string,"key":"ada","signature":base64url}
//             Ed25519 (RFC 8032) over CONTROL_REQUEST_PREFIX and TEXT
//
// `ifVersion` may be absent. `operator` is absent in a bare TEXT, which is taken from root at the
// writer's admin socket and from nobody else. A member that is not listed is refused: a signed
// condition that the writer does not know must not be passed over.
//
// Sending (cli/):
//   struct control_request q = {.verb = "registry update", .object = "contoso", .arguments = args,
//                               .operator = "ada", .fleet = domain, .expires_ms = now + CONTROL_REQUEST_LIFE_MS};
//   control_request_nonce(q.nonce);
//   control_request_format(&q, &text);
//   control_request_sign(key, "ada", bytes_of(&text), &envelope);
//
// Judging (the writer):
//   rc = control_request_take(body, &signers, clock_wall_ms(), &diag, &q);
//   … the ledger has no request/<nonce>: it is new; else its operation is the answer …
//   control_request_free(q);
//
// Replay: a request counts until it expires, which is CONTROL_REQUEST_LIFE_MAX_MS ahead at most; for
// so long its nonce stands in the ledger, at every region. The same request again, in that time,
// gets the operation of the first. No state here; any thread.
#ifndef MERIDIAN_CONTROL_REQUEST_H
#define MERIDIAN_CONTROL_REQUEST_H

#include "base/bytes.h"
#include "base/diag.h"
#include "certs/signing_key.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_REQUEST_PREFIX "meridian operator request 1\n"
#define CONTROL_REQUEST_MAX_BYTES (24u << 20)  // of the text; a document to apply is an argument
#define CONTROL_ENVELOPE_MAX_BYTES (56u << 20) // escaping may double it
#define CONTROL_REQUEST_LIFE_MAX_MS 600000
#define CONTROL_REQUEST_LIFE_MS 300000 // what the CLI asks for: clocks differ
#define CONTROL_NONCE_SIZE 33          // 32 hex digits and NUL
#define CONTROL_OPERATOR_SIZE 64       // [a-z0-9] and inner . _ -

struct control_request {
    // one to three words: "registry update"
    const char *verb;
    // what the verb is about, without the noun: "contoso"; "" where there is nothing to name
    const char *object;
    // an object, maybe empty
    json_t *arguments;
    // of the topology (of principals, for their verbs); 0: any
    uint64_t if_version;
    bool what_if;
    // phases end when a majority of the regions has them (lifecycle/lifecycle.h)
    bool quorum;
    char nonce[CONTROL_NONCE_SIZE];
    // wall
    int64_t expires_ms;
    // NULL: not signed, root at the writer's own admin socket
    const char *operator;
    // D: a request of another fleet is refused
    const char *fleet;
};

bool control_operator_name_ok(const char *name);
int control_request_nonce(char out[CONTROL_NONCE_SIZE]); // ERR_CRYPTO
// Appends the TEXT. ERR_INVAL when a member does not keep the form above, ERR_TOOBIG, ERR_NOMEM.
int control_request_format(const struct control_request *q, struct buf *out);
// Appends the envelope of `text` under that operator's key.
int control_request_sign(const struct signing_key *key, const char *operator_name,
                         struct bytes text, struct buf *out);

// Who may sign, as the topology in force has it.
struct control_signers {
    const char *fleet;
    // The SPKI (standard base64) of that operator's key; NULL: there is none of that name.
    // *out_revoked: it was revoked, for ever.
    const char *(*key_of)(const void *ctx, const char *operator_name, bool *out_revoked);
    const void *ctx;
    // a bare TEXT is taken, as root's: at the writer's own admin socket only
    bool bare;
};

// An envelope, or a bare TEXT, of anybody. ERR_INVAL: malformed; ERR_TOOBIG; ERR_VERSION: of a form
// that is not known here; ERR_DENIED: an unknown or revoked operator, a wrong signature, another
// fleet, a bare text where none is taken; ERR_EXPIRED: too late, or it would count for too long;
// ERR_NOMEM. With one sentence for who asked.
int control_request_take(struct bytes body, const struct control_signers *who, int64_t now_ms,
                         struct diag *diag, struct control_request **out);
void control_request_free(struct control_request *q); // NULL is fine; only of control_request_take

#define CONTROL_BY_SIZE 128
// As entries and operations say it: "operator:ada", "root@eastus".
const char *control_request_by(const struct control_request *q, const char *region,
                               char out[CONTROL_BY_SIZE]);

#endif
