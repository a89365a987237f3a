// SPDX-License-Identifier: Apache-2.0
// What the files of the HTTP client share: fetch_transfer.c (libcurl's callbacks, and what an
// outcome means), fetch_setup.c (a request to options of libcurl), fetch_peers.c (peers that were
// found silent), fetch.c (the loop and its inbox), fetch_wait.c (callers that wait). Nobody else
// includes this, but net/outbound_transfer.c for two helpers.
//
// Invariants
//   1. A fetch is in the inbox or in the running list, or its `done` was called and it is freed.
//   2. Every libcurl call on a handle, and `done`, happen on the fetcher's thread. Other threads
//      append to the inbox under the lock, set `cancel` and `resume`, and wake the loop.
//   3. A response is believed only once the pins hold: no byte of it goes to `on_data` before.
#ifndef MERIDIAN_NET_FETCH_PRIV_H
#define MERIDIAN_NET_FETCH_PRIV_H

#include "net/fetch.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

struct fetch {
    struct fetcher *fetcher;
    // inbox (next only) or the running list
    struct fetch *prev, *next;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    uint8_t *body;
    // of a chunked body
    size_t n_body, sent;
    // as libcurl counts
    curl_off_t uploaded;
    size_t max_bytes;
    uint32_t idle_timeout_ms;
    int64_t started_ms, last_byte_ms;
    int (*on_data)(void *ctx, struct fetch *f, const uint8_t *p, size_t n);
    void (*on_headers)(void *ctx, struct fetch *f, int status);
    void *ctx;
    void (*done)(void *ctx, struct fetch_result *r);
    char *peer;
    bool looks_for_peer;
    // lost_mono of its peer when it began
    int64_t lost_seen;
    // blank-separated; NULL: any certificate that verifies
    char *pins;
    // our own reason for an aborted transfer
    int why;
    bool paused;
    _Atomic bool cancel, resume;
    char curl_message[CURL_ERROR_SIZE];
    struct fetch_result result;
};

struct peer_loss { // a peer was found silent
    char *peer;
    // the last time
    int64_t lost_mono;
    struct peer_loss *next;
};

struct fetcher {
    CURLM *multi;
    pthread_t thread;
    // of the thread
    const char *name;
    pthread_mutex_t lock;
    // under the lock
    struct fetch *inbox;
    // under the lock
    bool stop;
    // under the lock; one for each region that was ever lost
    struct peer_loss *losses;
    // grows with each fetcher_peer_lost
    _Atomic unsigned n_losses;
    // the loop's own
    unsigned n_losses_seen;
    struct fetch *running;
    void (*suspect)(void *ctx, const char *peer, char *out, size_t cap);
    void *suspect_ctx;
};

// --- fetch_transfer.c ---
// libcurl's callbacks, and what its outcome means: an error of ours, and the sentence (out[cap] may
// hold it).
size_t fetch_on_write(char *p, size_t one, size_t n, void *arg);
size_t fetch_on_header(char *p, size_t one, size_t n, void *arg);
size_t fetch_on_read(char *to, size_t one, size_t n, void *arg);
int fetch_on_progress(void *arg, curl_off_t dl_total, curl_off_t dl, curl_off_t ul_total,
                      curl_off_t ul);
int fetch_outcome(struct fetch *h, CURLcode code, char *out, size_t cap, const char **out_message);
// Also for net/outbound: an error of libcurl as one of ours, and a header line added as
// fetch_result has them.
int fetch_error_of(CURLcode code, const char *message);
int fetch_header_keep(struct buf *to, const char *line, size_t n);

// --- fetch_setup.c ---
int fetch_setup(struct fetch *h, const struct fetch_request *q);

// --- fetch_peers.c ---
// when the peer was last found silent; 0: never
int64_t fetch_peer_lost_mono(struct fetcher *f, const char *peer);
bool fetch_lost(struct fetcher *f, const struct fetch *h); // its peer, since it began?
void fetch_losses_free(struct fetcher *f);

#endif
