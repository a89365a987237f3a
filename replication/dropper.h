// SPDX-License-Identifier: Apache-2.0
// The thread that drops what was deleted, and what was outdone, registry by registry, when all members have it and
// `replication.feed_keep` is over (store/meta_drop.h has the steps, horizon.h up to where each may go,
// settle.h when). Durable are the floors, and since when all have what (dropper_state.h): the
// rest is looked at again after a restart.
//
// Threads: one of its own; metrics on any.
#ifndef MERIDIAN_REPLICATION_DROPPER_H
#define MERIDIAN_REPLICATION_DROPPER_H

#include "base/bytes.h"

#define DROP_EVERY_MS 60000 // between two rounds, unless the options say otherwise

struct dropper;
struct replicator;

int dropper_new(struct replicator *r, struct dropper **out);
int dropper_start(struct dropper *d);
void dropper_metrics(struct dropper *d, struct buf *out);
// After life_end: joins the thread. NULL is ignored.
void dropper_stop(struct dropper *d);
void dropper_free(struct dropper *d);

#endif
