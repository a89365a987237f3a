// SPDX-License-Identifier: Apache-2.0
// The guard for any address that a user names: an issuer of identities, a registry to import from,
// later a webhook or an upstream. Whoever goes out to such a place goes through here.
//
// The name is resolved once, every address that it has is judged, and that very one is dialled,
// with the name in SNI and verified in the certificate. Refused are loopback, private, link-local,
// unique local, shared (CGNAT), multicast, reserved and documentation networks, 0.0.0.0/8, metadata
// services of clouds, and our own addresses. IPv4 inside of IPv6 (mapped, NAT64, 6to4, ISATAP) is
// judged as the address that it leads to. One refused address refuses the name. The operator's
// allow-list opens networks; a metadata service or an address of our own is open only where an
// entry names that very address.
//
//   struct outbound_request q = {.url = "https://issuer.example/keys", .timeout_ms = 5000,
//                                .max_bytes = 64 << 10, .redirects_max = 3};
//   struct fetch_result r;
//   outbound_run(o, &q, &r);
//   if (r.err) log_warn("%s", r.message); else if (r.status == 200) …use r.body…
//   fetch_result_done(&r);
//
// Redirects are followed only where the caller asks for it, each judged like a new address, with no
// credential and hardly a header of before; WWW-Authenticate of a redirect's target is not kept. No proxy is taken from the environment, nor .netrc, nor
// cookies. HTTP/1.1 over TLS 1.2 or 1.3 (RFC 9110, 9112).
//
// Errors: ERR_DENIED: the guard refused, and out->message says which address or name by which rule;
// ERR_INVAL: the URL is none that we would call (https only, no user in it); ERR_NOTFOUND: the name
// has no address; ERR_BUSY: too many look-ups of names hang; ERR_TOOBIG, ERR_TIMEOUT,
// ERR_UNREACHABLE, ERR_CRYPTO (certificate), ERR_CANCELED, or what a callback returned. A status of
// 3xx is a result like others where no redirect is (any longer) followed.
//
// Any thread, several at once. outbound_run blocks: on a worker, never on an HTTP thread. Callbacks
// run on the thread that called it, and may block (idle_timeout_ms does not count that time,
// timeout_ms does).
#ifndef MERIDIAN_NET_OUTBOUND_H
#define MERIDIAN_NET_OUTBOUND_H

#include "base/addr.h"
#include "base/diag.h"
#include "net/fetch.h"

#define OUTBOUND_REDIRECTS_MAX 3
#define OUTBOUND_URL_MAX_BYTES 8192
#define OUTBOUND_BODY_UNKNOWN UINT64_MAX

struct outbound; // the policy, and connections that are kept for the next request

struct outbound_options { // copied, but for what ctx points to
    // the operator's allow-list
    const struct cidr *allow;
    size_t n_allow;
    // "http://host:port", or NULL. CONNECT (RFC 9110 section 9.3.6) asks it for the judged address;
    // the name stands in SNI.
    const char *proxy;
    // The proxy resolves names: CONNECT asks for the name, and the guard can judge only names, and
    // addresses that are written in the URL.
    bool proxy_resolves;
    // Is it an address of this registry's own machines? May be NULL. Addresses of this machine's
    // interfaces are known without. Any thread.
    bool (*owns_address)(void *ctx, const struct ip *ip);
    // Is it a name of this registry? Only asked with proxy_resolves. May be NULL. Any thread.
    bool (*owns_name)(void *ctx, const char *name);
    void *ctx;
};
// ERR_INVAL: the proxy is not written as it must be
int outbound_new(const struct outbound_options *o, struct outbound **out);
void outbound_free(struct outbound *o); // NULL: nothing. No request may run.
bool outbound_judges_names_only(const struct outbound *o);

struct outbound_request { // all of it is borrowed until outbound_run returns
    // NULL: GET
    const char *method;
    const char *url;
    // value of the Authorization header ("Bearer …", "Basic …"); goes to the URL's own host alone,
    // never to a redirect's target, and is never logged. NULL: none
    const char *authorization;
    // "Name: value" lines. Authorization, Cookie and Proxy-Authorization are ERR_INVAL here. Of
    // these, Accept, Range, If-None-Match and User-Agent alone go to a redirect's target.
    const char *const *headers;
    size_t n_headers;
    // CA certificates that are trusted in place of the system's: a file, or PEM in memory
    const char *ca_file;
    struct bytes ca_pem;
    // dialled in place of what the name resolves to, and judged like it; not for redirects' targets
    const struct endpoint *address;
    // of GET and HEAD; 0: none is followed; at most OUTBOUND_REDIRECTS_MAX
    unsigned redirects_max;
    // bound of it all: look-ups, redirects, transfer. 0: none (for streams); then idle_timeout_ms
    uint32_t timeout_ms;
    // no byte moves either way for so long; 0: none
    uint32_t idle_timeout_ms;
    // most bytes of the response's body, kept or streamed: ERR_TOOBIG past it. 0: 1 MiB, as for
    // bodies of redirects that are followed, and of errors where on_data is set
    uint64_t max_bytes;
    // the request's body: these bytes, or what on_body gives; neither: none
    struct bytes body;
    // gives up to `cap` bytes; *out_n 0: the end. An error ends the transfer with it.
    int (*on_body)(void *ctx, uint8_t *to, size_t cap, size_t *out_n);
    // how much on_body gives (Content-Length); OUTBOUND_BODY_UNKNOWN: it is sent in chunks
    uint64_t body_bytes;
    // The last answer's status and headers are in *r (may be called more than once when a
    // connection breaks early). An error ends the transfer with it. May be NULL.
    int (*on_headers)(void *ctx, const struct fetch_result *r);
    // takes the body of a 2xx answer, in place of out->body; an error ends the transfer with it
    int (*on_data)(void *ctx, const uint8_t *p, size_t n);
    void *ctx;
    // ends with ERR_CANCELED soon after it is true; may be NULL
    const _Atomic bool *stop;
};

// Returns out->err. Status and headers are those of the last answer, whatever its status. Free the
// result with fetch_result_done in any case.
int outbound_run(struct outbound *o, const struct outbound_request *q, struct fetch_result *out);

// The judgement of what is written in the URL alone (form, literal address), for checks of
// documents: 0, ERR_INVAL or ERR_DENIED with a sentence. Nothing is resolved.
int outbound_check_url(const struct outbound *o, const char *url, struct diag *diag);

#endif
