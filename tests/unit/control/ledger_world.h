// SPDX-License-Identifier: Apache-2.0
// A topology, a ledger and a clock for what an entry makes of connections: entries are judged and put
// into force as the feed does it.
//
//   world_begin(document);
//   world_entry("private_endpoints: …", NULL);          // fails the test when it is refused
//   ck_assert_str_eq(world_connection("corp-pe"), "Approved registry=10.4.0.4");
//   world_pass(24 * 3600);
//   world_end();
#ifndef MERIDIAN_TESTS_CONTROL_LEDGER_WORLD_H
#define MERIDIAN_TESTS_CONTROL_LEDGER_WORLD_H

#include "control/connections.h"

#define WORLD_BEGIN_MS INT64_C(1790000000000)

struct world {
    struct topology *t;
    struct changer *changer;
    struct control_record *records;
    size_t n_records;
    int64_t now_ms;
    struct ledger_look look;
    // what the last refusal said
    char why[512];
};
extern struct world world;

void world_begin(const char *document);
void world_end(void);
void world_pass(int64_t seconds);
// A change without a version, and records (key NULL ends them). False: refused, world.why says why.
bool world_try(const char *change, const struct control_record *own);
void world_entry(const char *change, const struct control_record *own);
// Value of a record; NULL: none.
const char *world_record(const char *key);
// "Approved registry=10.4.0.4 registry_data_eastus=10.4.0.5"; "" when there is none. Static.
const char *world_connection(const char *name);
// "corp/10.4.0.4 86410" for each that rests, with its seconds, sorted; "" none. Static.
const char *world_rests(void);
// Last numbers of all IPv4 addresses held in a view: "4 5 9". Static.
const char *world_held(const char *view);

#endif
