// SPDX-License-Identifier: Apache-2.0
// Text of metrics as Prometheus reads it (exposition format 0.0.4): a family has a head, then its
// samples.
//
//   exposition_family(&b, "meridian_dns_queries_total", "counter", "Queries that were read.");
//   exposition_begin(&b, "meridian_dns_queries_total");
//   exposition_label(&b, "view", "public");
//   exposition_value(&b, 17);
//
// Writes into a buffer with a ceiling, which latches what does not fit. Label values may be any
// bytes: what the format gives a meaning is escaped, other control bytes become '?'. Not shared
// between threads.
#ifndef MERIDIAN_BASE_EXPOSITION_H
#define MERIDIAN_BASE_EXPOSITION_H

#include "base/bytes.h"

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void exposition_family(struct buf *b, const char *name, const char *type, const char *help);
void exposition_begin(struct buf *b, const char *name);
void exposition_label(struct buf *b, const char *name, const char *value);
void exposition_value(struct buf *b, double value); // ends the sample
// A family of one sample without labels.
void exposition_single(struct buf *b, const char *name, const char *type, const char *help,
                       double value);

#endif
