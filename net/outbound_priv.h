// SPDX-License-Identifier: Apache-2.0
// What the files of the guard share, lowest first: outbound_url.c (a URL in its strict form),
// outbound_judge.c (which addresses and names are refused), outbound_resolve.c (names to addresses,
// within a time), outbound_transfer.c (one request to one address by libcurl), outbound.c (the
// policy, redirects, and the order of it all). Nobody else includes this, but for tests and fuzz
// targets.
//
// Invariants
//   1. libcurl never resolves a host that a user named: each transfer has a CURLOPT_CONNECT_TO with
//      a judged address; with proxy_resolves it has a judged name, which goes to the proxy.
//   2. libcurl follows no redirect: outbound.c does, through the same judgement.
//   3. What libcurl gets as URL is written anew from the parsed parts: two readers of one text
//      cannot disagree on its host.
#ifndef MERIDIAN_NET_OUTBOUND_PRIV_H
#define MERIDIAN_NET_OUTBOUND_PRIV_H

#include "net/outbound.h"

#include <curl/curl.h>
#include <pthread.h>

#define OUTBOUND_HOST_SIZE 254
#define OUTBOUND_ADDRESSES_MAX 16

// --- outbound_url.c: pure ---
struct outbound_url {
    // lower case; a literal address without its brackets, in its shortest form
    char host[OUTBOUND_HOST_SIZE];
    bool is_address;
    // of a literal address
    struct ip ip;
    uint16_t port;
    // https://host[:port]/path?query, without a fragment
    char text[OUTBOUND_URL_MAX_BYTES + 64];
};
// ERR_INVAL, and why in *why (static text).
int outbound_url_parse(const char *text, struct outbound_url *out, const char **why);
// The target of a redirect: `location` as it came, absolute or relative to `from` (RFC 3986 section
// 5).
int outbound_url_follow(const struct outbound_url *from, const char *location,
                        struct outbound_url *out, const char **why);
bool outbound_proxy_ok(const char *text);

// --- outbound_judge.c ---
// NULL: it may be dialled; else by which rule it may not (static text, "a private network").
const char *outbound_judge(const struct outbound *o, const struct ip *ip);
// The same of a name that somebody else resolves.
const char *outbound_judge_name(const struct outbound *o, const char *name);

// --- outbound_resolve.c ---
struct outbound_addresses {
    struct ip ip[OUTBOUND_ADDRESSES_MAX];
    size_t n;
};
// Blocks until `deadline_ms` (clock_mono_ms) at most. ERR_NOTFOUND, ERR_UNREACHABLE (the resolver
// gives no answer), ERR_TIMEOUT, ERR_BUSY, ERR_CANCELED, ERR_TOOBIG (more addresses than we judge).
int outbound_resolve(const char *host, int64_t deadline_ms, const _Atomic bool *stop,
                     struct outbound_addresses *out);

// --- outbound_transfer.c ---
struct outbound_hop { // one request to one place
    const struct outbound_request *q;
    const struct outbound_url *url;
    // judged; NULL: the proxy resolves the URL's name
    const struct ip *ip;
    uint16_t port;
    // the URL is the caller's own, so his credentials go there
    bool first;
    // a redirect is followed if that is what comes
    bool may_follow;
    // clock_mono_ms; 0: none
    int64_t deadline_ms;
    uint32_t connect_timeout_ms;
};
// *out_sent: something of the request went out, so it must not be tried elsewhere.
int outbound_transfer(struct outbound *o, const struct outbound_hop *hop, struct fetch_result *out,
                      bool *out_sent);
bool outbound_is_redirect(int status);
struct outbound_handle {
    CURLM *multi; // keeps the connections
    CURL *easy;
};
void outbound_handle_free(struct outbound_handle *h);

// --- outbound.c ---
#define OUTBOUND_IDLE_HANDLES 8
struct outbound {
    struct outbound_options o;
    struct cidr *allow;
    char *proxy;
    pthread_mutex_t lock;
    // under the lock: handles with their connections, for the next requests
    struct outbound_handle *idle[OUTBOUND_IDLE_HANDLES];
    size_t n_idle;
};

#endif
