// SPDX-License-Identifier: Apache-2.0
// A question for a name outside D: refused, or in a view that says so forwarded
// (resolver/forward/forward.h) or absent. See answer_priv.h.
#include "resolver/answer/priv.h"

#include "resolver/forward/forward.h"

#include <string.h>

// Who is an upstream asks us what we would ask it.
static bool is_upstream(const struct view_forward *f, const struct ip *source)
{
    for (size_t i = 0; i < f->n_upstreams; i++)
        if (ip_equal(&f->upstreams[i].ip, source))
            return true;
    return false;
}

static bool hand_over(struct answer *a)
{
    const struct answer_context *c = a->c;
    struct forward_query q;
    if (!c->forwarder || !c->ticket.inbox)
        return false;
    bool cd = a->q->name[-DNS_HEADER_BYTES + 3] & 0x10; // the question follows the header
    forward_message_keep(a->q, &a->edns, cd,
                         c->transport == ANSWER_UDP ? a->q->udp_bytes : ANSWER_TCP_MAX, &q);
    return forwarder_ask(c->forwarder, a->view, &c->source, &q, c->ticket);
}

// Without authority, and without a SOA: nobody is told to keep it.
static void absent(struct answer *a)
{
    a->rcode = DNS_NXDOMAIN;
    answer_ede(a, EDE_NOT_AUTHORITATIVE, "this view looks up no names outside the service domain");
}

static void refuse(struct answer *a)
{
    a->rcode = DNS_REFUSED;
    answer_ede(a, EDE_NOT_AUTHORITATIVE, NULL);
}

void answer_foreign(struct answer *a)
{
    const struct view_forward *f = NULL;
    if (a->view)
        f = a->view->forward;
    bool covered = f && forward_covers(f, a->q->name, a->q->name_n);
    if (!covered && a->view && a->view->on_foreign == ON_FOREIGN_NXDOMAIN) {
        absent(a);
    } else if (!covered || !a->q->rd || a->q->tsig || is_upstream(f, &a->c->source)) {
        refuse(a);
    } else if (hand_over(a)) {
        a->pending = true;
    } else { // too many wait, or this one has waited
        a->rcode = DNS_SERVFAIL;
        answer_ede(a, EDE_NO_REACHABLE_AUTHORITY, NULL);
    }
}
