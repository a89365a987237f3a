// SPDX-License-Identifier: Apache-2.0
// An asked fleet (asked.h) with pools, looked at from its private networks: which connections there
// are, what DNS answers there, and who is admitted. One at a time.
#ifndef MERIDIAN_TESTS_UNIT_LIFECYCLE_CONNECTED_H
#define MERIDIAN_TESTS_UNIT_LIFECYCLE_CONNECTED_H

#include "tests/unit/lifecycle/asked.h"

// Views corp (ada's; corp-pool 10.1.0.0/27, small 10.1.1.0/29, large 10.1.16.0/20) and lab (nobody's;
// lab-pool 10.2.0.0/27); regions as asked_init has them. `registries` as text, with their key.
void connected_begin(struct asked *a, const char *registries);

// "Approved Succeeded registry=10.1.0.4 registry_data_eastus=10.1.0.5"; "" when there is none. Static.
const char *connection_of(struct asked *a, const char *name);
// The same without its members: "Approved Succeeded".
const char *state_of(struct asked *a, const char *name);
// Why its provisioning failed. Static.
const char *error_of(struct asked *a, const char *name);
// What the view (NULL: the public one) answers at a name: "A 10.1.0.4", "CNAME x.example.io", all
// sorted, or "". Static, of the last four calls.
const char *dns_of(struct asked *a, const char *view, const char *name);
// Is the network of the view admitted by the registry's private endpoints?
bool is_admitted(struct asked *a, const char *registry, const char *view);
// Last numbers of all IPv4 addresses held in a view. Static.
const char *held_in(struct asked *a, const char *view);
// Asks, expects the status, and gives code and message of the error, or "". Static.
const char *refusal(struct asked *a, int status, const char *verb, const char *object,
                    const char *arguments);
// Asks, lets it end, and expects that it Succeeded.
void done(struct asked *a, const char *verb, const char *object, const char *arguments);
// Names of the phases of the operation that the request makes, once it has ended. Static.
const char *phases_of(struct asked *a, const char *verb, const char *object, const char *arguments,
                      const char *state);

#endif
