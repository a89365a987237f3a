// SPDX-License-Identifier: Apache-2.0
// What the commands share: the topology, tables and JSON, calls to admin sockets and endpoints,
// passwords; see cli.h.
#include "cli/cli.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/show.h"
#include "control/changes_file.h"
#include "control/topology_file.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

int cli_topology(struct cli *c)
{
    if (c->topo)
        return 0;
    struct diag d;
    diag_init(&d);
    size_t n_changes;
    int rc = topology_file_load(c->topology, &d, &c->topo);
    // one that cannot be taken is passed over
    if (!rc)
        rc = changes_load(c->topology, &d, &c->topo, &n_changes);
    if (rc) {
        diag_print(&d, stderr);
        cli_complain("the topology %s cannot be used: %s (name one with --topology)", c->topology,
                     err_text(rc));
    }
    diag_done(&d);
    if (rc)
        return EXIT_FAILED;
    return 0;
}

// Where it came from.
static const char *topology_name(const struct cli *c)
{
    if (c->from_node)
        return "the topology in force";
    return c->topology;
}

const struct registry *cli_registry(struct cli *c, const char *name)
{
    if (!name) {
        cli_complain("name a registry: -n REGISTRY");
        return NULL;
    }
    if (cli_topology_in_force(c))
        return NULL;
    const struct registry *r = topology_registry(c->topo, name);
    if (!r)
        r = topology_by_label(c->topo, name);
    if (r)
        return r;
    const char **names = mem_zalloc_array(c->topo->n_registries, sizeof *names);
    struct catalogue_iter it = {0};
    for (size_t i = 0; names && (r = topology_next(c->topo, &it)); i++)
        names[i] = r->name;
    const char *near = NULL;
    if (names)
        near = diag_nearest(name, names, c->topo->n_registries);
    cli_complain("registry %s is not in %s%s", name, topology_name(c), cli_did_you_mean(c, near));
    free(names);
    return NULL;
}

const struct registry *cli_registry_given(struct cli *c, const char *name, int argc, char **argv)
{
    if (!name && argc > 1)
        name = argv[1];
    return cli_registry(c, name);
}

const struct region *cli_region(struct cli *c, const char *name)
{
    if (cli_topology_in_force(c))
        return NULL;
    const struct region *r = topology_region(c->topo, name);
    if (!r)
        cli_complain("region %s is not in %s", name, topology_name(c));
    return r;
}

const char *cli_home_stamp(struct cli *c, const struct registry *r, const struct replica *rep)
{
    const struct stamp_move *m = registry_move(r, rep->region);
    int64_t now_s = clock_wall_ms() / 1000;
    const char *home = topology_replica_stamp(c->topo, rep)->name;
    char since[CLOCK_TEXT_SIZE];
    if (!m || now_s >= m->since_s)
        return home;
    return arena_printf(&c->arena, "%s (%s from %s)",
                        registry_stamp_at(c->topo, r, rep->region, now_s)->name, home,
                        clock_format_s(m->since_s, since));
}

void cli_home_stamp_json(struct cli *c, json_t *o, const struct registry *r,
                         const struct replica *rep)
{
    const struct stamp_move *m = registry_move(r, rep->region);
    int64_t now_s = clock_wall_ms() / 1000;
    char since[CLOCK_TEXT_SIZE];
    json_object_set_new(o, "homeStamp",
                        json_string(registry_stamp_at(c->topo, r, rep->region, now_s)->name));
    if (!m || now_s >= m->since_s)
        return;
    json_object_set_new(o, "movesTo", json_string(topology_replica_stamp(c->topo, rep)->name));
    json_object_set_new(o, "movesAt", json_string(clock_format_s(m->since_s, since)));
}

struct endpoint cli_region_endpoint(const struct cli *c, const struct region *region)
{
    const struct stamp *s = &region->stamps[0];
    struct endpoint to = {.ip = s->n_ipv4 ? s->ipv4[0] : s->ipv6[0], .port = c->topo->https_port};
    if (c->dial_ip)
        to.ip = *c->dial_ip;
    return to;
}

int cli_endpoint_fetch(struct cli *c, const char *host, const struct region *region,
                       const char *method, const char *path_and_query, const char *const *headers,
                       size_t n_headers, struct bytes body, const char *user, const char *password,
                       uint32_t timeout_ms, struct fetch_result *out)
{
    *out = (struct fetch_result){0};
    if (cli_want_fetcher(c))
        return ERR_NOMEM;
    const struct endpoint to = cli_region_endpoint(c, region);
    const struct fetch_request q = {
        .method = method,
        .url =
            arena_printf(&c->arena, "https://%s:%u%s", host, c->topo->https_port, path_and_query),
        .connect_to = &to,
        .peer = region->name, // a region that is cut off while it is waited for is noticed
        .ca_file = c->ca,
        .headers = headers,
        .n_headers = n_headers,
        .user = user,
        .password = password,
        .body = body,
        .timeout_ms = timeout_ms,
        .max_bytes = 16 << 20};
    return fetch_run(c->fetcher, &q, out);
}

static char *ask_terminal(const char *prompt)
{
    FILE *tty = fopen("/dev/tty", "r+e");
    struct termios old, quiet;
    if (!tty || tcgetattr(fileno(tty), &old)) {
        if (tty)
            fclose(tty);
        cli_complain("no password: give --password-file or --password-stdin");
        return NULL;
    }
    quiet = old;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(fileno(tty), TCSANOW, &quiet);
    fputs(prompt, tty);
    char line[512];
    char *got = fgets(line, sizeof line, tty);
    tcsetattr(fileno(tty), TCSANOW, &old);
    fputc('\n', tty);
    fclose(tty);
    if (got)
        line[strcspn(line, "\r\n")] = 0;
    char *p = NULL;
    if (got)
        p = mem_strdup(line);
    explicit_bzero(line, sizeof line);
    return p;
}

char *cli_password(struct cli *c)
{
    if (!c->password_stdin && !c->password_file)
        return ask_terminal("Password: ");
    struct buf b;
    buf_init(&b, 4096);
    const char *from = "/dev/stdin";
    if (!c->password_stdin)
        from = c->password_file;
    int rc = file_read(from, 1024, &b);
    if (rc || !b.n) {
        cli_complain("%s: the password cannot be read: %s", from,
                     rc ? err_text(rc) : "it is empty");
        buf_done(&b);
        return NULL;
    }
    b.p[strcspn(b.p, "\r\n")] = 0;
    return buf_take(&b);
}

const char *cli_public_host(struct cli *c, const char *host)
{
    if (c->topo->https_port == 443)
        return arena_strdup(&c->arena, host);
    return arena_printf(&c->arena, "%s:%u", host, c->topo->https_port);
}

char *cli_urlencode(struct cli *c, const char *s)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = arena_alloc(&c->arena, strlen(s) * 3 + 1), *o = out;
    if (!out)
        abort();
    for (; *s; s++) {
        unsigned char byte = (unsigned char)*s;
        if (isalnum(byte) || strchr("-._~", byte)) {
            *o++ = *s;
            continue;
        }
        *o++ = '%';
        *o++ = hex[byte >> 4];
        *o++ = hex[byte & 15];
    }
    *o = 0;
    return out;
}

const char *cli_refusal(struct cli *c, const struct fetch_result *res)
{
    char id[64] = "";
    json_t *doc = json_said(&res->body, 0);
    const json_t *first = json_array_get(json_object_get(doc, "errors"), 0);
    const char *message = json_string_value(json_object_get(first, "message"));
    bool has_id = fetch_result_header(res, "X-Meridian-Request-Id", id, sizeof id) != NULL;
    const char *text =
        arena_printf(&c->arena, "HTTP %d%s%.200s%s%s%s", res->status, message ? ": " : "",
                     message ? message : "", has_id ? " (request " : "", id, has_id ? ")" : "");
    json_decref(doc);
    return text;
}

char *cli_ask_token(struct cli *c, const struct registry *r, const char *host,
                    const struct region *region, const char *password, const char *query,
                    const char *member, int *out_status)
{
    char service[HOSTNAME_TEXT_SIZE];
    hostname_format(NAME_GLOBAL, c->topo->domain, r->label, NULL, NULL, service);
    const char *path = arena_printf(&c->arena, "/oauth2/token?service=%s&%s", service, query);
    struct fetch_result res;
    int rc = cli_endpoint_fetch(c, host, region, "GET", path, NULL, 0, (struct bytes){0},
                                c->username, password, c->token_ms ? c->token_ms : 20000, &res);
    json_t *doc = NULL;
    if (!rc)
        doc = json_said(&res.body, 0);
    const char *token = json_string_value(json_object_get(doc, member));
    char *out = NULL;
    if (res.status == 200 && token)
        out = mem_strdup(token);
    if (rc) {
        *out_status = EXIT_UNREACHABLE;
        c->why = arena_strdup(&c->arena, res.message);
    } else if (res.status == 401) {
        *out_status = EXIT_DENIED;
        c->why = arena_printf(&c->arena,
                              "user name or password is wrong: give -u and --password-file (%s)",
                              cli_refusal(c, &res));
    } else if (!out) {
        *out_status = EXIT_FAILED;
        c->why = arena_printf(&c->arena, "no token: %s", cli_refusal(c, &res));
    }
    if (!out && !c->quiet)
        cli_complain("%s: %s", host, c->why);
    json_decref(doc);
    fetch_result_done(&res);
    return out;
}

char *cli_token(struct cli *c, const struct registry *r, const char *host,
                const struct region *region, const char *scope, int *out_status)
{
    char *password = NULL;
    if (c->username) {
        password = cli_password(c);
        if (!password) {
            *out_status = EXIT_FAILED;
            return NULL;
        }
    }
    const char *query = arena_printf(&c->arena, "scope=%s", cli_urlencode(c, scope));
    char *out = cli_ask_token(c, r, host, region, password, query, "access_token", out_status);
    if (password)
        explicit_bzero(password, strlen(password));
    free(password);
    return out;
}
