// SPDX-License-Identifier: Apache-2.0
// `meridian check-health`: for every endpoint of a registry, does DNS lead to the region, does TLS verify, does the
// host challenge as it should, and does a token come back. Codes are those of `az acr check-health`; it stops at the
// first error unless --ignore-errors. DNS is asked of the topology's name servers directly.
#include "cli/cli.h"

#include "base/err.h"
#include "base/mem.h"

#include <ldns/ldns.h>
#include <stdio.h>
#include <string.h>

struct check {
    struct cli *c;
    const struct registry *r;
    bool ignore_errors;
    uint16_t dns_port;
    int n_errors;
    json_t *rows; // -o json: one object a check
};

static bool report(struct check *k, const char *host, const char *what, const char *code, const char *why)
{
    k->n_errors += code != NULL;
    if (cli_json(k->c))
        json_array_append_new(k->rows,
                              json_pack("{s:s, s:s, s:s, s:s?, s:s?}", "endpoint", host, "check", what, "status",
                                        code ? "Failed" : "OK", "code", code, "message", code ? why : NULL));
    else if (code)
        printf("%s %s: %s: %s\n", host, what, code, why);
    else
        printf("%s %s: OK\n", host, what);
    if (!code)
        return true;
    return k->ignore_errors;
}

static ldns_resolver *resolver_at(const struct ip *ip, uint16_t port)
{
    ldns_resolver *res = ldns_resolver_new();
    char text[IP_TEXT_SIZE];
    ldns_rdf *addr = ldns_rdf_new_frm_str(ip_is_v4(ip) ? LDNS_RDF_TYPE_A : LDNS_RDF_TYPE_AAAA, ip_format(ip, text));
    if (!res || !addr) {
        ldns_resolver_free(res);
        ldns_rdf_deep_free(addr);
        return NULL;
    }
    ldns_resolver_push_nameserver(res, addr);
    ldns_rdf_deep_free(addr);
    ldns_resolver_set_port(res, port);
    ldns_resolver_set_recursive(res, false);
    ldns_resolver_set_retry(res, 1);
    ldns_resolver_set_timeout(res, (struct timeval){2, 0});
    return res;
}

// The first address that the name leads to, asked of the name servers in turn. "" when none answers well.
static const char *lookup(struct check *k, const char *host, const char **why)
{
    const struct topology *t = k->c->topo;
    *why = "no name server of the topology answers";
    for (size_t i = 0; i < t->n_name_servers; i++) {
        const struct stamp *s = &t->regions[t->name_servers[i].region].stamps[t->name_servers[i].stamp];
        ldns_resolver *res = resolver_at(s->n_ipv4 ? &s->ipv4[0] : &s->ipv6[0], k->dns_port);
        ldns_rdf *name = ldns_dname_new_frm_str(host);
        ldns_pkt *p = NULL;
        const char *got = "";
        if (res && name &&
            ldns_resolver_send(&p, res, name, s->n_ipv4 ? LDNS_RR_TYPE_A : LDNS_RR_TYPE_AAAA, LDNS_RR_CLASS_IN, 0) ==
                LDNS_STATUS_OK) {
            *why = ldns_pkt_get_rcode(p) == LDNS_RCODE_NXDOMAIN ? "the name does not exist" : "the name has no address";
            ldns_rr_list *list = ldns_pkt_answer(p);
            for (size_t j = 0; j < ldns_rr_list_rr_count(list); j++) {
                const ldns_rr *rr = ldns_rr_list_rr(list, j);
                if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_A && ldns_rr_get_type(rr) != LDNS_RR_TYPE_AAAA)
                    continue;
                char *text = ldns_rdf2str(ldns_rr_rdf(rr, 0));
                got = text ? arena_strdup(&k->c->arena, text) : "";
                free(text);
            }
        }
        bool answered = p != NULL;
        ldns_pkt_free(p);
        ldns_rdf_deep_free(name);
        ldns_resolver_deep_free(res);
        if (answered)
            return got;
    }
    return "";
}

static const struct region *region_at(const struct topology *t, const char *address)
{
    struct ip ip;
    if (ip_parse(address, &ip))
        return NULL;
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t j = 0; j < t->regions[i].n_stamps; j++) {
            const struct stamp *s = &t->regions[i].stamps[j];
            for (size_t n = 0; n < s->n_ipv4 + s->n_ipv6; n++)
                if (ip_equal(n < s->n_ipv4 ? &s->ipv4[n] : &s->ipv6[n - s->n_ipv4], &ip))
                    return &t->regions[i];
        }
    return NULL;
}

static const char *token_why(const struct check *k)
{
    return k->c->why ? k->c->why : "no access token came back";
}

// One endpoint; false: stop here. `want` is NULL for the global name.
static bool check_endpoint(struct check *k, const char *host, const struct region *want)
{
    const char *why, *address = lookup(k, host, &why);
    const struct region *at = *address ? region_at(k->c->topo, address) : NULL;
    const char *dns = !*address ? why : want && at != want ? "the name leads to another region" : NULL;
    if (!report(k, host, "DNS", dns ? "CONNECTIVITY_DNS_ERROR" : NULL, dns))
        return false;
    at = at ? at : want;
    if (!at)
        return true; // nothing to dial
    struct fetch_result r;
    int rc = cli_endpoint_fetch(k->c, host, at, "GET", "/v2/", NULL, 0, (struct bytes){0}, NULL, NULL, 10000, &r);
    const char *message = arena_strdup(&k->c->arena, r.message);
    char challenge[1024] = "";
    if (!rc)
        fetch_result_header(&r, "www-authenticate", challenge, sizeof challenge);
    int status = r.status;
    fetch_result_done(&r);
    bool tls = !rc || rc == ERR_CRYPTO;
    if (tls && !report(k, host, "TLS", rc ? "CONNECTIVITY_SSL_ERROR" : NULL, message))
        return false;
    if (!tls && !report(k, host, "challenge", "CONNECTIVITY_CHALLENGE_ERROR", message))
        return false;
    if (rc)
        return true;
    bool good = status == 200 || (status == 401 && strstr(challenge, "realm=\"https://") && strstr(challenge, host));
    const char *bad = status == 403   ? "CONNECTIVITY_FORBIDDEN_ERROR"
                      : status == 429 ? "CONNECTIVITY_TOOMANYREQUESTS_ERROR"
                      : good          ? NULL
                                      : "CONNECTIVITY_CHALLENGE_ERROR";
    if (!report(k, host, "challenge", bad, arena_printf(&k->c->arena, "HTTP %d %s", status, challenge)))
        return false;
    if (!k->c->username)
        return true;
    int token_status = 0;
    char *token = cli_token(k->c, k->r, host, at, "repository:status:pull", &token_status);
    bool ok = token != NULL;
    free(token);
    return report(k, host, "token", ok ? NULL : "CONNECTIVITY_ACCESS_TOKEN_ERROR", ok ? "" : token_why(k));
}

static int check_all(struct check *k)
{
    char host[HOSTNAME_TEXT_SIZE];
    const struct topology *t = k->c->topo;
    hostname_format(NAME_GLOBAL, t->domain, k->r->label, NULL, NULL, host);
    bool go_on = check_endpoint(k, host, NULL);
    for (size_t i = 0; go_on && k->r->regional_endpoints && i < k->r->n_replicas; i++) {
        const struct region *region = &t->regions[k->r->replicas[i].region];
        hostname_format(NAME_REGIONAL, t->domain, k->r->label, region->name, NULL, host);
        go_on = check_endpoint(k, host, region);
    }
    if (cli_json(k->c))
        cli_print_json(json_incref(k->rows));
    if (!k->n_errors)
        return EXIT_DONE;
    return cli_fail(EXIT_FAILED, "%d error%s%s", k->n_errors, k->n_errors == 1 ? "" : "s",
                    go_on ? "" : "; --ignore-errors goes on after the first");
}

int cmd_check_health(struct cli *c, int argc, char **argv)
{
    static const struct command cmd = {"check-health", "DNS, TLS, challenge and token of every endpoint",
                                       "-n REGISTRY [--ignore-errors]", cmd_check_health};
    const char *name = NULL, *port = "53";
    struct check k = {.c = c};
    const struct opt rows[] = {{'n', "name", "REGISTRY", "the registry", &name, NULL},
                               {0, "ignore-errors", NULL, "go on after an error", NULL, &k.ignore_errors},
                               {0, "dns-port", "PORT", "port of the name servers (default 53)", &port, NULL}};
    int rc = opt_parse(c, &cmd, NULL, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    k.r = cli_registry_given(c, name, argc, argv);
    if (!k.r)
        return name || argc > 1 ? EXIT_FAILED : EXIT_USAGE;
    if (c->username && c->password_stdin)
        return cli_fail(EXIT_USAGE, "several tokens are asked for: give --password-file, not --password-stdin");
    k.dns_port = (uint16_t)strtoul(port, NULL, 10);
    k.rows = json_array();
    c->quiet = true; // the line of the check says why
    rc = check_all(&k);
    json_decref(k.rows);
    return rc;
}
