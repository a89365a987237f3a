// SPDX-License-Identifier: Apache-2.0
// Registries and private endpoints as a document or a change names them: words, with the lines they
// stand on, and nothing resolved yet. The functions here resolve and judge them against a
// topology's regions, stamps and views. For config/topology.c and control/changer.c.
//
//   options_apply(&ctx, &my_set, root, "", &mine);   // my_set has lists of spec_registry_set
//   registry_specs_build(&ctx, t, mine.registries, mine.n, &registries, &n);
//   private_specs_build(&ctx, t, mine.endpoints, mine.n_endpoints, registries, n, index);
//   rc = option_ctx_result(&ctx);                    // all errors are in ctx.diag
//
// Strings and arrays live in ctx->arena, results too. After a bad value a field is NULL or empty,
// and building goes on past it, so that all errors are found. Single-threaded.
#ifndef MERIDIAN_CONFIG_REGISTRY_SPEC_H
#define MERIDIAN_CONFIG_REGISTRY_SPEC_H

#include "config/options.h"
#include "config/private_index.h"
#include "config/rates.h"
#include "config/reserved.h"
#include "config/topology.h"

struct spec_replica {
    const struct doc_node *node;
    // `was` and `since`: names lead to the stamp `was` until `since`; NULL: it does not move
    const char *region, *stamp, *was, *since;
    bool global_routing, drained;
    uint8_t weight;
    // enum name_stage
    unsigned stage;
};

struct spec_public {
    enum access_mode mode;
    const struct cidr *cidrs;
    size_t n_cidrs;
};

struct spec_retention {
    const struct doc_node *node;
    uint64_t untagged_ms;
    uint32_t keep_last;
    const char *const *tags;
    size_t n_tags;
};

struct spec_repository { // a rule of repositories
    const struct doc_node *node;
    const char *match;
    uint64_t quota_bytes;
    // 0 refused, 1 allowed
    unsigned sparse;
    const char *const *immutable;
    size_t n_immutable;
    struct spec_retention retention;
};

struct spec_registry {
    const struct doc_node *node;
    // as the document has it; `access`: the same as a value (registry_spec_access), or NULL
    const struct doc_node *public_access;
    const struct spec_public *access;
    // label: set by registry_specs_build
    const char *name, *hash, *label;
    // 0: not given
    uint64_t incarnation;
    bool regional_endpoints, data_endpoints, anonymous_pull;
    // enum name_stage; enum dnl_scope
    unsigned stage, regional_stage, data_stage, dnl_scope;
    // NULL: not said
    const char *owner;
    const struct spec_replica *replicas;
    size_t n_replicas;
    uint64_t quota_bytes;
    // enum push_move
    unsigned push_move;
    // enum copy_ahead
    unsigned copy_ahead;
    // 0: local
    unsigned ack_peers;
    const struct spec_repository *repositories;
    size_t n_repositories;
    struct rates limits;
};

struct spec_reserved { // a name that is kept for its owner (config/reserved.h)
    const struct doc_node *node;
    // label, owner: NULL when not said
    const char *name, *label, *owner;
    // times in UTC
    const char *since, *until;
    uint64_t incarnation;
};

struct spec_member { // "registry", "registry_<region>" or "registry_data_<region>"
    const char *key;
    const struct ip *ips;
    size_t n_ips;
};

struct spec_private { // a private endpoint
    const struct doc_node *node;
    // as the document has them; `members`: the same as values (control/change.h), or NULL
    const struct doc_node *addresses;
    const struct spec_member *members;
    size_t n_members;
    const char *name, *registry, *view;
    // enum private_stage, enum answered_by
    unsigned stage, answered_by;
};

// Rows of one registry, of one private endpoint, of one rule of repositories, of one reserved name.
extern const struct option_set spec_registry_set, spec_private_set, spec_repository_set,
    spec_reserved_set;
// The words of `push_move`, of `copy_ahead`, of `sparse`, and of `ack`, in the order of their numbers.
extern const struct option_word spec_push_move_words[2], spec_copy_ahead_words[2],
    spec_sparse_words[2], spec_ack_words[9];

// What a registry's `public_access` says (NULL: enabled).
void registry_spec_access(struct option_ctx *ctx, const char *registry, const struct doc_node *v,
                          struct spec_public *out);

// Sorts `specs` by label. *out: as many registries, in that order; untouched when memory ended.
void registry_specs_build(struct option_ctx *ctx, const struct topology *t,
                          struct spec_registry *specs, size_t n, struct registry **out,
                          size_t *out_n);
// `registries` are sorted by label, and hold every registry that the specs name. A new private
// endpoint goes to the end of its registry's list; names, views and addresses go to `index`.
void private_specs_build(struct option_ctx *ctx, const struct topology *t,
                         const struct spec_private *specs, size_t n, struct registry *registries,
                         size_t n_registries, struct private_index *index);

// Words of stages, in the order of enum name_stage.
extern const struct option_word spec_stage_words[3];
// Of private endpoints: in the order of enum private_stage, of enum answered_by.
extern const struct option_word spec_private_stage_words[2], spec_answered_by_words[3];
// A reserved name as its row says; strings are those of the row, or of the context's arena. False
// after saying what is wrong.
bool reserved_spec_build(struct option_ctx *ctx, const struct spec_reserved *in,
                         struct reserved_name *out);

// ---- bounds, which the compiled form keeps too ----

#define PRIVATE_ADDRESSES_MAX 32      // of one member: they are one RRset, signed on line
#define PRIVATE_MEMBERS_MAX 8192      // addresses of a private endpoint
bool topology_name_ok(const char *s); // of views and private endpoints
bool view_holds(const struct view *v, const struct ip *ip); // its networks do
bool topology_ip_sensible(const struct ip *ip);             // can be a host's address

#endif
