// SPDX-License-Identifier: Apache-2.0
// From a request to the options of libcurl. On the caller's thread, before the loop sees the
// handle.
#include "net/fetch_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define KEEPALIVE_AFTER_S 4 // of a connection to a peer on which nothing moves
#define KEEPALIVE_EVERY_S 2
#define CONNECTION_AGE_MAX_S 118 // libcurl's own: it reuses none that was idle for longer

#define SET(option, value)                                              \
    do {                                                                \
        CURLcode set_ = curl_easy_setopt(h->easy, option, value);       \
        if (set_)                                                       \
            return set_ == CURLE_OUT_OF_MEMORY ? ERR_NOMEM : ERR_INVAL; \
    } while (0)

static int header_add(struct fetch *h, const char *line)
{
    struct curl_slist *l = curl_slist_append(h->headers, line);
    if (!l)
        return ERR_NOMEM;
    h->headers = l;
    return 0;
}

static int setup_headers(struct fetch *h, const struct fetch_request *q)
{
    bool typed = false;
    int rc = header_add(h, "Expect:"); // no waiting for 100 Continue
    for (size_t i = 0; i < q->n_headers && !rc; i++) {
        if (strpbrk(q->headers[i], "\r\n"))
            return ERR_INVAL;
        typed = typed || !strncasecmp(q->headers[i], "Content-Type:", 13);
        rc = header_add(h, q->headers[i]);
    }
    if (!rc && !typed)
        rc = header_add(h, "Content-Type:"); // libcurl would claim a form
    if (!rc && q->chunked)
        rc = header_add(h, "Transfer-Encoding: chunked");
    if (rc)
        return rc;
    SET(CURLOPT_HTTPHEADER, h->headers);
    return 0;
}

static bool takes_body(const char *method)
{
    return !strcmp(method, "POST") || !strcmp(method, "PUT") || !strcmp(method, "PATCH");
}

static int setup_body(struct fetch *h, const struct fetch_request *q)
{
    const char *method = q->method;
    if (!method)
        method = "GET";
    if (q->body.p) {
        h->body = mem_alloc(q->body.n);
        if (!h->body)
            return ERR_NOMEM;
        memcpy(h->body, q->body.p, q->body.n);
        h->n_body = q->body.n;
    }
    if (!strcmp(method, "HEAD")) {
        SET(CURLOPT_NOBODY, 1L);
        return 0;
    }
    if (q->chunked) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_READFUNCTION, fetch_on_read);
        SET(CURLOPT_READDATA, h);
    } else if (h->body || takes_body(method)) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDS, h->body ? (char *)h->body : "");
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)h->n_body);
    }
    SET(CURLOPT_CUSTOMREQUEST, method);
    return 0;
}

static int setup_tls(struct fetch *h, const struct fetch_request *q)
{
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (q->ca_file) {
        SET(CURLOPT_CAPATH, NULL); // the named authority only, not the system's as well
        SET(CURLOPT_CAINFO, q->ca_file);
        // the private CA is replaced while this runs, and libcurl would keep what it has read for a day
        SET(CURLOPT_CA_CACHE_TIMEOUT, 0L);
    }
    if (q->client_pem) {
        SET(CURLOPT_SSLCERT, q->client_pem);
        SET(CURLOPT_SSLKEY, q->client_pem);
        // A session that is resumed stands for the certificate that it began with: after the file was
        // replaced that one would come back for as long as sessions follow each other.
        SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    }
    if (q->pinned) {
        AUTO_BUF struct buf pins;
        buf_init(&pins, 0);
        for (size_t i = 0; i < q->n_pins; i++)
            buf_printf(&pins, "%s ", q->pins[i]);
        if (pins.err)
            return pins.err;
        h->pins = mem_strdup(buf_cstr(&pins));
        if (!h->pins)
            return ERR_NOMEM;
    }
    return 0;
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)arg, (void)purpose;
    unsigned limit_ms = FETCH_PEER_SILENCE_MS;
    // no TCP on a unix socket
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof limit_ms);
    return CURL_SOCKOPT_OK;
}

// A connection of before the loss would be waited on for as long as TCP hopes. libcurl counts their
// idle time in whole seconds.
static int setup_peer(struct fetch *h, const struct fetch_request *q)
{
    if (!q->peer)
        return 0;
    h->peer = mem_strdup(q->peer);
    h->looks_for_peer = q->looks_for_peer;
    if (!h->peer)
        return ERR_NOMEM;
    h->lost_seen = fetch_peer_lost_mono(h->fetcher, q->peer);
    int64_t age_s = CONNECTION_AGE_MAX_S;
    if (h->lost_seen)
        age_s = (clock_mono_ms() - h->lost_seen) / 1000 - 1;
    if (age_s < 1)
        SET(CURLOPT_FRESH_CONNECT, 1L);
    else if (age_s < CONNECTION_AGE_MAX_S)
        SET(CURLOPT_MAXAGE_CONN, (long)age_s);
    SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_AFTER_S);
    SET(CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_EVERY_S);
    return 0;
}

static int setup_callbacks(struct fetch *h)
{
    SET(CURLOPT_ERRORBUFFER, h->curl_message);
    SET(CURLOPT_PRIVATE, h);
    SET(CURLOPT_WRITEFUNCTION, fetch_on_write);
    SET(CURLOPT_WRITEDATA, h);
    SET(CURLOPT_HEADERFUNCTION, fetch_on_header);
    SET(CURLOPT_HEADERDATA, h);
    SET(CURLOPT_XFERINFOFUNCTION, fetch_on_progress);
    SET(CURLOPT_XFERINFODATA, h);
    SET(CURLOPT_NOPROGRESS, 0L);
    return 0;
}

// Where it goes: the name in the URL, or another place that stands for it.
static int setup_place(struct fetch *h, const struct fetch_request *q)
{
    SET(CURLOPT_URL, q->url);
    if (q->unix_socket)
        SET(CURLOPT_UNIX_SOCKET_PATH, q->unix_socket);
    if (!q->connect_to)
        return 0;
    char at[ENDPOINT_TEXT_SIZE], line[ENDPOINT_TEXT_SIZE + 2];
    // any host, any port → there
    snprintf(line, sizeof line, "::%s", endpoint_format(q->connect_to, at));
    h->connect_to = curl_slist_append(NULL, line);
    if (!h->connect_to)
        return ERR_NOMEM;
    SET(CURLOPT_CONNECT_TO, h->connect_to);
    return 0;
}

static int setup_connection(struct fetch *h, const struct fetch_request *q)
{
    const char *schemes = "https";
    if (q->unix_socket || q->connect_only)
        schemes = "http,https";
    unsigned connect_ms = 5000;
    if (q->connect_timeout_ms)
        connect_ms = q->connect_timeout_ms;
    SET(CURLOPT_PROTOCOLS_STR, schemes);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    SET(CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
    if (q->connect_only)
        SET(CURLOPT_CONNECT_ONLY, 1L);
    if (q->fresh_connection || q->connect_only) {
        SET(CURLOPT_FRESH_CONNECT, 1L);
        SET(CURLOPT_FORBID_REUSE, 1L);
    }
    return 0;
}

static int setup_user(struct fetch *h, const struct fetch_request *q)
{
    if (!q->user)
        return 0;
    SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    SET(CURLOPT_USERNAME, q->user);
    SET(CURLOPT_PASSWORD, q->password ? q->password : "");
    return 0;
}

int fetch_setup(struct fetch *h, const struct fetch_request *q)
{
    static int (*const steps[])(struct fetch * h, const struct fetch_request *q) = {
        setup_headers, setup_place, setup_connection, setup_user,
        setup_tls,     setup_peer,  setup_body};
    int rc = setup_callbacks(h);
    for (size_t i = 0; i < ARRAY_LEN(steps) && !rc; i++)
        rc = steps[i](h, q);
    return rc;
}
