// SPDX-License-Identifier: Apache-2.0
// A thread that writes the last good topology to disk. Half a million registries are 17 MB and an
// fsync; the thread that applies changes must not wait for that.
//
//   rc = topology_saver_start("/var/lib/meridian/state/topology.last", &k);
//   topology_saver_offer(k, t);       // takes a reference; drops an offer that still waits
//   topology_saver_stop(k);           // the last offer is on disk, or the log says why not
//
// When a write fails, because the disk is full say, the thread tries again every
// TOPOLOGY_SAVER_RETRY_MS, until it succeeds or a newer version is offered. The thread runs at low
// priority. One thread calls topology_saver_offer and topology_saver_stop.
#ifndef MERIDIAN_CONTROL_TOPOLOGY_SAVER_H
#define MERIDIAN_CONTROL_TOPOLOGY_SAVER_H

#include "base/bytes.h"
#include "config/topology.h"

#define TOPOLOGY_SAVER_RETRY_MS 2000

struct topology_saver;

int topology_saver_start(const char *path, struct topology_saver **out);
void topology_saver_offer(struct topology_saver *k, struct topology *t);
void topology_saver_stop(struct topology_saver *k); // NULL is fine

// Writes at once, on the caller's thread: the compiled form, or `text` (may be NULL) when the
// topology cannot be compiled. Logs a failure, at most once a minute.
int topology_saver_write(const char *path, const struct topology *t, const struct buf *text);

#endif
