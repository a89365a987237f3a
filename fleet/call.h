// SPDX-License-Identifier: Apache-2.0
// Requests to other regions' peer listeners: mutual TLS to "<region>.peer.<D>" at the address that
// the topology gives. One of them, or the same question to all at once.
//
//   struct fleet_call call;
//   rc = fleet_call_make(&caller, topology, "westeurope", "/control/v1/place", &call);
//   if (rc)
//       return rc;
//   call.q.timeout_ms = 2000;
//   rc = fetch_run(caller.fetcher, &call.q, &result);
//
//   rc = fleet_ask_all(&caller, topology, "/control/v1/place", &limits, &answers);
//   … answers->list[i].region, .err, .status, .body …
//   fleet_answers_free(answers);
//
// A caller is constant; any thread. A call belongs to who made it and may not be copied: the request
// points into it.
#ifndef MERIDIAN_FLEET_CALL_H
#define MERIDIAN_FLEET_CALL_H

#include "config/topology.h"
#include "control/place.h"
#include "net/fetch.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_CONNECT_MS 3000

struct fleet_caller {
    struct fetcher *fetcher;
    const char *ca_file, *peer_pem;
    // this region: it is not asked
    const char *region;
    // what waits ends soon after it turns true
    const _Atomic bool *stop;
    // For tests: writes the path of a unix socket that stands in for that region's peer listener;
    // non-zero: dial the region itself. NULL: likewise.
    int (*dial_socket)(void *ctx, const char *region, char *out, size_t cap);
    void *dial_ctx;
};

struct fleet_call { // the strings behind a fetch_request
    char url[1024], socket[256];
    struct endpoint to;
    struct fetch_request q;
};

// `target`: path and query. ERR_NOTFOUND: the topology has no such region, or it has no peer
// listener. ERR_TOOBIG.
int fleet_call_make(const struct fleet_caller *by, const struct topology *t, const char *region,
                    const char *target, struct fleet_call *out);

struct fleet_one_answer {
    char region[HOSTNAME_REGION_SIZE];
    // 0: it answered, whatever the status
    int err;
    int status;
    // of a status of 200
    struct buf body;
    // for people, when err
    char why[256];
};

struct fleet_answers {
    size_t n;
    struct fleet_one_answer list[];
};

struct fleet_ask_limits {
    // each region has so long
    uint32_t timeout_ms;
    // of one answer
    size_t max_bytes;
};

// Asks every other region that is not sealed the same at the same time, and waits for all of them. Without another
// region: no answers. ERR_NOMEM; ERR_CANCELED: stopped.
int fleet_ask_all(const struct fleet_caller *by, const struct topology *t, const char *target,
                  const struct fleet_ask_limits *limits, struct fleet_answers **out);
void fleet_answers_free(struct fleet_answers *a); // NULL is fine

// {"epoch","seq","hash"}, as in an answer to GET /control/v1/place. ERR_PROTO.
int fleet_place_read(const json_t *doc, struct control_place *out);

#endif
