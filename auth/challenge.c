// SPDX-License-Identifier: Apache-2.0
// The 401 that sends a client to the token endpoint; see verify.h, RFC 6750 section 3, and the
// distribution token specification. Pure; HTTP threads.
#include "auth/token_priv.h"

#include "base/err.h"
#include "net/refuse.h"

#include <string.h>

// May it stand inside a quoted-string as it is? (RFC 6750: scope-token is %x21 / %x23-5B / %x5D-7E)
static bool quotable(const char *s)
{
    for (; *s; s++)
        if (*s < ' ' || *s > '~' || *s == '"' || *s == '\\')
            return false;
    return true;
}

// What a client is told of each reason: the sentence, and the parameter of RFC 6750 section 3.
struct reason {
    enum refusal kind;
    const char *sentence, *parameter;
};

static struct reason reason_of(int why)
{
    static const char invalid[] = ",error=\"invalid_token\"";
    static const char scope[] = ",error=\"insufficient_scope\"";
    switch (why) {
    case 0:
        return (struct reason){REFUSED_UNAUTHORIZED, "authentication required", ""};
    case ERR_DENIED:
        return (struct reason){REFUSED_DENIED, "the token does not permit this", scope};
    case ERR_EXPIRED:
        return (struct reason){REFUSED_UNAUTHORIZED, "the token has expired", invalid};
    default:
        return (struct reason){REFUSED_UNAUTHORIZED, "the token is not valid here", invalid};
    }
}

void auth_challenge(struct http_request *req, const struct topology *t, const struct hostname *host,
                    const char *scope, int why, struct http_response *out)
{
    char name[HOSTNAME_TEXT_SIZE], service[HOSTNAME_TEXT_SIZE], port[8] = "";
    int rc = hostname_format(host->kind, t->domain, host->label, host->region, host->stamp, name);
    if (!rc)
        rc = hostname_format(NAME_GLOBAL, t->domain, host->label, NULL, NULL, service);
    if (rc) {
        http_refuse(req, out, 421, REFUSED_UNSUPPORTED,
                    "this host is not an endpoint of a registry");
        return;
    }
    if (t->https_port != 443)
        snprintf(port, sizeof port, ":%u", t->https_port);
    struct reason reason = reason_of(why);
    http_refuse(req, out, 401, reason.kind, "%s", reason.sentence);
    if (scope && *scope && quotable(scope))
        http_response_header(
            req, out, "WWW-Authenticate",
            "Bearer realm=\"https://%s%s/oauth2/token\",service=\"%s\",scope=\"%s\"%s", name, port,
            service, scope, reason.parameter);
    else
        http_response_header(req, out, "WWW-Authenticate",
                             "Bearer realm=\"https://%s%s/oauth2/token\",service=\"%s\"%s", name,
                             port, service, reason.parameter);
}
