// SPDX-License-Identifier: Apache-2.0
// Writes the last good topology to disk beside whoever takes changes: half a million registries are
// 17 MB and an fsync, for which no change should wait.
//
//   topology_saver_start("/var/lib/meridian/state/topology.last", &k);
//   topology_saver_offer(k, t);       // now and then: what is in force; a reference is taken, what
//                                     // waited before is let go
//   topology_saver_stop(k);           // what was offered last is on disk, or the log says why not
//
// What cannot be written, for the disk is full, is tried again every TOPOLOGY_SAVER_RETRY_MS until
// it can, or a newer one is there. One thread of its own, which lets others go first.
// topology_saver_offer and topology_saver_stop from one thread.
#ifndef MERIDIAN_CONTROL_TOPOLOGY_SAVER_H
#define MERIDIAN_CONTROL_TOPOLOGY_SAVER_H

#include "base/bytes.h"
#include "config/topology.h"

#define TOPOLOGY_SAVER_RETRY_MS 2000

struct topology_saver;

int topology_saver_start(const char *path, struct topology_saver **out);
void topology_saver_offer(struct topology_saver *k, struct topology *t);
void topology_saver_stop(struct topology_saver *k); // NULL is fine

// At once, on the caller's thread: the compiled form, or `text` when the topology has none. Logs
// what fails.
int topology_saver_write(const char *path, const struct topology *t, const struct buf *text);

#endif
