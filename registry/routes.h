// SPDX-License-Identifier: Apache-2.0
// What may be done at the registry's paths: one row for each route and method, with the action that
// the caller needs, the scope that a challenge asks for, the handler and the body plan. What has no
// row is refused: 405 with Allow where the route exists, else 404. docs/registry-api.md lists the
// same routes and methods.
//
//   op->row = route_row_find(op->route.kind, req->method);     // NULL: refused
//
// A row is constant data; all functions here are pure.
#ifndef MERIDIAN_REGISTRY_ROUTES_H
#define MERIDIAN_REGISTRY_ROUTES_H

#include "config/rates.h"
#include "registry/route.h"

#define METHOD_BIT(m) (1u << (m))
#define METHODS_READ (METHOD_BIT(HTTP_GET) | METHOD_BIT(HTTP_HEAD))

struct op;

struct route_row {
    enum route_kind route;
    // bits by METHOD_BIT
    unsigned methods;
    // what it counts as for limits (config/rates.h) and metrics
    enum request_class class;
    // Any of these in the repository will do; or one of ACTIONS_OF_REGISTRY, in the registry. 0: any
    // token at all, whatever it permits. Where ACTION_ADD is among them, it is for who may add and
    // neither read nor replace: op->adds_only.
    unsigned action;
    // what the audit log calls it when it is done, by whoever may (registry/ended.c); NULL: only its
    // refusals are kept there
    const char *event;
    // the actions that a challenge asks for; NULL: no scope
    const char *asks;
    // a signed URL is authority enough
    bool by_signature;
    // data hosts have it too
    bool on_data;
    // The largest plan of the handler: what it does with a request's body.
    enum http_plan_kind body;
    // HTTP thread, before the caller is judged: reads what of the query the scope depends on. May
    // be NULL.
    void (*look)(struct op *op);
    // HTTP thread: makes the plan, or answers. NULL: the plan is `body` with `act`.
    void (*begin)(struct op *op, struct http_plan *plan);
    // pool: answers. NULL: `begin` sees to it.
    void (*act)(struct op *op, struct http_response *resp);
};

extern const struct route_row route_rows[];
extern const size_t n_route_rows;

const struct route_row *route_row_find(enum route_kind kind, enum http_method method);
bool route_on_data(enum route_kind kind);
// the Allow header, "GET, HEAD"; NULL: no memory
const char *route_allow(enum route_kind kind, struct arena *a);

#endif
