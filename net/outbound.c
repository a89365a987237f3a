// SPDX-License-Identifier: Apache-2.0
// The guard: judge, dial, follow; see outbound.h and outbound_priv.h.
#include "net/outbound_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define LOOKUP_MAX_MS 10000 // of a request without a bound of its own
#define CONNECT_LEAST_MS 250

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static void curl_start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int copy_options(struct outbound *o, const struct outbound_options *from)
{
    o->o = *from;
    o->allow = mem_zalloc_array(from->n_allow ? from->n_allow : 1, sizeof *o->allow);
    if (!o->allow)
        return ERR_NOMEM;
    for (size_t i = 0; i < from->n_allow; i++)
        o->allow[i] = from->allow[i];
    o->o.allow = o->allow;
    o->o.proxy = NULL;
    if (!from->proxy)
        return 0;
    if (!outbound_proxy_ok(from->proxy))
        return ERR_INVAL;
    o->proxy = mem_strdup(from->proxy);
    o->o.proxy = o->proxy;
    if (!o->proxy)
        return ERR_NOMEM;
    return 0;
}

int outbound_new(const struct outbound_options *options, struct outbound **out)
{
    pthread_once(&curl_once, curl_start);
    struct outbound *o = mem_zalloc(sizeof *o);
    if (!o)
        return ERR_NOMEM;
    pthread_mutex_init(&o->lock, NULL);
    int rc = copy_options(o, options);
    if (rc) {
        outbound_free(o);
        return rc;
    }
    *out = o;
    return 0;
}

void outbound_free(struct outbound *o)
{
    if (!o)
        return;
    for (size_t i = 0; i < o->n_idle; i++)
        outbound_handle_free(o->idle[i]);
    pthread_mutex_destroy(&o->lock);
    free(o->allow);
    free(o->proxy);
    free(o);
}

bool outbound_judges_names_only(const struct outbound *o)
{
    return o->proxy && o->o.proxy_resolves;
}

// --- one run ---

struct run {
    struct outbound *o;
    const struct outbound_request *q;
    struct fetch_result *out;
    struct outbound_url url;
    // clock_mono_ms; 0: none
    int64_t deadline_ms;
    unsigned redirects_left;
    bool first;
};

static int say(struct run *r, int rc, const char *text)
{
    if (r->first)
        snprintf(r->out->message, sizeof r->out->message, "%.200s: %s", r->url.host, text);
    else
        snprintf(r->out->message, sizeof r->out->message, "%.200s, where a redirect leads: %s",
                 r->url.host, text);
    return rc;
}

static int deny(struct run *r, const struct ip *ip, const char *what)
{
    char at[IP_TEXT_SIZE], text[200];
    if (ip)
        snprintf(text, sizeof text,
                 "the guard refuses %s, %s; an operator may allow it by outbound.allow in the "
                 "node's file",
                 ip_format(ip, at), what);
    else
        snprintf(text, sizeof text, "the guard refuses it, %s", what);
    return say(r, ERR_DENIED, text);
}

static int judge_all(struct run *r, const struct outbound_addresses *all)
{
    for (size_t i = 0; i < all->n; i++) {
        const char *what = outbound_judge(r->o, &all->ip[i]);
        if (what)
            return deny(r, &all->ip[i], what);
    }
    return 0;
}

static int look_up(struct run *r, struct outbound_addresses *out)
{
    int64_t deadline = r->deadline_ms;
    if (!deadline)
        deadline = clock_mono_ms() + LOOKUP_MAX_MS;
    int rc = outbound_resolve(r->url.host, deadline, r->q->stop, out);
    switch (rc) {
    case 0:
        return 0;
    case ERR_NOTFOUND:
        return say(r, rc, "the name has no address");
    case ERR_TIMEOUT:
        return say(r, rc, "the name was not resolved in time");
    case ERR_UNREACHABLE:
        return say(r, rc, "the name cannot be resolved now");
    case ERR_BUSY:
        return say(r, rc, "too many names are being resolved");
    case ERR_TOOBIG:
        return say(r, rc, "the name has more addresses than are judged");
    default:
        return say(r, rc, err_text(rc));
    }
}

// Where to dial: judged addresses, or none when the proxy resolves the name.
static int places(struct run *r, struct outbound_addresses *out)
{
    *out = (struct outbound_addresses){0};
    if (r->first && r->q->address) {
        out->ip[out->n++] = r->q->address->ip;
    } else if (r->url.is_address) {
        out->ip[out->n++] = r->url.ip;
    } else if (outbound_judges_names_only(r->o)) {
        const char *what = outbound_judge_name(r->o, r->url.host);
        if (what)
            return deny(r, NULL, what);
        return 0;
    } else {
        int rc = look_up(r, out);
        if (rc)
            return rc;
    }
    return judge_all(r, out);
}

static uint16_t port_of(const struct run *r)
{
    if (r->first && r->q->address)
        return r->q->address->port;
    return r->url.port;
}

static bool is_plain_read(const struct outbound_request *q)
{
    return !q->method || !strcmp(q->method, "GET") || !strcmp(q->method, "HEAD");
}

// So that one address that swallows everything leaves time for the others.
static uint32_t connect_share(const struct run *r, size_t n_left)
{
    if (!r->deadline_ms)
        return 0;
    int64_t share = (r->deadline_ms - clock_mono_ms()) / (int64_t)n_left;
    if (share < CONNECT_LEAST_MS)
        share = CONNECT_LEAST_MS;
    return (uint32_t)share;
}

static bool another_may_do(int rc)
{
    return rc == ERR_UNREACHABLE || rc == ERR_TIMEOUT;
}

static int dial(struct run *r, const struct outbound_addresses *to)
{
    struct outbound_hop hop = {.q = r->q,
                               .url = &r->url,
                               .port = port_of(r),
                               .first = r->first,
                               .may_follow = r->redirects_left > 0,
                               .deadline_ms = r->deadline_ms};
    bool sent;
    if (!to->n)
        return outbound_transfer(r->o, &hop, r->out, &sent);
    for (size_t i = 0;; i++) {
        hop.ip = &to->ip[i];
        hop.connect_timeout_ms = connect_share(r, to->n - i);
        int rc = outbound_transfer(r->o, &hop, r->out, &sent);
        if (!another_may_do(rc) || sent || i + 1 == to->n)
            return rc;
    }
}

// 0 with *out_again: r->url is the redirect's target now.
static int follow(struct run *r, bool *out_again)
{
    struct outbound_url next;
    const char *why = NULL;
    *out_again = false;
    if (!r->redirects_left || !outbound_is_redirect(r->out->status))
        return 0;
    AUTO_FREE char *location = mem_alloc(OUTBOUND_URL_MAX_BYTES + 1);
    if (!location)
        return ERR_NOMEM;
    if (!fetch_result_header(r->out, "location", location, OUTBOUND_URL_MAX_BYTES + 1))
        return say(r, ERR_PROTO, "it redirects to nowhere");
    int rc = outbound_url_follow(&r->url, location, &next, &why);
    if (rc) {
        char text[200];
        snprintf(text, sizeof text, "it redirects to what is not called: %s",
                 why ? why : err_text(rc));
        return say(r, rc == ERR_INVAL ? ERR_DENIED : rc, text);
    }
    r->url = next;
    r->first = false;
    r->redirects_left--;
    *out_again = true;
    return 0;
}

static int run(struct run *r)
{
    for (bool again = true; again;) {
        struct outbound_addresses to;
        int rc = places(r, &to);
        if (!rc)
            rc = dial(r, &to);
        if (!rc)
            rc = follow(r, &again);
        if (rc)
            return rc;
    }
    return 0;
}

static int begin(struct run *r)
{
    const struct outbound_request *q = r->q;
    const char *why = NULL;
    if ((!q->timeout_ms && !q->idle_timeout_ms) || q->redirects_max > OUTBOUND_REDIRECTS_MAX)
        return ERR_INVAL;
    if (is_plain_read(q))
        r->redirects_left = q->redirects_max;
    if (q->timeout_ms)
        r->deadline_ms = clock_mono_ms() + q->timeout_ms;
    if (!q->url || outbound_url_parse(q->url, &r->url, &why)) {
        snprintf(r->out->message, sizeof r->out->message, "this URL is not called: %s",
                 why ? why : "there is none");
        return ERR_INVAL;
    }
    return 0;
}

int outbound_run(struct outbound *o, const struct outbound_request *q, struct fetch_result *out)
{
    int64_t began = clock_mono_ms();
    struct run *r = mem_zalloc(sizeof *r); // two URLs: too much for some stacks
    *out = (struct fetch_result){0};
    int rc = ERR_NOMEM;
    if (r) {
        *r = (struct run){.o = o, .q = q, .out = out, .first = true};
        rc = begin(r);
    }
    if (!rc)
        rc = run(r);
    free(r);
    if (rc && !*out->message)
        snprintf(out->message, sizeof out->message, "%s", err_text(rc));
    out->err = rc;
    out->elapsed_ms = clock_mono_ms() - began;
    return rc;
}

int outbound_check_url(const struct outbound *o, const char *url, struct diag *diag)
{
    AUTO_FREE struct outbound_url *u = mem_zalloc(sizeof *u);
    const char *why = NULL;
    if (!u)
        return ERR_NOMEM;
    if (outbound_url_parse(url, u, &why)) {
        diag_add(diag, NULL, 0, "this URL is not called: %s", why);
        return ERR_INVAL;
    }
    if (u->is_address)
        why = outbound_judge(o, &u->ip);
    if (!why)
        return 0;
    diag_add(diag, NULL, 0, "the guard refuses %s, %s", u->host, why);
    return ERR_DENIED;
}
