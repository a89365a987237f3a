// SPDX-License-Identifier: Apache-2.0
// The rows of the table of verbs (verbs.c), each defined where it is planned.
#ifndef MERIDIAN_LIFECYCLE_VERBS_H
#define MERIDIAN_LIFECYCLE_VERBS_H

#include "lifecycle/verb.h"

// X(name), of verb_NAME; one on a line, so that changes from many sides merge
#define VERBS(X)                                                    \
    X(registry_create) /* registry_verbs.c */                       \
    X(registry_update)                                              \
    X(registry_delete)                                              \
    X(replication_create) /* replication_verbs.c */                 \
    X(replication_update)                                           \
    X(replication_rebind)                                           \
    X(replication_delete)                                           \
    X(private_endpoint_create) /* private_verbs.c */                \
    X(private_endpoint_delete)                                      \
    X(private_endpoint_connection_approve) /* connection_verbs.c */ \
    X(private_endpoint_connection_reject)                           \
    X(private_endpoint_connection_delete)                           \
    X(stamp_drain)    /* stamp_verbs.c */                           \
    X(name_release)   /* name_verbs.c */                            \
    X(topology_apply) /* topology_verbs.c */                        \
    X(topology_rollback)                                            \
    X(user_create) /* principals_verbs.c */                         \
    X(user_update)                                                  \
    X(user_passwd)                                                  \
    X(user_grant)                                                   \
    X(user_revoke)                                                  \
    X(user_delete)                                                  \
    X(user_import)                                                  \
    X(token_create)                                                 \
    X(token_update)                                                 \
    X(token_delete)                                                 \
    X(token_credential_generate)                                    \
    X(token_credential_delete)                                      \
    X(token_revoke)                                                 \
    X(scope_map_create)                                             \
    X(scope_map_update)                                             \
    X(scope_map_delete)                                             \
    X(operator_create) /* fleet_verbs.c */                          \
    X(operator_revoke)                                              \
    X(join_token_create)                                            \
    X(join_token_revoke)                                            \
    X(region_add)                                                   \
    X(region_remove)                                                \
    X(region_forget) /* forget.c */

#define VERB_DECLARED(name) extern const struct verb verb_##name;
VERBS(VERB_DECLARED)
#undef VERB_DECLARED

#endif
