// SPDX-License-Identifier: Apache-2.0
// A fleet in memory with its engine, asked by one line.
#ifndef MERIDIAN_TESTS_UNIT_LIFECYCLE_ASKED_H
#define MERIDIAN_TESTS_UNIT_LIFECYCLE_ASKED_H

#include "tests/support/toy_fleet.h"

struct asked {
    struct toy_fleet fleet;
    struct lifecycle *l;
    unsigned n_asked;
    // as root at the writer's own socket
    bool bare;
    // who asks, and what that one may; at first "operator:ada", who may all
    const char *by;
    unsigned rights;
};

// Three regions (eastus, westus, north; eastus writes), views corp and lab; registries and private
// endpoints as text.
void asked_init(struct asked *a, const char *registries);
// The same of a whole document.
void asked_begin(struct asked *a, const char *document);
void asked_done(struct asked *a);
// Arguments as JSON text with ' for ". The status; *out_body may be NULL.
int asked_of(struct asked *a, const char *nonce, const char *verb, const char *object,
             const char *arguments, json_t **out_body);
int asked(struct asked *a, const char *verb, const char *object, const char *arguments,
          json_t **out_body);
// The code of the error; the test fails when there is none.
const char *asked_code(json_t *body); // static; releases body
// Lets time pass until nothing runs any more, at most `seconds`. Returns the seconds.
int64_t asked_settle(struct asked *a, int64_t seconds);
void asked_pass(struct asked *a, int64_t seconds);
// The state of an operation: static
const char *asked_state(struct asked *a, const char *id);
// Asks, expects 202, lets it end, and expects that state. Returns the operation (shown).
json_t *asked_to_end(struct asked *a, const char *verb, const char *object, const char *arguments,
                     const char *state);
// The engine dies and another begins.
void asked_restart(struct asked *a);

// "g:public r.eastus:edge d.eastus:public": the names of a registry and their stages; "" none. Static.
const char *asked_names(const struct asked *a, const char *registry);
// "corp-pe: registry registry_data_eastus": the members of its private endpoints. Static.
const char *asked_members(const struct asked *a, const char *registry);

#endif
