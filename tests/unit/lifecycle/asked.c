// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/lifecycle/asked.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/endpoints.h"
#include "config/topology_control.h"
#include "lifecycle/record.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define FRAME                                                                                   \
    "version: 40\ndomain: example.io\nregions:\n"                                               \
    "  - { name: eastus, peer: 10.0.0.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }, { "  \
    "name: eus-2, ipv4: [192.0.2.9] }] }\n"                                                     \
    "  - { name: westus, peer: 10.0.0.2:8443, stamps: [{ name: wus-1, ipv4: [192.0.2.2] }] }\n" \
    "  - { name: north, peer: 10.0.0.3:8443, stamps: [{ name: nor-1, ipv4: [192.0.2.3] }] }\n"  \
    "name_servers: [eus-1.eastus]\n"                                                            \
    "views:\n  - { name: corp, sources: [10.1.0.0/16], networks: [10.1.0.0/16, 'fd00::/8'] }\n" \
    "  - { name: lab, sources: [10.2.0.0/16] }\n"

void asked_init(struct asked *a, const char *registries)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    buf_str(&text, FRAME);
    buf_str(&text, registries);
    asked_begin(a, buf_cstr(&text));
}

void asked_begin(struct asked *a, const char *document)
{
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    int rc = topology_parse(document, strlen(document), "t.yaml", &d, &t);
    ck_assert_msg(rc == 0, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    toy_fleet_init(&a->fleet, t);
    a->l = lifecycle_new(&a->fleet.deps);
    a->n_asked = 0;
    a->bare = false;
    a->by = "operator:ada";
    a->rights = CONTROL_RIGHTS_ALL;
}

void asked_done(struct asked *a)
{
    lifecycle_free(a->l);
    toy_fleet_done(&a->fleet);
}

void asked_restart(struct asked *a)
{
    lifecycle_free(a->l);
    toy_fleet_revive(&a->fleet);
    a->l = lifecycle_new(&a->fleet.deps);
}

static json_t *json_of(const char *text)
{
    char *copy = mem_strdup(text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_error_t e;
    json_t *v = json_loads(copy, 0, &e);
    ck_assert_msg(v != NULL, "%s: %s", copy, e.text);
    free(copy);
    return v;
}

int asked_of(struct asked *a, const char *nonce, const char *verb, const char *object,
             const char *arguments, json_t **out_body)
{
    json_t *args = json_of(arguments);
    bool what_if = json_is_true(json_object_get(args, "whatIf"));
    json_int_t version = json_integer_value(json_object_get(args, "ifVersion"));
    bool quorum = json_is_true(json_object_get(args, "quorum"));
    json_object_del(args, "whatIf");
    json_object_del(args, "quorum");
    json_object_del(args, "ifVersion");
    const struct lifecycle_request r = {.verb = verb,
                                        .object = object,
                                        .by = a->by,
                                        .nonce = nonce,
                                        .arguments = args,
                                        .expires_ms = a->fleet.now_ms + 300000,
                                        .if_version = (uint64_t)version,
                                        .what_if = what_if,
                                        .quorum = quorum,
                                        .bare = a->bare,
                                        .rights = a->rights};
    struct lifecycle_answer answer;
    lifecycle_request(a->l, &r, &answer);
    json_decref(args);
    if (out_body)
        *out_body = answer.body;
    else
        json_decref(answer.body);
    return answer.status;
}

int asked(struct asked *a, const char *verb, const char *object, const char *arguments,
          json_t **out_body)
{
    char nonce[33];
    snprintf(nonce, sizeof nonce, "%032x", ++a->n_asked);
    return asked_of(a, nonce, verb, object, arguments, out_body);
}

const char *asked_code(json_t *body)
{
    static char code[64];
    const json_t *e = json_object_get(body, "error");
    ck_assert_ptr_nonnull(e);
    snprintf(code, sizeof code, "%s", record_text(e, "code"));
    json_decref(body);
    return code;
}

void asked_pass(struct asked *a, int64_t seconds)
{
    int64_t until = a->fleet.now_ms + seconds * 1000;
    while (a->fleet.now_ms < until && !a->fleet.dead) {
        toy_fleet_carry(&a->fleet);
        int64_t next = lifecycle_run(a->l);
        a->fleet.now_ms += next > 0 ? next : 1;
    }
}

static bool runs(const struct asked *a)
{
    for (size_t i = 0; i < a->fleet.n_records; i++)
        if (!strncmp(a->fleet.records[i].key, "operation/", 10) &&
            (strstr(a->fleet.records[i].value, "\"state\":\"Creating\"") ||
             strstr(a->fleet.records[i].value, "\"state\":\"Updating\"") ||
             strstr(a->fleet.records[i].value, "\"state\":\"Deleting\"")))
            return true;
    return false;
}

int64_t asked_settle(struct asked *a, int64_t seconds)
{
    int64_t begin = a->fleet.now_ms;
    while (runs(a) && !a->fleet.dead && a->fleet.now_ms - begin < seconds * 1000) {
        toy_fleet_carry(&a->fleet);
        int64_t next = lifecycle_run(a->l);
        a->fleet.now_ms += next > 0 ? next : 1;
    }
    return (a->fleet.now_ms - begin) / 1000;
}

const char *asked_state(struct asked *a, const char *id)
{
    static char state[32];
    json_t *o = NULL;
    if (lifecycle_operation(a->l, id, &o))
        return "";
    snprintf(state, sizeof state, "%s", record_text(o, "state"));
    json_decref(o);
    return state;
}

json_t *asked_to_end(struct asked *a, const char *verb, const char *object, const char *arguments,
                     const char *state)
{
    json_t *body, *o = NULL;
    int status = asked(a, verb, object, arguments, &body);
    ck_assert_msg(status == 202, "%s %s: %s", verb, object, json_dumps(body, 0));
    asked_settle(a, 4000);
    const char *id = record_text(json_object_get(body, "operation"), "id");
    ck_assert_int_eq(lifecycle_operation(a->l, id, &o), 0);
    ck_assert_msg(!strcmp(record_text(o, "state"), state), "%s", json_dumps(o, 0));
    json_decref(body);
    return o;
}

// ---- looking ----

const char *asked_names(const struct asked *a, const char *registry)
{
    static char text[1024];
    const struct topology *t = a->fleet.t;
    const struct registry *r = topology_registry(t, registry);
    struct endpoint_name e;
    size_t n = 0;
    text[0] = 0;
    for (size_t at = 0; r && endpoint_next(r, &at, &e);) {
        const char *stage = name_stage_word(registry_name_stage(r, e.kind, e.region));
        if (e.kind == NAME_GLOBAL)
            n += (size_t)snprintf(text + n, sizeof text - n, "g:%s", stage);
        else
            n +=
                (size_t)snprintf(text + n, sizeof text - n, " %s.%s:%s",
                                 e.kind == NAME_DATA ? "d" : "r", t->regions[e.region].name, stage);
    }
    return text;
}

const char *asked_members(const struct asked *a, const char *registry)
{
    static char text[4096];
    const struct topology *t = a->fleet.t;
    const struct registry *r = topology_registry(t, registry);
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; r && i < r->n_private_endpoints; i++) {
        const struct private_endpoint *pe = r->private_endpoints[i];
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s:", i ? " " : "", pe->name);
        for (size_t k = 0; k < pe->n_members; k++) {
            const struct private_member *m = &pe->members[k];
            const char *form = m->kind == NAME_DATA ? "_data_" : "_";
            bool global = m->kind == NAME_GLOBAL;
            n += (size_t)snprintf(text + n, sizeof text - n, " registry%s%s", global ? "" : form,
                                  global ? "" : t->regions[m->region].name);
        }
    }
    return text;
}
