// SPDX-License-Identifier: Apache-2.0
// See admin_principals.h. On the pool.
#include "daemon/admin_principals.h"

#include "base/clock.h"
#include "config/principals.h"
#include "config/repository.h"
#include "control/principals_change.h"
#include "net/refuse.h"

#include <jansson.h>
#include <string.h>

static struct principals *in_force(struct app *app, struct http_request *req,
                                   struct http_response *resp)
{
    struct principals *all = snapshot_get(app->principals);
    if (!all)
        http_response_text(req, resp, 404, "no principals are in force on this node\n");
    return all;
}

void admin_get_principals(struct app *app, struct http_request *req, struct http_response *resp)
{
    struct principals *all = in_force(app, req, resp);
    if (all)
        serve_json(req, resp, principals_view(all));
    snapshot_unref(all);
}

// ---- judging ----

static json_t *words_json(unsigned actions)
{
    json_t *list = json_array();
    for (unsigned bit = 1; list && bit <= ACTION_ADD; bit <<= 1) {
        const char *word = action_word(bit);
        if ((actions & bit) && word)
            json_array_append_new(list, json_string(word));
    }
    return list;
}

static size_t passwords_now(const struct principal *p, int64_t now_s)
{
    size_t n = 0;
    if (!p->token)
        return 1;
    for (size_t i = 0; i < p->token->n_passwords; i++)
        n += !p->token->passwords[i].expires_s || p->token->passwords[i].expires_s > now_s;
    return n;
}

static const char *kind_of(const struct principal *p)
{
    if (p->token)
        return "token";
    return "user";
}

static json_t *judgement(const struct principals *all, const struct registry *r,
                         const char *repository, const char *name)
{
    const struct principal *p = NULL;
    unsigned actions = 0;
    if (name)
        p = principals_find(all, name);
    if (p || !name)
        actions = auth_repository_actions(r, p, repository);
    json_t *doc = json_pack("{s:s, s:s, s:s?, s:b, s:I, s:o}", "registry", r->name, "repository",
                            repository, "principal", name, "known", p || !name, "version",
                            (json_int_t)all->version, "actions", words_json(actions));
    if (!doc || !p)
        return doc;
    json_object_set_new(doc, "kind", json_string(kind_of(p)));
    json_object_set_new(doc, "enabled", json_boolean(p->enabled));
    json_object_set_new(doc, "passwords",
                        json_integer((json_int_t)passwords_now(p, clock_wall_ms() / 1000)));
    return doc;
}

void admin_get_judgement(struct app *app, struct http_request *req, struct http_response *resp)
{
    const char *registry = http_query_get(req, "registry", 0);
    const char *repository = http_query_get(req, "repository", 0);
    const char *name = http_query_get(req, "principal", 0);
    const struct registry *r = NULL;
    if (!registry || !repository || !repository_name_ok(repository, strlen(repository)) ||
        (name && !principal_name_ok(name))) {
        http_response_text(req, resp, 400,
                           "give registry= and repository= (names), and perhaps principal=\n");
        return;
    }
    struct principals *all = in_force(app, req, resp);
    if (!all)
        return;
    struct topology *t = snapshot_get(app->topology);
    r = topology_registry(t, registry);
    if (r)
        serve_json(req, resp, judgement(all, r, repository, name));
    else
        http_response_text(req, resp, 404, "%s: no such registry in the topology\n", registry);
    snapshot_unref(t);
    snapshot_unref(all);
}
