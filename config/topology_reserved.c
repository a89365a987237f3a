// SPDX-License-Identifier: Apache-2.0
// The `reserved` section: names of deleted registries. Its rows, and what they are checked for; what
// is made of it is in reserved.h. See topology_priv.h.
#include "config/topology_priv.h"

#include "base/mem.h"
#include "config/reserved.h"

#include <string.h>

static bool time_ok(const char *s)
{
    int64_t at = dnskey_time_parse(s);
    return at > 0 && at <= MOVE_SINCE_MAX_S;
}

#define TIME_WORDS "a time in UTC, as in 2026-11-23T19:58:50Z"
static const struct option rows[] = {
    {"name", OPT_STRING, OPT_AT(struct spec_reserved, name), .required = true,
     .check = hostname_registry_ok,
     .expect = "a registry name: 5 to 50 lower-case letters and digits, not a reserved word",
     .example = "contoso", .help = "the name, which no registry may have"},
    {"label", OPT_STRING, OPT_AT(struct spec_reserved, label), .max = HOSTNAME_LABEL_SIZE - 1,
     .help = "the login label that its registry had; the name when not given"},
    {"owner", OPT_STRING, OPT_AT(struct spec_reserved, owner), .check = registry_owner_ok,
     .expect = "an owner: at most 128 letters, digits and -_.@:/+",
     .help = "who may create it again before that time"},
    {"since", OPT_STRING, OPT_AT(struct spec_reserved, since), .required = true, .check = time_ok,
     .expect = TIME_WORDS, .example = "2026-11-23T19:58:50Z",
     .help = "when the registry was deleted"},
    {"until", OPT_STRING, OPT_AT(struct spec_reserved, until), .required = true, .check = time_ok,
     .expect = TIME_WORDS, .example = "2027-02-21T19:58:50Z",
     .help = "from when on anybody may create it"},
    {"incarnation", OPT_INT, OPT_AT(struct spec_reserved, incarnation), .def = "0",
     .max = INT64_MAX, .help = "of the registry that was deleted; 0: it had none"},
};
const struct option_set spec_reserved_set = {rows, ARRAY_LEN(rows), sizeof(struct spec_reserved),
                                             offsetof(struct spec_reserved, node)};

static const char *or_text(const char *s, const char *otherwise)
{
    if (s)
        return s;
    return otherwise;
}

bool reserved_spec_build(struct option_ctx *ctx, const struct spec_reserved *in,
                         struct reserved_name *out)
{
    if (!in->name || !in->since || !in->until) // it was told
        return false;
    struct reserved_name x = {.name = in->name,
                              .label = or_text(in->label, in->name),
                              .owner = or_text(in->owner, ""),
                              .since_s = dnskey_time_parse(in->since),
                              .until_s = dnskey_time_parse(in->until),
                              .incarnation = in->incarnation};
    if (!registry_label_of(x.label, x.name)) {
        options_error(ctx, doc_key_line(in->node, "label"),
                      "reserved name %s: label: expected the name, or the name, a hyphen and a "
                      "hash of 16 lower-case letters and digits",
                      x.name);
        return false;
    }
    if (x.until_s < x.since_s) {
        options_error(ctx, doc_key_line(in->node, "until"),
                      "reserved name %s: until is before since", x.name);
        return false;
    }
    *out = x;
    return true;
}

struct listed {
    struct reserved_name value;
    const struct doc_node *node;
};

static int by_name(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    int c = strcmp(x->value.name, y->value.name);
    if (c)
        return c;
    return (x->node->line > y->node->line) - (x->node->line < y->node->line);
}

static const struct registry *find_registry(const struct topology_build *b, const char *name)
{
    size_t low = 0, high = b->n_registries, n = strlen(name);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct registry *r = &b->registries[mid];
        // labels are sorted as names are: a hyphen is below all that names are made of
        if (!strcmp(r->name, name))
            return r;
        if (strncmp(r->label, name, n + 1) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static void check_one(struct topology_build *b, const struct listed *x, const struct listed *before)
{
    const char *name = x->value.name;
    if (before && !strcmp(before->value.name, name))
        options_error(b->ctx, doc_key_line(x->node, "name"),
                      "reserved name %s is given twice, first on line %d", name,
                      doc_key_line(before->node, "name"));
    if (find_registry(b, name))
        options_error(b->ctx, doc_key_line(x->node, "name"),
                      "reserved name %s: there is a registry of that name; a name is one or the "
                      "other",
                      name);
    if (x->value.incarnation > b->t->version)
        options_error(b->ctx, doc_key_line(x->node, "incarnation"),
                      "reserved name %s: incarnation is the version that created the registry, and "
                      "%llu is above the document's, %llu",
                      name, (unsigned long long)x->value.incarnation,
                      (unsigned long long)b->t->version);
}

void topology_build_reserved(struct topology_build *b)
{
    size_t n = 0;
    struct listed *all = build_temp(b, b->s->n_reserved, sizeof *all);
    struct reserved_name *list = build_temp(b, b->s->n_reserved, sizeof *list);
    for (size_t i = 0; all && list && i < b->s->n_reserved; i++) {
        all[n].node = b->s->reserved[i].node;
        n += reserved_spec_build(b->ctx, &b->s->reserved[i], &all[n].value);
    }
    if (!n || !all || !list)
        return;
    qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; i < n; i++) {
        check_one(b, &all[i], i ? &all[i - 1] : NULL);
        list[i] = all[i].value;
    }
    if (!option_ctx_result(b->ctx) && topology_set_reserved(b->t, list, n))
        b->ctx->nomem = true;
}
