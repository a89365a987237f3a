// SPDX-License-Identifier: Apache-2.0
// Versions of a zone on disk: one file per version in a directory, fe-SERIAL.zone. After a restart
// the resolver can still answer an IXFR, and serves the signatures that it served before. On the
// zone maintainer's thread.
//
//   // newest first; damaged ones are skipped
//   rc = zone_file_load_all(dir, zones, ZONE_HISTORY_MAX, &n);
//   rc = zone_file_save(dir, zone);
//   zone_file_prune(dir, history);   // removes what it does not hold
#ifndef MERIDIAN_RESOLVER_ZONE_ZONE_FILE_H
#define MERIDIAN_RESOLVER_ZONE_ZONE_FILE_H

#include "base/bytes.h"
#include "resolver/zone/zone_history.h"

#define ZONE_FILE_MAX (64u << 20)

// The form of a file: a head, the records, and the SHA-256 of both. ERR_CORRUPT, ERR_VERSION,
// ERR_NOMEM.
int zone_parse(const void *p, size_t n, struct zone **out);
void zone_format(const struct zone *z, struct buf *out); // errors stay in the buf

int zone_file_save(const char *dir, const struct zone *z);
int zone_file_load_all(const char *dir, struct zone *zones[], size_t cap, size_t *out_n);
void zone_file_prune(const char *dir, const struct zone_history *h);

#endif
