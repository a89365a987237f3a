// SPDX-License-Identifier: Apache-2.0
// The registry that is imported from. All requests go through the guard (net/outbound.h): https
// only, its addresses judged, redirects followed without credentials. Who asks gets the answer of
// a request that was repeated as often as it made sense:
//
//   401       the challenge is answered (Basic, or a token of the realm it names), once
//   429, 503  waits as Retry-After says, all lanes alike, up to IMPORT_WAIT_MAX_S
//   5xx, cut  again with growing pauses, SOURCE_TRIES times
//
//   struct source_request q = {.path = "/v2/team/app/tags/list?n=1000", .repository = "team/app"};
//   rc = source_ask(s, &q, &res, why);       // 0: status is 2xx or 404
//
// Any thread, several at once. on_data runs on the thread that asked.
#ifndef MERIDIAN_CLI_IMPORT_SOURCE_H
#define MERIDIAN_CLI_IMPORT_SOURCE_H

#include "base/addr.h"
#include "net/fetch.h"

#define IMPORT_WHY_SIZE 320
// a registry that wants to be left alone for longer is: the import ends there and is run again
#define IMPORT_WAIT_MAX_S 900
#define SOURCE_TRIES 5

struct import_source;

struct source_options {
    // "registry.example:5000"; borrowed, as all of these
    const char *host;
    // NULL: the system's
    const char *ca_file;
    // private networks that the operator has named
    const struct cidr *allow;
    size_t n_allow;
    // "http://host:port" that all calls go through; NULL: none
    const char *proxy;
    // NULL: anonymous
    const char *user, *password;
};

struct source_request {
    // NULL: GET
    const char *method;
    // below https://host
    const char *path;
    // whose token; NULL: the catalogue's
    const char *repository;
    // NULL: anything
    const char *accept;
    // of the body; 0: 1 MiB
    uint64_t max_bytes;
    // the first byte that is wanted (Range); a source that sends all from the start is read past
    uint64_t from;
    // Takes a 2xx body piece by piece instead of collecting it; may block. An error ends the
    // request with it. Such a request is not repeated once a byte was taken.
    int (*on_data)(void *ctx, const uint8_t *p, size_t n);
    void *ctx;
};

int import_source_open(const struct source_options *o, struct import_source **out);
void import_source_close(struct import_source *s);
// 0, or an error with a sentence in `why`. fetch_result_done(out) in any case.
int source_ask(struct import_source *s, const struct source_request *q, struct fetch_result *out,
               char why[IMPORT_WHY_SIZE]);
// For how long the source has asked to be left alone, in ms; 0: it has not. For progress.
int64_t source_pause_ms(struct import_source *s);

// ---- what its answers share ----

// An answer that is an error, in a sentence: "HTTP 403: denied". What a stranger wrote is cut and
// made printable.
void answer_tell(const struct fetch_result *res, char why[IMPORT_WHY_SIZE]);

#endif
