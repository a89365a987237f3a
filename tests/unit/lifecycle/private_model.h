// SPDX-License-Identifier: Apache-2.0
// What should become of requests that touch private endpoints, by a simple model: from what is there
// now, for one request at a time. For test_private_sequences.c. One at a time.
#ifndef MERIDIAN_TESTS_UNIT_LIFECYCLE_PRIVATE_MODEL_H
#define MERIDIAN_TESTS_UNIT_LIFECYCLE_PRIVATE_MODEL_H

#include "tests/unit/lifecycle/private_watch.h"

#define NAMES 5

struct pool {
    const char *view, *name, *first;
    uint32_t n;
};

extern const char *const model_names[NAMES]; // the last is of rows by hand
extern const struct pool model_pools[3];     // of connected.h; the small one first

struct there { // a connection as its record says
    char name[WATCH_NAME], registry[WATCH_NAME], key[WATCH_NAME], view[WATCH_NAME];
    char pool[WATCH_NAME], state[WATCH_NAME], address[WATCH_NAME];
    // of the members that its registry's names need; and others
    unsigned n_lacking, n_more;
    bool is_static;
};

enum kind {
    CREATE,
    APPROVE,
    REJECT,
    GIVE_UP,
    DISCONNECT,
    ADD,
    REMOVE,
    REGIONAL,
    REGISTRY_OFF,
    REGISTRY_ON,
    ROW_OUT,
    ROW_IN,
    BACK,
    N_KINDS,
};
// What the fleet answers; of all refusals the lowest status.
enum answer { YES = 202, NOTHING = 200, NO = 400, ANY = 0 };

struct wish {
    enum kind kind;
    const char *name, *registry, *region;
    const struct pool *pool;
    bool automatic, on, now;
    // of a row by hand
    uint32_t ip;
    uint64_t version;
    // to be taken, and the state afterwards; NULL: as it was
    enum answer answer;
    const char *to;
    // as it was before
    struct there c;
    // approved again, it has the address that it had
    bool keeps;
};

// The fleet that the model is of, and its watch.
void model_begin(struct asked *a, struct private_watch *w);
// False: there is no such connection. Its state is "" then.
bool look(const char *name, struct there *out);
// Pending or Approved
bool is_open(const struct there *c);
// Fills in answer, to and c.
void model(struct wish *w);

#endif
