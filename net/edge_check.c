// SPDX-License-Identifier: Apache-2.0
// Is what enters nginx.conf what it must be? Invariant 1 of edge_render.c.
#include "net/edge_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

static bool text_ok(const char *s)
{
    if (!s || !*s || strlen(s) > 1024)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == 127 || strchr("\"'`;{}$#\\", *s))
            return false;
    return true;
}

static bool region_ok(const char *s)
{
    size_t n = 0;
    if (s)
        n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");
    return n >= 1 && n <= 31 && !s[n] && s[0] >= 'a';
}

static bool domain_ok(const char *s)
{
    size_t n = 0;
    if (s)
        n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-");
    return n >= 1 && n <= 253 && !s[n] && s[0] != '.' && s[n - 1] != '.' && !strstr(s, "..");
}

static bool stamp_ok(const char *s)
{
    size_t n = 0;
    if (s)
        n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
    return n >= 1 && n <= 63 && !s[n];
}

// Names of private endpoints, and labels.
static bool word_ok(const char *s)
{
    size_t n = 0;
    if (s)
        n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n >= 1 && n <= 63 && !s[n];
}

static bool path_ok(const char *s)
{
    return text_ok(s) && s[0] == '/';
}

static int paths_check(const struct edge_config *c, struct diag *diag)
{
    const struct {
        const char *what, *text;
    } paths[] = {{"runtime_dir", c->runtime_dir},
                 {"public_socket", c->public_socket},
                 {"peer_socket", c->peer_socket},
                 {"tunnel_socket", c->tunnel_socket},
                 {"blob_dir", c->blob_dir},
                 {"region_pem", c->region_pem},
                 {"shared_pem", c->shared_pem},
                 {"peer_pem", c->peer_pem},
                 {"ca_pem", c->ca_pem}};
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        if (path_ok(paths[i].text))
            continue;
        diag_add(diag, NULL, 0,
                 "edge: %s must be an absolute path without quotes, blanks or any of ; { } $ # \\",
                 paths[i].what);
        rc = ERR_INVAL;
    }
    if (c->admin.port && !path_ok(c->admin_socket)) {
        diag_add(diag, NULL, 0, "edge: admin_socket must be an absolute path");
        rc = ERR_INVAL;
    }
    return rc;
}

static int privates_check(const struct edge_config *c, struct diag *diag)
{
    if (c->n_privates > EDGE_PRIVATES_MAX) {
        diag_add(diag, NULL, 0, "edge: more than %d addresses of private endpoints",
                 EDGE_PRIVATES_MAX);
        return ERR_TOOBIG;
    }
    for (size_t i = 0; i < c->n_privates; i++) {
        const struct edge_private *p = &c->privates[i];
        bool sorted = !i || memcmp(&p[-1].ip, &p->ip, sizeof p->ip) < 0;
        if (sorted && c->private_port && word_ok(p->endpoint) && word_ok(p->label))
            continue;
        diag_add(diag, NULL, 0, "edge: private address %zu is malformed, or not in order", i);
        return ERR_INVAL;
    }
    return 0;
}

int edge_config_check(const struct edge_config *c, struct diag *diag)
{
    int rc = paths_check(c, diag);
    if ((c->user && !text_ok(c->user)) || (c->group && !text_ok(c->group))) {
        diag_add(diag, NULL, 0, "edge: user is not a user name");
        rc = ERR_INVAL;
    }
    if (!domain_ok(c->domain) || !region_ok(c->region) || !stamp_ok(c->stamp)) {
        diag_add(diag, NULL, 0, "edge: domain, region or stamp is malformed");
        rc = ERR_INVAL;
    }
    for (size_t i = 0; i < c->n_peers; i++) {
        if (region_ok(c->peers[i].region))
            continue;
        diag_add(diag, NULL, 0, "edge: peer %zu has a malformed region name", i);
        rc = ERR_INVAL;
    }
    if (privates_check(c, diag))
        rc = ERR_INVAL;
    if (!c->n_https && !c->n_https_proxied) {
        diag_add(diag, NULL, 0, "edge: no address to listen on");
        rc = ERR_INVAL;
    }
    if (c->n_https_proxied && !c->n_proxies) {
        diag_add(diag, NULL, 0, "edge: listeners behind proxies, and no proxy that is trusted");
        rc = ERR_INVAL;
    }
    return rc;
}
