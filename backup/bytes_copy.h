// SPDX-License-Identifier: Apache-2.0
// Files as bytes: copying one, with its hash or without, and reading one for its hash. One thread.
#ifndef MERIDIAN_BACKUP_BYTES_COPY_H
#define MERIDIAN_BACKUP_BYTES_COPY_H

#include "base/digest.h"

#include <stdint.h>

// What is left of `from` goes to `to` (-1: nowhere). *out_digest, where it is not NULL, is of that
// algorithm.
int bytes_copy(int from, int to, enum digest_alg alg, uint64_t *out_bytes,
               struct digest *out_digest);

// A new file in a directory: a copy of what is left of `from`, synced, with that mode; its name in
// the directory is the caller's to sync. A failure leaves nothing. ERR_EXISTS.
int bytes_copy_new(int from, int dir_fd, const char *name, unsigned mode, enum digest_alg alg,
                   uint64_t *out_bytes, struct digest *out_digest);

#endif
