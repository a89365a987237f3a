// SPDX-License-Identifier: Apache-2.0
// The change document read and written; see change.h.
#include "control/change.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/dnl.h"
#include "config/document.h"
#include "config/policy.h"

#include <string.h>

static bool time_ok(const char *s)
{
    int64_t at;
    return !clock_parse_s(s, &at) && at > 0;
}

#define CHANGE_AT(member) OPT_AT(struct change, member)
#define CHANGE_ARRAY(member) OPT_ARRAY_AT(struct change, member, n_##member)
static const struct option change_rows[] = {
    {"version", OPT_INT, CHANGE_AT(version), .required = true, .min = 1, .max = INT64_MAX,
     .example = "2", .help = "the version that it makes: one more than the one before"},
    {"incarnation", OPT_INT, CHANGE_AT(incarnation), .def = "0", .max = INT64_MAX,
     .help = "of the registries that it creates: its version; meridian topology change adds it"},
    {"time", OPT_STRING, CHANGE_AT(time), .check = time_ok,
     .expect = "a time in UTC, as in 2026-11-23T19:58:50Z",
     .help = "when it was made: whether names are still reserved is judged by it"},
    {"registries", OPT_LIST, CHANGE_ARRAY(registries), .sub = &spec_registry_set,
     .help = "whole rows, added, or in the place of what has their name"},
    {"remove", OPT_STRINGS, CHANGE_ARRAY(remove), .help = "names of registries that go"},
    {"private_endpoints", OPT_LIST, CHANGE_ARRAY(private_endpoints), .sub = &spec_private_set,
     .help = "whole rows, added, or in the place of what has their name"},
    {"remove_private_endpoints", OPT_STRINGS, CHANGE_ARRAY(remove_private_endpoints),
     .help = "names of private endpoints that go"},
    {"reserve", OPT_LIST, CHANGE_ARRAY(reserve), .sub = &spec_reserved_set,
     .help = "whole rows of reserved names, added, or in the place of what has their name"},
    {"release", OPT_STRINGS, CHANGE_ARRAY(release),
     .help = "reserved names that anybody may have from now on"},
};
static const struct option_set change_set = {change_rows, ARRAY_LEN(change_rows),
                                             sizeof(struct change), offsetof(struct change, node)};

// ---- reading ----

int change_read(struct option_ctx *ctx, const char *text, size_t n, int first_line,
                struct change *out)
{
    struct doc_node *root;
    if (n > CHANGE_MAX_BYTES) {
        diag_add(ctx->diag, ctx->source, first_line, "a change of more than %u bytes",
                 CHANGE_MAX_BYTES);
        return ERR_INVAL;
    }
    int rc = doc_parse_part(text, n, ctx->source, &(struct doc_lines){.first = first_line},
                            ctx->arena, ctx->diag, &root);
    if (rc)
        return rc;
    options_apply(ctx, &change_set, root, "", out);
    if (ctx->nomem)
        return ERR_NOMEM;
    return 0;
}

static void *room(struct option_ctx *ctx, size_t n, size_t size)
{
    void *p = arena_array(ctx->arena, n ? n : 1, size);
    if (!p)
        ctx->nomem = true;
    return p;
}

static void read_access(struct option_ctx *ctx, struct spec_registry *r)
{
    struct spec_public *access = room(ctx, 1, sizeof *access);
    if (!access)
        return;
    registry_spec_access(ctx, r->name ? r->name : "", r->public_access, access);
    r->access = access;
}

// An address, or a list of them.
static void read_member(struct option_ctx *ctx, const char *endpoint, const struct doc_node *v,
                        struct spec_member *out)
{
    bool is_list = v->kind == DOC_LIST;
    struct ip *ips = room(ctx, is_list ? v->n : 1, sizeof *ips);
    size_t n = 0;
    const struct doc_node *i = v;
    if (is_list)
        i = v->child;
    while (ips && i) {
        if (i->kind != DOC_SCALAR || ip_parse(i->text, &ips[n++]))
            options_error(ctx, i->line,
                          "private endpoint %s: %s: expected an IP address, found \"%.80s\"",
                          endpoint, v->key, i->kind == DOC_SCALAR ? i->text : doc_kind_name(i));
        i = is_list ? i->next : NULL;
    }
    *out = (struct spec_member){v->key, ips, n};
}

static void read_members(struct option_ctx *ctx, struct spec_private *p)
{
    const struct doc_node *a = p->addresses;
    if (!a)
        return;
    if (a->kind != DOC_MAP) {
        options_error(
            ctx, a->key_line,
            "private endpoint %s: addresses: expected a mapping from member to IP address",
            p->name ? p->name : "");
        return;
    }
    struct spec_member *members = room(ctx, a->n, sizeof *members);
    size_t n = 0;
    for (const struct doc_node *v = a->child; members && v; v = v->next)
        read_member(ctx, p->name ? p->name : "", v, &members[n++]);
    p->members = members;
    p->n_members = n;
}

int change_parse(const char *text, size_t n, const char *source, int first_line,
                 struct arena *arena, struct diag *diag, struct change *out)
{
    struct option_ctx ctx = {.source = source, .diag = diag, .arena = arena};
    struct change c = {0};
    int rc = change_read(&ctx, text, n, first_line, &c);
    if (rc)
        return rc;
    for (size_t i = 0; i < c.n_registries; i++)
        read_access(&ctx, &c.registries[i]);
    for (size_t i = 0; i < c.n_private_endpoints; i++)
        // the array was made by change_read just now
        read_members(&ctx, (struct spec_private *)&c.private_endpoints[i]);
    rc = option_ctx_result(&ctx);
    if (!rc)
        *out = c;
    return rc;
}

// ---- writing ----

// Names are plain words; whatever else a caller has put in one comes back as it was, and is judged.
static void put_word(struct buf *out, const char *s)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    if (*s && *s != '-' && *s != '.' && s[strspn(s, plain)] == 0) {
        buf_str(out, s);
        return;
    }
    buf_str(out, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c == '"' || c == '\\')
            buf_printf(out, "\\x%02x", c);
        else
            buf_u8(out, c);
    }
    buf_str(out, "\"");
}

static void put_words(struct buf *out, const char *key, const char *const *words, size_t n)
{
    if (!n)
        return;
    buf_printf(out, "%s:\n", key);
    for (size_t i = 0; i < n; i++) {
        buf_str(out, "  - ");
        put_word(out, words[i]);
        buf_str(out, "\n");
    }
}

static const char *enabled(bool on)
{
    if (on)
        return "enabled";
    return "disabled";
}

static const char *truth(bool on)
{
    if (on)
        return "true";
    return "false";
}

static void put_access(struct buf *out, const struct spec_public *a)
{
    char text[CIDR_TEXT_SIZE];
    if (!a || a->mode == ACCESS_ENABLED)
        return;
    if (a->mode == ACCESS_DISABLED) {
        buf_str(out, "    public_access: disabled\n");
        return;
    }
    buf_str(out, "    public_access: [");
    for (size_t i = 0; i < a->n_cidrs; i++)
        buf_printf(out, "%s\"%s\"", i ? ", " : "", cidr_format(&a->cidrs[i], text));
    buf_str(out, "]\n");
}

static void put_replica(struct buf *out, const struct spec_replica *r)
{
    buf_str(out, "      - { region: ");
    put_word(out, r->region);
    if (r->stamp) {
        buf_str(out, ", stamp: ");
        put_word(out, r->stamp);
    }
    if (r->was && r->since) {
        buf_str(out, ", stamp_was: ");
        put_word(out, r->was);
        buf_printf(out, ", stamp_since: \"%s\"", r->since);
    }
    buf_printf(out, ", global_routing: %s, drained: %s, weight: %u", truth(r->global_routing),
               truth(r->drained), (unsigned)r->weight);
    if (r->stage)
        buf_printf(out, ", stage: %s", name_stage_word((enum name_stage)r->stage));
    buf_str(out, " }\n");
}

static void put_globs(struct buf *out, const char *key, const char *const *list, size_t n)
{
    buf_printf(out, "%s: [", key);
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? ", " : "");
        put_word(out, list[i]);
    }
    buf_str(out, "]");
}

static void put_retention(struct buf *out, const struct spec_retention *r)
{
    if (!r->untagged_ms && !r->keep_last)
        return;
    buf_str(out, "        retention: { ");
    if (r->untagged_ms)
        buf_printf(out, "untagged: %llums", (unsigned long long)r->untagged_ms);
    if (r->keep_last)
        buf_printf(out, "%skeep_last: %u", r->untagged_ms ? ", " : "", (unsigned)r->keep_last);
    if (r->n_tags) {
        buf_str(out, ", ");
        put_globs(out, "tags", r->tags, r->n_tags);
    }
    buf_str(out, " }\n");
}

static void put_rule(struct buf *out, const struct spec_repository *r)
{
    buf_str(out, "      - match: ");
    put_word(out, r->match);
    buf_printf(out, "\n        quota: %llu\n        sparse: %s\n",
               (unsigned long long)r->quota_bytes, spec_sparse_words[r->sparse].word);
    if (r->n_immutable) {
        buf_str(out, "        ");
        put_globs(out, "immutable", r->immutable, r->n_immutable);
        buf_str(out, "\n");
    }
    put_retention(out, &r->retention);
}

// Nothing of a registry without: releases that know none of it read its rows too.
static void put_policy(struct buf *out, const struct spec_registry *r)
{
    if (r->quota_bytes)
        buf_printf(out, "    quota: %llu\n", (unsigned long long)r->quota_bytes);
    if (r->push_move)
        buf_printf(out, "    push_move: %s\n", spec_push_move_words[r->push_move].word);
    if (r->copy_ahead)
        buf_printf(out, "    copy_ahead: %s\n", spec_copy_ahead_words[r->copy_ahead].word);
    if (r->ack_peers)
        buf_printf(out, "    ack: %s\n", spec_ack_words[r->ack_peers].word);
    rates_format(&r->limits, "    ", out);
    if (!r->n_repositories)
        return;
    buf_str(out, "    repositories:\n");
    for (size_t i = 0; i < r->n_repositories; i++)
        put_rule(out, &r->repositories[i]);
}

static void put_stage(struct buf *out, const char *key, unsigned stage)
{
    if (stage)
        buf_printf(out, "    %s: %s\n", key, name_stage_word((enum name_stage)stage));
}

// Only what a row says: releases that know none of it read those of other registries too.
static void put_stages(struct buf *out, const struct spec_registry *r)
{
    if (r->owner && *r->owner) {
        buf_str(out, "    owner: ");
        put_word(out, r->owner);
        buf_str(out, "\n");
    }
    if (r->dnl_scope)
        buf_printf(out, "    dnl_scope: %s\n", dnl_scope_word((enum dnl_scope)r->dnl_scope));
    put_stage(out, "stage", r->stage);
    put_stage(out, "regional_stage", r->regional_stage);
    put_stage(out, "data_stage", r->data_stage);
}

static void put_registry(struct buf *out, const struct spec_registry *r)
{
    buf_str(out, "  - name: ");
    put_word(out, r->name);
    if (r->hash && *r->hash) {
        buf_str(out, "\n    hash: ");
        put_word(out, r->hash);
    }
    if (r->incarnation)
        buf_printf(out, "\n    incarnation: %llu", (unsigned long long)r->incarnation);
    buf_printf(
        out, "\n    regional_endpoints: %s\n    data_endpoints: %s\n    anonymous_pull: %s\n",
        enabled(r->regional_endpoints), enabled(r->data_endpoints), truth(r->anonymous_pull));
    put_access(out, r->access);
    put_stages(out, r);
    put_policy(out, r);
    buf_str(out, "    replicas:\n");
    for (size_t i = 0; i < r->n_replicas; i++)
        put_replica(out, &r->replicas[i]);
}

static void put_key(struct buf *out, const char *key, const char *value)
{
    buf_printf(out, "\n    %s: ", key);
    put_word(out, value);
}

static void put_reserved(struct buf *out, const struct spec_reserved *r)
{
    buf_str(out, "  - name: ");
    put_word(out, r->name);
    if (r->label)
        put_key(out, "label", r->label);
    if (r->owner && *r->owner)
        put_key(out, "owner", r->owner);
    put_key(out, "since", r->since);
    put_key(out, "until", r->until);
    if (r->incarnation)
        buf_printf(out, "\n    incarnation: %llu", (unsigned long long)r->incarnation);
    buf_str(out, "\n");
}

static void put_member(struct buf *out, const struct spec_member *m)
{
    char text[IP_TEXT_SIZE];
    buf_str(out, "      ");
    put_word(out, m->key);
    buf_str(out, ": [");
    for (size_t i = 0; i < m->n_ips; i++)
        buf_printf(out, "%s\"%s\"", i ? ", " : "", ip_format(&m->ips[i], text));
    buf_str(out, "]\n");
}

static void put_private(struct buf *out, const struct spec_private *p)
{
    buf_str(out, "  - name: ");
    put_word(out, p->name);
    buf_str(out, "\n    registry: ");
    put_word(out, p->registry);
    buf_str(out, "\n    view: ");
    put_word(out, p->view);
    // only what a row says, for the sake of older releases
    if (p->stage)
        buf_printf(out, "\n    stage: %s", spec_private_stage_words[p->stage].word);
    if (p->answered_by)
        buf_printf(out, "\n    answered_by: %s", spec_answered_by_words[p->answered_by].word);
    buf_str(out, "\n    addresses:\n");
    for (size_t i = 0; i < p->n_members; i++)
        put_member(out, &p->members[i]);
}

int change_format(const struct change *c, struct buf *out)
{
    if (c->version)
        buf_printf(out, "version: %llu\n", (unsigned long long)c->version);
    if (c->incarnation)
        buf_printf(out, "incarnation: %llu\n", (unsigned long long)c->incarnation);
    if (c->time)
        buf_printf(out, "time: \"%s\"\n", c->time);
    if (c->n_registries)
        buf_str(out, "registries:\n");
    for (size_t i = 0; i < c->n_registries; i++)
        put_registry(out, &c->registries[i]);
    put_words(out, "remove", c->remove, c->n_remove);
    if (c->n_private_endpoints)
        buf_str(out, "private_endpoints:\n");
    for (size_t i = 0; i < c->n_private_endpoints; i++)
        put_private(out, &c->private_endpoints[i]);
    put_words(out, "remove_private_endpoints", c->remove_private_endpoints,
              c->n_remove_private_endpoints);
    if (c->n_reserve)
        buf_str(out, "reserve:\n");
    for (size_t i = 0; i < c->n_reserve; i++)
        put_reserved(out, &c->reserve[i]);
    put_words(out, "release", c->release, c->n_release);
    return out->err;
}

// ---- rows as they are in force ----

static int replica_row(const struct topology *t, const struct registry *r,
                       const struct replica *rep, struct arena *arena, struct spec_replica *out)
{
    const struct region *region = &t->regions[rep->region];
    const struct stamp_move *move = registry_move(r, rep->region);
    *out = (struct spec_replica){.region = region->name,
                                 .stamp = region->stamps[rep->stamp].name,
                                 .global_routing = rep->global_routing,
                                 .drained = rep->drained,
                                 .stage = rep->stage,
                                 .weight = r->weights ? r->weights[rep->region] : 100};
    // of a stamp that is gone the name is not known, and the move means nothing any more
    if (!move || move->was == STAMP_GONE)
        return 0;
    char since[CLOCK_TEXT_SIZE];
    out->was = region->stamps[move->was].name;
    out->since = arena_strdup(arena, clock_format_s(move->since_s, since));
    if (out->since)
        return 0;
    return ERR_NOMEM;
}

static struct spec_repository rule_row(const struct repository_policy *p)
{
    return (struct spec_repository){
        .match = p->match,
        .quota_bytes = p->quota_bytes,
        .sparse = p->sparse,
        .immutable = p->immutable.list,
        .n_immutable = p->immutable.n,
        .retention = {.untagged_ms = p->retention.untagged_ms,
                      .keep_last = p->retention.keep_last,
                      .tags = p->retention.tags.list,
                      .n_tags = p->retention.tags.n},
    };
}

static int policy_rows(const struct registry_policy *p, struct arena *arena,
                       struct spec_registry *out)
{
    if (!p)
        return 0;
    struct spec_repository *rules =
        arena_array(arena, p->n_repositories ? p->n_repositories : 1, sizeof *rules);
    if (!rules)
        return ERR_NOMEM;
    for (size_t i = 0; i < p->n_repositories; i++)
        rules[i] = rule_row(&p->repositories[i]);
    out->quota_bytes = p->quota_bytes;
    out->push_move = p->push_move;
    out->copy_ahead = p->copy_ahead;
    out->ack_peers = p->ack_peers;
    out->limits = p->rates;
    out->repositories = rules;
    out->n_repositories = p->n_repositories;
    return 0;
}

int change_registry_row(const struct topology *t, const struct registry *r, struct arena *arena,
                        struct spec_registry *out)
{
    struct spec_replica *replicas =
        arena_array(arena, r->n_replicas ? r->n_replicas : 1, sizeof *replicas);
    struct spec_public *access = arena_alloc(arena, sizeof *access);
    if (!replicas || !access)
        return ERR_NOMEM;
    *access = (struct spec_public){(enum access_mode)r->public_access, r->public_cidrs,
                                   r->n_public_cidrs};
    for (size_t i = 0; i < r->n_replicas; i++) {
        int rc = replica_row(t, r, &r->replicas[i], arena, &replicas[i]);
        if (rc)
            return rc;
    }
    *out = (struct spec_registry){.access = access,
                                  .name = r->name,
                                  .hash = *r->hash ? r->hash : NULL,
                                  .incarnation = r->incarnation,
                                  .regional_endpoints = r->regional_endpoints,
                                  .data_endpoints = r->data_endpoints,
                                  .anonymous_pull = r->anonymous_pull,
                                  .stage = r->stage,
                                  .regional_stage = r->regional_stage,
                                  .data_stage = r->data_stage,
                                  .dnl_scope = r->dnl_scope,
                                  .owner = *r->owner ? r->owner : NULL,
                                  .replicas = replicas,
                                  .n_replicas = r->n_replicas};
    return policy_rows(r->policy, arena, out);
}

struct spec_replica *change_replica(struct spec_registry *row, const char *region)
{
    for (size_t i = 0; i < row->n_replicas; i++)
        if (!strcmp(row->replicas[i].region, region))
            return (struct spec_replica *)&row->replicas[i];
    return NULL;
}

static const char *member_key(const struct topology *t, const struct private_member *m,
                              struct arena *arena)
{
    if (m->kind == NAME_GLOBAL)
        return "registry";
    const char *form = "registry_";
    if (m->kind == NAME_DATA)
        form = "registry_data_";
    return arena_printf(arena, "%s%s", form, t->regions[m->region].name);
}

static bool same_member(const struct private_member *x, const struct private_member *y)
{
    return x->kind == y->kind && x->region == y->region;
}

int change_private_row(const struct topology *t, const char *registry,
                       const struct private_endpoint *pe, struct arena *arena,
                       struct spec_private *out)
{
    struct spec_member *members = arena_array(arena, pe->n_members + 1, sizeof *members);
    struct ip *ips = arena_array(arena, pe->n_members + 1, sizeof *ips);
    size_t n = 0;
    if (!members || !ips)
        return ERR_NOMEM;
    // addresses of one member stand side by side
    for (size_t i = 0; i < pe->n_members; i++) {
        const struct private_member *m = &pe->members[i];
        ips[i] = m->ip;
        if (i && same_member(m, m - 1)) {
            members[n - 1].n_ips++;
            continue;
        }
        const char *key = member_key(t, m, arena);
        if (!key)
            return ERR_NOMEM;
        members[n++] = (struct spec_member){key, &ips[i], 1};
    }
    *out = (struct spec_private){.members = members,
                                 .n_members = n,
                                 .name = pe->name,
                                 .registry = registry,
                                 .view = t->views[pe->view].name,
                                 .stage = pe->stage,
                                 .answered_by = pe->answered_by};
    return 0;
}
