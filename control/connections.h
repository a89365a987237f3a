// SPDX-License-Identifier: Apache-2.0
// Connections of private networks to registries, as the ledger of the control feed has them: who
// asked for one, what became of it, and which addresses are held for it. The private endpoint of the
// same name (a row of the topology) is there only while its connection is Approved, or on its way.
//
//   connection/corp-pe      {"registry":"contoso@42", "view":"corp", "pool":"corp-pool", "auto":false,
//                            "state":"Approved", "provisioning":"Succeeded", "error":"",
//                            "members":{"registry":["10.4.0.4"], "registry_data_eastus":["10.4.0.5"]},
//                            "static":false, "answeredBy":"edge", "answeredMs":0, "restMs":0,
//                            "moves":[{"state":"Pending", "by":"operator:ada", "at":ms, "text":""}]}
//   rest/corp/10.4.0.9      {"until":ms, "was":"corp-pe", "wasOf":"contoso@42"}
//
// An address is held from Pending until a day after DNS has answered it for the last time
// (CONNECTION_REST_MS and the private TTL): by a row, by a record that holds (connection_holds), or
// by a `rest` record where neither has it any more. What is held is given to nobody else.
//
//   struct connection c;
//   rc = connection_get(&ledger, "corp-pe", &arena, &c);           // ERR_NOTFOUND
//   rc = connection_record(&c, &arena, &record);                   // for an entry
//   rc = addresses_held(&ledger, t, view, now_ms, "corp-pe", &arena, &held);
//
// Strings and arrays live in the arena. Pure but for what the ledger's functions do; any thread.
#ifndef MERIDIAN_CONTROL_CONNECTIONS_H
#define MERIDIAN_CONTROL_CONNECTIONS_H

#include "base/arena.h"
#include "base/bytes.h"
#include "config/registry_spec.h"
#include "config/topology.h"
#include "control/entry.h"
#include "control/ledger.h"

#define CONNECTION_PREFIX "connection/"
#define REST_PREFIX "rest/"
// of a record's text; addresses of one connection are bounded by it
#define CONNECTION_MAX_BYTES 16384
#define CONNECTION_MOVES_MAX 16
#define CONNECTION_TEXT_MAX 140
#define CONNECTIONS_MAX 200 // of one registry
#define CONNECTION_REST_MS ((int64_t)24 * 3600 * 1000)

enum connection_state {
    CONNECTION_PENDING,
    CONNECTION_APPROVED,
    CONNECTION_REJECTED,
    CONNECTION_DISCONNECTED,
};
enum connection_provisioning { PROVISIONING_SUCCEEDED, PROVISIONING_UPDATING, PROVISIONING_FAILED };

const char *connection_state_word(enum connection_state s); // "Pending" …
const char *connection_provisioning_word(enum connection_provisioning p);

struct connection_move {
    enum connection_state state;
    // "operator:ada"; a sentence of who moved it (connection_text_ok)
    const char *by, *text;
    // wall
    int64_t at_ms;
};

struct connection {
    const char *name;
    // the registry's key, with its incarnation (config/registry_key.h)
    const char *registry;
    // pool "": its addresses were given with the request
    const char *view, *pool;
    bool automatic, is_static;
    enum connection_state state;
    enum connection_provisioning provisioning;
    // why provisioning failed; "" else
    const char *error;
    // in the order of members_sort
    struct spec_member *members;
    size_t n_members;
    enum answered_by answered_by;
    // wall; 0: never. When DNS may have answered its addresses last; while its row is in DNS that
    // is now, whatever stands here
    int64_t answered_ms;
    // wall; until then they are held, though it is Rejected or Disconnected
    int64_t rest_ms;
    // the latest last
    struct connection_move moves[CONNECTION_MOVES_MAX];
    size_t n_moves;
};

// The ledger, as struct lifecycle_deps has it: ERR_NOTFOUND; false from a visitor ends the visit.
struct ledger_look {
    void *ctx;
    int (*record)(void *ctx, const char *key, struct buf *out);
    void (*records)(void *ctx, const char *prefix, control_ledger_visitor *visit, void *v);
};

// ERR_INVAL: it is not what a writer of any release makes; ERR_NOMEM.
int connection_parse(const char *name, const char *text, struct arena *arena,
                     struct connection *out);
// Its record, canonical; of one past CONNECTION_MAX_BYTES the oldest moves are left out. ERR_TOOBIG:
// it is too large without any; ERR_NOMEM.
int connection_record(const struct connection *c, struct arena *arena, struct control_record *out);
// ERR_NOTFOUND, and as connection_parse.
int connection_get(const struct ledger_look *l, const char *name, struct arena *arena,
                   struct connection *out);
// Those of one registry (its key; NULL: all), in the order of their names. ERR_NOMEM; a record that
// cannot be read is passed over.
int connections_of(const struct ledger_look *l, const char *registry, struct arena *arena,
                   struct connection **out, size_t *out_n);

// Notes a move; the oldest is forgotten when there are too many. Strings are kept as they are.
void connection_move(struct connection *c, enum connection_state to, const char *by,
                     const char *text, int64_t at_ms);
// Are its addresses its own at that time?
bool connection_holds(const struct connection *c, int64_t now_ms);
// UTF-8 without control characters, at most CONNECTION_TEXT_MAX characters.
bool connection_text_ok(const char *s);

// ---- members ----

const struct spec_member *members_find(const struct spec_member *list, size_t n, const char *key);
// `registry` first, then by region the data member before the regional one.
void members_sort(struct spec_member *list, size_t n);
bool members_have(const struct spec_member *list, size_t n, const struct ip *ip);

// ---- addresses ----

struct address_set { // sorted (config/address_pool.h)
    struct ip *list;
    size_t n;
};

// All that are held in a view: by rows, records and `rest`. `but`: a connection whose own row and
// record do not count; NULL: all do. What rests from its own row counts. ERR_NOMEM.
int addresses_held(const struct ledger_look *l, const struct topology *t, uint32_t view,
                   int64_t now_ms, const char *but, struct arena *arena, struct address_set *out);

struct rest {
    int64_t until_ms;
    // the connection, and the key of the registry that it led to ("" or NULL: not known)
    const char *was, *was_of;
};
// "rest/corp/10.4.0.9". NULL: out of memory.
const char *rest_key(struct arena *arena, const char *view, const struct ip *ip);
int rest_record(struct arena *arena, const char *view, const struct ip *ip, const struct rest *r,
                struct control_record *out);
int rest_parse(const char *text, struct arena *arena, struct rest *out);

#endif
