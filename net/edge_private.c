// SPDX-License-Identifier: Apache-2.0
// What nginx.conf says of private endpoints: the addresses are told apart by where a request was sent
// to, whichever socket took it. Invariant 4 of edge_render.c.
#include "net/edge_priv.h"

// To which private endpoint the address belongs that a request was sent to, and whether the request is
// for another name than its registry's. What answers an error (/_edge/) is let through.
void edge_put_privates(struct buf *b, const struct edge_config *c)
{
    char ip[IP_TEXT_SIZE];
    if (!c->n_privates) {
        buf_str(b, "  map $status $meridian_private {\n    default \"\";\n  }\n");
        return;
    }
    buf_str(b, "  geo $server_addr $meridian_private_at {\n    default \"\";\n");
    for (size_t i = 0; i < c->n_privates; i++)
        buf_printf(b, "    %s %s/%s;\n", ip_format(&c->privates[i].ip, ip), c->privates[i].endpoint,
                   c->privates[i].label);
    buf_printf(b,
               "  }\n  map \"$server_port $meridian_private_at\" $meridian_private {\n"
               "    default \"\";\n    \"~^%u (?<private_name>[a-z0-9-]+)/\" $private_name;\n  }\n"
               "  map \"$server_port $meridian_private_at $host $uri\" $meridian_elsewhere {\n"
               "    default \"\";\n    \"~^[0-9]+ [^ ]* [^ ]* /_edge/\" \"\";\n"
               "    \"~^%u [a-z0-9-]+/([a-z0-9-]+) \\1\\.\" \"\";\n"
               "    \"~^%u [a-z0-9-]+/\" 1;\n  }\n",
               c->private_port, c->private_port, c->private_port);
}

// Sockets of private addresses. nginx makes one of what a wildcard listener has already.
void edge_put_private_listen(struct buf *b, const struct edge_config *c, bool first)
{
    char at[ENDPOINT_TEXT_SIZE];
    for (size_t i = 0; i < c->n_privates; i++) {
        const struct endpoint e = {c->privates[i].ip, c->private_port};
        if (c->privates[i].listens)
            buf_printf(b, "    listen %s ssl%s%s;\n", endpoint_format(&e, at),
                       c->http2 ? " http2" : "", first ? " default_server" : "");
    }
    if (c->n_privates)
        buf_str(b, "    if ($meridian_elsewhere) { rewrite ^ /_edge/421 last; }\n");
}

bool edge_private_listens(const struct edge_config *c)
{
    for (size_t i = 0; i < c->n_privates; i++)
        if (c->privates[i].listens)
            return true;
    return false;
}
