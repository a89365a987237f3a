// SPDX-License-Identifier: Apache-2.0
// Two topologies compared in all that the world sees of them; see what_if.h. Lines of text are
// gathered from both, sorted, and what only one side has is told.
#include "lifecycle/what_if.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "certs/plan.h"
#include "control/document_rows.h"
#include "control/document_text.h"
#include "lifecycle/what_if_priv.h"

#include <string.h>

// Members that are told; a note says how many more differ.
#define CHANGES_TOLD_MAX 1000

struct what_if {
    const struct what_if_in *in;
    struct arena arena;
    // of those that differ, sorted
    const char **registries;
    size_t n_registries;
    bool frame_differs;
    json_t *changes, *dns, *certificates, *members, *notes;
    size_t n_changes;
    // of the change that is being told
    const char *row;
};

struct topologies { // before and after
    const struct topology *of[2];
};

static int append(json_t *list, json_t *item) // takes the item
{
    if (!item || json_array_append_new(list, item))
        return ERR_NOMEM;
    return 0;
}

static int note(struct what_if *w, const char *text)
{
    if (!text)
        return ERR_NOMEM;
    return append(w->notes, json_string(text));
}

// ---- which registries ----

static bool same_privates(const struct what_if_in *in, const struct registry *a,
                          const struct registry *b)
{
    if (a->n_private_endpoints != b->n_private_endpoints)
        return false;
    for (size_t i = 0; i < a->n_private_endpoints; i++)
        if (strcmp(a->private_endpoints[i]->name, b->private_endpoints[i]->name) != 0 ||
            !document_same_private(in->before, a->private_endpoints[i], in->after,
                                   b->private_endpoints[i]))
            return false;
    return true;
}

static bool differs(const struct what_if_in *in, const char *name)
{
    const struct registry *a = topology_registry(in->before, name);
    const struct registry *b = topology_registry(in->after, name);
    if (!a || !b)
        return a || b;
    // versions that differ in registries only share what did not change
    if (a == b && topology_same_frame(in->before, in->after))
        return false;
    return a->incarnation != b->incarnation ||
           !document_same_registry(in->before, a, in->after, b) || !same_privates(in, a, b);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_registry(struct what_if *w, size_t *cap, const char *name)
{
    if (w->n_registries == *cap) {
        size_t more = *cap ? 2 * *cap : 64;
        const char **list = arena_array(&w->arena, more, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (w->n_registries)
            memcpy(list, w->registries, w->n_registries * sizeof *list);
        w->registries = list;
        *cap = more;
    }
    w->registries[w->n_registries++] = name;
    return 0;
}

static int choose_given(struct what_if *w)
{
    size_t cap = 0;
    for (size_t i = 0; i < w->in->n_registries; i++) {
        int rc = 0;
        if (differs(w->in, w->in->registries[i]))
            rc = add_registry(w, &cap, w->in->registries[i]);
        if (rc)
            return rc;
    }
    return 0;
}

static int choose_all(struct what_if *w)
{
    const struct topology *of[] = {w->in->before, w->in->after};
    size_t cap = 0;
    for (size_t i = 0; i < ARRAY_LEN(of); i++) {
        struct catalogue_iter it = {0};
        for (const struct registry *r; (r = topology_next(of[i], &it));) {
            // those of both are found at the first
            bool counted = i == 1 && topology_registry(of[0], r->name);
            int rc = 0;
            if (!counted && differs(w->in, r->name))
                rc = add_registry(w, &cap, r->name);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int choose_registries(struct what_if *w)
{
    int rc;
    if (w->in->registries)
        rc = choose_given(w);
    else
        rc = choose_all(w);
    if (rc)
        return rc;
    size_t n = 0;
    if (w->n_registries)
        qsort(w->registries, w->n_registries, sizeof *w->registries, by_text);
    for (size_t i = 0; i < w->n_registries; i++)
        if (!n || strcmp(w->registries[n - 1], w->registries[i]) != 0)
            w->registries[n++] = w->registries[i];
    w->n_registries = n;
    return 0;
}

// ---- what changes in the document ----

static int tell_change(void *ctx, const char *path, const char *was, const char *is)
{
    struct what_if *w = ctx;
    const char *mark = "~";
    if (++w->n_changes > CHANGES_TOLD_MAX)
        return 0;
    if (!was)
        mark = "+";
    else if (!is)
        mark = "-";
    return append(w->changes, json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "row", w->row, "change",
                                        mark, "member", path, "was", was, "is", is));
}

static int tell_rows(struct what_if *w, const char *kind, const char *name,
                     const struct doc_node *a, const struct doc_node *b)
{
    w->row = arena_printf(&w->arena, "%s/%s", kind, name);
    if (!w->row)
        return ERR_NOMEM;
    return document_words(&w->arena, a, b, tell_change, w);
}

static int tell_private(struct what_if *w, const char *registry, const char *name)
{
    const struct doc_node *a, *b;
    int rc = document_private(&w->arena, w->in->before, registry, name, &a);
    if (!rc)
        rc = document_private(&w->arena, w->in->after, registry, name, &b);
    if (!rc)
        rc = tell_rows(w, "privateEndpoint", name, a, b);
    return rc;
}

static bool has_private(const struct registry *r, const char *name)
{
    for (size_t i = 0; r && i < r->n_private_endpoints; i++)
        if (!strcmp(r->private_endpoints[i]->name, name))
            return true;
    return false;
}

static int tell_registry(struct what_if *w, const char *name)
{
    const struct registry *before = topology_registry(w->in->before, name);
    const struct registry *after = topology_registry(w->in->after, name);
    const struct doc_node *a, *b;
    int rc = document_registry(&w->arena, w->in->before, name, &a);
    if (!rc)
        rc = document_registry(&w->arena, w->in->after, name, &b);
    if (!rc)
        rc = tell_rows(w, "registry", name, a, b);
    for (size_t i = 0; before && i < before->n_private_endpoints && !rc; i++)
        rc = tell_private(w, name, before->private_endpoints[i]->name);
    for (size_t i = 0; after && i < after->n_private_endpoints && !rc; i++)
        if (!has_private(before, after->private_endpoints[i]->name))
            rc = tell_private(w, name, after->private_endpoints[i]->name);
    return rc;
}

static int tell_frame(struct what_if *w)
{
    const struct doc_node *a, *b;
    w->frame_differs = false;
    if (topology_same_frame(w->in->before, w->in->after))
        return 0;
    int rc = document_frame(&w->arena, w->in->before, &a);
    if (!rc)
        rc = document_frame(&w->arena, w->in->after, &b);
    if (rc == ERR_UNSUPPORTED) {
        w->frame_differs = true;
        return note(w, "the document is not in block style: what changes beside registries is not "
                       "told by its members");
    }
    for (const struct doc_node *v = rc ? NULL : a->child; v && !rc; v = v->next) {
        const struct doc_node *is = doc_get(b, v->key);
        if (!strcmp(v->key, "version") || document_equal(v, is))
            continue;
        w->frame_differs = true;
        rc = tell_rows(w, "section", v->key, v, is);
    }
    for (const struct doc_node *v = rc ? NULL : b->child; v && !rc; v = v->next) {
        if (doc_get(a, v->key))
            continue;
        w->frame_differs = true;
        rc = tell_rows(w, "section", v->key, NULL, v);
    }
    return rc;
}

static int tell_changes(struct what_if *w)
{
    int rc = tell_frame(w);
    for (size_t i = 0; i < w->n_registries && !rc; i++)
        rc = tell_registry(w, w->registries[i]);
    if (!rc && w->n_changes > CHANGES_TOLD_MAX)
        rc = note(w,
                  arena_printf(&w->arena, "and %zu more changes", w->n_changes - CHANGES_TOLD_MAX));
    return rc;
}

// ---- lines of both sides ----

static int compare_lines(const void *a, const void *b)
{
    const struct what_if_line *x = a, *y = b;
    for (size_t i = 0; i < WHAT_IF_COLUMNS; i++) {
        const char *p = x->columns[i] ? x->columns[i] : "";
        const char *q = y->columns[i] ? y->columns[i] : "";
        int c = strcmp(p, q);
        if (c)
            return c;
    }
    return 0;
}

static void sort_lines(struct what_if_lines *x)
{
    size_t n = 0;
    if (x->n)
        qsort(x->list, x->n, sizeof *x->list, compare_lines);
    for (size_t i = 0; i < x->n; i++)
        if (!n || compare_lines(&x->list[n - 1], &x->list[i]) != 0)
            x->list[n++] = x->list[i];
    x->n = n;
}

// Tells each line that only one side has, in the order of the lines.
static int tell_differences(struct what_if_lines sides[2], json_t *list,
                            json_t *(*item)(const struct what_if_line *line, const char *mark))
{
    size_t i = 0, k = 0;
    sort_lines(&sides[0]);
    sort_lines(&sides[1]);
    while (i < sides[0].n || k < sides[1].n) {
        int c;
        if (i == sides[0].n)
            c = 1;
        else if (k == sides[1].n)
            c = -1;
        else
            c = compare_lines(&sides[0].list[i], &sides[1].list[k]);
        int rc = 0;
        if (c < 0)
            rc = append(list, item(&sides[0].list[i], "-"));
        else if (c > 0)
            rc = append(list, item(&sides[1].list[k], "+"));
        if (rc)
            return rc;
        i += c <= 0;
        k += c >= 0;
    }
    return 0;
}

// ---- DNS ----

static int registry_names(const struct topology *t, const char *name, struct what_if_names *out)
{
    const struct registry *r = topology_registry(t, name);
    if (!r)
        return 0;
    return what_if_registry_names(t, r, out);
}

// Registries that the change leaves alone, but whose names may lead elsewhere with another frame.
static int other_names(struct what_if *w, struct what_if_names *out)
{
    struct catalogue_iter it = {0};
    size_t n = 0, left = w->in->after->n_registries;
    for (const struct registry *r; (r = topology_next(w->in->after, &it));) {
        if (n == WHAT_IF_REGISTRIES_MAX)
            break;
        n++;
        int rc = what_if_registry_names(w->in->after, r, out);
        if (rc)
            return rc;
    }
    left -= n;
    if (!left)
        return 0;
    return note(w, arena_printf(&w->arena,
                                "regions, stamps, views or TTLs may change: the names of %zu "
                                "registries were asked for, not those of %zu more",
                                n, left));
}

static int gather_names(struct what_if *w, struct what_if_names *out)
{
    const struct topology *of[] = {w->in->before, w->in->after};
    size_t n = w->n_registries;
    int rc = 0;
    if (n > WHAT_IF_REGISTRIES_MAX) {
        rc =
            note(w, arena_printf(&w->arena, "%zu registries change: the names of %d were asked for",
                                 n, WHAT_IF_REGISTRIES_MAX));
        n = WHAT_IF_REGISTRIES_MAX;
    }
    for (size_t k = 0; k < ARRAY_LEN(of); k++) {
        for (size_t i = 0; i < n && !rc; i++)
            rc = registry_names(of[k], w->registries[i], out);
        if (!rc && w->frame_differs)
            rc = what_if_frame_names(of[k], out);
    }
    if (!rc && w->frame_differs)
        rc = other_names(w, out);
    if (rc || !out->n)
        return rc;
    qsort(out->list, out->n, sizeof *out->list, by_text);
    n = 0;
    for (size_t i = 0; i < out->n; i++)
        if (!n || strcmp(out->list[n - 1], out->list[i]) != 0)
            out->list[n++] = out->list[i];
    out->n = n;
    return 0;
}

static json_t *dns_item(const struct what_if_line *x, const char *mark)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s*}", "view", x->columns[0], "change", mark,
                     "name", x->columns[1], "ttl", (json_int_t)strtoll(x->columns[2], NULL, 10),
                     "type", x->columns[3], "data", x->columns[4], "clients", x->columns[5]);
}

static int tell_dns(struct what_if *w)
{
    struct what_if_names names = {.arena = &w->arena};
    struct what_if_lines sides[2] = {{.arena = &w->arena}, {.arena = &w->arena}};
    int rc = gather_names(w, &names);
    if (!rc)
        rc = what_if_ask(w->in->before, &names, w->in->now_s, &sides[0]);
    if (!rc)
        rc = what_if_ask(w->in->after, &names, w->in->now_s, &sides[1]);
    if (!rc)
        rc = tell_differences(sides, w->dns, dns_item);
    return rc;
}

// ---- certificates ----

static int add_plan(const struct topology *t, const char *region, enum cert_kind kind,
                    struct what_if_lines *out)
{
    struct cert_plan p;
    int rc = cert_plan(t, region, kind, out->arena, &p);
    for (size_t i = 0; i < (rc ? 0 : p.n_dns) && !rc; i++)
        rc =
            what_if_add_line(out, &(struct what_if_line){{region, cert_kind_name(kind), p.dns[i]}});
    if (!rc && p.uri)
        rc = what_if_add_line(out, &(struct what_if_line){{region, cert_kind_name(kind), p.uri}});
    return rc;
}

static int add_plans(const struct topology *t, struct what_if_lines *out)
{
    static const enum cert_kind kinds[] = {CERT_REGION, CERT_SHARED, CERT_PEER};
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            int rc = add_plan(t, t->regions[i].name, kinds[k], out);
            if (rc)
                return rc;
        }
    return 0;
}

static json_t *certificate_item(const struct what_if_line *x, const char *mark)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "region", x->columns[0], "kind", x->columns[1],
                     "change", mark, "name", x->columns[2]);
}

static int tell_certificates(struct what_if *w)
{
    struct what_if_lines sides[2] = {{.arena = &w->arena}, {.arena = &w->arena}};
    int rc = add_plans(w->in->before, &sides[0]);
    if (!rc)
        rc = add_plans(w->in->after, &sides[1]);
    if (!rc)
        rc = tell_differences(sides, w->certificates, certificate_item);
    return rc;
}

// ---- members ----

static const char *member_key(struct arena *arena, const struct topology *t,
                              const struct private_member *m)
{
    if (m->kind == NAME_GLOBAL)
        return "registry";
    const char *form = "registry_";
    if (m->kind == NAME_DATA)
        form = "registry_data_";
    return arena_printf(arena, "%s%s", form, t->regions[m->region].name);
}

static int add_endpoint(const struct topology *t, const struct private_endpoint *pe,
                        struct what_if_lines *out)
{
    char ip[IP_TEXT_SIZE];
    for (size_t i = 0; i < pe->n_members; i++) {
        const struct what_if_line line = {
            {t->views[pe->view].name, pe->name, member_key(out->arena, t, &pe->members[i]),
             arena_strdup(out->arena, ip_format(&pe->members[i].ip, ip))}};
        if (!line.columns[2] || !line.columns[3])
            return ERR_NOMEM;
        int rc = what_if_add_line(out, &line);
        if (rc)
            return rc;
    }
    return 0;
}

static int add_members(const struct what_if *w, const struct topology *t, struct what_if_lines *out)
{
    for (size_t i = 0; i < w->n_registries; i++) {
        const struct registry *r = topology_registry(t, w->registries[i]);
        for (size_t k = 0; r && k < r->n_private_endpoints; k++) {
            int rc = add_endpoint(t, r->private_endpoints[k], out);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static json_t *member_item(const struct what_if_line *x, const char *mark)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "view", x->columns[0], "privateEndpoint",
                     x->columns[1], "change", mark, "member", x->columns[2], "address",
                     x->columns[3]);
}

static int tell_members(struct what_if *w)
{
    struct what_if_lines sides[2] = {{.arena = &w->arena}, {.arena = &w->arena}};
    int rc = add_members(w, w->in->before, &sides[0]);
    if (!rc)
        rc = add_members(w, w->in->after, &sides[1]);
    if (!rc)
        rc = tell_differences(sides, w->members, member_item);
    return rc;
}

// ---- notes ----

static int note_moves(struct what_if *w, const struct registry *r)
{
    char since[CLOCK_TEXT_SIZE];
    const struct topology *t = w->in->after;
    for (size_t i = 0; i < r->n_moves; i++) {
        const struct stamp_move *m = &r->moves[i];
        const struct replica *rep = registry_replica(r, m->region);
        if (!rep || m->since_s <= w->in->now_s)
            continue;
        int rc = note(w, arena_printf(&w->arena, "names of %s in %s lead to stamp %s from %s on",
                                      r->name, t->regions[m->region].name,
                                      topology_replica_stamp(t, rep)->name,
                                      clock_format_s(m->since_s, since)));
        if (rc)
            return rc;
    }
    return 0;
}

static int tell_notes(struct what_if *w)
{
    for (size_t i = 0; i < w->n_registries; i++) {
        const struct registry *r = topology_registry(w->in->after, w->registries[i]);
        int rc = 0;
        if (r && i < WHAT_IF_REGISTRIES_MAX)
            rc = note_moves(w, r);
        if (rc)
            return rc;
    }
    return 0;
}

// ---- the whole ----

static int look(struct what_if *w)
{
    int rc = choose_registries(w);
    if (!rc)
        rc = tell_changes(w);
    if (!rc)
        rc = tell_dns(w);
    if (!rc)
        rc = tell_certificates(w);
    if (!rc)
        rc = tell_members(w);
    if (!rc)
        rc = tell_notes(w);
    return rc;
}

static json_t *result(const struct what_if *w)
{
    int status = WHAT_IF_NOTHING;
    if (w->n_registries || w->frame_differs)
        status = WHAT_IF_CHANGES;
    return json_pack("{s:s, s:I, s:I, s:O, s:O, s:O, s:O, s:O, s:i}", "object", w->in->object,
                     "from", (json_int_t)w->in->before->version, "to",
                     (json_int_t)w->in->after->version, "changes", w->changes, "dns", w->dns,
                     "certificates", w->certificates, "members", w->members, "notes", w->notes,
                     "exit", status);
}

int what_if(const struct what_if_in *in, json_t **out)
{
    struct what_if w = {.in = in,
                        .changes = json_array(),
                        .dns = json_array(),
                        .certificates = json_array(),
                        .members = json_array(),
                        .notes = json_array()};
    arena_init(&w.arena, 0);
    int rc = ERR_NOMEM;
    if (w.changes && w.dns && w.certificates && w.members && w.notes)
        rc = look(&w);
    json_t *j = NULL;
    if (!rc) {
        j = result(&w);
        rc = j ? 0 : ERR_NOMEM;
    }
    json_decref(w.changes);
    json_decref(w.dns);
    json_decref(w.certificates);
    json_decref(w.members);
    json_decref(w.notes);
    arena_done(&w.arena);
    if (!rc)
        *out = j;
    return rc;
}

json_t *what_if_refused(const char *object, uint64_t from, const char *code, const char *message)
{
    return json_pack("{s:s, s:I, s:{s:s, s:s}, s:i}", "object", object, "from", (json_int_t)from,
                     "error", "code", code, "message", message, "exit", WHAT_IF_REFUSED);
}
