// SPDX-License-Identifier: Apache-2.0
// The ledger of the control feed: small JSON records by key, which entries change in the same step
// as the documents. Operations, join tokens and the nonces of requests stand in it, the same at
// every node:
//
//   operation/<id>   join/<id>   request/<nonce>   applied/<row>   ttl/<version>
//   part/<operation>/<what>   gone/<registry's key>   swept/request (control/sweep.h)
//   peer/<region>   ca/roll (fleet/peer_roll.h, fleet/ca_roll.h)
//   connection/<private endpoint>   rest/<view>/<address> (control/connections.h)
//
//   const char *text = control_ledger_get(l, "operation/0123456789abcdef");
//   control_ledger_visit(l, "operation/", visit, ctx);          // in the order of keys
//   rc = control_ledger_put(l, key, json, &next);               // `l` stays as it is
//
// A ledger is a value that never changes: what differs from the one before shares the rest with it
// (a treap whose nodes are copied along one path; priorities are hashes of the keys). A change
// costs the logarithm of the number of records. References are counted; any thread.
#ifndef MERIDIAN_CONTROL_LEDGER_H
#define MERIDIAN_CONTROL_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_LEDGER_MAX_BYTES (256u << 20) // keys and values
// Of them; what begins and takes nobody anything away leaves them free (control_draft.spares_reserve)
#define CONTROL_LEDGER_RESERVE_BYTES (16u << 20)

struct control_ledger;

struct control_ledger *control_ledger_new(void); // empty; NULL: out of memory
struct control_ledger *control_ledger_ref(struct control_ledger *l);
void control_ledger_unref(struct control_ledger *l); // NULL is fine

size_t control_ledger_count(const struct control_ledger *l);
size_t control_ledger_bytes(const struct control_ledger *l);
// JSON text, as long as the ledger is held; NULL: there is none.
const char *control_ledger_get(const struct control_ledger *l, const char *key);
// All whose key begins with `prefix` ("": all), in the order of their bytes; false from `visit`
// ends it.
typedef bool control_ledger_visitor(void *ctx, const char *key, const char *value);
void control_ledger_visit(const struct control_ledger *l, const char *prefix,
                          control_ledger_visitor *visit, void *ctx);

// Both are copied. `value` NULL takes the record away; one that is not there is gone already.
// ERR_TOOBIG: past CONTROL_LEDGER_MAX_BYTES; ERR_NOMEM.
int control_ledger_put(const struct control_ledger *l, const char *key, const char *value,
                       struct control_ledger **out);

#endif
