// SPDX-License-Identifier: Apache-2.0
// What must be unique among private endpoints: their names, one for a registry in a view, an
// address in a view. Made while a topology is read, and again when a change brings private
// endpoints (control/changer.h). Single-threaded.
#ifndef MERIDIAN_CONFIG_PRIVATE_INDEX_H
#define MERIDIAN_CONFIG_PRIVATE_INDEX_H

#include "config/topology.h"

struct private_index;
struct private_owner {
    const char *name, *registry;
    // in the document at hand; 0: not in it
    int line;
};

struct private_index *private_index_new(void); // NULL: out of memory
void private_index_free(struct private_index *x);
int private_index_add_all(struct private_index *x, const struct topology *t); // those of a topology
void private_index_remove(struct private_index *x, const char *registry,
                          const struct private_endpoint *pe);

// The private endpoint that has it, or NULL.
const struct private_owner *private_index_name(const struct private_index *x, const char *name);
const struct private_owner *private_index_view(const struct private_index *x, const char *registry,
                                               uint32_t view);
const struct private_owner *private_index_address(const struct private_index *x, uint32_t view,
                                                  const struct ip *ip);

// Each enters one thing into the index. ERR_NOMEM; ERR_EXISTS when another has it. `o` is copied
// with its strings.
int private_index_owner(struct private_index *x, const struct private_owner *o,
                        const struct private_owner **out);
int private_index_put_name(struct private_index *x, const struct private_owner *o);
int private_index_put_view(struct private_index *x, const struct private_owner *o, uint32_t view);
int private_index_put_address(struct private_index *x, const struct private_owner *o, uint32_t view,
                              const struct ip *ip);

#endif
