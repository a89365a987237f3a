// SPDX-License-Identifier: Apache-2.0
// Quotas and rules of repositories: their rows, and what they become. See config/policy.h.
#include "config/topology_priv.h"

#include "base/mem.h"
#include "config/policy.h"

#include <assert.h>
#include <string.h>

#define MATCH_WORDS                                                                            \
    "a pattern of repository names, as in prod/*: at most 255 lower-case letters, digits and " \
    "._-/*"
#define TAG_WORDS "a pattern of tags, as in v1.*: at most 128 letters, digits and ._-*"

const struct option_word spec_push_move_words[2] = {{"none", PUSH_MOVE_NONE},
                                                    {"regional", PUSH_MOVE_REGIONAL}};
const struct option_word spec_copy_ahead_words[2] = {{"enabled", COPY_AHEAD_ENABLED},
                                                     {"disabled", COPY_AHEAD_DISABLED}};
const struct option_word spec_ack_words[POLICY_ACK_MAX + 1] = {
    {"local", 0},   {"peers:1", 1}, {"peers:2", 2}, {"peers:3", 3}, {"peers:4", 4},
    {"peers:5", 5}, {"peers:6", 6}, {"peers:7", 7}, {"peers:8", 8},
};
const struct option_word spec_sparse_words[2] = {{"refused", 0}, {"allowed", 1}};

static const struct option retention_rows[] = {
    {"untagged", OPT_DURATION, OPT_AT(struct spec_retention, untagged_ms),
     .min = POLICY_UNTAGGED_MIN_MS, .max = POLICY_UNTAGGED_MAX_MS, .example = "7d",
     .help = "manifests go that no tag has named for so long, and no index and no artifact's "
             "subject either; not given: they stay"},
    {"keep_last", OPT_INT, OPT_AT(struct spec_retention, keep_last), .min = 1,
     .max = POLICY_KEEP_LAST_MAX, .example = "10",
     .help = "of the tags that `tags` names so many of the newest stay; not given: all stay"},
    {"tags", OPT_STRINGS, OPT_ARRAY_AT(struct spec_retention, tags, n_tags),
     .max = POLICY_GLOBS_MAX, .one_ok = true, .check = policy_tag_glob_ok, .expect = TAG_WORDS,
     .example = "dev-*", .help = "patterns of the tags that keep_last counts; all when not given"},
};
static const struct option_set retention_set = {retention_rows, ARRAY_LEN(retention_rows),
                                                sizeof(struct spec_retention),
                                                offsetof(struct spec_retention, node)};

static const struct option repository_rows[] = {
    {"match", OPT_STRING, OPT_AT(struct spec_repository, match), .required = true,
     .check = policy_match_ok, .expect = MATCH_WORDS, .example = "prod/*",
     .help = "which repositories: * stands for any run of characters, slashes too"},
    {"quota", OPT_SIZE, OPT_AT(struct spec_repository, quota_bytes), .def = "0",
     .max = POLICY_QUOTA_MAX,
     .help = "bytes that each of them may hold in a region, manifests not counted; 0: no bound"},
    {"sparse", OPT_ENUM, OPT_AT(struct spec_repository, sparse), .def = "refused",
     .words = spec_sparse_words, .n_words = ARRAY_LEN(spec_sparse_words),
     .help = "whether an index may be pushed while manifests that it lists are absent"},
    {"immutable", OPT_STRINGS, OPT_ARRAY_AT(struct spec_repository, immutable, n_immutable),
     .max = POLICY_GLOBS_MAX, .one_ok = true, .check = policy_tag_glob_ok, .expect = TAG_WORDS,
     .example = "v*", .help = "patterns of tags that, once made, never lead to another digest"},
    {"retention", OPT_MAP, OPT_AT(struct spec_repository, retention), .sub = &retention_set,
     .help = "what goes when nobody needs it any more"},
};
const struct option_set spec_repository_set = {repository_rows, ARRAY_LEN(repository_rows),
                                               sizeof(struct spec_repository),
                                               offsetof(struct spec_repository, node)};

// After a bad value a pattern is NULL: it was told.
static struct policy_globs globs_of(struct topology_build *b, const char *const *in, size_t n)
{
    const char **list = NULL;
    size_t kept = 0;
    if (n)
        list = build_temp(b, n, sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        if (in[i])
            list[kept++] = in[i];
    return (struct policy_globs){list, kept};
}

static struct repository_policy rule_of(struct topology_build *b, const struct spec_repository *in)
{
    return (struct repository_policy){
        .match = in->match ? in->match : "",
        .quota_bytes = in->quota_bytes,
        .sparse = in->sparse,
        .immutable = globs_of(b, in->immutable, in->n_immutable),
        .retention = {.untagged_ms = in->retention.untagged_ms,
                      .keep_last = in->retention.keep_last,
                      .tags = globs_of(b, in->retention.tags, in->retention.n_tags)},
    };
}

static const struct repository_policy *rules_of(struct topology_build *b,
                                                const struct spec_registry *in)
{
    struct repository_policy *rules = NULL;
    if (in->n_repositories)
        rules = build_temp(b, in->n_repositories, sizeof *rules);
    for (size_t i = 0; rules && i < in->n_repositories; i++)
        rules[i] = rule_of(b, &in->repositories[i]);
    return rules;
}

// What the rows alone cannot tell.
static void check(struct topology_build *b, const struct spec_registry *in,
                  const struct registry *r)
{
    size_t rule;
    if (r->policy->ack_peers > policy_ack_most(r))
        options_error(b->ctx, doc_key_line(in->node, "name"), POLICY_ACK_SENTENCE, r->name,
                      r->policy->ack_peers, policy_ack_most(r));
    for (size_t i = 0; i < in->n_repositories; i++)
        if (!in->repositories[i].match)
            return; // told already
    const char *why = policy_wrong(r->policy, &rule);
    if (!why)
        return;
    if (!r->policy->n_repositories) {
        options_error(b->ctx, doc_key_line(in->node, "name"), "registry %s: %s", r->name, why);
        return;
    }
    assert(r->policy->repositories);
    options_error(b->ctx, doc_key_line(in->repositories[rule].node, "match"),
                  "registry %s: repositories: %s: %s", r->name, r->policy->repositories[rule].match,
                  why);
}

void topology_build_policy(struct topology_build *b, const struct spec_registry *in,
                           struct registry *r)
{
    bool says =
        in->quota_bytes || in->push_move || in->copy_ahead || in->n_repositories || in->ack_peers;
    if (!says && !rates_any(&in->limits))
        return;
    struct registry_policy *p = build_temp(b, 1, sizeof *p);
    if (!p)
        return;
    *p = (struct registry_policy){.push_move = (enum push_move)in->push_move,
                                  .copy_ahead = (enum copy_ahead)in->copy_ahead,
                                  .ack_peers = in->ack_peers,
                                  .quota_bytes = in->quota_bytes,
                                  .repositories = rules_of(b, in),
                                  .n_repositories = in->n_repositories,
                                  .rates = in->limits};
    if (b->ctx->nomem)
        return;
    r->policy = p;
    check(b, in, r);
}
