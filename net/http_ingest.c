// SPDX-License-Identifier: Apache-2.0
// From libmicrohttpd's view of a request to ours: every header copied out of the connection's
// memory and judged (RFC 9112 sections 3.2 and 6). Called by http_call.c on an HTTP thread,
// before any handler sees the request.
#include "net/http_priv.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/edge.h"

#include <string.h>
#include <strings.h>

struct ingest {
    struct http_request *req;
    enum http_listener listener;
    unsigned n_headers, n_host, n_length, n_coding, n_client, n_cert, n_private, n_authorization,
        n_type;
    const char *client, *cert, *private;
    bool chunked;
    int status;
};

static bool length_parse(const char *s, int64_t *out)
{
    int64_t v = 0;
    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || v > (INT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (*s - '0');
    }
    *out = v;
    return true;
}

static bool text_ok(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 127)
            return false;
    return true;
}

// What the edge adds: read here, never shown to handlers. From the public every other X-Meridian-*
// is dropped.
static bool edge_header(struct ingest *in, const char *name, const char *value)
{
    if (!strcasecmp(name, EDGE_HEADER_CLIENT)) {
        in->n_client++;
        in->client = value;
        return true;
    }
    if (!strcasecmp(name, EDGE_HEADER_PEER_CERT)) {
        in->n_cert++;
        in->cert = value;
        return true;
    }
    if (!strcasecmp(name, EDGE_HEADER_PRIVATE)) {
        in->n_private++;
        in->private = value;
        return true;
    }
    return false;
}

static void framing_header(struct ingest *in, const char *name, const char *value)
{
    if (!strcasecmp(name, "Host"))
        in->n_host++;
    else if (!strcasecmp(name, "Authorization"))
        in->n_authorization++;
    else if (!strcasecmp(name, "Content-Type"))
        in->n_type++;
    else if (!strcasecmp(name, "Content-Length")) {
        in->n_length++;
        if (!length_parse(value, &in->req->content_length))
            in->status = 400;
    } else if (!strcasecmp(name, "Transfer-Encoding")) {
        in->n_coding++;
        in->chunked = true;
        if (strcasecmp(value, "chunked"))
            in->status = 400;
    }
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                 size_t n_name, const char *value, size_t n_value)
{
    (void)kind;
    struct ingest *in = cls;
    if (!value)
        value = "";
    if (memchr(name, 0, n_name) || !http_token_ok(name) || !text_ok(value, n_value)) {
        in->status = 400;
        return MHD_NO;
    }
    if (edge_header(in, name, value)) // not the client's
        return MHD_YES;
    if (++in->n_headers > HTTP_HEADERS_MAX) {
        in->status = 431;
        return MHD_NO;
    }
    bool of_strangers = in->listener == LISTENER_PUBLIC || in->listener == LISTENER_OPERATOR;
    if (of_strangers && !strncasecmp(name, "X-Meridian-", 11))
        return MHD_YES;
    framing_header(in, name, value);
    if (http_request_add_header(in->req, name, n_name, value, n_value))
        in->status = 431;
    if (in->status)
        return MHD_NO;
    return MHD_YES;
}

// The fingerprint is that of the DER inside the PEM that the edge verified.
static int fingerprint(struct http_request *req, const char *escaped)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
    const char *pem = http_path_decode(&req->arena, escaped, strlen(escaped));
    const char *from = NULL, *to = NULL;
    if (pem)
        from = strstr(pem, begin);
    if (from)
        to = strstr(from, end);
    if (!to)
        return ERR_INVAL;
    size_t cap = (size_t)(to - from), n = 0, n_der = 0;
    char *text = arena_alloc(&req->arena, cap + 1),
         *hex = arena_alloc(&req->arena, 2 * SHA256_BYTES + 1);
    uint8_t *der = arena_alloc(&req->arena, cap + 1), sum[SHA256_BYTES];
    if (!text || !hex || !der)
        return ERR_NOMEM;
    for (const char *p = from + sizeof begin - 1; p < to; p++)
        if (*p != '\n' && *p != '\r' && *p != ' ' && *p != '\t')
            text[n++] = *p;
    if (!n || b64_parse(text, n, der, cap, &n_der))
        return ERR_INVAL;
    sha256(der, n_der, sum);
    hex_format(sum, sizeof sum, hex);
    req->peer_cert_fingerprint = hex;
    req->peer_cert = arena_strdup(&req->arena, escaped);
    if (req->peer_cert)
        return 0;
    return ERR_NOMEM;
}

static int ingest_origin(struct ingest *in, struct MHD_Connection *conn)
{
    struct http_request *req = in->req;
    if (in->listener == LISTENER_ADMIN) {
        const union MHD_ConnectionInfo *fd =
            MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct ucred cred;
        socklen_t n = sizeof cred;
        if (!fd || getsockopt(fd->connect_fd, SOL_SOCKET, SO_PEERCRED, &cred, &n))
            return 400;
        req->peer_uid = cred.uid;
        return 0;
    }
    if (in->listener == LISTENER_METRICS)
        return 0; // no edge in front: such headers mean nothing
    if (in->n_client > 1 || in->n_cert > 1 || in->n_private > 1)
        return 400;
    if (in->listener == LISTENER_PUBLIC && in->private && *in->private) {
        req->private_endpoint = arena_strdup(&req->arena, in->private);
        if (!req->private_endpoint)
            return 503;
    }
    if (in->client && ip_parse(in->client, &req->client))
        return 400;
    if (in->listener == LISTENER_PEER && in->cert && *in->cert && fingerprint(req, in->cert))
        return 400;
    return 0;
}

// Are the headers there that decide what the request is, each once at most?
static bool framing_ok(const struct ingest *in, bool v11)
{
    if (in->n_host > 1 || (v11 && !in->n_host))
        return false;
    if (in->n_length > 1 || in->n_coding > 1)
        return false;
    if (in->n_length && in->n_coding)
        return false;
    return in->n_authorization <= 1 && in->n_type <= 1;
}

int http_request_ingest(struct http_request *req, struct MHD_Connection *conn,
                        enum http_listener listener, const char *method, const char *version,
                        bool *out_chunked)
{
    struct ingest in = {.req = req, .listener = listener};
    req->listener = listener;
    req->peer_uid = (unsigned)-1;
    req->method_text = arena_strdup(&req->arena, method);
    if (!req->method_text)
        return 503;
    req->method = http_method_of(method);
    MHD_get_connection_values_n(conn, MHD_HEADER_KIND, on_header, &in);
    if (in.status)
        return in.status;
    if (strcmp(version, "HTTP/1.1") && strcmp(version, "HTTP/1.0"))
        return 505;
    if (!http_token_ok(method) || !framing_ok(&in, !strcmp(version, "HTTP/1.1")))
        return 400;
    const char *host = http_header_get(req, "Host");
    if (host)
        req->host = host;
    else
        req->host = "";
    *out_chunked = in.chunked;
    return ingest_origin(&in, conn);
}
