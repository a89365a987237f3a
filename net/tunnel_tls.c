// SPDX-License-Identifier: Apache-2.0
// The tunnels' TLS: our peer certificate, chain and name of the other side, and the fingerprint
// that the topology pins. Files are read again when they changed; both are small and few
// connections begin.
#include "net/tunnel_priv.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static SSL_CTX *context_make(const struct tunnels_options *o)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    if (!c)
        return NULL;
    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_verify_depth(c, 3);
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    if (SSL_CTX_load_verify_locations(c, o->ca_file, NULL) == 1 &&
        SSL_CTX_use_certificate_chain_file(c, o->peer_pem) == 1 &&
        SSL_CTX_use_PrivateKey_file(c, o->peer_pem, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_check_private_key(c) == 1)
        return c;
    ERR_clear_error();
    SSL_CTX_free(c);
    return NULL;
}

static int context_see_to(struct tunnels *all)
{
    struct stat ca, pem;
    if (stat(all->o.ca_file, &ca) || stat(all->o.peer_pem, &pem))
        return ERR_NOTFOUND;
    if (all->tls && same_file(&ca, &all->ca_stat) && same_file(&pem, &all->pem_stat))
        return 0;
    SSL_CTX *fresh = context_make(&all->o);
    if (!fresh)
        return ERR_CRYPTO;
    SSL_CTX_free(all->tls);
    all->tls = fresh;
    all->ca_stat = ca;
    all->pem_stat = pem;
    return 0;
}

int tunnel_tls_begin(struct tunnel *t)
{
    struct tunnels *all = t->all;
    const struct topology *topology = snapshot_reader_get(&all->reader, all->o.topology);
    char name[HOSTNAME_TEXT_SIZE];
    int rc = ERR_NOTFOUND;
    if (topology)
        rc = context_see_to(all);
    if (rc) {
        static struct log_limit limit = LOG_LIMIT(5000);
        log_limited(&limit, LOG_ERROR, "edge: %s and %s: uploads cannot be passed on: %s",
                    all->o.ca_file, all->o.peer_pem, err_text(rc));
        return rc;
    }
    snprintf(name, sizeof name, "%s.peer.%s", t->region, topology->domain);
    t->ssl = SSL_new(all->tls);
    if (!t->ssl || SSL_set1_host(t->ssl, name) != 1 ||
        SSL_set_tlsext_host_name(t->ssl, name) != 1 || SSL_set_fd(t->ssl, t->far.fd) != 1) {
        ERR_clear_error();
        return ERR_NOMEM;
    }
    SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set_connect_state(t->ssl);
    return 0;
}

bool tunnel_pin_holds(const struct tunnel *t, const struct topology *topology)
{
    const struct region *r = NULL;
    if (topology)
        r = topology_region(topology, t->region);
    for (size_t i = 0; r && i < r->n_peer_fingerprints; i++)
        if (strcmp(r->peer_fingerprints[i], t->fingerprint) == 0)
            return true;
    return false;
}

bool tunnel_tls_pinned(struct tunnel *t, const struct topology *topology)
{
    X509 *x = SSL_get1_peer_certificate(t->ssl);
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    bool ok = x && X509_digest(x, EVP_sha256(), sum, &n) && n == SHA256_BYTES;
    X509_free(x);
    if (!ok)
        return false;
    hex_format(sum, n, t->fingerprint);
    return tunnel_pin_holds(t, topology);
}

const char *tunnel_tls_why(struct tunnel *t)
{
    long v = SSL_get_verify_result(t->ssl);
    ERR_clear_error();
    if (v == X509_V_OK)
        return "TLS could not be agreed on";
    return X509_verify_cert_error_string(v);
}

void tunnel_tls_done(struct tunnels *all)
{
    SSL_CTX_free(all->tls);
    all->tls = NULL;
}
