// SPDX-License-Identifier: Apache-2.0
// A response body that a thread of ours pulls: the fetcher's thread fills a bounded buffer and
// pauses when it is full, the owner reads, writes to disk or metadata as long as it takes, and the
// flow goes on. Used by peer readers, recovery and blob fetches, each on its own thread; one owner
// per flow.
//
//   struct response_reader *f;
//   rc = response_reader_open(fetcher, &q, &stop, &f);          // q's on_data, on_headers and ctx
//                                                               // are set here
//   if ((status = response_reader_status(f, 10000)) == 200)
//       while ((n = response_reader_read(f, buf, sizeof buf, 45000)) > 0) …
//   response_reader_close(f);                                   // cancels what still runs
#ifndef MERIDIAN_REPLICATION_RESPONSE_READER_H
#define MERIDIAN_REPLICATION_RESPONSE_READER_H

#include "net/fetch.h"

#include <sys/types.h>

#define INFLOW_BUFFER_BYTES (512u << 10)

struct response_reader;
// `stop` turns true when the owner's thread must end: waits then return ERR_CANCELED within 100 ms.
int response_reader_open(struct fetcher *fetcher, const struct fetch_request *q,
                         const _Atomic bool *stop, struct response_reader **out);
// From now on *heard_mono is the time of the last bytes that came in, by the fetcher's thread,
// however long the owner takes to read them; INT64_MAX while the flow is paused, when nobody can
// tell whether the other end is silent.
void response_reader_watch(struct response_reader *f, _Atomic int64_t *heard_mono);
// Waits for the status line. The HTTP status, or a negative error.
int response_reader_status(struct response_reader *f, int wait_ms);
// >0: bytes; 0: the whole response came in and was read; ERR_TIMEOUT when nothing came in wait_ms;
// else why it broke. The body of a status other than 2xx is read the same way, after it came in
// whole.
ssize_t response_reader_read(struct response_reader *f, void *to, size_t cap, int wait_ms);
const char *response_reader_message(struct response_reader *f); // for people, after an error; ""
void response_reader_close(struct response_reader *f);          // NULL is fine

#endif
