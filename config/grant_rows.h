// SPDX-License-Identifier: Apache-2.0
// Option rows of grants (config/options.h), for the tables of whoever reads some: users, scope maps,
// rules. What they mean is in config/grants.h.
//
//   {"grants", OPT_LIST, OPT_ARRAY_AT(struct spec_user, grants, n_grants), .sub = &grant_set, …},
#ifndef MERIDIAN_CONFIG_GRANT_ROWS_H
#define MERIDIAN_CONFIG_GRANT_ROWS_H

#include "config/options.h"

struct spec_grant {
    const struct doc_node *node;
    const char *registry;
    const char *const *repositories;
    size_t n_repositories;
    unsigned actions;
};
// of users: registry, repositories, actions in any words
extern const struct option_set grant_set;
// of scope maps and rules, which name the registry themselves: repositories, and actions in the
// words of scope maps
extern const struct option_set scope_grant_set;

#endif
