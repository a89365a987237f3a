// SPDX-License-Identifier: Apache-2.0
// The admin listener that --server names; see server.h.
#include "cli/server.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/show.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ADMIN_PORT 8444
#define PASSWORD_FILE_MAX 1024
#define LOGIN_MS 20000

// The topology of this machine; NULL: there is none to be read, and that is no error here.
static const struct topology *topology_here(struct cli *c)
{
    if (!c->topo && (access(c->topology, R_OK) || cli_topology(c)))
        return NULL;
    return c->topo;
}

static int place_of(struct cli *c, const struct topology *t, const struct region *r, uint16_t port,
                    struct cli_server *out)
{
    char name[HOSTNAME_TEXT_SIZE];
    struct endpoint to = r->admin;
    if (!to.port)
        to.ip = r->stamps[0].n_ipv4 ? r->stamps[0].ipv4[0] : r->stamps[0].ipv6[0];
    if (port)
        to.port = port;
    if (!to.port)
        to.port = ADMIN_PORT;
    if (hostname_format(NAME_FRONTEND, t->domain, NULL, r->name, r->stamps[0].name, name))
        return cli_fail(EXIT_FAILED, "region %s has no name to verify", r->name);
    *out = (struct cli_server){
        .url = arena_printf(&c->arena, "https://%s:%u", name, (unsigned)to.port), .to = to};
    return EXIT_DONE;
}

static bool region_has(const struct region *r, const struct ip *ip)
{
    if (r->admin.port && ip_equal(&r->admin.ip, ip))
        return true;
    for (size_t i = 0; i < r->n_stamps; i++) {
        for (size_t k = 0; k < r->stamps[i].n_ipv4; k++)
            if (ip_equal(&r->stamps[i].ipv4[k], ip))
                return true;
        for (size_t k = 0; k < r->stamps[i].n_ipv6; k++)
            if (ip_equal(&r->stamps[i].ipv6[k], ip))
                return true;
    }
    return false;
}

// An address has no certificate: the region that has it says under which name it is verified.
static int by_address(struct cli *c, const struct endpoint *to, struct cli_server *out)
{
    const struct topology *t = topology_here(c);
    for (size_t i = 0; t && i < t->n_regions; i++) {
        if (!region_has(&t->regions[i], &to->ip))
            continue;
        int rc = place_of(c, t, &t->regions[i], to->port, out);
        out->to = *to;
        return rc;
    }
    return cli_fail(EXIT_USAGE,
                    "--server %s: whose address is it? No topology here says so: give the name, "
                    "STAMP.REGION.fe.DOMAIN",
                    c->server);
}

// 0: none.
static unsigned long port_read(const char *text)
{
    char *end;
    unsigned long port = 0;
    if (*text >= '0' && *text <= '9')
        port = strtoul(text, &end, 10);
    if (!port || *end || port > 65535)
        return 0;
    return port;
}

static int by_name(struct cli *c, const char *rest, struct cli_server *out)
{
    const struct topology *t = topology_here(c);
    struct hostname h;
    const struct region *r = NULL;
    const char *colon = strchr(rest, ':');
    size_t n = colon ? (size_t)(colon - rest) : strlen(rest);
    char *host = arena_strndup(&c->arena, rest, n);
    unsigned long port = ADMIN_PORT;
    if (colon)
        port = port_read(colon + 1);
    if (!port)
        return cli_fail(EXIT_USAGE, "--server %s: the port is from 1 to 65535", c->server);
    *out = (struct cli_server){.url = arena_printf(&c->arena, "https://%s:%lu", host, port)};
    // the topology's address needs no DNS, which may be what is broken
    if (t && hostname_parse(host, t->domain, &h) == NAME_FRONTEND)
        r = topology_region(t, h.region);
    for (size_t i = 0; r && i < r->n_stamps; i++)
        if (!strcmp(r->stamps[i].name, h.stamp))
            out->to = (struct endpoint){.ip = r->stamps[i].n_ipv4 ? r->stamps[i].ipv4[0]
                                                                  : r->stamps[i].ipv6[0],
                                        .port = (uint16_t)port};
    return EXIT_DONE;
}

static int find(struct cli *c, struct cli_server *out)
{
    static const char scheme[] = "https://";
    struct endpoint to;
    if (!strncmp(c->server, scheme, sizeof scheme - 1)) {
        char *rest = arena_strdup(&c->arena, c->server + sizeof scheme - 1);
        size_t n = strlen(rest);
        if (n && rest[n - 1] == '/')
            rest[n - 1] = 0;
        if (!*rest || strpbrk(rest, "/?#@ "))
            return cli_fail(EXIT_USAGE, "--server: expected https://NAME:PORT, or a region");
        if (!endpoint_parse(rest, ADMIN_PORT, &to))
            return by_address(c, &to, out);
        return by_name(c, rest, out);
    }
    if (strstr(c->server, "://") || !hostname_region_ok(c->server))
        return cli_fail(EXIT_USAGE, "--server: expected https://NAME:PORT, or a region");
    if (cli_topology(c))
        return EXIT_FAILED;
    const struct region *r = cli_region(c, c->server);
    if (!r)
        return EXIT_USAGE;
    return place_of(c, c->topo, r, 0, out);
}

int cli_server_find(struct cli *c, struct cli_server **out)
{
    if (!c->at_server) {
        struct cli_server *s = arena_alloc(&c->arena, sizeof *s);
        if (!s)
            return cli_fail(EXIT_FAILED, "out of memory");
        int rc = find(c, s);
        if (rc)
            return rc;
        c->at_server = s;
    }
    *out = c->at_server;
    return EXIT_DONE;
}

// --- the bearer ---

static int ask(struct cli *c, struct cli_server *s, const char *password)
{
    struct fetch_result r;
    const struct fetch_request q = {.method = "POST",
                                    .url = arena_printf(&c->arena, "%s/v1/token", s->url),
                                    .connect_to = s->to.port ? &s->to : NULL,
                                    .ca_file = c->ca,
                                    .user = c->token_name,
                                    .password = password,
                                    .body = bytes_str(""),
                                    .timeout_ms = LOGIN_MS,
                                    .max_bytes = 64 << 10};
    if (fetch_run(c->fetcher, &q, &r)) {
        if (!c->quiet)
            cli_complain("%s: %s (name a node's admin listener with --server)", c->server,
                         r.message);
        fetch_result_done(&r);
        return EXIT_UNREACHABLE;
    }
    int rc = EXIT_DONE;
    json_t *doc = json_said(&r.body, 0);
    const char *token = json_string_value(json_object_get(doc, "token"));
    if (r.status == 401)
        rc = cli_fail(EXIT_DENIED,
                      "%s: the name %s or its password is not right there: give --token-name and "
                      "--token-file of a token that names this region",
                      c->server, c->token_name);
    else if (r.status != 200 || !token)
        rc = cli_node_refused(c, &r);
    else
        s->bearer = arena_printf(&c->arena, "Authorization: Bearer %s", token);
    json_decref(doc);
    fetch_result_done(&r);
    return rc;
}

int cli_server_login(struct cli *c, struct cli_server *s)
{
    s->bearer = NULL;
    if (!c->token_name && !c->token_file)
        return EXIT_DONE;
    if (!c->token_name || !c->token_file)
        return cli_fail(EXIT_USAGE, "--token-name and --token-file go together");
    AUTO_BUF struct buf password;
    buf_init(&password, PASSWORD_FILE_MAX + 1);
    int rc = file_read(c->token_file, PASSWORD_FILE_MAX, &password);
    buf_u8(&password, 0);
    if (rc || password.err)
        return cli_fail(EXIT_FAILED, "%s: the password cannot be read: %s", c->token_file,
                        err_text(rc ? rc : password.err));
    password.p[strcspn(password.p, "\r\n")] = 0;
    rc = ask(c, s, password.p);
    explicit_bzero(password.p, password.n);
    return rc;
}
