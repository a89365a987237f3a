// SPDX-License-Identifier: Apache-2.0
// Spare room for a start on a full disk: a file of real blocks, part of the reserve. A node that
// starts and finds nothing free gives some of these blocks back. The database's log, nginx's
// configuration, certificates and pid need room at every start; without it a node that ended while
// another program filled the disk could not even serve pulls.
//
//   if (free_bytes < SPARE_START_BYTES) spare_use(path);  // before anything is opened
//   …later, while there is plenty: spare_keep(path, n);
//
// One process at a time; blocks on the disk.
#ifndef MERIDIAN_STORE_SPARE_H
#define MERIDIAN_STORE_SPARE_H

#include <stdbool.h>
#include <stdint.h>

// a start takes some 300 KiB; the rest is for writes of the first minutes
#define SPARE_START_BYTES (1ull << 20)
#define SPARE_BYTES (4 * SPARE_START_BYTES)

uint64_t spare_size(uint64_t reserve_bytes); // of that reserve a quarter, SPARE_BYTES at most
// 0: it has that size and its blocks; ERR_NOSPACE: it has none
int spare_keep(const char *path, uint64_t bytes);
bool spare_use(const char *path); // true: there was room, and that of one start is free now

#endif
