// SPDX-License-Identifier: Apache-2.0
// The 401 that sends a client to the token endpoint; see verify.h, RFC 6750 section 3, and the
// distribution token specification. Pure; HTTP threads.
#include "auth/token_priv.h"

#include "base/err.h"
#include "net/oci_error.h"

#include <string.h>

// May it stand inside a quoted-string as it is? (RFC 6750: scope-token is %x21 / %x23-5B / %x5D-7E)
static bool quotable(const char *s)
{
    for (; *s; s++)
        if (*s < ' ' || *s > '~' || *s == '"' || *s == '\\')
            return false;
    return true;
}

static const char *why_text(int why)
{
    switch (why) {
    case 0:
        return "authentication required";
    case ERR_DENIED:
        return "the token does not permit this";
    case ERR_EXPIRED:
        return "the token has expired";
    default:
        return "the token is not valid here";
    }
}

void auth_challenge(struct http_request *req, const struct topology *t, const struct hostname *host,
                    const char *scope, int why, struct http_response *out)
{
    char name[HOSTNAME_TEXT_SIZE], service[HOSTNAME_TEXT_SIZE], port[8] = "";
    if (hostname_format(host->kind, t->domain, host->label, host->region, host->stamp, name) ||
        hostname_format(NAME_GLOBAL, t->domain, host->label, NULL, NULL, service)) {
        oci_error(req, out, 421, "UNSUPPORTED", NULL, "this host is not an endpoint of a registry");
        return;
    }
    if (t->https_port != 443)
        snprintf(port, sizeof port, ":%u", t->https_port);
    bool with_scope = scope && *scope && quotable(scope);
    const char *error = ",error=\"invalid_token\"";
    if (!why)
        error = "";
    else if (why == ERR_DENIED)
        error = ",error=\"insufficient_scope\"";
    oci_error(req, out, 401, why == ERR_DENIED ? "DENIED" : "UNAUTHORIZED", NULL, "%s",
              why_text(why));
    http_response_header(req, out, "WWW-Authenticate",
                         "Bearer realm=\"https://%s%s/oauth2/token\",service=\"%s\"%s%s%s%s", name,
                         port, service, with_scope ? ",scope=\"" : "", with_scope ? scope : "",
                         with_scope ? "\"" : "", error);
}
