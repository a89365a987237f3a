// SPDX-License-Identifier: Apache-2.0
// States by operations; see provisioning.h.
#include "cli/provisioning.h"

#include "cli/show.h"

#include <string.h>

// {"registry/contoso": its newest operation}
static json_t *newest_by_object(const json_t *operations)
{
    json_t *out = json_object(), *o;
    size_t i;
    json_array_foreach(operations, i, o)
    {
        const char *object = json_text(o, "object");
        const json_t *other = json_object_get(out, object);
        json_int_t created = json_integer_value(json_object_get(o, "created"));
        if (!other || created > json_integer_value(json_object_get(other, "created")))
            json_object_set(out, object, o);
    }
    return out;
}

void provisioning_open(struct cli *c, const char *object, struct provisioning *out)
{
    struct fetch_result r;
    *out = (struct provisioning){0};
    if (!c->from_node)
        return;
    const char *path = "/v1/operations";
    if (object)
        path = arena_printf(&c->arena, "%s?object=%s", path, cli_urlencode(c, object));
    if (cli_node_fetch(c, "GET", path, (struct bytes){0}, 10000, &r))
        return;
    json_t *doc = NULL;
    if (r.status == 200)
        doc = json_said(&r.body, 0);
    fetch_result_done(&r);
    if (json_is_array(doc))
        out->newest = newest_by_object(doc);
    else
        out->newest = newest_by_object(json_object_get(doc, "operations"));
    json_decref(doc);
}

void provisioning_close(struct provisioning *p)
{
    json_decref(p->newest);
    p->newest = NULL;
}

const json_t *provisioning_newest(const struct provisioning *p, const char *object)
{
    return json_object_get(p->newest, object);
}

const char *provisioning_state(const struct provisioning *p, const char *object)
{
    const char *state = json_text(json_object_get(p->newest, object), "state");
    if (*state)
        return state;
    return "Succeeded";
}
