// SPDX-License-Identifier: Apache-2.0
// A response body that the caller's thread pulls. The fetcher's thread fills a bounded buffer and
// pauses the request when the buffer is full; the owner reads, writes to disk for as long as that
// takes, and the request goes on.
//
//   struct response_reader *f;
//   rc = response_reader_open(fetcher, &q, &stop, &f);
//   if ((status = response_reader_status(f, 10000)) == 200)
//       while ((n = response_reader_read(f, buf, sizeof buf, 45000)) > 0) …
//   response_reader_close(f);                 // cancels the request if it still runs
//
// Ownership: one owner, which closes it. Threads: one thread at a time calls these functions; they
// block, so that thread is neither an HTTP thread nor the fetcher's.
#ifndef MERIDIAN_NET_RESPONSE_READER_H
#define MERIDIAN_NET_RESPONSE_READER_H

#include "net/fetch.h"

#include <sys/types.h>

// The request pauses when so many bytes wait for the owner.
#define RESPONSE_READER_BYTES (512u << 10)

struct response_reader;
// Starts the request; sets q's on_data, on_headers and ctx. *stop turns true when the owner's
// thread must end: waits then return ERR_CANCELED within 100 ms. It outlives the reader.
int response_reader_open(struct fetcher *fetcher, const struct fetch_request *q,
                         const _Atomic bool *stop, struct response_reader **out);
// From now on the fetcher's thread writes the time of the last bytes that came in to *heard_mono,
// however long the owner takes to read them; INT64_MAX while the request is paused, when nobody can
// tell whether the other end is silent.
void response_reader_watch(struct response_reader *f, _Atomic int64_t *heard_mono);
// Waits for the status line. The HTTP status, or a negative error.
int response_reader_status(struct response_reader *f, int wait_ms);
// >0: bytes; 0: the response came in whole and the owner has read all of it; ERR_TIMEOUT: nothing
// came for wait_ms; else why the response broke off. The body of a status other than 2xx can be
// read after all of it came in (at most 64 KiB).
ssize_t response_reader_read(struct response_reader *f, void *to, size_t cap, int wait_ms);
// What went wrong, for people; "" when nothing is known. Valid until the next call of it.
const char *response_reader_message(struct response_reader *f);
void response_reader_close(struct response_reader *f); // NULL is ignored

#endif
