// SPDX-License-Identifier: Apache-2.0
// Names in wire form (RFC 1035 section 3.1): length-prefixed labels and the root, at most 255 octets.
// Pure; any thread; allocates nothing.
//
//   uint8_t name[DNS_NAME_MAX];
//   size_t n = dns_name_from_text("eus-1.eastus.fe.example.io", name);     // 0: it is no such name
#ifndef MERIDIAN_DNS_NAME_H
#define MERIDIAN_DNS_NAME_H

#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_MAX 255
#define DNS_LABEL_MAX 63

// Text without escapes; "" is the root. Returns the length, 0 if it is no such name.
size_t dns_name_from_text(const char *text, uint8_t out[DNS_NAME_MAX]);
// An address "first.last@example.io" to an RNAME: the local part is one label, dots and all (RFC
// 1035 section 8). 0 if it is none.
size_t dns_name_from_mailbox(const char *address, uint8_t out[DNS_NAME_MAX]);

#endif
