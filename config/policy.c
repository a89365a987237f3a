// SPDX-License-Identifier: Apache-2.0
// Policies of repositories looked up and judged; see policy.h.
#include "config/policy.h"

#include "base/digest.h"
#include "config/endpoints.h"

#include <assert.h>
#include <string.h>

static const struct repository_policy nothing_asked = {.match = "*"};

uint64_t policy_quota(const struct registry *r)
{
    if (r->policy)
        return r->policy->quota_bytes;
    return 0;
}

const struct rates *policy_rates(const struct registry *r)
{
    if (r->policy && rates_any(&r->policy->rates))
        return &r->policy->rates;
    return NULL;
}

enum push_move policy_push_move(const struct registry *r)
{
    if (r->policy)
        return r->policy->push_move;
    return PUSH_MOVE_NONE;
}

enum copy_ahead policy_copy_ahead(const struct registry *r)
{
    if (r->policy)
        return r->policy->copy_ahead;
    return COPY_AHEAD_ENABLED;
}

unsigned policy_ack_peers(const struct registry *r)
{
    if (r->policy)
        return r->policy->ack_peers;
    return 0;
}

unsigned policy_ack_most(const struct registry *r)
{
    unsigned n = 0;
    for (size_t i = 0; i < r->n_replicas; i++)
        n += !replica_is_leaving(&r->replicas[i]);
    return n ? n - 1 : 0;
}

// Goes back to the last star only: what an earlier one took need not be tried otherwise. At most
// glob times text steps.
bool policy_glob_matches(const char *glob, const char *text)
{
    const char *star = NULL, *taken = NULL;
    while (*text) {
        if (*glob == '*') {
            star = ++glob;
            taken = text;
            continue;
        }
        if (*glob == *text) {
            glob++;
            text++;
            continue;
        }
        if (!star)
            return false;
        glob = star;
        text = ++taken;
    }
    while (*glob == '*')
        glob++;
    return !*glob;
}

static bool any_matches(const struct policy_globs *g, const char *text)
{
    for (size_t i = 0; i < g->n; i++)
        if (policy_glob_matches(g->list[i], text))
            return true;
    return false;
}

const struct repository_policy *policy_of(const struct registry *r, const char *repository)
{
    if (!r->policy)
        return &nothing_asked;
    for (size_t i = 0; i < r->policy->n_repositories; i++)
        if (policy_glob_matches(r->policy->repositories[i].match, repository))
            return &r->policy->repositories[i];
    return &nothing_asked;
}

bool policy_tag_immutable(const struct repository_policy *p, const char *tag)
{
    return any_matches(&p->immutable, tag);
}

bool policy_retains(const struct repository_policy *p)
{
    return p->retention.untagged_ms || p->retention.keep_last;
}

bool policy_tag_counted(const struct repository_policy *p, const char *tag)
{
    if (!p->retention.keep_last)
        return false;
    return !p->retention.tags.n || any_matches(&p->retention.tags, tag);
}

// ---- who runs the rules ----

static uint64_t weight_of(const char *key, const char *repository, const char *region)
{
    const char *const parts[] = {key, repository, region};
    uint8_t digest[SHA256_BYTES];
    char text[1024]; // 70 and 255 and 31 bytes, and their ends
    size_t n = 0;
    uint64_t weight = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t part = strlen(parts[i]) + 1;
        assert(n + part <= sizeof text);
        memcpy(text + n, parts[i], part);
        n += part;
    }
    sha256(text, n, digest);
    for (size_t i = 0; i < sizeof weight; i++)
        weight = weight << 8 | digest[i];
    return weight;
}

uint8_t policy_runner(const struct topology *t, const struct registry *r, const char *repository)
{
    uint8_t best = r->replicas[0].region;
    uint64_t most = 0;
    bool found = false;
    for (size_t i = 0; i < r->n_replicas; i++) {
        uint8_t region = r->replicas[i].region;
        uint64_t weight = weight_of(r->key, repository, t->regions[region].name);
        if (t->regions[region].sealed || (found && weight <= most))
            continue;
        found = true;
        most = weight;
        best = region;
    }
    return best;
}

// ---- judging ----

static bool glob_ok(const char *glob, const char *others, size_t most)
{
    size_t n = strlen(glob);
    for (const char *p = glob; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '*';
        if (!letter && !strchr(others, *p))
            return false;
    }
    return n >= 1 && n <= most;
}

bool policy_match_ok(const char *glob)
{
    return glob_ok(glob, "._-/", POLICY_MATCH_MAX);
}

bool policy_tag_glob_ok(const char *glob)
{
    return glob_ok(glob, "._-ABCDEFGHIJKLMNOPQRSTUVWXYZ", POLICY_TAG_GLOB_MAX);
}

static bool tag_globs_ok(const struct policy_globs *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (!policy_tag_glob_ok(g->list[i]))
            return false;
    return g->n <= POLICY_GLOBS_MAX;
}

static const char *rule_wrong(const struct repository_policy *p)
{
    const struct retention_policy *r = &p->retention;
    if (!policy_match_ok(p->match))
        return "match: no pattern of repository names";
    if (p->quota_bytes > POLICY_QUOTA_MAX)
        return "quota: more than a quota can be";
    if (!tag_globs_ok(&p->immutable))
        return "immutable: no patterns of tags, or too many";
    if (!tag_globs_ok(&r->tags))
        return "retention: tags: no patterns of tags, or too many";
    if (r->untagged_ms &&
        (r->untagged_ms < POLICY_UNTAGGED_MIN_MS || r->untagged_ms > POLICY_UNTAGGED_MAX_MS))
        return "retention: untagged: out of range";
    if (r->keep_last > POLICY_KEEP_LAST_MAX)
        return "retention: keep_last: out of range";
    if (r->tags.n && !r->keep_last)
        return "retention: tags says which tags keep_last counts, and keep_last is not given";
    return NULL;
}

// A rule after one that takes all it could take would never hold.
static bool is_hidden(const struct registry_policy *p, size_t rule)
{
    for (size_t i = 0; i < rule; i++)
        if (policy_glob_matches(p->repositories[i].match, p->repositories[rule].match))
            return true;
    return false;
}

const char *policy_wrong(const struct registry_policy *p, size_t *out_rule)
{
    *out_rule = 0;
    if (p->push_move > PUSH_MOVE_REGIONAL)
        return "push_move: neither none nor regional";
    if (p->copy_ahead > COPY_AHEAD_DISABLED)
        return "copy_ahead: neither enabled nor disabled";
    if (p->ack_peers > POLICY_ACK_MAX)
        return "ack: more peers than can be asked for";
    if (p->quota_bytes > POLICY_QUOTA_MAX)
        return "quota: more than a quota can be";
    for (unsigned i = 0; i < N_RATE_SCOPES * N_REQUEST_CLASSES; i++)
        if (p->rates.per_minute[i / N_REQUEST_CLASSES][i % N_REQUEST_CLASSES] > RATE_MAX)
            return "limits: more than a limit can be";
    if (p->n_repositories > POLICY_REPOSITORIES_MAX)
        return "repositories: too many rules";
    for (size_t i = 0; i < p->n_repositories; i++) {
        *out_rule = i;
        const char *why = rule_wrong(&p->repositories[i]);
        if (why)
            return why;
        if (is_hidden(p, i))
            return "match: a rule above it takes all that this one could; the first that fits "
                   "holds";
    }
    return NULL;
}
