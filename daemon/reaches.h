// SPDX-License-Identifier: Apache-2.0
// Asks all regions how far they are with a registry (replication/reach.h), for operations that wait
// for content. Who calls does not wait: a thread asks, as long as somebody calls.
//
//   rc = reaches_start(app, &r);
//   rc = reaches_ask(r, "contoso", readers, origins, &out);    // ERR_BUSY: they are being asked
//   reaches_end(r); reaches_free(r);
//
// Any thread.
#ifndef MERIDIAN_DAEMON_REACHES_H
#define MERIDIAN_DAEMON_REACHES_H

#include "daemon/app.h"
#include "lifecycle/lifecycle.h"

#include <jansson.h>

struct reaches;

int reaches_start(struct app *app, struct reaches **out);
void reaches_end(struct reaches *r);  // NULL and a second time are fine
void reaches_free(struct reaches *r); // NULL is fine
// As lifecycle_deps.content.
// As lifecycle_deps.origin: asks all regions now, and blocks for so long.
int reaches_origin(struct reaches *r, const struct topology *t, const char *of,
                   struct lifecycle_origin *out);
int reaches_ask(struct reaches *r, const char *registry, region_set readers, region_set origins,
                struct lifecycle_content *out);

// What the words of regions come to: objects by region's name, of origins and, asked after these, of
// readers. Pure.
void reaches_judge(const struct topology *t, const json_t *of_origins, const json_t *of_readers,
                   region_set readers, region_set origins, struct lifecycle_content *out);

#endif
