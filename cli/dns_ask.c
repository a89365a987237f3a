// SPDX-License-Identifier: Apache-2.0
// One question to one name server; see dns_ask.h.
#include "cli/dns_ask.h"

#include "base/err.h"

#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_S 2

static ldns_resolver *resolver_at(const struct endpoint *at, bool tcp)
{
    ldns_resolver *res = ldns_resolver_new();
    char text[IP_TEXT_SIZE];
    ldns_rdf *addr = ldns_rdf_new_frm_str(ip_is_v4(&at->ip) ? LDNS_RDF_TYPE_A : LDNS_RDF_TYPE_AAAA,
                                          ip_format(&at->ip, text));
    if (!res || !addr) {
        ldns_resolver_free(res);
        ldns_rdf_deep_free(addr);
        return NULL;
    }
    ldns_resolver_push_nameserver(res, addr);
    ldns_rdf_deep_free(addr);
    ldns_resolver_set_port(res, at->port);
    ldns_resolver_set_usevc(res, tcp);
    ldns_resolver_set_recursive(res, false);
    ldns_resolver_set_retry(res, 1);
    ldns_resolver_set_timeout(res, (struct timeval){WAIT_S, 0});
    return res;
}

static void take_rcode(const ldns_pkt *p, struct dns_answer *out)
{
    char *text = ldns_pkt_rcode2str(ldns_pkt_get_rcode(p));
    snprintf(out->rcode, sizeof out->rcode, "%s", text ? text : "?");
    free(text);
}

static void take_addresses(const ldns_pkt *p, struct dns_answer *out)
{
    const ldns_rr_list *list = ldns_pkt_answer(p);
    for (size_t i = 0; i < ldns_rr_list_rr_count(list) && out->n < DNS_ASK_ADDRESSES_MAX; i++) {
        const ldns_rr *rr = ldns_rr_list_rr(list, i);
        if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_A && ldns_rr_get_type(rr) != LDNS_RR_TYPE_AAAA)
            continue;
        char *text = ldns_rdf2str(ldns_rr_rdf(rr, 0));
        if (text && !ip_parse(text, &out->addresses[out->n]))
            out->n++;
        free(text);
    }
}

int dns_ask(const struct endpoint *at, const char *name, enum dns_ask_type type, bool tcp,
            struct dns_answer *out)
{
    static const ldns_rr_type types[] = {[DNS_ASK_A] = LDNS_RR_TYPE_A,
                                         [DNS_ASK_AAAA] = LDNS_RR_TYPE_AAAA,
                                         [DNS_ASK_SOA] = LDNS_RR_TYPE_SOA};
    ldns_rdf *owner = ldns_dname_new_frm_str(name);
    if (!owner)
        return ERR_INVAL;
    ldns_resolver *res = resolver_at(at, tcp);
    ldns_pkt *p = NULL;
    int rc = ERR_NOMEM;
    if (res)
        rc = ERR_UNREACHABLE;
    if (res &&
        ldns_resolver_send(&p, res, owner, types[type], LDNS_RR_CLASS_IN, 0) == LDNS_STATUS_OK &&
        p) {
        *out = (struct dns_answer){0};
        take_rcode(p, out);
        take_addresses(p, out);
        rc = 0;
    }
    ldns_pkt_free(p);
    ldns_resolver_deep_free(res);
    ldns_rdf_deep_free(owner);
    return rc;
}
