// SPDX-License-Identifier: Apache-2.0
// A fleet in memory where two stamps of eastus serve over one store, as a later engine will have it:
// clients, resolvers that remember for the whole TTL, uploads, and stamps that die. All of it goes by
// the fleet's clock, second by second, and asks the documents in force as nodes do.
//
//   struct moved m;
//   moved_init(&m);
//   moved_ask(&m, "eus-2");
//   moved_pass(&m, 600);
//   ck_assert_uint_eq(m.n_failed, 0);
#ifndef MERIDIAN_TESTS_UNIT_LIFECYCLE_MOVED_H
#define MERIDIAN_TESTS_UNIT_LIFECYCLE_MOVED_H

#include "tests/unit/lifecycle/asked.h"

#define MOVED_CLIENTS 64
#define MOVED_RESOLVERS 16
#define MOVED_STAMPS 2

struct moved_store {
    // by client: the last value that it wrote, and what its upload has so far
    unsigned written[MOVED_CLIENTS], uploaded[MOVED_CLIENTS];
};

struct moved_stamp {
    bool dead;
    // it opens no registry that it is told to
    bool stuck;
    // index of its store
    unsigned store;
    // since when the row does not name it; 0: it does
    int64_t drained_s;
    // requests that it served, and the last of them
    unsigned n_served;
    int64_t last_s;
};

struct moved_resolver {
    // stamp of the name, and of each stamp's address: until when it remembers
    unsigned stamp;
    int64_t name_until_s, address_until_s[MOVED_STAMPS];
};

struct moved_client {
    // connected to that stamp until then, or until that closes
    bool connected;
    unsigned stamp;
    int64_t until_s;
    // what it wrote last
    unsigned wrote;
    // parts of its upload that are to come, and that were taken
    unsigned parts_left, parts_done;
};

struct moved {
    struct asked a;
    struct moved_store stores[MOVED_STAMPS];
    struct moved_stamp stamps[MOVED_STAMPS];
    struct moved_resolver resolvers[MOVED_RESOLVERS];
    struct moved_client clients[MOVED_CLIENTS];
    // who answers for fe.D and has not the name; NULL: all have
    const char *lacking;
    // what the check says against it; NULL: nothing
    const char *unfit;
    // requests that failed, in all and by the stamp that they went to
    unsigned n_failed, failed_at[MOVED_STAMPS];
    int64_t last_failed_s;
    // parts of uploads by the stamp that took them
    unsigned parts[MOVED_STAMPS];
    char id[OPERATION_ID_SIZE];
};

void moved_init(struct moved *m);
void moved_done(struct moved *m);
int64_t moved_now_s(const struct moved *m);
// Asks that contoso moves to that stamp of eastus; expects that it begins.
void moved_ask(struct moved *m, const char *stamp);
// Clients and engine, second by second.
void moved_pass(struct moved *m, int64_t seconds);
// Until that phase runs; the test fails when it does not within 2,000 s. "": until the operation ends.
void moved_until(struct moved *m, const char *phase);
// An upload in so many parts, one a second.
void moved_upload(struct moved *m, unsigned client, unsigned parts);
// The operation, shown: a new reference.
json_t *moved_operation(struct moved *m);
// The phase that runs: static. "": none does.
const char *moved_phase(struct moved *m);
// "warm:done wait:done switch:running": static.
const char *moved_phases(struct moved *m);
// The row: "eus-2 was eus-1", "eus-1"; static.
const char *moved_row(const struct moved *m);
// Clients that are connected to that stamp.
unsigned moved_at(const struct moved *m, unsigned stamp);

#endif
