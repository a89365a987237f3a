// SPDX-License-Identifier: Apache-2.0
// The one grammar of all names (design section 2). The resolver, the certificate plan, the auth
// challenge, the HTTP router and the CLI all come here; nobody else takes a hostname apart.
//
//   struct hostname h;
//   if (hostname_parse("Contoso.EastUS.geo.example.io.", "example.io", &h) == NAME_REGIONAL) …
//   hostname_format(NAME_REGIONAL, "example.io", "contoso", "eastus", NULL, out);
//
// Pure functions: nothing is looked up; whether a region or registry exists is the topology's to
// say. Parsing ignores case and one final dot and yields lower case. RFC 1035 section 2.3.4 limits
// (63, 255) hold.
#ifndef MERIDIAN_CONFIG_HOSTNAME_H
#define MERIDIAN_CONFIG_HOSTNAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum name_kind {
    NAME_GLOBAL,           // L.D
    NAME_REGIONAL,         // L.<region>.geo.D
    NAME_DATA,             // L.<region>.data.D
    NAME_GLOBAL_PRIVATE,   // L.privatelink.D
    NAME_REGIONAL_PRIVATE, // L.<region>.geo.privatelink.D
    NAME_DATA_PRIVATE,     // L.<region>.data.privatelink.D
    NAME_FRONTEND,         // <stamp>.<region>.fe.D
    NAME_ROUTE,            // _route.L.D
    NAME_APEX,             // D
    NAME_ENT, // empty non-terminal; `region` is set where the name has one (else existing always)
    NAME_FOREIGN, // not under D
    NAME_INVALID, // under D, but none of the above
};

#define HOSTNAME_LABEL_SIZE 64
#define HOSTNAME_REGISTRY_SIZE 51
#define HOSTNAME_HASH_SIZE 17
#define HOSTNAME_REGION_SIZE 32
#define HOSTNAME_TEXT_SIZE 256

struct hostname { // fields that do not apply are ""
    enum name_kind kind;
    // registry or registry-hash
    char label[HOSTNAME_LABEL_SIZE];
    // 5 to 50
    char registry[HOSTNAME_REGISTRY_SIZE];
    // 16 or none
    char hash[HOSTNAME_HASH_SIZE];
    char region[HOSTNAME_REGION_SIZE];
    char stamp[HOSTNAME_LABEL_SIZE];
};

// Both return out->kind. `domain` is lower case without a final dot. Never fail; NAME_INVALID and
// NAME_FOREIGN leave all fields empty.
enum name_kind hostname_parse(const char *text, const char *domain, struct hostname *out);
// From uncompressed wire form (length-prefixed labels and the root), as the resolver's packets have
// it. A label with a byte that is not a letter, digit, '-' or '_' is NAME_INVALID under D, whatever
// its text would be.
enum name_kind hostname_parse_wire(const uint8_t *wire, size_t n, const char *domain,
                                   struct hostname *out);

// Writes the text of a name, without a final dot. Parts that the kind does not have are ignored
// (may be NULL). For NAME_ENT and NAME_INVALID: ERR_INVAL. ERR_INVAL too if a part breaks the
// grammar, ERR_TOOBIG past 253.
int hostname_format(enum name_kind kind, const char *domain, const char *label, const char *region,
                    const char *stamp, char out[HOSTNAME_TEXT_SIZE]);

// as in the test vectors: "global", "regional_private" …
const char *hostname_kind_name(enum name_kind kind);
// GLOBAL→GLOBAL_PRIVATE …; others unchanged
enum name_kind hostname_private_of(enum name_kind kind);
enum name_kind hostname_public_of(enum name_kind kind);

bool hostname_registry_ok(const char *s); // 5 to 50 lower-case letters and digits, not reserved
bool hostname_hash_ok(const char *s);     // 16 lower-case letters and digits
bool hostname_region_ok(const char *s);   // [a-z][a-z0-9]{0,30}
bool hostname_stamp_ok(const char *s);    // letters, digits, inner hyphens, at most 63, lower case
// at least two labels, lower case, LDH; short enough for the longest name
bool hostname_domain_ok(const char *s);
bool hostname_reserved(const char *label); // "privatelink" and the apex's static labels

// The "Host:" of HTTP/1.1 (RFC 9110 section 7.2): name with an optional port. The port is split off
// and checked to be digits; an address literal is NAME_FOREIGN.
enum name_kind hostname_parse_http_host(const char *host, const char *domain, struct hostname *out);

#endif
