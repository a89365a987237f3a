// SPDX-License-Identifier: Apache-2.0
// See shown.h.
#include "certs/shown.h"

#include "base/err.h"
#include "base/fd.h"
#include "certs/certs_priv.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

// 0.0.0.0 and [::] are no addresses to connect to.
static struct endpoint reachable(const struct endpoint *at)
{
    static const uint8_t zero[16];
    static const uint8_t any_v4[16] = {[10] = 0xff, 0xff};
    struct endpoint to = *at;
    if (!memcmp(to.ip.b, zero, sizeof zero))
        to.ip.b[15] = 1;
    else if (!memcmp(to.ip.b, any_v4, sizeof any_v4))
        memcpy(to.ip.b + 12, "\x7f\0\0\1", 4);
    return to;
}

static int connected(const struct endpoint *at, int timeout_ms, int *out)
{
    struct endpoint to = reachable(at);
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(&to, &sa);
    const struct timeval tv = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    AUTO_CLOSE int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv) ||
        connect(fd, (const struct sockaddr *)&sa, n))
        return ERR_UNREACHABLE;
    *out = fd_take(&fd);
    return 0;
}

static void asks_note(const STACK_OF(X509_NAME) * names, pem_authorities *cas, struct shown *out)
{
    for (int i = 0; i < sk_X509_NAME_num(names); i++) {
        bool known = false;
        for (int k = 0; k < sk_X509_num(cas) && out->n_asks < TRUST_MAX; k++) {
            X509 *ca = sk_X509_value(cas, k);
            if (X509_NAME_cmp(sk_X509_NAME_value(names, i), X509_get_subject_name(ca)) != 0)
                continue;
            known = true;
            pem_fingerprint(ca, out->asks[out->n_asks++]);
        }
        if (!known)
            out->n_foreign++;
    }
}

static void note(SSL *ssl, pem_authorities *cas, struct shown *out)
{
    AUTO_X509 X509 *x = SSL_get1_peer_certificate(ssl);
    int by = -1;
    asks_note(SSL_get0_peer_CA_list(ssl), cas, out);
    if (x)
        by = pem_issuer(x, cas);
    if (by >= 0)
        pem_fingerprint(sk_X509_value(cas, by), out->issuer);
}

// Nothing is verified: what it shows is the question.
static int handshake(int fd, pem_authorities *cas, struct shown *out)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;
    if (ctx)
        ssl = SSL_new(ctx);
    int rc = ERR_NOMEM;
    if (ssl && SSL_set_fd(ssl, fd) == 1) {
        rc = ERR_UNREACHABLE;
        if (SSL_connect(ssl) == 1)
            rc = 0;
    }
    if (!rc)
        note(ssl, cas, out);
    if (!rc)
        (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

int shown_look(const struct endpoint *at, const char *certs_dir, int timeout_ms, struct shown *out)
{
    struct shown s = {0};
    AUTO_AUTHORITIES pem_authorities *cas = cert_ca_of(certs_dir, NULL);
    int to = -1;
    if (!cas)
        return ERR_NOTFOUND;
    int rc = connected(at, timeout_ms, &to);
    AUTO_CLOSE int fd = to;
    if (!rc)
        rc = handshake(fd, cas, &s);
    if (!rc)
        *out = s;
    return rc;
}
