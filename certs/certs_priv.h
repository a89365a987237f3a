// SPDX-License-Identifier: Apache-2.0
// What enrolment, renewal and serving share: requests, checking what a CA gave, replacing files.
// Nobody outside this room includes it.
#ifndef MERIDIAN_CERTS_CERTS_PRIV_H
#define MERIDIAN_CERTS_CERTS_PRIV_H

#include "certs/certs.h"
#include "certs/nonces.h"
#include "certs/pem_priv.h"

#include <pthread.h>

#define N_CERT_KINDS 3
#define CERT_CLOCK_WHY_BYTES 320 // of clock_ok and clock_suspect
#define CERT_REQUEST_MAX_BYTES (16u << 10)
#define PEER_NEXT_FILE "peer-next.pem"

struct cert_state { // of one kind, guarded by certs.lock
    char last_error[CERTS_ERROR_SIZE];
    // not before; 0: at once
    int64_t next_try_mono_ms;
    // in a row
    unsigned n_failed;
};

struct certs {
    char *dir, *region;
    struct snapshot *topology;
    struct fetcher *fetcher;
    struct region_keys *keys;
    unsigned check_s;
    void (*on_renewed)(void *ctx);
    int (*clock_ok)(void *ctx, char *why, size_t cap);
    void (*clock_suspect)(void *ctx, const char *region, char *out, size_t cap);
    bool (*peer_ready)(void *ctx, const char *fingerprint);
    void (*peer_waits)(void *ctx, char *out, size_t cap);
    void *ctx;
    // guarded by ca_lock
    struct ca *ca;
    // NULL where the CA is not at hand; set once at start
    char *ca_dir;
    pthread_rwlock_t ca_lock;
    // of regions that are about to ask that CA
    struct nonces nonces;
    // held over a renewal: one at a time, and never with `lock` taken first
    pthread_mutex_t work;
    // guards `states`, `n_given_up`, `stop`, `renewed`, `poked` and `preferred`
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct cert_state states[N_CERT_KINDS];
    // renewed in a row, and of a CA that is given up still
    unsigned n_given_up[N_CERT_KINDS];
    // what is being asked ends, too
    _Atomic bool stop;
    // certs_renew changed files: the thread is to say so
    bool renewed;
    // it is to look now
    bool poked;
    // of the CA that certificates are to be of; "": of any
    char preferred[65];
    pthread_t thread;
};

// A new key and a request for the plan's names, signed with it.
int cert_request(const struct cert_plan *plan, struct diag *diag, EVP_PKEY **out_key,
                 struct buf *out_csr);
// ca_issue by the CA at hand, which may change meanwhile: all go by this.
int cert_issue(struct certs *c, const struct cert_plan *plan, struct bytes csr_pem,
               struct diag *diag, struct buf *out_pem);
// Renews if the clock may, and keeps how it went. 1: files in use changed. Called with `work`.
int cert_renew_and_note(struct certs *c, const struct topology *t, enum cert_kind kind,
                        struct diag *diag);
// Does a peer certificate wait? To take it into use dates nothing, so it needs no clock that was
// compared: there may be nobody to compare with.
bool cert_peer_waits(struct certs *c, const struct topology *t);
// Asks the region that answers for the CA, over its peer listener: ask.c. Blocks. ERR_DENIED: it
// refuses.
int cert_ask(struct certs *c, const struct topology *t, const struct cert_plan *plan,
             const char *csr, struct arena *a, struct diag *diag, struct buf *out_pem);
// Checks, then replaces certs_dir/file (certificate and key) in one rename.
int cert_install(const char *certs_dir, const char *file, struct bytes cert_pem, EVP_PKEY *key,
                 const struct cert_plan *plan, pem_authorities *cas, const char *suspect,
                 struct diag *diag);
// Are its names those of the plan, all of them and no others? ERR_PROTO with a sentence.
int cert_names_judge(X509 *x, const struct cert_plan *plan, struct diag *diag);
// May a certificate be dated by our clock? If not, a sentence in diag. ERR_BUSY, ERR_CONFLICT as
// clock_ok.
int cert_clock_judge(struct certs *c, struct diag *diag);
// As certs_inspect, of any file of the directory.
int cert_inspect_file(const char *certs_dir, const char *file, const struct cert_plan *plan,
                      struct cert_info *out);
// certs_dir/ca.pem, all that it holds; NULL with a sentence.
pem_authorities *cert_ca_of(const char *certs_dir, struct diag *diag);

#endif
