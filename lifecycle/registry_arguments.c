// SPDX-License-Identifier: Apache-2.0
// Arguments of verbs made into goals of registries; see registry_verbs.h.
#include "lifecycle/registry_verbs.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/policy.h"
#include "config/registry_spec.h"
#include "lifecycle/record.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

const char *plain_name(const struct plan_ctx *x, const char *text)
{
    char *copy = arena_strdup(x->arena, text);
    size_t n = 0;
    if (!copy)
        return NULL;
    for (const char *p = text; *p; p++)
        if (*p != ' ')
            copy[n++] = (char)tolower((unsigned char)*p);
    copy[n] = 0;
    return copy;
}

const struct registry *plan_registry(const struct plan_ctx *x, const char *name, struct diag *diag)
{
    const struct registry *r = topology_registry(x->t, name);
    if (!r)
        refuse(diag, "there is no registry %.80s", name);
    return r;
}

const struct region *plan_region(const struct plan_ctx *x, const char *name, struct diag *diag)
{
    const struct region *r = topology_region(x->t, name);
    AUTO_BUF struct buf names;
    buf_init(&names, 0);
    if (r)
        return r;
    for (size_t i = 0; i < x->t->n_regions; i++)
        buf_printf(&names, "%s%s", i ? ", " : "", x->t->regions[i].name);
    refuse(diag, "there is no region %.80s: this fleet has %s", name, buf_cstr(&names));
    return NULL;
}

void plan_note(const struct plan_ctx *x, struct plan *out, const char *fmt, ...)
{
    va_list ap;
    AUTO_BUF struct buf text;
    buf_init(&text, 4096);
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    const char *copy = arena_strdup(x->arena, buf_cstr(&text));
    if (copy && out->n_notes < PLAN_NOTES_MAX)
        out->notes[out->n_notes++] = copy;
}

// ---- switches ----

static int goal_switch(const struct plan_ctx *x, const char *argument, json_t *goal,
                       const char *key, struct diag *diag)
{
    bool given, on = false;
    int rc = argument_switch(x->arguments, argument, &given, &on, diag);
    if (!rc && given && json_object_set_new(goal, key, json_boolean(on)))
        rc = ERR_NOMEM;
    return rc;
}

int goal_endpoints(const struct plan_ctx *x, json_t *goal, struct diag *diag)
{
    int rc = goal_switch(x, "regionalEndpoints", goal, "regional", diag);
    if (!rc)
        rc = goal_switch(x, "dataEndpointEnabled", goal, "data", diag);
    if (!rc)
        rc = goal_switch(x, "anonymousPullEnabled", goal, "anonymous", diag);
    return rc;
}

static int ack_fits(const struct registry *r, unsigned n, struct diag *diag)
{
    if (n <= policy_ack_most(r))
        return 0;
    refuse(diag, POLICY_ACK_SENTENCE, r->name, n, policy_ack_most(r));
    return ERR_CONFLICT;
}

int goal_ack(const struct plan_ctx *x, const struct registry *r, json_t *goal, struct diag *diag)
{
    const char *word = NULL;
    int rc = argument_text(x->arguments, "ack", &word, diag);
    if (rc || !word)
        return rc;
    for (size_t i = 0; i < ARRAY_LEN(spec_ack_words); i++) {
        if (strcmp(spec_ack_words[i].word, word) != 0)
            continue;
        if (json_object_set_new(goal, "ack", json_integer((json_int_t)i)))
            return ERR_NOMEM;
        return ack_fits(r, (unsigned)i, diag);
    }
    refuse(diag, "ack: \"%.80s\" is neither local nor peers:N with N from 1 to %d", word,
           POLICY_ACK_MAX);
    return ERR_INVAL;
}

// ---- access ----

static int access_cidrs(const json_t *list, json_t *out, struct diag *diag)
{
    if (!json_is_array(list) || !json_array_size(list)) {
        refuse(diag,
               "cidrs: expected a list of networks; publicNetworkEnabled opens or closes all");
        return ERR_INVAL;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct cidr net;
        char text[CIDR_TEXT_SIZE];
        if (cidr_parse(record_text_at(list, i), &net)) {
            refuse(diag, "cidrs: \"%.80s\" is no network such as 192.0.2.0/24",
                   record_text_at(list, i));
            return ERR_INVAL;
        }
        if (json_array_append_new(out, json_string(cidr_format(&net, text))))
            return ERR_NOMEM;
    }
    return 0;
}

static int set_mode(json_t *goal, enum access_mode mode, json_t *cidrs)
{
    if (json_object_set_new(goal, "access",
                            json_pack("{s:i, s:o}", "mode", (int)mode, "cidrs", cidrs)))
        return ERR_NOMEM;
    return 0;
}

int goal_access(const struct plan_ctx *x, json_t *goal, struct diag *diag)
{
    const json_t *list = json_object_get(x->arguments, "cidrs");
    bool given, open = true;
    int rc = argument_switch(x->arguments, "publicNetworkEnabled", &given, &open, diag);
    if (rc)
        return rc;
    if (list && given) {
        refuse(diag, "give cidrs or publicNetworkEnabled, not both");
        return ERR_INVAL;
    }
    if (given)
        return set_mode(goal, open ? ACCESS_ENABLED : ACCESS_DISABLED, json_array());
    if (!list)
        return 0;
    json_t *cidrs = json_array();
    rc = access_cidrs(list, cidrs, diag);
    if (!rc)
        return set_mode(goal, ACCESS_CIDRS, cidrs);
    json_decref(cidrs);
    return rc;
}

// ---- addresses ----

static int put_address(json_t *list, const char *text, const char *key, struct diag *diag)
{
    struct ip ip;
    char canonical[IP_TEXT_SIZE];
    if (ip_parse(text, &ip)) {
        refuse(diag, "ip: %.80s: \"%.80s\" is no IP address", key, text);
        return ERR_INVAL;
    }
    if (json_array_append_new(list, json_string(ip_format(&ip, canonical))))
        return ERR_NOMEM;
    return 0;
}

static int put_addresses(json_t *list, const json_t *v, const char *key, struct diag *diag)
{
    if (json_is_string(v))
        return put_address(list, json_string_value(v), key, diag);
    int rc = 0;
    for (size_t i = 0; i < json_array_size(v) && !rc; i++)
        rc = put_address(list, record_text_at(v, i), key, diag);
    if (!rc && !json_array_size(v)) {
        refuse(diag, "ip: %.80s: expected an address, or a list of them", key);
        rc = ERR_INVAL;
    }
    return rc;
}

// "endpoint/member", or "member" of the only endpoint.
static int split_key(const struct plan_ctx *x, const struct registry *r, const char *key,
                     const char **out_endpoint, const char **out_member, struct diag *diag)
{
    const char *slash = strchr(key, '/');
    if (slash) {
        *out_endpoint = arena_strndup(x->arena, key, (size_t)(slash - key));
        *out_member = slash + 1;
        return *out_endpoint ? 0 : ERR_NOMEM;
    }
    if (r->n_private_endpoints == 1) {
        *out_endpoint = r->private_endpoints[0]->name;
        *out_member = key;
        return 0;
    }
    refuse(diag, "ip: %.80s: registry %s has %u private endpoints; say which: ENDPOINT/%.80s=…",
           key, r->name, (unsigned)r->n_private_endpoints, key);
    return ERR_INVAL;
}

static int one_ip(const struct plan_ctx *x, const struct registry *r, const char *key,
                  const json_t *v, json_t *ip, struct diag *diag)
{
    const char *endpoint, *member;
    int rc = split_key(x, r, key, &endpoint, &member, diag);
    if (rc)
        return rc;
    json_t *of = json_object_get(ip, endpoint);
    if (!of) {
        of = json_object();
        if (json_object_set_new(ip, endpoint, of))
            return ERR_NOMEM;
    }
    json_t *list = json_array();
    if (json_object_set_new(of, member, list))
        return ERR_NOMEM;
    return put_addresses(list, v, key, diag);
}

int goal_ip(const struct plan_ctx *x, const struct registry *r, json_t *goal, struct diag *diag)
{
    const json_t *given = json_object_get(x->arguments, "ip");
    const char *key;
    json_t *v;
    if (!given)
        return 0;
    if (!json_is_object(given)) {
        refuse(diag, "ip: expected members with their addresses");
        return ERR_INVAL;
    }
    json_t *ip = json_object();
    if (json_object_set_new(goal, "ip", ip))
        return ERR_NOMEM;
    int rc = 0;
    json_object_foreach((json_t *)given, key, v)
    {
        rc = one_ip(x, r, key, v, ip, diag);
        if (rc)
            break;
    }
    return rc;
}

// ---- the plan ----

int plan_goal(const struct plan_ctx *x, const char *object, struct plan *out, struct diag *diag)
{
    struct phase first;
    const json_t *goal = out->goal;
    out->object = object;
    out->locks[out->n_locks++] =
        arena_printf(x->arena, "registry/%s", record_text(goal, "registry"));
    if (!object || !out->locks[out->n_locks - 1])
        return ERR_NOMEM;
    int rc = registry_goal_before(x, goal, &out->before);
    if (!rc)
        rc = registry_step(x, goal, &first, diag);
    if (!rc && !first.name)
        return ERR_EXISTS;
    return rc;
}
