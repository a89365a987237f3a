// SPDX-License-Identifier: Apache-2.0
// Who has a stamp's name; see published.h. A thread for each server, so many at a time; each with a
// resolver of its own.
#include "cli/published.h"

#include "base/mem.h"
#include "base/thread.h"

#include <ldns/ldns.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define AT_ONCE 32
#define TRIES 3
#define TRY_S 1
#define TCP_S 2

// ---- who ----

static void add(struct publisher *list, size_t *n, const struct endpoint *at, const char *what)
{
    for (size_t i = 0; i < *n; i++)
        if (ip_equal(&list[i].at.ip, &at->ip) && list[i].at.port == at->port)
            return;
    list[(*n)++] = (struct publisher){.at = *at, .what = what, .state = PUBLISHED_SILENT};
}

static void add_stamp(struct cli *c, struct publisher *list, size_t *n,
                      const struct name_server *ns, uint16_t port)
{
    const struct region *r = &c->topo->regions[ns->region];
    const struct stamp *s = &r->stamps[ns->stamp];
    const char *what = arena_printf(&c->arena, "name server %s.%s", s->name, r->name);
    for (size_t i = 0; i < s->n_ipv4 + s->n_ipv6; i++)
        add(list, n, &(struct endpoint){i < s->n_ipv4 ? s->ipv4[i] : s->ipv6[i - s->n_ipv4], port},
            what);
}

struct publisher *published_list(struct cli *c, uint16_t dns_port, size_t *out_n)
{
    const struct topology *t = c->topo;
    size_t cap = t->transfer.n_notify + t->transfer.n_secondaries, n = 0;
    for (size_t i = 0; i < t->n_name_servers; i++) {
        const struct stamp *s =
            &t->regions[t->name_servers[i].region].stamps[t->name_servers[i].stamp];
        cap += s->n_ipv4 + s->n_ipv6;
    }
    struct publisher *list = arena_array(&c->arena, cap + 1, sizeof *list);
    if (!list)
        return NULL;
    for (size_t i = 0; i < t->n_name_servers; i++)
        add_stamp(c, list, &n, &t->name_servers[i], dns_port);
    for (size_t i = 0; i < t->transfer.n_notify; i++)
        add(list, &n, &t->transfer.notify[i].to, "notify target");
    for (size_t i = 0; i < t->transfer.n_secondaries; i++)
        add(list, &n, &t->transfer.secondaries[i], "secondary");
    *out_n = n;
    return list;
}

// ---- one question ----

static ldns_resolver *resolver_at(const struct endpoint *at, bool tcp)
{
    char text[IP_TEXT_SIZE];
    ldns_resolver *res = ldns_resolver_new();
    ldns_rdf *addr = ldns_rdf_new_frm_str(ip_is_v4(&at->ip) ? LDNS_RDF_TYPE_A : LDNS_RDF_TYPE_AAAA,
                                          ip_format(&at->ip, text));
    if (!res || !addr || ldns_resolver_push_nameserver(res, addr) != LDNS_STATUS_OK) {
        ldns_rdf_deep_free(addr);
        ldns_resolver_free(res);
        return NULL;
    }
    ldns_rdf_deep_free(addr);
    ldns_resolver_set_port(res, at->port);
    ldns_resolver_set_recursive(res, false);
    ldns_resolver_set_dnssec(res, true); // as a validator asks: out of the signed zone
    ldns_resolver_set_edns_udp_size(res, 1232);
    ldns_resolver_set_igntc(res, true);
    ldns_resolver_set_fallback(res, false);
    ldns_resolver_set_usevc(res, tcp);
    ldns_resolver_set_retry(res, tcp ? 1 : TRIES);
    ldns_resolver_set_retrans(res, 0);
    ldns_resolver_set_timeout(res, (struct timeval){tcp ? TCP_S : TRY_S, 0});
    return res;
}

// NULL: no answer.
static ldns_pkt *send_to(const struct endpoint *at, const ldns_rdf *name, ldns_rr_type type,
                         bool tcp)
{
    ldns_pkt *p = NULL;
    ldns_resolver *res = resolver_at(at, tcp);
    ldns_status rc = LDNS_STATUS_MEM_ERR;
    if (res)
        rc = ldns_resolver_send(&p, res, name, type, LDNS_RR_CLASS_IN, 0);
    ldns_resolver_deep_free(res);
    if (rc == LDNS_STATUS_OK)
        return p;
    ldns_pkt_free(p);
    return NULL;
}

static size_t n_of_type(const ldns_pkt *p, ldns_rr_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < ldns_pkt_ancount(p); i++)
        n += ldns_rr_get_type(ldns_rr_list_rr(ldns_pkt_answer(p), i)) == type;
    return n;
}

static bool has_address(const ldns_pkt *p, const struct ip *ip)
{
    bool v4 = ip_is_v4(ip);
    ldns_rr_type type = LDNS_RR_TYPE_AAAA;
    if (v4)
        type = LDNS_RR_TYPE_A;
    for (size_t i = 0; i < ldns_pkt_ancount(p); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(p), i);
        if (ldns_rr_get_type(rr) != type)
            continue;
        const ldns_rdf *rd = ldns_rr_rdf(rr, 0);
        if (rd && ldns_rdf_size(rd) == (v4 ? 4 : 16) &&
            !memcmp(ldns_rdf_data(rd), ip->b + (v4 ? 12 : 0), ldns_rdf_size(rd)))
            return true;
    }
    return false;
}

struct wanted {
    ldns_rr_type type;
    const struct ip *ips;
    size_t n;
};

// "": it has what is wanted.
static void judge(const ldns_pkt *p, const struct wanted *w, char *why, size_t cap)
{
    const ldns_lookup_table *rcode = ldns_lookup_by_id(ldns_rcodes, ldns_pkt_get_rcode(p));
    size_t there = 0, n = n_of_type(p, w->type);
    for (size_t i = 0; i < w->n; i++)
        there += has_address(p, &w->ips[i]);
    *why = 0;
    if (ldns_pkt_get_rcode(p) == LDNS_RCODE_NXDOMAIN)
        snprintf(why, cap, "says that the name does not exist");
    else if (ldns_pkt_get_rcode(p) != LDNS_RCODE_NOERROR)
        snprintf(why, cap, "answers %s", rcode ? rcode->name : "with an error");
    else if (!ldns_pkt_aa(p))
        snprintf(why, cap, "does not answer for fe.D (no authority)");
    else if (!n)
        snprintf(why, cap, "has no address of the name");
    else if (there < w->n || n > w->n)
        snprintf(why, cap, "has other addresses of the name: an earlier version");
}

// By UDP, and by TCP what UDP did not settle (nothing came, it was cut, a cookie is asked for).
// False: no answer.
static bool ask(const struct publisher *x, const ldns_rdf *name, const struct wanted *w, char *why,
                size_t cap)
{
    bool answered = false;
    for (int tcp = 0; tcp < 2; tcp++) {
        ldns_pkt *p = send_to(&x->at, name, w->type, tcp);
        if (!p)
            continue;
        answered = true;
        judge(p, w, why, cap);
        ldns_pkt_free(p);
        if (!*why)
            return true;
    }
    return answered;
}

// ---- all of them ----

struct job {
    struct publisher *x;
    const struct stamp *s;
    ldns_rdf *name;
    pthread_t thread;
    bool started;
};

static void *run(void *arg)
{
    struct job *j = arg;
    struct publisher *x = j->x;
    const struct wanted wanted[] = {{LDNS_RR_TYPE_A, j->s->ipv4, j->s->n_ipv4},
                                    {LDNS_RR_TYPE_AAAA, j->s->ipv6, j->s->n_ipv6}};
    x->state = PUBLISHED_SILENT;
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        if (!wanted[i].n)
            continue;
        bool answered = ask(x, j->name, &wanted[i], x->why, sizeof x->why);
        if (!answered && x->state == PUBLISHED)
            snprintf(x->why, sizeof x->why, "answered for IPv4 and then no more");
        if (answered || x->state == PUBLISHED) {
            if (*x->why)
                x->state = PUBLISHED_NOT;
            else
                x->state = PUBLISHED;
        }
        if (x->state != PUBLISHED)
            return NULL;
    }
    return NULL;
}

void published_ask(const struct topology *t, const struct stamp *s, struct publisher *list,
                   size_t n)
{
    char text[HOSTNAME_TEXT_SIZE];
    if (hostname_format(NAME_FRONTEND, t->domain, NULL, t->regions[s->region].name, s->name, text))
        return; // validation lets no such stamp pass
    for (size_t from = 0; from < n; from += AT_ONCE) {
        struct job jobs[AT_ONCE] = {0};
        for (size_t i = 0; i < AT_ONCE && from + i < n; i++) {
            jobs[i] =
                (struct job){.x = &list[from + i], .s = s, .name = ldns_dname_new_frm_str(text)};
            jobs[i].started = jobs[i].name && !thread_start(&jobs[i].thread, run, &jobs[i]);
            if (jobs[i].started)
                continue;
            jobs[i].x->state = PUBLISHED_NOT;
            snprintf(jobs[i].x->why, sizeof jobs[i].x->why,
                     "could not be asked: out of memory or threads");
        }
        for (size_t i = 0; i < AT_ONCE && from + i < n; i++) {
            if (jobs[i].started)
                pthread_join(jobs[i].thread, NULL);
            ldns_rdf_deep_free(jobs[i].name);
        }
    }
}
