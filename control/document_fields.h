// SPDX-License-Identifier: Apache-2.0
// Small changes of a YAML document as text, which leave all else in it as it was written: its
// version, and the writer in a topology. What comes out says what it should, or there is an error.
//
//   rc = document_set_version(&text, 43);
//   rc = document_set_writer(&text, "westus");
//
// Single-threaded.
#ifndef MERIDIAN_CONTROL_DOCUMENT_FIELDS_H
#define MERIDIAN_CONTROL_DOCUMENT_FIELDS_H

#include "base/bytes.h"

// Of a topology or of principals; a document that has none gets one. ERR_UNSUPPORTED: `version:`
// does not begin a line of its own; ERR_INVAL: it is no mapping; ERR_NOMEM.
int document_set_version(struct buf *text, uint64_t version);
// `control: writer`. ERR_UNSUPPORTED: it does not stand where a line can be changed; ERR_NOTFOUND:
// there is no such section.
int document_set_writer(struct buf *text, const char *region);

#endif
