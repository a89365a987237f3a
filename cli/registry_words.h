// SPDX-License-Identifier: Apache-2.0
// Words of commands on registries and replicas, and the arguments that they become: az's options in
// both spellings, az's member names. Functions that return int give an exit status, said.
#ifndef MERIDIAN_CLI_REGISTRY_WORDS_H
#define MERIDIAN_CLI_REGISTRY_WORDS_H

#include "cli/cli.h"

#define ON_OFF_CHOICES "true|false|enabled|disabled"
#define DNL_CHOICES "Unsecure|TenantReuse|SubscriptionReuse|ResourceGroupReuse|NoReuse"

struct registry_words { // NULL: not said
    const char *regional, *data, *network, *anonymous;
    struct opt_list cidrs;
};

#define REGISTRY_OPTS(w)                                                                          \
    {0,                                                                                           \
     "regional-endpoints",                                                                        \
     "enabled|disabled",                                                                          \
     "a name of its own in each region: contoso.eastus.geo.D",                                    \
     &(w).regional,                                                                               \
     .choices = "enabled|disabled|true|false"},                                                   \
        {0,                                                                                       \
         "data-endpoint-enabled",                                                                 \
         "true|false",                                                                            \
         "data endpoints: contoso.eastus.data.D",                                                 \
         &(w).data,                                                                               \
         .choices = ON_OFF_CHOICES,                                                               \
         .may_be_bare = true,                                                                     \
         .also = "data-endpoints"},                                                               \
        {0,                                                                                       \
         "public-network-enabled",                                                                \
         "true|false",                                                                            \
         "may clients come from public networks?",                                                \
         &(w).network,                                                                            \
         .choices = ON_OFF_CHOICES,                                                               \
         .may_be_bare = true},                                                                    \
        {0, "cidr", "NETWORKS", "only from these public networks, by comma", .list = &(w).cidrs}, \
    {                                                                                             \
        0, "anonymous-pull-enabled", "true|false", "may anybody pull?", &(w).anonymous,           \
            .choices = ON_OFF_CHOICES, .may_be_bare = true                                        \
    }
#define IP_OPT(ip)                                                    \
    {                                                                 \
        0, "ip", "MEMBER=ADDRESS",                                    \
            "address of a private endpoint's member, as in "          \
            "registry_eastus=10.4.0.9 (several: again, or by comma)", \
            .list = &(ip)                                             \
    }

// The one that its option names, or the only word. `what`: "a registry".
int words_name(struct cli *c, const char *what, const char *given, int argc, char **argv,
               const char **out);
int registry_word(struct cli *c, const char *given, int argc, char **argv, const char **out);
// "East US" is eastus, as az has it. NULL stays NULL. Arena.
const char *words_plain(struct cli *c, const char *text);
// Nothing where it is not said.
void words_put(json_t *arguments, const char *member, const char *text);
void words_put_list(struct cli *c, json_t *arguments, const char *member,
                    const struct opt_list *list);
// EXIT_USAGE, said with an option as an example, where nothing was asked to be other.
int words_some(struct cli *c, const json_t *arguments, const char *example);
// {"ip": {"registry_eastus": ["10.4.0.9", …]}}
int words_put_ip(struct cli *c, json_t *arguments, const struct opt_list *list);
// true, enabled: true
bool words_on(const char *choice);
int registry_words_put(struct cli *c, const struct registry_words *w, json_t *arguments);

#endif
