// SPDX-License-Identifier: Apache-2.0
// The calls of the admin API: one table (daemon/admin.c) for the admin socket, where root may make
// them all, and for the admin listener (daemon/admin_listener.c), where each says what it asks of a
// caller from afar.
//
//   {HTTP_GET, "/v1/status", ADMIN_READ, get_status},
//   {HTTP_POST, "/v1/requests", ADMIN_SIGNED, post_request, .body_max = 56 << 20},
//
// A handler tells the two apart by req->listener: LISTENER_ADMIN is root, LISTENER_OPERATOR is
// somebody from afar, of whom nothing is known but what the row has asked (and req->principal, the
// token's name).
#ifndef MERIDIAN_DAEMON_ADMIN_ROUTE_H
#define MERIDIAN_DAEMON_ADMIN_ROUTE_H

#include "daemon/app.h"

enum admin_reach {
    // at the admin socket only
    ADMIN_LOCAL,
    // from afar with admin/read: it changes nothing
    ADMIN_READ,
    // from afar with admin/drain: of this region only, which the handler sees to
    ADMIN_DRAIN,
    // from afar without a bearer: what is sent carries an operator's signature, which the handler
    // judges, and of which alone it believes anything
    ADMIN_SIGNED,
    // from afar without a bearer: the path names what only who asked for it, and who carried that,
    // knows. Nothing is held for who shows none; a bearer that is shown counts, of whatever right.
    ADMIN_BY_ID,
};

struct admin_route {
    enum http_method method;
    // one that ends in "/" takes all that begins with it
    const char *path;
    enum admin_reach reach;
    // on a pool
    void (*run)(struct app *app, struct http_request *req, struct http_response *resp);
    // 0: it takes no body; else the body is in req->body
    size_t body_max;
};

// NULL: there is no such call.
const struct admin_route *admin_route_find(const struct http_request *req);
// The admin listener.
void app_begin_operator(void *app, struct http_request *req, struct http_plan *plan);

#endif
