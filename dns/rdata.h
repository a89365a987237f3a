// SPDX-License-Identifier: Apache-2.0
// RDATA of the types that a topology states word for word (A, AAAA, MX, TXT: RFC 1035, 3596; CAA: RFC
// 8659), in wire form and as a master file has it. Pure; any thread.
//
//   uint8_t rdata[RDATA_MX_MAX];
//   size_t n = rdata_mx(10, "mail.example.net", rdata);
//   rdata_text(DNS_MX, rdata, n, &text);                 // "10 mail.example.net."
#ifndef MERIDIAN_DNS_RDATA_H
#define MERIDIAN_DNS_RDATA_H

#include "base/bytes.h"
#include "dns/name.h"
#include "dns/types.h"

#define RDATA_MX_MAX (2 + DNS_NAME_MAX)
#define RDATA_CAA_TAG_MAX 255
// Octets of a TXT record that holds n octets of text, in strings of 255.
#define RDATA_TXT_MAX(n) ((n) + (n) / 255 + 1)
#define RDATA_CAA_MAX(n_value) (2 + RDATA_CAA_TAG_MAX + (n_value))

// `host` "." is the root: no mail here (RFC 7505). 0: it is no name.
size_t rdata_mx(uint16_t preference, const char *host, uint8_t out[RDATA_MX_MAX]);
// `out` has room for RDATA_TXT_MAX(n). 0 for an empty text.
size_t rdata_txt(const char *text, size_t n, uint8_t *out);
// `out` has room for RDATA_CAA_MAX(strlen(value)); the tag has at most RDATA_CAA_TAG_MAX letters.
size_t rdata_caa(bool critical, const char *tag, const char *value, uint8_t *out);
// As a master file has it (RFC 1035 section 5.1), of well-formed RDATA of one of these types.
void rdata_text(enum dns_type type, const uint8_t *rdata, size_t n, struct buf *out);

#endif
